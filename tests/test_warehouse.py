"""The warehouse: every stored table in a database, a vintage beside the next, and back.

PostgreSQL is a real server (`make test-engines`), which is also spoken to as if it were Redshift.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow
import pytest
import sqlglot
from click.testing import CliRunner
from sqlglot import expressions as sql

from tests import databases
from tests.conftest import ROOT
from tests.servers import free_port
from vindima import cli, paths
from vindima.errors import VindimaError
from vindima.etl import enrichment, fields, prices, schemas, warehouse
from vindima.forecasting.forecaster import Forecaster

FIRST, SECOND = "0123456789ab", "ba9876543210"
EXPORTED = [one for one in schemas.CONTRACTS if one.path.startswith(("data/tidy/", "data/prices/"))]
DIALECTS = sorted(warehouse.TYPES)
engines = pytest.mark.engines


@pytest.fixture(scope="module")
def valid_outputs(outputs_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project whose tables all obey their contracts; copied for use."""
    root = Path(shutil.copytree(outputs_made_once, tmp_path_factory.mktemp("valid") / "project"))
    series = enrichment.read(ROOT / "data" / "figures")
    history = {"series": ["imports.table_wine"], "year": [2023], "quantity_kg": [0.1 + 0.2]}
    tables = [
        (enrichment.exchange_rates(series, 2023), schemas.EXCHANGE_RATES),
        (enrichment.price_levels(series, 2023), schemas.PRICE_LEVELS),
        (enrichment.sources(series, 2023), schemas.ENRICHMENT_SOURCES),
        (schemas.frame([("naive", "usd", 2020, "1 2", "scale", 1 / 3)], schemas.CALIBRATIONS), schemas.CALIBRATIONS),
        (schemas.frame([("scale", 1e-300)], schemas.CALIBRATION), schemas.CALIBRATION),
        (pd.DataFrame(history | {"price_usd_kg": [2.5], "price_usd_kg_real": [2.5]}), schemas.HISTORY),
    ]
    tables += [(schemas.read(root / one.path), one) for one in EXPORTED if "data/prices/prices" in one.path]
    tables += [(schemas.read(root / one.path), one) for one in EXPORTED if one.path.startswith("data/tidy/")]
    tables += [(schemas.read(root / one.path), one) for one in (schemas.INDEX, schemas.CONVERSION)]
    schemas.write_all((table, contract, root / contract.path) for table, contract in tables)
    return root


