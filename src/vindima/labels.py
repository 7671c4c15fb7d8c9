"""Portuguese and English names of what the tables hold, and numbers as each reader writes them."""

import gettext
import math
from datetime import date
from functools import cache, lru_cache
from typing import Literal

import pycountry
from babel import Locale
from babel.dates import format_date
from babel.numbers import NumberPattern, parse_pattern

from vindima.series import parts

Language = Literal["pt", "en"]
LOCALES = {"pt": Locale.parse("pt_BR"), "en": Locale.parse("en")}
"""The Unicode consortium's rules (CLDR) for numbers and plurals in each language."""

FLOWS = {"imports": {"pt": "Importação", "en": "Imports"}, "exports": {"pt": "Exportação", "en": "Exports"}}

TRADE_PRODUCTS = {
    "table_wine": {"pt": "vinhos de mesa", "en": "table wine"},
    "sparkling_wine": {"pt": "espumantes", "en": "sparkling wine"},
    "fresh_grapes": {"pt": "uvas frescas", "en": "fresh grapes"},
    "raisins": {"pt": "uvas passas", "en": "raisins"},
    "grape_juice": {"pt": "suco de uva", "en": "grape juice"},
}

NOT_COUNTRY_NAMES = {
    "OTHER": {"pt": "Outros", "en": "Other"},
    "UNDECLARED": {"pt": "Não declarados", "en": "Undeclared"},
    "SHIP_SUPPLIES": {"pt": "Provisão de navios e aeronaves", "en": "Ship and aircraft supplies"},
}


@cache
def _portuguese() -> gettext.NullTranslations:
    return gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=["pt_BR"])


@cache
def country_name(code: str, language: Language) -> str:
    """Name of an ISO 3166-1 alpha-3 code or of a non-country: 'NLD', 'pt' → 'Países Baixos'."""
    if code in NOT_COUNTRY_NAMES:
        return NOT_COUNTRY_NAMES[code][language]
    country = pycountry.countries.get(alpha_3=code)
    if country is None:
        raise KeyError(f"{code} is not an ISO 3166-1 alpha-3 code")
    name = getattr(country, "common_name", country.name)
    return _portuguese().gettext(name) if language == "pt" else name


def series_name(series: str, language: Language) -> str:
    """'imports.table_wine.CHL', 'en' → 'Imports of table wine · Chile'."""
    flow, product, country = parts(series)
    of = {"pt": "de", "en": "of"}[language]
    total = {"pt": "todos os países", "en": "all countries"}[language]
    where = country_name(country, language) if country else total
    return f"{FLOWS[flow][language]} {of} {TRADE_PRODUCTS[product][language]} · {where}"


@cache
def _pattern(decimals: int, plus: bool) -> NumberPattern:
    digits = f"#,##0.{'0' * decimals}"
    return parse_pattern(f"{'+' if plus else ''}{digits};−{digits}")


@lru_cache(4096)
def number(value: float, decimals: int, language: Language, plus: bool = False) -> str:
    """1234.56, 2, 'pt' → '1.234,56'; in English '1,234.56'. −1.5 has a minus sign, what rounds to 0 has none.

    With `plus`, what is above 0 has a sign too. What is not known (NaN) is a dash.
    """
    if math.isnan(value):
        return "–"
    rounded = round(float(value), decimals) or 0.0  # −0.0 is 0.0
    return _pattern(decimals, plus and rounded > 0).apply(rounded, LOCALES[language])


def percent(share: float, decimals: int, language: Language, plus: bool = False) -> str:
    """0.0534, 1, 'en' → '5.3%', and as `number` in all else."""
    sign = LOCALES[language].percent_formats[None].suffix[0]
    return number(100 * share, decimals, language, plus) + ("" if math.isnan(share) else sign)


def day(iso: str, language: Language) -> str:
    """'2026-03-12', 'en' → 'March 12, 2026'; in Portuguese '12 de março de 2026'."""
    return format_date(date.fromisoformat(iso), "long", LOCALES[language])


def counted(count: int, one: str, more: str, language: Language) -> str:
    """1, 'year', 'years', 'en' → '1 year'; 0 is '0 years' in English and '0 ano' in Brazilian Portuguese."""
    singular = LOCALES[language].plural_form(count) == "one"
    return f"{number(count, 0, language)} {one if singular else more}"
