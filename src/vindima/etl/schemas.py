"""One contract for each stored table, and the one way in which tables are written and read.

A contract fixes the columns, their order and types, the key, and the range of every number. It is
checked as a whole, so that one run lists every defect.
"""

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq

from vindima import files
from vindima.errors import VindimaError
from vindima.inputs import FEWEST_YEARS, INPUTS
from vindima.quantiles import QUANTILES, SIDES
from vindima.series import FIRST_YEAR_IN_REAIS, FLOWS, NOT_COUNTRIES

STATUSES = ("reported", "corrected", "not_available", "withheld", "marked", "aggregate_only", "blank")
GRAPE_CLASSES = ("viniferas", "american_hybrid", "table_grapes", "unclassified")
COLOURS = ("red", "white_and_rose", "white")
LEAST, MOST = -(2**15), 2**15 - 1
"""What a whole number of a stored table may be (int16)."""


@dataclass(frozen=True)
class Contract:
    """A stored table: its name, its key, the pandera schema that every row obeys, and its file in the project."""

    name: str
    key: tuple[str, ...]
    schema: pa.DataFrameSchema
    path: str

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self.schema.columns)


_FINITE = pa.Check(np.isfinite)


def _words(isin: tuple[str, ...] | None = None, nullable: bool = False) -> pa.Column:
    return pa.Column(str, pa.Check.isin(isin) if isin else None, nullable=nullable)


def _year() -> pa.Column:
    return pa.Column("int16", pa.Check.in_range(1900, 2200))


def _amount(nullable: bool = True) -> pa.Column:
    return pa.Column(float, [pa.Check.ge(0), _FINITE], nullable=nullable)


def _price(nullable: bool = False) -> pa.Column:
    return pa.Column(float, [pa.Check.gt(0), _FINITE], nullable=nullable)


def _contract(path: str, key: tuple[str, ...], columns: dict[str, pa.Column], *checks: pa.Check) -> Contract:
    name = path.rpartition("/")[2].partition(".")[0]
    schema = pa.DataFrameSchema(columns, checks=list(checks), strict=True, ordered=True, unique=list(key), name=name)
    return Contract(name, key, schema, path)


def _status_tells_why_null(quantity: str, status: str) -> pa.Check:
    """A number is there where its status says so, and only there."""
    present = ("reported", "corrected", "aggregate_only")
    return pa.Check(
        lambda frame: frame[quantity].notna() == frame[status].isin(present),
        error=f"{quantity} is a number exactly where {status} is one of {', '.join(present)}",
    )


_BY_PRODUCT = {
    "year": _year(),
    "product_group": _words(),
    "product": _words(),
    "product_pt": _words(),
    "quantity_l": _amount(),
    "status": _words(STATUSES),
}
_PRODUCT_KEY = ("product_group", "product", "year")

