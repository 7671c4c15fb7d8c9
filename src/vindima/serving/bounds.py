"""What a server allows whoever calls it: deadlines and sizes, and what it answers by itself beyond them."""

import json
from http import HTTPStatus

NAME = "vindima"  # in the header Server
WORKERS = 2
CONNECTIONS = 1000  # of a worker, each with a thread once it sends
WAITRESS_THREADS = 8  # they get whole requests

READ_SECONDS = 10  # from the first byte of a request to its last; also for a connection that sends none
SEND_SECONDS = 30  # without the client taking anything of a reply
IDLE_SECONDS = 5  # between two requests
GRACE_SECONDS = 30  # for requests that are being answered when the service is told to end

REQUEST_LINE = 8190  # bytes, the most that gunicorn allows
FIELDS = 100
FIELD_BYTES = 8190
BODY_BYTES = 1_000_000  # where the application does not say
SEND_BUFFER = 131_072  # bytes of the kernel's: what a client that takes nothing can have of them

LATE = "The request did not arrive in time."
DETAILS = {  # of what a server refuses by itself, before the application
    400: "What was sent is no request of HTTP/1.1.",
    408: LATE,
    413: "The body is too large.",
    414: "The request line is too long.",
    417: "Expect can be 100-continue alone.",
    431: "The header fields are too many or too large.",
    500: "The service failed at this request; its log says why.",
    501: "Transfer-Encoding can be chunked alone.",
}


def problem(status: int) -> bytes:
    """A problem document (RFC 9457) of what a server answers by itself; it has nothing of what was sent."""
    title = HTTPStatus(status).phrase
    return json.dumps({"type": "about:blank", "title": title, "status": status, "detail": DETAILS[status]}).encode()
