"""Runs the service on a socket: gunicorn, or waitress where gunicorn does not run.

A request has READ_SECONDS to arrive whole, whether its handshake of TLS, its head or its body is slow, and a reply
goes on as long as the client takes something of it within SEND_SECONDS. No proxy in front is needed for that. With a
certificate gunicorn speaks TLS alone, 1.2 or later; a renewed certificate is taken up at SIGHUP (`kill -HUP` and the
process that `vindima serve` is), and where it is not usable that is logged and the former kept.
"""

import atexit
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import struct
import sys
import tempfile
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from flask import Flask

from vindima.errors import VindimaError
from vindima.serving import bounds

Server = Literal["gunicorn", "waitress"]


def default_server() -> Server:
    """gunicorn where it is installed and runs (POSIX), else waitress."""
    return "gunicorn" if os.name == "posix" and importlib.util.find_spec("gunicorn") else "waitress"


def count_together() -> None:
    """Have all processes of this run keep their counts in one folder, which goes with this process.

    To be called before anything counts. A folder that the environment names is used and kept.
    """
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return
    folder, process = tempfile.mkdtemp(prefix="vindima-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder

    def remove() -> None:
        if process == os.getpid():  # not where a worker ends
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at the address; raises VindimaError where it cannot, a port in use included."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        why = str(error.strerror).partition(" (while")[0]  # create_server repeats the address there
        raise VindimaError(
            f"cannot serve at {host} port {port}: {why}; set HOST and PORT to a free address"
        ) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, bounds.SEND_BUFFER)
    return listening


def tls(server: Server, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What `server` speaks TLS by, None without certificate and key.

    Raises VindimaError where one is without the other, a file is not usable, or `server` has no TLS.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        given, missing = ("--key", "--certificate") if certificate is None else ("--certificate", "--key")
        raise VindimaError(f"{given} is of no use without {missing}: give both or none")
    if server == "waitress":
        raise VindimaError("waitress has no TLS: use `--server gunicorn`, or a proxy and no --certificate")
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        x509.load_pem_x509_certificates(_content(certificate, "certificate"))
    except ValueError:
        raise VindimaError(f"the certificate {certificate} is none in PEM") from None
    try:
        load_pem_private_key(_content(key, "key"), password=None)
    except TypeError:
        raise VindimaError(f"the key {key} is encrypted: the service wants one without a pass phrase") from None
    except ValueError:
        raise VindimaError(f"the key {key} is no private key in PEM") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = error.reason or "OpenSSL gives no reason"
        why = "does not match" if reason == "KEY_VALUES_MISMATCH" else f"cannot be used ({reason}) with"
        raise VindimaError(f"the key {key} {why} the certificate {certificate}") from None
    return context


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VindimaError(f"the {what} {path} cannot be read: {error.strerror}") from error


def serve(
    make_app: Callable[[], Flask],
    listening: socket.socket,
    server: Server,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Answer at `listening`, which is closed in the end, until told to stop by SIGTERM or SIGINT.

    `make_app` is called in every process that answers, after the fork, so that these have nothing in common; if the
    application's extensions have a function "vindima.started", it is called there too before the first request.
    Raises VindimaError where `server` does not run here or as `tls` does.
    """
    tls(server, certificate, key)
    _allow_open_files()
    if server == "waitress":
        _waitress(make_app, listening)
    else:
        _gunicorn(make_app, listening, certificate, key)


def _started(app: Flask) -> None:
    app.extensions.get("vindima.started", lambda: None)()


def _allow_open_files() -> None:
    """As many open files as the connections need, where the system lets us: 1024 is usual, and too few."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * bounds.CONNECTIONS if hard == resource.RLIM_INFINITY else min(4 * bounds.CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_at_once_when_new() -> None:
    """A worker that is told to end before it has handlers of its own would have the arbiter's, and stay."""
    told = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}

    def anew() -> None:
        for one in told:
            signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, told)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, told),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, told),
        after_in_child=anew,
    )


