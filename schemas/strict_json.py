"""JSON as RFC 8259 means it, without what parsers are usually lenient about.

Refused, each with a reason of its own: what is not UTF-8, a byte order mark, NaN and infinities, numbers that
no double holds, half a surrogate pair, nesting deeper than 200, and objects that name a key twice (whose
meaning depends on who reads them). Time and memory are linear in the length of the text.

**Duplicate keys** are the costly part, since the fast parser keeps the last one without a word. The text is
parsed fast, and the tree is written out again, compactly, also fast. Every key shows as ``":`` in that
output, once, and in the text without its white space, once each time it is given. Inside strings the same two
characters can occur too, as ``\\":``, but in the output only if they are in the text, unless they are escaped
there. So, if no quote and no colon is escaped by number, equal counts mean that no key was lost. In every
other case the text is parsed again by the slow parser that shows all keys. The same output tells infinities,
which is what the fast parser makes of 1e999.
"""

import json
import re
from hashlib import blake2b
from typing import Any, cast

from pydantic_core import from_json, to_json

from schemas.errors import BadMessage
from schemas.events import Json

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\n\r"
_ESCAPED_SIGN = re.compile(rb"\\u00(?:22|3[aA])")
_PLACE = re.compile(r"line \d+ column \d+")


def parse(text: bytes) -> Json:
    """The value of a JSON text; `BadMessage` for everything that is refused."""
    try:
        # allow_inf_nan is for the words NaN and Infinity, which JSON does not have.
        tree = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise _refusal(text, str(error)) from None
    written = to_json(tree)
    keys = text.translate(None, _WHITE_SPACE).count(b'":')
    if keys != written.count(b'":') or _uncountable(text) or b"Infinity" in written:
        _parse_exactly(text)
    return cast(Json, tree)


def canonical(value: Json) -> bytes:
    """The one way to write a value: keys sorted, no white space, UTF-8."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode()


def digest(value: Json) -> str:
    """32 hex digits of a value's content: an id for what came without one."""
    return blake2b(canonical(value), digest_size=16).hexdigest()


def _uncountable(text: bytes) -> bool:
    """Whether a quote or a colon is escaped by number, so that counting proves nothing."""
    return b"\\" in text and _ESCAPED_SIGN.search(text) is not None


def _parse_exactly(text: bytes) -> None:
    """Parse once more, slowly, and look at every key and every number."""
    json.loads(text, object_pairs_hook=_distinct, parse_float=_finite)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadMessage("duplicate-key", "an object names one of its keys twice")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BadMessage("number", "a number is too large for a double")
    return number


def _refusal(text: bytes, complaint: str) -> BadMessage:
    """Why the parser refused, in our words: the parser's own may change, and must never quote the text."""
    if text.startswith(_BYTE_ORDER_MARK):
        return BadMessage("byte-order-mark", "the text begins with a byte order mark")
    try:
        text.decode()
    except UnicodeDecodeError:
        return BadMessage("not-utf8", "the text is not UTF-8")
    place = _PLACE.search(complaint)
    at = f" at {place[0]}" if place else ""
    if complaint.startswith("recursion limit"):
        return BadMessage("too-deep", f"nested deeper than 200{at}")
    if complaint.startswith("number out of range"):
        return BadMessage("number", f"a number has too many digits{at}")
    if "surrogate" in complaint or "hex escape" in complaint:
        return BadMessage("lone-surrogate", f"an escape is no character, or half a one{at}")
    if _has_nan(text):
        return BadMessage("number", f"NaN and infinities are not JSON{at}")
    return BadMessage("not-json", f"the text is not JSON{at}")


def _has_nan(text: bytes) -> bool:
    try:
        from_json(text, allow_inf_nan=True)
    except ValueError:
        return False
    return True
