import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner
from werkzeug.wrappers import Request, Response

from tests.sites import (
    BUNDLED,
    DAY,
    FIGURES,
    LAST_YEAR,
    Copy,
    OneInFive,
    cut,
    of_downloads,
    replace,
    replacing,
    without_downloads,
)  # fmt: skip
from tests.zones import snapshot
from vindima import paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.ingestion import figures, mirror, raw_zone, session, site
from vindima.ingestion.catalogue import TABLES


def collect_from(copy: Copy, raw_dir: Path, **options) -> dict:
    with mirror.running(copy) as base:
        return site.collect(base, raw_dir=raw_dir, requests_per_second=None, **options)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A raw zone collected from the mirror; copied before it is changed."""
    folder = tmp_path_factory.mktemp("good") / "raw"
    site.collect("mirror", raw_dir=folder, figures_dir=FIGURES)
    return folder


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(session, "BACKOFF", 0)


def test_every_real_download_is_collected_byte_for_byte(tmp_path, shared_data):
    downloads = shared_data / "vitibrasil" / "2025-01_to2023"
    site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=of_downloads(downloads, tmp_path / "figures"))
    for table in TABLES.values():
        name = f"{table.download}.csv"
        assert (tmp_path / "raw" / "files" / name).read_bytes() == (downloads / name).read_bytes()


def test_each_file_of_the_mirror_is_as_old_as_its_table(tmp_path):
    bundled = figures.read(BUNDLED)
    manifest = site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=BUNDLED)
    assert {file["slug"]: file["retrieved_at"] for file in manifest["files"]} == {
        slug: table.retrieved_on for slug, table in bundled.tables.items()
    }
    assert manifest["retrieved_at"] == bundled.retrieved_on


def test_the_mirrors_collection_has_no_clock_and_no_port_in_it(good, tmp_path):
    site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES)
    assert snapshot(tmp_path / "raw") == snapshot(good)
    manifest, _ = raw_zone.read(good)
    assert manifest["source"] == "mirror"
    assert {file["retrieved_at"] for file in manifest["files"]} | {manifest["retrieved_at"]} == {DAY}
    assert "127.0.0.1" not in (good / "manifest.json").read_text(encoding="utf-8")


def test_the_mirror_is_reached_whatever_proxy_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES)["source"] == "mirror"


def test_the_totals_of_a_withheld_year_come_from_its_pages(good):
    manifest, tables = raw_zone.read(good)
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
    assert copy.asked["download/ImpVinhos.csv"] == 1
    assert all(not file["address"].startswith("http") for file in manifest["files"])


FEW = {
    slug: TABLES[slug]
    for slug in ("production", "processing_table_grapes", "processing_unclassified", "imports_raisins")
}
"""Tables whose pages of every year are collected; the pages of all are read in test_tidy."""


@pytest.fixture(scope="module")
def from_pages(tmp_path_factory) -> Path:
    """A raw zone collected from the mirror's pages of a few tables."""
    folder = tmp_path_factory.mktemp("pages") / "raw"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "TABLES", FEW)
        site.collect("mirror", "pages", raw_dir=folder, figures_dir=FIGURES)
    return folder


def test_pages_give_the_tables_as_the_site_shows_them(from_pages):
    manifest = raw_zone.read_manifest(from_pages)
    tables = {slug: raw_zone.read_table(from_pages, slug) for slug in FEW}
    assert len(manifest["files"]) == len(FEW) * 54 == len(list((from_pages / "files").iterdir()))
    assert {file["method"] for file in manifest["files"]} == {"pages"}
    assert {file["status"] for file in manifest["files"]} == {200}
    production = tables["production"]
    assert (production.years[0], production.years[-1], len(production.rows)) == (1970, 2023, 51)
    assert (production.rows[0].cells[0], production.rows[0].level) == ("217.208.604", "item")
    tinto = production.rows[1]
    assert (tinto.label, tinto.level, tinto.control) == ("Tinto", "subitem", None)
    unclassified = tables["processing_unclassified"]
    assert unclassified.rows[0].cells[-5:] == ["nd", "166.947", "-", "*", "-"]
    assert [note.year for note in unclassified.notes] == [2022]


