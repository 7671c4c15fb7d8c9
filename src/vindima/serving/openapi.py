"""The service described for programs: an OpenAPI 3.1 document from the models of what is asked and answered."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vindima.forecasting.scenario import Impossible
from vindima.serving import questions, replies
from vindima.serving.answers import Answers

_REF = "#/components/schemas/{model}"
_REFUSED = {
    400: "The body cannot be read.",
    401: "No token, or one that is not good (any more); for a token: a wrong name or password.",
    403: "The token is of a reader; this call is for operators.",
    404: "There is no such series, or no forecast of it: the reason is in `detail`.",
    409: "A run is under way, and there is one at a time: `id` and `state` are of that one, and so is `Location`.",
    413: "The body is larger than 1 MB.",
    415: "The body is not JSON.",
    422: "What is asked cannot be answered: `errors` has a line for each wrong field.",
    429: "Too many wrong passwords from this address or for this user: `Retry-After` says in how many seconds again.",
    501: "This service has no pipeline, as its image has none: another makes what it serves.",
    503: "There is no set to answer from, or the service is busy; `Retry-After`, if given, says for how long.",
}
_OF_COLLECTIONS = {
    404: "There is no run of this id, or no longer.",
    503: "The run cannot be started: the reason is in `detail`.",
}
_WRONG = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "horizon: expected an integer from 1 to 5, got 9",
    "instance": "/v1/predictions",
    "errors": [{"field": "horizon", "expected": "an integer from 1 to 5", "got": 9}],
}
_DESCRIPTION = """\
Brazil's wine trade: what a kilogram has cost since 1970, what it is likely to cost, how sure that is, and what
changes if the harvest, the imports or the exchange rate do. The price is the unit value of trade, value over weight
in US$ FOB a kilogram; it is no quoted price. The figures are Embrapa's (Vitibrasil).

