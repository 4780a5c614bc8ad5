"""How fast earlier runs of the same pipeline and model were, as the journal and their reports tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from swath.cluster.cost.estimate import Throughput
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.errors import SwathError
from swath.graph.pipeline import Pipeline
from swath.graph.task import Task
from swath.spec.base import Spec
from swath.spec.clusters.cloud import AwsCluster, CloudCluster, GcpCluster
from swath.spec.fields.model import ModelRef
from swath.spec.loading.load import LoadedSpec

MOST_RUNS = 50
"""Earlier runs that are looked at, newest first."""
SAME, OTHER = (0.8, 1.25), (0.5, 2.0)
"""Between which parts of a measured rate the truth is taken to be: measured on the same machine type, and elsewhere."""
LEAST_MEGAPIXELS = 0.05
"""Of a run that tells a rate."""


def rate_of(
    cluster: AwsCluster | GcpCluster,
    loaded: LoadedSpec,
    pipeline: Pipeline,
    state: Path,
    reread: Callable[[RunRow], LoadedSpec],
    gpus: bool,
) -> Throughput | None:
    """The rate that the cluster's spec gives, else that of the newest run which tells it; None when none does.

    A run on the same machine type goes before others. Workers with GPUs are told of by such a run only. `reread` gives the spec
    of an earlier run.
    """
    if cluster.seconds_per_megapixel is not None:
        return Throughput(cluster.seconds_per_megapixel, "given as cluster.seconds_per_megapixel")
    if not (state / "journal.sqlite").is_file():
        return None
    elsewhere: Throughput | None = None
    nodes = pipeline.build(loaded.spec)
    at_home = {node.name for node in nodes if isinstance(node.target, Task) and node.target.policy.on_client}
    with Journal.open(state) as journal:
        for row in journal.runs(MOST_RUNS):
            if row.pipeline != loaded.pipeline or row.status not in ("done", "partial"):
                continue
            try:
                earlier = reread(row).spec
            except SwathError:  # its files are gone, or the pipeline takes other parameters now
                continue
            there = _machine(earlier)
            same = there == (cluster.kind, cluster.machine)
            if models(earlier) != models(loaded.spec) or (gpus and not same):
                continue
            seconds = _measured(journal, row, state, at_home)
            if seconds is None:
                continue
            where = f"on {there[1]}" if there[1] else f"on a cluster of kind {there[0]}"
            found = Throughput(seconds, f"measured in {row.id} {where}", *(SAME if same else OTHER))
            if same:
                return found
            elsewhere = elsewhere or found
    return elsewhere


def models(spec: Spec) -> list[ModelRef]:
    """The models that a spec names."""
    return [value for value in spec.parameters().values() if isinstance(value, ModelRef)]


def _machine(spec: Spec) -> tuple[str, str]:
    """Kind of cluster and machine type of its workers; of a cluster that has no such type, an empty one."""
    return spec.cluster.kind, spec.cluster.machine if isinstance(spec.cluster, CloudCluster) else ""


def _measured(journal: Journal, row: RunRow, state: Path, at_home: set[str]) -> float | None:
    """Processor seconds per megapixel of a run's calls on workers; None when it does not tell.

    `at_home` are nodes whose calls the client makes. The run's report has the map's pixels. Of a run that found some results of
    earlier ones, only its share of the mapped calls counts.
    """
    try:
        megapixels = json.loads((state / "runs" / row.id / "report.json").read_text())["megapixels"]
    except (OSError, ValueError, KeyError):
        return None
    seconds, made, mapped = 0.0, 0, 0
    for call in journal.calls(row.id):
        if call.node in at_home:
            continue
        mapped += call.item is not None
        if call.state == "done":
            made += call.item is not None
            seconds += call.cpu_s or call.seconds or 0.0
    share = megapixels * made / mapped if mapped and isinstance(megapixels, (int, float)) else 0.0
    return seconds / share if share >= LEAST_MEGAPIXELS else None
