"""Where a benchmark works: a folder and a private Redis of its own, which are gone when it ends."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import redis

from flows.embedded import PrivateRedis
from flows.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on the data folder's disk (memory would sync for nothing), and a durable Redis in it."""

    folder: Path
    redis_url: str

    def settings(
        self, namespace: str, workers: int = 1, rules: Mapping[str, object] = MappingProxyType({})
    ) -> Settings:
        """Embedded settings of a namespace in this place; `rules` as a settings file has them."""
        return Settings.model_validate(
            {
                "namespace": namespace,
                "data": self.folder,
                "workers": workers,
                "redis": {"url": self.redis_url},
                "outbox_limit": 100_000_000,  # nobody publishes here
                "rules": dict(rules),
            }
        )


@contextlib.contextmanager
def place(settings: Settings) -> Iterator[Place]:
    """A place beside the data folder."""
    beside = settings.data.absolute().parent
    with tempfile.TemporaryDirectory(prefix="nexus-bench-", dir=beside) as name:
        folder = Path(name)
        with PrivateRedis(folder / "redis") as server:
            _never_rewrite(server.url)
            yield Place(folder, server.url)


def _never_rewrite(redis_url: str) -> None:
    """Redis writes a long append-only file anew beside its work, at moments that nobody chose to measure."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("auto-aof-rewrite-percentage", 0)
