"""params.yaml as one checked model: what each parameter may be, and how they must fit together and the data.

What a stage could not work with is refused here, before any stage runs and DVC removes what it made before.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from vindima import files
from vindima.errors import VindimaError
from vindima.etl import spark
from vindima.forecasting.eligibility import TOTAL_YEARS
from vindima.ingestion import catalogue, figures, raw_zone
from vindima.series import FIRST_YEAR_IN_REAIS

LONGEST_HORIZON, SCORED_HORIZON = 10, 3
"""Years ahead: the most that a model forecasts, and the most that the models are compared at. They are those of
`forecasting.models` and `scores`, which take seconds to import; a test holds them equal."""


@dataclass(frozen=True)
class Parameter:
    """What a parameter may be, in words and as a test of its value."""

    expected: str
    fits: Callable[[Any], bool]

    def or_null(self) -> "Parameter":
        """This, or null."""
        return Parameter(f"{self.expected}, or null", lambda value: value is None or self.fits(value))


def _one_of(*words: str) -> Parameter:
    return Parameter(" or ".join(words), lambda value: isinstance(value, str) and value in words)


def _whole(expected: str, least: int, most: int) -> Parameter:
    """A whole number in a range; `true` is none."""
    return Parameter(
        f"{expected} from {least} to {most}", lambda value: type(value) is int and least <= value <= most
    )


def _is_source(value: object) -> bool:
    return isinstance(value, str) and (value in ("mirror", "live") or value.startswith(("http://", "https://")))


def _is_rate(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < math.inf  # type: ignore[operator]


_HORIZON = _whole("a whole number of years", 1, LONGEST_HORIZON)


def _are_horizons(value: object) -> bool:
    """[1, 2, 3] are; so is [2]; the models are compared at horizons up to 3, so one of those is among them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(map(_HORIZON.fits, value))
        and value == sorted(set(value))
        and value[0] <= SCORED_HORIZON
    )


_YEAR = Parameter("a year", lambda value: type(value) is int)
PARAMETERS: dict[str, Parameter] = {
    "collect.source": Parameter("mirror, live or an address that begins with http:// or https://", _is_source),
    "collect.method": _one_of("csv", "pages"),
    "collect.accept": _one_of("newer", "any"),
    "collect.requests_per_second": Parameter("a number above 0", _is_rate).or_null(),
    "collect.lake": Parameter(
        "a folder or an address such as s3://bucket/prefix", lambda value: isinstance(value, str) and bool(value)
    ).or_null(),
    "data.last_year": _YEAR.or_null(),
    "tidy.corrections": _one_of("all", "confirmed", "none"),
    "prices.base_year": _YEAR.or_null(),
    "prices.engine": _one_of("duckdb", "spark"),
    "backtest.first_cutoff": _YEAR,
    "backtest.last_cutoff": _YEAR.or_null(),
    "backtest.horizons": Parameter(
        f"different whole numbers from 1 to {LONGEST_HORIZON}, ascending, the first at most {SCORED_HORIZON}",
        _are_horizons,
    ),
    "forecast.horizon": _HORIZON,
}
"""Dotted name → what it may be."""
TOGETHER = (
    "collect.source",
    "data.last_year",
    "prices.base_year",
    *(n for n in PARAMETERS if n.startswith("backtest.")),
)
"""Those that are also held against each other and the data."""
SECTIONS = {
    section: [name.partition(".")[2] for name in PARAMETERS if name.startswith(f"{section}.")]
    for section in dict.fromkeys(name.partition(".")[0] for name in PARAMETERS)
}


