"""Identifiers of different types that are one by definition, wherever each of them was named.

Segment's `alias` says "who was known as V is known as U now", and V may have been a user id or an anonymous
id: the call does not say which. So `previous_id = V` stays an identifier of its own, as the call names it,
and is one with `user_id = V` and with `anonymous_id = V` **if an event ever names those**. Nothing is
invented for it: a synonym that no event names is not in the graph. The relation is symmetric and holds
between exactly these types of persons, and not between a `user_id` and an `anonymous_id` of equal value that
no alias connects.
"""

from typing import Final

from schemas.identifiers import Identifier, identifier

PREVIOUS: Final = "previous_id"
KNOWN_AS: Final = ("user_id", "anonymous_id")


def synonyms(named: Identifier) -> tuple[Identifier, ...]:
    """The identifiers that are one with this one, if they are named at all."""
    if named.entity_type != "person":
        return ()
    if named.identifier_type == PREVIOUS:
        return tuple(identifier("person", each, named.identifier_value) for each in KNOWN_AS)
    if named.identifier_type in KNOWN_AS:
        return (identifier("person", PREVIOUS, named.identifier_value),)
    return ()
