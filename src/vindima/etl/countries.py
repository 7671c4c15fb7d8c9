"""From the country names that Vitibrasil prints to ISO 3166-1 alpha-3 codes.

Names resolve by the Portuguese translations of ISO 3166 that pycountry carries; what they do not hold
(older spellings, inversions, slips of the site) stands in `ALIASES`, which was reviewed name by name
against the downloads that end in 2021, 2022 and 2023 and the pages saved in 2025.
"""

import difflib
import gettext
from functools import cache

import pycountry

from vindima.errors import VindimaError
from vindima.labels import slug

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
    "Rússia": "RUS",
    "Rússia, Federação da": "RUS",
    "Taiwan (Formosa)": "TWN",
    "Tcheca, República": "CZE",
    "Trinidade Tobago": "TTO",
    "Turcas e Caicos, ilhas": "TCA",
    "Wallis e Futuna, Ilhas": "WLF",
    "Outros": "OTHER",
    "Outros(1)": "OTHER",
    "Não consta na tabela": "OTHER",
    "Não declarados": "UNDECLARED",
    "Provisão de Navios e Aeronaves": "SHIP_SUPPLIES",
}


@cache
def _codes() -> dict[str, str]:
    """Slug of a Portuguese name → code: the library's names first, then the aliases."""
    codes: dict[str, str] = {}
    for language in ("pt_BR", "pt"):
        translate = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language]).gettext
        for country in pycountry.countries:
            for kind in ("name", "common_name", "official_name"):
                if hasattr(country, kind):
                    codes.setdefault(slug(translate(getattr(country, kind))), country.alpha_3)
    return codes | {slug(name): code for name, code in ALIASES.items()}


@cache
def country_code(name: str) -> str:
    """'Países Baixos (Holanda)' → 'NLD'; 'Outros(1)' → 'OTHER'.

    Raises VindimaError for a name that nobody mapped, with the three closest known ones.
    """
    codes = _codes()
    if code := codes.get(slug(name)):
        return code
    close = [
        f"{known.replace('_', ' ')} ({codes[known]})"
        for known in difflib.get_close_matches(slug(name), codes, 3, cutoff=0)
    ]
    raise VindimaError(
        f"no country code for {name.strip()!r}; the closest known names are {', '.join(close)}. "
        "If it is one of them, add it to ALIASES in vindima/etl/countries.py"
    )
