"""`nexus timeline` and what `nexus export` says of profiles, embedded, as somebody types them."""

from __future__ import annotations

import csv
import io
import json
import pty
import subprocess
from os import read
from pathlib import Path
from typing import Any

import pytest

from flows.client import History, Timeline
from flows.exporting import Wanted, table
from flows.timelines import timeline_as_json, timeline_for_people
from resolver.profiles import Interval, Origin, Profile, Trait, Value
from resolver.store import Cursor, Entity, RecentEvent, RecentEvents, StoredProfile
from schemas.errors import SettingsError
from schemas.events import log_position
from schemas.identifiers import Keyring, entity_id, identifier
from schemas.rules import Rules
from tests.flows.terminal import answers, command, environment, nexus, record, typed, write_lines

RULES = Rules.from_data(
    {
        "states": {
            "billing_lifecycle": {"of": "group", "values": ["trial", "active", "past_due"]},
            "engagement": {"of": "person", "values": ["keen", "dormant"]},
            "seats": {"of": "person", "numeric": True},
        }
    }
)


def event(number: int, *participants: dict[str, Any], **fields: Any) -> bytes:
    """Give a record of the event `e<number>` of that day in January, which came when it happened."""
    occurred_at = f"2026-01-{number:02d}T10:00:00Z"
    payload: dict[str, Any] = {
        "event_id": f"e{number}",
        "source": "app",
        "event_name": "seen",
        "occurred_at": occurred_at,
    }
    payload |= {"participants": participants, **fields}
    return record(json.dumps(payload).encode(), 86_400_000 * (20_453 + number) + 36_000_000, "event")


def person(*named: str, **fields: Any) -> dict[str, Any]:
    """Give a person by `type=value` texts."""
    return {"ref": "person", "entity_type": "person", "identifiers": identifiers(named), **fields}


def company(name: str) -> dict[str, Any]:
    """Give a company by its domain."""
    return {"ref": "company", "entity_type": "group", "identifiers": identifiers([f"domain={name}"])}


def identifiers(named: Any) -> list[dict[str, str]]:
    """Give identifiers as an event has them."""
    return [dict(zip(("type", "value"), one.split("=", 1), strict=True)) for one in named]


def state(of: str, name: str, value: str | float) -> dict[str, Any]:
    """Give a state fact."""
    kind = "state_value" if isinstance(value, str) else "state_numeric_value"
    return {"of": of, "state_name": name, kind: value}


OWNER = [{"person": "person", "group": "company", "role": "owner"}]
SEATS = state("person", "seats", 3)
ADA = person("user_id=u-7", "email=ada@acme.example", traits={"name": "Ada", "address": {"city": "Köln"}})
PAID: dict[str, Any] = {
    "event_name": "paid",
    "event_type": "billing",
    "measurements": [{"name": "amount", "value": 29.99, "unit": "EUR"}],
}
STORY = [
    event(1, ADA, company("acme.example"), memberships=OWNER),
    event(2, company("acme.example"), states=[state("company", "billing_lifecycle", "trial")]),
    event(3, person("user_id=u-7"), states=[state("person", "engagement", "keen"), SEATS]),
    event(4, company("acme.example"), states=[state("company", "billing_lifecycle", "past_due")]),
    event(5, person("anonymous_id=phone", traits={"plan": "=HYPERLINK(1)"})),
    event(6, person("anonymous_id=phone", "user_id=u-7", role="payer"), **PAID),
    event(7, person("email=bo@acme.example", traits={"name": "-Bo\x1b[2J", "balance": -5})),
    event(8, person("email=bo@acme.example"), states=[state("person", "engagement", "dormant")]),
    event(9, person("email=cy@acme.example")),
]  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the story was run, a batch an event."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "nexus.yaml").write_text(json.dumps({"rules": RULES.as_data()}))
    source = write_lines(folder / "story.jsonl", STORY)
    one_by_one = {"NEXUS_BATCH": "1"}
    nexus(folder, "run", "--source", source, "--as", "record", "--until-end", settings=one_by_one)
    return folder


