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


def test_slug_is_ascii_words_joined_by_underscores():
    assert labels.slug("Rubi (Itália, Itália Ro)") == "rubi_italia_italia_ro"
