"""What collecting costs: every page of the mirror beside a bare loop of requests, and reading beside lxml alone.

The mirror runs in a process of its own on loopback. The bars: collecting all pages takes at most 1.5 times what
`requests` alone takes for the same addresses over as many connections; with 200 ms of latency at most 1.3 times
requests × latency ÷ connections; reading all pages at most 2 times what lxml takes to build their trees; and the peak
of memory does not grow with the number of pages.
"""

import multiprocessing
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import requests
from lxml import etree
from werkzeug.wrappers import Request, Response

from vindima.ingestion import lake, mirror, parse, site
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.session import CONNECTIONS
from vindima.paths import ROOT

ROUNDS = 5
PARSING_ROUNDS = 25
LATENCY = 0.2  # seconds
FEW_YEARS = 2020  # where the smaller of the two collections for the memory begins
BARS = {"bare": 1.5, "ideal": 1.3, "parsing": 2.0, "memory": 1.1}


def rows() -> list[dict]:
    """One row for each thing measured: its median, and where it has a bar the figure, the bar and the verdict."""
    with _mirror() as base, _folder() as folder:
        _collect(base, folder)  # warms up
        addresses = _addresses(Path(folder) / "raw")
        # A folder for each round: ext4 is slow to create files where as many were deleted a moment before.
        rounds = [
            (_seconds(_collect, base, f"{folder}/{turn}"), _seconds(_bare, base, addresses)) for turn in range(ROUNDS)
        ]
        pages = [path.read_bytes() for path in sorted((Path(folder) / "raw" / "files").iterdir())]
        tables = [TABLES[file["slug"]] for file in _by_name(Path(folder) / "raw")]
        whole = _peak_memory(base)
    with _mirror(first_year=FEW_YEARS) as base:
        few = _peak_memory(base)
    with _mirror(latency=LATENCY) as base, _folder() as folder:
        slow = _seconds(_collect, base, folder)
    ideal = len(addresses) * LATENCY / CONNECTIONS
    parsing = [(_seconds(_read, pages, tables), _seconds(_build_trees, pages)) for _ in range(PARSING_ROUNDS)]
    ours, bare = zip(*rounds, strict=True)
    reading, building = zip(*parsing, strict=True)
    return [
        {"what": f"collect from pages, {len(addresses)} requests", "seconds": round(statistics.median(ours), 2)},
        {"what": "requests alone, the same addresses", "seconds": round(statistics.median(bare), 2)},
        _judged("collect / requests alone", _ratio(rounds), "bare"),
        {"what": "collect with 200 ms of latency", "seconds": round(slow, 1)},
        {"what": "requests × latency ÷ connections", "seconds": round(ideal, 1)},
        _judged("collect with latency / ideal", slow / ideal, "ideal"),
        {"what": f"read {len(pages)} pages", "seconds": round(statistics.median(reading), 3)},
        {"what": "lxml alone: their trees", "seconds": round(statistics.median(building), 3)},
        _judged("read / lxml alone", _ratio(parsing), "parsing"),
        {"what": f"peak memory from {FEW_YEARS} on, MB", "figure": round(few / 1e6, 1)},
        {"what": "peak memory, all years, MB", "figure": round(whole / 1e6, 1)},
        _judged("all years / few", whole / few, "memory"),
    ]


def _folder() -> tempfile.TemporaryDirectory:
    """A folder on the disk of the project, where raw zones are."""
    return tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT)


def _judged(what: str, figure: float, bar: str) -> dict:
    return {"what": what, "figure": round(figure, 2), "bar": f"≤ {BARS[bar]:g}", "met": figure <= BARS[bar]}


def _ratio(rounds: list[tuple[float, float]]) -> float:
    return statistics.median(ours / theirs for ours, theirs in rounds)


def _seconds(call: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def _collect(base: str, folder: str) -> None:
    site.collect(base, "pages", "any", requests_per_second=None, raw_dir=Path(folder) / "raw")


def _bare(base: str, addresses: list[str]) -> None:
    with requests.Session() as session, ThreadPoolExecutor(CONNECTIONS) as workers:
        for answer in workers.map(lambda address: session.get(f"{base}/{address}", timeout=60), addresses):
            assert answer.status_code == 200


def _addresses(raw_dir: Path) -> list[str]:
    """What a collection of pages asks for: what it keeps, and before that robots.txt, the menus and newest pages."""
    kept = [file["address"] for file in lake.read_manifest(raw_dir)["files"]]
    options = sorted({table.option for table in TABLES.values()})
    before = ["robots.txt", "index.php", *(f"index.php?opcao={option}" for option in options)]
    return [*before, *(f"index.php?{table.query}" for table in TABLES.values()), *kept]


def _by_name(raw_dir: Path) -> list[dict]:
    files = lake.read_manifest(raw_dir)["files"]
    return sorted(files, key=lambda file: lake.file_name(file["address"]))


def _read(pages: list[bytes], tables: list) -> None:
    for data, table in zip(pages, tables, strict=True):
        parse.read_page(data, table)


def _build_trees(pages: list[bytes]) -> None:
    for data in pages:
        etree.HTML(data)


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
    with _folder() as folder:
        _collect(base, folder)
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
