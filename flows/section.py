"""What every section of the settings keeps: an unknown name is an error, and nothing changes afterwards."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
