"""The schedule: an entry of the user's crontab that runs `vindima run --refresh`. No other entry is touched."""

import os
import shlex
import shutil
import sys

from crontab import CronItem, CronSlices, CronTab

from vindima import paths, runs
from vindima.errors import VindimaError

WEEKLY = "17 5 * * 1"
"""Mondays at 5:17, by the machine's clock: the source changes a few times a year."""
CARRIED = ("VINDIMA_SOURCE", "VINDIMA_SERVED", runs.FAILURE, runs.NEW_DATA, "VINDIMA_RUN_MINUTES")
"""Variables that the entry carries from who installs it, for cron starts programs without them."""


def install(when: str = WEEKLY) -> str:
    """The entry of this project, now in the crontab; one that was there before is replaced.

    `when` is cron's five fields, or a word such as @daily. What the run prints is in its log; why it failed goes to
    stderr, which cron sends by mail. Raises VindimaError where `when` is none, or there is no crontab.
    """
    check(when)
    table = _table()
    table.remove_all(comment=_mark())
    carried = [f"{name}={shlex.quote(os.environ[name])}" for name in CARRIED if os.environ.get(name)]
    program = shlex.join([sys.executable, "-m", "vindima", "run", "--refresh"])
    command = f"cd {shlex.quote(str(paths.ROOT))} && {' '.join([*carried, program])} > /dev/null"
    entry = table.new(command, comment=_mark())
    entry.setall(when)
    table.write()
    return str(entry)


def check(when: str) -> None:
    """Refuse, by a VindimaError, what cron would not understand."""
    if not CronSlices.is_valid(when):
        raise VindimaError(
            f"schedule: expected five fields of cron such as '{WEEKLY}', or a word such as @daily, got {when!r}"
        )


def show() -> str | None:
    """The entry of this project; None where none is installed."""
    return next((str(entry) for entry in _entries(_table())), None)


def remove() -> bool:
    """Whether there was an entry of this project; it is gone now."""
    table = _table()
    found = bool(_entries(table))
    table.remove_all(comment=_mark())
    table.write()
    return found


def _table() -> CronTab:
    if shutil.which("crontab") is None:
        raise VindimaError(
            "there is no crontab here (Debian's package cron): install it, or take deploy/systemd, whose timer "
            "does the same"
        )
    try:
        return CronTab(user=True)
    except OSError as error:
        raise VindimaError(f"the crontab cannot be read: {error}") from error


def _entries(table: CronTab) -> list[CronItem]:
    return list(table.find_comment(_mark()))


def _mark() -> str:
    """What tells this project's entry from every other one; cron would take a % in it for the end of the line."""
    return f"vindima in {str(paths.ROOT).replace('%', '_')}"
