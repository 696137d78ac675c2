"""What goes wrong on the way, and how often."""

from collections import Counter

import pytest

from demo_producer import Faults, Record, records
from demo_producer.faults import USUAL
from schemas.errors import SettingsError


def _spoiled(faults: str, count: int = 4_000) -> list[Record]:
    return list(records(count=count, faults=faults, timestamps=True))


@pytest.mark.parametrize("fault", ["duplicates", "late", "shuffled", "malformed", "junk"])
def test_a_fault_has_its_share(fault: str) -> None:
    """Of a hundred records about as many have a fault as was asked for."""
    found: Counter[str | None] = Counter(record.fault for record in _spoiled(f"{fault}=8"))
    assert found.keys() == {fault, None}
    assert found[fault] / 4_000 == pytest.approx(0.08, abs=0.015)


def test_faults_together_keep_their_shares() -> None:
    """One fault does not thin out another."""
    found: Counter[str | None] = Counter(record.fault for record in _spoiled("all", count=20_000))
    assert {name: 100 * found[name] / 20_000 for name in USUAL} == pytest.approx(USUAL, abs=0.6)


def test_faults_do_not_change_what_happens() -> None:
    """The good records are the first of the stream without faults: none missing, none besides, none twice."""
    clean = [record.value for record in records(count=4_000)]
    good = [record.value for record in _spoiled("all") if record.fault in {None, "late", "shuffled"}]
    assert sorted(map(repr, good)) == sorted(map(repr, clean[: len(good)]))


def test_a_copy_is_the_same_bytes_after_the_first() -> None:
    """A duplicate repeats key, headers and value of a record that came before it."""
    seen = set()
    for record in _spoiled("duplicates=20"):
        if record.fault == "duplicates":
            assert record[:4] in seen
        seen.add(record[:4])


@pytest.mark.parametrize("fault", ["late", "shuffled"])
def test_an_overtaken_record_comes_after_a_younger_one(fault: str) -> None:
    """Each of them is older than some record before it; no other record is."""
    newest = 0
    for record in _spoiled(f"{fault}=10"):
        assert record.ingested_at_ms is not None
        assert (record.ingested_at_ms < newest) == (record.fault == fault)
        newest = max(newest, record.ingested_at_ms)


def test_late_records_are_overtaken_by_many() -> None:
    """A late record comes at least fifty places after its own."""
    stream = _spoiled("late=2")
    order = sorted(range(len(stream)), key=lambda place: stream[place].ingested_at_ms or 0)
    moved = [place - rank for rank, place in enumerate(order) if stream[place].fault == "late"]
    assert min(moved) > 0
    assert sorted(moved)[len(moved) // 2] > 50


def test_the_last_records_of_a_short_stream_are_not_lost() -> None:
    """Overtaken records that wait at the end still come."""
    stream = _spoiled("late=45,shuffled=45", count=200)
    assert len({record.value for record in stream}) == 200


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("none", Faults()),
        ("", Faults()),
        ("all", Faults(duplicates=5, late=2, shuffled=10, malformed=1, junk=1)),
        ("late=3, malformed=0.5", Faults(late=3, malformed=0.5)),
        ("duplicates", Faults(duplicates=5)),
    ],
)
def test_faults_can_be_written_down(text: str, faults: Faults) -> None:
    """A name alone has its usual share; a share may be given."""
    assert Faults.parse(text) == faults


@pytest.mark.parametrize("text", ["rain", "late=", "late=much", "late=-1", "late=91", "late=nan", "late,,"])
def test_faults_that_cannot_be_are_refused(text: str) -> None:
    """A wrong name or share is refused with a line that says what is allowed."""
    with pytest.raises(SettingsError, match=r"^faults: "):
        Faults.parse(text)
