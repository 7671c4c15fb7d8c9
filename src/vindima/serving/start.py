"""The reports' start page, in Portuguese and English: the newest figures at a glance, and what each report answers.

It is made from the tables of the service, so that no kernel and no pandas are needed for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from vindima.labels import FLOWS, TRADE_PRODUCTS, Language
from vindima.serving import frame
from vindima.serving.answers import Answers
from vindima.serving.drawing import FAN, THIN, WINE, Drawing, Scale

FIRST_YEAR_DRAWN = 2000
WIDTH, HEIGHT, MARGIN, THUMBNAIL = 200, 64, 4, 320
OFTEN = 0.75
"""Of an 80 per cent interval that held less often than this the card says "only"."""

WORDS: Mapping[str, Mapping[Language, str]] = {
    "title": {
        "pt": "Vinho, suco e uva do Brasil: quanto custam, e quanto devem custar",
        "en": "Brazil's wine, juice and grapes: what they cost, and what they are likely to cost",
    },
    "sentence": {
        "pt": "Preços do comércio exterior brasileiro desde 1970 e o que se pode esperar até {last}, com a faixa em "
        "que o preço deve ficar em 80 de cada 100 casos.",
        "en": "Prices of Brazil's foreign trade since 1970 and what can be expected up to {last}, with the range in "
        "which the price should lie in 80 of 100 cases.",
    },
    "unit": {"pt": "US$ FOB por quilograma, correntes", "en": "US$ FOB a kilogram, nominal"},
    "range": {
        "pt": "{year}: {low}\N{NO-BREAK SPACE}a\N{NO-BREAK SPACE}{high}",
        "en": "{year}: {low}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high}",
    },
    "held": {
        "pt": "a faixa conteve {held}\N{NO-BREAK SPACE}de\N{NO-BREAK SPACE}{of}",
        "en": "the range held {held}\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}{of}",
    },
    "held_only": {
        "pt": "a faixa conteve só {held}\N{NO-BREAK SPACE}de\N{NO-BREAK SPACE}{of}",
        "en": "the range held only {held}\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}{of}",
    },
    "none": {"pt": "sem previsão", "en": "no forecast"},
    "drawing": {"pt": "{name}: preço e previsão", "en": "{name}: price and forecast"},
    "how": {"pt": "Como ler", "en": "How to read this"},
    "how_text": {
        "pt": "Em preto, o preço do último ano; em vinho, a previsão para o seguinte e, abaixo, sua faixa. “46 de "
        "48” seria: de 48 previsões passadas para um ano à frente, 46 preços ficaram na faixa. Cada linha começa em "
        "{first} e tem sua própria escala.",
        "en": "In black the last year's price; in wine red the forecast of the next one and, below it, its range. "
        "“46 of 48” would mean: of 48 past forecasts one year ahead, 46 prices lay in the range. Each line begins in "
        "{first} and has a scale of its own.",
    },
    "reports": {"pt": "Os relatórios", "en": "The reports"},
    "source": {
        "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, dados até {cutoff}); previsão: modelo "
        "{model}, com o que se sabia em {cutoff}. O preço é o valor unitário do comércio exterior, FOB por "
        "quilograma; não é preço de prateleira.",
        "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, data to {cutoff}); forecast: model "
        "{model}, with what was known in {cutoff}. The price is the unit value of foreign trade, FOB a "
        "kilogram; it is not a shelf price.",
    },
}


def page(answers: Answers, language: Language, addresses: Mapping[str, str] | None = None) -> str:
    """The start page as a whole document, from the answers of a set; `addresses` as in `frame.page`."""
    words = {name: text[language] for name, text in WORDS.items()}
    last = answers.provenance["cutoff"] + answers.horizon
    cards: dict[str, list[dict[str, Any]]] = {}
    for total in sorted(answers.totals(), key=_order):
        cards.setdefault(FLOWS[total["flow"]][language], []).append(_card(total, language))
    made = frame.page(
        "start",
        language,
        words["title"],
        "start.html.j2",
        addresses,
        words=words,
        sentence=words["sentence"].format(last=last),
        cards=cards,
        how=words["how_text"].format(first=FIRST_YEAR_DRAWN),
        reports={name: text[language] for name, text in frame.REPORTS.items()},
        thumbnails={name: Markup(drawn.svg("only")) for name, drawn in _thumbnails(answers).items()},  # noqa: S704
        source=words["source"].format_map(answers.provenance),
        size=(WIDTH, HEIGHT),
        files=addresses is not None,
    )
    return frame.document([made], language, words["title"], script=False)


def _thumbnails(answers: Answers) -> dict[str, Drawing]:
    """What each report looks like, small, from its own tables: a fan, errors by horizon, tables by year."""
    shown = min(answers.totals(), key=_order)
    known = [row for row in shown["history"] if row["year"] >= FIRST_YEAR_DRAWN] or shown["history"]
    fan = Drawing(THUMBNAIL, HEIGHT)
    end = [(known[-1]["year"], known[-1]["price_usd_kg"])]
    sides = [end + [(row["year"], row[side]) for row in shown["path"]] for side in ("q90", "forecast", "q10")]
    points = [(row["year"], row["price_usd_kg"]) for row in known]
    every = [price for line in (points, *sides) for _, price in line]
    across = Scale(points[0][0], sides[0][-1][0], MARGIN, THUMBNAIL - MARGIN)
    up = Scale(min(every), max(every), HEIGHT - MARGIN, MARGIN)
    high, median, low, history = ([(across(x), up(y)) for x, y in line] for line in (*sides, points))
    fan.area(high, low, FAN[80])
    fan.line(median, WINE, 2, "2 3")
    fan.line(history, WINE, 2)

    errors = Drawing(THUMBNAIL, HEIGHT)
    rows = answers.rows(
        'select model, cast("group" as integer) as horizon, mae_rel_naive as error from scores '
        "where actuals = 'corrected' and \"by\" = 'horizon' order by model, horizon"
    )
    across = Scale(1, max(row["horizon"] for row in rows), MARGIN, THUMBNAIL - MARGIN)
    up = Scale(min(row["error"] for row in rows), max(row["error"] for row in rows), HEIGHT - MARGIN, MARGIN)
    ours = answers.provenance["model"]
    for model in sorted({row["model"] for row in rows}, key=lambda name: (name == ours, name)):
        line = [(across(row["horizon"]), up(row["error"])) for row in rows if row["model"] == model]
        errors.line(line, *((WINE, 2.75) if model == ours else (THIN, 1.1)))

    tables = Drawing(THUMBNAIL, HEIGHT)
    counts = answers.rows('select "table", year, above_zero from counts order by rowid')
    names = list(dict.fromkeys(row["table"] for row in counts))
    most = {name: max(row["above_zero"] for row in counts if row["table"] == name) or 1 for name in names}
    first, last = min(row["year"] for row in counts), max(row["year"] for row in counts)
    wide, tall = (THUMBNAIL - 2 * MARGIN) / (last - first + 1), (HEIGHT - 2 * MARGIN) / len(names)
    for row in counts:
        x, y = MARGIN + wide * (row["year"] - first), MARGIN + tall * names.index(row["table"])
        shade = row["above_zero"] / most[row["table"]]
        tables.box(x, y, wide, tall - 0.5, WINE if shade > 0.66 else FAN[80] if shade > 0.33 else FAN[95])
    return {"outlook": fan, "accuracy": errors, "data-quality": tables}


def _order(total: Mapping[str, Any]) -> tuple[int, int]:
    """Imports above exports, the products as the labels list them."""
    return list(FLOWS).index(total["flow"]), list(TRADE_PRODUCTS).index(total["product"])


def _card(total: Mapping[str, Any], language: Language) -> dict[str, Any]:
    name = TRADE_PRODUCTS[total["product"]][language]
    record = total["record"]
    often = record is not None and record["held_80"] >= OFTEN * record["n_forecasts"]
    return {
        "series": total["series"],
        "name": name[0].upper() + name[1:],
        "last": total["history"][-1],
        "ahead": total["path"][0] if total["path"] else None,
        "record": record,
        "held": "held" if often else "held_only",
        "drawing": _drawing(total["history"], total["path"]),
    }


def _drawing(history: Sequence[Mapping[str, Any]], path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The points of a small line, of the forecast's and of the fan around it, each as SVG writes them."""
    known = [(row["year"], row["price_usd_kg"]) for row in history if row["year"] >= FIRST_YEAR_DRAWN]
    known = known or [(history[-1]["year"], history[-1]["price_usd_kg"])]
    sides = [[known[-1], *((row["year"], row[side]) for row in path)] for side in ("q90", "forecast", "q10")]
    every = [*known, *sides[0], *sides[2]]
    (first, last), (low, high) = ((min(of), max(of)) for of in zip(*every, strict=True))

    def place(year: float, price: float) -> str:
        across = (year - first) / ((last - first) or 1) * (WIDTH - 2 * MARGIN) + MARGIN
        down = (high - price) / ((high - low) or 1) * (HEIGHT - 2 * MARGIN) + MARGIN
        return f"{across:.1f},{down:.1f}"

    high_side, median, low_side = ([place(*point) for point in side] for side in sides)
    return {
        "history": " ".join(place(*point) for point in known),
        "median": " ".join(median),
        "fan": " ".join([*high_side, *reversed(low_side)]),
        "last": place(*known[-1]).split(","),
    }
