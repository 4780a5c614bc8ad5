"""What is written into policies has no character with a meaning there."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.account.wanted import WantedAccount
from swath.errors import UsageError

GOOD: dict[str, Any] = {
    "region": "eu-central-1",
    "bucket": "acme-maps",
    "prefix": "maps/rivers",
    "allow": ("192.0.2.7/32",),
}


@pytest.mark.parametrize("region", ["eu-central-1", "europe-west4", "us-gov-west-1", "us-central1"])
def test_regions_of_both_clouds_are_names(region: str) -> None:
    WantedAccount(**GOOD | {"region": region})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", 'a"}]'),
        ("bucket", "ACCOUNT"),
        ("prefix", ""),
        ("prefix", "/maps"),
        ("prefix", "maps/*"),
        ("prefix", "maps/"),
        ("region", "../x"),
        ("client", "user:a b"),
        ("allow", ("192.0.2.7/24",)),
        ("allow", ("everybody",)),
        ("allow", ()),
    ],
)
def test_what_is_no_name_is_refused(field: str, value: Any) -> None:
    with pytest.raises(UsageError):
        WantedAccount(**GOOD | {field: value})


def test_a_removal_needs_no_addresses() -> None:
    WantedAccount(**GOOD | {"allow": (), "removing": True})
