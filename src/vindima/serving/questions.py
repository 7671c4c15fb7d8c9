"""What may be asked, declared once: the checks, the words of the errors and the OpenAPI document come from it.

A question is taken as it is written: no text becomes a number, no number another type. Only in a query, where all is
text, do digits become a number first.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
)

from vindima.inputs import INPUTS
from vindima.quantiles import SIDES

LEVELS = tuple(SIDES)
ITEMS = 1_000
"""Questions of one call: seven times the series there are."""
PER_PAGE = 1_000
"""Rows of one page at most; CSV has no pages."""

Wrong = dict[str, Any]
"""`{field, expected, got}`: one field of a request that is not as it should be."""


class WrongQuestion(ValueError):
    """A question that cannot be answered as it is: every field that is wrong."""

    def __init__(self, errors: list[Wrong]) -> None:
        super().__init__("; ".join(f"{e['field']}: expected {e['expected']}, got {e['got']!r}" for e in errors))
        self.errors = errors


class Asked(BaseModel):
    """A question; `words` says what is expected of a field where the question's own set does not (`context`)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
    words: ClassVar[dict[str, str]] = {}


_LEVEL = {"type": "integer", "enum": list(LEVELS)}


def _levels(value: object) -> object:
    """80 → (80,), [95, 80] → (95, 80): one level or several."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _whole(value: object) -> object:
    if type(value) is not int:
        raise ValueError("80.0 and true are no levels")
    return value


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class Money(Asked):
    """Horizon, intervals and money of a forecast."""

    words = {
        "horizon": "an integer, the years ahead",
        "level": "80, 95 or both",
        "currency": "usd or brl",
        "terms": "nominal or real",
        "exchange_rate": "a number of reais for a dollar from 0.01 to 10,000",
        "per": "kg or bottle",
    }

    horizon: Annotated[
        int, Field(ge=1, description="Years ahead; by default the longest that is forecast.", examples=[2])
    ] = 0
    level: Annotated[
        tuple[Annotated[Literal[80, 95], BeforeValidator(_whole)], ...],
        BeforeValidator(_levels),
        Field(min_length=1, description="Level of the intervals in per cent; both by default.", examples=[80]),
        WithJsonSchema({"oneOf": [_LEVEL, {"type": "array", "items": _LEVEL, "minItems": 1}]}),
    ] = (80, 95)
    currency: Annotated[Literal["usd", "brl"], Field(description="US dollars, or reais at a yearly average.")] = "usd"
    terms: Annotated[
        Literal["nominal", "real"], Field(description="Money of each year, or of the base year of the set.")
    ] = "nominal"
    exchange_rate: Annotated[
        float | None,
        Field(
            ge=0.01,
            le=10_000,
            description="Reais for a dollar, instead of the newest yearly average; with brl alone.",
            json_schema_extra=_without_default,
        ),
        WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 10_000}),
    ] = None
    per: Annotated[
        Literal["kg", "bottle"], Field(description="A kilogram, or 750 ml of wine at 0.99 kg a litre.")
    ] = "kg"

    @field_validator("level")
    @classmethod
    def _once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(level for level in LEVELS if level in value)

    @field_validator("horizon")
    @classmethod
    def _forecast(cls, value: int, info: ValidationInfo) -> int:
        if info.context and value > info.context["horizon"]:
            raise ValueError("beyond what is forecast")
        return value

    @field_validator("exchange_rate", mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:
            raise ValueError("null is no rate")
        return value


class ByPct(Asked):
    """A change of an input, in every year."""

    words = {"pct": "a number of per cent above -100"}
    pct: Annotated[float, Field(gt=-100, description="Per cent, from the last published level.")]


class ByLevel(Asked):
    """Levels of an input in some years; the others stay at the last published one."""

    words = {"level": "a level above 0 for one or more years"}
    level: Annotated[
        dict[Annotated[str, Field(pattern=r"^\d{4}$")], Annotated[float, Field(gt=0)]],
        Field(min_length=1, description="Year → level in the input's unit."),
    ]


def _kind(value: object) -> str | None:
    if isinstance(value, BaseModel):
        return "pct" if isinstance(value, ByPct) else "level"
    if isinstance(value, dict):
        return next((name for name in ("pct", "level") if name in value), None)
    return None


Change = Annotated[Annotated[ByPct, Tag("pct")] | Annotated[ByLevel, Tag("level")], Discriminator(_kind)]
EITHER = 'either {"pct": number} or {"level": {year: number}}'


class Scenario(Asked):
    """What the inputs would be; at least one."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})
    words = dict.fromkeys(INPUTS, EITHER)
    harvest: Change | None = None
    imports: Change | None = None
    exports: Change | None = None
    sales: Change | None = None
    exchange_rate: Change | None = None


