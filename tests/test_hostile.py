"""Clients that mean harm, many at once and over loopback, against the real servers with deadlines of two seconds."""

import inspect
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.attacks import ATTACKS, Course, call_live, certify, run, wait_for
from tests.servers import DEADLINE, HASTY_APP, HASTY_VINDIMA, SERVERS, environment_of, free_port, running

HANGERS = 200
AT_MOST = 10  # seconds of an attack; all are cut long before
LATE = 3.5  # seconds after the deadline at which the last is cut, on a busy machine

pytestmark = pytest.mark.services
posix = pytest.mark.skipif(os.name != "posix", reason="gunicorn does not run here")


@pytest.fixture(scope="module", params=SERVERS)
def service(
    request: pytest.FixtureRequest,
    set_made_once: Path,
    users_made_once: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[int]:
    """The port of the service, for all attacks one after the other."""
    environment = environment_of(set_made_once, users_made_once)
    log = tmp_path_factory.mktemp("service") / "log.txt"
    with running([*HASTY_VINDIMA, "serve", "--server", request.param], environment, log):
        yield int(environment["PORT"])


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of an application of the tests' own under each server."""
    with ExitStack() as stack:
        ports = {}
        for server in SERVERS:
            ports[server] = free_port()
            log = tmp_path_factory.mktemp("app") / "log.txt"
            environment = os.environ | {"PORT": str(ports[server])}
            stack.enter_context(running([*HASTY_APP, server], environment, log))
        yield ports


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[int, psutil.Process]]:
    """An application under a gunicorn of the test's own: its port and the process that is told to stop."""
    port = free_port()
    with running([*HASTY_APP, "gunicorn"], os.environ | {"PORT": str(port)}, tmp_path / "log.txt") as process:
        yield port, psutil.Process(process.pid)


def assert_live_and_cut(course: Course) -> None:
    assert max(course.live) < 1
    assert len(course.live) > DEADLINE
    assert len(course.cut) == HANGERS
    assert min(course.cut) > DEADLINE - 0.5
    assert max(course.cut) < DEADLINE + LATE


def parts(reply: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body."""
    head, _, body = reply.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def exchange(port: int, sent: bytes) -> bytes:
    """All that is answered before the connection is closed, or reset because not all was read that was sent."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client, suppress(ConnectionError):
        client.sendall(sent)
        while piece := client.recv(65_536):
            got += piece
    return got


# ---- many at once


@pytest.mark.parametrize("attack", ["dripping bodies", "hanging bodies", "dripping headers", "idle connections"])
def test_service_is_live_while_clients_hang_and_cuts_them_at_the_deadline(service: int, attack: str) -> None:
    answer = requests.post(f"http://127.0.0.1:{service}/v1/token", auth=("ana", "uva isabel de 1875"), timeout=10)
    known = f"POST /v1/predictions HTTP/1.1\r\nAuthorization: Bearer {answer.json()['access_token']}\r\n".encode()
    first = ATTACKS[attack].first.replace(b"POST /echo HTTP/1.1\r\n", known)
    course = run(service, replace(ATTACKS[attack], first=first), HANGERS, AT_MOST, partial(call_live, service))
    assert_live_and_cut(course)


@pytest.mark.parametrize("server", SERVERS)
def test_clients_that_take_nothing_of_a_reply_are_cut(apps: dict[str, int], server: str) -> None:
    attack = ATTACKS["nothing read"]
    assert_live_and_cut(run(apps[server], attack, HANGERS, AT_MOST, partial(call_live, apps[server])))


@posix
def test_handshakes_that_stall_are_cut(tmp_path: Path) -> None:
    files, port = certify(tmp_path), free_port()
    command = [*HASTY_APP, "gunicorn", *map(str, files)]
    with running(command, os.environ | {"PORT": str(port)}, tmp_path / "log.txt", files[0]):
        live = partial(call_live, port, files[0])
        assert_live_and_cut(run(port, ATTACKS["stalled TLS handshakes"], HANGERS, AT_MOST, live))


@posix
@pytest.mark.parametrize("attack", ["hanging bodies", "dripping headers"])
def test_client_that_is_cut_is_told_why(apps: dict[str, int], attack: str) -> None:
    first = ATTACKS[attack].first.replace(b"/echo", b"/length")
    course = run(apps["gunicorn"], replace(ATTACKS[attack], first=first), 5, AT_MOST, lambda: None)
    for told in course.told:
        status, fields, body = parts(told)
        assert status == 408
        assert fields["Content-Type"] == "application/problem+json"
        assert fields["Connection"] == "close"
        assert json.loads(body)["title"] == "Request Timeout"


@posix
@pytest.mark.parametrize("path", [b"/length", b"/late"])  # one that asks for the body, one that does not
@pytest.mark.parametrize("chunks", [b"CANARY\r\n", b"3\r\nabcd\r\n", b"3\r\nabc\r\n0\r\nCANARY\r\n\r\n"])
def test_body_that_is_badly_chunked_is_the_clients_mistake(apps: dict[str, int], path: bytes, chunks: bytes) -> None:
    sent = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    reply = exchange(apps["gunicorn"], sent)
    assert parts(reply)[0] == (400 if path == b"/length" else 404)
    assert reply.count(b"HTTP/1.1 4") == 1
    assert path != b"/length" or parts(reply)[1]["Connection"] == "close"
    assert b"CANARY" not in reply


@pytest.mark.parametrize("server", SERVERS)
def test_slow_reader_of_a_long_reply_gets_all_of_it(apps: dict[str, int], server: str) -> None:
    got, begun = 0, time.monotonic()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.connect(("127.0.0.1", apps[server]))
        client.sendall(b"GET /csv?megabytes=5 HTTP/1.1\r\nConnection: close\r\n\r\n")
        while piece := client.recv(65_536):
            got += len(piece)
            time.sleep(len(piece) / 1.2e6)
    assert time.monotonic() - begun > 2 * DEADLINE
    assert got > 5 * 16 * 2114 * len("1997,imports.table_wine,2.7183\n")


# ---- one by one


REFUSED = {
    "a line that is none": (b"CANARY\r\n\r\n", 400),
    "a header that is none": (b"GET / HTTP/1.1\r\nCANARY\r\n\r\n", 400),
    "a version that is none": (b"GET / CANARY/9\r\n\r\n", 400),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + 20_000 * b"CANARY" + b"\r\n\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nX: " + 20_000 * b"CANARY", 431),
    "a coding that is unknown": (b"POST / HTTP/1.1\r\nTransfer-Encoding: CANARY\r\n\r\n", 501),
}
BY_GUNICORN = {
    "a long line": (b"GET /" + 2_000 * b"CANARY" + b" HTTP/1.1\r\n\r\n", 414),
    "many headers": (b"GET / HTTP/1.1\r\n" + 101 * b"CANARY: 1\r\n" + b"\r\n", 431),
    "an expectation": (b"GET / HTTP/1.1\r\nExpect: CANARY\r\n\r\n", 417),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: CANARY\r\n\r\n", 400),
}
BY_WAITRESS = {
    "a long line": (b"GET /" + 5_000 * b"CANARY" + b" HTTP/1.1\r\n\r\n", 431),
    "a body that is announced as large": (b"POST /length HTTP/1.1\r\nContent-Length: 2000000\r\n\r\nCANARY", 413),
}
CASES = [
    (server, name)
    for server, more in (("gunicorn", BY_GUNICORN), ("waitress", BY_WAITRESS))
    if server in SERVERS
    for name in (REFUSED | more)
]


