"""gunicorn's thread worker with deadlines: nobody who drips, hangs or takes nothing holds a thread for long.

It leans on methods of gunicorn that are its own affair, which is why gunicorn is pinned and `tests/test_hostile.py`
holds them to what is expected here. POSIX only, as gunicorn is.
"""

import errno
import selectors
import socket
import ssl
import struct
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import glogging, util
from gunicorn.http import errors, message, wsgi
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import gthread
from werkzeug.exceptions import BadRequest, HTTPException, RequestTimeout

from vindima.serving import bounds

HEAD_BYTES = 65_536  # of one request line with its header fields
PIECE = 16_384  # bytes sent at once, one record of TLS

STATUS = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
}
APPLICATION = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)

wsgi.SERVER = bounds.NAME


class _Patient:
    """A socket that sends as long as the client takes something within SEND_SECONDS, however long all takes."""

    def sendall(self: Any, data: Any, flags: int = 0, /) -> None:
        rest, before = memoryview(data), self.gettimeout()
        self.settimeout(bounds.SEND_SECONDS)  # it is for each piece
        try:
            while rest:
                rest = rest[self.send(rest[:PIECE], flags) :]
        except TimeoutError:
            reset = struct.pack("ii", 1, 0)  # the kernel would go on with what it has
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            raise BrokenPipeError(errno.EPIPE, "the client takes nothing") from None  # as good as gone
        finally:
            self.settimeout(before)


class PlainSocket(_Patient, socket.socket):
    """A connection over TCP."""


class TLSSocket(_Patient, ssl.SSLSocket):
    """A connection over TLS."""


class Logger(glogging.Logger):
    """What gunicorn has to say goes where everything is logged, in the same form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Connection(gthread.TConn):
    """A connection that knows what of a request it has."""

    request: Request | None = None  # once its head is whole
    late = False
    head_bytes = 0

    def init(self) -> None:
        if not self.initialized:
            super().init()
            self.parser.unreader = Unreader(self)

    def expect(self) -> None:
        """A request begins."""
        self.request, self.head_bytes = None, 0

    def unfinished(self) -> bool:
        """There is more of the request to come, as far as anybody has read it."""
        if self.request is None:
            return True
        reader = self.request.body.reader
        return getattr(reader, "length", 0) > 0 or getattr(reader, "parser", None) is not None

    def cut(self) -> None:
        """Who reads from the connection finds its end at once; writing goes on."""
        self.late = True
        socket.socket.shutdown(self.sock, socket.SHUT_RD)  # that of ssl would forget that there is TLS

    def close(self, graceful: bool = False) -> None:
        """Never waits: the thread that answered has done so."""
        util.close(self.sock)


class Unreader(SocketUnreader):
    """What gunicorn reads a connection by: it ends a body that is late and a head that is too long."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.sock)
        self.connection = connection

    def chunk(self, size_hint: int | None = None) -> bytes:
        data = super().chunk(min(size_hint or 0, HEAD_BYTES))  # it takes the memory for it before anything comes
        if self.connection.request is None:
            self.connection.head_bytes += len(data)
            if self.connection.head_bytes > HEAD_BYTES:
                raise errors.LimitRequestHeaders("the whole head")
        elif not data and self.connection.late:
            self.connection.request.force_close()
            raise RequestTimeout(bounds.LATE)  # answered by the application, as its other errors
        return data


class Body(message.Body):
    """A body whose defects are the client's: the application answers them as its other errors."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.body.reader)
        self.request = request

    def _read_reader(self, size: int) -> bytes:
        try:
            return super()._read_reader(size)
        except (errors.ParseException, errors.NoMoreData):
            self.request.force_close()
            raise BadRequest(bounds.DETAILS[400]) from None


class Threads(ThreadPoolExecutor):
    """Threads made when they are needed; where the machine gives no more, work waits for those there are."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


class Worker(gthread.ThreadWorker):
    """A thread for each connection that sends or is answered, a place in the poller for each that is silent.

    A request has READ_SECONDS from its first byte to its last, then the connection's reading side is shut: a late
    body is answered 408 by the application, a late head by the worker, a late handshake of TLS not at all. A reply
    that is being sent is not touched; it ends where the client takes nothing of it for SEND_SECONDS.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_keepalived = self.cfg.worker_connections  # silent ones need no thread
        self.arriving: dict[Connection, float] = {}  # until when, the first due first

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Nothing to warn of: as many connections as threads are meant."""

    def get_thread_pool(self) -> Threads:
        return Threads(max_workers=self.cfg.threads)

    # ---- connections come

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):  # who is in the queue already is answered, who comes later is refused at once
            for listener in self.sockets:
                while listener.sock and self.accept(listener):
                    pass
                listener.close()

    def accept(self, listener: Any) -> bool:
        """Take one connection, if there is one; a thread has it only once it sends."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # no descriptors left, no memory: later
            self.log.warning("no connection accepted: %s", error.strerror)
            time.sleep(0.1)
            return False
        self.nr_conns += 1
        conn = Connection(self.cfg, PlainSocket(fileno=client.detach()), address, listener.getsockname())
        conn.timeout = time.monotonic() + bounds.READ_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
        return True

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    # ---- a request comes

    def enqueue_req(self, conn: Connection) -> None:
        conn.expect()
        self.arriving[conn] = time.monotonic() + bounds.READ_SECONDS
        super().enqueue_req(conn)

    def finish_request(self, conn: Connection, fs: Future) -> None:
        self.arriving.pop(conn, None)
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """In every turn of the main loop: what has not come by now is not waited for."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due in list(self.arriving.items()):
            if due > now:
                break
            if conn.unfinished():
                try:
                    conn.cut()
                except OSError:  # in between two sockets, at the start of TLS, or gone
                    continue
            del self.arriving[conn]

    # ---- in a thread

    def handle(self, conn: Connection) -> Any:
        kept = super().handle(conn)
        if not kept:
            if conn.late and conn.request is None and conn.head_bytes:
                self._tell(conn.sock, 408)
            util.close_graceful(conn.sock)  # here, because it waits for the client
        return kept

    def handle_request(self, req: Request, conn: Connection) -> bool:
        conn.request = req
        req.body = Body(req)
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        try:
            return super()._keepalive_after(conn, keepalive)
        except (HTTPException, OSError):  # in a body that nobody asked for; the answer is given
            return False

    def handle_error(self, req: Request | None, client: Any, addr: Any, exc: Exception) -> None:
        """A problem document where no application was asked; neither it nor the log has what was sent."""
        if isinstance(exc, ssl.SSLError):
            return  # nobody there who speaks TLS
        if isinstance(exc, errors.ParseException) and not isinstance(exc, APPLICATION):
            self._tell(client, STATUS.get(type(exc), 400))
        else:
            self.log.exception("a request failed")
            self._tell(client, 500)

    def _tell(self, client: Any, status: int) -> None:
        body = bounds.problem(status)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: {bounds.NAME}\r\nDate: {util.http_date()}\r\n"
            f"Connection: close\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            self.log.debug("nobody to tell that there was an error")
