"""The schedule: one entry of the crontab, no other touched; a real cron runs it."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_runs import project  # noqa: F401
from vindima import paths, runs, schedule
from vindima.errors import VindimaError

needs_crontab = pytest.mark.skipif(shutil.which("crontab") is None, reason="crontab is not installed (package cron)")
OTHERS = "# a comment of mine\nMAILTO=ana\n0 4 * * * /usr/bin/backup --all # nightly\n"


def crontab() -> str:
    return subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False).stdout


def fill(content: str) -> None:
    subprocess.run(["crontab", "-"], input=content, text=True, check=True)


@pytest.fixture
def others() -> Iterator[None]:
    """A crontab with entries of somebody else; the one that was there before is put back."""
    before = crontab()
    fill(OTHERS)
    yield
    fill(before)


@pytest.mark.services
@needs_crontab
def test_entry_is_installed_shown_replaced_and_removed_and_no_other_is_touched(others: None):
    entry = schedule.install("17 5 * * 1")
    assert entry.startswith(f"17 5 * * 1 cd {paths.ROOT} && {sys.executable} -m vindima run --refresh > /dev/null")
    assert schedule.show() == entry
    schedule.install("@daily")
    lines = crontab().strip().split("\n")
    assert len([line for line in lines if "vindima run" in line]) == 1
    assert all(line in lines for line in OTHERS.strip().split("\n"))
    assert schedule.remove()
    assert not schedule.remove()
    assert schedule.show() is None
    assert crontab().split() == OTHERS.split()


@pytest.mark.services
@needs_crontab
def test_entry_of_another_project_stays(others: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    schedule.install()
    monkeypatch.setattr(paths, "ROOT", tmp_path / "a project, 100% other")
    schedule.install("5 5 * * *")
    assert crontab().count("vindima run") == 2
    assert r"100\% other" in crontab()
    schedule.remove()
    assert crontab().count("vindima run") == 1


@pytest.mark.services
@needs_crontab
def test_entry_carries_the_settings_that_cron_would_not_have(others: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VINDIMA_SOURCE", "http://mirror.example/a b")
    monkeypatch.setenv("VINDIMA_JWT_SECRET", "no matter of a run's")
    entry = schedule.install()
    assert "VINDIMA_SOURCE='http://mirror.example/a b' " in entry
    assert "SECRET" not in entry


@pytest.mark.parametrize("when", ["soon", "61 5 * * 1", "* * * *", "", "1 2 3 4 5 rm -rf"])
def test_time_that_is_none_is_refused(when: str):
    with pytest.raises(VindimaError, match=f"expected five fields of cron .* got {re.escape(repr(when))}"):
        schedule.install(when)


def test_without_cron_the_timer_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(VindimaError, match=r"there is no crontab here .* deploy/systemd"):
        schedule.show()


@pytest.mark.services
@needs_crontab
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="the cron daemon wants to be root")
def test_cron_runs_it(others: None, project: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """Debian's cron, on a schedule of a minute; the source is down, which the run says."""
    daemon = shutil.which("cron")
    assert daemon, "the package cron has both programs"
    monkeypatch.setattr(paths, "ROOT", project)
    monkeypatch.setenv("VINDIMA_SOURCE", "http://127.0.0.1:9")
    schedule.install("* * * * *")
    running = subprocess.run(["pgrep", "-x", "cron"], capture_output=True, check=False).returncode == 0
    process = None if running else subprocess.Popen([daemon, "-f"])
    try:
        deadline = time.monotonic() + 150
        while not [one for one in runs.states(project / "reports" / "runs") if one["state"] == "ended"]:
            assert time.monotonic() < deadline, "cron started no run"
            time.sleep(1)
    finally:
        schedule.remove()
        if process:
            process.terminate()
            process.wait(timeout=10)
    ended = runs.states(project / "reports" / "runs")[-1]
    assert (ended["refresh"], ended["outcome"]) == (True, "failed")
    assert "the source could not be collected (http://127.0.0.1:9); none has worked yet" in ended["message"]


def test_systemd_timer_starts_the_same_run_weekly():
    units = {}
    for kind in ("service", "timer"):
        units[kind] = configparser.ConfigParser(strict=False, interpolation=None)
        units[kind].optionxform = str  # type: ignore[assignment,method-assign]
        units[kind].read(ROOT / "deploy" / "systemd" / f"vindima-refresh.{kind}")
    assert units["service"]["Service"]["ExecStart"].endswith(" -m vindima run --refresh")
    assert units["timer"]["Timer"]["OnCalendar"] == "Mon 05:17"
    if analyze := shutil.which("systemd-analyze"):
        subprocess.run([analyze, "calendar", "Mon 05:17"], check=True, capture_output=True)
