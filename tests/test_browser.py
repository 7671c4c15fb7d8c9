"""The reports in a real browser (Debian's chromium) over a real Voila server, with no other host within reach."""

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import requests
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from benchmarks import screenshots
from benchmarks.browser import REPORTS as COMMAND
from benchmarks.browser import chromium, installed
from benchmarks.browser import voila as running
from tests.conftest import ROOT
from vindima.serving.current import Current

pytestmark = pytest.mark.services

WAITING = 3
"""Kernels that wait for a visitor: one for each report (voila.json)."""
REPORTS = ("outlook", "accuracy", "data-quality")
SIZES = [(390, 844), (768, 1024), (1440, 900)]
AXE = Path(__file__).parent / "browser"
"""The folder of the npm package that checks a page for accessibility."""


@pytest.fixture
def voila(served_set: Path, tmp_path: Path) -> Iterator[str]:
    """Address of Voila serving the reports from the example set."""
    environment = os.environ | {
        "VINDIMA_SERVED": str(served_set), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "VINDIMA_ROOT": str(ROOT)
    }  # fmt: skip
    (tmp_path / "server").mkdir()
    with running([*COMMAND, "--host", "127.0.0.1"], environment, tmp_path / "server") as (address, _):
        yield address


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """The folder that the browser downloads to."""
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, to which no other host exists."""
    if not installed():
        pytest.skip("chromium and chromedriver are not installed (Debian's packages chromium, chromium-driver)")
    with chromium(tmp_path) as window:
        yield window


def wide(browser: webdriver.Chrome, width: int, height: int = 900) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def shows(browser: webdriver.Chrome, text: str) -> None:
    """Wait until the page says `text`; a hard space is a space."""
    said = "return document.body.innerText.replaceAll('\\u00a0', ' ')"
    WebDriverWait(browser, 60, 0.05).until(lambda window: text in window.execute_script(said), text)


def connected(browser: webdriver.Chrome) -> None:
    """Wait until the kernel answers choices."""
    WebDriverWait(browser, 60, 0.05).until(lambda window: window.find_elements(By.CSS_SELECTOR, "[data-connected]"))


def choose(browser: webdriver.Chrome, name: str, text: str) -> None:
    Select(browser.find_element(By.CSS_SELECTOR, f"#choices [name={name}]")).select_by_visible_text(text)


def console(browser: webdriver.Chrome) -> list[str]:
    """What the console said that is not a warning of Voila's own script."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def hosts(browser: webdriver.Chrome) -> set[str]:
    """Hosts that the page asked for anything."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {re.sub(r"^\w+://([^/:]*).*", r"\1", url) for url in asked if url.startswith(("http", "ws"))}


def drawn(browser: webdriver.Chrome) -> int:
    """How many charts are to be seen."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.vindima .chart svg')]"
        ".filter((one) => one.getClientRects().length).length"
    )


# ---- choices


