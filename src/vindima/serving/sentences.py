"""What numbers say, in English and Portuguese: a split into price and mix, and the cautions of a scenario."""

import math
from collections.abc import Mapping
from datetime import date

from vindima.etl.price_index import Drift, FewMatched, Note, Split
from vindima.forecasting.scenario import Caution
from vindima.inputs import quantity
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, counted, number, percent, series_name
from vindima.series import parts

_SPLIT = {
    "en": "From {first} to {last} the unit value of {flow} of {product} (nominal US$ FOB a kilogram) changed by "
    "{unit_value}: {price} by price within countries, {within} included, and {mix} by the mix between countries "
    "(in log points {log_unit_value}, of which {log_price} price and {log_mix} mix).",
    "pt": "De {first} a {last}, o valor unitário da {flow} de {product} (US$ FOB nominais por kg) variou "
    "{unit_value}: {price} por preço dentro dos países, inclusive {within}, e {mix} pela "
    "composição entre países (em pontos logarítmicos {log_unit_value}, dos quais {log_price} de preço e {log_mix} de "
    "composição).",
}

_WITHIN = {
    "table_wine": {"en": "bulk against bottled", "pt": "granel contra engarrafado"},
    "grape_juice": {"en": "concentrated against ready to drink", "pt": "concentrado contra pronto para beber"},
}
_KINDS: Mapping[Language, str] = {"en": "kinds and qualities", "pt": "tipos e qualidades"}
"""What stays inside a country's price: the largest difference of a product, and that of every other product."""

_FEW_MATCHED = {
    "en": "From {before} to {after} only {share} of the value traded is with countries that trade in both years; "
    "what the others did counts as mix.",
    "pt": "De {before} a {after}, só {share} do valor é de países com comércio nos dois anos; o que os demais "
    "fizeram conta como composição.",
}
_DRIFT = {
    "en": "The chained index strays: comparing {first} with {last} directly, countries that trade in both changed "
    "their prices by {direct}, where the chain of yearly links says {price}.",
    "pt": "O índice encadeado se desvia: na comparação direta de {first} com {last}, os países com comércio nos dois "
    "anos mudaram seus preços em {direct}, enquanto o encadeamento ano a ano dá {price}.",
}
UNIT_VALUE: dict[Language, str] = {
    "en": "The price is the unit value of trade, value over weight in US$ FOB a kilogram: it is no quoted price and "
    "moves with what is traded too.",
    "pt": "O preço é o valor unitário do comércio, valor sobre peso em US$ FOB por kg: não é uma cotação e varia "
    "também com o que é comercializado.",
}
CONVERTED: dict[str, dict[Language, str]] = {
    "brl": {
        "en": "No intervals: this is the forecast in dollars at a given exchange rate, or there are too few past "
        "forecasts in reais to learn from; how sure the rate is, it does not say.",
        "pt": "Sem intervalos: é a previsão em dólares a um câmbio dado, ou há poucas previsões passadas em reais "
        "com que aprender; quão certo é o câmbio, ela não diz.",
    },
    "usd": {
        "en": "No intervals in real terms: those of the forecast are for nominal dollars and know nothing of "
        "inflation.",
        "pt": "Sem intervalos em termos reais: os da previsão valem para dólares nominais e nada sabem da inflação.",
    },
}
"""Why a path in another money has no intervals."""
_IN_REAIS: dict[Language, str] = {
    "en": "In reais by what was known in {cutoff}: a dollar is expected at R$ {first} in {year}. The intervals know "
    "that the rate is uncertain.",
    "pt": "Em reais pelo que se sabia em {cutoff}: espera-se o dólar a R$ {first} em {year}. Os intervalos sabem "
    "que o câmbio é incerto.",
}
_NEWER_RATE: dict[Language, str] = {
    "en": " The average of {newest}, {rate}, is not in it.",
    "pt": " A média de {newest}, {rate}, não entra nela.",
}
NO_INFLATION: dict[Language, str] = {
    "en": "In money of {base_year} by the price level of {year}, the newest on hand: what inflation will be after "
    "{year} is not forecast.",
    "pt": "Em moeda de {base_year} pelo nível de preços de {year}, o mais novo disponível: a inflação depois de "
    "{year} não é prevista.",
}
_AGE: dict[Language, str] = {
    "en": "Newest figures: {newest}; {year} ended {months} ago.",
    "pt": "Números mais novos: {newest}; {year} terminou há {months}.",
}
_MONTHS: dict[Language, tuple[str, str]] = {"en": ("month", "months"), "pt": ("mês", "meses")}
_EXCHANGE_RATE: dict[Language, str] = {
    "en": "the exchange rate, reais per US dollar, yearly average",
    "pt": "o câmbio, reais por dólar, média do ano",
}
_OF_PRODUCT: dict[tuple[str, str], dict[Language, str]] = {
    ("harvest", "table_wine"): {
        "en": "the production of still wine, common and fine, in Rio Grande do Sul",
        "pt": "a produção de vinhos de mesa, comuns e finos, no Rio Grande do Sul",
    },
    ("harvest", "sparkling_wine"): {
        "en": "the production of sparkling wine and its base wines in Rio Grande do Sul",
        "pt": "a produção de espumantes e seus vinhos-base no Rio Grande do Sul",
    },
    ("harvest", "grape_juice"): {
        "en": "the production of grape juice in Rio Grande do Sul, concentrate by its own litres",
        "pt": "a produção de suco de uva no Rio Grande do Sul, o concentrado por seus próprios litros",
    },
    ("sales", "table_wine"): {
        "en": "the sale of still wine, common, fine, special and organic, by Rio Grande do Sul",
        "pt": "a venda de vinhos de mesa, comuns, finos, especiais e orgânicos, pelo Rio Grande do Sul",
    },
    ("sales", "sparkling_wine"): {
        "en": "the sale of sparkling wine by Rio Grande do Sul",
        "pt": "a venda de espumantes pelo Rio Grande do Sul",
    },
    ("sales", "grape_juice"): {
        "en": "the sale of grape juice by Rio Grande do Sul, concentrate by its own litres",
        "pt": "a venda de suco de uva pelo Rio Grande do Sul, o concentrado por seus próprios litros",
    },
}
_WARNINGS: dict[str, dict[Language, str]] = {
    "association": {
        "en": "The effect of an input is an association in past years, not a cause: what moved the input then may "
        "have moved the price too.",
        "pt": "O efeito de uma variável é uma associação em anos passados, não uma causa: o que moveu a variável "
        "então pode ter movido também o preço.",
    },
    "nothing": {
        "en": "The effect of this input cannot be told from nothing: {input}. The forecast moves by the best guess "
        "of it, and the intervals hold the doubt.",
        "pt": "O efeito desta variável não se distingue de nenhum: {input}. A previsão move-se pela melhor "
        "estimativa dele, e os intervalos guardam a dúvida.",
    },
    "outside": {
        "en": "Far outside history: {input} would be {level} {unit} in {year}; the published years lie between "
        "{lowest} and {highest}.",
        "pt": "Muito fora da história: {input} seria {level} {unit} em {year}; os anos publicados ficam entre "
        "{lowest} e {highest}.",
    },
    "leap": {
        "en": "Far outside history: {input} would change by a factor of {factor} in {year}; the largest of one year "
        "was {largest}.",
        "pt": "Muito fora da história: {input} mudaria por um fator de {factor} em {year}; o maior de um ano foi "
        "{largest}.",
    },
    "together": {
        "en": "Each input's effect is estimated on its own: inputs that used to move together may count the same "
        "thing twice.",
        "pt": "O efeito de cada variável é estimado à parte: variáveis que se moviam juntas podem contar a mesma "
        "coisa duas vezes.",
    },
}


