"""Identifiers, their encoding, their keys, and the ids made from them."""

import pickle
from dataclasses import FrozenInstanceError
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadValue, SettingsError
from schemas.identifiers import Identifier, Keyring, encode_parts, entity_id, identifier, parse_entity_id


def test_an_identifier_is_normalised_when_it_is_made() -> None:
    """Two spellings are one identifier, with one hash."""
    one, other = (
        Identifier("person", "email", " Ada@Acme.Test "),
        Identifier("person", "email", "ada@acme.test"),
    )
    assert one == other
    assert hash(one) == hash(other)
    assert one.identifier_value == "ada@acme.test"


def test_identifiers_differ_by_each_of_their_parts() -> None:
    """The same value of another type, or of a group, is another identifier."""
    assert (
        len(
            {
                Identifier("person", "a", "1"),
                Identifier("person", "b", "1"),
                Identifier("group", "a", "1"),
                Identifier("person", "a", "2"),
            }
        )
        == 4
    )
    assert Identifier("person", "a", "1") != "1"


def test_an_identifier_is_frozen_and_survives_a_pickle() -> None:
    """A value never changes, also on its way to another process."""
    made = Identifier("person", "user_id", "7")
    with pytest.raises(FrozenInstanceError):
        made.identifier_value = "8"  # type: ignore[misc] # the point
    assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize(("entity_type", "kind"), [("robot", "email"), ("person", "E-mail"), ("person", "")])
def test_unknown_types_are_refused(entity_type: str, kind: str) -> None:
    """There are persons and groups, and types with plain names."""
    with pytest.raises(BadValue):
        Identifier(entity_type, kind, "ada@acme.test")  # type: ignore[arg-type] # the point


def test_the_quick_way_makes_the_same() -> None:
    """`identifier` remembers, and gives what `Identifier` gives."""
    quick = identifier("person", "email", "ADA@acme.test")
    assert quick == Identifier("person", "email", "ada@acme.test")
    assert identifier("person", "email", "ADA@acme.test") is quick


def test_the_encoding_is_as_documented() -> None:
    """Three parts, each behind its length: ids in every store depend on these bytes."""
    encoded = Identifier("person", "user_id", "é").encoded
    assert encoded == b"\0\0\0\x06person\0\0\0\x07user_id\0\0\0\x02\xc3\xa9"


_PARTS = st.lists(st.text(st.sampled_from("a:b\0é"), max_size=4), max_size=4)


@given(_PARTS, _PARTS)
def test_the_encoding_is_injective(one: list[str], other: list[str]) -> None:
    """Different parts never have the same encoding, whatever separators they hold."""
    assert (encode_parts(*one) == encode_parts(*other)) == (one == other)


def test_keys_are_keyed_blake2b_over_the_encoding() -> None:
    """A key can be computed from the documentation alone, in any language."""
    secret = b"a secret of at least 16 bytes"
    made = Identifier("person", "user_id", "7")
    expected = blake2b(made.encoded, digest_size=16, key=secret, person=b"nexus-id").digest()
    assert Keyring("acme", secret).key(made) == expected


def test_ids_never_change() -> None:
    """The id of a known identifier in a known namespace is this, for ever: stores and warehouses hold it."""
    keyring = Keyring("demo")
    assert (
        entity_id("person", keyring.key(Identifier("person", "user_id", "7")))
        == "per_a21e49433c437e5700c19f1b382f4f40"
    )
    assert keyring.handle(bytes(32)).hex() == "d6a3964009a3f0047729a44499e1f7e6"
    assert keyring.transition_id(b"x") == "9f70e668b2c5ffa34b8a18b849962468"
    assert keyring.fingerprint == "4acaba8b"


def test_namespaces_and_secrets_do_not_share_keys() -> None:
    """The same identifier has another key under another namespace's name or another secret."""
    made = Identifier("person", "user_id", "7")
    keyrings = [
        Keyring("a"),
        Keyring("b"),
        Keyring("a", bytes(16)),
        Keyring("a", bytes(100)),
        Keyring("a", bytes(101)),
    ]
    assert len({each.key(made) for each in keyrings}) == 5
    assert len({each.fingerprint for each in keyrings}) == 5


def test_each_kind_of_output_has_keys_of_its_own() -> None:
    """The key of an identifier is never the handle of a link, even over the same bytes."""
    keyring, made = Keyring("a"), Identifier("person", "user_id", "7")
    outputs = {
        keyring.key(made).hex(),
        keyring.handle(made.encoded).hex(),
        keyring.transition_id(made.encoded),
    }
    assert len(outputs) == 3


def test_a_keyring_says_whether_its_secret_is_only_derived() -> None:
    """`nexus check` warns where anybody who knows the namespace's name can compute keys."""
    assert Keyring("a").derived
    assert not Keyring("a", bytes(16)).derived


def test_a_keyring_does_not_show_its_secret() -> None:
    """A secret in a log is none."""
    assert "sixteen letters!" not in repr(Keyring("a", b"sixteen letters!"))


@pytest.mark.parametrize(("namespace", "secret"), [("", None), ("a", b""), ("a", b"too short")])
def test_bad_secrets_are_refused(namespace: str, secret: bytes | None) -> None:
    """No name, or a secret that can be guessed, is a wrong setting."""
    with pytest.raises(SettingsError):
        Keyring(namespace, secret)


@given(st.sampled_from(["person", "group"]), st.binary(min_size=16, max_size=16))
def test_an_entity_id_can_be_read_back(entity_type: str, key: bytes) -> None:
    """An id says its entity type and the key of its senior identifier."""
    assert parse_entity_id(entity_id(entity_type, key)) == (entity_type, key)  # type: ignore[arg-type] # sampled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "per_",
        "per_" + 31 * "0",
        "per_" + 33 * "0",
        "org_" + 32 * "0",
        "per_" + 32 * "A",
        " per_" + 32 * "0",
        "per_" + 32 * "0" + "\n",
    ],
)
def test_what_is_no_entity_id(text: str) -> None:
    """A mistyped id is wrong usage, and the message says what an id looks like."""
    with pytest.raises(SettingsError, match="per_ or grp_"):
        parse_entity_id(text)
