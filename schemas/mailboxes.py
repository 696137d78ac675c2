"""Who an address header of a mail names: `From`, `To`, `Cc`, `Bcc` of RFC 5322, names encoded by RFC 2047.

Mail is written by strangers, and half of it breaks the rules: names with commas outside of quotes, quotes
that never end, a hundred thousand brackets. So the header is cut here, in one pass whose time is linear
whatever it holds, and what is no address stands in nobody's way. The standard library's `getaddresses` would
be shorter; it ends at the recursion limit on such brackets, and gives other addresses for a malformed header
from one patch release of Python to the next, which would make another answer of the same log.
"""

import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import unquote
from functools import lru_cache
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""(?P<quoted>"(?:[^"\\]|\\.)*"?)"""  # a quote that never ends swallows the rest: that keeps time linear
    r"""|\((?P<comment>[^()]*)\)?"""
    r"""|<(?P<address>[^<>]*)>?"""
    r"""|(?P<end>[,;])"""
    r"""|(?P<group>:)"""
    r"""|(?P<text>[^"(<,;:]+)""",
    re.DOTALL,
)
_LONGEST_NAME: Final = 256  # characters, also of the encoded form: nobody is called that
_QUOTED: Final = re.compile(r"(['\"])(.*)\1", re.DOTALL)
# An address, what stayed encoded, what was lost, half a character, or a command to a terminal.
_NO_NAME: Final = re.compile("@|=\\?|[\ufffd\ud800-\udfff\x00-\x1f\x7f-\x9f]")


class Mailbox(NamedTuple):
    """An address as it is written, not normalised, and the name beside it, if it is one."""

    address: str
    name: str | None


def mailboxes(header: str) -> Iterator[Mailbox]:
    """The mailboxes of a header's value in their order. What has no @ is no mailbox and left out.

    The members of a group (`Team: a@x.example, b@x.example;`) are mailboxes like others.
    """
    words: list[str] = []
    address: str | None = None
    comment = ""
    for token in _TOKEN.finditer(header):
        match token.lastgroup:
            case "end":
                yield from _mailbox(words, address, comment)
                words, address, comment = [], None, ""
            case "group":
                words = []  # the group's name, or the `mailto` of a careless program
            case "address":
                address = token["address"].rpartition(":")[2].strip()  # behind a route, which is obsolete
            case "comment":
                comment = token["comment"]
            case _:
                words.append(token[0])
    yield from _mailbox(words, address, comment)


@lru_cache(maxsize=10_000)
def name_of(written: str) -> str | None:
    """A person's name as people read it, or None: for none, and for what only repeats an address."""
    if len(written) > _LONGEST_NAME:
        return None
    try:
        decoded = str(make_header(decode_header(written)))
    except (HeaderParseError, LookupError, ValueError):  # LookupError: a character set that nobody knows
        return None
    name = " ".join(decoded.split())
    if quoted := _QUOTED.fullmatch(name):
        name = quoted[2].strip()
    return name if name and not _NO_NAME.search(name) else None


def _mailbox(words: list[str], address: str | None, comment: str) -> Iterator[Mailbox]:
    text = "".join(words).strip()
    if address is None:
        address, names = text, comment
    else:
        names = "".join(unquote(word) if word.startswith('"') else word for word in words) or comment
    if "@" in address:
        yield Mailbox(address, name_of(names))
