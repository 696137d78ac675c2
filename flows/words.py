"""Words that the chapters of the story share."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from schemas.events import Event
from schemas.transitions import (
    Cause,
    Change,
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    QuarantineReason,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
)

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
    return moment(cause.ingested_at)


def moment(instant: str) -> str:
    """An instant as people read it."""
    return instant[:16].replace("T", " ")


def of_profile(change: Change) -> str | None:
    """What a change says of somebody's profile, or None if it speaks of identifiers."""
    match change:
        case TraitChanged():
            told = "unset" if change.value is None else short(json.dumps(change.value, ensure_ascii=False))
            return f"{change.name}: {told}"
        case MembershipStarted():
            return f"{_role(change)} since {moment(change.started_at)}"
        case MembershipEnded():
            until = None if change.ended_at is None else moment(change.ended_at)
            return f"not {_role(change)}" if until is None else f"{_role(change)} until {until}"
        case StateEntered():
            return f"{change.state_name}: {_state(change)} since {moment(change.state_entered_at)}"
        case StateExited():
            return f"{change.state_name}: {_state(change)} until {moment(change.state_exited_at)}"
        case StateCorrected():
            return f"{change.state_name}: {_correction(change)}"
    return None


def _role(change: MembershipStarted | MembershipEnded) -> str:
    return f"in {change.group_id}" + ("" if change.role is None else f" as {short(change.role)}")


def _state(state: Interval | StateEntered | StateExited) -> str:
    """Value and number of a state, as far as it has them."""
    number = None if state.state_numeric_value is None else f"{state.state_numeric_value:g}"
    return " ".join(short(each) for each in (state.state_value, number) if each is not None)


def _correction(change: StateCorrected) -> str:
    now = ", ".join(map(_interval, change.intervals))
    if change.replaced is None:
        return f"also {now}"
    return f"not {_interval(change.replaced)}" + (f" but {now}" if now else "")


def _interval(interval: Interval) -> str:
    until = "" if interval.state_exited_at is None else f" until {moment(interval.state_exited_at)}"
    return f"{_state(interval)} since {moment(interval.state_entered_at)}{until}"


def short(value: str, most: int = _SHOWN_VALUE) -> str:
    """A value, cut where it is too long for a line."""
    return value if len(value) <= most else f"{value[: most - 1]}…"


def harmless(text: str) -> str:
    """A text of anybody's with what is no letter on a terminal written out, such as `\\x1b`."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


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


def program() -> str:
    """How this program was called, so that what it says can be pasted."""
    called = Path(sys.argv[0])
    if called.name != "nexus":
        return "nexus" if shutil.which("nexus") else "python -m flows"
    found = shutil.which("nexus")
    return "nexus" if found and Path(found).resolve() == called.resolve() else shlex.quote(str(called))
