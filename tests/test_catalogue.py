from vindima.ingestion.catalogue import TABLES


def test_the_fifteen_tables_are_those_of_the_contract():
    assert list(TABLES) == [
        "production",
        "processing_viniferas",
        "processing_american_hybrid",
        "processing_table_grapes",
        "processing_unclassified",
        "sales",
        "imports_table_wine",
        "imports_sparkling_wine",
        "imports_fresh_grapes",
        "imports_raisins",
        "imports_grape_juice",
        "exports_table_wine",
        "exports_sparkling_wine",
        "exports_fresh_grapes",
        "exports_grape_juice",
    ]


def test_no_two_tables_share_a_page_or_a_download():
    assert len({table.query for table in TABLES.values()}) == 15
    assert len({table.download_path for table in TABLES.values()}) == 15


def test_trade_counts_kilograms_and_dollars_and_wine_counts_litres():
    assert TABLES["imports_raisins"].measures == ("quantity_kg", "value_usd")
    assert TABLES["imports_raisins"].unit == "kg; US$ FOB"
    assert TABLES["processing_table_grapes"].measures == ("quantity_kg",)
    assert TABLES["sales"].measures == ("quantity_l",)
    assert TABLES["production"].unit == "L"


def test_a_slug_splits_into_section_and_topic():
    assert (TABLES["exports_grape_juice"].section, TABLES["exports_grape_juice"].topic) == ("exports", "grape_juice")
    assert TABLES["production"].topic is None


def test_a_table_without_suboptions_has_a_page_without_one():
    assert TABLES["sales"].query == "opcao=opt_04"
    assert TABLES["imports_grape_juice"].query == "opcao=opt_05&subopcao=subopt_05"