def key_id(kind: Any, name: str, value: str) -> str:
    """Give the id made from an identifier."""
    return entity_id(kind, Keyring("default").key(identifier(kind, name, value)))


ADA_ID = key_id("person", "user_id", "u-7")
ACME_ID = key_id("group", "domain", "acme.example")


def ada_id(told: Path) -> str:
    """Give the id that Ada has: which of her first two names is the senior one depends on their keys."""
    return str(answers(typed(told, "lookup", "person", "user_id=u-7", "--json"))[0]["entity_id"])


# timeline


def test_a_person_is_told_on_a_page(told: Path) -> None:
    """Identifiers, traits with their source, groups, current states, and what happened in order of time."""
    shown = typed(told, "timeline", "person", "email= Ada@ACME.example", "--text").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == f"person {ada_id(told)}"
    assert "anonymous_id phone" in lines
    assert "name Ada app, 2026-01-01 10:00" in lines
    assert 'address {"city": "Köln"} app, 2026-01-01 10:00' in lines
    assert f"domain=acme.example ({ACME_ID}) as owner since 2026-01-01 10:00" in lines
    assert "seats 3 since 2026-01-03 10:00" in lines
    which, *happened = lines[lines.index("What happened") + 1 :]
    assert which == "(all events, by the event log)"
    assert [line[:10] for line in happened] == sorted(line[:10] for line in happened)
    assert happened[0] == "2026-01-01 10:00 seen by app e1"
    assert happened[1].endswith("is in domain=acme.example (" + ACME_ID + ") as owner")
    assert "2026-01-03 10:00 engagement: keen" in happened
    assert happened[-1].startswith("2026-01-06 10:00 absorbed per_")
    assert happened[-1].endswith("by app e6")


def test_a_company_is_told_with_its_persons(told: Path) -> None:
    """Its states with all that they were, and who is in it."""
    (found,) = answers(typed(told, "timeline", "group", "domain=acme.example", "--json"))
    assert [(one["person_id"], one["role"]) for one in found["memberships"]] == [(ada_id(told), "owner")]
    assert found["states"] == [
        {
            "state_name": "billing_lifecycle", "state_value": "past_due", "state_numeric_value": None,
            "state_entered_at": "2026-01-04T10:00:00.000Z",
        }
    ]  # fmt: skip
    entered = [one["state_value"] for one in found["timeline"] if one["what"] == "state_entered"]
    assert entered == ["trial", "past_due"]
    assert found["is_complete"]


def events_of(told: Path, *asked: str) -> list[dict[str, Any]]:
    """Give the events of a timeline."""
    (found,) = answers(typed(told, "timeline", *asked, "--json"))
    return [one for one in found["timeline"] if one["what"] == "event"]


def test_events_are_among_what_happened(told: Path) -> None:
    """Those of all that a person was known by, each with what was told of it."""
    found = events_of(told, "person", "user_id=u-7")
    assert [one["event_id"] for one in found] == ["e1", "e3", "e5", "e6"]
    assert found[3] == {
        "at": "2026-01-06T10:00:00.000Z", "what": "event", "event_name": "paid", "event_type": "billing",
        "source": "app", "event_id": "e6", "roles": ["payer"],
        "measurements": [{"name": "amount", "value": 29.99, "unit": "EUR"}],
    }  # fmt: skip
    shown = typed(told, "timeline", "person", "user_id=u-7", "--text").stdout
    assert "2026-01-06 10:00  paid amount 29.99 EUR as payer by app e6\n" in shown


def test_a_company_has_events_of_its_own(told: Path) -> None:
    """Those that name it, and not those of its people."""
    assert [one["event_id"] for one in events_of(told, ACME_ID)] == ["e1", "e2", "e4"]


def test_an_id_that_once_was_given_answers(told: Path) -> None:
    """By a former id as by the one of today, which is a whole question without any other word."""
    former = key_id("person", "anonymous_id", "phone")
    (found,) = answers(typed(told, "timeline", former, "--json"))
    assert found["entity_id"] == ada_id(told)
    assert answers(typed(told, "timeline", found["entity_id"], "--json")) == [found]
    assert answers(typed(told, "timeline", "person", former, "--json")) == [found]


