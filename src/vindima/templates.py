"""Jinja templates, filled in with numbers and names as readers of a language write them."""

from functools import cache, partial

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vindima.labels import Language, counted, country_name, number, percent, series_name


@cache
def _environment(room: str, language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader(f"vindima.{room}"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    words = (number, percent, counted, country_name, series_name)
    environment.globals.update({word.__name__: partial(word, language=language) for word in words})
    return environment


def render(room: str, name: str, language: Language, /, **shown: object) -> str:
    """The template `name` in the folder `templates` of `room`, filled in with `shown`.

    `number`, `percent`, `counted`, `country_name` and `series_name` of the labels are at hand in it, in `language`.
    What is HTML is escaped; a name that nobody gave is an error.
    """
    return _environment(room, language).get_template(name).render(shown)
