import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vindima.errors import VindimaError
from vindima.serving import store


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def set_vintage(root: Path, vintage: str) -> None:
    for name in ("data/raw/manifest.json", "models/model.json"):
        content = json.loads((root / name).read_bytes()) | {"vintage": vintage}
        (root / name).write_text(json.dumps(content), encoding="utf-8")


def test_switch_copies_the_whole_set_under_the_same_names(project_outputs: Path, tmp_path: Path) -> None:
    (project_outputs / "notes.txt").write_text("no part of the set", encoding="utf-8")
    served = store.switch(project_outputs, tmp_path / "deep" / "served")
    expected = files(project_outputs)
    del expected["notes.txt"]
    found = files(served)
    assert found.pop("service.sqlite").startswith(b"SQLite format 3")
    listed = json.loads(found.pop("set.json"))["files"]
    assert listed.keys() == {*expected, "service.sqlite"}
    assert listed["models/card.md"] == hashlib.sha256(expected["models/card.md"]).hexdigest()
    assert found == expected
    assert [path.name for path in served.parent.iterdir()] == ["served"]


def test_load_gives_the_tables_and_where_they_come_from(project_outputs: Path, served_set: Path) -> None:
    found = store.load(served_set)
    pd.testing.assert_frame_equal(found.prices, pd.read_parquet(project_outputs / "data/prices/prices.parquet"))
    pd.testing.assert_frame_equal(found.index, pd.read_parquet(project_outputs / "data/prices/index.parquet"))
    assert found.base_year == 2023
    assert set(found.forecasts["series"]) == {"imports.table_wine", "imports.table_wine.CHL"}
    assert set(found.backtest["cutoff"]) == {2020}
    assert found.metrics["all"]["n_series"] == 2
    assert found.manifest["source"] == "mirror"
    model = (project_outputs / "models/model.json").read_bytes()
    assert found.provenance == {
        "vintage": "0123456789ab",
        "cutoff": 2023,
        "model": "naive",
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "source": "Embrapa Uva e Vinho, Vitibrasil; unit values computed by Vindima",
    }


@pytest.mark.parametrize("name", store.FILES)
def test_switch_names_the_missing_file_and_leaves_the_old_set(
    name: str, project_outputs: Path, served_set: Path
) -> None:
    old = files(served_set)
    (project_outputs / name).unlink()
    with pytest.raises(VindimaError, match=f"^{name} is missing in .*: run `make`$"):
        store.switch(project_outputs, served_set)
    assert files(served_set) == old
    assert not list(served_set.parent.glob("served-*"))


def test_switch_names_the_first_missing_file(tmp_path: Path) -> None:
    with pytest.raises(VindimaError, match=r"^data/raw/manifest\.json is missing"):
        store.switch(tmp_path / "empty", tmp_path / "served")
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data/prices/prices.parquet", b"PAR1 cut off", "data/prices/prices.parquet .* is damaged"),
        ("data/forecasts/forecasts.parquet", b"", "data/forecasts/forecasts.parquet .* is damaged"),
        ("models/model.json", b'{"model": "na', "models/model.json .* is damaged"),
        ("models/model.json", b"[]", "models/model.json .* is not an object with"),
        ("reports/metrics.json", b"\xff", "reports/metrics.json .* is damaged"),
    ],
)
def test_damaged_file_is_named_and_never_served(
    name: str, content: bytes, said: str, project_outputs: Path, served_set: Path
) -> None:
    old = files(served_set)
    (project_outputs / name).write_bytes(content)
    with pytest.raises(VindimaError, match=said):
        store.switch(project_outputs, served_set)
    assert files(served_set) == old
    (served_set / name).write_bytes(content)
    with pytest.raises(VindimaError, match=said):
        store.load(served_set)


def test_table_without_a_column_is_refused_by_the_name_of_the_column(served_set: Path) -> None:
    path = served_set / "data/forecasts/forecasts.parquet"
    pd.read_parquet(path).drop(columns="q90").to_parquet(path)
    with pytest.raises(VindimaError, match=r"forecasts\.parquet .* lacks the columns \['q90'\]"):
        store.load(served_set)


def test_model_of_another_vintage_than_the_data_is_refused(project_outputs: Path, tmp_path: Path) -> None:
    manifest = project_outputs / "data/raw/manifest.json"
    manifest.write_text('{"vintage": "ffffffffffff"}', encoding="utf-8")
    with pytest.raises(VindimaError, match=r"vintage 0123456789ab, .* vintage ffffffffffff"):
        store.switch(project_outputs, tmp_path / "served")


