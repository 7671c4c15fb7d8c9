"""What the Voila reports show: widgets around the figures of `charts`, in Portuguese and English."""

import base64
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from vindima.etl import price_index
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.scores import FEWEST_FORECASTS
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, counted, country_name, number, series_name
from vindima.quantiles import SIDES
from vindima.series import FIRST_YEAR_IN_REAIS, total_names
from vindima.serving import charts, sentences
from vindima.serving.store import ServedSet
from vindima.templates import render

WORDS = {
    "title": {"pt": "Quanto custa, e quanto deve custar", "en": "What it costs, and what it is likely to cost"},
    "flow": {"pt": "Fluxo", "en": "Flow"},
    "product": {"pt": "Produto", "en": "Product"},
    "country": {"pt": "País", "en": "Country"},
    "money": {"pt": "Moeda", "en": "Money"},
    "total": {"pt": "Todos os países", "en": "All countries"},
    "history": {
        "pt": "Em {year}, um quilograma custou {price}.",
        "en": "In {year} a kilogram cost {price}.",
    },
    "then_and_now": {
        "pt": "Em {year}, um quilograma custou {price}; em {first_year}, {first_price}, tudo {money}.",
        "en": "In {year} a kilogram cost {price}; in {first_year}, {first_price}, all {money}.",
    },
    "forecast_elsewhere": {
        "pt": "A previsão é feita em dólares correntes.",
        "en": "The forecast is made in current US dollars.",
    },
    "reais_begin": {
        "pt": "O real existe desde julho de 1994; antes, a moeda mudou cinco vezes em oito anos, e por isso não há "
        "preço em reais antes de {first}.",
        "en": "The real exists since July 1994; before, the currency changed five times in eight years, so there is "
        "no price in reais before {first}.",
    },
    "forecast": {
        "pt": "Para {year}, a previsão é de US$ {price}; em 80 de cada 100 casos assim o preço deve ficar entre "
        "US$ {low} e US$ {high}.",
        "en": "For {year} the forecast is US$ {price}; in 80 of 100 such cases the price should lie between "
        "US$ {low} and US$ {high}.",
    },
    "own_record": {
        "pt": "Nas previsões passadas desta série para um ano à frente, feitas só com o que se sabia na época, esse "
        "intervalo conteve o preço em {held} de {forecasts}; no conjunto das {series} séries, em {share} de 100.",
        "en": "In past forecasts of this series one year ahead, made only with what was known then, that interval "
        "held the price in {held} of {forecasts}; over all {series} series, in {share} of 100.",
    },
    "short_record": {
        "pt": "Desta série há {counted} para um ano à frente, poucas para julgar; no conjunto das {series} séries, "
        "feitas só com o que se sabia na época, esse intervalo conteve o preço em {share} de 100.",
        "en": "Of this series there are {counted} one year ahead, too few to judge by; over all {series} series, "
        "made only with what was known then, that interval held the price in {share} of 100.",
    },
    "none": {
        "pt": "Sem previsão: a série não tem {years} anos com ao menos {kg} kg, incluído {cutoff}.",
        "en": "No forecast: the series lacks {years} years with at least {kg} kg, {cutoff} among them.",
    },
    "corrected": {
        "pt": "Círculos abertos: um número por trás do preço foi corrigido.",
        "en": "Open circles: a figure behind the price was corrected.",
    },
    "age": {
        "pt": "Números mais novos: {newest}; {year} terminou há {months}.",
        "en": "Newest figures: {newest}; {year} ended {months} ago.",
    },
    "year": {"pt": "Ano", "en": "Year"},
    "median": {"pt": "Previsão", "en": "Forecast"},
    "band": {"pt": "{level} em 100: de – até", "en": "{level} in 100: from – to"},
    "download": {"pt": "Baixar a tabela (CSV)", "en": "Download the table (CSV)"},
    "picture": {"pt": "Baixar o gráfico (PNG)", "en": "Download the chart (PNG)"},
    "unit_value": {
        "pt": "O preço é o valor unitário do comércio exterior, FOB por quilograma, {money}; não é preço de "
        "prateleira.",
        "en": "The price is the unit value of foreign trade, FOB a kilogram, {money}; it is not a shelf price.",
    },
    "price_or_mix": {"pt": "Preço ou composição?", "en": "Price or mix?"},
    "same_with_itself": {
        "pt": "O valor unitário também sobe quando o comércio se desloca para países mais caros. O índice de preços "
        "compara cada país consigo mesmo.",
        "en": "The unit value also rises when trade shifts to dearer countries. The price index compares each "
        "country with itself.",
    },
    "careful": {"pt": "Leia com cuidado:", "en": "Read with care:"},
    "download_index": {"pt": "Baixar o índice (CSV)", "en": "Download the index (CSV)"},
}

