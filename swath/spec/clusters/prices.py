"""Prices of machines, disks and traffic in clouds: the form of the package's table and of `prices` in swath.yaml; amounts of money."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from swath.spec.spec_model import ShortForm, SpecModel, mistake

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
M = TypeVar("M", bound=SpecModel)


class Price(SpecModel):
    """Price of a machine, or of a GPU that is attached to one. In YAML a number in USD per hour, or a mapping."""

    short_schemas = ({"type": "number", "minimum": 0, "description": "USD per hour."},)

    hour: Amount
    """USD per hour."""
    spot: Amount | None = None
    """USD per hour of a spot machine; `hour` when not given."""
    cores: int | None = Field(default=None, ge=1)
    """Virtual CPUs of the machine; read from its name when not given."""
    gpus: int | None = Field(default=None, ge=1)
    """GPUs of the machine type itself."""

    @classmethod
    def expand(cls, value: Any, info: Any) -> Any:
        return {"hour": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class RegionPrices(SpecModel):
    """Prices in one region. Prices that are not given are those of the table in the package."""

    machines: dict[str, Price] = Field(default_factory=dict)
    """Prices by machine type."""
    gpus: dict[str, Price] = Field(default_factory=dict)
    """Prices per GPU that is attached to a machine, by type."""
    disk_gb_month: Amount | None = None
    """USD per GB of a machine's disk and month."""
    address_hour: Amount | None = None
    """USD per hour of a public IP address."""
    storage_gb_month: Amount | None = None
    """USD per GB in a bucket and month."""
    writes_1000: Amount | None = None
    """USD per 1000 write and list requests of a bucket."""
    reads_1000: Amount | None = None
    """USD per 1000 read requests of a bucket."""
    egress_gb: Amount | None = None
    """USD per GB of traffic to the internet."""
    other_region_gb: Amount | None = None
    """USD per GB of traffic to another region."""


class Prices(SpecModel):
    """A table of prices by cloud and region."""

    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Date of the prices, such as "2026-01-31"."""
    currency: Literal["USD"] = "USD"
    aws: dict[str, RegionPrices] = Field(default_factory=dict)
    """Prices by region, such as eu-central-1."""
    gcp: dict[str, RegionPrices] = Field(default_factory=dict)
    """Prices by region, such as europe-west4."""

    def with_defaults(self, table: Prices) -> Prices:
        """This table, with the prices of another where it has none."""
        clouds = {kind: _merged(getattr(self, kind), getattr(table, kind)) for kind in ("aws", "gcp")}
        return table.model_copy(update=clouds | ({"date": self.date} if self.date else {}))


def _merged(own: dict[str, RegionPrices], table: dict[str, RegionPrices]) -> dict[str, RegionPrices]:
    merged = dict(table)
    for place, prices in own.items():
        under = table.get(place, RegionPrices())
        given = {name: getattr(prices, name) for name in prices.model_fields_set}
        for name in ("machines", "gpus"):
            given[name] = {**getattr(under, name), **getattr(prices, name)}
        merged[place] = under.model_copy(update=given)
    return merged


def _usd(value: Any, info: Any) -> Any:
    """The number of `20 USD`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(?:USD\s*|\$\s*)?(\d+(?:\.\d+)?)\s*(USD)?\s*", value)
    if found is None:
        raise mistake(
            "{value} is not an amount in USD: write 20 or `20 USD`; prices are in USD only", value=repr(value)
        )
    return float(found[1])


Usd = Annotated[
    float,
    Field(gt=0, allow_inf_nan=False),
    ShortForm(_usd, {"type": "string", "pattern": r"^\d+(\.\d+)? USD$", "description": "Such as `20 USD`."}),
]
"""An amount of money. In YAML a number, or text such as `20 USD`."""
