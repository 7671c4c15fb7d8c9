"""The service: `create_app` and its routes. Everything is answered from memory."""

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, g, redirect, request, send_from_directory, url_for
from flask_compress import Compress
from flask_httpauth import MultiAuth
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from vindima import paths
from vindima.errors import VindimaError
from vindima.forecasting.scenario import Impossible
from vindima.labels import Language
from vindima.serving import auth, openapi, problems, questions, replies, telemetry
from vindima.serving.answers import LANGUAGES, TABLES, Answers, Unknown
from vindima.serving.current import Current
from vindima.serving.problems import Refusal
from vindima.serving.questions import Prediction, Wrong, WrongQuestion, wrong_field

open_to_all = Blueprint("open", __name__)
token = Blueprint("token", __name__)
v1 = Blueprint("v1", __name__, url_prefix="/v1")
collections = Blueprint("collections", __name__, url_prefix="/v1/collections")
compress = Compress()
either = MultiAuth(auth.basic, auth.bearer)
"""A scraper of metrics has a name and a password; its tokens would be gone within the hour."""

TABLE_QUERIES = {name: questions.table_query(name, filters) for name, filters in TABLES.items()}
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The service as a WSGI application.

    `config` may name SERVED, USERS, JWT_SECRET and PROXIES (how many reverse proxies stand before it); else they are
    as the environment has them. Raises VindimaError without a secret, for keys under another secret and for a number
    of proxies that is none. Where there is no set to serve it starts all the same, not ready: `why_not_ready`.
    """
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(
        SERVED=paths.SERVED,
        USERS=paths.USERS,
        JWT_SECRET=os.environ.get("VINDIMA_JWT_SECRET"),
        PROXIES=os.environ.get("VINDIMA_PROXIES", "0"),
        COMPRESS_REGISTER=False,
        COMPRESS_MIMETYPES=["application/json", "text/csv"],
    )
    app.config.update(config or {})
    auth.prepare(Path(app.config["USERS"]), auth.check_secret(app.config["JWT_SECRET"]))
    answer_from_set(app)
    behind_proxies(app)
    compress.init_app(app)
    for blueprint in (open_to_all, token, v1, collections):
        app.register_blueprint(blueprint)
    return app


def answer_from_set(app: Flask) -> None:
    """What every application of the service has: a set to answer from, problem documents, logs and metrics."""
    app.extensions["vindima"] = current = Current(Path(app.config["SERVED"]))
    app.extensions["vindima.started"] = current.watch
    problems.install(app)
    telemetry.install(app)


def behind_proxies(app: Flask) -> None:
    """Take address, scheme and host of a call from as many proxies as PROXIES says, and from no more.

    A call that the outermost of them took over plain HTTP is not answered, but for health: it had its password or
    token read by whoever is between. What may be asked without one is redirected to HTTPS.
    """
    given = str(app.config["PROXIES"])
    if not given.isascii() or not given.isdigit() or int(given) > 10:
        raise VindimaError(
            f"VINDIMA_PROXIES: expected how many proxies stand before the service, 0 to 10, got {given!r}"
        )
    if count := int(given):
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
        app.before_request(_over_https)


def _over_https() -> Response | None:
    clear = "X-Forwarded-Proto" in request.headers and request.scheme != "https"
    if not clear or request.path.startswith("/health/"):
        return None
    if request.method in ("GET", "HEAD") and "Authorization" not in request.headers:
        return Response(status=308, headers={"Location": request.url.replace("http://", "https://", 1)})
    raise Refusal(403, "This call came over plain HTTP, where others can read it: use https://.")


def why_not_ready(app: Flask) -> str | None:
    """Why `app` can answer nothing about data; None where it can."""
    current: Current = app.extensions["vindima"]
    return None if current.answers else current.refused


# ---- replies


def current_answers() -> Answers:
    """The answers of this request: of one set, whatever takes its place meanwhile."""
    if "answers" not in g:
        current: Current = current_app.extensions["vindima"]
        current.watch()  # where no server has called it after its fork
        if current.answers is None:
            raise Refusal(503, current.refused or "there is no set to serve")
        g.answers = current.answers
    return g.answers


def reply(body: bytes) -> Response:
    return Response(body, mimetype="application/json")


def _json(content: object) -> Response:
    return reply(json.dumps(content, allow_nan=False, separators=(",", ":")).encode())


def language() -> Language:
    """The language of sentences: the one of both that the caller would rather have, by default English."""
    if "HTTP_ACCEPT_LANGUAGE" not in request.environ:
        return "en"
    return request.accept_languages.best_match(LANGUAGES, default="en")  # type: ignore[return-value]


def _unchanged_or(make: Any) -> AnyResponse:
    """304 where the caller has this very answer already, else what `make` makes, with its ETag."""
    tag = current_answers().etag(request.full_path)
    response = Response(status=304) if request.if_none_match.contains_weak(tag) else make()
    response.set_etag(tag, weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("Authorization")
    return response


def _asked(model: type[questions.Asked], **context: Any) -> Any:
    """The query of the request as a question."""
    if model is questions.NoQuery and not request.query_string:
        return None
    return questions.from_query(model, dict(request.args.lists()), **context)


# ---- open to all


@open_to_all.get("/health/live")
def live() -> Response:
    """The process answers."""
    return _json({"status": "live"})


@open_to_all.get("/health/ready")
def ready() -> Response:
    """There is a set, and a known prediction comes out of it as it should."""
    answers = current_answers()
    try:
        answers.check()
    except VindimaError as error:
        raise Refusal(503, str(error)) from error
    found = {"status": "ready", "vintage": answers.provenance["vintage"]}
    refused = current_app.extensions["vindima"].refused
    return _json(found | {"refused": refused} if refused else found)


@open_to_all.get("/")
def start() -> AnyResponse:
    """The description of the service."""
    return redirect("docs")


@open_to_all.get("/openapi.json")
def description() -> Response:
    """What may be asked and what is answered, as OpenAPI 3.1."""
    current: Current = current_app.extensions["vindima"]
    return _json(openapi.document(current.answers, TABLE_QUERIES))


@open_to_all.get("/docs")
def docs() -> Response:
    """The same for people: Swagger UI, from this service alone."""
    page = (Path(__file__).parent / "templates" / "docs.html").read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": _DOCS_POLICY, "Referrer-Policy": "no-referrer"}
    return Response(page, mimetype="text/html", headers=headers)


@open_to_all.get("/docs/<path:name>")
def docs_file(name: str) -> AnyResponse:
    """A file of Swagger UI, and the lines that start it."""
    if name == "start.js":
        response = send_from_directory(Path(__file__).parent / "templates", "docs.js")
    else:
        response = send_from_directory(_swagger_ui(), name)
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@cache
def _swagger_ui() -> Path:
    """The folder of Swagger UI's files; the package that brings them is not imported, for it wants a framework."""
    spec = find_spec("flask_openapi3_swagger")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "templates" / "swagger"


