"""A real browser and a real Voila, for the benchmark and the tests of the reports."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests
from selenium import webdriver

from benchmarks.attacks import wait_for

REPORTS = [sys.executable, "-c", "from vindima.cli import main; main()", "reports"]
CHROMIUM = ("chromium", "chromedriver")
"""Debian's packages chromium and chromium-driver."""


def installed() -> bool:
    """Whether the browser and its driver are on the PATH."""
    return all(map(shutil.which, CHROMIUM))


@contextmanager
def chromium(folder: Path, *arguments: str) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, headless, in Portuguese, to which no host but this machine's loopback exists.

    Its profile and, in `downloads`, what it downloads are in `folder`.
    """
    program, driver = map(shutil.which, CHROMIUM)
    options = webdriver.ChromeOptions()
    options.binary_location = str(program)
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1440,1000", *arguments,
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": "pt-BR,pt"})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        there = {"behavior": "allow", "downloadPath": str(folder / "downloads")}
        window.execute_cdp_cmd("Browser.setDownloadBehavior", there)
        yield window
    finally:
        window.quit()


@contextmanager
def voila(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address and process of a server of reports that answers; `command` gets `--host` (of ours) and `--port`.

    Its log is `voila.log` in `folder`, where it runs.
    """
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with (folder / "voila.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(partial(_ask, address), process)
        yield address, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _ask(address: str) -> None:
    requests.get(address, timeout=5)
