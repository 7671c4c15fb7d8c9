"""The price of a year of which some months are known: its forecast of a year ago moves as the months come.

    log price = prior + gain · (price of the months so far − prior),    gain = share + (1 − share) · trust

`prior` is what the local level of the years before gives (`level`), `share` the part of a year's weight that the
months so far usually have in the series, and `trust` how far the months to come are expected to cost what those so
far did: a logistic function of the months known and of the tonnes they traded, whose three numbers are learned from
earlier years, all series together. The intervals are calibrated as those of the yearly forecasts are
(`vindima.forecasting.intervals`), on the nowcasts of earlier years; their horizon is the months to come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import schemas
from vindima.forecasting import intervals
from vindima.forecasting.level import LocalLevel
from vindima.forecasting.stored import six_digits
from vindima.quantiles import QUANTILES, SIDES
from vindima.series import NEVER_FORECAST

MODELS = ("nowcast", "months_so_far", "yearly", "naive")
"""Ours; the price of the months so far; the forecast of the year before it began; the price of the year before."""
YEARS, KILOGRAMS = 5, 1000.0
"""A series is forecast from this many years with this weight on, the last year among them."""
KNOWN = (3, 6, 9)
EARLIER_YEARS = 4
"""So many years of nowcasts calibrate the first that are shown."""
TYPICAL = 4
"""The usual share of all series counts as so many years of a series' own."""
USUAL_TRUST = np.array([1.0, 0.3, 2.0])
"""Where the search for the trust begins, and what few years are held to: at 3 months and a tonne, by log tonnes, and
by the log of the months over 3."""
HOLD = np.array([1.0, 8.0, 8.0])
"""How strongly each of them is held to it."""
SMOOTH = 0.01
"""Errors of the log price below it count by their square, so that the search is smooth."""


