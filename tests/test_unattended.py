"""A new vintage arrives and nobody does anything: cron's run collects it, service and reports show what it says."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import requests

from benchmarks.browser import REPORTS, voila
from benchmarks.pipeline import copy_working_tree
from tests.servers import VINDIMA, environment_of, running
from tests.test_pipeline import call, make_small
from tests.test_schedule import needs_crontab, others  # noqa: F401
from vindima import paths, runs, schedule
from vindima.ingestion import figures, mirror, parse
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.figures import Bundled, BundledTable

pytestmark = [
    pytest.mark.services,
    needs_crontab,
    pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() != 0, reason="the cron daemon wants to be root"),
]
BEFORE, AFTER = 2000, 2001
"""The newest years of trade of both vintages: few years, so that each run takes a minute."""


def up_to(last_year: int) -> Bundled:
    """The bundled figures as they were once `last_year` was the newest."""
    bundled = figures.read(paths.FIGURES)
    tables = {}
    for slug, item in bundled.tables.items():
        columns = parse.read_columns(item.layout.header, TABLES[slug])
        width = len(TABLES[slug].measures)
        later = {index for place, index in enumerate(columns.cells) if columns.years[place // width] > last_year}
        header, *records = (
            [field for index, field in enumerate(line) if index not in later]
            for line in [item.layout.header, *item.layout.records]
        )
        layout = dataclasses.replace(item.layout, header=header, records=records)
        tables[slug] = BundledTable(parse.from_layout(layout, TABLES[slug]), layout, item.retrieved_on)
    return Bundled(tables, [note for note in bundled.footnotes if note.year <= last_year])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The project as it is after a run on the earlier vintage."""
    folder = tmp_path / "vindima"
    copy_working_tree(folder)
    make_small(folder)
    parameters = folder / "params.yaml"
    parameters.write_text(re.sub(r"last_year: \d+", "last_year: null", parameters.read_text()))
    for published in (folder / "data" / "published").glob("*.parquet"):
        published.unlink()
    figures.save(up_to(BEFORE), [], folder / "data" / "figures")
    call(folder, "vindima", "run")
    return folder


def wait_for(true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(1)


def test_new_vintage_is_collected_renewed_scored_and_shown(
    root: Path, tmp_path: Path, users: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    request.getfixturevalue("others")
    states = root / "reports" / "runs"
    served, told = root / "data" / "served", tmp_path / "told.json"
    environment = environment_of(served, users) | {"VINDIMA_ROOT": str(root)}
    figures.save(up_to(AFTER), [], tmp_path / "figures")
    hook = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    (tmp_path / "reports").mkdir()
    with (
        mirror.running(tmp_path / "figures") as source,
        running([*VINDIMA, "serve"], environment, tmp_path / "service.log"),
        voila([*REPORTS, "--host", "127.0.0.1"], environment, tmp_path / "reports") as (reports, _),
    ):
        ready = f"http://127.0.0.1:{environment['PORT']}/health/ready"
        before = requests.get(ready, timeout=10).json()["vintage"]
        assert f"<dt>{BEFORE}</dt>" in requests.get(reports, timeout=30).text
        monkeypatch.setattr(paths, "ROOT", root)
        monkeypatch.setenv("VINDIMA_SOURCE", source)
        monkeypatch.setenv("VINDIMA_ON_NEW_DATA", f'{sys.executable} -c "{hook}"')
        schedule.install("* * * * *")
        daemon = subprocess.Popen([str(shutil.which("cron")), "-f"])
        try:
            ended = lambda outcome: [one for one in runs.states(states) if one["outcome"] == outcome]  # noqa: E731
            wait_for(lambda: ended("new_data") or ended("failed"), 600, "cron's run did not end")
            assert not ended("failed"), (states / "run.log").read_text()[-3000:]
            wait_for(lambda: ended("nothing_new"), 180, "the run after it did not find that there is nothing new")
        finally:
            schedule.remove()
            daemon.terminate()
            daemon.wait(timeout=10)
        [first] = ended("new_data")
        assert json.loads(told.read_text())["id"] == first["id"]
        wait_for(lambda: requests.get(ready, timeout=10).json()["vintage"] == first["vintage"], 30, "the service")
        assert first["vintage"] != before
        page = requests.get(reports, timeout=30).text
        assert f"<dt>{AFTER}</dt>" in page
        assert first["vintage"] in page
    manifest = json.loads((root / "data" / "raw" / "manifest.json").read_text())
    added = [one for one in manifest["revisions"] if one["kind"] == "year_added"]
    assert {one["year"] for one in added} == {AFTER}
    published = {path.stem: pd.read_parquet(path) for path in (root / "data" / "published").glob("*.parquet")}
    assert {name: set(table["cutoff"]) for name, table in published.items()} == {
        before: {BEFORE},
        first["vintage"]: {AFTER},
    }
    card = (root / "models" / "card.md").read_text()
    assert before in card  # the earlier forecasts, scored by what came
    assert "Traceback" not in (root / "reports" / "runs" / "run.log").read_text()
