"""Stages take exactly the parameters that they name, and end with the sentence that went wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import PARAMETERS
from vindima import run
from vindima.cli import main
from vindima.errors import VindimaError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one stage, `greet`, whose notebook greets for so many years and refuses 4 and 5."""
    cells = [
        nbformat.v4.new_code_cell("horizon = 1", metadata={"tags": ["parameters"]}, id="parameters"),
        nbformat.v4.new_code_cell(
            "from pathlib import Path\n"
            "from vindima.errors import VindimaError\n"
            "if horizon == 4:\n    raise VindimaError('greet: expected another number than 4')\n"
            "Path('greeting').write_text(f'hello for {horizon} years, {1 / (horizon - 5)}')",
            id="greet",
        ),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks" / "10-greet.ipynb"
    )
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  greet:\n    cmd: vindima stage greet\n    params: [forecast.horizon]\n"
    )
    settle(tmp_path, horizon=3)
    return tmp_path


def settle(root: Path, horizon: object = 5, last_year: object = None) -> None:
    """Write the project's params.yaml with these values."""
    values = PARAMETERS | {"forecast": {"horizon": horizon}, "data": {"last_year": last_year}}
    (root / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def test_stage_runs_its_notebook_in_the_project_folder_with_the_values_of_params_yaml(project: Path):
    log = run.run_stage("greet", root=project)
    assert (project / "greeting").read_text() == "hello for 3 years, -0.5"
    assert log == project / "reports" / "runs" / "10-greet.ipynb"


def test_override_replaces_a_value_of_params_yaml(project: Path):
    run.run_stage("greet", {"horizon": 6}, root=project)
    assert (project / "greeting").read_text().startswith("hello for 6 years")


def test_unknown_parameter_is_refused_before_anything_runs(project: Path):
    with pytest.raises(VindimaError, match=r"10-greet.ipynb takes no parameter horizn; it takes horizon"):
        run.run_stage("greet", {"horizn": 3}, root=project)
    assert not (project / "reports").exists()


def test_value_that_no_stage_could_work_with_is_refused_before_anything_runs(project: Path):
    with pytest.raises(VindimaError, match=r"^forecast.horizon: expected a whole number .* to 10, got 50$"):
        run.run_stage("greet", {"horizon": 50}, root=project)
    settle(project, horizon=50)
    with pytest.raises(VindimaError, match=r"^params.yaml: forecast.horizon: expected a whole number .*, got 50$"):
        run.run_stage("greet", root=project)
    assert not (project / "reports").exists()


def test_whole_params_yaml_is_checked_before_a_stage_that_takes_little_of_it(project: Path):
    settle(project, horizon=3, last_year=1990)
    with pytest.raises(VindimaError, match=r"^params.yaml: data.last_year: expected a year from 2008 .*, got 1990$"):
        run.run_stage("greet", root=project)
    assert not (project / "reports").exists()


def test_parameter_that_nobody_gives_is_refused(project: Path):
    (project / "dvc.yaml").write_text("stages:\n  greet:\n    cmd: vindima stage greet\n")
    with pytest.raises(VindimaError, match=r"was not given horizon"):
        run.run_stage("greet", root=project)


def test_parameter_missing_from_params_yaml_is_named(project: Path):
    (project / "params.yaml").write_text("forecast: {}\n")
    with pytest.raises(VindimaError, match=r"params.yaml: forecast.horizon: expected a whole .*, got nothing"):
        run.run_stage("greet", root=project)


def test_value_that_is_no_yaml_is_one_sentence():
    done = CliRunner().invoke(main, ["stage", "tidy", "-p", "corrections=[a"])
    assert done.exit_code == 1
    assert re.fullmatch(r"vindima: corrections: expected YAML \(.+\), got '\[a'\n", done.stderr)


def test_own_error_in_a_notebook_ends_as_its_sentence(project: Path):
    with pytest.raises(VindimaError, match=r"^stage greet: greet: expected another number than 4$"):
        run.run_stage("greet", {"horizon": 4}, root=project)


def test_other_error_in_a_notebook_names_the_log(project: Path):
    with pytest.raises(
        VindimaError, match=r"stage greet stopped at cell .*ZeroDivision.*reports/runs/10-greet.ipynb"
    ):
        run.run_stage("greet", {"horizon": 5}, root=project)


def test_unknown_stage_lists_the_stages(project: Path):
    with pytest.raises(VindimaError, match=r"no stage is called 'greeet'; the stages are greet"):
        run.run_stage("greeet", root=project)


EVALUATE = """\
import json, pathlib
names = sorted(path.name for path in pathlib.Path("data/published").glob("*.parquet"))
print("evaluated", *names)
pathlib.Path("seen.json").write_text(json.dumps(names))
"""


@pytest.fixture
def pipeline(project_outputs: Path) -> Path:
    """All that the pipeline leaves, with a pipeline whose one stage notes which publications are there."""
    path = project_outputs / "data" / "forecasts" / "forecasts.parquet"
    made = pd.read_parquet(path)
    made.assign(q025=1.0, q10=1.5).to_parquet(path, index=False)
    (project_outputs / "evaluate.py").write_text(EVALUATE)
    stages = {
        "tidy": {"cmd": "echo tidied", "params": ["data.last_year"]},
        "evaluate": {
            "cmd": f"{sys.executable} evaluate.py",
            "deps": ["data/published", "data/raw/manifest.json"],
            "outs": ["seen.json"],
        },
    }
    (project_outputs / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    settle(project_outputs)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=project_outputs, check=True)
    return project_outputs


def vindima(root: Path, *arguments: str, expected: int = 0) -> str:
    """What `vindima` prints in the project at `root`; its complaint where it is to fail."""
    command = [sys.executable, "-c", "from vindima.cli import main; main()", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VINDIMA_")}
    environment = kept | {"VINDIMA_ROOT": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stderr if expected else done.stdout


def publications(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "data" / "published").iterdir()}


def test_first_forecasts_of_a_vintage_are_kept_and_what_reads_them_runs_again(pipeline: Path):
    assert vindima(pipeline, "run").count("evaluated") == 2
    assert json.loads((pipeline / "seen.json").read_text()) == ["0123456789ab.parquet"]
    assert (pipeline / "data" / "served" / "models" / "model.json").is_file()
    first = publications(pipeline)

    later = pd.read_parquet(pipeline / "data" / "forecasts" / "forecasts.parquet").assign(forecast=2.6, q50=2.6)
    later.to_parquet(pipeline / "data" / "forecasts" / "forecasts.parquet", index=False)
    lock = (pipeline / "dvc.lock").read_bytes()
    assert "evaluated" not in vindima(pipeline, "run")
    assert publications(pipeline) == first
    assert (pipeline / "dvc.lock").read_bytes() == lock

    for name in ("data/raw/manifest.json", "models/model.json"):
        (pipeline / name).write_text((pipeline / name).read_text().replace("0123456789ab", "ba9876543210"))
    assert vindima(pipeline, "run").splitlines().count("evaluated 0123456789ab.parquet ba9876543210.parquet") == 1
    both = publications(pipeline)
    assert sorted(both) == ["0123456789ab.parquet", "ba9876543210.parquet"]
    assert both["0123456789ab.parquet"] == first["0123456789ab.parquet"]


@pytest.mark.parametrize(("last_year", "arguments"), [(2023, ["run"]), (None, ["run", "--until", "evaluate"])])
def test_experiment_or_part_of_the_pipeline_keeps_no_forecasts(
    pipeline: Path, last_year: int | None, arguments: list[str]
):
    settle(pipeline, last_year=last_year)
    assert vindima(pipeline, *arguments).count("evaluated") == 1
    assert publications(pipeline) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("forecast: [a", r"vindima: params\.yaml, line 1: expected YAML \(.+\)\n"),
        (None, r"vindima: params\.yaml: forecast\.horizon: expected a whole number .*, got 50\n"),
    ],
)
def test_refused_run_is_a_sentence_and_starts_nothing(pipeline: Path, text: str | None, sentence: str):
    settle(pipeline, horizon=50)
    if text:
        (pipeline / "params.yaml").write_text(text)
    assert re.fullmatch(sentence, vindima(pipeline, "run", expected=1))
    assert not (pipeline / "dvc.lock").exists()
    assert (pipeline / "data" / "forecasts" / "forecasts.parquet").is_file()
