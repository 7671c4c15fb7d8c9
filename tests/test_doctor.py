"""The doctor: what it finds where something is wrong for real, what mends it, and the exit code for monitoring."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.conftest import PARAMETERS, ROOT
from tests.emulators import BUCKET, Emulator, free_port
from tests.states import write_state
from vindima import doctor, runs
from vindima.errors import VindimaError
from vindima.serving import sets, store
from vindima.serving.drift import Stand

NOW = datetime.now(UTC)
DAYS = 8.0


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


def last_run(root: Path) -> doctor.Finding:
    folder = root / "reports" / "runs"
    return doctor.last_run(runs.states(folder), NOW, DAYS, folder)


def last_refresh(root: Path) -> doctor.Finding:
    return doctor.last_refresh(runs.states(root / "reports" / "runs"), NOW, DAYS)


# ---- the command


@pytest.fixture
def project(project_outputs: Path) -> Path:
    """A project that lacks nothing: a repository, parameters, the lock, a set of its outputs, a run of today."""
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=project_outputs, check=True)
    (project_outputs / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    shutil.copy(ROOT / "requirements.txt", project_outputs)
    store.switch(project_outputs, project_outputs / "data" / "served")
    write_state(project_outputs)
    return project_outputs


def ask(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"VINDIMA_ROOT": str(root), "VINDIMA_SOURCE": "mirror"} | environment
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VINDIMA_")}
    command = [sys.executable, "-W", "error", "-m", "vindima", "doctor", *arguments]
    return subprocess.run(command, cwd=root, env=kept | given, capture_output=True, text=True, check=False)


def test_command_ends_with_0_where_nothing_fails_and_says_each_finding_in_a_line(project: Path):
    ended = ask(project)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    whats = [line[6:].partition(":")[0] for line in lines]
    assert whats == [
        "Python", "packages", "disk", "DVC remote", "lake", "source", "last run", "last refresh", "set", "outputs",
        "data", "forecasts", "users", "clock",
    ]  # fmt: skip
    for line in lines:
        assert line.startswith("ok    ") == ("→" not in line), line
    assert any(line.startswith("warn  data: the newest year is 2023, which ended ") for line in lines)


def test_command_ends_with_1_where_anything_fails_also_as_json(project: Path):
    write_state(project, outcome="failed", message="the source is down", refresh=True)
    ended = ask(project, "--offline", "--json")
    assert ended.returncode == 1, ended.stderr
    findings = {one["what"]: one for one in json.loads(ended.stdout)}
    assert not {"DVC remote", "lake", "source"} & findings.keys()
    failed = findings["last run"]
    assert (failed["level"], failed["mend"]) == ("fail", "vindima run --refresh")
    assert "the source is down" in failed["found"]
    assert [one["what"] for one in findings.values() if one["level"] == "fail"] == ["last run"]


def test_days_that_are_no_number_fail_and_the_other_checks_go_on(project: Path):
    ended = ask(project, "--offline", VINDIMA_FRESH_DAYS="soon")
    assert ended.returncode == 1
    assert "fail  last run: VINDIMA_FRESH_DAYS: expected a number of days above 0, got 'soon' → " in ended.stdout
    assert "ok    set: " in ended.stdout


def test_last_run_may_be_as_old_as_the_environment_says(project: Path):
    write_state(project, ended_at=ago(days=3))
    assert "ok    last run: " in ask(project, "--offline").stdout
    ended = ask(project, "--offline", VINDIMA_FRESH_DAYS="2")
    assert "warn  last run: done at " in ended.stdout
    assert ended.returncode == 0


# ---- this machine


def test_other_python_fails(monkeypatch: pytest.MonkeyPatch):
    assert doctor.python().level == "ok"
    monkeypatch.setattr("platform.python_version", lambda: "3.9.2")
    assert doctor.python().level == "fail"
    assert "got 3.9.2" in doctor.python().found


def test_package_that_is_missing_or_of_another_version_fails(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("pytest==1.0 \\\n    --hash=sha256:00\nno-such-package==2 \\\n    --hash=sha256:00\n")
    finding = doctor.packages(lock)
    assert finding.level == "fail"
    assert f"pytest is {pytest.__version__}, expected 1.0, no-such-package is missing" in finding.found
    assert finding.mend == "uv pip install --require-hashes -r requirements.txt"


def test_package_of_another_system_is_not_wanted(tmp_path: Path):
    lock = tmp_path / "requirements.txt"
    lock.write_text("no-such-package==2 ; sys_platform == 'other' \\\n    --hash=sha256:00\n")
    assert doctor.packages(lock) == doctor.Finding("ok", "packages", "0 are as in requirements.txt")


def test_lock_that_is_not_there_fails(tmp_path: Path):
    assert doctor.packages(tmp_path / "requirements.txt").level == "fail"


@pytest.mark.parametrize(("free", "level"), [(9e8, "fail"), (1.1e9, "warn"), (4.9e9, "warn"), (5e9, "ok")])
def test_disk_that_is_nearly_full_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, level: str):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - free, free))
    finding = doctor.disk(tmp_path)
    assert finding.level == level
    assert (finding.mend is None) == (level == "ok")


@pytest.mark.skipif(os.name != "posix", reason="wants file modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_users_that_others_can_read_fail(users: Path, mode: int):
    users.chmod(0o600)
    assert doctor.users(users).level == "ok"
    users.chmod(mode)
    finding = doctor.users(users)
    assert finding.level == "fail"
    subprocess.run(str(finding.mend), shell=True, check=True)  # noqa: S602
    assert doctor.users(users).level == "ok"


def test_no_users_is_fine(tmp_path: Path):
    assert doctor.users(tmp_path / "none.sqlite").level == "ok"


def test_run_in_the_future_tells_of_a_clock_that_was_set_back(tmp_path: Path):
    write_state(tmp_path, ended_at=ago(minutes=-50))
    states = runs.states(tmp_path / "reports" / "runs")
    assert doctor.clock(states, NOW).level == "ok"
    write_state(tmp_path, started_at=ago(days=-400), ended_at=ago(days=-400))
    finding = doctor.clock(runs.states(tmp_path / "reports" / "runs"), NOW)
    assert finding.level == "warn"
    assert "was it set back?" in finding.found


# ---- places elsewhere


def configure(root: Path, **collect: object) -> Path:
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS | {"collect": PARAMETERS["collect"] | collect}))
    return root


def test_lake_that_is_none_is_fine(tmp_path: Path):
    assert doctor.lake_of(configure(tmp_path)).level == "ok"


def test_folder_of_the_lake_that_is_not_there_fails_until_it_is_made(tmp_path: Path):
    configure(tmp_path, lake="the lake")
    finding = doctor.lake_of(tmp_path)
    assert finding.level == "fail"
    assert "there is no such folder" in finding.found
    subprocess.run(str(finding.mend), shell=True, check=True)  # noqa: S602
    assert doctor.lake_of(tmp_path).level == "ok"


def test_lake_in_a_bucket_is_written_and_stays_a_lake(s3_emulator: Emulator, tmp_path: Path, monkeypatch):
    for name, value in s3_emulator.environment.items():
        monkeypatch.setenv(name, value)
    address = f"s3://{BUCKET}/doctor"
    assert doctor.lake_of(configure(tmp_path, lake=address)).level == "ok"
    assert doctor.lake.addresses(address) == []
    finding = doctor.lake_of(configure(tmp_path, lake="s3://no-such-bucket-of-ours/doctor"))
    assert finding.level == "fail"
    assert "no such bucket" in finding.found.lower()


def test_parameters_that_are_wrong_are_said_where_the_lake_is_looked_for(tmp_path: Path):
    finding = doctor.lake_of(configure(tmp_path, lake=3))
    assert (finding.level, finding.mend) == ("fail", "vindima check")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def add_remote(root: Path, address: str) -> None:
    command = [sys.executable, "-m", "dvc", "remote", "add", "--force", "--default", "storage", address]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def test_remote_that_is_none_or_a_folder_is_fine(repository: Path):
    assert doctor.remote(repository) == doctor.Finding("ok", "DVC remote", "none is configured")
    add_remote(repository, str(repository / "storage"))
    assert doctor.remote(repository).level == "ok"


def test_remote_in_a_bucket_answers_or_fails(s3_emulator: Emulator, repository: Path, monkeypatch):
    for name, value in s3_emulator.environment.items():
        monkeypatch.setenv(name, value)
    add_remote(repository, f"s3://{BUCKET}/dvc")
    assert doctor.remote(repository) == doctor.Finding("ok", "DVC remote", "storage answers (s3)")
    add_remote(repository, "s3://no-such-bucket-of-ours/dvc")
    finding = doctor.remote(repository)
    assert finding.level == "fail"
    assert finding.mend == "dvc remote modify --local storage url ADDRESS"


def test_remote_that_does_not_answer_is_left_alone(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        add_remote(repository, f"s3://{BUCKET}/dvc")
        finding = doctor.remote(repository)
    assert finding.level == "fail"
    assert "no answer within 2 seconds" in finding.found


def test_folder_that_is_no_repository_fails(tmp_path: Path):
    assert doctor.remote(tmp_path).level == "fail"


@pytest.fixture
def site() -> Iterator[tuple[str, list[int]]]:
    """A site, and the status that it answers with."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", status
        server.shutdown()


