"""The shapes of what is answered, for the OpenAPI document; the tests hold real replies against them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    """A body of a reply."""

    model_config = ConfigDict(extra="forbid")


class Provenance(Reply):
    """Where an answer comes from."""

    vintage: Annotated[str, Field(description="The collected figures, by their hash.")]
    cutoff: Annotated[int, Field(description="Last year known to the forecasts.")]
    model: str
    model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    source: str


class Live(Reply):
    """The process answers."""

    status: Literal["live"]


class Ready(Reply):
    """There is a set, and a known prediction came out of it as it should."""

    status: Literal["ready"]
    vintage: str
    refused: Annotated[str, Field(description="Why a newer set is not taken.")] = ""


class Token(Reply):
    """A token, and for how many seconds it is good."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


class Description(Reply):
    """What a series is."""

    series: str
    flow: Literal["imports", "exports"]
    product: str
    country: Annotated[str | None, Field(description="ISO 3166-1 alpha-3, or what is no country; null for a total.")]
    first_year: int
    last_year: int
    forecast: Annotated[bool, Field(description="Whether there is a forecast of it.")]


class SeriesList(Reply):
    """All series that have a price."""

    items: list[Description]
    provenance: Provenance


class Year(Reply):
    """One year of a series."""

    year: int
    quantity_kg: float
    value_usd: Annotated[float, Field(description="Nominal US$ FOB.")]
    price_usd_kg: Annotated[float, Field(description="value_usd / quantity_kg, nominal.")]
    price_usd_kg_real: Annotated[float, Field(description="In US$ of base_year (US CPI-U).")]
    price_brl_kg: Annotated[float | None, Field(description="At the year's average rate; null before 1995.")]
    price_brl_kg_real: Annotated[float | None, Field(description="In reais of base_year (IPCA); null before 1995.")]
    corrected: Annotated[bool, Field(description="Whether it rests on a corrected figure.")]


class Levels(Reply):
    """Chained levels of a total's price index, 1 in its first year with trade."""

    year: int
    fisher: float
    tornqvist: float
    unit_value_relative: float
    mix: float


class Said(Reply):
    """A sentence in both languages."""

    en: str
    pt: str


class Notes(Reply):
    """Sentences in both languages."""

    en: list[str]
    pt: list[str]


class Split(Reply):
    """The change of a total's unit value, as factors: unit_value = price × mix."""

    first: Annotated[int, Field(alias="from")]
    last: Annotated[int, Field(alias="to")]
    unit_value: float
    price: float
    mix: float
    sentence: Said
    notes: Notes


class History(Description):
    """A series with its years."""

    base_year: int
    history: list[Year]
    index: list[Levels] | None
    price_and_mix: Split | None


class SeriesHistory(Reply):
    """One series with its history."""

    items: Annotated[list[History], Field(min_length=1, max_length=1)]
    provenance: Provenance


Sides = Annotated[list[float], Field(min_length=2, max_length=2)]


class Step(Reply):
    """One year ahead: the median and its intervals, lower and upper side by level in per cent."""

    year: int
    horizon: int
    forecast: float
    intervals: Annotated[dict[str, Sides] | None, Field(description="null where the money is converted.")]


class Held(Reply):
    """Of so many past forecasts at this horizon so many prices lay inside the interval of this level."""

    horizon: int
    level: Literal[80, 95]
    held: int
    of: int


class Effect(Reply):
    """By how many per cent an input moved the forecast where it changed most, with its 95 per cent interval."""

    input: str
    pct: float
    low: float
    high: float
    distinguishable: Annotated[bool, Field(description="Whether it can be told from nothing.")]


class Forecast(Reply):
    """A forecast; with a scenario also the path without it and what moved it."""

    series: str
    currency: Literal["usd", "brl"]
    terms: Literal["nominal", "real"]
    unit: str
    path: list[Step]
    record: Annotated[
        list[Held], Field(description="The series' own past forecasts in this money; empty for a converted one.")
    ]
    baseline: list[Step] = []
    effects: list[Effect] = []
    assumptions: Annotated[dict[str, Any], Field(description="Rates, price levels and inputs, each with its year.")]
    warnings: list[str]
    provenance: Provenance


class Forecasts(Reply):
    """Forecasts in the order of the questions."""

    items: list[Forecast]


class Run(Reply):
    """A run: the collection of the source, and what follows it."""

    id: str
    state: Literal["queued", "running", "ended"]
    stage: Annotated[str | None, Field(description="The stage that it is at, or was when it ended.")]
    progress: Annotated[float, Field(ge=0, le=1)]
    started_at: Annotated[str, Field(description="When it began; while it is queued, since when. In UTC.")]
    ended_at: Annotated[str | None, Field(description="null until it has ended, and where nobody knows when.")]
    outcome: Annotated[
        Literal["done", "new_data", "nothing_new", "failed", "stopped", "died"] | None,
        Field(description="null until it has ended."),
    ]
    message: Annotated[str, Field(description="Why it did not do what was asked.")]


class Error(Reply):
    """One field of a request that is not as it should be."""

    field: str
    expected: str
    got: Any


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    instance: str = ""
    errors: list[Error] = []
