"""The static copies: whole in themselves, every link leads somewhere, the same bytes on any day; and their stage."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from click.testing import CliRunner
from lxml import etree, html
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.conftest import ROOT
from vindima import files, paths
from vindima.cli import main
from vindima.serving import sets, site, store
from vindima.serving.answers import Answers

STAGE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["site"]
PICTURES = [name for plot in STAGE["plots"] for name in plot]
NOT_IN_FILES = {"docs.html", "docs.js", "sorry.html.j2"}
"""Templates that no page of the copies is made of."""
WRITE = """
import datetime, sys
class Day(datetime.date):
    @classmethod
    def today(cls):
        return cls.fromisoformat(sys.argv[3])
datetime.date = Day
from pathlib import Path
from vindima.serving import sets, site
from vindima.serving.answers import Answers
site.write(Answers(*sets.service_tables(Path(sys.argv[1]), Path(sys.argv[1]))), Path(sys.argv[2]))
"""

LOADED = """
import sys, vindima.serving.site, vindima.serving.store
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith("vindima.")))
"""


def copy_rows(answers: Answers, table: str, of: str, **changed: str) -> None:
    """Add the rows of a series to `table` once more, with other words in some columns."""
    for row in answers.rows(f"select * from {table} where series = ?", (of,)):  # noqa: S608
        values = (row | changed).values()
        places = ", ".join("?" * len(values))
        answers._database.execute(f"insert into {table} values ({places})", tuple(values))  # noqa: S608


def anew(answers: Answers) -> Answers:
    answers._database.commit()
    return Answers(answers._database.serialize(), "changed")


@pytest.fixture(scope="module")
def answers(set_made_once: Path) -> Answers:
    """The example set with a forecast of other goods too, and with the prices of a country that is not forecast."""
    answers = Answers(*sets.service_tables(set_made_once, set_made_once))
    copy_rows(answers, "forecasts", "imports.table_wine", series="exports.fresh_grapes.NLD")
    copy_rows(answers, "prices", "imports.table_wine.CHL", series="imports.table_wine.ARG", country="ARG")
    return anew(answers)


@pytest.fixture(scope="module")
def copies(answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "site"
    site.write(answers, folder)
    return folder


def page(folder: Path, name: str) -> html.HtmlElement:
    return html.fromstring((folder / name).read_text(encoding="utf-8"))


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def links(tree: html.HtmlElement) -> list[str]:
    """The addresses that a page leads to, those of its choices too, and not what it holds itself."""
    found = tree.xpath("//*[not(ancestor::template)]/@href") + tree.xpath("//form[@data-files]//option/@value")
    return [unquote(address) for address in found if not address.startswith("data:")]


def lost(folder: Path) -> list[tuple[str, str]]:
    """The links that lead nowhere, each with its page."""
    here = names(folder)
    wrong = []
    for name in sorted(here):
        tree = page(folder, name)
        for link in links(tree):
            address, _, place = link.partition("#")
            target = (folder / name).parent.joinpath(address).resolve() if address else folder.resolve() / name
            found = target.is_relative_to(folder.resolve()) and target.is_file()
            if not found or (
                place and not page(folder, str(target.relative_to(folder.resolve()))).xpath(f"//*[@id='{place}']")
            ):
                wrong.append((name, link))
    return wrong


def options(tree: html.HtmlElement, name: str) -> dict[str, str]:
    """The words of a choice → the address that it leads to."""
    return {option.text: option.get("value") for option in tree.xpath(f"//select[@name='{name}']/option")}


def test_every_report_and_every_forecast_series_is_there_in_both_languages(copies: Path):
    series = ("imports.table_wine", "imports.table_wine.CHL", "exports.fresh_grapes.NLD")
    each = {"index.html", "accuracy.html", "data-quality.html", *(f"outlook/{one}.html" for one in series)}
    assert names(copies) == {"index.html", *(f"{language}/{name}" for language in ("pt", "en") for name in each)}


def test_every_link_leads_to_a_page_that_is_there(copies: Path):
    assert lost(copies) == []


def test_menu_leads_to_a_series_that_is_forecast_whichever_those_are(answers: Answers, tmp_path: Path):
    fewer = anew(answers)
    fewer._database.execute("delete from forecasts where series = 'imports.table_wine'")
    folder = tmp_path / "site"
    site.write(anew(fewer), folder)
    assert lost(folder) == []
    [card] = page(folder, "en/index.html").xpath("//section[@data-series]")
    assert (card.findtext("h3"), card.xpath(".//a")) == ("Table wine", [])


def test_nothing_is_loaded_from_elsewhere(copies: Path):
    for name in sorted(names(copies)):
        text = (copies / name).read_text(encoding="utf-8")
        tree = html.fromstring(text)
        assert tree.xpath("//@src | //@srcset | //@action | //link[not(starts-with(@href, 'data:'))]") == [], name
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|(?:href|src)=.//|url\(|@import|\bimport\b.*from", text
        ), name


def test_each_page_says_its_language_and_leads_to_itself_in_the_other(copies: Path):
    for name in sorted(names(copies) - {"index.html"}):
        language, _, rest = name.partition("/")
        other = {"pt": "en", "en": "pt"}[language]
        tree = page(copies, name)
        assert tree.get("lang") == {"pt": "pt-BR", "en": "en"}[language]
        [address] = tree.xpath(f"//a[@data-language='{other}']/@href")
        assert (copies / name).parent.joinpath(address).resolve() == (copies / other / rest).resolve()


def test_first_page_leads_on_with_and_without_a_script(copies: Path):
    tree = page(copies, "index.html")
    assert links(tree) == ["pt/index.html", "en/index.html"]
    [script] = tree.xpath("//script")
    assert all(f'"{address}"' in script.text for address in links(tree))


def test_choice_leads_to_the_same_goods_and_country_where_there_are_such(copies: Path):
    total = page(copies, "en/outlook/imports.table_wine.html")
    chile = page(copies, "en/outlook/imports.table_wine.CHL.html")
    exports = "../outlook/exports.fresh_grapes.NLD.html"
    assert options(total, "country") == {
        "All countries": "../outlook/imports.table_wine.html",
        "Chile": "../outlook/imports.table_wine.CHL.html",
    }
    assert options(chile, "flow") == {"Imports": "../outlook/imports.table_wine.CHL.html", "Exports": exports}
    assert options(page(copies, "en/outlook/exports.fresh_grapes.NLD.html"), "country") == {"Netherlands": exports}
    for tree in (total, chile):
        chosen = tree.xpath("//form[@data-files]//option[@selected]/@value")
        assert len(set(chosen)) == 1


def test_file_offers_no_choice_that_only_a_server_answers(copies: Path):
    tree = page(copies, "pt/outlook/imports.table_wine.html")
    assert tree.xpath("//select/@name") == ["flow", "product", "country"]
    assert tree.xpath("//input | //button[@data-copy or @data-drop]") == []


def test_country_without_a_file_is_named_and_not_linked(copies: Path):
    rows = page(copies, "en/outlook/imports.table_wine.html").xpath("//table[@class='countries']/tbody/tr/th")
    assert {row.text_content(): row.xpath(".//@href") for row in rows} == {
        "Chile": ["../outlook/imports.table_wine.CHL.html"],
        "Argentina": [],
    }


def test_who_has_no_script_finds_every_choice_as_a_link(copies: Path):
    tree = page(copies, "pt/outlook/imports.table_wine.html")
    chosen = set(tree.xpath("//form[@data-files]//option[@selected]/@value"))
    assert set(tree.xpath("//noscript//@href")) == set(tree.xpath("//form[@data-files]//option/@value")) - chosen


def test_same_set_gives_the_same_bytes_on_any_day_and_whatever_the_order_of_sets(set_made_once: Path, tmp_path: Path):
    for day, seed in (("2025-01-31", "1"), ("2031-12-01", "2")):
        command = [sys.executable, "-c", WRITE, str(set_made_once), str(tmp_path / seed), day]
        subprocess.run(command, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src")}, check=True)
    first, second = tmp_path / "1", tmp_path / "2"
    assert len(names(first)) == 11
    assert {name: (first / name).read_bytes() for name in names(first)} == {
        name: (second / name).read_bytes() for name in names(second)
    }


def test_folder_is_replaced_whole_or_not_at_all(
    answers: Answers, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "former.html").write_text("former", encoding="utf-8")

    def full(contents: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", full)
        with pytest.raises(OSError, match="no room"):
            site.write(answers, folder)
    assert names(tmp_path) == {"site/former.html"}
    written = site.write(answers, folder)
    assert {path.relative_to(folder).as_posix() for path in written} == names(folder) == names(copies)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


# The command and the stage


@pytest.fixture
def project(project_outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Outputs of the pipeline, in which the command runs."""
    monkeypatch.setattr(paths, "ROOT", project_outputs)
    for name, folder in (("SITE", "site"), ("REPORTS", "reports"), ("PUBLISHED", "data/published")):
        monkeypatch.setattr(paths, name, project_outputs / folder)
    return project_outputs


