"""Polite HTTP with one site: few connections, a limited rate, robots.txt, and asking again for what may heal."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
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
from vindima.ingestion.reply import Reply, Stored, WrongReply

USER_AGENT = f"Vindima/{version('vindima')} (research on Brazilian wine statistics; reads at a low rate)"
CONNECTIONS = 4
TIMEOUTS = (10, 60)  # seconds to connect, seconds without a byte
DEADLINE = 300  # seconds for one whole reply
DOWNLOAD_DEADLINE = 3600  # seconds for one that is written to a file, of a hundred megabytes or so
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
    reads robots.txt first, and leaving it stops what is under way. `now` stamps the replies. From a site that is
    asked over https nothing is read without it, wherever it redirects to.
    """

    def __init__(
        self,
        base: str,
        stock: Stock | None = None,
        requests_per_second: float | None = None,
        now: Callable[[], str] = utc_now,
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
        if self.base.startswith("https://"):
            del self._http.adapters["http://"]
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
        stock = self._stock
        if stock and (reply := stock.fresh(address)):
            try:
                return reply, reader(reply.data)
            except VindimaError:
                pass
        self._refuse_where_robots_may_not(address)

        def ask() -> tuple[Reply, T]:
            reply = self._ask(address, stock.earlier(address) if stock else None)
            if not reply.data.strip():
                raise _AskAgain(f"{self.base}/{address}: expected a reply, got an empty one")
            return reply, reader(reply.data)

        reply, result = self._insist(ask)
        if stock:
            stock.keep(reply)
        return reply, result

    def download(
        self, address: str, path: Path, check: Callable[[Path], None], earlier: Stored | None = None
    ) -> Stored:
        """The reply at a site-relative address, written to `path` as it comes, so that it may be larger than memory.

        It is written aside, read by `check`, and only then takes the place of what is there. Asks again as `read`
        does where the reply breaks off, or `check` calls it a `WrongReply`; of one that broke off only the rest,
        where the site can give that. `earlier` tells what stands at `path`: where the site says that it is still so,
        it stays, and `earlier` comes back with the time of now. Raises VindimaError as `read` does; then `path` is
        as it was.
        """
        self._refuse_where_robots_may_not(address)
        aside = path.with_name(f".{path.name}.new")
        part_of: list[str] = []

        def ask() -> Stored:
            headers = {"Accept-Encoding": "identity"}
            if begun := aside.stat().st_size if part_of else 0:
                headers |= {"Range": f"bytes={begun}-", "If-Range": part_of[0]}
            elif earlier:
                headers |= _conditions(earlier)
            with self._answer(address, headers) as response:
                where = f"{self.base}/{address}"
                if earlier and response.status_code == 304:
                    aside.unlink(missing_ok=True)
                    return replace(earlier, retrieved_at=self._now())
                given = response.headers.get("Content-Range", "")
                rest = begun and response.status_code == 206 and given.startswith(f"bytes {begun}-")
                if begun and not rest and response.status_code in (206, 416):
                    part_of.clear()
                    raise _AskAgain(f"{where}: expected its bytes from {begun} on, got {given or 'others'}")
                if response.status_code != 200 and not rest:
                    raise self._refusal(where, response)
                tag, modified = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
                if not rest:
                    aside.write_bytes(b"")
                    part_of[:] = [tag] if tag and not tag.startswith("W/") else []
                with aside.open("ab") as file, self._counting_bytes(path.name, response) as count:
                    for part in _parts(where, response, DOWNLOAD_DEADLINE):
                        file.write(part)
                        count(len(part))
            part_of.clear()
            check(aside)
            with aside.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Stored(address, digest, aside.stat().st_size, self._now(), tag, modified)

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stored = self._insist(ask)
            if aside.exists():
                aside.replace(path)
        except OSError as error:
            raise VindimaError(f"{path}: cannot be written: {error.strerror}") from None
        finally:
            aside.unlink(missing_ok=True)
        self._progress.update()
        return stored

    @contextmanager
    def _counting_bytes(self, name: str, response: requests.Response) -> Iterator[Callable[[int], object]]:
        """A bar of the bytes that came; yields what adds to it."""
        total = int(response.headers.get("Content-Length", 0)) or None
        hidden = self._progress.disable
        with tqdm(desc=name, total=total, unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
            yield bar.update

    def _refuse_where_robots_may_not(self, address: str) -> None:
        if not self._robots.can_fetch(f"{self.base}/{address}", USER_AGENT):
            raise VindimaError(f"{self.base}/robots.txt does not allow {address} to be read")

    def _insist(self, ask: Callable[[], T]) -> T:
        """What `ask` gives, at the latest after `RETRIES` retries."""
        try:
            return self._retrying(ask)
        except (_AskAgain, WrongReply) as error:
            raise VindimaError(f"{error} (asked {1 + RETRIES} times)") from None

    def _ask(self, address: str, earlier: Reply | None = None) -> Reply:
        """One request; `earlier` itself, with the time of now, where the site says that it is still so."""
        where = f"{self.base}/{address}"
        with self._answer(address, _conditions(earlier) if earlier else {}) as response:
            if earlier and response.status_code == 304:
                return replace(earlier, retrieved_at=self._now(), status=304)
            if response.status_code != 200:
                raise self._refusal(where, response)
            data = b"".join(_parts(where, response, DEADLINE))
        validators = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
        return Reply(address, data, self._now(), 200, *validators)

    @contextmanager
    def _answer(self, address: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """What the site answers, its body still to come; a break while that is read is a VindimaError, too."""
        self._wait_for_turn()
        where = f"{self.base}/{address}"
        try:
            with self._http.get(where, headers=headers, timeout=TIMEOUTS, stream=True) as response:
                yield response
        except requests.exceptions.InvalidSchema:
            raise VindimaError(f"{where}: expected an answer over https, got a redirect to what is not") from None
        except (requests.RequestException, HTTPError) as error:
            sentence = f"{self.base} cannot be reached ({address}): {_reason(error)}"
            raise (_AskAgain(sentence) if _may_heal(error) else VindimaError(sentence)) from None

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
        """Wait until the next request may go out, and set the time of the one after it.

        All connections share that time: the rate holds for all of them together, and where the site asked to be left
        alone, all wait.
        """
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
    """Seconds before the next attempt: backoff with jitter; none where the site said when, as all wait for that."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _AskAgain) and error.site_said_when:
        return 0.0
    return (tenacity.wait_exponential(BACKOFF) + tenacity.wait_random(0, BACKOFF))(state)


def _conditions(earlier: Reply | Stored) -> dict[str, str]:
    """The headers that ask for a reply only where it is another than `earlier`."""
    validators = {"If-None-Match": earlier.etag, "If-Modified-Since": earlier.last_modified}
    return {name: value for name, value in validators.items() if value}


def _parts(where: str, response: requests.Response, seconds: float) -> Iterator[bytes]:
    """The body, as it comes; after so many seconds one that drips is ended."""
    until = time.monotonic() + seconds
    while part := response.raw.read1(1 << 16, decode_content=True):
        yield part
        if time.monotonic() > until:
            raise _AskAgain(f"{where}: expected the whole reply within {seconds} s, got a part of it")


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
