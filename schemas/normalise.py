"""From a value as somebody typed it to the one value that is compared.

Normalise, then compare: two spellings of one address must become the same bytes, here and once, because ids
are made from these bytes and nothing downstream normalises again. Every function takes the raw text and
returns the normal form, or raises `BadValue` with a reason that does not hold the value. Each is idempotent:
the normal form is its own normal form.

Shared by all types: Unicode NFC, white space trimmed at both ends, no control characters, not empty, at most
1 KiB. What a namespace's rules add is in `Options`; a normal form under options is also one without any, so
that what was normalised once is never changed again.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final

import idna
import phonenumbers
from publicsuffixlist import PublicSuffixList

from schemas.errors import BadValue

MAX_VALUE_BYTES = 1024

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Control characters, C0 and C1, and lone surrogates: the first can end a line or a C string somewhere
# downstream, the second cannot be encoded at all.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Characters nobody sees and str.strip() leaves: zero-width space, word joiner, byte order mark.
_INVISIBLE = "\u200b\u2060\ufeff"
# A placeholder that the sender never filled in.
_TEMPLATE = re.compile(r"\{\{.*\}\}|\$\{.*\}|<%.*%>", re.DOTALL)
_ASCII_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What no mailbox holds: separators of address lists, and the marks of masked (j***@) or templated ({user}@)
# values.
_NOT_IN_MAILBOX = re.compile(r'[\s"(),:;<>\[\]\\*{}]')
_GMAIL = ("gmail.com", "googlemail.com")
GMAIL_DIFFERENCES: Final = ("dots", "plus", "googlemail")
"""What may be ignored of an address at Gmail, where none of it makes another mailbox."""


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """What rules may add to normalising; by default nothing.

    `ignore_gmail` holds some of `GMAIL_DIFFERENCES`, `default_region` is where a telephone number without its
    country is dialled (`DE`), `redirects` leads from registrable domains to others, at once to the last one.
    """

    ignore_gmail: Collection[str] = ()
    default_region: str | None = None
    redirects: Mapping[str, str] = field(default_factory=dict)


_AS_IT_IS: Final = Options()


def normalise(identifier_type: str, raw: str, options: Options = _AS_IT_IS) -> str:
    """The normal form of `raw` as an identifier of this type; `BadValue` if it has none."""
    text = _text(raw)
    by_type = _BY_TYPE.get(identifier_type)
    return text if by_type is None else _bounded(by_type(text, options))


def identifier_type(raw: str) -> str:
    """`raw` if it may name an identifier type: a lower-case letter, then up to 63 of a-z, 0-9 and _."""
    if _TYPE.fullmatch(raw) is None:
        raise BadValue("has a type that is not lower-case letters, digits and _")
    return raw


def email(text: str, options: Options) -> str:
    """Lower case, domain as A-labels: `Ada@Bücher.Example` is `ada@xn--bcher-kva.example`. Plus tags stay,
    unless they are ignored.
    """
    local, at, host = text.rpartition("@")
    if not at or not local or "@" in local:
        raise BadValue("is not an e-mail address: exactly one @ is needed, with text before it")
    if _NOT_IN_MAILBOX.search(local):
        raise BadValue("is not an e-mail address: a character before the @ is not allowed")
    local, host = _nfc(local.lower()), _host(host)
    if options.ignore_gmail and host in _GMAIL:
        local, host = _mailbox(local, host, options.ignore_gmail)
    return f"{local}@{host}"


def _mailbox(local: str, host: str, ignored: Collection[str]) -> tuple[str, str]:
    """An address at Gmail without what is ignored of it; nothing is ignored that would leave nothing."""
    if "plus" in ignored:
        local = local.partition("+")[0] or local
    if "dots" in ignored:
        local = local.replace(".", "") or local
    return local, "gmail.com" if "googlemail" in ignored else host


def phone(text: str, options: Options) -> str:
    """E.164, if the number is possible: `+49 (30) 123-456` is `+4930123456`.

    A number without its country is rejected unless there is a default region. So is one with an extension:
    E.164 has no place for it, and the number in front of it is a whole company's.
    """
    if any(character.isalpha() for character in text.removeprefix("tel:")):
        raise BadValue("is not a telephone number: it has letters")
    number = _number(text, options.default_region)
    if number.extension or not phonenumbers.is_possible_number(number):
        raise BadValue("is not a possible telephone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _number(text: str, region: str | None) -> phonenumbers.PhoneNumber:
    """The number as it is written; only one that does not say its country is dialled in the region.

    There it must have its area code: strangers in every town share the rest.
    """
    try:
        return phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        if error.error_type != _NO_COUNTRY:
            raise BadValue(_NO_PHONE) from None
    if region is None:
        raise BadValue("is a telephone number without its country")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise BadValue(_NO_PHONE) from None
    if phonenumbers.is_possible_number_with_reason(number) == _LOCAL_ONLY:
        raise BadValue("is a telephone number without its area code")
    return number


def domain(text: str, options: Options) -> str:
    """The registrable domain in A-labels: `www.Acme.co.uk` is `acme.co.uk`, and each shop of a platform stays
    itself. Where it is redirected, the domain that it leads to.

    By the bundled public suffix list with its private section; it is never fetched.
    """
    registrable = _suffixes().privatesuffix(_host(text))
    if registrable is None:
        raise BadValue("is a public suffix: everybody may register below it")
    return options.redirects.get(registrable, registrable)


def is_region(text: str) -> bool:
    """Whether telephone numbers are known to be dialled in this region: `DE`."""
    return text in phonenumbers.SUPPORTED_REGIONS


_BY_TYPE: Mapping[str, Callable[[str, Options], str]] = MappingProxyType(
    {"email": email, "phone": phone, "domain": domain, "shop_domain": domain}
)

_NO_PHONE = "is not a telephone number"
_NO_COUNTRY = phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
_LOCAL_ONLY = phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY


def _text(raw: str) -> str:
    """What all types share: bounded, trimmed, NFC, printable, and not a placeholder."""
    if len(raw) > MAX_VALUE_BYTES:  # before the work that grows with the length
        raise BadValue("is longer than 1 KiB")
    text = raw if raw.isascii() else _nfc(raw)
    text = _trim(text)
    if not text:
        raise BadValue("is empty")
    if not text.isprintable() and _FORBIDDEN.search(text):
        raise BadValue("has a control character or half a character")
    if text[0] in "{$<" and _TEMPLATE.fullmatch(text):
        raise BadValue("is a template that was never filled in")
    return _bounded(text)


def _bounded(text: str) -> str:
    """`text` if it has at most 1 KiB; a normal form can be longer than what came in."""
    if len(text) * 4 > MAX_VALUE_BYTES and len(text.encode()) > MAX_VALUE_BYTES:
        raise BadValue("is longer than 1 KiB")
    return text


def _trim(text: str) -> str:
    """Without white space and invisible characters at the ends, in whatever order they stand."""
    trimmed = text.strip()
    while trimmed and (trimmed[0] in _INVISIBLE or trimmed[-1] in _INVISIBLE):
        trimmed = trimmed.strip(_INVISIBLE).strip()
    return trimmed


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _host(text: str) -> str:
    """A host name of at least two labels: lower case, A-labels, no final dot."""
    host = text.lower().removesuffix(".")
    if not host.isascii() or "xn--" in host:
        host = _a_labels(host)
    if len(host) > 253 or _ASCII_HOST.fullmatch(host) is None:
        raise BadValue("has no valid domain")
    return host


def _a_labels(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii").removesuffix(".")
    except (idna.IDNAError, UnicodeError):
        raise BadValue("has a domain that is not valid under IDNA") from None


@cache
def _suffixes() -> PublicSuffixList:
    """Read when the first domain comes, not at import: it takes some tens of milliseconds."""
    return PublicSuffixList()
