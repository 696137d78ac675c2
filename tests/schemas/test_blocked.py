"""The built-in lists of guard 2."""

import pytest

from schemas.blocked import blocked, free_mail_domains
from schemas.identifiers import EntityType, Identifier
from schemas.normalise import normalise


@pytest.mark.parametrize("kind", ["user_id", "anonymous_id", "stripe_customer_id", "anything"])
@pytest.mark.parametrize(
    "value",
    [
        "null",
        "NULL",
        "None",
        "undefined",
        "anonymous",
        "Guest",
        "N/A",
        "-",
        "0",
        "[object Object]",
        "(not set)",
        "unknown",
        "nil",
        "NaN",
    ],
)
def test_null_words_name_nobody(kind: str, value: str) -> None:
    """What programs write when they know nothing is blocked on every type, in any case."""
    assert blocked(Identifier("person", kind, value)) == "null-word"


@pytest.mark.parametrize(
    "value", ["nullable", "anna", "Nathan", "u-0", "10", "test-user-7", "guest-7", "00a"]
)
def test_values_that_only_resemble_null_words_stay(value: str) -> None:
    """A list blocks whole values, never parts of them."""
    assert blocked(Identifier("person", "user_id", value)) is None


@pytest.mark.parametrize(
    "value", ["00000000-0000-0000-0000-000000000000", "cus_00000000000000", "cs_test_0000", "000", "0-0"]
)
def test_ids_of_zeros_name_nobody(value: str) -> None:
    """Placeholders of nothing but zeros are shared by everybody who did not set an id."""
    assert blocked(Identifier("person", "anonymous_id", value)) == "zeros"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("+10000000000", "zeros"), ("+4900000000", "zeros"), ("+12015550000", None), ("+4930100000", None)],
)
def test_numbers_of_zeros_name_nobody(value: str, expected: str | None) -> None:
    """A number is a placeholder if nothing but zeros follow the country."""
    assert blocked(Identifier("person", "phone", value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("test@example.com", "test-address"),
        ("Ada@EXAMPLE.org", "test-address"),
        ("ada@example.net", "test-address"),
        ("ada@acme.example", None),
        ("ada@acme.test", None),
        ("ada@myexample.com", None),
        ("ada@gmail.com", None),
        ("null@acme.test", None),
    ],
)
def test_addresses_of_documentation_name_nobody(value: str, expected: str | None) -> None:
    """example.com, .org and .net are everybody's; reserved suffixes are for tests and stay."""
    assert blocked(Identifier("person", "email", value)) == expected


@pytest.mark.parametrize(
    ("entity_type", "value", "expected"),
    [
        ("group", "gmail.com", "free-mail-domain"),
        ("group", "mail.yahoo.co.uk", "free-mail-domain"),
        ("person", "gmail.com", None),
        ("group", "acme.example", None),
        ("group", "example.com", "test-address"),
    ],
)
def test_a_free_mail_domain_is_no_company(entity_type: EntityType, value: str, expected: str | None) -> None:
    """Two people with a mailbox at the same provider do not work together."""
    assert blocked(Identifier(entity_type, "domain", value)) == expected


def test_the_list_of_free_mail_domains_is_in_normal_form() -> None:
    """Each entry is what a domain is normalised to: any other could never be found."""
    assert len(free_mail_domains()) > 100
    assert [each for each in free_mail_domains() if normalise("domain", each) != each] == []