def test_command_writes_the_copies_and_the_pictures_of_the_scores_and_nothing_else(project: Path):
    before = names(project)
    done = CliRunner().invoke(main, ["site"], catch_exceptions=False)
    assert done.exit_code == 0
    added = names(project) - before
    assert {name for name in added if not name.startswith("site/")} == set(PICTURES)
    assert done.stdout == f"{len(added) - len(PICTURES)} pages; the first is {project / 'site' / 'index.html'}\n"
    drawn = {name: etree.fromstring((project / name).read_bytes()) for name in PICTURES}
    words = {name: " ".join(tree.itertext()) for name, tree in drawn.items()}
    assert "AutoETS" in words["reports/errors.svg"]
    assert "The range of 80 held" in words["reports/coverage.svg"]


def test_command_says_what_is_missing_and_leaves_the_former_copies(project: Path):
    (project / "site").mkdir()
    (project / "site" / "index.html").write_text("former", encoding="utf-8")
    (project / "models" / "model.json").unlink()
    done = CliRunner().invoke(main, ["site"])
    assert (done.exit_code, done.stderr.startswith("vindima: models/model.json is missing in ")) == (1, True)
    assert (project / "site" / "index.html").read_text(encoding="utf-8") == "former"


def test_stage_runs_again_for_every_module_template_and_file_that_the_pages_are_made_of():
    loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout.split()
    modules = {Path(path).relative_to(ROOT).as_posix() for path in loaded if not path.endswith("__init__.py")}
    templates = {path.name for path in (ROOT / "src/vindima/serving/templates").iterdir() if path.is_file()}
    used = {f"src/vindima/serving/templates/{name}" for name in templates - NOT_IN_FILES}
    needed = (
        modules - {"src/vindima/errors.py", "src/vindima/paths.py"} | used | set(store.FILES) | {"data/published"}
    )
    listed = STAGE["deps"]
    missing = [name for name in sorted(needed) if not any(f"{name}/".startswith(f"{one}/") for one in listed)]
    unused = [one for one in listed if not any(f"{name}/".startswith(f"{one}/") for name in needed)]
    assert (missing, unused) == ([], [])


