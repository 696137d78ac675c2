"""A world whose Redis can go back in time."""

from __future__ import annotations

import shutil

from tests.chaos.world import World
from tests.services import RedisServer


class Rewound:
    """A world on a redis-server of its own, of which an older copy is kept."""

    def __init__(self, world: World, server: RedisServer) -> None:
        self.world, self.server = world, server
        self._copy = server.folder.with_name("copy")

    def copy(self) -> None:
        """Keep what the stopped server has on its disk now."""
        self.server.stop()
        shutil.copytree(self.server.folder, self._copy)
        self.server.start()

    def restore(self) -> None:
        """Put the copy in the place of what the server has now."""
        self.server.kill9()
        shutil.rmtree(self.server.folder)
        shutil.copytree(self._copy, self.server.folder)
        self.server.start()
