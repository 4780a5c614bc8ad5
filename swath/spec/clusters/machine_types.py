"""What the name of a machine type says, as Google Cloud and AWS document it: family, GPUs, architecture, and disks."""

from __future__ import annotations

import re

ARM_FAMILIES = ("a4x", "c4a", "n4a", "t2a")
"""Of Google Cloud, with Arm processors."""
GPU_FAMILIES = ("a2", "a3", "a4", "a4x", "g2", "g4")
"""Of Google Cloud: families of machine types whose GPUs are part of the machine."""
NOT_MIGRATED = (*GPU_FAMILIES, "h3", "h4d")
"""Of Google Cloud, without live migration."""
HYPERDISK_ONLY = ("a3-ultragpu", "a4", "a4x", "c4", "c4a", "c4d", "g4", "h4d", "m4", "n4", "n4a", "n4d", "x4")
"""Of Google Cloud: families, and a series within one, that cannot boot from a persistent disk."""
_NVIDIA_EC2 = re.compile(r"(p\d|g\d|gr\d)")
_AMD_EC2 = re.compile(r"g4ad\.")
_ARM_EC2 = re.compile(r"(a1|[a-z]+\d+[a-z-]*g[a-z0-9]*)\.")
"""The letter g behind the generation is a Graviton or Grace processor: m7g, c7gn, im4gn, g5g, p6e-gb200."""


def family(machine_type: str) -> str:
    """The family of a machine type on Google Cloud: n2 of n2-standard-4."""
    return machine_type.partition("-")[0]


def gcp_has_gpus(machine_type: str) -> bool:
    """Whether a machine type on Google Cloud has GPUs of its own."""
    return family(machine_type) in GPU_FAMILIES


def gcp_is_arm(machine_type: str) -> bool:
    """Whether a machine type on Google Cloud has Arm processors."""
    return family(machine_type) in ARM_FAMILIES


def boots_from_hyperdisk(machine_type: str) -> bool:
    """Whether a machine type on Google Cloud cannot boot from a persistent disk."""
    series = "-".join(machine_type.split("-")[:2])
    return family(machine_type) in HYPERDISK_ONLY or series in HYPERDISK_ONLY or machine_type.endswith("-metal")


def ec2_has_gpus(instance_type: str) -> bool:
    """Whether an instance type of EC2 has GPUs of NVIDIA."""
    return _NVIDIA_EC2.match(instance_type) is not None and _AMD_EC2.match(instance_type) is None


def ec2_is_arm(instance_type: str) -> bool:
    """Whether an instance type of EC2 has Arm processors."""
    return _ARM_EC2.match(instance_type) is not None
