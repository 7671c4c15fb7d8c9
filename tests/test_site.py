import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.wrappers import Request, Response

from vindima import paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.ingestion import figures, lake, mirror, site
from vindima.ingestion.catalogue import TABLES

FIGURES = Path(__file__).parent.parent / "data" / "figures"
MIRROR = mirror.create_mirror(FIGURES)


class Copy:
    """The mirror, with some answers changed and all requests counted."""

    def __init__(self, change: Callable[[Request, Response], Response | None] = lambda request, answer: None):
        self.change = change
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()

    def __call__(self, environ, start_response) -> Iterable[bytes]:
        request = Request(environ)
        self.asked[request.path.lstrip("/")] += 1
        self.agents.add(request.headers["User-Agent"])
        answer = Response.from_app(MIRROR, environ, buffered=True)
        return (self.change(request, answer) or answer)(environ, start_response)


def replace(answer: Response, old: str, new: str) -> None:
    """Let `answer` read `new` for `old`."""
    answer.set_data(answer.get_data(as_text=True).replace(old, new))


def replacing(path: str, old: str, new: str, query: str = "") -> Copy:
    """A copy of the site in which the answers under `path` (and `query`) read `new` for `old`."""

    def change(request: Request, answer: Response) -> None:
        if request.path == path and query in request.query_string.decode():
            replace(answer, old, new)

    return Copy(change)


