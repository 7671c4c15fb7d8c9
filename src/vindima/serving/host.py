"""The service for model hosts, as SageMaker and Vertex AI call a container: `create_host_app`.

The host lets nobody in but its own callers, so there is no token here; and nothing but health and predictions is
served. SageMaker asks `GET /ping` and `POST /invocations` on port 8080
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html); Vertex AI names port and routes
by environment and wraps questions and answers in `instances` and `predictions`
(https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).
"""

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response

from vindima import paths
from vindima.errors import VindimaError
from vindima.serving import api, problems
from vindima.serving.questions import WrongQuestion, wrong_field

PORT = 8080


def wanted() -> bool:
    """Whether the environment says that a model host calls."""
    return bool(os.environ.get("AIP_HTTP_PORT"))


def port() -> int:
    """The port that the model host calls. Raises VindimaError for one that is none."""
    given = os.environ.get("AIP_HTTP_PORT") or str(PORT)
    if not given.isascii() or not given.isdigit() or not 0 < int(given) < 65536:
        raise VindimaError(f"AIP_HTTP_PORT: expected a port from 1 to 65535, got {given!r}")
    return int(given)


def create_host_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application for a model host; `config` may name SERVED, HEALTH_ROUTE and PREDICT_ROUTE.

    Else they are as the environment has them. Raises VindimaError for a route that does not begin with "/".
    """
    app = Flask(__name__, static_folder=None)
    app.config.from_mapping(
        SERVED=paths.SERVED,
        HEALTH_ROUTE=os.environ.get("AIP_HEALTH_ROUTE") or "/ping",
        PREDICT_ROUTE=os.environ.get("AIP_PREDICT_ROUTE") or "/invocations",
    )
    app.config.update(config or {})
    for name in ("HEALTH_ROUTE", "PREDICT_ROUTE"):
        if not app.config[name].startswith("/") or set(app.config[name]) & set("<>?#"):
            raise VindimaError(f"AIP_{name}: expected a path that begins with /, got {app.config[name]!r}")
    api.answer_from_set(app)
    app.add_url_rule(app.config["HEALTH_ROUTE"], "ping", api.ready, methods=["GET"])
    app.add_url_rule(app.config["PREDICT_ROUTE"], "invocations", invocations, methods=["POST"])
    return app


def invocations() -> Response:
    """The answers to one question, to `{items: […]}`, or to `{instances: […], parameters: {…}}` as Vertex AI asks.

    `parameters` hold for every instance that does not say otherwise.
    """
    body = problems.body()
    if not isinstance(body, dict) or "instances" not in body:
        return api.reply(api.predicted(api.current_answers(), body, api.language()))
    instances, parameters = body["instances"], body.get("parameters") or {}
    wrong = [
        wrong_field(name, "instances and parameters alone", value)
        for name, value in body.items()
        if name not in ("instances", "parameters")
    ]
    if not isinstance(parameters, dict):
        wrong.append(wrong_field("parameters", "an object", parameters))
    if wrong:
        raise WrongQuestion(wrong)
    if isinstance(instances, list):
        instances = [parameters | one if isinstance(one, dict) else one for one in instances]
    try:
        made = api.predicted(api.current_answers(), {"items": instances}, api.language())
    except (WrongQuestion, problems.Refusal) as error:
        for one in error.errors or []:
            one["field"] = one["field"].replace("items", "instances", 1)
        if isinstance(error, WrongQuestion):
            raise WrongQuestion(error.errors) from None
        raise
    return api.reply(made.replace(b'{"items":', b'{"predictions":', 1))
