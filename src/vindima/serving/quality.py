"""The data-quality report: what was published, what is used, and why, in Portuguese and English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vindima.etl.products import GROUPS, PRODUCTS
from vindima.ingestion.catalogue import TABLES
from vindima.labels import Language, counted, country_name, day, number, percent
from vindima.serving import frame, quality_charts, sentences
from vindima.serving.answers import Answers
from vindima.serving.quality_charts import ROUNDING, Rows, clause, gap_kind, table_title

NAME = "data-quality"

WORDS: Mapping[str, Mapping[Language, str]] = {
    "title": {"pt": "Quanto se pode confiar nos dados", "en": "How far the data can be trusted"},
    "headline": {
        "pt": "Com {corrected} de {cells} células corrigidas, o quilo de vinho exportado em {year} custou {used}, e "
        "não {published}",
        "en": "With {corrected} of {cells} cells corrected, a kilogram of exported wine cost {used} in {year}, not "
        "{published}",
    },
    "no_headline": {
        "pt": "Células corrigidas: {corrected} de {cells}",
        "en": "Cells corrected: {corrected} of {cells}",
    },
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
        "pt": "Cada linha é uma tabela, cada coluna um ano; quanto mais escuro, mais valores acima de zero a tabela "
        "tem. {gaps}",
        "en": "A line for each table, a column for each year; the darker, the more figures above zero the table has. "
        "{gaps}",
    },
    "coverage_finding": {
        "pt": "De {first} a {last}, nenhum ano falta em {complete} de {tables}",
        "en": "From {first} to {last}, no year is missing in {complete} of {tables}",
    },
    "gaps": {"pt": "Faltam valores em: {each}.", "en": "Figures are missing in: {each}."},
    "no_gaps": {"pt": "Nenhum ano falta.", "en": "No year is missing."},
    "not_available": {"pt": "não disponível", "en": "not available"},
    "withheld": {"pt": "retido", "en": "withheld"},
    "unpublished": {"pt": "não publicado", "en": "not published"},
    "corrections": {"pt": "O que as correções mudam", "en": "What the corrections change"},
    "corrections_finding": {
        "pt": "As correções mudam o preço de {years}; o de outros anos, em no máximo {rest}",
        "en": "The corrections change the price of {years}; that of other years by at most {rest}",
    },
    "small_corrections_finding": {
        "pt": "As correções mudam o preço de um ano em no máximo {rest}",
        "en": "The corrections change the price of a year by at most {rest}",
    },
    "corrections_text": {
        "pt": "Em {year}, a exportação de vinhos custou {published} US$/kg como publicado e {used} com os valores do "
        "Comex Stat. {applied} de {entries} correções estão aplicadas: {confirmed} confirmadas por outra fonte "
        "oficial, {likely} prováveis, só por indícios internos; nenhuma previsão é avaliada com estas. Círculos "
        "abertos: anos com correções.",
        "en": "In {year} exports of wine cost {published} US$/kg as published and {used} with the figures of Comex "
        "Stat. {applied} of {entries} corrections are applied: {confirmed} confirmed by another official source, "
        "{likely} likely, from internal evidence alone; no forecast is scored on those. Open "
        "circles: years with corrections.",
    },
    "crosscheck": {"pt": "O que diz a segunda fonte", "en": "What the second source says"},
    "crosscheck_finding": {
        "pt": "O Comex Stat confirma {after} de {all} países-anos; o resto difere no máximo {rest} kg",
        "en": "Comex Stat confirms {after} of {all} country-years; the rest differ by at most {rest} kg",
    },
    "crosscheck_text": {
        "pt": "De {all} países-anos da exportação de vinhos ({first} a {last}), {before} são iguais ao Comex Stat "
        "como publicados e {after} depois das correções. O que resta difere no máximo {rest} kg num ano. O Comex "
        "Stat não foi obtido para outros produtos, nem para as importações.",
        "en": "Of {all} country-years of wine exports ({first} to {last}), {before} equal Comex Stat as published "
        "and {after} once corrected. What remains differs by at most {rest} kg a year. No such figures were at hand "
        "for other products, nor for imports.",
    },
    "totals": {"pt": "Somas que não fecham", "en": "Totals that do not add up"},
    "totals_finding": {
        "pt": "{differs} de {all} totais não são a soma das suas partes, {large} por mais de {few} unidades",
        "en": "{differs} of {all} totals are not the sum of their parts, {large} by more than {few} units",
    },
    "totals_text": {
        "pt": "Totais impressos: {all}. Iguais à soma das suas partes: {equal}; diferentes: {differs}, dos quais "
        "{rounding} por no máximo {few} unidades; sem partes com valor: {alone}. Círculos cheios: as partes "
        "somam mais que o total; abertos: o total é maior.",
        "en": "Printed totals: {all}. Equal to the sum of their parts: {equal}; different: {differs}, {rounding} of "
        "them by {few} units or fewer; without parts that have a figure: {alone}. Filled circles: the parts add up "
        "to more than the total; open ones: the total is larger.",
    },
    "flags": {"pt": "O que chama a atenção", "en": "What looks odd"},
    "flags_finding": {
        "pt": "O registro explica {explained} de {flags} marcas; a mais comum: {check}",
        "en": "The register explains {explained} of {flags} flags; the commonest: {check}",
    },
    "no_flags": {"pt": "As verificações não marcam nenhum valor", "en": "The checks flag no figure"},
    "flags_text": {
        "pt": "Marcas das verificações em valores publicados: {flags}; explicadas no registro abaixo: {explained}. "
        "Marcar não é corrigir: nada sai dos dados por causa disso.",
        "en": "Flags of the checks on published figures: {flags}; explained by the register below: {explained}. A "
        "flag is no correction: nothing leaves the data because of one.",
    },
    "flag_list": {"pt": "As marcas, uma por uma", "en": "The flags, one by one"},
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
    "item": {"pt": "O quê", "en": "What"},
    "figure": {"pt": "Publicado", "en": "Published"},
    "expected": {"pt": "Esperado", "en": "Expected"},
    "says": {"pt": "O registro", "en": "The register"},
    "range": {"pt": "{low} a {high}", "en": "{low} to {high}"},
    "whole": {"pt": "tabela inteira", "en": "whole table"},
    "search": {"pt": "Procurar em “{title}”", "en": "Search in “{title}”"},
    "search_short": {"pt": "Procurar", "en": "Search"},
    "and": {"pt": " e ", "en": " and "},
    "between": {"pt": "Edições", "en": "Vintages"},
}
DECISIONS: Mapping[str, Mapping[Language, str]] = {
    "confirmed": {"pt": "corrigido, confirmado", "en": "corrected, confirmed"},
    "likely": {"pt": "corrigido, provável", "en": "corrected, likely"},
    "left": {"pt": "mantido como publicado", "en": "left as published"},
}
CHECKS: Mapping[str, Mapping[Language, str]] = {
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
STATUSES: Mapping[str, Mapping[Language, str]] = {
    "corrected": {"pt": "corrigidas", "en": "corrected"},
    "withheld": {"pt": "retidas (*)", "en": "withheld (*)"},
    "not_available": {"pt": "não disponíveis (nd)", "en": "not available (nd)"},
    "marked": {"pt": "marcadas (+)", "en": "marked (+)"},
    "blank": {"pt": "em branco", "en": "blank"},
}
CHANGES: Mapping[str, Mapping[Language, str]] = {
    "year_added": {"pt": "anos novos", "en": "years added"},
    "year_removed": {"pt": "anos retirados", "en": "years removed"},
    "row_added": {"pt": "linhas novas", "en": "rows added"},
    "row_removed": {"pt": "linhas retiradas", "en": "rows removed"},
    "row_renamed": {"pt": "linhas renomeadas", "en": "rows renamed"},
    "row_moved": {"pt": "linhas movidas", "en": "rows moved"},
    "cell_changed": {"pt": "valores alterados", "en": "figures changed"},
}
COUNTED: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "tables": {"pt": ("tabela", "tabelas"), "en": ("table", "tables")},
    "rows": {"pt": ("linha", "linhas"), "en": ("row", "rows")},
}
SECTIONS: Mapping[str, Mapping[Language, str]] = {
    "imports": {"pt": "importação", "en": "imports"},
    "exports": {"pt": "exportação", "en": "exports"},
    "production": {"pt": "produção", "en": "production"},
    "processing": {"pt": "processamento", "en": "processing"},
    "sales": {"pt": "comercialização", "en": "sales"},
}
"""How the names of the tables of a section begin → what the section is called."""
GROUP_NAMES: Mapping[str, Mapping[Language, str]] = {
    "red": {"pt": "tintas", "en": "red"},
    "white": {"pt": "brancas", "en": "white"},
    "white_and_rose": {"pt": "brancas e rosadas", "en": "white and rosé"},
    "other": {"pt": "outros produtos comercializados", "en": "other products"},
    "all": WORDS["whole"],
}
"""Groups whose names are not those that the source prints, or not their codes."""
UNITS = {"quantity_kg": "kg", "quantity_l": "L", "value_usd": "US$", "price_usd_kg": "US$/kg"}


@dataclass(frozen=True)
class Section:
    """A picture: what it is about, what it shows, the sentence that reads it."""

    about: str
    finding: str
    text: str
    chart: str


@dataclass(frozen=True)
class Table:
    """A folded table; the first `words` columns are text, the others numbers, those of `long` hold sentences."""

    title: str
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    words: int = 1
    long: tuple[int, ...] = ()
    text: str = ""


def page(
    answers: Answers, asked: Mapping[str, str], language: Language, addresses: Mapping[str, str] | None = None
) -> str:
    """The report as HTML: pictures first, each with the sentence that reads it, then the registers as tables.

    It takes no choices: `asked` changes nothing. `addresses` are those of a page that is a file (`frame.page`); such
    a page does not say how old its figures are.
    """
    counts = answers.rows("select * from counts order by rowid")
    findings = {row["finding"]: row for row in answers.rows("select * from findings order by rowid")}
    prices = _prices(answers)
    pictures = {
        "prices": [_corrections(answers, prices, findings, language)] if prices else [],
        "pair": [*([_crosscheck(answers, language)] if prices else []), _flags(answers, language)],
        "rest": [_coverage(counts, language), _totals(answers, findings, language)],
    }
    tables = [
        _register(answers, findings, language),
        _entries(answers, language),
        _flag_list(answers, findings, language),
        _statuses(counts, language),
        _revisions(answers.collected["revisions"] or [], language),
    ]
    return frame.page(
        NAME,
        language,
        WORDS["title"][language],
        "quality.html.j2",
        addresses,
        title=WORDS["title"][language],
        headline=_headline(counts, prices, language),
        intro=_intro(counts, language),
        pictures=pictures,
        tables=tables,
        rows=COUNTED["rows"][language],
        search=WORDS["search"][language],
        search_short=WORDS["search_short"][language],
        source=_source(answers, counts, language, addresses is None),
    )


def _whole(value: float, language: Language) -> str:
    return number(value, 0, language)


def _listed(words: Sequence[str], language: Language) -> str:
    """['2010', '2013', '2016'], 'en' → '2010, 2013 and 2016'."""
    return WORDS["and"][language].join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _sum(counts: Rows, *columns: str) -> int:
    return sum(row[column] for row in counts for column in columns)


def _prices(answers: Answers) -> list[dict[str, Any]]:
    """What a kilogram of exported wine cost in each year, US$, as `published` and as `used`: yearly unit values."""
    return answers.rows(
        "select year, published, used from (select year, sum(value_usd_published) / sum(quantity_kg_published) as "
        "published, sum(value_usd) / sum(quantity_kg) as used from crosscheck group by year) "
        "where published > 0 and used > 0 order by year"
    )


def _headline(counts: Rows, prices: Rows, language: Language) -> str:
    numbers = {name: _whole(_sum(counts, name), language) for name in ("corrected", "cells")}
    if not (jumps := quality_charts.jumps(prices)):
        return WORDS["no_headline"][language].format(**numbers)
    worst = {name: quality_charts.dollars(jumps[0][name], language) for name in ("used", "published")}
    return WORDS["headline"][language].format(year=jumps[0]["year"], **worst, **numbers)


def _intro(counts: Rows, language: Language) -> str:
    years = [row["year"] for row in counts]
    return WORDS["intro"][language].format(
        first=min(years),
        last=max(years),
        tables=counted(len({row["table"] for row in counts}), *COUNTED["tables"][language], language),
        missing=_whole(_sum(counts, "not_available", "blank", "marked"), language),
        **{name: _whole(_sum(counts, name), language) for name in ("cells", "corrected", "withheld")},
    )


def _coverage(counts: Rows, language: Language) -> Section:
    words = {name: text[language] for name, text in WORDS.items()}
    tables = list(dict.fromkeys(row["table"] for row in counts))
    first, last = min(row["year"] for row in counts), max(row["year"] for row in counts)
    known = {(row["table"], row["year"]): row for row in counts}
    gaps: dict[str, dict[int, str]] = {}  # section → year → why
    incomplete = set()
    for table in tables:
        for year in range(first, last + 1):
            row = known.get((table, year))
            if why := quality_charts.is_gap(row) if row else "unpublished":
                gaps.setdefault(TABLES[table].section, {})[year] = why
                incomplete.add(table)
    each = []
    for section, years in gaps.items():
        missing = [f"{year} ({words[why]})" for year, why in sorted(years.items())]
        each.append(f"{SECTIONS[section][language]}, {_listed(missing, language)}")
    said = words["gaps"].format(each="; ".join(each)) if each else words["no_gaps"]
    finding = words["coverage_finding"].format(
        first=first, last=last, complete=len(tables) - len(incomplete),
        tables=counted(len(tables), *COUNTED["tables"][language], language),
    )  # fmt: skip
    chart = quality_charts.coverage(counts, said, language)
    return Section(words["coverage"], finding, words["coverage_text"].format(gaps=said), chart)


def _corrections(answers: Answers, prices: Rows, findings: Mapping[str, Mapping], language: Language) -> Section:
    words = {name: text[language] for name, text in WORDS.items()}
    jumps = sorted(quality_charts.jumps(prices), key=lambda row: row["year"])
    moved = [abs(row["used"] / row["published"] - 1) for row in prices if row not in jumps]
    rest = percent(max(moved, default=0.0), 1, language)
    each = [f"{row['year']} ({percent(row['used'] / row['published'] - 1, 0, language, plus=True)})" for row in jumps]
    finding = words["corrections_finding" if jumps else "small_corrections_finding"]
    worst = (quality_charts.jumps(prices) or prices)[0]
    numbers = {name: number(worst[name], 2, language) for name in ("published", "used")}
    [register] = answers.rows(
        "select count(*) as entries, coalesce(sum(applied), 0) as applied, "
        "count(case when applied and certainty = 'confirmed' then 1 end) as confirmed, "
        "count(case when applied and certainty = 'likely' then 1 end) as likely from corrections"
    )
    causes: dict[int, list[str]] = {}
    for row in answers.rows(
        "select year, finding, count(*) as cells from corrections "
        "where \"table\" = 'exports_table_wine' and applied group by year, finding order by year, cells desc"
    ):
        causes.setdefault(row["year"], []).append(clause(findings[row["finding"]][language]))
    return Section(
        words["corrections"],
        finding.format(years=_listed(each, language), rest=rest),
        words["corrections_text"].format(year=worst["year"], **numbers, **register),
        quality_charts.corrected_price(prices, causes, language),
    )


def _crosscheck(answers: Answers, language: Language) -> Section:
    years = answers.rows(
        "select year, sum(verdict_published = 'equal') as equal, "
        "sum(verdict_published != 'equal' and verdict = 'equal') as corrected, "
        "sum(verdict_published != 'equal' and verdict != 'equal') as rest from crosscheck group by year order by year"
    )
    [numbers] = answers.rows(
        "select count(*) as \"all\", sum(verdict_published = 'equal') as before, sum(verdict = 'equal') as after, "
        "max((verdict != 'equal') * abs(coalesce(quantity_kg, 0) - coalesce(quantity_kg_comexstat, 0))) as rest "
        "from crosscheck"
    )
    numbers["rest"] = _whole(numbers["rest"], language)
    numbers |= {"first": years[0]["year"], "last": years[-1]["year"]}
    return Section(
        WORDS["crosscheck"][language],
        WORDS["crosscheck_finding"][language].format_map(numbers),
        WORDS["crosscheck_text"][language].format_map(numbers),
        quality_charts.agreement(years, language),
    )


def _group_name(group: str, language: Language) -> str:
    """What a group is called in a sentence: in Portuguese as the source prints it."""
    printed = {code: name.lower() for section in GROUPS.values() for name, code in section.items()}
    return GROUP_NAMES.get(group, {"pt": printed.get(group, group), "en": group.replace("_", " ")})[language]


def _totals(answers: Answers, findings: Mapping[str, Mapping], language: Language) -> Section:
    verdicts = dict(answers.rows("select verdict, count(*) from totals group by verdict", raw=True))
    differs = answers.rows(
        "select totals.*, flags.finding from totals left join flags on flags.\"check\" = 'total_differs' and "
        'flags."table" = totals."table" and flags.item = totals."group" and flags.year = totals.year '
        "where verdict = 'differs' order by totals.rowid"
    )
    for row in differs:
        row["cause"] = findings[row["finding"]][language] if row["finding"] else ""
    rounding = sum(gap_kind(row) == "rounding" for row in differs)
    numbers = {
        "all": sum(verdicts.values()), "equal": verdicts.get("equal", 0), "differs": len(differs), "few": ROUNDING,
        "alone": verdicts.get("aggregate_only", 0) + verdicts.get("not_available", 0),
        "rounding": rounding, "large": len(differs) - rounding,
    }  # fmt: skip
    written = {name: _whole(value, language) for name, value in numbers.items()}
    names = {
        (row["table"], row["group"]): (_group_name(row["group"], language), table_title(row["table"], language))
        for row in differs
    }
    [(first, last)] = answers.rows("select min(year), max(year) from totals", raw=True)
    return Section(
        WORDS["totals"][language],
        WORDS["totals_finding"][language].format_map(written),
        WORDS["totals_text"][language].format_map(written),
        quality_charts.total_gaps(differs, names, (first, last), language) if differs else "",
    )


def _flags(answers: Answers, language: Language) -> Section:
    checks = answers.rows(
        'select "check", count(*) as flagged, count(finding) as explained from flags group by "check" '
        'order by flagged desc, "check"'
    )
    checks = [row | {"name": CHECKS[row["check"]][language]} for row in checks]
    numbers = {
        "flags": _whole(_sum(checks, "flagged"), language),
        "explained": _whole(_sum(checks, "explained"), language),
    }
    finding = WORDS["flags_finding" if checks else "no_flags"][language]
    return Section(
        WORDS["flags"][language],
        finding.format(check=checks[0]["name"] if checks else "", **numbers),
        WORDS["flags_text"][language].format_map(numbers),
        quality_charts.flags(checks, language) if checks else "",
    )


def _flag_list(answers: Answers, findings: Mapping[str, Mapping], language: Language) -> Table:
    def written(value: float | None, measure: str) -> str:
        return "" if value is None else number(value, 2 if measure == "price_usd_kg" else 0, language)

    def expected(row: Mapping[str, Any]) -> str:
        low, high = (written(row[side], row["measure"]) for side in ("low", "high"))
        return low if low == high else WORDS["range"][language].format(low=low, high=high)

    rows = [
        [
            CHECKS[row["check"]][language],
            table_title(row["table"], language),
            _item_name(row["table"], row["item"], language),
            clause(findings[row["finding"]][language]) if row["finding"] else "",
            str(row["year"]),
            f"{written(row['figure'], row['measure'])} {UNITS[row['measure']]}" if row["figure"] is not None else "",
            expected(row),
        ]
        for row in answers.rows('select * from flags order by year desc, "table", item, "check"')
    ]
    heads = ("check", "table", "item", "says", "year", "figure", "expected")
    headings = [WORDS[key][language] for key in heads]
    return Table(WORDS["flag_list"][language], headings, rows, words=4, long=(3,))


def _item_name(table: str, item: str, language: Language) -> str:
    """What a flag is about: a country, or a product or cultivar with its group."""
    if TABLES[table].is_trade:
        return country_name(item, language)
    group, _, product = item.partition("/")
    if not product:
        return _group_name(group, language)
    printed = {code: name for name, code in reversed(PRODUCTS.items())}
    plain = product.replace("_", " ")
    if TABLES[table].section == "processing":
        return plain.title()
    name = printed.get(product, plain).lower() if language == "pt" else plain
    return f"{_group_name(group, language)}: {name}"


def _register(answers: Answers, findings: Mapping[str, Mapping], language: Language) -> Table:
    times = dict(
        answers.rows(
            "select finding, count(*) from (select finding from corrections union all select finding from flags "
            "where finding not in (select finding from corrections)) group by finding",
            raw=True,
        )
    )
    rows = [
        [
            _place(row, language),
            row[language],
            DECISIONS[decision][language],
            _whole(times.get(row["finding"], 0), language),
        ]
        for decision in DECISIONS
        for row in findings.values()
        if row["decision"] == decision
    ]
    heads = [WORDS[key][language] for key in ("where", "finding", "decision", "cells")]
    return Table(WORDS["register"][language], heads, rows, words=3, long=(1,))


def _place(finding: Mapping[str, Any], language: Language) -> str:
    """'Exports of table wine, 2013': the tables and years of a finding."""
    first, last = finding["first_year"], finding["last_year"]
    tables = "; ".join(table_title(table, language) for table in finding["tables"].split())
    return f"{tables}, {first}" + (f"–{last}" if last > first else "")


def _entries(answers: Answers, language: Language) -> Table:
    def pair(kg: float, usd: float) -> str:
        return f"{_whole(kg, language)} · {_whole(usd, language)}"

    rows = [
        [
            table_title(entry["table"], language), country_name(entry["country"], language),
            DECISIONS[entry["certainty"]][language], str(entry["year"]),
            pair(entry["quantity_kg_published"], entry["value_usd_published"]),
            pair(entry["quantity_kg"], entry["value_usd"]),
        ]
        for entry in answers.rows('select * from corrections order by "table", year, country')
    ]  # fmt: skip
    heads = [WORDS[key][language] for key in ("table", "country", "decision", "year", "published", "used")]
    return Table(WORDS["entries"][language], heads, rows, words=3)


def _statuses(counts: Rows, language: Language) -> Table:
    rows = []
    for table in dict.fromkeys(row["table"] for row in counts):
        of_table = [row for row in counts if row["table"] == table]
        numbers = [_whole(_sum(of_table, status), language) for status in STATUSES]
        rows.append([table_title(table, language), *numbers])
    heads = [WORDS["table"][language], *(name[language] for name in STATUSES.values())]
    return Table(WORDS["statuses"][language], heads, rows)


def _revisions(revisions: Rows, language: Language) -> Table:
    """What kinds of change each table had between two vintages."""
    title = WORDS["revisions"][language]
    if not revisions:
        return Table(title, text=WORDS["no_revisions"][language])
    kinds = [kind for kind in CHANGES if any(row["kind"] == kind for row in revisions)]
    order = list(TABLES)
    times: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in sorted(revisions, key=lambda row: (row["from"], row["to"], order.index(row["table"]))):
        of = times.setdefault((row["from"], row["to"], row["table"]), dict.fromkeys(kinds, 0))
        of[row["kind"]] += 1
    rows = [
        [f"{begin} → {end}", table_title(table, language), *(_whole(of[kind], language) for kind in kinds)]
        for (begin, end, table), of in times.items()
    ]
    said = WORDS["revisions_text"][language].format(
        changes=_whole(len(revisions), language), pairs=len({(row["from"], row["to"]) for row in revisions})
    )
    heads = [WORDS["between"][language], WORDS["table"][language], *(CHANGES[kind][language] for kind in kinds)]
    return Table(title, heads, rows, words=2, text=said)


def _source(answers: Answers, counts: Rows, language: Language, aged: bool) -> str:
    newest: dict[str, int] = {}
    for section, name in SECTIONS.items():
        if years := [row["year"] for row in counts if TABLES[row["table"]].section == section]:
            newest[name[language]] = max(years)
    source = WORDS["source"][language].format(
        vintage=answers.provenance["vintage"],
        retrieved=day(answers.collected["retrieved_at"][:10], language),
        last=max(row["year"] for row in counts),
        extracted=day(answers.collected["comexstat"], language),
    )
    return f"{source} {sentences.age(newest, language)}" if aged else source