def read(root: Path, instead: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Dotted name → value of every parameter in `root/params.yaml`, but for those of `instead`, checked as a whole.

    Raises VindimaError with a line for every defect: `params.yaml: forecast.horizon: expected a whole number of years
    from 1 to 10, got 50`; a value of `instead` is named without the file. Years are held against those of the data as
    far as these are known before anything runs.
    """
    instead = dict(instead or {})
    found, defects = _flat(_load(root / "params.yaml"))
    values = found | instead
    for name, parameter in PARAMETERS.items():
        if name in values and not parameter.fits(values[name]):
            defects[name] = f"expected {parameter.expected}, got {_shown(values[name])}"
        elif name not in values and name.partition(".")[0] not in defects:
            defects[name] = f"expected {parameter.expected}, got nothing"
    if values.get("prices.engine") == "spark" and (lacks := spark.missing()):
        defects["prices.engine"] = lacks
    if all(name in values and name not in defects for name in TOGETHER):
        years = trade_years(values["collect.source"], root)
        defects |= _misfits(values, years or range(catalogue.FIRST_YEAR, 10_000), known=years is not None)
    if defects:
        lines = [f"{'' if name in instead else 'params.yaml: '}{name}: {defect}" for name, defect in defects.items()]
        raise VindimaError("\n".join(lines))
    return {name: values[name] for name in PARAMETERS}


def take(root: Path, path: Path) -> None:
    """Put the values in the file `path` into `root/params.yaml`, its comments kept; VindimaError leaves it as it was.

    The file is an object of JSON, dotted name → value, a text being read as it would be in params.yaml: as a model
    host gives hyperparameters (SageMaker's `hyperparameters.json`; those that begin with `sagemaker_` are its own).
    """
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    try:
        given = json.loads(path.read_bytes())
    except ValueError as error:
        raise VindimaError(f"{path}: expected an object of JSON ({error})") from None
    if not isinstance(given, dict):
        raise VindimaError(f"{path}: expected an object of JSON, got {_shown(given)}")
    values = {
        name: value_of(value, name) if isinstance(value, str) else value
        for name, value in given.items()
        if not name.startswith("sagemaker_")
    }
    if unknown := sorted(set(values) - set(PARAMETERS)):
        raise VindimaError(f"{path}: {unknown[0]}: {_unknown(unknown[0], _BY_NAME, list(PARAMETERS))}")
    read(root, values)
    place = root / "params.yaml"
    document = parse_yaml_for_update(place.read_text(encoding="utf-8"), str(place))
    for name, value in values.items():
        section, _, key = name.partition(".")
        document.setdefault(section, {})[key] = value
    files.write(place, dumps_yaml(document))


def trade_years(source: str, root: Path) -> range | None:
    """Years that trade has: those of the bundled figures for the mirror, else of a raw zone that is from `source`.

    None where they are not known before a collection, or cannot be read: the stages check again.
    """
    raw = root / "data" / "raw"
    years: set[int] = set()
    try:
        if source == "mirror":
            for line in figures.read_descriptions(root / "data" / "figures"):
                if catalogue.TABLES[line["table"]].is_trade:
                    years |= {int(line["first_year"]), int(line["last_year"])}
        collected = raw_zone.read_manifest(raw)["source"] if (raw / "manifest.json").is_file() else "mirror"
        # `make refresh` keeps a collection of the site as the raw zone while params.yaml says mirror.
        if collected != "mirror" and source in ("mirror", collected):
            for slug, table in catalogue.TABLES.items():
                years |= set(raw_zone.read_table(raw, slug).years) if table.is_trade else set()
    except (VindimaError, KeyError, TypeError):  # a manifest may be any JSON
        return None
    return range(min(years), max(years) + 1) if years else None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        for position, (key, _) in enumerate(node.value):
            if key.value in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _load(path: Path) -> object:
    if not path.is_file():
        raise VindimaError(f"there is no {path.name} in {path.parent}: it comes with the project")
    try:
        return yaml.load(path.read_bytes(), _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2023-13-01 is a ValueError
        mark = getattr(error, "problem_mark", None)
        raise VindimaError(
            f"{path.name}{f', line {mark.line + 1}' if mark else ''}: expected YAML ({_problem(error)})"
        ) from None


def value_of(text: str, name: str) -> Any:
    """'[1, 2]' → [1, 2], as it could stand in params.yaml; VindimaError that names `name` for what is no YAML."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        raise VindimaError(f"{name}: expected YAML ({_problem(error)}), got {text!r}") from None


def _problem(error: Exception) -> str:
    """What is wrong, without the lines that YAML shows beside it."""
    return getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)


def _flat(document: object) -> tuple[dict[str, Any], dict[str, str]]:
    """The values by dotted name, and the defects of what is no known section or key."""
    if not isinstance(document, dict):
        raise VindimaError(f"params.yaml: expected the sections {', '.join(SECTIONS)}, got {_shown(document)}")
    values: dict[str, Any] = {}
    defects = {}
    for section in document:
        if section not in SECTIONS:
            defects[str(section)] = _unknown(str(section), {name: name for name in SECTIONS}, list(SECTIONS))
    for section, names in SECTIONS.items():
        content = document.get(section, {})
        if not isinstance(content, dict):
            defects[section] = f"expected a section of {', '.join(names)}, got {_shown(content)}"
            continue
        for key, value in content.items():
            dotted = f"{section}.{key}"
            if dotted in PARAMETERS:
                values[dotted] = value
            else:
                defects[dotted] = _unknown(str(key), _BY_NAME, names)
    return values, defects


_BY_NAME = {dotted.partition(".")[2]: dotted for dotted in PARAMETERS}


def _unknown(name: str, places: Mapping[str, str], here: list[str]) -> str:
    """'horizn' → 'unknown; the closest is forecast.horizon'; where none is close, what there is `here`."""
    closest = get_close_matches(name, places, n=1)
    return f"unknown; the closest is {places[closest[0]]}" if closest else f"unknown; there are {', '.join(here)}"


def _misfits(values: Mapping[str, Any], years: range, known: bool) -> Iterator[tuple[str, str]]:
    """The defects of parameters that each are fine by themselves, but not together or for the years of the data."""
    first, nearest = values["backtest.first_cutoff"], values["backtest.horizons"][0]
    last_year, newest = values["data.last_year"], years[-1]
    ahead = f"{nearest} year{'s' if nearest > 1 else ''}"
    least, why = FIRST_YEAR_IN_REAIS, "the first in reais"
    if first + nearest > least:
        least, why = first + nearest, f"backtest.first_cutoff {first} is scored {ahead} later"
    to = f" to {newest}, the newest of trade" if known else ""
    if last_year is not None and not least <= last_year <= newest:
        yield "data.last_year", f"expected a year from {least} ({why}){to}, got {last_year}"
        return
    end = newest if last_year is None else last_year
    of = "the newest of trade" if last_year is None else "data.last_year"
    to = f" to {end}, {of}" if known or last_year else ""
    base = values["prices.base_year"]
    if base is not None and not FIRST_YEAR_IN_REAIS <= base <= end:
        yield "prices.base_year", f"expected a year from {FIRST_YEAR_IN_REAIS} (the first in reais){to}, got {base}"
    oldest = years[0] + TOTAL_YEARS - 1
    if not oldest <= first <= end - nearest:
        to = f" to {end - nearest}, {ahead} before {of}" if known or last_year else ""
        yield (
            "backtest.first_cutoff",
            f"expected a year from {oldest} (a total is forecast from {TOTAL_YEARS} years on){to}, got {first}",
        )
    last = values["backtest.last_cutoff"]
    if last is not None and not first <= last < end:
        to = f" to {end - 1}, the year before {of}" if known or last_year else ""
        yield "backtest.last_cutoff", f"expected a year from {first} (backtest.first_cutoff){to}, got {last}"


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)
