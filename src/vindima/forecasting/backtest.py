"""Expanding windows: what each model would have forecast at each cutoff, beside what came."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vindima.errors import VindimaError
from vindima.etl import prices as unit_values
from vindima.etl import schemas
from vindima.forecasting import intervals, reais
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS, TOTAL_YEARS, eligible
from vindima.forecasting.models import (
    POOLED,
    check_horizons,
    check_prices,
    estimated,
    fit_panel,
    log_quantiles,
    model,
)
from vindima.forecasting.reais import Rates
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES

WARM_UP = 1995
"""First cutoff whose errors calibrate intervals; those before `first_cutoff` are not scored."""
ESTIMATED_EVERY = 5
"""Years after which the parameters of a pooled model are estimated anew, from what was known then."""


def check_cutoff(prices: pd.DataFrame, cutoff: int) -> list[str]:
    """The series eligible at `cutoff`.

    Raises VindimaError where the data do not reach it, none is eligible, or a price cannot be one.
    """
    check_prices(prices)
    if prices.empty:
        raise VindimaError("there is no price to forecast from: expected at least one row in the prices, got none")
    first, newest = int(prices["year"].min()), int(prices["year"].max())
    if not first <= cutoff <= newest:
        raise VindimaError(f"cutoff: expected a year of the data, {first} to {newest}, got {cutoff}")
    series = eligible(prices, cutoff)
    if not series:
        raise VindimaError(
            f"cutoff {cutoff}: expected a total with {TOTAL_YEARS} priced years or a country with {COUNTRY_YEARS} "
            f"years of {COUNTRY_KG:,.0f} kg, one of them {cutoff}; no series has that"
        )
    return series


def rolling(name: str, prices: pd.DataFrame, cutoffs: Iterable[int], horizons: list[int]) -> pd.DataFrame:
    """The model's own forecasts at each cutoff, for the target years that have a price.

    Columns `series, cutoff, horizon, year, log_actual`, `q025 … q975` of the log price, as the model gives them, and
    the `last` and `smoothed` log price, `log_volatility` and `log_tonnes` (see `intervals.features`). A cutoff at
    which no series is eligible has no rows. A pooled model keeps the parameters that it found at the last of every
    five cutoffs.
    """
    actual = prices[["series", "year", "price_usd_kg"]]
    frames: list[pd.DataFrame] = []
    found: dict[str, float] = {}
    for cutoff in cutoffs:
        series = eligible(prices, cutoff)
        if not series:
            continue
        kept = found if frames and (cutoff - WARM_UP) % ESTIMATED_EVERY else {}
        fitted = fit_panel(name, model(name).set_params(**kept), prices, series, cutoff)
        found = estimated(name, fitted)
        made = log_quantiles(fitted, horizons)
        made["cutoff"] = cutoff
        made["year"] = cutoff + made["horizon"]
        known = intervals.features(prices, series, cutoff)
        frames.append(made.merge(actual, on=["series", "year"]).merge(known, on="series"))
    columns = [
        "series",
        "cutoff",
        "horizon",
        "year",
        "log_actual",
        *QUANTILES,
        "last",
        "smoothed",
        "log_volatility",
        "log_tonnes",
    ]
    if not frames:
        return pd.DataFrame(columns=columns)
    made = pd.concat(frames, ignore_index=True)
    return made.assign(log_actual=np.log(made["price_usd_kg"]))[columns]


def past_errors(rolled: pd.DataFrame, cutoff: int) -> pd.DataFrame:
    """The rows of `rolled` whose target year was known at `cutoff`."""
    return rolled[rolled["year"] <= cutoff]


def prices_from_logs(frame: pd.DataFrame) -> pd.DataFrame:
    """`forecast` and `q025 … q975` in US$/kg, from log quantiles, to 6 significant digits; forecast = q50."""
    quantiles = {name: six_digits(np.exp(frame[name].to_numpy(dtype=float))) for name in QUANTILES}
    return frame.assign(**quantiles, forecast=quantiles["q50"])


@dataclass(frozen=True)
class Backtest:
    """What a backtest gives: the forecasts beside what came, and what the errors up to the newest year teach.

    Three tables of the contracts, `backtest`, `backtest_reais` and `calibrations`. Only pooled models have rows in
    the last two, and calibrations only those with enough errors, where the cutoffs reach the newest year but one.
    """

    scored: pd.DataFrame
    reais: pd.DataFrame
    calibrations: pd.DataFrame


def backtest(
    models: Iterable[str],
    prices: pd.DataFrame,
    first_cutoff: int,
    last_cutoff: int | None,
    horizons: Iterable[int],
    published: pd.DataFrame | None = None,
    confirmed: pd.DataFrame | None = None,
    rates: Rates | None = None,
) -> Backtest:
    """Forecasts of each model at every cutoff for each eligible series, and the prices that came.

    `prices` is the price table; `last_cutoff` None means the newest year but one. `published` and `confirmed`
    (`series, year, price_usd_kg`) hold the prices from the figures as published, and without corrections that are
    only likely; None where those are the prices. One row for each model, series, cutoff and horizon whose target
    year has a price: `series, cutoff, horizon, year, model, actual, actual_published, forecast, q025, q10, q50,
    q90, q975` in US$/kg. `actual` is null where it rests on a likely correction, and so never scored;
    `actual_published` is `actual` where no price was published.

    Nothing after a cutoff enters a forecast made at it. Medians and intervals of the pooled models are corrected by
    their errors at earlier cutoffs, from 1995 on, whose target year the cutoff knew; with `rates` they are also
    forecast in reais, in which their errors teach intervals of their own. Raises VindimaError for an
    unknown model, a horizon outside 1 to 10, a cutoff outside the data or without an eligible series, and a price,
    real price or quantity that is not a finite number above 0.
    """
    steps = check_horizons(horizons)
    check_cutoff(prices, first_cutoff)
    newest = int(prices["year"].max())
    last = newest - 1 if last_cutoff is None else last_cutoff
    if not first_cutoff <= last < newest:
        raise VindimaError(
            f"backtest: expected first_cutoff ≤ last_cutoff < {newest}, the newest year of the prices, "
            f"got {first_cutoff} and {last}"
        )
    scored = range(first_cutoff, last + 1)
    frames = []
    frames_in_reais: list[pd.DataFrame] = []
    learned: list[tuple] = []
    for name in models:
        if name in POOLED:
            rolled = rolling(name, prices, range(min(WARM_UP, first_cutoff), last + 1), steps)
            dollars = calibrated(rolled, rolled["cutoff"].unique() if rates else scored)
            frames.append(dollars[dollars["cutoff"] >= first_cutoff].assign(model=name))
            beside = reais.beside(dollars, rates) if rates else None
            if beside is not None:
                frames_in_reais += [frame.assign(model=name) for frame in _in_reais(beside, scored)]
            if last == newest - 1:
                taught = teach(rolled, beside)
                learned += [
                    (name, money, newest, _in_words(steps), *part)
                    for money, parts in taught.items()
                    for part in parts.items()
                ]
        else:
            frames.append(rolling(name, prices, scored, steps).assign(model=name))
    made = prices_from_logs(pd.concat(frames, ignore_index=True))
    targets = pd.MultiIndex.from_frame(made[["series", "year"]])

    def came(table: pd.DataFrame) -> pd.Series:
        keyed = table.set_index(["series", "year"])["price_usd_kg"].reindex(targets)
        return keyed.reset_index(drop=True)

    used = came(prices)
    made["actual_published"] = used if published is None else came(published).fillna(used)
    sure = np.ones(len(made), dtype=bool) if confirmed is None else np.isclose(used, came(confirmed), rtol=1e-12)
    made["actual"] = used.where(sure)
    calibrations = schemas.frame(learned, schemas.CALIBRATIONS).astype({"cutoff": "int16"})
    scored_forecasts = made.sort_values(["model", "series", "cutoff", "horizon"], ignore_index=True)
    return Backtest(
        scored_forecasts[schemas.BACKTEST.columns],
        _table_in_reais(frames_in_reais, made.loc[~sure, ["series", "year"]]),
        calibrations,
    )


def calibrated(rolled: pd.DataFrame, cutoffs: Iterable[int]) -> pd.DataFrame:
    """The forecasts of `rolling` at the `cutoffs`, each corrected by what the errors known at it teach."""
    rows = [
        intervals.corrected(rolled[rolled["cutoff"] == cutoff], intervals.calibrate(past_errors(rolled, cutoff)))
        for cutoff in cutoffs
    ]
    return pd.concat(rows, ignore_index=True) if rows else rolled


def teach(rolled: pd.DataFrame, beside: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Money (`usd`, `brl`, `brl_real`) → the calibration that all errors teach, as names and numbers; none without.

    `beside` are the `rolled` forecasts as `calibrated` gives them, with the rates of `reais.beside`; None without
    rates. The association stands with `brl`.
    """
    known = intervals.calibrate(rolled[rolled["cutoff"] >= WARM_UP])
    taught = {"usd": known.parts} if known else {}
    if beside is not None and (learned := reais.learn(beside)):
        taught |= learned.parts
    return taught


