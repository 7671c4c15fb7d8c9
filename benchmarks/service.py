"""How fast the service answers a forecast, beside a bare Flask hello behind the same JWT check.

Both run in this one run on loopback, under the settings of `vindima.serving.serve`, and are called in turns by the
same clients with the same token over kept connections; the service answers from the set that `make` left. The bar:
0.7 of the hello's requests per second.
"""

import http.client
import json
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from flask import Flask

from vindima import paths
from vindima.serving import api, auth, serve

BAR = 0.7
ROUNDS = 40  # short and many: which worker gets which connection is drawn anew in each
CLIENTS = 4
REQUESTS = 100  # of each client in each round


def rows() -> list[dict]:
    """One row for each of the two, with its median requests per second; the service's with their ratio.

    The ratio is the median over rounds of the ratio within a round, `quartiles` those of the same ratios:
    on a machine that does other work they lie far apart, and then the ratio says little.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = {
            "SERVED": str(paths.SERVED),
            "USERS": str(Path(folder) / "users.sqlite"),
            "JWT_SECRET": secrets.token_urlsafe(48),
        }
        users = Path(config["USERS"])
        auth.prepare(users, config["JWT_SECRET"])
        user = auth.add(users, "bench", secrets.token_urlsafe(16))
        token = auth.issue_token(users, config["JWT_SECRET"], user)
        asked = {"hello": "/hello", "forecast": "/v1/series/imports.table_wine.CHL/forecast?horizon=3&level=80"}
        rates: dict[str, list[float]] = {name: [] for name in asked}
        with (
            _running("hello", config) as hello,
            _running("forecast", config) as forecast,
            ProcessPoolExecutor(CLIENTS) as clients,
        ):
            ports = {"hello": hello, "forecast": forecast}
            for turn in range(-1, ROUNDS):
                for name in sorted(asked, reverse=turn % 2 == 0):  # neither is always first
                    work = [clients.submit(_call, ports[name], asked[name], token, REQUESTS) for _ in range(CLIENTS)]
                    spans = [one.result() for one in work]
                    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
                    if turn >= 0:  # the first turn warms both
                        rates[name].append(CLIENTS * REQUESTS / seconds)
    ratios = [f / h for f, h in zip(rates["forecast"], rates["hello"], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    per_second = {name: round(statistics.median(values)) for name, values in rates.items()}
    return [
        {"what": "bare Flask hello behind the JWT check", "requests_per_second": per_second["hello"]},
        {
            "what": "GET /v1/series/{series}/forecast",
            "requests_per_second": per_second["forecast"],
            "ratio": round(ratio, 3),
            "quartiles": f"{low:.2f} to {high:.2f}",
            "bar": BAR,
            "met": ratio >= BAR,
        },
    ]


def _call(port: int, path: str, token: str, count: int) -> tuple[float, float]:
    """Start and end, in seconds of the monotonic clock, of `count` calls over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    headers = {"Authorization": f"Bearer {token}"}
    start = time.monotonic()
    for _ in range(count):
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} answered {response.status}")
    end = time.monotonic()
    connection.close()
    return start, end


@contextmanager
def _running(name: str, config: dict) -> Iterator[int]:
    """The port at which a process of its own serves `name`."""
    with serve.listen("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, name, str(port)], stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(config))  # by a pipe, so that no process list shows the secret
        process.stdin.close()
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not start within 30 s")


def _serve(name: str, port: int) -> None:
    config = json.load(sys.stdin)
    make = {"hello": _hello, "forecast": api.create_app}[name]
    serve.serve(lambda: make(config), serve.listen("127.0.0.1", port), serve.default_server())


def _hello(config: dict) -> Flask:
    app = Flask("hello")
    app.config.update(config)

    @app.get("/hello")
    @auth.bearer.login_required
    def hello() -> str:
        return "hello"

    return app


def main() -> None:
    """Print the rows as a table."""
    print(pd.DataFrame(rows()).to_string(index=False))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2])) if len(sys.argv) == 3 else main()
