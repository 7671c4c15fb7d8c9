"""Runs by Celery: real workers over files and a real Redis, killed in the middle, two at once, with a beat."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import requests
import yaml

from tests.conftest import PARAMETERS
from tests.servers import SECRET, VINDIMA, environment_of, free_port, running
from tests.test_schedule import needs_crontab, others  # noqa: F401
from vindima import runs
from vindima.errors import VindimaError
from vindima.serving import auth

PASSWORD = "goethe-de-urussanga"
HASTY = "from vindima import jobs; jobs.LOOK_EVERY = 0.5; jobs.AGAIN = 1; "
WORKER = [sys.executable, "-c", HASTY + "import sys; sys.exit(jobs.work())"]
EVERY_SECOND = "from celery import schedules; jobs.crontab = lambda when: schedules.schedule(1); "
BEATING = [sys.executable, "-c", HASTY + EVERY_SECOND + "import sys; sys.exit(jobs.work('* * * * *'))"]
SECOND = """\
import os, pathlib, time
from vindima import runs
inside = pathlib.Path('inside')
def note(name):
    with open(name, 'a') as file:
        file.write('x')
if inside.exists() and runs.began_at(int(inside.read_text())):
    note('overlaps')
inside.write_text(str(os.getpid()))
note('begun')
while pathlib.Path('hold').exists():
    time.sleep(0.02)
note('done')
inside.unlink()
"""


class Redis:
    """A Redis of the test's own, which wants a password and keeps what it has on disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port, self._folder, self._process = free_port(), folder, None
        self.address = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self._folder]
        command += ["--appendonly", "yes", "--requirepass", PASSWORD]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log)
        wait_for(lambda: "Ready to accept" in (self._folder / "log").read_text()[self._said :], "Redis did not start")

    _said = 0

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process, self._said = None, len((self._folder / "log").read_text())


