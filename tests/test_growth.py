"""The benchmark of growth: what it copies, and when it leaves a size out."""

from types import SimpleNamespace

import psutil
import pytest

from benchmarks import growth
from vindima import paths

pytestmark = pytest.mark.skipif(
    not (paths.PRICES / "prices.parquet").is_file(), reason="the pipeline has not run here"
)


def test_copies_are_of_other_countries_in_the_same_markets():
    made = growth._copies(250)
    names = made["series"].drop_duplicates().str.split(".", expand=True)
    assert len(names) == 250
    assert names[2].str.contains("_").all()
    assert len(names.groupby([0, 1])) <= 9
    assert made["year"].nunique() <= growth.YEARS
    assert not made.duplicated(["series", "year"]).any()


def test_size_that_does_not_fit_in_memory_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9))
    monkeypatch.setattr(growth, "_measured", lambda task, size: (size / 1000, 0.5))
    rows = growth.rows()
    assert rows[-1] == {"what": "10,000 series: left out, 2.6 GB are needed and 1.0 are free"}
    assert [row["seconds"] for row in rows[:-1]] == [0.1] * 3 + [1.0] * 3


def test_growth_is_judged_by_the_time_for_each_series(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=9e9))
    monkeypatch.setattr(growth, "_measured", lambda task, size: (size**1.5, size / 3000))
    rows = growth.rows()
    assert (rows[-1]["figure"], rows[-1]["met"]) == (3.16, False)
    assert [row["met"] for row in rows if "peak GB" in row] == [True] * 4 + [False] * 2
