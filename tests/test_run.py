"""Stages take exactly the parameters that they name, and end with the sentence that went wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from vindima import run
from vindima.errors import VindimaError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one stage, `greet`, whose notebook takes `name` and refuses an empty one."""
    cells = [
        nbformat.v4.new_code_cell("name = 'nobody'", metadata={"tags": ["parameters"]}, id="parameters"),
        nbformat.v4.new_code_cell(
            "from pathlib import Path\n"
            "from vindima.errors import VindimaError\n"
            "if not name:\n    raise VindimaError('greet: expected a name, got none')\n"
            "Path('greeting').write_text(f'hello {name}, {1 / len(name)}')",
            id="greet",
        ),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "notebooks" / "10-greet.ipynb"
    )
    (tmp_path / "dvc.yaml").write_text("stages:\n  greet:\n    cmd: vindima stage greet\n    params: [who.name]\n")
    (tmp_path / "params.yaml").write_text("who: {name: Ana}\n")
    return tmp_path


def test_stage_runs_its_notebook_in_the_project_folder_with_the_values_of_params_yaml(project: Path):
    log = run.run_stage("greet", root=project)
    assert (project / "greeting").read_text() == "hello Ana, 0.3333333333333333"
    assert log == project / "reports" / "runs" / "10-greet.ipynb"


def test_override_replaces_a_value_of_params_yaml(project: Path):
    run.run_stage("greet", {"name": "Rui"}, root=project)
    assert (project / "greeting").read_text().startswith("hello Rui")


def test_unknown_parameter_is_refused_before_anything_runs(project: Path):
    with pytest.raises(VindimaError, match=r"10-greet.ipynb takes no parameter nome; it takes name"):
        run.run_stage("greet", {"nome": "Rui"}, root=project)
    assert not (project / "greeting").exists()


def test_parameter_that_nobody_gives_is_refused(project: Path):
    (project / "dvc.yaml").write_text("stages:\n  greet:\n    cmd: vindima stage greet\n")
    with pytest.raises(VindimaError, match=r"was not given name"):
        run.run_stage("greet", root=project)


def test_parameter_missing_from_params_yaml_is_named(project: Path):
    (project / "params.yaml").write_text("who: {}\n")
    with pytest.raises(VindimaError, match=r"params.yaml lacks who.name"):
        run.run_stage("greet", root=project)


def test_own_error_in_a_notebook_ends_as_its_sentence(project: Path):
    with pytest.raises(VindimaError, match=r"^stage greet: greet: expected a name, got none$"):
        run.run_stage("greet", {"name": ""}, root=project)


def test_other_error_in_a_notebook_names_the_log(project: Path):
    with pytest.raises(VindimaError, match=r"stage greet stopped at cell .*TypeError.*reports/runs/10-greet.ipynb"):
        run.run_stage("greet", {"name": 3}, root=project)


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
    (project_outputs / "params.yaml").write_text("data: {last_year: null}\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=project_outputs, check=True)
    return project_outputs


def vindima(root: Path, *arguments: str) -> str:
    """What `vindima` prints in the project at `root`."""
    command = [sys.executable, "-c", "from vindima.cli import main; main()", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VINDIMA_")}
    environment = kept | {"VINDIMA_ROOT": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


@pytest.mark.parametrize(("settings", "arguments"), [("2023", ["run"]), ("null", ["run", "--until", "evaluate"])])
def test_experiment_or_part_of_the_pipeline_keeps_no_forecasts(pipeline: Path, settings: str, arguments: list[str]):
    (pipeline / "params.yaml").write_text(f"data: {{last_year: {settings}}}\n")
    assert vindima(pipeline, *arguments).count("evaluated") == 1
    assert publications(pipeline) == {}
