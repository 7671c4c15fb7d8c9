"""params.yaml is checked as a whole, and every defect is one line that names the parameter."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.conftest import PARAMETERS, ROOT
from vindima import params, paths
from vindima.cli import main
from vindima.errors import VindimaError
from vindima.series import FIRST_YEAR_IN_REAIS

GIVEN = PARAMETERS
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the parameters that it comes with and bundled figures of trade from 1970 to 2023."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(GIVEN), encoding="utf-8")
    bundled = tmp_path / "data" / "figures" / "tables.csv"
    bundled.parent.mkdir(parents=True)
    header, *lines = paths.FIGURES.joinpath("tables.csv").read_text(encoding="utf-8").splitlines()
    at = header.split(",").index("last_year")
    rest = [line.rsplit(",", len(header.split(",")) - at) for line in lines]
    assert all(fields[1].startswith("20") for fields in rest)
    bundled.write_text("\n".join([header, *(",".join([f[0], "2023", *f[2:]]) for f in rest)]), encoding="utf-8")
    return tmp_path


def refused(project: Path, instead: dict[str, Any] | None = None) -> list[str]:
    """The lines in which the parameters are refused; [] where they are not."""
    try:
        params.read(project, instead)
    except VindimaError as error:
        return str(error).splitlines()
    return []


def settle(project: Path, dotted: str, value: Any) -> None:
    """Write params.yaml with another value, or another key."""
    section, _, name = dotted.partition(".")
    changed = {**GIVEN, section: {**GIVEN[section], name: value}}
    (project / "params.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")


def test_parameters_of_the_project_are_those_that_are_known_and_can_be_used():
    values = params.read(ROOT)
    assert list(values) == [f"{section}.{name}" for section, names in GIVEN.items() for name in names]


def test_every_parameter_of_a_stage_is_known():
    assert {name for stage in STAGES.values() for name in stage.get("params", []) if isinstance(name, str)} == set(
        params.PARAMETERS
    )


def test_limits_are_those_of_the_code_that_works_with_them():
    from vindima.forecasting import models, scores

    assert params.LONGEST_HORIZON == models.LONGEST_HORIZON
    assert max(scores.SCORED_HORIZONS) == params.SCORED_HORIZON


@pytest.mark.parametrize(
    ("dotted", "value", "expected"),
    [
        (
            "collect.source",
            None,
            "expected mirror, live or an address that begins with http:// or https://, got null",
        ),
        ("collect.source", "ftp://site", "expected mirror, live or an address .*, got 'ftp://site'"),
        ("collect.method", "html", "expected csv or pages, got 'html'"),
        ("collect.accept", True, "expected newer or any, got True"),
        ("collect.requests_per_second", -1, "expected a number above 0, or null, got -1"),
        ("collect.requests_per_second", 0, "expected a number above 0, or null, got 0"),
        ("collect.requests_per_second", float("nan"), "expected a number above 0, or null, got nan"),
        ("collect.requests_per_second", float("inf"), "expected a number above 0, or null, got inf"),
        ("collect.requests_per_second", "4", "expected a number above 0, or null, got '4'"),
        ("collect.requests_per_second", True, "expected a number above 0, or null, got True"),
        ("collect.lake", "", "expected a folder or an address such as s3://bucket/prefix, or null, got ''"),
        ("data.last_year", "2023", "expected a year, or null, got '2023'"),
        ("data.last_year", 2023.0, r"expected a year, or null, got 2023\.0"),
        (
            "data.last_year",
            1990,
            r"expected a year from 2008 \(backtest.first_cutoff 2007 is .*\) to 2023, .* got 1990",
        ),
        ("data.last_year", 2007, "expected a year from 2008 .*, got 2007"),
        ("data.last_year", 2024, "expected a year from 2008 .* to 2023, the newest of trade, got 2024"),
        ("tidy.corrections", None, "expected all or confirmed or none, got null"),
        ("tidy.corrections", ["all"], r"expected all or confirmed or none, got \['all'\]"),
        ("prices.base_year", 1994, r"expected a year from 1995 \(the first in reais\) to 2023, .*, got 1994"),
        ("prices.base_year", 2024, "expected a year from 1995 .* to 2023, the newest of trade, got 2024"),
        ("prices.engine", "dask", "expected duckdb or spark, got 'dask'"),
        ("backtest.first_cutoff", None, "expected a year, got null"),
        ("backtest.first_cutoff", 1976, "expected a year from 1977 .* to 2022, 1 year before the newest .* got 1976"),
        ("backtest.first_cutoff", 2023, "expected a year from 1977 .* to 2022, 1 year before the newest .* got 2023"),
        ("backtest.last_cutoff", 2006, r"expected a year from 2007 \(backtest.first_cutoff\) to 2022, .*, got 2006"),
        (
            "backtest.last_cutoff",
            2023,
            "expected a year from 2007 .* to 2022, the year before the newest .*, got 2023",
        ),
        ("backtest.horizons", [], r"expected different whole numbers from 1 to 10, ascending, .*, got \[\]"),
        ("backtest.horizons", 3, "expected different whole numbers .*, got 3"),
        ("backtest.horizons", [2, 1], r"expected different whole numbers .*, got \[2, 1\]"),
        ("backtest.horizons", [1, 1], r"expected different whole numbers .*, got \[1, 1\]"),
        ("backtest.horizons", [1, 11], r"expected different whole numbers .*, got \[1, 11\]"),
        ("backtest.horizons", [True], r"expected different whole numbers .*, got \[True\]"),
        ("backtest.horizons", [4, 5], r"expected .*, ascending, the first at most 3, got \[4, 5\]"),
        ("forecast.horizon", 0, "expected a whole number of years from 1 to 10, got 0"),
        ("forecast.horizon", 50, "expected a whole number of years from 1 to 10, got 50"),
        ("forecast.horizon", True, "expected a whole number of years from 1 to 10, got True"),
        ("forecast.horizon", "3", "expected a whole number of years from 1 to 10, got '3'"),
        ("forecast.horizn", 3, r"unknown; the closest is forecast\.horizon"),
        ("data.horizon", 3, r"unknown; the closest is forecast\.horizon"),
        ("collect.colour", "red", "unknown; there are source, method, accept, requests_per_second, lake"),
    ],
)
def test_value_that_a_stage_could_not_work_with_is_refused_by_name(
    project: Path, dotted: str, value: Any, expected: str
):
    settle(project, dotted, value)
    with pytest.raises(VindimaError, match=rf"^params\.yaml: {dotted}: {expected}$"):
        params.read(project)


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("collect.source", "http://localhost:8080"),
        ("collect.requests_per_second", None),
        ("collect.requests_per_second", 0.5),
        ("collect.lake", "s3://bucket/prefix"),
        ("data.last_year", 2008),
        ("data.last_year", 2023),
        ("tidy.corrections", "none"),
        ("prices.base_year", 1995),
        ("prices.base_year", 2023),
        ("backtest.first_cutoff", 1977),
        ("backtest.first_cutoff", 2022),
        ("backtest.last_cutoff", 2007),
        ("backtest.last_cutoff", 2022),
        ("backtest.horizons", [2, 5]),
        ("forecast.horizon", 10),
    ],
)
def test_value_at_the_edge_of_its_range_is_taken(project: Path, dotted: str, value: Any):
    settle(project, dotted, value)
    assert params.read(project)[dotted] == value


def test_earliest_last_year_is_the_first_in_reais_where_no_cutoff_asks_for_more(project: Path):
    settle(project, "backtest.first_cutoff", 1985)
    assert refused(project, {"data.last_year": FIRST_YEAR_IN_REAIS}) == []
    (line,) = refused(project, {"data.last_year": 1994})
    assert line.startswith("data.last_year: expected a year from 1995 (the first in reais) to 2023")


def test_years_are_held_against_the_last_year_that_is_chosen(project: Path):
    settle(project, "data.last_year", 2015)
    assert refused(project, {"prices.base_year": 2016})[0].endswith("to 2015, data.last_year, got 2016")
    assert refused(project, {"backtest.last_cutoff": 2015})[0].endswith(
        "to 2014, the year before data.last_year, got 2015"
    )


def test_value_of_the_command_line_is_named_without_the_file(project: Path):
    settle(project, "forecast.horizon", 50)
    assert refused(project, {"forecast.horizon": 3}) == []
    assert refused(project, {"forecast.horizon": 0}) == [
        "forecast.horizon: expected a whole number of years from 1 to 10, got 0"
    ]


def test_value_of_the_command_line_stands_for_one_that_is_not_in_the_file(project: Path):
    (project / "params.yaml").write_text(yaml.safe_dump(GIVEN | {"forecast": {}}))
    assert refused(project)[0].endswith("from 1 to 10, got nothing")
    assert refused(project, {"forecast.horizon": 3}) == []


@pytest.mark.parametrize("text", ["[a", "2023-13-01", "!!int x", "{a: 1, a: 2}"])
def test_value_that_is_no_yaml_is_named(text: str):
    with pytest.raises(VindimaError, match=r"^last_year: expected YAML \(.+\), got '"):
        params.value_of(text, "last_year")


def test_every_defect_has_a_line(project: Path):
    text = "colect: {}\ncollect: null\ndata: {last_year: 1990}\nprices: {engine: dask}\nforecast: {horizon: 50}\n"
    (project / "params.yaml").write_text(text)
    names = [line.split(": ")[1] for line in refused(project)]
    assert sorted(names) == [
        "backtest.first_cutoff", "backtest.horizons", "backtest.last_cutoff", "colect", "collect", "forecast.horizon",
        "prices.base_year", "prices.engine", "tidy.corrections",
    ]  # fmt: skip
    assert "params.yaml: colect: unknown; the closest is collect" in refused(project)


def test_years_that_do_not_fit_are_listed_beside_other_defects(project: Path):
    settle(project, "data.last_year", 1990)
    assert len(refused(project, {"forecast.horizon": 50})) == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("data: [1", r"params\.yaml, line 1: expected YAML \(.+\)"),
        ("data:\n\tlast_year: 1", r"params\.yaml, line 2: expected YAML \(.+\)"),
        ("forecast:\n  horizon: 3\n  horizon: 50\n", r"params\.yaml, line 3: expected YAML \(horizon stands twice\)"),
        ("a: 2023-13-01", r"params\.yaml: expected YAML \(month must be in 1..12\)"),
        ("a: \x00", r"params\.yaml: expected YAML \(.+\)"),
        ("[1]: 2", r"params\.yaml, line 1: expected YAML \(.+\)"),
        ("", r"params\.yaml: expected the sections collect, data, .*, got null"),
        ("- 1", r"params\.yaml: expected the sections collect, data, .*, got \[1\]"),
    ],
)
def test_what_is_no_params_file_is_one_line(project: Path, text: str, complaint: str):
    (project / "params.yaml").write_text(text)
    with pytest.raises(VindimaError, match=rf"^{complaint}$"):
        params.read(project)


def test_file_that_is_not_there_is_said_so(tmp_path: Path):
    with pytest.raises(VindimaError, match=r"there is no params\.yaml in "):
        params.read(tmp_path)


def collected(project: Path, source: str, last_year: int) -> None:
    """A raw zone collected from `source`, as far as its years go."""
    from vindima.ingestion.catalogue import TABLES

    tables = project / "data" / "raw" / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    (tables.parent / "manifest.json").write_text(json.dumps({"source": source, "files": []}))
    for slug, table in TABLES.items():
        content = {
            "table": slug,
            "title": "",
            "unit": table.unit,
            "years": [1970, last_year],
            "source": "",
            "rows": [],
        }
        (tables / f"{slug}.json").write_text(json.dumps(content | {"notes": []}))


def test_years_of_a_live_source_are_those_of_what_was_collected_from_it(project: Path):
    wanted = {"collect.source": "live", "data.last_year": 2024}
    assert refused(project, wanted) == []
    collected(project, "http://localhost:8080", 2023)
    assert refused(project, wanted) == []
    collected(project, "live", 2023)
    assert refused(project, wanted)[0].endswith("to 2023, the newest of trade, got 2024")
    assert refused(project, wanted | {"data.last_year": 1990})[0].startswith(
        "data.last_year: expected a year from 2008"
    )


def test_year_of_a_live_collection_that_the_mirror_does_not_have_yet_is_taken(project: Path):
    assert refused(project, {"data.last_year": 2024})
    collected(project, "live", 2024)
    assert refused(project, {"data.last_year": 2024}) == []


@pytest.mark.parametrize("manifest", ["{", "{}", "[]"])
def test_damaged_data_do_not_stop_what_could_mend_them(project: Path, manifest: str):
    collected(project, "live", 2024)
    (project / "data" / "raw" / "manifest.json").write_text(manifest)
    assert refused(project, {"collect.source": "live"}) == []
    (project / "data" / "figures" / "tables.csv").write_text("")
    assert refused(project) == []


def test_check_writes_its_mark_where_all_is_well_and_only_there(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paths, "ROOT", project)
    mark = project / "mark"
    settle(project, "forecast.horizon", 50)
    done = CliRunner().invoke(main, ["check", "--mark", str(mark)])
    assert (done.exit_code, done.stderr) == (
        1, "vindima: params.yaml: forecast.horizon: expected a whole number of years from 1 to 10, got 50\n"
    )  # fmt: skip
    assert not mark.exists()
    settle(project, "forecast.horizon", 3)
    assert CliRunner().invoke(main, ["check", "--mark", str(mark)]).exit_code == 0
    first = mark.read_bytes()
    settle(project, "forecast.horizon", 4)
    assert CliRunner().invoke(main, ["check", "--mark", str(mark)]).exit_code == 0
    assert mark.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("colour", "red", "vindima: params.yaml: collect.colour: unknown; "),
        ("source", None, "vindima: params.yaml: collect.source: expected mirror, live or an address "),
    ],
)
def test_collect_refuses_what_is_wrong_with_its_section(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, sentence: str
):
    monkeypatch.setattr(paths, "ROOT", project)
    settle(project, f"collect.{name}", value)
    done = CliRunner().invoke(main, ["collect"])
    assert done.exit_code == 1
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_every_stage_waits_for_the_check():
    made_by = {
        out if isinstance(out, str) else next(iter(out)): name for name in STAGES for out in STAGES[name]["outs"]
    }

    def waits(name: str) -> bool:
        before = {made_by[out] for dep in STAGES[name]["deps"] for out in made_by if f"{dep}/".startswith(f"{out}/")}
        return name == "check" or any(map(waits, before))

    assert [name for name in STAGES if not waits(name)] == []


def taken(project: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[int, str]:
    """The exit code, and the message, of a check that takes the values in `text`."""
    monkeypatch.setattr(paths, "ROOT", project)
    given = project / "hyperparameters.json"
    given.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(main, ["check", "--take", str(given)])
    return done.exit_code, done.output.removeprefix("vindima: ").replace(f"{given}: ", "")


def test_hyperparameters_of_a_model_host_are_taken_into_the_file_and_its_comments_stay(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copyfile(ROOT / "params.yaml", project / "params.yaml")
    text = (
        '{"backtest.first_cutoff": "2010", "backtest.horizons": "[1, 2]", "data.last_year": null, "sagemaker_x": 1}'
    )
    assert taken(project, monkeypatch, text)[0] == 0
    now = params.read(project)
    assert (now["backtest.first_cutoff"], now["backtest.horizons"], now["data.last_year"]) == (2010, [1, 2], None)
    comments = [re.findall("#.*", (folder / "params.yaml").read_text(encoding="utf-8")) for folder in (ROOT, project)]
    assert comments[0] == comments[1] != []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"forecast.horizon": "50"}', "forecast.horizon: expected a whole number of years from 1 to 10, got 50"),
        ('{"forecast.horizn": 3}', "forecast.horizn: unknown"),
        ('{"horizon": 3}', "horizon: unknown; the closest is forecast.horizon"),
        ("[]", "expected an object of JSON, got []"),
        ("{", "expected an object of JSON ("),
    ],
)
def test_hyperparameters_that_are_none_leave_the_file_as_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str, complaint: str
):
    before = (project / "params.yaml").read_bytes()
    code, said = taken(project, monkeypatch, text)
    assert code != 0
    assert said.startswith(complaint)
    assert (project / "params.yaml").read_bytes() == before
