"""Checks of a cluster in a cloud before it is started, for `pipe doctor`. Nothing here costs money."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

from swath.cluster.doctor.finding import Finding, checked, fail, ok, warn
from swath.errors import MissingExtra
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.spec.clusters.machine_types import ec2_is_arm, gcp_is_arm
from swath.version import __version__

PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}
"""Scheme of an address -> (package that opens it, extra of swath that brings the package)."""


def check_cluster(spec: AwsCluster | GcpCluster | KubernetesCluster, folders: list[str]) -> Iterator[Finding]:
    """All checks of a cluster. `folders` are those of results, staged inputs and maps: URLs or paths."""
    if isinstance(spec, AwsCluster):
        from swath.cluster.doctor.aws import check_account

        for in_region in spec.in_regions():
            yield from check_account(in_region)
    elif isinstance(spec, KubernetesCluster):
        from swath.cluster.doctor.kubernetes import check_namespace

        yield from check_namespace(spec)
    else:
        from swath.cluster.doctor.gcp import check_project

        for in_zones in spec.in_regions():
            yield from check_project(in_zones)
    yield check_image(spec.image)
    if not isinstance(spec, KubernetesCluster) and (arm := arm_machines(spec)):
        yield warn(
            "container",
            f"{arm} has Arm processors: {spec.image} has to be built for linux/arm64, which `make image` does not",
        )
    for folder in dict.fromkeys(folders):
        yield checked("bucket", lambda folder=folder: check_bucket(folder))  # type: ignore[misc]


def arm_machines(spec: AwsCluster | GcpCluster) -> str:
    """Machine types of a cluster that have Arm processors; empty when there are none."""
    is_arm = ec2_is_arm if isinstance(spec, AwsCluster) else gcp_is_arm
    return " and ".join(name for name in dict.fromkeys((*spec.worker_machines, spec.scheduler_machine)) if is_arm(name))


def check_image(image: str) -> Finding:
    """Whether the tag of a container image is this version. Its packages are compared when workers are up."""
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if tag.removeprefix("v").startswith(__version__):
        return ok("container", image)
    problem = f"its tag {tag!r} is no" if tag else "it has no tag with a"
    return warn(
        "container", f"{image}: {problem} version, here is swath {__version__}; packages are compared at connect"
    )


def check_bucket(folder: str) -> Finding:
    """Whether an object can be written to a folder in a bucket, and deleted again."""
    import fsspec

    scheme = folder.partition("://")[0] if "://" in folder else ""
    if scheme not in PACKAGES:
        return fail(
            "bucket", f"{folder} is on this machine, machines in a cloud do not see it: give an s3:// or gs:// address"
        )
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # gcsfs would ask for the kind of the bucket
    marker = f"{folder.rstrip('/')}/.swath-doctor-{secrets.token_hex(4)}"
    try:
        files = fsspec.filesystem(scheme, skip_instance_cache=True)  # a cached one may have other credentials
    except ImportError as error:
        raise MissingExtra(*PACKAGES[scheme], f"Opening {scheme}://") from error
    try:
        files.pipe_file(marker, b"written by `pipe doctor`")
        files.rm_file(marker)
    except PermissionError as error:
        return fail("bucket", f"{folder} cannot be written: {error}: let this account put and delete objects there", 4)
    except Exception as error:  # noqa: BLE001 - s3fs and gcsfs raise what their libraries raise
        return fail("bucket", f"{folder} cannot be written: {type(error).__name__}: {error}")
    return ok("bucket", f"{folder} can be written")
