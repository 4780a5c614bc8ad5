"""What was looked at before a cluster in a cloud is brought up: in order or wrong, and what to do. Nothing here costs money."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.version import __version__

PACKAGES = {"s3": ("s3fs", "aws"), "gs": ("gcsfs", "gcp")}
ANYWHERE = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    state: Literal["ok", "warn", "fail"]
    what: str
    said: str
    """What is there, or what is wrong and what to do."""
    exit_code: int = 0
    """Of a failure: 4 when it is a matter of credentials, else 5."""


def ok(what: str, said: str) -> Check:
    return Check("ok", what, said)


def warn(what: str, said: str) -> Check:
    return Check("warn", what, said)


def fail(what: str, said: str, exit_code: int = InfrastructureError.exit_code) -> Check:
    return Check("fail", what, said, exit_code)


def checks(spec: AwsCluster | GcpCluster | KubernetesCluster, folders: list[str]) -> Iterator[Check]:
    """Everything that can be looked at. `folders` are where results, staged inputs and maps go: URLs or paths."""
    if isinstance(spec, AwsCluster):
        from swath.cluster.doctor.aws import account

        yield from account(spec)
    elif isinstance(spec, KubernetesCluster):
        from swath.cluster.doctor.kubernetes import namespace

        yield from namespace(spec)
    else:
        from swath.cluster.doctor.gcp import project

        yield from project(spec)
    yield container(spec.image)
    for folder in dict.fromkeys(folders):
        yield looked("bucket", lambda folder=folder: bucket(folder))  # type: ignore[misc]


def looked(what: str, look: Callable[[], Check], *, needed: bool = True) -> Check:
    """What a look found; what it raises is a finding, too. `needed`: a run makes the same call itself. Elsewhere it is no failure
    when an account with few rights may not look."""
    try:
        return look()
    except SwathError as error:
        return failed(what, error, needed=needed)


def failed(what: str, error: SwathError, *, needed: bool = True) -> Check:
    """What an error that was met while looking means."""
    if isinstance(error, CredentialsError):
        if not needed:
            return warn(what, f"this account may not look: {error.message}")
        return fail(what, str(error).replace("\n", ";"), error.exit_code)
    return fail(what, str(error).replace("\n", ";"))


def container(image: str) -> Check:
    """Whether the tag of the container is of this version. What is in it is compared when machines are up."""
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if tag.removeprefix("v").startswith(__version__):
        return ok("container", image)
    named = f"its tag {tag!r} tells no" if tag else "no tag tells a"
    return warn("container", f"{image}: {named} version, here is swath {__version__}; packages are compared at connect")


def bucket(folder: str) -> Check:
    """Whether something can be put into a folder in a bucket, and taken away again."""
    import fsspec

    scheme = folder.partition("://")[0] if "://" in folder else ""
    if scheme not in PACKAGES:
        return fail(
            "bucket", f"{folder} is on this machine, machines in a cloud do not see it: give an s3:// or gs:// address"
        )
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # gcsfs would ask what kind of bucket it is
    marker = f"{folder.rstrip('/')}/.swath-doctor-{secrets.token_hex(4)}"
    try:
        files = fsspec.filesystem(scheme, skip_instance_cache=True)  # one made earlier may know other credentials
    except ImportError as error:
        raise MissingExtra(*PACKAGES[scheme], f"Opening {scheme}://") from error
    try:
        files.pipe_file(marker, b"written by `pipe doctor`")
        files.rm_file(marker)
    except PermissionError as error:
        return fail("bucket", f"{folder} cannot be written: {error}: let this account put and delete objects there", 4)
    except FileNotFoundError as error:
        return fail("bucket", f"{folder}: {error}: make the bucket, or give another one")
    except Exception as error:  # noqa: BLE001 - s3fs and gcsfs raise what their libraries raise
        return fail("bucket", f"{folder} cannot be written: {type(error).__name__}: {error}")
    return ok("bucket", f"{folder} can be written")


def within(inner: str, outer: str) -> bool:
    """Whether all addresses of a network are in another one."""
    a, b = ip_network(inner, strict=False), ip_network(outer, strict=False)
    return a.version == b.version and a.subnet_of(b)  # type: ignore[arg-type]
