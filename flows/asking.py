"""The event log, opened for a question: beside whoever fills it and whoever reconciles with it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flows.reconcile import FolderWarehouse, warehouse
from flows.stopping import Stop
from flows.wiring import Wiring
from resolver.excerpt import AskedLog


@contextmanager
def asked_log(parts: Wiring) -> Iterator[AskedLog | None]:
    """The event log of the settings; None where there is none."""
    settings = parts.settings
    if settings.warehouse_engine == "none":
        yield None
    elif settings.warehouse_engine == "duckdb":
        folder = settings.data / settings.namespace / "events"
        # in memory, over the log's files: the DuckDB file beside them is for one process, which reconciles
        with closing(FolderWarehouse(folder, Path(":memory:"), Stop())) as found:
            yield AskedLog(found) if found.look() else None
    else:
        with warehouse(parts, Stop()) as shared, closing(AskedLog(shared)) as log:
            yield log
