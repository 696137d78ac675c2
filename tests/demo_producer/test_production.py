"""The stream as a whole: what its arguments promise."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from demo_producer import Record, records
from demo_producer.stories import Profile
from schemas.errors import SettingsError
from tests.demo_producer.decoding import decoded


@pytest.mark.parametrize(
    ("shared", "fingerprint"),
    [(False, "416c924b86cfddda3fe58c703b8d393b"), (True, "b6f7afe0a82783f39f77d1473cad13a9")],
    ids=["alone", "shared"],
)
def test_a_seed_gives_the_same_bytes_on_every_machine(shared: bool, fingerprint: str) -> None:
    """Two thousand records with all faults have the fingerprint that they had when this was written."""
    found = hashlib.blake2b(digest_size=16)
    for record in records(seed=1, count=2_000, faults="all", timestamps=True, shared=shared):
        found.update(repr(tuple(record)).encode())
    assert found.hexdigest() == fingerprint


def test_another_seed_gives_other_customers() -> None:
    """No key of one seed's stream is in another's."""
    one, other = ({record.key for record in records(seed=seed, count=300)} for seed in (1, 2))
    assert not one & other


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 777])
def test_count_is_what_comes(count: int) -> None:
    """As many records come as were asked for, whatever the faults."""
    assert sum(1 for _ in records(count=count, faults="all")) == count


def test_every_record_that_is_not_malformed_is_one_event() -> None:
    """Good records, copies, overtaken ones and junk all decode without a problem."""
    for record in records(count=3_000, faults="all"):
        if record.fault != "malformed":
            found = decoded(record)
            assert (found.problem, found.skipped, len(found.events)) == (None, None, 1), record.kind


@pytest.mark.parametrize(("profile", "share"), [("story", 0.35), ("steady", 0.05), ("growth", 0.667)])
def test_a_profile_brings_its_share_of_new_links(profile: Profile, share: float) -> None:
    """The share of records that name a set of identifiers never named before is the profile's."""
    assert _share_of_new_links(records(count=6_000, profile=profile)) == pytest.approx(share, abs=0.02)


def _share_of_new_links(stream: Iterable[Record]) -> float:
    links = set()
    count = 0
    for count, record in enumerate(stream, 1):  # noqa: B007  # the last number is how many there were
        (event,) = decoded(record).events
        links |= {frozenset(each.identifiers) for each in event.participants if each.entity_type == "person"}
    return len(links) / count


def test_growth_goes_on_with_few_customers() -> None:
    """When everybody's life is told, new links come from cleared cookies, and nobody new comes."""
    stream = list(records(count=2_000, profile="growth", customers=10))
    assert {record.customer for record in stream} == set(range(10))
    assert _share_of_new_links(stream) == pytest.approx(0.667, abs=0.04)


def test_one_format_alone_tells_that_half_of_the_lives() -> None:
    """A stream of one format has no record of the other."""
    assert {record.format for record in records(count=200, formats=frozenset({"stripe"}))} == {"stripe"}


def test_both_formats_name_themselves_in_a_header() -> None:
    """Every good record says in its header which format it has."""
    for record in records(count=100):
        assert record.headers == (("nexus-format", record.format.encode()),)


def test_times_begin_at_the_start_and_span_ninety_days() -> None:
    """The events happen from the start on, and the last of them ninety days later."""
    start = datetime(2025, 3, 1, tzinfo=UTC)
    times = [record.ingested_at_ms or 0 for record in records(count=500, start=start, timestamps=True)]
    assert times == sorted(times)
    days = [(at - start.timestamp() * 1_000) / 86_400_000 for at in (times[0], times[-1])]
    assert 0 <= days[0] < 1
    assert 89 < days[1] < 91


def test_an_event_comes_in_after_it_happened() -> None:
    """A record comes in a little after the instant in its payload, so that no clock seems to be wrong."""
    for record in records(count=300, timestamps=True):
        (event,) = decoded(record).events
        assert record.ingested_at_ms is not None
        assert 0 <= record.ingested_at_ms - event.occurred_at_ms <= 2_000


def test_records_have_no_time_unless_asked() -> None:
    """Without `timestamps` it is for the input to say when a record came in."""
    assert {record.ingested_at_ms for record in records(count=50, faults="all")} == {None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": -1},
        {"customers": 0},
        {"start": datetime(2026, 1, 5)},  # noqa: DTZ001  # a time without a zone is what is refused
        {"profile": "boom"},
        {"formats": frozenset()},
        {"formats": frozenset({"fax"})},
        {"faults": "rain"},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, object]) -> None:
    """A stream that cannot be is refused when it is asked for, not at its first record."""
    with pytest.raises(SettingsError):
        records(**wrong)  # type: ignore[arg-type]  # that is the point