PRODUCTION = _contract(
    "data/tidy/production.parquet", _PRODUCT_KEY, _BY_PRODUCT, _status_tells_why_null("quantity_l", "status")
)
SALES = _contract(
    "data/tidy/sales.parquet", _PRODUCT_KEY, _BY_PRODUCT, _status_tells_why_null("quantity_l", "status")
)
PROCESSING = _contract(
    "data/tidy/processing.parquet",
    ("grape_class", "colour", "cultivar", "year"),
    {
        "year": _year(),
        "grape_class": _words(GRAPE_CLASSES),
        "colour": _words(COLOURS, nullable=True),
        "cultivar": _words(),
        "cultivar_pt": _words(),
        "quantity_kg": _amount(),
        "status": _words(STATUSES),
    },
    _status_tells_why_null("quantity_kg", "status"),
)
TRADE = _contract(
    "data/tidy/trade.parquet",
    ("flow", "product", "country", "year"),
    {
        "flow": _words(FLOWS),
        "product": _words(),
        "country": pa.Column(str, pa.Check.str_matches(rf"^([A-Z]{{3}}|{'|'.join(NOT_COUNTRIES)})$")),
        "year": _year(),
        "country_pt": _words(),
        "quantity_kg": _amount(),
        "value_usd": _amount(),
        "quantity_kg_published": _amount(),
        "value_usd_published": _amount(),
        "quantity_status": _words(STATUSES),
        "value_status": _words(STATUSES),
    },
    _status_tells_why_null("quantity_kg", "quantity_status"),
    _status_tells_why_null("value_usd", "value_status"),
)
TOTALS = _contract(
    "data/tidy/totals.parquet",
    ("table", "group", "year"),
    {
        "table": _words(),
        "group": _words(),
        "year": _year(),
        "published": _amount(),
        "computed": _amount(),
        "difference": pa.Column(float, nullable=True),
        "verdict": _words(("equal", "differs", "aggregate_only", "not_available")),
    },
)
_PUBLISHED_AND_USED = {
    "quantity_kg_published": _amount(),
    "value_usd_published": _amount(),
    "quantity_kg": _amount(),
    "value_usd": _amount(),
}
CORRECTIONS = _contract(
    "data/tidy/corrections.parquet",
    ("table", "country", "year"),
    {
        "table": _words(),
        "country": _words(),
        "year": _year(),
        **_PUBLISHED_AND_USED,
        "certainty": _words(("confirmed", "likely")),
        "finding": _words(),
        "applied": pa.Column(bool),
    },
)
FINDINGS = _contract(
    "data/tidy/findings.parquet",
    ("finding",),
    {
        "finding": _words(),
        "decision": _words(("confirmed", "likely", "left")),
        "tables": _words(),
        "first_year": _year(),
        "last_year": _year(),
        "en": pa.Column(str, pa.Check.str_matches(r"\S")),
        "pt": pa.Column(str, pa.Check.str_matches(r"\S")),
    },
)
CHECKS = (
    "total_differs", "outside_range", "jump", "value_without_quantity", "quantity_without_value", "kg_equals_usd",
    "filler", "duplicate_row", "near_duplicate_row", "repeated_total",
)  # fmt: skip
FLAGS = _contract(
    "data/tidy/flags.parquet",
    ("check", "table", "item", "year", "measure"),
    {
        "check": _words(CHECKS),
        "table": _words(),
        "item": _words(),
        "year": _year(),
        "measure": _words(("quantity_l", "quantity_kg", "value_usd", "price_usd_kg")),
        "figure": _amount(),
        "low": _amount(),
        "high": _amount(),
        "finding": _words(nullable=True),
    },
)
_AGREEMENT = ("equal", "differs", "only_vitibrasil", "only_comexstat")
CROSSCHECK = _contract(
    "data/tidy/crosscheck.parquet",
    ("country", "year"),
    {
        "country": _words(),
        "year": _year(),
        **_PUBLISHED_AND_USED,
        "quantity_kg_comexstat": _amount(),
        "value_usd_comexstat": _amount(),
        "verdict_published": _words(_AGREEMENT),
        "verdict": _words(_AGREEMENT),
    },
)
PRICES = _contract(
    "data/prices/prices.parquet",
    ("series", "year"),
    {
        "series": _words(),
        "flow": _words(FLOWS),
        "product": _words(),
        "country": _words(nullable=True),
        "year": _year(),
        "quantity_kg": _price(),
        "value_usd": _price(),
        "price_usd_kg": _price(),
        "price_usd_kg_real": _price(),
        "price_brl_kg": _price(nullable=True),
        "price_brl_kg_real": _price(nullable=True),
        "corrected": pa.Column(bool),
    },
    *(
        pa.Check(
            lambda frame, column=column: frame[column].notna() == (frame["year"] >= FIRST_YEAR_IN_REAIS),
            error=f"{column} is a number from {FIRST_YEAR_IN_REAIS} on, and only then",
        )
        for column in ("price_brl_kg", "price_brl_kg_real")
    ),
)
EXCHANGE_RATES = _contract(
    "data/prices/exchange_rates.parquet",
    ("country", "year"),
    {
        "country": _words(),
        "year": _year(),
        "currency": _words(),
        "source_currency": _words(),
        "currency_per_usd": _price(),
        "months": pa.Column("int16", pa.Check.in_range(1, 12)),
    },
)
PRICE_LEVELS = _contract(
    "data/prices/price_levels.parquet",
    ("year",),
    {
        "year": _year(),
        "us_cpi": _price(nullable=True),
        "us_cpi_months": pa.Column("int16", pa.Check.in_range(0, 12)),
        "ipca": _price(nullable=True),
        "ipca_months": pa.Column("int16", pa.Check.in_range(0, 12)),
    },
)
CONVERSION = _contract(
    "data/prices/conversion.parquet",
    ("year",),
    {
        "year": _year(),
        "brl_per_usd": _price(nullable=True),
        "us_cpi": _price(nullable=True),
        "ipca": _price(nullable=True),
    },
)
ENRICHMENT_SOURCES = _contract(
    "data/prices/enrichment_sources.parquet",
    ("measure",),
    {
        "measure": _words(),
        "title": _words(),
        "unit": _words(),
        "publisher": _words(),
        "address": _words(),
        "retrieved_on": _words(nullable=True),
        "first_month": _words(),
        "last_month": _words(),
        "gaps": _words(),
    },
)
INDEX = _contract(
    "data/prices/index.parquet",
    ("flow", "product", "year"),
    {
        "flow": _words(FLOWS),
        "product": _words(),
        "year": _year(),
        "fisher": _price(),
        "tornqvist": _price(),
        "unit_value_relative": _price(),
        "mix": _price(),
    },
    pa.Check(
        lambda frame: (frame["fisher"] * frame["mix"] / frame["unit_value_relative"] - 1).abs() <= 1e-9,
        error="unit_value_relative = fisher × mix",
    ),
)

