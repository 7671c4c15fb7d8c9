"""Collections: what an operator starts and asks for, from the real service over a small project of DVC."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from tests.servers import SECRET, VINDIMA, environment_of, running, small_project
from vindima import runs
from vindima.errors import VindimaError
from vindima.serving import auth
from vindima.serving.api import create_app

WORDS = ["id", "state", "stage", "progress", "started_at", "ended_at", "outcome", "message"]
SERVE = [*VINDIMA, "serve"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return small_project(tmp_path / "collected")


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "reports" / "runs"


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """A source that takes calls and answers none, so that a collection lasts as long as a test wants it to."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@dataclass(frozen=True)
class Service:
    """How the service is started, and called as an operator."""

    environment: dict[str, str]
    log: Path

    def running(self, command: list[str] = SERVE, **more: str):
        return running(command, self.environment | more, self.log)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.environment['PORT']}"

    def call(self, method: str, path: str, name: str = "rita", **what) -> requests.Response:
        """Over a connection of its own: both workers get some."""
        user = auth.User(name, "operator", disabled=False)
        token = auth.issue_token(Path(self.environment["VINDIMA_USERS"]), SECRET, user)
        headers = {"Authorization": f"Bearer {token}"} | what.pop("headers", {})
        return requests.request(method, self.base + path, headers=headers, timeout=30, **what)

    def collect(self, body: object = None) -> requests.Response:
        return self.call("POST", "/v1/collections", json={} if body is None else body)

    def until(self, path: str, true: Callable[[dict], object], seconds: float = 60) -> list[dict]:
        """What a run said of itself, up to where it is as wished."""
        said = []
        deadline = time.monotonic() + seconds
        while not (said and true(said[-1])):
            assert time.monotonic() < deadline, said[-1]
            said.append(self.call("GET", path).json())
            time.sleep(0.05)
        return said


@pytest.fixture
def service(root: Path, served_set: Path, users: Path, tmp_path: Path, silent: str) -> Iterator[Service]:
    """Not running yet. Whatever run it has started is ended after the test."""
    auth.add(users, "rita", "alicante bouschet", "operator")
    auth.prepare(users, SECRET)
    environment = environment_of(served_set, users) | {"VINDIMA_ROOT": str(root), "VINDIMA_SOURCE": silent}
    yield Service(environment, tmp_path / "log.txt")
    for one in runs.states(root / "reports" / "runs"):
        for number in (one["process"], *one.get("child", [])[:1]):
            if one["state"] != "ended" and number != os.getpid() and psutil.pid_exists(number):
                os.kill(number, signal.SIGKILL)


def ended(said: dict) -> bool:
    return said["state"] == "ended"


def begun(said: dict) -> bool:
    return said["stage"] == "collect"


# ---- over HTTP


def test_collection_is_queued_runs_and_ends_and_says_why_it_failed(service: Service, folder: Path):
    with service.running(VINDIMA_SOURCE="http://127.0.0.1:9") as server:
        answer = service.collect()
        assert answer.status_code == 202
        assert list(answer.json()) == WORDS
        counted = 'vindima_requests_total{endpoint="collections.collect",method="POST",status="202"} 1.0'
        assert counted in service.call("GET", "/metrics").text
        assert (answer.json()["state"], answer.json()["outcome"]) == ("queued", None)
        where = answer.headers["Location"]
        assert where == f"/v1/collections/{answer.json()['id']}"
        said = service.until(where, ended, 120)
        assert list(dict.fromkeys(one["state"] for one in said)) == ["queued", "running", "ended"]
        assert "collect" in [one["stage"] for one in said]
        assert said[-1]["outcome"] == "failed"
        assert "the source could not be collected (http://127.0.0.1:9); none has worked yet" in said[-1]["message"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said[-1]["ended_at"])
        assert "vindima.runs" not in service.log.read_text()
        assert "could not be collected" in (folder / "run.log").read_text()
        workers = psutil.Process(server.pid).children(recursive=True)
        assert psutil.STATUS_ZOMBIE not in [one.status() for one in workers]
        again = service.collect({"pipeline": False})
        assert (again.status_code, again.json()["id"]) == (202, "000002")
        assert runs.state("000002", folder)["until"] == "collect"


def test_second_is_refused_with_the_first_and_all_workers_agree(service: Service):
    with service.running():
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: service.collect(), range(8)))
        assert sorted(answer.status_code for answer in answers) == [202] + 7 * [409]
        [first] = [answer for answer in answers if answer.status_code == 202]
        for answer in answers:
            said = answer.json()
            assert (said["id"], answer.headers["Location"]) == (first.json()["id"], first.headers["Location"])
            if answer.status_code == 409:
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert said["detail"] == "Run 000001 is queued, and there is one at a time."
                assert said["state"] == "queued"
        service.until(first.headers["Location"], begun)
        for _ in range(20):
            assert service.call("GET", first.headers["Location"]).json()["state"] == "running"
            refused = service.collect()
            assert (refused.status_code, refused.json()["state"]) == (409, "running")


