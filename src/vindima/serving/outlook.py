"""The outlook: one series, where its price has been, where it is likely to go, how sure that is, what changes it.

What the reader chooses is what is asked: `flow`, `product` and `country` (or `series`), `money` and `per`, `horizon`,
`since`, up to three other series as `compare`, and a value for each input of the scenario.
"""

import base64
import csv
import difflib
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from vindima.errors import VindimaError
from vindima.etl import price_index
from vindima.forecasting.scenario import Impossible
from vindima.inputs import INPUTS
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, counted, country_name, number, percent, series_name
from vindima.series import FIRST_YEAR_IN_REAIS, NOT_COUNTRIES, parts
from vindima.serving import chance, charts, frame, sentences
from vindima.serving.answers import Answers
from vindima.serving.charts import History
from vindima.serving.drawing import DESKTOP, HALF, PAIRED, PHONE, chart
from vindima.serving.money import BOTTLE_KG, WINES
from vindima.serving.questions import Prediction

NAME = "outlook"
FIRST = "imports.table_wine"
"""The series that is shown to who asks for none."""
SINCE = 2000
SHOWN = 8
"""Countries in the table of those with the most trade."""
COMPARED = 3
"""Series that can be compared with the one that is shown."""
FEWEST = 10
"""With fewer forecasts that came due the share of them that held says nothing."""
STEP = 10.0
"""Per cent: the change for which the effect of an input is said."""

COLUMNS = {
    "usd": "price_usd_kg",
    "usd_real": "price_usd_kg_real",
    "brl": "price_brl_kg",
    "brl_real": "price_brl_kg_real",
}
"""Money that can be chosen → its column of the price table."""

