"""Every product that the source prints has an identifier of its own; what nobody mapped stops the run."""

import re

import pytest

from vindima.errors import VindimaError
from vindima.etl.products import PRODUCTS, item_code, plain_name, product_code
from vindima.ingestion import figures
from vindima.ingestion.catalogue import TABLES
from vindima.ingestion.parse import read_download, row_level
from vindima.paths import FIGURES


def test_capitals_and_accents_of_a_label_do_not_count():
    assert product_code("Néctar de uva") == product_code("Nectar de Uva") == "grape_nectar"
    assert product_code("Espumante Moscatel") == product_code("Espumante moscatel") == "moscatel_sparkling_wine"


def test_unknown_product_is_refused_with_the_closest_names():
    with pytest.raises(VindimaError, match=r"no product for 'Vinagre triplo'; .*Vinagre .*\(.*vinegar\)"):
        product_code(" Vinagre triplo")


@pytest.mark.parametrize("label", ["Clairette", "  Clairette ", "Clairette(1)", "Clairette (1)", "Clairette  (1)"])
def test_spaces_and_footnote_marks_are_no_part_of_a_name(label: str):
    assert plain_name(label) == "Clairette"
    assert item_code(label, "processing") == "clairette"


def test_every_identifier_is_a_word_of_its_own():
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", product) for product in PRODUCTS.values())


def test_every_product_of_the_bundled_figures_has_one():
    for slug in ("production", "sales"):
        table = figures.read(FIGURES).tables[slug].table
        codes = [product_code(row.label) for row in table.rows if row_level(row) == "subitem"]
        assert len(codes) > 10


def test_every_product_of_the_real_downloads_has_one(shared_data):
    for slug in ("production", "sales"):
        table = TABLES[slug]
        for path in shared_data.glob(f"vitibrasil/20*/{table.download}.csv"):
            rows = read_download(path.read_bytes(), table).rows
            assert all(product_code(row.label) for row in rows if row_level(row) == "subitem"), path
