"""Who is let in, and that nothing secret is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import SettingsError
from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.snowflake import Snowflake
from tests.services import SnowflakeServer

PASSPHRASE = "canary-passphrase"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A private key as Snowflake asks for it, under a passphrase."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    locked = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    file = tmp_path / "rsa_key.p8"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, pkcs8, locked))
    return file


def key_pair(file: Path, passphrase: str | None) -> dict[str, Any]:
    """What the connector is given."""
    return {"private_key_file": str(file), "private_key_file_pwd": passphrase}


@pytest.mark.services
def test_a_key_pair_lets_in(
    snowflake_server: SnowflakeServer, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A key file with its passphrase is enough, and no log tells of either."""
    caplog.set_level(logging.DEBUG)
    address: dict[str, Any] = {
        name: value for name, value in snowflake_server.connection.items() if name != "password"
    }
    engine = Snowflake("keys", "nexus", request_s=10, **key_pair(key_file, PASSPHRASE), **address)
    assert list(engine.rows("SELECT 1")) == [(1,)]
    engine.close()
    assert PASSPHRASE not in caplog.text
    assert "PRIVATE KEY" not in caplog.text


@pytest.mark.parametrize("passphrase", ["canary-wrong", None])
def test_a_wrong_passphrase_is_a_setting(key_file: Path, passphrase: str | None) -> None:
    """The error says what to correct, and holds nothing secret."""
    with pytest.raises(SettingsError, match="correct key file and passphrase") as error:
        Snowflake("keys", "nexus", account="nobody", user="nobody", **key_pair(key_file, passphrase))
    assert "canary" not in str(error.value)


def test_without_credentials_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Application default credentials that are not there are a setting, with the command that makes them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(SettingsError, match="gcloud auth application-default login"):
        BigQuery("project", "dataset")