def test_outlook_answers_clicks_and_typing_without_internet(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    shows(browser, "O vinho de mesa importado deve custar US$ 2,50 por quilo em 2024, quase o mesmo que em 2023")
    assert browser.execute_script("return document.documentElement.lang") == "pt-BR"
    connected(browser)
    choose(browser, "country", "Chile")
    shows(browser, "Chile: o vinho de mesa importado deve custar US$ 2,50 por quilo")
    choose(browser, "money", "R$ de 2023")
    shows(browser, "Chile: o vinho de mesa importado deve custar R$ 12,50 por quilo")
    browser.find_element(By.CSS_SELECTOR, "#choices [value=bottle]").click()
    shows(browser, "deve custar R$ 9,28 por garrafa em 2024")
    choose(browser, "horizon", "2026")
    shows(browser, "deve custar R$ 9,28 por garrafa em 2026")
    choose(browser, "flow", "Exportação")
    shows(browser, "Países Baixos: a uva fresca exportada custou R$ 15,00 por quilo em 2004")
    shows(browser, "Sem previsão")
    browser.find_element(By.LINK_TEXT, "English").click()
    shows(browser, "Netherlands: exported fresh grapes cost R$ 15.00 a kilogram in 2004")
    assert browser.execute_script("return document.documentElement.lang") == "en"
    browser.get(f"{voila}/voila/render/accuracy.ipynb")
    shows(browser, "Hits and misses")
    assert console(browser) == []
    assert hosts(browser) == {"127.0.0.1"}


def test_pictures_of_the_readmes_show_the_page_of_the_set(served_set: Path, tmp_path: Path):
    if not installed():
        pytest.skip("chromium and chromedriver are not installed (Debian's packages chromium, chromium-driver)")
    answers = Current(served_set).answers
    assert answers
    contents = set()
    for path in screenshots.take(served_set, tmp_path / "pictures"):
        with Image.open(path) as picture:
            assert str(picture.width) in path.name
            assert picture.info["vintage"] == answers.provenance["vintage"]
            contents.add(picture.tobytes())
    assert len(contents) == 4


def test_language_is_kept_and_can_be_changed_back(voila: str, browser: webdriver.Chrome):
    for link, said in (("English", "likely to cost"), ("Português", "deve custar"), ("English", "likely to cost")):
        browser.get(f"{voila}/voila/render/outlook.ipynb")
        connected(browser)
        browser.find_element(By.LINK_TEXT, link).click()
        shows(browser, said)
        browser.refresh()
        shows(browser, said)


def test_slider_moves_the_forecast_and_keeps_the_hand(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    connected(browser)
    slider = browser.find_element(By.NAME, "exchange_rate")
    slider.send_keys(Keys.ARROW_RIGHT * 50)
    shows(browser, "Neste cenário, o quilo passaria de US$ 2,50 para US$ 2,44 (−2,4%)")  # 1.1 ** -0.25
    assert browser.execute_script("return document.activeElement.name") == "exchange_rate"
    assert slider.get_attribute("value") == "5.5"
    slider.send_keys(Keys.ARROW_RIGHT)
    shows(browser, "5,51")
    browser.find_element(By.XPATH, "//button[contains(., 'Voltar ao ponto de partida')]").click()
    shows(browser, "E se o dólar, a safra ou o comércio mudarem?")
    assert browser.find_element(By.NAME, "exchange_rate").get_attribute("value") == "5"


def test_address_reopens_the_same_view(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    connected(browser)
    choose(browser, "money", "R$ correntes")
    shows(browser, "deve custar R$ 13,75 por quilo")
    added = Select(browser.find_element(By.CSS_SELECTOR, "#compare select[name=compare]"))
    added.select_by_visible_text("Importação de vinhos de mesa · Chile")
    shows(browser, "Importação de vinhos de mesa · Chile ×")
    address = browser.current_url
    heading = browser.find_element(By.TAG_NAME, "h1").text
    browser.get("about:blank")
    browser.get(address)
    shows(browser, "Importação de vinhos de mesa · Chile ×")
    assert browser.find_element(By.TAG_NAME, "h1").text == heading
    browser.find_element(By.XPATH, "//button[starts-with(., 'Importação de vinhos de mesa · Chile')]").click()
    WebDriverWait(browser, 30).until(lambda window: "compare=" not in window.current_url)


def test_unknown_series_in_the_address_offers_those_most_like_it(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb#series=imports.table_wine.CHI")
    shows(browser, "Não há uma série imports.table_wine.CHI.")
    browser.find_element(By.LINK_TEXT, "Importação de vinhos de mesa · Chile").click()
    shows(browser, "Chile: o vinho de mesa importado deve custar")


def test_downloads_hold_what_is_on_screen(voila: str, browser: webdriver.Chrome, downloads: Path, served_set: Path):
    browser.get(f"{voila}/voila/render/outlook.ipynb#series=imports.table_wine.CHL")
    shows(browser, "Chile: o vinho de mesa importado deve custar")
    for button in ("Dados (CSV)", "Gráfico (SVG)", "Gráfico (PNG)"):
        browser.find_element(By.XPATH, f"//*[self::a or self::button][.='{button}']").click()
    names = [f"imports.table_wine.CHL.{end}" for end in ("csv", "svg", "png")]
    WebDriverWait(browser, 30).until(lambda _: sorted(path.name for path in downloads.iterdir()) == sorted(names))
    prices = pd.read_parquet(served_set / "data/prices/prices.parquet")
    stored = prices[prices["series"] == "imports.table_wine.CHL"].set_index("year")["price_usd_kg"]
    rows = list(csv.DictReader((downloads / names[0]).read_text().splitlines()))
    assert {int(row["year"]): float(row["price"]) for row in rows if row["price"]} == stored.to_dict()
    assert (downloads / names[1]).read_text().startswith("<svg")
    data = (downloads / names[2]).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20]) == 2 * (944 + 40)


# ---- reading a chart


def test_chart_is_read_with_pointer_finger_and_keys(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    shows(browser, "O vinho de mesa importado")
    chart = browser.find_element(By.CSS_SELECTOR, "#price [role=slider]")

    def tip() -> str:
        found = browser.find_elements(By.CSS_SELECTOR, ".tip")
        return found[0].text.replace("\N{NO-BREAK SPACE}", " ") if found else ""

    webdriver.ActionChains(browser).move_to_element_with_offset(chart, 0, 0).perform()
    assert re.match(r"20\d\d\nUS\$ 2,50", tip())
    webdriver.ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert tip() == ""
    chart.send_keys(Keys.END)
    assert tip() == "2026, previsão\nUS$ 2,50\n80 em 100: 0,62 a 5,75\n95 em 100: 0,50 a 6,00"
    assert chart.get_attribute("aria-valuetext") == tip().replace("\n", ", ").replace("US$ ", "US$\N{NO-BREAK SPACE}")
    chart.send_keys(Keys.HOME)
    assert tip().startswith("2000\n")
    chart.send_keys(Keys.ARROW_RIGHT)
    assert tip().startswith("2001\n")
    chart.send_keys(Keys.ESCAPE)
    assert tip() == ""
    box = browser.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.x, b.y, b.width, b.height]", chart
    )
    finger = [{"x": box[0] + box[2] / 2, "y": box[1] + box[3] / 2}]
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": finger})
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert tip().startswith("20")


# ---- hand and eye


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, from which axe-core comes")
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=AXE, check=True)
    return (AXE / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def open_report(browser: webdriver.Chrome, voila: str, report: str, language: str) -> None:
    browser.get(voila)
    browser.find_element(By.LINK_TEXT, {"pt": "Português", "en": "English"}[language]).click()
    if report != "start":
        browser.get(f"{voila}/voila/render/{report}.ipynb")
    shows(browser, {"pt": "Fonte: Embrapa", "en": "Source: Embrapa"}[language])


@pytest.mark.parametrize("report", ["start", *REPORTS])
def test_pages_hold_at_every_width_and_pass_axe(voila: str, browser: webdriver.Chrome, axe: str, report: str):
    for language in ("pt", "en"):
        open_report(browser, voila, report, language)
        browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        for width, height in SIZES:
            wide(browser, width, height)
            time.sleep(0.2)
            page = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert page[0] <= page[1], (report, language, width)
            assert small_text(browser) == [], (report, language, width)
            assert len(said := browser.find_element(By.TAG_NAME, "main").text) > 500, said
        browser.execute_script(axe)
        found: dict[str, Any] = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
        wrong = [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]]
        assert wrong == [], (report, language)
    assert console(browser) == []
    assert hosts(browser) == {"127.0.0.1"}