def _in_reais(beside: pd.DataFrame, cutoffs: Iterable[int]) -> list[pd.DataFrame]:
    """The forecasts in reais at each of the cutoffs at which there were errors enough to learn from."""
    frames = []
    for cutoff in cutoffs:
        learned = reais.learn(past_errors(beside, cutoff))
        if learned:
            frames.append(reais.in_reais(beside[beside["cutoff"] == cutoff], learned))
    return frames


def _table_in_reais(frames: list[pd.DataFrame], doubtful: pd.DataFrame) -> pd.DataFrame:
    """The table `backtest_reais` of the contracts; of the (series, year) in `doubtful` the actual is null."""
    if not frames:
        return schemas.frame([], schemas.BACKTEST_REAIS)
    made = prices_from_logs(pd.concat(frames, ignore_index=True))
    unsure = pd.MultiIndex.from_frame(made[["series", "year"]]).isin(pd.MultiIndex.from_frame(doubtful))
    made["actual"], made["last"] = np.exp(made["log_actual"]).mask(unsure), six_digits(np.exp(made["last"]))
    made = made.sort_values(["model", "terms", "series", "cutoff", "horizon"], ignore_index=True)
    return made[schemas.BACKTEST_REAIS.columns]


def of_stored(
    models: Iterable[str],
    tidy_dir: Path,
    prices_dir: Path,
    first_cutoff: int,
    last_cutoff: int | None,
    horizons: Iterable[int],
) -> Backtest:
    """`backtest` of the tables that the stages tidy and prices have stored in `tidy_dir` and `prices_dir`."""
    trade = schemas.read(tidy_dir / "trade.parquet")
    return backtest(
        models,
        unit_values.for_forecasts(tidy_dir, prices_dir),
        first_cutoff,
        last_cutoff,
        horizons,
        unit_values.as_published(trade),
        unit_values.as_confirmed(trade, schemas.read(tidy_dir / "corrections.parquet")),
        stored_rates(prices_dir),
    )


