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
from vindima.etl.schemas import QUANTILES
from vindima.forecasting.joint import JointLevels
from vindima.forecasting.level import LocalLevel


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
        answer = super()._predict_quantiles(fh=fh, X=X, alpha=alpha)
        point = self._predict(fh=fh, X=X)
        for name in answer.columns[answer.columns.get_level_values(1) == 0.5]:
            answer[name] = point
        return answer


MODELS: dict[str, Callable[[], BaseForecaster]] = {
    "naive": lambda: Naive(strategy="last"),
    "drift": lambda: Naive(strategy="drift"),
    "auto_ets": lambda: AutoETS(season_length=1),
    "auto_arima": lambda: AutoARIMA(sp=1, seasonal=False),
    "auto_theta": lambda: AutoTheta(season_length=1),
    "level": LocalLevel,
    "joint": JointLevels,
}
POOLED = ("level", "joint")
CANDIDATES = ("naive", "drift", *POOLED)
BENCHMARK = ("auto_ets", "auto_arima", "auto_theta")


def model(name: str) -> BaseForecaster:
    """An unfitted forecaster of that name; an unknown name is a VindimaError that lists the known ones."""
    if name not in MODELS:
        raise VindimaError(f"model {name!r} is not known: expected one of {', '.join(MODELS)}")
    return MODELS[name]()


def panel(prices: pd.DataFrame, series: Iterable[str], cutoff: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known of `series` at `cutoff`: a panel of log prices, and one of `quantity_kg` and `deflator`.

    Indexed by series and year (annual periods), each from its first price to the cutoff, gaps as NaN. The deflator
    is the real price over the nominal one.
    """
    known = prices[prices["series"].isin(list(series)) & (prices["year"] <= cutoff)]
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
    """Columns series, horizon and q025 … q975 of the log price; q50 is the point forecast, quantiles never cross."""
    steps = sorted(horizons)
    answer = forecaster.predict_quantiles(fh=steps, alpha=list(QUANTILES.values()))
    answer = answer.set_axis(list(QUANTILES), axis=1)
    answer["q10"] = answer[["q10", "q50"]].min(axis=1)
    answer["q025"] = answer[["q025", "q10"]].min(axis=1)
    answer["q90"] = answer[["q90", "q50"]].max(axis=1)
    answer["q975"] = answer[["q975", "q90"]].max(axis=1)
    answer["series"] = answer.index.get_level_values(0)
    answer["horizon"] = np.tile(steps, len(answer) // len(steps))
    return answer[["series", "horizon", *QUANTILES]].reset_index(drop=True)
