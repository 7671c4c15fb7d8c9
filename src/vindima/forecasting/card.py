"""The model card, in both languages, written from the numbers of the run; its words stand in `templates`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vindima.forecasting import scores
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.scores import SCORED_HORIZONS
from vindima.forecasting.stored import write_text
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, series_name
from vindima.templates import render

FILES: dict[Language, str] = {"en": "card.md", "pt": "card.pt-BR.md"}


def part_name(by: str, group: str, language: Language) -> str:
    """'product', 'table_wine' → 'table wine'; of a total its flow and product; a horizon is named by the template."""
    if by == "horizon":
        return ""
    if by == "total":
        return series_name(group, language).partition(" · ")[0]
    return (FLOWS if by == "flow" else TRADE_PRODUCTS)[group][language].lower()


def card(
    record: dict[str, Any],
    forecasts: pd.DataFrame,
    scored: pd.DataFrame,
    stand: pd.DataFrame,
    publications: pd.DataFrame,
    against: pd.DataFrame,
    language: Language,
) -> str:
    """The card as Markdown.

    `record` is `model.json`, `stand` the answer of `scores.stand` for `scored`, `publications` that of
    `published.summary` and `against` that of `published.against_actual`.
    """
    model = record["model"]
    series = forecasts["series"].drop_duplicates()
    corrected, as_published = (stand[stand["actuals"] == actuals] for actuals in ("corrected", "published"))
    ours = corrected[corrected["model"] == model]
    parts = _named(ours[ours["by"].isin(["horizon", "flow", "product"])], language)
    totals = _named(_with_held(ours[ours["by"] == "total"], scores.record(scored, model)), language)
    near = scored[(scored["model"] == model) & scored["horizon"].isin(SCORED_HORIZONS)]
    waiting = publications[publications.groupby("vintage")["n_forecasts"].transform("sum") == 0]
    return render(
        "forecasting",
        f"card.{language}.md.j2",
        language,
        model=model,
        record=record,
        candidates=list(record["choice"]["mean_absolute_log_error"]),
        n_series=len(series),
        n_totals=int((series.str.count(r"\.") == 1).sum()),
        first_target=forecasts["year"].min(),
        last_target=forecasts["year"].max(),
        country_kg=COUNTRY_KG,
        country_years=COUNTRY_YEARS,
        first_cutoff=scored["cutoff"].min(),
        last_cutoff=scored["cutoff"].max(),
        groups={group: corrected[corrected["by"] == group].to_dict("records") for group in ("all", "totals")},
        published={row["by"]: row for row in as_published[as_published["model"] == model].to_dict("records")},
        unscored=near["actual"].isna().sum(),
        made=len(near),
        alike=[row for row in [*parts, *totals] if row["mae_rel_naive_high"] >= 1],
        parts=parts,
        totals=totals,
        publications=publications[publications["n_forecasts"] > 0].to_dict("records"),
        waiting=waiting.drop_duplicates("vintage").to_dict("records"),
        came=_came(against, language),
    )


def _named(stand: pd.DataFrame, language: Language) -> list[dict[Any, Any]]:
    """Rows of `scores.stand`, each with its name and its median error in per cent."""
    names = [part_name(by, group, language) for by, group in zip(stand["by"], stand["group"], strict=True)]
    return stand.assign(name=names, median_pct=100 * np.expm1(stand["median_ae"])).to_dict("records")


def _with_held(totals: pd.DataFrame, record: pd.DataFrame) -> pd.DataFrame:
    """With how many prices the intervals of each total held, over all horizons and one year ahead (`near_…`)."""
    near = record[record["horizon"] == 1].set_index("series").reindex(totals["group"]).fillna(0)
    held = {
        f"held_{level}": (totals[f"coverage_{level}"] * totals["n_forecasts"]).round().astype(int)
        for level in (80, 95)
    }
    return totals.assign(
        **held,
        near_held_80=near["held_80"].astype(int).to_numpy(),
        near_forecasts=near["n_forecasts"].astype(int).to_numpy(),
    )


def _came(against: pd.DataFrame, language: Language) -> list[tuple[str, list[dict[Any, Any]]]]:
    """Each vintage with its forecasts of the totals in the newest year that has come, beside what came."""
    totals = against[(against["series"].str.count(r"\.") == 1) & against["actual"].notna()]
    totals = totals.assign(name=[part_name("total", series, language) for series in totals["series"]])
    newest = totals[totals["year"] == totals["year"].max()]
    return [(str(vintage), rows.to_dict("records")) for vintage, rows in newest.groupby("vintage", sort=False)]


def write(
    record: dict[str, Any],
    forecasts: pd.DataFrame,
    scored: pd.DataFrame,
    stand: pd.DataFrame,
    publications: pd.DataFrame,
    against: pd.DataFrame,
    folder: Path,
) -> None:
    """Write `card.md` and `card.pt-BR.md` to `folder`. `scored` holds the rows that `stand` was made from."""
    for language, name in FILES.items():
        write_text(card(record, forecasts, scored, stand, publications, against, language), folder / name)
