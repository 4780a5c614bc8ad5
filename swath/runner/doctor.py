"""What is wrong before a run: checks of this machine, of the project, and of the cluster that a run would use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from swath import units
from swath.cluster.doctor.finding import Finding, ok, warn
from swath.cluster.providers.bucket_region import in_region_of_bucket
from swath.errors import SwathError, UsageError
from swath.project.project import Project
from swath.runner.machine_checks import Check, machine_checks
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import Cluster, LocalCluster
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.spec.clusters.workers import Workers

if TYPE_CHECKING:
    from swath.runner.job import Job


def examine(project: Project, folder: Path, job: Job | None = None, cluster: str | None = None) -> Iterator[Finding]:
    """Checks a machine and the cluster of a job; without a job the cluster of that name, else a local one of one worker.

    project: the one of `folder`, where outputs go. Nothing is started in a cloud; other clusters are started and closed.

    Raises UsageError for a cluster that the project does not name, before the first finding.
    """
    if job is not None:
        checks = cluster_checks(job.project, job.spec.cluster, job)
    else:
        checks = cluster_checks(project, _cluster_named(cluster, project))
    return _findings([*machine_checks(project, folder), *checks])


def cluster_checks(project: Project, cluster: Cluster, job: Job | None = None) -> list[Check]:
    """The checks of a cluster: in a cloud of prices, account, image and buckets, elsewhere whether it comes up."""
    if not isinstance(cluster, AwsCluster | GcpCluster | KubernetesCluster):
        return [("cluster", partial(_comes_up, cluster))]
    stage = job.spec.stage if job is not None else None
    folders = [project.results or stage or str(project.state / "results"), *([stage] if stage else [])]
    if job is not None:
        folders += [output.to for output in job.outputs if "://" in output.to]  # others are written by this machine
    checks: list[Check] = [("cloud", partial(_cloud, cluster, folders))]
    if not isinstance(cluster, KubernetesCluster):
        checks.insert(0, ("price", partial(_price, cluster, project, folders)))
    return checks


def _cluster_named(name: str | None, project: Project) -> Cluster:
    if name is None or name == "local":
        return LocalCluster(workers=Workers(min=1, max=1))
    if name not in project.clusters:
        known = ", ".join(["local", *project.clusters])
        raise UsageError(f"there is no cluster {name!r}; known are {known}", remedy="swath.yaml names clusters")
    return project.clusters[name]


def _findings(checks: Iterable[Check]) -> Iterator[Finding]:
    """The findings of checks. An error in one of them is a finding, too."""
    for what, check in checks:
        try:
            yield from check()
        except SwathError as error:
            exit_code = error.exit_code if error.exit_code in (4, 5) else 1
            yield Finding("fail", what, str(error).replace("\n", ";"), exit_code)
        except Exception as error:  # noqa: BLE001 - a broken library may raise anything: that is a finding, not the end
            yield Finding("fail", what, f"{type(error).__name__}: {error}", 1)


def _cloud(cluster: AwsCluster | GcpCluster | KubernetesCluster, folders: list[str]) -> Iterator[Finding]:
    from swath.cluster.doctor.doctor import check_cluster

    if not isinstance(cluster, KubernetesCluster):
        cluster = in_region_of_bucket(cluster, folders)
    yield from check_cluster(cluster, folders)


def _price(cluster: AwsCluster | GcpCluster, project: Project, folders: list[str]) -> Iterator[Finding]:
    from swath.cluster.cost.prices import PriceUnknown, cluster_prices

    try:
        known = cluster_prices(in_region_of_bucket(cluster, folders), project.prices)
    except PriceUnknown as error:
        yield warn("price", f"{error.message}; {error.remedy}")
        return
    each = f"{known.worker.usd_per_hour:.3g} USD an hour for each {known.worker.type}"
    yield ok("price", f"{each}, {known.scheduler.usd_per_hour:.3g} for the scheduler (about, {known.date})")


def _comes_up(spec: Cluster) -> Iterator[Finding]:
    from swath.cluster.open import open_cluster

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, open_cluster(spec, Path(scratch)) as cluster:
        address = f" at {cluster.address}" if cluster.address else ""
        took = units.duration(time.monotonic() - began)
        workers = f"{cluster.workers} {'worker' if cluster.workers == 1 else 'workers'}"
        yield ok("cluster", f"{cluster.kind}, {workers}{address}, came up in {took}")
