"""From the settings to a warehouse, as far as that goes without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import warehouses
from flows.settings import Settings, load
from schemas.errors import SettingsError
from schemas.identifiers import Keyring

BIGQUERY = {
    "NEXUS_NAMESPACE": "acme-eu",
    "NEXUS_WAREHOUSE__ENGINE": "bigquery",
    "NEXUS_WAREHOUSE__BIGQUERY__PROJECT": "acme-data",
}
SNOWFLAKE = {
    "NEXUS_WAREHOUSE__ENGINE": "snowflake",
    "NEXUS_WAREHOUSE__SNOWFLAKE__ACCOUNT": "ACME-DATA",
    "NEXUS_WAREHOUSE__SNOWFLAKE__USER": "NEXUS",
    "NEXUS_WAREHOUSE__SNOWFLAKE__DATABASE": "ANALYTICS",
    "NEXUS_WAREHOUSE__SNOWFLAKE__PRIVATE_KEY_FILE": "nowhere.p8",
}


def event_log(settings: Settings) -> object:
    """The event log of the settings, not opened."""
    return warehouses.event_log(settings, Keyring(settings.namespace), lambda _: None)


def test_each_namespace_has_a_place_of_its_own() -> None:
    """A dataset, or schema, is named after the namespace unless another name is set."""
    assert warehouses.place(load(BIGQUERY)) == "BigQuery, acme-data.nexus_acme_eu"
    assert warehouses.place(load(SNOWFLAKE)) == "Snowflake, ACME-DATA, ANALYTICS.nexus_default"
    assert warehouses.place(load({"NEXUS_WAREHOUSE__ENGINE": "none"})) is None


def test_credentials_that_are_not_there_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to be connected to for that; the line says what to do."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(SettingsError, match="gcloud auth application-default login"):
        event_log(load(BIGQUERY))
    with pytest.raises(SettingsError, match=r"private_key_file: there is no file nowhere\.p8"):
        event_log(load(SNOWFLAKE))


def test_a_warehouse_that_is_away_is_none_to_be_refused(tmp_path: Path) -> None:
    """Whether it answers is only asked when the log is opened."""
    key = tmp_path / "key.p8"
    key.touch()
    event_log(load({**SNOWFLAKE, "NEXUS_WAREHOUSE__SNOWFLAKE__PRIVATE_KEY_FILE": str(key)}))
    event_log(load({**BIGQUERY, "NEXUS_WAREHOUSE__BIGQUERY__ENDPOINT": "http://127.0.0.1:9"}))