def test_pages_alone_give_the_same_tables_when_the_downloads_are_gone(tmp_path, from_pages, caplog, monkeypatch):
    monkeypatch.setattr(site, "TABLES", FEW)
    manifest = collect_from(without_downloads(), tmp_path / "raw")
    assert snapshot(tmp_path / "raw" / "tables") == snapshot(from_pages / "tables")
    assert manifest["vintage"] == raw_zone.read_manifest(from_pages)["vintage"]
    notes = {file["slug"]: file["notes"] for file in manifest["files"]}
    assert set(notes) == set(FEW)
    assert re.fullmatch(
        r"in place of the download: http://.*/download/ImpPassas.csv: expected status 200, got 404 NOT FOUND",
        *notes["imports_raisins"],
    )
    assert "imports_raisins: its pages are read in place of the download" in caplog.text


def test_a_page_whose_rows_differ_from_its_other_years_stops_the_run_and_is_asked_again(tmp_path, monkeypatch):
    few = {"processing_table_grapes": TABLES["processing_table_grapes"]}
    monkeypatch.setattr(site, "TABLES", few)
    copy = replacing("/index.php", "Perlona", "Perlita", "subopcao=subopt_03&ano=1999")
    with mirror.running(copy) as base:
        for _ in range(2):
            with pytest.raises(
                VindimaError,
                match=r"processing_table_grapes 1999, row 8: expected 'Perlona' as in 1970.*collect again",
            ):
                site.collect(base, "pages", requests_per_second=None, raw_dir=tmp_path / "raw")
    assert copy.asked["index.php?opcao=opt_03&subopcao=subopt_03&ano=1999"] == 2
    assert not (tmp_path / "raw").exists()


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


RAISINS = "/download/ImpPassas.csv"
ROWS = len(figures.read(FIGURES).tables["imports_raisins"].table.rows)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda request, answer: Response(status=404), "expected status 200, got 404"),
        (lambda request, answer: Response(status=500), "got 500 INTERNAL SERVER ERROR .asked 6 times"),
        (lambda request, answer: Response("<html>Erro</html>"), "HTML page.*asked 6 times"),
        (lambda request, answer: Response(""), "empty.*asked 6 times"),
        (lambda request, answer: cut(answer), r"cannot be reached \(download/ImpPassas.csv\).*asked 6 times"),
        (lambda request, answer: replace(answer, "\n12;", "\n12;x;"), "row 12 .*: expected 110 columns, got 111"),
        (lambda request, answer: replace(answer, ";País;", ";Nome;"), "header"),
    ],
    ids=["missing", "failing", "error page", "empty", "cut", "a row too wide", "another header"],
)
def test_a_download_that_cannot_be_had_is_replaced_by_its_pages_and_the_manifest_says_so(
    tmp_path, from_pages, change, expected
):
    copy = Copy(lambda request, answer: change(request, answer) if request.path == RAISINS else None)
    manifest = collect_from(copy, tmp_path / "raw")
    files = [file for file in manifest["files"] if file["slug"] == "imports_raisins"]
    assert len(files) == 54
    assert {file["method"] for file in files} == {"pages"}
    for file in files:
        assert re.search(f"^in place of the download: .*{expected}", *file["notes"])
    assert raw_zone.read_table(tmp_path / "raw", "imports_raisins") == raw_zone.read_table(
        from_pages, "imports_raisins"
    )
    assert {file["slug"] for file in manifest["files"] if file["method"] == "csv"} == set(TABLES) - {
        "imports_raisins"
    }


def test_a_page_without_a_download_link_is_read_in_its_place(tmp_path):
    manifest = collect_from(replacing("/index.php", RAISINS[1:], "#"), tmp_path / "raw")
    notes = {note for file in manifest["files"] if file["slug"] == "imports_raisins" for note in file["notes"]}
    assert notes == {"in place of the download: the site links to none"}