@open_to_all.get("/metrics")
@either.login_required
def metrics() -> Response:
    """The service in numbers, as Prometheus reads them."""
    return telemetry.metrics()


@token.post("/v1/token")
@auth.basic.login_required
def give_token() -> Response:
    """A token for the name and the password of the Basic credentials."""
    _asked(questions.NoQuery)
    users, secret = Path(current_app.config["USERS"]), current_app.config["JWT_SECRET"]
    given = auth.issue_token(users, secret, auth.basic.current_user())
    return _json({"access_token": given, "token_type": "Bearer", "expires_in": auth.TOKEN_SECONDS})


# ---- data


@v1.before_request
@auth.bearer.login_required
def _wants_token_and_set() -> None:
    current_answers()


@v1.get("/series")
def series_list() -> AnyResponse:
    """All series that have a price, and which of them are forecast."""
    _asked(questions.NoQuery)
    return _unchanged_or(lambda: reply(current_answers().listing))


@v1.get("/series/<series>")
def series_history(series: str) -> AnyResponse:
    """One series with its history; a total also with its price index, and its change split into price and mix."""
    answers = current_answers()
    try:
        years, words = answers.years(series)
    except Unknown as unknown:
        raise _not_found("series", "a series of GET /v1/series", series, unknown) from None
    asked = _asked(questions.Years, years=years, words=words)
    return _unchanged_or(lambda: reply(answers.history(series, asked.first, asked.last)))


@v1.get("/series/<series>/forecast")
def forecast(series: str) -> Response:
    """The forecast F of one series."""
    answers = current_answers()

    def make() -> bytes:
        asked = _asked(questions.Money, **answers.context)
        question = Prediction.model_construct(series=series, scenario=None, **dict(asked))
        return answers.forecast(question, language())

    try:
        return reply(answers.remembered((series, request.query_string, language()), make))
    except Unknown as unknown:
        raise _not_found("series", "a series that is forecast", series, unknown) from None


@v1.post("/predictions")
def predictions() -> Response:
    """The forecast F for one question, or `{items: [F]}` for many."""
    _asked(questions.NoQuery)
    return reply(predicted(current_answers(), problems.body(), language()))


def predicted(answers: Answers, body: object, language: Language) -> bytes:
    """The answer to a body of /v1/predictions. Raises WrongQuestion, and Refusal where a series is not forecast."""
    asked = questions.from_body(body, **answers.context)
    if isinstance(asked, Prediction):
        return _each(answers, {"": asked}, language)[0]
    made = _each(answers, {f"items[{place}].": one for place, one in enumerate(asked.items)}, language)
    return b'{"items":[' + b",".join(made) + b"]}"