def stored_rates(prices_dir: Path) -> Rates:
    """The rates of the tables that the stage prices has stored in `prices_dir`."""
    exchange_rates = schemas.read(prices_dir / "exchange_rates.parquet")
    return Rates.of(exchange_rates, schemas.read(prices_dir / "price_levels.parquet"))


def taught(
    name: str,
    prices: pd.DataFrame,
    steps: list[int],
    calibrations: pd.DataFrame | None = None,
    rates: Rates | None = None,
) -> dict[str, dict[str, float]]:
    """What the errors of a pooled model up to the newest year of `prices` teach at the horizons `steps`, as `teach`.

    Taken from `calibrations` (the table that a backtest gives) where it was learned there from the same horizons;
    else the errors are made anew, which takes as long as a backtest of the model. Nothing for a model that is not
    pooled, and of money for which there are too few errors.
    """
    if name not in POOLED:
        return {}
    newest = int(prices["year"].max())
    if calibrations is not None:
        learned = calibrations.set_index(["model", "cutoff", "horizons"])
        here = learned[learned.index == (name, newest, _in_words(steps))]
        if len(here):
            return {
                str(money): dict(zip(rows["name"], rows["value"], strict=True))
                for money, rows in here.groupby("money")
            }
    rolled = rolling(name, prices, range(WARM_UP, newest), steps)
    return teach(rolled, reais.beside(calibrated(rolled, rolled["cutoff"].unique()), rates) if rates else None)


def _in_words(steps: list[int]) -> str:
    return " ".join(map(str, steps))
