"""docs/sources.md is true: its table is whole, and the source that it adds works as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from schemas.sources import FORMATS
from tests.end_to_end.programs import Nexus
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs/sources.md"
PACKAGES = ("schemas", "resolver", "sinks", "flows", "demo_producer")


def test_every_format_is_on_the_page() -> None:
    """The table of docs/sources.md names each format and no other."""
    table = PAGE.read_text().partition("## What becomes of them")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE) == list(FORMATS)


@pytest.mark.timeout(120)
def test_the_source_that_the_page_adds_works(tmp_path: Path) -> None:
    """Its file and its line in a copy of the code: the payload of the page is then one person."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (code,) = blocks(PAGE, "python")
    (payload,) = blocks(PAGE, "json")
    sources = tmp_path / "schemas" / "sources"
    (sources / "tickets.py").write_text(code)
    init = (sources / "__init__.py").read_text()
    init = init.replace("    ShopifyWebhooks(),\n", "    ShopifyWebhooks(),\n    Tickets(),\n")
    (sources / "__init__.py").write_text(
        init.replace("\n\nclass Format", "\nfrom schemas.sources.tickets import Tickets\n\n\nclass Format", 1)
    )
    (tmp_path / "tickets.jsonl").write_text(payload)
    nexus = Nexus(tmp_path, {"PYTHONPATH": tmp_path, "NEXUS_DATA": "data"})
    done = nexus.run("run", "--source", "tickets.jsonl", "--as", "tickets", "--until-end")
    assert done.code == 0, done.err
    found = nexus.run("lookup", "person", "email=ada@acme.example")
    assert (found.code, "per_" in found.out) == (0, True), found.err
