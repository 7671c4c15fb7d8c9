"""Forecasts of the yearly prices that micro-data give: those of the pipeline's own models, in nominal US$."""

from pathlib import Path

import pandas as pd

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import backtest, intervals
from vindima.forecasting.models import fit_panel, log_quantiles, model
from vindima.quantiles import QUANTILES

MODEL = "level"
YEARS = 5


def ahead(yearly: pd.DataFrame, years: int = YEARS, name: str = MODEL) -> pd.DataFrame:
    """Forecasts for 1 to `years` years after the newest whole one, a row for each eligible series and horizon.

    `yearly` is the table of `vindima.etl.microdata`; years of which months are missing are left out. `series, cutoff,
    horizon, year, model, forecast, q025, q10, q50, q90, q975` in US$/kg, the intervals calibrated by what the same
    model would have forecast in earlier years. The rule of which series are forecast is
    `vindima.forecasting.eligibility`'s. Raises VindimaError where no series is, and for years outside 1 to 10.
    """
    steps = backtest.check_horizons(range(1, years + 1))
    whole = yearly[yearly["months"] == 12]
    prices = whole.assign(price_usd_kg_real=whole["price_usd_kg"])  # no deflator: all is nominal
    cutoff = int(prices["year"].max()) if len(prices) else 0
    series = backtest.check_cutoff(prices, cutoff)
    fitted = fit_panel(name, model(name), prices, series, cutoff)
    own = log_quantiles(fitted, steps).merge(intervals.features(prices, series, cutoff), on="series")
    earlier = backtest.rolling(name, prices, range(int(prices["year"].min()), cutoff), steps)
    made = intervals.corrected(own, intervals.calibrate(earlier))[["series", "horizon", *QUANTILES]]
    made = made.assign(cutoff=cutoff, year=cutoff + made["horizon"], model=name)
    return schemas.validate(backtest.prices_from_logs(made), schemas.FORECASTS)


def run(path: Path) -> str:
    """Forecast the table stored at `path`, write `yearly_forecasts.parquet` beside it, and return it in words.

    Raises what `ahead` does, and VindimaError where there is no table.
    """
    if not path.is_file():
        raise VindimaError(f"there is no {path}: `vindima microdata` makes it of trade micro-data")
    made = ahead(schemas.validate(pd.read_parquet(path), schemas.YEARLY))
    files.write(path.with_name("yearly_forecasts.parquet"), made.to_parquet(index=False))
    lines = [f"US$ FOB a kilogram, from the years to {made['cutoff'].iloc[0]}"]
    for row in made[made["horizon"] == 1].itertuples():
        lines.append(f"{row.series:34} {row.year} {row.forecast:8.2f}   80 in 100: {row.q10:.2f} – {row.q90:.2f}")
    return "\n".join(lines)
