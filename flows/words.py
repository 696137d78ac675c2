"""Words that the chapters of the story share."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from schemas.events import Event
from schemas.transitions import Cause, NamedIdentifier, QuarantineReason

_SHOWN_VALUE: Final = 44
_UUID: Final = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-.*")


def heading(text: str) -> Iterator[str]:
    """The title of a chapter, after an empty line."""
    yield ""
    yield click.style(text, bold=True)


def wrapped(words: Sequence[str], between: str, width: int = 96) -> Iterator[str]:
    """The words in lines of at most `width`, each two spaces in."""
    line = f"  {words[0]}"
    for word in words[1:]:
        if len(line) + len(between) + len(word) > width:
            yield f"{line}{between}".rstrip()
            line = f"  {word}"
        else:
            line += between + word
    yield line


def minute(cause: Cause) -> str:
    """When something happened, as people read it."""
    return cause.ingested_at[:16].replace("T", " ")


def short(value: str, most: int = _SHOWN_VALUE) -> str:
    """A value, cut where it is too long for a line."""
    return value if len(value) <= most else f"{value[: most - 1]}…"


def listed(identifiers: Iterable[NamedIdentifier]) -> str:
    """The first two of some identifiers, and how many more there are."""
    words = [f"{one.type} {_UUID.sub(_beginning, short(one.value, 34))}" for one in identifiers]
    more = f" and {len(words) - 2} more" if len(words) > 2 else ""
    return ", ".join(words[:2]) + more


def _beginning(uuid: re.Match[str]) -> str:
    return f"{uuid[1]}…"


def measure(reason: QuarantineReason) -> str:
    """By what measure an identifier names nobody."""
    if reason.kind == "blocked":
        return "an operator blocked it"
    others = "identifiers" if reason.partner_type is None else f"values of {reason.partner_type}"
    return f"seen with more than {reason.limit} {others}"


def own_name(events: Iterable[Event]) -> str | None:
    """What a person is called, by the last event that says so."""
    names = [
        str(participant.traits["name"])
        for event in events
        for participant in event.participants
        if participant.entity_type == "person" and participant.traits.get("name")
    ]
    return names[-1] if names else None