def test_a_cell_that_cannot_be_read_stops_the_run_with_its_place_and_is_asked_for_again(tmp_path, good):
    raw = shutil.copytree(good, tmp_path / "raw")
    copy = replacing(RAISINS, "\n12;", "\n12;")

    def spoil(request: Request, answer: Response) -> None:
        if request.path == RAISINS and copy.asked[RAISINS[1:]] == 1:
            line = answer.get_data(as_text=True).split("\n")[12]
            replace(answer, line, line.rsplit(";", 1)[0] + ";1x4")

    copy.change = spoil
    with mirror.running(copy) as base:
        with pytest.raises(VindimaError, match=r"imports_raisins 2023, row 12 \(.*\).*'1x4'"):
            site.collect(base, requests_per_second=None, raw_dir=raw)
        assert snapshot(raw) == snapshot(good)
        site.collect(base, requests_per_second=None, raw_dir=raw)
    assert copy.asked[RAISINS[1:]] == 2
    assert copy.asked["download/Producao.csv"] == 1


def test_a_sample_of_pages_is_read_beside_the_downloads(tmp_path):
    copy = Copy()
    collect_from(copy, tmp_path / "raw")
    pages = {address for address in copy.asked if "ano=" in address}
    for table in TABLES.values():
        years = {int(page[-4:]) for page in pages if page.startswith(f"index.php?{table.query}&")}
        assert years - {2022} == {1970, 1997}
        assert copy.asked[f"index.php?{table.query}"] >= 1  # the newest


def test_a_page_that_contradicts_the_download_is_reported_and_kept_and_stops_nothing(tmp_path, good, caplog):
    copy = replacing("/index.php", "1.530.058", "1.530.059", "subopcao=subopt_04&ano=1970")
    manifest = collect_from(copy, tmp_path / "raw")
    place = {"table": "imports_raisins", "year": 1970, "row": 5, "label": "Argentina", "measure": "quantity_kg"}
    assert manifest["disagreements"] == [{**place, "download": "1530058", "page": "1.530.059"}]
    assert raw_zone.read(tmp_path / "raw")[1] == raw_zone.read(good)[1]
    (page,) = (file for file in manifest["files"] if file["slug"] == "imports_raisins" and file["method"] == "pages")
    assert page["notes"] == ["cells that differ from the download: 1"]
    assert (tmp_path / "raw" / "files" / raw_zone.file_name(page["address"])).is_file()
    assert (
        "imports_raisins 1970, row 5 (Argentina), quantity_kg: the download has '1530058', the page '1.530.059'"
        in caplog.text
    )


@pytest.mark.parametrize("method", ["csv", "pages"])
def test_a_site_that_fails_one_request_in_five_gives_the_same_bytes(tmp_path, monkeypatch, good, from_pages, method):
    monkeypatch.setattr(session, "TIMEOUTS", (5, 0.5))
    few = TABLES if method == "csv" else {slug: FEW[slug] for slug in ("processing_unclassified", "imports_raisins")}
    monkeypatch.setattr(site, "TABLES", few)
    failing = OneInFive(slow=1)
    manifest = collect_from(failing, tmp_path / "raw", method=method)
    assert set(failing.faults) == set(failing.FAULTS)
    assert failing.faults.total() == pytest.approx(failing.asked.total() / 5, rel=0.2)
    expected = good if method == "csv" else from_pages
    assert manifest["disagreements"] == []
    for slug, table in few.items():
        name = f"tables/{slug}.json"
        assert (tmp_path / "raw" / name).read_bytes() == (expected / name).read_bytes()
        for file in manifest["files"]:
            if file["slug"] == table.slug:
                name = f"files/{raw_zone.file_name(file['address'])}"
                assert (tmp_path / "raw" / name).read_bytes() == (expected / name).read_bytes()
    assert len(manifest["files"]) == (19 if method == "csv" else len(few) * 54)


