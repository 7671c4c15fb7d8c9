"""Names and numbers in the language of the reader."""

import pytest

from vindima import labels


def test_numbers_are_written_as_each_reader_writes_them():
    assert labels.number(1234.567, 2, "pt") == "1.234,57"
    assert labels.number(1234.567, 2, "en") == "1,234.57"


def test_series_are_named_in_both_languages():
    assert labels.series_name("imports.table_wine.CHL", "en") == "Imports of table wine · Chile"
    assert labels.series_name("exports.grape_juice", "pt") == "Exportação de suco de uva · todos os países"


def test_what_is_no_country_has_a_name_too():
    assert labels.country_name("SHIP_SUPPLIES", "pt") == "Provisão de navios e aeronaves"


def test_unknown_code_is_refused():
    with pytest.raises(KeyError, match="XXX is not an ISO"):
        labels.country_name("XXX", "en")


@pytest.mark.parametrize(
    ("value", "decimals", "english", "portuguese"),
    [(-1234.5, 1, "−1,234.5", "−1.234,5"), (-0.004, 2, "0.00", "0,00"), (-0.0, 0, "0", "0"), (0.0, 1, "0.0", "0,0")],
)
def test_negative_numbers_have_a_minus_sign_and_nothing_has_none(value, decimals, english, portuguese):
    assert (labels.number(value, decimals, "en"), labels.number(value, decimals, "pt")) == (english, portuguese)


@pytest.mark.parametrize(
    ("count", "english", "portuguese"),
    [(0, "0 tables", "0 tabela"), (1, "1 table", "1 tabela"), (1234, "1,234 tables", "1.234 tabelas")],
)
def test_what_is_counted_stands_in_its_number(count: int, english: str, portuguese: str):
    assert labels.counted(count, "table", "tables", "en") == english
    assert labels.counted(count, "tabela", "tabelas", "pt") == portuguese


def test_change_above_zero_has_a_sign_where_one_is_wanted():
    assert [labels.number(value, 1, "pt", plus=True) for value in (1234.5, 0.04, -0.04, -2)] == [
        "+1.234,5",
        "0,0",
        "0,0",
        "−2,0",
    ]


def test_number_that_is_not_known_is_a_dash():
    assert labels.number(float("nan"), 2, "pt") == "–"


@pytest.mark.parametrize(
    ("share", "decimals", "english", "portuguese"),
    [
        (0.0534, 1, "5.3%", "5,3%"),
        (-0.1, 0, "−10%", "−10%"),
        (12.5, 0, "1,250%", "1.250%"),
        (float("nan"), 1, "–", "–"),
    ],
)
def test_shares_are_written_in_per_cent(share: float, decimals: int, english: str, portuguese: str):
    assert labels.percent(share, decimals, "en") == english
    assert labels.percent(share, decimals, "pt") == portuguese


def test_day_is_written_as_the_reader_writes_it():
    assert labels.day("2026-03-12", "pt") == "12 de março de 2026"
    assert labels.day("2026-03-12", "en") == "March 12, 2026"
