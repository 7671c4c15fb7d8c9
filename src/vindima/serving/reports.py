"""What the Voila reports show: widgets around the figures of `charts`, in Portuguese and English."""

import base64
import html

import ipywidgets as widgets
import pandas as pd

from vindima.forecasting.intervals import SIDES
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, country_name, number, series_name
from vindima.serving import charts
from vindima.serving.store import ServedSet

WORDS = {
    "title": {"pt": "Quanto custa, e quanto deve custar", "en": "What it costs, and what it is likely to cost"},
    "flow": {"pt": "Fluxo", "en": "Flow"},
    "product": {"pt": "Produto", "en": "Product"},
    "country": {"pt": "País", "en": "Country"},
    "total": {"pt": "Todos os países", "en": "All countries"},
    "history": {
        "pt": "Em {year}, um quilograma custou US$ {price}.",
        "en": "In {year} a kilogram cost US$ {price}.",
    },
    "forecast": {
        "pt": "Para {year}, a previsão é de US$ {price}; em 80 de cada 100 casos assim o preço deve ficar entre "
        "US$ {low} e US$ {high}.",
        "en": "For {year} the forecast is US$ {price}; in 80 of 100 such cases the price should lie between "
        "US$ {low} and US$ {high}.",
    },
    "measured": {
        "pt": "Nas previsões passadas, feitas só com o que se sabia na época, esse intervalo conteve o preço em "
        "{coverage} de cada 100 casos.",
        "en": "In past forecasts, made only with what was known then, that interval held the price in {coverage} of "
        "100 cases.",
    },
    "none": {
        "pt": "Sem previsão: a série não tem 12 anos com ao menos 1.000 kg, incluído {cutoff}.",
        "en": "No forecast: the series lacks 12 years with at least 1,000 kg, {cutoff} among them.",
    },
    "corrected": {
        "pt": "Círculos abertos: o valor publicado foi corrigido.",
        "en": "Open circles: the published figure was corrected.",
    },
    "year": {"pt": "Ano", "en": "Year"},
    "median": {"pt": "Previsão", "en": "Forecast"},
    "band": {"pt": "{level} em 100: de – até", "en": "{level} in 100: from – to"},
    "download": {"pt": "Baixar a tabela (CSV)", "en": "Download the table (CSV)"},
    "picture": {"pt": "Baixar o gráfico (PNG)", "en": "Download the chart (PNG)"},
    "unit_value": {
        "pt": "O preço é o valor unitário do comércio exterior, em dólares FOB correntes por quilograma; não é "
        "preço de prateleira.",
        "en": "The price is the unit value of foreign trade, in current US dollars FOB a kilogram; it is not a shelf "
        "price.",
    },
}

STYLE = """
<style>
.vindima { font: 16px/1.5 Georgia, 'Times New Roman', serif; color: #2b2523; max-width: 60rem; }
.vindima h1 { font-size: 1.7rem; margin: .2em 0; color: #7b1e3a; }
.vindima .widget-html-content { font-size: inherit; line-height: inherit; }
.vindima p { font-size: 16px; line-height: 1.5; margin: .6em 0; }
.vindima svg { width: 100%; height: auto; }
.vindima table { border-collapse: collapse; font: 14px/1.6 system-ui, sans-serif; }
.vindima td, .vindima th { padding: .15rem .9rem .15rem 0; text-align: right; border-bottom: 1px solid #e4e0dc; }
.vindima p.source { font: 13px/1.5 system-ui, sans-serif; color: #5f5a57; }
.vindima a { color: #7b1e3a; margin-right: 1.2rem; font: 14px system-ui, sans-serif; }
</style>
"""


def _link(data: bytes, kind: str, name: str, text: str) -> str:
    coded = base64.b64encode(data).decode()
    return f'<a download="{html.escape(name)}" href="data:{kind};base64,{coded}">{html.escape(text)}</a>'


