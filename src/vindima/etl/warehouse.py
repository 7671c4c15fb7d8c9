"""The stored tables in a database: DuckDB (a file), PostgreSQL, Redshift (spoken to as PostgreSQL is) or BigQuery.

Every table there begins with the column `vintage`, a part of its key: loading a vintage replaces the rows of that
vintage and no other, so that history stays. The table `vintages` has one row for each. Engines differ in how their
statements are written (`statements`) and how rows reach them (the classes below), and in nothing else.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote_plus, urlsplit

import ibis
import pandas as pd
import pyarrow
import pyarrow.csv
import sqlglot.expressions as sql
from ibis import _

from vindima import files, paths
from vindima.errors import VindimaError
from vindima.etl import fields, schemas

DEFAULT = paths.ROOT / "data" / "warehouse.duckdb"
TYPES = {
    "duckdb": ("VARCHAR", "SMALLINT", "DOUBLE", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"),
    "postgres": ("TEXT", "SMALLINT", "DOUBLE PRECISION", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"),
    "redshift": ("VARCHAR(65535)", "SMALLINT", "DOUBLE PRECISION", "BOOLEAN", "TIMESTAMP WITH TIME ZONE"),
    "bigquery": ("STRING", "INT64", "FLOAT64", "BOOL", "TIMESTAMP"),
}
"""Dialect → its types for `KINDS`. Redshift makes 256 characters of TEXT."""
KINDS = {
    "str": pyarrow.string(),
    "int16": pyarrow.int16(),
    "float64": pyarrow.float64(),
    "bool": pyarrow.bool_(),
    "moment": pyarrow.timestamp("us", tz="UTC"),
}
"""What a column of a contract holds, and a moment."""
SECONDS_TO_CONNECT = 10
ROWS_AT_ONCE = 1000
"""How many rows one INSERT of Redshift carries."""


@dataclass(frozen=True)
class Column:
    """A column of the warehouse: `kind` is a key of `KINDS`, `meaning` its comment."""

    name: str
    kind: str
    required: bool
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of the warehouse. `key` may hold a column without a value where `may_be_null` says so."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    meaning: str

    @property
    def may_be_null(self) -> bool:
        """Whether a column of the key may be null, which no primary key allows."""
        return any(column.name in self.key and not column.required for column in self.columns)

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns with their types, for Arrow."""
        return pyarrow.schema([(column.name, KINDS[column.kind]) for column in self.columns])


VINTAGE = Column("vintage", "str", True, "vintage of the source: 12 hexadecimal digits of its files' sha256")
VINTAGES = Table(
    "vintages",
    (
        VINTAGE,
        Column("loaded_at", "moment", True, "when it was loaded last"),
        Column("retrieved_at", "str", False, "day or moment on which the source was collected"),
        Column("cutoff", "int16", True, "last year known to its forecasts"),
        Column("base_year", "int16", True, "the year in whose money real prices are"),
        Column("model", "str", True, "the method of its forecasts"),
    ),
    ("vintage",),
    "One row for each: vintage that was loaded.",
)


def _published(contract: schemas.Contract) -> Table:
    columns = [
        Column(name, str(column.dtype), not column.nullable, fields.meaning(contract, name)["en"])
        for name, column in contract.schema.columns.items()
    ]
    meaning = f"One row for each: {fields.meaning(contract)['en']}."
    return Table(contract.name, (VINTAGE, *columns), ("vintage", *contract.key), meaning)


def tables() -> list[Table]:
    """The tables of a warehouse: `vintages`, then one for each contract, with `vintage` before its columns."""
    return [VINTAGES, *map(_published, schemas.CONTRACTS)]


def statements(dialect: str) -> list[str]:
    """The statements that make every table, with keys and comments, in the words of an engine (a key of `TYPES`)."""
    return [statement for table in tables() for statement in _create(table, dialect)]


