"""A store to try things on."""

import pytest
import redis

from tests.resolver.histories import Pair


@pytest.fixture
def pair(client: "redis.Redis") -> Pair:
    """An empty store beside an empty reference."""
    return Pair(client)
