"""Medians and intervals as earlier errors teach them: a little of the last price, and widths that held before."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import optimize

from vindima.forecasting.stored import NARROWEST, six_digits
from vindima.quantiles import SIDES

PLAIN = ("log_width", "log_volatility", "log_tonnes", "log_horizon")
"""What every calibration reads; those of months and of nowcasts read no more."""
FEATURES = (*PLAIN, "log_volatility_horizon", "log_tonnes_horizon", "log_factor", "log_doubt")
"""What the yearly calibration reads: how volatility and volume interact with the horizon, the series' own past errors
and a second opinion on the median."""
FACTOR = "factor "
"""Before the name of a series: the name under which its factor is stored."""
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
TYPICAL_WEIGHT, KEPT, LARGEST_RATIO = 5.0, 0.95, 4.0
"""A factor begins as five errors as large as all series have, a year takes a twentieth of an error's weight, and no
error counts for more than four half-widths."""
SMOOTHING = 0.5
"""The share of the newest price in the smoothed one: half, a quarter for the price before it, and so on."""


@dataclass(frozen=True)
class Calibration:
    """How to correct a model's own quantiles of the log price; by `parts` it is stored as names and numbers.

    The median is (1 - weight) of the model's and `weight` of the last log price; the scale of its error
    exp(intercept + Σ slope · feature); an interval reaches `multipliers` scales to each side. Features are: log
    half-width of the model's own 80 per cent interval; log volatility of the series in the last ten years, log tonnes
    last traded and log horizon; the products of the first two of these with the third; the log factor of the series
    (`factors`, by `series_factors`; 1 for a series without past errors); and log doubt, log(1 + |own median -
    smoothed log price| / own half-width).
    """

    weight: float
    intercept: float
    slopes: dict[str, float]
    multipliers: dict[int, float]
    factors: dict[str, float] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, float]:
        """Name → number."""
        by_level = {f"multiplier_{level}": factor for level, factor in self.multipliers.items()}
        by_series = {FACTOR + series: factor for series, factor in self.factors.items()}
        return {"naive_weight": self.weight, "intercept": self.intercept} | self.slopes | by_level | by_series

    @classmethod
    def of(cls, parts: dict[str, float]) -> "Calibration":
        """The calibration with these `parts`."""
        slopes = {feature: parts[feature] for feature in FEATURES if feature in parts}
        multipliers = {level: parts[f"multiplier_{level}"] for level in SIDES}
        factors = {name.removeprefix(FACTOR): parts[name] for name in parts if name.startswith(FACTOR)}
        return cls(parts["naive_weight"], parts["intercept"], slopes, multipliers, factors)


def features(prices: pd.DataFrame, series: list[str], cutoff: int) -> pd.DataFrame:
    """What is known at `cutoff` of each series beside its model.

    Columns `series, last, smoothed, log_volatility, log_tonnes`: the last log price; the exponentially weighted mean
    of all (simple exponential smoothing, Brown 1959); the volatility, the mean absolute yearly change of the log
    price in the last ten years, shrunk; the tonnes of the last year with a price.
    """
    known = prices[prices["series"].isin(series) & (prices["year"] <= cutoff)].sort_values(["series", "year"])
    log = np.log(known["price_usd_kg"])
    change = log.groupby(known["series"]).diff().abs()
    recent = (known["year"] > cutoff - RECENT) & (known.groupby("series")["year"].diff() == 1)
    sums = change.where(recent).groupby(known["series"]).agg(["sum", "count"])
    volatility = (sums["sum"] + CHANGES * TYPICAL_CHANGE) / (sums["count"] + CHANGES)
    smoothed = log.groupby(known["series"]).transform(lambda one: one.ewm(alpha=SMOOTHING).mean())
    newest = known.assign(smoothed=smoothed).groupby("series").tail(1).set_index("series")
    found = pd.DataFrame(
        {
            "last": np.log(newest["price_usd_kg"]),
            "smoothed": newest["smoothed"],
            "log_volatility": np.log(volatility),
            "log_tonnes": np.log(newest["quantity_kg"] / 1000),
        }
    )
    return found.rename_axis("series").reset_index()


def series_factors(known: pd.DataFrame) -> pd.Series:
    """How large the errors of each series were beside those of all, shrunk towards 1: series → factor.

    (5 + Σ w u) / (5 + Σ w) over the rows of `known`, forecasts whose outcome is known (columns as in `calibrate`): u
    the absolute error of the model's own median in its own half-widths, at most 4, over its mean in all rows; w =
    0.95^age / horizon, the age of a target in years before the newest. Errors of far horizons weigh less because they
    overlap. The factor is a mean of scales as credibility theory shrinks one (Bühlmann 1967).
    """
    error = np.maximum((known["log_actual"] - known["q50"]).abs(), SMALLEST_ERROR)
    ratio = np.minimum(error / _half_width(known), LARGEST_RATIO)
    weight = KEPT ** (known["year"].max() - known["year"]) / known["horizon"]
    parts = pd.DataFrame({"weight": weight, "weighted": weight * ratio / ratio.mean()})
    sums = parts.groupby(known["series"]).sum()
    factor = (TYPICAL_WEIGHT + sums["weighted"]) / (TYPICAL_WEIGHT + sums["weight"])
    return pd.Series(six_digits(factor.to_numpy()), index=sums.index)


def calibrate(past: pd.DataFrame, features: tuple[str, ...] = FEATURES) -> Calibration | None:
    """What out-of-sample forecasts whose outcome is known teach, over all series; None below `FEWEST_ERRORS`.

    `past` holds `horizon, log_actual, last, log_volatility, log_tonnes` and the model's own `q025 … q975` of the log
    price; for all `features`, not `PLAIN` alone, also `series, cutoff, year, smoothed`. The weight has the smallest
    mean absolute error; the slopes maximise the likelihood of Laplace errors with a small ridge; the multipliers are
    conformal ranks of the errors in scales (Lei et al. 2018, section 2.2). The factor in a row is the one that was
    known at the row's own cutoff, `factors` are those that all of `past` gives.
    """
    if len(past) < FEWEST_ERRORS:
        return None
    factors: dict[str, float] = {}
    if "log_factor" in features:
        past = past.assign(factor=_factors_then(past))
        factors = {str(series): float(factor) for series, factor in series_factors(past).items()}
    errors = {weight: (past["log_actual"] - _median(past, weight)).abs() for weight in WEIGHTS}
    weight = min(WEIGHTS, key=lambda candidate: float(six_digits(errors[candidate].mean())))
    error, known = np.maximum(errors[weight].to_numpy(), SMALLEST_ERROR), _features(past, features)
    centre = known.mean(axis=0)

    def surprise(point: np.ndarray) -> tuple[float, np.ndarray]:
        log_scale = point[0] + (known - centre) @ point[1:]
        ratio = error * np.exp(-np.clip(log_scale, -LOG_SCALES, LOG_SCALES))
        slopes = (known - centre).T @ (1 - ratio) + RIDGE * point[1:]
        return float((log_scale + ratio).sum() + RIDGE * (point[1:] ** 2).sum() / 2), np.append(
            (1 - ratio).sum(), slopes
        )

    start = np.append(np.log(error.mean()), np.zeros(len(features)))
    found = optimize.minimize(surprise, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-7}).x
    found[0] -= centre @ found[1:]
    intercept, *slopes = (float(value) for value in six_digits(found))
    ratios = np.sort(error / np.exp(intercept + known @ np.array(slopes)))
    multipliers = {
        level: float(six_digits(ratios[min(math.ceil((len(ratios) + 1) * level / 100), len(ratios)) - 1]))
        for level in SIDES
    }
    return Calibration(weight, intercept, dict(zip(features, slopes, strict=True)), multipliers, factors)


def corrected(own: pd.DataFrame, by: Calibration | None) -> pd.DataFrame:
    """`own` (columns as in `past` of `calibrate`, no actual needed) with the quantiles that `by` gives.

    They never cross, also where past errors were 0. Without a calibration the model's own stand.
    """
    if by is None:
        return own
    median = _median(own, by.weight)
    known = own.assign(factor=own["series"].map(by.factors).fillna(1.0)) if "log_factor" in by.slopes else own
    scale = np.exp(by.intercept + _features(known, tuple(by.slopes)) @ np.array(list(by.slopes.values())))
    scale = np.maximum(scale, NARROWEST)
    wide = own.assign(q50=median)
    reach = 0.0
    for level, (lower, upper) in SIDES.items():
        reach = max(reach, by.multipliers[level])
        wide[lower], wide[upper] = median - reach * scale, median + reach * scale
    return wide


def _median(own: pd.DataFrame, weight: float) -> pd.Series:
    return (1 - weight) * own["q50"] + weight * own["last"]


def _half_width(own: pd.DataFrame) -> pd.Series:
    return (own["q90"] - own["q50"]).clip(lower=1e-6)


def _factors_then(past: pd.DataFrame) -> np.ndarray:
    """The factor of each row's series that was known at the row's cutoff: 1 where it had no error yet."""
    factors = np.ones(len(past))
    for cutoff in past["cutoff"].unique():
        known, here = past[past["year"] <= cutoff], (past["cutoff"] == cutoff).to_numpy()
        if len(known):
            factors[here] = past.loc[here, "series"].map(series_factors(known)).fillna(1.0)
    return factors


_COLUMNS: dict[str, Callable[[pd.DataFrame], pd.Series | np.ndarray]] = {
    "log_width": lambda own: np.log(_half_width(own)),
    "log_volatility": lambda own: own["log_volatility"],
    "log_tonnes": lambda own: own["log_tonnes"],
    "log_horizon": lambda own: np.log(own["horizon"]),
    "log_volatility_horizon": lambda own: own["log_volatility"] * np.log(own["horizon"]),
    "log_tonnes_horizon": lambda own: own["log_tonnes"] * np.log(own["horizon"]),
    "log_factor": lambda own: np.log(own["factor"]),
    "log_doubt": lambda own: np.log1p((own["q50"] - own["smoothed"]).abs() / _half_width(own)),
}


def _features(own: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    return np.stack([np.asarray(_COLUMNS[name](own), dtype=float) for name in names], axis=1)