PAST_FORECASTS = {"pt": ("previsão passada", "previsões passadas"), "en": ("past forecast", "past forecasts")}
MONTHS = {"pt": ("mês", "meses"), "en": ("month", "months")}
TRADE = {"pt": "comércio exterior", "en": "foreign trade"}

MONEY: Mapping[str, Mapping[Language, str]] = {
    charts.NOMINAL: {"pt": "US$ correntes", "en": "US$, nominal"},
    "price_usd_kg_real": {"pt": "US$ de {base_year}", "en": "US$ of {base_year}"},
    "price_brl_kg": {"pt": "R$ correntes", "en": "R$, nominal"},
    "price_brl_kg_real": {"pt": "R$ de {base_year}", "en": "R$ of {base_year}"},
}
"""Column of the price table → how the choice of it is called."""
IN_MONEY: Mapping[str, Mapping[Language, str]] = {
    charts.NOMINAL: {"pt": "em dólares correntes", "en": "in current US dollars"},
    "price_usd_kg_real": {"pt": "em dólares de {base_year}", "en": "in US dollars of {base_year}"},
    "price_brl_kg": {"pt": "em reais correntes", "en": "in current reais"},
    "price_brl_kg_real": {"pt": "em reais de {base_year}", "en": "in reais of {base_year}"},
}


def sentence(
    history: pd.DataFrame, forecast: pd.DataFrame, served: ServedSet, language: Language, price: str = charts.NOMINAL
) -> str:
    """What the chart says, in a few sentences: the last price, the forecast, and how often such intervals held.

    The forecast is one of nominal US$; in another money (`price`, a column of the price table) real prices are set
    beside the first one.
    """

    def dollars(value: float) -> str:
        return number(value, 2, language)

    def amount(value: float) -> str:
        return f"{'R$' if 'brl' in price else 'US$'} {dollars(value)}"

    known = history[history[price].notna()]
    if known.empty:
        return WORDS["reais_begin"][language].format(first=FIRST_YEAR_IN_REAIS)
    first, last = known.iloc[0], known.iloc[-1]
    words = "then_and_now" if price.endswith("_real") and len(known) > 1 else "history"
    said = [
        WORDS[words][language].format(
            year=last["year"],
            price=amount(last[price]),
            first_year=first["year"],
            first_price=amount(first[price]),
            money=IN_MONEY[price][language].format(base_year=served.base_year),
        )
    ]
    if price != charts.NOMINAL:
        if len(forecast):
            said.append(WORDS["forecast_elsewhere"][language])
        if len(known) < len(history):
            said.append(WORDS["reais_begin"][language].format(first=FIRST_YEAR_IN_REAIS))
    elif len(forecast):
        ahead = forecast.iloc[0]
        said.append(
            WORDS["forecast"][language].format(
                year=ahead["year"],
                price=dollars(ahead["forecast"]),
                low=dollars(ahead["q10"]),
                high=dollars(ahead["q90"]),
            )
        )
        said.append(record_sentence(served.record, ahead["series"], language))
    else:
        said.append(
            WORDS["none"][language].format(
                years=COUNTRY_YEARS, kg=number(COUNTRY_KG, 0, language), cutoff=served.provenance["cutoff"]
            )
        )
    if known["corrected"].any():
        said.append(WORDS["corrected"][language])
    return " ".join(said)


