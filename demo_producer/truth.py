"""Who is who in a stream that was produced, for holding a resolver's answer against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from demo_producer.record import Record
from schemas.blocked import blocked
from schemas.events import Event
from schemas.identifiers import Identifier


class Truth:
    """Collects what a stream showed: which identifier is whose, and whose life is told to its end.

    Junk identifiers are left out, as the built-in lists name them. Devices that several customers use are
    nobody's. Memory grows with the identifiers.
    """

    def __init__(self) -> None:
        self.owners: dict[Identifier, int] = {}  # of persons: the customer's number; of groups: the company's
        self.shared: set[Identifier] = set()
        self.completed: set[int] = set()  # customers all of whose identifiers some record has connected

    def note(self, record: Record, events: Iterable[Event]) -> None:
        """Take in a record and the events that it decodes to."""
        if record.completes and record.customer is not None:
            self.completed.add(record.customer)
        for event in events:
            for participant in event.participants:
                owner = record.customer if participant.entity_type == "person" else record.company
                for identifier in participant.identifiers:
                    if identifier.identifier_value == record.shared:
                        self.shared.add(identifier)
                    else:
                        self._note(identifier, owner)

    def _note(self, identifier: Identifier, owner: int | None) -> None:
        if blocked(identifier) is not None:
            return
        assert owner is not None, f"a record about nobody shows a {identifier.identifier_type}"
        known = self.owners.setdefault(identifier, owner)
        assert known == owner, f"two owners of one {identifier.identifier_type}: {known} and {owner}"

    def faults(self, entity_of: Callable[[Identifier], str | None]) -> list[str]:
        """What is wrong with an answer, one line each; an empty list means that everybody was found.

        `entity_of` gives the id of the entity that has an identifier. Wrong is: an identifier that is not
        there, an entity that holds two customers, a customer whose life is told and who is still two
        entities, and a shared device that belongs to anybody.
        """
        found = [
            f"a shared {one.identifier_type} is in {entity_of(one)}" for one in self.shared if entity_of(one)
        ]
        owner_of: dict[str, tuple[str, int]] = {}
        entity_of_customer: dict[tuple[str, int], str] = {}
        for identifier, number in self.owners.items():
            owner = (identifier.entity_type, number)
            entity = entity_of(identifier)
            if entity is None:
                found.append(f"{owner}: a {identifier.identifier_type} is missing")
                continue
            if owner_of.setdefault(entity, owner) != owner:
                found.append(f"{entity} holds {owner_of[entity]} and {owner}")
            told = owner[0] == "person" and number in self.completed
            if told and entity_of_customer.setdefault(owner, entity) != entity:
                found.append(f"{owner} is {entity_of_customer[owner]} and {entity}")
        return found