def small_text(browser: webdriver.Chrome) -> list[str]:
    """Words that are shown with less than 12 pixels, in the page and in its drawings."""
    return browser.execute_script(
        """
        const found = [];
        for (const one of document.querySelectorAll('.vindima *')) {
          const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
          if (!own || !one.getClientRects().length || one.closest('style, script, template, .spoken')) continue;
          const svg = one.closest('svg');
          const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
          const size = parseFloat(getComputedStyle(one).fontSize) * scale;
          if (size < 11.9) found.push(`${size.toFixed(1)} ${one.textContent.slice(0, 40)}`);
        }
        return found;
        """
    )


@pytest.mark.parametrize(("report", "charts"), [("outlook", 5), ("accuracy", 1), ("data-quality", 5)])
def test_every_report_draws_each_of_its_charts_once(voila: str, browser: webdriver.Chrome, report: str, charts: int):
    for width, height in SIZES:
        wide(browser, width, height)
        browser.get(f"{voila}/voila/render/{report}.ipynb")
        shows(browser, "Fonte: Embrapa")
        assert drawn(browser) >= charts
        held = len(browser.find_elements(By.CSS_SELECTOR, ".vindima .chart"))
        assert drawn(browser) <= held


def test_choices_are_one_line_on_a_phone(voila: str, browser: webdriver.Chrome):
    wide(browser, 390, 844)
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    shows(browser, "Importação de vinhos de mesa · todos os países · US$ FOB por quilo, correntes")
    connected(browser)
    assert not browser.find_element(By.NAME, "country").is_displayed()
    browser.find_element(By.XPATH, "//button[.='Mudar']").click()
    choose(browser, "country", "Chile")
    shows(browser, "Importação de vinhos de mesa · Chile · US$")
    assert browser.find_element(By.NAME, "country").is_displayed()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_start_page_leads_to_reports_and_series(voila: str, browser: webdriver.Chrome, width: int, height: int):
    wide(browser, width, height)
    browser.get(voila)
    shows(browser, "Vinho, suco e uva do Brasil")
    browser.find_element(By.LINK_TEXT, "English").click()
    shows(browser, "2024: 1.25 to 3.75")
    for heading, text in [
        ("Prices and forecasts", "Imported table wine is likely"),
        ("Data quality", "Totals that do"),
    ]:
        browser.find_element(By.XPATH, f"//main//a[contains(., '{heading}')]").click()
        shows(browser, text)
        browser.find_element(By.LINK_TEXT, "Vindima").click()
        shows(browser, "Brazil's wine, juice and grapes")
    browser.find_element(By.LINK_TEXT, "Table wine").click()
    shows(browser, "Imported table wine is likely to cost US$ 2.50")


