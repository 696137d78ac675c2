"""Malformed records, one kind after the other."""

import json
from collections import Counter

import pytest

from demo_producer import MALFORMED_KINDS, Record, malformed_as, records
from demo_producer.chance import Chance
from demo_producer.malformed import MIB
from tests.demo_producer.decoding import decoded


def _models() -> dict[str, Record]:
    """One good record of every type of call and webhook."""
    return {json.loads(record.value or b"")["type"]: record for record in records(count=400)}


@pytest.mark.parametrize("name", MALFORMED_KINDS)
def test_a_malformed_record_is_exactly_one_dead_letter(name: str) -> None:
    """Whatever good record it is made from: it has a problem with a reason, and no event comes of it."""
    kind = MALFORMED_KINDS[name]
    chance = Chance("dead letters", name)
    for model in _models().values():
        if model.format in kind.formats:
            found = decoded(malformed_as(kind, model, chance))
            assert found.events == ()
            assert found.problem is not None
            assert found.problem.reason not in {"", "unexpected"}


def test_there_are_more_than_thirty_kinds_of_each_format() -> None:
    """Both sources meet most of what can go wrong."""
    for name in ("segment", "stripe"):
        assert sum(name in kind.formats for kind in MALFORMED_KINDS.values()) > 30


def test_a_stream_has_every_kind_and_says_which() -> None:
    """Many malformed records are of all kinds but, perhaps, the huge ones, and each names its own."""
    found = Counter(record.kind for record in records(count=6_000, faults="malformed=30") if record.fault)
    assert found.keys() >= {name for name, kind in MALFORMED_KINDS.items() if not kind.huge}


def test_huge_messages_are_rare() -> None:
    """A stream with malformed records stays about as long as one without."""
    sizes = [len(record.value or b"") for record in records(count=3_000, faults="malformed=10")]
    assert sum(sizes) < 4 * MIB + 3_000 * 1_200


def test_line_safe_kinds_are_lines() -> None:
    """What is to be a line of plain text has a value, some text in it, no line end, and no header to
    carry.
    """
    for record in records(count=3_000, faults="malformed=30", line_safe=True):
        assert record.value is not None
        assert record.value.strip()
        assert b"\n" not in record.value
        assert record.headers == (("nexus-format", record.format.encode()),)


def test_a_malformed_record_is_about_nobody() -> None:
    """The good record that it was made from comes besides it, so that nothing true is lost."""
    found = [record for record in records(count=1_000, faults="malformed=10") if record.fault == "malformed"]
    assert found
    assert {(record.customer, record.company, record.completes) for record in found} == {(None, None, False)}