assert tuple(Scenario.model_fields) == INPUTS


class Prediction(Money):
    """One question: the forecast of a series, as it is or moved by a scenario."""

    words = {
        **Money.words,
        "series": "the name of a series as text",
        "scenario": f"null, or at least one of {', '.join(INPUTS)}",
    }

    series: Annotated[str, Field(max_length=100, description="Name of a series, as GET /v1/series lists them.")]
    scenario: Annotated[Scenario | None, Field(description="What the inputs would be.")] = None

    @field_validator("scenario")
    @classmethod
    def _some(cls, value: Scenario | None) -> Scenario | None:
        if value is not None and not value.model_fields_set:
            raise ValueError("an empty scenario")
        return value

    def inputs(self) -> dict[str, dict[str, Any]]:
        """The scenario as `forecasting.scenario` reads it; without one it is empty."""
        return self.scenario.model_dump(exclude_unset=True) if self.scenario else {}


class Predictions(Asked):
    """Many questions."""

    words = {"items": f"an array of 1 to {ITEMS} questions"}
    items: Annotated[list[Prediction], Field(min_length=1, max_length=ITEMS)]


class Collection(Asked):
    """A collection that is to be started."""

    words = {"pipeline": "true or false"}
    pipeline: Annotated[
        bool, Field(description="Whether the pipeline follows, and with it the set that is served.")
    ] = True


class NoQuery(Asked):
    """A call without query parameters."""


class Years(Asked):
    """The years of a history."""

    first: Annotated[int | None, Field(alias="from", description="First year.", examples=[2015])] = None
    last: Annotated[int | None, Field(alias="to", description="Last year.")] = None

    @field_validator("first", "last")
    @classmethod
    def _had(cls, value: int, info: ValidationInfo) -> int:
        name = {"first": "from", "last": "to"}[info.field_name or ""]
        if info.context and value not in info.context["years"][name]:
            raise ValueError("no year of the series")
        return value


class Page(Asked):
    """Form and page of a table."""

    words = {
        "format": "json or csv",
        "page": "a page from 1 on",
        "per_page": f"an integer from 1 to {PER_PAGE}",
        "year": "a year",
    }

    format: Annotated[Literal["json", "csv"], Field(description="CSV holds every row.")] = "json"
    page: Annotated[int, Field(ge=1, le=1_000_000, description="From 1 on; of JSON.")] = 1
    per_page: Annotated[int, Field(ge=1, le=PER_PAGE, description="Rows of a page of JSON.")] = 100


def table_query(name: str, filters: Iterable[str]) -> type[Page]:
    """The query of a collected table: `Page`, and each filter, which may be repeated."""
    fields: dict[str, Any] = {
        one: (
            Annotated[
                list[int] if one == "year" else list[str],  # noqa: F821
                Field(description="Only rows with this value; repeat it for several."),
            ],
            [],
        )
        for one in filters
    }
    made = create_model(f"{name.title()}Query", __base__=Page, **fields)
    made.words = {**Page.words, **{one: "a value that the table has" for one in filters if one != "year"}}
    return made


# ---- reading


def from_query(model: type[Asked], values: Mapping[str, Sequence[str]], **context: Any) -> Any:
    """The question that a query asks, from each name's values. Raises WrongQuestion."""
    kinds = _kinds(model)
    wrong, asked = [], {}
    for name, given in values.items():
        kind = kinds.get(name, frozenset())
        if kind and "array" not in kind and len(given) > 1:
            wrong.append(wrong_field(name, "one value", list(given)))
            continue
        read = [_number(text, kind) for text in given]
        asked[name] = read if "array" in kind else read[0]
    return _validated(model, asked, context, wrong)


def from_body(body: object, **context: Any) -> Prediction | Predictions:
    """The question, or the questions, that a body asks. Raises WrongQuestion."""
    asked = _object(body)
    return _validated(Predictions if "items" in asked else Prediction, asked, context, [])


