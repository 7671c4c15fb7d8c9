"""What the Vitibrasil site, or a copy of it, offers, and the collection of all of it into the raw zone."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vindima import paths
from vindima.errors import VindimaError
from vindima.ingestion import checks, figures, mirror, parse, raw_zone, revisions
from vindima.ingestion.catalogue import LIVE, TABLES, Table
from vindima.ingestion.checks import Disagreement
from vindima.ingestion.lake import write_snapshot
from vindima.ingestion.parse import Note, Page, RawTable, Row
from vindima.ingestion.raw_zone import Draft
from vindima.ingestion.reply import Reply
from vindima.ingestion.session import Session, utc_now

OPTIONS_WITHOUT_TABLES = ("opt_01", "opt_07")
SAMPLED = 2  # pages of each table that are read beside its newest one, to check its download

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """What the site says of one table: the years that it has pages of, its download, and its newest page."""

    first_year: int
    last_year: int
    download: str | None
    newest: tuple[Reply, Page]


@dataclass(frozen=True)
class Collected:
    """A table, the manifest's entries of the files that it came from, and where its pages contradict it."""

    table: RawTable
    files: list[dict[str, Any]]
    disagreements: list[Disagreement] = field(default_factory=list)


def discover(session: Session) -> dict[str, Offer]:
    """What the site's own pages offer for each table of the catalogue, by slug.

    Reads the option and sub-option buttons, the year limits and the download links. Raises VindimaError for
    a table of the catalogue that is not offered; warns (logging) of one that the catalogue does not know.
    """
    known = {(table.option, table.suboption): table for table in TABLES.values()}
    _, menu = session.read("index.php", parse.read_menu)
    options = [(option, label) for option, label in menu if option not in OPTIONS_WITHOUT_TABLES]
    submenus = session.read_all((f"index.php?opcao={option}", parse.read_submenu) for option, _ in options)
    offered: list[Table] = []
    for (option, label), (_, submenu) in zip(options, submenus, strict=True):
        suboptions: list[tuple[str | None, str]] = [*submenu] or [(None, label)]
        for suboption, name in suboptions:
            if table := known.get((option, suboption)):
                offered.append(table)
            else:
                log.warning("the site offers %r (%s, %s), which the catalogue does not know", name, option, suboption)
    if missing := [slug for slug, table in TABLES.items() if table not in offered]:
        raise VindimaError(f"{session.base} does not offer {', '.join(missing)} any more")
    newest = session.read_all((f"index.php?{table.query}", _page_reader(table)) for table in TABLES.values())
    return {
        slug: Offer(page.first_year, page.last_year, page.download, (reply, page))
        for slug, (reply, page) in zip(TABLES, newest, strict=True)
    }


def collect(
    source: str = "mirror",
    method: str = "csv",
    accept: str = "newer",
    requests_per_second: float | None = 4,
    lake: str | None = None,
    raw_dir: Path = paths.RAW,
    figures_dir: Path = paths.FIGURES,
) -> dict[str, Any]:
    """Collect all tables into the raw zone `raw_dir` and return its manifest.

    `source` is mirror, live or a base address; `method` csv reads the 15 downloads and checks them against a sample
    of pages, pages reads every year of every table. `accept` newer refuses a collection in which a table ends
    earlier, or has fewer rows or fewer cells above zero, than the one on hand, and keeps it aside; any takes it. The
    rate limit holds for all but the mirror; None is no limit. With `lake`, a folder or a bucket's address, the
    collection is first written there, as a dated snapshot.

    The manifest's `revisions` are the history of the bundled vintages (`figures.history`); but for the mirror, which
    serves the last of these, they also tell what changed since the raw zone on hand was retrieved.

    Raises VindimaError, and leaves the raw zone as it was, for whatever cannot be reached or read; what was received
    until then is not asked for again by a run of the next 24 hours, unless it was the mirror's.
    """
    _check("source", source, ("mirror", "live"), source.startswith(("http://", "https://")))
    _check("method", method, ("csv", "pages"))
    _check("accept", accept, ("newer", "any"))
    with ExitStack() as stack:
        draft = stack.enter_context(Draft(raw_dir, source, resume=source != "mirror"))
        retrieved_on: dict[str, str] = {}
        if source == "mirror":
            bundled = figures.read(figures_dir)
            retrieved_on = {slug: table.retrieved_on for slug, table in bundled.tables.items()}
            started_at = bundled.retrieved_on
            base = stack.enter_context(mirror.running(figures_dir))
            session = stack.enter_context(Session(base, draft, now=lambda: started_at))
        else:
            base = LIVE if source == "live" else source
            started_at = utc_now()
            session = stack.enter_context(Session(base, draft, requests_per_second))
        gather = _from_download if method == "csv" else _from_pages
        losses, disagreements = [], []
        before = _on_hand(raw_dir)
        after: dict[str, RawTable] = {}
        offers = discover(session)
        years = sum(offer.last_year - offer.first_year + 1 for offer in offers.values())
        session.expect(years if method == "pages" else len(offers) * (1 + SAMPLED))
        for slug, offer in offers.items():
            collected = gather(session, draft, TABLES[slug], offer)
            day = {"retrieved_at": retrieved_on[slug]} if slug in retrieved_on else {}
            draft.add(collected.table, [file | day for file in collected.files])
            after[slug] = collected.table
            disagreements += collected.disagreements
            losses += _losses(collected.table, before.get(slug))
        recorded = figures.history(figures_dir)
        if source != "mirror":
            recorded += revisions.record(revisions.compare(before, after), _retrieved_at(raw_dir), started_at)
        manifest = draft.complete(started_at, [asdict(disagreement) for disagreement in disagreements], recorded)
        if losses and accept == "newer":
            raise VindimaError(
                f"{'; '.join(losses)}: the collection is kept aside in {draft.put_aside()} and the raw zone stays "
                "(collect.accept=any takes it)"
            )
        if lake:
            write_snapshot(draft.folder, lake if "://" in lake else str(paths.ROOT / lake), manifest)
        draft.put_in_place()
    return manifest


