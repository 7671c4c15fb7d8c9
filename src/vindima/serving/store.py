"""The set that is being served: loads, checks, switches it. With `sets` the only reader of files in this room."""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import crosscheck, schemas
from vindima.forecasting import effects, scores, track_record
from vindima.series import REAIS
from vindima.serving import sets
from vindima.serving.answers import REACHES, TABLES, Answers

SOURCE = "Embrapa Uva e Vinho, Vitibrasil; unit values computed by Vindima"

DOCUMENTS = (
    "data/raw/manifest.json",
    "data/prices/base_year.json",
    "models/model.json",
    "models/card.md",
    "models/card.pt-BR.md",
    "reports/metrics.json",
)
FILES = (*DOCUMENTS, *(contract.path for contract in schemas.CONTRACTS))
"""What a set holds, by name in the project."""


@dataclass(frozen=True)
class Review:
    """How far the figures can be trusted: the tables of the same names in the contracts."""

    counts: pd.DataFrame
    totals: pd.DataFrame
    corrections: pd.DataFrame
    findings: pd.DataFrame
    crosscheck: pd.DataFrame
    flags: pd.DataFrame


REVIEWED = (
    schemas.COUNTS, schemas.TOTALS, schemas.CORRECTIONS, schemas.FINDINGS, schemas.CROSSCHECK, schemas.FLAGS,
)  # fmt: skip


@dataclass(frozen=True)
class ServedSet:
    """One complete set: tables as in the contracts, and where its figures come from.

    `provenance` is `{vintage, cutoff, model, model_sha256, source}`, the words of every answer with data;
    `base_year` the year in whose money the real prices are; `reais` the forecasts in reais; `record` how often the
    intervals of the published model held, for each series and horizon (`scores.record`) and money (`usd`, `brl` and,
    in reais of the cutoff year, `brl_real`).
    """

    prices: pd.DataFrame
    base_year: int
    index: pd.DataFrame
    forecasts: pd.DataFrame
    reais: pd.DataFrame
    backtest: pd.DataFrame
    record: pd.DataFrame
    review: Review
    metrics: dict
    manifest: dict
    model: dict
    provenance: dict


def switch(root: Path = paths.ROOT, served: Path = paths.SERVED) -> Path:
    """The folder `served`, now holding what the pipeline left under `root`.

    The set is copied aside and checked first, so that a reader sees the old set or the new one.
    Raises VindimaError, and leaves the old set, where a file is missing or damaged.
    """
    for name in FILES:
        if not (root / name).is_file():
            raise VindimaError(f"{name} is missing in {root}, so the set was not switched: run `make`")
    served.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{served.name}-", dir=served.parent))
    try:
        aside.chmod(0o755)
        for name in FILES:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, aside / name)
        published = track_record.read(root / paths.PUBLISHED.relative_to(paths.ROOT))
        _write_service_tables(aside, _read(aside, shown_as=root), published, shown_as=root)
        sets.list_files(aside, (*FILES, sets.SERVICE))
        sets.put_in_place(aside, served)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return served


def load(served: Path = paths.SERVED) -> ServedSet:
    """The set in `served`, read from one set even while another takes its place.

    Raises VindimaError where the set is missing or damaged.
    """
    return sets.read_whole(served, lambda folder: _read(folder, shown_as=served))


def _write_service_tables(
    folder: Path, found: ServedSet, published: Mapping[str, pd.DataFrame], shown_as: Path
) -> None:
    """Write what service and reports answer from into the folder of the set: its tables in one SQLite file.

    They are as they are stored, and what is computed of several: `moves`, the effects with their reach; `past`, the
    forecasts of earlier cutoffs by the published model; `came_due`, the `published` forecasts against what came.
    """
    contracts = {contract.name: contract for contract in schemas.CONTRACTS}
    tables = {name: _table(folder, contracts[name], shown_as)[contracts[name].columns] for name in TABLES}
    conversion = _table(folder, schemas.CONVERSION, shown_as)
    sources = _table(folder, schemas.ENRICHMENT_SOURCES, shown_as)
    moved = effects.moves(_table(folder, schemas.EFFECTS, shown_as))
    moves = pd.DataFrame(moved, columns=[*schemas.EFFECTS.columns, *REACHES])
    tables |= {"prices": found.prices, "price_index": found.index, "forecasts": found.forecasts}
    tables |= {
        "forecasts_reais": found.reais,
        "record": found.record,
        "conversion": conversion,
        "sources": sources,
        "moves": moves,
    }
    past = found.backtest[found.backtest["model"] == found.model["model"]].drop(columns="model")
    confirmed = _confirmed(found.prices, found.review.corrections)
    tables |= {"past": past, "came_due": track_record.against_actual(published, found.prices, confirmed)}
    tables |= {"scores": _table(folder, schemas.SCORES, shown_as)}
    in_reais = scores.in_reais(_table(folder, schemas.BACKTEST_REAIS, shown_as), found.model["model"])
    tables |= {"scores_reais": pd.DataFrame(in_reais, columns=scores.IN_REAIS)}
    tables |= {contract.name: getattr(found.review, contract.name) for contract in REVIEWED}
    about = {"provenance": found.provenance, "base_year": found.base_year, "horizon": found.model["horizon"]}
    collected = {name: found.manifest.get(name) for name in ("retrieved_at", "revisions")}
    about["collected"] = collected | {"comexstat": crosscheck.EXTRACTED}
    path = folder / sets.SERVICE
    with closing(sqlite3.connect(path)) as database, database:
        for name, table in tables.items():
            table.to_sql(name, database, index=False)
        database.execute("create table about (name text primary key, content text)")
        for name, content in about.items():
            database.execute("insert into about values (?, ?)", (name, json.dumps(content)))
    known = Answers(path.read_bytes(), "").known_prediction()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("insert into about values ('known_prediction', ?)", (json.dumps(known),))


