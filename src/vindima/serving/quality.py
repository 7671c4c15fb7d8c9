"""The data-quality report: what was published, what is used, and why, in Portuguese and English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import pandas as pd

from vindima.etl.crosscheck import EXTRACTED, unit_values
from vindima.etl.products import GROUPS
from vindima.ingestion.catalogue import TABLES
from vindima.labels import Language, counted, country_name, number
from vindima.serving import charts, quality_charts
from vindima.serving.quality_charts import table_title
from vindima.serving.reports import age
from vindima.serving.store import Review, ServedSet
from vindima.templates import render

WORDS = {
    "title": {"pt": "Quanto se pode confiar nos dados", "en": "How far the data can be trusted"},
    "intro": {
        "pt": "A Vitibrasil publica {cells} números e marcas em {tables}, de {first} a {last}. Células corrigidas, "
        "todas do comércio exterior: {corrected}; retidas pela fonte: {withheld}; sem número por outra razão: "
        "{missing}. Nada é apagado: o valor publicado fica sempre ao lado do valor em uso.",
        "en": "Vitibrasil publishes {cells} figures and marks in {tables}, from {first} to {last}. Corrected cells, "
        "all of foreign trade: {corrected}; withheld by the source: {withheld}; without a number for another reason: "
        "{missing}. Nothing is deleted: the published figure always stands beside the one in use.",
    },
    "coverage": {"pt": "O que existe", "en": "What there is"},
    "coverage_text": {
        "pt": "Cada linha é uma tabela, cada coluna um ano; quanto mais escuro, mais linhas da tabela têm valor.",
        "en": "A line for each table, a column for each year; the darker, the more rows of the table have a figure.",
    },
    "corrections": {"pt": "O que as correções mudam", "en": "What the corrections change"},
    "corrections_text": {
        "pt": "Em {year}, a exportação de vinhos custou {published} US$/kg como publicado e {used} com os valores do "
        "Comex Stat. {applied} de {entries} correções estão aplicadas: {confirmed} confirmadas por outra fonte "
        "oficial, {likely} prováveis, só por indícios internos; nenhuma previsão é avaliada com estas.",
        "en": "In {year} exports of wine cost {published} US$/kg as published and {used} with the figures of Comex "
        "Stat. {applied} of {entries} corrections are applied: {confirmed} confirmed by another official source, "
        "{likely} likely, from internal evidence alone; no forecast is scored on those.",
    },
    "crosscheck": {"pt": "O que diz a segunda fonte", "en": "What the second source says"},
    "crosscheck_text": {
        "pt": "De {all} países-anos da exportação de vinhos ({first} a {last}), {before} são iguais ao Comex Stat "
        "como publicados e {after} depois das correções. O que resta difere no máximo {rest} kg num ano. O Comex "
        "Stat não foi obtido para outros produtos, nem para as importações.",
        "en": "Of {all} country-years of wine exports ({first} to {last}), {before} equal Comex Stat as published "
        "and {after} once corrected. What remains differs by at most {rest} kg a year. No such figures were at hand "
        "for other products, nor for imports.",
    },
    "totals": {"pt": "Somas que não fecham", "en": "Totals that do not add up"},
    "totals_text": {
        "pt": "Totais impressos: {all}. Iguais à soma das suas partes: {equal}; diferentes: {differs}, dos quais "
        "{rounding} por no máximo {few} unidades; sem partes com valor: {alone}. Círculos cor de vinho: as partes "
        "somam mais que o total.",
        "en": "Printed totals: {all}. Equal to the sum of their parts: {equal}; different: {differs}, {rounding} of "
        "them by {few} units or fewer; without parts that have a figure: {alone}. Wine-red circles: the parts add up "
        "to more than the total.",
    },
    "flags": {"pt": "O que chama a atenção", "en": "What looks odd"},
    "flags_text": {
        "pt": "Marcas das verificações em valores publicados: {flags}; explicadas no registro abaixo: {explained}. "
        "Marcar não é corrigir: nada sai dos dados por causa disso.",
        "en": "Flags of the checks on published figures: {flags}; explained by the register below: {explained}. A "
        "flag is no correction: nothing leaves the data because of one.",
    },
    "register": {"pt": "O registro, achado por achado", "en": "The register, finding by finding"},
    "entries": {"pt": "As correções, célula por célula", "en": "The corrections, cell by cell"},
    "revisions": {"pt": "O que mudou entre as edições", "en": "What changed between vintages"},
    "revisions_text": {
        "pt": "Mudanças: {changes}; comparações de edições: {pairs}. Tabelas que faltam em uma delas não são "
        "comparadas.",
        "en": "Changes: {changes}; comparisons of vintages: {pairs}. Tables that one of them lacks are not compared.",
    },
    "no_revisions": {"pt": "Nenhuma mudança registrada.", "en": "No change is on record."},
    "statuses": {"pt": "Células sem número, por tabela", "en": "Cells without a number, by table"},
    "source": {
        "pt": "Fonte: Embrapa Uva e Vinho, Vitibrasil (edição {vintage}, obtida em {retrieved}, dados até {last}); "
        "conferência: Comex Stat (MDIC), extraído em {extracted}.",
        "en": "Source: Embrapa Uva e Vinho, Vitibrasil (vintage {vintage}, retrieved {retrieved}, data to {last}); "
        "cross-check: Comex Stat (MDIC), extracted {extracted}.",
    },
    "table": {"pt": "Tabela", "en": "Table"},
    "where": {"pt": "Onde", "en": "Where"},
    "year": {"pt": "Ano", "en": "Year"},
    "country": {"pt": "País", "en": "Country"},
    "published": {"pt": "Publicado, kg · US$", "en": "Published, kg · US$"},
    "used": {"pt": "Em uso, kg · US$", "en": "In use, kg · US$"},
    "finding": {"pt": "Achado", "en": "Finding"},
    "decision": {"pt": "Decisão", "en": "Decision"},
    "cells": {"pt": "Células", "en": "Cells"},
    "check": {"pt": "Verificação", "en": "Check"},
    "flagged": {"pt": "Marcados", "en": "Flagged"},
    "explained": {"pt": "Explicados", "en": "Explained"},
    "between": {"pt": "Edições", "en": "Vintages"},
}
DECISIONS = {
    "confirmed": {"pt": "corrigido, confirmado", "en": "corrected, confirmed"},
    "likely": {"pt": "corrigido, provável", "en": "corrected, likely"},
    "left": {"pt": "mantido como publicado", "en": "left as published"},
}
CHECKS = {
    "total_differs": {"pt": "total que não é a soma das partes", "en": "total that is not the sum of its parts"},
    "outside_range": {"pt": "preço fora da faixa da série", "en": "price outside the range of its series"},
    "jump": {"pt": "salto contra os anos vizinhos", "en": "leap against the years beside it"},
    "value_without_quantity": {"pt": "valor sem quantidade", "en": "value without quantity"},
    "quantity_without_value": {"pt": "quantidade sem valor", "en": "quantity without value"},
    "kg_equals_usd": {"pt": "quilogramas iguais a dólares", "en": "kilograms equal to dollars"},
    "filler": {"pt": "o mesmo par repetido", "en": "the same pair repeated"},
    "duplicate_row": {"pt": "linha duplicada", "en": "duplicate row"},
    "near_duplicate_row": {"pt": "nomes quase iguais", "en": "names nearly alike"},
    "repeated_total": {"pt": "total repetido em outro ano", "en": "total repeated in another year"},
}
STATUSES = {
    "corrected": {"pt": "corrigidas", "en": "corrected"},
    "withheld": {"pt": "retidas (*)", "en": "withheld (*)"},
    "not_available": {"pt": "não disponíveis (nd)", "en": "not available (nd)"},
    "marked": {"pt": "marcadas (+)", "en": "marked (+)"},
    "blank": {"pt": "em branco", "en": "blank"},
}
CHANGES = {
    "year_added": {"pt": "anos novos", "en": "years added"},
    "year_removed": {"pt": "anos retirados", "en": "years removed"},
    "row_added": {"pt": "linhas novas", "en": "rows added"},
    "row_removed": {"pt": "linhas retiradas", "en": "rows removed"},
    "row_renamed": {"pt": "linhas renomeadas", "en": "rows renamed"},
    "row_moved": {"pt": "linhas movidas", "en": "rows moved"},
    "cell_changed": {"pt": "valores alterados", "en": "figures changed"},
}
COUNTED_TABLES = {"pt": ("tabela", "tabelas"), "en": ("table", "tables")}
SECTIONS = {
    "imports": {"pt": "importação", "en": "imports"},
    "exports": {"pt": "exportação", "en": "exports"},
    "production": {"pt": "produção", "en": "production"},
    "processing": {"pt": "processamento", "en": "processing"},
    "sales": {"pt": "comercialização", "en": "sales"},
}
"""How the names of the tables of a section begin → what the section is called."""
ROUNDING = 20
"""Units (litres or kilograms) up to which a total that does not add up is put down to rounding."""


def group_names(totals: pd.DataFrame, language: Language) -> dict[tuple[str, str], str]:
    """(table, group) → words: ('sales', 'other') → 'Domestic sales …: other products'."""
    printed = {code: name for section in GROUPS.values() for name, code in section.items()}
    colours = {"red": {"pt": "tintas", "en": "red"}, "white": {"pt": "brancas", "en": "white"},
               "white_and_rose": {"pt": "brancas e rosadas", "en": "white and rosé"}}  # fmt: skip
    names = {}
    for table, group in set(zip(totals["table"], totals["group"], strict=True)):
        words = colours.get(group, {"pt": printed.get(group, group).lower(), "en": group.replace("_", " ")})
        names[table, group] = f"{table_title(table, language)}: {words[language]}"
    return names


@dataclass
class Section:
    """A part of the report: its title, the sentence that reads it, a picture and a table, each where there is one.

    The first `words` columns of the table are text, the others numbers.
    """

    title: str
    text: str = ""
    chart: str = ""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    words: int = 1


def data_quality_page(served: ServedSet, language: Language) -> str:
    """HTML of the report: pictures first, each with the sentence that reads it, then the registers as tables."""

    def word(key: str) -> str:
        return WORDS[key][language]

    def whole(value: float) -> str:
        return number(value, 0, language)

    review = served.review
    counts, totals, crosscheck, flags = review.counts, review.totals, review.crosscheck, review.flags
    first, last = int(counts["year"].min()), int(counts["year"].max())
    missing = counts[["not_available", "blank", "marked"]].sum().sum()
    intro = word("intro").format(
        cells=whole(counts["cells"].sum()), first=first, last=last,
        tables=counted(counts["table"].nunique(), *COUNTED_TABLES[language], language),
        corrected=whole(counts["corrected"].sum()), withheld=whole(counts["withheld"].sum()), missing=whole(missing),
    )  # fmt: skip
    coverage = charts.svg(quality_charts.coverage(counts, language))
    sections = [Section(word("coverage"), word("coverage_text"), coverage)]
    if len(crosscheck):
        sections += [_corrections(review, language), _crosscheck(crosscheck, language)]
    differs = totals[totals["verdict"] == "differs"]
    said = word("totals_text").format(
        all=whole(len(totals)), equal=whole((totals["verdict"] == "equal").sum()), differs=len(differs),
        rounding=(differs["difference"].abs() <= ROUNDING).sum(), few=ROUNDING,
        alone=whole(totals["verdict"].isin(["aggregate_only", "not_available"]).sum()),
    )  # fmt: skip
    gaps = quality_charts.total_gaps(totals, group_names(totals, language), language)
    sections.append(Section(word("totals"), said, charts.svg(gaps) if len(differs) else ""))
    said = word("flags_text").format(flags=whole(len(flags)), explained=whole(flags["finding"].notna().sum()))
    by_check = flags.groupby("check")["finding"].agg(["size", "count"]).sort_values("size", ascending=False)
    rows = [
        [CHECKS[str(check)][language], whole(row["size"]), whole(row["count"])] for check, row in by_check.iterrows()
    ]
    heads = [word("check"), word("flagged"), word("explained")]
    sections.append(Section(word("flags"), said, headings=heads, rows=rows))
    sections.append(_revisions(served.manifest.get("revisions", []), language))
    by_table = counts.groupby("table", sort=False)[list(STATUSES)].sum()
    heads = [word("table"), *(STATUSES[status][language] for status in STATUSES)]
    rows = [
        [table_title(str(table), language), *(whole(value) for value in row)]
        for table, row in zip(by_table.index, by_table.to_numpy(), strict=True)
    ]
    sections.append(Section(word("statuses"), headings=heads, rows=rows))
    cells = pd.concat([review.corrections, flags[~flags["finding"].isin(review.corrections["finding"])]])["finding"]
    times = cells.value_counts()
    rows = [
        [_place(row, language), row[language], DECISIONS[decision][language], whole(times.get(row["finding"], 0))]
        for decision in DECISIONS
        for row in review.findings[review.findings["decision"] == decision].to_dict("records")
    ]
    heads = [word("where"), word("finding"), word("decision"), word("cells")]
    sections.append(Section(word("register"), headings=heads, rows=rows, words=3))
    sections.append(_entries(review.corrections, language))
    retrieved = served.manifest["retrieved_at"][:10]
    source = word("source").format(
        vintage=served.manifest["vintage"], retrieved=retrieved, last=last, extracted=EXTRACTED
    )
    ends = counts.groupby("table")["year"].max()
    newest = {
        name[language]: int(ends[of_section].max())
        for section, name in SECTIONS.items()
        if (of_section := ends.index.str.startswith(section)).any()
    }
    source = f"{source} {age(newest, language)}"
    return render("serving", "quality.html.j2", language, intro=intro, sections=sections, source=source)


def _place(finding: Mapping[Any, Any], language: Language) -> str:
    """'Exports of table wine, 2013': the tables and years of a finding."""
    first, last = finding["first_year"], finding["last_year"]
    tables = "; ".join(table_title(table, language) for table in finding["tables"].split())
    return f"{tables}, {first}" + (f"–{last}" if last > first else "")


def _corrections(review: Review, language: Language) -> Section:
    prices = unit_values(review.crosscheck)
    published, used = prices["as published"], prices["in use"]
    year = prices.index.to_list()[int((published / used - 1).abs().argmax())]
    applied = review.corrections[review.corrections["applied"]]
    said = WORDS["corrections_text"][language].format(
        year=year, published=number(published[year], 2, language), used=number(used[year], 2, language),
        applied=len(applied), entries=len(review.corrections),
        confirmed=(applied["certainty"] == "confirmed").sum(), likely=(applied["certainty"] == "likely").sum(),
    )  # fmt: skip
    chart = charts.svg(quality_charts.corrected_price(review.crosscheck, language))
    return Section(WORDS["corrections"][language], said, chart)


def _crosscheck(crosscheck: pd.DataFrame, language: Language) -> Section:
    rest = crosscheck[crosscheck["verdict"] != "equal"].fillna(0)
    gaps = (rest["quantity_kg"] - rest["quantity_kg_comexstat"]).abs()
    said = WORDS["crosscheck_text"][language].format(
        all=len(crosscheck), before=(crosscheck["verdict_published"] == "equal").sum(),
        after=(crosscheck["verdict"] == "equal").sum(), first=crosscheck["year"].min(),
        last=crosscheck["year"].max(), rest=number(gaps.max() if len(gaps) else 0, 0, language),
    )  # fmt: skip
    chart = charts.svg(quality_charts.agreement(crosscheck, language))
    return Section(WORDS["crosscheck"][language], said, chart)


def _revisions(revisions: list[dict], language: Language) -> Section:
    """What kinds of change each table had between two vintages."""
    title = WORDS["revisions"][language]
    if not revisions:
        return Section(title, WORDS["no_revisions"][language])
    frame = pd.DataFrame(revisions)
    frame["between"] = frame["from"] + " → " + frame["to"]
    said = WORDS["revisions_text"][language].format(
        changes=number(len(frame), 0, language), pairs=frame["between"].nunique()
    )
    kinds = [kind for kind in CHANGES if (frame["kind"] == kind).any()]
    rows = []
    for between, pair in frame.groupby("between", sort=True):
        for table in (table for table in TABLES if (pair["table"] == table).any()):
            times = pair.loc[pair["table"] == table, "kind"].value_counts()
            counted = (number(times.get(kind, 0), 0, language) for kind in kinds)
            rows.append([str(between), table_title(table, language), *counted])
    heads = [WORDS["between"][language], WORDS["table"][language], *(CHANGES[kind][language] for kind in kinds)]
    return Section(title, said, headings=heads, rows=rows, words=2)


def _entries(register: pd.DataFrame, language: Language) -> Section:
    def pair(kg: float, usd: float) -> str:
        return f"{number(kg, 0, language)} · {number(usd, 0, language)}"

    rows = [
        [
            table_title(entry["table"], language), country_name(entry["country"], language), str(entry["year"]),
            pair(entry["quantity_kg_published"], entry["value_usd_published"]),
            pair(entry["quantity_kg"], entry["value_usd"]), DECISIONS[entry["certainty"]][language],
        ]
        for entry in register.sort_values(["table", "year", "country"]).to_dict("records")
    ]  # fmt: skip
    heads = [WORDS[key][language] for key in ("table", "country", "year", "published", "used", "decision")]
    return Section(WORDS["entries"][language], headings=heads, rows=rows, words=2)


class DataQuality(widgets.VBox):
    """The data-quality report with its language switch."""

    def __init__(self, served: ServedSet, language: Language = "pt") -> None:
        self._served = served
        self._language = widgets.ToggleButtons(options=[("Português", "pt"), ("English", "en")], value=language)
        self._page = widgets.HTML()
        self._language.observe(self._draw, "value")
        self._draw(None)
        super().__init__([self._language, self._page])
        self.add_class("vindima")

    def _draw(self, _: object) -> None:
        language: Language = self._language.value
        title = render("serving", "title.html.j2", language, title=WORDS["title"][language])
        self._page.value = title + data_quality_page(self._served, language)