@pytest.mark.parametrize(("server", "name"), CASES)
def test_what_a_server_refuses_by_itself_is_a_problem_document(apps: dict[str, int], server: str, name: str) -> None:
    sent, expected = (REFUSED | {"gunicorn": BY_GUNICORN, "waitress": BY_WAITRESS}[server])[name]
    reply = exchange(apps[server], sent)
    status, fields, body = parts(reply)
    assert status == expected
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["Server"] == "vindima"
    assert fields["Connection"] == "close"
    assert int(fields["Content-Length"]) == len(body)
    document = json.loads(body)
    assert document.keys() == {"type", "title", "status", "detail"}
    assert (document["type"], document["status"]) == ("about:blank", expected)
    assert b"CANARY" not in reply.upper()


@pytest.mark.parametrize("server", SERVERS)
def test_stranger_does_not_set_the_scheme_and_the_server_is_not_named(apps: dict[str, int], server: str) -> None:
    said = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Protocol": "ssl",
        "X-Forwarded-Ssl": "on",
        "Forwarded": "proto=https",
    }
    answer = requests.get(f"http://127.0.0.1:{apps[server]}/process", headers=said, timeout=10)
    assert answer.json()["scheme"] == "http"
    assert answer.headers["Server"] == "vindima"


@pytest.mark.parametrize("server", SERVERS)
def test_application_is_made_and_started_in_each_process_that_answers(apps: dict[str, int], server: str) -> None:
    for _ in range(10):
        answer = requests.get(f"http://127.0.0.1:{apps[server]}/process", timeout=10).json()
        assert answer["made"] == answer["process"]
        assert answer["started"] == [answer["process"]]


# ---- the end, of all and of one


@pytest.mark.parametrize("server", SERVERS)
def test_service_that_is_told_to_end_answers_what_it_has(tmp_path: Path, server: str) -> None:
    port, codes = free_port(), []
    with running([*HASTY_APP, server], os.environ | {"PORT": str(port)}, tmp_path / "log.txt") as process:
        asked = [threading.Thread(target=lambda: codes.append(ask(port, "/sleep?seconds=1.5"))) for _ in range(5)]
        for one in asked:
            one.start()
        time.sleep(0.5)
        process.terminate()
        for one in asked:
            one.join()
        assert process.wait(timeout=10) == 0
    assert codes == 5 * [200]
    with pytest.raises(requests.ConnectionError):
        ask(port, "/health/live")


def ask(port: int, path: str) -> int:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code