def _create(table: Table, dialect: str) -> list[str]:
    """CREATE TABLE and its comments, which BigQuery has within.

    A key of which a column may be null is UNIQUE, for which BigQuery has no word. Redshift and BigQuery enforce none.
    """
    words = dict(zip(KINDS, TYPES[dialect], strict=True))
    inside = dialect == "bigquery"

    def described(meaning: str) -> str:
        return f" OPTIONS (description={_text(meaning, dialect)})" if inside else ""

    lines = [
        f"{_name(column.name, dialect)} {words[column.kind]}{' NOT NULL' if column.required else ''}"
        f"{described(column.meaning)}"
        for column in table.columns
    ]
    if not (table.may_be_null and inside):
        key = ", ".join(_name(name, dialect) for name in table.key)
        lines.append(f"{'UNIQUE' if table.may_be_null else 'PRIMARY KEY'} ({key}){' NOT ENFORCED' if inside else ''}")
    name = _name(table.name, dialect)
    made = [f"CREATE TABLE IF NOT EXISTS {name} (\n  " + ",\n  ".join(lines) + f"\n){described(table.meaning)}"]
    if not inside:
        made.append(f"COMMENT ON TABLE {name} IS {_text(table.meaning, dialect)}")
        made += [
            f"COMMENT ON COLUMN {name}.{_name(column.name, dialect)} IS {_text(column.meaning, dialect)}"
            for column in table.columns
        ]
    return made


def _delete(name: str, vintage: str, dialect: str) -> str:
    return f"DELETE FROM {_name(name, dialect)} WHERE vintage = {_text(vintage, dialect)}"  # noqa: S608


def _name(name: str, dialect: str) -> str:
    return sql.to_identifier(name, quoted=True).sql(dialect)


def _text(words: str, dialect: str) -> str:
    """Words in the dialect's quotation marks; Redshift reads a doubled apostrophe as PostgreSQL does."""
    return sql.Literal.string(words).sql("postgres" if dialect == "redshift" else dialect)


@dataclass(frozen=True)
class Loaded:
    """What `load` did: the vintage, where to (without a password), and how many rows each table got."""

    vintage: str
    place: str
    rows: dict[str, int]


def load(url: str, folder: Path) -> Loaded:
    """Publish the set in `folder`, laid out as the project is, in the warehouse at `url`; all of it or nothing.

    Tables that are missing there are made; the rows of this vintage are replaced in one transaction (BigQuery: each
    table whole in one script of one transaction). Raises VindimaError, and leaves the warehouse as it was, for a file
    that is missing or breaks its contract, a URL that is none, an engine that cannot be reached or refuses, and a
    table there of another shape.
    """
    about = _about(folder)
    frames = {VINTAGES.name: pd.DataFrame([about])} | {
        contract.name: _stored(folder, contract).assign(vintage=about["vintage"]) for contract in schemas.CONTRACTS
    }
    rows = {
        table.name: pyarrow.Table.from_pandas(frames[table.name], schema=table.schema, preserve_index=False)
        for table in tables()
    }
    place = Place(url)
    made_here = place.file is not None and not place.file.exists()
    try:
        with place.said(), place.engine() as engine:
            missing = _missing(engine.found(), place)
            engine.replace(about["vintage"], missing, rows)
    except BaseException:
        if made_here and place.file is not None:
            for path in (place.file, place.file.with_name(f"{place.file.name}.wal")):
                path.unlink(missing_ok=True)
        raise
    return Loaded(about["vintage"], place.shown, {name: table.num_rows for name, table in rows.items()})


