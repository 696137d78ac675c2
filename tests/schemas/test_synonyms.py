"""Which identifiers are one by definition."""

import pytest

from schemas.identifiers import EntityType, Identifier
from schemas.synonyms import synonyms


@pytest.mark.parametrize(
    ("entity_type", "kind", "expected"),
    [
        ("person", "previous_id", {"user_id", "anonymous_id"}),
        ("person", "user_id", {"previous_id"}),
        ("person", "anonymous_id", {"previous_id"}),
        ("person", "email", set()),
        ("group", "previous_id", set()),
        ("group", "user_id", set()),
    ],
)
def test_a_previous_id_is_a_user_id_or_an_anonymous_id(
    entity_type: EntityType, kind: str, expected: set[str]
) -> None:
    """An alias names one of the two without saying which; the relation is symmetric and about persons."""
    found = synonyms(Identifier(entity_type, kind, "v@acme.test"))
    assert {each.identifier_type for each in found} == expected
    assert all((each.entity_type, each.identifier_value) == ("person", "v@acme.test") for each in found)
    assert all(Identifier(entity_type, kind, "v@acme.test") in synonyms(each) for each in found)
