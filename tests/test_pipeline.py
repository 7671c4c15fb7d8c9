"""The whole way, as a newcomer walks it: a fresh clone, real DVC, real notebooks, the mirror over HTTP."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.pipeline import copy_working_tree
from tests.conftest import ROOT
from vindima.etl import tidy
from vindima.run import stage_notebook, stage_parameters
from vindima.series import is_total

Run = Callable[..., str]
STAGES = ("collect", "tidy", "prices", "backtest", "forecast", "benchmark", "evaluate")
FIRST_STAGES = ("collect", "tidy", "prices", "forecast", "evaluate", "site")
SMALL = """\
collect:
  source: mirror
  method: csv
  accept: newer
  requests_per_second: 4
  lake: null
data:
  last_year: 1999
tidy:
  corrections: all
prices:
  base_year: null
  engine: duckdb
backtest:
  first_cutoff: 1998
  last_cutoff: null
  horizons: [1, 2, 3]
forecast:
  horizon: 3
"""
"""A params.yaml with which each stage takes seconds, and all nine totals are forecast."""


def call(folder: Path, *command: str, expected: int = 0) -> str:
    """Run a program of this environment in `folder`; give what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VINDIMA_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # pytest takes no plugin that is both found and named
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def nbmake(folder: Path, *which: str) -> str:
    return call(folder, sys.executable, "-m", "pytest", "-p", "nbmake.pytest_plugin", "--nbmake", *which)


def run_in_one_process(folder: Path, *which: str) -> str:
    """Run notebooks one after the other in one IPython: libraries are imported once, in seconds, not for each."""
    return call(folder, "ipython", "--matplotlib=agg", "-c", "\n".join(f"%run {name}" for name in which))


