"""How fast the reports open and answer, and what a visitor costs, beside a Voila page with one matplotlib figure.

Both are served by Voila with kernels that wait, in this one run, and visited in turns by the same browser; the
reports are of the set that `make` left. The bars: the first chart within 2.5 times the time of the bare page's, a
change of series within 0.5 s at the 95th percentile, at most 1.3 times the memory of the bare page's kernel, and
a chart for each of ten visitors who come at once.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
import requests
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.browser import REPORTS, chromium, installed, voila

VISITS = 15
CHANGES = 60
AT_ONCE = 10
BARE = """
%matplotlib inline
import matplotlib.pyplot as plt
plt.plot([1, 2, 3]);
"""
SEEN = {
    "bare": "return [...document.querySelectorAll('img')].some((one) => one.getClientRects().length && "
    "one.naturalWidth)",
    "report": "return [...document.querySelectorAll('.chart svg')].some((one) => one.getClientRects().length)",
}
"""What is asked of a page to know that its chart is visible."""
CHANGE = """
const [country, done] = arguments, heading = document.querySelector('h1'), began = performance.now();
const select = document.querySelector('#choices [name=country]');
const drawn = () => requestAnimationFrame(() => done(performance.now() - began));
new MutationObserver((_, watch) => { watch.disconnect(); drawn(); })
  .observe(heading, {characterData: true, childList: true, subtree: true});
select.value = country;
select.dispatchEvent(new Event('change', {bubbles: true}));
"""


def rows() -> list[dict]:
    """A row for each measure: ours, the bare page's and their ratio, with its bar."""
    if not installed():
        return [{"what": "the reports: chromium and chromium-driver are not installed"}]
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / name for name in ("bare", "report", "browser")}
        for folder in folders.values():
            folder.mkdir()
        _write_bare(folders["bare"])
        waiting = ["--no-browser", "--preheat_kernel=True", "--pool_size=1", "--Voila.ip=127.0.0.1"]
        bare = [sys.executable, "-m", "voila", str(folders["bare"]), *waiting]
        here = os.environ | {"VINDIMA_ROOT": str(Path.cwd())}
        with (
            voila(bare, os.environ, folders["bare"]) as (bare_at, bare_process),
            voila([*REPORTS, "--host", "127.0.0.1"], here, folders["report"]) as (report_at, report_process),
            chromium(folders["browser"]) as browser,
        ):
            pages = {
                "bare": f"{bare_at}/voila/render/bare.ipynb",
                "report": f"{report_at}/voila/render/outlook.ipynb",
            }
            processes = {"bare": bare_process.pid, "report": report_process.pid}
            found = [_first_chart(browser, pages), _memory(browser, pages, processes)]
            found.append(_changes(browser, pages["report"]))
            return [*found, _at_once(pages["report"])]


def _write_bare(folder: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BARE)])
    notebook["metadata"]["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "bare.ipynb")


def _visit(browser: webdriver.Chrome, page: str, kind: str) -> float:
    """Seconds until the chart of the page is visible, once a kernel has had time to get ready for it."""
    browser.get("about:blank")
    time.sleep(6)
    began = time.perf_counter()
    browser.execute_script("location.href = arguments[0]", page)
    WebDriverWait(browser, 60, 0.01).until(lambda window: window.execute_script(SEEN[kind]))
    return time.perf_counter() - began


def _first_chart(browser: webdriver.Chrome, pages: dict[str, str]) -> dict:
    times = {kind: [_visit(browser, page, kind) for _ in range(VISITS)] for kind, page in pages.items()}
    ours, bare = (statistics.median(times[kind]) for kind in ("report", "bare"))
    return _row("first chart visible, s (median)", ours, bare, "2.5 times")


def _memory(browser: webdriver.Chrome, pages: dict[str, str], processes: dict[str, int]) -> dict:
    """Of the largest kernel of each server while a visitor looks at its page."""
    used = {}
    for kind, page in pages.items():
        _visit(browser, page, kind)
        time.sleep(3)
        kernels = psutil.Process(processes[kind]).children(recursive=True)
        used[kind] = max(kernel.memory_info().rss for kernel in kernels) / 1e6
    return _row("memory of a visitor's kernel, MB", used["report"], used["bare"], "1.3 times")


def _changes(browser: webdriver.Chrome, page: str) -> dict:
    _visit(browser, page, "report")
    WebDriverWait(browser, 60, 0.05).until(
        lambda window: window.execute_script("return !!document.querySelector('[data-connected]')")
    )
    countries = browser.execute_script(
        "return [...document.querySelectorAll('#choices [name=country] option')].map((one) => one.value)"
    )
    wanted = [countries[1 + place % (len(countries) - 1)] for place in range(CHANGES)]
    browser.set_script_timeout(20)
    took = sorted(browser.execute_async_script(CHANGE, country) / 1000 for country in wanted)
    row = _row("change of series, s (95th percentile)", took[int(0.95 * len(took))], None, "0.5 s")
    return row | {"note": f"median {statistics.median(took):.3f} s over {CHANGES} changes"}


def _at_once(page: str) -> dict:
    times: list[float] = []
    began = time.perf_counter()

    def visit() -> None:
        if 'role="slider"' in requests.get(page, timeout=120).text:
            times.append(time.perf_counter() - began)

    visitors = [threading.Thread(target=visit) for _ in range(AT_ONCE)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    row = _row(
        f"{AT_ONCE} visitors at once: the last chart, s", max(times, default=float("nan")), None, "all of them"
    )
    return row | {
        "note": f"{len(times)} of {AT_ONCE} have their chart, the first after {min(times, default=0):.2f} s"
    }


def _row(what: str, ours: float, bare: float | None, bar: str) -> dict:
    return {
        "what": what,
        "ours": f"{ours:.3g}",
        "bare page": "" if bare is None else f"{bare:.3g}",
        "ratio": "" if bare is None else f"{ours / bare:.2f}",
        "bar": bar,
        "note": "",
    }