@dataclass(frozen=True)
class _Years:
    """Weights and values of each series, year and month; the first year, and the newest that is `whole`.

    A year is whole where its flow has trade in December: only the newest can be a part of one.
    """

    series: pd.Index
    first: int
    kg: np.ndarray
    usd: np.ndarray
    whole: int

    def price(self, year: int, months: int = 12) -> np.ndarray:
        """Log price of the first `months` of a year; NaN without any trade."""
        kg, usd = (part[:, year - self.first, :months].sum(axis=1) for part in (self.kg, self.usd))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(kg > 0, np.log(usd / kg), np.nan)

    def weight(self, year: int, months: int = 12) -> np.ndarray:
        """Kilograms of the first `months` of a year."""
        return self.kg[:, year - self.first, :months].sum(axis=1)

    def usual_share(self, year: int, months: int) -> np.ndarray:
        """The part of a year's weight in its first `months`, in the years before `year`, shrunk to all series'."""
        before = self.kg[:, : year - self.first]
        whole = before.sum(axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = before[:, :, :months].sum(axis=2) / whole
        count = np.isfinite(share).sum(axis=1)
        typical = np.nanmean(share)
        return (np.nansum(share, axis=1) + TYPICAL * typical) / (count + TYPICAL)


def _years(monthly: pd.DataFrame) -> _Years:
    ends = monthly.groupby("flow")[["year", "month"]].apply(
        lambda rows: rows.loc[rows["year"] == rows["year"].max()].max()
    )
    newest = ends["year"] - (ends["month"] < 12)
    if newest.nunique() != 1:
        raise VindimaError(
            "nowcast: expected flows that are whole up to the same year, got "
            + ", ".join(f"{flow} up to {year}" for flow, year in newest.items())
        )
    series = pd.Index(sorted(monthly["series"].unique()), name="series")
    first, last = int(monthly["year"].min()), int(monthly["year"].max())
    place = series.get_indexer(monthly["series"]), monthly["year"] - first, monthly["month"] - 1
    kg, usd = np.zeros((2, len(series), last - first + 1, 12))
    kg[place], usd[place] = monthly["quantity_kg"], monthly["value_usd"]
    return _Years(series, first, kg, usd, int(newest.iloc[0]))


def _made(years: _Years, year: int, known: Iterable[int]) -> pd.DataFrame:
    """What is known of `year` after so many months, for each series that is forecast: the parts of its nowcast."""
    past = np.array([years.weight(one) for one in range(years.first, year)])
    enough = ((past >= KILOGRAMS).sum(axis=0) >= YEARS) & (past[-1] >= KILOGRAMS)
    countries = years.series.str.rpartition(".").get_level_values(2)
    places = np.flatnonzero(enough & ~countries.isin(NEVER_FORECAST))
    if not len(places):
        return pd.DataFrame()
    names = years.series[places]
    index = pd.MultiIndex.from_product([names, pd.period_range(str(years.first), str(year - 1), freq="Y-DEC")])
    prices = np.array([years.price(one)[places] for one in range(years.first, year)])
    panel = pd.DataFrame({"log_price": prices.T.ravel(), "quantity_kg": past[:, places].T.ravel()}, index=index)
    panel = panel[panel["log_price"].groupby(level=0).ffill().notna()]
    fitted = LocalLevel().fit(panel[["log_price"]], X=panel[["quantity_kg"]].replace(0.0, np.nan))
    quantiles = fitted.predict_quantiles(fh=[1], alpha=[0.5, 0.9]).to_numpy()
    yearly = panel.reset_index(names=["series", "period"]).dropna()
    yearly = yearly.assign(year=yearly["period"].dt.year, price_usd_kg=np.exp(yearly["log_price"]))
    features = intervals.features(yearly, list(names), year - 1).set_index("series").loc[names]
    rows = []
    for months in known:
        so_far = years.price(year, months)[places]
        kg = years.weight(year, months)[places]
        rows.append(
            pd.DataFrame(
                {
                    "series": names, "year": year, "months": months, "prior": quantiles[:, 0],
                    "prior_width": quantiles[:, 1] - quantiles[:, 0], "so_far": so_far, "naive": prices[-1],
                    "share": years.usual_share(year, months)[places], "tonnes": kg / 1000,
                    "log_volatility": features["log_volatility"].to_numpy(),
                    "log_tonnes": features["log_tonnes"].to_numpy(),
                }
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _parts(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: rows[name].to_numpy(dtype=float) for name in ("prior", "so_far", "share", "tonnes", "months")}


def _gain(parts: dict[str, np.ndarray], trust: np.ndarray) -> np.ndarray:
    """How far the nowcast goes from the prior to the price of the months so far; 0 without any trade in them."""
    tonnes, thirds = np.log(np.maximum(parts["tonnes"], 1e-3)), np.log(parts["months"] / 3)
    trusted = special.expit(trust[0] + trust[1] * tonnes + trust[2] * thirds)
    return np.where(np.isnan(parts["so_far"]), 0.0, parts["share"] + (1 - parts["share"]) * trusted)


def _median(parts: dict[str, np.ndarray], trust: np.ndarray) -> np.ndarray:
    return parts["prior"] + _gain(parts, trust) * np.nan_to_num(parts["so_far"] - parts["prior"])


def _trust(past: pd.DataFrame) -> np.ndarray:
    """The three numbers of the trust with the smallest absolute errors in earlier years, held to the usual ones."""
    parts, came = _parts(past), past["log_actual"].to_numpy()

    def error(trust: np.ndarray) -> float:
        absolute = np.sqrt((came - _median(parts, trust)) ** 2 + SMOOTH**2).sum()
        return float(absolute + (HOLD * (trust - USUAL_TRUST) ** 2).sum())

    return six_digits(optimize.minimize(error, USUAL_TRUST, method="Nelder-Mead", options={"xatol": 1e-6}).x)


def _own(rows: pd.DataFrame, trust: np.ndarray) -> pd.DataFrame:
    """`rows` with the nowcast's own quantiles, and what their calibration reads."""
    gain, median = _gain(_parts(rows), trust), _median(_parts(rows), trust)
    spread = rows["prior_width"] / stats.norm.ppf(0.9) * np.sqrt(np.maximum(1 - gain, 0.01))
    quantiles = {name: median + spread * stats.norm.ppf(level) for name, level in QUANTILES.items()}
    return rows.assign(**quantiles, last=rows["so_far"].fillna(rows["prior"]), horizon=12 - rows["months"])


def nowcast(monthly: pd.DataFrame, known: Iterable[int] = KNOWN) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Nowcasts of past years as they would have been made, beside what came, and the one of the year that runs.

    `monthly` is the table of `vindima.etl.microdata`. The first table has a row for each `series, year, months` (of
    `known`) and `model` (`MODELS`) from the first year that `EARLIER_YEARS` teach on: `actual, forecast, q025, q10,
    q50, q90, q975`, US$/kg; only the nowcast has quantiles. The second, of the year after the newest whole one, has
    them without `actual`, at the months that are known; it is empty where there are none. Nothing after the known
    months of a year enters its nowcast. Raises VindimaError for months outside 1 to 11, flows that end in different
    years, and where no series is long enough.
    """
    months = sorted(set(known))
    if not months or not all(1 <= month <= 11 for month in months):
        raise VindimaError(f"nowcast: expected months from 1 to 11, got {months}")
    years = _years(monthly)
    newest = years.first + years.kg.shape[1] - 1
    running = int(monthly.loc[monthly["year"] == newest, "month"].max()) if newest > years.whole else 0
    wanted = sorted({*months, running} - {0})
    made = [_made(years, year, wanted) for year in range(years.first + YEARS, years.whole + 1)]
    made = [one for one in made if len(one)]
    if not made:
        raise VindimaError(
            f"nowcast: expected a series with {YEARS} whole years of {KILOGRAMS:,.0f} kg, "
            f"got none up to {years.whole}"
        )
    past = pd.concat(made, ignore_index=True)
    whole = range(years.first, years.whole + 1)
    came = pd.DataFrame({year: years.price(year) for year in whole}, index=years.series)
    there = pd.MultiIndex.from_frame(past[["series", "year"]])
    past["log_actual"] = came.stack(future_stack=True).reindex(there).to_numpy()
    past = past[past["log_actual"].notna()]
    begun = int(past["year"].min()) + EARLIER_YEARS
    own, scored = [], []
    for year in range(int(past["year"].min()), years.whole + 1):
        before, now = past[past["year"] < year], past[past["year"] == year]
        own.append(_own(now, _trust(before)))
        if year >= begun:
            learned = intervals.calibrate(pd.concat(own[:-1], ignore_index=True), intervals.PLAIN)
            scored.append(intervals.corrected(own[-1], learned))
    history = _table(pd.concat(scored, ignore_index=True), months) if scored else pd.DataFrame()
    if not running:
        return history, pd.DataFrame()
    now = _own(_made(years, newest, [running]), _trust(past))
    ahead = intervals.corrected(now, intervals.calibrate(pd.concat(own, ignore_index=True), intervals.PLAIN))
    return history, _table(ahead, [running]).drop(columns="actual", errors="ignore")


def _table(rows: pd.DataFrame, months: list[int]) -> pd.DataFrame:
    """`rows` of logs as the tables of `nowcast`, in US$/kg."""
    rows = rows[rows["months"].isin(months)]
    points = {"nowcast": "q50", "months_so_far": "last", "yearly": "prior", "naive": "naive"}
    made = []
    for model, column in points.items():
        table = rows[["series", "year", "months"]].assign(model=model, forecast=six_digits(np.exp(rows[column])))
        if "log_actual" in rows:
            table["actual"] = np.exp(rows["log_actual"])
        for name in QUANTILES:
            table[name] = six_digits(np.exp(rows[name])) if model == "nowcast" else np.nan
        made.append(table)
    order = ["series", "year", "months", "model", "actual", "forecast", *QUANTILES]
    table = pd.concat(made)[[name for name in order if name in made[0]]]
    return table.sort_values(["series", "year", "months", "model"], ignore_index=True)


def scores(history: pd.DataFrame) -> pd.DataFrame:
    """How the nowcasts of `history` did: a row for each group (`all`, `totals`), `months` and `model`.

    `n_series, n_forecasts`; `mae`, the mean absolute error of the log price, and `mae_rel_yearly`, beside that of the
    yearly forecast; of the nowcast also `coverage_80, coverage_95` and the median `width_80` of the log price.
    """
    errors = history.assign(
        error=np.abs(np.log(history["actual"] / history["forecast"])),
        width_80=np.log(history["q90"] / history["q10"]),
        **{f"coverage_{level}": history["actual"].between(history[low], history[high]).astype(float)
           for level, (low, high) in SIDES.items()},
    )  # fmt: skip
    ours = [f"coverage_{level}" for level in SIDES]
    errors[ours] = errors[ours].where(errors["model"] == "nowcast")
    made = []
    for group, rows in (("all", errors), ("totals", errors[errors["series"].str.count(r"\.") == 1])):
        by = rows.groupby(["months", "model"])
        table = by.agg(
            n_series=("series", "nunique"), n_forecasts=("series", "size"), mae=("error", "mean"),
            coverage_80=("coverage_80", "mean"), coverage_95=("coverage_95", "mean"), width_80=("width_80", "median"),
        ).reset_index()  # fmt: skip
        yearly = table[table["model"] == "yearly"].set_index("months")["mae"]
        made.append(table.assign(mae_rel_yearly=table["mae"] / table["months"].map(yearly)).assign(group=group))
    columns = ["group", "months", "model", "n_series", "n_forecasts", "mae", "mae_rel_yearly", *ours, "width_80"]
    return pd.concat(made, ignore_index=True)[columns].sort_values(["group", "months", "mae"], ignore_index=True)


def run(path: Path, known: Iterable[int] = KNOWN) -> str:
    """Nowcast the table stored at `path`, write what is made beside it, and return how it did, in words.

    `nowcast_history.parquet` and `nowcast_scores.csv` are what `nowcast` and `scores` give of past years;
    `nowcast.parquet` the year that runs, where one does. Raises what `nowcast` does, and VindimaError where there is
    no table.
    """
    if not path.is_file():
        raise VindimaError(f"there is no {path}: `vindima microdata` makes it of trade micro-data")
    history, ahead = nowcast(schemas.validate(pd.read_parquet(path), schemas.MONTHLY), known)
    tables = {"nowcast_history.parquet": history, "nowcast.parquet": ahead}
    contents: dict[Path, str | bytes] = {
        path.with_name(name): table.to_parquet(index=False) for name, table in tables.items() if len(table)
    }
    said = []
    if len(history):
        scored = scores(history)
        contents[path.with_name("nowcast_scores.csv")] = scored.to_csv(index=False, lineterminator="\n")
        years = f"{history['year'].min()} to {history['year'].max()}"
        said.append(f"Out of sample, {years}: mean absolute error of the log price, and what the ranges held")
        said.append(scored.round(3).to_string(index=False, na_rep=""))
    if len(ahead):
        ours = ahead[ahead["model"] == "nowcast"]
        said.append(f"\nUS$ FOB a kilogram, {ours['year'].iloc[0]}, {ours['months'].iloc[0]} months known")
        said += [
            f"{row.series:34} {row.forecast:8.2f}   80 in 100: {row.q10:.2f} – {row.q90:.2f}"
            for row in ours.itertuples()
        ]
    else:
        said.append("\nNo year runs: the newest has its December.")
    files.write_all(contents)
    return "\n".join(said)
