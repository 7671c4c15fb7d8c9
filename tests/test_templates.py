"""Templates: HTML is escaped, a name that nobody gave is an error."""

import pytest
from jinja2 import UndefinedError

from vindima import templates


def test_html_is_escaped_and_what_nobody_gave_is_an_error():
    shown = {"title": "A & B <i>", "reason": "", "near": []}
    assert "<h1>A &amp; B &lt;i&gt;</h1>" in templates.render("serving", "sorry.html.j2", "en", **shown)
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        templates.render("serving", "sorry.html.j2", "en")