def export(url: str, folder: Path, vintage: str | None = None) -> tuple[str, list[Path]]:
    """Write what the forecasting stages start from into `folder`; the vintage and the files are returned.

    They are the tables of `data/tidy` and `data/prices`, `prices.parquet` among them, and the base year, of one
    `vintage` (None: the one that was loaded last), and hold what was loaded, byte for byte. Raises VindimaError, and
    writes nothing, where the warehouse cannot be read or lacks the vintage, or where `folder` has a raw zone of
    another one or cannot be written.
    """
    place = Place(url)
    if place.file is not None and not place.file.exists():
        raise VindimaError(f"warehouse {place.shown}: there is no such file; `vindima warehouse load` makes one")
    contracts = [one for one in schemas.CONTRACTS if one.path.startswith(("data/tidy/", "data/prices/"))]
    with place.said(), place.engine() as engine:
        if _missing(engine.found(), place):
            raise VindimaError(
                f"warehouse {place.shown}: it holds no vintage; `vindima warehouse load` puts one there"
            )
        with engine.reading():
            known = engine.rows(VINTAGES).sort_values("loaded_at")
            base_years = dict(zip(known["vintage"], known["base_year"].tolist(), strict=True))
            if vintage is None:
                vintage = next(reversed(base_years), "nothing")
            if vintage not in base_years:
                held = ", ".join(base_years) or "none"
                raise VindimaError(f"warehouse {place.shown}: expected one of its vintages ({held}), got {vintage}")
            _refuse_another_raw_zone(folder, vintage)
            frames = {
                contract.name: engine.rows(_published(contract), vintage)[contract.columns] for contract in contracts
            }
    written = [(frames[contract.name], contract, folder / contract.path) for contract in contracts]
    base_year = folder / "data" / "prices" / "base_year.json"
    try:
        schemas.write_all(written)
        files.write(base_year, json.dumps({"base_year": base_years[vintage]}) + "\n")
    except OSError as error:
        raise VindimaError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    return vintage, [*(path for _, _, path in written), base_year]


def _refuse_another_raw_zone(folder: Path, vintage: str) -> None:
    manifest = folder / "data" / "raw" / "manifest.json"
    if manifest.is_file() and (there := json.loads(manifest.read_text(encoding="utf-8"))["vintage"]) != vintage:
        raise VindimaError(
            f"{manifest} is of vintage {there}, so its forecasts would be taken for those of {vintage}: "
            "export to another folder with --into"
        )


def _about(folder: Path) -> dict[str, Any]:
    """The row of `vintages` for the set in `folder`."""
    names = ("data/raw/manifest.json", "models/model.json", "data/prices/base_year.json")
    try:
        manifest, model, money = (json.loads((folder / name).read_text(encoding="utf-8")) for name in names)
        return {
            "vintage": model["vintage"],
            "loaded_at": datetime.now(UTC),
            "retrieved_at": manifest.get("retrieved_at"),
            "cutoff": model["cutoff"],
            "base_year": money["base_year"],
            "model": model["model"],
        }
    except (OSError, ValueError, KeyError) as error:
        raise VindimaError(f"expected {', '.join(names)} in {folder}, as `make` leaves them, got {error!r}") from None


def _stored(folder: Path, contract: schemas.Contract) -> pd.DataFrame:
    path = folder / contract.path
    if path.suffix != ".csv":
        return schemas.validate(schemas.read(path), contract)
    if not path.is_file():
        raise VindimaError(f"{contract.path} is not in {folder}: run `make`")
    return schemas.validate(pd.read_csv(path), contract)


def _missing(found: Mapping[str, Mapping[str, str]], place: "Place") -> list[Table]:
    """The tables that are not there. Raises VindimaError for one that is there in another shape.

    `found` is name of a table → name of each of its columns → type as the engine says it.
    """
    words = dict(zip(KINDS, TYPES[place.dialect], strict=True))
    for table in tables():
        if not (there := found.get(table.name)):
            continue
        expected = {column.name: words[column.kind].replace("VARCHAR(65535)", "character varying").lower()
                    for column in table.columns}  # fmt: skip
        for name in (*expected, *there):
            if there.get(name) != expected.get(name):
                raise VindimaError(
                    f"warehouse {place.shown} has a table {table.name} of another shape, and was left as it was: "
                    f"column {name}: expected {expected.get(name, 'no such column')}, "
                    f"got {there.get(name, 'no such column')}"
                )
    return [table for table in tables() if table.name not in found]


# ---- engines


