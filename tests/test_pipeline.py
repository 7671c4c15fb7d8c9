"""The whole way, as a newcomer walks it: a fresh clone, real DVC, real notebooks, the mirror over HTTP."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.pipeline import copy_working_tree

Run = Callable[..., str]
FIRST_STAGES = ("collect", "tidy", "prices", "forecast", "evaluate")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of this working tree would hold, committed, without any output that Git does not keep."""
    folder = tmp_path_factory.mktemp("clone") / "vindima"
    copy_working_tree(folder)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["add", "--all"], [*identity, "commit", "--quiet", "--message", "clone"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def run(clone: Path) -> Run:
    """Runs a program of this environment in the clone and gives what it printed."""
    bin_folder = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VINDIMA_")}
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"

    def call(*command: str, expected: int = 0) -> str:
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope="session")
def reproduced(clone: Path, run: Run) -> tuple[Path, str]:
    """The clone after its first `vindima run`, and what that printed."""
    return clone, run("vindima", "run")


def test_first_run_leaves_the_lock_unchanged(reproduced: tuple[Path, str]):
    clone, _ = reproduced
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
    assert changed == ""


def test_first_run_takes_the_slow_tables_from_git(reproduced: tuple[Path, str]):
    _, printed = reproduced
    ran = [stage for stage in ("collect", "tidy", "prices", "backtest", "benchmark", "forecast", "evaluate")
           if f"Running stage '{stage}'" in printed]  # fmt: skip
    assert ran == list(FIRST_STAGES)


def test_second_run_does_nothing(reproduced: tuple[Path, str], run: Run):
    assert "Data and pipelines are up to date." in run("dvc", "repro")


def test_run_shows_the_nine_totals_and_says_where_the_results_are(reproduced: tuple[Path, str]):
    clone, printed = reproduced
    assert printed.count("all countries") == 9
    assert "data/forecasts/forecasts.parquet" in printed
    assert (clone / "data" / "served" / "models" / "card.md").is_file()


def test_production_of_1970_sums_to_the_published_totals_not_to_twice_them(reproduced: tuple[Path, str]):
    clone, _ = reproduced
    production = pd.read_parquet(clone / "data" / "tidy" / "production.parquet")
    totals = pd.read_parquet(clone / "data" / "tidy" / "totals.parquet")
    published = totals.query("table == 'production' and year == 1970")["published"].sum()
    assert production.query("year == 1970")["quantity_l"].sum() == published == 256_370_050


