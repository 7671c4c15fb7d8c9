"""A new set takes the place of the old one while the service answers: old or new, never a mixture, never a gap."""

import json
import logging
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import requests

from tests.servers import SECRET, SERVERS, VINDIMA, environment_of, running
from vindima.errors import VindimaError
from vindima.serving import auth, sets, store
from vindima.serving.api import create_app
from vindima.serving.current import Current

CHILE = "imports.table_wine.CHL"
NEWER = "ba9876543210"


@pytest.fixture
def newer(project_outputs: Path) -> Path:
    """The outputs of a later run: another vintage, and every forecast twice as high."""
    for name in ("data/raw/manifest.json", "models/model.json"):
        content = json.loads((project_outputs / name).read_bytes()) | {"vintage": NEWER}
        (project_outputs / name).write_text(json.dumps(content), encoding="utf-8")
    path = project_outputs / "data/forecasts/forecasts.parquet"
    table = pd.read_parquet(path)
    prices = ["forecast", "q025", "q10", "q50", "q90", "q975"]
    table[prices] *= 2
    table.to_parquet(path)
    return project_outputs


def vintage_of(current: Current) -> str:
    assert current.answers
    return current.answers.provenance["vintage"]


def test_new_set_is_taken_at_the_next_look(served_set: Path, newer: Path) -> None:
    current = Current(served_set)
    before = current.answers
    current.look()
    assert current.answers is before
    store.switch(newer, served_set)
    assert vintage_of(current) == "0123456789ab"
    current.look()
    assert vintage_of(current) == NEWER


def test_same_set_written_again_is_not_read_again(served_set: Path, tmp_path: Path) -> None:
    current = Current(served_set)
    before = current.answers
    shutil.copytree(served_set, tmp_path / "copy")
    shutil.rmtree(served_set)
    (tmp_path / "copy").rename(served_set)
    current.look()
    assert current.answers is before


DAMAGES = {
    "truncated": lambda folder: (folder / sets.SERVICE).write_bytes((folder / sets.SERVICE).read_bytes()[:5000]),
    "a bit": lambda folder: (folder / "models/model.json").write_bytes(
        (folder / "models/model.json").read_bytes().replace(b"naive", b"naivE")
    ),
    "missing": lambda folder: (folder / "data/prices/prices.parquet").unlink(),
    "no listing": lambda folder: (folder / sets.LISTING).unlink(),
    "no JSON": lambda folder: (folder / sets.LISTING).write_text("{", encoding="utf-8"),
    "another version": lambda folder: (folder / sets.LISTING).write_text(
        (folder / sets.LISTING).read_text(encoding="utf-8").replace(f'"format": {sets.FORMAT}', '"format": 1'),
        encoding="utf-8",
    ),
    "garbage": lambda folder: (
        (folder / sets.SERVICE).write_bytes(b"SQLite format 3\0" + b"wine" * 5000),
        sets.list_files(folder, [*store.FILES, sets.SERVICE]),
    ),
    "no tables": lambda folder: (
        (folder / sets.SERVICE).write_bytes(b""),
        sets.list_files(folder, [*store.FILES, sets.SERVICE]),
    ),
}
SAID = {
    "truncated": r"service\.sqlite in .* is damaged",
    "a bit": r"models/model\.json in .* is damaged",
    "missing": r"data/prices/prices\.parquet is missing in",
    "no listing": r"set\.json is missing in",
    "no JSON": r"set\.json in .* is damaged",
    "another version": rf"is of format 1, expected {sets.FORMAT}",
    "garbage": r"the tables that the service answers from are not as expected",
    "no tables": r"the tables that the service answers from are not as expected",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_set_is_refused_at_the_start_and_while_running_with_the_reason(
    damage: str, served_set: Path, newer: Path, users: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    current: Current = client.application.extensions["vindima"]
    store.switch(newer, served_set)
    DAMAGES[damage](served_set)
    with caplog.at_level(logging.ERROR):
        client.get("/health/live")
        current.look()
        current.look()
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json["vintage"]) == (200, "0123456789ab")
    with pytest.raises(VindimaError, match=SAID[damage]):
        raise VindimaError(ready.json["refused"])
    assert len([one for one in caplog.records if "the one before goes on answering" in one.getMessage()]) == 1
    started = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    assert started.get("/health/ready").status_code == 503
    assert started.get("/health/live").status_code == 200
    store.switch(newer, served_set)
    current.look()
    assert client.get("/health/ready").json == {"status": "ready", "vintage": NEWER}


def test_prediction_that_comes_out_otherwise_than_it_should_is_not_ready(served_set: Path, users: Path) -> None:
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    answers = client.application.extensions["vindima"].answers
    answers._known["forecast"] *= 1.01
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert "a known prediction came out as" in ready.json["detail"]


@pytest.mark.parametrize("server", SERVERS)
def test_switch_under_load_loses_no_request_and_mixes_no_answer(
    server: str, served_set: Path, newer: Path, users: Path, tmp_path: Path
) -> None:
    environment = environment_of(served_set, users)
    auth.prepare(users, SECRET)
    token = auth.issue_token(users, SECRET, auth.User("ana", "reader", disabled=False))
    address = f"http://127.0.0.1:{environment['PORT']}"
    answers: Counter[tuple[int, str, float]] = Counter()
    done = threading.Event()

    def ask() -> None:
        body = {"series": CHILE, "scenario": {"exchange_rate": {"pct": 0}}}
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            while not done.is_set():
                for reply in (
                    session.get(f"{address}/v1/series/{CHILE}/forecast?horizon=1", timeout=10),
                    session.post(f"{address}/v1/predictions", json=body, timeout=10),
                ):
                    given = reply.json()
                    key = reply.status_code, given["provenance"]["vintage"], given["path"][0]["forecast"]
                    answers[key] += 1

    with (
        running([*VINDIMA, "serve", "--server", server], environment, tmp_path / "log.txt"),
        ThreadPoolExecutor(8) as clients,
    ):
        asked = [clients.submit(ask) for _ in range(8)]
        try:
            time.sleep(0.5)
            store.switch(newer, served_set)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.2)
                before = answers.copy()
                time.sleep(0.3)
                if all(key[1] == NEWER for key in answers - before):
                    break
        finally:
            done.set()
        for one in asked:
            one.result()
    assert set(answers) == {(200, "0123456789ab", 2.5), (200, NEWER, 5.0)}
    assert min(answers.values()) > 20