def _confirmed(prices: pd.DataFrame, corrections: pd.DataFrame) -> pd.DataFrame:
    """`series, year, price_usd_kg` of `prices` that rest on no applied correction that is only likely.

    The same as `prices.as_confirmed` for whoever scores by it, without an engine: DuckDB's threads in a process that
    ends at once were seen to abort it.
    """
    likely = corrections[corrections["applied"] & (corrections["certainty"] == "likely")]
    totals = likely["table"].str.replace("_", ".", n=1)
    doubtful = pd.concat(
        [
            pd.DataFrame({"series": name, "year": likely["year"]})
            for name in (totals, totals + "." + likely["country"])
        ]
    )
    rests = pd.MultiIndex.from_frame(prices[["series", "year"]]).isin(pd.MultiIndex.from_frame(doubtful))
    return prices.loc[~rests, ["series", "year", "price_usd_kg"]]


def _read(folder: Path, shown_as: Path) -> ServedSet:
    for name in FILES:
        if not (folder / name).is_file():
            raise VindimaError(f"{name} is missing in {shown_as}: run `make`")
    manifest, _ = _mapping(folder, "data/raw/manifest.json", {"vintage"}, shown_as)
    model, model_sha256 = _mapping(folder, "models/model.json", {"model", "vintage", "cutoff", "horizon"}, shown_as)
    metrics, _ = _mapping(folder, "reports/metrics.json", set(), shown_as)
    money, _ = _mapping(folder, "data/prices/base_year.json", {"base_year"}, shown_as)
    prices = _table(folder, schemas.PRICES, shown_as)
    backtest = _table(folder, schemas.BACKTEST, shown_as)
    found = ServedSet(
        prices=prices,
        base_year=_base_year(money["base_year"], prices, shown_as),
        index=_table(folder, schemas.INDEX, shown_as),
        forecasts=_table(folder, schemas.FORECASTS, shown_as),
        reais=_table(folder, schemas.FORECASTS_REAIS, shown_as),
        backtest=backtest,
        record=_record(backtest, _table(folder, schemas.BACKTEST_REAIS, shown_as), model["model"]),
        review=Review(**{contract.name: _table(folder, contract, shown_as) for contract in REVIEWED}),
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


def _record(backtest: pd.DataFrame, in_reais: pd.DataFrame, model: str) -> pd.DataFrame:
    """`scores.record` of each money, which is its first column."""
    tables = {"usd": backtest} | {money: in_reais[in_reais["terms"] == terms] for terms, money in REAIS.items()}
    parts = [scores.record(table, model).assign(money=money) for money, table in tables.items()]
    return pd.concat(parts, ignore_index=True)[["money", *parts[0].columns[:-1]]]


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


def _table(folder: Path, contract: schemas.Contract, shown_as: Path) -> pd.DataFrame:
    name = contract.path
    try:
        found = (pd.read_csv if name.endswith(".csv") else pd.read_parquet)(folder / name)
    except (OSError, ValueError) as error:
        raise VindimaError(f"{name} in {shown_as} is damaged ({error}): run `make`") from error
    if missing := set(contract.columns) - set(found.columns):
        raise VindimaError(f"{name} in {shown_as} lacks the columns {sorted(missing)}: run `make`")
    return found


def _base_year(given: object, prices: pd.DataFrame, shown_as: Path) -> int:
    if not isinstance(given, int) or given not in set(prices["year"]):
        raise VindimaError(
            f"data/prices/base_year.json in {shown_as}: expected a year that data/prices/prices.parquet has, "
            f"got {given}: run `make`"
        )
    return given


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
