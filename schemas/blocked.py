"""Guard 2: values that name nobody, or everybody. They are taken out before a link is formed.

The built-in lists, in the order in which they are asked:

``null-word``         what programs and forms write when they know nothing, on any identifier type
``zeros``             ids and numbers of nothing but zeros, with or without a prefix (`cus_0000…`)
``test-address``      addresses and domains of example.com, example.org and example.net
``free-mail-domain``  the domains of free-mail providers, as identifiers of groups

Never a reserved suffix such as `.example` or `.test`: tests, demos and documentation live there.
"""

import re
from functools import cache
from importlib.resources import files

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


def blocked(identifier: Identifier) -> str | None:
    """The name of the built-in list that blocks this identifier, or None."""
    value = identifier.identifier_value
    if len(value) <= _LONGEST_NULL_WORD and value.casefold() in _NULL_WORDS:
        return "null-word"
    if "0" in value and _only_zeros(value):
        return "zeros"
    match identifier.identifier_type:
        case "email" if value.rpartition("@")[2] in _TEST_DOMAINS:
            return "test-address"
        case "domain":
            return _blocked_domain(identifier)
    return None


def _only_zeros(value: str) -> bool:
    return (_ZERO_PHONE if value[0] == "+" else _ZEROS).fullmatch(value) is not None


def _blocked_domain(identifier: Identifier) -> str | None:
    if identifier.identifier_value in _TEST_DOMAINS:
        return "test-address"
    if identifier.entity_type == "group" and identifier.identifier_value in free_mail_domains():
        return "free-mail-domain"
    return None


@cache
def free_mail_domains() -> frozenset[str]:
    """The bundled list, one registrable domain a line, read at first use."""
    text = files("schemas").joinpath("data/free_mail_domains.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
