"""Runs of the pipeline, one at a time: the lock, what each does and how it ended, its log, its limit, its hooks.

Everything is in `reports/runs`: `run.lock`, held while a run lasts; `states`, a small file for each run; `run.log`,
which rotates; `start.lock`, held for a moment where a run is started by another program or begins, and `start.log`,
what the last one that was started so had to complain of; `queue`, the messages of the broker of files. The locks are
the operating system's, so the lock of a process that died is free. To read states takes the standard library alone:
the service does, and its image has no more.
"""

import json
import logging
import logging.handlers
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from vindima import files, paths
from vindima.errors import VindimaError

FOLDER = paths.REPORTS / "runs"
KEPT = 100
"""States of former runs that are kept."""
LOG_BYTES, LOGS = 1_000_000, 5
MINUTES = 180
"""How long a run may take, unless VINDIMA_RUN_MINUTES says otherwise."""
PATIENCE = 20
"""Seconds that what a run started has to end, once it is told to."""
GLANCE = 0.2
"""Seconds that a run waits for its lock: who only looks whether it is held holds it, too, for far less."""
QUEUED = 300
"""Seconds for which a run is believed to begin that another machine has queued, or that waits at a broker."""
TRIES = 2
"""How often a run that waited at a broker is begun, where its worker dies in the middle."""
GIVEN_UP = f"its worker died in the middle, {TRIES} times: it is not begun again"
CELERY = ".venv/bin/uv pip install --require-hashes -r deploy/locks/celery.txt"
"""The command that installs what the extra `celery` adds."""
SECRETS = ("VINDIMA_JWT_SECRET", "PROMETHEUS_MULTIPROC_DIR")
"""What the service has in its environment for itself alone."""
FAILURE, NEW_DATA = "VINDIMA_ON_FAILURE", "VINDIMA_ON_NEW_DATA"
"""The variables that name what is told: a command, which reads the state as JSON, or an address, which is sent it."""

DIED = {"state": "ended", "outcome": "died", "message": "it ended without a word"}
WORKED = ("done", "new_data", "nothing_new")
"""Outcomes of runs that did what they were asked."""
OUTCOMES = (*WORKED, "failed", "stopped", "died")


class Busy(VindimaError):
    """Another run holds the lock; `state` is its state."""

    def __init__(self, state: Mapping[str, Any] | None) -> None:
        since = f", process {state['process']} on {state['host']}, since {state['started_at']}" if state else ""
        where = f", at the stage {state['stage']}" if state and state["stage"] else ""
        said = f"another run holds the lock{since}{where}"
        if state and _waits(state):
            said = f"another run waits for a worker since {state['started_at']}"
        super().__init__(f"{said}: this one did nothing")
        self.state = state


class Over(VindimaError):
    """The run that was to begin has ended already, or there is none."""


class Stopped(VindimaError):
    """The run was told to end: by a signal, or because its time is over."""


def now() -> str:
    """The time as states say it: 2026-11-28T21:58:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- states


def states(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The states of the runs that are kept, the newest first.

    Each is `{id, state, stage, progress, started_at, ended_at, outcome, message, refresh, until, vintage, process,
    host}`: `state` is queued, running or ended; `progress` from 0 to 1; `outcome` None until it has ended, then done,
    new_data, nothing_new, failed, stopped (told to end) or died (without a word). One that was sent to a broker has
    `attempts`, too: how often a worker has begun it; until then it has no process.
    """
    found = []
    for path in sorted((folder / "states").glob("[0-9]*.json"), reverse=True):
        with suppress(OSError, ValueError):
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return found


