"""Intervals as wide as earlier errors were: conformal calibration over all series, by horizon."""

import math

import numpy as np
import pandas as pd

from vindima.forecasting.stored import six_digits

SIDES = {80: ("q10", "q90"), 95: ("q025", "q975")}
FEWEST_ERRORS = 40
"""With fewer errors at a horizon the model's own intervals stand: the 95 per cent one would rest on one or two."""


def multipliers(past: pd.DataFrame) -> pd.DataFrame:
    """How many times its own half-width an interval must be, from past out-of-sample forecasts of all series.

    `past` holds `horizon, log_actual` and the model's own `q025 … q975` of the log price; the answer `horizon,
    level, multiplier`. The multiplier is the ⌈(n + 1) · level⌉-th smallest absolute error in units of the
    half-width of that forecast (split conformal prediction: Lei et al. 2018, section 2.2), 1 below `FEWEST_ERRORS`.
    """
    rows = []
    for horizon, group in past.groupby("horizon", sort=True):
        for level, (_, upper) in SIDES.items():
            errors = (group["log_actual"] - group["q50"]).abs() / (group[upper] - group["q50"])
            ranked = np.sort(errors.dropna().to_numpy())
            rank = min(math.ceil((len(ranked) + 1) * level / 100), len(ranked))
            multiplier = float(six_digits(ranked[rank - 1])) if len(ranked) >= FEWEST_ERRORS else 1.0
            rows.append((horizon, level, multiplier))
    types = {"horizon": "int16", "level": "int16", "multiplier": "float64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def widen(own: pd.DataFrame, by: pd.DataFrame) -> pd.DataFrame:
    """`own` log quantiles with each interval stretched around q50 by its horizon's multiplier, never crossing.

    A horizon without a multiplier keeps the model's own intervals.
    """
    wide = own.copy()
    for level, sides in SIDES.items():
        factor = by[by["level"] == level].set_index("horizon")["multiplier"]
        stretch = own["horizon"].map(factor).fillna(1.0)
        for side in sides:
            wide[side] = own["q50"] + stretch * (own[side] - own["q50"])
    wide["q025"] = wide[["q025", "q10"]].min(axis=1)
    wide["q975"] = wide[["q975", "q90"]].max(axis=1)
    return wide
