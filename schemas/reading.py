"""Reads what stands in the `rules:` section, part by part.

Each function takes the value at a path, and gives what it means or raises WrongRule, which names the path and
says what is allowed. None of them is lenient: what YAML made of a text without quotes is refused.
"""

from collections.abc import Collection
from typing import Any, Final, TypeAlias

from schemas.assembly import check_text
from schemas.errors import BadMessage, WrongRule
from schemas.events import MAX_ID_BYTES

MAX_VALUES: Final = 10_000
"""Of one list or mapping where nothing else is said."""

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands, from `rules`: names of mappings and places in lists."""


def read_mapping(value: object, path: Path, allowed: Collection[str] | None = None) -> dict[str, Any]:
    """Names and what stands below them; without `allowed` any names."""
    if not isinstance(value, dict):
        raise WrongRule(path, "must be a mapping, {} for an empty one")
    for name in value:
        if not isinstance(name, str):
            raise WrongRule(path, "has a name that is not text: put it in quotes")
        if allowed is not None and name not in allowed:
            raise WrongRule((*path, name), f"is unknown: there are {', '.join(allowed)}")
    return value


def read_list(value: object, path: Path, most: int = MAX_VALUES) -> list[Any]:
    """A list of at most so many."""
    if not isinstance(value, list):
        raise WrongRule(path, "must be a list, [] for an empty one")
    if len(value) > most:
        raise WrongRule(path, f"must be a list of at most {most}")
    return value


def read_text(value: object, path: Path) -> str:
    """A text, and no number that looks like one."""
    if not isinstance(value, str):
        raise WrongRule(path, "must be text: put it in quotes")  # YAML reads NO as false, +49 as a number
    return value


def read_words(value: object, path: Path, allowed: Collection[str]) -> tuple[str, ...]:
    """Some of the words that are allowed, in their order."""
    given = read_list(value, path)
    for place, word in enumerate(given):
        if word not in allowed:
            raise WrongRule((*path, place), f"must be one of {', '.join(allowed)}")
    return tuple(word for word in allowed if word in given)


def read_flag(value: object, path: Path) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise WrongRule(path, "must be true or false")
    return value


def read_name(value: object, path: Path, most: int = MAX_ID_BYTES) -> str:
    """A text that an event could carry, too."""
    text = read_text(value, path)
    try:
        check_text(text.encode().decode(), "", most)
    except (BadMessage, UnicodeEncodeError):
        says = f"must be text of 1 to {most} bytes without control characters"
        raise WrongRule(path, says) from None
    return text


def read_names(value: object, path: Path, most: int, most_bytes: int = MAX_ID_BYTES) -> tuple[str, ...]:
    """Texts that events could carry, each once, in the order given."""
    names: dict[str, None] = {}
    for place, each in enumerate(read_list(value, path, most)):
        name = read_name(each, (*path, place), most_bytes)
        if name in names:
            raise WrongRule((*path, place), "is given twice")
        names[name] = None
    return tuple(names)
