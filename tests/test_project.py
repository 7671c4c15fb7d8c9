"""The rules of the house, held by machine: layers, types, style, clean notebooks, documented commands."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.conftest import ROOT
from vindima.cli import main
from vindima.ingestion import figures
from vindima.run import stage_notebook, stage_parameters

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("[!.]*.ipynb"))
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("importlinter.cli", "lint")],
    ids=lambda command: " ".join(command),
)
def test_code_obeys(command: tuple[str, ...]):
    if command[0] == "importlinter.cli":
        result = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    else:
        result = run(*command)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_without_outputs_and_names_its_kernel(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_tells_and_modules_do(path: Path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not re.search(r"^\s*(def|class|for|while|import re)\b", cell.source, re.MULTILINE), cell.source


@pytest.mark.parametrize("stage", [name for name in STAGES if STAGES[name]["cmd"].startswith("vindima stage ")])
def test_stage_depends_on_its_notebook_and_gives_it_exactly_its_parameters(stage: str):
    import papermill

    notebook = stage_notebook(stage, ROOT / "notebooks")
    assert notebook.relative_to(ROOT).as_posix() in STAGES[stage]["deps"]
    assert set(stage_parameters(stage, ROOT)) == set(papermill.inspect_notebook(str(notebook)))


@pytest.mark.parametrize("name", sorted(main.commands))
def test_command_is_documented(name: str):
    assert main.commands[name].help
    assert f"vindima {name}" in README


def test_command_whose_library_is_not_installed_ends_with_one_sentence():
    program = "import sys; sys.modules['yaml'] = None; from vindima.cli import main; main(['check'])"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert ended.stderr.startswith("vindima: this command needs yaml, which is not installed here")


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in targets[1].split():
        assert f"make {target} " in listed


def test_every_environment_variable_is_in_the_readme():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in set(re.findall(r"os\.environ(?:\.get)?[\[(]\"(\w+)\"", code)):
        assert f"`{name}`" in README, name


def test_software_and_statistics_can_be_cited_in_the_form_that_archives_read():
    """The fields that the Citation File Format 1.2.0 requires."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    (database,) = citation["references"]
    for work in (citation, database):
        assert work["title"]
        assert work["authors"][0]["name"]
    assert citation["message"]
    assert citation["version"] == version("vindima")
    assert citation["license"] == "BSD-3-Clause"
    assert database["authors"][0]["name"] == "Embrapa Uva e Vinho"


@pytest.mark.committed
def test_readmes_show_the_reports_of_the_vintage_that_is_bundled():
    """`make screenshots` takes them again."""
    published = (ROOT / "data" / "published").glob("*.parquet")
    newest = max(published, key=lambda path: pd.read_parquet(path)["cutoff"].max()).stem
    portuguese = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
    for text, ending in ((README, ""), (portuguese, ".pt-BR")):
        for width in (1440, 390):
            name = f"reports/screenshots/outlook-{width}{ending}.png"
            assert f'<img src="{name}"' in text
            with Image.open(ROOT / name) as picture:
                assert picture.width == width
                assert picture.info["vintage"] == newest, "make screenshots"


def test_statistics_are_cited_as_of_the_day_of_the_bundled_vintage():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    day = figures.read(ROOT / "data" / "figures").retrieved_on
    assert str(citation["references"][0]["date-accessed"]) == day


@pytest.mark.committed
@pytest.mark.parametrize(("model", "named"), [("boosting", "gradient boosting"), ("auto_ets", "AutoETS")])
def test_scores_of_the_other_methods_in_both_readmes_are_those_of_the_table(model: str, named: str):
    table = pd.read_csv(ROOT / "reports" / "scores.csv")
    rows = table[(table["actuals"] == "corrected") & (table["model"] == model)].set_index("group")["mae_rel_naive"]
    numbers = f" | {rows['all']:.3f} | {rows['totals']:.3f} |"
    assert re.search(rf"^\| {named}.*{re.escape(numbers)}$", README, re.M)
    portuguese = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| {named}.*{re.escape(numbers.replace('.', ','))}$", portuguese, re.M)


@pytest.mark.committed
def test_scores_in_both_readmes_are_those_of_the_metrics_file():
    metrics = json.loads((ROOT / "reports" / "metrics.json").read_text(encoding="utf-8"))
    portuguese = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
    in_reais = metrics.pop("reais")
    for name, stands in (("pinball_rel_autoets", [metrics]), ("mae_rel_naive", [metrics, in_reais["nominal"]])):
        for stand in stands:
            row = f"| {stand['all'][name]:.3f} | {stand['totals'][name]:.3f} |"
            assert row in README
            assert row.replace(".", ",") in portuguese
    for stand in in_reais["real"].values():
        assert f"| {stand['mae_rel_naive']:.3f}, " in README
        assert f"| {stand['mae_rel_naive']:.3f}, ".replace(".", ",", 1) in portuguese
    for stand in [*metrics.values(), *in_reais["nominal"].values(), *in_reais["real"].values()]:
        coverage = f"{stand['coverage_80']:.1%} {stand['coverage_95']:.1%}".replace("%", "")
        assert coverage.replace(" ", " and ") in README
        assert coverage.replace(" ", " e ").replace(".", ",") in portuguese