def _each(answers: Answers, asked: Mapping[str, Prediction], language: Language) -> list[bytes]:
    """The answer to each question; the keys are where it stands in the body, to name fields by."""
    errors: list[Wrong] = []
    missing: list[Wrong] = []
    why, bodies = "", []
    for at, question in asked.items():
        try:
            bodies.append(answers.forecast(question, language))
        except Impossible as error:
            errors.append(wrong_field(at + error.field, error.expected, error.got))
        except Unknown as unknown:
            why = why or str(unknown)
            missing.append(wrong_field(at + "series", "a series that is forecast", question.series))
    if errors:
        raise WrongQuestion(errors)
    if missing:
        raise Refusal(404, why, missing)
    return bodies


@v1.get("/tables/<name>")
@compress.compressed()
def table(name: str) -> AnyResponse:
    """A collected table: a page of it as JSON, or all of it as CSV."""
    answers = current_answers()
    if name not in TABLES:
        error = wrong_field("table", f"one of {', '.join(TABLES)}", name)
        raise Refusal(404, f"There is no table {name}.", [error])
    asked = _asked(TABLE_QUERIES[name])
    filters = {filter_: values for filter_ in TABLES[name] if (values := getattr(asked, filter_))}
    if asked.format == "json":
        return _unchanged_or(lambda: _page(answers, name, filters, asked))
    if paged := [one for one in ("page", "per_page") if one in asked.model_fields_set]:
        errors = [wrong_field(one, "no page: CSV holds every row", getattr(asked, one)) for one in paged]
        raise WrongQuestion(errors)
    return _unchanged_or(lambda: _csv(answers, name, filters))


def _page(answers: Answers, name: str, filters: Mapping[str, list], asked: questions.Page) -> Response:
    body = answers.table(name, filters, asked.page, asked.per_page)
    numbers = {"first": 1, "prev": asked.page - 1, "next": asked.page + 1, "last": body["pages"]}
    query = [(one, value) for one, values in filters.items() for value in values]
    links = {
        relation: f"{request.path}?{urlencode([*query, ('page', page), ('per_page', asked.per_page)])}"
        for relation, page in numbers.items()
        if 1 <= page <= body["pages"]
    }
    response = _json(body | {"links": links})
    response.headers["Link"] = ", ".join(f'<{address}>; rel="{relation}"' for relation, address in links.items())
    return response


def _csv(answers: Answers, name: str, filters: Mapping[str, list]) -> Response:
    response = Response(answers.csv(name, filters), mimetype="text/csv")
    vintage = answers.provenance["vintage"]
    response.headers["Content-Disposition"] = f'attachment; filename="vindima-{name}-{vintage}.csv"'
    response.headers["Provenance"] = json.dumps(answers.provenance)
    return response


def _not_found(field: str, expected: str, series: str, why: Exception) -> Refusal:
    return Refusal(404, str(why), [wrong_field(field, expected, series)])


# ---- collections, for operators; they make the set, so they need none


@collections.before_request
@auth.bearer.login_required(role="operator")
def _wants_operator() -> None:
    """Of the libraries of the pipeline the image of the service has none."""
    missing = next((name for name in ("dvc", "papermill", "filelock", "psutil") if find_spec(name) is None), None)
    if missing or not (paths.ROOT / "dvc.yaml").is_file():
        why = f"{missing} is not installed" if missing else f"there is no dvc.yaml in {paths.ROOT}"
        raise Refusal(501, f"This service cannot collect, it has no pipeline: {why}. It serves what another makes.")


@collections.post("")
def collect() -> Response:
    """Start a collection, and the pipeline after it: the run of `vindima run --refresh`."""
    from vindima import runs

    _asked(questions.NoQuery)
    asked = questions.collection(problems.body())
    try:
        begun = runs.start(refresh=True, until=None if asked.pipeline else "collect")
    except runs.Busy as busy:
        said = _said_of(busy.state) if busy.state else {}
        which = f"Run {said['id']} is {said['state']}" if said else "Another run holds the lock"
        response = problems.problem(409, f"{which}, and there is one at a time.", more=said)
    except VindimaError as error:
        raise Refusal(503, str(error)) from error
    else:
        said = _said_of(begun)
        response = _json(said)
        response.status_code = 202
    if said:
        response.headers["Location"] = url_for("collections.collection", id=said["id"])
    return response


@collections.get("/<id>")
def collection(id: str) -> Response:
    """What a run does, or how it ended; also of one that was started by hand."""
    from vindima import runs

    _asked(questions.NoQuery)
    found = runs.look(id)
    if found is None:
        error = wrong_field("id", f"the id of one of the last {runs.KEPT} runs", id)
        raise Refusal(404, f"There is no run {id!r}, or no longer.", [error])
    return _json(_said_of(found))


def _said_of(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in replies.Run.model_fields}
