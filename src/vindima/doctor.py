"""Whether all that Vindima needs here is there, fresh and whole: what `vindima doctor` finds, and what mends it.

Each check is a function that gives one finding, of what it is handed; nothing is changed but a lake's `.probe`.
"""

import hashlib
import json
import math
import os
import platform
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from vindima import params, paths, runs
from vindima.errors import VindimaError
from vindima.ingestion import lake
from vindima.serving import drift, sets
from vindima.serving.answers import Answers

SECONDS = 15
"""How long a place elsewhere has to answer."""
SCARCE, LITTLE = 1e9, 5e9
"""Bytes free below which a check fails, and warns."""
FRESH_DAYS = 8
"""How old the last run may be, unless VINDIMA_FRESH_DAYS says otherwise."""
OLD_MONTHS = 18
"""How long ago the newest year of trade may have ended."""
AHEAD = timedelta(hours=1)
"""How far in the future a time may be that was written before."""

States = Sequence[Mapping[str, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, whether that is well, and, where it is not, what mends it."""

    level: Literal["ok", "warn", "fail"]
    what: str
    found: str
    mend: str | None = None

    def __str__(self) -> str:
        """One line: 'fail  disk: 0.4 GB are free … → dvc gc --workspace'."""
        line = f"{self.level:4}  {self.what}: {' '.join(self.found.split())}"
        return f"{line} → {self.mend}" if self.mend else line


def examine(offline: bool = False) -> list[Finding]:
    """What every check finds here and now; `offline` leaves out those that need a network."""
    now, states = datetime.now(UTC), runs.states()
    try:
        of_the_runs = [last_run(states, now, fresh_days()), last_refresh(states, now, fresh_days())]
    except VindimaError as error:
        of_the_runs = [Finding("fail", "last run", str(error), "unset VINDIMA_FRESH_DAYS")]
    elsewhere = [] if offline else [remote(paths.ROOT), lake_of(paths.ROOT), source(os.environ.get("VINDIMA_SOURCE"))]
    if os.environ.get("VINDIMA_BROKER") and not offline:
        elsewhere.append(queue())
    return [
        python(),
        packages(paths.ROOT / "requirements.txt"),
        disk(paths.ROOT),
        *elsewhere,
        *of_the_runs,
        *served_set(paths.SERVED, paths.ROOT, now.date(), _asked(states)),
        users(paths.USERS),
        clock(states, now),
    ]


# ---- this machine


def python() -> Finding:
    """Whether the Python is one that the project is made for."""
    wanted, here = metadata.metadata("vindima")["Requires-Python"], platform.python_version()
    if here in SpecifierSet(wanted):
        return Finding("ok", "Python", here)
    return Finding("fail", "Python", f"expected {wanted}, got {here}", "rm -r .venv && make PYTHON=/path/to/python")


def packages(lock: Path) -> Finding:
    """Whether what is installed is what the lock names, as far as its markers are of this machine."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return Finding("fail", "packages", f"{lock} cannot be read: {error.strerror}", f"git checkout -- {lock.name}")
    wanted = [Requirement(line.removesuffix(" \\")) for line in lines if re.match(r"[a-z0-9]", line)]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    wrong = []
    for one in wanted:
        try:
            here = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
            continue
        if not one.specifier.contains(here, prereleases=True):
            wrong.append(f"{one.name} is {here}, expected {str(one.specifier).removeprefix('==')}")
    if not wrong:
        return Finding("ok", "packages", f"{len(wanted)} are as in {lock.name}")
    mend = f"uv pip install --require-hashes -r {lock.name}"
    return Finding("fail", "packages", f"{len(wrong)} of {len(wanted)}: {_some(wrong)}", mend)


def disk(root: Path) -> Finding:
    """Whether there is room for what a run makes."""
    free = shutil.disk_usage(root).free
    found = f"{free / 1e9:.1f} GB are free at {root}"
    if free >= LITTLE:
        return Finding("ok", "disk", found)
    least = SCARCE if free < SCARCE else LITTLE
    mend = "dvc gc --workspace"
    return Finding("fail" if free < SCARCE else "warn", "disk", f"{found}, expected {least / 1e9:g} GB or more", mend)


def users(path: Path) -> Finding:
    """Whether the file of users is its owner's alone."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("ok", "users", f"there is no {path} yet")
    except OSError as error:
        return Finding("fail", "users", f"{path} cannot be looked at: {error.strerror}", f"ls -l {path}")
    if os.name == "posix" and mode & 0o077:
        found = f"{path} is open to others (mode {mode:o}), expected 600"
        return Finding("fail", "users", found, f"chmod 600 {shlex.quote(str(path))}")
    return Finding("ok", "users", f"{path} is its owner's alone" if os.name == "posix" else f"{path} is there")


def clock(states: States, now: datetime) -> Finding:
    """Whether no run was at a time that has not come yet."""
    times = [_time(one[name]) for one in states for name in ("started_at", "ended_at") if one[name]]
    if times and max(times) > now + AHEAD:
        found = f"a run was at {max(times):%Y-%m-%d %H:%M} UTC, and now it is {now:%Y-%m-%d %H:%M}: was it set back?"
        return Finding("warn", "clock", found, "timedatectl set-ntp true")
    return Finding("ok", "clock", f"{now:%Y-%m-%d %H:%M} UTC")


# ---- places elsewhere


def remote(root: Path) -> Finding:
    """Whether the DVC remote, if there is one, answers with the credentials that the environment has."""
    from dvc.repo import Repo

    name = "none"

    def ask() -> str:
        nonlocal name
        with Repo(str(root)) as repo:
            if not (configured := repo.config["core"].get("remote")):
                return "none is configured"
            name = configured
            there = repo.cloud.get_remote(name)
            protocol = there.fs.protocol
            try:
                there.fs.ls(there.path)
            except FileNotFoundError:
                if protocol == "local":
                    return f"{name}: {there.path} is made by the first `dvc push`"
                there.fs.ls(there.path.partition("/")[0])  # a bucket without anything of ours yet
            return f"{name} answers ({protocol})"

    try:
        return Finding("ok", "DVC remote", _in_time(ask))
    except Exception as error:  # of any library that reads a kind of remote
        mend = "dvc remote list" if name == "none" else f"dvc remote modify --local {name} url ADDRESS"
        return Finding("fail", "DVC remote", f"{name} cannot be reached: {error or type(error).__name__}", mend)


def lake_of(root: Path) -> Finding:
    """Whether the lake of `collect.lake`, if there is one, can be written."""
    try:
        address = params.read(root)["collect.lake"]
    except VindimaError as error:
        return Finding("fail", "lake", str(error), "vindima check")
    if address is None:
        return Finding("ok", "lake", "none is configured")
    folder = None if "://" in address else root / address
    try:
        _in_time(lambda: lake.probe(address if folder is None else str(folder)))
    except VindimaError as error:
        mend = f"mkdir -p {shlex.quote(str(folder))}" if folder else "set collect.lake, or the bucket's credentials"
        return Finding("fail", "lake", str(error), mend)
    return Finding("ok", "lake", "it can be written")


def source(given: str | None) -> Finding:
    """Whether the source that a refresh collects answers."""
    import requests

    from vindima.ingestion.catalogue import LIVE
    from vindima.ingestion.session import LOOPBACK, USER_AGENT

    given = given or "live"
    if given == "mirror":
        return Finding("ok", "source", "mirror, the figures that come with the project")
    if given.startswith("lake:"):
        address = given.removeprefix("lake:")
        try:
            found = _in_time(lambda: lake.addresses(address))
        except VindimaError as error:
            return Finding("fail", "source", str(error), "set VINDIMA_SOURCE, or the bucket's credentials")
        if not found:
            return Finding("fail", "source", f"{given}: the lake has no complete snapshot", "set VINDIMA_SOURCE")
        return Finding("ok", "source", f"the lake's newest snapshot is {found[-1].rpartition('/')[2]}")
    base = LIVE if given == "live" else given.rstrip("/")

    def ask() -> int:
        with requests.Session() as session:
            session.headers["User-Agent"] = USER_AGENT
            session.trust_env = urlsplit(base).hostname not in LOOPBACK
            with session.get(f"{base}/index.php", timeout=10, stream=True) as reply:
                return reply.status_code

    mend = f"curl -I {shlex.quote(f'{base}/index.php')}"
    try:
        status = _in_time(ask)
    except (VindimaError, requests.RequestException) as error:
        return Finding("fail", "source", f"{base} cannot be reached: {_reason(error)}", mend)
    if status != 200:
        return Finding("fail", "source", f"{base}/index.php: expected status 200, got {status}", mend)
    return Finding("ok", "source", f"{base} answers")


def queue() -> Finding:
    """Whether the broker answers at which runs wait for a worker."""
    try:
        from vindima import broker

        return Finding("ok", "broker", f"{_in_time(broker.reach)} answers")
    except ModuleNotFoundError as error:
        return Finding("fail", "broker", f"it needs {error.name}, which is not installed here", runs.CELERY)
    except VindimaError as error:
        return Finding("fail", "broker", str(error), "start the broker, or unset VINDIMA_BROKER")


# ---- runs


def fresh_days() -> float:
    """How old the last run may be; VindimaError where VINDIMA_FRESH_DAYS is no number of days."""
    given = os.environ.get("VINDIMA_FRESH_DAYS") or str(FRESH_DAYS)
    try:
        days = float(given)
    except ValueError:
        days = 0
    if not 0 < days < math.inf:
        raise VindimaError(f"VINDIMA_FRESH_DAYS: expected a number of days above 0, got {given!r}")
    return days


def last_run(states: States, now: datetime, days: float, folder: Path = runs.FOLDER) -> Finding:
    """How the newest run goes or went, and whether it was of late; `states` are those of `folder`."""
    last = next((one for one in states if one["state"] != "queued"), None)
    if last is None:
        return Finding("warn", "last run", "there was none yet", "vindima run")
    again = _again(last)
    if last["state"] == "running":
        where = f" at the stage {last['stage']}" if last["stage"] else ""
        if runs.holder(folder) is None:  # its lock is free
            return Finding("fail", "last run", f"that of {last['started_at']} ended without a word{where}", again)
        return Finding("ok", "last run", f"one goes on since {last['started_at']}{where}")
    found = f"{last['outcome']} at {last['ended_at']}"
    if last["outcome"] not in runs.WORKED:
        level: Literal["warn", "fail"] = "warn" if last["outcome"] == "stopped" else "fail"
        return Finding(level, "last run", f"{found}: {last['message']}", again)
    if _time(last["ended_at"]) < now - timedelta(days=days):
        return Finding("warn", "last run", f"{found}, longer than {days:g} days ago", again)
    return Finding("ok", "last run", found)


def last_refresh(states: States, now: datetime, days: float) -> Finding:
    """Whether the last refresh that worked was of late."""
    refreshes = _refreshes(states)
    if not refreshes:
        return Finding("ok", "last refresh", "no run has collected the source: figures are of the bundled vintage")
    worked = next((one for one in refreshes if one["outcome"] in runs.WORKED), None)
    if worked is None:
        return Finding("warn", "last refresh", f"none of {len(refreshes)} worked", _again(refreshes[0]))
    found = f"the last that worked ended {worked['ended_at']}"
    if _time(worked["ended_at"]) < now - timedelta(days=days):
        return Finding("warn", "last refresh", f"{found}, longer than {days:g} days ago", _again(worked))
    return Finding("ok", "last refresh", found)


def _asked(states: States) -> bool:
    """Whether the last refresh that ended took in all that the source had."""
    return any(one["outcome"] in ("new_data", "nothing_new") for one in _refreshes(states)[:1])


def _refreshes(states: States) -> list[Mapping[str, Any]]:
    """The refreshes that have ended, the newest first."""
    return [one for one in states if one["refresh"] and one["state"] == "ended"]


def _again(state: Mapping[str, Any]) -> str:
    """The command of a run."""
    until = f" --until {state['until']}" if state["until"] else ""
    return f"vindima run{' --refresh' if state['refresh'] else ''}{until}"


# ---- the set


def served_set(served: Path, root: Path, today: date, asked: bool = False) -> list[Finding]:
    """Whether the set that is served is whole, is what the pipeline left in `root`, new enough, and still right.

    `asked` is whether all that the source had when it was asked last is there.
    """

    def read(folder: Path) -> tuple[Answers, dict[str, str]]:
        answers = Answers(*sets.service_tables(folder, served))
        return answers, json.loads((folder / sets.LISTING).read_bytes())["files"]

    try:
        answers, files = sets.read_whole(served, read)
        answers.check()
    except VindimaError as error:
        return [Finding("fail", "set", str(error), "vindima run")]
    about = answers.provenance
    found = (
        f"vintage {about['vintage']}, model {about['model']}, cutoff {about['cutoff']}; all {len(files)} files whole"
    )
    made = {name: digest for name, digest in files.items() if name != sets.SERVICE}
    return [
        Finding("ok", "set", found),
        outputs(made, root),
        data(answers.newest_year, today, asked),
        forecasts(drift.stand(answers)),
    ]


def outputs(listed: Mapping[str, str], root: Path) -> Finding:
    """Whether what is served, by name and sha256, is what the pipeline made under `root`."""
    here = {name: _sha256(root / name) for name in listed}
    if missing := [name for name in listed if here[name] is None]:
        found = (
            f"the set is served, but {_some(missing)} of the outputs {'is' if len(missing) == 1 else 'are'} missing"
        )
        return Finding("warn", "outputs", found, "vindima run")
    if others := [name for name, digest in listed.items() if here[name] != digest]:
        return Finding("warn", "outputs", f"the set that is served has other {_some(others)}", "vindima switch")
    return Finding("ok", "outputs", "they are what is served")


def data(newest: int, today: date, asked: bool = False) -> Finding:
    """Whether the newest year of trade is not long over; nothing mends that where the source was `asked`."""
    months = 12 * (today.year - newest - 1) + today.month - 1
    found = f"the newest year is {newest}"
    if months >= OLD_MONTHS:
        mend = "wait: the source had no newer year when it was asked last" if asked else "vindima run --refresh"
        return Finding("warn", "data", f"{found}, which ended {months} months ago", mend)
    return Finding("ok", "data", found)


def forecasts(did: drift.Stand | None) -> Finding:
    """Whether the published forecasts that came due last did as they promise."""
    if did is None:
        return Finding("ok", "forecasts", "none that were published have come due")
    found = (
        f"of {did.due} of {did.cutoff} for {did.year}, {did.held} held in their range of 80 per cent "
        f"(chance alone: {did.fewest} to {did.most})"
    )
    if did.ratio is not None:
        found += f"; their error is {did.ratio:.2f} of that of repeating the last price"
    if did.drifts:
        return Finding("warn", "forecasts", f"{found}: they drift", "vindima reports")
    return Finding("ok", "forecasts", found)


# ---- in general


def _in_time(ask: Callable[[], T]) -> T:
    """What `ask` gives, or raises; VindimaError where it takes longer than SECONDS, and is left alone."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="vindima-doctor", daemon=True).start()
    try:
        return answer.result(SECONDS)
    except TimeoutError:
        raise VindimaError(f"no answer within {SECONDS} seconds") from None


def _time(said: str) -> datetime:
    return datetime.fromisoformat(said)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None


def _some(names: Sequence[str]) -> str:
    """The first three, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _reason(error: Exception) -> str:
    """The last part of a nested network error: '[Errno 111] Connection refused'."""
    return re.sub(r"^.*(?=\[Errno)|['\")]+$", "", str(error)) or type(error).__name__
