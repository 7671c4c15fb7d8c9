import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from werkzeug.wrappers import Request, Response

from tests.sites import ROWS, Copy, cut
from vindima.errors import VindimaError
from vindima.ingestion import mirror, session
from vindima.ingestion.reply import Reply, WrongReply
from vindima.ingestion.session import Session

DOWNLOAD = "download/ImpPassas.csv"


class Shelf:
    """A stock in memory."""

    def __init__(self, fresh: Reply | None = None, earlier: Reply | None = None) -> None:
        self.kept: dict[str, Reply] = {}
        self._fresh, self._earlier = fresh, earlier

    def fresh(self, address: str) -> Reply | None:
        return self._fresh

    def earlier(self, address: str) -> Reply | None:
        return self._earlier

    def keep(self, answer: Reply) -> None:
        self.kept[answer.address] = answer


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(session, "BACKOFF", 0)
    monkeypatch.setattr(session, "TIMEOUTS", (0.5, 0.5))


def whole(data: bytes) -> bytes:
    return data


def answering(answer: Callable[[Request, int], Response | None]) -> Copy:
    """A copy of the site whose downloads are answered by `answer`, given the request and its number from 1."""

    def change(request: Request, usual: Response) -> Response | None:
        if request.path != f"/{DOWNLOAD}":
            return None
        return answer(request, copy.asked[DOWNLOAD])

    copy = Copy(change)
    return copy


@contextmanager
def reading(copy: Copy, stock: Shelf | None = None, **options) -> Iterator[Session]:
    with mirror.running(copy) as base, Session(base, stock or Shelf(), **options) as opened:
        yield opened


@contextmanager
def scripted(*answers: bytes | Callable[[socket.socket], None]) -> Iterator[tuple[str, list[int]]]:
    """A server that answers each connection in turn with given bytes, or by a function; yields its base address.

    robots.txt does not count and is empty. The second thing yielded grows by one with each other connection.
    """
    served: list[int] = []
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection:
                request = connection.recv(65536)
                if b"robots.txt" in request:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                served.append(1)
                what = answers[min(len(served), len(answers)) - 1]
                if callable(what):
                    what(connection)
                else:
                    connection.sendall(what)

        threading.Thread(target=serve, daemon=True).start()
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", served


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood"