@pytest.mark.parametrize(("word", "other"), [("model", "drift"), ("cutoff", 2022), ("horizon", 5)])
def test_forecasts_that_are_not_of_the_model_are_refused(word: str, other: object, served_set: Path) -> None:
    path = served_set / "models/model.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {word: other}), encoding="utf-8")
    with pytest.raises(VindimaError, match=rf"has the {word} .*, but models/model\.json has {other!r}"):
        store.load(served_set)


def test_series_with_a_hole_in_its_path_is_refused(served_set: Path) -> None:
    path = served_set / "data/forecasts/forecasts.parquet"
    forecasts = pd.read_parquet(path)
    forecasts.drop(index=1).to_parquet(path)
    with pytest.raises(VindimaError, match=r"imports\.table_wine has the horizons \[1, 3\], expected \[1, 2, 3\]"):
        store.load(served_set)


def test_index_of_other_years_than_the_prices_is_refused(served_set: Path) -> None:
    path = served_set / "data/prices/index.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(
        VindimaError, match=r"index\.parquet .* is not of the years that data/prices/prices\.parquet has"
    ):
        store.load(served_set)


@pytest.mark.parametrize("year", ["2050", "null", '"2023"'])
def test_base_year_that_the_prices_do_not_have_is_refused(served_set: Path, year: str) -> None:
    (served_set / "data/prices/base_year.json").write_text(f'{{"base_year": {year}}}', encoding="utf-8")
    with pytest.raises(VindimaError, match=r"base_year\.json .*: expected a year that .* has, got .*: run `make`"):
        store.load(served_set)


def test_set_holds_the_price_index_and_what_prices_were_computed_with(served_set: Path) -> None:
    names = {path.stem for path in (served_set / "data/prices").iterdir()}
    assert names == {
        "prices", "index", "exchange_rates", "price_levels", "conversion", "enrichment_sources", "base_year",
    }  # fmt: skip


def test_no_set_at_all_says_to_run_make(tmp_path: Path) -> None:
    with pytest.raises(VindimaError, match=r"there is no set to serve in .*served: run `make`"):
        store.load(tmp_path / "served")


def test_set_is_still_read_between_the_two_renames(served_set: Path) -> None:
    served_set.rename(served_set.with_name("served-previous"))
    assert store.load(served_set).provenance["vintage"] == "0123456789ab"


def test_switch_mends_an_interrupted_one(project_outputs: Path, served_set: Path) -> None:
    served_set.rename(served_set.with_name("served-previous"))
    set_vintage(project_outputs, "ba9876543210")
    store.switch(project_outputs, served_set)
    assert store.load(served_set).provenance["vintage"] == "ba9876543210"
    assert not served_set.with_name("served-previous").exists()


def test_reader_sees_one_whole_set_while_others_take_its_place(project_outputs: Path, served_set: Path) -> None:
    """`load` itself refuses a manifest and a model of two vintages, so a mixture would raise."""
    failures: list[BaseException] = []

    def replace() -> None:
        try:
            for i in range(20):
                set_vintage(project_outputs, f"{i:012x}")
                store.switch(project_outputs, served_set)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(store.load(served_set).provenance["vintage"])
    writer.join()
    assert not failures
    assert seen <= {"0123456789ab", *(f"{i:012x}" for i in range(20))}
    assert store.load(served_set).provenance["vintage"] == f"{19:012x}"


def test_set_that_is_replaced_while_it_is_read_is_read_again(
    project_outputs: Path, served_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_table, turns = store._table, []

    def replace_then_read(*arguments: Any) -> pd.DataFrame:
        turns.append(arguments)
        if len(turns) == 1:  # the manifest and the model are read, no table yet
            prices = pd.read_parquet(project_outputs / "data/prices/prices.parquet")
            real = prices["price_usd_kg_real"].where(prices["year"] < 2023, 9.0)
            prices = prices.assign(price_usd_kg=9.0, price_usd_kg_real=real)
            prices.to_parquet(project_outputs / "data/prices/prices.parquet")
            set_vintage(project_outputs, "ba9876543210")
            store.switch(project_outputs, served_set)
        return read_table(*arguments)

    monkeypatch.setattr(store, "_table", replace_then_read)
    found = store.load(served_set)
    assert found.provenance["vintage"] == "ba9876543210"
    assert set(found.prices["price_usd_kg"]) == {9.0}


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_set_can_be_read_by_another_account(served_set: Path) -> None:
    assert served_set.stat().st_mode & 0o555 == 0o555
