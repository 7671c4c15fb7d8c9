"""The report in a real browser (Debian's chromium) over a real Voila server, with no other host within reach."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.conftest import ROOT

pytestmark = pytest.mark.services


@pytest.fixture
def voila(served_set: Path, tmp_path: Path) -> Iterator[str]:
    """Address of Voila serving the reports from the example set."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [sys.executable, "-m", "voila", "notebooks/reports", "--no-browser", f"--port={port}"]
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