_quantiles_ordered = pa.Check(
    lambda frame: (frame[list(QUANTILES)].diff(axis=1).iloc[:, 1:] >= 0).all(axis=1),
    error="quantiles never cross",
)
_target = {
    "series": _words(),
    "cutoff": _year(),
    "horizon": pa.Column("int16", pa.Check.ge(1)),
    "year": _year(),
    "model": _words(),
}
_predicted = {"forecast": _price(), **{name: _price() for name in QUANTILES}}
_target_year = pa.Check(
    lambda frame: frame["year"] == frame["cutoff"] + frame["horizon"], error="year = cutoff + horizon"
)

_SCORED = {**_target, "actual": _price(nullable=True), "actual_published": _price(), **_predicted}
_SCORED_KEY = ("model", "series", "cutoff", "horizon")
BACKTEST = _contract("data/backtest/backtest.parquet", _SCORED_KEY, _SCORED, _quantiles_ordered, _target_year)
BENCHMARK = _contract("data/benchmark/benchmark.parquet", _SCORED_KEY, _SCORED, _quantiles_ordered, _target_year)
_TERMS = _words(("nominal", "real"))
_LAST = {"last": _price()}
BACKTEST_REAIS = _contract(
    "data/backtest/backtest_reais.parquet",
    ("model", "terms", "series", "cutoff", "horizon"),
    {**_target, "terms": _TERMS, "actual": _price(nullable=True), **_LAST, **_predicted},
    _quantiles_ordered,
    _target_year,
)
FORECASTS_REAIS = _contract(
    "data/forecasts/forecasts_reais.parquet",
    ("terms", "series", "horizon"),
    {**_target, "terms": _TERMS, **_LAST, **_predicted},
    _quantiles_ordered,
    _target_year,
)
"""`last` is the last price at the average rate of the cutoff year; `real` is in reais of that year."""
CALIBRATIONS = _contract(
    "data/backtest/calibrations.parquet",
    ("model", "money", "cutoff", "name"),
    {
        "model": _words(),
        "money": _words(("usd", "brl", "brl_real")),
        "cutoff": _year(),
        "horizons": _words(),
        "name": _words(),
        "value": pa.Column(float, _FINITE),
    },
)
FORECASTS = _contract(
    "data/forecasts/forecasts.parquet",
    ("series", "horizon"),
    {**_target, **_predicted},
    _quantiles_ordered,
    _target_year,
    pa.Check(lambda frame: frame["forecast"] == frame["q50"], error="the forecast is the median"),
)
HISTORY = _contract(
    "models/history.parquet",
    ("series", "year"),
    {
        "series": _words(),
        "year": _year(),
        "quantity_kg": _price(),
        "price_usd_kg": _price(),
        "price_usd_kg_real": _price(),
    },
)
CALIBRATION = _contract(
    "models/calibration.parquet", ("name",), {"name": _words(), "value": pa.Column(float, _FINITE)}
)
_number = pa.Column(float, _FINITE)
_count = pa.Column("int16", pa.Check.ge(1))
EFFECTS = _contract(
    "models/effects.parquet",
    ("input", "flow", "product"),
    {
        "input": _words(INPUTS),
        "flow": _words(FLOWS),
        "product": _words(),
        "elasticity": _number,
        "se": _price(),
        "df": _price(),
        "elasticity_alone": _number,
        "se_alone": _price(),
        "n_series": _count,
        "n_changes": _count,
        "n_years": pa.Column("int16", pa.Check.ge(FEWEST_YEARS)),
        "first_year": _year(),
        "last_year": _year(),
        "unit": _words(),
        "baseline": _price(),
        "baseline_year": _year(),
        "lowest": _price(),
        "highest": _price(),
        "largest_change": _price(),
    },
)
KINDS = ("above_zero", "zero", "blank", "not_available", "withheld", "marked")
"""What a published cell may hold."""
COUNTS = _contract(
    "reports/counts.csv",
    ("table", "year"),
    {"table": _words(), "year": _year()}
    | {name: pa.Column("int16", pa.Check.ge(0)) for name in ("rows", "cells", *KINDS, "corrected")},
)
_RATIOS = ("mae_rel_naive", "rmse_rel_naive", "pinball_rel_autoets", "ours_rel")
SCORES = _contract(
    "reports/scores.csv",
    ("actuals", "by", "group", "model"),
    {"actuals": _words(("corrected", "published")), "by": _words(), "group": _words(), "model": _words()}
    | {name: pa.Column("int16", pa.Check.ge(1)) for name in ("n_series", "n_forecasts")}
    | {name: _amount(nullable=False) for name in ("mae", "median_ae", "rmse", "pinball")}
    | {f"{name}_{level}": _amount(nullable=False) for name in ("coverage", "width") for level in SIDES}
    | {f"{ratio}{side}": _amount() for ratio in _RATIOS for side in ("", "_low", "_high")},
)

