"""Guard 2: values that name nobody, or everybody. They are taken out before a link is formed.

The built-in lists, in the order in which they are asked:

``null-word``         what programs and forms write when they know nothing, on any identifier type
``zeros``             ids and numbers of nothing but zeros, with or without a prefix (`cus_0000…`)
``test-address``      addresses and domains of example.com, example.org and example.net
``free-mail-domain``  the domains of free-mail providers, as identifiers of groups

Never a reserved suffix such as `.example` or `.test`: tests, demos and documentation live there. Rules can
switch off each list for an identifier type, and name further values (`schemas.rules`).
"""

import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from schemas.identifiers import Identifier

_NULL_WORDS = frozenset(
    {
        *("null", "(null)", "<null>", "\\n", "none", "(none)", "nil", "nan", "na", "n/a", "n.a.", "#n/a"),
        *(
            "undefined",
            "unknown",
            "(unknown)",
            "unset",
            "not set",
            "(not set)",
            "not available",
            "not provided",
        ),
        *("empty", "(empty)", "blank", "missing", "void", "[object object]", "true", "false"),
        *("anonymous", "anon", "guest", "test", "dummy"),
        *("-", "--", "---", ".", "..", "...", "?", "??", "???", "*", "**", "***", "_", "0", "-1"),
    }
)
_LONGEST_NULL_WORD = max(map(len, _NULL_WORDS))
_ZEROS = re.compile(r"(?:[a-z]+_)*[0-]*0[0-]*", re.IGNORECASE)
# After a country code of one to three digits nothing but zeros.
_ZERO_PHONE = re.compile(r"\+[1-9]\d{0,2}0{6,}")
_TEST_DOMAINS = frozenset({"example.com", "example.org", "example.net"})


def _null_word(identifier: Identifier) -> bool:
    value = identifier.identifier_value
    return len(value) <= _LONGEST_NULL_WORD and value.casefold() in _NULL_WORDS


def _zeros(identifier: Identifier) -> bool:
    value = identifier.identifier_value
    return "0" in value and (_ZERO_PHONE if value[0] == "+" else _ZEROS).fullmatch(value) is not None


def _test_address(identifier: Identifier) -> bool:
    value = identifier.identifier_value
    match identifier.identifier_type:
        case "email":
            return value.rpartition("@")[2] in _TEST_DOMAINS
        case "domain":
            return value in _TEST_DOMAINS
    return False


def _free_mail_domain(identifier: Identifier) -> bool:
    return (
        identifier.identifier_type == "domain"
        and identifier.entity_type == "group"
        and identifier.identifier_value in free_mail_domains()
    )


_HOLDS: Final[Mapping[str, Callable[[Identifier], bool]]] = MappingProxyType(
    {
        "null-word": _null_word,
        "zeros": _zeros,
        "test-address": _test_address,
        "free-mail-domain": _free_mail_domain,
    }
)
LISTS: Final = tuple(_HOLDS)
_LISTS_OF: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"email": LISTS[:3], "domain": LISTS})


def lists_of(identifier_type: str) -> tuple[str, ...]:
    """The built-in lists that can block a value of this type."""
    return _LISTS_OF.get(identifier_type, LISTS[:2])


def blocked(identifier: Identifier, lists: Collection[str] = LISTS) -> str | None:
    """The name of the first of these built-in lists that blocks this identifier, or None."""
    for name in lists_of(identifier.identifier_type):
        if name in lists and _HOLDS[name](identifier):
            return name
    return None


@cache
def free_mail_domains() -> frozenset[str]:
    """The bundled list, one registrable domain a line, read at first use."""
    text = files("schemas").joinpath("data/free_mail_domains.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def listed_values() -> frozenset[str]:
    """The values that the built-in lists name; null words are blocked in any case of letters."""
    return _NULL_WORDS | _TEST_DOMAINS | free_mail_domains()