class Project:
    """A project of two stages; the second counts how often it began and ended, and lasts while it is held."""

    def __init__(self, root: Path, broker: str) -> None:
        self.root, self.folder = root, root / "reports" / "runs"
        self.environment = os.environ | {"VINDIMA_ROOT": str(root), "VINDIMA_BROKER": broker}
        self.environment |= {"VINDIMA_SOURCE": "http://127.0.0.1:9"}
        self._workers: list[subprocess.Popen] = []

    def program(self, code: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", f"import json; from vindima import broker, runs; {code}"], cwd=self.root,
            env=self.environment | more, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def start(self, **more: str) -> str:
        """The name of a run that was started."""
        said = self.program("print(runs.start(until='second')['id'])", **more)
        assert said.returncode == 0, said.stderr
        return said.stdout.strip()

    def worker(self, command: list[str] = WORKER) -> subprocess.Popen:
        """A worker, in a group of processes of its own."""
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._workers.append(started)
        return started

    @property
    def log(self) -> Path:
        return self.root / "worker.log"

    def hold(self) -> None:
        (self.root / "hold").touch()

    def let_go(self) -> None:
        (self.root / "hold").unlink()

    def times(self, name: str) -> int:
        place = self.root / name
        return len(place.read_text()) if place.exists() else 0

    def begun(self, times: int) -> None:
        wait_for(lambda: self.times("begun") == times, lambda: f"it did not begin {times} times\n{self.said()}")

    def state(self, identity: str) -> dict:
        found = runs.state(identity, self.folder)
        assert found
        return found

    def ended(self, identity: str) -> dict:
        wait_for(lambda: self.state(identity)["state"] == "ended", lambda: f"{identity} did not end\n{self.said()}")
        return self.state(identity)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def close(self) -> None:
        (self.root / "hold").unlink(missing_ok=True)
        for worker in self._workers:
            kill(worker)
        for one in runs.states(self.folder):
            for number, began in [one.get("child") or (0, 0)]:
                if number and runs.began_at(number) == began:
                    os.killpg(number, signal.SIGKILL)


def kill(worker: subprocess.Popen) -> None:
    """End a worker and its children as a machine that is switched off would."""
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(timeout=20)


def wait_for(true: Callable[[], object], what: str | Callable[[], str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.05)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    pytest.importorskip("redis", reason="the extra celery is not installed (deploy/locks/celery.txt)")
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is not installed (Debian's package redis-server)")
    started = Redis(tmp_path / "redis")
    started.start()
    yield started
    started.stop()


@contextmanager
def project_of(root: Path, broker: str) -> Iterator[Project]:
    root.mkdir()
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    (root / "second.py").write_text(SECOND)
    stages = {
        "collect": {"cmd": f"{sys.executable} -c \"open('a', 'w').write('a')\"", "outs": ["a"]},
        "second": {"cmd": f"{sys.executable} second.py", "deps": ["a"], "always_changed": True},
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    project = Project(root, broker)
    try:
        yield project
        assert project.times("overlaps") == 0, "two runs at a time"
        assert "Traceback" not in project.said()
        assert PASSWORD not in project.said()
    finally:
        project.close()


@pytest.fixture(params=["filesystem", "redis"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    broker = "filesystem://" if request.param == "filesystem" else request.getfixturevalue("redis").address
    with project_of(tmp_path / "project", broker) as made:
        yield made


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Project]:
    with project_of(tmp_path / "project", "filesystem://") as made:
        yield made


@pytest.fixture
def over_redis(redis: Redis, tmp_path: Path) -> Iterator[Project]:
    with project_of(tmp_path / "project", redis.address) as made:
        yield made


# ---- one run at a time, whole or once more


@pytest.mark.services
def test_run_waits_for_a_worker_and_is_done_once(project: Project):
    identity = project.start()
    waiting = project.state(identity)
    assert (waiting["state"], waiting["process"], waiting["attempts"]) == ("queued", None, 0)
    refused = project.program("runs.start()")
    assert f"another run waits for a worker since {waiting['started_at']}: this one did nothing" in refused.stderr
    project.worker()
    done = project.ended(identity)
    assert (done["outcome"], done["attempts"], project.times("done")) == ("done", 1, 1)


@pytest.mark.services
def test_message_that_comes_twice_or_after_the_end_does_nothing(project: Project):
    project.hold()
    identity = project.start()
    project.worker()
    project.begun(1)
    project.worker()
    project.program(f"broker.send({identity!r})")
    project.let_go()
    project.ended(identity)
    wait_for(lambda: f"nothing is done: run {identity} " in project.said(), project.said)
    before = project.said().count("nothing is done")
    project.program(f"broker.send({identity!r})")
    wait_for(lambda: project.said().count("nothing is done") > before, project.said)
    assert (project.times("begun"), project.times("done")) == (1, 1)


@pytest.mark.services
def test_of_two_workers_with_four_messages_one_works_at_a_time(project: Project):
    project.worker()
    project.worker()
    wait_for(lambda: project.said().count("ready") == 2, project.said)
    announce = "one = runs.announce(until='second', at_broker=True); broker.send(one['id'])"
    said = project.program("\n" + f"for _ in range(4):\n    {announce}")
    assert said.returncode == 0, said.stderr
    outcomes = [project.ended(f"{number:06}") for number in (1, 2, 3, 4)]
    done = [one for one in outcomes if one["outcome"] == "done"]
    assert len(done) == project.times("done") == project.times("begun") >= 1
    for one in outcomes:
        assert one["outcome"] == "done" or "another run holds the lock" in one["message"]


@pytest.mark.services
@pytest.mark.parametrize("end", [kill, subprocess.Popen.kill], ids=["with its child", "alone"])
def test_worker_killed_in_the_middle_is_made_up_for_exactly_once(project: Project, end: Callable):
    project.hold()
    identity = project.start()
    killed = project.worker()
    project.begun(1)
    end(killed)
    killed.wait(timeout=20)
    assert project.state(identity)["state"] == "running"
    project.worker()
    project.begun(2)
    assert project.state(identity)["attempts"] == 2
    project.let_go()
    assert project.ended(identity)["outcome"] == "done"
    assert (project.times("begun"), project.times("done")) == (2, 1)
    assert len(runs.states(project.folder)) == 1
    assert "it is begun once more" in (project.folder / "run.log").read_text()


@pytest.mark.services
def test_worker_that_lives_takes_over_from_one_that_was_killed(project: Project):
    project.hold()
    identity = project.start()
    killed = project.worker()
    project.begun(1)
    project.worker()
    wait_for(lambda: project.said().count("ready") == 2, project.said)
    kill(killed)
    project.begun(2)
    project.let_go()
    assert project.ended(identity)["outcome"] == "done"
    assert (project.times("begun"), project.times("done")) == (2, 1)


@pytest.mark.services
def test_child_killed_in_the_middle_is_made_up_for_by_its_worker(project: Project):
    project.hold()
    identity = project.start()
    project.worker()
    project.begun(1)
    os.kill(project.state(identity)["process"], signal.SIGKILL)
    project.begun(2)
    project.let_go()
    done = project.ended(identity)
    assert (done["outcome"], done["attempts"]) == ("done", 2)
    assert (project.times("begun"), project.times("done")) == (2, 1)


@pytest.mark.services
def test_run_whose_worker_dies_twice_fails_with_the_reason(project: Project):
    project.hold()
    identity = project.start()
    for times in (1, 2):
        killed = project.worker()
        project.begun(times)
        kill(killed)
    project.worker()
    failed = project.ended(identity)
    assert (failed["outcome"], failed["message"]) == ("failed", runs.GIVEN_UP)
    assert project.times("begun") == 2


@pytest.mark.services
def test_run_by_hand_makes_up_for_a_killed_worker_too_and_the_message_then_does_nothing(project: Project):
    project.hold()
    identity = project.start()
    killed = project.worker()
    project.begun(1)
    kill(killed)
    by_hand = subprocess.Popen([*VINDIMA, "run", "--until", "second"], cwd=project.root, env=project.environment)
    project.begun(2)
    project.worker()
    wait_for(lambda: "ready" in project.said(), project.said)
    project.let_go()
    assert by_hand.wait(60) == 0
    project.worker()
    assert project.ended(identity)["outcome"] == "died"
    project.program(f"broker.send({identity!r})")
    wait_for(lambda: f"nothing is done: run {identity} ended " in project.said(), project.said)
    assert (project.times("begun"), project.times("done")) == (2, 1)


@pytest.mark.services
def test_worker_that_is_told_to_end_finishes_its_run(project: Project):
    project.hold()
    identity = project.start()
    worker = project.worker()
    project.begun(1)
    worker.terminate()
    wait_for(lambda: "Warm shutdown" in project.said(), project.said)
    project.let_go()
    assert worker.wait(60) == 0
    assert (project.state(identity)["outcome"], project.times("begun")) == ("done", 1)


@pytest.mark.services
def test_run_that_cannot_begin_says_why(project: Project):
    (project.root / "params.yaml").write_text("collect: 3\n")
    identity = project.start()
    project.worker()
    failed = project.ended(identity)
    assert failed["outcome"] == "failed"
    assert failed["message"].startswith("params.yaml")


# ---- a broker that goes


@pytest.mark.services
def test_redis_that_goes_in_the_middle_and_comes_back_costs_nothing(over_redis: Project, redis: Redis):
    over_redis.hold()
    identity = over_redis.start()
    over_redis.worker()
    over_redis.begun(1)
    redis.stop()
    over_redis.let_go()
    assert over_redis.ended(identity)["outcome"] == "done"
    wait_for(lambda: "Cannot connect to redis://:**@" in over_redis.said(), over_redis.said)
    redis.start()
    wait_for(lambda: over_redis.said().count("Connected to") == 2, over_redis.said)
    again = over_redis.start()
    assert over_redis.ended(again)["outcome"] == "done"
    assert (over_redis.times("begun"), over_redis.times("done")) == (2, 2)


@pytest.mark.services
def test_redis_that_has_lost_a_message_loses_no_run(over_redis: Project, redis: Redis):
    identity = over_redis.start()
    client = pytest.importorskip("redis").Redis(port=redis.port, password=PASSWORD)
    client.flushall()
    client.close()
    over_redis.worker()
    assert over_redis.ended(identity)["outcome"] == "done"
    assert over_redis.times("begun") == 1


@pytest.mark.services
def test_redis_that_is_down_is_said_in_one_sentence_and_leaves_nothing(over_redis: Project, redis: Redis):
    redis.stop()
    said = over_redis.program("runs.start()")
    last = said.stderr.strip().splitlines()[-1]
    where = f"redis://:**@127.0.0.1:{redis.port}/0"
    assert last.startswith(f"vindima.errors.VindimaError: the broker {where} (VINDIMA_BROKER) cannot be reached: ")
    assert "refused" in last
    assert PASSWORD not in said.stderr
    assert runs.states(over_redis.folder) == []
    found = over_redis.program("from vindima import doctor; print(doctor.queue())").stdout
    assert found.startswith(f"fail  broker: the broker {where} (VINDIMA_BROKER) cannot be reached: ")
    assert PASSWORD not in found
    redis.start()
    over_redis.start()
    assert over_redis.program("from vindima import doctor; print(doctor.queue())").stdout == (
        f"ok    broker: {where} answers\n"
    )


@pytest.mark.services
@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            f"redis://:{PASSWORD}#@localhost:6379/0",
            "VINDIMA_BROKER: expected an address such as redis://localhost:63",
        ),
        (PASSWORD, "VINDIMA_BROKER: expected an address such as redis://localhost:6379/0 or filesystem://"),
        (f"nonsense://:{PASSWORD}@localhost", "VINDIMA_BROKER: Celery knows no broker such as nonsense://:**@localh"),
    ],
)
def test_address_that_is_none_is_refused_and_its_password_kept(embedded: Project, address: str, says: str):
    said = embedded.program("runs.start()", VINDIMA_BROKER=address)
    assert f"VindimaError: {says}" in said.stderr
    assert PASSWORD not in said.stderr
    worker = subprocess.run(
        [*VINDIMA, "worker"], cwd=embedded.root, capture_output=True, text=True, check=False, timeout=60,
        env=embedded.environment | {"VINDIMA_BROKER": address},
    )  # fmt: skip
    assert (worker.returncode, worker.stderr.count("\n")) == (1, 1)
    assert worker.stderr.startswith(f"vindima: {says}")
    assert PASSWORD not in worker.stderr
    assert runs.states(embedded.folder) == []


@pytest.mark.services
@pytest.mark.parametrize("missing", ["celery", "redis"])
def test_extra_that_is_not_installed_is_said_with_what_installs_it(embedded: Project, missing: str):
    program = f"import sys; sys.modules[{missing!r}] = None; from vindima import runs; runs.start()"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=embedded.root, capture_output=True, text=True, check=False,
        env=embedded.environment | {"VINDIMA_BROKER": f"redis://:{PASSWORD}@127.0.0.1/0"},
    )  # fmt: skip
    install = ".venv/bin/uv pip install --require-hashes -r deploy/locks/celery.txt"
    assert f"needs {missing}, which is not installed here: {install}\n" in said.stderr
    assert PASSWORD not in said.stderr
    assert runs.states(embedded.folder) == []


# ---- the service


@pytest.mark.services
def test_service_sends_a_collection_to_the_worker(over_redis: Project, redis: Redis, served_set, users, tmp_path):
    auth.add(users, "rita", "alicante bouschet", "operator")
    auth.prepare(users, SECRET)
    environment = over_redis.environment | environment_of(served_set, users)
    environment |= {name: over_redis.environment[name] for name in ("VINDIMA_ROOT", "VINDIMA_BROKER")}
    base = f"http://127.0.0.1:{environment['PORT']}"
    token = auth.issue_token(users, SECRET, auth.User("rita", "operator", disabled=False))
    headers = {"Authorization": f"Bearer {token}"}

    def post() -> requests.Response:
        return requests.post(f"{base}/v1/collections", json={}, headers=headers, timeout=30)

    with running([*VINDIMA, "serve"], environment, tmp_path / "log.txt"):
        answer = post()
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        where = base + answer.headers["Location"]
        assert requests.get(where, headers=headers, timeout=30).json() == answer.json()
        refused = post()
        assert (refused.status_code, refused.json()["id"]) == (409, answer.json()["id"])
        assert refused.json()["detail"] == f"Run {answer.json()['id']} is queued, and there is one at a time."
        worker = over_redis.worker()
        assert over_redis.ended(answer.json()["id"])["outcome"] == "failed"
        said = requests.get(where, headers=headers, timeout=30).json()
        assert list(said) == list(answer.json())
        assert "the source could not be collected (http://127.0.0.1:9)" in said["message"]
        kill(worker)
        redis.stop()
        down = post()
        assert down.status_code == 503
        assert "cannot be reached" in down.json()["detail"]
        assert PASSWORD not in down.text
        assert len(runs.states(over_redis.folder)) == 1
    assert PASSWORD not in (tmp_path / "log.txt").read_text()


def test_nothing_of_celery_is_imported_by_default():
    program = "import sys; from vindima import cli, doctor, run, runs, schedule; from vindima.serving import api"
    found = subprocess.run(
        [sys.executable, "-c", f"{program}; print('celery' in sys.modules)"],
        capture_output=True, text=True, check=True, env={**os.environ, "VINDIMA_BROKER": ""},
    )  # fmt: skip
    assert found.stdout == "False\n"


# ---- a run that waits, in one process


def waiting(folder: Path, **changes: object) -> dict:
    made = runs.announce(folder=folder, at_broker=True) | changes
    runs._write(folder, made)
    return made


def test_run_that_no_worker_takes_fails_with_the_reason_and_blocks_nobody(tmp_path: Path):
    left = waiting(tmp_path, started_at="2026-01-01T00:00:00Z")
    said = runs.look(left["id"], tmp_path)
    assert said
    assert (said["state"], said["outcome"]) == ("ended", "failed")
    assert said["message"] == "no worker took it from the broker within 5 minutes (is `vindima worker` running?)"
    with pytest.raises(runs.Over, match="it is not begun again"), runs.one(identity=left["id"], folder=tmp_path):
        raise AssertionError
    assert runs.states(tmp_path)[0]["message"] == said["message"]


def test_run_whose_worker_died_waits_again_for_whoever_asks(tmp_path: Path):
    left = waiting(tmp_path, state="running", attempts=1, process=os.getpid(), began=1.0, stage="tidy")
    said = runs.look(left["id"], tmp_path)
    assert said
    assert (said["state"], said["stage"], said["outcome"]) == ("queued", None, None)
    with pytest.raises(runs.Busy, match="another run waits for a worker"):
        runs.start(folder=tmp_path)


def test_run_whose_worker_died_twice_has_failed_for_whoever_asks(tmp_path: Path):
    left = waiting(tmp_path, state="running", attempts=2, process=os.getpid(), began=1.0)
    said = runs.look(left["id"], tmp_path)
    assert said
    assert (said["outcome"], said["message"]) == ("failed", runs.GIVEN_UP)


def test_run_that_a_worker_does_is_let_be(tmp_path: Path):
    left = waiting(tmp_path, state="running", attempts=1, process=os.getpid(), began=runs.began_at(os.getpid()))
    assert runs.look(left["id"], tmp_path) == left


# ---- the beat


@pytest.mark.services
def test_beat_sends_runs_by_its_schedule_and_ends_with_its_worker(project: Project):
    worker = project.worker(BEATING)
    wait_for(lambda: len([one for one in runs.states(project.folder) if one["state"] == "ended"]) > 1, project.said)
    assert {one["refresh"] for one in runs.states(project.folder)} == {True}
    family = psutil.Process(worker.pid).children(recursive=True)
    worker.kill()
    worker.wait(timeout=20)
    wait_for(lambda: not [one for one in family if runs.began_at(one.pid)], "something outlived the worker")


@pytest.mark.services
@needs_crontab
def test_cron_and_beat_at_once_do_no_harm(
    project: Project, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    """What cron would start, while the beat sends a run every second."""
    request.getfixturevalue("others")
    entry = project.program("from vindima import schedule; print(schedule.install())").stdout
    project.program("from vindima import schedule; schedule.remove()")
    command = entry.partition("17 5 * * 1 ")[2].partition(" # vindima")[0]
    assert "vindima run --refresh" in command
    project.worker(BEATING)
    codes = []
    for _ in range(8):
        ended = subprocess.run(command, shell=True, env=project.environment, capture_output=True, text=True)  # noqa: S602
        codes.append((ended.returncode, ended.stderr.strip()))
    assert {code for code, _ in codes} == {1}
    for _, said in codes:
        assert "could not be collected" in said or "another run holds the lock" in said, said
    assert "this one did nothing" in project.said() + str(codes)
    assert {one["outcome"] for one in runs.states(project.folder)} <= {"failed", None}


@pytest.mark.services
def test_beat_waits_for_a_broker_that_is_down(over_redis: Project, redis: Redis):
    redis.stop()
    over_redis.worker(BEATING)
    wait_for(lambda: "the beat tries again in 1 seconds" in over_redis.said(), over_redis.said)
    assert runs.states(over_redis.folder) == []
    redis.start()
    wait_for(lambda: [one for one in runs.states(over_redis.folder) if one["state"] == "ended"], over_redis.said)


@pytest.mark.parametrize(
    ("when", "seconds"), [("* * * * *", 60), ("@hourly", 3600), ("17 5 * * 1", 7 * 86400), ("0 0 1 * *", 31 * 86400)]
)
def test_time_is_what_cron_understands_by_it(when: str, seconds: int):
    from vindima import jobs

    left = jobs.crontab(when).remaining_estimate(jobs.crontab(when).now())
    assert timedelta(0) < left <= timedelta(seconds=seconds)


@pytest.mark.parametrize("when", ["soon", "@reboot", "0 0 1 * 1", "61 5 * * 1", ""])
def test_time_that_the_beat_cannot_keep_is_refused(when: str):
    from vindima import jobs

    with pytest.raises(VindimaError, match="expected"):
        jobs.crontab(when)


@pytest.mark.services
def test_command_takes_the_same_setting_as_the_crontab(embedded: Project):
    said = subprocess.run(
        [*VINDIMA, "worker", "--beat"], cwd=embedded.root, capture_output=True, text=True, check=False, timeout=60,
        env=embedded.environment | {"VINDIMA_SCHEDULE": "soon"},
    )  # fmt: skip
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert said.stderr.startswith("vindima: schedule: expected five fields of cron such as '17 5 * * 1'")