_OF_A_PERIOD = {
    "quantity_kg": _price(),
    "value_usd": _price(),
    "price_usd_kg": _price(),
}
_SERIES = {"series": _words(), "flow": _words(FLOWS), "product": _words(), "country": _words(nullable=True)}
_MONTH = pa.Column("int16", pa.Check.in_range(1, 12))
MONTHLY = _contract(
    "data/microdata/monthly.parquet",
    ("series", "year", "month"),
    {**_SERIES, "year": _year(), "month": _MONTH, **_OF_A_PERIOD},
)
YEARLY = _contract(
    "data/microdata/yearly.parquet",
    ("series", "year"),
    {**_SERIES, "year": _year(), "months": _MONTH, **_OF_A_PERIOD},
)
"""What `vindima microdata` makes of files that a user brings: no stage of the pipeline has them."""

CONTRACTS = (
    PRODUCTION, SALES, PROCESSING, TRADE, TOTALS, CORRECTIONS, FINDINGS, CROSSCHECK, FLAGS, COUNTS,
    PRICES, INDEX, EXCHANGE_RATES, PRICE_LEVELS, ENRICHMENT_SOURCES, CONVERSION,
    BACKTEST, BACKTEST_REAIS, CALIBRATIONS, BENCHMARK, FORECASTS, FORECASTS_REAIS,
    HISTORY, CALIBRATION, EFFECTS, SCORES,
)  # fmt: skip
"""The contracts of all tables of the pipeline, in the order of the data."""

