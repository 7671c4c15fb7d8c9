"""The forecasters: name → sktime forecaster of the log price, on an annual PeriodIndex.

Each is given a panel: one column of log prices, indexed by series and year, each series from its first price
to the cutoff, every year present. `naive`, `drift` and the `auto_` methods look at one series at a time and
cannot read a gap, so all of them see the last price carried forward through it. The pooled models learn from
all series together, read gaps as gaps, and are also told the traded quantity and the price level.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
from sktime.forecasting.naive import NaiveForecaster
from sktime.forecasting.statsforecast import (
    StatsForecastAutoARIMA,
    StatsForecastAutoETS,
    StatsForecastAutoTheta,
)

from vindima.errors import VindimaError
from vindima.forecasting.boosting import Boosting
from vindima.forecasting.eligibility import TOTAL_YEARS
from vindima.forecasting.joint import JointLevels
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.stored import NARROWEST
from vindima.quantiles import QUANTILES


class _NothingRemembered:
    """sktime's coming default, taken now; its constructor warns before `set_config` could be heard."""

    _config = {"remember_data": False, "warnings": "off"}  # noqa: RUF012


class Naive(_NothingRemembered, NaiveForecaster):
    """The last price, or (`strategy="drift"`) the line through the first and the last."""


class AutoETS(_NothingRemembered, StatsForecastAutoETS):
    """Exponential smoothing chosen by AICc (statsforecast)."""


class AutoARIMA(_NothingRemembered, StatsForecastAutoARIMA):
    """ARIMA chosen by AICc (statsforecast)."""


class AutoTheta(_NothingRemembered, StatsForecastAutoTheta):
    """The Theta variant with the smallest error in sample (statsforecast); its median is its point forecast.

    Its quantiles come from simulated paths, whose median strays from the point.
    """

    def _predict_quantiles(self, fh: ForecastingHorizon, X: pd.DataFrame | None, alpha: list[float]) -> pd.DataFrame:
        made = super()._predict_quantiles(fh=fh, X=X, alpha=alpha)
        point = self._predict(fh=fh, X=X)
        for name in made.columns[made.columns.get_level_values(1) == 0.5]:
            made[name] = point
        return made


MODELS: dict[str, Callable[[], BaseForecaster]] = {
    "naive": lambda: Naive(strategy="last"),
    "drift": lambda: Naive(strategy="drift"),
    "auto_ets": lambda: AutoETS(season_length=1),
    "auto_arima": lambda: AutoARIMA(sp=1, seasonal=False),
    "auto_theta": lambda: AutoTheta(season_length=1),
    "level": LocalLevel,
    "joint": JointLevels,
    "boosting": Boosting,
}
POOLED = ("level", "joint", "boosting")
"""Those that learn from all series together: told volume and price level, and calibrated by their past errors."""
CANDIDATES = ("naive", "drift", "level", "joint")
"""Of these the published model is chosen."""
BENCHMARK = ("auto_ets", "auto_arima", "auto_theta", "boosting")
"""What others would take instead: ready-made methods, and machine learning."""
LONGEST_HORIZON = 10


def model(name: str) -> BaseForecaster:
    """An unfitted forecaster of that name; an unknown name is a VindimaError that lists the known ones."""
    if name not in MODELS:
        raise VindimaError(f"model {name!r} is not known: expected one of {', '.join(MODELS)}")
    return MODELS[name]()


def check_horizons(horizons: Iterable[int]) -> list[int]:
    """The horizons sorted; raises VindimaError unless they are different whole years from 1 to 10."""
    steps = list(horizons)
    allowed = range(1, LONGEST_HORIZON + 1)
    if not steps or len(set(steps)) < len(steps) or any(step not in allowed for step in steps):
        raise VindimaError(f"horizons: expected different whole years from 1 to {LONGEST_HORIZON}, got {steps}")
    return sorted(int(step) for step in steps)