def sentence(history: pd.DataFrame, forecast: pd.DataFrame, served: ServedSet, language: Language) -> str:
    """What the chart says, in a few sentences: the last price, the forecast, and the measured coverage."""

    def dollars(value: float) -> str:
        return number(value, 2, language)

    last = history.iloc[-1]
    said = [WORDS["history"][language].format(year=last["year"], price=dollars(last["price_usd_kg"]))]
    if len(forecast):
        first = forecast.iloc[0]
        said.append(
            WORDS["forecast"][language].format(
                year=first["year"],
                price=dollars(first["forecast"]),
                low=dollars(first["q10"]),
                high=dollars(first["q90"]),
            )
        )
        coverage = number(100 * served.metrics["all"]["coverage_80"], 0, language)
        said.append(WORDS["measured"][language].format(coverage=coverage))
    else:
        said.append(WORDS["none"][language].format(cutoff=served.provenance["cutoff"]))
    if history["corrected"].any():
        said.append(WORDS["corrected"][language])
    return " ".join(said)


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


def outlook_page(served: ServedSet, series: str, language: Language) -> str:
    """HTML of one series: the sentence, the chart, the table, two downloads and the source line."""
    history = served.prices[served.prices["series"] == series].sort_values("year")
    forecast = served.forecasts[served.forecasts["series"] == series].sort_values("horizon")
    source = charts.source_line(served.provenance, language)
    alone = charts.fan(history, forecast, language, series_name(series, language), source)
    columns = ["series", "year", "price_usd_kg"]
    both = pd.concat([history[columns], forecast.drop(columns="horizon")])
    links = _link(both.to_csv(index=False).encode(), "text/csv", f"{series}.csv", WORDS["download"][language])
    links += _link(charts.png(alone), "image/png", f"{series}.png", WORDS["picture"][language])
    parts = [
        f"<p>{html.escape(sentence(history, forecast, served, language))}</p>",
        charts.svg(charts.fan(history, forecast, language)),
        _table(forecast, language) if len(forecast) else "",
        f"<p>{links}</p>",
        f'<p class="source">{html.escape(source)} {html.escape(WORDS["unit_value"][language])}</p>',
    ]
    return "".join(parts)


class Outlook(widgets.VBox):
    """The outlook report: choose flow, product and country (only what exists); see history and forecast."""

    def __init__(self, served: ServedSet, language: Language = "pt") -> None:
        self._served = served
        self._series = served.prices[["series", "flow", "product", "country"]].drop_duplicates("series")
        self._language = widgets.ToggleButtons(options=[("Português", "pt"), ("English", "en")], value=language)
        self._flow = widgets.Dropdown()
        self._product = widgets.Dropdown()
        self._country = widgets.Dropdown()
        self._heading = widgets.HTML()
        self._page = widgets.HTML()
        self._filling = False
        self._fill({"flow": "imports", "product": "table_wine", "series": "imports.table_wine"})
        for control in (self._language, self._flow, self._product, self._country):
            control.observe(self._changed, "value")
        choices = widgets.HBox([self._flow, self._product, self._country], layout={"flex_flow": "row wrap"})
        super().__init__([self._language, self._heading, choices, self._page])
        self.add_class("vindima")

    def _changed(self, _: object) -> None:
        if not self._filling:
            chosen = {"flow": self._flow.value, "product": self._product.value, "series": self._country.value}
            self._fill(chosen)

    def _fill(self, chosen: dict[str, str]) -> None:
        """Offer what exists under the choice made, keep what still fits, and draw."""
        self._filling = True
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
        for control, word in ((self._flow, "flow"), (self._product, "product"), (self._country, "country")):
            control.description = WORDS[word][language]
        self._heading.value = f"{STYLE}<h1>{html.escape(WORDS['title'][language])}</h1>"
        self._page.value = outlook_page(self._served, self._country.value, language)
        self._filling = False


def _offer(control: widgets.Dropdown, options: list[tuple[str, str]], wanted: str) -> None:
    """Options of a dropdown, with `wanted` chosen where it is among them, else the first."""
    control.options = options
    control.value = wanted if wanted in {value for _, value in options} else options[0][1]
