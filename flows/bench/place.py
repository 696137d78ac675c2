"""Where a benchmark works: a folder and a private Redis of its own, which are gone when it ends."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.embedded import PrivateRedis
from flows.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """A folder on the data folder's disk (memory would sync for nothing), and a durable Redis in it."""

    folder: Path
    redis_url: str

    def settings(self, namespace: str, workers: int = 1) -> Settings:
        """Embedded settings of a namespace in this place."""
        return Settings.model_validate(
            {
                "namespace": namespace,
                "data": self.folder,
                "workers": workers,
                "redis": {"url": self.redis_url},
                "outbox_limit": 100_000_000,  # nobody publishes here
            }
        )


@contextlib.contextmanager
def place(settings: Settings) -> Iterator[Place]:
    """A place beside the data folder."""
    beside = settings.data.absolute().parent
    with tempfile.TemporaryDirectory(prefix="nexus-bench-", dir=beside) as name:
        folder = Path(name)
        with PrivateRedis(folder / "redis") as server:
            yield Place(folder, server.url)