def test_source_answers_or_fails(site: tuple[str, list[int]]):
    address, status = site
    assert doctor.source(address) == doctor.Finding("ok", "source", f"{address} answers")
    status[0] = 503
    assert doctor.source(address).found == f"{address}/index.php: expected status 200, got 503"
    nobody = doctor.source(f"http://127.0.0.1:{free_port()}")
    assert nobody.level == "fail"
    assert "Connection refused" in nobody.found
    assert doctor.source("mirror").level == "ok"


# ---- runs


def test_no_run_yet_is_warned_of(tmp_path: Path):
    assert (last_run(tmp_path).level, last_run(tmp_path).mend) == ("warn", "vindima run")
    runs.announce(folder=tmp_path / "reports" / "runs")
    assert last_run(tmp_path).level == "warn"
    assert last_refresh(tmp_path).level == "ok"


def test_run_that_goes_on_is_fine_and_one_that_died_fails(tmp_path: Path):
    folder = tmp_path / "reports" / "runs"
    program = (
        "import os, pathlib, sys; from vindima import runs\n"
        "with runs.one(refresh=True, folder=pathlib.Path(sys.argv[1])) as run:\n"
        "    run.note(stage='tidy'); print('begun', flush=True); sys.stdin.read(); os._exit(9)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        finding = last_run(tmp_path)
        assert finding.level == "ok"
        assert "one goes on since" in finding.found
        assert finding.found.endswith(" at the stage tidy")
        process.communicate("")
    finding = last_run(tmp_path)
    assert (finding.level, finding.mend) == ("fail", "vindima run --refresh")
    assert "ended without a word" in finding.found


@pytest.mark.parametrize(("outcome", "level"), [("failed", "fail"), ("died", "fail"), ("stopped", "warn")])
def test_run_that_did_not_work_is_said_with_its_reason_and_its_command(tmp_path: Path, outcome: str, level: str):
    write_state(tmp_path, outcome=outcome, message="no disk", until="tidy")
    finding = last_run(tmp_path)
    assert (finding.level, finding.mend) == (level, "vindima run --until tidy")
    assert finding.found.startswith(f"{outcome} at ")
    assert finding.found.endswith(": no disk")


def test_run_that_fails_for_real_is_found(tmp_path: Path):
    with pytest.raises(VindimaError), runs.one(folder=tmp_path / "reports" / "runs"):
        raise VindimaError("the source\nis down")
    assert str(last_run(tmp_path)).endswith(": the source is down → vindima run")


def test_old_refresh_is_warned_of_also_where_newer_runs_did_something_else(tmp_path: Path):
    write_state(tmp_path, refresh=True, outcome="nothing_new", ended_at=ago(days=7))
    write_state(tmp_path)
    assert (last_run(tmp_path).level, last_refresh(tmp_path).level) == ("ok", "ok")
    write_state(tmp_path, refresh=True, outcome="failed")
    assert last_refresh(tmp_path).level == "ok"
    later = NOW + timedelta(days=2)
    finding = doctor.last_refresh(runs.states(tmp_path / "reports" / "runs"), later, DAYS)
    assert (finding.level, finding.mend) == ("warn", "vindima run --refresh")


def test_refreshes_of_which_none_worked_are_warned_of(tmp_path: Path):
    write_state(tmp_path, refresh=True, outcome="failed")
    assert last_refresh(tmp_path).found == "none of 1 worked"


# ---- the set


def look(root: Path, served: Path, today: date = date(2024, 3, 1)) -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in doctor.served_set(served, root, today)}


