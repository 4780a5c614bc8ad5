"""How fast earlier runs of the same pipeline and model were: measured at the end of a run, read from its row in the journal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from swath.cluster.cost.estimate import Throughput
from swath.graph.task import Task
from swath.spec.clusters.cloud import AwsCluster, CloudCluster, GcpCluster
from swath.spec.fields.model import ModelRef

if TYPE_CHECKING:
    from swath.engine.journal_rows import CallRow
    from swath.runner.job import Job
    from swath.spec.base import Spec

FACT = "throughput"
"""Name of the measurement among the facts of a run's row."""
NEWEST = 50
"""Number of earlier runs that are searched, newest first."""
SAME, OTHER = (0.8, 1.25), (0.5, 2.0)
"""Range of the true rate as parts of a measured one: measured on the same machine type, and on another."""
LEAST_MEGAPIXELS = 0.05
"""Runs of fewer pixels measure the start of the workers, not the rate."""


def throughput_of(job: Job, cluster: AwsCluster | GcpCluster, *, gpus: bool) -> Throughput | None:
    """The rate that the cluster's spec gives, else that of the newest run which measured it; None when there is none.

    A run on the same machine type goes before others. For workers with `gpus` only such a run counts.
    """
    from swath.engine.journal import Journal

    if cluster.seconds_per_megapixel is not None:
        return Throughput(cluster.seconds_per_megapixel, "given as cluster.seconds_per_megapixel")
    state = job.project.state
    if not (state / "journal.sqlite").is_file():
        return None
    elsewhere: Throughput | None = None
    models = models_digest(job.spec)
    with Journal.open(state) as journal:
        rows = journal.runs(NEWEST)
    for row in rows:
        fact = row.facts.get(FACT)
        if fact is None or row.pipeline != job.loaded.pipeline or fact["models"] != models:
            continue
        machine = fact["machine"]
        same = (row.cluster, machine) == (cluster.kind, cluster.machine)
        if gpus and not same:
            continue
        where = f"on {machine}" if machine else f"on a cluster of kind {row.cluster}"
        seconds = fact["seconds"] / fact["megapixels"]
        found = Throughput(seconds, f"measured in {row.id} {where}", *(SAME if same else OTHER))
        if same:
            return found
        elsewhere = elsewhere or found
    return elsewhere


def measure(job: Job, models: str, calls: Iterable[CallRow], megapixels: Any) -> dict[str, Any] | None:
    """What a run's row has of its rate: the digest of its models, the machine type of its workers, the processor seconds of its
    calls on workers and the megapixels that they made. None when that is not known.

    models: digest of the models, by the paths before any staging. megapixels: of the whole map. Of a run that reused results of
    earlier ones, only its share of the mapped calls counts.
    """
    if not isinstance(megapixels, (int, float)) or megapixels < LEAST_MEGAPIXELS:
        return None
    on_client = {node.name for node in job.graph if isinstance(node.target, Task) and node.target.policy.on_client}
    seconds, done, mapped = 0.0, 0, 0
    for call in calls:
        if call.node in on_client:
            continue
        mapped += call.item is not None
        if call.state == "done":
            done += call.item is not None
            seconds += call.cpu_s or call.seconds or 0.0
    share = megapixels * done / mapped if mapped else 0.0
    if share < LEAST_MEGAPIXELS:
        return None
    cluster = job.spec.cluster
    machine = cluster.machine if isinstance(cluster, CloudCluster) and not cluster.machines else ""
    return {"models": models, "machine": machine, "megapixels": share, "seconds": seconds}


def models_digest(spec: Spec) -> str:
    """A digest of the models that a spec names, with how they are run."""
    models = [value.model_dump_json() for value in spec.parameters().values() if isinstance(value, ModelRef)]
    return hashlib.sha256("\n".join(models).encode()).hexdigest()
