"""What a run on machines in a cloud would cost, for `pipe plan`; and whether the spec's budget allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swath.cluster.cost.budget import Budget
from swath.cluster.cost.estimate import Workload, cost_entries, estimate_cost
from swath.cluster.cost.prices import ClusterPrices, PriceUnknown, cluster_prices
from swath.cluster.providers.bucket_region import in_region_of_bucket
from swath.errors import SwathError, UsageError
from swath.runner import matrix
from swath.runner.throughput import throughput_of
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

if TYPE_CHECKING:
    from swath.runner.job import Job


def plan(job: Job, planned: Mapping[str, Any]) -> dict[str, Any]:
    """The lines of a plan about machines, cost and budget, from the pipeline's own plan (`planned`). Where a price is not known
    there is no cost, and a line that says how to give the price."""
    cluster, budget = job.spec.cluster, job.spec.budget
    if not isinstance(cluster, AwsCluster | GcpCluster):
        return {} if budget is None else {"budget_usd": budget, "budget": without_effect(cluster.kind)}
    try:
        cluster = in_region_of_bucket(cluster, [job.results])
        known = cluster_prices(cluster, job.project.prices)
    except SwathError as error:  # an unknown price, or region
        values: dict[str, Any] = {"cost_usd": None, "prices": f"{error.message}; {error.remedy}"}
        if budget is not None:
            values |= {"budget_usd": budget, "budget": "cannot be enforced: `pipe run` refuses this"}
        return values
    throughput = throughput_of(job, cluster, gpus=known.worker.gpus > 0)
    return cost_entries(cluster, known, workload_of(planned), throughput, budget)


def budget_of(job: Job) -> Budget | None:
    """The budget of a run; None when the spec gives none, or nothing is paid for.

    Raises UsageError when the run costs more in any case, and when the price of its machines is not known. A run that is
    resumed is not refused: how much of its work is left is not known.
    """
    cluster, usd = job.spec.cluster, job.spec.budget
    if usd is None or not isinstance(cluster, AwsCluster | GcpCluster):
        return None
    cluster = in_region_of_bucket(cluster, [job.results])
    try:
        known = cluster_prices(cluster, job.project.prices)
    except PriceUnknown as error:
        raise UsageError(f"the budget cannot be enforced: {error.message}", remedy=error.remedy) from error
    if job.earlier is None:
        try:
            work = workload_of(matrix.plan(job.pipeline, job.loaded, job.variant_graphs))
        except SwathError:
            work = Workload()  # imagery or model is wrong: the run itself will say so, before it has any machine
        found = estimate_cost(cluster, known, work, throughput_of(job, cluster, gpus=known.worker.gpus > 0))
        if found.surely_exceeds(usd):
            raise UsageError(
                f"the run would cost at least {found.usd.rounded[0]:g} USD, more than its budget of {usd:g} USD",
                remedy="`pipe plan` shows its parts; have a larger budget, a smaller area or cheaper machines",
            )
    return Budget(usd, known)


def known_prices(job: Job) -> ClusterPrices | None:
    """Prices of the machines of a job's cluster; None where nothing is paid for, or a price is not known."""
    cluster = job.spec.cluster
    if not isinstance(cluster, AwsCluster | GcpCluster):
        return None
    try:
        return cluster_prices(in_region_of_bucket(cluster, [job.results]), job.project.prices)
    except SwathError:
        return None


def workload_of(planned: Mapping[str, Any]) -> Workload:
    """The work that a pipeline's plan names."""

    def number(name: str) -> float | None:
        value = planned.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    return Workload(number("megapixels"), number("read_bytes"), number("map_bytes_at_most"), number("ground_km2"))


def without_effect(kind: str) -> str:
    """The message for a budget on a cluster that nothing is paid for by the hour."""
    return f"has no effect on a cluster of kind {kind}: swath knows no price for it"
