"""The accuracy report: how far the forecasts were off, and whether their ranges held the price, in both languages.

It is made from the tables of the service, so that neither a pandas nor a model is needed for it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from babel.lists import format_list

from vindima.labels import (
    FLOWS,
    LOCALES,
    TRADE_PRODUCTS,
    Language,
    counted,
    country_name,
    number,
    percent,
    series_name,
)  # fmt: skip
from vindima.quantiles import SIDES
from vindima.series import parts
from vindima.serving import accuracy_charts as charts
from vindima.serving import chance, frame
from vindima.serving.accuracy_charts import YEARS, Covered, Held, Method, Panel, Range
from vindima.serving.answers import Answers
from vindima.serving.charts import alone
from vindima.serving.drawing import BLUE, GREY, HALF, INK, PAIRED, WHOLE, WINE, Drawing, chart
from vindima.serving.drift import error, newest_publication, relative_error, within

Counts = tuple[int, int, int]
"""How many forecasts came due, and of them held in the range of 80 and in that of 95."""

NAME = "accuracy"
NEAR = 3
"""The longest horizon that is scored together with the shorter ones."""
PROMISED = 80
FEWEST_FORECASTS = 30
"""With fewer forecasts that came due a series has no dot: chance alone would explain nearly every share."""
WORST = 10
HELD_OUT = 3
"""How many cutoffs are shown by themselves: the last, which only three, two and one years have come after."""
SMALL_TRADE = 10_000
"""Kilograms: a year with less trade is counted as one of small trade."""
METHODS: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "naive": {"pt": ("repetir o último preço", "repetir"), "en": ("repeating the last price", "repeating")},
    "drift": {"pt": ("tendência", "tendência"), "en": ("drift", "drift")},
    "auto_ets": {"pt": ("AutoETS", "AutoETS"), "en": ("AutoETS", "AutoETS")},
    "auto_arima": {"pt": ("AutoARIMA", "AutoARIMA"), "en": ("AutoARIMA", "AutoARIMA")},
    "auto_theta": {"pt": ("AutoTheta", "AutoTheta"), "en": ("AutoTheta", "AutoTheta")},
    "boosting": {"pt": ("gradient boosting", "boosting"), "en": ("gradient boosting", "boosting")},
    "level": {"pt": ("nível local", "nível local"), "en": ("local level", "local level")},
    "joint": {"pt": ("níveis conjuntos", "conjuntos"), "en": ("joint levels", "joint levels")},
}
"""Name in the tables → what the method is called, and in short."""
READY_MADE = ("drift", "auto_ets", "auto_arima", "auto_theta")
"""The methods that look at one series at a time; naive is what all are held against."""
MACHINE = "boosting"
"""Machine learning, from all series."""
OTHERS = (*READY_MADE, MACHINE)
"""What is shown beside ours and naive."""
SERIES: Mapping[Language, tuple[str, str]] = {"pt": ("série", "séries"), "en": ("series", "series")}
FORECASTS: Mapping[Language, tuple[str, str]] = {"pt": ("previsão", "previsões"), "en": ("forecast", "forecasts")}
CASES: Mapping[Language, tuple[str, str]] = {"pt": ("caso", "casos"), "en": ("case", "cases")}
TOTALS: Mapping[Language, tuple[str, str]] = {"pt": ("total", "totais"), "en": ("total", "totals")}

WORDS: Mapping[str, Mapping[Language, str]] = {
    "title": {
        "pt": "As previsões erram {near} que repetir o último preço",
        "en": "The forecasts err {near} than repeating the last price",
    },
    "title_same": {
        "pt": "As previsões erram tanto quanto repetir o último preço",
        "en": "The forecasts err as much as repeating the last price",
    },
    "title_naive": {
        "pt": "As previsões são o próprio último preço, repetido",
        "en": "The forecasts are the last price itself, repeated",
    },
    "title_far": {"pt": "; a {years}, {far}", "en": "; at {years}, {far}"},
    "far_same": {"pt": "o mesmo tanto", "en": "as much"},
    "less": {"pt": "{share} menos", "en": "{share} less"},
    "more": {"pt": "{share} mais", "en": "{share} more"},
    "deck": {
        "pt": "Medido em {forecasts} de {series}, de 1 a {near} anos à frente, refeitas com cortes de {first} a "
        "{last} e só com os anos até cada corte.",
        "en": "Measured on {forecasts} of {series}, 1 to {near} years ahead, made anew at cutoffs from {first} to "
        "{last}, each with only the years up to it.",
    },
    "deck_one": {
        "pt": "Medido em {forecasts} de {series}, de 1 a {near} anos à frente, refeitas com o corte de {first} e só "
        "com os anos até ele.",
        "en": "Measured on {forecasts} of {series}, 1 to {near} years ahead, made anew at the cutoff {first}, with "
        "only the years up to it.",
    },
    "none_better": {
        "pt": "Nenhum método pronto ({methods}) errou menos que repetir o último preço.",
        "en": "No ready-made method ({methods}) erred less than repeating the last price.",
    },
    "some_better": {
        "pt": "Dos métodos prontos, só estes erraram menos que repetir o último preço: {methods}.",
        "en": "Of the ready-made methods only these erred less than repeating the last price: {methods}.",
    },
    "machine": {
        "pt": "O aprendizado de máquina ({method}) errou {near} que repetir o último preço.",
        "en": "Machine learning ({method}) erred {near} than repeating the last price.",
    },
    "machine_same": {
        "pt": "O aprendizado de máquina ({method}) errou tanto quanto repetir o último preço.",
        "en": "Machine learning ({method}) erred as much as repeating the last price.",
    },
    "errors_note": {
        "pt": "Erro médio absoluto do logaritmo do preço, cada método nas mesmas previsões. Traços verticais: "
        "intervalo de 95%, por reamostragem dos cortes.",
        "en": "Mean absolute error of the log price, each method over the same forecasts. Vertical strokes: 95% "
        "interval, from resampling the cutoffs.",
    },
    "drift_note": {
        "pt": "Tendência: o último preço mais a variação média do passado.",
        "en": "Drift: the last price plus the mean change of the past.",
    },
    "machine_note": {
        "pt": "Gradient boosting: árvores de decisão do scikit-learn, que a cada corte aprendem com todas as séries.",
        "en": "Gradient boosting: decision trees of scikit-learn, which learn from all series at each cutoff.",
    },
    "all_methods": {"pt": "Todos os métodos, em números", "en": "All methods, in numbers"},
    "near_horizons": {"pt": "1 a {near} anos à frente", "en": "1 to {near} years ahead"},
    "far_horizon": {"pt": "{years} à frente", "en": "{years} ahead"},
    "interval": {"pt": "intervalo de 95%: {low} a {high}", "en": "95% interval: {low} to {high}"},
    "beside_naive": {"pt": "erro, contra repetir o último preço", "en": "error, against repeating the last price"},
    "ours": {"pt": "o nosso", "en": "ours"},
    "tip_forecasts": {"pt": "{forecasts} de {series}", "en": "{forecasts} of {series}"},
    "method": {"pt": "Método", "en": "Method"},
    "calibration": {"pt": "A faixa cumpre o que promete?", "en": "Does the range keep its promise?"},
    "kept": {
        "pt": "No conjunto, sim: conteve {share} dos preços",
        "en": "On the whole, yes: it held {share} of the prices",
    },
    "not_kept": {
        "pt": "No conjunto, não: conteve só {share} dos preços",
        "en": "On the whole, no: it held only {share} of the prices",
    },
    "below": {
        "pt": ". Em {below} de {series}, menos do que o acaso explica; em {above}, mais",
        "en": ". In {below} of {series}, fewer than chance explains; in {above}, more",
    },
    "none_below": {
        "pt": ". Em nenhuma de {series}, menos do que o acaso explica; em {above}, mais",
        "en": ". In none of {series}, fewer than chance explains; in {above}, more",
    },
    "dots_text": {
        "pt": "Cada círculo é uma série com ao menos {fewest} previsões vencidas, de 1 a {near} anos à frente; os "
        "cheios são totais. Com {median} previsões (a mediana, a área cinza), conter de {low} a {high} pode ser só "
        "acaso, e um pouco além: as previsões se sobrepõem. O acaso sozinho deixaria fora disso {expected} de "
        "{series}; ficaram {below} abaixo e {above} acima, onde a faixa foi mais larga que o preciso.",
        "en": "Each circle is a series with at least {fewest} forecasts that came due, 1 to {near} years ahead; the "
        "filled ones are totals. With {median} forecasts (the median, the grey area), holding {low} to {high} may "
        "be mere chance, and a little beyond: forecasts overlap. Chance alone would leave {expected} of {series} "
        "outside; {below} lie below and {above} above, where the range was wider than needed.",
    },
    "below_names": {"pt": "Abaixo: {names}.", "en": "Below: {names}."},
    "no_dots": {
        "pt": "Nenhuma série tem ainda {fewest} previsões vencidas, de 1 a {near} anos à frente: com menos, quase "
        "toda proporção pode ser só acaso.",
        "en": "No series has {fewest} forecasts that came due yet, 1 to {near} years ahead: with fewer, nearly "
        "every share may be mere chance.",
    },
    "tip_held": {
        "pt": "a faixa de 80 conteve {held} de {due} ({share})",
        "en": "the range of 80 held {held} of {due} ({share})",
    },
    "verdict_-1": {"pt": "menos do que o acaso explica", "en": "fewer than chance explains"},
    "verdict_0": {"pt": "pode ser só acaso", "en": "may be mere chance"},
    "verdict_1": {"pt": "mais do que o acaso explica", "en": "more than chance explains"},
    "too_few": {"pt": "poucas previsões", "en": "few forecasts"},
    "totals": {"pt": "Os totais, de todos os países", "en": "The totals, of all countries"},
    "too_narrow": {
        "pt": "A faixa foi estreita demais em {count} de {totals}: {names}",
        "en": "The range was too narrow for {count} of {totals}: {names}",
    },
    "none_narrow": {
        "pt": "Em nenhum total a faixa conteve menos do que o acaso explica",
        "en": "For no total did the range hold fewer than chance explains",
    },
    "totals_text": {
        "pt": "Previsões de 1 a {near} anos à frente cuja faixa de 80 conteve o preço. ◀ e ▶: menos e mais do que o "
        "acaso explica com tantas previsões.",
        "en": "Forecasts 1 to {near} years ahead whose range of 80 held the price. ◀ and ▶: fewer and more than "
        "chance explains with as many forecasts.",
    },
    "by_product": {"pt": "Por produto", "en": "By product"},
    "by_product_title": {
        "pt": "A faixa de 80 conteve de {low}% dos preços, em {lowest}, a {high}%, em {highest}",
        "en": "The range of 80 held from {low}% of the prices, for {lowest}, to {high}%, for {highest}",
    },
    "by_one_title": {
        "pt": "A faixa de 80 conteve {low}% dos preços, em {lowest}",
        "en": "The range of 80 held {low}% of the prices, for {lowest}",
    },
    "by_horizon": {"pt": "Por horizonte", "en": "By horizon"},
    "by_horizon_title": {
        "pt": "A faixa de 80 conteve {low}% dos preços a {first} e {high}% a {last}",
        "en": "The range of 80 held {low}% of the prices at {first} and {high}% at {last}",
    },
    "coverage_text": {
        "pt": "Cheio: a faixa de 80 em 100; aberto: a de 95. Linhas: o prometido. Cinza: o que, na de 80, pode ser "
        "só acaso; ◀ e ▶: menos e mais que isso. À direita, os dois números.",
        "en": "Filled: the range of 80 in 100; open: that of 95. Lines: what was promised. Grey: what may be mere "
        "chance in that of 80; ◀ and ▶: fewer and more than that. At the right, both numbers.",
    },
    "chance_text": {
        "pt": "As previsões de um mesmo corte erram juntas, e as de cortes vizinhos preveem em parte os mesmos anos: "
        "por isso o acaso explica mais aqui do que se cada previsão fosse independente (erros-padrão de Driscoll e "
        "Kraay, entre cortes; a 95%).",
        "en": "Forecasts of one cutoff err together, and those of neighbouring cutoffs forecast partly the same "
        "years: so chance explains more here than if each forecast stood alone (standard errors of Driscoll and "
        "Kraay, over cutoffs; at 95%).",
    },
    "chance_unknown": {
        "pt": "São poucos os cortes para dizer o que pode ser só acaso.",
        "en": "There are too few cutoffs to say what may be mere chance.",
    },
    "more_than_chance": {
        "pt": "; mais do que o acaso explica {where}",
        "en": "; more than chance explains {where}",
    },
    "fewer_than_chance": {
        "pt": "; menos do que o acaso explica {where}",
        "en": "; fewer than chance explains {where}",
    },
    "for_products": {"pt": "em {names}", "en": "for {names}"},
    "at_horizons": {"pt": "a {names}", "en": "at {names}"},
    "from_horizon": {"pt": "a partir de {first}", "en": "from {first} on"},
    "tip_level": {
        "pt": "faixa de {level}: conteve {held} de {due} ({share})",
        "en": "range of {level}: held {held} of {due} ({share})",
    },
    "tip_chance": {
        "pt": "só acaso: de {low} a {high}",
        "en": "mere chance: {low} to {high}",
    },
    "every_series": {"pt": "Todas as séries, uma a uma", "en": "Every series, one by one"},
    "search": {"pt": "Procurar uma série", "en": "Search for a series"},
    "series": {"pt": "Série", "en": "Series"},
    "due": {"pt": "Vencidas", "en": "Came due"},
    "held_80": {"pt": "Na faixa de 80", "en": "In the range of 80"},
    "held_95": {"pt": "Na faixa de 95", "en": "In the range of 95"},
    "share": {"pt": "Parte", "en": "Share"},
    "against_chance": {"pt": "Contra o acaso", "en": "Against chance"},
    "earlier": {"pt": "As previsões de antes sobre o que veio", "en": "Earlier forecasts over what came"},
    "earlier_title": {
        "pt": "A um ano, a faixa conteve {held} de {due} preços dos totais",
        "en": "One year ahead, the range held {held} of {due} prices of the totals",
    },
    "earlier_worst": {
        "pt": "; falhou mais em {names} ({missed} de {of})",
        "en": "; it failed most for {names} ({missed} of {of})",
    },
    "earlier_text": {
        "pt": "Linha preta: o preço. Barras: a faixa de 80 em 100 de cada previsão feita um ano antes, com a "
        "previsão como traço. Círculos abertos: preços fora da faixa.",
        "en": "Black line: the price. Bars: the range of 80 in 100 of each forecast made one year before, with the "
        "forecast as a stroke. Open circles: prices outside the range.",
    },
    "panel": {"pt": "{flow} · {held} de {due}", "en": "{flow} · {held} of {due}"},
    "came": {"pt": "veio {price}", "en": "came {price}"},
    "forecast_in": {
        "pt": "previsto em {cutoff}: {price} ({low} a {high})",
        "en": "forecast in {cutoff}: {price} ({low} to {high})",
    },
    "last_price": {"pt": "último preço: {price}", "en": "last price: {price}"},
    "outside_80": {"pt": "fora da faixa de 80", "en": "outside the range of 80"},
    "outside_95": {"pt": "fora também da de 95", "en": "outside that of 95 too"},
    "inside": {"pt": "na faixa de 80", "en": "in the range of 80"},
    "in_reais": {"pt": "Em reais", "en": "In reais"},
    "reais_title": {
        "pt": "Em reais, a faixa de 80 em 100 conteve {nominal} de cada 100 preços, e {real} em reais de um ano só",
        "en": "In reais the range of 80 in 100 held {nominal} of 100 prices, and {real} in reais of one year",
    },
    "reais_text": {
        "pt": "A previsão em reais espera também um câmbio, com o que se sabia no ano do corte, e sua faixa conhece "
        "esse risco. O erro está ao lado de repetir o último preço ao câmbio do seu ano; até {near} anos à frente. "
        "Um só câmbio move todas as séries: são contagens de poucos anos.",
        "en": "The forecast in reais expects an exchange rate too, by what was known in the cutoff year, and its "
        "range knows that risk. The error is beside repeating the last price at the rate of its year; up to {near} "
        "years ahead. One rate moves all series: these are counts of few years.",
    },
    "reais_each": {"pt": "Todas as séries, os totais e cada total", "en": "All series, the totals and each total"},
    "terms_nominal": {"pt": "reais correntes", "en": "nominal reais"},
    "terms_real": {"pt": "reais do ano do corte", "en": "reais of the cutoff year"},
    "all_series": {"pt": "todas as séries", "en": "all series"},
    "money": {"pt": "Moeda", "en": "Money"},
    "error": {"pt": "Erro", "en": "Error"},
    "hold_out": {"pt": "Como se os dados acabassem antes", "en": "As if the data ended earlier"},
    "hold_out_text": {
        "pt": "O que o modelo diria com dados só até cada corte, e o que veio depois: todas as previsões até {last}, "
        "um corte por linha.",
        "en": "What the model would have said with data to each cutoff alone, and what came after it: all forecasts "
        "up to {last}, one cutoff a line.",
    },
    "for_years": {"pt": "Para", "en": "For"},
    "published": {"pt": "Como foram publicadas", "en": "As they were published"},
    "none_due": {
        "pt": "Nenhuma previsão publicada venceu ainda",
        "en": "No published forecast has come due yet",
    },
    "none_due_text": {
        "pt": "Quando saírem os preços de {year}, as previsões publicadas com dados até {cutoff} serão postas aqui "
        "ao lado deles, sem mudança.",
        "en": "When the prices of {year} come, the forecasts published with data to {cutoff} will stand here beside "
        "them, unchanged.",
    },
    "due_title": {
        "pt": "De {forecasts} publicadas antes de se conhecer {year}, a faixa de 80 conteve o preço em {held}, e a "
        "de 95 em {held_95}",
        "en": "Of {forecasts} published before {year} was known, the range of 80 held the price for {held}, and "
        "that of 95 for {held_95}",
    },
    "due_text": {
        "pt": "Foram feitas com dados até {cutoff} (edição {vintage}) e estão aqui como saíram. O erro foi "
        "{verdict} repetir o último preço.",
        "en": "They were made with data to {cutoff} (vintage {vintage}) and stand here as they came out. The error "
        "was {verdict} repeating the last price.",
    },
    "due_plain": {
        "pt": "Foram feitas com dados até {cutoff} (edição {vintage}) e estão aqui como saíram.",
        "en": "They were made with data to {cutoff} (vintage {vintage}) and stand here as they came out.",
    },
    "error_less": {"pt": "{share} menor que o de", "en": "{share} smaller than that of"},
    "error_more": {"pt": "{share} maior que o de", "en": "{share} larger than that of"},
    "error_same": {"pt": "igual ao de", "en": "the same as that of"},
    "missed_95": {"pt": "Fora até da faixa de 95: {names}.", "en": "Outside even the range of 95: {names}."},
    "ranges_text": {
        "pt": "Os totais. Barra escura e clara: faixas de 80 e de 95; traço: a previsão; círculo aberto: o último "
        "preço conhecido; cheio: o que veio. ◀ ▶: fora da faixa de 80.",
        "en": "The totals. Dark and light bar: ranges of 80 and 95; stroke: the forecast; open circle: the last "
        "known price; filled: what came. ◀ ▶: outside the range of 80.",
    },
    "every_due": {"pt": "Todas as publicadas e vencidas", "en": "All that were published and came due"},
    "year": {"pt": "Ano", "en": "Year"},
    "cutoff": {"pt": "Dados até", "en": "Data to"},
    "forecast": {"pt": "Previsto", "en": "Forecast"},
    "range_80": {"pt": "Faixa de 80", "en": "Range of 80"},
    "repeated": {"pt": "Último preço", "en": "Last price"},
    "what_came": {"pt": "Veio", "en": "Came"},
    "result": {"pt": "Resultado", "en": "Result"},
    "key_totals": {"pt": "todos os totais, um ano à frente", "en": "all totals, one year ahead"},
    "key_80": {"pt": "na faixa de 80", "en": "in the range of 80"},
    "key_95": {"pt": "na faixa de 95", "en": "in the range of 95"},
    "worst": {
        "pt": "Os maiores erros a um ano; o maior:",
        "en": "The largest errors one year ahead; the largest:",
    },
    "worst_title": {
        "pt": "{place}, {year}: previsto {forecast}, veio {came}",
        "en": "{place}, {year}: forecast {forecast}, came {came}",
    },
    "worst_text": {
        "pt": "{count} de {due}, por erro do logaritmo do preço. Barra escura e clara: faixas de 80 e de 95; traço: "
        "a previsão; aberto: o último preço; cheio: o que veio. ◀ ▶: fora da faixa de 80.",
        "en": "{count} of {due}, by error of the log price. Dark and light bar: ranges of 80 and 95; stroke: the "
        "forecast; open: the last price; filled: what came. ◀ ▶: outside the range of 80.",
    },
    "trade": {"pt": "Quanto se comerciou nesses anos", "en": "How much was traded in those years"},
    "trade_title": {
        "pt": "Em {fell} de {cases}, a quantidade caiu a menos da metade",
        "en": "In {fell} of {cases}, the quantity fell to less than half",
    },
    "trade_none": {
        "pt": "Em nenhum deles a quantidade caiu a menos da metade",
        "en": "In none of them did the quantity fall to less than half",
    },
    "trade_text": {
        "pt": "Em {small} de {cases}, o ano da previsão teve menos de {limit} de comércio.",
        "en": "In {small} of {cases}, the year that was forecast had less than {limit} of trade.",
    },
    "times_more": {"pt": "{times} vezes o previsto", "en": "{times} times the forecast"},
    "times_less": {"pt": "o previsto era {times} vezes isso", "en": "the forecast was {times} times that"},
    "went": {
        "pt": "Previsto {forecast} ({low} a {high}), veio {came}: {times}.",
        "en": "Forecast {forecast} ({low} to {high}), came {came}: {times}.",
    },
    "traded": {
        "pt": "Comércio: {before} em {cutoff}, {after} em {year} ({change}).",
        "en": "Trade: {before} in {cutoff}, {after} in {year} ({change}).",
    },
    "traded_only": {"pt": "Comércio em {year}: {after}.", "en": "Trade in {year}: {after}."},
    "corrected": {
        "pt": "O preço de {years} é um valor corrigido.",
        "en": "The price of {years} is a corrected figure.",
    },
    "source": {
        "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, dados até {cutoff}); previsão: modelo "
        "{model}. Medido: o erro absoluto do logaritmo do preço, de cada método nas mesmas previsões; o modelo de "
        "hoje, ajustado de novo em cada corte só com os anos até ele. Preços que se apoiam numa correção provável "
        "ficam fora. O preço é o valor unitário do comércio exterior, FOB por quilograma, em dólares correntes.",
        "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, data to {cutoff}); forecast: model "
        "{model}. Measured: the absolute error of the log price, of each method over the same forecasts; today's "
        "model, fitted anew at each cutoff with only the years up to it. Prices that rest on a likely correction "
        "are left out. The price is the unit value of foreign trade, FOB a kilogram, in nominal dollars.",
    },
}
"""Every sentence of the report in both languages."""


def page(
    answers: Answers, asked: Mapping[str, str], language: Language, addresses: Mapping[str, str] | None = None
) -> str:
    """HTML of the accuracy report, from the answers of the set that is served; it has no choices, so none is read.

    `addresses` are those of a page that is a file (`frame.page`).
    """
    told = _Told(answers, language)
    title, deck = told.headline()
    return frame.page(
        NAME,
        language,
        title,
        "accuracy.html.j2",
        addresses,
        title=title,
        deck=deck,
        words={name: text[language] for name, text in WORDS.items()},
        errors=told.errors(title),
        calibration=told.calibration(),
        totals=told.totals(),
        coverage=told.coverage(),
        series=told.every_series(),
        earlier=told.earlier(),
        reais=told.in_reais(),
        hold_out=told.hold_out(),
        published=told.published(),
        worst=told.worst(),
        source=told.say("source", **answers.provenance),
    )


def pictures(answers: Answers, language: Language) -> dict[str, Drawing]:
    """The errors by horizon and method and the coverage by product, each with a title and where it is from."""
    told = _Told(answers, language)
    title, _ = told.headline()
    source = told.say("source", **answers.provenance)
    by_product, _ = told.coverage()
    read = f"{told.say('coverage_text')} {source}"
    return {
        "errors": alone(told.errors(title)["draw"](HALF), title, f"{told.say('errors_note')} {source}"),
        "coverage": alone(by_product["draw"](HALF), by_product["title"], read),
    }


class _Told:
    """The parts of the report, each a title, sentences, figures and tables, from `answers` in `language`."""

    def __init__(self, answers: Answers, language: Language) -> None:
        self.answers, self.language = answers, language
        self.model: str = answers.provenance["model"]
        self.scores: dict[tuple[str, str], dict[str, dict]] = {}
        for row in answers.rows("select * from scores where actuals = 'corrected'"):
            self.scores.setdefault((row["by"], row["group"]), {})[row["model"]] = row
        self.all = self.scores["all", "all"]
        self.horizons = sorted(int(group) for by, group in self.scores if by == "horizon")
        self.held = answers.rows(
            "select series, sum(n_forecasts) as due, sum(held_80) as held_80, sum(held_95) as held_95 from record "
            "where money = 'usd' and horizon <= ? group by series order by series",
            (NEAR,),
        )
        self.ahead = answers.rows("select * from past where horizon = 1 and actual is not null order by series, year")
        self.prices = {
            (row["series"], row["year"]): row
            for row in answers.rows("select series, year, quantity_kg, price_usd_kg, corrected from prices")
        }

    # ---- words

    def say(self, name: str, **values: object) -> str:
        return WORDS[name][self.language].format(**values)

    def percent(self, share: float, plus: bool = False) -> str:
        return percent(share, 0, self.language, plus)

    def of_hundred(self, share: float) -> str:
        return number(100 * share, 0, self.language)

    def money(self, price: float) -> str:
        return f"US$\N{NO-BREAK SPACE}{number(price, 2, self.language)}"

    def plain(self, price: float) -> str:
        return number(price, 2, self.language)

    def years(self, count: int) -> str:
        return counted(count, *YEARS[self.language], self.language).replace(" ", "\N{NO-BREAK SPACE}")

    def forecasts(self, count: int) -> str:
        return counted(count, *FORECASTS[self.language], self.language)

    def many_series(self, count: int) -> str:
        return counted(count, *SERIES[self.language], self.language)

    def cases(self, count: int) -> str:
        return counted(count, *CASES[self.language], self.language)

    def listed(self, names: Iterable[str], style: Literal["standard", "or"] = "standard") -> str:
        return format_list(list(names), style, LOCALES[self.language])

    def weight(self, kilograms: float) -> str:
        if kilograms < 1000:
            return f"{number(kilograms, 0, self.language)}\N{NO-BREAK SPACE}kg"
        places = 1 if kilograms < 100_000 and kilograms % 1000 else 0
        return f"{number(kilograms / 1000, places, self.language)}\N{NO-BREAK SPACE}t"

    def place(self, series: str) -> str:
        """'imports.table_wine' → 'imports of table wine'; of a country, with its name after it in brackets."""
        flow, product, country = parts(series)
        of = {"pt": "de", "en": "of"}[self.language]
        name = f"{FLOWS[flow][self.language].lower()} {of} {TRADE_PRODUCTS[product][self.language]}"
        return f"{name} ({country_name(country, self.language)})" if country else name

    def row_name(self, series: str) -> str:
        flow, product, _ = parts(series)
        return f"{FLOWS[flow][self.language]}, {TRADE_PRODUCTS[product][self.language]}"

    def method(self, name: str, short: bool = False) -> str:
        named = METHODS.get(name, {self.language: (name, name)})[self.language][short]
        return f"{self.say('ours')} ({named})" if name == self.model and not short else named

    # ---- errors

    def headline(self) -> tuple[str, str]:
        near, ours = self.all, self.all[self.model]
        if self.model == "naive":
            title = self.say("title_naive")
        else:
            compared = self.compared(ours["mae_rel_naive"])
            title = self.say("title", near=compared) if compared else self.say("title_same")
            if self.horizons[-1] > NEAR:
                last = self.horizons[-1]
                far = self.compared(self.scores["horizon", str(last)][self.model]["mae_rel_naive"])
                title += self.say("title_far", years=self.years(last), far=far or self.say("far_same"))
        first, last = self.answers.rows(
            "select min(cutoff), max(cutoff) from past where horizon <= ? and actual is not null", (NEAR,), raw=True
        )[0]
        deck = self.say(
            "deck" if first != last else "deck_one",
            forecasts=self.forecasts(ours["n_forecasts"]), series=self.many_series(ours["n_series"]), near=NEAR,
            first=first, last=last,
        )  # fmt: skip
        ready = [name for name in READY_MADE if name in near and name != self.model]
        better = [name for name in ready if near[name]["mae_rel_naive"] < 1]
        if ready:
            names = self.listed((self.method(name) for name in better or ready), "standard" if better else "or")
            deck += " " + self.say("some_better" if better else "none_better", methods=names)
        if MACHINE in near and self.model != MACHINE:
            compared = self.compared(near[MACHINE]["mae_rel_naive"])
            words = self.say("machine" if compared else "machine_same", method=self.method(MACHINE), near=compared)
            deck += f" {words}"
        return title, deck

    def compared(self, ratio: float) -> str:
        """'10% less', '3% more', or '' where it rounds to neither."""
        share = self.percent(abs(ratio - 1))
        if share == self.percent(0):
            return ""
        return self.say("less" if ratio < 1 else "more", share=share)

    def errors(self, title: str) -> dict[str, Any]:
        best = min((name for name in OTHERS if name in self.all), key=self.mae, default="")
        shown = [name for name in OTHERS if name in self.all and name not in (self.model, "naive")]
        methods = [
            Method(self.method(name), self.method(name, True), BLUE if name == best else GREY, self.points(name))
            for name in sorted(shown, key=self.mae)
        ]
        if self.model != "naive":
            ours = self.say("ours")
            methods.append(Method(ours, ours, WINE, self.points(self.model), wide=True))
        named, short = METHODS["naive"][self.language]
        named = f"{self.say('ours')} ({short})" if self.model == "naive" else named
        repeat = Method(named, short, INK, self.points("naive"))
        tips = [self.errors_tip(horizon) for horizon in self.horizons]
        label = f"{title}. " + ". ".join(
            f"{method.name}: "
            + self.listed(f"{self.percent(point[0], True)} ({self.years(h)})" for h, point in method.points.items())
            for method in methods
        )
        keys = [] if self.model == "naive" else [self.key(self.model, "all", "all")]
        if self.model != "naive" and self.horizons[-1] > NEAR:
            keys.append(self.key(self.model, "horizon", str(self.horizons[-1])))
        if best and best != self.model:
            keys.append(self.key(best, "all", "all"))
        draw = partial(charts.errors, methods, repeat, self.language)
        return {
            "draw": draw,
            "chart": chart(draw, label, WHOLE, tips),
            "keys": keys,
            "drift": "drift" in shown,
            "machine": MACHINE in shown,
            "table": self.errors_table(),
        }

    def mae(self, name: str) -> float:
        return self.all[name]["mae"]

    def points(self, name: str) -> dict[int, charts.Beside]:
        """Horizon → error of the method less that of naive, as a share of it, and the interval where it is known."""
        rows = {horizon: self.scores["horizon", str(horizon)].get(name) for horizon in self.horizons}
        return {
            horizon: (row["mae_rel_naive"] - 1, self.interval(row))
            for horizon, row in rows.items()
            if row is not None
        }

    def interval(self, row: Mapping[str, Any]) -> tuple[float, float] | None:
        low, high = row["mae_rel_naive_low"], row["mae_rel_naive_high"]
        return None if low is None or high is None else (low - 1, high - 1)

    def beside(self, row: Mapping[str, Any]) -> str:
        """'−8% (−12% to −4%)', without the interval where none is known, or where it is naive beside itself."""
        alone = self.percent(row["mae_rel_naive"] - 1, True)
        near = self.interval(row)
        if near is None or row["model"] == "naive":
            return alone
        to = {"pt": "a", "en": "to"}[self.language]
        sides = (f"({self.percent(near[0], True)}", to, f"{self.percent(near[1], True)})")
        return f"{alone} " + "\N{NO-BREAK SPACE}".join(sides)

    def errors_tip(self, horizon: int) -> str:
        rows = self.scores["horizon", str(horizon)]
        shown = [*OTHERS, *([] if self.model in OTHERS else [self.model])]
        lines = [
            f"{self.say('ours') if name == self.model else self.method(name)}: {self.beside(rows[name])}"
            for name in sorted((name for name in shown if name in rows), key=lambda name: rows[name]["mae"])
            if name != "naive"
        ]
        count = rows[self.model]
        forecasts, series = self.forecasts(count["n_forecasts"]), self.many_series(count["n_series"])
        counts = self.say("tip_forecasts", forecasts=forecasts, series=series)
        return "\n".join([self.say("far_horizon", years=self.years(horizon)), *lines, counts])

    def key(self, name: str, by: str, group: str) -> dict[str, Any]:
        row = self.scores[by, group][name]
        when = (
            self.say("near_horizons", near=NEAR)
            if by == "all"
            else self.say("far_horizon", years=self.years(int(group)))
        )
        near = self.interval(row)
        known = (
            self.say("interval", low=self.percent(near[0], True), high=self.percent(near[1], True)) if near else ""
        )
        return {
            "about": f"{self.say('ours') if name == self.model else self.method(name)}, {when}",
            "number": self.percent(row["mae_rel_naive"] - 1, True),
            "note": known,
            "ours": name == self.model,
        }

    def errors_table(self) -> dict[str, Any]:
        groups = [("all", "all"), *(("horizon", str(horizon)) for horizon in self.horizons)]
        heads = [self.say("near_horizons", near=NEAR), *(self.years(horizon) for horizon in self.horizons)]
        rows = [
            [
                self.method(name),
                *(self.beside(self.scores[group][name]) if name in self.scores[group] else "–" for group in groups),
            ]
            for name in sorted(self.all, key=self.mae)
        ]
        return {"heads": [self.say("method"), *heads], "rows": rows}

    # ---- calibration

    def calibration(self) -> dict[str, Any]:
        held, due = (sum(row[name] for row in self.held) for name in ("held_80", "due"))
        share = held / due
        title = self.say("kept" if share >= PROMISED / 100 else "not_kept", share=self.percent(share))
        enough = [row for row in self.held if row["due"] >= FEWEST_FORECASTS]
        if not enough:
            text = self.say("no_dots", fewest=FEWEST_FORECASTS, near=NEAR)
            return {"title": title, "text": text, "chart": "", "names": ""}
        median = sorted(row["due"] for row in enough)[len(enough) // 2]
        fewest, most = chance.explains(median)
        low, high = 100 * (fewest - 0.5) / median, 100 * (most + 0.5) / median
        ordered = sorted(enough, key=lambda row: (row["held_80"] / row["due"], row["series"]))
        shown = [self.one_held(row, series_name(row["series"], self.language)) for row in ordered]
        below = [one for one in shown if one.verdict < 0]
        series = self.many_series(len(shown))
        above = sum(one.verdict > 0 for one in shown)
        title += self.say("below" if below else "none_below", below=len(below), series=series, above=above)
        outside = math.fsum(chance.outside(row["due"]) for row in enough)
        text = self.say(
            "dots_text", fewest=FEWEST_FORECASTS, near=NEAR, median=median, low=fewest, high=most, series=series,
            expected=number(outside, 0, self.language), below=len(below), above=above,
        )  # fmt: skip
        names = self.say("below_names", names="; ".join(f"{one.name} ({self.said_held(one)})" for one in below))
        return {
            "title": title,
            "text": text,
            "names": names if below else "",
            "chart": chart(
                partial(charts.dots, shown, (low, high), self.language),
                f"{title}. {text}", PAIRED, [self.held_tip(one) for one in shown], across=1,
            ),
        }  # fmt: skip

    def one_held(self, row: Mapping[str, Any], name: str) -> Held:
        held, due = row["held_80"], row["due"]
        return Held(name, held, due, parts(row["series"])[2] is None, chance.verdict(held, due))

    def said_held(self, one: Held) -> str:
        return charts.written("of", self.language, held=one.held, due=one.due)

    def held_tip(self, one: Held) -> str:
        held = self.say("tip_held", held=one.held, due=one.due, share=self.percent(one.share / 100))
        return "\n".join([one.name, held, self.say(f"verdict_{one.verdict}")])

    def totals(self) -> dict[str, Any] | None:
        rows = [row for row in self.held if parts(row["series"])[2] is None]
        if not rows:
            return None
        rows = sorted(rows, key=lambda row: -row["held_80"] / row["due"])
        shown = [self.one_held(row, self.row_name(row["series"])) for row in rows]
        narrow = [row["series"] for row, one in zip(rows, shown, strict=True) if one.verdict < 0]
        title = self.say(
            "too_narrow", count=len(narrow), totals=counted(len(shown), *TOTALS[self.language], self.language),
            names=self.listed(map(self.place, narrow)),
        ) if narrow else self.say("none_narrow")  # fmt: skip
        label = f"{title}. " + "; ".join(f"{one.name}: {self.said_held(one)}" for one in shown)
        draw = partial(charts.ranked, shown, self.language)
        return {
            "title": title,
            "text": self.say("totals_text", near=NEAR),
            "chart": chart(draw, label, PAIRED, [self.held_tip(one) for one in shown], across=1),
        }

    def coverage(self) -> list[dict[str, Any]]:
        """By product and by horizon: how often the ranges of the published model held, and against chance."""
        products: dict[str, dict[int, Counts]] = {}
        horizons: dict[int, dict[int, Counts]] = {}
        for row in self.answers.rows(
            "select series, horizon, cutoff, actual between q10 and q90 as held_80, "
            "actual between q025 and q975 as held_95 from past where actual is not null"
        ):
            groups = [horizons.setdefault(row["horizon"], {})]
            if row["horizon"] <= NEAR:
                groups.append(products.setdefault(parts(row["series"])[1], {}))
            for group in groups:
                due, near, wide = group.get(row["cutoff"], (0, 0, 0))
                group[row["cutoff"]] = due + 1, near + row["held_80"], wide + row["held_95"]
        by_product = [
            self.covered(TRADE_PRODUCTS[product][self.language], products[product], NEAR - 1)
            for product in TRADE_PRODUCTS
            if product in products
        ]
        by_product.sort(key=lambda row: row.shares[0])
        by_horizon = [self.covered(self.years(h), horizons[h], h - 1) for h in sorted(horizons)]
        lowest, highest, first, last = by_product[0], by_product[-1], by_horizon[0], by_horizon[-1]
        product_title = self.say(
            "by_product_title" if len(by_product) > 1 else "by_one_title", lowest=lowest.name, highest=highest.name,
            low=self.of_hundred(lowest.shares[0]), high=self.of_hundred(highest.shares[0]),
        )  # fmt: skip
        horizon_title = self.say(
            "by_horizon_title", first=first.name, last=last.name,
            low=self.of_hundred(first.shares[0]), high=self.of_hundred(last.shares[0]),
        )  # fmt: skip
        return [
            self.covered_part("by_product", product_title, by_product),
            self.covered_part("by_horizon", horizon_title, by_horizon),
        ]

    def covered(self, name: str, counts: Mapping[int, Counts], overlap: int) -> Covered:
        due, *held = (sum(column) for column in zip(*counts.values(), strict=True))
        near = {cutoff: (count, inside) for cutoff, (count, inside, _) in counts.items()}
        spread = chance.spread(near, PROMISED / 100, overlap)
        off = held[0] / due - PROMISED / 100
        verdict = 0 if spread is None or abs(off) <= spread else 1 if off > 0 else -1
        return Covered(name, due, (held[0], held[1]), spread, verdict)

    def covered_part(self, kicker: str, title: str, rows: Sequence[Covered]) -> dict[str, Any]:
        for verdict, words in ((-1, "fewer_than_chance"), (1, "more_than_chance")):
            names = [row.name for row in rows if row.verdict == verdict]
            if not names:
                continue
            where = self.say("for_products" if kicker == "by_product" else "at_horizons", names=self.listed(names))
            if kicker == "by_horizon" and len(names) > 1 and names == [row.name for row in rows[-len(names) :]]:
                where = self.say("from_horizon", first=names[0])
            title += self.say(words, where=where)
        label = f"{title}. " + "; ".join(self.covered_tip(row).replace("\n", ", ") for row in rows)
        draw = partial(charts.coverage, rows, self.language)
        drawn = chart(draw, label, PAIRED, list(map(self.covered_tip, rows)), across=1)
        known = all(row.spread is not None for row in rows)
        note = self.say("chance_text" if known else "chance_unknown")
        return {"kicker": self.say(kicker), "title": title, "draw": draw, "chart": drawn, "note": note}

    def covered_tip(self, row: Covered) -> str:
        lines = [row.name]
        for level, held, share in zip(SIDES, row.held, row.shares, strict=True):
            share_said = percent(share, 1, self.language)
            lines.append(self.say("tip_level", level=level, held=held, due=row.due, share=share_said))
            if level == PROMISED and row.spread is not None:
                low, high = (number(PROMISED + side * 100 * row.spread, 1, self.language) for side in (-1, 1))
                lines.append(f"{self.say('tip_chance', low=low, high=high)}: {self.say(f'verdict_{row.verdict}')}")
        return "\n".join(lines)

    def every_series(self) -> dict[str, Any]:
        heads = ["series", "due", "held_80", "share", "held_95", "share", "against_chance"]
        rows = []
        for row in sorted(self.held, key=lambda row: series_name(row["series"], self.language)):
            due, held, wide = row["due"], row["held_80"], row["held_95"]
            few = due < FEWEST_FORECASTS
            verdict = self.say("too_few" if few else f"verdict_{chance.verdict(held, due)}")
            shares = ["–" if few else self.percent(count / due) for count in (held, wide)]
            rows.append([series_name(row["series"], self.language), due, held, shares[0], wide, shares[1], verdict])
        return {"heads": [self.say(head) for head in heads], "rows": rows, "count": self.many_series(len(rows))}

    # ---- in reais

    def in_reais(self) -> dict[str, Any] | None:
        """How the forecasts in reais did: all series, the totals together and each; None where there are none."""
        rows = self.answers.rows("select * from scores_reais order by terms, rowid")
        if not rows:
            return None
        lines = [
            [
                self.group_name(row["group"]), self.say(f"terms_{row['terms']}"), row["n_forecasts"],
                self.percent(row["mae_rel_naive"] - 1, True), row["held_80"], self.percent(row["coverage_80"]),
                row["held_95"], self.percent(row["coverage_95"]),
            ]
            for row in rows
        ]  # fmt: skip
        shares = {row["terms"]: self.of_hundred(row["coverage_80"]) for row in rows if row["group"] == "all"}
        heads = ["series", "money", "due", "error", "held_80", "share", "held_95", "share"]
        return {
            "title": self.say("reais_title", **shares),
            "text": self.say("reais_text", near=NEAR),
            "table": {"heads": [self.say(head) for head in heads], "rows": lines},
        }

    def group_name(self, group: str) -> str:
        if group == "all":
            return self.say("all_series")
        return TOTALS[self.language][1] if group == "totals" else self.row_name(group)

    # ---- what came

    def hold_out(self) -> dict[str, Any] | None:
        """What was forecast at each of the last cutoffs against what came; None where nothing did."""
        rows = self.answers.rows("select * from past where actual is not null order by cutoff, series, horizon")
        lines = []
        for cutoff in sorted({row["cutoff"] for row in rows})[-HELD_OUT:]:
            made = [row for row in rows if row["cutoff"] == cutoff]
            totals = [row for row in made if parts(row["series"])[2] is None]
            lines += [
                self.held_out(cutoff, "all", made),
                *([self.held_out(cutoff, "totals", totals)] if totals else []),
            ]
        if not lines:
            return None
        heads = ["cutoff", "for_years", "series", "due", "error", "held_80", "share", "held_95", "share"]
        last = max(row["year"] for row in rows)
        return {
            "text": self.say("hold_out_text", last=last),
            "table": {"heads": [self.say(head) for head in heads], "rows": lines},
        }

    def held_out(self, cutoff: int, group: str, rows: Sequence[Mapping[str, Any]]) -> list[object]:
        """A line of the table: the forecasts made at `cutoff`, and their error beside the price of that year."""
        naive = [(row, self.price(row, "cutoff", "price_usd_kg")) for row in rows]
        both = [(error(row["actual"], row["forecast"]), error(row["actual"], last)) for row, last in naive if last]
        ours, theirs = (math.fsum(column) for column in zip(*both, strict=True)) if both else (0.0, 0.0)
        held = [sum(within(row, level) for row in rows) for level in SIDES]
        years = sorted({row["year"] for row in rows})
        return [
            cutoff, f"{years[0]}–{years[-1]}" if len(years) > 1 else years[0], self.group_name(group), len(rows),
            self.percent(ours / theirs - 1, True) if theirs else "–",
            *(part for count in held for part in (count, self.percent(count / len(rows)))),
        ]  # fmt: skip

    def earlier(self) -> dict[str, Any] | None:
        by_series: dict[str, list[dict]] = {}
        for row in self.ahead:
            if parts(row["series"])[2] is None:
                by_series.setdefault(row["series"], []).append(row)
        if not by_series:
            return None
        order = sorted(by_series, key=_order)
        shown, tips, missed = [], [], {}
        for series in order:
            rows = by_series[series]
            missed[series] = sum(not row["q10"] <= row["actual"] <= row["q90"] for row in rows)
            flow, product, _ = parts(series)
            first = min(row["cutoff"] for row in rows)
            prices = {
                year: row["price_usd_kg"]
                for (name, year), row in self.prices.items()
                if name == series and year >= first
            }
            above = self.say("panel", flow=FLOWS[flow][self.language], held=len(rows) - missed[series], due=len(rows))
            shown.append(
                Panel(
                    above, TRADE_PRODUCTS[product][self.language],
                    prices,
                    [(row["year"], row["q10"], row["forecast"], row["q90"], row["actual"]) for row in rows],
                )
            )  # fmt: skip
            tips += [self.came_tip(row, self.row_name(series)) for row in rows]
        due = sum(map(len, by_series.values()))
        title = self.say("earlier_title", held=due - sum(missed.values()), due=due)
        if most := max(missed.values()):
            worst = [series for series in order if missed[series] == most]
            if len({len(by_series[series]) for series in worst}) == 1:
                names = self.listed(map(self.place, worst))
                title += self.say("earlier_worst", names=names, missed=most, of=len(by_series[worst[0]]))
        label = f"{title}. " + "; ".join(f"{panel.name}, {panel.above}" for panel in shown)
        draw = partial(charts.panels, shown, self.language)
        best = min(order, key=lambda series: missed[series] / len(by_series[series]))
        worst_one = max(order, key=lambda series: missed[series] / len(by_series[series]))
        keys = [self.held_key(self.say("key_totals"), due - sum(missed.values()), due)]
        if best != worst_one:
            keys += [
                self.held_key(self.row_name(series), len(by_series[series]) - missed[series], len(by_series[series]))
                for series in (best, worst_one)
            ]
        return {"title": title, "chart": chart(draw, label, WHOLE, tips, across=1), "keys": keys}

    def held_key(self, about: str, held: int, due: int) -> dict[str, Any]:
        """A number of the side column: how many of `due` prices a range held."""
        said = charts.written("of", self.language, held=held, due=due)
        return {"about": about, "number": said, "note": self.percent(held / due), "ours": True}

    def came_tip(self, row: Mapping[str, Any], name: str) -> str:
        sides = {"low": self.plain(row["q10"]), "high": self.plain(row["q90"])}
        return "\n".join(
            [
                f"{name}, {row['year']}",
                self.say("came", price=self.money(row["actual"])),
                self.say("forecast_in", cutoff=row["cutoff"], price=self.money(row["forecast"]), **sides),
                self.result(row),
            ]
        )

    def result(self, row: Mapping[str, Any]) -> str:
        if within(row, 80):
            return self.say("inside")
        return self.say("outside_80") if within(row, 95) else self.say("outside_95")

    def published(self) -> dict[str, Any]:
        rows = self.answers.rows("select * from came_due where actual is not null order by rowid")
        cutoff = self.answers.provenance["cutoff"]
        if not rows:
            text = self.say("none_due_text", year=cutoff + 1, cutoff=cutoff)
            return {"title": self.say("none_due"), "text": text, "chart": "", "keys": [], "table": None, "missed": ""}
        publication = newest_publication(rows)
        newest = publication[0]
        held, held_95 = (sum(within(row, level) for row in publication) for level in (80, 95))
        due = len(publication)
        title = self.say("due_title", year=newest["year"], held=held, forecasts=self.forecasts(due), held_95=held_95)
        about = {"cutoff": newest["cutoff"], "vintage": newest["vintage"]}
        keys = [self.held_key(self.say(f"key_{level}"), count, due) for level, count in ((80, held), (95, held_95))]
        both = [row for row in publication if row["naive"] is not None]
        text = self.say("due_plain", **about)
        if (ratio := relative_error(publication)) is not None:
            share = self.percent(abs(ratio - 1))
            kind = "error_same" if share == self.percent(0) else "error_less" if ratio < 1 else "error_more"
            text = self.say("due_text", verdict=self.say(kind, share=share), **about)
            beside = {"about": self.say("beside_naive"), "number": self.percent(ratio - 1, True)}
            keys.append(beside | {"note": self.forecasts(len(both)), "ours": True})
        missed = self.listed(self.place(row["series"]) for row in publication if not within(row, 95))
        totals = [row for row in publication if parts(row["series"])[2] is None]
        totals.sort(key=lambda row: _order(row["series"]))
        shown = [self.range(row, row["naive"], "") for row in totals]
        tips = [self.came_tip(row, self.row_name(row["series"])) for row in totals]
        label = f"{title}. " + "; ".join(tip.replace("\n", ", ") for tip in tips)
        draw = partial(charts.ranges, shown, self.language)
        return {
            "title": title,
            "text": text,
            "missed": self.say("missed_95", names=missed) if missed else "",
            "keys": keys,
            "chart": chart(draw, label, WHOLE, tips, across=1) if totals else "",
            "table": self.due_table(rows),
        }

    def range(self, row: Mapping[str, Any], last: float | None, detail: str) -> Range:
        wide, near = ((row[SIDES[level][0]], row[SIDES[level][1]]) for level in (95, 80))
        return Range(self.row_name(row["series"]), detail, wide, near, row["forecast"], last, row["actual"])

    def due_table(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Every published forecast that came due, the largest errors of the newest year first."""
        heads = ["series", "year", "cutoff", "forecast", "range_80", "repeated", "what_came", "result"]
        order = sorted(rows, key=lambda row: (-row["year"], -error(row["actual"], row["forecast"])))
        lines = [
            [
                series_name(row["series"], self.language), row["year"], row["cutoff"], self.plain(row["forecast"]),
                f"{self.plain(row['q10'])} – {self.plain(row['q90'])}",
                "–" if row["naive"] is None else self.plain(row["naive"]), self.plain(row["actual"]),
                self.result(row),
            ]
            for row in order
        ]  # fmt: skip
        return {"heads": [self.say(head) for head in heads], "rows": lines, "count": self.forecasts(len(lines))}

    # ---- the worst

    def worst(self) -> dict[str, Any] | None:
        ranked = sorted(self.ahead, key=lambda row: -error(row["actual"], row["forecast"]))[:WORST]
        if not ranked:
            return None
        shown = [
            self.range(row, self.price(row, "cutoff", "price_usd_kg"), self.where(row["series"], row["year"]))
            for row in ranked
        ]
        first = ranked[0]
        place = self.place(first["series"])
        title = self.say(
            "worst_title", place=place[0].upper() + place[1:], year=first["year"],
            forecast=self.money(first["forecast"]), came=self.money(first["actual"]),
        )  # fmt: skip
        tips = [self.came_tip(row, series_name(row["series"], self.language)) for row in ranked]
        label = f"{title}. " + "; ".join(tip.replace("\n", ", ") for tip in tips)
        trades = [
            (self.price(row, "cutoff", "quantity_kg"), self.price(row, "year", "quantity_kg")) for row in ranked
        ]
        both = [(before, after) for before, after in trades if before is not None and after is not None]
        after = [quantity for _, quantity in trades if quantity is not None]
        fell = sum(later < before / 2 for before, later in both)
        traded = self.say("trade_title", fell=fell, cases=self.cases(len(both))) if fell else self.say("trade_none")
        limit = self.weight(SMALL_TRADE)
        small = sum(quantity < SMALL_TRADE for quantity in after)
        draw = partial(charts.ranges, shown, self.language)
        return {
            "title": title,
            "text": self.say("worst_text", count=len(ranked), due=self.forecasts(len(self.ahead))),
            "chart": chart(draw, label, PAIRED, tips, across=1),
            "trade_title": traded,
            "trade_text": self.say("trade_text", small=small, cases=self.cases(len(after)), limit=limit),
            "rows": [
                (f"{series_name(row['series'], self.language)}, {row['year']}", self.miss(row)) for row in ranked
            ],
        }

    def where(self, series: str, year: int) -> str:
        country = parts(series)[2]
        return f"{country_name(country, self.language)}, {year}" if country else str(year)

    def price(self, row: Mapping[str, Any], when: str, column: str) -> Any:
        """What the price table has in `column` for the series of a forecast in its year or at its cutoff."""
        return self.prices.get((row["series"], row[when]), {}).get(column)

    def miss(self, row: Mapping[str, Any]) -> str:
        """What was forecast, what came, and what the tables say of the trade: nothing about why."""
        forecast, came = row["forecast"], row["actual"]
        times = self.say(
            "times_more" if came >= forecast else "times_less",
            times=number(max(came / forecast, forecast / came), 1, self.language),
        )
        sides = {"low": self.plain(row["q10"]), "high": self.plain(row["q90"])}
        said = [self.say("went", forecast=self.money(forecast), came=self.money(came), times=times, **sides)]
        before, after = (self.price(row, when, "quantity_kg") for when in ("cutoff", "year"))
        years = {"cutoff": row["cutoff"], "year": row["year"]}
        if before and after is not None:
            change = percent(after / before - 1, 0 if after / before > 0.005 else 1, self.language, True)
            said.append(
                self.say("traded", before=self.weight(before), after=self.weight(after), change=change, **years)
            )
        elif after is not None:
            said.append(self.say("traded_only", after=self.weight(after), year=row["year"]))
        corrected = [str(row[when]) for when in ("cutoff", "year") if self.price(row, when, "corrected")]
        if corrected:
            said.append(self.say("corrected", years=self.listed(corrected)))
        return " ".join(said)


def _order(series: str) -> tuple[int, int]:
    """Imports before exports, the products as the labels list them."""
    flow, product, _ = parts(series)
    return list(FLOWS).index(flow), list(TRADE_PRODUCTS).index(product)
