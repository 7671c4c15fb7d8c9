"""The service seen from outside: a line of JSON in the log and a count in the metrics for each request."""

import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Iterable

from flask import Flask, Response, current_app, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from pythonjsonlogger.json import JsonFormatter

REQUESTS = Counter("vindima_requests_total", "Requests answered.", ["method", "endpoint", "status"])
SECONDS = Histogram(
    "vindima_request_seconds", "Time from the request's head to the reply's.", ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)  # fmt: skip

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("vindima.request")


def log_as_json() -> None:
    """Everything that is logged goes to standard error from now on, one JSON object a line, times in UTC."""
    formatter = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("vindima").setLevel(logging.INFO)


def install(app: Flask) -> None:
    """Each request of `app` gets an id (its own X-Request-ID, if that is a plain word), a log line and its counts."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
    g.began = time.perf_counter()


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    endpoint = request.endpoint or "none"
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(method, endpoint, response.status_code).inc()
    SECONDS.labels(endpoint).observe(seconds)
    response.headers["X-Request-ID"] = g.request_id
    if log.isEnabledFor(logging.INFO):
        user = g.get("flask_httpauth_user")
        said = {
            "request_id": g.request_id,
            "method": request.method[:20],
            "path": request.path[:200],
            "status": response.status_code,
            "ms": round(1000 * seconds, 2),
            "address": request.remote_addr,
            "user": user.name if user else None,
        }
        log.info("answered", extra=said)
    return response


class _OfTheSet:
    """What the set that answers now is, and whether a newer one was refused."""

    def collect(self) -> Iterable[Metric]:
        current = current_app.extensions["vindima"]
        family = GaugeMetricFamily("vindima_set_info", "The set that answers.", labels=["vintage", "model", "cutoff"])
        if current.answers:
            provenance = current.answers.provenance
            family.add_metric([provenance["vintage"], provenance["model"], str(provenance["cutoff"])], 1)
        yield family
        yield GaugeMetricFamily(
            "vindima_set_refused", "1 where the newest set was refused.", 1.0 if current.refused else 0.0
        )


def metrics() -> Response:
    """All counts of all workers, in Prometheus' text format."""
    counts = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counts = CollectorRegistry()
        multiprocess.MultiProcessCollector(counts)
    of_the_set = CollectorRegistry()
    of_the_set.register(_OfTheSet())
    return Response(generate_latest(counts) + generate_latest(of_the_set), content_type=CONTENT_TYPE_LATEST)
