"""Sites for tests: the mirror with some answers changed, and one that fails as an old server does."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from werkzeug.wrappers import Request, Response

from vindima.ingestion import mirror

FIGURES = Path(__file__).parent.parent / "data" / "figures"
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