def test_nobody_is_code_1(told: Path) -> None:
    """Why there is nobody, for people as for programs; a blocked value names its rule."""
    done = typed(told, "timeline", "person", "email=nobody@acme.example", "--text")
    assert (done.returncode, "is named by no event" in done.stdout) == (1, True)
    done = typed(told, "timeline", "person", "email=test@example.com")
    assert (done.returncode, answers(done)[0]["blocked"]) == (1, "test-address")


def test_it_is_json_where_no_terminal_is(told: Path) -> None:
    """A pipe gets one object, a terminal gets colours."""
    assert answers(typed(told, "timeline", ACME_ID))[0]["entity_id"] == ACME_ID
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in environment().items() if name != "NO_COLOR"}
    subprocess.run(command("timeline", ACME_ID), cwd=told, env=kept, stdout=theirs, timeout=60, check=True)
    shown = read(ours, 100_000).decode()
    assert shown.startswith(f"\x1b[1mgroup {ACME_ID}\x1b[0m")
    assert "\x1b[32mpast_due" in shown


def test_what_somebody_typed_is_harmless_on_a_terminal(told: Path) -> None:
    """Control characters in names and values are written out."""
    shown = typed(told, "timeline", "person", "email=bo@acme.example", "--text").stdout
    assert "\x1b" not in shown
    assert "-Bo\\x1b[2J" in shown


def test_a_page_stays_a_page() -> None:
    """Of very much the latest is shown, and how much there is besides."""
    steps = [Interval(Value(str(n)), 1_000 * n, 1_000 * (n + 1)) for n in range(150)]
    traits = {f"t{n:02}": Trait(b"1", Origin(0, "app", "e")) for n in range(40)}
    entity = Entity("person", ADA_ID, 1, log_position(0, "app", "e"), ())
    many = StoredProfile(
        entity, Profile(traits, {"step": tuple(steps)}), (), is_complete=False, as_of=Cursor(1, 1), now_ms=0
    )
    found = Timeline("person", many, History(ADA_ID, entity, ()), {})
    shown = list(timeline_for_people(found))
    assert "  and 10 more (--json shows all)" in shown
    assert "  51 things before (--json shows all)" in shown
    assert shown[-1] == "  Not all of it was read: there is more (--limit)."
    assert len(timeline_as_json(found)["timeline"]) == 151


def test_a_page_says_of_what_there_may_be_more() -> None:
    """When as many events are there as are kept, others may have gone before."""
    entity = Entity("person", ADA_ID, 1, log_position(0, "app", "e"), ())
    somebody = StoredProfile(entity, Profile({}, {}), (), is_complete=True, as_of=Cursor(1, 1), now_ms=0)
    seen = RecentEvent(0, "app", "e", "seen\x1b[2J", None, (), ())
    found = Timeline("person", somebody, History(ADA_ID, entity, ()), {}, RecentEvents((seen,), kept=1))
    note, last = list(timeline_for_people(found))[-2:]
    assert note == "  (of events the store remembers the last 1)"
    assert "seen\\x1b[2J" in last
    assert not timeline_as_json(found)["is_complete"]


# exports


def test_states_are_exported_as_intervals(told: Path) -> None:
    """Sorted by entity, state and time; the columns are the design's."""
    rows = answers(typed(told, "export", "states"))
    assert [*rows[0]] == [
        "entity_id", "state_name", "state_value", "state_numeric_value",
        "state_entered_at", "state_exited_at", "is_current",
    ]  # fmt: skip
    assert rows == sorted(
        rows, key=lambda row: (row["entity_id"], row["state_name"], row["state_entered_at"])
    )
    acme = [(row["state_value"], row["is_current"]) for row in rows if row["entity_id"] == ACME_ID]
    assert acme == [("trial", False), ("past_due", True)]
    assert len(rows) == 5