def _gunicorn(
    make_app: Callable[[], Flask], listening: socket.socket, certificate: Path | None, key: Path | None
) -> None:
    try:
        from gunicorn.app.base import BaseApplication

        from vindima.serving import worker
    except ImportError as error:
        raise VindimaError(f"gunicorn does not run here ({error}): use `--server waitress`") from error

    _end_at_once_when_new()
    address = f"fd://{listening.detach()}"  # gunicorn closes it

    class Service(BaseApplication):
        context: ssl.SSLContext | None = None

        def load_config(self) -> None:
            self.renew_certificate()
            settings = {
                "bind": address,
                "workers": bounds.WORKERS,
                "threads": bounds.CONNECTIONS,
                "worker_connections": bounds.CONNECTIONS,
                "worker_class": worker.Worker,
                "keepalive": bounds.IDLE_SECONDS,
                "graceful_timeout": bounds.GRACE_SECONDS,
                "limit_request_line": bounds.REQUEST_LINE,
                "limit_request_fields": bounds.FIELDS,
                "limit_request_field_size": bounds.FIELD_BYTES,
                "http_parser": "python",  # an optional one in C has messages and limits of its own
                "forwarded_allow_ips": "",  # the application alone says whom it believes
                "secure_scheme_headers": {},
                "forwarder_headers": "",
                "sendfile": False,
                "post_worker_init": lambda one: _started(one.wsgi),
                "control_socket_disable": True,
                "loglevel": "warning",
                "logger_class": worker.Logger,
            }
            if certificate and key:
                settings |= {
                    "certfile": str(certificate),
                    "keyfile": str(key),
                    "ssl_context": lambda config, default: self.context,
                }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def renew_certificate(self) -> None:
            """At the start, where it has been looked at before, and at SIGHUP."""
            try:
                self.context = tls("gunicorn", certificate, key)
            except VindimaError as error:
                if self.context is None:
                    raise
                print(f"vindima: {error}; the former certificate is kept", file=sys.stderr, flush=True)
            if self.context:
                self.context.sslsocket_class = worker.TLSSocket

        def load(self) -> Flask:
            return make_app()

    Service().run()


def _waitress(make_app: Callable[[], Flask], listening: socket.socket) -> None:
    import select

    from waitress import create_server, utilities
    from waitress.channel import HTTPChannel

    class Channel(HTTPChannel):
        last_activity: float
        will_close: bool

        def handle_read(self) -> None:
            """Bytes in the middle of a request are no activity: who drips is closed like who hangs."""
            amid, before = self.request is not None, self.last_activity
            super().handle_read()
            if amid and self.request is not None:
                self.last_activity = before

        def readable(self) -> bool:
            """Asked in every turn: close here what is to be closed and takes nothing, for it is never writable."""
            if not (self.will_close and self.total_outbufs_len):
                return super().readable()
            with contextlib.suppress(OSError):  # the kernel would go on with what it has
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handle_close()
            self.will_close = self.close_when_flushed = False
            return False

    def to_response(error: Any, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        status = f"{error.code} {HTTPStatus(error.code).phrase}"
        return status, [("Content-Type", "application/problem+json")], bounds.problem(error.code)

    utilities.Error.to_response = to_response
    app = make_app()
    _started(app)
    running = create_server(
        app,
        sockets=[listening],
        threads=bounds.WAITRESS_THREADS,
        ident=bounds.NAME,
        connection_limit=bounds.WORKERS * bounds.CONNECTIONS
        if hasattr(select, "poll")
        else 400,  # Windows' select takes 512
        asyncore_use_poll=True,
        channel_timeout=bounds.READ_SECONDS,
        cleanup_interval=max(1, bounds.READ_SECONDS // 5),
        max_request_header_size=16_384,
        max_request_body_size=app.config["MAX_CONTENT_LENGTH"] or bounds.BODY_BYTES,
        log_socket_errors=False,
    )
    running.channel_class = Channel
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # in the loop: it then waits for the threads
    running.run()
