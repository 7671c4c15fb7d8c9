"""Every spelling of the source finds its ISO 3166-1 code; what nobody mapped stops the run."""

import csv
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pycountry
import pytest

from tests.conftest import ROOT
from tests.test_mirror import saved_pages
from vindima.errors import VindimaError
from vindima.etl import countries, tidy
from vindima.etl.countries import ALIASES, country_code, slug
from vindima.ingestion import figures
from vindima.ingestion.parse import RawTable, read_page
from vindima.labels import country_name
from vindima.series import NOT_COUNTRIES

NEVER_PRINTED = {
    "Butão": "BTN", "Chade": "TCD", "Eritreia": "ERI", "Kiribati": "KIR", "Lesoto": "LSO", "Tajiquistão": "TJK",
    "Tonga": "TON", "Turcomenistão": "TKM", "Zimbábue": "ZWE",
}  # fmt: skip


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A copy of the aliases that may be changed; what was looked up before is forgotten."""
    copy = dict(ALIASES)
    monkeypatch.setattr(countries, "ALIASES", copy)
    for lookup in (countries._known, country_code):
        lookup.cache_clear()
    yield copy
    for lookup in (countries._known, country_code):
        lookup.cache_clear()


@pytest.fixture(scope="module")
def bundled() -> dict[str, RawTable]:
    return {name: one.table for name, one in figures.read(ROOT / "data" / "figures").tables.items()}


@pytest.fixture(scope="module")
def printed(bundled: dict[str, RawTable]) -> pd.DataFrame:
    """The bundled trade tables as printed: `table, label, country, year, quantity_kg, value_usd`; blank is null."""
    rows = [
        (name, row.label, country_code(row.label), year, *row.cells[2 * i : 2 * i + 2])
        for name, table in bundled.items()
        if name.startswith(("imports", "exports"))
        for row in table.rows
        for i, year in enumerate(table.years)
    ]
    frame = pd.DataFrame(rows, columns=["table", "label", "country", "year", "quantity_kg", "value_usd"])
    measures = ["quantity_kg", "value_usd"]
    figures_read = {name: pd.to_numeric(frame[name].replace("", None)) for name in measures}
    return frame.assign(**figures_read).astype({"year": "int16"})


@pytest.fixture(scope="module")
def trade(bundled: dict[str, RawTable]) -> pd.DataFrame:
    """The tidy trade table of the bundled figures, with the column `table`."""
    found = tidy.tidy(bundled, None)["trade"]
    return found.assign(table=found["flow"] + "_" + found["product"])


def in_downloads(folder: Path) -> set[str]:
    """The country names of all trade downloads in a folder, as they are spelled."""
    rows = [
        row for path in folder.glob("[IE][mx]p*.csv") for row in path.read_text(encoding="utf-8").splitlines()[1:]
    ]
    return {re.split(r"[;\t]", row)[1].strip() for row in rows if row.strip()}


def without_accents(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if letter.isascii())


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
        ("Trinidad e Tobago", "TTO"),
        ("Congo", "COG"),
        ("Congo, República Democrática", "COD"),
        ("Outros(1)", "OTHER"),
        ("Não consta na tabela", "OTHER"),
        ("Não declarados", "UNDECLARED"),
        ("Provisão de Navios e Aeronaves", "SHIP_SUPPLIES"),
        ("Brasil", "BRA"),
    ],
)
def test_spelling_finds_its_code(name: str, code: str):
    assert country_code(name) == code


def test_east_germany_is_germany_because_its_row_carries_values_to_the_newest_year():
    assert country_code("Alemanha, República Democrática da") == country_code("Alemanha") == "DEU"


@pytest.mark.parametrize("name", NEVER_PRINTED)
def test_country_that_the_source_never_printed_resolves_by_the_library(name: str, printed: pd.DataFrame):
    assert slug(name) not in {slug(alias) for alias in ALIASES} | set(printed["label"].map(slug))
    assert country_code(name) == NEVER_PRINTED[name]


def test_every_country_resolves_by_the_portuguese_name_that_reports_show():
    assert [c.alpha_3 for c in pycountry.countries if country_code(country_name(c.alpha_3, "pt")) != c.alpha_3] == []


def test_name_that_the_library_gives_to_two_countries_is_taken_from_neither():
    """iso-codes translates the official name of Afghanistan as that of Pakistan."""
    assert country_code("República Islâmica do Paquistão") == ALIASES["República Islâmica do Paquistão"] == "PAK"
    assert country_code("República Islâmica do Afeganistão") == "AFG"


def test_name_of_two_countries_without_an_alias_stops_the_run(aliases: dict[str, str]):
    del aliases["República Islâmica do Paquistão"]
    with pytest.raises(
        VindimaError, match=r"no country code for 'República Islâmica do Paquistão'.*Paquistão \(PAK\)"
    ):
        country_code("República Islâmica do Paquistão")


# Aliases


def test_alias_to_an_unknown_code_is_refused_with_its_name_whatever_is_asked(aliases: dict[str, str]):
    aliases["Bósnia"] = "BOS"
    aliases["Outros"] = "other"
    with pytest.raises(
        VindimaError,
        match=r"ALIASES .*: 'Bósnia' leads to 'BOS', 'Outros' leads to 'other'; expected an ISO 3166-1 alpha-3 code "
        r"or one of OTHER, UNDECLARED, SHIP_SUPPLIES$",
    ):
        country_code("Chile")


def test_no_alias_gives_a_name_of_the_library_to_another_country_or_repeats_it(aliases: dict[str, str]):
    review = dict(aliases)
    aliases.clear()
    library = countries._known()
    assert {name for name in review if slug(name) in library} == set()
    assert len({slug(name) for name in review}) == len(review)


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("Portugual", ["Portugal (PRT)", "Noruega (NOR)", "Uruguai (URY)"]),
        ("Coréia", ["Coreia do Norte (PRK)", "Coreia do Sul (KOR)", "Grécia (GRC)"]),
        ("Holanda", ["Países Baixos (Holanda) (NLD)", "Irlanda (IRL)", "Groenlândia (GRL)"]),
        ("Tchecoslováquia", ["Eslováquia (SVK)", "Chéquia (CZE)", "Eslovênia (SVN)"]),
    ],
)
def test_unmapped_name_lists_three_countries_by_closeness_in_names_that_a_person_recognises(
    name: str, closest: list[str]
):
    with pytest.raises(VindimaError) as raised:
        country_code(name)
    assert str(raised.value).startswith(
        f"no country code for '{name}'; the closest known names are {', '.join(closest)}. If it is one of them, add"
    )


def test_inversion_comes_closest_to_the_name_that_it_inverts():
    with pytest.raises(VindimaError, match=r"the closest known names are Ilhas Salomão \(SLB\), "):
        country_code("Salomaum, Ilhas")


# The real names


@pytest.mark.parametrize(
    ("vintage", "spellings", "apart_from_accents"),
    [("2023-07_to2021", 152, 147), ("2024-05_to2022", 244, 202), ("2025-01_to2023", 227, 209)],
)
def test_every_spelling_of_a_vintage_has_a_code(shared_data: Path, vintage, spellings, apart_from_accents):
    names = in_downloads(shared_data / "vitibrasil" / vintage)
    assert len(names) == spellings
    assert len({without_accents(name) for name in names}) == apart_from_accents
    codes = {country_code(name) for name in names}
    assert codes <= {country.alpha_3 for country in pycountry.countries} | set(NOT_COUNTRIES)


def test_twenty_names_of_the_newest_downloads_are_spelled_in_several_ways_and_each_is_one_country(shared_data: Path):
    """Beyond the accents: capitals, hyphens and the mark of a footnote."""
    spellings: dict[str, set[str]] = {}
    for name in in_downloads(shared_data / "vitibrasil" / "2025-01_to2023"):
        spellings.setdefault(slug(re.sub(r"\(\d\)$", "", name)), set()).add(name)
    several = [names for names in spellings.values() if len(names) > 1]
    assert len(several) == 20
    assert {"Outros", "Outros(1)"} in several
    assert {"Guine Bissau", "Guiné Bissau", "Guiné-Bissau"} in several
    assert [names for names in several if len({country_code(name) for name in names}) != 1] == []


def test_every_spelling_of_the_saved_trade_pages_has_a_code(shared_data: Path):
    pages = [page for vintage in ("2025-01", "2025-05") for page in saved_pages(shared_data / "html" / vintage)]
    of_trade = [(path.read_bytes(), table, year) for path, table, year in pages if table.is_trade]
    assert len(of_trade) == 21
    names = {row.label for page in of_trade for row in read_page(*page).rows}
    assert len(names) == 230
    assert len({country_code(name) for name in names}) == 180


def test_every_name_of_comex_stat_has_a_code_and_only_the_antilles_share_one(shared_data: Path):
    (path,) = (shared_data / "comexstat").glob("*anual*.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = {line["Países"] for line in csv.DictReader(file, delimiter=";")}
    codes: dict[str, set[str]] = {}
    for name in names:
        codes.setdefault(country_code(name), set()).add(name)
    assert len(names) == 117
    assert [same for same in codes.values() if len(same) > 1] == [{"Antilhas Holandesas", "Curaçao"}]


# Synonyms and what is no country


def test_rows_merged_into_one_country_add_up_to_the_printed_rows(printed: pd.DataFrame, trade: pd.DataFrame):
    key = ["table", "country", "year"]
    merged = printed.groupby(key).filter(lambda rows: rows["label"].nunique() > 1)
    assert merged.groupby(["table", "country"]).ngroups == 16
    sums = merged.groupby(key)[["quantity_kg", "value_usd"]].sum(min_count=1)
    used = trade.set_index(key).loc[sums.index, ["quantity_kg_published", "value_usd_published"]]
    used.columns = sums.columns
    pd.testing.assert_frame_equal(used, sums, check_dtype=False, check_exact=True)


def test_no_kilogram_or_dollar_is_lost_or_doubled_on_the_way_to_the_countries(
    printed: pd.DataFrame, trade: pd.DataFrame
):
    sums = printed.groupby(["table", "year"])[["quantity_kg", "value_usd"]].sum()
    used = trade.groupby(["table", "year"])[["quantity_kg_published", "value_usd_published"]].sum()
    used.columns = sums.columns
    pd.testing.assert_frame_equal(used, sums, check_dtype=False, check_exact=True)


def test_curacao_carries_the_netherlands_antilles(printed: pd.DataFrame, trade: pd.DataFrame):
    here = (printed["table"] == "exports_table_wine") & (printed["country"] == "CUW") & (printed["year"] == 2017)
    rows = printed[here].set_index("label")[["quantity_kg", "value_usd"]]
    assert rows.T.to_dict("list") == {"Antilhas Holandesas": [5_400, 8_550], "Curaçao": [12_340, 23_011]}
    used = trade.set_index(["table", "country", "year"]).loc[("exports_table_wine", "CUW", 2017)]
    assert (used["quantity_kg_published"], used["value_usd_published"]) == (17_740, 31_561)


@pytest.mark.parametrize("code", NOT_COUNTRIES)
def test_what_is_no_country_stays_apart_from_every_country(code: str, printed: pd.DataFrame, trade: pd.DataFrame):
    labels = set(printed.loc[printed["country"] == code, "label"].map(str.strip))
    assert labels
    assert labels <= ALIASES.keys()
    assert all(pycountry.countries.get(alpha_3=code) is None for code in NOT_COUNTRIES)
    assert set(trade.loc[trade["country"] == code, "country_pt"]) <= labels
    assert not set(trade.loc[trade["country"] != code, "country_pt"]) & labels


def test_slug_is_ascii_words_joined_by_underscores():
    assert slug("Rubi (Itália, Itália Ro)") == "rubi_italia_italia_ro"
