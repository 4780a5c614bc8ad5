"""What a run on machines in a cloud would cost, for `pipe plan`; and whether the spec's budget allows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swath.cluster.cost.budget import Budget
from swath.cluster.cost.estimate import Throughput, Workload, cost, facts
from swath.cluster.cost.prices import ClusterPrices, PriceUnknown, rates
from swath.engine.journal_rows import RunRow
from swath.errors import SwathError, UsageError
from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner import matrix
from swath.runner.throughput import rate_of
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.loading.load import LoadedSpec

Reread = Callable[[RunRow], LoadedSpec]
"""The spec of an earlier run."""


def told(
    loaded: LoadedSpec, project: Project, registry: Registry, planned: Mapping[str, Any], reread: Reread
) -> dict[str, Any]:
    """What `pipe plan` says of machines and cost, of what the pipeline's own plan says. A price that is not known is told, with
    how to give it, and keeps nothing else from being told."""
    cluster, budget = loaded.spec.cluster, loaded.spec.budget
    if not isinstance(cluster, AwsCluster | GcpCluster):
        return {} if budget is None else {"budget_usd": budget, "budget": without_effect(cluster.kind)}
    try:
        known = rates(cluster, project.prices)
    except PriceUnknown as error:
        said = {"cost_usd": None, "prices": f"{error.message}; {error.remedy}"}
        return (
            said
            if budget is None
            else {**said, "budget_usd": budget, "budget": "cannot be held: `pipe run` refuses this"}
        )
    work = work_of(planned)
    rate = _rate(cluster, loaded, project, registry, reread, known)
    return facts(cluster, known, work, rate, budget)


def budget_of(
    loaded: LoadedSpec, project: Project, registry: Registry, reread: Reread, *, begun: bool
) -> Budget | None:
    """The budget that a run has to keep; None when it has none, or nothing is paid for.

    Raises UsageError when the run surely costs more, and when nobody knows the price of its machines. A run that has `begun` is
    only taken up again: how much of it is left is not known, so that it is not refused.
    """
    cluster, usd = loaded.spec.cluster, loaded.spec.budget
    if usd is None or not isinstance(cluster, AwsCluster | GcpCluster):
        return None
    try:
        known = rates(cluster, project.prices)
    except PriceUnknown as error:
        raise UsageError(f"the budget cannot be held: {error.message}", remedy=error.remedy) from error
    if not begun:
        try:
            work = work_of(matrix.plan(registry.find(loaded.pipeline), loaded))
        except SwathError:
            work = Workload()  # imagery or model is wrong: the run itself will say so, before it has any machine
        found = cost(cluster, known, work, _rate(cluster, loaded, project, registry, reread, known))
        if found.surely_passes(usd):
            raise UsageError(
                f"the run would cost at least {found.usd.plain[0]:g} USD, more than its budget of {usd:g} USD",
                remedy="`pipe plan` shows what it is made of; have a larger budget, a smaller area or cheaper machines",
            )
    return Budget(usd, known)


def work_of(planned: Mapping[str, Any]) -> Workload:
    """The work that a pipeline's plan tells."""

    def number(name: str) -> float | None:
        value = planned.get(name)
        return float(value) if isinstance(value, (int, float)) else None

    return Workload(number("megapixels"), number("read_bytes"), number("map_bytes_at_most"))


def without_effect(kind: str) -> str:
    """What is said of a budget where nothing is paid by the hour."""
    return f"has no effect on a cluster of kind {kind}: swath knows no price for it"


def _rate(
    cluster: AwsCluster | GcpCluster,
    loaded: LoadedSpec,
    project: Project,
    registry: Registry,
    reread: Reread,
    known: ClusterPrices,
) -> Throughput | None:
    pipeline = registry.find(loaded.pipeline)
    return rate_of(cluster, loaded, pipeline, project.state, reread, gpus=known.worker.gpus > 0)
