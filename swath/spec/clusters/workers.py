"""How many workers a cluster has, as a spec says it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from swath.spec.spec_model import SpecModel, mistake


class Workers(SpecModel):
    """How many workers there are: a fixed number, or as many as the work at hand keeps busy. In YAML a number or a mapping."""

    min: int = Field(default=1, ge=1, le=1024)
    """Workers that are always there."""
    max: int = Field(ge=1, le=1024)
    """Workers that there are at most."""

    short_schemas = ({"type": "integer", "minimum": 1, "maximum": 1024, "description": "That many, always."},)

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"min": value, "max": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _in_order(self) -> Workers:
        if self.min > self.max:
            raise mistake("min is {min}, more than max, which is {max}", min=self.min, max=self.max)
        return self

    @property
    def elastic(self) -> bool:
        """Whether the number changes."""
        return self.min < self.max
