"""What the pages of all reports share: header, language switch, style and script; and a page as a whole document.

A report is a function from what is asked (names and values, as in an address) and a language to its page. It is shown
in three places: by Voila, where a widget answers choices (`widget`); as a file of the static copies (`site`); and,
the start page, by the server itself.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from vindima.labels import Language
from vindima.templates import render

LANGUAGES: Mapping[Language, tuple[str, str]] = {"pt": ("Português", "pt-BR"), "en": ("English", "en")}
"""Language → what it is called in itself, and its code in HTML."""
REPORTS: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "outlook": {
        "pt": (
            "Preços e previsões",
            "Quanto custou e quanto deve custar, uma série por vez: história, faixa, preço ou composição, países, "
            "e se.",
        ),
        "en": (
            "Prices and forecasts",
            "What it cost and is likely to cost, one series at a time: history, range, price or mix, countries, "
            "what if.",
        ),
    },
    "accuracy": {
        "pt": (
            "Acertos e erros",
            "Quanto as previsões erraram, ao lado de outros métodos, e se as faixas contiveram o preço.",
        ),
        "en": (
            "Hits and misses",
            "How far the forecasts were off, beside other methods, and whether the ranges held the price.",
        ),
    },
    "data-quality": {
        "pt": (
            "Qualidade dos dados",
            "Quanto se pode confiar nos dados: o que há, o que foi corrigido e por quê, o que não fecha.",
        ),
        "en": (
            "Data quality",
            "How far the data can be trusted: what there is, what was corrected and why, what does not add up.",
        ),
    },
}
"""Notebook of a report → what it is called and what it answers."""
START: Mapping[Language, str] = {"pt": "Início", "en": "Start"}


@cache
def asset(name: str) -> str:
    """The text of a file in this room's `templates`: the style sheet or the script."""
    return (resources.files("vindima.serving") / "templates" / name).read_text(encoding="utf-8")


def page(
    name: str,
    language: Language,
    title: str,
    template: str,
    addresses: Mapping[str, str] | None = None,
    /,
    **shown: Any,
) -> str:
    """The page of a report as HTML: the header, and `template` filled in with `shown`.

    `name` is a key of `REPORTS`, or "start". `addresses` are those of the reports, of "start", of
    each language and, with a * for its name, of a series, where they are not those of the server; where they are
    given, the page is a file and answers no choices.
    """
    files = addresses or _of_server(name)
    body = render("serving", template, language, addresses=files, **shown)
    return render(
        "serving",
        "frame.html.j2",
        language,
        name=name,
        language=language,
        title=title,
        languages=LANGUAGES,
        menu={"start": START[language], **{report: text[language][0] for report, text in REPORTS.items()}},
        addresses=files,
        body=Markup(body),  # noqa: S704
    )


def _of_server(name: str) -> dict[str, str]:
    """Where the server has what a page leads to: each report, a series (in the place of *), each language."""
    folder = "voila/render/" if name == "start" else ""
    return {
        "start": "./" if name == "start" else "../../",
        **{report: f"{folder}{report}.ipynb" for report in REPORTS},
        "series": f"{folder}outlook.ipynb#series=*",
        **{code: f"?lang={code}" for code in LANGUAGES},
    }


def fragment(pages: Sequence[str], script: bool = True) -> str:
    """Pages of one report, the first of them shown, with the style and the script that they need."""
    return render(
        "serving",
        "fragment.html.j2",
        "en",
        style=Markup(asset("report.css")),  # noqa: S704
        script=Markup(asset("report.js")) if script else "",  # noqa: S704
        shown=Markup(pages[0]),  # noqa: S704
        others=[Markup(other) for other in pages[1:]],  # noqa: S704
    )


def document(pages: Sequence[str], language: Language, title: str, script: bool = True) -> str:
    """A whole HTML document that loads nothing from elsewhere."""
    return render(
        "serving",
        "document.html.j2",
        "en",
        code=LANGUAGES[language][1],
        title=title,
        body=Markup(fragment(pages, script)),  # noqa: S704
    )


SORRY: Mapping[str, Mapping[Language, str]] = {
    "title": {"pt": "Este relatório não pode ser mostrado", "en": "This report cannot be shown"},
    "failed": {
        "pt": "Algo falhou ao preparar a página; o registro do servidor diz o quê.",
        "en": "Something failed while the page was made; the server's log says what.",
    },
    "again": {
        "pt": "Os dados faltam ou não são como esperado; o comando make os refaz:",
        "en": "The data are missing or not as expected; the command make makes them again:",
    },
    "near": {"pt": "Parecidas, e que existem:", "en": "Like it, and there:"},
}


def sorry(
    name: str, language: Language, reason: str = "", near: Sequence[tuple[str, str]] = (), broken: str = ""
) -> str:
    """The page of the report `name` that says why there is none, by default that something failed.

    `near` are words and addresses of what there is; `broken` says, in English, what is wrong with the set.
    """
    words = {word: text[language] for word, text in SORRY.items()}
    title = words["title"]
    reason = f"{words['again']} {broken}" if broken else reason or words["failed"]
    return page(name, language, title, "sorry.html.j2", title=title, reason=reason, near=near, words=words)
