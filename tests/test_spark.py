"""Spark: the same numbers as here, on a master with two worker processes, of which one may die.

`make test-engines` brings PySpark; Java is Debian's.
"""

import gc
import re
import shutil
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from tests import clusters
from tests.conftest import ROOT
from tests.servers import free_port
from vindima import params
from vindima.errors import VindimaError
from vindima.etl import enrichment, microdata, prices, schemas, spark
from vindima.forecasting import models, parallel

engines = pytest.mark.engines
pytestmark = pytest.mark.filterwarnings(
    # PySpark leaves the sockets over which it fetches rows to the garbage collector
    r"ignore:Exception ignored in. <socket.socket .*raddr=\('127.0.0.1':pytest.PytestUnraisableExceptionWarning"
)
CONF = """
spark.driver.memory 700m
spark.executor.memory 512m
spark.sql.shuffle.partitions 4
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
"""


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the settings of the tests' sessions, which are small."""
    folder = tmp_path_factory.mktemp("spark-conf")
    (folder / "spark-defaults.conf").write_text(CONF)
    return folder


@pytest.fixture
def on_this_machine(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """VINDIMA_SPARK as a user has it who sets nothing, but for the memory and the cores."""
    if find_spec("pyspark") is None:
        pytest.skip("PySpark is not installed (`make test-engines` brings it)")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (package openjdk-17-jre-headless)")
    monkeypatch.setenv("SPARK_CONF_DIR", str(settings))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("VINDIMA_SPARK", "local[2]")
    yield
    gc.collect()


@pytest.fixture
def cluster(on_this_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[clusters.Cluster]:
    with clusters.cluster(tmp_path) as running:
        monkeypatch.setenv("VINDIMA_SPARK", running.url)
        yield running
    assert not [one for one in psutil.process_iter(["cwd"]) if str(tmp_path) in str(one.info["cwd"])]


def stored() -> dict[str, pd.DataFrame]:
    """The tables that the prices of the project are computed from."""
    trade = schemas.read(ROOT / schemas.TRADE.path)
    figures = enrichment.read(ROOT / "data" / "figures")
    last = int(trade["year"].max())
    rates, levels = enrichment.exchange_rates(figures, last), enrichment.price_levels(figures, last)
    return {"trade": trade, "exchange_rates": rates, "price_levels": levels}


@engines
def test_stage_of_prices_runs_on_spark_where_the_parameter_says_so(cluster: clusters.Cluster, tmp_path: Path):
    made, expected = (
        prices.run(ROOT / "data" / "tidy", ROOT / "data" / "figures", tmp_path / engine, None, engine)
        for engine in ("spark", "duckdb")
    )
    assert_equal_prices(made, expected)
    assert_equal_prices(schemas.read(tmp_path / "spark" / "prices.parquet"), expected)


def few() -> dict[str, pd.DataFrame]:
    """A total with and without a price, a corrected figure, a year without a rate, an unknown country."""
    trade = {
        "flow": ["imports", "imports", "exports", "imports", "imports", "imports"],
        "product": ["table_wine", "table_wine", "table_wine", "raisins", "table_wine", "raisins"],
        "country": ["CHL", "OTHER", "CHL", "CHL", "CHL", "ARG"],
        "year": [1990, 1990, 1990, 1990, 2023, 2023],
        "quantity_kg": [3.0, 0.1, 0.0, None, 7.0, 5.0],
        "value_usd": [1.0, 0.2, 5.0, 8.0, 11.0, None],
        "quantity_status": ["reported", "corrected", "reported", "not_available", "reported", "reported"],
        "value_status": "reported",
    }
    rates = {"country": ["BRA", "ARG"], "year": [2023, 2023], "currency_per_usd": [5.0, 300.0]}
    levels = {"year": [1990, 2023], "us_cpi": [130.7, 304.7], "ipca": [None, 6773.3]}
    tables = {"trade": trade, "exchange_rates": rates, "price_levels": levels}
    return {name: pd.DataFrame(table) for name, table in tables.items()}


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[sorted(table)].sort_values(["series", "year"], ignore_index=True)


def assert_equal_prices(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Within 1e-9, with nulls (no NaN, which Spark tells apart) in the same places."""
    assert len(expected)
    pd.testing.assert_frame_equal(sorted_rows(found), sorted_rows(expected), rtol=1e-9, atol=0)


@engines
@pytest.mark.parametrize("tables", [stored, few])
def test_prices_are_those_of_duckdb(cluster: clusters.Cluster, tables):
    made, expected = (on(tables(), prices.prices_in_every_money, 2023) for on in (spark.on_spark, prices.on_duckdb))
    assert_equal_prices(made, expected)


def lines(folder: Path, **other: object) -> Path:
    """Five thousand lines of micro-data in parquet, `other` in place of their last."""
    random = np.random.default_rng(24)
    table = pd.DataFrame(
        {
            "flow": random.choice(["imports", "exports"], 5000),
            "ncm": random.choice([22042100, 22041010, 8061000, 12019000], 5000),
            "country": random.choice(["CHL", "ARG", "PRY"], 5000),
            "year": random.integers(2020, 2024, 5000),
            "month": random.integers(1, 13, 5000),
            "kg": random.gamma(1, 100, 5000),
            "usd": random.gamma(1, 300, 5000),
        }
    )
    for name, value in other.items():
        table.loc[4999, name] = value
    path = folder / "lines.parquet"
    table.to_parquet(path)
    return path


@engines
def test_micro_data_is_summed_as_by_duckdb(cluster: clusters.Cluster, tmp_path: Path):
    texts = tmp_path / "texts.parquet"
    pd.read_parquet(lines(tmp_path)).astype(str).to_parquet(texts)
    made, expected = (microdata.monthly_sums([lines(tmp_path), texts], engine=one) for one in ("spark", "duckdb"))
    assert len(expected) > 800
    pd.testing.assert_frame_equal(made, expected, rtol=1e-9, atol=0)


@engines
@pytest.mark.parametrize("wrong", [{"month": 13}, {"country": "XXX"}, {"kg": -1.0}, {"ncm": 123456789}])
def test_line_of_micro_data_that_is_wrong_is_named_as_by_duckdb(on_this_machine: None, tmp_path: Path, wrong: dict):
    path, said = lines(tmp_path, **{"ncm": 22042100} | wrong), []
    for engine in ("duckdb", "spark"):
        with pytest.raises(VindimaError, match=r"^lines\.parquet: expected") as error:
            microdata.monthly_sums([path], engine=engine)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_micro_data_that_spark_would_read_otherwise_is_refused(tmp_path: Path):
    path = tmp_path / "EXP_2024.csv"
    path.write_text("flow,ncm,country,year,month,kg,usd\n")
    with pytest.raises(VindimaError, match=r"EXP_2024\.csv: Spark sums parquet alone"):
        microdata.monthly_sums([path], engine="spark")


def many(series: int, years: int = 25) -> pd.DataFrame:
    """A price table of series that wander, each from a year of its own, some with gaps."""
    random = np.random.default_rng(24)
    frames = []
    for number in range(series):
        first = 1999 + number % 10
        logs = 1 + np.cumsum(random.normal(0, 0.2, 2024 - first))
        frame = pd.DataFrame({"series": f"imports.wine.{number:04}", "year": range(first, 2024)})
        frames.append(frame.assign(quantity_kg=1.0 + number, price_usd_kg=np.exp(logs)))
    table = pd.concat(frames, ignore_index=True)
    return table[~((table["year"] == 2015) & table["series"].str.endswith("3"))].reset_index(drop=True)


def assert_equal_forecasts(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", parallel.METHODS)
def test_many_series_are_forecast_as_the_model_of_that_name_forecasts_them(method: str):
    table = many(12)
    found = parallel.forecasts(method, table, 2023, [1, 3]).set_index(["series", "horizon"])
    real = table.assign(price_usd_kg_real=table["price_usd_kg"])
    fitted = models.fit_panel(method, models.model(method), real, sorted(table["series"].unique()), 2023)
    expected = models.log_quantiles(fitted, [1, 3]).set_index(["series", "horizon"])
    assert found.index.equals(expected.index)
    assert found["year"].tolist() == [2024, 2026] * 12
    assert found["forecast"].equals(found["q50"].rename("forecast"))
    np.testing.assert_allclose(np.log(found[expected.columns]), expected, atol=1e-5)  # six digits


@engines
@pytest.mark.parametrize("method", ["auto_ets", "auto_theta"])
def test_forecasts_are_those_of_this_machine(cluster: clusters.Cluster, method: str):
    table = many(250)
    made, expected = (parallel.forecasts(method, table, 2023, [1, 2, 3], engine) for engine in ("spark", "local"))
    assert_equal_forecasts(made, expected)


@engines
def test_a_worker_that_is_killed_in_the_middle_costs_time_alone(
    cluster: clusters.Cluster, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(parallel, "SERIES_IN_A_PART", 10)
    table, found = many(400), []
    with spark.session() as session:
        until_all_work(session)
        work = threading.Thread(
            target=lambda: found.append(parallel.forecasts("auto_theta", table, 2023, [1], "spark"))
        )
        work.start()
        done = until_some_are_done(session, of=40)
        cluster.kill(cluster.workers[0])
        work.join(240)
        assert 0 < done < 40
        assert cluster.workers[0].poll() is not None
        assert session.range(10, numPartitions=2).count() == 10
    assert_equal_forecasts(found[0], parallel.forecasts("auto_theta", table, 2023, [1]))


def until_all_work(session) -> None:
    """Wait until every worker has an executor for the session."""
    context = session.sparkContext._jsc.sc()
    until = time.monotonic() + 60
    while context.getExecutorMemoryStatus().size() < 1 + clusters.WORKERS:  # the driver is one
        assert time.monotonic() < until
        time.sleep(0.05)


def until_some_are_done(session, of: int) -> int:
    """Wait until some tasks of the stage that has `of` are done: how many."""
    tracker = session.sparkContext.statusTracker()
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for stage in tracker.getActiveStageIds():
            about = tracker.getStageInfo(stage)
            if about and about.numTasks == of and about.numCompletedTasks:
                return about.numCompletedTasks
        time.sleep(0.02)
    raise AssertionError("no task was done")


@engines
def test_session_that_is_there_is_used_and_stays(on_this_machine: None):
    with spark.session() as outer:
        in_a_thread = threading.Thread(target=lambda: spark.on_spark(few(), prices.prices_in_every_money, 2023))
        in_a_thread.start()
        in_a_thread.join()
        with spark.session() as inner:
            assert inner.sparkContext is outer.sparkContext
        assert outer.range(3).count() == 3


@engines
def test_cluster_without_a_free_worker_is_said_so(cluster: clusters.Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spark, "SECONDS_FOR_A_WORKER", 2)
    for worker in cluster.workers:
        cluster.kill(worker)
    with pytest.raises(VindimaError, match=rf"^Spark: no worker of the master {cluster.url} .* within 2 s$"):
        spark.on_spark(few(), prices.prices_in_every_money, 2023)


@engines
def test_master_that_spark_does_not_know_is_one_line(on_this_machine: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VINDIMA_SPARK", "nonsense")
    assert re.fullmatch(r"Spark at nonsense: .*Could not parse Master URL.*", refused())


@engines
def test_what_spark_cannot_do_is_one_line(on_this_machine: None):
    with pytest.raises(VindimaError, match=r"^Spark at local\[2\]: [^\n]*nowhere[^\n]*$"), spark.session() as session:
        session.table("nowhere").count()


def refused() -> str:
    with pytest.raises(VindimaError) as error:
        spark.on_spark(few(), prices.prices_in_every_money, 2023)
    return str(error.value)


def test_missing_pyspark_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spark, "find_spec", lambda name: None)
    assert refused() == 'Spark: PySpark is not installed here; it comes with `pip install "vindima[spark]"`'


def test_missing_pyspark_is_found_before_any_stage_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spark, "find_spec", lambda name: None)
    with pytest.raises(VindimaError, match=r"^prices\.engine: PySpark is not installed here"):
        params.read(ROOT, {"prices.engine": "spark"})


def test_missing_java_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(spark, "find_spec", lambda name: name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    expected = "Spark: expected Java 17 or newer (Debian: openjdk-17-jre-headless), there is none"
    assert refused() == f"{expected} on the PATH"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert refused() == f"{expected} in JAVA_HOME ({tmp_path})"


@pytest.mark.parametrize(
    ("master", "why"),
    [("spark://127.0.0.1:{port}", "Connection refused"), ("spark://127.0.0.1", "invalid literal")],
)
def test_master_that_is_down_is_one_sentence(master: str, why: str):
    address = master.format(port=free_port())
    with pytest.raises(VindimaError, match=rf"^Spark: the master {address} \(VINDIMA_SPARK\) cannot .*{why}"):
        spark.reach(address)


@engines
def test_master_that_is_down_is_said_before_spark_starts(on_this_machine: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VINDIMA_SPARK", f"spark://127.0.0.1:{free_port()}")
    assert "Connection refused" in refused()


@pytest.mark.parametrize(("method", "engine", "said"), [("naive", "local", "method"), ("auto_ets", "dask", "engine")])
def test_unknown_method_and_engine_are_refused(method: str, engine: str, said: str):
    with pytest.raises(VindimaError, match=f"^{said}: expected one of"):
        parallel.forecasts(method, many(1), 2023, [1], engine)
