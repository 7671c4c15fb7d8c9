"""The report in a real browser (Debian's chromium) over a real Voila server, with no other host within reach."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT

pytestmark = pytest.mark.services


@pytest.fixture
def voila(served_set: Path, tmp_path: Path) -> Iterator[str]:
    """Address of Voila serving the reports from the example set."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [sys.executable, "-m", "voila", "notebooks/reports", "--no-browser", f"--port={port}"]
    environment = os.environ | {"VINDIMA_SERVED": str(served_set), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    log = (tmp_path / "voila.log").open("w")
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(address, timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "voila.log").read_text()
                assert time.monotonic() < deadline, "Voila did not start within a minute"
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium")
    if not found:
        pytest.skip("chromium is not installed (Debian's package chromium)")
    return found


def test_outlook_draws_in_a_browser_without_internet(voila: str, chromium: str, tmp_path: Path):
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=60000", "--timeout=60000",
        "--dump-dom", f"{voila}/voila/render/outlook.ipynb",
    ]  # fmt: skip
    page = subprocess.run(command, capture_output=True, text=True, timeout=150, check=True).stdout
    assert "Em 2023, um quilograma custou US$ 2,50." in page
    assert "<svg" in page
    assert "Baixar a tabela (CSV)" in page


def test_report_shows_visitors_no_code(voila: str):
    assert "store.load()" not in requests.get(f"{voila}/voila/render/outlook.ipynb", timeout=60).text
