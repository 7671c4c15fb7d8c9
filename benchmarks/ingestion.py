"""What collecting costs: every page of the mirror beside the time that the polite rate gives the collector.

The mirror runs in a process of its own on loopback. The bars: collecting all pages takes at most a third of the time
that asking for them at four requests a second takes; with 200 ms of latency at most 1.3 times requests × latency ÷
connections; and the peak of memory does not grow with the number of pages.
"""

import multiprocessing
import re
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from werkzeug.wrappers import Request, Response

from vindima.ingestion import mirror, site
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.session import CONNECTIONS
from vindima.paths import ROOT

POLITE_RATE = 4  # requests a second, of `collect.requests_per_second`
LATENCY = 0.2  # seconds
FEW_YEARS = 2020  # where the smaller of the two collections for the memory begins
BARS = {"polite": 1 / 3, "ideal": 1.3, "memory": 1.1}


def rows() -> list[dict]:
    """One row for each thing measured, and where it has a bar the figure, the bar and the verdict."""
    with _mirror() as base:
        pages, seconds = _collect(base)
        whole = _peak_memory(base)
    with _mirror(first_year=FEW_YEARS) as base:
        few = _peak_memory(base)
    with _mirror(latency=LATENCY) as base:
        _, slow = _collect(base)
    polite = pages / POLITE_RATE
    # Before the pages of the years come robots.txt, the menu, the options' menus and each table's newest page.
    requests = 2 + len({table.option for table in TABLES.values()}) + len(TABLES) + pages
    ideal = requests * LATENCY / CONNECTIONS
    return [
        {"what": f"collect {pages} pages", "seconds": round(seconds, 1)},
        {"what": f"the same at {POLITE_RATE} requests a second", "seconds": round(polite, 1)},
        _judged("collect / polite rate", seconds / polite, "polite"),
        {"what": "collect with 200 ms of latency", "seconds": round(slow, 1)},
        {"what": "requests × latency ÷ connections", "seconds": round(ideal, 1)},
        _judged("collect with latency / ideal", slow / ideal, "ideal"),
        {"what": f"peak memory from {FEW_YEARS} on, MB", "figure": round(few / 1e6, 1)},
        {"what": "peak memory, all years, MB", "figure": round(whole / 1e6, 1)},
        _judged("all years / few", whole / few, "memory"),
    ]


def _judged(what: str, figure: float, bar: str) -> dict:
    return {"what": what, "figure": round(figure, 2), "bar": f"≤ {BARS[bar]:.2g}", "met": figure <= BARS[bar]}


def _collect(base: str) -> tuple[int, float]:
    """Collect all pages into a folder on the disk of the project, where raw zones are: how many, and the seconds."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        start = time.perf_counter()
        manifest = site.collect(base, "pages", "any", requests_per_second=None, raw_dir=Path(folder) / "raw")
        return len(manifest["files"]), time.perf_counter() - start


def _peak_memory(base: str) -> int:
    """Peak resident memory, in bytes, of a process of its own that collects all pages."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report_peak, args=(base, sender))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def _report_peak(base: str, sender: Connection) -> None:
    _collect(base)
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


@contextmanager
def _mirror(latency: float = 0.0, first_year: int | None = None) -> Iterator[str]:
    """The mirror in a process of its own, each answer `latency` seconds late, its pages from `first_year` on."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, latency, first_year), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def _serve(sender: Connection, latency: float, first_year: int | None) -> None:
    original = mirror.create_mirror()

    @Request.application
    def app(request: Request) -> Response:
        time.sleep(latency)
        answer = Response.from_app(original, request.environ, buffered=True)
        if first_year:
            answer.set_data(re.sub(rb"\[\d{4}-(\d{4})\]", rb"[%d-\1]" % first_year, answer.get_data()))
        return answer

    with mirror.running(app) as base:
        sender.send(base)
        time.sleep(3600)