class Engine:
    """A connection through ibis, and how rows reach the engine: here as DuckDB has it."""

    dialect: ClassVar[str] = "duckdb"
    extra: ClassVar[str] = ""  # of pyproject.toml, which has what speaks to the engine
    columns: ClassVar[str] = (
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = current_schema()"
    )

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def run(self, statement: str) -> Any:
        """What the engine answers to a statement: a cursor."""
        return self.connection.con.execute(statement)

    def found(self) -> dict[str, dict[str, str]]:
        """What is there: name of each table → name of each of its columns → its type, in small letters."""
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind in self.run(self.columns).fetchall():
            tables.setdefault(table, {})[column] = kind.lower()
        return tables

    def replace(self, vintage: str, missing: list[Table], rows: Mapping[str, pyarrow.Table]) -> None:
        """Make the tables that are `missing` and put `rows` in the place of those of the vintage; all or nothing."""
        with self.transaction():
            for table in missing:
                for statement in _create(table, self.dialect):
                    self.run(statement)
            for name, table in rows.items():
                self.run(_delete(name, vintage, self.dialect))
                self.fill(name, table)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What runs within is kept whole, or not at all where it raises."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def reading(self) -> Any:
        """What is read within is of one moment."""
        return self.transaction()

    def fill(self, name: str, rows: pyarrow.Table) -> None:
        """Add rows to a table."""
        self.connection.insert(name, rows)

    def rows(self, table: Table, vintage: str | None = None) -> pd.DataFrame:
        """The rows of a table, in no order: all, or those of a vintage. The engine is not asked for its columns."""
        found = ibis.table(ibis.Schema.from_pyarrow(table.schema), name=table.name)
        return self.connection.to_pandas(found.filter(_.vintage == vintage) if vintage else found)


class Postgres(Engine):
    """PostgreSQL: rows are copied, and one load at a time."""

    dialect = "postgres"
    extra = "warehouse"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.connection.con.transaction():
            self.alone()
            yield

    def alone(self) -> None:
        """Wait until no other load is under way."""
        self.run("SELECT pg_advisory_xact_lock(hashtext('vindima warehouse'))")

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self.connection.con.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield

    def fill(self, name: str, rows: pyarrow.Table) -> None:
        text = io.BytesIO()
        pyarrow.csv.write_csv(rows, text, pyarrow.csv.WriteOptions(include_header=False))
        statement = f"COPY {_name(name, self.dialect)} FROM STDIN (FORMAT csv)"
        with self.connection.con.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(text.getvalue())


class Redshift(Postgres):
    """Redshift speaks PostgreSQL's protocol, without COPY from a client, advisory locks and savepoints."""

    dialect = "redshift"

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.run("SET extra_float_digits = 2")  # by default it rounds to 15 digits

    def alone(self) -> None:
        pass

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def fill(self, name: str, rows: pyarrow.Table) -> None:
        import psycopg

        with psycopg.ClientCursor(self.connection.con) as cursor:
            for part in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
                lines = list(zip(*(column.to_pylist() for column in part.columns), strict=True))
                values = ", ".join([f"({', '.join(['%s'] * part.num_columns)})"] * len(lines))
                statement = f"INSERT INTO {_name(name, self.dialect)} VALUES {values}"  # noqa: S608
                cursor.execute(statement, [value for line in lines for value in line])