Ask `POST /v1/token` for a token with name and password, then send it as `Authorization: Bearer`. Sentences come in
English, or in Portuguese where `Accept-Language` says so. Every error is a problem document (RFC 9457)."""

_JSON = "application/json"
_PATH_OF_RUN = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a run.",
    "schema": {"type": "string", "pattern": "^[0-9]+$", "maxLength": 20},
    "example": "000001",
}

_cache: dict[str, dict[str, Any]] = {}


def document(answers: Answers | None, tables: Mapping[str, type[questions.Page]]) -> dict[str, Any]:
    """The OpenAPI document; its examples are real answers of the set, where there is one.

    `tables`: collected table → the model of its query.
    """
    identity = answers.identity if answers else ""
    if identity not in _cache:
        _cache.clear()
        _cache[identity] = _document(answers, tables)
    return _cache[identity]


def _document(answers: Answers | None, tables: Mapping[str, type[questions.Page]]) -> dict[str, Any]:
    used: list[type[BaseModel]] = [questions.Prediction, questions.Predictions, questions.Collection, replies.Problem]
    used += [
        value for value in vars(replies).values() if isinstance(value, type) and issubclass(value, replies.Reply)
    ]
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(used)], ref_template=_REF)
    components = schemas["$defs"]
    horizon = _horizon(answers)
    components["Prediction"]["properties"]["horizon"] |= horizon
    series = _series(answers)
    asked = _examples(answers, series)
    paths: dict[str, Any] = {
        "/health/live": _get("live", "Health", "Does the process answer", replies.Live, []),
        "/health/ready": _get("ready", "Health", "Can it answer about data", replies.Ready, [503]),
        "/v1/token": {
            "post": _operation("token", "Token", "A token for name and password", replies.Token, [401, 422, 429, 503])
            | {"security": [{"password": []}]}
        },
        "/v1/series": _get(
            "listSeries", "Prices", "What there is", replies.SeriesList, [304, 401, 422, 503],
            example=answers and _first_items(answers.listing, 2),
        ),
        "/v1/series/{series}": _get(
            "seriesHistory", "Prices", "A series with its history", replies.SeriesHistory, [304, 401, 404, 422, 503],
            [_in_path(series), *_query(questions.Years)],
        ),
        "/v1/series/{series}/forecast": _get(
            "forecast", "Forecasts", "What it is likely to cost", replies.Forecast, [401, 404, 422, 503],
            [_in_path(series), *_query(questions.Money, horizon=horizon)],
            example=asked.get("forecast"),
        ),
        "/v1/predictions": {
            "post": _operation(
                "predict", "Forecasts", "One forecast or many, as they are or moved by a scenario",
                replies.Forecast, [400, 401, 404, 413, 415, 422, 503], example=asked.get("prediction"),
                many=replies.Forecasts,
            )
            | {"requestBody": _body(series, asked)}
        },
    }  # fmt: skip
    for name, query in tables.items():
        components[f"{name.title()}Page"] = _page(name, answers)
        paths[f"/v1/tables/{name}"] = _get(
            f"table{name.title()}", "Tables", f"The collected table {name}", None, [304, 401, 422, 503],
            _query(query), example=answers and _table_example(answers, name),
        )  # fmt: skip
        found = paths[f"/v1/tables/{name}"]["get"]["responses"]["200"]["content"]
        found["application/json"]["schema"] = {"$ref": _REF.format(model=f"{name.title()}Page")}
        found["text/csv"] = {"schema": {"type": "string"}}
    paths |= _collections()
    paths["/metrics"] = _get("metrics", "Health", "The service in numbers (Prometheus)", None, [401, 429, 503])
    paths["/metrics"]["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    paths["/metrics"]["get"]["security"] = [{"password": []}, {"token": []}]
    for path in ("/health/live", "/health/ready"):
        paths[path]["get"]["security"] = []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vindima",
            "version": version("vindima"),
            "summary": "Prices of Brazil's wine trade, and forecasts that say how sure they are.",
            "description": _DESCRIPTION,
            "license": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": name} for name in ("Token", "Prices", "Forecasts", "Tables", "Collections", "Health")],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": "A problem document.",
                    "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
                }
            },
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _collections() -> dict[str, Any]:
    """The calls of operators."""
    examples = {
        "source": {"summary": "The source alone", "value": {"pipeline": False}},
        "pipeline": {"summary": "The source and the pipeline", "value": {}},
    }
    content = {"schema": {"$ref": _REF.format(model="Collection")}, "examples": examples}
    begun = {
        "id": "000001", "state": "queued", "stage": None, "progress": 0.0, "started_at": "2026-11-28T21:58:00Z",
        "ended_at": None, "outcome": None, "message": "",
    }  # fmt: skip
    post = _operation(
        "collect", "Collections", "Collect the source (operators)", replies.Run,
        [400, 401, 403, 409, 413, 415, 422, 501, 503], begun,
    )  # fmt: skip
    location = {"description": "Where the run is asked for.", "schema": {"type": "string"}}
    responses = post["responses"]
    post["responses"] = {"202": responses.pop("200") | {"headers": {"Location": location}}, **responses}
    post["responses"]["409"]["headers"] = {"Location": location}
    ended = begun | {"state": "ended", "stage": "collect", "progress": 1.0, "outcome": "nothing_new"}
    get = _get(
        "collection", "Collections", "What a run does, or how it ended (operators)", replies.Run,
        [401, 403, 404, 422, 501], [_PATH_OF_RUN], ended | {"ended_at": "2026-11-28T22:03:00Z"},
    )  # fmt: skip
    for operation in (post, get["get"]):
        for status in operation["responses"].keys() & {str(one) for one in _OF_COLLECTIONS}:
            operation["responses"][status]["description"] = _OF_COLLECTIONS[int(status)]
    return {
        "/v1/collections": {"post": post | {"requestBody": {"required": True, "content": {_JSON: content}}}},
        "/v1/collections/{id}": get,
    }


def _get(
    name: str,
    tag: str,
    summary: str,
    reply: type[replies.Reply] | None,
    refused: list[int],
    parameters: list[dict] | None = None,
    example: object = None,
) -> dict[str, Any]:
    operation = _operation(name, tag, summary, reply, refused, example)
    return {"get": operation | {"parameters": parameters} if parameters else operation}


def _operation(
    name: str,
    tag: str,
    summary: str,
    reply: type[replies.Reply] | None,
    refused: list[int],
    example: object = None,
    many: type[replies.Reply] | None = None,
) -> dict[str, Any]:
    models = [_REF.format(model=model.__name__) for model in (reply, many) if model]
    schema: dict[str, Any] = {"$ref": models[0]} if len(models) == 1 else {"oneOf": [{"$ref": ref} for ref in models]}
    content: dict[str, Any] = {"schema": schema if models else {}}
    if example:
        content["example"] = example
    answered = (reply.__doc__ or "").split("\n")[0] if reply else "The answer."
    responses: dict[str, Any] = {"200": {"description": answered, "content": {"application/json": content}}}
    for status in refused:
        if status == 304:
            responses["304"] = {"description": "What the caller has (`If-None-Match`) is still the answer."}
        else:
            problem: dict[str, Any] = {"schema": {"$ref": _REF.format(model="Problem")}}
            if status == 422:
                problem["example"] = _WRONG
            responses[str(status)] = {
                "description": _REFUSED[status],
                "content": {"application/problem+json": problem},
            }
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    return {"operationId": name, "tags": [tag], "summary": summary, "responses": responses}


def _query(model: type[questions.Asked], **changed: dict) -> list[dict[str, Any]]:
    """The query parameters that the fields of `model` are."""
    found = []
    for name, schema in model.model_json_schema(ref_template=_REF)["properties"].items():
        kept = {key: value for key, value in schema.items() if key not in ("title", "description", "examples")}
        if "anyOf" in kept:  # what may be left out, not null
            kept = {key: value for key, value in kept["anyOf"][0].items() if key != "title"}
        if kept.get("default") in ([], None):
            kept.pop("default", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": kept | changed.get(name, {})}
        parameter["description"] = schema.get("description", "")
        if "examples" in schema:
            parameter["example"] = schema["examples"][0]
        found.append(parameter)
    return found


def _in_path(series: str) -> dict[str, Any]:
    return {
        "name": "series",
        "in": "path",
        "required": True,
        "description": "flow.product, of all countries, or flow.product.COUNTRY",
        "schema": {"type": "string", "pattern": r"^[a-z_]+\.[a-z_]+(\.[A-Z_]+)?$", "maxLength": 100},
        "example": series,
    }


def _body(series: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    one, many = ({"$ref": _REF.format(model=model)} for model in ("Prediction", "Predictions"))
    examples = {"one": {"summary": "As it is", "value": {"series": series, "horizon": 2, "level": 80}}}
    if "scenario" in asked:
        value = {"series": series, "scenario": asked["scenario"]}
        dollar = "exchange_rate" in asked["scenario"]
        summary = "If a dollar cost a tenth more reais" if dollar else "If an input were a tenth higher"
        examples["scenario"] = {"summary": summary, "value": value}
    examples["reais"] = {
        "summary": "A bottle, in reais",
        "value": {"series": series.rsplit(".", 1)[0] if series.count(".") > 1 else series, "currency": "brl"},
    }
    examples["many"] = {"summary": "Many", "value": {"items": [{"series": series}, {"series": series, "horizon": 1}]}}
    content = {"schema": {"oneOf": [one, many]}, "examples": examples}
    return {"required": True, "content": {"application/json": content}}


def _horizon(answers: Answers | None) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1} | (
        {"maximum": answers.horizon, "default": answers.horizon} if answers else {}
    )


def _series(answers: Answers | None) -> str:
    """The series of the examples: imported table wine from Chile, or the first that is forecast."""
    forecast = (
        [item["series"] for item in json.loads(answers.listing)["items"] if item["forecast"]] if answers else []
    )
    usual = "imports.table_wine.CHL"
    return usual if usual in forecast or not forecast else forecast[0]


def _examples(answers: Answers | None, series: str) -> dict[str, Any]:
    """Real answers, and a scenario that this series has one to."""
    if answers is None:
        return {}
    asked = questions.Prediction.model_validate({"series": series, "horizon": 1, "level": 80})
    found: dict[str, Any] = {"forecast": json.loads(answers.forecast(asked))}
    for name in ("exchange_rate", *questions.INPUTS):
        scenario = {name: {"pct": 10.0}}
        try:
            moved = questions.Prediction.model_validate({"series": series, "horizon": 1, "scenario": scenario})
            found |= {"prediction": json.loads(answers.forecast(moved)), "scenario": scenario}
        except Impossible:
            continue
        break
    return found


def _first_items(body: bytes, count: int) -> dict[str, Any]:
    whole = json.loads(body)
    return whole | {"items": whole["items"][:count]}


def _table_example(answers: Answers, name: str) -> dict[str, Any]:
    return answers.table(name, {}, 1, 1) | {"links": {"first": f"/v1/tables/{name}?page=1&per_page=1"}}


def _page(name: str, answers: Answers | None) -> dict[str, Any]:
    """The schema of a page of a collected table."""
    row: dict[str, Any] = {"type": "object"}
    if answers:
        kinds = {"INTEGER": "integer", "REAL": "number", "TEXT": "string"}
        row["required"] = list(answers.columns[name])
        row["properties"] = {
            column: {"type": [kinds.get(kind, "string"), "null"]} for column, kind in answers.columns[name].items()
        }
    properties = {
        "items": {"type": "array", "items": row},
        **{count: {"type": "integer", "minimum": 0} for count in ("page", "pages", "total")},
        "provenance": {"$ref": _REF.format(model="Provenance")},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    return {
        "type": "object",
        "description": f"A page of the table {name}.",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