def test_published_columns_of_trade_sum_to_what_the_downloads_sum_to(reproduced: tuple[Path, str]):
    clone, _ = reproduced
    trade = pd.read_parquet(clone / "data" / "tidy" / "trade.parquet")
    for path in sorted((clone / "data" / "raw" / "tables").glob("[ie][mx]ports_*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = trade[trade["flow"] + "_" + trade["product"] == table["table"]].groupby("year")
        cells = pd.DataFrame([row["cells"] for row in table["rows"]]).replace("", "0").astype(float).sum()
        for position, column in enumerate(("quantity_kg_published", "value_usd_published")):
            assert rows[column].sum().tolist() == cells[position::2].tolist(), (table["table"], column)


def test_forecasts_hold_the_nine_totals_and_at_least_sixty_countries(reproduced: tuple[Path, str]):
    clone, _ = reproduced
    series = pd.read_parquet(clone / "data" / "forecasts" / "forecasts.parquet")["series"].drop_duplicates()
    assert (series.str.count(r"\.") == 1).sum() == 9
    assert (series.str.count(r"\.") == 2).sum() >= 60
    assert not series.str.contains(r"\.(?:OTHER|UNDECLARED|SHIP_SUPPLIES|BRA)$").any()


def test_executed_notebooks_are_a_log_that_no_stage_reads(reproduced: tuple[Path, str], run: Run):
    clone, _ = reproduced
    assert len(list((clone / "reports" / "runs").glob("*.ipynb"))) == len(FIRST_STAGES)
    shutil.rmtree(clone / "reports" / "runs")
    assert "up to date" in run("dvc", "status")


def test_horizon_tried_in_a_copy_reruns_only_the_forecast_and_what_follows_and_is_here_when_applied(
    reproduced: tuple[Path, str], run: Run
):
    clone, _ = reproduced
    try:
        printed = run("dvc", "exp", "run", "--temp", "-S", "forecast.horizon=3")
        ran = [stage for stage in FIRST_STAGES if f"Running stage '{stage}'" in printed]
        assert ran == ["forecast", "evaluate"]
        assert run("git", "status", "--porcelain") == ""
        assert pd.read_parquet(clone / "data" / "forecasts" / "forecasts.parquet")["horizon"].max() == 5
        name = re.search(r"Ran experiment\(s\): (\S+)", printed)
        assert name
        run("dvc", "exp", "apply", name[1])
        assert pd.read_parquet(clone / "data" / "forecasts" / "forecasts.parquet")["horizon"].max() == 3
    finally:
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=clone, check=True)
        run("dvc", "checkout")
    assert "Data and pipelines are up to date." in run("dvc", "repro")


@pytest.mark.parametrize("horizon", ["horizon: 50", "horizon: 5\n  horizn: 3"])
def test_parameter_that_no_stage_could_work_with_removes_nothing(
    reproduced: tuple[Path, str], run: Run, horizon: str
):
    clone, _ = reproduced
    path = clone / "params.yaml"
    given = path.read_text(encoding="utf-8")
    try:
        path.write_text(given.replace("horizon: 5\n", f"{horizon}\n"), encoding="utf-8")
        printed = run("dvc", "repro", expected=255)
        assert "vindima: params.yaml: forecast.horiz" in printed
        assert re.findall("Running stage '(.+)'", printed) == ["check"]
        assert (clone / "reports" / "params.txt").is_file()
    finally:
        path.write_text(given, encoding="utf-8")
    assert "Data and pipelines are up to date." in run("dvc", "repro")


def test_pipeline_shows_its_metrics_its_graph_and_its_model(reproduced: tuple[Path, str], run: Run):
    assert "mae_rel_naive" in run("dvc", "metrics", "show")
    assert "evaluate" in run("dvc", "dag")
    shown = json.loads(run("dvc", "ls", ".", "models", "--json"))
    assert any(entry["path"] == "model.json" for entry in shown)


def test_pushed_data_and_models_come_back_by_pull(reproduced: tuple[Path, str], run: Run):
    clone, _ = reproduced
    model = clone / "models" / "model.json"
    before = model.read_bytes()
    run("dvc", "push")
    shutil.rmtree(clone / ".dvc" / "cache")
    for name in ("raw", "tidy", "prices", "forecasts"):
        shutil.rmtree(clone / "data" / name)
    shutil.rmtree(clone / "models")
    run("git", "checkout", "--quiet", ".")
    run("dvc", "pull")
    assert model.read_bytes() == before
    assert "up to date" in run("dvc", "status")


def test_collection_that_fails_says_so_and_leaves_the_last_raw_zone(reproduced: tuple[Path, str], run: Run):
    clone, _ = reproduced
    manifest = (clone / "data" / "raw" / "manifest.json").read_bytes()
    printed = run("vindima", "stage", "collect", "-p", "source=http://127.0.0.1:9", expected=1)
    assert printed.splitlines()[-1].startswith("vindima: stage collect: ")
    assert (clone / "data" / "raw" / "manifest.json").read_bytes() == manifest


def nbmake(run: Run, *which: str) -> None:
    assert " passed" in run(sys.executable, "-m", "pytest", "--nbmake", *which)


def test_every_notebook_runs_by_itself(reproduced: tuple[Path, str], run: Run):
    """But for the benchmark's, which takes minutes and has a test of its own."""
    nbmake(run, "notebooks", "--deselect=notebooks/60-benchmark.ipynb")


@pytest.mark.services
def test_benchmark_notebook_runs_by_itself(reproduced: tuple[Path, str], run: Run):
    nbmake(run, "notebooks/60-benchmark.ipynb", "--nbmake-timeout=1200")
