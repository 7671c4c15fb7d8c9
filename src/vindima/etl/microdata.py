"""Trade micro-data, a line for each shipment or cell of a customs office, summed to monthly and yearly unit values.

The files may be many and larger than the memory: DuckDB reads them as a stream and spills to disk. The columns are

    flow, ncm (or sh4, or cuci), country, state, port, year, month, kg, usd

in CSV (comma, header) or parquet; `state` and `port` may be missing, `country` is ISO 3166-1 alpha-3 or one of
`vindima.series.NOT_COUNTRIES`. What Comex Stat itself publishes is read as it is (`SHAPES`): the files of its
database (`EXP_2024.csv`, with its table of countries `PAIS.csv` beside them) and what its query page gives.
"""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import ibis
import pandas as pd
import pyarrow.parquet as pq
import pycountry
from ibis import _
from ibis.backends.duckdb import Backend as Connection

from vindima.errors import VindimaError
from vindima.etl import prices, schemas, spark
from vindima.etl.countries import country_code
from vindima.series import FLOWS, NOT_COUNTRIES

PRODUCTS: Mapping[str, Mapping[str, str]] = {
    # 2204.21, .22 and .29 are still wine by the size of its container; 2204.30 is must. 2009.61 and .69 by density.
    "ncm": {
        "22042": "table_wine", "220410": "sparkling_wine", "080610": "fresh_grapes", "080620": "raisins",
        "20096": "grape_juice",
    },
    "sh4": {"2204": "wine", "0806": "grapes", "2009": "fruit_juice"},
    "cuci": {"11217": "table_wine"},
}  # fmt: skip
"""Nomenclature → what the codes of a product begin with → product. Four digits tell no still from sparkling wine,
no fresh from dried grapes and no grape from other juice; so their products have names of their own."""
DIGITS = {"ncm": 8, "sh4": 4, "cuci": 5}
"""Nomenclature → how many digits its codes have."""
NUMBERS = {"year": "int64", "month": "int64", "kg": "float64", "usd": "float64"}
MOST = 1e15
"""Kilograms or dollars that no line has."""
MEMORY = "2GB"
"""What DuckDB may hold in memory while it sums."""
COMEXSTAT_COUNTRIES = "PAIS.csv"
KEY = ("flow", "product", "country", "year", "month")


@dataclass(frozen=True)
class Shape:
    """How a kind of file writes its lines: our column → theirs, and how its countries are told.

    `countries` is `iso3`, `name` (Portuguese) or `comexstat` (its own numbers, read by its table). Where no column
    tells the flow, the name of the file does: it begins with exp or imp.
    """

    columns: Mapping[str, str]
    countries: str
    separator: str = ","

    @property
    def nomenclature(self) -> str:
        """ncm, sh4 or cuci."""
        return next(name for name in PRODUCTS if name in self.columns)


def _own(nomenclature: str) -> Shape:
    return Shape({name: name for name in ("flow", nomenclature, "country", "year", "month", "kg", "usd")}, "iso3")


_COMEXSTAT = {"year": "CO_ANO", "month": "CO_MES", "kg": "KG_LIQUIDO", "usd": "VL_FOB"}
SHAPES: tuple[Shape, ...] = (
    *map(_own, PRODUCTS),
    Shape({"ncm": "CO_NCM", "country": "CO_PAIS", **_COMEXSTAT}, "comexstat", ";"),
    Shape({"sh4": "SH4", "country": "NO_PAIS", **_COMEXSTAT}, "name"),
    Shape(
        {"cuci": "Código CUCI Item", "country": "Países", "year": "Ano", "month": "Mês", "kg": "Quilograma Líquido",
         "usd": "Valor FOB (US$)"},
        "name", ";",
    ),
)  # fmt: skip
"""The shapes that are read; the first whose columns are all in the header of a file is the file's."""

Source = tuple[Path, Shape, str | None]
"""A file, its shape, and the flow of its lines where no column tells it."""


