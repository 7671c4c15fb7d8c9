"""Runs: one at a time, their state, their log, their limit, and what is told how they ended."""

import errno
import http.server
import json
import logging.handlers
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import PARAMETERS
from vindima import files, runs
from vindima.errors import VindimaError

VINDIMA = [sys.executable, "-m", "vindima"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


# ---- in one process


def test_state_tells_what_a_run_does_and_how_it_ended(folder: Path):
    with runs.one(folder=folder) as run:
        run.note(stage="tidy", progress=0.3)
        [seen] = runs.states(folder)
        assert (seen["state"], seen["stage"], seen["progress"], seen["outcome"]) == ("running", "tidy", 0.3, None)
        assert seen["process"] == os.getpid()
    [ended] = runs.states(folder)
    assert (ended["state"], ended["outcome"], ended["progress"]) == ("ended", "done", 1.0)
    assert ended["started_at"] <= ended["ended_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ended["ended_at"])


def test_second_run_says_who_holds_the_lock_since_when_and_does_nothing(folder: Path):
    with runs.one(folder=folder) as run:
        run.note(stage="backtest")
        since = run.state["started_at"]
        said = f"process {os.getpid()} on .*, since {since}, at the stage backtest"
        with pytest.raises(runs.Busy, match=said), runs.one(folder=folder):
            raise AssertionError
        assert runs.holder(folder)["id"] == run.state["id"]
    assert runs.holder(folder) is None
    assert len(runs.states(folder)) == 1


def test_lock_of_a_run_that_died_is_free_and_its_state_says_so(folder: Path, capsys: pytest.CaptureFixture):
    program = (
        "import os, pathlib, sys; from vindima import runs\n"
        "with runs.one(folder=pathlib.Path(sys.argv[1])): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert runs.states(folder)[0]["state"] == "running"
    with runs.one(folder=folder):
        pass
    newest, died = runs.states(folder)
    assert (died["outcome"], newest["outcome"]) == ("died", "done")
    assert "ended without a word; this one goes on" in capsys.readouterr().out


def test_run_that_fails_keeps_the_reason(folder: Path):
    with pytest.raises(VindimaError, match="the source is down"), runs.one(folder=folder):
        raise VindimaError("the source is down")
    [ended] = runs.states(folder)
    assert (ended["outcome"], ended["message"]) == ("failed", "the source is down")
    assert "the source is down" in (folder / "run.log").read_text()


def test_announced_run_has_a_name_before_it_begins(folder: Path):
    queued = runs.announce(refresh=True, folder=folder)
    assert (queued["id"], queued["state"]) == ("000001", "queued")
    with runs.one(identity=queued["id"], folder=folder) as run:
        assert run.state["id"] == "000001"
        assert run.state["refresh"] is True
    assert runs.state("000001", folder)["outcome"] == "done"
    assert runs.state("000002", folder) is None


def test_names_go_on_where_the_clock_goes_back_and_old_states_go(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for place in range(runs.KEPT + 3):
        monkeypatch.setattr(runs, "now", lambda place=place: f"2026-01-{28 - place % 28:02}T00:00:00Z")
        runs.announce(folder=folder)
    kept = [int(one["id"]) for one in runs.states(folder)]
    assert kept == list(range(runs.KEPT + 3, 3, -1))


def test_what_a_program_says_is_shown_logged_and_read_line_by_line(folder: Path, capsys: pytest.CaptureFixture):
    read: list[str] = []
    program = "import sys; print('one'); print('50%\\r100%', file=sys.stderr); sys.exit(3)"
    with runs.one(folder=folder) as run:
        assert run.command([sys.executable, "-c", program], read.append) == 3
    shown = capsys.readouterr().out
    assert set(shown.split()) == {"one", "50%", "100%"}
    assert "\r" not in shown
    assert "INFO one" in (folder / "run.log").read_text()
    assert "one\n" in read


def test_what_a_run_starts_finds_the_programs_of_this_environment(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as cron has it
    with runs.one(folder=folder) as run:
        assert run.command(["/bin/sh", "-c", "vindima --version"]) == 0


def test_log_rotates(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "LOG_BYTES", 2000)
    with runs.one(folder=folder) as run:
        for count in range(400):
            run.say(f"line {count} " + 40 * "x")
    assert len(list(folder.glob("run.log*"))) == 1 + runs.LOGS
    assert all(path.stat().st_size <= 2100 for path in folder.glob("run.log*"))
    handlers = logging.getLogger("vindima.runs").handlers
    assert not [one for one in handlers if isinstance(one, logging.handlers.RotatingFileHandler)]


def test_run_that_takes_too_long_is_ended_with_all_that_it_started(folder: Path, tmp_path: Path):
    started = tmp_path / "grandchild"
    inner = f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(300)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    said = pytest.raises(runs.Stopped, match=r"took longer than its 0\.1 minutes")
    with said, runs.one(minutes=0.1, folder=folder) as run:
        run.command([sys.executable, "-c", program])
    assert runs.states(folder)[0]["outcome"] == "stopped"
    assert runs.began_at(int(started.read_text())) is None


@pytest.mark.parametrize("given", ["soon", "0", "-3", "nan"])
def test_limit_that_is_none_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setenv("VINDIMA_RUN_MINUTES", given)
    with (
        pytest.raises(VindimaError, match=f"expected a number of minutes above 0, got '{given}'"),
        runs.one(folder=folder),
    ):
        raise AssertionError


@pytest.mark.skipif(
    os.name != "posix" or (os.geteuid() == 0 and not Path("/proc").exists()), reason="wants file modes"
)
def test_folder_that_cannot_be_written_is_said(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(VindimaError, match=r"no run can be begun, .* cannot be written"),
        runs.one(folder=tmp_path / "file" / "runs"),
    ):
        raise AssertionError


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_disk_that_is_full_is_said_in_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch, writes: int):
    """Full from the first state on, from the second, and in the middle of the run."""
    left, write = [writes], files.write

    def full(path: Path, content: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, content)

    monkeypatch.setattr(files, "write", full)
    said = pytest.raises(VindimaError, match=r"the run could not go on: No space left on device \(.*\.json\)")
    with said, runs.one(folder=folder) as run:
        run.note(stage="tidy")
        run.note(stage="prices")
    monkeypatch.undo()
    with runs.one(folder=folder):  # the lock is free, and what is left is mended
        pass
    newest, left_behind = runs.states(folder)
    assert newest["outcome"] == "done"
    assert left_behind["state"] == "ended" or left_behind["outcome"] is None


# ---- hooks


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict]]]:
    """An address, and what is sent to it."""
    received: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()


def test_failure_is_sent_to_an_address(folder: Path, told, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VINDIMA_ON_FAILURE", told[0])
    with pytest.raises(VindimaError), runs.one(folder=folder):
        raise VindimaError("no")
    assert [(one["outcome"], one["message"]) for one in told[1]] == [("failed", "no")]


@pytest.mark.parametrize(("outcome", "times"), [("new_data", 1), ("nothing_new", 0), ("done", 0)])
def test_new_data_is_told_to_a_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome, times):
    told = tmp_path / "told.json"
    program = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    monkeypatch.setenv("VINDIMA_ON_NEW_DATA", f'{sys.executable} -c "{program}"')
    with runs.one(folder=folder) as run:
        run.outcome = outcome
    assert told.exists() == bool(times)
    if times:
        assert json.loads(told.read_text())["outcome"] == "new_data"


def test_hook_that_fails_is_said_and_changes_nothing(folder: Path, monkeypatch, capsys: pytest.CaptureFixture):
    monkeypatch.setenv("VINDIMA_ON_NEW_DATA", "no-such-program --secret")
    with runs.one(folder=folder) as run:
        run.outcome = "new_data"
    assert runs.states(folder)[0]["outcome"] == "new_data"
    assert "VINDIMA_ON_NEW_DATA: no-such-program" in capsys.readouterr().out


# ---- the command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two stages, of which the second takes as long as a file says."""
    root = tmp_path / "project"
    root.mkdir()
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    (root / "seconds").write_text("0")
    wait = "import time; time.sleep(float(open('seconds').read())); open('b', 'w').write('b')"
    stages = {
        "first": {"cmd": f"{sys.executable} -c \"open('a', 'w').write('a')\"", "outs": ["a"]},
        "second": {"cmd": f'{sys.executable} -c "{wait}"', "deps": ["a", "seconds"], "outs": ["b"]},
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return root


def start(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*VINDIMA, "run", *arguments], cwd=root, env=os.environ | {"VINDIMA_ROOT": str(root)} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def reach(root: Path, stage: str) -> dict:
    """The state of the newest run once it is at `stage`."""
    deadline = time.monotonic() + 30
    while True:
        newest = next(iter(runs.states(root / "reports" / "runs")), {})
        if newest.get("stage") == stage:
            return newest
        assert time.monotonic() < deadline, newest
        time.sleep(0.05)


def test_run_says_its_stages_and_ends_with_0(project: Path):
    run = start(project, "--until", "second")
    out, error = run.communicate(timeout=60)
    assert run.returncode == 0, error
    assert "Running stage 'first'" in out
    assert "\r" not in out + error
    [state] = runs.states(project / "reports" / "runs")
    assert (state["stage"], state["outcome"], state["until"]) == ("second", "done", "second")


def test_run_needs_no_git(project: Path, tmp_path: Path):
    """As in an image: no repository around the project, and no program called git."""
    shutil.rmtree(project / ".git")
    (tmp_path / "bin").mkdir()
    for program in ("sh", "env"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "")
    for times in (1, 2):
        (project / "seconds").write_text("0" * times)
        run = start(project, "--until", "second", PATH=str(tmp_path / "bin"))
        out, error = run.communicate(timeout=60)
        assert run.returncode == 0, out + error
        assert "Running stage 'second'" in out
    assert (project / "b").read_text() == "b"


def test_second_command_ends_with_1_and_the_first_goes_on(project: Path):
    (project / "seconds").write_text("3")
    first = start(project, "--until", "second")
    since = reach(project, "second")["started_at"]
    second = start(project, "--until", "second")
    _, error = second.communicate(timeout=30)
    assert second.returncode == 1
    said = f"process {first.pid} on .*, since {since}, at the stage second: this one did nothing"
    assert re.fullmatch(f"vindima: another run holds the lock, {said}\n", error)
    first.communicate(timeout=30)
    assert first.returncode == 0


@pytest.mark.parametrize(("number", "outcome"), [(signal.SIGTERM, "stopped"), (signal.SIGKILL, "died")])
def test_killed_run_is_mended_by_the_next(project: Path, number: signal.Signals, outcome: str):
    (project / "seconds").write_text("60")
    first = start(project, "--until", "second")
    reach(project, "second")
    first.send_signal(number)
    _, error = first.communicate(timeout=60)
    assert first.returncode != 0
    if number == signal.SIGTERM:
        assert (first.returncode, error) == (1, "vindima: the run was told to end (SIGTERM)\n")
    (project / "seconds").write_text("0")
    again = start(project, "--until", "second")
    said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert (project / "b").read_text() == "b"
    assert outcome in [one["outcome"] for one in runs.states(project / "reports" / "runs")]


def test_stage_that_fails_ends_the_run_with_1_and_one_sentence(project: Path):
    (project / "seconds").write_text("soon")
    run = start(project, "--until", "second")
    _, error = run.communicate(timeout=60)
    assert (run.returncode, error) == (1, "vindima: the pipeline stopped; the last set goes on being served\n")
    [state] = runs.states(project / "reports" / "runs")
    assert (state["stage"], state["outcome"]) == ("second", "failed")


def test_source_that_is_down_is_said_with_when_it_last_worked(project: Path):
    down = {"VINDIMA_SOURCE": "http://127.0.0.1:9"}
    run = start(project, "--refresh", "--until", "collect", **down)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "the source could not be collected (http://127.0.0.1:9); none has worked yet" in error
    worked = runs.announce(refresh=True, folder=project / "reports" / "runs")
    ended = worked | {"state": "ended", "outcome": "nothing_new", "ended_at": "2026-11-01T03:00:00Z"}
    (project / "reports" / "runs" / "states" / f"{worked['id']}.json").write_text(json.dumps(ended))
    _, error = start(project, "--refresh", "--until", "collect", **down).communicate(timeout=120)
    assert "the last one that worked ended 2026-11-01T03:00:00Z" in error
