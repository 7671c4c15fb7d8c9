"""Every spelling of the source finds its ISO 3166-1 code; what nobody mapped stops the run."""

import re
from pathlib import Path

import pycountry
import pytest

from vindima.errors import VindimaError
from vindima.etl.countries import ALIASES, country_code
from vindima.labels import NOT_COUNTRIES


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Chile", "CHL"),
        (" Países Baixos (Holanda) ", "NLD"),
        ("Paises Baixos", "NLD"),
        ("Rússia,  Federação da", "RUS"),
        ("Coreia, Republica Sul", "KOR"),
        ("Taiwan (FORMOSA)", "TWN"),
        ("itália", "ITA"),
        ("Guiné-Bissau", "GNB"),
        ("Trindade e Tobago", "TTO"),
        ("Congo", "COG"),
        ("Outros(1)", "OTHER"),
        ("Não consta na tabela", "OTHER"),
        ("Não declarados", "UNDECLARED"),
        ("Brasil", "BRA"),
    ],
)
def test_spelling_finds_its_code(name: str, code: str):
    assert country_code(name) == code


def test_east_germany_is_germany_because_its_row_carries_values_to_the_newest_year():
    assert country_code("Alemanha, República Democrática da") == country_code("Alemanha") == "DEU"


def test_country_that_the_source_never_printed_resolves_by_the_library():
    assert country_code("Butão") == "BTN"


def test_aliases_lead_to_codes_that_exist():
    known = {country.alpha_3 for country in pycountry.countries} | set(NOT_COUNTRIES)
    assert set(ALIASES.values()) <= known


def test_unmapped_name_lists_the_three_closest():
    with pytest.raises(VindimaError, match=r"no country code for 'Portugual'.*portugal \(PRT\)") as raised:
        country_code("Portugual")
    assert len(re.findall(r"\([A-Z]{3}\)", str(raised.value))) == 3


def test_every_country_of_the_real_downloads_has_a_code(shared_data: Path):
    names = set()
    for path in (shared_data / "vitibrasil").glob("20*/[IE][mx]p*.csv"):
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        names |= {re.split(r"[;\t]", row)[1] for row in rows if row.strip()}
    assert len(names) > 200
    assert all(country_code(name) for name in names)
