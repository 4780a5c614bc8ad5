from __future__ import annotations

import pytest

from swath.cluster.providers.fleets import fleet_of
from swath.cluster.providers.machine import CLOUD_KINDS, CloudKind


@pytest.mark.parametrize("kind", CLOUD_KINDS)
def test_every_cloud_has_its_fleet(kind: CloudKind) -> None:
    fleet = fleet_of(kind, "somewhere")
    assert (fleet.kind, fleet.place) == (kind, "somewhere")
