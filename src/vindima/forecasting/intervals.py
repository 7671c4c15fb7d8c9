"""Medians and intervals as earlier errors teach them: a little of the last price, and widths that held before."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from vindima.forecasting.stored import NARROWEST, six_digits
from vindima.quantiles import SIDES

FEATURES = ("log_width", "log_volatility", "log_tonnes", "log_horizon")
FEWEST_ERRORS = 40
"""With fewer past errors the model's own quantiles stand: the 95 per cent interval would rest on one or two."""
WEIGHTS = tuple(round(step / 20, 2) for step in range(11))
"""The weights of the last price that are tried: 0 to one half."""
RIDGE = 2.0
SMALLEST_ERROR, LOG_SCALES = 1e-9, 100.0
"""What keeps the likelihood finite: prices that never moved are forecast without any error."""
TYPICAL_CHANGE, CHANGES = 0.15, 3
"""A series' volatility begins as three yearly changes of 15 per cent, so that a short history says little."""
RECENT = 10


@dataclass(frozen=True)
class Calibration:
    """How to correct a model's own quantiles of the log price; by `parts` it is stored as names and numbers.

    The median is (1 - weight) of the model's and `weight` of the last log price; the scale of its error
    exp(intercept + Σ slope · feature), features: log half-width of the model's own 80 per cent interval, log
    volatility of the series in the last ten years, log tonnes last traded, log horizon; an interval reaches
    `multipliers` scales to each side.
    """

    weight: float
    intercept: float
    slopes: dict[str, float]
    multipliers: dict[int, float]

    @property
    def parts(self) -> dict[str, float]:
        """Name → number."""
        by_level = {f"multiplier_{level}": factor for level, factor in self.multipliers.items()}
        return {"naive_weight": self.weight, "intercept": self.intercept} | self.slopes | by_level

    @classmethod
    def of(cls, parts: dict[str, float]) -> "Calibration":
        """The calibration with these `parts`."""
        slopes = {feature: parts[feature] for feature in FEATURES}
        multipliers = {level: parts[f"multiplier_{level}"] for level in SIDES}
        return cls(parts["naive_weight"], parts["intercept"], slopes, multipliers)


def features(prices: pd.DataFrame, series: list[str], cutoff: int) -> pd.DataFrame:
    """What is known at `cutoff` of each series beside its model: `series, last, log_volatility, log_tonnes`.

    `last` is the last log price; the volatility the mean absolute yearly change of the log price in the last ten
    years, shrunk; the tonnes those of the last year with a price.
    """
    known = prices[prices["series"].isin(series) & (prices["year"] <= cutoff)].sort_values(["series", "year"])
    log = np.log(known["price_usd_kg"])
    change = log.groupby(known["series"]).diff().abs()
    recent = (known["year"] > cutoff - RECENT) & (known.groupby("series")["year"].diff() == 1)
    sums = change.where(recent).groupby(known["series"]).agg(["sum", "count"])
    volatility = (sums["sum"] + CHANGES * TYPICAL_CHANGE) / (sums["count"] + CHANGES)
    newest = known.groupby("series").tail(1).set_index("series")
    found = pd.DataFrame(
        {
            "last": np.log(newest["price_usd_kg"]),
            "log_volatility": np.log(volatility),
            "log_tonnes": np.log(newest["quantity_kg"] / 1000),
        }
    )
    return found.rename_axis("series").reset_index()


def calibrate(past: pd.DataFrame) -> Calibration | None:
    """What out-of-sample forecasts whose outcome is known teach, over all series; None below `FEWEST_ERRORS`.

    `past` holds `horizon, log_actual, last, log_volatility, log_tonnes` and the model's own `q025 … q975` of the log
    price. The weight has the smallest mean absolute error; the slopes maximise the likelihood of Laplace errors with
    a small ridge; the multipliers are conformal ranks of the errors in scales (Lei et al. 2018, section 2.2).
    """
    if len(past) < FEWEST_ERRORS:
        return None
    errors = {weight: (past["log_actual"] - _median(past, weight)).abs() for weight in WEIGHTS}
    weight = min(WEIGHTS, key=lambda candidate: float(six_digits(errors[candidate].mean())))
    error, known = np.maximum(errors[weight].to_numpy(), SMALLEST_ERROR), _features(past)
    centre = known.mean(axis=0)

    def surprise(point: np.ndarray) -> tuple[float, np.ndarray]:
        log_scale = point[0] + (known - centre) @ point[1:]
        ratio = error * np.exp(-np.clip(log_scale, -LOG_SCALES, LOG_SCALES))
        slopes = (known - centre).T @ (1 - ratio) + RIDGE * point[1:]
        return float((log_scale + ratio).sum() + RIDGE * (point[1:] ** 2).sum() / 2), np.append(
            (1 - ratio).sum(), slopes
        )

    start = np.append(np.log(error.mean()), np.zeros(len(FEATURES)))
    found = optimize.minimize(surprise, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-7}).x
    found[0] -= centre @ found[1:]
    intercept, *slopes = (float(value) for value in six_digits(found))
    ratios = np.sort(error / np.exp(intercept + known @ np.array(slopes)))
    multipliers = {
        level: float(six_digits(ratios[min(math.ceil((len(ratios) + 1) * level / 100), len(ratios)) - 1]))
        for level in SIDES
    }
    return Calibration(weight, intercept, dict(zip(FEATURES, slopes, strict=True)), multipliers)


def corrected(own: pd.DataFrame, by: Calibration | None) -> pd.DataFrame:
    """`own` (columns as in `past` of `calibrate`, no actual needed) with the quantiles that `by` gives.

    They never cross, also where past errors were 0. Without a calibration the model's own stand.
    """
    if by is None:
        return own
    median = _median(own, by.weight)
    scale = np.exp(by.intercept + _features(own) @ np.array([by.slopes[feature] for feature in FEATURES]))
    scale = np.maximum(scale, NARROWEST)
    wide = own.assign(q50=median)
    reach = 0.0
    for level, (lower, upper) in SIDES.items():
        reach = max(reach, by.multipliers[level])
        wide[lower], wide[upper] = median - reach * scale, median + reach * scale
    return wide


def _median(own: pd.DataFrame, weight: float) -> pd.Series:
    return (1 - weight) * own["q50"] + weight * own["last"]


def _features(own: pd.DataFrame) -> np.ndarray:
    width = np.log(np.maximum(own["q90"] - own["q50"], 1e-6))
    columns = [width, own["log_volatility"], own["log_tonnes"], np.log(own["horizon"])]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
