"""What goes wrong with a request, as problem documents (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, NotFound

from vindima.forecasting.scenario import Impossible
from vindima.serving import auth
from vindima.serving.answers import Unknown
from vindima.serving.questions import Wrong, WrongQuestion, read_json, wrong_field

BODY_BYTES = 1_000_000


class Refusal(Exception):
    """A request that ends in a problem document."""

    def __init__(self, status: int, detail: str, errors: list[Wrong] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors


def install(app: Flask) -> None:
    """Every error of `app` becomes a problem document."""
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    app.register_error_handler(Refusal, lambda refusal: problem(refusal.status, refusal.detail, refusal.errors))
    app.register_error_handler(WrongQuestion, lambda error: problem(422, str(error), error.errors))
    app.register_error_handler(Impossible, _impossible)
    app.register_error_handler(Unknown, lambda unknown: problem(404, str(unknown)))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failed)


def problem(
    status: int, detail: str, errors: list[Wrong] | None = None, more: Mapping[str, Any] | None = None
) -> Response:
    """A problem document as a reply; `more` are members of its own (RFC 9457, 3.2)."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
    }
    content |= {"errors": errors} if errors else {}
    body = json.dumps(content | dict(more or {}), separators=(",", ":"))
    return Response(body, status=status, mimetype="application/problem+json")


def body() -> Any:
    """The JSON of the request's body; raises Refusal for another type, a part of a body, and what is no JSON."""
    if not request.is_json:
        error = wrong_field("Content-Type", "application/json", request.mimetype or None)
        raise Refusal(415, "The body is to be JSON and to be named so.", [error])
    expected = request.content_length
    try:
        data = request.get_data()
    except ClientDisconnected:
        data = b""
    if expected is not None and len(data) != expected:  # gunicorn hands over what came as if it were whole
        found = wrong_field("body", f"the {expected} bytes of Content-Length", "fewer")
        raise Refusal(400, "The body is not whole.", [found])
    try:
        return read_json(data)
    except ValueError as error:
        found = wrong_field("body", "JSON", f"text that is none{error}")
        raise Refusal(400, f"The body cannot be read as JSON{error}.", [found]) from None


def _impossible(error: Impossible) -> Response:
    found = wrong_field(error.field, error.expected, error.got)
    return problem(422, f"{found['field']}: expected {found['expected']}, got {found['got']!r}", [found])


def _http_error(error: HTTPException) -> Response:
    """Flask's own errors as problem documents, with their headers (Allow, Retry-After, …)."""
    nowhere = isinstance(error, NotFound) and request.endpoint is None
    detail = "There is nothing at this address." if nowhere else error.description
    response = problem(error.code or 500, detail or "")
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _failed(error: Exception) -> Response:
    known = request.environ.get("vindima.request_id")
    current_app.logger.error("%s %s failed (request %s)", request.method, request.path, known, exc_info=error)
    return problem(500, "The service failed at this request; its log says why.")


@auth.bearer.error_handler
def _token_refused(status: int) -> Response:
    if status == 403:
        error = {"field": "Authorization", "expected": "a token of an operator", "got": "a token of a reader"}
        return problem(status, "This call is for operators, and came with a token of a reader.", [error])
    got = g.get("refusal", "no token")
    error = {"field": "Authorization", "expected": "Bearer and a token from POST /v1/token", "got": got}
    return problem(status, f"This call wants a token from POST /v1/token; it came with {got}.", [error])


@auth.basic.error_handler
def _password_refused(status: int) -> Response:
    sent = "Authorization" in request.headers
    got = "a wrong name or password, or those of a disabled user" if sent else "no name and password"
    error = {"field": "Authorization", "expected": "Basic and the name and password of a user", "got": got}
    return problem(status, f"A token is given for a name and a password; this call came with {got}.", [error])
