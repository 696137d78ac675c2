"""Sorting on disk gives what sorting in memory gives."""

from hypothesis import given
from hypothesis import strategies as st

from flows.sorting import sorted_rows

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@given(st.lists(st.tuples(words, words, words), max_size=60), st.integers(1, 70))
def test_pieces_do_not_show(rows: list[tuple[str, str, str]], piece: int) -> None:
    """However small the pieces: sorted by the first two fields, of equal ones the last that came."""
    expected = {row[:2]: row for row in rows}
    assert list(sorted_rows(rows, 2, piece)) == [expected[key] for key in sorted(expected)]


def test_nothing_sorts_to_nothing() -> None:
    """No rows, no pieces, no failure."""
    assert list(sorted_rows([], 1)) == []
