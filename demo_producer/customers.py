"""The people of the demo, each made from the seed and a number alone, so that nobody has to be kept in
memory.

What tells two customers apart is never shared: e-mail addresses, ids, devices and telephone numbers each
belong to one customer of a seed. Two seeds share telephone numbers and some addresses; give each a namespace
of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from demo_producer import names
from demo_producer.chance import digest, digest_hex

EMPLOYEES = 6  # customers of one company, so that a group is seen with more than one person
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAMES = len(names.GIVEN_NAMES) * len(names.FAMILY_NAMES)
_COMPANIES = len(names.COMPANY_FIRSTS) * len(names.COMPANY_SECONDS)
_STRIDE = 4_817  # a prime that divides neither count, so that stepping by it meets every name once


@dataclass(frozen=True, slots=True)
class Company:
    """A company that customers work for; `group_id` is what Segment knows it by."""

    number: int
    name: str
    domain: str
    group_id: str
    industry: str
    employees: int


@dataclass(frozen=True, slots=True)
class Customer:
    """One person, with all that they are ever known by.

    `emails`: the one they sign up with, the one they change to, and the one on their card.
    `user_ids`: their account, and the account of an older app that an alias joins to it.
    `devices`: the anonymous ids of a first, a second and a third device; `device` gives any further one.
    """

    seed: int
    number: int
    name: str
    emails: tuple[str, str, str]
    user_ids: tuple[str, str]
    devices: tuple[str, str, str]
    stripe_id: str
    phone: str | None
    company: Company
    luck: int  # 64 bits that decide what life this customer leads
    ip: str
    agent: str
    locale: str
    currency: str

    def device(self, index: int) -> str:
        """The anonymous id of a device; from the fourth on these are old devices whose cookies were
        cleared.
        """
        return self.devices[index] if index < 3 else _device(self.seed, self.number, index)

    def identifiers(self) -> Iterator[tuple[str, str]]:
        """All (type, value), as written, that this customer can appear under, cleared cookies aside."""
        yield from (("email", value) for value in self.emails)
        yield from (("user_id", value) for value in self.user_ids)
        yield from (("anonymous_id", value) for value in self.devices)
        yield "stripe_customer_id", self.stripe_id
        if self.phone is not None:
            yield "phone", self.phone


def customer(seed: int, number: int) -> Customer:
    """The customer of that number; the same for ever."""
    luck = digest(seed, "customer", number)
    given, family, spelled = _name(seed, number)
    employer = company(seed, number // EMPLOYEES)
    return Customer(
        seed=seed,
        number=number,
        name=f"{given} {family}",
        emails=_emails(spelled, employer.domain, luck[0]),
        user_ids=(f"usr_{luck[8:16].hex()}", f"app-{luck[16:24].hex()}"),
        devices=(_device(seed, number, 0), _device(seed, number, 1), _device(seed, number, 2)),
        stripe_id="cus_" + base62(int.from_bytes(luck[24:40], "big"), 14),
        phone=_phone(number // 3) if number % 3 == 0 else None,
        company=employer,
        luck=int.from_bytes(luck[40:48], "big"),
        ip=f"203.0.113.{1 + luck[1] % 254}",
        agent=names.AGENTS[luck[2] % len(names.AGENTS)],
        locale=names.LOCALES[luck[3] % len(names.LOCALES)],
        currency=("usd", "usd", "eur", "gbp", "jpy")[luck[4] % 5],
    )


@lru_cache(maxsize=1_000)
def company(seed: int, number: int) -> Company:
    """The company of that number; the same for ever."""
    luck = digest(seed, "company", number)
    cycle, place = _place(seed, number, _COMPANIES)
    first = names.COMPANY_FIRSTS[place % len(names.COMPANY_FIRSTS)]
    second = names.COMPANY_SECONDS[place // len(names.COMPANY_FIRSTS)]
    return Company(
        number=number,
        name=f"{first} {second} {_round(cycle)}".rstrip(),
        domain=f"{first}{second}{_round(cycle)}.example".lower(),
        group_id=f"acct_{luck[:8].hex()}",
        industry=names.INDUSTRIES[luck[8] % len(names.INDUSTRIES)],
        employees=EMPLOYEES + luck[9],
    )


def base62(number: int, digits: int) -> str:
    """The last so many digits of a number in the alphabet that Stripe's ids are written in."""
    written = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        written.append(_BASE62[digit])
    return "".join(written)


def _place(seed: int, number: int, size: int) -> tuple[int, int]:
    """(how often the list was used up before, a place in it): no place twice in one round."""
    cycle, rest = divmod(number, size)
    stride = _STRIDE if math.gcd(_STRIDE, size) == 1 else 1
    return cycle, (rest * stride + seed * 7_919) % size


def _round(cycle: int) -> str:
    """What tells the second bearer of a name from the first."""
    return str(cycle + 1) if cycle else ""


def _name(seed: int, number: int) -> tuple[str, str, tuple[str, str]]:
    """A given and a family name, and the two as they are spelled in an address that nobody else has."""
    cycle, place = _place(seed, number, _NAMES)
    given, given_spelled = names.GIVEN_NAMES[place % len(names.GIVEN_NAMES)]
    family, family_spelled = names.FAMILY_NAMES[place // len(names.GIVEN_NAMES)]
    return given, family, (given_spelled, f"{family_spelled}{_round(cycle)}")


def _emails(spelled: tuple[str, str], domain: str, luck: int) -> tuple[str, str, str]:
    """Sign-up, later and card address: one at home and one at work, in either order, and a third at home."""
    given, family = spelled
    home = names.MAIL_DOMAINS[luck % len(names.MAIL_DOMAINS)]
    first, second = (home, domain) if luck % 2 else (domain, home)
    return f"{given}.{family}@{first}", f"{given}.{family}@{second}", f"{family}.{given}@{home}"


def _phone(index: int) -> str | None:
    """A number set aside for fiction, or None when they are used up: no two customers share one."""
    for prefix, digits, size in names.PHONE_RANGES if index < names.PHONES else ():
        if index < size:
            return f"{prefix}{index:0{digits}}"
        index -= size
    return None


def _device(seed: int, number: int, index: int) -> str:
    """An anonymous id as a browser's library makes it: a random UUID."""
    text = digest_hex(seed, "device", number, index)
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