def test_memberships_and_traits_are_exported(told: Path) -> None:
    """One row each, with who said so and since when."""
    assert answers(typed(told, "export", "memberships")) == [
        {
            "person_id": ada_id(told), "group_id": ACME_ID, "role": "owner",
            "started_at": "2026-01-01T10:00:00.000Z", "ended_at": None,
        }
    ]  # fmt: skip
    rows = answers(typed(told, "export", "traits"))
    assert {
        "entity_id": ada_id(told), "name": "plan", "value": "=HYPERLINK(1)", "source": "app",
        "event_id": "e5", "occurred_at": "2026-01-05T10:00:00.000Z",
    } in rows  # fmt: skip
    assert [(row["entity_id"], row["name"]) for row in rows] == sorted(
        (row["entity_id"], row["name"]) for row in rows
    )


def test_a_list_has_a_row_for_each_in_the_state(told: Path) -> None:
    """With identifiers and traits, and nobody else; in all states that are named."""
    rows = answers(typed(told, "export", "person", "--traits", "--state", "engagement=keen"))
    assert [row["identifiers"]["email"] for row in rows] == [["ada@acme.example"]]
    assert rows[0]["traits"]["name"] == "Ada"
    both = ("--state", "engagement=keen", "--state", "seats=3")
    assert answers(typed(told, "export", "person", *both)) == [
        {name: rows[0][name] for name in ("entity_id", "identifiers")}
    ]
    assert answers(typed(told, "export", "person", *both, "--state", "seats=4")) == []
    assert len(answers(typed(told, "export", "person", "--traits"))) == 3  # who has none has an empty row


def test_a_table_has_a_header_and_no_formulas(told: Path) -> None:
    """What begins like a formula is quoted, numbers are not; values that are not there are empty."""
    shown = typed(told, "export", "person", "--traits", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert shown.splitlines()[0] == (
        "entity_id,identifiers.anonymous_id,identifiers.email,identifiers.user_id,"
        "traits.address,traits.balance,traits.name,traits.plan"
    )
    by_email = {row["identifiers.email"]: row for row in rows}
    assert by_email["ada@acme.example"]["traits.plan"] == "'=HYPERLINK(1)"
    assert json.loads(by_email["ada@acme.example"]["traits.address"]) == {"city": "Köln"}
    assert by_email["bo@acme.example"]["traits.name"].startswith("'-Bo")
    assert by_email["bo@acme.example"]["traits.balance"] == "-5"
    assert by_email["cy@acme.example"]["traits.name"] == ""
    empty = typed(told, "export", "group", "--state", "billing_lifecycle=active", "--csv").stdout
    assert empty.splitlines() == ["entity_id,identifiers.domain"]
    states = typed(told, "export", "states", "--csv").stdout.splitlines()
    assert (states[0].split(",")[-1], states[1].count(",")) == ("is_current", 6)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_each_beginning_of_a_formula_is_quoted(text: str) -> None:
    """As spreadsheets read them; a quote in front makes it text."""
    assert list(table(lambda: ["a"], [{"a": text}]))[1].startswith(("'", "\"'"))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("engagement", "gone"), "dormant, keen, not gone"),
        (("billing_lifecycle", "trial"), "for a group"),
    ],
)
def test_a_state_that_cannot_be_is_a_typing_mistake(asked: tuple[str, str], says: str) -> None:
    """The rules know better than an empty list; a state that they do not have may be any."""
    with pytest.raises(SettingsError, match=says):
        Wanted("person", (asked,), with_traits=False).refuse_undeclared(RULES)
    fine = (("seats", "3"), ("engagement", "keen"), ("other", "x"))
    Wanted("person", fine, with_traits=False).refuse_undeclared(RULES)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("export", "person", "--state", "engagement"), "NAME=VALUE"),
        (("export", "person", "--state", "engagement=gone"), "dormant, keen, not gone"),
        (("export", "states", "--traits"), "persons or groups"),
        (("timeline", "person"), "person TYPE=VALUE"),
        (("timeline", "email=a@b.example"), "person TYPE=VALUE"),
        (("timeline", "per_1"), "32 hexadecimal"),
        (("timeline", "person", ACME_ID), "name the person"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(given: tuple[str, ...], says: str, told: Path) -> None:
    """The line says what to do; nothing is on standard output."""
    done = typed(told, *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
