"""How fast the service answers, beside a bare Flask hello behind the same JWT check, and what it needs for it.

Both run in this one run on loopback, under the settings of `vindima.serving.serve`, and are called in turns by the
same clients with the same token over kept connections; the service answers from the set that `make` left. The bars: a
forecast 0.9 of the hello's requests per second, a prediction with a scenario 0.6, the 99th percentile of the time at
most 1.5 of its; a start within a second, 100 MB a worker, and no growth over 200,000 requests.
"""

import http.client
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import psutil

from benchmarks.attacks import wait_for
from vindima.serving import auth, serve

ROUNDS = 40  # short and many: which worker gets which connection is drawn anew in each
CLIENTS = 4
CONNECTIONS = 16  # of each client, used in turns: so the workers have about as many each
REQUESTS = 200  # of each client in each round
SOAK = 200_000
SERIES = "imports.table_wine.CHL"
SCENARIO = f'{{"series": "{SERIES}", "scenario": {{"exchange_rate": {{"pct": %d.5}}, "harvest": {{"pct": -%d}}}}}}'
COMMANDS = {"hello": ["-m", "benchmarks.hello"], "service": ["-c", "from vindima.cli import main; main()", "serve"]}


@dataclass(frozen=True)
class Call:
    """One call: what it is called in the table, the server that it is for, how it is made, and its bar."""

    what: str
    server: str
    method: str
    path: str
    body: str | None = None
    bar: float = 0.0


HELLO = Call("bare Flask hello behind the JWT check", "hello", "GET", "/hello")
FORECAST = Call("GET …/forecast", "service", "GET", f"/v1/series/{SERIES}/forecast?horizon=3&level=80", bar=0.9)
PREDICTION = Call("POST /v1/predictions with a scenario", "service", "POST", "/v1/predictions", SCENARIO, 0.6)
OTHERS = (
    Call("history", "service", "GET", "/v1/series/imports.table_wine?from=2000"),
    Call("table", "service", "GET", "/v1/tables/trade?country=CHL&per_page=50"),
    Call("wrong", "service", "GET", f"/v1/series/{SERIES}/forecast?horizon=99"),
)
P99_BAR = 1.5
STARTS = 7


@dataclass(frozen=True)
class _Server:
    port: int
    process: psutil.Process

    def megabytes(self) -> float:
        """Of the largest worker."""
        return max(worker.memory_info().rss for worker in self.process.children(recursive=True)) / 1e6


def rows() -> list[dict]:
    """A row for each call, with its median requests per second, and rows for memory, soak and start.

    A ratio is the median over rounds of the ratio within a round, `quartiles` those of the same ratios: on a machine
    that does other work they lie far apart, and then the ratio says little. `p99_ms` is over all requests.
    """
    with tempfile.TemporaryDirectory() as folder:
        users, secret = Path(folder) / "users.sqlite", secrets.token_urlsafe(48)
        environment = os.environ | {"VINDIMA_USERS": str(users), "VINDIMA_JWT_SECRET": secret}
        auth.prepare(users, secret)
        user = auth.add(users, "bench", secrets.token_urlsafe(16))
        token = auth.issue_token(users, secret, user)
        with (
            _running("hello", environment) as hello,
            _running("service", environment) as service,
            ProcessPoolExecutor(CLIENTS) as clients,
        ):
            found = _side_by_side({"hello": hello, "service": service}, token, clients)
            found += _soak(service, token, clients)
        return [*found, _start(environment)]


