"""Polite HTTP with one site: few connections, a limited rate, robots.txt, and asking again for what may heal."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Protocol, Self, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from protego import Protego
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError

from vindima.errors import VindimaError
from vindima.ingestion.reply import Reply, WrongReply

USER_AGENT = f"Vindima/{version('vindima')} (research on Brazilian wine statistics; reads at a low rate)"
CONNECTIONS = 4
TIMEOUTS = (10, 60)  # seconds to connect, seconds without a byte
DEADLINE = 300  # seconds for one whole reply
RETRIES = 5  # after time-outs, broken and wrong replies, 429 and 5xx
BACKOFF = 1.0  # seconds before the first retry; doubles, with as much again at random
LONGEST_WAIT = 300  # seconds; a site that asks to be left alone for longer is left alone
RETRIED = (429, 500, 502, 503, 504)
LOOPBACK = ("127.0.0.1", "localhost", "::1")

T = TypeVar("T")


class Stock(Protocol):
    """What is on hand of the site from before, by address; see `raw_zone.Draft`."""

    def fresh(self, address: str) -> Reply | None: ...
    def earlier(self, address: str) -> Reply | None: ...
    def keep(self, reply: Reply) -> None: ...


class _AskAgain(VindimaError):
    """No reply, but there may be one later."""

    site_said_when = False


class _Refused(VindimaError):
    """A reply with another status than 200 that asking again does not change."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def utc_now() -> str:
    """'2026-11-23T21:56:05+00:00'."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Session:
    """Answers of one site, over at most four connections and `requests_per_second` requests (None: no limit).

    What is good is kept in `stock`, and what is there and fresh is not asked for. Use it as a context manager: it
    reads robots.txt first, and leaving it stops what is under way. `now` stamps the replies.
    """

    def __init__(
        self, base: str, stock: Stock, requests_per_second: float | None = None, now: Callable[[], str] = utc_now
    ) -> None:
        if requests_per_second is not None and not requests_per_second > 0:
            raise VindimaError(
                f"collect.requests_per_second: expected more than 0, or null, got {requests_per_second}"
            )
        self.base = base.rstrip("/")
        self._stock = stock
        self._now = now
        self._http = requests.Session()
        self._http.headers["User-Agent"] = USER_AGENT
        self._http.trust_env = urlsplit(self.base).hostname not in LOOPBACK
        # A session cookie would make PHP reply one request after the other.
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._http.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, pool_block=True))
        self._robots = Protego.parse("")
        self._pause = 1 / requests_per_second if requests_per_second else 0.0
        self._next_request = 0.0
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._workers = ThreadPoolExecutor(CONNECTIONS, "collect")
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_AskAgain, WrongReply)),
            stop=tenacity.stop_after_attempt(1 + RETRIES),
            wait=_wait,
            sleep=tenacity.sleep_using_event(self._closed),
            reraise=True,
        )
        self._progress = tqdm(total=0, unit="request", leave=False, disable="TQDM_DISABLE" in os.environ)

    def __enter__(self) -> Self:
        try:
            self._robots = self._read_robots()
        except BaseException:
            self.__exit__()
            raise
        if delay := self._robots.crawl_delay(USER_AGENT):
            self._pause = max(self._pause, float(delay))
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._workers.shutdown(cancel_futures=True)
        self._progress.close()
        self._http.close()

    def expect(self, requests: int) -> None:
        """Let the progress shown count on as many more requests."""
        self._progress.total = self._progress.n + requests

    def read(self, address: str, reader: Callable[[bytes], T]) -> tuple[Reply, T]:
        """The reply at a site-relative address, and what `reader` makes of its bytes.

        Asks again after time-outs, broken replies, 429, 5xx and what `reader` calls a `WrongReply`; raises
        VindimaError where that did not help, and at once for any other failure.
        """
        return next(self.read_all([(address, reader)]))

    def read_all(self, wanted: Iterable[tuple[str, Callable[[bytes], T]]]) -> Iterator[tuple[Reply, T]]:
        """As `read`, several at once: the results in the order of what is wanted."""
        wanted = list(wanted)
        self._progress.total = max(self._progress.total, self._progress.n + len(wanted))
        for (address, _), result in zip(wanted, self._workers.map(lambda one: self._read(*one), wanted), strict=True):
            self._progress.set_postfix_str(address, refresh=False)
            self._progress.update()
            yield result

    def _read(self, address: str, reader: Callable[[bytes], T]) -> tuple[Reply, T]:
        if reply := self._stock.fresh(address):
            try:
                return reply, reader(reply.data)
            except VindimaError:
                pass
        if not self._robots.can_fetch(f"{self.base}/{address}", USER_AGENT):
            raise VindimaError(f"{self.base}/robots.txt does not allow {address} to be read")

        def ask() -> tuple[Reply, T]:
            reply = self._ask(address, self._stock.earlier(address))
            if not reply.data.strip():
                raise _AskAgain(f"{self.base}/{address}: expected a reply, got an empty one")
            return reply, reader(reply.data)

        reply, result = self._insist(ask)
        self._stock.keep(reply)
        return reply, result

    def _insist(self, ask: Callable[[], T]) -> T:
        """What `ask` gives, at the latest after `RETRIES` retries."""
        try:
            return self._retrying(ask)
        except (_AskAgain, WrongReply) as error:
            raise VindimaError(f"{error} (asked {1 + RETRIES} times)") from None

    def _ask(self, address: str, earlier: Reply | None = None) -> Reply:
        """One request; `earlier` itself, with the time of now, where the site says that it is still so."""
        headers = {"If-None-Match": earlier.etag, "If-Modified-Since": earlier.last_modified} if earlier else {}
        self._wait_for_turn()
        where = f"{self.base}/{address}"
        try:
            with self._http.get(where, headers=headers, timeout=TIMEOUTS, stream=True) as response:
                if earlier and response.status_code == 304:
                    return replace(earlier, retrieved_at=self._now(), status=304)
                if response.status_code != 200:
                    raise self._refusal(where, response)
                data = _body(where, response)
        except (requests.RequestException, HTTPError) as error:
            sentence = f"{self.base} cannot be reached ({address}): {_reason(error)}"
            raise (_AskAgain(sentence) if _may_heal(error) else VindimaError(sentence)) from None
        validators = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
        return Reply(address, data, self._now(), 200, *validators)

    def _refusal(self, where: str, response: requests.Response) -> VindimaError:
        sentence = f"{where}: expected status 200, got {response.status_code} {response.reason}"
        if response.status_code not in RETRIED:
            return _Refused(sentence, response.status_code)
        try:
            seconds = Retry(retry_after_max=2**31).get_retry_after(response.raw)
        except InvalidHeader:
            seconds = None
        again = _AskAgain(sentence)
        if seconds is not None:
            if seconds > LONGEST_WAIT:
                return VindimaError(f"{sentence}, which asks to be left alone for {seconds:.0f} s")
            with self._turn:
                self._next_request = max(self._next_request, time.monotonic() + seconds)
            again.site_said_when = True
        return again

    def _wait_for_turn(self) -> None:
        """Wait until the next request may go out: the rate and what the site asked for hold for all connections."""
        with self._turn:
            start = max(time.monotonic(), self._next_request)
            self._next_request = start + self._pause
        if self._closed.wait(start - time.monotonic()) or self._closed.is_set():
            raise VindimaError(f"reading from {self.base} was stopped")

    def _read_robots(self) -> Protego:
        """What the site allows: all where it has no robots.txt, nothing where it cannot tell (RFC 9309, 2.3.1)."""
        try:
            return Protego.parse(self._insist(lambda: self._ask("robots.txt")).data.decode("utf-8", "replace"))
        except _Refused as refusal:
            if 400 <= refusal.status < 500:
                return Protego.parse("")
            raise


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds before the next attempt: backoff with jitter; none where the site said when, the turn sees to that."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _AskAgain) and error.site_said_when:
        return 0.0
    return (tenacity.wait_exponential(BACKOFF) + tenacity.wait_random(0, BACKOFF))(state)


def _body(where: str, response: requests.Response) -> bytes:
    """The whole body, as it comes; `DEADLINE` ends one that drips."""
    until = time.monotonic() + DEADLINE
    parts = []
    while part := response.raw.read1(1 << 16, decode_content=True):
        parts.append(part)
        if time.monotonic() > until:
            raise _AskAgain(f"{where}: expected the whole reply within {DEADLINE} s, got a part of it")
    return b"".join(parts)


def _may_heal(error: Exception) -> bool:
    """True for a time-out, or a reply that broke off; a refused connection or an unknown name does not heal."""
    if isinstance(error, requests.exceptions.SSLError):
        return False
    if isinstance(error, requests.ConnectionError) and not isinstance(error, requests.Timeout):
        cause = error.args[0] if error.args else None
        return not isinstance(getattr(cause, "reason", None), NewConnectionError)
    return isinstance(error, (requests.Timeout, HTTPError))


def _reason(error: Exception) -> str:
    """The last part of a nested network error: '[Errno 111] Connection refused'."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return str(reason).rsplit(": ", 1)[-1]