def test_run_goes_on_where_the_service_ends_and_the_next_service_knows_it(service: Service, folder: Path):
    with service.running():
        where = service.collect().headers["Location"]
        service.until(where, begun)
    process = runs.states(folder)[0]["process"]
    assert psutil.pid_exists(process)
    with service.running():
        assert service.call("GET", where).json()["state"] == "running"
        assert service.collect().status_code == 409
        os.kill(process, signal.SIGTERM)
        last = service.until(where, ended)[-1]
        assert (last["outcome"], last["message"]) == ("stopped", "the run was told to end (SIGTERM)")
        assert service.collect().status_code == 202


def test_run_that_was_killed_has_died_and_the_next_one_begins(service: Service, folder: Path):
    with service.running():
        where = service.collect().headers["Location"]
        service.until(where, begun)
        os.kill(runs.states(folder)[0]["process"], signal.SIGKILL)
        last = service.until(where, ended)[-1]
        assert (last["outcome"], last["ended_at"]) == ("died", None)
        assert service.collect().status_code == 202


def test_run_by_hand_is_seen_and_refuses_as_one_of_the_service_does(service: Service, root: Path, folder: Path):
    with service.running():
        by_hand = subprocess.Popen(
            [*VINDIMA, "run", "--refresh"], cwd=root, env=service.environment, stdout=subprocess.DEVNULL
        )
        while not runs.states(folder):
            time.sleep(0.05)
        service.until("/v1/collections/000001", begun)
        refused = service.collect()
        assert (refused.status_code, refused.json()["id"]) == (409, "000001")
        by_hand.terminate()
        assert by_hand.wait(60) == 1
        assert service.call("GET", "/v1/collections/000001").json()["outcome"] == "stopped"


def test_run_that_cannot_begin_says_why(service: Service, root: Path):
    (root / "params.yaml").write_text("collect: 3\n")
    with service.running():
        where = service.collect().headers["Location"]
        last = service.until(where, ended)[-1]
        assert last["outcome"] == "failed"
        assert last["message"].startswith("params.yaml")


def test_reader_is_refused_and_without_a_token_nobody_is_let_in(service: Service, folder: Path):
    with service.running():
        for method, path in (("POST", "/v1/collections"), ("GET", "/v1/collections/000001")):
            answer = service.call(method, path, name="ana", json={})  # what her token says of her role counts nothing
            assert answer.status_code == 403
            assert answer.json()["errors"][0]["expected"] == "a token of an operator"
            assert requests.request(method, service.base + path, json={}, timeout=10).status_code == 401
    assert not folder.exists()


@pytest.mark.parametrize(
    ("what", "status", "field"),
    [
        ({"json": {"pipeline": "false"}}, 422, "pipeline"),
        ({"json": {"pipeline": None}}, 422, "pipeline"),
        ({"json": {"until": "collect"}}, 422, "until"),
        ({"json": []}, 422, "body"),
        ({"json": {}, "params": {"pipeline": "false"}}, 422, "pipeline"),
        ({"data": "{", "headers": {"Content-Type": "application/json"}}, 400, "body"),
        ({"data": {"pipeline": "false"}}, 415, "Content-Type"),
        ({}, 415, "Content-Type"),
    ],
)
def test_wrong_body_starts_nothing(request_of, what: dict, status: int, field: str):
    answer = request_of("POST", "/v1/collections", **what)
    assert answer.status_code == status
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


@pytest.mark.parametrize("name", ["000001", "1", "no", "..%2F..%2Fusers", "%00"])
def test_unknown_run_is_404(request_of, name: str):
    assert request_of("GET", f"/v1/collections/{name}").status_code == 404


@pytest.fixture
def request_of(root: Path, folder: Path, served_set: Path, users: Path, monkeypatch: pytest.MonkeyPatch):
    """A call of an operator, in this process; no run may have come of it."""
    monkeypatch.setattr(runs.paths, "ROOT", root)
    monkeypatch.setattr(runs.look, "__defaults__", (folder,))
    monkeypatch.setattr(runs.start, "__defaults__", (False, None, folder))
    auth.add(users, "rita", "alicante bouschet", "operator")
    client = create_app({"SERVED": served_set, "USERS": users, "JWT_SECRET": SECRET}).test_client()
    token = auth.issue_token(users, SECRET, auth.User("rita", "operator", disabled=False))

    def call(method: str, path: str, params: dict | None = None, headers: dict | None = None, **what):
        bearer = {"Authorization": f"Bearer {token}"} | (headers or {})
        return client.open(path, method=method, query_string=params, headers=bearer, **what)

    yield call
    assert not folder.exists()


