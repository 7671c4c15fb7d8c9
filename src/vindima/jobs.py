"""The same run as a task of Celery: a worker that takes it from the broker, and a beat that sends it by the schedule.

What was done is in the states of runs alone: a message that comes twice, or too late, does nothing.
"""

import logging
import os
import signal
import socket
import time
import warnings
from typing import Any

from celery import Celery, beat, bootsteps, schedules
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.log import get_logger

from vindima import broker, runs, schedule
from vindima.errors import VindimaError

LOOK_EVERY = 10
"""Seconds after which a worker looks for runs that another left in the middle, or whose message was lost."""
AGAIN = 60
"""Seconds after which the beat tries again where the broker took nothing."""
WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0"}
WORDS |= {"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *"}

log = get_logger(__name__)


def work(when: str | None = None) -> int:
    """Take runs from the broker until told to end, and with `when` also send one whenever that says; the exit code.

    `when` is as `schedule.install` has it, by the machine's clock. Raises VindimaError where it is no such time, or
    the broker is none.
    """
    os.environ["VINDIMA_BROKER"] = os.environ.get("VINDIMA_BROKER") or broker.EMBEDDED
    for name in runs.SECRETS:
        os.environ.pop(name, None)
    app = make_app(when)
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # said at each lost connection, of Celery 6
    worker = app.Worker(
        hostname=f"vindima-{os.getpid()}@{socket.gethostname()}", pool_cls="prefork", loglevel="INFO", quiet=True,
        beat=when is not None, without_gossip=True, without_mingle=True, without_heartbeat=True,
    )  # fmt: skip
    worker.start()
    return worker.exitcode or 0


def make_app(when: str | None = None) -> Celery:
    """Celery with the task, and with the schedule where there is one."""
    app = broker.app()
    app.task(pipeline, name=broker.TASK)
    app.steps["consumer"].add(Recovery)
    app.conf.update(
        worker_hijack_root_logger=True,
        worker_redirect_stdouts=False,
        worker_log_color=False,
        worker_log_format="%(asctime)s %(levelname)s %(message)s",
        worker_task_log_format="%(asctime)s %(levelname)s %(message)s",
        beat_scheduler=f"{__name__}:{Beat.__name__}",
        beat_max_loop_interval=5,
    )
    if when is not None:
        app.conf.beat_schedule = {"refresh": {"task": broker.TASK, "schedule": crontab(when)}}
    return app


def crontab(when: str) -> schedules.crontab:
    """Cron's five fields, or its word, as Celery has them.

    Raises VindimaError for what Celery cannot do, and for a day of the month beside one of the week: cron goes by
    either, Celery by both at once.
    """
    schedule.check(when)
    minute, hour, day, month, weekday = WORDS.get(when, when).split() if when != "@reboot" else 5 * [""]
    if day == "" or (day != "*" and weekday != "*"):
        raise VindimaError(
            f"worker --at: expected a time, with a day of the month or of the week alone, got {when!r}"
        )
    try:
        return schedules.crontab(minute, hour, weekday, day, month)
    except ValueError as error:
        raise VindimaError(f"worker --at: {when!r} is nothing that Celery can do: {error}") from error


def pipeline(identity: str) -> None:
    """Do an announced run, unless it was done already or goes on; how it ended is in its state."""
    from vindima import run

    # Celery's child ignores SIGINT, and what it starts would, too, which is asked to end by it.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.environ.pop("VINDIMA_BROKER", None)  # it may hold a password; this process ends with the run
    try:
        if (announced := runs.state(identity)) is None:
            raise runs.Over(f"there is no run {identity}, or no longer")
        outcome = run.run_pipeline(announced["until"], announced["refresh"], identity)
    except runs.Over as over:
        log.info("nothing is done: %s", over)
    except runs.Busy as busy:
        if busy.state is None or busy.state["id"] == identity:  # None: it is beginning elsewhere
            log.info("nothing is done: run %s goes on", identity)
        else:
            runs.refuse(identity, str(busy))
            log.warning("run %s: %s", identity, busy)
    except VindimaError as error:
        runs.refuse(identity, str(error))
        log.error("run %s: %s", identity, error)
    else:
        log.info("run %s: %s", identity, outcome)


def recover() -> None:
    """Send again each run that waits, or whose worker died in the middle, while no run goes on."""
    try:
        left = [one for one in runs.states() if one["state"] != "ended" and "attempts" in one]
        for one in left:
            found = runs.look(one["id"])
            if found and (found["state"] == "queued" or one["attempts"] == runs.TRIES) and runs.holder() is None:
                log.info("run %s waits: it is sent again", one["id"])
                broker.send(one["id"])
    except (VindimaError, OSError) as error:
        log.error("%s", error)


class Recovery(bootsteps.StartStopStep):
    """A worker's look at what others left: as it starts, and every few seconds."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    timer: Any = None

    def start(self, consumer: Any) -> None:
        recover()
        self.timer = consumer.timer.call_repeatedly(LOOK_EVERY, recover)

    def stop(self, consumer: Any) -> None:
        if self.timer:
            self.timer.cancel()


class Beat(beat.Scheduler):
    """Celery's beat, with no memory on disk: like cron, it sends a run at its time or not at all.

    A run that goes on or waits is let be. It is a process of the worker's, and ends with it, however that ends.
    """

    producer = None
    worker = 0

    def setup_schedule(self) -> None:
        self.update_from_dict(self.app.conf.beat_schedule)

    def tick(self, *arguments: Any, **options: Any) -> float:
        self._end_with_the_worker()
        return super().tick(*arguments, **options)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> None:
        while True:
            self._end_with_the_worker()
            try:
                log.info("run %s was sent to the broker", runs.start(refresh=True)["id"])
                return
            except runs.Busy as busy:
                log.info("%s", busy)
                return
            except VindimaError as error:
                log.error("%s; the beat tries again in %s seconds", error, AGAIN)
                time.sleep(AGAIN)

    def _end_with_the_worker(self) -> None:
        self.worker = self.worker or os.getppid()
        if os.getppid() != self.worker:
            raise SystemExit(1)


class _OneSentence(logging.Filter):
    """What Celery's worker says of a lost connection or child is a sentence without the traceback below it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


for _name in ("celery.worker.consumer.consumer", "celery.worker.request"):
    logging.getLogger(_name).addFilter(_OneSentence())
