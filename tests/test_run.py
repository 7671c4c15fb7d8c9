"""Stages take exactly the parameters that they name, and end with the sentence that went wrong."""

from pathlib import Path

import nbformat
import pytest

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