@posix
def test_service_that_is_told_to_end_while_it_starts_ends_at_once(tmp_path: Path) -> None:
    slow = (
        "import os, time; from gunicorn import util; parent = os.getpid(); "
        "util._setproctitle = lambda title: os.getpid() == parent or time.sleep(0.5); "
    )
    command = [HASTY_APP[0], "-c", slow + HASTY_APP[2], "gunicorn"]  # the second worker is made a little later
    with running(command, os.environ | {"PORT": str(free_port())}, tmp_path / "log.txt") as process:
        process.terminate()
        assert process.wait(timeout=5) == 0


@posix
def test_worker_that_is_killed_loses_its_own_requests_alone(own: tuple[int, psutil.Process]) -> None:
    port, parent = own
    while len(parent.children()) < 2:
        time.sleep(0.1)
    killed, other = (worker.pid for worker in parent.children())
    over, answered, lost = threading.Event(), [], []

    def load() -> None:
        while not over.is_set():
            with requests.Session() as session:
                of = session.get(f"http://127.0.0.1:{port}/process", timeout=10).json()["process"]
                try:  # over the same connection, to the same worker
                    session.get(f"http://127.0.0.1:{port}/sleep?seconds=0.2", timeout=10)
                    answered.append(of)
                except requests.ConnectionError:
                    lost.append(of)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    os.kill(killed, signal.SIGKILL)
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    assert set(lost) <= {killed}
    assert len(lost) <= len(threads)
    assert other in answered
    assert len(set(answered) - {killed, other}) == 1  # who came in its place


# ---- TLS


@posix
def test_https_port_stands_what_is_no_tls_and_takes_up_a_renewed_certificate(tmp_path: Path) -> None:
    (certificate, key), port = certify(tmp_path), free_port()
    command = [*HASTY_APP, "gunicorn", str(certificate), str(key)]
    log = tmp_path / "log.txt"
    with running(command, os.environ | {"PORT": str(port)}, log, certificate) as process:
        for garbage in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", bytes(range(256)), b"\x16\x03\x01\xff\xff" * 9):
            with suppress(OSError):
                assert b"HTTP" not in exchange(port, garbage)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("localhost", port), timeout=10) as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)

        before = certificate.read_bytes()
        certificate.write_text("nothing", encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        time.sleep(1)
        former = tmp_path / "former.pem"
        former.write_bytes(before)
        call_live(port, former)
        for new, name in zip(certify(renewed), (certificate, key), strict=True):
            new.replace(name)
        process.send_signal(signal.SIGHUP)
        wait_for(partial(call_live, port, certificate), process)
        with pytest.raises(ssl.SSLError):
            call_live(port, former)
    said = f"vindima: the certificate {certificate} is none in PEM; the former certificate is kept\n"
    assert log.read_text(encoding="utf-8") == said


# ---- what is gunicorn's own affair


@posix
def test_gunicorn_has_what_the_worker_leans_on() -> None:
    from gunicorn import util
    from gunicorn.http import wsgi
    from gunicorn.http.body import Body, ChunkedReader, LengthReader
    from gunicorn.http.unreader import SocketUnreader
    from gunicorn.workers.gthread import TConn, ThreadWorker

    def signature(function) -> str:
        return str(inspect.signature(function))

    assert {name: signature(getattr(ThreadWorker, name)) for name in (
        "accept", "set_accept_enabled", "enqueue_req", "finish_request", "murder_pending", "_cap_keepalive", "handle",
        "handle_request", "handle_error", "_keepalive_after", "on_pending_socket_readable", "get_thread_pool",
    )} == {
        "accept": "(self, listener)",
        "set_accept_enabled": "(self, enabled)",
        "enqueue_req": "(self, conn)",
        "finish_request": "(self, conn, fs)",
        "murder_pending": "(self)",
        "_cap_keepalive": "(self, deadline)",
        "handle": "(self, conn)",
        "handle_request": "(self, req, conn)",
        "handle_error": "(self, req, client, addr, exc)",
        "_keepalive_after": "(self, conn, keepalive)",
        "on_pending_socket_readable": "(self, conn, client)",
        "get_thread_pool": "(self)",
    }  # fmt: skip
    assert signature(TConn) == "(cfg, sock, client, server)"
    assert signature(TConn.close) == "(self, graceful=False)"
    assert signature(Body._read_reader) == "(self, size)"
    assert signature(SocketUnreader.chunk) == "(self, size_hint=None)"
    assert "sock.sendall(" in inspect.getsource(util.write)
    assert "sock.sendall(" in inspect.getsource(util.write_chunk)
    assert signature(util.close_graceful).startswith("(sock")
    assert "self.version = SERVER\n" in inspect.getsource(wsgi.Response.__init__)
    assert "self.length" in inspect.getsource(LengthReader.read)
    assert "self.parser = None" in inspect.getsource(ChunkedReader.read)
    run_source = inspect.getsource(ThreadWorker.run)
    for name in ("self.murder_pending()", "self.set_accept_enabled(False)", "self._cap_keepalive(", "self.notify()"):
        assert name in run_source
