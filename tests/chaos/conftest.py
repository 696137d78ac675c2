"""Worlds on the shared servers, and worlds on servers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.chaos.world import STREAMS, World
from tests.services import RedisServer


class MakeWorld(Protocol):
    """Makes a namespace with its topics; `redis_url` names another redis-server than the shared one."""

    def __call__(
        self,
        redis_url: str | None = None,
        partitions: int = 3,
        formats: Sequence[str] = STREAMS,
        **settings: str,
    ) -> World: ...


@pytest.fixture
def make_world(kafka: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[MakeWorld]:
    """Make worlds on the shared broker, whose processes end with the test."""
    with ExitStack() as stack:

        def make(
            redis_url: str | None = None,
            partitions: int = 3,
            formats: Sequence[str] = STREAMS,
            **settings: str,
        ) -> World:
            url = redis_url or redis_server.url
            return stack.enter_context(World(tmp_path, kafka, url, partitions, formats, **settings))

        yield make


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    """Give one world on the shared servers."""
    return make_world()
