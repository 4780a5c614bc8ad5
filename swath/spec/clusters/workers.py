"""The number of workers of a cluster in a spec."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from swath.spec.spec_model import SpecModel, mistake


class Workers(SpecModel):
    """Number of workers: fixed, or scaled with the waiting calls between `min` and `max`. In YAML a number or a mapping."""

    min: int = Field(default=1, ge=1, le=1024)
    """Smallest number of workers."""
    max: int = Field(ge=1, le=1024)
    """Largest number of workers."""

    short_schemas = ({"type": "integer", "minimum": 1, "maximum": 1024, "description": "A fixed number."},)

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
        """Whether the number of workers changes with the load."""
        return self.min < self.max
