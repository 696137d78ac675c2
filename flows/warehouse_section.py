"""The section `warehouse` of the settings: what keeps the event log, and how it is reached."""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from flows.section import Section

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def _name(value: str | None) -> str | None:
    """A dataset, database or schema: it stands in statements, so nothing else may be in it."""
    if value is not None and not _NAME.fullmatch(value):
        raise ValueError("must be of letters, digits and _, and begin with none of the digits")
    return value


def _emulator(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("must be like http://localhost:9050, without a user")
    return value


class BigQuerySection(Section):
    """Where the log is in BigQuery. Credentials are Google's application default ones."""

    project: str | None = Field(None, description="whose dataset it is")
    dataset: str | None = Field(None, description="made when missing; default nexus_NAMESPACE")
    location: str | None = Field(None, description="where the dataset is made")
    endpoint: str | None = Field(None, description="of an emulator, which needs no credentials")

    _dataset = field_validator("dataset")(_name)
    _endpoint = field_validator("endpoint")(_emulator)


class SnowflakeSection(Section):
    """Where the log is in Snowflake, and the key pair that lets in."""

    account: str | None = Field(None, description="such as ORGANISATION-ACCOUNT")
    user: str | None = None
    role: str | None = Field(None, description="default: the user's")
    warehouse: str | None = Field(
        None, description="the virtual warehouse that computes; default: the user's"
    )
    database: str | None = Field(None, description="whose schema it is")
    schema_name: str | None = Field(None, description="made when missing; default nexus_NAMESPACE")
    private_key_file: Path | None = Field(None, description="PEM of the user's private key")
    private_key_passphrase: SecretStr | None = Field(None, description="of that file, if it has one")
    endpoint: str | None = Field(None, description="of an emulator, which needs no key")

    _names = field_validator("database", "schema_name")(_name)
    _endpoint = field_validator("endpoint")(_emulator)


_NEEDED = {
    "bigquery": {"project": "whose dataset keeps the event log"},
    "snowflake": {
        "account": "such as ORGANISATION-ACCOUNT",
        "user": "who may use the database",
        "database": "whose schema keeps the event log",
    },
}


class Warehouse(Section):
    """Where the event log is kept. Without an engine: embedded a folder in `data`, with Kafka nowhere."""

    engine: Literal["duckdb", "bigquery", "snowflake", "none"] | None = None
    batch: int = Field(10_000, ge=1, le=1_000_000, description="most messages in one load")
    every_s: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="seconds that a message waits for others; default 5, where each load costs money 60",
    )
    bigquery: BigQuerySection = BigQuerySection()
    snowflake: SnowflakeSection = SnowflakeSection()

    @model_validator(mode="after")
    def _whole(self) -> "Warehouse":
        """The engine that was chosen has what it needs; and one that was described was not forgotten."""
        for name, needed in _NEEDED.items():
            section = getattr(self, name)
            if self.engine is None and section.model_fields_set:
                raise ValueError(f"{name} is described, and engine not set: set engine to {name}")
            missing = [one for one in needed if self.engine == name and getattr(section, one) is None]
            if missing:
                raise ValueError(f"engine {name} needs {name}.{missing[0]}, {needed[missing[0]]}")
        key = self.snowflake
        if self.engine == "snowflake" and key.private_key_file is None and key.endpoint is None:
            raise ValueError("engine snowflake needs snowflake.private_key_file, the user's private key")
        if key.private_key_passphrase is not None and key.private_key_file is None:
            raise ValueError("snowflake.private_key_passphrase is of no file: set snowflake.private_key_file")
        return self

    @property
    def is_cloud(self) -> bool:
        """Whether each load and each question costs money."""
        return self.engine in ("bigquery", "snowflake")

    @property
    def waits_s(self) -> float:
        """Seconds that a message waits for others."""
        return self.every_s or (60.0 if self.is_cloud else 5.0)
