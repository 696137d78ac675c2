"""Rules that are changed while everything runs, and commands that say what would change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.log_reader import TOPIC
from flows.operator import Operator, Recorded
from flows.resolve import Work
from flows.ruling import Ruling
from flows.settings import Settings, rules_from_file
from flows.stopping import Stop
from flows.wiring import Wiring
from resolver.rules_change import RulesRefused
from resolver.store import Entity
from schemas.errors import SettingsError
from schemas.events import FORMAT_HEADER
from schemas.operations import Operation
from schemas.records import encode_record
from schemas.rules import Rules
from tests.flows.terminal import answers, call, nexus, record, write_lines

CALLS = (
    call("m-1", anonymousId="laptop", userId="u-7", traits={"email": "team@acme.example"}),
    call("m-2", anonymousId="phone", userId="u-9", traits={"email": "team@acme.example"}),
)
NO_TEAM = "rules: {identifiers: {email: {blocked: {exact: [team@acme.example]}}}}\n"
BLOCKED = Rules.from_data({"identifiers": {"email": {"blocked": {"exact": ["team@acme.example"]}}}})


class Stream:
    """A run that is going on: its parts are made once, under the rules of its start."""

    def __init__(self, parts: Wiring) -> None:
        self.parts, self.now_ms = parts, 1_767_600_000_000
        self.work = Work(parts.store, parts.linker, parts.dead_letters(), {}, Stop(), None, parts.operations)

    def hear(self, *calls: bytes) -> None:
        """Resolve calls, and the operator events that are there, and settle what is due."""
        header = (FORMAT_HEADER, b"segment")
        self.now_ms += 1_000
        lines = [encode_record(one, ingested_at_ms=self.now_ms, headers=[header]) for one in calls]
        self.parts.log(TOPIC).append(lines)
        end = self.parts.at_end()
        with closing(self.parts.readers()(0)) as reader:
            while not end():
                taken = reader.take()
                if taken is not None:
                    self.work.all_steps(taken)
        self.parts.restructuring(lambda _: None).run()

    def whose(self, identifier_type: str, value: str) -> Entity | None:
        """The person who has an identifier."""
        one = self.parts.settings.rules.identifier("person", identifier_type, value)
        return self.parts.store.entity(self.parts.keyring.key(one))


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Give the settings of a namespace without anything."""
    return Settings.model_validate({"data": tmp_path, "redis": {"url": redis_url, "ephemeral": True}})


@pytest.fixture
def stream(settings: Settings) -> Iterator[Stream]:
    """Give a run that has heard the calls."""
    with Wiring(settings) as parts:
        running = Stream(parts)
        running.hear(*CALLS)
        yield running


def test_a_stream_goes_on_under_the_new_rules(stream: Stream, settings: Settings) -> None:
    """Nothing is started anew: what was there is settled, and what comes is taken under the new rules."""
    with Wiring(settings) as parts:
        taken = Ruling(parts).apply(BLOCKED, "eve", "everybody's mailbox", 20)
    assert (taken.is_done, taken.is_same, taken.entities) == (True, False, 1)
    stream.hear(call("m-3", userId="u-5", traits={"email": "team@acme.example"}))
    assert stream.parts.store.rules == BLOCKED
    persons = [stream.whose("user_id", one) for one in ("u-5", "u-7", "u-9")]
    assert [person.size for person in persons if person] == [1, 2, 2]
    assert stream.whose("email", "team@acme.example") is None
    stream.parts.store.check()


def test_whoever_reads_it_brings_the_rules_into_force(stream: Stream, settings: Settings) -> None:
    """Who does not wait leaves it to the stream; the audit has who, why and the version."""
    with Wiring(settings) as parts:
        ruling = Ruling(parts)
        assert not ruling.apply(BLOCKED, "eve", "a mailbox", None).is_done
        (found,) = Operator(parts).recorded()
    assert isinstance(found, Recorded)
    assert (found.operation.kind, found.operation.who, found.operation.rules) == ("rules", "eve", BLOCKED)
    stream.hear()
    assert stream.parts.store.rules == BLOCKED
    assert not stream.parts.restructuring(lambda _: None).is_due()


