"""Comex Stat's files over HTTP: fetched once, whole or not at all, and summed as they are.

The site of these tests serves files of the real shape; the live one is never asked.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from urllib3 import HTTPResponse
from werkzeug.wrappers import Request, Response

from tests.sites import cut
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.etl import microdata
from vindima.ingestion import comexstat, mirror, session

EXPORTS = (
    '"CO_ANO";"CO_MES";"CO_NCM";"CO_UNID";"CO_PAIS";"SG_UF_NCM";"CO_VIA";"CO_URF";"QT_ESTAT";"KG_LIQUIDO";"VL_FOB"'
)
IMPORTS = f'{EXPORTS};"VL_FRETE";"VL_SEGURO"'
COUNTRIES = (
    '"CO_PAIS";"CO_PAIS_ISON3";"CO_PAIS_ISOA3";"NO_PAIS";"NO_PAIS_ING";"NO_PAIS_ESP"\r\n'
    '"063";"032";"ARG";"Argentina";"Argentina";"Argentina"\r\n'
    '"586";"600";"PRY";"Paraguai";"Paraguay";"Paraguay"\r\n'
    '"990";"898";"ZZZ";"Provisão de Navios e Aeronaves";"Provision of Ships and Aircrafts";"Provisión"\r\n'
)
TODAY = "2024-11-23T10:00:00+00:00"


def exports(year: int, kg: int = 120) -> bytes:
    lines = [
        f'"{year}";"{month:02}";"22042100";"10";"586";"RS";"07";"0717700";{kg};{kg};{2 * kg}'
        for month in range(1, 13)
    ]
    return ("\n".join([EXPORTS, *lines]) + "\n").encode()


def imports(year: int) -> bytes:
    line = f'"{year}";"03";"08062000";"10";"063";"SP";"07";"0817800";400;400;900;5;1'
    return f"{IMPORTS}\n{line}\n".encode()


class Site:
    """A copy of the public files: conditional requests and parts of files as a web server gives them, all counted."""

    def __init__(self) -> None:
        self.files = {f"EXP_{year}.csv": exports(year) for year in (2023, 2024)}
        self.files |= {f"IMP_{year}.csv": imports(year) for year in (2023, 2024)}
        self.files["PAIS.csv"] = COUNTRIES.encode("latin-1")
        self.asked: Counter[str] = Counter()
        self.given: list[tuple[str, int, int]] = []
        self.change = lambda request, answer: None

    def __call__(self, environ, start_response):
        request = Request(environ)
        name = request.path.rpartition("/")[2]
        folder = {"PAIS.csv": "/balanca/bd/tabelas/"}.get(name, "/balanca/bd/comexstat-bd/ncm/")
        if request.path != folder + name or name not in self.files:
            return Response(status=404)(environ, start_response)
        self.asked[name] += 1
        answer = Response(self.files[name], mimetype="text/csv")
        answer.add_etag()
        answer.make_conditional(environ, accept_ranges=True, complete_length=len(self.files[name]))
        answer = self.change(request, answer) or answer
        self.given.append((name, answer.status_code, len(answer.get_data())))
        return answer(environ, start_response)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def base(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(session, "BACKOFF", 0)
    monkeypatch.setattr(comexstat, "REQUESTS_PER_SECOND", None)
    with mirror.running(site) as address:
        yield address


def fetch(base: str, folder: Path, *years: int, today: str = TODAY, **options) -> list[str]:
    return list(comexstat.fetch(years, folder, base=base, now=lambda: today, **options))


def test_files_are_fetched_byte_for_byte_and_summed_as_they_are(site: Site, base: str, tmp_path: Path):
    said = fetch(base, tmp_path, 2023, 2024)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*site.files, "fetched.json"])
    for name, data in site.files.items():
        assert (tmp_path / name).read_bytes() == data
        assert any(line.startswith(name) and f"fetched, {len(data):,} bytes" in line for line in said)
    summed = microdata.monthly_sums(sorted(tmp_path.glob("*.csv")))
    assert summed["quantity_kg"].sum() == 2 * (12 * 120 + 400)
    assert set(summed["country"]) == {"PRY", "ARG"}


def test_what_is_fetched_is_what_micro_data_reads(base: str, tmp_path: Path):
    fetch(base, tmp_path, 2023)
    [shape] = [one for one in microdata.SHAPES if one.countries == "comexstat"]
    assert set(comexstat.TRADE_COLUMNS) == set(shape.columns.values())


def test_year_that_was_over_is_not_asked_for_again_and_the_one_that_runs_is(site: Site, base: str, tmp_path: Path):
    fetch(base, tmp_path, 2023, 2024)
    site.files["EXP_2024.csv"] = exports(2024, kg=130)
    site.asked.clear()
    said = fetch(base, tmp_path, 2023, 2024, today="2024-12-20T10:00:00+00:00")
    assert dict(site.asked) == {"PAIS.csv": 1, "EXP_2024.csv": 1, "IMP_2024.csv": 1}
    words = {line.split()[0]: line for line in said}
    assert words["EXP_2023.csv"].endswith("is there, fetched on 2024-11-23")
    assert words["IMP_2024.csv"].endswith("is still the same")
    assert "fetched, " in words["EXP_2024.csv"]
    assert ("IMP_2024.csv", 304) in [given[:2] for given in site.given]
    assert (tmp_path / "EXP_2024.csv").read_bytes() == exports(2024, kg=130)
    site.asked.clear()
    fetch(base, tmp_path, 2023, 2024, today="2025-01-20T10:00:00+00:00")  # its December may have come since
    assert site.asked["EXP_2024.csv"] == 1
    fetch(base, tmp_path, 2023, 2024, today="2025-02-20T10:00:00+00:00")
    site.asked.clear()
    fetch(base, tmp_path, 2023, 2024, today="2026-06-01T10:00:00+00:00")
    assert not site.asked


def test_all_is_fetched_again_where_that_is_wanted(site: Site, base: str, tmp_path: Path):
    fetch(base, tmp_path, 2023)
    site.given.clear()
    fetch(base, tmp_path, 2023, again=True)
    assert [(name, status) for name, status, _bytes in site.given] == [
        ("PAIS.csv", 200), ("IMP_2023.csv", 200), ("EXP_2023.csv", 200),
    ]  # fmt: skip


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x" * len(exports(2023)))])
def test_file_that_is_gone_or_damaged_is_fetched_again(site: Site, base: str, tmp_path: Path, damage):
    fetch(base, tmp_path, 2023)
    damage(tmp_path / "EXP_2023.csv")
    site.asked.clear()
    fetch(base, tmp_path, 2023)
    assert site.asked["EXP_2023.csv"] == 1
    assert not site.asked["IMP_2023.csv"]
    assert (tmp_path / "EXP_2023.csv").read_bytes() == exports(2023)


def test_record_that_is_damaged_costs_a_fetch_and_nothing_else(site: Site, base: str, tmp_path: Path):
    fetch(base, tmp_path, 2023)
    (tmp_path / "fetched.json").write_text("[{")
    site.asked.clear()
    fetch(base, tmp_path, 2023)
    assert site.asked["EXP_2023.csv"] == 1
    assert len(json.loads((tmp_path / "fetched.json").read_text())) == 3


def test_one_flow_alone_is_fetched(site: Site, base: str, tmp_path: Path):
    fetch(base, tmp_path, 2023, flows=["exports"])
    assert set(site.asked) == {"PAIS.csv", "EXP_2023.csv"}


def test_only_the_rest_of_a_file_that_broke_off_is_asked_for(site: Site, base: str, tmp_path: Path):
    def break_off(request: Request, answer: Response) -> Response | None:
        if request.path.endswith("EXP_2023.csv") and site.asked["EXP_2023.csv"] == 1:
            half = cut(answer)
            half.headers["ETag"] = answer.headers["ETag"]
            return half
        return None

    site.change = break_off
    fetch(base, tmp_path, 2023, flows=["exports"])
    whole = len(site.files["EXP_2023.csv"])
    assert site.given[-2:] == [("EXP_2023.csv", 200, whole // 2), ("EXP_2023.csv", 206, whole - whole // 2)]
    assert (tmp_path / "EXP_2023.csv").read_bytes() == site.files["EXP_2023.csv"]


def test_rest_of_another_file_is_not_taken(site: Site, base: str, tmp_path: Path):
    def change_in_between(request: Request, answer: Response) -> Response | None:
        if request.path.endswith("EXP_2023.csv") and site.asked["EXP_2023.csv"] == 1:
            half = cut(answer)
            half.headers["ETag"] = answer.headers["ETag"]
            site.files["EXP_2023.csv"] = exports(2023, kg=130)
            return half
        return None

    site.change = change_in_between
    fetch(base, tmp_path, 2023, flows=["exports"])
    assert (tmp_path / "EXP_2023.csv").read_bytes() == exports(2023, kg=130)


WRONG = {
    "error page": (b"<html><body>Erro</body></html>\n", r"EXP_2023\.csv: expected the columns CO_ANO, .*<html>"),
    "another year": (exports(2022), r"EXP_2023\.csv: expected lines of 2023, got 2022"),
    "header alone": (EXPORTS.encode() + b"\n", r"EXP_2023\.csv: expected lines of 2023, got none"),
    "cut in a line": (exports(2023)[:-9], r"EXP_2023\.csv: expected 11 columns to the end of the last line"),
    "cut in a number": (exports(2023)[:-1], r"EXP_2023\.csv: expected 11 columns to the end of the last line"),
    "other columns": (exports(2023).replace(b"VL_FOB", b"VALOR"), r"EXP_2023\.csv: .* got no VL_FOB"),
    "nothing": (b"", r"EXP_2023\.csv: expected the columns"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_not_the_file_replaces_nothing(site: Site, base: str, tmp_path: Path, kind: str):
    fetch(base, tmp_path, 2023, flows=["exports"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    site.files["EXP_2023.csv"], said = WRONG[kind]
    site.asked.clear()
    with pytest.raises(VindimaError, match=said + r".* \(asked 6 times\)$"):
        fetch(base, tmp_path, 2023, flows=["exports"], again=True)
    assert site.asked["EXP_2023.csv"] == 6
    before["fetched.json"] = (tmp_path / "fetched.json").read_bytes()  # the table of countries was fetched again
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_table_of_countries_that_is_cut_is_refused(site: Site, base: str, tmp_path: Path):
    site.files["PAIS.csv"] = site.files["PAIS.csv"][:-20]
    with pytest.raises(VindimaError, match=r"PAIS\.csv: expected 6 columns to the end of the last line"):
        fetch(base, tmp_path, 2023)
    assert not list(tmp_path.iterdir())


def test_file_that_is_not_there_is_named_and_those_before_it_stay(site: Site, base: str, tmp_path: Path):
    del site.files["EXP_2024.csv"]
    with pytest.raises(VindimaError, match=r"ncm/EXP_2024\.csv: expected status 200, got 404 NOT FOUND$"):
        fetch(base, tmp_path, 2023, 2024, flows=["exports"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["EXP_2023.csv", "PAIS.csv", "fetched.json"]


@pytest.mark.parametrize("year", [1996, 2025])
def test_year_that_cannot_be_there_is_refused(site: Site, base: str, tmp_path: Path, year: int):
    with pytest.raises(VindimaError, match=f"expected years from 1997 to 2024, got {year}"):
        fetch(base, tmp_path, year)
    assert not site.given


def test_plain_http_is_for_this_machine_alone(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"expected an address that begins with https://, got http://example\.org"):
        fetch("http://example.org", tmp_path, 2023)


def test_redirect_away_from_https_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sent = []

    def answer(self, request: requests.PreparedRequest, **options) -> requests.Response:
        sent.append(request.url)
        given = requests.Response()
        given.status_code, given.url, given.request = 302, request.url, request
        given.headers["Location"] = str(request.url).replace("https", "http")
        given.raw = HTTPResponse(io.BytesIO(), preload_content=False)
        return given

    monkeypatch.setattr(session.HTTPAdapter, "send", answer)
    with pytest.raises(VindimaError, match="expected an answer over https, got a redirect"):
        fetch("https://example.org", tmp_path, 2023)
    assert sent == ["https://example.org/robots.txt"]


def test_command_fetches_and_says_what_comes_next(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VINDIMA_COMEXSTAT", base)
    folder = tmp_path / "files"
    asked = ["comexstat", "2023", "--flow", "exports", "--to", str(folder)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    assert "EXP_2023.csv   fetched, 902 bytes" in result.output
    assert result.output.endswith(f"next: vindima microdata {folder}/*.csv\n")
    again = CliRunner().invoke(main, asked)
    assert "EXP_2023.csv   is there, fetched on" in again.output
    made = ["microdata", *map(str, sorted(folder.glob("*.csv"))), "--to", str(tmp_path / "tables")]
    assert CliRunner().invoke(main, made).exit_code == 0
    alone = CliRunner().invoke(main, ["microdata", str(folder / "PAIS.csv")])
    assert "expected at least one file beside PAIS.csv, got none" in alone.output
