"""What people and companies are known by, and the keys and ids made from it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal, TypeAlias, get_args

from schemas import normalise
from schemas.errors import BadValue, SettingsError

EntityType = Literal["person", "group"]
ENTITY_TYPES: Final[tuple[EntityType, ...]] = get_args(EntityType)

KEY_BYTES: Final = 16
_CACHED: Final = 200_000
_MIN_SECRET_BYTES: Final = 16
_MAX_SECRET_BYTES: Final = 64  # what BLAKE2b takes as a key

_PREFIXES: Final[dict[EntityType, str]] = {"person": "per_", "group": "grp_"}
_ENTITY_TYPES_BY_PREFIX: Final = {prefix: entity_type for entity_type, prefix in _PREFIXES.items()}
_ENTITY_ID = re.compile(r"(per_|grp_)([0-9a-f]{32})")


def encode_parts(*parts: str | bytes) -> bytes:
    """The parts, each preceded by its length as 4 bytes big endian.

    Injective: `("a:b", "c")` and `("a", "b:c")` have different encodings, whatever the parts hold.
    """
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


@lru_cache(maxsize=1_000)
def _encoded_types(entity_type: str, identifier_type: str) -> bytes:
    """The part of an encoding that all identifiers of a type share; `BadValue` for what is no type."""
    if entity_type not in ENTITY_TYPES:
        raise BadValue("belongs to an entity type other than person and group")
    return encode_parts(entity_type, normalise.identifier_type(identifier_type))


@dataclass(frozen=True, slots=True, eq=False)
class Identifier:
    """One thing that an entity is known by, in its normal form from birth.

    Equal exactly if entity type, identifier type and normalised value are. Raises `BadValue` if the value has
    no normal form. `encoded` is the injective encoding that the identifier's key is taken over.
    """

    entity_type: EntityType
    identifier_type: str
    identifier_value: str
    encoded: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        prefix = _encoded_types(self.entity_type, self.identifier_type)
        value = normalise.normalise(self.identifier_type, self.identifier_value)
        text = value.encode()
        object.__setattr__(self, "identifier_value", value)
        object.__setattr__(self, "encoded", prefix + len(text).to_bytes(4, "big") + text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identifier) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)  # bytes remember their hash; a tuple of three strings does not


@lru_cache(maxsize=_CACHED)
def identifier(entity_type: EntityType, identifier_type: str, raw_value: str) -> Identifier:
    """An `Identifier`, remembered by its raw value: the fast way to make the same one again and again."""
    return Identifier(entity_type, identifier_type, raw_value)


MakeIdentifier: TypeAlias = Callable[[EntityType, str, str], Identifier]
"""From entity type, identifier type and raw value to an identifier; `BadValue` if there is no normal form."""


class Keyring:
    """Makes every key and id of one namespace from its secret. Same secret, same input: same output.

    Keyed BLAKE2b, so that nobody without the secret can find an address by hashing a list of addresses.
    Without a configured secret it is derived from the namespace's name, which protects from nobody who knows
    the name: `derived` says so. Each kind of output has a personalisation of its own and cannot be mistaken
    for another.
    """

    def __init__(self, namespace: str, secret: bytes | None = None) -> None:
        if not namespace:
            raise SettingsError("the namespace has no name: set one")
        if secret is not None and len(secret) < _MIN_SECRET_BYTES:
            raise SettingsError(
                f"the namespace's secret is too short: use at least {_MIN_SECRET_BYTES} bytes"
            )
        self.namespace: Final = namespace
        self.derived: Final = secret is None
        key = _derived(namespace) if secret is None else _fitted(secret)
        self._identifiers = blake2b(digest_size=KEY_BYTES, key=key, person=b"nexus-id")
        self._links = blake2b(digest_size=KEY_BYTES, key=key, person=b"nexus-link")
        self._transitions = blake2b(digest_size=KEY_BYTES, key=key, person=b"nexus-tran")
        self._reborn = blake2b(digest_size=KEY_BYTES, key=key, person=b"nexus-reborn")
        self._events = blake2b(digest_size=KEY_BYTES, key=key, person=b"nexus-event")
        self.fingerprint: Final = blake2b(digest_size=4, key=key, person=b"nexus-finger").hexdigest()
        self._key_of_encoded: Callable[[bytes], bytes] = lru_cache(maxsize=_CACHED)(self._key)

    def __repr__(self) -> str:
        return f"Keyring(namespace={self.namespace!r}, secret=***)"

    def key(self, identifier: Identifier) -> bytes:
        """The 16-byte key of an identifier."""
        return self._key_of_encoded(identifier.encoded)

    def handle(self, link_key: bytes) -> bytes:
        """The store's 16-byte handle of a link, from its link key: the sorted identifier keys in a row.

        Of a link of one identifier that key itself: then the store need not write it down.
        """
        if len(link_key) == KEY_BYTES:
            return link_key
        digest = self._links.copy()
        digest.update(link_key)
        return digest.digest()

    def reborn(self, key: bytes, erasure: bytes) -> bytes:
        """The key of an identifier that came back after it was erased at a log position (bytes)."""
        digest = self._reborn.copy()
        digest.update(key + erasure)
        return digest.digest()

    def event_handle(self, source: str, event_id: str) -> bytes:
        """The store's 16-byte handle of an event, whatever its messages say."""
        digest = self._events.copy()
        digest.update(encode_parts(source, event_id))
        return digest.digest()

    def transition_id(self, content: bytes) -> str:
        """32 hex digits for whatever makes a transition itself."""
        digest = self._transitions.copy()
        digest.update(content)
        return digest.hexdigest()

    def _key(self, encoded: bytes) -> bytes:
        digest = self._identifiers.copy()
        digest.update(encoded)
        return digest.digest()


def entity_id(entity_type: EntityType, key: bytes) -> str:
    """The id of the entity whose senior identifier has this key: `per_` or `grp_` and 32 hex digits."""
    return _PREFIXES[entity_type] + key.hex()


def parse_entity_id(text: str) -> tuple[EntityType, bytes]:
    """Entity type and identifier key of an entity id, the inverse of `entity_id`."""
    match = _ENTITY_ID.fullmatch(text)
    if match is None:
        raise SettingsError(
            "not an entity id: it must be per_ or grp_ followed by 32 hexadecimal digits in lower case"
        )
    return _ENTITY_TYPES_BY_PREFIX[match[1]], bytes.fromhex(match[2])


def _derived(namespace: str) -> bytes:
    return blake2b(namespace.encode(), digest_size=32, person=b"nexus-derived").digest()


def _fitted(secret: bytes) -> bytes:
    """The secret as a BLAKE2b key: longer ones are hashed down, none is cut."""
    return secret if len(secret) <= _MAX_SECRET_BYTES else blake2b(secret, person=b"nexus-long").digest()
