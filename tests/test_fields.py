"""Every stored column is described, and what is made from the descriptions is as they are."""

import json

import frictionless
import pandas as pd
import pytest

from tests.conftest import ROOT
from vindima.errors import VindimaError
from vindima.etl import fields, schemas


@pytest.mark.parametrize("contract", schemas.CONTRACTS, ids=lambda contract: contract.name)
def test_table_and_each_of_its_columns_is_described_in_both_languages(contract: schemas.Contract):
    for column in (None, *contract.columns):
        assert all(words.strip() for words in fields.meaning(contract, column).values()), column


def test_every_contract_is_in_the_list_once():
    every = {value.path for value in vars(schemas).values() if isinstance(value, schemas.Contract)}
    of_a_command = {schemas.MONTHLY.path, schemas.YEARLY.path}  # what is made of a user's files is in no package
    paths = [contract.path for contract in schemas.CONTRACTS]
    assert sorted(paths) == sorted(every - of_a_command)


def test_column_of_which_nothing_is_said_is_refused_by_name():
    with pytest.raises(VindimaError, match=r"^fields.csv: expected a line for trade, colour_of_cork, got none$"):
        fields.meaning(schemas.TRADE, "colour_of_cork")


@pytest.mark.parametrize(("language", "name"), fields.READMES.items())
def test_readme_has_the_tables_that_the_contracts_give(language, name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert fields.with_tables(text, language) == text, "run `make fields`"


def test_data_package_is_what_the_contracts_give():
    assert json.loads((ROOT / "datapackage.json").read_text(encoding="utf-8")) == fields.data_package(), (
        "run `make fields`"
    )


def test_data_package_is_one_for_the_library_of_the_standard():
    package = frictionless.Package.from_descriptor(fields.data_package())
    assert len(package.resources) == len(schemas.CONTRACTS)
    assert all(resource.schema.primary_key for resource in package.resources)


KEPT_IN_GIT = [schemas.BACKTEST, schemas.CALIBRATIONS, schemas.BENCHMARK, schemas.COUNTS, schemas.SCORES]


@pytest.mark.parametrize("contract", KEPT_IN_GIT, ids=lambda contract: contract.name)
def test_stored_table_is_what_the_data_package_says(contract: schemas.Contract):
    read = pd.read_csv if contract.path.endswith(".csv") else pd.read_parquet
    stored = read(ROOT / contract.path).astype(object)
    rows = stored.where(stored.notna(), None).head(2000).to_dict("records")
    (described,) = (one for one in fields.data_package()["resources"] if one["path"] == contract.path)

    def errors(data: list[dict]) -> list[str]:
        resource = frictionless.Resource(data=data, schema=frictionless.Schema.from_descriptor(described["schema"]))
        return [error.note for error in resource.validate().tasks[0].errors]

    assert errors(rows) == []
    assert errors([rows[0], rows[0]]) != []
