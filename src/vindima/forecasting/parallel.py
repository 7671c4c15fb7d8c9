"""Forecasts of very many series by a ready-made method, on all cores of this machine or on a Spark cluster.

The methods are AutoETS, AutoARIMA and AutoTheta of `models.BENCHMARK`. Here they are asked of statsforecast itself:
sktime, through which `models` asks, gives the same and takes up to ten times as long. Each series is forecast by
itself; parts of a hundred series go to joblib's processes here, or to Spark's workers as a pandas function.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import joblib
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

from vindima.errors import VindimaError
from vindima.etl import spark

METHODS = {
    "auto_ets": AutoETS(season_length=1, alias="q50"),
    "auto_arima": AutoARIMA(season_length=1, seasonal=False, alias="q50"),
    "auto_theta": AutoTheta(season_length=1, alias="q50"),
}
"""As `models.MODELS` has them, which is imported where it is needed: a worker needs seconds less to start."""
QUANTILES = {"q025": "q50-lo-95", "q10": "q50-lo-80", "q50": "q50", "q90": "q50-hi-80", "q975": "q50-hi-95"}
"""Our quantile → statsforecast's column."""
ENGINES = ("local", "spark")
SERIES_IN_A_PART = 100


def forecasts(
    method: str, prices: pd.DataFrame, cutoff: int, horizons: Iterable[int], engine: str = "local"
) -> pd.DataFrame:
    """Forecasts of every series of `prices` by a ready-made method, from what was known at the end of year `cutoff`.

    `prices` holds `series, year, quantity_kg, price_usd_kg`, as the table `yearly` of micro-data does, a row for each
    year with a price; gaps carry the last price on. The result has a row for each series and horizon (years after
    the cutoff): `series, horizon, year, forecast, q025, q10, q50, q90, q975` in US$/kg. `engine` is `local` (the
    cores of this machine) or `spark` (the master of `VINDIMA_SPARK`, whose workers need vindima installed), and
    changes no number. Raises VindimaError for an unknown method or engine, a horizon outside 1 to 10, a series whose
    first price is not at least eight years old, a price or quantity that is not a finite number above 0, and where
    Spark cannot be had.
    """
    from vindima.forecasting import models
    from vindima.forecasting.backtest import prices_from_logs

    if method not in METHODS:
        raise VindimaError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if engine not in ENGINES:
        raise VindimaError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")
    steps = models.check_horizons(horizons)
    nominal = prices.assign(price_usd_kg_real=prices["price_usd_kg"])  # what the pooled models alone would read
    log_prices, _beside = models.panel(nominal, prices["series"].unique(), cutoff)
    known = log_prices["log_price"].groupby(level=0).ffill()
    series, years = known.index.get_level_values(0), pd.PeriodIndex(known.index.get_level_values(1)).year
    frame = pd.DataFrame({"unique_id": series, "ds": years.astype("int64"), "y": known.to_numpy()})
    frame["part"] = frame.groupby("unique_id").ngroup() // SERIES_IN_A_PART
    quantiles = (_on_spark if engine == "spark" else _on_this_machine)(method, frame, max(steps))
    wanted = quantiles[quantiles["ds"].isin([cutoff + step for step in steps])]
    made = models.log_quantiles(_Made(wanted.sort_values(["unique_id", "ds"]).set_index("unique_id")), steps)
    return prices_from_logs(made.assign(year=cutoff + made["horizon"]))[
        ["series", "horizon", "year", "forecast", *QUANTILES]
    ]


def _on_this_machine(method: str, frame: pd.DataFrame, years: int) -> pd.DataFrame:
    work = [joblib.delayed(_quantiles)(method, part, years) for _, part in frame.groupby("part")]
    return pd.concat(joblib.Parallel(n_jobs=-1)(work), ignore_index=True)


def _on_spark(method: str, frame: pd.DataFrame, years: int) -> pd.DataFrame:
    columns = ", ".join(f"{name} double" for name in QUANTILES)
    with spark.session() as session:
        # as many partitions as parts, which Spark would else join again to a few
        parts = session.createDataFrame(frame).repartition(frame["part"].nunique(), "part").groupBy("part")
        made = parts.applyInPandas(
            lambda part: _quantiles(method, part, years), f"unique_id string, ds long, {columns}"
        )
        return made.toPandas()


def _quantiles(method: str, frame: pd.DataFrame, years: int) -> pd.DataFrame:
    """`unique_id, ds, q025 … q975` of the series of one part (`unique_id, ds, y, part`) for the years that follow."""
    forecast = StatsForecast([METHODS[method]], freq=1)
    made = forecast.forecast(years, df=frame.drop(columns="part"), level=[80, 95])
    return pd.DataFrame(
        {name: made[column] for name, column in ({"unique_id": "unique_id", "ds": "ds"} | QUANTILES).items()}
    )


@dataclass(frozen=True)
class _Made:
    """Forecasts that are there already, for who asks a fitted forecaster for them."""

    quantiles: pd.DataFrame

    def predict_quantiles(self, fh: list[int], alpha: list[float]) -> pd.DataFrame:
        return self.quantiles[list(QUANTILES)]