COLLECT = """
import sys
from pathlib import Path
from vindima.ingestion import site
from vindima.ingestion.catalogue import TABLES
site.TABLES = {slug: TABLES[slug] for slug in sys.argv[4:]}
site.collect(sys.argv[1], sys.argv[2], requests_per_second=None, raw_dir=Path(sys.argv[3]))
"""


@pytest.mark.parametrize("method", ["csv", "pages"])
def test_a_run_killed_in_the_middle_is_gone_on_with_and_gives_the_same_bytes(
    tmp_path, monkeypatch, good, from_pages, method
):
    few = TABLES if method == "csv" else FEW
    monkeypatch.setattr(site, "TABLES", few)
    raw = shutil.copytree(good, tmp_path / "raw")
    stop_after = {"csv": 40, "pages": 100}[method]
    hold = threading.Event()

    def stall(request: Request, answer: Response) -> None:
        if copy.asked.total() > stop_after and not hold.is_set():
            reached.set()
            hold.wait(30)

    copy = Copy(stall)
    reached = threading.Event()
    with mirror.running(copy) as base:
        command = [sys.executable, "-c", COLLECT, base, method, str(raw), *few]
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        assert reached.wait(60)
        run.send_signal(signal.SIGKILL)
        run.wait()
        hold.set()
        assert snapshot(raw) == snapshot(good)
        assert (tmp_path / ".raw-draft").is_dir()
        before = copy.asked.copy()
        site.collect(base, method, requests_per_second=None, raw_dir=raw)
    again = [address for address in before if copy.asked[address] > before[address]]
    assert len(again) <= 1 + 2 * session.CONNECTIONS  # robots.txt and what was under way
    expected = good if method == "csv" else from_pages
    for part in ("files", "tables"):
        assert snapshot(raw / part) == snapshot(expected / part)
    assert not (tmp_path / ".raw-draft").exists()


def test_what_did_not_change_is_not_sent_again(tmp_path):
    sent: list[str] = []

    def validate(request: Request, answer: Response) -> None:
        if request.path != "/robots.txt":
            answer.add_etag()
            answer.make_conditional(request.environ)
            if answer.status_code == 200:
                sent.append(request.full_path)

    with mirror.running(Copy(validate)) as base:
        first = site.collect(base, requests_per_second=None, raw_dir=tmp_path / "raw")
        sent.clear()
        second = site.collect(base, requests_per_second=None, raw_dir=tmp_path / "raw")
    assert not [address for address in sent if address.startswith("/download/")]
    assert {file["status"] for file in second["files"]} == {304}
    assert {file["etag"] for file in second["files"]} == {file["etag"] for file in first["files"]}
    assert second["vintage"] == first["vintage"]


def test_each_collection_is_written_to_the_lake_as_a_dated_snapshot(tmp_path):
    manifest = site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES, lake=str(tmp_path / "lake"))
    (written,) = (tmp_path / "lake").iterdir()
    assert written.name == f"{DAY}-{manifest['vintage']}"
    assert snapshot(written) == snapshot(tmp_path / "raw")


def test_a_lake_that_cannot_be_written_leaves_the_raw_zone_and_what_was_received(tmp_path, good):
    raw = shutil.copytree(good, tmp_path / "raw")
    (tmp_path / "file").write_text("")
    copy = Copy()
    with mirror.running(copy) as base:
        with pytest.raises(VindimaError, match="lake"):
            site.collect(base, requests_per_second=None, raw_dir=raw, lake=str(tmp_path / "file" / "lake"))
        assert snapshot(raw) == snapshot(good)
        site.collect(base, requests_per_second=None, raw_dir=raw, lake=str(tmp_path / "lake"))
    assert copy.asked["download/ImpPassas.csv"] == 1