def state(identity: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The state of one run; None where there is none of that name."""
    return next((one for one in states(folder) if one["id"] == identity), None)


def announce(
    refresh: bool = False, until: str | None = None, folder: Path = FOLDER, at_broker: bool = False
) -> dict[str, Any]:
    """The state of a run that is about to be started: queued, under a name that no other run has."""
    place = folder / "states"
    place.mkdir(parents=True, exist_ok=True)
    number = max((int(path.stem) for path in place.glob("[0-9]*.json")), default=0)
    while True:
        number += 1
        made = {
            "id": f"{number:06}", "state": "queued", "stage": None, "progress": 0.0, "started_at": now(),
            "ended_at": None, "outcome": None, "message": "", "refresh": refresh, "until": until, "vintage": None,
            "process": os.getpid(), "began": began_at(os.getpid()), "host": socket.gethostname(),
        }  # fmt: skip
        made |= {"process": None, "began": None, "attempts": 0} if at_broker else {}
        try:
            with (place / f"{made['id']}.json").open("x", encoding="utf-8") as file:
                json.dump(made, file)
        except FileExistsError:
            continue
        for old in sorted(place.glob("[0-9]*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return made


def holder(folder: Path = FOLDER) -> dict[str, Any] | None:
    """The state of the run that holds the lock now; None where none does."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "run.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        return next((one for one in states(folder) if one["state"] == "running"), None)
    lock.release()
    return None


def look(identity: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The state of one run as it is now: one whose process is gone has died, though its file cannot say so.

    One whose worker is gone waits for the next worker.
    """
    found = state(identity, folder)
    if found is None or found["state"] == "ended" or _lives(found):
        return found
    if (again := wait_again(found, folder)) is not None:
        return again
    if found["state"] == "running" and (holder(folder) or {}).get("id") == identity:
        return found
    found = state(identity, folder)  # it may have ended well since
    return _died(found, folder) if found and found["state"] != "ended" else found


def _lives(one: Mapping[str, Any]) -> bool:
    """Whether the process that is to begin a run, or does it, is there; of another machine's nobody knows."""
    since = (datetime.now(UTC) - datetime.fromisoformat(one["started_at"])).total_seconds()
    if _waits(one):
        return since < QUEUED
    if one["host"] == socket.gethostname():
        return bool(one.get("began")) and began_at(one["process"]) == one["began"]
    return one["state"] == "queued" and since < QUEUED


def _waits(one: Mapping[str, Any]) -> bool:
    """Whether a run waits at a broker for a worker."""
    return one["state"] == "queued" and "attempts" in one


def wait_again(left: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any] | None:
    """The state, queued, of a run whose worker died in the middle and which may be begun once more; else None.

    Whoever holds the lock of runs is the only run: it is held meanwhile, so that none begins.
    """
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(folder / "run.lock", timeout=0):
        found = state(left["id"], folder)
        if found and found["state"] == "running" and not _lives(found) and 0 < found.get("attempts", 0) < TRIES:
            found |= {"state": "queued", "started_at": now(), "stage": None, "progress": 0.0}
            _write(folder, found)
            return found
    return None


# ---- a run that another program starts


def start(refresh: bool = False, until: str | None = None, folder: Path = FOLDER) -> dict[str, Any]:
    """The state of a run that was started, queued: it goes on where this process ends.

    It is a process of its own, or, where VINDIMA_BROKER names a broker, that of a worker which takes it from there.
    Raises Busy where a run is queued or has the lock, and VindimaError where none can be started.
    """
    with _only(folder):
        left = [one for one in states(folder) if one["state"] != "ended"]
        waiting = (now_so for one in left if (now_so := one if _lives(one) else wait_again(one, folder)))
        if found := next(waiting, None) or holder(folder):
            raise Busy(found)
        if os.environ.get("VINDIMA_BROKER"):
            return _send(announce(refresh, until, folder, at_broker=True), folder)
        queued = announce(refresh, until, folder)
        try:
            process = _launch(queued, folder)
        except OSError as error:
            message = f"the run cannot be started: {error.strerror} ({error.filename})"
            _write(folder, queued | {"state": "ended", "ended_at": now(), "outcome": "failed", "message": message})
            raise VindimaError(message) from error
        queued |= {"process": process.pid, "began": began_at(process.pid)}
        _write(folder, queued)
    threading.Thread(target=_await, args=(process, queued["id"], folder), daemon=True).start()
    return queued


def _send(queued: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The state of an announced run that a broker has; where none takes it, nothing is left of it."""
    try:
        try:
            from vindima import broker
        except ModuleNotFoundError as error:
            needs = f"VINDIMA_BROKER needs {error.name}, which is not installed here"
            raise VindimaError(f"{needs}: {CELERY}") from error
        broker.send(queued["id"])
    except BaseException:
        (folder / "states" / f"{queued['id']}.json").unlink(missing_ok=True)
        raise
    return queued


def refuse(identity: str, why: str, folder: Path = FOLDER) -> None:
    """End an announced run that could not begin, with the sentence that says why."""
    with _only(folder):
        left = state(identity, folder)
        if left and left["state"] == "queued":
            _write(folder, left | {"state": "ended", "ended_at": now(), "outcome": "failed", "message": why})


def _launch(queued: Mapping[str, Any], folder: Path) -> subprocess.Popen[bytes]:
    """The process of an announced run. What it says is in the log; what it complains of, in `start.log`."""
    command = [sys.executable, "-m", "vindima", "run", "--id", queued["id"]]
    command += ["--refresh"] if queued["refresh"] else []
    command += ["--until", queued["until"]] if queued["until"] else []
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    environment["VINDIMA_ROOT"] = str(paths.ROOT)
    with (folder / "start.log").open("wb", buffering=0) as complaints:
        complaints.write(f"run {queued['id']}\n".encode())
        return subprocess.Popen(
            command, cwd=paths.ROOT, env=environment, start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints,
        )  # fmt: skip


def _await(process: subprocess.Popen[bytes], identity: str, folder: Path) -> None:
    """Wait for the end of a run, so that it leaves no zombie; one that never began ends with its last complaint."""
    process.wait()
    left = state(identity, folder)
    if left and left["state"] == "queued":
        _write(folder, _died(left, folder) | {"ended_at": now()})


def _died(left: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The state of a run whose process is gone: failed where it is known why it did not begin, else died."""
    said: list[str] = []
    if _waits(left):
        message = f"no worker took it from the broker within {QUEUED // 60} minutes (is `vindima worker` running?)"
        return {**left, **DIED, "outcome": "failed", "message": message}
    if left.get("attempts") == TRIES:
        return {**left, **DIED, "outcome": "failed", "message": GIVEN_UP}
    if left["state"] == "queued":
        with suppress(OSError):
            said = (folder / "start.log").read_text(encoding="utf-8", errors="replace").splitlines()
    if len(said) > 1 and said[0] == f"run {left['id']}":
        return {**left, **DIED, "outcome": "failed", "message": said[-1].removeprefix("vindima: ")}
    return {**left, **DIED}


@contextmanager
def _only(folder: Path) -> Iterator[None]:
    """Nobody else starts a run meanwhile, and none that was started begins."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "start.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise VindimaError(f"another program has been starting a run for {PATIENCE} seconds") from None
    except OSError as error:
        raise VindimaError(f"no run can be begun, {folder} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _write(folder: Path, one: Mapping[str, Any]) -> None:
    files.write(folder / "states" / f"{one['id']}.json", json.dumps(one))


# ---- a run


class Run:
    """A run that holds the lock: says what it does, and starts what it needs within its time."""

    def __init__(self, begun: dict[str, Any], folder: Path, minutes: float, log: logging.Logger) -> None:
        self.state, self._folder, self._log = begun, folder, log
        self._end = time.monotonic() + 60 * minutes
        self._minutes = minutes
        self._child: subprocess.Popen[str] | None = None
        self.outcome = "done"

    def note(self, **changes: Any) -> None:
        """Change the state, also for whoever reads it."""
        self.state |= changes
        _write(self._folder, self.state)

    def say(self, line: str) -> None:
        """A line for whoever looks on, and for the log."""
        print(line, flush=True)
        self._log.info(line)

    def command(self, arguments: Sequence[str], read: Callable[[str], None] = lambda line: None) -> int:
        """The exit code of a program; what it says is shown, logged and given to `read`, line by line.

        On a terminal what it draws (on stderr) is drawn there; else that is lines, too. Raises Stopped where its time
        is over; whatever it started ends with it.
        """
        terminal = sys.stderr.isatty()
        self._child = subprocess.Popen(
            arguments, cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=None if terminal else subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", start_new_session=True, env=_environment(),
        )  # fmt: skip
        self.note(child=[self._child.pid, began_at(self._child.pid)])
        late = threading.Timer(max(0.0, self._end - time.monotonic()), self.stop)
        late.start()
        try:
            assert self._child.stdout
            with self._child.stdout as lines:
                for line in lines:
                    if line.strip():
                        self.say(line.rstrip())
                        read(line)
            code = self._child.wait()
        finally:
            late.cancel()
            self.stop()
        if time.monotonic() >= self._end:
            raise Stopped(f"the run took longer than its {self._minutes:g} minutes and was ended")
        return code

    def stop(self) -> None:
        """End what the run has started, first by asking."""
        if self._child is not None and self._child.poll() is None:
            _end(self._child.pid)
            self._child.wait()


@contextmanager
def one(
    refresh: bool = False,
    until: str | None = None,
    identity: str | None = None,
    minutes: float | None = None,
    folder: Path = FOLDER,
) -> Iterator[Run]:
    """A run, while no other is. How it ends is its state's outcome; `identity` is of one that was announced.

    Raises Busy where another run has the lock, Over where the announced one has ended, Stopped where it is told to
    end, and VindimaError where its folder cannot be written, before it begins or, for want of room on the disk, in
    the middle. What fails in it is told to VINDIMA_ON_FAILURE, new data to VINDIMA_ON_NEW_DATA.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "run.lock")
        lock.acquire(timeout=GLANCE)
    except Timeout:
        raise Busy(holder(folder)) from None
    except OSError as error:
        raise VindimaError(f"no run can be begun, {folder} cannot be written: {error.strerror or error}") from error
    try:
        with _logged(folder) as log:
            _bury(folder, log, identity)
            begun = _announced(identity, folder) if identity else announce(refresh, until, folder)
            given = minutes if minutes is not None else allowed_minutes()
            run = Run(begun, folder, given, log)
            with _told_to_end(run):
                yield from _guarded(run)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise VindimaError(f"the run could not go on: {error.strerror or error}{where}") from error
    finally:
        lock.release()


def _announced(identity: str, folder: Path) -> dict[str, Any]:
    """The state of the announced run of this name, which is to begin; only who holds the lock asks."""
    found = state(identity, folder)
    if found is None:
        raise Over(f"there is no run {identity}, or no longer")
    if _waits(found) and not _lives(found):
        found = _died(found, folder) | {"ended_at": now()}
        _write(folder, found)
    if found["state"] == "ended":
        raise Over(f"run {identity} ended {found['ended_at']} ({found['outcome']}): it is not begun again")
    return found


def _guarded(run: Run) -> Iterator[Run]:
    with _only(run._folder):  # who has started it may still be saying that it is queued
        process = os.getpid()
        before = run.state.get("attempts")
        run.note(
            state="running", started_at=now(), process=process, began=began_at(process), host=socket.gethostname(),
            stage=None, progress=0.0, **({} if before is None else {"attempts": min(before + 1, TRIES)}),
        )  # fmt: skip
    try:
        if before == TRIES:
            raise VindimaError(GIVEN_UP)
        yield run
    except BaseException as error:
        run.stop()
        told = isinstance(error, Stopped | KeyboardInterrupt | GeneratorExit)
        message = str(error) if isinstance(error, VindimaError) else f"{type(error).__name__}: {error}"
        with suppress(OSError):  # the disk may be what failed
            run.note(state="ended", ended_at=now(), outcome="stopped" if told else "failed", message=message)
        run._log.error(message)
        hook(FAILURE, run)
        raise
    run.note(state="ended", ended_at=now(), outcome=run.outcome, progress=1.0)
    if run.outcome == "new_data":
        hook(NEW_DATA, run)


def _bury(folder: Path, log: logging.Logger, identity: str | None) -> None:
    """Whoever holds the lock is the only run: what still says that it runs has died, and who began none, too."""
    for left in states(folder):
        if left["state"] == "ended":
            continue
        number, began = left.get("child") or (0, 0)
        if number and left["host"] == socket.gethostname() and began_at(number) == began:
            _end(number)  # what it had started would go on without it
        own = left["id"] == identity
        if left.get("attempts") if own else left["state"] == "running" or not _lives(left):
            goes_on = "it is begun once more" if own else "this one goes on"
            if not own:
                _write(folder, _died(left, folder) | {"ended_at": now()})
            line = f"the run of {left['started_at']} (process {left['process']}) ended without a word; {goes_on}"
            print(line, flush=True)
            log.warning(line)


def _environment() -> dict[str, str]:
    """The environment of what a run starts: `vindima` is found in it, also where cron has no word of it."""
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join([here, *os.get_exec_path()])}


def began_at(process: int) -> float | None:
    """When a process began, which tells it from a later one of the same number; None where there is none."""
    import psutil

    try:
        found = psutil.Process(process)
        return None if found.status() == psutil.STATUS_ZOMBIE else found.create_time()
    except psutil.Error:
        return None


def _end(process: int) -> None:
    """End a process and all that it started: by asking, as a person does with Ctrl-C, and then without asking."""
    import psutil

    for ask in (signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process, ask) if hasattr(os, "killpg") else os.kill(process, ask)
        gone = time.monotonic() + PATIENCE
        while time.monotonic() < gone:
            with suppress(psutil.Error):
                if psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.1)
                    continue
            return


