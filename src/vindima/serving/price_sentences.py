"""What the split of a unit value into price and mix says, in Portuguese and English."""

import math
from collections.abc import Mapping

from vindima.etl.price_index import Drift, FewMatched, Note, Split
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, number
from vindima.series import parts

SENTENCE = {
    "en": "From {first} to {last} the unit value of {flow} of {product} (nominal US$ FOB a kilogram) changed by "
    "{unit_value}%: {price}% by price within countries, {within} included, and {mix}% by the mix between countries "
    "(in log points {log_unit_value}, of which {log_price} price and {log_mix} mix).",
    "pt": "De {first} a {last}, o valor unitário da {flow} de {product} (US$ FOB nominais por kg) variou "
    "{unit_value}%: {price}% por preço dentro dos países, inclusive {within}, e {mix}% pela "
    "composição entre países (em pontos logarítmicos {log_unit_value}, dos quais {log_price} de preço e {log_mix} de "
    "composição).",
}

WITHIN = {
    "table_wine": {"en": "bulk against bottled", "pt": "granel contra engarrafado"},
    "grape_juice": {"en": "concentrated against ready to drink", "pt": "concentrado contra pronto para beber"},
}
KINDS: Mapping[Language, str] = {"en": "kinds and qualities", "pt": "tipos e qualidades"}
"""What stays inside a country's price: the largest difference of a product, and that of every other product."""

FEW_MATCHED = {
    "en": "From {before} to {after} only {share}% of the value traded is with countries that trade in both years; "
    "what the others did counts as mix.",
    "pt": "De {before} a {after}, só {share}% do valor é de países com comércio nos dois anos; o que os demais "
    "fizeram conta como composição.",
}
DRIFT = {
    "en": "The chained index strays: comparing {first} with {last} directly, countries that trade in both changed "
    "their prices by {direct}%, where the chain of yearly links says {price}%.",
    "pt": "O índice encadeado se desvia: na comparação direta de {first} com {last}, os países com comércio nos dois "
    "anos mudaram seus preços em {direct}%, enquanto o encadeamento ano a ano dá {price}%.",
}


def sentence(change: Split, language: Language) -> str:
    """The split in words: per cent, which multiply, and log points (100 × ln), which add up but for the rounding."""
    flow, product, _ = parts(change.series)
    factors = {"unit_value": change.unit_value, "price": change.price, "mix": change.mix}
    return SENTENCE[language].format(
        first=change.first,
        last=change.last,
        flow=FLOWS[flow][language].lower(),
        product=TRADE_PRODUCTS[product][language],
        within=WITHIN.get(product, KINDS)[language],
        **{name: _per_cent(factor, language) for name, factor in factors.items()},
        **{f"log_{name}": number(100 * math.log(factor), 1, language, plus=True) for name, factor in factors.items()},
    )


def note(found: Note, language: Language) -> str:
    """What makes a split less certain, as a sentence."""
    match found:
        case FewMatched(before, after, share):
            return FEW_MATCHED[language].format(before=before, after=after, share=number(100 * share, 0, language))
        case Drift(first, last, direct, price):
            factors = {"direct": _per_cent(direct, language), "price": _per_cent(price, language)}
            return DRIFT[language].format(first=first, last=last, **factors)


def _per_cent(factor: float, language: Language) -> str:
    """1.05, 'en' → '+5.0'."""
    return number(100 * (factor - 1), 1, language, plus=True)