def test_visitor_sees_no_code_and_no_traceback(voila: str, served_set: Path):
    page = requests.get(f"{voila}/voila/render/outlook.ipynb", timeout=60).text
    assert "widget.Report" not in page
    assert "<h1>" in page


# ---- kernels


def kernels() -> set[int]:
    """The kernels that run under this test, as numbers of processes."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "ipykernel" in " ".join(process.cmdline()):
                found.add(process.pid)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"{len(kernels())} kernels run"
        time.sleep(0.2)


def test_visitor_who_leaves_takes_the_kernel_along(voila: str, browser: webdriver.Chrome):
    for report, leave in [("outlook", "navigate"), ("data-quality", "close"), ("outlook", "close")]:
        browser.get(f"{voila}/voila/render/{report}.ipynb")
        connected(browser)
        assert kernels()
        visited = browser.current_window_handle
        browser.switch_to.new_window("tab")
        elsewhere = browser.current_window_handle
        browser.switch_to.window(visited)
        if leave == "navigate":
            browser.get("about:blank")
        browser.execute_cdp_cmd("Page.close", {})  # as a person does; WebDriver's own close asks the page nothing
        browser.switch_to.window(elsewhere)
    wait_until(lambda: len(kernels()) == WAITING)


def test_twenty_visits_leave_no_kernel(voila: str, browser: webdriver.Chrome):
    for visit in range(20):
        browser.get(f"{voila}/voila/render/{REPORTS[visit % 3]}.ipynb")
        shows(browser, "Fonte: Embrapa")
    browser.get("about:blank")
    wait_until(lambda: len(kernels()) == WAITING)


def test_page_that_comes_back_answers_again(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    connected(browser)
    browser.get(voila)
    browser.back()
    shows(browser, "O vinho de mesa importado")
    connected(browser)
    choose(browser, "country", "Chile")
    shows(browser, "Chile: o vinho de mesa importado deve custar")


def test_waiting_kernels_are_replaced_once_another_set_is_there(voila: str, served_set: Path, tmp_path: Path):
    wait_until(lambda: len(kernels()) == WAITING)
    before = kernels()
    shutil.copytree(served_set, tmp_path / "next")
    served_set.rename(tmp_path / "former")
    (tmp_path / "next").rename(served_set)
    wait_until(lambda: len(kernels()) == WAITING and not kernels() & before)


def test_ten_visitors_at_once_all_get_their_chart(voila: str):
    pages: list[str] = []
    address = f"{voila}/voila/render/outlook.ipynb"
    visitors = [
        threading.Thread(target=lambda: pages.append(requests.get(address, timeout=60).text)) for _ in range(10)
    ]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(pages) == 10
    assert all("<h1>O vinho de mesa importado" in page and 'role="slider"' in page for page in pages)