def drip(connection: socket.socket) -> None:
    """One byte every tenth of a second: never silent, never done."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n")
    try:
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.1)
    except OSError:
        return


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"",
        b"no HTTP at all",
        reset,
        lambda connection: time.sleep(1),
        drip,
    ],
    ids=["cut", "chunks cut", "chunk cut", "broken gzip", "empty", "nothing", "no HTTP", "reset", "silent", "drip"],
)
def test_an_answer_that_breaks_off_is_asked_for_again(broken, monkeypatch):
    monkeypatch.setattr(session, "DEADLINE", 1)
    with scripted(broken, GOOD) as (base, served), Session(base, Shelf()) as opened:
        answer, result = opened.read(DOWNLOAD, whole)
    assert result == answer.data == b"good"
    assert len(served) == 2


def test_a_chunked_and_compressed_answer_is_its_content():
    import gzip

    packed = gzip.compress(b"good")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (packed[:7], packed[7:]))
    with scripted(head + chunks + b"0\r\n\r\n") as (base, _), Session(base, Shelf()) as opened:
        assert opened.read(DOWNLOAD, whole)[1] == b"good"


def test_a_server_that_accepts_no_connection_is_asked_again_and_then_given_up(monkeypatch):
    monkeypatch.setattr(session, "RETRIES", 1)
    monkeypatch.setattr(session, "TIMEOUTS", (0.2, 0.2))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        # A backlog of none holds one connection; the next one waits for ever.
        waiting = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(VindimaError, match=r"cannot be reached \(robots.txt\): .*timed out.* \(asked 2 times\)"):
            Session(f"http://127.0.0.1:{address[1]}", Shelf()).__enter__()


@pytest.mark.parametrize("status", session.RETRIED)
def test_a_busy_site_is_asked_again(status):
    copy = answering(lambda request, number: Response(status=status) if number < 3 else None)
    with reading(copy) as opened:
        assert opened.read(DOWNLOAD, whole)[1].startswith(b"Id;")
    assert copy.asked[DOWNLOAD] == 3


@pytest.mark.parametrize(("status", "times"), [(400, 1), (403, 1), (404, 1), (410, 1), (501, 1), (500, 6), (429, 6)])
def test_a_lasting_failure_names_address_and_status(status, times):
    copy = answering(lambda request, number: Response(status=status))
    with (
        reading(copy) as opened,
        pytest.raises(VindimaError, match=rf"/{DOWNLOAD}: expected status 200, got {status}"),
    ):
        opened.read(DOWNLOAD, whole)
    assert copy.asked[DOWNLOAD] == times == (1 if times == 1 else 1 + session.RETRIES)


def in_a_second() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("when", [lambda: "1", in_a_second], ids=["seconds", "date"])
def test_all_connections_wait_as_long_as_the_site_asks(when):
    asked: list[float] = []

    def busy_once(request: Request, number: int) -> Response | None:
        asked.append(time.monotonic())
        return Response(status=429, headers={"Retry-After": when()}) if number == 1 else None

    with reading(answering(busy_once)) as opened:
        list(opened.read_all([(DOWNLOAD, whole)]))
        assert asked[1] - asked[0] >= 0.9
        with opened._turn:
            opened._next_request = time.monotonic() + 0.5
        started = time.monotonic()
        list(opened.read_all([("robots.txt", whole)] * 3))
        assert time.monotonic() - started >= 0.5


def test_a_wait_that_nobody_could_want_is_a_failure_at_once():
    copy = answering(lambda request, number: Response(status=503, headers={"Retry-After": "86400"}))
    with reading(copy) as opened, pytest.raises(VindimaError, match="asks to be left alone for 86400 s"):
        opened.read(DOWNLOAD, whole)
    assert copy.asked[DOWNLOAD] == 1


def test_a_wait_that_cannot_be_read_is_a_usual_one():
    copy = answering(
        lambda request, number: Response(status=503, headers={"Retry-After": "soon"}) if number == 1 else None
    )
    with reading(copy) as opened:
        opened.read(DOWNLOAD, whole)
    assert copy.asked[DOWNLOAD] == 2


def test_retries_wait_longer_each_time_and_not_all_alike(monkeypatch):
    import tenacity

    monkeypatch.setattr(session, "BACKOFF", 1.0)
    waits = []
    for attempt in (1, 2, 3, 4, 5):
        state = tenacity.RetryCallState(None, None, (), {})
        state.attempt_number = attempt
        waits.append([session._wait(state) for _ in range(20)])
    assert all(2 ** (n - 1) <= wait <= 2 ** (n - 1) + 1 for n, group in enumerate(waits, 1) for wait in group)
    assert all(len(set(group)) > 1 for group in waits)


def test_what_the_reader_calls_a_wrong_answer_is_asked_for_again_and_never_kept():
    readings = []

    def reader(data: bytes) -> str:
        readings.append(data)
        if len(readings) < 3:
            raise WrongReply("a page of another year")
        return "read"

    shelf = Shelf()
    with reading(Copy(), shelf) as opened:
        assert opened.read(DOWNLOAD, reader)[1] == "read"
        assert list(shelf.kept) == [DOWNLOAD]

        def never(data: bytes) -> str:
            raise WrongReply("a page of another year")

        with pytest.raises(VindimaError, match=r"a page of another year \(asked 6 times\)"):
            opened.read("index.php", never)
        assert list(shelf.kept) == [DOWNLOAD]


def test_what_the_reader_cannot_understand_is_not_asked_for_again():
    copy = Copy()

    def reader(data: bytes) -> None:
        raise VindimaError("another format")

    with reading(copy) as opened, pytest.raises(VindimaError, match=r"^another format$"):
        opened.read(DOWNLOAD, reader)
    assert copy.asked[DOWNLOAD] == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_a_source_that_is_not_there_is_not_asked_again(address, monkeypatch):
    monkeypatch.setattr(session, "BACKOFF", 10)
    started = time.monotonic()
    with pytest.raises(VindimaError, match=rf"^{address} cannot be reached \(robots.txt\): "):
        Session(address, Shelf()).__enter__()
    assert time.monotonic() - started < 10


def test_a_redirect_is_followed_and_a_circle_is_a_failure_at_once():
    def moved(request: Request, number: int) -> Response:
        return Response(status=301, headers={"Location": "/download/ExpVinho.csv"})

    with reading(answering(moved)) as opened:
        answer, data = opened.read(DOWNLOAD, whole)
        assert answer.address == DOWNLOAD
        assert data.count(b"\n") == 1 + ROWS
    circle = answering(lambda request, number: Response(status=302, headers={"Location": f"/{DOWNLOAD}"}))
    with reading(circle) as opened, pytest.raises(VindimaError, match="30 redirects"):
        opened.read(DOWNLOAD, whole)


def test_no_more_requests_are_made_in_a_second_than_allowed():
    with reading(Copy(), requests_per_second=20) as opened:
        started = time.monotonic()
        list(opened.read_all([("index.php", whole)] * 6))
        assert time.monotonic() - started >= 5 / 20


def test_no_more_than_four_requests_are_under_way():
    def slow(request: Request, answer: Response) -> None:
        if request.path == "/index.php":
            time.sleep(0.1)

    copy = Copy(slow)
    with reading(copy) as opened:
        results = list(opened.read_all([(f"index.php?opcao=opt_0{number % 7 + 1}", whole) for number in range(12)]))
    again = sum(times for path, times in copy.asked.items() if path.startswith("index.php")) - len(results)
    assert (
        4 == session.CONNECTIONS <= copy.most_at_once <= 4 + again
    )  # a lost one may still be there when asked again
    assert [answer.address[-1] for answer, _ in results] == [str(number % 7 + 1) for number in range(12)]


def robots(text: str, status: int = 200) -> Copy:
    return Copy(lambda request, answer: Response(text, status=status) if request.path == "/robots.txt" else None)


@pytest.mark.parametrize("rules", ["User-agent: *\nDisallow: /download/", "User-agent: Vindima\nDisallow: /*.csv$"])
def test_what_robots_txt_does_not_allow_is_not_asked_for(rules):
    copy = robots(rules)
    with reading(copy) as opened:
        opened.read("index.php", whole)
        with pytest.raises(VindimaError, match=rf"robots\.txt does not allow {DOWNLOAD}"):
            opened.read(DOWNLOAD, whole)
    assert copy.asked[DOWNLOAD] == 0


@pytest.mark.parametrize("copy", [robots("", 404), robots(""), robots("<html>Nada aqui</html>")])
def test_a_site_without_robots_txt_allows_all(copy):
    with reading(copy) as opened:
        opened.read(DOWNLOAD, whole)


def test_a_site_that_cannot_tell_what_it_allows_is_left_alone():
    copy = robots("", 500)
    with pytest.raises(VindimaError, match=r"robots.txt: expected status 200, got 500.*asked 6 times"), reading(copy):
        pass
    assert set(copy.asked) == {"robots.txt"}


def test_a_delay_asked_for_in_robots_txt_is_kept():
    with reading(robots("User-agent: *\nCrawl-delay: 0.2"), requests_per_second=100) as opened:
        started = time.monotonic()
        list(opened.read_all([("index.php", whole)] * 3))
        assert time.monotonic() - started >= 0.4


def test_the_project_names_itself_and_keeps_no_cookies():
    def cookie(request: Request, answer: Response) -> None:
        cookies.append(request.headers.get("Cookie"))
        answer.set_cookie("PHPSESSID", "1")

    cookies: list[str | None] = []
    copy = Copy(cookie)
    with reading(copy) as opened:
        opened.read("index.php", whole)
        opened.read(DOWNLOAD, whole)
    assert cookies == [None, None, None]
    assert copy.agents == {session.USER_AGENT}
    assert session.USER_AGENT.startswith("Vindima/")


def test_what_is_there_and_fresh_is_not_asked_for_unless_it_cannot_be_read():
    copy = Copy()
    held = Reply(DOWNLOAD, b"held", "2026-01-01T00:00:00+00:00")
    with reading(copy, Shelf(fresh=held)) as opened:
        assert opened.read(DOWNLOAD, whole) == (held, b"held")
        assert copy.asked[DOWNLOAD] == 0

        def only_new(data: bytes) -> bytes:
            if data == b"held":
                raise VindimaError("damaged")
            return data

        assert opened.read(DOWNLOAD, only_new)[1].startswith(b"Id;")
        assert copy.asked[DOWNLOAD] == 1


@pytest.mark.parametrize(
    ("validator", "header"),
    [({"etag": '"a"'}, "If-None-Match"), ({"last_modified": "Mon, 05 Jan 2026 00:00:00 GMT"}, "If-Modified-Since")],
)
def test_what_is_there_but_old_is_asked_for_only_if_it_changed(validator, header):
    asked = []

    def unchanged(request: Request, number: int) -> Response:
        asked.append((request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")))
        return Response(status=304) if header in request.headers else Response("new")

    held = Reply(DOWNLOAD, b"held", "2026-01-01T00:00:00+00:00", **validator)
    shelf = Shelf(earlier=held)
    with reading(answering(unchanged), shelf, now=lambda: "now") as opened:
        answer, data = opened.read(DOWNLOAD, whole)
    assert (data, answer.status, answer.retrieved_at) == (b"held", 304, "now")
    assert asked == [(validator.get("etag"), validator.get("last_modified"))]
    assert shelf.kept[DOWNLOAD] == answer


def test_validators_are_kept_with_an_answer():
    copy = answering(lambda request, number: Response("x", headers={"ETag": '"a"', "Last-Modified": "then"}))
    with reading(copy) as opened:
        answer, _ = opened.read(DOWNLOAD, whole)
    assert (answer.etag, answer.last_modified) == ('"a"', "then")


def test_leaving_a_session_stops_what_waits():
    copy = answering(lambda request, number: Response(status=503, headers={"Retry-After": "60"}))
    started = time.monotonic()
    with mirror.running(copy) as base, Session(base, Shelf()) as opened:
        next(opened.read_all([("index.php", whole), *[(DOWNLOAD, whole)] * 8]))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_rate_that_cannot_be_is_refused(limit):
    with pytest.raises(VindimaError, match="requests_per_second: expected more than 0, or null"):
        Session("http://127.0.0.1:9", Shelf(), limit)


def test_a_cut_answer_of_the_mirror_is_asked_for_again():
    copy = Copy(
        lambda request, answer: cut(answer) if copy.asked[DOWNLOAD] == 1 and DOWNLOAD in request.path else None
    )
    with reading(copy) as opened:
        assert opened.read(DOWNLOAD, whole)[1].startswith("Id;País;1970".encode())


def test_a_site_that_speaks_no_tls_is_not_asked_again():
    with scripted(GOOD) as (base, served):
        with pytest.raises(VindimaError, match=r"cannot be reached \(robots.txt\): (?!.*asked)"):
            Session(base.replace("http:", "https:"), Shelf()).__enter__()
        assert len(served) == 1
