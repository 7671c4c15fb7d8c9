"""Portuguese and English names of what the tables hold, and numbers as each reader writes them."""

import gettext
import re
import unicodedata
from functools import cache
from typing import Literal

import pycountry

Language = Literal["pt", "en"]

FLOWS = {"imports": {"pt": "Importação", "en": "Imports"}, "exports": {"pt": "Exportação", "en": "Exports"}}

TRADE_PRODUCTS = {
    "table_wine": {"pt": "vinhos de mesa", "en": "table wine"},
    "sparkling_wine": {"pt": "espumantes", "en": "sparkling wine"},
    "fresh_grapes": {"pt": "uvas frescas", "en": "fresh grapes"},
    "raisins": {"pt": "uvas passas", "en": "raisins"},
    "grape_juice": {"pt": "suco de uva", "en": "grape juice"},
}

NOT_COUNTRIES = {
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
    if code in NOT_COUNTRIES:
        return NOT_COUNTRIES[code][language]
    country = pycountry.countries.get(alpha_3=code)
    if country is None:
        raise KeyError(f"{code} is not an ISO 3166-1 alpha-3 code")
    name = getattr(country, "common_name", country.name)
    return _portuguese().gettext(name) if language == "pt" else name


def series_name(series: str, language: Language) -> str:
    """'imports.table_wine.CHL', 'en' → 'Imports of table wine · Chile'."""
    flow, product, *country = series.split(".")
    of = {"pt": "de", "en": "of"}[language]
    total = {"pt": "todos os países", "en": "all countries"}[language]
    where = country_name(country[0], language) if country else total
    return f"{FLOWS[flow][language]} {of} {TRADE_PRODUCTS[product][language]} · {where}"


def number(value: float, decimals: int, language: Language) -> str:
    """1234.56, 2, 'pt' → '1.234,56'; in English '1,234.56'."""
    text = f"{value:,.{decimals}f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "pt" else text


GROUPS = {
    "production": {
        "VINHO DE MESA": "table_wine",
        "VINHO FINO DE MESA (VINIFERA)": "fine_wine",
        "SUCO": "juice",
        "DERIVADOS": "derivatives",
    },
    "sales": {
        "VINHO DE MESA": "table_wine",
        "VINHO FINO DE MESA": "fine_wine",
        "VINHO FRIZANTE": "frizzante_wine",
        "VINHO ORGÂNICO": "organic_wine",
        "VINHO ESPECIAL": "special_wine",
        "ESPUMANTES": "sparkling_wine",
        "SUCO DE UVAS": "grape_juice",
        "SUCO DE UVAS CONCENTRADO": "concentrated_juice",
        "OUTROS PRODUTOS COMERCIALIZADOS": "other",
    },
    "processing": {"TINTAS": "red", "BRANCAS E ROSADAS": "white_and_rose", "BRANCAS": "white"},
}
"""Group rows of each section as the site prints them (single spaces) and their names here."""

PRODUCTS = {
    "Tinto": "red",
    "Branco": "white",
    "Rosado": "rosé",
    "Suco de uva integral": "whole grape juice",
    "Suco de uva concentrado": "concentrated grape juice",
    "Suco de uva adoçado": "sweetened grape juice",
    "Suco de uva orgânico": "organic grape juice",
    "Suco de uva reconstituído": "reconstituted grape juice",
    "Espumante": "sparkling wine",
    "Espumante moscatel": "moscatel sparkling wine",
    "Base espumante": "sparkling wine base",
    "Base espumante moscatel": "moscatel sparkling wine base",
    "Base Champenoise champanha": "traditional method base",
    "Base Charmat champanha": "charmat method base",
    "Bebida de uva": "grape drink",
    "Polpa de uva": "grape pulp",
    "Mosto simples": "simple must",
    "Mosto concentrado": "concentrated must",
    "Mosto de uva com bagaço": "must with pomace",
    "Mosto dessulfitado": "desulphited must",
    "Mistelas": "mistelle",
    "Néctar de uva": "grape nectar",
    "Licorosos": "liqueur wines",
    "Compostos": "compound wines",
    "Jeropiga": "jeropiga",
    "Filtrado": "filtrado",
    "Frisante": "frizzante wine",
    "Vinho leve": "light wine",
    "Vinho licoroso": "fortified wine",
    "Brandy": "brandy",
    "Destilado": "distillate",
    "Bagaceira": "grappa",
    "Licor de bagaceira": "grappa liqueur",
    "Vinagre": "vinegar",
    "Borra líquida": "liquid lees",
    "Borra seca": "dry lees",
    "Vinho Composto": "aromatised wine",
    "Pisco": "pisco",
    "Vinho orgânico": "organic wine",
    "Espumante orgânico": "organic sparkling wine",
    "Destilado alcoólico simples de bagaceira": "simple grappa distillate",
    "Vinho acidificado": "acidified wine",
    "Mosto parcialmente fermentado": "partially fermented must",
    "Outros derivados": "other derivatives",
    "Suco Natural Integral": "whole grape juice",
    "Suco Adoçado": "sweetened grape juice",
    "Suco Reprocessado/reconstituido": "reconstituted grape juice",
    "Suco Orgânico": "organic grape juice",
    "Outros sucos de uvas": "other grape juices",
    "Outros vinhos (sem informação detalhada)": "other wines without detail",
    "Agrin (fermentado, acetico misto)": "agrin",
    "Aguardente de vinho 50°gl": "wine spirit",
    "Alcool vinico": "wine alcohol",
    "Bagaceira (graspa)": "grappa",
    "Bebida de uva concentrada": "concentrated grape drink",
    "Brandy (conhaque)": "brandy",
    "Cooler": "cooler",
    "Coquetel com vinho": "cocktail with wine",
    "Destilado de vinho": "wine distillate",
    "Filtrado doce": "sweet filtrado",
    "Mosto de uva": "grape must",
    "Mosto sulfitado": "sulphited must",
    "Nectar de uva": "grape nectar",
    "Outros produtos": "other products",
    "Preparado líquido para refresco": "liquid preparation for soft drinks",
    "Refrigerante +50% suco": "soft drink with over half juice",
    "Sangria": "sangria",
    "Vinagre balsamico": "balsamic vinegar",
    "Vinagre duplo": "double vinegar",
    "Vinagre simples": "simple vinegar",
    "Vinho acetificado": "acetified wine",
    "Vinho base para espumantes": "base wine for sparkling wine",
    "Vinho composto": "aromatised wine",
    "Vinho gaseificado": "carbonated wine",
}
"""Products of production and sales as the site prints them and their English names."""


def slug(name: str) -> str:
    """'Rubi (Itália, Itália Ro)' → 'rubi_italia_italia_ro': lower-case ASCII words joined by underscores."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", plain))
