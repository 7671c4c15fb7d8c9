"""A report as a widget: the page at once, and a new one for each choice that the reader makes."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import anywidget
import traitlets

from vindima import paths
from vindima.errors import VindimaError
from vindima.labels import Language
from vindima.serving import frame
from vindima.serving.answers import Answers
from vindima.serving.current import Current

log = logging.getLogger("vindima.reports")


class Page(Protocol):
    """What a report is: the HTML of its page for what is asked, in a language."""

    def __call__(self, answers: Answers, asked: Mapping[str, str], language: Language, /) -> str: ...


class Report(anywidget.AnyWidget):
    """A report of the set that is being served now.

    `asked` is what the reader chose, as the query of an address, with the language as `lang`; `html` the page that
    answers it, and `answered` what it answers: a page that is as it was is an answer too, for the reader may see the
    other language's. What is chosen more than once comes to the page with commas between.
    """

    _esm = frame.asset("report.js")
    asked = traitlets.Unicode().tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)
    answered = traitlets.Unicode().tag(sync=True)

    def __init__(self, name: str, make: Page) -> None:
        """`make` makes the page of the report `name`. Where there is no set, it says which command makes one."""
        self._name, self._make = name, make
        answers, self._refused = _answers()
        self._answers = answers
        super().__init__(html=self._page({}, "pt"))

    @traitlets.observe("asked")
    def _answer(self, change: Mapping[str, Any]) -> None:
        asked: dict[str, str] = {}
        for name, value in parse_qsl(change["new"]):
            asked[name] = f"{asked[name]},{value}" if name in asked else value
        language: Language = "en" if asked.pop("lang", "pt") == "en" else "pt"
        self.html = self._page(asked, language)
        self.answered = change["new"]

    def _page(self, asked: Mapping[str, str], language: Language) -> str:
        if self._answers is None:
            return frame.sorry(self._name, language, broken=self._refused)
        try:
            return self._make(self._answers, asked, language)
        except VindimaError as error:
            return frame.sorry(self._name, language, broken=str(error))
        except Exception:
            log.exception("the page of %s in %s could not be made", dict(asked), language)
            return frame.sorry(self._name, language)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict] | None:
        """The page itself beside the widget, so that it is seen before any script has been loaded."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        pages = [self.html, self._page({}, "en")]
        return data | {"text/html": frame.fragment(pages)}, metadata


def _answers() -> tuple[Answers | None, str]:
    current = Current(paths.SERVED)
    return current.answers, current.refused or ""
