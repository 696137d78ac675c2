"""Breaks a line of the Lua, so that it is seen whether a test would notice."""

import pytest
import redis

from resolver import redis_store
from schemas.errors import StoreCorrupt, StoreUnavailable

NOTICED = (
    AssertionError,
    StoreCorrupt,
    StoreUnavailable,
    redis.ResponseError,
    LookupError,
    TypeError,
    ValueError,
)
"""What a broken script ends a history with."""


def rewrite(monkeypatch: pytest.MonkeyPatch, whole: str, other: str, within: str) -> None:
    """Let every script have `other` in place of `whole`, which is there once where the part `within` is."""
    script = redis_store.script

    def rewritten(*parts: str) -> str:
        text = script(*parts)
        is_there = within not in parts or text.count(whole) == 1
        assert is_there, "the line is no longer there: renew the mutant"
        return text.replace(whole, other)

    monkeypatch.setattr(redis_store, "script", rewritten)