def collection(body: object) -> Collection:
    """The collection that a body asks for. Raises WrongQuestion."""
    return _validated(Collection, _object(body), {}, [])


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise WrongQuestion([wrong_field("body", "an object", body)])
    return body


@cache
def _kinds(model: type[Asked]) -> dict[str, frozenset[str]]:
    """Each field of a model → the types of JSON that it and its parts may be: {"array", "integer"}."""
    found = {}
    for name, schema in model.model_json_schema()["properties"].items() if model.model_fields else ():
        shapes = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
        shapes += [shape["items"] for shape in shapes if "items" in shape]
        found[name] = frozenset(shape["type"] for shape in shapes if "type" in shape)
    return found


def _number(text: str, kind: Set[str]) -> object:
    """'3' → 3 where a whole number is asked for, '5.4' → 5.4 where any is; else the text as it came."""
    if "number" in kind:
        try:
            return float(text) if text.isascii() and "_" not in text else text
        except ValueError:
            return text
    whole = "integer" in kind and text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if whole else text


def _validated(model: type[Asked], asked: dict, context: Mapping[str, Any], wrong: list[Wrong]) -> Any:
    try:
        found = model.model_validate(asked, context=dict(context))
    except ValidationError as error:
        wrong = _in_words(error, model, context.get("words", {})) + wrong
    else:
        if not wrong:
            return found
    raise WrongQuestion(wrong)


def _in_words(error: ValidationError, model: type[Asked], said: Mapping[str, str]) -> list[Wrong]:
    """Each wrong field once: unknown names first, then in the order of the fields."""
    found: dict[str, tuple[tuple, Wrong]] = {}
    for one in error.errors(include_url=False, include_context=False):
        place, expected, order = _place(model, one["loc"], one["type"], said)
        got = None if one["type"] == "missing" else one["input"]
        found.setdefault(place, (order, wrong_field(place, expected, got)))
    return [wrong for _, wrong in sorted(found.values(), key=lambda pair: pair[0])]


def _place(
    model: type[Asked], loc: tuple[int | str, ...], kind: str, said: Mapping[str, str]
) -> tuple[str, str, tuple]:
    """Where an error is, in the words of the person who asked; what was expected there; and its place in the list."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    head, rest = (str(loc[0]), loc[1:]) if loc else ("body", ())
    if kind == "extra_forbidden" and not rest:
        alone = f"{names[0]} alone" if model in (Predictions, Collection) else f"one of {', '.join(names)}"
        return head, alone if names else "no query parameters", (-1,)
    order = (names.index(head) if head in names else len(names),)
    if model is Predictions and rest and isinstance(rest[0], int):
        inner, expected, deeper = _place(Prediction, rest[1:], kind, said) if rest[1:] else ("", "an object", ())
        return f"items[{rest[0]}]" + (f".{inner}" if inner else ""), expected, (*order, rest[0], *deeper)
    if head == "scenario" and rest:
        inner, expected, deeper = _place(Scenario, rest, kind, said)
        return (
            f"scenario.{inner}" if kind != "extra_forbidden" or rest[1:] else "scenario",
            expected,
            (*order, *deeper),
        )
    if model is Scenario and rest and rest[0] in ("pct", "level"):
        inner, expected, deeper = _place(ByPct if rest[0] == "pct" else ByLevel, rest[1:], kind, said)
        return f"{head}.{inner}", expected, (*order, *deeper)
    if model is ByLevel and rest:
        return f"{head}.{rest[0]}", "a year → a number above 0", order
    return head, said.get(head) or model.words.get(head, "a value"), order


def wrong_field(field: str, expected: str, got: object) -> Wrong:
    """One error; what was sent is shown as it came where it is one short value, else described."""
    if isinstance(got, str) and len(got) > 100:
        got = got[:100] + "…"
    elif isinstance(got, float) and not math.isfinite(got):
        got = str(got)
    elif isinstance(got, list | tuple):
        got = f"an array of {len(got)}"
    elif isinstance(got, dict):
        got = "an object"
    return {"field": field, "expected": expected, "got": got}


def read_json(text: bytes) -> Any:
    """The JSON of a body. Raises ValueError with the place for text that is none, or that names a member twice."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_members)
    except json.JSONDecodeError as error:
        raise ValueError(f" at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("") from None


def _no_constant(word: str) -> None:
    raise ValueError(f": {word} is no JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f": the member {name[:50]!r} stands there twice")
        members[name] = value
    return members
