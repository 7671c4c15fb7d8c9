"""The reports as files: every page in both languages, each whole in itself, for any web server or to send by mail."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from vindima import files
from vindima.labels import Language, series_name
from vindima.serving import accuracy, frame, outlook, quality, sets, start
from vindima.serving.answers import Answers
from vindima.templates import render


def write(answers: Answers, folder: Path) -> list[Path]:
    """Write the pages of a set into `folder`, in the place of the former ones; their paths.

    `index.html` leads to `pt/index.html` or `en/index.html`, the start pages. Beside these stand the reports, and in
    `outlook/` a page for each series that is forecast. The same set gives the same bytes on any day.
    """
    pages = {"index.html": render("serving", "index.html.j2", "pt", languages=frame.LANGUAGES)}
    for language in frame.LANGUAGES:
        pages |= {f"{language}/{name}": page for name, page in _pages(answers, language).items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as aside:
        whole = Path(aside) / folder.name
        files.write_all({whole / name: page for name, page in pages.items()})
        sets.put_in_place(whole, folder)
    return [folder / name for name in pages]


def _pages(answers: Answers, language: Language) -> dict[str, str]:
    """The name of each file in the folder of a language, and what is in it."""
    forecast = [series for series, about in answers.series.items() if about["forecast"]]
    first = outlook.FIRST if outlook.FIRST in forecast else forecast[0]

    def addresses(name: str) -> Mapping[str, str]:
        up = "../" * name.count("/")
        return {
            "start": f"{up}index.html",
            "outlook": f"{up}outlook/{first}.html",
            "accuracy": f"{up}accuracy.html",
            "data-quality": f"{up}data-quality.html",
            "series": f"{up}outlook/*.html",
            **{code: f"{up}../{code}/{name}" for code in frame.LANGUAGES},
        }

    pages = {"index.html": start.page(answers, language, addresses("index.html"))}
    for report in (accuracy, quality):
        name = f"{report.NAME}.html"
        page = report.page(answers, {}, language, addresses(name))
        pages[name] = frame.document([page], language, frame.REPORTS[report.NAME][language][0])
    for series in forecast:
        name = f"outlook/{series}.html"
        page = outlook.page(answers, {"series": series}, language, addresses(name))
        pages[name] = frame.document([page], language, series_name(series, language))
    return pages