def _side_by_side(servers: dict[str, _Server], token: str, clients: ProcessPoolExecutor) -> list[dict]:
    calls = (HELLO, FORECAST, PREDICTION)
    rates: dict[str, list[float]] = {call.what: [] for call in calls}
    times: dict[str, list[float]] = {call.what: [] for call in calls}
    for turn in range(-1, ROUNDS):
        for call in calls if turn % 2 else calls[::-1]:  # none is always first
            port = servers[call.server].port
            work = [clients.submit(_calls, port, [call], token, REQUESTS) for _ in range(CLIENTS)]
            spans = [one.result() for one in work]
            seconds = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
            if turn >= 0:  # the first turn warms both
                rates[call.what].append(CLIENTS * REQUESTS / seconds)
                times[call.what] += [second for _, _, each in spans for second in each]
    found = []
    for call in calls:
        p99, p99_hello = (statistics.quantiles(times[what], n=100)[-1] for what in (call.what, HELLO.what))
        row = {"what": call.what, "requests_per_second": round(statistics.median(rates[call.what]))}
        row |= {"p99_ms": round(1000 * p99, 2)}
        if call.bar:
            ratios = [ours / hello for ours, hello in zip(rates[call.what], rates[HELLO.what], strict=True)]
            low, ratio, high = statistics.quantiles(ratios, n=4)
            row |= {"ratio": round(ratio, 3), "quartiles": f"{low:.2f} to {high:.2f}", "bar": call.bar}
            row |= {"p99_ratio": round(p99 / p99_hello, 2), "p99_bar": P99_BAR}
            row |= {"met": ratio >= call.bar and p99 / p99_hello <= P99_BAR}
        found.append(row)
    return found


def _soak(server: _Server, token: str, clients: ProcessPoolExecutor) -> list[dict]:
    """Memory of the largest worker after a tenth of the requests and after all of them."""
    calls = [FORECAST, PREDICTION, *OTHERS]
    sizes = []
    for _ in range(10):
        work = [clients.submit(_calls, server.port, calls, token, SOAK // 10 // CLIENTS) for _ in range(CLIENTS)]
        for one in work:
            one.result()
        sizes.append(server.megabytes())
    growth = sizes[-1] / sizes[0]
    return [
        {"what": "memory of a worker, MB", "value": round(sizes[0]), "bar": 100, "met": sizes[0] < 100},
        {"what": f"the same after {SOAK:,} requests", "value": round(sizes[-1]), "ratio": round(growth, 3)}
        | {"bar": 1.05, "met": growth <= 1.05},
    ]


def _start(environment: dict[str, str]) -> dict:
    """Seconds from the command to the first reply that is ready: the median of several."""
    seconds = []
    for _ in range(STARTS):
        begun = time.monotonic()
        with _running("service", environment):
            seconds.append(time.monotonic() - begun)
    median = statistics.median(seconds)
    return {"what": "start-up, s", "value": round(median, 2), "bar": 1.0, "met": median < 1}


def _calls(port: int, calls: list[Call], token: str, count: int) -> tuple[float, float, list[float]]:
    """Start and end, in seconds of the monotonic clock, of `count` calls, and each one's time."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.connect()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    times = []
    start = time.monotonic()
    for place in range(count):
        call, connection = calls[place % len(calls)], connections[place % CONNECTIONS]
        begun = time.monotonic()
        body = call.body and call.body % (place % 50, place % 30)  # no two in a row are the same
        connection.request(call.method, call.path, body, headers)
        response = connection.getresponse()
        response.read()
        times.append(time.monotonic() - begun)
        if response.status != (422 if call.what == "wrong" else 200):
            raise RuntimeError(f"{call.path} answered {response.status}")
    end = time.monotonic()
    for connection in connections:
        connection.close()
    return start, end, times


@contextmanager
def _running(name: str, environment: dict[str, str]) -> Iterator[_Server]:
    """A server of its own for `name`, ready."""
    with serve.listen("127.0.0.1", 0) as reserved:
        port = reserved.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[name]], env=environment | {"PORT": str(port)}, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(partial(_answers, port), process)
        yield _Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> None:
    """Ask whether the server is ready; raises OSError where nobody answers."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/health/ready")
        connection.getresponse().read()


def main() -> None:
    """Print the rows as a table."""
    print(pd.DataFrame(rows()).to_string(index=False))


if __name__ == "__main__":
    main()