def monthly_sums(
    paths: Iterable[Path], flow: str | None = None, memory: str = MEMORY, engine: str = "duckdb"
) -> pd.DataFrame:
    """`flow, product, country, year, month, quantity_kg, value_usd` summed from micro-data, sorted by key.

    Lines whose code is of no product in `PRODUCTS` are left out. `flow` is that of files which do not tell it
    themselves. Comex Stat's table of countries is no data and may be among the paths, as `*.csv` gives them.
    `engine` is `duckdb`, which may hold `memory`, as it writes it (`"2GB"`), or `spark`, which reads
    parquet alone and adds up in another order, so that a sum may differ in its last digits. Raises VindimaError that
    names the file and what was expected: for a file that is not there or of no known shape, a line with an unknown
    country, a code that is none, a month that is none, a weight or value that is no number of 0 or more; where no
    line is of a product; and where Spark cannot be had.
    """
    sources = [_source(path, flow) for path in paths if path.name != COMEXSTAT_COUNTRIES]
    if not sources:
        raise VindimaError(f"micro-data: expected at least one file beside {COMEXSTAT_COUNTRIES}, got none")
    summed = _summed_by_spark(sources) if engine == "spark" else _summed_by_duckdb(sources, memory)
    if summed.empty:
        known = "; ".join(f"{name}: {', '.join(codes)}" for name, codes in PRODUCTS.items())
        names = ", ".join(path.name for path, _shape, _flow in sources)
        raise VindimaError(
            f"{names}: expected at least one line of a product, whose code begins so ({known}), got none"
        )
    typed = summed.drop(columns="wrong").astype({"year": "int16", "month": "int16"})
    return typed.sort_values(list(KEY), ignore_index=True)


def _summed_by_duckdb(sources: Sequence[Source], memory: str) -> pd.DataFrame:
    try:
        connection = ibis.duckdb.connect(memory_limit=memory)
    except duckdb.Error as error:
        raise VindimaError(f"micro-data: DuckDB takes no memory of {memory!r}: {_first_line(error)}") from error
    try:
        return _summed(connection, sources)
    except duckdb.Error as error:
        names = ", ".join(path.name for path, _shape, _flow in sources)
        raise VindimaError(f"{names}: DuckDB cannot sum this within {memory}: {_first_line(error)}") from error
    finally:
        connection.disconnect()


def _summed_by_spark(sources: Sequence[Source]) -> pd.DataFrame:
    for path, _shape, _flow in sources:
        if path.suffix != ".parquet":  # what Spark takes for a number, and for a line, is not what DuckDB does
            raise VindimaError(f"{path}: Spark sums parquet alone: expected a name that ends in .parquet")
    with spark.session() as session:
        return _summed(ibis.pyspark.connect(session), sources)


def _summed(connection: Connection, sources: Sequence[Source]) -> pd.DataFrame:
    """`sums` of all lines; VindimaError that names the first of them that is wrong."""
    parts = [_lines(connection, source, number) for number, source in enumerate(sources)]
    lines = ibis.union(*parts) if len(parts) > 1 else parts[0]
    summed = connection.to_pandas(sums(lines))
    if summed["wrong"].any():
        raise VindimaError(_what_is_wrong(connection, lines))
    return summed


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def sums(lines: ibis.Table) -> ibis.Table:
    """What `lines` (of `_lines`) add up to by `KEY`: kilograms, US$, and how many of them are `wrong`."""
    return lines.group_by(*KEY).aggregate(
        quantity_kg=_.kg.sum(), value_usd=_.usd.sum(), wrong=_.wrong.notnull().cast("int64").sum()
    )