def record_sentence(record: pd.DataFrame, series: str, language: Language) -> str:
    """How often the 80 per cent intervals of the series held one year ahead, beside those of all series.

    `record` is the answer of `scores.record`.
    """
    here = record[record["horizon"] == 1]
    own = here.loc[here["series"] == series, ["n_forecasts", "held_80"]].sum()
    words = WORDS["own_record" if own["n_forecasts"] >= FEWEST_FORECASTS else "short_record"][language]
    return words.format(
        held=own["held_80"],
        forecasts=own["n_forecasts"],
        counted=counted(own["n_forecasts"], *PAST_FORECASTS[language], language),
        series=len(here),
        share=number(100 * here["held_80"].sum() / here["n_forecasts"].sum(), 0, language),
    )


def age(newest: Mapping[str, int], language: Language, today: date | None = None) -> str:
    """How old a report's newest figures are: `newest` holds what is meant → its newest year; `today` is today's date.

    {'trade': 2024, 'production': 2023}, on 10 March 2026 → 'Newest figures: trade 2024, production 2023; 2024 ended
    14 months ago.'
    """
    today = today or date.today()
    year = max(newest.values())
    months = max(12 * (today.year - year - 1) + today.month - 1, 0)
    return WORDS["age"][language].format(
        newest=", ".join(f"{name} {last}" for name, last in newest.items()),
        year=year,
        months=counted(months, *MONTHS[language], language),
    )


def outlook_page(served: ServedSet, series: str, language: Language, price: str = charts.NOMINAL) -> str:
    """HTML of one series: the sentence, the chart, the table, two downloads, the source line; of a total its index.

    `price` is the column of the price table that the chart shows; the forecast is there for nominal US$ alone.
    """
    words = {name: text[language] for name, text in WORDS.items()}
    history = served.prices[served.prices["series"] == series].sort_values("year")
    forecast = served.forecasts[served.forecasts["series"] == series].sort_values("horizon")
    shown = forecast if price == charts.NOMINAL else forecast.iloc[:0]
    title, source = series_name(series, language), charts.source_line(served.provenance, language, price)
    drawing, downloads = "", []
    if history[price].notna().any():
        chart = partial(charts.fan, history, shown, language, price=price, base_year=served.base_year)
        drawing = charts.svg(chart())
        columns = ["series", "year", *MONEY, "corrected"]
        both = pd.concat([history[columns], forecast.drop(columns="horizon")])
        downloads = _downloads(both, chart(title=title, source=source), series, words["download"], words["picture"])
    money = IN_MONEY[price][language].format(base_year=served.base_year)
    old = age({TRADE[language]: served.provenance["cutoff"]}, language)
    return render(
        "serving",
        "outlook.html.j2",
        language,
        words=words,
        sentence=sentence(history, forecast, served, language, price),
        chart=drawing,
        headings=[words["year"], words["median"], *(words["band"].format(level=level) for level in SIDES)],
        rows=[_cells(row, language) for row in shown.to_dict("records")],
        downloads=downloads,
        source=f"{source} {old} {words['unit_value'].format(money=money)}",
        split=_price_or_mix(served, series, language),
    )


def _cells(row: Mapping[Any, Any], language: Language) -> list[str]:
    """A year of the forecast as a line of the table: the year, the median, from – to of each interval."""
    bands = [" – ".join(number(row[side], 2, language) for side in sides) for sides in SIDES.values()]
    return [str(row["year"]), number(row["forecast"], 2, language), *bands]


def _downloads(
    table: pd.DataFrame, figure: Figure, name: str, as_table: str, as_picture: str
) -> list[dict[str, str]]:
    """A table and a figure as files that the page itself holds, with the words to click on."""
    files = [
        ("csv", "text/csv", table.to_csv(index=False).encode(), as_table),
        ("png", "image/png", charts.png(figure), as_picture),
    ]
    return [
        {"name": f"{name}.{end}", "kind": kind, "data": base64.b64encode(data).decode(), "text": text}
        for end, kind, data, text in files
    ]


