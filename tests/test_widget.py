"""A report in Voila: the page at once in both languages, an answer to each choice, and never a traceback."""

import logging
import shutil
from pathlib import Path

import pytest

from vindima import paths
from vindima.serving import outlook, widget


@pytest.fixture
def served(served_set: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "SERVED", served_set)
    return served_set


def test_page_is_there_at_once_in_both_languages(served: Path):
    data, _ = widget.Report("outlook", outlook.page)._repr_mimebundle_()
    page = data["text/html"]
    assert page.count('<div class="vindima"') == 2
    shown, other = page.split('<template data-language="en">')
    assert '<div class="vindima" lang="pt-BR"' in shown
    assert other.startswith('<div class="vindima" lang="en"')
    assert "export default" in page
    assert "application/vnd.jupyter.widget-view+json" in data


def test_each_choice_is_answered_in_the_language_of_the_reader(served: Path):
    report = widget.Report("outlook", outlook.page)
    report.asked = "series=imports.table_wine.CHL&lang=en"
    assert "Chile: imported table wine is likely to cost" in report.html
    report.asked = "series=imports.table_wine.CHL&lang=pt"
    assert "Chile: o vinho de mesa importado deve custar" in report.html


def test_what_is_chosen_more_than_once_comes_together(served: Path):
    seen = []
    report = widget.Report("outlook", lambda answers, asked, language: seen.append(dict(asked)) or "")
    report.asked = "compare=a&compare=b&lang=en"
    assert seen[-1] == {"compare": "a,b"}


@pytest.mark.parametrize("damage", ["nothing", "missing", "changed"])
def test_without_a_whole_set_the_page_says_which_command_makes_one(served: Path, damage: str):
    table = served / "data/prices/prices.parquet"
    if damage == "nothing":
        shutil.rmtree(served)
    elif damage == "missing":
        table.unlink()
    else:
        table.write_bytes(b"another table")
    report = widget.Report("outlook", outlook.page)
    assert "o comando make os refaz" in report.html
    assert "run `make`" in report.html
    assert "Traceback" not in report.html
    if damage != "nothing":
        assert "data/prices/prices.parquet" in report.html
    report.asked = "lang=en"
    assert "This report cannot be shown" in report.html


def test_what_fails_is_logged_and_shown_without_a_traceback(served: Path, caplog: pytest.LogCaptureFixture):
    report = widget.Report("outlook", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, "vindima.reports"):
        report.asked = "country=CHL&lang=en"
    assert "Something failed while the page was made" in report.html
    assert "Zero" not in report.html
    assert "the page of {'country': 'CHL'} in en could not be made" in caplog.text
    assert "ZeroDivisionError" in caplog.text