def allowed_minutes() -> float:
    """How long a run may take; VindimaError where VINDIMA_RUN_MINUTES is no number of minutes above 0."""
    given = os.environ.get("VINDIMA_RUN_MINUTES", str(MINUTES))
    try:
        minutes = float(given)
    except ValueError:
        minutes = 0
    if not 0 < minutes < 100_000:
        raise VindimaError(f"VINDIMA_RUN_MINUTES: expected a number of minutes above 0, got {given!r}")
    return minutes


@contextmanager
def _logged(folder: Path) -> Iterator[logging.Logger]:
    """The log of runs, in files of a megabyte, the last five of them kept."""
    try:
        handler = logging.handlers.RotatingFileHandler(
            folder / "run.log", maxBytes=LOG_BYTES, backupCount=LOGS, encoding="utf-8"
        )
    except OSError as error:
        raise VindimaError(f"no run can be begun, {folder} cannot be written: {error.strerror or error}") from error
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is said once, not a line
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("vindima.runs")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def _told_to_end(run: Run) -> Iterator[None]:
    """While a run lasts, SIGTERM ends it as an error does."""

    def end(number: int, _: FrameType | None) -> None:
        raise Stopped(f"the run was told to end ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# ---- hooks


def hook(name: str, run: Run) -> None:
    """Tell the command or the address that the variable `name` holds; that it fails is said, and changes nothing."""
    if not (told := os.environ.get(name)):
        return
    content = json.dumps(run.state)
    try:
        if told.startswith(("http://", "https://")):
            import requests

            requests.post(told, content, headers={"Content-Type": "application/json"}, timeout=30).raise_for_status()
        else:
            subprocess.run(shlex.split(told), input=content, text=True, cwd=paths.ROOT, timeout=300, check=True)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        run.say(f"{name}: {told.partition('?')[0]} was not told: {error}")
