"""What names of machine types say, by the documentation of both clouds."""

from __future__ import annotations

import pytest

from swath.spec.clusters.machine_types import boots_from_hyperdisk, ec2_has_gpus, ec2_is_arm, gcp_is_arm


@pytest.mark.parametrize(
    "name", ["m7g.large", "c7gn.xlarge", "t4g.small", "im4gn.large", "x2gd.large", "a1.large", "g5g.xlarge"]
)
def test_ec2_has_the_letter_g_behind_the_generation_for_arm(name: str) -> None:
    assert ec2_is_arm(name)


@pytest.mark.parametrize(
    "name", ["m7i.large", "m7a.large", "g5.xlarge", "g4dn.xlarge", "m7i-flex.large", "t3.medium", "p4d.24xlarge"]
)
def test_other_types_of_ec2_are_not_arm(name: str) -> None:
    assert not ec2_is_arm(name)


def test_google_clouds_arm_families_and_disks() -> None:
    """C4, N4 and other new families, A3 Ultra and bare metal boot from Hyperdisk only; A3 High and C3 from a persistent disk, too."""
    assert [gcp_is_arm(name) for name in ("t2a-standard-4", "c4a-standard-4", "n2-standard-4")] == [True, True, False]
    hyperdisk = ("c4-standard-4", "n4-standard-4", "a3-ultragpu-8g", "c3-standard-192-metal", "g4-standard-48")
    assert all(map(boots_from_hyperdisk, hyperdisk))
    assert not any(
        map(boots_from_hyperdisk, ("a3-highgpu-8g", "c3-standard-4", "n2-standard-4", "g2-standard-4", "n1-standard-4"))
    )
    assert ec2_has_gpus("g4dn.xlarge")
    assert not ec2_has_gpus("g4ad.xlarge")