def split(change: Split, language: Language) -> str:
    """The split in words: per cent, which multiply, and log points (100 × ln), which add up but for the rounding."""
    flow, product, _ = parts(change.series)
    factors = {"unit_value": change.unit_value, "price": change.price, "mix": change.mix}
    return _SPLIT[language].format(
        first=change.first,
        last=change.last,
        flow=FLOWS[flow][language].lower(),
        product=TRADE_PRODUCTS[product][language],
        within=_WITHIN.get(product, _KINDS)[language],
        **{name: _per_cent(factor, language) for name, factor in factors.items()},
        **{f"log_{name}": number(100 * math.log(factor), 1, language, plus=True) for name, factor in factors.items()},
    )


def note(found: Note, language: Language) -> str:
    """What makes a split less certain, as a sentence."""
    match found:
        case FewMatched(before, after, share):
            return _FEW_MATCHED[language].format(before=before, after=after, share=percent(share, 0, language))
        case Drift(first, last, direct, price):
            factors = {"direct": _per_cent(direct, language), "price": _per_cent(price, language)}
            return _DRIFT[language].format(first=first, last=last, **factors)


def _per_cent(factor: float, language: Language) -> str:
    """1.05, 'en' → '+5.0%'."""
    return percent(factor - 1, 1, language, plus=True)


def input_name(name: str, product: str, language: Language) -> str:
    """What an input means for a product: 'sales', 'sparkling_wine', 'en' → 'the sale of sparkling wine by …'.

    Raises VindimaError with the reason where nothing is published.
    """
    quantity(name, product)
    if name in FLOWS:
        return series_name(f"{name}.{product}", language)
    return _EXCHANGE_RATE[language] if name == "exchange_rate" else _OF_PRODUCT[name, product][language]


def warning(found: Caution, language: Language) -> str:
    """A caution of a scenario in words; amounts in whole units, or with two decimals where the last is under 100."""
    text = _WARNINGS[found.code][language]
    if not found.input:
        return text
    decimals = 0 if found.numbers.get("baseline", 0) >= 100 else 2
    return text.format(
        input=input_name(found.input, found.product, language),
        unit=quantity(found.input, found.product).unit,
        year=found.year,
        **{name: number(value, decimals, language) for name, value in found.numbers.items()},
    )


def in_reais(cutoff: int, expected: Mapping[int, float], newest: tuple[int, float], language: Language) -> str:
    """What exchange rate a forecast in reais expects in its first year, and that a newer average is not in it."""
    year, rate = next(iter(expected.items()))
    said = _IN_REAIS[language].format(cutoff=cutoff, first=number(rate, 2, language), year=year)
    if newest[0] > cutoff:
        said += _NEWER_RATE[language].format(newest=newest[0], rate=number(newest[1], 2, language))
    return said


def age(newest: Mapping[str, int], language: Language, today: date | None = None) -> str:
    """How old a report's newest figures are: `newest` holds what is meant → its newest year; `today` is today's date.

    {'trade': 2024, 'production': 2023}, on 10 March 2026 → 'Newest figures: trade 2024, production 2023; 2024 ended
    14 months ago.'
    """
    today = today or date.today()
    year = max(newest.values())
    months = max(12 * (today.year - year - 1) + today.month - 1, 0)
    return _AGE[language].format(
        newest=", ".join(f"{name} {last}" for name, last in newest.items()),
        year=year,
        months=counted(months, *_MONTHS[language], language),
    )