def test_plots_of_dvc_are_pictures_that_load_nothing(tmp_path: Path):
    command = [sys.executable, "-m", "dvc", "plots", "show", "--out", str(tmp_path / "plots")]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    tree = page(tmp_path / "plots", "index.html")
    assert tree.xpath("//script | //link") == []
    shown = tree.xpath("//img/@src")
    assert len(shown) == len(PICTURES)
    assert all((tmp_path / "plots" / source).is_file() for source in shown)


# In a browser


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, headless, to which no host exists."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed (Debian's packages chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1440,1200", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": "pt-BR"})
    window = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield window
    window.quit()


@pytest.mark.services
def test_file_that_is_opened_without_a_network_is_read_chosen_from_and_changes_its_language(
    copies: Path, browser: webdriver.Chrome
):
    browser.get((copies / "index.html").as_uri())
    WebDriverWait(browser, 30).until(lambda window: "quanto custam" in window.find_element(By.TAG_NAME, "body").text)
    browser.find_element(By.CSS_SELECTOR, "[data-series='imports.table_wine'] a").click()
    chart = browser.find_element(By.CSS_SELECTOR, "#price [data-tips]")
    assert chart.size["width"] > 600
    webdriver.ActionChains(browser).move_to_element(chart).perform()
    tip = browser.find_element(By.CSS_SELECTOR, "#price .tip").text
    assert re.fullmatch(r"20\d\d\nUS\$\s2,50", tip)

    country = Select(browser.find_element(By.NAME, "country"))
    country.select_by_visible_text("Chile")
    WebDriverWait(browser, 30).until(lambda window: window.current_url.endswith("/imports.table_wine.CHL.html"))
    browser.back()
    country = Select(browser.find_element(By.NAME, "country"))
    assert country.first_selected_option.text == "Todos os países"

    browser.find_element(By.LINK_TEXT, "English").click()
    assert browser.current_url == (copies / "en/outlook/imports.table_wine.html").as_uri()
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("Imported table wine is likely to cost")
    assert browser.execute_script("return document.documentElement.lang") == "en"
    assert browser.get_log("browser") == []


@pytest.mark.services
def test_page_without_a_script_shows_its_chart_and_links_and_no_control_that_does_nothing(
    copies: Path, browser: webdriver.Chrome
):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((copies / "en/outlook/imports.table_wine.html").as_uri())
    assert browser.find_element(By.CSS_SELECTOR, "#price svg[data-size='wide']").size["width"] > 600
    controls = browser.find_elements(By.CSS_SELECTOR, "select, button, input")
    assert [control.is_displayed() for control in controls] == [False] * len(controls)
    browser.find_element(By.CSS_SELECTOR, "noscript").find_element(By.LINK_TEXT, "Chile").click()
    assert browser.current_url.endswith("/imports.table_wine.CHL.html")
