"""The service: `create_app`, its routes and its errors. Everything is answered from memory."""

import json
import math
import os
from collections.abc import Mapping
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from flask import Blueprint, Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from vindima import paths
from vindima.errors import VindimaError
from vindima.etl import price_index
from vindima.labels import Language
from vindima.quantiles import SIDES
from vindima.series import NEVER_FORECAST, parts, total_names
from vindima.serving import auth, sentences, store

BODY_BYTES = 1_000_000
ITEMS = 1_000  # of one call to /v1/predictions: seven times the series there are
UNIT = "US$ FOB/kg"
UNIT_VALUE_WARNING = (
    "The price is the unit value of trade, value over weight in US$ FOB a kilogram: "
    "it is no quoted price and moves with what is traded too."
)
LEVELS = tuple(SIDES)
LANGUAGES: tuple[Language, ...] = ("en", "pt")

_QUESTION = ("horizon", "level", "currency", "terms")
_AVAILABLE = {"currency": ("usd", "brl"), "terms": ("nominal", "real")}  # the first of each, so far

health = Blueprint("health", __name__, url_prefix="/health")
token = Blueprint("token", __name__)
v1 = Blueprint("v1", __name__, url_prefix="/v1")

Wrong = dict[str, Any]
"""`{field, expected, got}`: one field of a request that is not as it should be."""