_ARROW = {"int16": pyarrow.int16(), "float64": pyarrow.float64(), "bool": pyarrow.bool_()}


def frame(rows: list[tuple], contract: Contract) -> pd.DataFrame:
    """Rows in the order of the contract's columns as a frame with its number columns typed."""
    columns = contract.schema.columns
    numbers = {name: float for name, column in columns.items() if str(column.dtype) == "float64"}
    return pd.DataFrame(rows, columns=list(columns)).astype(numbers)


def validate(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """`frame` in the contract's types, columns in its order, rows sorted by its key.

    Nothing is rounded or cut to fit: a number that is not whole, or too large for its column, is a defect. Raises
    VindimaError that lists every defect: column, rule, and the key of the first rows that break it.
    """
    columns = contract.schema.columns
    known = [name for name in columns if name in frame]
    typed = frame[known + [name for name in frame if name not in known]].reset_index(drop=True)
    key = [name for name in contract.key if name in typed]
    lines, unfit = [], []
    for name in (name for name in known if str(columns[name].dtype) == "int16"):
        whole = _whole(typed[name])
        if whole.all():
            typed[name] = typed[name].astype("int16")
        else:
            unfit.append(name)
            rule = f"a whole number from {LEAST:,} to {MOST:,}"
            lines.append(_defect(name, rule, typed.loc[~whole, name].tolist(), typed.loc[~whole, key]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandera joins empty frames where a column is missing
            valid = contract.schema.validate(typed, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        cases = cases[~cases["column"].isin(unfit)]
        for (column, check), group in cases.groupby(["column", "check"], dropna=False, sort=True):
            rows = group["index"].dropna().astype(int).unique()
            lines.append(_defect(column, check, group["failure_case"].tolist(), typed.loc[rows, key]))
    if lines:
        raise VindimaError(f"table {contract.name} breaks its contract:\n  " + "\n  ".join(lines))
    return valid.sort_values(list(contract.key), kind="stable").reset_index(drop=True)


def _whole(numbers: pd.Series) -> pd.Series:
    """Which of `numbers` an int16 holds as they are; text is no number."""
    real = pd.to_numeric(numbers.mask(numbers.map(lambda number: isinstance(number, str))), errors="coerce").astype(
        float
    )
    return real.between(LEAST, MOST) & (real % 1 == 0)


def _defect(column: object, rule: object, got: list[object], keys: pd.DataFrame) -> str:
    """'year: expected a whole number …, got 2000.5 at CHL 2000.5': the first three of what breaks a rule."""
    shown = ", ".join(dict.fromkeys(map(str, got[:3])))
    places = "; ".join(" ".join(map(str, key)) for key in keys.head(3).itertuples(index=False))
    return f"{column}: expected {rule}, got {shown}" + (f" at {places}" if places else "")


def write(frame: pd.DataFrame, contract: Contract, path: Path) -> pd.DataFrame:
    """Validate `frame`, write it as parquet to `path` and return what was written."""
    return write_all([(frame, contract, path)])[0]


def write_all(tables: Iterable[tuple[pd.DataFrame, Contract, Path]]) -> list[pd.DataFrame]:
    """Validate all tables, then write each as parquet to its path and return what was written.

    Where one breaks its contract none is written.
    """
    valid = [(validate(frame, contract), path) for frame, contract, path in tables]
    files.write_all({path: _parquet(frame) for frame, path in valid})
    return [frame for frame, _ in valid]


def _parquet(frame: pd.DataFrame) -> bytes:
    fields = [(name, _ARROW.get(str(dtype), pyarrow.string())) for name, dtype in frame.dtypes.items()]
    table = pyarrow.Table.from_pandas(frame, schema=pyarrow.schema(fields), preserve_index=False)
    data = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), data)
    return data.getvalue()


def read(path: Path) -> pd.DataFrame:
    """The table stored at `path`; a missing file is a VindimaError that names the stage to run."""
    if not path.is_file():
        raise VindimaError(f"{path.parent.name}/{path.name} is not there: run `make` (or `dvc repro`) first")
    return pd.read_parquet(path)
