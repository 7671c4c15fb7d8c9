"""From the country names that Vitibrasil prints to ISO 3166-1 alpha-3 codes.

Names resolve by the Portuguese translations of ISO 3166 that pycountry carries; what they do not hold
(older spellings, inversions, slips of the site) stands in `ALIASES`, which was reviewed name by name
against the downloads that end in 2021, 2022 and 2023 and the pages saved in 2025.
"""

import difflib
import gettext
import re
import unicodedata
from collections.abc import Mapping
from functools import cache

import pycountry

from vindima.errors import VindimaError
from vindima.series import NOT_COUNTRIES

ALIASES = {
    # East Germany's name carries values to the newest year, equal to Comex Stat's Alemanha: it is Germany.
    "Alemanha, República Democrática": "DEU",
    "Alemanha, República Democrática da": "DEU",
    # Dissolved in 2010; trade continues in the row Curaçao.
    "Antilhas Holandesas": "CUW",
    "Bahrein": "BHR",
    "Belice": "BLZ",
    "Bósnia": "BIH",
    "Burquina Faso": "BFA",
    "Camores": "COM",
    "Cayman, Ilhas": "CYM",
    "China Continental": "CHN",
    "Cocos (Keeling), Ilhas": "CCK",
    "Congo, República Democrática": "COD",
    "Cook, Ilhas": "COK",
    "Coreia do Norte, República": "PRK",
    "Coreia do Sul, República": "KOR",
    "Coreia do Sul, Republica da": "KOR",
    "Coreia, Republica Sul": "KOR",
    "Coveite": "KWT",
    "Coveite (Kuweit)": "KWT",
    "Dominica, Ilha de": "DMA",
    "Emirados": "ARE",
    "Eslovaca, Republica": "SVK",
    "Falkland (Ilhas Malvinas)": "FLK",
    "Falkland (Malvinas)": "FLK",
    "Faroé, Ilhas": "FRO",
    "Filânldia": "FIN",
    "Geórgia do Sul e Sandwich do Sul, Ilhas": "SGS",
    "Guiana Britânica": "GUY",
    # The row of 1979 does not say whether the British or the American islands; ISO's American entry is the larger.
    "Ilhas Virgens": "VIR",
    "Irã": "IRN",
    # ISO 3166-1 holds no code for a dissolved state; Serbia is the one that continued its membership.
    "Iugoslávia": "SRB",
    "Jérsei": "JEY",
    "Macedônia": "MKD",
    "Malavi": "MWI",
    "Marianas do Norte, Ilhas": "MNP",
    "Marshall, Ilhas": "MHL",
    "Países Baixos (Holanda)": "NLD",
    "República Federativa da Rússia": "RUS",
    "República Islâmica do Paquistão": "PAK",
    "Rússia": "RUS",
    "Rússia, Federação da": "RUS",
    "Taiwan (Formosa)": "TWN",
    "Tcheca, República": "CZE",
    "Trinidad e Tobago": "TTO",
    "Trinidade Tobago": "TTO",
    "Turcas e Caicos, ilhas": "TCA",
    "Wallis e Futuna, Ilhas": "WLF",
    "Outros": "OTHER",
    "Outros(1)": "OTHER",
    "Não consta na tabela": "OTHER",
    "Não declarados": "UNDECLARED",
    "Provisão de Navios e Aeronaves": "SHIP_SUPPLIES",
}


def slug(name: str) -> str:
    """'Rubi (Itália, Itália Ro)' → 'rubi_italia_italia_ro': lower-case ASCII words joined by underscores."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "_".join(re.findall(r"[a-z0-9]+", plain))


@cache
def _known() -> dict[str, tuple[str, str]]:
    """Slug of a known name → the name as written and its code: the library's names first, then the aliases.

    A name that the library gives to several countries is none of them (iso-codes translates the official name of
    Afghanistan as that of Pakistan). Raises VindimaError for an alias that leads to no known code.
    """
    claims: dict[str, dict[str, str]] = {}
    for language in ("pt_BR", "pt"):
        translate = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language]).gettext
        for country in pycountry.countries:
            for kind in ("name", "common_name", "official_name"):
                if hasattr(country, kind):
                    name = translate(getattr(country, kind))
                    claims.setdefault(slug(name), {}).setdefault(country.alpha_3, name)
    known = {key: (name, code) for key, of in claims.items() if len(of) == 1 for code, name in of.items()}
    codes = {country.alpha_3 for country in pycountry.countries} | set(NOT_COUNTRIES)
    if wrong := [f"{name!r} leads to {code!r}" for name, code in ALIASES.items() if code not in codes]:
        raise VindimaError(
            f"ALIASES in vindima/etl/countries.py: {', '.join(wrong)}; expected an ISO 3166-1 alpha-3 code or one of "
            f"{', '.join(NOT_COUNTRIES)}"
        )
    return known | {slug(name): (name, code) for name, code in ALIASES.items()}


@cache
def country_code(name: str) -> str:
    """'Países Baixos (Holanda)' → 'NLD'; 'Outros(1)' → 'OTHER'.

    Raises VindimaError for a name that nobody mapped, with the names of the three countries that come closest to it,
    and for an alias that leads to no known code.
    """
    return look_up(
        name, _known(), "country code", "If it is one of them, add it to ALIASES in vindima/etl/countries.py"
    )


def look_up(name: str, known: Mapping[str, tuple[str, str]], what: str, remedy: str) -> str:
    """The code of a name in `known`, slug → name and code; capitals and accents do not count.

    Raises VindimaError for a name that is not there: it says `what` is missing, the three that come closest and the
    `remedy`.
    """
    if found := known.get(slug(name)):
        return found[1]
    nearest = ", ".join(_closest(slug(name), known))
    raise VindimaError(f"no {what} for {name.strip()!r}; the closest known names are {nearest}. {remedy}")


def _closest(wanted: str, known: Mapping[str, tuple[str, str]]) -> list[str]:
    """The names nearest to a slug, with their codes, of three countries or products: 'Portugal (PRT)'.

    A name that holds all words of the slug, or the other way round, comes first ('Holanda' → 'Países Baixos
    (Holanda)'); else letters count, as they stand and with the words sorted, so that an inversion comes close too.
    """
    words = sorted(wanted.split("_"))

    def closeness(key: str) -> float:
        others = sorted(key.split("_"))
        if set(words) <= set(others) or set(others) <= set(words):
            return 1.0
        pairs = ((wanted, key), ("_".join(words), "_".join(others)))
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    nearest: dict[str, str] = {}
    for key in sorted(known, key=lambda key: (-closeness(key), key)):
        name, code = known[key]
        nearest.setdefault(code, f"{name} ({code})")
    return list(nearest.values())[:3]
