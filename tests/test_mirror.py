import re
import socket
from pathlib import Path

import pytest
import requests
from bs4 import BeautifulSoup
from werkzeug.test import Client

from tests.sites import FIGURES, LAST_YEAR, of_downloads
from vindima.errors import VindimaError
from vindima.ingestion import mirror, parse
from vindima.ingestion.catalogue import TABLES, Table
from vindima.ingestion.parse import Page


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(mirror.create_mirror(FIGURES))


@pytest.fixture(scope="module")
def of_2025(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The mirror of the downloads that were retrieved with the saved pages."""
    downloads = shared_data / "vitibrasil" / "2025-01_to2023"
    return Client(mirror.create_mirror(of_downloads(downloads, tmp_path_factory.mktemp("figures"))))


def saved_pages(folder: Path) -> list[tuple[Path, Table, int]]:
    """The saved pages with the table and the year that their names tell; `default` is the first sub-option."""
    found = []
    for path in sorted(folder.glob("*.html")):
        option, suboption, year = re.findall(r"(opt_\d+)_(default|subopt_\d+)_ano(\d{4})", path.stem)[0]
        offered = [table for table in TABLES.values() if table.option == option]
        table = next((table for table in offered if table.suboption == suboption), offered[0])
        found.append((path, table, int(year)))
    return found


def mirrored(client: Client, table: Table, year: int) -> Page:
    return parse.read_page(client.get(f"/index.php?{table.query}&ano={year}").data, table, year)


def css_names(html: bytes) -> set[tuple[str, str]]:
    """Tags with each of their classes, of what a reader of the site relies on."""
    soup = BeautifulSoup(html, "lxml")
    inside = soup.select("button.btn_opt, button.btn_sopt, input[name=ano], label, p[class], div[class]")
    inside += soup.select("table.tb_dados, table.tb_dados *, a.footer_content[href^=download]")
    return {(tag.name, str(name)) for tag in inside for name in tag.get("class") or [""]}


def test_pages_equal_the_saved_ones_of_the_same_vintage_cell_by_cell(of_2025, shared_data):
    pages = saved_pages(shared_data / "html" / "2025-01")
    assert len(pages) == 24
    for path, table, year in pages:
        real = parse.read_page(path.read_bytes(), table, year)
        copy = mirrored(of_2025, table, year)
        assert copy.rows == real.rows, path.name
        assert copy.totals == real.totals, path.name
        assert (copy.title, copy.year, copy.headings) == (real.title, real.year, real.headings), path.name
        assert (copy.first_year, copy.last_year) == (real.first_year, real.last_year), path.name
        assert copy.suboptions == real.suboptions, path.name
        assert copy.download == real.download, path.name
        assert [parse.aggregates(note) for note in copy.footnotes if note.startswith("*")] == [
            parse.aggregates(note) for note in real.footnotes if note.startswith("*")
        ], path.name


def test_pages_of_a_later_vintage_share_structure_and_the_rows_that_both_have(of_2025, shared_data):
    pages = saved_pages(shared_data / "html" / "2025-05")
    assert len(pages) == 18
    shared = 0
    for path, table, year in pages:
        real = parse.read_page(path.read_bytes(), table, year)
        copy = mirrored(of_2025, table, year)
        assert (copy.title, copy.headings, copy.suboptions) == (real.title, real.headings, real.suboptions)
        assert copy.download == real.download
        assert (copy.first_year, copy.last_year) == (1970, 2023)
        if not table.is_trade:
            assert (copy.rows, copy.totals) == (real.rows, real.totals), path.name
        by_label = {row.label: row for row in real.rows}
        for row in copy.rows if table.is_trade else []:
            if row.label in by_label:
                assert row == by_label[row.label], path.name
                shared += 1
        assert table.slug != "exports_table_wine" or len(real.rows) > len(copy.rows)
    assert shared > 700


def test_pages_carry_the_classes_that_a_reader_of_the_site_relies_on(client, shared_data):
    for path, table, year in saved_pages(shared_data / "html" / "2025-01"):
        copy = css_names(client.get(f"/index.php?{table.query}&ano={year}").data)
        real = css_names(path.read_bytes())
        assert real - copy <= {("p", "subtitle_1"), ("div", "div_content")}, path.name


def test_pages_repeat_nothing_of_the_sites_prose_or_scripts(client):
    html = client.get("/index.php?opcao=opt_03&ano=2022").text
    assert "<script" not in html
    assert "Maria" not in html
    assert "SISDEVIN" not in html


def test_options_of_the_menu_and_the_year_limits_stand_on_every_page(client):
    html = client.get("/index.php?opcao=opt_06&subopcao=subopt_04").data
    assert [value for value, _ in parse.read_menu(html)] == [f"opt_0{number}" for number in range(1, 8)]
    (year,) = BeautifulSoup(html, "lxml").select("input[name=ano]")
    assert (year["min"], year["max"]) == ("1970", str(LAST_YEAR))


@pytest.mark.parametrize("query", ["", "?opcao=opt_01", "?opcao=opt_07", "?opcao=opt_99"])
def test_an_option_without_a_table_shows_the_menu_alone(client, query):
    html = client.get(f"/index.php{query}").data
    assert len(parse.read_menu(html)) == 7
    with pytest.raises(VindimaError, match="data table"):
        parse.read_page(html, TABLES["production"])


@pytest.mark.parametrize(
    ("query", "slug", "year"),
    [
        ("opcao=opt_05", "imports_table_wine", LAST_YEAR),
        ("opcao=opt_05&subopcao=subopt_99", "imports_table_wine", LAST_YEAR),
        ("opcao=opt_06&subopcao=subopt_03", "exports_fresh_grapes", LAST_YEAR),
        ("opcao=opt_04&ano=1969", "sales", 1970),
        ("opcao=opt_04&ano=2030", "sales", LAST_YEAR),
        ("opcao=opt_04&ano=ontem", "sales", LAST_YEAR),
        ("opcao=opt_04&ano=", "sales", LAST_YEAR),
    ],
)
def test_defaults_are_the_first_suboption_and_the_nearest_year(client, query, slug, year):
    assert parse.read_page(client.get(f"/index.php?{query}").data, TABLES[slug]).year == year


def test_special_values_show_as_the_site_shows_them(client):
    first = {
        (slug, year): mirrored(client, TABLES[slug], year).rows[0].cells[0]
        for slug in ("processing_viniferas", "processing_american_hybrid", "processing_unclassified")
        for year in (2019, 2022)
    }
    assert {cell for (_, year), cell in first.items() if year == 2019} == {"nd"}
    assert first["processing_viniferas", 2022] == "-"
    assert first["processing_american_hybrid", 2022] == first["processing_unclassified", 2022] == "*"
    assert mirrored(client, TABLES["processing_viniferas"], 2019).totals == ["0"]


def test_a_total_counts_groups_once(client):
    page = mirrored(client, TABLES["production"], 1970)
    groups = [row.cells[0] for row in page.rows if row.level == "item"]
    assert page.totals == ["256.370.050"]
    assert sum(int(cell.replace(".", "")) for cell in groups if cell != "-") == 256370050


def test_downloads_robots_and_what_is_not_there(client):
    assert client.get("/download/ImpVinhos.csv").data.startswith("Id;País;1970;1970;".encode())
    assert client.get("/robots.txt").text == "User-agent: *\nAllow: /\n"
    assert client.get("/download/Nada.csv").status_code == 404
    assert client.get("/outra.php").status_code == 404
    assert client.post("/index.php").status_code == 405


def test_a_running_mirror_answers_over_http_and_ends():
    with mirror.running(FIGURES) as base:
        assert requests.get(f"{base}/robots.txt", timeout=5).ok
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{base}/robots.txt", timeout=5)


def test_a_port_in_use_is_one_clear_sentence():
    with socket.create_server((mirror.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(VindimaError, match=f"cannot listen on 127.0.0.1:{port}"), mirror.running(FIGURES, port):
            pass


def test_figures_that_are_not_there_are_one_clear_sentence(tmp_path):
    with pytest.raises(VindimaError, match=r"there is no .*tables\.csv"):
        mirror.create_mirror(tmp_path)