def unit_values(sums: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables `monthly` and `yearly` of unit values, from monthly sums, by the definition of `prices.unit_values`.

    `series, flow, product, country`, `year` and `month` or how many `months` of the year there are, `quantity_kg,
    value_usd, price_usd_kg`; a row for each series and period that has a price, `country` null in a total. `months`
    is the newest month in which the flow has any trade in that year: below 12 it is a part of a year.
    """
    measures = ["quantity_kg", "value_usd"]
    by_month, by_year = (
        prices.on_duckdb(
            {
                "trade": sums.groupby(["flow", "product", "country", *period], as_index=False)[measures]
                .sum()
                .assign(quantity_status="reported", value_status="reported")
            },
            prices.unit_values,
            period,
        )
        for period in (["year", "month"], ["year"])
    )
    newest = sums.groupby(["flow", "year"])["month"].max().rename("months").reset_index()
    by_year = by_year.merge(newest, on=["flow", "year"])
    return {
        "monthly": schemas.validate(by_month[schemas.MONTHLY.columns], schemas.MONTHLY),
        "yearly": schemas.validate(by_year[schemas.YEARLY.columns], schemas.YEARLY),
    }


def run(
    paths: Sequence[Path], folder: Path, flow: str | None = None, memory: str = MEMORY, engine: str = "duckdb"
) -> dict[str, pd.DataFrame]:
    """Write the tables of `unit_values` of the micro-data in `paths` to `folder`, and return them by name.

    Raises what `monthly_sums` does; where one table cannot be made none is written.
    """
    tables = unit_values(monthly_sums(paths, flow, memory, engine))
    contracts = (schemas.MONTHLY, schemas.YEARLY)
    schemas.write_all((tables[one.name], one, folder / f"{one.name}.parquet") for one in contracts)
    return tables


def summary(monthly: pd.DataFrame) -> str:
    """A line for each total of the table `monthly`: its first and newest month, and how many have a price.

    Tonnes and US$/kg are those of the newest month.
    """
    lines = [f"{'':28} {'months':17} {'':>5} {'tonnes':>10} {'US$/kg':>8}"]
    for series, rows in monthly[monthly["country"].isna()].groupby("series"):
        first, newest = rows.iloc[0], rows.iloc[-1]
        span = f"{first['year']}-{first['month']:02} – {newest['year']}-{newest['month']:02}"
        tonnes = newest["quantity_kg"] / 1000
        lines.append(f"{series:28} {span:17} {len(rows):5} {tonnes:10,.1f} {newest['price_usd_kg']:8.2f}")
    return "\n".join(lines)


# ---- reading


def _source(path: Path, flow: str | None) -> Source:
    """What kind of file this is, by its header and its name."""
    if not path.is_file():
        raise VindimaError(f"micro-data: there is no file {path}")
    if path.suffix == ".parquet":
        with path.open("rb") as file:
            header = {"": pq.read_schema(file).names}
    else:
        first = _header(path).replace('"', "")
        header = {separator: first.split(separator) for separator in (",", ";")}

    def missing(one: Shape) -> list[str]:
        names = header.get(one.separator, header.get("", []))
        return [name for name in one.columns.values() if name not in names]

    shape = next((one for one in SHAPES if not missing(one)), None)
    if shape is None:
        nearest = min(SHAPES, key=lambda one: len(missing(one)))
        raise VindimaError(
            f"{path}: expected the columns {', '.join(nearest.columns.values())} with {nearest.separator!r} between, "
            f"got no {', '.join(missing(nearest))}"
        )
    if "flow" in shape.columns:
        return path, shape, None
    begins = next((full for full in FLOWS if path.name.lower().startswith(full[:3])), flow)
    if begins is None:
        raise VindimaError(
            f"{path}: expected the flow, by a name that begins with EXP or IMP or by --flow, got neither"
        )
    return path, shape, begins


def _header(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip()


def _lines(connection: Connection, source: Source, number: int) -> ibis.Table:
    """The lines of a file that are of a product: `KEY`, `kg`, `usd`, and what is `wrong` with each, or null."""
    path, shape, flow = source
    name = f"file_{number}"
    if path.suffix == ".parquet":
        table = connection.read_parquet(str(path), table_name=name)
    else:
        # DuckDB would guess from the first lines, and take a line of another width for the header
        columns = dict.fromkeys(next(csv.reader([_header(path)], delimiter=shape.separator)), "VARCHAR")
        dialect = {"auto_detect": False, "header": True, "delim": shape.separator, "quote": '"', "escape": '"'}
        table = connection.read_csv(path, table_name=name, columns=columns, **dialect)
    given = {ours: table[theirs] for ours, theirs in shape.columns.items()}
    text = {ours: column.cast("string").strip() for ours, column in given.items()}
    digits, known = DIGITS[shape.nomenclature], PRODUCTS[shape.nomenclature]
    code, whole = _padded(text[shape.nomenclature], digits), rf"^\d{{{digits}}}$"
    country = _padded(text["country"], 3) if shape.countries == "comexstat" else text["country"]
    product = ibis.cases(*((code.startswith(prefix), ibis.literal(word)) for prefix, word in known.items()))
    chosen = table.select(
        flow=ibis.literal(flow) if flow else text["flow"], product=product, code=code, country_told=country,
        **{f"{column}_told": text[column] for column in NUMBERS},
        **{column: _number(given[column], kind) for column, kind in NUMBERS.items()},
    ).filter(_["product"].notnull() | ~_.code.re_search(whole).fill_null(False))  # fmt: skip
    codes = _countries(connection, chosen, source)
    lines = chosen.left_join(ibis.memtable(codes), "country_told")
    valid = {
        "code": _.code.re_search(whole), "flow": _.flow.isin(list(FLOWS)), "country": _.country.notnull(),
        "year": _.year.between(1900, 2200), "month": _.month.between(1, 12),
        "kg": _.kg.between(0, MOST), "usd": _.usd.between(0, MOST),
    }  # fmt: skip
    invalid = {what: ~holds.fill_null(False) for what, holds in valid.items()}
    said = {what: _[what if what in ("code", "flow") else f"{what}_told"] for what in valid}
    return lines.select(
        *KEY, "kg", "usd", "code",
        wrong=ibis.cases(*((bad, ibis.literal(what)) for what, bad in invalid.items())),
        got=ibis.cases(*((bad, said[what]) for what, bad in invalid.items())),
        file=ibis.literal(path.name),
    )  # fmt: skip


def _padded(text: ibis.Value, digits: int) -> ibis.Value:
    """A number as text with the zeros at its head that a spreadsheet takes away."""
    return ibis.ifelse(text.length() < digits, text.lpad(digits, "0"), text)


def _number(given: ibis.Value, kind: str) -> ibis.Value:
    return given.strip().try_cast(kind) if given.type().is_string() else given.cast(kind)


def _countries(connection: Connection, lines: ibis.Table, source: Source) -> pd.DataFrame:
    """`country_told, country`: how the countries of a file are written, and their codes, as far as they are known."""
    path, shape, _flow = source
    if shape.countries == "comexstat":
        codes = _comexstat_countries(path.with_name(COMEXSTAT_COUNTRIES))
    elif shape.countries == "iso3":
        codes = {one.alpha_3: one.alpha_3 for one in pycountry.countries} | {one: one for one in NOT_COUNTRIES}
    else:
        names = connection.to_pandas(lines.select("country_told").distinct())["country_told"].dropna()
        codes = {name: code for name in names if (code := _known(country_code, name))}
    return pd.DataFrame(list(codes.items()), columns=["country_told", "country"])


def _known(read: Callable[[str], str], word: str) -> str | None:
    try:
        return read(word)
    except VindimaError:
        return None


def _comexstat_countries(path: Path) -> dict[str, str]:
    """Comex Stat's number of a country → our code, from its own table, which is in Latin-1 or UTF-8."""
    if not path.is_file():
        raise VindimaError(f"{path}: expected Comex Stat's table of countries beside its files, got none")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    rows = csv.DictReader(text.splitlines(), delimiter=";")
    wanted = ("CO_PAIS", "CO_PAIS_ISOA3", "NO_PAIS")
    if missing := [name for name in wanted if name not in (rows.fieldnames or ())]:
        raise VindimaError(f"{path}: expected the columns {', '.join(wanted)}, no {', '.join(missing)}")
    codes = {}
    for row in rows:
        number, iso, name = (row[column] or "" for column in wanted)
        if code := iso if pycountry.countries.get(alpha_3=iso) else _known(country_code, name):
            codes[number.zfill(3)] = code
    return codes


EXPECTED = {
    "code": "a code of 8 (ncm), 4 (sh4) or 5 (cuci) digits", "flow": "imports or exports",
    "country": "a known country", "year": "a year", "month": "a month from 1 to 12",
    "kg": "a weight of 0 kg or more", "usd": "a value of US$ 0 or more",
}  # fmt: skip
"""What may be wrong with a line → what was expected."""


def _what_is_wrong(connection: Connection, lines: ibis.Table) -> str:
    """A sentence about the first line that is wrong, and how many such lines there are."""
    bad = lines.filter(_.wrong.notnull())
    order = ("file", "wrong", "got", "code", "year", "month")
    [first] = connection.to_pandas(bad.order_by(*order).limit(1)).to_dict("records")
    more = int(connection.to_pandas(bad.count())) - 1
    place = f"code {first['code']}"
    if first["wrong"] not in ("year", "month"):
        place += f", {first['year']:.0f}-{first['month']:02.0f}"
    others = f"; {more} other lines are wrong, too" if more else ""
    return f"{first['file']}: expected {EXPECTED[first['wrong']]}, got {first['got']!r} ({place}){others}"