def test_set_that_is_whole_and_of_the_outputs_is_fine(outputs_made_once: Path, served_set: Path):
    found = look(outputs_made_once, served_set)
    assert {what: one.level for what, one in found.items()} == dict.fromkeys(
        ("set", "outputs", "data", "forecasts"), "ok"
    )


@pytest.mark.parametrize("name", [sets.LISTING, sets.SERVICE, "data/prices/prices.parquet"])
def test_damaged_set_fails(outputs_made_once: Path, served_set: Path, name: str):
    with (served_set / name).open("ab") as file:
        file.write(b"!")
    found = look(outputs_made_once, served_set)
    assert list(found) == ["set"]
    assert (found["set"].level, found["set"].mend) == ("fail", "vindima run")
    assert f"{name} in {served_set} is damaged" in found["set"].found


def test_set_that_is_not_there_fails(outputs_made_once: Path, tmp_path: Path):
    assert look(outputs_made_once, tmp_path / "none")["set"].level == "fail"


def test_outputs_that_are_not_served_are_warned_of(project_outputs: Path, served_set: Path):
    card = project_outputs / "models" / "card.md"
    card.write_text("# another\n")
    finding = look(project_outputs, served_set)["outputs"]
    assert (finding.level, finding.mend) == ("warn", "vindima switch")
    assert finding.found == "the set that is served has other models/card.md"
    card.unlink()
    finding = look(project_outputs, served_set)["outputs"]
    assert (finding.level, finding.mend) == ("warn", "vindima run")


