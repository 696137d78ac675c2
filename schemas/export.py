"""Writes the JSON Schemas of what comes in and what goes out: `python -m schemas.export [--check]`.

The files in `schemas/json/` are for people and programs that do not read Python. `--check` writes nothing and
ends with code 1 if a file is stale or missing.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.sources.event import EventShape
from schemas.transitions import TRANSITION

FOLDER: Final = Path(__file__).parent / "json"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, str]:
    """The text of every schema file by its name."""
    event = EventShape.model_json_schema()
    transition = TRANSITION.json_schema(mode="serialization")
    return {
        "event.schema.json": _text("A Nexus event, as producers send it", event),
        "transition.schema.json": _text("A Nexus transition, as it is published", transition),
    }


def stale(folder: Path = FOLDER) -> Iterator[str]:
    """The names of the files that do not say what the models say."""
    for name, text in schemas().items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            yield name


def write(folder: Path = FOLDER) -> None:
    """Write every schema file anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, "utf-8")


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """The command; returns its exit code."""
    if list(arguments) == ["--check"]:
        names = list(stale(folder))
        for name in names:
            print(f"{name} is stale: run python -m schemas.export", file=sys.stderr)
        return 1 if names else 0
    if arguments:
        print("usage: python -m schemas.export [--check]", file=sys.stderr)
        return 2
    write(folder)
    return 0


def _text(title: str, schema: dict[str, Any]) -> str:
    return json.dumps({"$schema": _DIALECT, **schema, "title": title}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