WORDS: Mapping[str, Mapping[Language, str]] = {
    "flow": {"pt": "Fluxo", "en": "Flow"},
    "product": {"pt": "Produto", "en": "Product"},
    "country": {"pt": "País", "en": "Country"},
    "money": {"pt": "Valores", "en": "Money"},
    "per": {"pt": "Medida", "en": "Measure"},
    "horizon": {"pt": "Previsão para", "en": "Forecast for"},
    "since": {"pt": "Período", "en": "Period"},
    "total": {"pt": "Todos os países", "en": "All countries"},
    "from_2000": {"pt": "desde {year}", "en": "since {year}"},
    "from_all": {"pt": "desde 1970", "en": "since 1970"},
    "expected": {
        "pt": "{what} deve custar {price} por {per} em {year}, {change} que em {last}",
        "en": "{what} is likely to cost {price} a {per} in {year}, {change} than in {last}",
    },
    "expected_same": {
        "pt": "{what} deve custar {price} por {per} em {year}, quase o mesmo que em {last}",
        "en": "{what} is likely to cost {price} a {per} in {year}, about as much as in {last}",
    },
    "more": {"pt": "{percent} mais", "en": "{percent} more"},
    "less": {"pt": "{percent} menos", "en": "{percent} less"},
    "cost": {"pt": "{what} custou {price} por {per} em {last}", "en": "{what} cost {price} a {per} in {last}"},
    "no_price": {
        "pt": "{what}: não há preço em reais antes de {first}",
        "en": "{what}: there is no price in reais before {first}",
    },
    "between": {
        "pt": "Em 80 de cada 100 casos assim, o preço fica entre {low} e {high}.",
        "en": "In 80 of 100 such cases the price lies between {low} and {high}.",
    },
    "was": {"pt": "Em {last} custou {price}.", "en": "In {last} it cost {price}."},
    "was_and_may_fall": {
        "pt": "Em {last} custou {price}; pode, portanto, também cair.",
        "en": "In {last} it cost {price}; so it may fall, too.",
    },
    "was_and_may_rise": {
        "pt": "Em {last} custou {price}; pode, portanto, também subir.",
        "en": "In {last} it cost {price}; so it may rise, too.",
    },
    "none": {
        "pt": "Sem previsão: em {cutoff} a série tinha poucos anos com comércio suficiente, ou nenhum em {cutoff}.",
        "en": "No forecast: in {cutoff} the series had too few years with enough trade, or none in {cutoff}.",
    },
    "never": {
        "pt": "Sem previsão: não se trata de um país estrangeiro só.",
        "en": "No forecast: this is not one foreign country.",
    },
    "held_reais": {
        "pt": "De {of} previsões passadas desta série em reais, {held} couberam na faixa.",
        "en": "Of {of} past forecasts of this series in reais, {held} held in the band.",
    },
    "reais_begin": {
        "pt": "O real existe desde julho de 1994; antes, a moeda mudou cinco vezes em oito anos, e por isso não há "
        "preço em reais antes de {first}.",
        "en": "The real exists since July 1994; before, the currency changed five times in eight years, so there is "
        "no price in reais before {first}.",
    },
    "reading": {
        "pt": "Passe o cursor, toque ou use as setas ← → para ler cada ano.",
        "en": "Point, touch or use the arrow keys ← → to read each year.",
    },
    "reading_band": {
        "pt": "Faixas: 95 e 80 em cada 100 casos.",
        "en": "Bands: 95 and 80 in 100 cases.",
    },
    "reading_past": {
        "pt": "Linhas finas: {counted} como o modelo de hoje as teria feito, só com o que se sabia então.",
        "en": "Thin lines: {counted} as today's model would have made them, with what was known then alone.",
    },
    "reading_corrected": {
        "pt": "Círculos abertos: um número por trás do preço foi corrigido.",
        "en": "Open circles: a figure behind the price was corrected.",
    },
    "chart": {
        "pt": "{title}. Preço por ano de {first} a {last} e a previsão até {end}.",
        "en": "{title}. Price by year from {first} to {last} and the forecast up to {end}.",
    },
    "chart_alone": {
        "pt": "{title}. Preço por ano de {first} a {last}.",
        "en": "{title}. Price by year from {first} to {last}.",
    },
    "tip_ahead": {"pt": "{year}, previsão", "en": "{year}, forecast"},
    "tip_band": {"pt": "{level} em 100: {low} a {high}", "en": "{level} in 100: {low} to {high}"},
    "tip_corrected": {"pt": "corrigido", "en": "corrected"},
    "key_ahead": {"pt": "Previsão para {year}, por {per}", "en": "Forecast for {year}, a {per}"},
    "key_last": {"pt": "Preço em {year}, por {per}", "en": "Price in {year}, a {per}"},
    "key_nominal": {"pt": ", em valor corrente", "en": ", nominal"},
    "key_band": {"pt": "80 em 100: {low} a {high}", "en": "80 in 100: {low} to {high}"},
    "key_expected": {"pt": "com o dólar esperado a {rate}", "en": "with the dollar expected at {rate}"},
    "key_rate": {
        "pt": "se o dólar ficar em {rate} (média de {year})",
        "en": "if the dollar stays at {rate} (average of {year})",
    },
    "bottle_note": {
        "pt": "Garrafa de 750 ml: {kg} kg de vinho.",
        "en": "Bottle of 750 ml: {kg} kg of wine.",
    },
    "shelf": {
        "pt": "FOB: sem frete, impostos nem margem; não é preço de prateleira.",
        "en": "FOB: without freight, taxes and margin; not a shelf price.",
    },
    "sure": {"pt": "Quanta certeza", "en": "How sure"},
    "held": {
        "pt": "Das {of} previsões passadas desta série, a faixa conteve o preço em {held}",
        "en": "Of {of} past forecasts of this series the range held the price in {held}",
    },
    "held_few": {
        "pt": "Desta série há {counted}: pouco para julgar",
        "en": "This series has {counted}: too few to judge by",
    },
    "held_text": {
        "pt": "Previsões para {years} à frente, feitas só com o que se sabia então. A faixa promete 80 em 100; "
        "{said}. No "
        "conjunto das {series} séries conteve {share} em 100.",
        "en": "Forecasts {years} ahead, made with what was known then alone. The range promises 80 in 100; {said}. "
        "Over all {series} series it held {share} in 100.",
    },
    "chance": {"pt": "aqui conteve {own}, o que pode ser só acaso", "en": "here it held {own}, which may be chance"},
    "too_wide": {"pt": "aqui conteve {own}: mais larga que o preciso", "en": "here it held {own}: wider than needed"},
    "too_narrow": {
        "pt": "aqui conteve só {own}: estreita demais, leia-a com reserva",
        "en": "here it held only {own}: too narrow, read it with reserve",
    },
    "few": {"pt": "aqui são poucas previsões para julgar", "en": "here the forecasts are too few to judge by"},
    "came": {
        "pt": "Publicada em {cutoff}: o modelo disse {forecast} para {year}, e deu {actual}.",
        "en": "Published in {cutoff}: the model said {forecast} for {year}, and it was {actual}.",
    },
    "record_chart": {
        "pt": "{title}. Faixa, previsão e preço de {first} a {last}.",
        "en": "{title}. Range, forecast and price from {first} to {last}.",
    },
    "record_reading": {
        "pt": "Ponto: o preço, aberto se ficou fora. Barra: a faixa de 80 em 100. Traço: a previsão.",
        "en": "Dot: the price, open where it fell outside. Bar: the range of 80 in 100. Line: the forecast.",
    },
    "tip_came": {"pt": "preço {price}", "en": "price {price}"},
    "tip_forecast": {"pt": "previsão {price}", "en": "forecast {price}"},
    "mix": {"pt": "Preço ou composição", "en": "Price or mix"},
    "mix_up": {
        "pt": "Desde {first} o valor médio subiu {change}",
        "en": "Since {first} the unit value rose by {change}",
    },
    "mix_down": {
        "pt": "Desde {first} o valor médio caiu {change}",
        "en": "Since {first} the unit value fell by {change}",
    },
    "by_price": {
        "pt": "{said}: mais pelos preços do que pela troca de países",
        "en": "{said}: more by prices than by the mix of countries",
    },
    "by_mix": {
        "pt": "{said}: mais pela troca de países do que pelos preços",
        "en": "{said}: more by the mix of countries than by prices",
    },
    "mix_chart": {
        "pt": "{first} = 100: em {last}, preço com os mesmos países {price}, valor médio {unit_value}.",
        "en": "{first} = 100: in {last}, price at the same countries {price}, unit value {unit_value}.",
    },
    "tip_price": {"pt": "preço, mesmos países: {price}", "en": "price, same countries: {price}"},
    "tip_value": {"pt": "valor médio: {price}", "en": "unit value: {price}"},
    "same_with_itself": {
        "pt": "O valor médio também sobe quando o comércio se desloca para países mais caros; o índice de preços "
        "compara cada país consigo mesmo.",
        "en": "The unit value also rises when trade shifts to dearer countries; the price index compares each "
        "country "
        "with itself.",
    },
    "careful": {"pt": "Leia com cuidado:", "en": "Read with care:"},
    "who_imports": {"pt": "De quem compramos", "en": "Whom we buy from"},
    "who_exports": {"pt": "A quem vendemos", "en": "Whom we sell to"},
    "largest_imports": {
        "pt": "Maior fornecedor: {country}, com {share} do valor. Menor preço: {cheapest}",
        "en": "Largest supplier: {country}, with {share} of the value. Lowest price: {cheapest}",
    },
    "largest_exports": {
        "pt": "Maior comprador: {country}, com {share} do valor. Menor preço: {cheapest}",
        "en": "Largest buyer: {country}, with {share} of the value. Lowest price: {cheapest}",
    },
    "largest_text": {
        "pt": "Em {year}, {counted} com mais valor somam {share} do total.",
        "en": "In {year} the {counted} with the most value have {share} of the total.",
    },
    "choose_country": {
        "pt": "Escolha um para ver sua história e previsão.",
        "en": "Choose one to see its history and forecast.",
    },
    "choose_linked": {
        "pt": "Os sublinhados levam à sua história e previsão.",
        "en": "Those underlined lead to their history and forecast.",
    },
    "share": {"pt": "Parte em {year}", "en": "Share in {year}"},
    "then_now": {"pt": "Preço: ○ {before} ● {year}", "en": "Price: ○ {before} ● {year}"},
    "forecast_for": {"pt": "Previsão {year}", "en": "Forecast {year}"},
    "in_100": {"pt": "80 em 100", "en": "80 in 100"},
    "compare": {"pt": "Comparar", "en": "Compare"},
    "compare_title": {"pt": "Compare com até três outras séries", "en": "Compare with up to three other series"},
    "compare_add": {"pt": "Acrescentar uma série", "en": "Add a series"},
    "choose": {"pt": "escolha…", "en": "choose…"},
    "remove": {"pt": "Retirar", "en": "Remove"},
    "compare_chart": {"pt": "Preços lado a lado: {names}.", "en": "Prices side by side: {names}."},
    "if": {"pt": "E se…", "en": "What if…"},
    "if_none": {
        "pt": "E se o dólar, a safra ou o comércio mudarem?",
        "en": "What if the dollar, the harvest or trade change?",
    },
    "if_moved": {
        "pt": "Neste cenário, {per} passaria de {before} para {after} ({change})",
        "en": "In this scenario {per} would go from {before} to {after} ({change})",
    },
    "if_reais": {
        "pt": "Em reais, de {before} para {after} ({change}).",
        "en": "In reais, from {before} to {after} ({change}).",
    },
    "the_kg": {"pt": "o quilo", "en": "a kilogram"},
    "the_bottle": {"pt": "a garrafa", "en": "a bottle"},
    "if_text": {
        "pt": "Mova um controle: a previsão para {year} muda como costumou mudar. É associação em anos passados, "
        "não causa.",
        "en": "Move a slider: the forecast for {year} moves as it used to. It is an association in past years, not "
        "a cause.",
    },
    "if_files": {
        "pt": "O que uma mudança de cada variável costumou fazer ao preço. É associação em anos passados, não causa.",
        "en": "What a change of each input used to do to the price. It is an association in past years, not a cause.",
    },
    "effect": {
        "pt": "{step}: preço em dólares {pct} (95 em 100: {low} a {high})",
        "en": "{step}: price in dollars {pct} (95 in 100: {low} to {high})",
    },
    "effect_nothing": {"pt": "{effect}. Não se distingue de zero.", "en": "{effect}. Cannot be told from zero."},
    "last_level": {"pt": "{year}: {level} {unit}.", "en": "{year}: {level} {unit}."},
    "in_dollars": {"pt": "Em dólares", "en": "In dollars"},
    "in_reais": {"pt": "Em reais", "en": "In reais"},
    "baseline": {"pt": "○ como hoje", "en": "○ as today"},
    "moved": {"pt": "● no cenário", "en": "● in the scenario"},
    "if_chart": {
        "pt": "{where}, em {year}: {baseline} como hoje, {moved} no cenário.",
        "en": "{where}, in {year}: {baseline} as today, {moved} in the scenario.",
    },
    "reset": {"pt": "Voltar ao ponto de partida", "en": "Back to the baseline"},
    "table_ahead": {"pt": "Tabela da previsão", "en": "Table of the forecast"},
    "table_past": {"pt": "Tabela da história", "en": "Table of the history"},
    "year": {"pt": "Ano", "en": "Year"},
    "median": {"pt": "Previsão", "en": "Forecast"},
    "band": {"pt": "{level} em 100: de – até", "en": "{level} in 100: from – to"},
    "price": {"pt": "Preço", "en": "Price"},
    "quantity": {"pt": "Toneladas", "en": "Tonnes"},
    "value": {"pt": "Mil US$", "en": "Thousand US$"},
    "note": {"pt": "Nota", "en": "Note"},
    "csv": {"pt": "Dados (CSV)", "en": "Data (CSV)"},
    "svg": {"pt": "Gráfico (SVG)", "en": "Chart (SVG)"},
    "png": {"pt": "Gráfico (PNG)", "en": "Chart (PNG)"},
    "copy_address": {"pt": "Copiar o endereço desta vista", "en": "Copy the address of this view"},
    "trade": {"pt": "comércio exterior", "en": "foreign trade"},
    "change": {"pt": "Mudar", "en": "Change"},
    "unknown": {"pt": "Não há uma série {series}.", "en": "There is no series {series}."},
}
WHAT: Mapping[tuple[str, str], Mapping[Language, str]] = {
    ("imports", "table_wine"): {"pt": "O vinho de mesa importado", "en": "Imported table wine"},
    ("imports", "sparkling_wine"): {"pt": "O espumante importado", "en": "Imported sparkling wine"},
    ("imports", "fresh_grapes"): {"pt": "A uva fresca importada", "en": "Imported fresh grapes"},
    ("imports", "raisins"): {"pt": "A uva-passa importada", "en": "Imported raisins"},
    ("imports", "grape_juice"): {"pt": "O suco de uva importado", "en": "Imported grape juice"},
    ("exports", "table_wine"): {"pt": "O vinho de mesa exportado", "en": "Exported table wine"},
    ("exports", "sparkling_wine"): {"pt": "O espumante exportado", "en": "Exported sparkling wine"},
    ("exports", "fresh_grapes"): {"pt": "A uva fresca exportada", "en": "Exported fresh grapes"},
    ("exports", "grape_juice"): {"pt": "O suco de uva exportado", "en": "Exported grape juice"},
}
"""What a price is of, as the subject of a sentence."""
PLURAL = ("fresh_grapes", "raisins")
"""Products that are many in English."""
INPUT_NAMES: Mapping[str, Mapping[Language, str]] = {
    "exchange_rate": {"pt": "Câmbio, R$ por US$", "en": "Exchange rate, R$ per US$"},
    "harvest": {"pt": "Safra no Rio Grande do Sul", "en": "Harvest in Rio Grande do Sul"},
    "imports": {"pt": "Importação dos demais países", "en": "Imports from the other countries"},
    "exports": {"pt": "Exportação aos demais países", "en": "Exports to the other countries"},
    "sales": {"pt": "Venda do Rio Grande do Sul", "en": "Sales of Rio Grande do Sul"},
}
PAST_FORECASTS = {"pt": ("previsão passada", "previsões passadas"), "en": ("past forecast", "past forecasts")}
EARLIER = {"pt": ("previsão anterior", "previsões anteriores"), "en": ("earlier forecast", "earlier forecasts")}
YEARS = {"pt": ("ano", "anos"), "en": ("year", "years")}
COUNTRIES = {"pt": ("país", "países"), "en": ("country", "countries")}