def test_service_without_a_set_collects_all_the_same(service: Service, tmp_path: Path):
    without = Service(service.environment | {"VINDIMA_SERVED": str(tmp_path / "none")}, service.log)
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{without.environment['PORT']}", "app:app"]
    with without.running(command):
        assert without.call("GET", "/v1/series").status_code == 503
        assert without.collect().status_code == 202


def test_folder_that_cannot_be_written_is_503_with_the_reason(service: Service, root: Path):
    (root / "reports").write_text("")
    with service.running():
        answer = service.collect()
        assert answer.status_code == 503
        assert re.match("no run can be begun, .*reports/runs cannot be written: ", answer.json()["detail"])


@pytest.mark.parametrize("without", ["libraries", "project"])
def test_service_without_a_pipeline_says_so(service: Service, root: Path, without: str):
    command = SERVE
    if without == "libraries":
        none = "import sys; sys.modules['dvc'] = sys.modules['filelock'] = sys.modules['psutil'] = None; "
        command = [sys.executable, "-c", none + VINDIMA[-1].partition("; ")[0] + "; main(['serve'])"]
        why = "dvc is not installed"
    else:
        (root / "dvc.yaml").unlink()
        why = f"there is no dvc.yaml in {root}"
    with service.running(command):
        for answer in (service.collect(), service.call("GET", "/v1/collections/000001")):
            assert answer.status_code == 501
            assert answer.json()["detail"] == (
                f"This service cannot collect, it has no pipeline: {why}. It serves what another makes."
            )
        assert service.call("GET", "/v1/series").status_code == 200


def test_workers_stay_light(service: Service):
    with service.running() as server:
        service.collect()
        for worker in psutil.Process(server.pid).children():
            assert worker.memory_info().rss < 90_000_000


# ---- how it is told who is queued


def test_queued_run_whose_process_is_gone_blocks_nobody(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs.paths, "ROOT", root)
    program = "import pathlib, sys; from vindima import runs; runs.announce(folder=pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    assert runs.state("000001", folder)["state"] == "queued"
    assert runs.look("000001", folder)["outcome"] == "died"
    queued = runs.start(refresh=False, folder=folder)
    wait_for(partial(runs.state, queued["id"], folder))
    assert [one["outcome"] for one in runs.states(folder)][-1] == "died"


def wait_for(state: Callable[[], dict]) -> dict:
    deadline = time.monotonic() + 60
    while (found := state())["state"] != "ended":
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_queued_run_of_a_living_process_is_waited_for(folder: Path):
    waiting = runs.announce(folder=folder)
    with pytest.raises(runs.Busy) as busy:
        runs.start(folder=folder)
    assert busy.value.state["id"] == waiting["id"]
    assert len(runs.states(folder)) == 1


@pytest.mark.parametrize(("since", "blocks"), [("now", True), ("2026-01-01T00:00:00Z", False)])
def test_queued_run_of_another_machine_is_believed_for_a_while(folder: Path, since: str, blocks: bool):
    queued = runs.announce(folder=folder) | {"host": "another", "started_at": runs.now() if since == "now" else since}
    runs._write(folder, queued)
    assert (runs.look(queued["id"], folder)["state"] == "queued") == blocks


def test_program_that_cannot_be_started_leaves_a_state_that_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(VindimaError, match=r"the run cannot be started: No such file or directory \(/no/such/python"):
        runs.start(folder=folder)
    [failed] = runs.states(folder)
    assert (failed["state"], failed["outcome"]) == ("ended", "failed")
    assert "cannot be started" in failed["message"]


def test_run_knows_nothing_of_the_secret(root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs.paths, "ROOT", root)
    monkeypatch.setenv("VINDIMA_JWT_SECRET", SECRET)
    told = root / "told"
    program = f"import os; open({str(told)!r}, 'w').write(str(os.environ.get('VINDIMA_JWT_SECRET')))"
    monkeypatch.setenv("VINDIMA_ON_FAILURE", f'{sys.executable} -c "{program}"')
    monkeypatch.setenv("VINDIMA_SOURCE", "http://127.0.0.1:9")
    queued = runs.start(refresh=True, until="collect", folder=folder)
    wait_for(partial(runs.state, queued["id"], folder))
    deadline = time.monotonic() + 10
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert told.read_text() == "None"
