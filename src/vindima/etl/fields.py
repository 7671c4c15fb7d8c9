"""What each stored table and each of its columns is, in English and Portuguese: `fields.csv`, as tables to read.

No stage depends on these words. `python -m vindima.etl.fields` writes them into the READMEs and `datapackage.json`.
"""

import json
from functools import cache
from pathlib import Path

from vindima import files, paths
from vindima.errors import VindimaError
from vindima.etl.schemas import CONTRACTS, Contract
from vindima.labels import Language

HEADERS: dict[Language, tuple[str, str]] = {
    "en": ("| file | one row for each |", "| field | what it is |"),
    "pt": ("| arquivo | uma linha para cada |", "| campo | o que é |"),
}
READMES: dict[Language, str] = {"en": "README.md", "pt": "README.pt-BR.md"}
TYPES = {"str": "string", "int16": "integer", "float64": "number", "bool": "boolean"}
"""What a pandera column holds → the type of a Table Schema."""


@cache
def _words() -> dict[tuple[str, str], dict[Language, str]]:
    lines = files.read_csv(Path(__file__).with_suffix(".csv"), ["table", "column", "en", "pt"])
    return {(line["table"], line["column"]): {"en": line["en"], "pt": line["pt"]} for line in lines}


def meaning(contract: Contract, column: str | None = None) -> dict[Language, str]:
    """What a column holds (None: what the table has one row for each of), by language.

    A column means the same in all tables but where fields.csv names the table. Raises VindimaError for one of which
    it says nothing.
    """
    words = _words()
    found = words.get((contract.name, column or "")) or words.get(("", column or ""))
    if found is None:
        raise VindimaError(f"fields.csv: expected a line for {contract.name}, {column or 'the table'}, got none")
    return found


def readme_tables(language: Language) -> str:
    """Two tables in Markdown: the files, and their columns, a line for each meaning that a name has."""
    of_files, of_fields = HEADERS[language]
    lines = [of_files, "|---|---|"]
    lines += [f"| `{contract.path}` | {meaning(contract)[language]} |" for contract in CONTRACTS]
    lines += ["", of_fields, "|---|---|"]
    meanings: dict[str, dict[str, list[str]]] = {}
    for contract in CONTRACTS:
        for column in contract.columns:
            words, choices = meaning(contract, column)[language], _choices(contract, column)
            if not all(choice in words for choice in choices):
                words += f" ({', '.join(choices)})"
            meanings.setdefault(column, {}).setdefault(words, []).append(contract.name)
    for column, found in meanings.items():
        for words, tables in found.items():
            of = f" ({', '.join(tables)})" if len(found) > 1 else ""
            lines.append(f"| `{column}`{of} | {words} |")
    return "\n".join(lines)


def _choices(contract: Contract, column: str) -> list[str]:
    """The words that a column may hold; none where it may hold any."""
    checks = contract.schema.columns[column].checks
    return [word for check in checks for word in (check.statistics or {}).get("allowed_values", ())]


def with_tables(readme: str, language: Language) -> str:
    """A README's text with the present tables between the marks that it has for them."""
    start, end = "<!-- fields -->\n", "\n<!-- /fields -->"
    before, after = readme.split(start)[0], readme.split(end)[1]
    return f"{before}{start}{readme_tables(language)}{end}{after}"


def data_package() -> dict:
    """The stored tables as a Data Package (Frictionless, version 1) of Table Schemas."""
    return {
        "name": "vindima",
        "title": "Brazil's wine statistics, unit values and price forecasts",
        "licenses": [{"name": "BSD-3-Clause", "title": "of the software; the statistics are Embrapa's"}],
        "sources": [{"title": "Embrapa Uva e Vinho, Vitibrasil", "path": "http://vitibrasil.cnpuv.embrapa.br"}],
        "resources": [
            {
                "name": contract.name.replace("_", "-"),
                "path": contract.path,
                "description": f"One row for each: {meaning(contract)['en']}.",
                "format": contract.path.rpartition(".")[2],
                "schema": {
                    "fields": [_field(contract, column) for column in contract.columns],
                    "primaryKey": list(contract.key),
                },
            }
            for contract in CONTRACTS
        ],
    }


def _field(contract: Contract, column: str) -> dict:
    known = contract.schema.columns[column]
    constraints: dict = {} if known.nullable else {"required": True}
    if choices := _choices(contract, column):
        constraints["enum"] = choices
    for check in known.checks:
        if check.name in ("greater_than_or_equal_to", "in_range"):
            constraints["minimum"] = check.statistics["min_value"]
    field = {"name": column, "type": TYPES[str(known.dtype)], "description": meaning(contract, column)["en"]}
    return field | ({"constraints": constraints} if constraints else {})


def write(root: Path = paths.ROOT) -> None:
    """Write the READMEs' tables and datapackage.json from the contracts."""
    for language, name in READMES.items():
        text = (root / name).read_text(encoding="utf-8")
        files.write(root / name, with_tables(text, language))
    files.write(root / "datapackage.json", json.dumps(data_package(), ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    write()