class BigQuery(Engine):
    """BigQuery: rows are loaded into tables aside, from which one script, one transaction, takes them.

    Its transactions make no tables: those that are made for a load that fails are dropped again.
    """

    dialect = "bigquery"
    extra = "bigquery"

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        connection.client.default_query_job_config.default_dataset = f"{connection.data_project}.{connection.dataset}"

    def run(self, statement: str) -> Any:
        return self.connection.raw_sql(statement)

    def found(self) -> dict[str, dict[str, str]]:
        place = f"{_name(self.connection.data_project, self.dialect)}.{_name(self.connection.dataset, self.dialect)}"
        columns = f"SELECT table_name, column_name, data_type FROM {place}.INFORMATION_SCHEMA.COLUMNS"  # noqa: S608
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind in self.run(columns):
            tables.setdefault(table, {})[column] = kind.lower()
        return tables

    def replace(self, vintage: str, missing: list[Table], rows: Mapping[str, pyarrow.Table]) -> None:
        asides = {name: _name(f"{name}_of_{vintage}", self.dialect) for name in rows}
        dropped = [*asides.values()]
        try:
            for table in missing:
                dropped.append(_name(table.name, self.dialect))
                for statement in _create(table, self.dialect):
                    self.run(statement)
            for name, table in rows.items():
                self.fill(f"{name}_of_{vintage}", table)
            script = ["BEGIN TRANSACTION"]
            for name, aside in asides.items():
                script.append(_delete(name, vintage, self.dialect))
                script.append(f"INSERT INTO {_name(name, self.dialect)} SELECT * FROM {aside}")  # noqa: S608
            self.run(";\n".join([*script, "COMMIT TRANSACTION"]))
            dropped = [*asides.values()]
        finally:
            for name in dropped:
                self.run(f"DROP TABLE IF EXISTS {name}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def fill(self, name: str, rows: pyarrow.Table) -> None:
        self.connection.create_table(name, rows, overwrite=True)


ENGINES: dict[str, type[Engine]] = {
    "duckdb": Engine,
    "postgres": Postgres,
    "postgresql": Postgres,
    "redshift": Redshift,
    "bigquery": BigQuery,
}
"""Scheme of a URL → engine."""
ENGINES_SAY = ("duckdb", "_duckdb", "psycopg", "google", "pydata_google_auth", "ibis")
"""The packages whose errors are an engine's."""


class Place:
    """Where a warehouse is: its URL, which is never shown with a password in it."""

    def __init__(self, url: str) -> None:
        """Raises VindimaError for what is neither a file nor a URL of an engine."""
        scheme, separator, rest = url.partition("://")
        self.url = url
        try:
            parsed = urlsplit(url)
            secrets = [parsed.password, *parse_qs(parsed.query).get("password", [])]
            _ = parsed.port if separator else None
        except ValueError:
            raise VindimaError(
                "the warehouse's URL cannot be read: expected such as postgres://ana@host:5432/db"
            ) from None
        self._secrets = {word for secret in secrets if secret for word in (secret, unquote_plus(secret))}
        self.shown = self.masked(url)
        whole = rest.strip("/") and (scheme != "bigquery" or "/" in rest.strip("/"))
        if separator and (scheme not in ENGINES or not whole):
            raise VindimaError(
                "expected a warehouse: a file, duckdb://…, postgres://…, redshift://… or bigquery://project/dataset, "
                f"got {self.shown}"
            )
        self._engine = ENGINES[scheme if separator else "duckdb"]
        self.dialect = self._engine.dialect
        self.file = Path(url) if not separator else Path(rest.partition("?")[0]) if scheme == "duckdb" else None

    def masked(self, text: str) -> str:
        """The text with *** for the password."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """The engine, connected; what it was asked for is undone where that does not end well."""
        if self.file is not None and "://" not in self.url:
            connection = ibis.duckdb.connect(self.file)
        elif self.dialect in ("postgres", "redshift"):
            url = self.url.replace(self.url.partition("://")[0], "postgres", 1)
            connection = ibis.connect(url, connect_timeout=SECONDS_TO_CONNECT, client_encoding="utf8")
        else:
            connection = ibis.connect(self.url)
        try:
            yield self._engine(connection)
        finally:
            connection.disconnect()

    @contextmanager
    def said(self) -> Iterator[None]:
        """Whatever an engine raises within is a VindimaError of one sentence, without a password."""
        try:
            yield
        except ImportError:
            raise VindimaError(
                f"warehouse {self.shown}: what speaks to {self.dialect} is not installed here; it comes with "
                f'`pip install "vindima[{self._engine.extra}]"`'
            ) from None
        except (VindimaError, KeyboardInterrupt):
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ENGINES_SAY:
                raise
            reason = self.masked(str(error).strip().partition("\n")[0]) or type(error).__name__
            raise VindimaError(f"warehouse {self.shown} was left as it was: {reason}") from None
