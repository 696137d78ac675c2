"""A Redis for tests of the answer, and a store in it."""

from collections.abc import Iterator

import pytest
import redis

from tests.resolver.histories import Pair
from tests.services import RedisServer


@pytest.fixture(scope="package")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator["redis.Redis"]:
    """A Redis without an append-only file: what is tested here is the answer."""
    folder = tmp_path_factory.mktemp("redis")
    with (
        RedisServer(folder, config={"appendonly": "no"}) as server,
        redis.Redis.from_url(server.url) as client,
    ):
        yield client


@pytest.fixture
def pair(client: "redis.Redis") -> Pair:
    """An empty store beside an empty reference."""
    return Pair(client)
