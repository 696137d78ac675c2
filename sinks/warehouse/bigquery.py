"""BigQuery as the warehouse: one dataset of one project.

A file comes in by a load job, into a table that only this load has; one transaction then merges all tables of
the load. The id of a load job is made from what it loads, so that a job whose answer was lost is found again
instead of sent again. Exactly-once does not rest on that: a merge takes no row whose key is there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from schemas.errors import NexusError, SettingsError, SinkUnavailable
from schemas.tables import ColumnType, Table
from sinks.warehouse.arrow import write_parquet
from sinks.warehouse.engine import (
    ALWAYS,
    NOTHING,
    PLACEHOLDER,
    Condition,
    Parameters,
    Row,
    failed,
    first_line,
    other_type,
)
from sinks.warehouse.statements import TYPES, Staged, add_column, create_table, staged

if TYPE_CHECKING:
    from google.cloud import bigquery

_LEFTOVER = timedelta(days=1)  # a load that was given up for good leaves its tables no longer than that
_LEGACY = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}  # the API's words for what SQL calls so
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_SAYS = frozenset({401, 403, 404, 409})  # of these the message names things; of others it may hold a value,
_PLACE = re.compile(r"at \[\d+:\d+\]")  # unless it is about the statement, and says where in it
_IS_VIEW = re.compile(r"^CREATE OR REPLACE VIEW\b", re.MULTILINE)
_READ_TABLE = re.compile(r"\b(FROM|JOIN) (nexus_\w+)")


class BigQuery:
    """An Engine that is a dataset. See `engine` for its promises."""

    dialect: Literal["bigquery"] = "bigquery"

    def __init__(
        self,
        project: str,
        dataset: str,
        *,
        location: str | None = None,
        endpoint: str | None = None,
        patience_s: float = 1800.0,
        request_s: float = 60.0,
    ) -> None:
        """Credentials are Google's application default ones; an `endpoint` is an emulator and needs none.
        `patience_s` is how long one job may take, `request_s` one request, tries of the client included.
        """
        self._dataset, self._patience_s, self._request_s = f"{project}.{dataset}", patience_s, request_s
        self.client = _client(project, location, endpoint)

    def create(self, tables: Iterable[Table]) -> None:
        """Make what is missing, the dataset too."""
        with _translated(f"make dataset {self._dataset}"):
            if not self._has_dataset():
                self.client.create_dataset(self._dataset, exists_ok=True, **self._limits)
        for table in tables:
            self.execute(create_table(self.dialect, table))
            there = self.columns(table.name)
            for column in table.columns:
                wanted = TYPES[self.dialect][column.type]
                if column.name not in there:
                    self.execute(add_column(self.dialect, table, column))
                elif there[column.name] != wanted:
                    raise other_type(table.name, column.name, there[column.name], wanted)

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement, or a script, to its end."""
        self._run(qualified(sql, self._dataset), parameters)

    def rows(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """Run a query; its rows page by page."""
        result = self._run(sql, parameters)
        with _translated(f"read what {first_line(sql)} gives"):
            for row in result:
                yield row.values()

    def together(self, statements: Iterable[str]) -> None:
        """Run them as a script that is one transaction: what fails takes it back."""
        self.execute("\n;\n".join(["BEGIN TRANSACTION", *statements, "COMMIT TRANSACTION"]))

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of a table or view, and their types."""
        with _translated(f"look at {table}"):
            schema = self.client.get_table(self._named(table), **self._limits).schema
        return {field.name: _LEGACY.get(field.field_type, field.field_type) for field in schema}

    def load(
        self,
        load_id: str,
        files: Mapping[Table, Path],
        gone: Mapping[Table, Path] = NOTHING,
        condition: Condition = ALWAYS,
    ) -> None:
        """Stage each file, then do all in one transaction, then drop the stages."""
        parts = staged(load_id, files, gone)
        first, holds = (
            _written_out(one, condition.parameters) for one in (condition.statement, condition.holds)
        )
        statements = [part.statement(self.dialect, part.stage, holds) for part in parts]
        if first:
            statements.insert(0, first)
        for part in parts:
            self._stage(part)
        self.together(statements)
        with _translated(f"drop the stages of load {load_id}"):
            for part in parts:
                self.client.delete_table(self._named(part.stage), not_found_ok=True, **self._limits)

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        """Make a table of these rows, by a load job."""
        with TemporaryDirectory(prefix="nexus-") as folder, _translated(f"make {table}"):
            file = Path(folder, "rows.parquet")
            write_parquet(file, columns, rows)
            self.client.delete_table(self._named(table), not_found_ok=True, **self._limits)
            self._make(table, columns)
            self._ended(self._sent(file, table, columns, f"nexus-{uuid4().hex}"))

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    @property
    def _limits(self) -> dict[str, Any]:
        from google.cloud.bigquery import DEFAULT_RETRY

        return {"timeout": self._request_s, "retry": DEFAULT_RETRY.with_timeout(self._request_s)}

    def _named(self, table: str) -> str:
        return f"{self._dataset}.{table}"

    def _has_dataset(self) -> bool:
        """Looking first, since who may use a dataset need not have the right to make one."""
        from google.api_core.exceptions import NotFound

        try:
            self.client.get_dataset(self._dataset, **self._limits)
        except NotFound:
            return False
        return True

    def _run(self, sql: str, parameters: Parameters | None) -> Any:
        from google.cloud import bigquery

        given = [_parameter(name, value) for name, value in (parameters or {}).items()]
        config = bigquery.QueryJobConfig(default_dataset=self._dataset, query_parameters=given)
        with _translated(f"run {first_line(sql)}"):
            text = PLACEHOLDER.sub(r"@\1", sql) if parameters else sql
            return self._ended(self.client.query(text, job_config=config, job_retry=None, **self._limits))

    def _ended(self, job: Any) -> Any:
        """The result of a job. One that takes too long is told to stop, and may have done its work."""
        try:
            return job.result(**{**self._limits, "timeout": self._patience_s})
        except concurrent.futures.TimeoutError:
            job.cancel(**self._limits)
            raise

    def _stage(self, part: Staged) -> None:
        """Return when the rows of the file are in the stage. A job that is known already is waited for; where
        it failed, or its stage is gone since, the next one is sent.
        """
        from google.api_core.exceptions import Conflict, NotFound

        stage = part.stage
        with _translated(f"load into {stage}"):
            for attempt in count(1):
                job_id = f"nexus-{self._dataset.partition('.')[2]}-{stage}-{attempt}"
                self._make(stage, part.columns, expires=datetime.now(UTC) + _LEFTOVER)
                try:
                    self._ended(self._sent(part.file, stage, part.columns, job_id))
                except Conflict:
                    if not self._has_loaded(job_id, stage):
                        continue
                except NotFound:  # the stage was there: it is the upload, whose answer was lost, that is over
                    raise SinkUnavailable(f"cannot load into {stage}: the upload was lost") from None
                return

    def _make(self, table: str, columns: Mapping[str, ColumnType], expires: datetime | None = None) -> None:
        """An empty table, if it is missing."""
        from google.cloud import bigquery

        empty = bigquery.Table(self._named(table), schema=_schema(columns))
        empty.expires = expires
        self.client.create_table(empty, exists_ok=True, **self._limits)

    def _sent(self, file: Path, table: str, columns: Mapping[str, ColumnType], job_id: str) -> Any:
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            schema=_schema(columns),
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        )
        with file.open("rb") as parquet:
            return self.client.load_table_from_file(
                parquet, self._named(table), job_id=job_id, job_config=config,
                timeout=self._request_s,
            )  # fmt: skip

    def _has_loaded(self, job_id: str, stage: str) -> bool:
        """Whether a job that was sent before did its work, and nobody dropped that since."""
        from google.api_core.exceptions import GoogleAPICallError

        job: Any = self.client.get_job(job_id, **self._limits)
        try:
            self._ended(job)
        except GoogleAPICallError:
            return False
        there = self.client.get_table(self._named(stage), **self._limits).num_rows
        return bool(job.output_rows == there)


def qualified(sql: str, dataset: str) -> str:
    """A statement that makes a view, with the tables that it reads named in full: the view outlives the
    request, which says where other names are to be looked for.
    """
    return _READ_TABLE.sub(rf"\1 `{dataset}.\2`", sql) if _IS_VIEW.search(sql) else sql


def _client(project: str, location: str | None, endpoint: str | None) -> bigquery.Client:
    try:
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import bigquery
    except ImportError as error:
        raise SettingsError("BigQuery needs its client: pip install 'nexus-resolver[bigquery]'") from error
    if endpoint is not None:
        options = ClientOptions(api_endpoint=endpoint)
        nobody = AnonymousCredentials()
        return bigquery.Client(project, nobody, location=location, client_options=options)
    try:
        return bigquery.Client(project, location=location)
    except DefaultCredentialsError:
        raise SettingsError(
            "BigQuery: no application default credentials: run `gcloud auth application-default login`, or "
            "name a key file in GOOGLE_APPLICATION_CREDENTIALS"
        ) from None


def _schema(columns: Mapping[str, ColumnType]) -> list[bigquery.SchemaField]:
    from google.cloud import bigquery

    return [bigquery.SchemaField(name, TYPES["bigquery"][kind]) for name, kind in columns.items()]


def _written_out(sql: str, parameters: Parameters) -> str:
    """With the values in their places: the emulator knows no parameters in a script."""
    # what JSON escapes, and how, GoogleSQL reads as it was meant
    return PLACEHOLDER.sub(lambda found: json.dumps(parameters[found[1]], ensure_ascii=False), sql)


def _parameter(name: str, value: Any) -> bigquery.ScalarQueryParameter:
    from google.cloud import bigquery

    kinds = {str: "STRING", bytes: "BYTES", bool: "BOOL", int: "INT64", float: "FLOAT64"}
    return bigquery.ScalarQueryParameter(name, kinds[type(value)], value)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import RefreshError, TransportError
    from requests import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        raise _error_of(error, what) from None
    except concurrent.futures.TimeoutError:
        raise SinkUnavailable(f"cannot {what}: it takes too long") from None
    except (RetryError, RequestException, TransportError) as error:
        raise SinkUnavailable(f"cannot {what}: {type(error).__name__}") from None
    except RefreshError:
        raise failed(what, "the credentials are refused: log in again", is_passing=False) from None


def _error_of(error: Any, what: str) -> NexusError:
    reasons = {str(one.get("reason")) for one in error.errors if isinstance(one, dict)}
    says = " ".join((error.message or "").split())
    is_passing = (
        error.code in _PASSING
        or bool(reasons & {"backendError", "rateLimitExceeded"})
        or "due to concurrent update" in says  # of two transactions on one table the second is ended
    )
    place = _PLACE.search(says)
    why = says if error.code in _SAYS else says[: place.end()] if place else type(error).__name__
    return failed(what, " ".join([why, *sorted(reasons - {"None"})]), is_passing)