def test_rules_that_normalise_otherwise_are_refused(stream: Stream, settings: Settings) -> None:
    """The command refuses them; so does the stream, should they come all the same, and it goes on."""
    other = Rules.from_data({"identifiers": {"email": {"ignore_gmail": ["dots"]}}})
    with Wiring(settings) as parts:
        ruling = Ruling(parts)
        with pytest.raises(RulesRefused, match="read the topics from their beginning"):
            ruling.apply(other, "eve", "", 20)
        assert ruling.difference(other).refused == ("the normal form of email",)
        operation = Operation("rules", "person", settings.namespace, "0" * 32, "eve", "", rules=other)
        assert Operator(parts).send(operation, 20)
    stream.hear()
    assert stream.parts.store.rules == Rules()
    stream.parts.store.check()


@pytest.mark.usefixtures("stream")
def test_what_would_change_is_what_changes(settings: Settings) -> None:
    """The difference counts what applying the rules then does."""
    with Wiring(settings) as parts:
        difference = Ruling(parts).difference(BLOCKED)
        assert dict(difference.forecast.counts) == {"blocked": 1, "entity_split": 1}
        assert Ruling(parts).apply(BLOCKED, "eve", "", 20).entities == difference.forecast.entities
        assert Ruling(parts).difference(BLOCKED).is_same
        assert Ruling(parts).untold() == []
        back = Ruling(parts).difference(Rules())
        assert list(back.untold) == [{"type": "email", "exact": "team@acme.example"}]


def test_the_commands(tmp_path: Path) -> None:
    """Diff, dry run, apply and pending as at a terminal; afterwards other settings end with code 2."""
    source = write_lines(tmp_path / "story.jsonl", [record(one, 1_000 + n) for n, one in enumerate(CALLS)])
    nexus(tmp_path, "run", "--source", source, "--as", "record", "--until-end")
    (tmp_path / "new.yaml").write_text(NO_TEAM)
    for asked in (("diff", "new.yaml"), ("apply", "new.yaml", "--dry-run")):
        shown = nexus(tmp_path, "rules", *asked)
        assert "would fall into 2" in shown.stdout
        assert "0 merges, 1 split, 0 renamed; 0 identifiers quarantined, 0 back, 1 blocked" in shown.stdout
    (found,) = answers(nexus(tmp_path, "rules", "diff", "new.yaml", "--json"))
    assert (found["entities"], found["counts"]["entity_split"], found["pending"]) == (1, 1, [])
    done = nexus(tmp_path, "rules", "apply", "new.yaml", "--why", "everybody's")
    assert "The rules are in force; 1 persons and groups changed." in done.stdout
    assert "settings of every host" in done.stderr
    (tmp_path / "nexus.yaml").write_text(NO_TEAM)
    assert len({row["entity_id"] for row in answers(nexus(tmp_path, "export", "person"))}) == 2
    (tmp_path / "old.yaml").write_text("rules: {}\n")
    (back,) = answers(nexus(tmp_path, "rules", "apply", "old.yaml", "--json"))
    assert back["is_done"]
    (pending,) = answers(nexus(tmp_path, "rules", "pending", "--json"))
    assert pending == {"exact": "team@acme.example", "type": "email"}
    refused = nexus(tmp_path, "export", "person", code=2)
    assert "nexus rules apply" in refused.stderr


def test_a_wrong_file(tmp_path: Path) -> None:
    """One line names the line of the file."""
    (tmp_path / "new.yaml").write_text("rules:\n  identifiers: {user_id: {unique: 3}}\n")
    with pytest.raises(SettingsError, match="line 2"):
        rules_from_file(tmp_path / "new.yaml")
