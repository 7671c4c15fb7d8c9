"""Forecasts in reais: the forecast in dollars at the exchange rate to be expected, with intervals that know its risk.

Brazilians pay in reais, so that two things are unknown: the price in dollars, and what a dollar will cost. They are
not independent: where a dollar cost more than expected, prices in dollars came out lower. All that is used at a
cutoff was known then; the newest rate is the average of the cutoff year.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vindima.forecasting import intervals
from vindima.forecasting.intervals import CHANGES, TYPICAL_CHANGE, Calibration
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES
from vindima.series import FIRST_YEAR_IN_REAIS, REAIS

TERMS = tuple(REAIS)
HALF_LIFE = 4.0
"""Years in which half of a gap of the real exchange rate closes: three to five, by Rogoff (1996)."""
INFLATIONS, PASSED_ON = 3, 0.5
"""Of how many years the mean difference of inflation is taken, and how much of it is expected in the rate: nothing of
it is best in 1999 to 2006, all of it from 2007 on; the half is second in both."""
NO_ASSOCIATION = 5 * TYPICAL_CHANGE**2
"""The association begins as five yearly changes of the rate that prices in dollars did not answer."""
HALF_OF_80 = 1.2816 / math.sqrt(2 / math.pi)
"""Half the width of an interval of 80 per cent in mean absolute deviations of a normal distribution."""


@dataclass(frozen=True)
class Rates:
    """Logs of yearly averages by year: `rate`, reais for a dollar, and `us` and `brazil`, the consumer prices."""

    logs: pd.DataFrame

    @classmethod
    def of(cls, exchange_rates: pd.DataFrame, price_levels: pd.DataFrame) -> "Rates":
        """From the stored tables of those names, from the first year in reais on."""
        rate = exchange_rates[exchange_rates["country"] == "BRA"].set_index("year")["currency_per_usd"]
        levels = price_levels.set_index("year")
        whole = pd.DataFrame({"rate": rate, "us": levels["us_cpi"], "brazil": levels["ipca"]}).dropna()
        return cls(whole[whole.index >= FIRST_YEAR_IN_REAIS].apply(np.log))

    def expected(self, cutoff: int, horizons: pd.Series) -> pd.DataFrame:
        """Log reais for a dollar `horizons` years after `cutoff`, as one could expect then; columns as `TERMS`.

        In real terms the rate moves towards its mean since 1995 by half of the gap in `HALF_LIFE` years; in nominal
        terms half of what inflation in Brazil was above that in the United States comes on top. `nominal` goes with
        dollars of the target year, `real` gives reais of the cutoff year for dollars of the cutoff year.
        """
        known = self.logs.loc[:cutoff]
        real = known["rate"] + known["us"] - known["brazil"]
        closed = (real.mean() - real.iloc[-1]) * (1 - 0.5 ** (horizons / HALF_LIFE))
        apart = (known["brazil"] - known["us"]).diff().tail(INFLATIONS).mean()
        drift = PASSED_ON * (0.0 if math.isnan(apart) else apart) * horizons
        rate = known["rate"].iloc[-1] + closed
        return pd.DataFrame({"nominal": rate + drift, "real": rate})

    def volatility(self, cutoff: int) -> float:
        """Mean absolute yearly change of the log rate up to `cutoff`, shrunk as that of a series is."""
        changes = self.logs["rate"].loc[:cutoff].diff().abs().dropna()
        return (changes.sum() + CHANGES * TYPICAL_CHANGE) / (len(changes) + CHANGES)


@dataclass(frozen=True)
class Learned:
    """What errors in reais teach: the association of prices with the rate, and a calibration for each of `TERMS`.

    The association is by how much the price in dollars came out higher where the rate did by 1, in logs.
    """

    association: float
    calibrations: dict[str, Calibration]

    @property
    def parts(self) -> dict[str, dict[str, float]]:
        """`brl` and `brl_real` → name → number, the association with the first."""
        found = {REAIS[terms]: one.parts for terms, one in self.calibrations.items()}
        return found | {"brl": {"association": self.association} | found.get("brl", {})}

    @classmethod
    def of(cls, parts: Mapping[str, Mapping[str, float]]) -> "Learned | None":
        """With these `parts`; None where there are none."""
        if "brl" not in parts:
            return None
        found = {terms: Calibration.of(dict(parts[money])) for terms, money in REAIS.items() if money in parts}
        return cls(parts["brl"]["association"], found)


def beside(dollars: pd.DataFrame, rates: Rates) -> pd.DataFrame:
    """`dollars`, calibrated forecasts of the log price in dollars, beside the rates that were to be expected.

    Takes the columns that `intervals.calibrate` does; adds `rate_now`, the log rate of the cutoff year,
    `rate_nominal` and `rate_real`, the expected ones, and `volatility`; where there is a `log_actual`, also `moved`,
    by how much the log rate changed to the target year, and `came_nominal` and `came_real`, the log rates that turn
    `log_actual` into reais of `TERMS`. Cutoffs whose rate is not known, or before 1995, are left out.
    """
    logs = rates.logs
    parts = []
    for cutoff in sorted(set(dollars["cutoff"]) & set(logs.index)):
        rows = dollars[dollars["cutoff"] == cutoff]
        expected = rates.expected(cutoff, rows["horizon"])
        found = rows.assign(**{f"rate_{terms}": expected[terms] for terms in TERMS})
        parts.append(found.assign(rate_now=logs["rate"].loc[cutoff], volatility=rates.volatility(cutoff)))
    if not parts:
        return dollars.iloc[:0]
    made = pd.concat(parts)
    if "log_actual" in made:
        now, then = (logs.reindex(made[column]).set_axis(made.index) for column in ("cutoff", "year"))
        inflation = then["brazil"] - now["brazil"]
        made["moved"], made["came_nominal"] = then["rate"] - now["rate"], then["rate"]
        made["came_real"] = then["rate"] - inflation
    return made


def learn(past: pd.DataFrame) -> Learned | None:
    """What the rows of `beside` whose outcome is known teach; None where they are too few (`intervals.calibrate`)."""
    if len(past) < intervals.FEWEST_ERRORS:
        return None
    error, weight = past["log_actual"] - past["q50"], 1 / past["horizon"]
    fall = (weight * error * past["moved"]).sum() / ((weight * past["moved"] ** 2).sum() + NO_ASSOCIATION)
    association = float(six_digits(np.clip(fall, -1.0, 0.0)))
    found = {terms: intervals.calibrate(_at_the_rate(past, terms, association)) for terms in TERMS}
    return Learned(association, {terms: one for terms, one in found.items() if one})


def in_reais(rows: pd.DataFrame, learned: Learned) -> pd.DataFrame:
    """The rows of `beside` in each of `TERMS`, column `terms`: `q025 … q975` and `last` are logs of reais a kilogram.

    With a `log_actual` it is in reais, too, and NaN where the rate of the target year is not known.
    """
    made = []
    for terms, calibration in learned.calibrations.items():
        found = intervals.corrected(_at_the_rate(rows, terms, learned.association), calibration)
        shifted = {name: found[name] + rows[f"rate_{terms}"] for name in QUANTILES}
        shifted["last"] = rows["last"] + rows["rate_now"]
        if "log_actual" in rows:
            shifted["log_actual"] = rows["log_actual"] + rows[f"came_{terms}"]
        made.append(rows.assign(**shifted, terms=terms))
    return pd.concat(made, ignore_index=True)


def _at_the_rate(rows: pd.DataFrame, terms: str, association: float) -> pd.DataFrame:
    """What calibrates, in dollars at the expected rate; the half-width holds the rate's part that prices leave."""
    rate = HALF_OF_80 * (1 + association) * rows["volatility"]
    half = np.sqrt((rows["q90"] - rows["q50"]) ** 2 + rate**2 * rows["horizon"])
    found = rows.assign(q90=rows["q50"] + half, last=rows["q50"])  # no weight of the last price: the median stays
    if "log_actual" in rows:
        found["log_actual"] = rows["log_actual"] + rows[f"came_{terms}"] - rows[f"rate_{terms}"]
    return found