def _from_download(session: Session, draft: Draft, table: Table, offer: Offer) -> Collected:
    """The table from its download, checked against a sample of its pages; from its pages where there is none.

    Pages are kept where they say more than the download, in the footnotes of a withheld year, or something else.
    """
    try:
        if offer.download is None:
            raise VindimaError("the site links to none")
        reply, raw = session.read(offer.download, lambda data: parse.read_download(data, table))
    except VindimaError as reason:
        in_place = f"in place of the download: {reason}"
        log.warning("%s: its pages are read %s", table.slug, in_place)
        return _from_pages(session, draft, table, offer, in_place)
    _check_cells(draft, raw, [reply])
    withheld = _withheld_years(raw, len(table.measures))
    evenly = raw.years[:: -(-len(raw.years) // SAMPLED)]
    sample = {*evenly, raw.years[-1], *withheld} - {offer.newest[1].year}
    pages = [offer.newest, *session.read_all(_page_requests(table, sorted(sample), offer))]
    files = [raw_zone.entry(table.slug, reply, raw.rows, "csv", *raw.remarks, *_beyond_download(raw, offer))]
    notes, disagreements = [], []
    for reply, page in pages:
        differing = checks.disagreements(raw, page, table)
        said = [f"footnotes of {page.year}"] if page.year in withheld else []
        if differing:
            log.warning("%s%s", differing[0], f" (and {len(differing) - 1} more)" if len(differing) > 1 else "")
            said.append(f"cells that differ from the download: {len(differing)}")
        if said:
            files.append(raw_zone.entry(table.slug, reply, page.rows, "pages", *said))
        if page.year in withheld:
            notes += [Note(page.year, text) for text in page.footnotes]
        disagreements += differing
    return Collected(replace(raw, source=offer.download, notes=notes), files, disagreements)


def _from_pages(session: Session, draft: Draft, table: Table, offer: Offer, *notes: str) -> Collected:
    """Every year of the table from its page; cells as shown: rounded, `-` for zero and for nothing."""
    years = range(offer.first_year, offer.last_year + 1)
    replies, pages = zip(*session.read_all(_page_requests(table, years, offer)), strict=True)
    try:
        raw = _join(table, pages)
    except VindimaError as error:
        draft.forget(replies)
        raise VindimaError(f"{error}; did the site change while it was read? collect again") from None
    _check_cells(draft, raw, replies)
    entries = zip(replies, pages, strict=True)
    return Collected(raw, [raw_zone.entry(table.slug, reply, page.rows, "pages", *notes) for reply, page in entries])


def _page_requests(table: Table, years: Iterable[int], offer: Offer) -> Iterable[tuple[str, Callable[[bytes], Page]]]:
    """Address and reader of the page of each of the `years` that the site has a page of."""
    for year in years:
        if offer.first_year <= year <= offer.last_year:
            yield f"index.php?{table.query}&ano={year}", _page_reader(table, year)


def _page_reader(table: Table, year: int | None = None) -> Callable[[bytes], Page]:
    return lambda data: parse.read_page(data, table, year)


def _check_cells(draft: Draft, raw: RawTable, replies: Sequence[Reply]) -> None:
    """Refuse a cell that cannot be read, and let its file be asked for again by the next run."""
    try:
        parse.check_cells(raw)
    except VindimaError:
        draft.forget(replies)
        raise


def _join(table: Table, pages: Sequence[Page]) -> RawTable:
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
    """Years without any figure in which the source withholds: cells are `*`, but for a few `+` and blank ones."""
    withheld = []
    for index, year in enumerate(raw.years):
        cells = {cell.strip() for row in raw.rows for cell in row.cells[index * width : (index + 1) * width]}
        if "*" in cells and cells <= {"*", "+", ""}:
            withheld.append(year)
    return withheld


def _beyond_download(raw: RawTable, offer: Offer) -> list[str]:
    if (raw.years[0], raw.years[-1]) == (offer.first_year, offer.last_year):
        return []
    return [f"the page offers {offer.first_year}-{offer.last_year}, the download has {raw.years[0]}-{raw.years[-1]}"]


def _on_hand(raw_dir: Path) -> dict[str, RawTable]:
    """The tables of the raw zone on hand; without those that are damaged, with a warning."""
    tables = {}
    for slug in TABLES if raw_dir.exists() else ():
        try:
            tables[slug] = raw_zone.read_table(raw_dir, slug)
        except VindimaError as damage:
            log.warning("%s is not compared with the raw zone on hand: %s", slug, damage)
    return tables


def _retrieved_at(raw_dir: Path) -> str:
    """When the raw zone on hand was retrieved; 'unknown' where its manifest is gone or damaged."""
    try:
        return raw_zone.read_manifest(raw_dir)["retrieved_at"]
    except VindimaError:
        return "unknown"


def _losses(table: RawTable, before: RawTable | None) -> list[str]:
    """What the table has less of than the one on hand."""
    if before is None:
        return []
    return [f"{table.slug}: {loss}" for loss in checks.losses(checks.extent(before), checks.extent(table))]


def _check(name: str, value: str, allowed: tuple[str, ...], otherwise: bool = False) -> None:
    if value not in allowed and not otherwise:
        more = " or an address that begins with http" if name == "source" else ""
        raise VindimaError(f"collect.{name}: expected {', '.join(allowed)}{more}, got {value!r}")
