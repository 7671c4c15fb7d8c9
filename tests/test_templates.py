"""Templates: HTML is escaped, a name that nobody gave is an error, and every template is part of the package."""

import pytest
from jinja2 import UndefinedError

from vindima import templates
from vindima.labels import Language


def test_html_is_escaped_and_what_nobody_gave_is_an_error():
    assert "<h1>A &amp; B &lt;i&gt;</h1>" in templates.render("serving", "title.html.j2", "en", title="A & B <i>")
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        templates.render("serving", "title.html.j2", "en")


@pytest.mark.parametrize("language", ["pt", "en"])
def test_page_escapes_what_it_is_given_but_its_own_drawings(language: Language):
    page = templates.render(
        "serving", "quality.html.j2", language, intro="", source="5 < 6",
        sections=[{"title": "a", "text": "", "chart": "<svg/>", "headings": ["<b>"], "rows": [["&"]], "words": 1}],
    )  # fmt: skip
    assert "<svg/>" in page
    assert '<th class="word">&lt;b&gt;</th>' in page
    assert '<td class="word">&amp;</td>' in page
    assert "5 &lt; 6" in page
