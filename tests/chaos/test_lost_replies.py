"""Replies of Redis that get lost after the call was carried out."""

from __future__ import annotations

import pytest

from tests.chaos.conftest import MakeWorld
from tests.chaos.proxy import RedisProxy
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import customers
from tests.services import RedisServer

pytestmark = pytest.mark.services


def test_a_call_whose_reply_is_lost_counts_once(make_world: MakeWorld, redis_server: RedisServer) -> None:
    """Every third script call is carried out and its reply lost: it is tried again and counts once."""
    with RedisProxy(redis_server.url, loses=lambda number, _sha: number % 3 == 0) as proxy:
        world = make_world(proxy.url)
        world.produce(customers(600))
        done = world.finish()
        assert proxy.lost > 10
        assert "a batch was refused" not in done.stderr
        world.redis_url = redis_server.url
        assert world.store.waiting() == 0
        assert_as_if_nothing_happened(world)
