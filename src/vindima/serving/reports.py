"""What the Voila reports show: widgets around the figures of `charts`, in Portuguese and English."""

import base64
import html
from collections.abc import Mapping
from datetime import date
from functools import partial

import ipywidgets as widgets
import pandas as pd

from vindima.etl import price_index
from vindima.etl.schemas import FIRST_YEAR_IN_REAIS, SIDES
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.scores import FEWEST_FORECASTS
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, counted, country_name, number, series_name
from vindima.series import total_names
from vindima.serving import charts, price_sentences
from vindima.serving.store import ServedSet

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

STYLE = """
<style>
.vindima { font: 16px/1.5 Georgia, 'Times New Roman', serif; color: #2b2523; max-width: 60rem; }
.vindima { box-sizing: border-box; width: 100%; }
.vindima h1 { font-size: 1.7rem; margin: .2em 0; color: #7b1e3a; }
.vindima h2 { font-size: 1.25rem; margin: 1.6em 0 .2em; color: #2b2523; }
.vindima .widget-html-content { font-size: inherit; line-height: inherit; }
.vindima p { font-size: 16px; line-height: 1.5; margin: .6em 0; }
.vindima svg { width: 100%; height: auto; }
.vindima table { border-collapse: collapse; font: 14px/1.6 system-ui, sans-serif; }
.vindima td, .vindima th { padding: .15rem .9rem .15rem 0; text-align: right; border-bottom: 1px solid #e4e0dc; }
.vindima .word { text-align: left; vertical-align: top; }
.vindima .wide { overflow-x: auto; }
.vindima .widget-html, .vindima .widget-html-content { min-width: 0; width: 100%; max-width: 100%; }
.vindima p.source { font: 13px/1.5 system-ui, sans-serif; color: #5f5a57; }
.vindima a { color: #7b1e3a; margin-right: 1.2rem; font: 14px system-ui, sans-serif; }
</style>
"""


def _link(data: bytes, kind: str, name: str, text: str) -> str:
    coded = base64.b64encode(data).decode()
    return f'<a download="{html.escape(name)}" href="data:{kind};base64,{coded}">{html.escape(text)}</a>'


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


def _table(forecast: pd.DataFrame, language: Language) -> str:
    heads = [
        WORDS["year"],
        WORDS["median"],
        *({k: WORDS["band"][k].format(level=n) for k in WORDS["band"]} for n in SIDES),
    ]
    lines = ["<tr>" + "".join(f"<th>{html.escape(head[language])}</th>" for head in heads) + "</tr>"]
    for row in forecast.to_dict("records"):
        cells = [str(row["year"]), number(row["forecast"], 2, language)]
        for lower, upper in SIDES.values():
            cells.append(f"{number(row[lower], 2, language)} – {number(row[upper], 2, language)}")
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "<table>" + "".join(lines) + "</table>"


def outlook_page(served: ServedSet, series: str, language: Language, price: str = charts.NOMINAL) -> str:
    """HTML of one series: the sentence, the chart, the table, two downloads, the source line; of a total its index.

    `price` is the column of the price table that the chart shows; the forecast is there for nominal US$ alone.
    """
    history = served.prices[served.prices["series"] == series].sort_values("year")
    forecast = served.forecasts[served.forecasts["series"] == series].sort_values("horizon")
    shown = forecast if price == charts.NOMINAL else forecast.iloc[:0]
    title, source = series_name(series, language), charts.source_line(served.provenance, language, price)
    parts = [f"<p>{html.escape(sentence(history, forecast, served, language, price))}</p>"]
    if history[price].notna().any():
        chart = partial(charts.fan, history, shown, language, price=price, base_year=served.base_year)
        columns = ["series", "year", *MONEY, "corrected"]
        both = pd.concat([history[columns], forecast.drop(columns="horizon")])
        links = _link(both.to_csv(index=False).encode(), "text/csv", f"{series}.csv", WORDS["download"][language])
        links += _link(
            charts.png(chart(title=title, source=source)), "image/png", f"{series}.png", WORDS["picture"][language]
        )
        parts += [
            charts.svg(chart()),
            _table(shown, language) if len(shown) else "",
            f"<p>{links}</p>",
        ]
    money = IN_MONEY[price][language].format(base_year=served.base_year)
    unit_value = WORDS["unit_value"][language].format(money=money)
    old = age({TRADE[language]: served.provenance["cutoff"]}, language)
    parts.append(f'<p class="source">{html.escape(f"{source} {old} {unit_value}")}</p>')
    return "".join(parts) + _price_or_mix(served, series, language)


def _price_or_mix(served: ServedSet, series: str, language: Language) -> str:
    """HTML of the split of a total's unit value over its last ten years; nothing for a country."""
    years = price_index.usual_span(price_index.years_with_trade(served.index, series))
    if years is None:
        return ""
    levels = price_index.span(served.index, series, *years)
    change = price_index.split(served.index, series, *years)
    source = charts.source_line(served.provenance, language, "index")
    alone = charts.price_and_mix(levels, language, series_name(series, language), source)
    table = served.index[total_names(served.index) == series]
    name = f"{series}.index"
    links = _link(table.to_csv(index=False).encode(), "text/csv", f"{name}.csv", WORDS["download_index"][language])
    links += _link(charts.png(alone), "image/png", f"{name}.png", WORDS["picture"][language])
    notes = [price_sentences.note(note, language) for note in price_index.notes(served.prices, change)]
    careful = f"<b>{WORDS['careful'][language]}</b> {html.escape(' '.join(notes))}"
    parts = [
        f"<h2>{html.escape(WORDS['price_or_mix'][language])}</h2>",
        f"<p>{html.escape(price_sentences.sentence(change, language))}</p>",
        charts.svg(charts.price_and_mix(levels, language)),
        f"<p>{careful}</p>" if notes else "",
        f"<p>{links}</p>",
        f'<p class="source">{html.escape(source)} {html.escape(WORDS["same_with_itself"][language])}</p>',
    ]
    return "".join(parts)


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
        self._heading.value = f"{STYLE}<h1>{html.escape(WORDS['title'][language])}</h1>"
        self._page.value = outlook_page(self._served, self._country.value, language, self._money.value)


def _offer(control: widgets.Dropdown, options: list[tuple[str, str]], wanted: str) -> None:
    """Options of a dropdown, with `wanted` chosen where it is among them, else the first."""
    control.options = options
    control.value = wanted if wanted in {value for _, value in options} else options[0][1]
