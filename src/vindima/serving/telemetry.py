"""The service seen from outside: the headers of every reply, a line of JSON in the log and a count in the metrics.

It stands around the application (WSGI), where it costs least: the service is fast, so this would be half of its time.
"""

import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, TextIO

from flask import Flask, Response, current_app, g
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

from vindima import paths, runs
from vindima.serving import drift

REQUESTS = Counter("vindima_requests_total", "Requests answered.", ["method", "endpoint", "status"])
SECONDS = Histogram(
    "vindima_request_seconds", "Time from the request's head to the reply's.", ["endpoint"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)  # fmt: skip

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
HEADERS = [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY")]
UNLESS_SAID = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cache-Control", "no-store"),
]
HSTS = ("Strict-Transport-Security", "max-age=31536000")

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
lines: TextIO | None = None
"""Where the line of each request goes; nowhere until `log_as_json`. Neither by `logging` nor by an
encoder of dicts, which take 40 and 15 microseconds."""


class _AsJson(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, message, and a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


@lru_cache(2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def log_as_json() -> None:
    """Everything that is logged goes to standard error from now on, one JSON object a line; so do requests."""
    global lines
    lines = sys.stderr
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("vindima").setLevel(logging.INFO)


def install(app: Flask) -> None:
    """Every reply of `app` has the usual headers and an id (the request's own X-Request-ID, if that is a plain word).

    Every request is counted and logged.
    """
    inner: Callable = app.wsgi_app

    def outer(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        began = time.perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _ID.fullmatch(given) else os.urandom(16).hex()
        environ["vindima.request_id"] = request_id

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Callable:
            said = {name for name, _ in headers}
            headers += HEADERS
            headers += [one for one in UNLESS_SAID if one[0] not in said]
            headers.append(("X-Request-ID", request_id))
            if environ["wsgi.url_scheme"] == "https":
                headers.append(HSTS)
            _note(environ, request_id, int(status[:3]), time.perf_counter() - began)
            return start_response(status, headers, *more)

        return inner(environ, start)

    app.wsgi_app = outer  # type: ignore[method-assign]


def _note(environ: dict[str, Any], request_id: str, status: int, seconds: float) -> None:
    request = environ.get("werkzeug.request")
    endpoint = (request.endpoint if request else None) or "none"
    method = environ["REQUEST_METHOD"]
    requests, times = _counts(method if method in METHODS else "other", endpoint, status)
    requests.inc()
    times.observe(seconds)
    if lines is not None:
        user = g.get("flask_httpauth_user")
        now = time.time()
        lines.write(
            f'{{"time": "{_second(int(now))}.{int(now % 1 * 1000):03d}Z", "level": "INFO", '
            f'"logger": "vindima.request", "message": "answered", "request_id": "{request_id}", '
            f'"method": {_quoted(method[:20])}, "path": {_quoted(environ.get("PATH_INFO", "")[:200])}, '
            f'"status": {status}, "ms": {1000 * seconds:.2f}, '
            f'"address": {_quoted(environ.get("REMOTE_ADDR") or "")}, '
            f'"user": {_quoted(user.name) if user else "null"}}}\n'
        )


@cache
def _counts(method: str, endpoint: str, status: int) -> tuple[Any, Any]:
    """The counters of one kind of request; there are as many as methods, routes and statuses allow."""
    return REQUESTS.labels(method, endpoint, status), SECONDS.labels(endpoint)


class _OfTheSet:
    """What the set that answers now is, how old, how its forecasts did, and whether a newer one was refused."""

    def collect(self) -> Iterable[Metric]:
        current = current_app.extensions["vindima"]
        family = GaugeMetricFamily("vindima_set_info", "The set that answers.", labels=["vintage", "model", "cutoff"])
        answers = current.answers
        if answers:
            provenance = answers.provenance
            family.add_metric([provenance["vintage"], provenance["model"], str(provenance["cutoff"])], 1)
        yield family
        yield GaugeMetricFamily(
            "vindima_set_refused", "1 where the newest set was refused.", 1.0 if current.refused else 0.0
        )
        if answers:
            yield GaugeMetricFamily("vindima_data_newest_year", "The newest year of trade.", answers.newest_year)
            yield from self._of_forecasts(drift.stand(answers))

    def _of_forecasts(self, did: drift.Stand | None) -> Iterable[Metric]:
        """None without forecasts that came due."""
        if did is None:
            return
        values = {
            "came_due": ("Published forecasts that came due with the newest year.", did.due),
            "coverage_80": ("Share of them inside their interval of 80 per cent.", did.held / did.due),
            "coverage_80_fewest": ("The smallest such share that chance alone explains.", did.fewest / did.due),
        }
        if did.ratio is not None:
            values["error_to_naive"] = ("Their error beside that of repeating the last price.", did.ratio)
        for name, (said, value) in values.items():
            yield GaugeMetricFamily(f"vindima_forecast_{name}", said, value)


class _OfThisMachine:
    """What the runs of the pipeline did, as far as their states are on this machine, and the space that is left."""

    def collect(self) -> Iterable[Metric]:
        with suppress(OSError):
            free = shutil.disk_usage(paths.ROOT).free
            yield GaugeMetricFamily("vindima_disk_free_bytes", "Free bytes where the project is.", free)
        begun = [one for one in runs.states(runs.FOLDER) if one["state"] != "queued"]
        if not begun:
            return
        yield GaugeMetricFamily(
            "vindima_run_running", "1 where the newest run has not ended.", float(begun[0]["state"] == "running")
        )
        yield GaugeMetricFamily(
            "vindima_run_started_timestamp_seconds", "When the newest run began.", _timestamp(begun[0]["started_at"])
        )
        last = next((one["outcome"] for one in begun if one["state"] == "ended"), None)
        outcomes = GaugeMetricFamily("vindima_run_last_outcome", "1 for how the last run ended.", labels=["outcome"])
        for outcome in runs.OUTCOMES if last else ():
            outcomes.add_metric([outcome], float(outcome == last))
        yield outcomes
        success = GaugeMetricFamily(
            "vindima_run_last_success_timestamp_seconds",
            "When the last run ended that worked, with a refresh and without; 0 where none of those kept did.",
            labels=["refresh"],
        )
        for refresh in (True, False):
            such = [one for one in begun if one["refresh"] == refresh]
            worked = (one["ended_at"] for one in such if one["outcome"] in runs.WORKED)
            if such:
                ended = next(worked, None)
                success.add_metric([str(refresh).lower()], _timestamp(ended) if ended else 0)
        yield success


def _timestamp(said: str) -> float:
    return datetime.fromisoformat(said).timestamp()


def metrics() -> Response:
    """All counts of all workers, in Prometheus' text format."""
    counts = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counts = CollectorRegistry()
        multiprocess.MultiProcessCollector(counts)
    found = CollectorRegistry()  # at each call, by the worker that is asked: nothing for workers to add up
    found.register(_OfTheSet())
    found.register(_OfThisMachine())
    return Response(generate_latest(counts) + generate_latest(found), content_type=CONTENT_TYPE_LATEST)
