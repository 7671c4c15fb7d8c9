"""The READMEs' pictures of the outlook: what a visitor sees in both languages, wide and on a phone.

They are taken in Debian's chromium over Voila and the set that `make` left, whose vintage is written into each
picture, and they go to `reports/screenshots`.
"""

import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.browser import REPORTS, chromium, installed, voila
from vindima import files, paths
from vindima.serving.current import Current

FOLDER = paths.REPORTS / "screenshots"
SIZES = ((1440, 970), (390, 970))
LANGUAGES = {"": ("en", "English"), ".pt-BR": ("pt-BR", "Português")}
"""What the name of a picture ends with → the page's language, and the words of the link to it."""


def take(served: Path, folder: Path) -> list[Path]:
    """The four pictures of the set in `served`, now in `folder`; SystemExit with a sentence where that cannot be."""
    if not installed():
        sys.exit("screenshots: expected chromium and chromedriver (Debian's packages chromium, chromium-driver)")
    if not (answers := Current(served).answers):
        sys.exit("screenshots: there is no set to show: `make` makes one")
    about = PngInfo()
    about.add_text("vintage", answers.provenance["vintage"])
    made: dict[Path, bytes] = {}
    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary)
        environment = os.environ | {
            "JUPYTER_RUNTIME_DIR": str(there / "runtime"), "VINDIMA_ROOT": str(paths.ROOT),
            "VINDIMA_SERVED": str(served),
        }  # fmt: skip
        command = [*REPORTS, "--host", "127.0.0.1"]
        with voila(command, environment, there) as (address, _), chromium(there, "--hide-scrollbars") as browser:
            for ending, (language, link) in LANGUAGES.items():
                for width, height in SIZES:
                    picture = taken(browser, f"{address}/voila/render/outlook.ipynb", language, link, width, height)
                    content = io.BytesIO()
                    picture.save(content, "PNG", optimize=True, pnginfo=about)
                    made[folder / f"outlook-{width}{ending}.png"] = content.getvalue()
    files.write_all(made)
    return list(made)


def taken(browser: webdriver.Chrome, page: str, language: str, link: str, width: int, height: int) -> Image.Image:
    """The top of a page in a window of that size, once its choices are answered; in 128 colours."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    wait = WebDriverWait(browser, 60)
    wait.until(lambda window: window.find_elements(By.CSS_SELECTOR, "[data-connected]"))
    if browser.execute_script("return document.documentElement.lang") != language:
        browser.find_element(By.LINK_TEXT, link).click()
        wait.until(lambda window: window.execute_script("return document.documentElement.lang") == language)
    browser.execute_script("scrollTo(0, 0); document.activeElement.blur()")
    shot = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    return shot.quantize(128, dither=Image.Dither.NONE)


if __name__ == "__main__":
    for path in take(paths.SERVED, FOLDER):
        print(path.relative_to(paths.ROOT))