def _price_or_mix(served: ServedSet, series: str, language: Language) -> dict[str, Any] | None:
    """What the page shows of the split of a total's unit value over its last ten years; None for a country."""
    years = price_index.usual_span(price_index.years_with_trade(served.index, series))
    if years is None:
        return None
    levels = price_index.span(served.index, series, *years)
    change = price_index.split(served.index, series, *years)
    source = charts.source_line(served.provenance, language, "index")
    alone = charts.price_and_mix(levels, language, series_name(series, language), source)
    table = served.index[total_names(served.index) == series]
    words = WORDS["download_index"][language], WORDS["picture"][language]
    return {
        "sentence": sentences.split(change, language),
        "chart": charts.svg(charts.price_and_mix(levels, language)),
        "notes": [sentences.note(note, language) for note in price_index.notes(served.prices, change)],
        "downloads": _downloads(table, alone, f"{series}.index", *words),
        "source": source,
    }


class Outlook(widgets.VBox):
    """The outlook report: choose flow, product and country (only what exists) and money; see past and forecast."""

    def __init__(self, served: ServedSet, language: Language = "pt") -> None:
        self._served = served
        self._series = served.prices[["series", "flow", "product", "country"]].drop_duplicates("series")
        self._language = widgets.ToggleButtons(options=[("Português", "pt"), ("English", "en")], value=language)
        self._flow = widgets.Dropdown()
        self._product = widgets.Dropdown()
        self._country = widgets.Dropdown()
        self._money = widgets.Dropdown()
        self._heading = widgets.HTML()
        self._page = widgets.HTML()
        self._filling = False
        self._fill(
            {"flow": "imports", "product": "table_wine", "series": "imports.table_wine", "money": charts.NOMINAL}
        )
        for control in (self._language, self._flow, self._product, self._country, self._money):
            control.observe(self._changed, "value")
        choices = widgets.HBox(
            [self._flow, self._product, self._country, self._money], layout={"flex_flow": "row wrap"}
        )
        super().__init__([self._language, self._heading, choices, self._page])
        self.add_class("vindima")

    def _changed(self, _: object) -> None:
        if not self._filling:
            chosen = {"flow": self._flow.value, "product": self._product.value, "series": self._country.value}
            self._fill({**chosen, "money": self._money.value})

    def _fill(self, chosen: dict[str, str]) -> None:
        """Offer what exists under the choice made, keep what still fits, and draw.

        Whatever goes wrong, the choices answer the next time.
        """
        self._filling = True
        try:
            self._offer_and_draw(chosen)
        finally:
            self._filling = False

    def _offer_and_draw(self, chosen: dict[str, str]) -> None:
        language: Language = self._language.value
        every = self._series
        _offer(self._flow, [(FLOWS[flow][language], flow) for flow in sorted(every["flow"].unique())], chosen["flow"])
        here = every[every["flow"] == self._flow.value]
        products = [(TRADE_PRODUCTS[product][language], product) for product in sorted(here["product"].unique())]
        _offer(self._product, sorted(products), chosen["product"])
        here = here[here["product"] == self._product.value]
        total = [(WORDS["total"][language], series) for series in here.loc[here["country"].isna(), "series"]]
        countries = here.dropna()
        names = [country_name(code, language) for code in countries["country"]]
        _offer(self._country, [*total, *sorted(zip(names, countries["series"], strict=True))], chosen["series"])
        money = [(name[language].format(base_year=self._served.base_year), column) for column, name in MONEY.items()]
        _offer(self._money, money, chosen["money"])
        controls = {"flow": self._flow, "product": self._product, "country": self._country, "money": self._money}
        for word, control in controls.items():
            control.description = WORDS[word][language]
        self._heading.value = render("serving", "title.html.j2", language, title=WORDS["title"][language])
        self._page.value = outlook_page(self._served, self._country.value, language, self._money.value)


def _offer(control: widgets.Dropdown, options: list[tuple[str, str]], wanted: str) -> None:
    """Options of a dropdown, with `wanted` chosen where it is among them, else the first."""
    control.options = options
    control.value = wanted if wanted in {value for _, value in options} else options[0][1]
