"""A polite session with the Vitibrasil site, or with a copy of it: discover, download, collect."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import MaxRetryError, NewConnectionError
from urllib3.util.retry import Retry

from vindima import paths
from vindima.errors import VindimaError
from vindima.ingestion import figures, mirror, parse
from vindima.ingestion import lake as raw_zone
from vindima.ingestion.catalogue import LIVE, TABLES, Table
from vindima.ingestion.lake import Received
from vindima.ingestion.parse import Note, Page, RawTable, Row

USER_AGENT = "Vindima (research on Brazilian wine statistics; reads at a low rate)"
TIMEOUTS = (10, 60)  # seconds to connect, seconds between bytes
RETRIES = 3  # after time-outs, 429 and 5xx
BACKOFF = 1.0  # seconds; doubles with each retry
LONGEST_RETRY_AFTER = 300  # seconds; a longer wait asked for by the site is cut to this
OPTIONS_WITHOUT_TABLES = ("opt_01", "opt_07")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger(__name__)


class _Retry(Retry):
    """Retries time-outs, 429 and 5xx alone: a refused connection or an unknown name does not heal by asking."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        if isinstance(error, NewConnectionError):
            raise MaxRetryError(_pool, url or "", error)
        return super().increment(method, url, response, error, _pool, _stacktrace)


