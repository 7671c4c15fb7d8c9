"""Sites for tests: the mirror with some answers changed, and one that fails as an old server does.

What they serve is a vintage that stays the same when another one is bundled: see `earlier`.
"""

import dataclasses
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from werkzeug.wrappers import Request, Response

from vindima.ingestion import figures, mirror, parse
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.figures import Bundled, BundledTable

BUNDLED = Path(__file__).parent.parent / "data" / "figures"
DAY, LAST_YEAR, ROWS = "2025-01-19", 2023, 40
_FOLDER = tempfile.TemporaryDirectory(prefix="vindima-figures-")
FIGURES = Path(_FOLDER.name)


def earlier() -> Bundled:
    """The bundled figures up to LAST_YEAR, as if retrieved on DAY, every download with semicolons and LF.

    Of trade, which has up to 140 rows a table, the first ROWS: a page is read in a third of the time.
    """
    bundled = figures.read(BUNDLED)
    tables = {}
    for slug, item in bundled.tables.items():
        columns = parse.read_columns(item.layout.header, TABLES[slug])
        width = len(TABLES[slug].measures)
        later = {
            index for position, index in enumerate(columns.cells) if columns.years[position // width] > LAST_YEAR
        }
        header, *records = (
            [field for index, field in enumerate(line) if index not in later]
            for line in [item.layout.header, *item.layout.records[: ROWS if TABLES[slug].is_trade else None]]
        )
        layout = dataclasses.replace(
            item.layout, header=header, records=records, encoding="utf-8", separator=";", line_ending="\n",
            final_newline=True,
        )  # fmt: skip
        tables[slug] = BundledTable(parse.from_layout(layout, TABLES[slug]), layout, DAY)
    return Bundled(tables, [note for note in bundled.footnotes if note.year <= LAST_YEAR])


def of_downloads(folder: Path, to: Path) -> Path:
    """`to`, now holding the figures of the site's downloads in `folder`, with the bundled footnotes."""
    tables = {}
    for slug, table in TABLES.items():
        layout = parse.read_layout((folder / f"{table.download}.csv").read_bytes(), table)
        tables[slug] = BundledTable(parse.from_layout(layout, table), layout, DAY)
    figures.save(Bundled(tables, figures.read(BUNDLED).footnotes), [], to)
    return to


figures.save(earlier(), [line for line in figures.history(BUNDLED) if line["to"] <= DAY], FIGURES)
MIRROR = mirror.create_mirror(FIGURES)

Change = Callable[[Request, Response], Response | None]


class Copy:
    """The mirror, with some answers changed and all requests counted."""

    def __init__(self, change: Change = lambda request, answer: None):
        self.change = change
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def __call__(self, environ, start_response) -> Iterable[bytes]:
        request = Request(environ)
        with self._lock:
            self.asked[request.full_path.strip("/?")] += 1
            self.agents.add(request.headers["User-Agent"])
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        answer = Response.from_app(MIRROR, environ, buffered=True)
        answer = self.change(request, answer) or answer
        with self._lock:
            self._at_once -= 1
        return answer(environ, start_response)


def replace(answer: Response, old: str, new: str) -> None:
    """Let `answer` read `new` for `old`."""
    answer.set_data(answer.get_data(as_text=True).replace(old, new))


def replacing(path: str, old: str, new: str, query: str = "") -> Copy:
    """A copy of the site in which the answers under `path` (and `query`) read `new` for `old`."""

    def change(request: Request, answer: Response) -> None:
        if request.path == path and query in request.query_string.decode():
            replace(answer, old, new)

    return Copy(change)


def without_downloads() -> Copy:
    """A site whose pages are there and whose downloads are gone."""
    return Copy(lambda request, answer: Response(status=404) if request.path.startswith("/download/") else None)


class OneInFive(Copy):
    """Every fifth request fails, each time in the next of these ways, and no address more than twice in a row."""

    FAULTS = ("500", "503, Retry-After", "truncated", "empty", "slow", "error page", "another year")

    def __init__(self, slow: float) -> None:
        super().__init__(self._fail)
        self.faults: Counter[str] = Counter()
        self._slow = slow
        self._in_a_row: Counter[str] = Counter()
        self._turn = threading.Lock()

    def _fail(self, request: Request, answer: Response) -> Response | None:
        address = request.full_path
        with self._turn:
            fails = self.asked.total() % 5 == 0 and self._in_a_row[address] < 2
            self._in_a_row[address] = self._in_a_row[address] + 1 if fails else 0
            if not fails:
                return None
            fault = self.FAULTS[self.faults.total() % len(self.FAULTS)]
            self.faults[fault] += 1
        if fault == "500":
            return Response("erro", status=500)
        if fault == "503, Retry-After":
            return Response("ocupado", status=503, headers={"Retry-After": "1"})
        if fault == "truncated":
            return cut(answer)
        if fault == "empty":
            return Response("")
        if fault == "slow":
            time.sleep(self._slow)
            return None
        if fault == "error page":
            return Response("<html><body>Erro ao conectar ao banco de dados</body></html>", mimetype="text/html")
        if (year := request.args.get("ano")) is not None:
            replace(answer, f"[{year}]", f"[{int(year) - 1}]")
            return None
        return Response("")


def cut(answer: Response) -> Response:
    """The first half of an answer, under the length of the whole."""
    data = answer.get_data()
    half = Response(data[: len(data) // 2], mimetype=answer.mimetype)
    half.headers["Content-Length"] = str(len(data))
    return half
