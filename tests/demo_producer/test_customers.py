"""The people of the demo."""

import phonenumbers

from demo_producer import company, customer, names
from schemas.blocked import blocked
from schemas.identifiers import identifier


def test_a_customer_is_the_same_for_ever() -> None:
    """The seed and the number make a customer, and nothing else does."""
    assert customer(7, 41) == customer(7, 41)
    assert customer(7, 41) != customer(8, 41)


def test_no_two_customers_share_an_identifier() -> None:
    """Among more customers than there are names, every normalised identifier has one owner."""
    owners: dict[object, int] = {}
    for number in range(0, 30_000, 2):
        for identifier_type, value in customer(1, number).identifiers():
            named = (identifier_type, value.lower())
            assert owners.setdefault(named, number) == number


def test_no_two_companies_share_a_name() -> None:
    """The same holds for companies, their domains and their group ids."""
    companies = [company(1, number) for number in range(4_000)]
    for what in ("name", "domain", "group_id"):
        assert len({getattr(each, what) for each in companies}) == len(companies)


def test_every_identifier_is_accepted_and_none_is_blocked() -> None:
    """What a customer is known by can be normalised and is on no built-in list."""
    for number in range(300):
        for identifier_type, value in customer(3, number).identifiers():
            assert blocked(identifier("person", identifier_type, value)) is None


def test_mail_goes_to_nobody() -> None:
    """Every address ends in a suffix that is reserved for examples and tests."""
    for number in range(300):
        assert all(email.endswith((".example", ".test")) for email in customer(3, number).emails)


def test_telephone_numbers_are_possible() -> None:
    """The first and the last number of every range set aside for fiction is a possible one."""
    for prefix, digits, size in names.PHONE_RANGES:
        for index in (0, size - 1):
            assert phonenumbers.is_possible_number(phonenumbers.parse(f"{prefix}{index:0{digits}}"))


def test_telephone_numbers_run_out_instead_of_repeating() -> None:
    """A customer beyond the last number has none."""
    assert customer(1, 3 * (names.PHONES - 1)).phone is not None
    assert customer(1, 3 * names.PHONES).phone is None


def test_names_in_addresses_are_unambiguous() -> None:
    """Spelled names are plain ASCII, distinct, and no given name is a family name."""
    given = [spelled for _, spelled in names.GIVEN_NAMES]
    family = [spelled for _, spelled in names.FAMILY_NAMES]
    assert len({*given, *family}) == len(given) + len(family)
    assert all(spelled.isascii() and spelled.islower() for spelled in (*given, *family))