class Refusal(Exception):
    """A request that ends in a problem document."""

    def __init__(self, status: int, detail: str, errors: list[Wrong] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors


class Bodies:
    """The bodies of all replies about a served set, made once: `listing`, `history`, F by series, horizon and levels.

    They are JSON as bytes. `years` is, for each total, the years that its price index has.
    """

    def __init__(self, served: store.ServedSet) -> None:
        self.provenance = served.provenance
        self.horizon: int = served.model["horizon"]
        self._prices = {
            series: list(rows) for series, rows in groupby(_rows(served.prices, "year"), lambda row: row["series"])
        }
        described = {series: _description(rows) for series, rows in self._prices.items()}
        self.listing = self._items(list(described.values()))
        self._served = served
        self.years = {
            series: price_index.years_with_trade(served.index, series)
            for series, words in described.items()
            if words["country"] is None
        }
        self._histories = {
            series: {
                **described[series],
                "base_year": served.base_year,
                "history": [_yearly(row) for row in rows],
                "index": self._index(series),
            }
            for series, rows in self._prices.items()
        }
        self.history = {
            series: self.with_split(series, price_index.usual_span(self.years.get(series, [])))
            for series in self._histories
        }
        forecasts = groupby(_rows(served.forecasts, "horizon"), lambda row: row["series"])
        self.forecasts = {
            (series, horizon, levels): _json(self._forecast(series, path[:horizon], levels))
            for series, path in ((series, list(rows)) for series, rows in forecasts)
            for horizon in range(1, self.horizon + 1)
            for levels in ((80,), (95,), LEVELS)
        }

    def _items(self, items: list[dict]) -> bytes:
        return _json({"items": items, "provenance": self.provenance})

    def _index(self, series: str) -> list[dict] | None:
        """The price index of a total; None for a country."""
        if series not in self.years:
            return None
        table = self._served.index
        levels = table.loc[total_names(table) == series, ["year", *price_index.LEVELS]]
        return levels.sort_values("year").astype(object).to_dict("records")

    def with_split(self, series: str, span: tuple[int, int] | None) -> bytes:
        """One series with its history and, for a `span` of years of a total, the split into price and mix."""
        split = None
        if span:
            change = price_index.split(self._served.index, series, *span)
            notes = price_index.notes(self._served.prices, change)
            split = {
                "from": change.first,
                "to": change.last,
                "unit_value": change.unit_value,
                "price": change.price,
                "mix": change.mix,
                "sentence": {language: sentences.split(change, language) for language in LANGUAGES},
                "notes": {language: [sentences.note(one, language) for one in notes] for language in LANGUAGES},
            }
        return self._items([{**self._histories[series], "price_and_mix": split}])

    def _forecast(self, series: str, path: list[dict], levels: tuple[int, ...]) -> dict:
        return {
            "series": series,
            "currency": "usd",
            "terms": "nominal",
            "unit": UNIT,
            "path": [
                {
                    "year": row["year"],
                    "horizon": row["horizon"],
                    "forecast": row["forecast"],
                    "intervals": {str(level): [row[name] for name in SIDES[level]] for level in levels},
                }
                for row in path
            ],
            "assumptions": {},
            "warnings": [UNIT_VALUE_WARNING],
            "provenance": self.provenance,
        }

    def why_not(self, series: str) -> str:
        """Why there is no forecast of `series`, in a sentence."""
        if series not in self._prices:
            return f"There is no series {series}; GET /v1/series lists them."
        if parts(series)[2] in NEVER_FORECAST:
            return f"{series} has prices but is not forecast: it is not one foreign country."
        cutoff = self.provenance["cutoff"]
        last = self._prices[series][-1]["year"]
        return (
            f"{series} has prices but is not forecast: at the cutoff, {cutoff}, it had too few years with "
            f"enough trade, or no trade in {cutoff} (years with a price: {len(self._prices[series])}, "
            f"the last {last})."
        )


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The service as a WSGI application.

    `config` may name SERVED, USERS and JWT_SECRET; else they are as the environment has them. Raises
    VindimaError without a secret. Where there is no set to serve it starts all the same, not ready, and
    `app.config["NOT_READY"]` is the reason; otherwise None.
    """
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(
        SERVED=paths.SERVED,
        USERS=paths.USERS,
        JWT_SECRET=os.environ.get("VINDIMA_JWT_SECRET"),
        MAX_CONTENT_LENGTH=BODY_BYTES,
        NOT_READY=None,
    )
    app.config.update(config or {})
    auth.prepare(Path(app.config["USERS"]), auth.check_secret(app.config["JWT_SECRET"]))
    try:
        app.extensions["vindima"] = Bodies(store.load(Path(app.config["SERVED"])))
    except VindimaError as error:
        app.config["NOT_READY"] = str(error)
    for blueprint in (health, token, v1):
        app.register_blueprint(blueprint)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failed)
    return app


# ---- replies


def _json(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _reply(body: bytes) -> Response:
    return Response(body, mimetype="application/json")


def _rows(table: pd.DataFrame, within: str) -> list[dict]:
    """Rows as dicts of plain Python values, null as None, by series and then `within`."""
    ordered = table.sort_values(["series", within]).astype(object)
    return ordered.where(ordered.notna(), None).to_dict("records")


def _description(rows: list[dict]) -> dict:
    first, last = rows[0], rows[-1]
    words = {name: first[name] for name in ("series", "flow", "product", "country")}
    return {**words, "first_year": first["year"], "last_year": last["year"]}


def _yearly(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in ("series", "flow", "product", "country")}


def _bodies() -> Bodies:
    return current_app.extensions["vindima"]


# ---- errors


def _problem(status: int, detail: str, errors: list[Wrong] | None = None) -> Response:
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
    }
    body = _json({**content, "errors": errors} if errors else content)
    return Response(body, status=status, mimetype="application/problem+json")


def _refused(refusal: Refusal) -> Response:
    return _problem(refusal.status, refusal.detail, refusal.errors)


def _http_error(error: HTTPException) -> Response:
    """Flask's own errors as problem documents, with their headers (Allow, …)."""
    response = _problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _failed(error: Exception) -> Response:
    current_app.logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return _problem(500, "The service failed at this request; its log says why.")


@auth.bearer.error_handler
def _token_refused(status: int) -> Response:
    got = g.get("refusal", "no token")
    wrong = {"field": "Authorization", "expected": "Bearer and a token from POST /v1/token", "got": got}
    return _problem(status, f"This call wants a token from POST /v1/token; it came with {got}.", [wrong])


@auth.basic.error_handler
def _password_refused(status: int) -> Response:
    sent = "Authorization" in request.headers
    got = "a wrong name or password, or those of a disabled user" if sent else "no name and password"
    wrong = {"field": "Authorization", "expected": "Basic and the name and password of a user", "got": got}
    return _problem(status, f"A token is given for a name and a password; this call came with {got}.", [wrong])


def _unprocessable(errors: list[Wrong]) -> Refusal:
    said = "; ".join(f"{e['field']}: expected {e['expected']}, got {e['got']!r}" for e in errors)
    return Refusal(422, said, errors)


def _wrong(field: str, expected: str, got: object) -> Wrong:
    """One error; what was sent is shown as it came where it is one short value, else described."""
    if isinstance(got, str) and len(got) > 100:
        got = got[:100] + "…"
    elif isinstance(got, float) and not math.isfinite(got):
        got = str(got)
    elif isinstance(got, list):
        got = f"an array of {len(got)}"
    elif isinstance(got, dict):
        got = "an object"
    return {"field": field, "expected": expected, "got": got}


def _not_found(field: str, expected: str, series: str) -> Refusal:
    return Refusal(404, _bodies().why_not(series), [_wrong(field, expected, series)])


# ---- what is asked


def _only_query(*known: str) -> None:
    """Refuse query parameters other than `known`."""
    expected = f"one of {', '.join(known)}" if known else "no query parameters"
    if wrong := [_wrong(name, expected, value) for name, value in request.args.items() if name not in known]:
        raise _unprocessable(wrong)


def _body() -> Any:
    """The JSON of the request's body."""
    if not request.is_json:
        wrong = _wrong("Content-Type", "application/json", request.mimetype or None)
        raise Refusal(415, "The body is to be JSON and to be named so.", [wrong])
    try:
        return json.loads(request.get_data(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        wrong = _wrong("body", "JSON", f"text that is none{where}")
        raise Refusal(400, f"The body cannot be read as JSON{where}.", [wrong]) from None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _integer(text: str) -> int | str:
    """'3' → 3; anything else as it came."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _choice(
    asked: Mapping[str, Any], known: tuple[str, ...], at: str = ""
) -> tuple[int, tuple[int, ...], list[Wrong]]:
    """Horizon and levels that `asked` names, the defaults where it is silent, and what is wrong with it."""
    wrong = [
        _wrong(at + name, f"one of {', '.join(known)}", value) for name, value in asked.items() if name not in known
    ]
    longest = _bodies().horizon
    horizon = asked.get("horizon", longest)
    if type(horizon) is not int or not 1 <= horizon <= longest:
        wrong.append(_wrong(at + "horizon", f"an integer from 1 to {longest}", horizon))
    level = asked.get("level", list(LEVELS))
    levels = level if isinstance(level, list) and level else [level]
    if refused := [one for one in levels if type(one) is not int or one not in LEVELS]:
        wrong.append(_wrong(at + "level", "80, 95 or both", refused[0]))
    for name, (available, later) in _AVAILABLE.items():
        if (word := asked.get(name, available)) != available:
            not_yet = f" ({later} is not available yet)" if word == later else ""
            wrong.append(_wrong(at + name, available + not_yet, word))
    if asked.get("scenario") is not None and "scenario" in known:
        expected = "no scenario: scenarios are not available yet"
        wrong.append(_wrong(at + "scenario", expected, asked["scenario"]))
    return horizon, tuple(one for one in LEVELS if one in levels), wrong


# ---- routes


@health.get("/live")
def live() -> Response:
    """The process answers."""
    return _reply(_json({"status": "live"}))


@health.get("/ready")
def ready() -> Response:
    """There is a set to answer from."""
    if reason := current_app.config["NOT_READY"]:
        raise Refusal(503, reason)
    return _reply(_json({"status": "ready"}))


@token.post("/v1/token")
@auth.basic.login_required
def give_token() -> Response:
    """A token for the name and the password of the Basic credentials."""
    _only_query()
    users, secret = Path(current_app.config["USERS"]), current_app.config["JWT_SECRET"]
    given = auth.issue_token(users, secret, auth.basic.current_user())
    response = _reply(_json({"access_token": given, "token_type": "Bearer", "expires_in": auth.TOKEN_SECONDS}))
    response.headers["Cache-Control"] = "no-store"
    return response


@v1.before_request
@auth.bearer.login_required
def _wants_token_and_set() -> None:
    if reason := current_app.config["NOT_READY"]:
        raise Refusal(503, reason)


@v1.get("/series")
def series_list() -> Response:
    """All series that have a price."""
    _only_query()
    return _reply(_bodies().listing)


@v1.get("/series/<series>")
def series_history(series: str) -> Response:
    """One series with its history; a total also with its price index, and its change split into price and mix."""
    asked = _once("from", "to")
    if (body := _bodies().history.get(series)) is None:
        raise _not_found("series", "a series of GET /v1/series", series)
    return _reply(_bodies().with_split(series, _span(asked, series)) if asked else body)


def _once(*known: str) -> dict[str, str]:
    """The query as one value for each name; refuses names other than `known` and repeated ones."""
    _only_query(*known)
    if wrong := [_wrong(name, "one value", values) for name, values in request.args.lists() if len(values) > 1]:
        raise _unprocessable(wrong)
    return request.args.to_dict()


def _span(asked: Mapping[str, str], series: str) -> tuple[int, int]:
    """First and last year of the price-and-mix split, of those in the query or, where one is left out, as usual.

    The last is then the newest with trade, the first the one that makes a split of ten years up to the last.
    """
    years = _bodies().years.get(series, [])
    if len(years) < 2:
        expected = "no years: only a total with trade in two years or more is split into price and mix"
        raise _unprocessable([_wrong(name, expected, text) for name, text in asked.items()])
    ends = {name: _integer(text) for name, text in asked.items()}
    known = {"from": years[:-1], "to": years[1:]}
    if wrong := [
        _wrong(name, f"a year with trade from {known[name][0]} to {known[name][-1]}", year)
        for name, year in ends.items()
        if year not in known[name]
    ]:
        raise _unprocessable(wrong)
    last = int(ends.get("to", years[-1]))
    usual = price_index.usual_span([year for year in years if year <= last])
    assert usual is not None  # the first year of all is no last one
    first = int(ends.get("from", usual[0]))
    if first >= last:
        raise _unprocessable([_wrong("from", f"a year before {last}", first)])
    return first, last


@v1.get("/series/<series>/forecast")
def forecast(series: str) -> Response:
    """The forecast F of one series."""
    asked: dict[str, Any] = {}
    wrong = []
    for name, values in request.args.lists():
        if name == "level":
            asked[name] = [_integer(value) for value in values]
        elif len(values) > 1:
            wrong.append(_wrong(name, "one value", values))
        else:
            asked[name] = _integer(values[0]) if name == "horizon" else values[0]
    horizon, levels, also_wrong = _choice(asked, _QUESTION)
    if wrong := wrong + also_wrong:
        raise _unprocessable(wrong)
    if (body := _bodies().forecasts.get((series, horizon, levels))) is None:
        raise _not_found("series", "a series that is forecast", series)
    return _reply(body)


@v1.post("/predictions")
def predictions() -> Response:
    """The forecast F for one question, or `{items: [F]}` for many."""
    _only_query()
    asked = _body()
    if not isinstance(asked, dict):
        raise _unprocessable([_wrong("body", "an object", asked)])
    if "items" not in asked:
        return _reply(_predict({"": asked})[0])
    items = asked["items"]
    wrong = [_wrong(name, "items alone", value) for name, value in asked.items() if name != "items"]
    if not isinstance(items, list) or not 1 <= len(items) <= ITEMS:
        wrong.append(_wrong("items", f"an array of 1 to {ITEMS} questions", items))
    else:
        wrong += [
            _wrong(f"items[{i}]", "an object", item) for i, item in enumerate(items) if not isinstance(item, dict)
        ]
    if wrong:
        raise _unprocessable(wrong)
    bodies = _predict({f"items[{i}].": item for i, item in enumerate(items)})
    return _reply(b'{"items":[' + b",".join(bodies) + b"]}")


def _predict(questions: dict[str, dict]) -> list[bytes]:
    """F for each question; the keys are where it stands in the body, to name fields by."""
    wrong, unknown, bodies = [], [], []
    for at, asked in questions.items():
        horizon, levels, errors = _choice(asked, ("series", *_QUESTION, "scenario"), at)
        series = asked.get("series")
        if not isinstance(series, str):
            errors.append(_wrong(at + "series", "the name of a series as text", series))
        wrong += errors
        if not errors:
            if (body := _bodies().forecasts.get((series, horizon, levels))) is None:
                unknown.append(_wrong(at + "series", "a series that is forecast", series))
            else:
                bodies.append(body)
    if wrong:
        raise _unprocessable(wrong)
    if unknown:
        raise Refusal(404, _bodies().why_not(unknown[0]["got"]), unknown)
    return bodies
