"""The plainest way to find out what belongs together: for holding the demo's truth against."""

from collections.abc import Sequence

from schemas.identifiers import Identifier
from schemas.synonyms import synonyms


class Components:
    """Sets of identifiers that belong together."""

    def __init__(self) -> None:
        self._set_of: dict[Identifier, set[Identifier]] = {}

    def unite(self, identifiers: Sequence[Identifier]) -> int:
        """Take in what one participant says, and return how many entities disappeared by it."""
        same = [each for identifier in identifiers for each in synonyms(identifier) if each in self._set_of]
        before = {id(self._set_of[each]) for each in (*identifiers, *same) if each in self._set_of}
        for each in (*identifiers, *same):
            self._join(identifiers[0], each)
        return max(0, len(before) - 1)

    def count(self) -> int:
        """How many entities there are."""
        return len({id(each) for each in self._set_of.values()})

    def entity_of(self, identifier: Identifier) -> str | None:
        """A name for the entity that has an identifier."""
        found = self._set_of.get(identifier)
        return None if found is None else str(id(found))

    def _join(self, one: Identifier, other: Identifier) -> None:
        first = self._set_of.setdefault(one, {one})
        second = self._set_of.setdefault(other, {other})
        if first is not second:
            first |= second
            self._set_of.update(dict.fromkeys(second, first))