@pytest.mark.parametrize(
    ("today", "level"), [(date(2025, 6, 30), "ok"), (date(2025, 7, 1), "warn"), (date(2023, 1, 1), "ok")]
)
def test_data_are_old_18_months_after_the_end_of_their_newest_year(today: date, level: str):
    assert doctor.data(2023, today).level == level
    assert doctor.data(2023, today, asked=True).level == level


def test_old_data_are_not_collected_again_where_the_source_had_no_newer(tmp_path: Path):
    today = date(2026, 6, 1)
    assert doctor.data(2023, today).mend == "vindima run --refresh"
    assert "the source had no newer year" in str(doctor.data(2023, today, asked=True))
    folder = tmp_path / "reports" / "runs"
    for outcome, asked in (("nothing_new", True), ("failed", False), ("new_data", True)):
        write_state(tmp_path, outcome=outcome, refresh=True)
        assert doctor._asked(runs.states(folder)) == asked


@pytest.mark.parametrize(
    ("held", "ratio", "level"), [(74, 1.1, "ok"), (73, 0.5, "warn"), (100, None, "ok"), (80, 1.11, "warn")]
)
def test_forecasts_drift_where_chance_does_not_explain_it(held: int, ratio: float | None, level: str):
    finding = doctor.forecasts(Stand(2024, 2023, 103, held, 74, 90, ratio))
    assert finding.level == level
    assert f"of 103 of 2023 for 2024, {held} held" in finding.found
    assert "chance alone: 74 to 90" in finding.found