def make_small(project: Path) -> None:
    """Give the project the small parameters, its notebooks the same as defaults, and no lock."""
    (project / "params.yaml").write_text(SMALL, encoding="utf-8")
    (project / "dvc.lock").unlink(missing_ok=True)
    for stage in STAGES:
        path = stage_notebook(stage, project / "notebooks")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        lines = [f"{name} = {value!r}" for name, value in stage_parameters(stage, project).items()]
        for cell in notebook["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                cell["source"] = "\n".join(lines)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The working tree's code with small parameters, its stages' outputs and lock committed; what nbmake printed.

    The outputs are those of the notebooks with their defaults; the lock says that they are current.
    """
    folder = tmp_path_factory.mktemp("small") / "vindima"
    copy_working_tree(folder)
    make_small(folder)
    notebooks = {stage: f"notebooks/{stage_notebook(stage, folder / 'notebooks').name}" for stage in STAGES}
    run_in_one_process(folder, *(notebooks[stage] for stage in ("collect", "tidy", "prices")))
    printed = nbmake(folder, notebooks["backtest"], notebooks["benchmark"])
    run_in_one_process(folder, notebooks["forecast"], notebooks["evaluate"])
    call(folder, "vindima", "site")
    call(folder, "dvc", "commit", "--force")
    call(folder, "git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    call(folder, "git", *identity, "commit", "--quiet", "--message", "small")
    return folder, printed


@pytest.fixture(scope="session")
def clone(small: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of the small project: what Git keeps, and no other output."""
    folder = tmp_path_factory.mktemp("clone") / "vindima"
    call(folder.parent, "git", "clone", "--quiet", str(small[0]), str(folder))
    return folder


@pytest.fixture(scope="session")
def run(clone: Path) -> Run:
    """Runs a program of this environment in the clone and gives what it printed."""
    return partial(call, clone)


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
    assert re.findall("Running stage '(.+)'", printed) == list(FIRST_STAGES)


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


def test_published_columns_of_trade_sum_to_what_the_downloads_sum_to(reproduced: tuple[Path, str], tmp_path: Path):
    """Over all years of the downloads, not only those up to the small last year."""
    data = reproduced[0] / "data"
    trade = tidy.run(data / "raw", data / "figures", tmp_path, tmp_path, None, "all")["trade"]
    for path in sorted((data / "raw" / "tables").glob("[ie][mx]ports_*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = trade[trade["flow"] + "_" + trade["product"] == table["table"]].groupby("year")
        cells = pd.DataFrame([row["cells"] for row in table["rows"]]).replace("", "0").astype(float).sum()
        for position, column in enumerate(("quantity_kg_published", "value_usd_published")):
            assert rows[column].sum().tolist() == cells[position::2].tolist(), (table["table"], column)


def forecast_countries(project: Path) -> int:
    """How many country series are forecast, beside all nine totals and none of what is no country."""
    series = pd.read_parquet(project / "data" / "forecasts" / "forecasts.parquet")["series"].drop_duplicates()
    assert is_total(series).sum() == 9
    assert not series.str.contains(r"\.(?:OTHER|UNDECLARED|SHIP_SUPPLIES|BRA)$").any()
    return (~is_total(series)).sum()


def test_forecasts_hold_the_nine_totals_and_at_least_fifty_countries(reproduced: tuple[Path, str]):
    assert forecast_countries(reproduced[0]) >= 50


@pytest.mark.committed
def test_forecasts_of_the_newest_year_hold_the_nine_totals_and_at_least_sixty_countries():
    assert forecast_countries(ROOT) >= 60


def test_executed_notebooks_are_a_log_that_no_stage_reads(reproduced: tuple[Path, str], run: Run):
    clone, _ = reproduced
    assert len(list((clone / "reports" / "runs").glob("*.ipynb"))) == len(FIRST_STAGES) - 1  # site has no notebook
    shutil.rmtree(clone / "reports" / "runs")
    assert "up to date" in run("dvc", "status")


def test_horizon_and_base_year_tried_in_a_copy_rerun_only_what_they_change_and_are_here_when_applied(
    reproduced: tuple[Path, str], run: Run
):
    clone, _ = reproduced
    try:
        printed = run(
            "dvc", "exp", "run", "--temp", "-S", "forecast.horizon=2", "-S", "prices.base_year=1998", "forecast"
        )
        assert re.findall("Running stage '(.+)'", printed) == ["check", "prices", "forecast"]
        assert run("git", "status", "--porcelain") == ""
        assert pd.read_parquet(clone / "data" / "forecasts" / "forecasts.parquet")["horizon"].max() == 3
        name = re.search(r"Ran experiment\(s\): (\S+)", printed)
        assert name
        run("dvc", "exp", "apply", name[1])
        assert pd.read_parquet(clone / "data" / "forecasts" / "forecasts.parquet")["horizon"].max() == 2
        assert list(json.loads(run("dvc", "status", "--json"))) == ["evaluate", "site"]
    finally:
        subprocess.run(["git", "checkout", "--quiet", "."], cwd=clone, check=True)
        run("dvc", "checkout")
    assert "Data and pipelines are up to date." in run("dvc", "repro")


@pytest.mark.parametrize("horizon", ["horizon: 50", "horizon: 3\n  horizn: 3"])
def test_parameter_that_no_stage_could_work_with_removes_nothing(
    reproduced: tuple[Path, str], run: Run, horizon: str
):
    clone, _ = reproduced
    path = clone / "params.yaml"
    given = path.read_text(encoding="utf-8")
    try:
        path.write_text(given.replace("horizon: 3\n", f"{horizon}\n"), encoding="utf-8")
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


def test_backtest_and_benchmark_notebooks_run_by_themselves(small: tuple[Path, str]):
    assert " 2 passed" in small[1]


def test_every_report_runs(reproduced: tuple[Path, str]):
    reports = sorted(path.name for path in (reproduced[0] / "notebooks" / "reports").glob("*.ipynb"))
    assert len(reports) == 3
    run_in_one_process(reproduced[0] / "notebooks" / "reports", *reports)


def answers(executed: Path) -> tuple[int, list[str]]:
    """How many figures an executed notebook shows, and what it prints."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", [])]
    figures = sum(bool({"image/png", "image/svg+xml"} & output.get("data", {}).keys()) for output in shown)
    return figures, ["".join(output["text"]) for output in shown if output.get("name") == "stdout"]


def test_notebook_to_explore_runs_in_its_own_folder(reproduced: tuple[Path, str]):
    assert " 1 passed" in nbmake(reproduced[0], "notebooks/explore.ipynb")


def test_notebook_to_explore_answers_five_questions_each_with_a_figure_and_a_sentence(
    reproduced: tuple[Path, str], run: Run, tmp_path: Path
):
    run("papermill", "notebooks/explore.ipynb", str(tmp_path / "explore.ipynb"))
    figures, sentences = answers(tmp_path / "explore.ipynb")
    assert (figures, len(sentences)) == (5, 5)
    assert all(sentence.endswith(".\n") and "nan" not in sentence for sentence in sentences)
    assert "in 1999" in sentences[0]


@pytest.mark.services
def test_notebook_to_explore_answers_from_what_the_last_run_left_here(tmp_path: Path):
    if not (ROOT / "data" / "forecasts" / "forecasts.parquet").is_file():
        pytest.skip("the outputs of the pipeline are not here: run `make` first")
    call(ROOT / "notebooks", "papermill", "explore.ipynb", str(tmp_path / "explore.ipynb"))
    figures, sentences = answers(tmp_path / "explore.ipynb")
    assert (figures, len(sentences)) == (5, 5)


@pytest.mark.services
def test_backtest_and_benchmark_notebooks_run_by_themselves_over_the_whole_range(tmp_path: Path):
    folder = tmp_path / "vindima"
    copy_working_tree(folder)
    call(folder, "vindima", "run", "--until", "prices")
    printed = nbmake(folder, "notebooks/40-backtest.ipynb", "notebooks/60-benchmark.ipynb", "--nbmake-timeout=1200")
    assert " 2 passed" in printed