def check_prices(prices: pd.DataFrame) -> None:
    """Raise VindimaError that names the first series and year with two rows, or with no finite number above 0."""
    for row in prices[prices.duplicated(["series", "year"])].itertuples():
        raise VindimaError(f"prices of {row.series}: expected one row for {row.year}, got more")
    for column in ("price_usd_kg", "price_usd_kg_real", "quantity_kg"):
        for row in prices[~(np.isfinite(prices[column]) & (prices[column] > 0))].to_dict("records"):
            raise VindimaError(
                f"prices of {row['series']}, {row['year']}: expected a finite {column} above 0, got {row[column]}"
            )


def panel(prices: pd.DataFrame, series: Iterable[str], cutoff: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known of `series` at `cutoff`: a panel of log prices, and one of `quantity_kg` and `deflator`.

    Indexed by series and year (annual periods), each from its first price to the cutoff, gaps as NaN. The deflator
    is the real price over the nominal one. Raises VindimaError for no series, one whose first price is not at least
    eight years old or is not there at all, and what `check_prices` refuses.
    """
    known = prices[prices["series"].isin(list(series)) & (prices["year"] <= cutoff)]
    check_prices(known)
    seen = (cutoff + 1 - known.groupby("series")["year"].min()).reindex(list(series), fill_value=0)
    if seen.empty:
        raise VindimaError(f"cutoff {cutoff}: expected at least one series to forecast, got none")
    if seen.min() < TOTAL_YEARS:
        raise VindimaError(
            f"{seen.idxmin()}: expected a first price at least {TOTAL_YEARS} years before the end of {cutoff}, "
            f"got {seen.min()}"
        )
    known = known.assign(deflator=known["price_usd_kg_real"] / known["price_usd_kg"])
    wide = known.pivot(index="year", columns="series", values=["price_usd_kg", "quantity_kg", "deflator"])
    first = int(known["year"].min())
    years = pd.period_range(str(first), str(cutoff), freq="Y-DEC", name="year")
    wide = wide.reindex(range(first, cutoff + 1)).set_axis(years)
    long = wide.stack("series", future_stack=True).swaplevel().sort_index()
    long = long[long["price_usd_kg"].groupby(level=0).ffill().notna()]
    return pd.DataFrame({"log_price": np.log(long["price_usd_kg"])}), pd.DataFrame(long[["quantity_kg", "deflator"]])


def fit_panel(
    name: str, forecaster: BaseForecaster, prices: pd.DataFrame, series: list[str], cutoff: int
) -> BaseForecaster:
    """`forecaster` fitted to what was known of `series` at `cutoff`, gaps and volume as its kind reads them."""
    log_prices, beside = panel(prices, series, cutoff)
    if name in POOLED:
        return forecaster.fit(log_prices, X=beside)
    return forecaster.fit(log_prices.groupby(level=0).ffill())


def estimated(name: str, forecaster: BaseForecaster) -> dict[str, float]:
    """The parameters that a fitted pooled model has found, by the names under which it takes them; else none."""
    found = forecaster.get_fitted_params() if name in POOLED else {}
    return {key: found[key] for key in forecaster.get_params() if key in found}


def log_quantiles(forecaster: BaseForecaster, horizons: Iterable[int]) -> pd.DataFrame:
    """Columns series, horizon and q025 … q975 of the log price; q50 is the point forecast.

    Quantiles neither cross nor meet: a price that never moved, of which a ready-made method is certain, keeps a
    hundredth of a per cent between them. Raises VindimaError for a horizon outside 1 to 10.
    """
    steps = check_horizons(horizons)
    made = forecaster.predict_quantiles(fh=steps, alpha=list(QUANTILES.values()))
    made = made.set_axis(list(QUANTILES), axis=1)
    made["q10"] = np.minimum(made["q10"], made["q50"] - NARROWEST)
    made["q025"] = np.minimum(made["q025"], made["q10"] - NARROWEST)
    made["q90"] = np.maximum(made["q90"], made["q50"] + NARROWEST)
    made["q975"] = np.maximum(made["q975"], made["q90"] + NARROWEST)
    made["series"] = made.index.get_level_values(0)
    made["horizon"] = np.tile(steps, len(made) // len(steps))
    return made[["series", "horizon", *QUANTILES]].reset_index(drop=True)
