"""Clients that drip, hang, stay silent or take nothing, many at once, and one that asks for the health check."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

BODY = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n{"


@dataclass(frozen=True)
class Attack:
    """What a client sends first, what it sends twice a second from then on, and whether it reads."""

    first: bytes = b""
    drip: bytes = b""
    reads: bool = True


ATTACKS = {
    "dripping bodies": Attack(BODY, b" "),
    "hanging bodies": Attack(BODY),
    "dripping headers": Attack(b"GET /health/live HTTP/1.1\r\nX-Drip: ", b"a"),
    "idle connections": Attack(),
    "stalled TLS handshakes": Attack(b"\x16\x03\x01\x02\x00\x01\x00"),
    "nothing read": Attack(b"GET /csv?megabytes=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", reads=False),
}


@dataclass
class Course:
    """Seconds that each call of the health check took, after how many each hanger was cut, and what it was told."""

    live: list[float] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)


def run(port: int, attack: Attack, count: int, at_most: float, live: Callable[[], None]) -> Course:
    """The course of an attack of `count` clients at once, of at most so many seconds; `live` is called all along."""
    course, over = Course(), threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            begun = time.monotonic()
            try:
                live()
            finally:
                course.live.append(time.monotonic() - begun)

    watching = threading.Thread(target=watch)
    watching.start()
    events, hangers, told = select.poll(), {}, {}
    for _ in range(count):
        hanger = socket.socket()
        if not attack.reads:
            hanger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hanger.connect(("127.0.0.1", port))
        hanger.sendall(attack.first)
        hanger.setblocking(False)
        hangers[hanger.fileno()] = hanger, time.monotonic()
        told[hanger.fileno()] = b""
        events.register(hanger, select.POLLIN if attack.reads else 0)
    end, next_drip = time.monotonic() + at_most, 0.0
    while hangers and time.monotonic() < end:
        for number, event in events.poll(100):
            hanger, begun = hangers[number]
            try:
                gone = not (data := hanger.recv(4096)) if attack.reads else bool(event)
                told[number] += data if attack.reads else b""
            except OSError:
                gone = True
            if gone:
                course.cut.append(time.monotonic() - begun)
                events.unregister(number)
                hangers.pop(number)[0].close()
        if attack.drip and time.monotonic() > next_drip:
            next_drip = time.monotonic() + 0.5
            for hanger, _ in hangers.values():
                with contextlib.suppress(OSError):  # it is closed in the next turn
                    hanger.send(attack.drip)
    over.set()
    watching.join()
    for hanger, _ in hangers.values():
        hanger.close()
    course.told = list(told.values())
    return course


def call_live(port: int, certificate: Path | None = None) -> None:
    """Ask for the health check over a new connection; raises where it is not answered as it should."""
    if certificate:
        context = ssl.create_default_context(cafile=certificate)
        connection: HTTPConnection = HTTPSConnection("localhost", port, timeout=30, context=context)
    else:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/health/live")
        response = connection.getresponse()
        if (response.status, response.read().strip()[:9]) != (200, b'{"status"'):
            raise RuntimeError(f"/health/live answered {response.status}")


def wait_for(live: Callable[[], None], process: subprocess.Popen) -> None:
    """Return once a server that starts answers; raises what `live` does where it ends or does not within 30 s."""
    end = time.monotonic() + 30
    while True:
        try:
            return live()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)


def certify(folder: Path) -> tuple[Path, Path]:
    """A new certificate for localhost, valid for a day, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    now, day, number = datetime.now(UTC), timedelta(days=1), x509.random_serial_number()
    made = x509.CertificateBuilder(name, name, key.public_key(), number, now - day, now + day)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