class NoSeries(VindimaError):
    """A series that is asked for and that there is not; `near` are those most like it."""

    def __init__(self, series: str, near: Sequence[str]) -> None:
        super().__init__(series)
        self.near = near


@dataclass(frozen=True)
class View:
    """What the reader looks at: all of it exists."""

    series: str
    money: str = "usd"
    per: str = "kg"
    horizon: int = 1
    since: str = "2000"
    compare: tuple[str, ...] = ()
    scenario: Mapping[str, float] | None = None

    @property
    def currency(self) -> str:
        return self.money.removesuffix("_real")

    @property
    def terms(self) -> str:
        return "real" if self.money.endswith("_real") else "nominal"


def page(
    answers: Answers, asked: Mapping[str, str], language: Language, addresses: Mapping[str, str] | None = None
) -> str:
    """The page of what is asked. `addresses` are those of the other pages where this one is a file (`frame.page`).

    A file is of a series that is forecast: no other has one, and none is offered or linked from one.
    A series that is not there gives a page that offers those most like it.
    """
    try:
        view = read(answers, asked)
    except NoSeries as error:
        near = [(series_name(one, language), f"#series={one}") for one in error.near]
        return frame.sorry(NAME, language, WORDS["unknown"][language].format(series=error), near)
    return _Outlook(answers, view, language, addresses).page()