def test_progress_says_what_is_fetched(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES)
    shown = capsys.readouterr().err
    assert "request/s" in shown
    assert "download/" in shown or "index.php?" in shown


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_a_source_that_cannot_be_reached_is_one_sentence_and_exit_1(tmp_path, monkeypatch, good, address):
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")
    shutil.copytree(good, tmp_path / "raw")
    before = snapshot(tmp_path)
    answer = CliRunner().invoke(main, ["collect", "--source", address])
    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"vindima: {address} cannot be reached (robots.txt): ")
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
        (shorter, f"the last year falls from {LAST_YEAR} to {LAST_YEAR - 1}"),
        (fewer_rows, f"the number of rows falls from {ROWS} to {ROWS - 1}"),
        (fewer_figures, "the number of cells above zero falls from"),
    ],
)
def test_less_than_is_on_hand_is_refused_and_kept_aside_unless_any_is_accepted(tmp_path, good, change, expected):
    def less(request: Request, answer: Response) -> None:
        if request.path == "/download/ImpPassas.csv":
            answer.set_data("".join(f"{line}\n" for line in change(answer.get_data(as_text=True).splitlines())))

    raw = shutil.copytree(good, tmp_path / "raw")
    with pytest.raises(VindimaError, match=f"imports_raisins: {expected}.*kept aside in .*raw-refused"):
        collect_from(Copy(less), raw)
    assert snapshot(raw) == snapshot(good)
    refused = raw_zone.read_manifest(tmp_path / "raw-refused")
    accepted = collect_from(Copy(less), raw, accept="any")
    assert (
        accepted["vintage"]
        == refused["vintage"]
        == raw_zone.read(raw)[0]["vintage"]
        != raw_zone.read(good)[0]["vintage"]
    )


def test_cells_that_pages_cannot_show_are_no_loss(tmp_path, good, monkeypatch):
    monkeypatch.setattr(site, "TABLES", {"sales": TABLES["sales"]})
    raw = shutil.copytree(good, tmp_path / "raw")
    collect_from(without_downloads(), raw)
    assert raw_zone.read_table(raw, "sales").rows[0].level == "item"


def test_more_than_is_on_hand_is_taken(tmp_path, good):
    raw = shutil.copytree(good, tmp_path / "raw")
    copy = replacing("/download/ImpPassas.csv", "\n35;", "\n35;Nenhures" + 108 * ";0" + "\n36;")
    collect_from(copy, raw)
    assert len(raw_zone.read(raw)[1]["imports_raisins"].rows) == ROWS + 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"source": "ftp://x"}, "collect.source: expected mirror, live or an address"),
        ({"method": "xls"}, "collect.method: expected csv, pages, got 'xls'"),
        ({"accept": "older"}, "collect.accept: expected newer, any, got 'older'"),
        ({"source": "http://127.0.0.1:9", "requests_per_second": 0}, "requests_per_second: expected more than 0"),
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
        assert path.read_bytes() == (BUNDLED / path.name).read_bytes()


def test_a_damaged_zone_on_hand_is_replaced_with_a_warning(tmp_path, good, caplog):
    raw_dir = tmp_path / "raw"
    shutil.copytree(good, raw_dir)
    (raw_dir / "tables" / "sales.json").write_text("{")
    site.collect("mirror", raw_dir=raw_dir, figures_dir=FIGURES)
    assert "not compared" in caplog.text
    assert snapshot(raw_dir) == snapshot(good)


def test_a_snapshot_in_a_lake_is_frozen_by_its_address(tmp_path):
    lake_address = f"memory://{tmp_path.name}"
    site.collect("mirror", raw_dir=tmp_path / "raw", figures_dir=FIGURES, lake=lake_address)
    options = ["freeze", "--raw", lake_address, "--figures", str(tmp_path / "figures")]
    answer = CliRunner().invoke(main, options, catch_exceptions=False)
    vintage = raw_zone.read_manifest(tmp_path / "raw")["vintage"]
    assert answer.output.startswith(f"figures of {lake_address}/{DAY}-{vintage} in ")
    for path in (tmp_path / "figures").iterdir():
        assert path.read_bytes() == (FIGURES / path.name).read_bytes()
    fsspec.filesystem("memory").store.clear()
