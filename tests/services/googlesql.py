"""Reads a JSON list of statements and answers, for each, `null` or what Google's analyzer has against it.

It runs in the virtual environment `zetasql`, which knows nothing of ours: `tests.services.analyzer` calls it.
The tables and views that a statement makes are there for those behind it.
"""

import json
import sys
from pathlib import Path

import wasmtime
from zetasql.api import Analyzer, CatalogBuilder, TableBuilder
from zetasql.core import wasm_client
from zetasql.types import AnalyzerOptions, LanguageOptions, ProductMode, ZetaSQLBuiltinFunctionOptions

CACHE = Path(sys.prefix, "compiled")


class Cached(wasmtime.Config):
    """Keeps the analyzer's compiled code between runs: to compile takes half a minute of one core."""

    def __init__(self):
        super().__init__()
        settings = CACHE.with_suffix(".toml")
        settings.write_text(f'[cache]\ndirectory = "{CACHE}"\n')
        self.cache = str(settings)


def main():
    """From stdin to stdout."""
    wasm_client.Config = Cached
    language = LanguageOptions.maximum_features()
    language.product_mode = ProductMode.PRODUCT_EXTERNAL  # BigQuery's types: no INT32, no FLOAT
    options = AnalyzerOptions(language_options=language, allow_undeclared_parameters=True)
    tables = {}
    print(json.dumps([refusal(statement, options, tables) for statement in json.load(sys.stdin)]))


def refusal(statement, options, tables):
    """What is wrong with one statement; if nothing, what it makes is added to the tables."""
    builtin = ZetaSQLBuiltinFunctionOptions(language_options=options.language_options)
    catalog = CatalogBuilder("warehouse").with_builtin_functions(builtin)
    for table in tables.values():
        catalog.add_table(table)
    try:
        resolved = Analyzer(options, catalog.build()).analyze_statement(statement)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is what the analyzer says
        return str(error)
    remember(resolved, tables)
    return None


def remember(resolved, tables):
    """Add the table or view that a statement makes; a table that is there already stays as it was made."""
    kind = type(resolved).__name__
    if not kind.startswith(("ResolvedCreateTable", "ResolvedCreateView")):
        return
    table = TableBuilder(resolved.name_path[-1])
    if kind.startswith("ResolvedCreateTable"):
        columns = [(column.name, column.type) for column in resolved.column_definition_list]
    else:
        columns = [(column.name, column.column.type) for column in resolved.output_column_list]
    for name, type_ in columns:
        table.add_column(name, type_)
    tables[resolved.name_path[-1]] = table.build()


if __name__ == "__main__":
    main()
