"""Normal forms: what is one address, one number, one company, and what is none."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadValue
from schemas.normalise import identifier_type, normalise


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("ada@acme.test", "ada@acme.test"),
        ("  Ada@ACME.Test \n", "ada@acme.test"),
        ("\ufeffada@acme.test\u200b ", "ada@acme.test"),
        ("ada+news@acme.test", "ada+news@acme.test"),
        ("a.d.a@gmail.com", "a.d.a@gmail.com"),
        ("o'neil@acme.test", "o'neil@acme.test"),
        ("ada@acme.test.", "ada@acme.test"),
        ("ada@Bücher.Example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("JOSE\u0301@acme.test", "jos\u00e9@acme.test"),
        ("jos\u00e9@acme.test", "jos\u00e9@acme.test"),
        ("J\u030c@acme.test", "\u01f0@acme.test"),
        ("\u0130pek@acme.test", "i\u0307pek@acme.test"),
    ],
)
def test_spellings_of_an_address(raw: str, normal: str) -> None:
    """Case, white space, Unicode form and IDNA do not matter; dots and plus tags do."""
    assert normalise("email", raw) == normal


@pytest.mark.parametrize(
    "raw",
    [
        "ada",
        "@acme.test",
        "ada@",
        "ada@@acme.test",
        "ada@b@acme.test",
        "ada lovelace@acme.test",
        "ada@acme test",
        "ada@localhost",
        "ada@-acme.test",
        "ada@acme..test",
        "ada@.acme.test",
        "ada@10.0.0.1",
        "ada@[10.0.0.1]",
        "Ada <ada@acme.test>",
        "ada@acme.test,bob@acme.test",
        "f***@acme.test",
        "f***@h***",
        "{{ user.email }}",
        "{user}@acme.test",
        "ada@{shop}.test",
        "ada\x00@acme.test",
        "ada@xn--\u00fc.test",
        "ada@xn--99999999.test",
        "ada@" + 64 * "a" + ".test",
    ],
)
def test_what_is_no_address(raw: str) -> None:
    """Lists, names, masks, templates and hosts that no mail reaches are refused, without repeating them."""
    with pytest.raises(BadValue) as refused:
        normalise("email", raw)
    assert raw not in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("+49 (30) 123-456", "+4930123456"),
        ("+1 201-555-0123", "+12015550123"),
        ("tel:+1-201-555-0123", "+12015550123"),
        ("\uff0b49 30 123456", "+4930123456"),
        ("+4930123456", "+4930123456"),
    ],
)
def test_spellings_of_a_number(raw: str, normal: str) -> None:
    """A number is its digits with its country."""
    assert normalise("phone", raw) == normal


@pytest.mark.parametrize(
    "raw",
    [
        "410-555-9412",
        "030 123456",
        "+49",
        "+1 201",
        "+999 123456",
        "none yet",
        "call +12015550123",
        "+1 201 555 0123 ext 5",
        "+1 201 555 0123 # 5",
        "+" + 40 * "1",
        "+1;ext=5",
    ],
)
def test_what_is_no_number(raw: str) -> None:
    """Numbers without country, impossible ones, extensions and sentences are refused."""
    with pytest.raises(BadValue):
        normalise("phone", raw)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("www.Acme.co.uk", "acme.co.uk"),
        ("acme.example", "acme.example"),
        ("mail.acme.example.", "acme.example"),
        ("a.myshopify.com", "a.myshopify.com"),
        ("x.b.myshopify.com", "b.myshopify.com"),
        ("shop.Bücher.example", "xn--bcher-kva.example"),
        ("www.acme.unknownsuffix", "acme.unknownsuffix"),
    ],
)
def test_the_registrable_domain(raw: str, normal: str) -> None:
    """A company is its registrable domain; each shop of a platform is its own company."""
    assert normalise("domain", raw) == normal


@pytest.mark.parametrize(
    "raw", ["com", "co.uk", "myshopify.com", "10.0.0.1", "https://acme.test/", "acme", "{shop}.myshopify.com"]
)
def test_what_is_no_domain(raw: str) -> None:
    """Public suffixes, addresses of machines and URLs name no company."""
    with pytest.raises(BadValue):
        normalise("domain", raw)


def test_other_types_are_trimmed_and_composed_only() -> None:
    """Case means something in a user id; how an accent is written does not."""
    assert normalise("user_id", " Jose\u0301-7 ") == "Jos\u00e9-7"
    assert normalise("user_id", "ADA@acme.test") == "ADA@acme.test"


@pytest.mark.parametrize(
    "raw",
    ["", "  ", "\u200b", "a\x00b", "a\nb", "a\x7fb", "a\x85b", "\ud800", "${user_id}", "{{id}}", "<%= id %>"],
)
def test_what_identifies_nobody_of_any_type(raw: str) -> None:
    """Nothing, control characters, half characters and unfilled templates are refused."""
    with pytest.raises(BadValue):
        normalise("user_id", raw)


def test_a_value_has_at_most_one_kib() -> None:
    """1,024 bytes are a value; one byte more, or a normal form that is longer, is none."""
    assert normalise("user_id", 1024 * "x") == 1024 * "x"
    for too_long in (1025 * "x", 513 * "é", 400 * "\ufb2c"):
        with pytest.raises(BadValue):
            normalise("user_id", too_long)


@pytest.mark.parametrize("raw", ["", "Email", "e-mail", "1id", "_id", "a" * 65, "id ", "é", "id\n"])
def test_a_type_is_a_short_lower_case_name(raw: str) -> None:
    """Types are keys in rules and columns in tables: plain names only."""
    assert identifier_type("a" * 64) == "a" * 64
    with pytest.raises(BadValue):
        identifier_type(raw)


_SPICY = st.text(
    st.sampled_from("aZé\u0301İıßΣς@.+-* \u200b\ufeff\u00a009０＋{}$%<>\u2060\u3002\uff0e"), max_size=24
)


@given(st.sampled_from(["email", "phone", "domain", "user_id"]), st.one_of(_SPICY, st.text(max_size=40)))
def test_a_normal_form_is_its_own(kind: str, raw: str) -> None:
    """Normalising twice changes nothing, and the normal form is NFC: ids cannot drift when it comes back."""
    try:
        normal = normalise(kind, raw)
    except BadValue:
        return
    assert normalise(kind, normal) == normal
    assert unicodedata.is_normalized("NFC", normal)


@given(_SPICY, _SPICY)
def test_composed_and_decomposed_spellings_are_one(local: str, host: str) -> None:
    """NFC and NFD of the same text have the same normal form, or none."""
    raw = f"{local}@{host}.test"

    def outcome(form: str) -> str | None:
        try:
            return normalise("email", form)
        except BadValue:
            return None

    assert outcome(unicodedata.normalize("NFC", raw)) == outcome(unicodedata.normalize("NFD", raw))