def read(answers: Answers, asked: Mapping[str, str]) -> View:
    """The view that is asked for: what does not go together gives way to what does, in the order of the choices.

    Raises NoSeries where a series is named that there is not.
    """
    known = answers.series
    series = asked.get("series") or _fitting(known, asked)
    if series not in known:
        raise NoSeries(series, difflib.get_close_matches(series, known, 5, 0.3))
    _, product, _ = parts(series)
    money = asked.get("money", "usd")
    horizon = asked.get("horizon", "1")
    others = [one for one in dict.fromkeys(asked.get("compare", "").split(",")) if one and one != series]
    for other in others:
        if other not in known:
            raise NoSeries(other, difflib.get_close_matches(other, known, 5, 0.3))
    return View(
        series=series,
        money=money if money in COLUMNS else "usd",
        per="bottle" if asked.get("per") == "bottle" and product in WINES else "kg",
        horizon=int(horizon) if horizon.isdecimal() and 1 <= int(horizon) <= answers.horizon else 1,
        since="all" if asked.get("since") == "all" else "2000",
        compare=tuple(others[:COMPARED]),
        scenario={name: value for name in INPUTS if (value := _float(asked.get(name))) is not None},
    )


def _fitting(known: Collection[str], asked: Mapping[str, str]) -> str:
    """The series of the flow, product and country that are asked for, as far as they go together."""
    first = parts(FIRST) if FIRST in known else parts(next(iter(known)))
    flow, product = asked.get("flow", first[0]), asked.get("product", first[1])
    country = asked.get("country", "")
    for value, place in ((flow, 0), (product, 1), (country, 2)):
        if value and not any(parts(one)[place] == value for one in known):
            return ".".join(word for word in (flow, product, country) if word)
    here = [one for one in known if one.startswith(f"{flow}.")]
    of_product = [one for one in here if parts(one)[1] == product] or here
    wanted = ".".join([*parts(of_product[0])[:2], *([country] if country else [])])
    return wanted if wanted in of_product else of_product[0]


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class _Outlook:
    """One view, prepared: every part of the page as the template shows it."""

    def __init__(self, answers: Answers, view: View, language: Language, addresses: Mapping[str, str] | None) -> None:
        self._answers, self._view, self._language, self._addresses = answers, view, language, addresses
        self._product = parts(view.series)[1]
        self._cutoff: int = answers.provenance["cutoff"]

    # ---- words and money

    def _say(self, word: str, **shown: object) -> str:
        return (WORDS.get(word) or charts.WORDS[word])[self._language].format(**shown)

    def _money(self, value: float, currency: str | None = None) -> str:
        symbol = {"usd": "US$", "brl": "R$"}[currency or self._view.currency]
        return f"{symbol}\N{NO-BREAK SPACE}{number(value, 2, self._language)}"

    def _number(self, value: float, decimals: int = 2) -> str:
        return number(value, decimals, self._language)

    def _change(self, share: float, decimals: int = 1) -> str:
        return percent(share, decimals, self._language, plus=True)

    @cached_property
    def _unit(self) -> str:
        view = self._view
        return charts.unit(self._language, view.currency, view.terms, view.per, self._answers.base_year)

    @cached_property
    def _weight(self) -> float:
        return BOTTLE_KG if self._view.per == "bottle" else 1.0

    # ---- figures

    def _prices(self, series: str) -> list[dict]:
        return self._answers.rows(
            "select year, quantity_kg, value_usd, price_usd_kg, price_usd_kg_real, price_brl_kg, price_brl_kg_real, "
            "corrected from prices where series = ? order by year",
            (series,),
        )

    def _forecast(self, series: str, scenario: Mapping | None = None, **money: str) -> dict | None:
        """The answer about a series in the money of the view, or another; None where there is no forecast of it."""
        if not self._answers.series[series]["forecast"]:
            return None
        wanted = {"currency": self._view.currency, "terms": self._view.terms, "per": self._view.per} | money
        asked = Prediction.model_validate(
            {"series": series, "horizon": self._answers.horizon, **wanted}
            | ({"scenario": scenario} if scenario else {}),
            context={"horizon": self._answers.horizon},
        )
        try:
            return json.loads(self._answers.forecast(asked, self._language))
        except Impossible:  # there is no exchange rate, or no price level
            return None

    def _history(self, series: str, past: bool = False) -> History:
        """What is drawn of a series, in the money of the view."""
        column, first = COLUMNS[self._view.money], 0 if self._view.since == "all" else SINCE
        rows = self._prices(series)
        if not any(row["year"] >= first and row[column] is not None for row in rows):
            first = 0
        rows = [row for row in rows if row["year"] >= first]
        answer = self._forecast(series)
        lines = self._past_lines(series) if past and self._view.money == "usd" else []
        return History(
            prices={row["year"]: None if row[column] is None else row[column] * self._weight for row in rows},
            path=[_step(step) for step in answer["path"]] if answer else [],
            past=[line for line in lines if line[0][0] >= first],
            corrected=[row["year"] for row in rows if row["corrected"]],
        )

    def _past_lines(self, series: str) -> list[list[tuple[float, float]]]:
        """Earlier forecasts as lines that begin at the last price of their cutoff, up to the newest price."""
        prices = {row["year"]: row["price_usd_kg"] for row in self._prices(series)}
        lines: dict[int, list[tuple[float, float]]] = {}
        for row in self._answers.rows(
            "select cutoff, year, forecast from past where series = ? and year <= ? order by cutoff, year",
            (series, self._cutoff),
        ):
            begin = prices.get(row["cutoff"])
            line = lines.setdefault(row["cutoff"], [(row["cutoff"], begin * self._weight)] if begin else [])
            line.append((row["year"], row["forecast"] * self._weight))
        return [line for line in lines.values() if line[1:]]

    # ---- the page

    def page(self) -> str:
        view, language = self._view, self._language
        title, deck = self._headline()
        return frame.page(
            NAME,
            language,
            title,
            "outlook.html.j2",
            self._addresses,
            words={word: text[language] for word, text in WORDS.items()},
            title=title,
            deck=deck,
            choices=self._choices(),
            chosen=f"{series_name(view.series, language)} · {self._unit}",
            files=self._addresses is not None,
            chart=self._chart(title),
            keys=self._keys(),
            record=self._record(),
            mix=self._mix(),
            countries=self._countries(),
            compare=self._compare(),
            scenario=self._scenario(),
            tables=self._tables(),
            csv=base64.b64encode(self._csv().encode()).decode(),
            file=view.series,
            source=" ".join(self._source()),
        )

    def _source(self) -> list[str]:
        """Where the figures come from, what they are, and, of a page that is made now, how old they are."""
        language = self._language
        line = charts.source_line(self._answers.provenance, language, COLUMNS[self._view.money])
        age = [] if self._addresses else [sentences.age({self._say("trade"): self._cutoff}, language)]
        return [line, *age, sentences.UNIT_VALUE[language]]

    @cached_property
    def _shown(self) -> History:
        return self._history(self._view.series, past=True)

    @cached_property
    def _ahead(self) -> Mapping[str, Any] | None:
        """The year of the forecast that the reader asks about."""
        return self._shown.path[self._view.horizon - 1] if self._shown.path else None

    def _headline(self) -> tuple[str, str]:
        flow, product, country = parts(self._view.series)
        what = WHAT[flow, product][self._language]
        if country:
            what = f"{country_name(country, self._language)}: {what[0].lower()}{what[1:]}"
        known = self._shown.known
        if not known:
            begin = FIRST_YEAR_IN_REAIS
            return self._say("no_price", what=what, first=begin), self._say("reais_begin", first=begin)
        last = max(known)
        per = self._say(self._view.per)
        price = self._money(known[last])
        if not self._ahead:
            why = "never" if country in (*NOT_COUNTRIES, "BRA") else "none"
            return self._say("cost", what=what, price=price, per=per, last=last), self._say(why, cutoff=self._cutoff)
        ahead = self._ahead
        change = ahead["forecast"] / known[last] - 1
        rounded = round(100 * abs(change))
        words = self._say("more" if change > 0 else "less", percent=percent(abs(change), 0, self._language))
        title = self._say(
            "expected" if rounded else "expected_same",
            what=what, price=self._money(ahead["forecast"]), per=per, year=ahead["year"], change=words, last=last,
        )  # fmt: skip
        if self._language == "en" and product in PLURAL:
            title = title.replace(" is likely", " are likely", 1)
        if 80 not in ahead["bands"]:
            return (
                title,
                f"{self._say('was', last=last, price=price)} "
                f"{sentences.CONVERTED[self._view.currency][self._language]}",
            )
        low, high = ahead["bands"][80]
        word = "was_and_may_fall" if change > 0 and low < known[last] else "was"
        word = "was_and_may_rise" if change < 0 and high > known[last] else word
        deck = [
            self._say("between", low=self._money(low), high=self._money(high)),
            self._say(word, last=last, price=price),
        ]
        if self._view.currency == "brl":
            deck += self._held_in_reais()
        return title, " ".join(deck)

    def _held_in_reais(self) -> list[str]:
        """How many of this series' past forecasts in these reais held, at the horizon that is asked about."""
        rows = self._answers.rows(
            "select held_80, n_forecasts from record where series = ? and money = ? and horizon = ?",
            (self._view.series, self._view.money, self._view.horizon),
        )
        return [self._say("held_reais", held=row["held_80"], of=row["n_forecasts"]) for row in rows]

    def _choices(self) -> dict[str, Any]:
        """What can be chosen, and what is: only what exists. In a file, flow, product and country are addresses."""
        language, known = self._language, [one for one in self._answers.series if self._address(one)]
        flow, product, country = parts(self._view.series)
        products = [one for one in TRADE_PRODUCTS if any(name.startswith(f"{flow}.{one}") for name in known)]
        here = [parts(one)[2] for one in known if parts(one)[:2] == (flow, product)]
        countries = sorted((country_name(code, language), code) for code in here if code)
        totals = [(self._say("total"), "")] if None in here else []
        base = self._answers.base_year
        series = {
            "flow": [
                (FLOWS[one][language], one, one == flow) for one in FLOWS if any(n.startswith(one) for n in known)
            ],
            "product": [(_first(TRADE_PRODUCTS[one][language]), one, one == product) for one in products],
            "country": [(name, code, code == (country or "")) for name, code in [*totals, *countries]],
        }
        if self._addresses:
            asked = {"flow": flow, "product": product, "country": country or ""}
            series = {
                name: [(text, self._address(_fitting(known, asked | {name: one})), now) for text, one, now in options]
                for name, options in series.items()
            }
        return series | {
            "money": [
                (f"{symbol} {self._say(terms, base_year=base)}", money, money == self._view.money)
                for money, symbol, terms in (
                    ("usd", "US$", "nominal"), ("brl", "R$", "nominal"),
                    ("usd_real", "US$", "real"), ("brl_real", "R$", "real"),
                )
            ],
            "per": [
                (self._say(one), one, one == self._view.per)
                for one in ("kg", "bottle")
                if one == "kg" or product in WINES
            ],
            "horizon": [
                (str(self._cutoff + ahead), str(ahead), ahead == self._view.horizon)
                for ahead in range(1, self._answers.horizon + 1)
            ],
            "since": [
                (self._say("from_2000", year=SINCE), "2000", self._view.since == "2000"),
                (self._say("from_all"), "all", self._view.since == "all"),
            ],
        }  # fmt: skip

    def _address(self, series: str) -> str:
        """Where this report shows a series; '' where it has no file, as those that are not forecast."""
        if not self._addresses:
            return f"#series={series}"
        return self._addresses["series"].replace("*", series) if self._answers.series[series]["forecast"] else ""

    def _tip(self, year: int, series: History) -> str:
        """What a year of the chart says."""
        known = series.known
        if year in known:
            said = [str(year), self._money(known[year])]
            return "\n".join(said + ([self._say("tip_corrected")] if year in set(series.corrected) else []))
        step = next(step for step in series.path if step["year"] == year)
        bands = [
            self._say("tip_band", level=level, low=self._number(low), high=self._number(high))
            for level, (low, high) in step["bands"].items()
        ]
        return "\n".join([self._say("tip_ahead", year=year), self._money(step["forecast"]), *bands])

    def _chart(self, title: str) -> dict[str, Any] | None:
        shown, language = self._shown, self._language
        known = shown.known
        if not known:
            return None
        years = [*known, *(step["year"] for step in shown.path)]
        word = "chart" if shown.path else "chart_alone"
        label = self._say(word, title=title, first=min(known), last=max(known), end=years[-1])
        draw = partial(charts.fan, shown, self._unit, language)
        source = charts.source_line(self._answers.provenance, language, COLUMNS[self._view.money])
        alone = charts.alone(draw(DESKTOP), series_name(self._view.series, language), source)
        reading = [self._say("reading")]
        if shown.path and shown.path[0]["bands"]:
            reading.append(self._say("reading_band"))
        if shown.past:
            times = counted(len(shown.past), *EARLIER[language], language)
            reading.append(self._say("reading_past", counted=times))
        if set(shown.corrected) & known.keys():
            reading.append(self._say("reading_corrected"))
        if "brl" in self._view.money:
            reading.append(self._say("reais_begin", first=FIRST_YEAR_IN_REAIS))
        tips = [self._tip(year, shown) for year in years]
        drawn = chart(draw, label, tips=tips, file=self._view.series, alone=alone)
        return {"drawn": drawn, "reading": " ".join(reading)}

    def _keys(self) -> list[dict[str, str]]:
        """The forecast, or the last price, in each currency and measure, nominal: said where the chart is not."""
        keys = []
        for currency in ("usd", "brl"):
            for per in ("kg", "bottle") if self._product in WINES else ("kg",):
                answer = self._forecast(self._view.series, currency=currency, terms="nominal", per=per)
                weight = BOTTLE_KG if per == "bottle" else 1.0
                said = {"per": self._say(per)}
                if answer:
                    step = _step(answer["path"][self._view.horizon - 1])
                    notes = [
                        self._say("key_band", low=self._number(low), high=self._number(high))
                        for level, (low, high) in step["bands"].items()
                        if level == 80
                    ]
                    if "exchange_rate" in answer["assumptions"]:
                        rate = answer["assumptions"]["exchange_rate"]
                        if "expected" in rate:
                            level = self._number(rate["expected"][str(step["year"])])
                            notes.append(self._say("key_expected", rate=level))
                        else:
                            level = self._number(rate["brl_per_usd"])
                            notes = [self._say("key_rate", rate=level, year=rate["year"])]
                    title = self._say("key_ahead", year=step["year"], **said)
                    value = step["forecast"]
                else:
                    column = COLUMNS[currency]
                    row = next((r for r in reversed(self._prices(self._view.series)) if r[column] is not None), None)
                    if row is None:
                        continue
                    title, notes = self._say("key_last", year=row["year"], **said), []
                    value = row[column] * weight
                if self._view.terms == "real":
                    title += self._say("key_nominal")
                keys.append({"title": title, "value": self._money(value, currency), "note": " ".join(notes)})
        return keys

    def _record(self) -> dict[str, Any] | None:
        """How the past forecasts of this series did at the horizon that is asked about, in US$ a kilogram, nominal.

        None where there are none."""
        language, horizon = self._language, self._view.horizon
        rows = self._answers.rows(
            "select year, q10, q50, q90, actual from past "
            "where series = ? and horizon = ? and actual is not null order by year",
            (self._view.series, horizon),
        )
        if not rows:
            return None
        held = sum(row["q10"] <= row["actual"] <= row["q90"] for row in rows)
        [every] = self._answers.rows(
            "select count(*) as series, sum(held_80) as held, sum(n_forecasts) as made from record "
            "where money = 'usd' and horizon = ?",
            (horizon,),
        )
        if len(rows) < FEWEST:
            title = self._say("held_few", counted=counted(len(rows), *PAST_FORECASTS[language], language))
            word = "few"
        else:
            title = self._say("held", of=len(rows), held=held)
            word = ("chance", "too_wide", "too_narrow")[chance.verdict(held, len(rows))]
        own = self._number(100 * held / len(rows), 0)
        text = self._say(
            "held_text",
            years=counted(horizon, *YEARS[language], language),
            said=self._say(word, own=own),
            series=every["series"],
            share=self._number(100 * every["held"] / every["made"], 0),
        )
        unit = charts.unit(language)
        tips = [
            "\n".join(
                [
                    str(row["year"]),
                    self._say("tip_came", price=self._money(row["actual"], "usd")),
                    self._say("tip_forecast", price=self._number(row["q50"])),
                    self._say("tip_band", level=80, low=self._number(row["q10"]), high=self._number(row["q90"])),
                ]
            )
            for row in rows
        ]
        label = self._say("record_chart", title=title, first=rows[0]["year"], last=rows[-1]["year"])
        came = self._answers.rows(
            "select cutoff, year, forecast, actual from came_due "
            "where series = ? and actual is not null order by year, cutoff",
            (self._view.series,),
        )
        said = [
            self._say(
                "came", cutoff=row["cutoff"], year=row["year"],
                forecast=self._money(row["forecast"], "usd"), actual=self._money(row["actual"], "usd"),
            )
            for row in came[-2:]
        ]  # fmt: skip
        return {
            "title": title,
            "text": " ".join([text, *dict.fromkeys(said)]),
            "chart": chart(partial(charts.record, rows, unit, language), label, PAIRED, tips),
        }

    def _mix(self) -> dict[str, Any] | None:
        """The change of a total's unit value over its last ten years, as price and mix; None for a country."""
        if parts(self._view.series)[2]:
            return None
        answer = json.loads(self._answers.history(self._view.series))["items"][0]
        change = answer["price_and_mix"]
        if not change:
            return None
        levels = {row["year"]: row for row in answer["index"] if change["from"] <= row["year"] <= change["to"]}
        base = levels[change["from"]]
        lines = {
            year: (row["fisher"] / base["fisher"], row["unit_value_relative"] / base["unit_value_relative"])
            for year, row in levels.items()
        }
        said = self._say(
            "mix_up" if change["unit_value"] >= 1 else "mix_down",
            first=change["from"], change=percent(abs(change["unit_value"] - 1), 1, self._language),
        )  # fmt: skip
        by_price = abs(math.log(change["price"])) >= abs(math.log(change["mix"]))
        shown = {year: [self._number(100 * value, 1) for value in both] for year, both in lines.items()}
        tips = [
            "\n".join([str(year), self._say("tip_price", price=price), self._say("tip_value", price=value)])
            for year, (price, value) in shown.items()
        ]
        price, unit_value = shown[change["to"]]
        label = self._say("mix_chart", first=change["from"], last=change["to"], price=price, unit_value=unit_value)
        return {
            "title": self._say("by_price" if by_price else "by_mix", said=said),
            "text": change["sentence"][self._language],
            "notes": change["notes"][self._language],
            "chart": chart(partial(charts.price_and_mix, lines, self._language), label, PAIRED, tips),
            "source": charts.source_line(self._answers.provenance, self._language, "index"),
        }

    def _countries(self) -> dict[str, Any] | None:
        """Those with the most trade in the newest year: share of the value, price then and now, forecast."""
        flow, product, _ = parts(self._view.series)
        column = COLUMNS[self._view.money]
        rows = self._answers.rows(
            f"select series, country, year, value_usd, {column} as price from prices "  # noqa: S608
            f"where flow = ? and product = ? and country is not null and price is not null "
            f"and country not in ({', '.join('?' * len(NOT_COUNTRIES))}) order by value_usd desc",
            (flow, product, *NOT_COUNTRIES),
        )
        year = max((row["year"] for row in rows), default=0)
        newest = [row for row in rows if row["year"] == year and row["value_usd"] > 0][:SHOWN]
        if len(newest) < 2:
            return None
        before = year - price_index.SPAN + 1
        then = {row["series"]: row["price"] * self._weight for row in rows if row["year"] == before}
        [[whole]] = self._answers.rows(
            "select sum(value_usd) from prices where flow = ? and product = ? and year = ? and country is not null",
            (flow, product, year),
            raw=True,
        )
        shown = []
        for row in newest:
            answer = self._forecast(row["series"])
            step = _step(answer["path"][self._view.horizon - 1]) if answer else None
            shown.append(
                {
                    "address": self._address(row["series"]),
                    "name": country_name(row["country"], self._language),
                    "value": row["value_usd"] / whole,
                    "now": row["price"] * self._weight,
                    "before": then.get(row["series"]),
                    "step": step,
                }
            )
        every = [price for one in shown for price in (one["now"], one["before"]) if price is not None]
        low, high = min(every), max(every)
        for one in shown:
            draw = partial(charts.then_and_now, one["before"], one["now"], low, high, self._language)
            one["chart"] = draw(300).svg("only"), draw(150).svg("only")
        cheapest = min(shown, key=lambda one: one["now"])
        largest = shown[0]
        together = math.fsum(one["value"] for one in shown)
        share = percent(together, 1 if 0.995 <= together < 1 else 0, self._language)
        many = counted(len(shown), *COUNTRIES[self._language], self._language)
        text = self._say("largest_text", year=year, share=share, counted=many)
        lead = [self._say("choose_linked" if self._addresses else "choose_country")]
        if not any(one["address"] for one in shown):
            lead = []
        return {
            "kicker": self._say(f"who_{flow}"),
            "title": self._say(
                f"largest_{flow}", country=largest["name"], share=percent(largest["value"], 0, self._language),
                cheapest=f"{cheapest['name']}, {self._money(cheapest['now'])}",
            ),
            "text": " ".join([text, *lead]),
            "heads": {
                "share": self._say("share", year=year),
                "then_now": self._say("then_now", before=before, year=year),
                "forecast": self._say("forecast_for", year=self._cutoff + self._view.horizon),
            },
            "rows": shown,
            "unit": self._unit,
        }  # fmt: skip

    def _compare(self) -> dict[str, Any]:
        """The series beside up to three others."""
        language, view = self._language, self._view
        chosen = [(one, series_name(one, language)) for one in (view.series, *view.compare)]
        others = [
            (series_name(total, language), [
                (series_name(one, language), one) for one in self._answers.series
                if ".".join(parts(one)[:2]) == total and one not in dict(chosen)
            ])
            for total in dict.fromkeys(".".join(parts(one)[:2]) for one in self._answers.series)
        ]  # fmt: skip
        drawn = None
        same = len({parts(one)[:2] for one, _ in chosen}) == 1
        lines = [
            (name.rpartition(" · ")[2] if same else name, history)
            for one, name in chosen
            if (history := self._history(one)).known
        ]
        if view.compare and lines:
            every = sorted({y for _, of in lines for y in [*of.known, *(s["year"] for s in of.path)]})
            ahead = [{step["year"]: step["forecast"] for step in of.path} for _, of in lines]
            tips = []
            for year in every:
                said = [str(year)]
                for (name, of), path in zip(lines, ahead, strict=True):
                    if (price := of.known.get(year, path.get(year))) is not None:
                        said.append(f"{name}: {self._money(price)}")
                tips.append("\n".join(said))
            label = self._say("compare_chart", names="; ".join(name for name, _ in lines))
            drawn = chart(partial(charts.compared, lines, self._unit, language), label, tips=tips)
        return {"chosen": chosen[1:], "others": others, "chart": drawn, "full": len(view.compare) == COMPARED}

    def _scenario(self) -> dict[str, Any] | None:
        """What would change the price: a slider for each input, and the forecast as it is and as it is moved."""
        series, language = self._view.series, self._language
        if not self._ahead:
            return None
        moves = self._answers.inputs_of(series)
        if not moves:
            return None
        given: dict[str, dict] = {}
        sliders = []
        for name in INPUTS:
            if name not in moves:
                continue
            slider = self._slider(name, moves[name])
            sliders.append(slider)
            if slider["moved"]:
                given[name] = (
                    {"pct": 100 * (slider["value"] / slider["start"] - 1)}
                    if name == "exchange_rate"
                    else {"pct": slider["value"]}
                )
        sliders.sort(key=lambda one: one["name"] != "exchange_rate")
        rows = [self._outcome(currency, given) for currency in ("usd", "brl")]
        found = [row for row in rows if row]
        title, text = (
            self._say("if_none"),
            self._say("if_files" if self._addresses else "if_text", year=self._ahead["year"]),
        )
        warnings: list[str] = []
        if given:
            first = found[0]
            per = self._say(f"the_{self._view.per}")
            shown = {name: self._money(first[name], "usd") for name in ("before", "after")}
            title = self._say("if_moved", per=per, change=self._change(first["after"] / first["before"] - 1), **shown)
            if found[1:]:
                reais = {name: self._money(found[1][name], "brl") for name in ("before", "after")}
                change = self._change(found[1]["after"] / found[1]["before"] - 1)
                text = self._say("if_reais", change=change, **reais)
            said = first["answer"]["warnings"]
            warnings = [one for one in said if one != sentences.UNIT_VALUE[language]]
        return {
            "title": title, "text": text, "sliders": sliders, "rows": found, "warnings": warnings,
            "moved": bool(given), "year": self._ahead["year"],
        }  # fmt: skip

    def _slider(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """An input: where its slider stands, from where to where it goes, and what a change of it used to do."""
        rate = name == "exchange_rate"
        chosen = (self._view.scenario or {}).get(name)
        start = round(known["baseline"], 2) if rate else 0.0
        low, high = (round(0.8 * known["lowest"], 1), round(1.3 * known["highest"], 1)) if rate else (-50.0, 50.0)
        low = max(low, round(0.5 * start, 1)) if rate else low
        value = start if chosen is None else min(high, max(low, chosen))
        answer = self._forecast(self._view.series, {name: {"pct": STEP}}, currency="usd", terms="nominal", per="kg")
        assert answer
        [effect] = answer["effects"]
        step = f"{self._change(STEP / 100, 0)}"
        said = self._say(
            "effect", step=step, **{key: self._change(effect[key] / 100) for key in ("pct", "low", "high")}
        )
        level = self._number(known["baseline"], 2 if rate else 0)
        return {
            "name": name,
            "title": INPUT_NAMES[name][self._language],
            "value": value,
            "start": start,
            "moved": abs(value - start) > 1e-9,
            "low": low,
            "high": high,
            "step": 0.01 if rate else 1,
            "shown": self._number(value) if rate else self._change(value / 100, 0),
            "level": self._say("last_level", year=known["baseline_year"], level=level, unit=known["unit"]),
            "effect": said if effect["distinguishable"] else self._say("effect_nothing", effect=said),
            "certain": effect["distinguishable"],
        }

    def _outcome(self, currency: str, given: Mapping[str, Mapping]) -> dict[str, Any] | None:
        """The forecast in a currency as it is and as the scenario moves it."""
        money = {"currency": currency, "terms": "nominal"}
        answer = self._forecast(self._view.series, given or None, **money)
        if answer is None:
            return None
        place = self._view.horizon - 1
        after = _step(answer["path"][place])
        before = _step(answer["baseline"][place]) if given else after
        sides = [one["bands"].get(80, (one["forecast"],) * 2) for one in (before, after)]
        low, high = min(side[0] for side in sides), max(side[1] for side in sides)
        scale = (0.75 * low, 1.2 * high) if low == high or currency == "brl" else (0.85 * low, 1.1 * high)
        draw = partial(charts.moved, before, after if given else None, scale, self._language)
        where = self._say("in_dollars" if currency == "usd" else "in_reais")
        label = self._say(
            "if_chart", where=where, year=after["year"],
            baseline=self._money(before["forecast"], currency), moved=self._money(after["forecast"], currency),
        )  # fmt: skip
        return {
            "where": where,
            "before": before["forecast"],
            "after": after["forecast"],
            "change": self._change(after["forecast"] / before["forecast"] - 1) if given else "",
            "chart": chart(draw, label, (PHONE - 32, HALF - 40)),
            "answer": answer,
        }

    def _tables(self) -> list[dict[str, Any]]:
        """What is behind the chart, in the money of the view: the forecast and the history, newest first."""
        say, tables = self._say, []
        if self._shown.path:
            levels = [level for level in charts.LEVELS if level in self._shown.path[0]["bands"]]
            rows = [
                [str(step["year"]), self._number(step["forecast"])]
                + [" – ".join(self._number(side) for side in step["bands"][level]) for level in reversed(levels)]
                for step in self._shown.path
            ]
            heads = [say("year"), say("median"), *(say("band", level=level) for level in reversed(levels))]
            tables.append({"title": say("table_ahead"), "heads": heads, "rows": rows, "note": self._unit})
        column = COLUMNS[self._view.money]
        rows = [
            [
                str(row["year"]),
                "–" if row[column] is None else self._number(row[column] * self._weight),
                self._number(row["quantity_kg"] / 1000, 1),
                self._number(row["value_usd"] / 1000, 1),
                say("tip_corrected") if row["corrected"] else "",
            ]
            for row in reversed(self._prices(self._view.series))
        ]
        heads = [say("year"), say("price"), say("quantity"), say("value"), say("note")]
        return [*tables, {"title": say("table_past"), "heads": heads, "rows": rows, "note": self._unit}]

    def _csv(self) -> str:
        """What is on screen: the series in the money and measure of the view, unrounded, and where it is from."""
        text = io.StringIO()
        sides = ("q025", "q10", "q90", "q975")
        about = {key: self._answers.provenance[key] for key in ("vintage", "cutoff", "model")}
        writer = csv.DictWriter(
            text, ["series", "year", "unit", "price", "corrected", "forecast", *sides, *about], lineterminator="\n"
        )
        writer.writeheader()
        symbol = {"usd": "US$", "brl": "R$"}[self._view.currency]
        of_year = f" of {self._answers.base_year}" if self._view.terms == "real" else ""
        unit = f"{symbol}{of_year} FOB/{'bottle of 750 ml' if self._view.per == 'bottle' else 'kg'}"
        common = {"series": self._view.series, "unit": unit, **about}
        corrected = set(self._shown.corrected)
        for year, price in sorted(self._shown.prices.items()):
            writer.writerow(common | {"year": year, "price": price, "corrected": year in corrected})
        for step in self._shown.path:
            bands = step["bands"]
            values = [*bands.get(95, ("", ""))[:1], *bands.get(80, ("", "")), *bands.get(95, ("", ""))[1:]]
            row = {"year": step["year"], "forecast": step["forecast"], **dict(zip(sides, values, strict=True))}
            writer.writerow(common | row)
        return text.getvalue()


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    """A year of an answer's path as the charts take it: `year`, `forecast`, and `bands`, level → low and high."""
    bands = {int(level): tuple(sides) for level, sides in (step["intervals"] or {}).items()}
    return {"year": step["year"], "forecast": step["forecast"], "bands": bands}


def _first(words: str) -> str:
    return words[0].upper() + words[1:]