def collect_from(copy: Copy, raw_dir: Path, **options) -> dict:
    with mirror.running(copy) as base:
        return site.collect(base, raw_dir=raw_dir, requests_per_second=1000, **options)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A raw zone collected from the mirror; copied before it is changed."""
    folder = tmp_path_factory.mktemp("good") / "raw"
    site.collect("mirror", raw_dir=folder, figures_dir=FIGURES)
    return folder


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(site, "BACKOFF", 0)


def test_every_real_download_is_collected_byte_for_byte(good, shared_data):
    for table in TABLES.values():
        real = (shared_data / "vitibrasil" / "2025-01_to2023" / f"{table.download}.csv").read_bytes()
        assert (good / "files" / f"{table.download}.csv").read_bytes() == real


def test_the_mirrors_collection_has_no_clock_and_no_port_in_it(good, tmp_path):
    site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES)
    assert snapshot(tmp_path / "raw") == snapshot(good)
    manifest, _ = lake.read(good)
    assert manifest["source"] == "mirror"
    assert {file["retrieved_at"] for file in manifest["files"]} | {manifest["retrieved_at"]} == {"2025-01-19"}
    assert "127.0.0.1" not in (good / "manifest.json").read_text(encoding="utf-8")


def test_the_mirror_is_reached_whatever_proxy_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES)["source"] == "mirror"


def test_the_totals_of_a_withheld_year_come_from_its_pages(good):
    manifest, tables = lake.read(good)
    assert [(note.year, "565.243.922" in note.text) for note in tables["processing_viniferas"].notes] == [
        (2022, True)
    ]
    pages = [file for file in manifest["files"] if file["method"] == "pages"]
    assert {file["slug"] for file in pages} == {slug for slug in TABLES if slug.startswith("processing")}
    assert (good / "files" / "opt_03_subopt_01_2022.html").is_file()


def test_another_address_is_collected_with_its_own_clock(tmp_path):
    copy = Copy()
    manifest = collect_from(copy, tmp_path / "raw")
    assert manifest["source"].startswith("http://127.0.0.1:")
    assert manifest["retrieved_at"] > "2026"
    assert copy.agents == {site.USER_AGENT}
    assert copy.asked["download/ImpVinhos.csv"] == 1
    assert all(not file["address"].startswith("http") for file in manifest["files"])


def test_pages_give_the_same_tables_as_the_site_shows_them(tmp_path, monkeypatch):
    few = {slug: TABLES[slug] for slug in ("processing_table_grapes", "processing_unclassified", "production")}
    monkeypatch.setattr(site, "TABLES", few)
    monkeypatch.setattr(lake, "TABLES", few)
    manifest = site.collect("mirror", "pages", raw_dir=tmp_path / "raw", figures_dir=FIGURES)
    _, tables = lake.read(tmp_path / "raw")
    assert len(manifest["files"]) == 3 * 54
    assert {file["method"] for file in manifest["files"]} == {"pages"}
    production = tables["production"]
    assert (production.years[0], production.years[-1], len(production.rows)) == (1970, 2023, 51)
    assert (production.rows[0].cells[0], production.rows[0].level) == ("217.208.604", "item")
    assert (production.rows[1].label, production.rows[1].level, production.rows[1].control) == (
        "Tinto",
        "subitem",
        None,
    )
    unclassified = tables["processing_unclassified"]
    assert unclassified.rows[0].cells[-5:] == ["nd", "166.947", "-", "*", "-"]
    assert [note.year for note in unclassified.notes] == [2022]


def test_a_page_whose_rows_differ_from_its_other_years_stops_the_run(tmp_path, monkeypatch):
    few = {"processing_table_grapes": TABLES["processing_table_grapes"]}
    monkeypatch.setattr(site, "TABLES", few)
    copy = replacing("/index.php", "Perlona", "Perlita", "subopcao=subopt_03&ano=1999")
    with pytest.raises(VindimaError, match="processing_table_grapes 1999, row 8: expected 'Perlona' as in 1970"):
        collect_from(copy, tmp_path / "raw", method="pages")


def test_a_table_that_the_site_no_longer_offers_stops_the_run(tmp_path):
    copy = replacing("/index.php", 'value="subopt_05"', 'value="subopt_06"')
    with pytest.raises(VindimaError, match="does not offer imports_grape_juice any more"):
        collect_from(copy, tmp_path / "raw")


def test_a_table_unknown_to_the_catalogue_is_reported_and_left(tmp_path, caplog):
    button = '<button class="btn_sopt" type="submit" name="subopcao" value="subopt_04">Suco de uva</button>'
    more = button + '<button class="btn_sopt" name="subopcao" value="subopt_05">Geleia</button>'
    collect_from(replacing("/index.php", button, more, "opcao=opt_06"), tmp_path / "raw")
    assert "the site offers 'Geleia' (opt_06, subopt_05), which the catalogue does not know" in caplog.text


def test_a_site_without_its_menu_is_one_clear_sentence(tmp_path):
    def closed(request: Request, answer: Response) -> Response:
        return Response("<p>Em manutenção</p>", mimetype="text/html")

    with pytest.raises(VindimaError, match="option buttons, got '<p>Em manutenção</p>'"):
        collect_from(Copy(closed), tmp_path / "raw")


def test_a_download_that_moved_is_followed(tmp_path):
    def moved(request: Request, answer: Response) -> Response | None:
        if request.path == "/download/Novo.csv":
            return Response(figures.download(figures.read(FIGURES).tables["imports_raisins"]))
        replace(answer, "download/ImpPassas.csv", "download/Novo.csv")
        return None

    manifest = collect_from(Copy(moved), tmp_path / "raw")
    addresses = [file["address"] for file in manifest["files"] if file["slug"] == "imports_raisins"]
    assert addresses == ["download/Novo.csv"]
    assert (tmp_path / "raw" / "files" / "Novo.csv").is_file()


def test_a_year_limit_that_the_download_does_not_reach_is_noted(tmp_path):
    copy = replacing("/index.php", "[1970-2023]", "[1970-2024]", "opcao=opt_04")
    manifest = collect_from(copy, tmp_path / "raw")
    noted = {file["slug"]: file["notes"] for file in manifest["files"] if file["notes"] and file["method"] == "csv"}
    assert noted == {"sales": ["the page offers 1970-2024, the download has 1970-2023"]}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("\n12;", "\n12;x;", "imports_raisins, row 12 .*: expected 110 columns, got 111"),
        ("Id;", "<html>", "imports_raisins .*HTML page"),
    ],
)
def test_a_damaged_download_stops_the_run_and_leaves_the_last_good_zone(tmp_path, good, old, new, expected):
    shutil.copytree(good, tmp_path / "raw")
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError, match=expected):
        collect_from(replacing("/download/ImpPassas.csv", old, new), tmp_path / "raw")
    assert snapshot(tmp_path) == before


def test_an_answer_that_ends_too_early_stops_the_run(tmp_path):
    def cut(request: Request, answer: Response) -> None:
        if request.path == "/download/ImpPassas.csv":
            length = answer.headers["Content-Length"]
            answer.set_data(answer.get_data()[:5000])
            answer.headers["Content-Length"] = length

    with pytest.raises(VindimaError, match=r"download/ImpPassas\.csv"):
        collect_from(Copy(cut), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_busy_site_is_asked_again(tmp_path):
    def busy_twice(request: Request, answer: Response) -> Response | None:
        if copy.asked["download/ImpPassas.csv"] in (1, 2) and request.path == "/download/ImpPassas.csv":
            return Response("busy", status=(429, 503)[copy.asked["download/ImpPassas.csv"] - 1])
        return None

    copy = Copy(busy_twice)
    collect_from(copy, tmp_path / "raw")
    assert copy.asked["download/ImpPassas.csv"] == 3


def test_a_retry_waits_as_long_as_the_site_asks():
    copy = Copy(lambda request, answer: Response(status=429, headers={"Retry-After": "1"}) if first() else None)

    def first() -> bool:
        return copy.asked.total() == 1

    with mirror.running(copy) as base, site.Site(base) as session:
        started = time.monotonic()
        session.get("robots.txt")
        assert time.monotonic() - started >= 1


@pytest.mark.parametrize(("status", "times"), [(404, 1), (500, 1 + site.RETRIES)])
def test_a_lasting_failure_names_address_and_status(status, times):
    copy = Copy(lambda request, answer: Response(status=status))
    with (
        mirror.running(copy) as base,
        site.Site(base) as session,
        pytest.raises(VindimaError, match=rf"/download/ImpSuco\.csv: expected status 200, got {status}"),
    ):
        session.get("download/ImpSuco.csv")
    assert copy.asked.total() == times


def test_a_refused_connection_is_not_tried_again(monkeypatch):
    monkeypatch.setattr(site, "BACKOFF", 10)
    started = time.monotonic()
    with site.Site("http://127.0.0.1:9") as session, pytest.raises(VindimaError, match="Connection refused"):
        session.get("index.php")
    assert time.monotonic() - started < 10


def test_no_more_requests_are_made_in_a_second_than_allowed():
    with mirror.running(Copy()) as base, site.Site(base, requests_per_second=20) as session:
        started = time.monotonic()
        for _ in range(5):
            session.get("robots.txt")
        assert time.monotonic() - started >= 4 / 20


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_a_source_that_cannot_be_reached_is_one_sentence_and_exit_1(tmp_path, monkeypatch, good, address):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    shutil.copytree(good, tmp_path / "raw")
    before = snapshot(tmp_path)
    answer = CliRunner().invoke(main, ["collect", "--source", address])
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"vindima: {address} cannot be reached (index.php): ")
    assert len(answer.stderr.splitlines()) == 1
    assert snapshot(tmp_path) == before


def shorter(lines: list[str]) -> list[str]:
    return [line.rsplit(";", 2)[0] for line in lines]


def fewer_rows(lines: list[str]) -> list[str]:
    return lines[:-1]


def fewer_figures(lines: list[str]) -> list[str]:
    return [lines[0], *(line.rsplit(";", 1)[0] + ";0" for line in lines[1:])]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (shorter, "the last year falls from 2023 to 2022"),
        (fewer_rows, "the number of rows falls from 35 to 34"),
        (fewer_figures, "the number of cells above zero falls from"),
    ],
)
def test_less_than_is_on_hand_is_refused_unless_any_is_accepted(tmp_path, good, change, expected):
    def less(request: Request, answer: Response) -> None:
        if request.path == "/download/ImpPassas.csv":
            answer.set_data("".join(f"{line}\n" for line in change(answer.get_data(as_text=True).splitlines())))

    raw = shutil.copytree(good, tmp_path / "raw")
    before = snapshot(tmp_path)
    with pytest.raises(VindimaError, match=f"imports_raisins: {expected}"):
        collect_from(Copy(less), raw)
    assert snapshot(tmp_path) == before
    accepted = collect_from(Copy(less), raw, accept="any")
    assert accepted["vintage"] == lake.read(raw)[0]["vintage"] != lake.read(good)[0]["vintage"]


def test_more_than_is_on_hand_is_taken(tmp_path, good):
    raw = shutil.copytree(good, tmp_path / "raw")
    copy = replacing("/download/ImpPassas.csv", "\n35;", "\n35;Nenhures" + 108 * ";0" + "\n36;")
    collect_from(copy, raw)
    assert len(lake.read(raw)[1]["imports_raisins"].rows) == 36


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"source": "ftp://x"}, "collect.source: expected mirror, live or an address"),
        ({"method": "xls"}, "collect.method: expected csv, pages, got 'xls'"),
        ({"accept": "older"}, "collect.accept: expected newer, any, got 'older'"),
        ({"source": "http://127.0.0.1:9", "requests_per_second": 0}, "requests_per_second: expected more than 0"),
        ({"lake": "s3://bucket"}, "not available yet"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_asked(tmp_path, options, expected):
    with pytest.raises(VindimaError, match=expected):
        site.collect(raw_dir=tmp_path / "raw", figures_dir=FIGURES, **options)
    assert not (tmp_path / "raw").exists()


def test_the_commands_collect_and_freeze_make_the_bundled_figures_again(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    answer = CliRunner().invoke(main, ["collect"], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    answer = CliRunner().invoke(main, ["freeze", "--figures", str(tmp_path / "figures")], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    for path in (tmp_path / "figures").iterdir():
        assert path.read_bytes() == (FIGURES / path.name).read_bytes()


def test_a_damaged_zone_on_hand_is_replaced_with_a_warning(tmp_path, good, caplog):
    raw_dir = tmp_path / "raw"
    shutil.copytree(good, raw_dir)
    (raw_dir / "tables" / "sales.json").write_text("{")
    site.collect("mirror", raw_dir=raw_dir, figures_dir=FIGURES)
    assert "not compared" in caplog.text
    assert snapshot(raw_dir) == snapshot(good)
