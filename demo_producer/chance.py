"""Chance that comes out the same everywhere: from a seed, and from nothing else.

Only `Random.random` and `Random.getrandbits` are used, which give the same numbers on every version of
Python; `choice`, `shuffle` and `randrange` have changed between versions, and `hash()` differs between two
runs.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def digest(*parts: str | int) -> bytes:
    """64 bytes that depend on the parts alone. No part may hold a line break, which keeps them apart."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode()).digest()


def digest_hex(*parts: str | int) -> str:
    """32 hex digits that depend on the parts alone."""
    return digest(*parts)[:16].hex()


class Chance:
    """A stream of random draws; the same parts give the same stream."""

    __slots__ = ("bits", "share")

    def __init__(self, *parts: str | int) -> None:
        source = random.Random(int.from_bytes(digest(*parts)[:16], "big"))
        self.share = source.random  # a float in [0, 1); taken as they are, for each record draws several
        self.bits = source.getrandbits

    def below(self, limit: int) -> int:
        """A whole number in [0, limit); `limit` stays far below 2**53."""
        return int(self.share() * limit)

    def one_of(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely as the others."""
        return choices[int(self.share() * len(choices))]

    def hex(self, digits: int = 32) -> str:
        """That many hex digits."""
        return f"{self.bits(4 * digits):0{digits}x}"
