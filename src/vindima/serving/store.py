"""The set that is being served: loads it, checks it, switches it. The only reader of files in this room."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import price_index, quality, schemas
from vindima.forecasting import scores

SOURCE = "Embrapa Uva e Vinho, Vitibrasil; unit values computed by Vindima"

REQUIRED = (
    "data/raw/manifest.json",
    "data/tidy/production.parquet",
    "data/tidy/sales.parquet",
    "data/tidy/processing.parquet",
    "data/tidy/trade.parquet",
    "data/tidy/totals.parquet",
    "data/tidy/corrections.parquet",
    "data/tidy/findings.parquet",
    "data/tidy/crosscheck.parquet",
    "data/tidy/flags.parquet",
    "data/prices/prices.parquet",
    "data/prices/index.parquet",
    "data/prices/exchange_rates.parquet",
    "data/prices/price_levels.parquet",
    "data/prices/enrichment_sources.parquet",
    "data/backtest/backtest.parquet",
    "data/benchmark/benchmark.parquet",
    "data/forecasts/forecasts.parquet",
    "models/model.json",
    "models/card.md",
    "reports/metrics.json",
    "reports/counts.csv",
)
TRIES = 20
"""How often a set that is replaced while it is read is read anew."""
ACCOMPANYING = ("models/*.parquet", "models/card*.md")

_PRICE_COLUMNS = frozenset({"series", "flow", "product", "country", "year", "quantity_kg", "value_usd",
                            "price_usd_kg", "price_usd_kg_real", "price_brl_kg", "price_brl_kg_real",
                            "corrected"})  # fmt: skip
_INDEX_COLUMNS = frozenset({"flow", "product", "year", *price_index.LEVELS})
_FORECAST_COLUMNS = frozenset({"series", "cutoff", "horizon", "year", "model", "forecast",
                               "q025", "q10", "q50", "q90", "q975"})  # fmt: skip
_BACKTEST_COLUMNS = _FORECAST_COLUMNS | {"actual", "actual_published"}
_REVIEW_CONTRACTS = {
    contract.name: contract
    for contract in (schemas.TOTALS, schemas.CORRECTIONS, schemas.FINDINGS, schemas.CROSSCHECK, schemas.FLAGS)
}
_COUNT_COLUMNS = frozenset({"table", "year", "rows", "cells", *quality.KINDS, "corrected"})


@dataclass(frozen=True)
class Review:
    """How far the figures can be trusted: the tables of the same names in data/tidy, and reports/counts.csv."""

    counts: pd.DataFrame
    totals: pd.DataFrame
    corrections: pd.DataFrame
    findings: pd.DataFrame
    crosscheck: pd.DataFrame
    flags: pd.DataFrame


@dataclass(frozen=True)
class ServedSet:
    """One complete set: tables as in the contracts, and where its figures come from.

    `provenance` is `{vintage, cutoff, model, model_sha256, source}`, the words of every answer with data;
    `base_year` the year in whose money the real prices are; `record` how often the intervals of the published model
    held, for each series and horizon (`scores.record`).
    """

    prices: pd.DataFrame
    base_year: int
    index: pd.DataFrame
    forecasts: pd.DataFrame
    backtest: pd.DataFrame
    record: pd.DataFrame
    review: Review
    metrics: dict
    manifest: dict
    model: dict
    provenance: dict


def publish(root: Path = paths.ROOT, served: Path = paths.SERVED) -> Path:
    """The folder `served`, now holding what the pipeline left under `root`.

    The set is copied aside and checked first, so that a reader sees the old set or the new one.
    Raises VindimaError, and leaves the old set, where a file is missing or damaged.
    """
    for name in REQUIRED:
        if not (root / name).is_file():
            raise VindimaError(f"{name} is missing in {root}, so nothing was published: run `make`")
    served.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{served.name}-", dir=served.parent))
    try:
        aside.chmod(0o755)
        for name in _names(root):
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, aside / name)
        _read(aside, shown_as=root)
        _switch(aside, served)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return served


def load(served: Path = paths.SERVED) -> ServedSet:
    """The set in `served`, read from one published set even while another takes its place.

    Raises VindimaError where the set is missing or damaged.
    """
    for _ in range(TRIES):
        before = _identity(served)
        folder = served if before else _previous(served)
        if not folder.is_dir() and _identity(served) == before:
            raise VindimaError(f"there is no set to serve in {served}: run `make`")
        try:
            found = _read(folder, shown_as=served)
        except VindimaError:
            if _identity(served) == before:
                raise
        else:
            if _identity(served) == before:
                return found
    raise VindimaError(f"{served} was replaced {TRIES} times while it was being read: try again")


def _names(root: Path) -> Iterator[str]:
    """Names, relative to `root`, of all files of a set."""
    yield from REQUIRED
    for pattern in ACCOMPANYING:
        for path in sorted(root.glob(pattern)):
            if (name := path.relative_to(root).as_posix()) not in REQUIRED:
                yield name


def _previous(served: Path) -> Path:
    return served.with_name(f"{served.name}-previous")


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells one published folder from the next of the same name; None where there is none."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _switch(aside: Path, served: Path) -> None:
    """Put `aside` in the place of `served`.

    A folder cannot be renamed onto a full one, so for an instant the old set is under its previous name;
    `load` looks there too, also after a switch that was interrupted.
    """
    previous = _previous(served)
    if served.exists():
        shutil.rmtree(previous, ignore_errors=True)
        served.rename(previous)
    aside.rename(served)
    shutil.rmtree(previous, ignore_errors=True)


def _read(folder: Path, shown_as: Path) -> ServedSet:
    for name in REQUIRED:
        if not (folder / name).is_file():
            raise VindimaError(f"{name} is missing in {shown_as}: run `make`")
    manifest, _ = _mapping(folder, "data/raw/manifest.json", {"vintage"}, shown_as)
    model, model_sha256 = _mapping(folder, "models/model.json", {"model", "vintage", "cutoff", "horizon"}, shown_as)
    metrics, _ = _mapping(folder, "reports/metrics.json", set(), shown_as)
    prices = _table(folder, "data/prices/prices.parquet", _PRICE_COLUMNS, shown_as)
    backtest = _table(folder, "data/backtest/backtest.parquet", _BACKTEST_COLUMNS, shown_as)
    found = ServedSet(
        prices=prices,
        base_year=_base_year(prices, shown_as),
        index=_table(folder, "data/prices/index.parquet", _INDEX_COLUMNS, shown_as),
        forecasts=_table(folder, "data/forecasts/forecasts.parquet", _FORECAST_COLUMNS, shown_as),
        backtest=backtest,
        record=scores.record(backtest, model["model"]),
        review=Review(
            counts=_table(folder, "reports/counts.csv", _COUNT_COLUMNS, shown_as),
            **{
                name: _table(folder, f"data/tidy/{name}.parquet", frozenset(contract.schema.columns), shown_as)
                for name, contract in _REVIEW_CONTRACTS.items()
            },
        ),
        metrics=metrics,
        manifest=manifest,
        model=model,
        provenance={
            "vintage": model["vintage"],
            "cutoff": model["cutoff"],
            "model": model["model"],
            "model_sha256": model_sha256,
            "source": SOURCE,
        },
    )
    _agree(found, shown_as)
    return found


def _mapping(folder: Path, name: str, keys: set[str], shown_as: Path) -> tuple[dict, str]:
    """The JSON object in a file, and the sha256 of the very bytes that it was read from."""
    try:
        data = (folder / name).read_bytes()
        found = json.loads(data)
    except (OSError, ValueError) as error:
        raise VindimaError(f"{name} in {shown_as} is damaged ({error}): run `make`") from error
    if not isinstance(found, dict) or not keys <= found.keys():
        raise VindimaError(f"{name} in {shown_as} is not an object with {sorted(keys)}: run `make`")
    return found, hashlib.sha256(data).hexdigest()


def _table(folder: Path, name: str, columns: frozenset[str], shown_as: Path) -> pd.DataFrame:
    try:
        found = (pd.read_csv if name.endswith(".csv") else pd.read_parquet)(folder / name)
    except (OSError, ValueError) as error:
        raise VindimaError(f"{name} in {shown_as} is damaged ({error}): run `make`") from error
    if missing := columns - set(found.columns):
        raise VindimaError(f"{name} in {shown_as} lacks the columns {sorted(missing)}: run `make`")
    return found


def _base_year(prices: pd.DataFrame, shown_as: Path) -> int:
    """The one year in which every real price is the nominal one."""
    other = prices.loc[prices["price_usd_kg_real"] != prices["price_usd_kg"], "year"]
    years = sorted(set(prices["year"].tolist()) - set(other.tolist()))
    if len(years) != 1:
        raise VindimaError(
            f"data/prices/prices.parquet in {shown_as}: expected one base year, in which real prices are the nominal "
            f"ones, got {years}: run `make`"
        )
    return years[0]


def _agree(found: ServedSet, shown_as: Path) -> None:
    """Raise VindimaError where the files are not of one run."""
    model, forecasts = found.model, found.forecasts
    totals = found.prices[found.prices["country"].isna()]
    if set(zip(totals["flow"], totals["product"], totals["year"], strict=True)) != set(
        found.index[["flow", "product", "year"]].itertuples(index=False, name=None)
    ):
        raise VindimaError(
            f"data/prices/index.parquet in {shown_as} is not of the years that data/prices/prices.parquet has: "
            "run `make`"
        )
    if found.manifest["vintage"] != model["vintage"]:
        raise VindimaError(
            f"models/model.json in {shown_as} was fitted on vintage {model['vintage']}, "
            f"but data/raw/manifest.json is of vintage {found.manifest['vintage']}: run `make`"
        )
    given = {
        "model": sorted(forecasts["model"].unique()),
        "cutoff": sorted(forecasts["cutoff"].unique().tolist()),
        "horizon": sorted(forecasts["horizon"].unique().tolist())[-1:],
    }
    for word, here in given.items():
        if here != [model[word]]:
            raise VindimaError(
                f"data/forecasts/forecasts.parquet in {shown_as} has the {word} {here}, "
                f"but models/model.json has {model[word]!r}: run `make`"
            )
    whole = list(range(1, given["horizon"][0] + 1))
    for series, column in forecasts.groupby("series")["horizon"]:
        if (horizons := sorted(column.tolist())) != whole:
            raise VindimaError(
                f"data/forecasts/forecasts.parquet in {shown_as}: {series} has the horizons {horizons}, "
                f"expected {whole}: run `make`"
            )
