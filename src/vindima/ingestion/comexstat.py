"""Comex Stat's files of trade, a line for each code, country, state and customs office, fetched as they are.

Brazil's foreign trade office publishes a file for each year and flow, `EXP_2024.csv` and `IMP_2024.csv`, of up to a
hundred megabytes, and the table of its countries, `PAIS.csv`; `vindima.etl.microdata` reads them. `fetched.json`
beside them tells what was fetched and when, so that what is there and whole is not fetched again.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import date
from functools import partial
from hashlib import file_digest
from pathlib import Path
from urllib.parse import urlsplit

from vindima import files
from vindima.errors import VindimaError
from vindima.ingestion.reply import Stored, WrongReply
from vindima.ingestion.session import LOOPBACK, Session, utc_now
from vindima.series import FLOWS

SITE = "https://balanca.economia.gov.br"
TRADE = "balanca/bd/comexstat-bd/ncm/{name}"
COUNTRIES = "balanca/bd/tabelas/PAIS.csv"
FIRST_YEAR = 1997
"""The first that is published by the codes of the Mercosur, NCM."""
REQUESTS_PER_SECOND: float | None = 1
TRADE_COLUMNS = ("CO_ANO", "CO_MES", "CO_NCM", "CO_PAIS", "KG_LIQUIDO", "VL_FOB")
COUNTRY_COLUMNS = ("CO_PAIS", "CO_PAIS_ISOA3", "NO_PAIS")
"""What is read of them: other columns may come and go."""
FETCHED = "fetched.json"


def fetch(
    years: Iterable[int],
    folder: Path,
    flows: Iterable[str] | None = None,
    base: str = SITE,
    again: bool = False,
    now: Callable[[], str] = utc_now,
) -> Iterator[str]:
    """Fetch the table of countries and the files of these years and flows (both) into `folder`; a line about each.

    A year's file that is whole and was fetched in February of the next year or later stays without a question; any
    other is asked for, and fetched where the site has another. `again` fetches all of them. A file takes the place
    of the one before only when it is whole and what it should be. Raises VindimaError for a year that cannot be
    there, an address that is not https (but on this machine), and where a file cannot be had; those that came
    before it stay.
    """
    today = date.fromisoformat(now()[:10])
    wanted = sorted(set(years))
    for year in wanted:
        if not FIRST_YEAR <= year <= today.year:
            raise VindimaError(f"comexstat: expected years from {FIRST_YEAR} to {today.year}, got {year}")
    address = urlsplit(base)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in LOOPBACK):
        raise VindimaError(f"comexstat: expected an address that begins with https://, got {base}")
    flows = FLOWS if flows is None else tuple(flows)
    checks: dict[str, Callable[[Path], None]] = {COUNTRIES: check_countries}
    over: dict[str, date] = {}
    for year in wanted:
        for flow in flows:
            name = f"{flow[:3].upper()}_{year}.csv"
            checks[TRADE.format(name=name)] = partial(check_trade, name=name, year=year)
            over[TRADE.format(name=name)] = date(year + 1, 2, 1)
    before = _whole(folder)
    settled = {
        where for where, one in before.items()
        if where in over and date.fromisoformat(one.retrieved_at[:10]) >= over[where] and not again
    }  # fmt: skip
    if over.keys() <= settled and COUNTRIES in before:
        settled.add(COUNTRIES)
    for where in checks:
        if where in settled:
            yield f"{_name(where):14} is there, fetched on {before[where].retrieved_at[:10]}"
    missing = [where for where in checks if where not in settled]
    if not missing:
        return
    with Session(base, requests_per_second=REQUESTS_PER_SECOND, now=now) as session:
        session.expect(len(missing))
        for where in missing:
            earlier = None if again else before.get(where)
            stored = session.download(where, folder / _name(where), checks[where], earlier)
            _remember(folder, stored)
            same = earlier and earlier.sha256 == stored.sha256
            yield f"{_name(where):14} {'is still the same' if same else f'fetched, {stored.bytes:,} bytes'}"


def check_trade(path: Path, name: str, year: int) -> None:
    """Raise WrongReply unless the file at `path`, called `name`, has trade of that year to its last line."""
    header, first, last, whole = _ends(path)
    _check_columns(name, header, TRADE_COLUMNS)
    if not first:
        raise WrongReply(f"{name}: expected lines of {year}, got none")
    told = dict(zip(header, first, strict=False)).get("CO_ANO")
    if told != str(year):
        raise WrongReply(f"{name}: expected lines of {year}, got {told}")
    if not whole or len(last) != len(header):
        raise WrongReply(f"{name}: expected {len(header)} columns to the end of the last line, got a part of it")


def check_countries(path: Path) -> None:
    """Raise WrongReply unless the file at `path` is Comex Stat's table of countries to its last line."""
    header, first, last, whole = _ends(path)
    _check_columns("PAIS.csv", header, COUNTRY_COLUMNS)
    if not first or not whole or len(last) != len(header):
        raise WrongReply(f"PAIS.csv: expected {len(header)} columns to the end of the last line, got a part of it")


def _check_columns(name: str, header: list[str], columns: tuple[str, ...]) -> None:
    if missing := [column for column in columns if column not in header]:
        begins = ";".join(header)[:60]
        raise WrongReply(f"{name}: expected the columns {', '.join(columns)}, got no {missing[0]}: {begins!r}")


def _ends(path: Path) -> tuple[list[str], list[str], list[str], bool]:
    """The fields of the header, of the first line and of the last one, and whether that is ended."""
    with path.open("rb") as file:
        header, first = file.readline(1 << 16), file.readline(1 << 16)
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        end = file.read()
    last = end.rstrip(b"\r\n").rpartition(b"\n")[2]
    return _fields(header), _fields(first), _fields(last), end.endswith(b"\n")


def _fields(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8-sig", "replace").strip()], delimiter=";"), [])


def _name(where: str) -> str:
    return where.rpartition("/")[2]


def _read_fetched(folder: Path) -> dict[str, Stored]:
    """What `fetched.json` tells; nothing where there is none, or it is damaged: then all is fetched."""
    try:
        told = json.loads((folder / FETCHED).read_text(encoding="utf-8"))
        return {one["address"]: Stored(**one) for one in told}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _whole(folder: Path) -> dict[str, Stored]:
    """Address → what was fetched from there, of the files that are as they came."""
    found = {}
    for where, one in _read_fetched(folder).items():
        path = folder / _name(where)
        if path.is_file() and path.stat().st_size == one.bytes:
            with path.open("rb") as file:
                if file_digest(file, "sha256").hexdigest() == one.sha256:
                    found[where] = one
    return found


def _remember(folder: Path, stored: Stored) -> None:
    every = _read_fetched(folder) | {stored.address: stored}
    files.write(folder / FETCHED, json.dumps([asdict(one) for one in every.values()], indent=1) + "\n")
