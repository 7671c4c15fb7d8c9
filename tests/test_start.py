"""The reports' start page: every total with the figures of the set, in the reader's language; and Voila before it."""

import html.parser
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.conftest import ROOT
from vindima.labels import number, series_name
from vindima.serving import charts, start, store
from vindima.serving.current import Current

EMPTY = {"meta", "link", "polygon", "polyline", "circle", "rect"}


class Reader(html.parser.HTMLParser):
    """Collects the addresses in a page and the tags that are closed in another order than they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in EMPTY

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(params=["pt", "en"])
def language(request: pytest.FixtureRequest):
    return request.param


@pytest.fixture
def page(served_set: Path, language) -> str:
    answers = Current(served_set).answers
    assert answers
    return start.page(answers, language)


def test_every_total_has_the_figures_of_the_set(served_set: Path, page: str, language):
    served = store.load(served_set)
    totals = served.prices[served.prices["country"].isna()]
    assert re.findall(r'data-series="([^"]+)"', page) == list(totals["series"].unique())
    for series, history in totals.groupby("series"):
        card = page.split(f'data-series="{series}"')[1].split("</section>")[0]
        newest = history.sort_values("year").iloc[-1]
        assert f"<dt>{newest['year']}</dt><dd>{number(newest['price_usd_kg'], 2, language)}</dd>" in card
        assert series_name(series, language) in card
        ahead = served.forecasts[(served.forecasts["series"] == series) & (served.forecasts["horizon"] == 1)].iloc[0]
        assert f'<dd class="ahead">{number(ahead["forecast"], 2, language)}</dd>' in card
        low, high = (number(ahead[side], 2, language) for side in ("q10", "q90"))
        between = {"pt": "a", "en": "to"}[language]
        assert f"<dt>{ahead['year']}: {low}\N{NO-BREAK SPACE}{between}\N{NO-BREAK SPACE}{high}</dt>" in card


def test_page_says_its_language_and_where_the_figures_are_from(served_set: Path, page: str, language):
    assert f'<html lang="{ {"pt": "pt-BR", "en": "en"}[language] }">' in page
    assert charts.source_line(store.load(served_set).provenance, language) in page


def test_page_is_well_formed_and_leads_to_both_reports_and_to_no_other_host(page: str, language):
    reader = Reader()
    reader.feed(page)
    assert (reader.open, reader.wrong) == ([], [])
    reports = [f"voila/render/{path.name}" for path in (ROOT / "notebooks" / "reports").glob("*.ipynb")]
    cards = [f"voila/render/outlook.ipynb#series={series}" for series in re.findall(r'data-series="([^"]+)"', page)]
    here = ["data:,", "#vindima-page", "./", "./", "?lang=pt", "?lang=en"]
    assert sorted(reader.addresses) == sorted([*here, *reports, *reports, *cards])
    assert len(cards) == 1
    assert "//" not in page.replace(' xmlns="http://www.w3.org/2000/svg"', "")


@pytest.fixture(scope="module")
def running(set_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Reports served from the example set: address and process. No kernel waits, an idle one ends after 2 s."""
    here = tmp_path_factory.mktemp("server")
    shutil.copytree(set_made_once, here / "served")
    (here / "voila.json").write_text(
        json.dumps({"MappingKernelManager": {"cull_idle_timeout": 2, "cull_interval": 1}})
    )
    shutil.copytree(ROOT / "notebooks", here / "notebooks")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [sys.executable, "-c", "from vindima.cli import main; main()", "reports"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"VINDIMA_SERVED": str(here / "served"), "VINDIMA_ROOT": str(here)}
    with (here / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=here, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while "Reports: " not in (said := (here / "log").read_text()):
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
            assert f"Reports: http://127.0.0.1:{port}/" in said
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def server(running: tuple[str, int]) -> str:
    return running[0]


@pytest.fixture
def process(running: tuple[str, int]) -> psutil.Process:
    return psutil.Process(running[1])


def test_start_page_is_in_the_language_that_the_browser_asks_for(server: str):
    for asked, given in [("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"), ("en-GB,en;q=0.9,pt;q=0.1", "en"), ("", "pt-BR")]:
        reply = requests.get(server, headers={"Accept-Language": asked}, timeout=30)
        assert reply.status_code == 200
        assert f'<html lang="{given}">' in reply.text
        assert reply.headers["Content-Language"] == given
        assert {"Accept-Language", "Cookie", "Accept-Encoding"} == set(re.split(", *", reply.headers["Vary"]))


@pytest.mark.parametrize("page", ["/", "/voila/render/outlook.ipynb"])
def test_pages_go_compressed_to_whoever_takes_that(server: str, page: str):
    plain = requests.get(server + page, headers={"Accept-Encoding": "identity"}, timeout=60)
    assert "Content-Encoding" not in plain.headers
    with requests.get(server + page, headers={"Accept-Encoding": "gzip"}, timeout=60, stream=True) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert len(reply.raw.read()) < 0.5 * len(plain.content)


def test_language_that_was_chosen_stays(server: str):
    with requests.Session() as visitor:
        visitor.headers["Accept-Language"] = "pt-BR"
        assert '<html lang="en">' in visitor.get(f"{server}/?lang=en", timeout=30).text
        assert '<html lang="en">' in visitor.get(server, timeout=30).text
        assert '<html lang="pt-BR">' in visitor.get(f"{server}/?lang=pt", timeout=30).text
        assert '<html lang="pt-BR">' in visitor.get(f"{server}/?lang=xx", timeout=30).text


def test_list_of_files_leads_to_the_start_page(server: str):
    assert requests.get(f"{server}/voila/tree", timeout=30).url == f"{server}/"


def test_only_the_end_of_a_kernel_goes_without_the_cookie_and_only_from_our_own_pages(server: str):
    nobody = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
    farewell = f"{server}/voila/api/shutdown/{nobody}"
    assert "Kernel does not exist" in requests.post(farewell, headers={"Origin": server}, timeout=30).text
    foreign = requests.post(farewell, headers={"Origin": "http://elsewhere.example"}, timeout=30)
    assert (foreign.status_code, "Kernel" in foreign.text) == (404, False)
    assert requests.delete(f"{server}/api/kernels/{nobody}", timeout=30).status_code == 403


@pytest.mark.services
def test_kernel_of_a_visitor_who_vanished_without_a_word_ends(server: str, process: psutil.Process):
    assert requests.get(f"{server}/voila/render/outlook.ipynb", timeout=60).ok
    assert process.children()
    deadline = time.monotonic() + 30
    while process.children():
        assert time.monotonic() < deadline, "the kernel is still there"
        time.sleep(0.2)


def test_without_a_set_the_reports_are_not_served(tmp_path: Path):
    command = [sys.executable, "-c", "from vindima.cli import main; main()", "reports"]
    environment = os.environ | {"VINDIMA_SERVED": str(tmp_path / "none")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("vindima: there is no set to serve in")
