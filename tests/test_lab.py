"""`make lab`: JupyterLab over the project's folder, as its target starts it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT
from tests.servers import free_port

TOKEN = "a token of the tests"
EXPLORE = "notebooks/explore.ipynb"
LOG = "lab.log"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, the notebook to explore and one executed copy."""
    folder = tmp_path / "project"
    for copy in (EXPLORE, "reports/runs/30-prices.ipynb"):
        (folder / copy).parent.mkdir(parents=True)
        shutil.copy(ROOT / EXPLORE, folder / copy)
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def command(project: Path, user: int) -> str:
    """What `make lab` runs where `id -u` says that this is the user."""
    programs = project.parent / "programs"
    programs.mkdir()
    (programs / "id").write_text(f"#!/bin/sh\necho {user}\n", encoding="utf-8")
    (programs / "id").chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    make = ["make", "--dry-run", "--assume-old=.venv/.ready", "--no-print-directory", "lab"]
    return subprocess.run(
        make, cwd=project, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def lab(project: Path) -> Iterator[str]:
    """Address of a JupyterLab that was started as the target does, but for its port and the browser."""
    port = free_port()
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_TOKEN": TOKEN,
        **{f"JUPYTER_{name}_DIR": str(project.parent / name) for name in ("CONFIG", "DATA", "RUNTIME")},
    }
    shell = f"{command(project, os.getuid()).replace('&& ', '&& exec ')} --no-browser --port={port}"
    with (project.parent / LOG).open("w") as log:
        process = subprocess.Popen(["sh", "-c", shell], cwd=project, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(f"{address}/api", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (project.parent / LOG).read_text()
                assert time.monotonic() < deadline, "JupyterLab did not start within a minute"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(address: str, path: str) -> requests.Response:
    return requests.get(f"{address}/{path}", headers={"Authorization": f"token {TOKEN}"}, timeout=10)


def test_lab_opens_the_notebook_to_explore_and_lists_the_executed_stages(lab: str, project: Path):
    notebook = ask(lab, f"api/contents/{EXPLORE}").json()
    assert (notebook["type"], notebook["content"]["cells"][0]["cell_type"]) == ("notebook", "markdown")
    assert [entry["name"] for entry in ask(lab, "api/contents/reports/runs").json()["content"]] == ["30-prices.ipynb"]
    assert ask(lab, f"lab/tree/{EXPLORE}").status_code == 200
    said = (project.parent / LOG).read_text(encoding="utf-8")
    assert f"Open {EXPLORE} first" in said
    assert f"{lab}/lab/tree/{EXPLORE}" in said
    assert requests.get(f"{lab}/api/contents/{EXPLORE}", timeout=10).status_code == 403


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_lab_allows_root_only_where_the_user_is_root(project: Path, user: int, allowed: bool):
    assert ("--allow-root" in command(project, user)) == allowed
