"""What a person decides: sent, carried out by whoever reads, listed, and kept through everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.erasure import Certificate, Erasure
from flows.log_reader import CONTROL, TOPIC
from flows.operator import NothingToDo, Operator, Recorded
from flows.resolve import Work
from flows.settings import Settings
from flows.stopping import Stop
from flows.telling import certificate_as_json, changes_for_people, operation_for_people
from flows.wiring import Wiring
from resolver.store import Entity
from schemas.errors import BadMessage, SettingsError
from schemas.events import FORMAT_HEADER
from schemas.operations import Kind
from schemas.records import encode_record
from schemas.transitions import EntitiesMerged, EntitySplit, IdentifierQuarantined, TraitChanged
from sinks.jsonl import read_dead_letter
from tests.flows.terminal import call

NOW_MS = 1_767_600_000_000

CALLS = (
    call("m-1", anonymousId="laptop", userId="u-7", traits={"email": "ada@acme.example"}),
    call("m-2", anonymousId="phone", userId="u-7"),
    call("m-3", userId="u-9", traits={"email": "bo@acme.example"}),
)


class Place:
    """A namespace without a broker, and the operator of it."""

    def __init__(self, parts: Wiring) -> None:
        self.parts, self.operator = parts, Operator(parts)
        self.now_ms = NOW_MS

    def hear(self, *calls: bytes) -> None:
        """Put calls into the input and resolve them, with the operator events that are there."""
        header = (FORMAT_HEADER, b"segment")
        lines = []
        for one in calls:
            self.now_ms += 1_000
            lines.append(encode_record(one, ingested_at_ms=self.now_ms, headers=[header]))
        self.parts.log(TOPIC).append(lines)
        self.resolve()

    def resolve(self) -> None:
        """Work off what is in the logs."""
        parts, end = self.parts, self.parts.at_end()
        work = Work(parts.store, parts.linker, parts.dead_letters(), {}, Stop(), None, parts.operations)
        with closing(parts.readers()(0)) as reader:
            while not end():
                taken = reader.take()
                if taken is not None:
                    work.all_steps(taken)

    def whose(self, text: str) -> Entity | None:
        """The person who has an identifier."""
        one = self.operator.identifier("person", text)
        return self.parts.store.entity(self.parts.keyring.key(one))

    def id_of(self, text: str) -> str:
        """The id of that person."""
        found = self.whose(text)
        assert found is not None
        return found.entity_id

    def decide(self, kind: Kind, *texts: str) -> bool:
        """Send an operator event, and say whether it was carried out."""
        identifiers = [self.operator.identifier("person", text) for text in texts]
        operation = self.operator.decision(kind, identifiers, "eve", "because")
        return self.operator.send(operation, 10)

    def erase(self, text: str) -> Certificate:
        """Erase a person."""
        subject = self.operator.subject("person", text)
        operation = self.operator.erasure(subject, "eve", "a request")
        erasure = Erasure(self.parts, subject, operation)
        assert self.operator.send(operation, 10)
        return erasure.certificate()


@pytest.fixture
def place(redis_url: str, tmp_path: Path) -> Iterator[Place]:
    """Give a namespace that knows Ada and Bo."""
    settings = Settings.model_validate({"data": tmp_path, "redis": {"url": redis_url, "ephemeral": True}})
    with Wiring(settings) as parts:
        place = Place(parts)
        place.hear(*CALLS)
        yield place


# carried out


def test_together_and_apart(place: Place) -> None:
    """The later one counts, and an id stands for the identifier that it was made from."""
    bo = place.id_of("email=bo@acme.example")
    assert place.decide("together", "email=ada@acme.example", bo)
    assert place.id_of("user_id=u-9") == place.id_of("user_id=u-7")
    assert place.decide("apart", "email=ada@acme.example", bo)
    assert place.id_of("user_id=u-9") == bo


def test_block_and_unblock(place: Place) -> None:
    """What a value held together falls apart, and comes back as it was."""
    before = place.id_of("anonymous_id=phone")
    assert place.decide("block", "user_id=u-7")
    assert place.whose("user_id=u-7") is None
    assert place.id_of("anonymous_id=phone") != before
    assert place.decide("unblock", "user_id=u-7")
    assert place.id_of("anonymous_id=phone") == place.id_of("user_id=u-7") == before


def test_release(place: Place) -> None:
    """A device of three users is quarantined by the rules; who is released is not."""
    place.hear(*(call(f"k-{n}", anonymousId="kiosk", userId=f"guest-{n}") for n in range(3)))
    assert place.whose("anonymous_id=kiosk") is None
    assert place.decide("release", "anonymous_id=kiosk")
    assert len({place.id_of(f"user_id=guest-{n}") for n in range(3)}) == 1


def test_a_preview_changes_nothing(place: Place) -> None:
    """It says what would be published, and neither store nor control log moves."""
    before, end = place.parts.store.sequence(), place.parts.log(CONTROL).end()
    both = [place.operator.identifier("person", text) for text in ("user_id=u-7", "user_id=u-9")]
    joined = place.operator.preview(place.operator.decision("together", both, "eve", ""))
    parted = place.operator.preview(place.operator.decision("block", both[:1], "eve", ""))
    assert [type(one) for one in joined] == [EntitiesMerged, TraitChanged]
    assert [type(one) for one in parted] == [IdentifierQuarantined, EntitySplit]
    assert (place.parts.store.sequence(), place.parts.log(CONTROL).end()) == (before, end)
    assert list(changes_for_people(joined))[-2] == "In all 1 merge, 0 splits, 2 transitions."


def test_while_another_reads_the_command_waits(place: Place) -> None:
    """It stays in the log, and whoever reads carries it out."""
    with closing(place.parts.readers()(0)) as running:
        assert running.take() is None, "it holds the lock"
        one = place.operator.identifier("person", "user_id=u-7")
        operation = place.operator.decision("block", [one], "eve", "")
        assert not place.operator.send(operation, 0.3)
        assert place.whose("user_id=u-7") is not None
    place.resolve()
    assert place.whose("user_id=u-7") is None


def test_what_is_no_operator_event_is_a_dead_letter(place: Place) -> None:
    """It stops nothing that comes behind it."""
    place.parts.log(CONTROL).append([encode_record(b"{", ingested_at_ms=NOW_MS), b"<html>"])
    assert place.decide("block", "user_id=u-7")
    assert place.whose("user_id=u-7") is None
    letters = [read_dead_letter(line.data) for line in place.parts.log("dead-letters").read(0)]
    assert [(one.message.topic, one.reason, one.format_name) for one in letters] == [
        (CONTROL, "not-json", "operation"), (CONTROL, "no-timestamp", "operation")
    ]  # fmt: skip


def test_decisions_survive_a_replay(place: Place) -> None:
    """A store that was emptied gives the same answer from the same logs."""
    place.decide("together", "user_id=u-7", "user_id=u-9")
    place.decide("block", "anonymous_id=laptop")
    before = sorted(place.parts.store.mapping("person"), key=repr)
    place.parts.client.flushall()
    settings = place.parts.settings
    with Wiring(settings) as parts:
        again = Place(parts)
        again.resolve()
        assert sorted(parts.store.mapping("person"), key=repr) == before


# who cannot be meant


def test_who_cannot_be_meant_is_wrong_usage(place: Place) -> None:
    """One line without the value: no normal form, blocked by rule, another kind of id, the same twice."""
    for text in ("email=canary", "email=test@example.com", "canary", "grp_" + "0" * 32):
        with pytest.raises(SettingsError) as refused:
            place.operator.identifier("person", text)
        assert "canary" not in str(refused.value)
    with pytest.raises(SettingsError, match="name two"):
        place.decide("together", "user_id=u-7", "user_id= u-7")


def test_an_id_of_nobody_is_told(place: Place) -> None:
    """Nobody was ever called by it."""
    with pytest.raises(NothingToDo, match="nobody was ever"):
        place.operator.identifier("person", "per_" + "0" * 32)


@pytest.mark.parametrize(("who", "why"), [("", "x"), ("a\nb", "x"), ("eve", "x\0"), ("eve", "x" * 2_000)])
def test_what_would_be_refused_is_not_sent(place: Place, who: str, why: str) -> None:
    """Who and why are one printable line of limited length."""
    one = place.operator.identifier("person", "user_id=u-7")
    with pytest.raises(SettingsError, match="--wh"):
        place.operator.decision("block", [one], who, why)


# the audit


def test_what_was_decided_is_listed(place: Place) -> None:
    """In its order, with who and why; what cannot be read stands in its place."""
    place.decide("block", "user_id=u-7")
    place.parts.log(CONTROL).append([b"<html>"])
    place.erase("email=bo@acme.example")
    found = list(place.operator.recorded())
    assert [type(one) for one in found] == [Recorded, BadMessage, Recorded]
    lines = [
        line
        for one in found
        if isinstance(one, Recorded)
        for line in operation_for_people(one, place.parts.keyring)
    ]
    assert "eve: block person user_id=u-7 (per_" in lines[0]
    assert lines[1] == "    because: because"
    assert "eve: erase 2 identifiers" in lines[3]


# erasure


def test_an_erasure_takes_the_whole_person(place: Place) -> None:
    """All that Ada is known by is gone, her id answers for nobody, and Bo is not touched."""
    ada, bo = place.id_of("user_id=u-7"), place.id_of("user_id=u-9")
    certificate = place.erase("email=ada@acme.example")
    assert (certificate.ids, certificate.identifiers, certificate.links) == ((ada,), 4, 2)
    assert certificate.is_complete
    assert place.whose("anonymous_id=phone") is None
    assert place.id_of("user_id=u-9") == bo
    place.parts.store.check()


def test_a_certificate_holds_no_value(place: Place) -> None:
    """It can be kept: ids, counts and places; and it says what names the subject and stays."""
    place.decide("together", "email=ada@acme.example", "user_id=u-9")
    place.parts.log("dead-letters").append([encode_record(b"to Ada@ACME.example", key=None)])
    certificate = place.erase("user_id=u-9")
    text = json.dumps(certificate_as_json(certificate))
    assert "acme.example" not in text
    remains = {one.what: one for one in certificate.remains}
    assert remains["dead letters that name it"].count == 1
    assert remains["operator events that name it"].count == 1
    assert remains["events, as they came in"].where.endswith("input")


def test_what_the_subject_shared_is_blocked(place: Place) -> None:
    """A quarantined device that it used names nobody from then on, whatever happens to its partners."""
    place.hear(*(call(f"k-{n}", anonymousId="kiosk", userId=f"guest-{n}") for n in range(3)))
    assert place.erase("user_id=guest-0").blocked == 1
    key = place.parts.keyring.key(place.operator.identifier("person", "anonymous_id=kiosk"))
    assert place.parts.store.standing(key).state == "blocked"


def test_who_comes_back_is_a_new_person_and_can_be_erased_again(place: Place) -> None:
    """After the erasure the same address is another identifier, with another id."""
    ada = place.id_of("user_id=u-7")
    place.erase("user_id=u-7")
    place.now_ms = 4_000_000_000_000  # later than any clock of this test
    place.hear(call("m-9", userId="u-7", traits={"email": "ada@acme.example"}))
    subject = place.operator.subject("person", "email=ada@acme.example")
    assert subject.entity_id not in (None, ada)
    assert len(subject.members) == 2
    assert place.decide("block", "user_id=u-7")
    assert len(place.operator.subject("person", "email=ada@acme.example").members) == 1


def test_there_has_to_be_somebody_to_erase(place: Place) -> None:
    """Nobody, somebody who is gone already, and a value that names nobody by rule."""
    with pytest.raises(NothingToDo, match="nothing to erase"):
        place.operator.subject("person", "user_id=nobody")
    place.erase("user_id=u-9")
    with pytest.raises(NothingToDo, match="erased already"):
        place.operator.subject("person", "user_id=u-9")
    with pytest.raises(SettingsError, match="blocked by the rules"):
        place.operator.subject("person", "user_id=null")


def test_one_that_is_out_of_the_graph_is_erased_alone(place: Place) -> None:
    """A blocked value is in no entity, and can be erased all the same."""
    place.decide("block", "user_id=u-7")
    certificate = place.erase("user_id=u-7")
    assert (certificate.identifiers, certificate.blocked) == (1, 0)
    assert certificate.is_complete
