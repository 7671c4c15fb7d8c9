"""The broker, where runs wait for a worker of Celery. VINDIMA_BROKER says where it is; imported only where wanted."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError, OperationalError
from kombu.transport import filesystem, resolve_transport
from kombu.utils.json import dumps
from kombu.utils.url import maybe_sanitize_url

from vindima import files, paths
from vindima.errors import VindimaError

EMBEDDED = "filesystem://"
"""The broker that needs no server: messages are files beside the states of runs."""
FOLDER = paths.REPORTS / "runs" / "queue"
REDIS = ("redis", "rediss", "sentinel")
TASK = "vindima.run"
QUEUE = "vindima"
PATIENCE = 5
"""Seconds that a broker has to answer."""
DAY = 24 * 60 * 60
EXTRA = ".venv/bin/uv pip install --require-hashes -r deploy/locks/celery.txt"
"""The command that installs what the extra `celery` adds."""


class _Files(filesystem.Channel):
    """Kombu's queue of files: one queue, and a message that is written whole, which kombu writes in place."""

    def get_table(self, exchange: str) -> list[filesystem.exchange_queue_t]:
        return [filesystem.exchange_queue_t(QUEUE, "", QUEUE)]

    def _queue_bind(self, *_: object) -> None:
        pass

    def _put(self, queue: str, payload: object, **kwargs: object) -> None:  # type: ignore[override]
        files.write(Path(self.data_folder_out) / f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg", dumps(payload))


class Embedded(filesystem.Transport):
    """The embedded broker."""

    Channel = _Files

    def establish_connection(self) -> object:
        """As kombu's; the folder is there then."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        return super().establish_connection()


def app() -> Celery:
    """Celery with the broker that VINDIMA_BROKER names, else the embedded one; nothing is reached yet.

    Raises VindimaError where the variable holds no address that Celery knows, or what it needs is not installed.
    """
    address = os.environ.get("VINDIMA_BROKER") or EMBEDDED
    scheme = _scheme(address)
    if scheme in REDIS and find_spec("redis") is None:
        raise VindimaError(f"the broker {shown(address)} needs redis, which is not installed here: {EXTRA}")
    try:
        resolve_transport(scheme)
    except KeyError as error:
        raise VindimaError(f"VINDIMA_BROKER: Celery knows no broker such as {shown(address)}") from error
    made = Celery("vindima", broker=address, set_as_current=False)
    made.conf.update(
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_concurrency=1,
        worker_prefetch_multiplier=0,  # a worker that holds as many messages as it may does not notice a lost broker
        worker_enable_prefetch_count_reduction=False,
        worker_max_tasks_per_child=1,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=PATIENCE,
        enable_utc=False,  # beat goes by the machine's clock, as cron does
    )
    if scheme == "filesystem":
        made.conf.broker_transport = f"{__name__}:{Embedded.__name__}"
        made.conf.broker_transport_options = {"data_folder_in": str(FOLDER), "data_folder_out": str(FOLDER)}
    elif scheme in REDIS:
        # A message that a dead worker holds comes back after a day; its run is begun again far sooner, by its state.
        made.conf.broker_transport_options = {"visibility_timeout": DAY, "socket_connect_timeout": PATIENCE}
    return made


def _scheme(address: str) -> str:
    """'redis' of redis://localhost; a wrong address may hold a password, so it is not repeated."""
    wanted = f"VINDIMA_BROKER: expected an address such as redis://localhost:6379/0 or {EMBEDDED}"
    try:
        parts = urlsplit(address)
        if "://" in address and (parts.port is None or parts.port):
            return parts.scheme
    except ValueError:
        pass
    raise VindimaError(wanted)


def shown(address: str) -> str:
    """The address of a broker without its password."""
    return maybe_sanitize_url(address.partition("?")[0])


def send(identity: str) -> None:
    """Send the run of this name, which was announced, to whichever worker takes it first.

    Raises VindimaError where the broker cannot be reached or takes nothing.
    """
    made = app()
    with _reached(made) as connection:
        made.send_task(TASK, [identity], connection=connection, retry=False)


def reach() -> str:
    """The address of the broker, without its password, once it has answered; VindimaError where it does not."""
    made = app()
    with _reached(made):
        return shown(made.conf.broker_url)


@contextmanager
def _reached(made: Celery) -> Iterator[Connection]:
    try:
        with made.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE)
            yield connection
    except (KombuError, OperationalError, OSError) as error:
        where = shown(made.conf.broker_url)
        raise VindimaError(f"the broker {where} (VINDIMA_BROKER) cannot be reached: {error}") from error