@pytest.fixture
def outputs(valid_outputs: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(valid_outputs, tmp_path / "project"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[databases.Cluster]:
    if databases.INITDB is None:
        pytest.skip("PostgreSQL is not installed (package postgresql)")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed (`make test-engines` brings it)")
    with databases.cluster() as made:
        yield made


@pytest.fixture(scope="session")
def server(cluster: databases.Cluster) -> Iterator[databases.Server]:
    with cluster.running() as running:
        yield running


@pytest.fixture
def duckdb_url(tmp_path: Path) -> str:
    return str(tmp_path / "a warehouse.duckdb")


@pytest.fixture
def postgres_url(server: databases.Server) -> str:
    return server.url(server.new_database())


@pytest.fixture
def redshift_url(server: databases.Server) -> str:
    """Redshift's statements and way of sending rows; PostgreSQL reads them too."""
    return server.url(server.new_database(), scheme="redshift")


ENGINES = [
    "duckdb_url",
    pytest.param("postgres_url", marks=engines),
    pytest.param("redshift_url", marks=engines),
]


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    """An empty warehouse, one of each engine."""
    return request.getfixturevalue(request.param)


def asked(url: str, statement: str) -> list[tuple]:
    """The rows that a statement answers."""
    with warehouse.Place(url).engine() as engine:
        cursor = engine.run(statement)
        return cursor.fetchall() if cursor.description else []


def as_vintage(outputs: Path, vintage: str, price: float) -> Path:
    """The same project with another vintage, in which one price was another."""
    for name in ("data/raw/manifest.json", "models/model.json"):
        document = json.loads((outputs / name).read_text(encoding="utf-8"))
        (outputs / name).write_text(json.dumps(document | {"vintage": vintage}), encoding="utf-8")
    path = outputs / schemas.PRICES.path
    table = schemas.read(path)
    table.loc[0, "price_usd_kg"] = price
    schemas.write(table, schemas.PRICES, path)
    return outputs


def stored(outputs: Path, contract: schemas.Contract) -> pd.DataFrame:
    path = outputs / contract.path
    return schemas.validate(pd.read_csv(path) if path.suffix == ".csv" else schemas.read(path), contract)


def test_every_stored_table_is_there_as_it_is_stored_with_its_vintage(url: str, outputs: Path):
    loaded = warehouse.load(url, outputs)
    assert loaded.vintage == FIRST
    with warehouse.Place(url).engine() as engine:
        for contract in schemas.CONTRACTS:
            found = engine.connection.table(contract.name).to_pandas()
            assert list(found) == ["vintage", *contract.columns]
            assert set(found.pop("vintage")) == {FIRST}
            expected = stored(outputs, contract)
            pd.testing.assert_frame_equal(schemas.validate(found, contract), expected, check_exact=True)
            assert loaded.rows[contract.name] == len(expected)
        (about,) = engine.connection.table("vintages").to_pandas().to_dict("records")
    assert {**about, "loaded_at": None} == {
        "vintage": FIRST, "loaded_at": None, "retrieved_at": "2025-01-19", "cutoff": 2023, "base_year": 2023,
        "model": "naive",
    }  # fmt: skip
    assert about["loaded_at"].tzinfo is not None


def test_loading_again_changes_nothing_and_another_vintage_stands_beside_it(url: str, outputs: Path):
    once = warehouse.load(url, outputs)
    assert warehouse.load(url, outputs) == once
    other = warehouse.load(url, as_vintage(outputs, SECOND, 7.5))
    counts = asked(url, "SELECT vintage, count(*) FROM prices GROUP BY vintage ORDER BY vintage")
    assert counts == [(FIRST, once.rows["prices"]), (SECOND, other.rows["prices"])]
    assert asked(url, "SELECT vintage FROM prices WHERE price_usd_kg = 7.5") == [(SECOND,)]
    assert asked(url, "SELECT vintage FROM vintages ORDER BY vintage") == [(FIRST,), (SECOND,)]


def test_vintage_that_is_loaded_again_has_the_new_rows_alone(url: str, outputs: Path):
    warehouse.load(url, outputs)
    warehouse.load(url, as_vintage(outputs, FIRST, 7.5))
    assert asked(url, "SELECT count(*) FROM prices WHERE price_usd_kg = 7.5") == [(1,)]
    assert asked(url, "SELECT count(*) FROM prices") == [(len(stored(outputs, schemas.PRICES)),)]


def test_missing_is_null_and_never_nan(url: str, outputs: Path):
    warehouse.load(url, outputs)
    nothing = len(stored(outputs, schemas.PRICES).query("price_brl_kg.isna()"))
    assert nothing
    assert asked(url, "SELECT count(*) FROM prices WHERE price_brl_kg IS NULL") == [(nothing,)]
    assert asked(url, "SELECT count(*) FROM prices WHERE country IS NULL AND series = 'imports.table_wine'")[0][0]


def test_columns_have_the_types_of_their_contracts_and_say_whether_they_may_be_null(url: str, outputs: Path):
    warehouse.load(url, outputs)
    columns = "SELECT table_name, column_name, is_nullable FROM information_schema.columns"
    nullable = {(table, column): word == "YES" for table, column, word in asked(url, columns)}
    for contract in schemas.CONTRACTS:
        for name, column in contract.schema.columns.items():
            assert nullable[contract.name, name] == column.nullable, (contract.name, name)
    kinds = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'prices'"
    found = {name: str(kind).lower() for name, kind in asked(url, kinds)}
    assert found["year"] == "smallint"
    assert found["price_usd_kg"] in ("double", "double precision")
    assert found["corrected"] == "boolean"
    assert found["series"] in ("varchar", "text", "character varying")


def test_a_second_row_of_a_key_is_refused_by_the_engine(url: str, outputs: Path):
    warehouse.load(url, outputs)
    with pytest.raises(Exception, match=r"(?i)duplicate"):
        asked(url, "INSERT INTO prices SELECT * FROM prices LIMIT 1")
    with pytest.raises(Exception, match=r"(?i)duplicate"):
        asked(url, "INSERT INTO processing SELECT * FROM processing WHERE colour IS NOT NULL LIMIT 1")


COMMENTS = {
    "duckdb": (
        "SELECT table_name, comment FROM duckdb_tables()",
        "SELECT table_name, column_name, comment FROM duckdb_columns()",
    ),
    "postgres": (
        "SELECT relname, obj_description(oid) FROM pg_class WHERE relkind = 'r'",
        "SELECT attrelid::regclass::name, attname, col_description(attrelid, attnum) FROM pg_attribute",
    ),
}


def test_tables_and_columns_say_what_they_are(url: str, outputs: Path):
    warehouse.load(url, outputs)
    of_tables, of_columns = COMMENTS["postgres" if "://" in url else "duckdb"]
    tables, columns = set(asked(url, of_tables)), set(asked(url, of_columns))
    for contract in schemas.CONTRACTS:
        assert (contract.name, f"One row for each: {fields.meaning(contract)['en']}.") in tables
        for name in contract.columns:
            assert (contract.name, name, fields.meaning(contract, name)["en"]) in columns


def test_export_gives_back_the_bytes_that_were_loaded(url: str, outputs: Path, tmp_path: Path):
    warehouse.load(url, outputs)
    vintage, written = warehouse.export(url, tmp_path / "back")
    assert vintage == FIRST
    names = [one.path for one in EXPORTED]
    assert [path.relative_to(tmp_path / "back").as_posix() for path in written] == [
        *names,
        "data/prices/base_year.json",
    ]
    assert "data/prices/prices.parquet" in names
    for name in names:
        assert (tmp_path / "back" / name).read_bytes() == (outputs / name).read_bytes(), name
    money = json.loads((tmp_path / "back" / "data" / "prices" / "base_year.json").read_text())
    assert money == {"base_year": 2023}


def test_export_takes_the_vintage_that_was_loaded_last_or_the_one_that_is_named(
    url: str, outputs: Path, tmp_path: Path
):
    warehouse.load(url, outputs)
    warehouse.load(url, as_vintage(outputs, SECOND, 7.5))
    moments = [moment for (moment,) in asked(url, "SELECT loaded_at FROM vintages ORDER BY loaded_at")]
    assert moments[0] < moments[1]
    for vintage, found in ((None, SECOND), (FIRST, FIRST), (SECOND, SECOND)):
        assert warehouse.export(url, tmp_path / str(vintage), vintage)[0] == found
    newest, first = (
        schemas.read(tmp_path / name / schemas.PRICES.path)["price_usd_kg"][0] for name in ("None", FIRST)
    )
    assert (newest, first) == (7.5, 2.5)
    with pytest.raises(VindimaError, match=rf"expected one of its vintages \({FIRST}, {SECOND}\), got none of them$"):
        warehouse.export(url, tmp_path / "no", "none of them")
    assert not (tmp_path / "no").exists()


def test_export_does_not_mix_vintages_in_a_project(duckdb_url: str, outputs: Path):
    warehouse.load(duckdb_url, outputs)
    as_vintage(outputs, SECOND, 7.5)
    before = (outputs / schemas.PRICES.path).read_bytes()
    with pytest.raises(VindimaError, match=f"is of vintage {SECOND}, .* --into"):
        warehouse.export(duckdb_url, outputs)
    assert (outputs / schemas.PRICES.path).read_bytes() == before


def test_export_into_what_is_no_folder_says_so(duckdb_url: str, outputs: Path, tmp_path: Path):
    warehouse.load(duckdb_url, outputs)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(VindimaError, match="cannot be written: Not a directory"):
        warehouse.export(duckdb_url, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_export_of_a_warehouse_that_holds_nothing_says_so(url: str, tmp_path: Path):
    with pytest.raises(VindimaError, match="`vindima warehouse load`"):
        warehouse.export(url, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not Path(url).exists()


SHAPES = {
    "type": ('"year" SMALLINT', '"year" BIGINT', "column year: expected smallint, got bigint"),
    "more": ('"year" SMALLINT', '"mine" BIGINT, "year" SMALLINT', "column mine: expected no such column, got bigint"),
    "less": ('"corrected" BOOLEAN NOT NULL,', "", "column corrected: expected boolean, got no such column"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_table_of_another_shape_is_named_with_its_column_before_anything_is_written(
    url: str, outputs: Path, shape: str
):
    usual, other, said = SHAPES[shape]
    made = warehouse.statements(warehouse.Place(url).dialect)
    asked(url, next(one for one in made if 'EXISTS "prices"' in one).replace(usual, other))
    before = asked(url, "SELECT table_name, column_name FROM information_schema.columns ORDER BY 1, 2")
    with pytest.raises(VindimaError, match=rf"has a table prices of another shape, .*{said}$"):
        warehouse.load(url, outputs)
    assert asked(url, "SELECT table_name, column_name FROM information_schema.columns ORDER BY 1, 2") == before


def test_load_that_breaks_off_in_the_middle_leaves_what_was_there(
    url: str, outputs: Path, monkeypatch: pytest.MonkeyPatch
):
    warehouse.load(url, outputs)
    kind = warehouse.ENGINES[url.partition("://")[0] if "://" in url else "duckdb"]
    fill = kind.fill

    def tired(self: warehouse.Engine, name: str, rows: object) -> None:
        if name == "forecasts":
            raise InterruptedError("the power went off")
        fill(self, name, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(kind, "fill", tired)
        with pytest.raises(InterruptedError):
            warehouse.load(url, as_vintage(outputs, FIRST, 7.5))
    assert asked(url, "SELECT count(*) FROM prices WHERE price_usd_kg = 7.5") == [(0,)]
    assert asked(url, "SELECT count(*) FROM forecasts") == [(6,)]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX kills without a word")
@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_load_whose_process_is_killed_leaves_what_was_there_and_the_next_one_is_whole(
    url: str, outputs: Path, there: bool
):
    if there:
        warehouse.load(url, outputs)
    program = (
        "import os, signal, sys; from pathlib import Path; from vindima.etl import warehouse\n"
        "for kind in set(warehouse.ENGINES.values()):\n"
        "    def fill(self, name, rows, usual=kind.fill):\n"
        "        usual(self, name, rows)\n"
        "        if name == 'forecasts': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    kind.fill = fill\n"
        "warehouse.load(sys.argv[1], Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, url, str(as_vintage(outputs, SECOND, 7.5))]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    if there:
        assert asked(url, "SELECT vintage FROM vintages") == [(FIRST,)]
        assert asked(url, "SELECT count(*) FROM prices WHERE price_usd_kg = 7.5") == [(0,)]
    loaded = warehouse.load(url, outputs)
    counts = asked(url, f"SELECT count(*) FROM forecasts WHERE vintage = '{SECOND}'")  # noqa: S608
    assert counts == [(loaded.rows["forecasts"],)]


def test_first_load_that_breaks_off_leaves_no_table(url: str, outputs: Path, monkeypatch: pytest.MonkeyPatch):
    def tired(*_: object) -> None:
        raise InterruptedError("the power went off")

    for kind in set(warehouse.ENGINES.values()):
        monkeypatch.setattr(kind, "fill", tired)
    with pytest.raises(InterruptedError):
        warehouse.load(url, outputs)
    if "://" not in url:
        assert not list(Path(url).parent.glob("a warehouse*"))
    here = "SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema()"
    assert asked(url, here) == [(0,)]


@pytest.mark.parametrize("name", ["data/tidy/trade.parquet", "reports/scores.csv", "models/model.json"])
def test_set_that_lacks_a_file_is_not_loaded(duckdb_url: str, outputs: Path, name: str):
    (outputs / name).unlink()
    with pytest.raises(VindimaError, match=name.rpartition("/")[2]):
        warehouse.load(duckdb_url, outputs)
    assert not Path(duckdb_url).exists()


def test_table_that_breaks_its_contract_is_not_loaded(duckdb_url: str, outputs: Path):
    path = outputs / schemas.FORECASTS.path
    schemas.read(path).assign(q10=-1.0).to_parquet(path, index=False)
    with pytest.raises(VindimaError, match="table forecasts breaks its contract"):
        warehouse.load(duckdb_url, outputs)
    assert not Path(duckdb_url).exists()


# ---- DuckDB in trouble


def test_file_that_is_no_database_is_refused_and_stays(duckdb_url: str, outputs: Path):
    Path(duckdb_url).write_bytes(b"my only copy of something" * 1000)
    with pytest.raises(VindimaError, match=r"was left as it was: .*not a valid DuckDB database") as said:
        warehouse.load(duckdb_url, outputs)
    assert "\n" not in str(said.value)
    assert Path(duckdb_url).read_bytes() == b"my only copy of something" * 1000


def test_folder_that_is_not_there_is_said(tmp_path: Path, outputs: Path):
    with pytest.raises(VindimaError, match=r"was left as it was: .*no such place"):
        warehouse.load(str(tmp_path / "no such place" / "warehouse.duckdb"), outputs)


def test_warehouse_that_may_only_be_read_is_said(duckdb_url: str, outputs: Path, tmp_path: Path):
    plain = str(tmp_path / "plain.duckdb")
    warehouse.load(plain, outputs)
    url = f"duckdb://{plain}?read_only=True"
    with pytest.raises(VindimaError, match=r"was left as it was: .*read-only"):
        warehouse.load(url, outputs)
    assert warehouse.export(url, tmp_path / "back")[0] == FIRST


def test_file_that_another_process_holds_is_said(duckdb_url: str, outputs: Path):
    warehouse.load(duckdb_url, outputs)
    program = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, duckdb_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(VindimaError, match=r"was left as it was: .*[Cc]ould not set lock|being used"):
            warehouse.load(duckdb_url, outputs)
        holder.communicate("")
    assert warehouse.load(duckdb_url, outputs).vintage == FIRST


@pytest.mark.skipif(os.name != "posix", reason="only POSIX limits the size of files")
@pytest.mark.parametrize("there", [False, True], ids=["new", "old"])
def test_full_disk_leaves_the_file_as_it_was(duckdb_url: str, outputs: Path, there: bool):
    """A limit on the size of files is what a full disk is to DuckDB: a write that is refused."""
    if there:
        warehouse.load(duckdb_url, outputs)
    many = pd.DataFrame({"series": [f"imports.table_wine.{n}" for n in range(20_000)], "year": 2023})
    noise = np.random.default_rng(1).random((3, len(many))) + 1
    many = many.assign(**dict(zip(schemas.HISTORY.columns[2:], noise, strict=True))).astype({"year": "int16"})
    schemas.write(many, schemas.HISTORY, outputs / schemas.HISTORY.path)
    limit = (Path(duckdb_url).stat().st_size if there else 0) + 2**18
    program = (
        "import resource, signal, sys; from pathlib import Path; from vindima.etl import warehouse\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from vindima.errors import VindimaError\n"
        "try: warehouse.load(sys.argv[1], Path(sys.argv[2]))\n"
        "except VindimaError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", program, duckdb_url, str(outputs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "was left as it was: " in ended.stderr
    assert "File too large" in ended.stderr
    if there:
        assert asked(duckdb_url, "SELECT count(*) FROM history") == [(1,)]
    else:
        assert not list(Path(duckdb_url).parent.glob("a warehouse*"))
    assert warehouse.load(duckdb_url, outputs).rows["history"] == 20_000


# ---- PostgreSQL in trouble


def refused(url: str, outputs: Path) -> str:
    """The sentence with which a load is refused; the password is not in it."""
    with pytest.raises(VindimaError) as said:
        warehouse.load(url, outputs)
    sentence = str(said.value)
    assert "\n" not in sentence
    for secret in (databases.PASSWORD, databases.IN_URL, "a wrong one", "geheim"):
        assert secret not in sentence
    assert ":***@127.0.0.1" in sentence
    return sentence


@engines
def test_server_that_is_down_is_said(server: databases.Server, outputs: Path):
    nobody = databases.Server(free_port())
    assert "Connection refused" in refused(nobody.url("postgres"), outputs)


@engines
def test_wrong_credentials_are_said(server: databases.Server, outputs: Path):
    said = refused(server.url("postgres", password="a wrong one"), outputs)
    assert 'password authentication failed for user "vindima"' in said
    assert "does not exist" in refused(server.url("no_such_database"), outputs)


@engines
def test_password_is_masked_in_what_the_driver_says_too(server: databases.Server, outputs: Path):
    said = refused(f"{server.url('postgres', password='geheim')}?geheim=1", outputs)
    assert 'invalid connection option "***"' in said


@engines
def test_server_that_may_only_be_read_is_said(server: databases.Server, outputs: Path, tmp_path: Path):
    name = server.new_database()
    warehouse.load(server.url(name), outputs)
    server.run("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "read-only transaction" in refused(server.url(name), outputs)
    assert warehouse.export(server.url(name), tmp_path / "back")[0] == FIRST


@engines
def test_user_who_may_write_but_not_make_tables_loads_into_those_that_are_there(
    server: databases.Server, outputs: Path
):
    name = server.new_database()
    server.run(name, "DROP ROLE IF EXISTS rita", "CREATE ROLE rita LOGIN PASSWORD 'a long word'")
    as_rita = server.url(name, "rita", "a%20long%20word")
    said = refused(as_rita, outputs)
    assert "permission denied" in said
    assert "long" not in said
    server.run(name, *warehouse.statements("postgres"))
    assert "permission denied" in refused(as_rita, outputs)
    server.run(name, "GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA public TO rita")
    assert warehouse.load(as_rita, outputs).vintage == FIRST


@engines
def test_full_disk_of_the_server_leaves_what_was_there(outputs: Path):
    """No file of this server grows beyond 1 MiB, which PostgreSQL takes for a full disk."""
    many = pd.DataFrame({"series": [f"imports.table_wine.{n}" for n in range(30_000)], "year": 2023})
    many = many.assign(quantity_kg=1.0, price_usd_kg=2.0, price_usd_kg_real=2.0).astype({"year": "int16"})
    with databases.cluster() as small:
        with small.running() as server:
            url = server.url(name := server.new_database())
            warehouse.load(url, outputs)
        schemas.write(many, schemas.HISTORY, outputs / schemas.HISTORY.path)
        with small.running(most_kib=1024) as server:
            said = refused(server.url(name), as_vintage(outputs, FIRST, 7.5))
            assert "could not extend file" in said
            assert server.run(name, "SELECT count(*) FROM history") == [(1,)]
            assert server.run(name, "SELECT count(*) FROM prices WHERE price_usd_kg = 7.5") == [(0,)]


@engines
def test_two_loads_at_once_are_one_after_the_other(postgres_url: str, outputs: Path):
    ended: list[object] = []

    def one() -> None:
        try:
            ended.append(warehouse.load(postgres_url, outputs).vintage)
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [FIRST] * 4


@engines
def test_schema_of_a_url_is_where_the_tables_are(server: databases.Server, outputs: Path, tmp_path: Path):
    name = server.new_database()
    url = server.url(f"{name}/wine")
    assert "no schema has been selected" in refused(url, outputs)
    server.run(name, "CREATE SCHEMA wine")
    warehouse.load(url, outputs)
    assert server.run(name, "SELECT count(*) FROM wine.vintages") == [(1,)]
    assert warehouse.export(url, tmp_path / "back")[0] == FIRST


# ---- one definition of the price


def trade_of_both_kinds() -> list[str]:
    real = [
        paths.TIDY / "trade.parquet",
        paths.PRICES / "exchange_rates.parquet",
        paths.PRICES / "price_levels.parquet",
    ]
    return ["small", *["stored"] * all(path.is_file() for path in real)]


@engines
@pytest.mark.parametrize("kind", trade_of_both_kinds())
def test_price_is_one_expression_that_gives_the_same_on_postgresql(postgres_url: str, outputs: Path, kind: str):
    root = outputs if kind == "small" else ROOT
    inputs = [stored(root, contract) for contract in (schemas.TRADE, schemas.EXCHANGE_RATES, schemas.PRICE_LEVELS)]
    last = int(inputs[0]["year"].max())
    expected = prices.prices(*inputs, base_year=last, engine="duckdb")
    warehouse.load(postgres_url, outputs)
    with warehouse.Place(postgres_url).engine() as engine:
        tables = []
        for number, table in enumerate(inputs):
            engine.connection.create_table(f"input_{number}", schema=ibis.memtable(table).schema())
            engine.fill(f"input_{number}", pyarrow.Table.from_pandas(table, preserve_index=False))
            tables.append(engine.connection.table(f"input_{number}"))
        found = engine.connection.to_pandas(prices.prices_in_every_money(*tables, last))
    found = schemas.validate(found, schemas.PRICES)
    assert len(found) == len(expected) > 0
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=0)


needs_outputs = pytest.mark.skipif(
    not (paths.FORECASTS / "forecasts.parquet").is_file(), reason="the pipeline has not run here"
)


@engines
@needs_outputs
def test_forecasts_that_start_from_the_export_of_postgresql_are_those_of_the_pipeline(
    postgres_url: str, tmp_path: Path
):
    vintage = warehouse.load(postgres_url, ROOT).vintage
    warehouse.export(postgres_url, tmp_path / "back")
    known = prices.for_forecasts(*(tmp_path / "back" / "data" / name for name in ("tidy", "prices")))
    scored, calibrations = (schemas.read(ROOT / one.path) for one in (schemas.BACKTEST, schemas.CALIBRATIONS))
    expected = schemas.read(ROOT / schemas.FORECASTS.path)
    horizon = int(expected["horizon"].max())
    found = Forecaster.fit(known, scored, horizon, vintage, calibrations=calibrations).predict()
    pd.testing.assert_frame_equal(schemas.validate(found, schemas.FORECASTS), expected, rtol=1e-4)


@needs_outputs
def test_forecasts_start_from_the_export_as_from_what_the_pipeline_left(duckdb_url: str, tmp_path: Path):
    """The same bytes of every table that they read, and so the same prices that they are made from."""
    warehouse.load(duckdb_url, ROOT)
    warehouse.export(duckdb_url, tmp_path / "back")
    for contract in EXPORTED:
        assert (tmp_path / "back" / contract.path).read_bytes() == (ROOT / contract.path).read_bytes(), contract.path
    back = [tmp_path / "back" / "data" / name for name in ("tidy", "prices")]
    pd.testing.assert_frame_equal(
        prices.for_forecasts(*back), prices.for_forecasts(paths.TIDY, paths.PRICES), check_exact=True
    )


# ---- statements and URLs


@pytest.mark.parametrize("dialect", DIALECTS)
def test_statements_are_read_by_the_dialect_that_they_are_for(dialect: str):
    made = {}
    for statement in warehouse.statements(dialect):
        read = sqlglot.parse_one(statement, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        assert isinstance(read, sql.Create | sql.Comment), statement
        assert not list(read.find_all(sql.Command))
        again = read.sql(dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)
        assert sqlglot.parse_one(again, read=dialect) == read
        if isinstance(read, sql.Create):
            made[read.this.this.name] = read
    assert set(made) == {"vintages", *(contract.name for contract in schemas.CONTRACTS)}
    for contract in schemas.CONTRACTS:
        columns = {column.name: column for column in made[contract.name].find_all(sql.ColumnDef)}
        assert list(columns) == ["vintage", *contract.columns]
        keys = [
            key for kind in (sql.PrimaryKey, sql.UniqueColumnConstraint) for key in made[contract.name].find_all(kind)
        ]
        optional = any(contract.schema.columns[name].nullable for name in contract.key)
        assert len(keys) == (0 if optional and dialect == "bigquery" else 1)
        for key in keys:
            assert [one.name for one in key.find_all(sql.Identifier)] == ["vintage", *contract.key]


class NoBigQuery:
    """What stands for BigQuery: it keeps what it is told, and can be told to fail."""

    def __init__(self, fails_at: str = "no statement") -> None:
        self.told: list[str] = []
        self.fails_at = fails_at
        self.data_project, self.dataset = "my-project", "wine"
        self.client = SimpleNamespace(default_query_job_config=SimpleNamespace())

    def raw_sql(self, statement: str) -> list:
        self.told.append(statement)
        if statement.startswith(self.fails_at):
            raise InterruptedError(statement)
        return []

    def create_table(self, name: str, rows: object, overwrite: bool) -> None:
        self.told.append(f"LOAD {name}")


def rows_of_no_vintage() -> dict[str, pyarrow.Table]:
    return {table.name: table.schema.empty_table() for table in warehouse.tables()}


def test_bigquery_is_told_one_transaction_after_everything_is_loaded_aside():
    connection = NoBigQuery()
    warehouse.BigQuery(connection).replace(FIRST, warehouse.tables(), rows_of_no_vintage())
    names = [table.name for table in warehouse.tables()]
    at = next(number for number, one in enumerate(connection.told) if one.startswith("BEGIN"))
    before, script, after = connection.told[:at], connection.told[at], connection.told[at + 1 :]
    assert [one for one in before if one.startswith("LOAD")] == [f"LOAD {name}_of_{FIRST}" for name in names]
    assert after == [f"DROP TABLE IF EXISTS `{name}_of_{FIRST}`" for name in names]
    begin, *moves, commit = script.split(";\n")
    assert (begin, commit) == ("BEGIN TRANSACTION", "COMMIT TRANSACTION")
    for name, delete, insert in zip(names, moves[::2], moves[1::2], strict=True):
        assert delete == f"DELETE FROM `{name}` WHERE vintage = '{FIRST}'"  # noqa: S608
        assert insert == f"INSERT INTO `{name}` SELECT * FROM `{name}_of_{FIRST}`"  # noqa: S608
    for statement in (*moves, *after):
        assert sqlglot.parse_one(statement, read="bigquery").sql("bigquery") == statement


def test_bigquery_is_asked_for_the_columns_of_the_dataset_of_the_url():
    connection = NoBigQuery()
    assert warehouse.BigQuery(connection).found() == {}
    (asked_for,) = connection.told
    assert asked_for.endswith(" FROM `my-project`.`wine`.INFORMATION_SCHEMA.COLUMNS")
    assert sqlglot.parse_one(asked_for, read="bigquery")
    assert connection.client.default_query_job_config.default_dataset == "my-project.wine"


def test_tables_that_are_made_for_a_load_that_bigquery_refuses_are_dropped():
    connection = NoBigQuery(fails_at="BEGIN")
    made = warehouse.tables()[-2:]
    with pytest.raises(InterruptedError):
        warehouse.BigQuery(connection).replace(FIRST, made, rows_of_no_vintage())
    dropped = [one for one in connection.told if one.startswith("DROP") and f"_of_{FIRST}" not in one]
    assert dropped == [f"DROP TABLE IF EXISTS `{table.name}`" for table in made]
    assert len([one for one in connection.told if one.startswith("DROP")]) == len(warehouse.tables()) + 2


# ---- BigQuery's language, read and run by Google's own implementation of it (ZetaSQL)


@pytest.fixture(scope="session")
def googlesql() -> ModuleType:
    if importlib.util.find_spec("zetasql") is None:
        pytest.skip("zetasql is not installed (`make test-engines` brings it)")
    return importlib.import_module("zetasql.api")


def value_of(cell: Any) -> object:
    """What a cell of ZetaSQL holds; None where it is null."""
    held = (cell.string_value, cell.int64_value, cell.double_value, cell.bool_value)
    return next((value for value in held if value is not None), None)


def price_in(dialect: str, base_year: int) -> str:
    """The price computation in an engine's language."""
    kinds = {"str": "string", "int16": "int16", "float64": "float64", "bool": "boolean"}
    tables = [
        ibis.table({name: kinds[str(column.dtype)] for name, column in one.schema.columns.items()}, name=one.name)
        for one in (schemas.TRADE, schemas.EXCHANGE_RATES, schemas.PRICE_LEVELS)
    ]
    return str(ibis.to_sql(prices.prices_in_every_money(*tables, base_year), dialect=dialect))


@engines
def test_google_reads_every_statement_that_bigquery_is_told(googlesql: ModuleType):
    connection = NoBigQuery()
    engine = warehouse.BigQuery(connection)
    engine.found()
    engine.replace(FIRST, warehouse.tables(), rows_of_no_vintage())
    told = [statement for one in connection.told if not one.startswith("LOAD") for statement in one.split(";\n")]
    assert len(told) > 100
    for statement in told:
        googlesql.Parser.parse_statement_static(statement)
    with pytest.raises(Exception, match="Syntax error"):
        googlesql.Parser.parse_statement_static(warehouse.statements("postgres")[0])


@engines
@pytest.mark.parametrize("kind", trade_of_both_kinds())
def test_price_is_one_expression_that_gives_the_same_in_bigquerys_language(
    googlesql: ModuleType, outputs: Path, kind: str
):
    from zetasql import types

    root = outputs if kind == "small" else ROOT
    contracts = (schemas.TRADE, schemas.EXCHANGE_RATES, schemas.PRICE_LEVELS)
    inputs = [stored(root, contract) for contract in contracts]
    last = int(inputs[0]["year"].max())
    kinds = {"str": "STRING", "int16": "INT64", "float64": "DOUBLE", "bool": "BOOL"}
    language = types.LanguageOptions.maximum_features()
    catalog = googlesql.CatalogBuilder("wine").with_builtin_functions(
        types.ZetaSQLBuiltinFunctionOptions(language_options=language)
    )
    contents = {}
    for contract, table in zip(contracts, inputs, strict=True):
        builder = googlesql.TableBuilder(contract.name)
        for name, column in contract.schema.columns.items():
            builder.add_column(name, types.TypeKind[f"TYPE_{kinds[str(column.dtype)]}"])
        catalog.add_table(builder.build())
        rows = pyarrow.Table.from_pandas(table, preserve_index=False).to_pylist()
        contents[contract.name] = googlesql.create_table_content([[*row.values()] for row in rows])
    query = googlesql.PreparedQuery.builder().set_sql(price_in("bigquery", last)).set_catalog(catalog.build())
    query.set_analyzer_options(types.AnalyzerOptions(language_options=language)).set_table_content(contents)
    with query.prepare() as prepared:
        names = [column.name for column in prepared.columns]
        answered = prepared.execute().content.table_data.row
    found = pd.DataFrame([[value_of(cell) for cell in row.cell] for row in answered], columns=names)
    expected = prices.prices(*inputs, base_year=last, engine="duckdb")
    found = schemas.validate(found.astype(expected.dtypes.to_dict())[list(expected)], schemas.PRICES)
    assert len(found) == len(expected) > 0
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_price_compiles_for_every_dialect(dialect: str):
    compiled = price_in("postgres" if dialect == "redshift" else dialect, 2023)
    read = sqlglot.parse_one(compiled, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
    assert read.sql(dialect, unsupported_level=sqlglot.ErrorLevel.RAISE)
    assert not list(read.find_all(sql.Command))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://ana:uva%40isabel@host:5433/db", "postgres://ana:***@host:5433/db"),
        ("redshift://ana@host/db?password=uva@isabel&sslmode=require", "redshift://ana@host/db?password=***&sslmode=require"),
        ("data/warehouse.duckdb", "data/warehouse.duckdb"),
        ("bigquery://project/dataset", "bigquery://project/dataset"),
    ],
)  # fmt: skip
def test_place_is_shown_without_its_password(url: str, shown: str):
    place = warehouse.Place(url)
    assert place.shown == shown
    assert place.masked("no entry for ana with uva@isabel").endswith(("uva@isabel", "***"))
    assert ("isabel" in place.masked("with uva@isabel")) == ("isabel" not in url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ana:geheim@host/db",
        "postgres://",
        "duckdb://",
        "bigquery://project",
        "postgres://ana:geheim@host:harbour/db",
    ],
)
def test_what_is_no_warehouse_is_refused_without_its_password(url: str):
    with pytest.raises(VindimaError, match="expected") as said:
        warehouse.Place(url)
    assert "geheim" not in str(said.value)


@pytest.mark.parametrize(("url", "extra"), [("postgres://ana@host/db", "warehouse"), ("bigquery://a/b", "bigquery")])
def test_engine_whose_library_is_not_installed_names_what_brings_it(outputs: Path, url: str, extra: str):
    missing = "sys.modules['psycopg'] = sys.modules['google.cloud.bigquery'] = None"
    program = (
        f"import sys; {missing}; from pathlib import Path; from vindima.etl import warehouse\n"
        "from vindima.errors import VindimaError\n"
        "try: warehouse.load(sys.argv[1], Path(sys.argv[2]))\n"
        "except VindimaError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", program, url, str(outputs)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f'it comes with `pip install "vindima[{extra}]"`\n'), ended.stderr
    assert ended.stderr.count("\n") == 1


# ---- the command line


def test_commands_load_and_export(duckdb_url: str, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paths, "ROOT", outputs)
    monkeypatch.setattr(paths, "PUBLISHED", outputs / "data" / "published")
    loaded = CliRunner().invoke(cli.main, ["warehouse", "load", duckdb_url])
    assert loaded.output.startswith(f"loaded vintage {FIRST} into {duckdb_url}: 27 tables, ")
    exported = CliRunner().invoke(
        cli.main, ["warehouse", "export", "--into", str(tmp_path / "back")], env={"VINDIMA_WAREHOUSE": duckdb_url}
    )
    assert exported.output == f"wrote vintage {FIRST}: 16 files in {tmp_path / 'back'}\n"
    assert duckdb.connect(duckdb_url, read_only=True).sql("SELECT count(*) FROM vintages").fetchall() == [(1,)]


def test_command_prints_the_statements_of_an_engine():
    printed = CliRunner().invoke(cli.main, ["warehouse", "statements", "redshift"])
    assert len(sqlglot.parse(printed.output, read="redshift")) == len(warehouse.statements("redshift"))
