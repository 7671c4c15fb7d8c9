"""Guessing passwords is slow: failed attempts are counted by address and by user, for all processes together."""

import hmac
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from threading import BoundedSemaphore
from time import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from vindima.errors import VindimaError

# A person mistypes a few times and then looks the password up; 2,400 guesses a day find no twelve characters, be they
# from one address against many users or from many addresses against one.
PER_ADDRESS = (RateLimitItemPerMinute(10), RateLimitItemPerHour(100))
PER_USER = (RateLimitItemPerMinute(10), RateLimitItemPerHour(100))
WEIGHED_AT_ONCE = 2  # of a process: scrypt takes 32 MB for each password
WAIT_SECONDS = 5  # for a place among them; a program's own time-out is rarely shorter
LINE = 100  # about as many as are weighed in that time; a longer line would wait for nothing

_line = BoundedSemaphore(LINE)
_scales = BoundedSemaphore(WEIGHED_AT_ONCE)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = "create table if not exists attempts (key text primary key, count integer not null, ends real not null)"
_INDEX = "create index if not exists attempts_ends on attempts (ends)"

Counter = tuple[RateLimitItem, str]


class Attempts(Storage):
    """Counts for `limits` in a SQLite file, made for its owner alone; what has ended is deleted at the next count.

    A count is added only where a password is weighed, so there are never more rows than an hour of weighing makes.
    """

    STORAGE_SCHEME = None

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            path.touch(mode=0o600)
            self._database = sqlite3.connect(path)
        except (OSError, sqlite3.Error) as error:
            raise VindimaError(f"{path} cannot be used as the file of attempts: {error}") from error
        self._ask(("pragma synchronous = off", ()), (_TABLE, ()), (_INDEX, ()))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def base_exceptions(self) -> type[Exception]:
        return sqlite3.Error

    def _ask(self, *statements: tuple[str, tuple]) -> list[tuple]:
        """The rows of the last of `statements`, which are one transaction.

        Raises VindimaError where the file cannot be used, and ServiceUnavailable where it is damaged: it is then
        removed and the next attempt begins a new one.
        """
        try:
            with self._database:
                for sql, values in statements:
                    rows = self._database.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            self.close()
            if getattr(error, "sqlite_errorcode", None) not in _DAMAGED:
                raise VindimaError(f"{self.path} cannot be used as the file of attempts: {error}") from error
            for end in ("", "-journal"):
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            raise ServiceUnavailable("The count of attempts begins anew: ask again.", retry_after=1) from error
        return rows

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count up; the first of a window says when it ends."""
        now = time()
        add = (
            "insert into attempts values (?, ?, ?) on conflict (key) do update set count = count + excluded.count "
            "returning count"
        )
        ended = ("delete from attempts where ends <= ?", (now,))
        return self._ask(ended, (add, (key, amount, now + expiry)))[0][0]

    def decr(self, key: str) -> None:
        """Take one back."""
        self._ask(("update attempts set count = max(count - 1, 0) where key = ?", (key,)))

    def get(self, key: str) -> int:
        """The count of the window."""
        rows = self._ask(("select count from attempts where key = ? and ends > ?", (key, time())))
        return rows[0][0] if rows else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends; now where there is none."""
        rows = self._ask(("select ends from attempts where key = ?", (key,)))
        return rows[0][0] if rows else time()

    def check(self) -> bool:
        """The file can be read."""
        return self._ask(("select 1", ())) == [(1,)]

    def clear(self, key: str) -> None:
        """Forget one count."""
        self._ask(("delete from attempts where key = ?", (key,)))

    def reset(self) -> int:
        """Forget all; how many there were."""
        return len(self._ask(("delete from attempts returning key", ())))


def beside(users: Path) -> Path:
    """The file of attempts of a file of users."""
    return users.with_name(f"{users.name}-attempts")


@contextmanager
def attempt(users: Path, secret: str, address: str | None, name: str) -> Iterator[Callable[[], None]]:
    """A place to weigh one password; what it yields is to be called if the password was right.

    The attempt counts from here on, and no more once that is called. Raises TooManyRequests, with the seconds to
    wait, where the address or the user has failed too often: the password is then not weighed, so that a right one
    is refused as well. Raises ServiceUnavailable where other passwords keep all places taken.
    """
    who = ((PER_ADDRESS, "address", _network(address)), (PER_USER, "user", name))
    counters: list[Counter] = [
        (limit, hidden)
        for limits, kind, value in who
        for hidden in [_hidden(secret, kind, value)]
        for limit in limits
    ]
    counted: list[Counter] = []
    with closing(Attempts(beside(users))) as storage:
        limiter = FixedWindowRateLimiter(storage)

        def give_back() -> None:
            for limit, hidden in counted:
                storage.decr(limit.key_for(hidden))

        _refuse(limiter, [counter for counter in counters if not limiter.test(*counter)])
        with _place():
            for counter in counters:
                counted.append(counter)
                if not limiter.hit(*counter):
                    give_back()
                    _refuse(limiter, [counter])
            yield give_back


def _refuse(limiter: FixedWindowRateLimiter, full: list[Counter]) -> None:
    if full:
        ends = max(limiter.get_window_stats(*counter).reset_time for counter in full)
        seconds = max(1, math.ceil(ends - time()))
        raise TooManyRequests(
            f"Too many wrong names and passwords came from this address or for this user: wait {seconds} s.",
            retry_after=seconds,
        )


@contextmanager
def _place() -> Iterator[None]:
    """One of the places where passwords are weighed; raises ServiceUnavailable where none comes free."""
    busy = ServiceUnavailable(
        f"Too many passwords are being checked: ask again in {WAIT_SECONDS} s.", retry_after=WAIT_SECONDS
    )
    if not _line.acquire(blocking=False):
        raise busy
    try:
        if not _scales.acquire(timeout=WAIT_SECONDS):
            raise busy
        try:
            yield
        finally:
            _scales.release()
    finally:
        _line.release()


def _network(address: str | None) -> str:
    """'2001:db8::1' → '2001:db8::/64', which is what one subscriber has; anything else but IPv6 as it came."""
    try:
        read = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or ip_network((int(read), 64), strict=False))
    return str(read)


def _hidden(secret: str, kind: str, value: str) -> str:
    """A name for the count that tells nobody who or where: people type passwords where a name is wanted."""
    said = f"vindima attempts/{kind}/{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret.encode(), said, "sha256").hex()
