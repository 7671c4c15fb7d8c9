"""The report in a real browser (Debian's chromium) over a real Voila server, with no other host within reach."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.conftest import ROOT

pytestmark = pytest.mark.services

WAITING = 2
"""Kernels that wait for a visitor (voila.json)."""


@pytest.fixture
def voila(served_set: Path, tmp_path: Path) -> Iterator[str]:
    """Address of Voila serving the reports from the example set."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [sys.executable, "-c", "from vindima.cli import main; main()", "reports"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"VINDIMA_SERVED": str(served_set), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    log = (tmp_path / "voila.log").open("w")
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                requests.get(address, timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "voila.log").read_text()
                assert time.monotonic() < deadline, "Voila did not start within a minute"
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, headless, to which no host but this machine's loopback exists."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian's packages chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=420,1400",
    ):  # fmt: skip
        options.add_argument(argument)
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield window
    window.quit()


def shows(browser: webdriver.Chrome, text: str) -> None:
    WebDriverWait(browser, 120).until(lambda window: text in window.find_element(By.TAG_NAME, "body").text)


def test_outlook_draws_and_answers_in_a_browser_without_internet(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/outlook.ipynb")
    shows(browser, "Em 2023, um quilograma custou US$ 2,50.")
    assert browser.find_element(By.CSS_SELECTOR, ".vindima svg").size["width"] > 300
    assert "Baixar a tabela (CSV)" in browser.page_source
    shows(browser, "De 2014 a 2023, o valor unitário da importação de vinhos de mesa")
    drawings = browser.find_elements(By.CSS_SELECTOR, ".vindima svg")
    assert [drawing.size["width"] > 300 for drawing in drawings] == [True, True]
    Select(browser.find_elements(By.CSS_SELECTOR, ".vindima select")[3]).select_by_visible_text("R$ de 2023")
    shows(browser, "Em 2023, um quilograma custou R$ 15,00; em 1995, R$ 15,00, tudo em reais de 2023.")
    Select(browser.find_elements(By.CSS_SELECTOR, ".vindima select")[3]).select_by_visible_text("US$ correntes")
    shows(browser, "Em 2023, um quilograma custou US$ 2,50.")
    Select(browser.find_elements(By.CSS_SELECTOR, ".vindima select")[0]).select_by_visible_text("Exportação")
    shows(browser, "Sem previsão")
    browser.find_element(By.XPATH, "//button[contains(., 'English')]").click()
    shows(browser, "In 2004 a kilogram cost US$ 2.50.")


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
        WebDriverWait(browser, 120).until(lambda window: window.find_elements(By.CSS_SELECTOR, ".vindima svg"))
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


def test_waiting_kernels_are_replaced_once_another_set_is_there(voila: str, served_set: Path, tmp_path: Path):
    wait_until(lambda: len(kernels()) == WAITING)
    before = kernels()
    shutil.copytree(served_set, tmp_path / "next")
    served_set.rename(tmp_path / "former")
    (tmp_path / "next").rename(served_set)
    wait_until(lambda: len(kernels()) == WAITING and not kernels() & before)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_start_page_fits_and_leads_to_both_reports(voila: str, browser: webdriver.Chrome, width: int, height: int):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(voila)
    browser.find_element(By.LINK_TEXT, "Português").click()
    shows(browser, "Importação")
    browser.find_element(By.LINK_TEXT, "English").click()
    shows(browser, "2024: 1.25 to 3.75")
    page = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert page[0] <= page[1]
    assert browser.get_log("browser") == []
    for heading, text in [("Prices and forecasts", "Em 2023, um"), ("Data quality", "Quanto se pode confiar")]:
        browser.find_element(By.XPATH, f"//main//a[contains(., '{heading}')]").click()
        shows(browser, text)
        browser.get(voila)


def test_report_shows_visitors_no_code(voila: str):
    assert "store.load()" not in requests.get(f"{voila}/voila/render/outlook.ipynb", timeout=60).text


def test_data_quality_draws_and_fits_a_phone_in_a_browser_without_internet(voila: str, browser: webdriver.Chrome):
    browser.get(f"{voila}/voila/render/data-quality.ipynb")
    shows(browser, "Quanto se pode confiar nos dados")
    assert len(browser.find_elements(By.CSS_SELECTOR, ".vindima svg")) == 4
    page = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert page[0] <= page[1]
    browser.find_element(By.XPATH, "//button[contains(., 'English')]").click()
    shows(browser, "How far the data can be trusted")
