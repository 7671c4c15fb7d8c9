"""The model card, in both languages, written from the numbers of the run; its words stand in `templates`."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vindima import files
from vindima.forecasting import scores
from vindima.forecasting.eligibility import COUNTRY_KG, COUNTRY_YEARS
from vindima.forecasting.scores import SCORED_HORIZONS
from vindima.labels import FLOWS, TRADE_PRODUCTS, Language, series_name
from vindima.series import is_total
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
    reais: list[dict[str, Any]],
    language: Language,
) -> str:
    """The card as Markdown.

    `record` is `model.json`, `stand` the table of `scores.stand` for `scored`, `publications` that of
    `track_record.summary`, `against` that of `track_record.against_actual` and `reais` the rows of `scores.in_reais`.
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
        n_totals=int(is_total(series).sum()),
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
        reais=[row | {"name": _group(row["group"], language)} for row in reais if row["group"] in _SHOWN_IN_REAIS],
    )


_SHOWN_IN_REAIS = ("all", "totals", "imports.table_wine", "exports.table_wine")


def _group(group: str, language: Language) -> str:
    """'totals' → totals; of a total its flow and product."""
    words = {"all": {"en": "all series", "pt": "todas as séries"}, "totals": {"en": "totals", "pt": "totais"}}
    return words[group][language] if group in words else part_name("total", group, language)


def _named(stand: pd.DataFrame, language: Language) -> list[dict[Any, Any]]:
    """Rows of `scores.stand`, each with its name and its median error as a share of the price."""
    names = [part_name(by, group, language) for by, group in zip(stand["by"], stand["group"], strict=True)]
    return stand.assign(name=names, median_error=np.expm1(stand["median_ae"])).to_dict("records")


def _with_held(totals: pd.DataFrame, record: pd.DataFrame) -> pd.DataFrame:
    """With how many prices the intervals of each total held, over horizons 1 to 3, and one year ahead (`near_…`)."""

    def counted(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.groupby("series").sum().reindex(totals["group"], fill_value=0)

    scored = counted(record[record["horizon"].isin(SCORED_HORIZONS)])
    near = counted(record[record["horizon"] == 1])
    return totals.assign(
        held_80=scored["held_80"].to_numpy(),
        held_95=scored["held_95"].to_numpy(),
        near_held_80=near["held_80"].to_numpy(),
        near_forecasts=near["n_forecasts"].to_numpy(),
    )


def _came(against: pd.DataFrame, language: Language) -> list[tuple[str, list[dict[Any, Any]]]]:
    """Each vintage with its forecasts of the totals in the newest year that has come, beside what came."""
    totals = against[is_total(against["series"]) & against["actual"].notna()]
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
    reais: list[dict[str, Any]],
    folder: Path,
) -> None:
    """Write `card.md` and `card.pt-BR.md` to `folder`. `scored` holds the rows that `stand` was made from."""
    for language, name in FILES.items():
        files.write(folder / name, card(record, forecasts, scored, stand, publications, against, reais, language))