class Site:
    """A session with one base address; waits between requests so as not to exceed `requests_per_second`.

    `requests_per_second` None means no limit. Use as a context manager, or close it.
    """

    def __init__(self, base: str, requests_per_second: float | None = None) -> None:
        if requests_per_second is not None and not requests_per_second > 0:
            raise VindimaError(f"collect.requests_per_second: expected more than 0, got {requests_per_second}")
        self.base = base.rstrip("/")
        self._pause = 1 / requests_per_second if requests_per_second else 0.0
        self._next_request = 0.0
        self._session = requests.Session()
        self._session.headers["User-Agent"] = USER_AGENT
        self._session.trust_env = urlsplit(self.base).hostname not in LOOPBACK
        retry = _Retry(
            total=None,
            connect=RETRIES,
            read=RETRIES,
            status=RETRIES,
            other=0,
            backoff_factor=BACKOFF,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=("GET",),
            respect_retry_after_header=True,
            retry_after_max=LONGEST_RETRY_AFTER,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def get(self, address: str) -> bytes:
        """The bytes at a site-relative address. Raises VindimaError where there is no answer, or not 200."""
        if self._pause:
            time.sleep(max(0.0, self._next_request - time.monotonic()))
            self._next_request = time.monotonic() + self._pause
        try:
            answer = self._session.get(f"{self.base}/{address}", timeout=TIMEOUTS)
        except requests.RequestException as error:
            raise VindimaError(f"{self.base} cannot be reached ({address}): {_reason(error)}") from None
        if answer.status_code != 200:
            raise VindimaError(
                f"{self.base}/{address}: expected status 200, got {answer.status_code} {answer.reason}"
            )
        return answer.content


@dataclass(frozen=True)
class Offer:
    """What the site says of one table: the years it has, and where its download is."""

    first_year: int
    last_year: int
    download: str


def discover(site: Site) -> dict[str, Offer]:
    """What the site's own pages offer for each table of the catalogue, by slug.

    Reads the option and sub-option buttons, the year limits and the download links. Raises VindimaError for
    a table of the catalogue that is not offered; warns (logging) of one that the catalogue does not know.
    """
    known = {(table.option, table.suboption): table for table in TABLES.values()}
    offers = {}
    for option, label in parse.read_menu(site.get("index.php")):
        if option in OPTIONS_WITHOUT_TABLES:
            continue
        data = site.get(f"index.php?opcao={option}")
        suboptions: list[tuple[str | None, str]] = [*parse.read_submenu(data)] or [(None, label)]
        for suboption, name in suboptions:
            table = known.get((option, suboption))
            if table is None:
                log.warning("the site offers %r (%s, %s), which the catalogue does not know", name, option, suboption)
                continue
            page = parse.read_page(site.get(f"index.php?{table.query}") if suboption else data, table)
            offers[table.slug] = Offer(page.first_year, page.last_year, page.download)
    if missing := [slug for slug in TABLES if slug not in offers]:
        raise VindimaError(f"{site.base} does not offer {', '.join(missing)} any more")
    return {slug: offers[slug] for slug in TABLES}


def collect(
    source: str = "mirror",
    method: str = "csv",
    accept: str = "newer",
    requests_per_second: float = 4,
    lake: object = None,
    raw_dir: Path = paths.RAW,
    figures_dir: Path = paths.FIGURES,
) -> dict[str, Any]:
    """Collect all tables into the raw zone `raw_dir` and return its manifest.

    `source` is mirror, live or a base address; `method` csv reads the 15 downloads, pages every year of every
    table; `accept` newer refuses a collection in which a table ends earlier, or has fewer rows or fewer cells
    above zero, than the one on hand, any takes it. The rate limit holds for all but the mirror. Raises
    VindimaError, and leaves the raw zone as it was, for whatever cannot be reached or read.
    """
    _check("source", source, ("mirror", "live"), source.startswith(("http://", "https://")))
    _check("method", method, ("csv", "pages"))
    _check("accept", accept, ("newer", "any"))
    if lake is not None:
        raise VindimaError(f"collect.lake: expected null, got {lake!r}: a lake is not available yet")
    with ExitStack() as stack:
        if source == "mirror":
            retrieved_on = figures.read(figures_dir).retrieved_on
            base = stack.enter_context(mirror.running(figures_dir))
            site = stack.enter_context(Site(base))
            now: Callable[[], str] = lambda: retrieved_on  # noqa: E731
        else:
            site = stack.enter_context(Site(LIVE if source == "live" else source, requests_per_second))
            now = _utc_now
        started_at = now()
        gather = _downloads if method == "csv" else _pages
        files, tables = gather(site, discover(site), now)
    if accept == "newer" and raw_dir.exists():
        _refuse_older(_on_hand(raw_dir), tables)
    return raw_zone.write(raw_dir, source, started_at, files, tables)


def _downloads(
    site: Site, offers: Mapping[str, Offer], now: Callable[[], str]
) -> tuple[list[Received], dict[str, RawTable]]:
    """Every table's download, and the page of each year that is withheld, for the totals in its footnotes."""
    files, tables = [], {}
    for slug, offer in tqdm(offers.items(), desc="downloads", disable=None):
        table = TABLES[slug]
        data = site.get(offer.download)
        raw = parse.read_download(data, table)
        cells = sum(len(row.cells) for row in raw.rows)
        remarks = _remarks(raw, offer)
        files.append(Received(slug, offer.download, data, now(), 200, "csv", len(raw.rows), cells, remarks))
        notes = list(raw.notes)
        for year in _withheld_years(raw, len(table.measures)):
            received, page = _read_year(site, table, year, now)
            files.append(replace(received, notes=[f"footnotes of {year}"]))
            notes += [Note(year, text) for text in page.footnotes]
        tables[slug] = replace(raw, source=offer.download, notes=notes)
    return files, tables


def _pages(
    site: Site, offers: Mapping[str, Offer], now: Callable[[], str]
) -> tuple[list[Received], dict[str, RawTable]]:
    """Every year of every table from its page; cells as shown: rounded, `-` for zero and for nothing."""
    files, tables = [], {}
    total = sum(offer.last_year - offer.first_year + 1 for offer in offers.values())
    with tqdm(total=total, desc="pages", disable=None) as progress:
        for slug, offer in offers.items():
            table = TABLES[slug]
            pages = []
            for year in range(offer.first_year, offer.last_year + 1):
                received, page = _read_year(site, table, year, now)
                files.append(received)
                pages.append(page)
                progress.update()
            tables[slug] = _join(table, pages)
    return files, tables


def _read_year(site: Site, table: Table, year: int, now: Callable[[], str]) -> tuple[Received, Page]:
    address = f"index.php?{table.query}&ano={year}"
    data = site.get(address)
    page = parse.read_page(data, table, year)
    cells = sum(len(row.cells) for row in page.rows)
    return Received(table.slug, address, data, now(), 200, "pages", len(page.rows), cells), page


def _join(table: Table, pages: list[Page]) -> RawTable:
    """One table from the pages of its years, which must all have the same rows."""
    first = pages[0]
    for page in pages[1:]:
        if len(page.rows) != len(first.rows):
            raise VindimaError(
                f"{table.slug} {page.year}: expected {len(first.rows)} rows as in {first.year}, got {len(page.rows)}"
            )
        for position, (row, before) in enumerate(zip(page.rows, first.rows, strict=True), 1):
            if row.label != before.label:
                raise VindimaError(
                    f"{table.slug} {page.year}, row {position}: expected {before.label!r} "
                    f"as in {first.year}, got {row.label!r}"
                )
    rows = [
        Row(position, None, same[0].label, [cell for row in same for cell in row.cells], same[0].level)
        for position, same in enumerate(zip(*(page.rows for page in pages), strict=True), 1)
    ]
    notes = [Note(page.year, text) for page in pages for text in page.footnotes if parse.aggregates(text)]
    years = [page.year for page in pages]
    return RawTable(table.slug, first.title, table.unit, years, rows, f"index.php?{table.query}", notes)


def _withheld_years(raw: RawTable, width: int) -> list[int]:
    """Years without any figure, in which the source withholds: all cells `*`, or `*` and a few `+`."""
    withheld = []
    for index, year in enumerate(raw.years):
        cells = {cell for row in raw.rows for cell in row.cells[index * width : (index + 1) * width]}
        if "*" in cells and cells <= {"*", "+"}:
            withheld.append(year)
    return withheld


def _remarks(raw: RawTable, offer: Offer) -> list[str]:
    remarks = [note.text for note in raw.notes]
    if (raw.years[0], raw.years[-1]) != (offer.first_year, offer.last_year):
        remarks.append(
            f"the page offers {offer.first_year}-{offer.last_year}, the download has {raw.years[0]}-{raw.years[-1]}"
        )
    return remarks


def _on_hand(raw_dir: Path) -> dict[str, RawTable]:
    """The tables of the raw zone; none, with a warning, where it is damaged: what cannot be read is not kept."""
    try:
        return raw_zone.read(raw_dir)[1]
    except VindimaError as damage:
        log.warning("the raw zone on hand is not compared: %s", damage)
        return {}


def _refuse_older(on_hand: Mapping[str, RawTable], collected: Mapping[str, RawTable]) -> None:
    measures: dict[str, Callable[[RawTable], int]] = {
        "the last year": lambda table: table.years[-1],
        "the number of rows": lambda table: len(table.rows),
        "the number of cells above zero": _cells_above_zero,
    }
    for slug, before in on_hand.items():
        for what, measure in measures.items():
            if measure(collected[slug]) < measure(before):
                raise VindimaError(
                    f"{slug}: {what} falls from {measure(before)} to {measure(collected[slug])}; "
                    "the collection is refused and the raw zone kept (collect.accept=any takes it)"
                )


def _cells_above_zero(table: RawTable) -> int:
    return sum(bool(re.search("[1-9]", cell)) for row in table.rows for cell in row.cells)


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _reason(error: requests.RequestException) -> str:
    """The last part of a nested network error: '[Errno 111] Connection refused'."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return str(reason).rsplit(": ", 1)[-1]


def _check(name: str, value: str, allowed: tuple[str, ...], otherwise: bool = False) -> None:
    if value not in allowed and not otherwise:
        more = " or an address that begins with http" if name == "source" else ""
        raise VindimaError(f"collect.{name}: expected {', '.join(allowed)}{more}, got {value!r}")
