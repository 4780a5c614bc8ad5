"""What a run would take (`plan`), and which calls it would make (`explain`). Neither starts a cluster or writes anything."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.runner import cost_estimate, matrix, staging
from swath.runner.output_checks import check_outputs
from swath.spec.secrets import masked_errors

if TYPE_CHECKING:
    from swath.engine.explain import NodeExplanation
    from swath.runner.job import Job

_SHOWN = 8
"""Members of a list that are shown as text, such as the sheets of a map."""


@dataclass(frozen=True)
class Plan:
    """What a run would take."""

    values: dict[str, Any]
    """Plain values by name."""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values as texts; the plans of a matrix's variants are left out."""
        return [(name.replace("_", " "), _text(value)) for name, value in self.values.items() if name != matrix.EACH]

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.values)


def plan(job: Job) -> Plan:
    """What a run of a job would take: scenes, grid, regions, bytes; in a cloud also machines, hours and cost.

    Reads the metadata of imagery and model. Raises SwathError when they are wrong, or an output cannot be written.
    """
    check_outputs(job)
    return plan_unchecked(job)


def plan_unchecked(job: Job) -> Plan:
    """As `plan`, whether or not the outputs can be written."""
    graphs = job.variant_graphs
    with masked_errors(job.secrets, f"there is no plan of {job.loaded.pipeline}"):
        values = matrix.plan(job.pipeline, job.loaded, graphs)
        values |= staging.plan(job.loaded) | cost_estimate.plan(job, values)
    return Plan(
        {
            "pipeline": job.loaded.pipeline,
            "name": job.name,
            "cluster": job.spec.cluster.kind,
            "state": str(job.project.state),
            **values,
        }
    )


def explain(job: Job, *, fresh: bool = False) -> list[NodeExplanation]:
    """What a run of a job would do, node by node, compared with the last run of the same pipeline and name.

    Reads the metadata of imagery and model, as a run does at its start. `fresh` is that of the run.
    """
    from swath.engine.explain import explain as reasons
    from swath.engine.journal import Journal
    from swath.engine.result_signature import result_key
    from swath.engine.store import ResultStore
    from swath.runner.input_identities import InputIdentities

    graph, state = job.graph, job.project.state
    with contextlib.ExitStack() as exits:
        if not (state / "journal.sqlite").is_file():
            state = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        journal = exits.enter_context(Journal.open(state))
        store = ResultStore(job.results, job.result_secrets, key=result_key(state))
        like = (row.id for row in journal.runs() if (row.pipeline, row.name) == (job.loaded.pipeline, job.name))
        earlier = next((run for run in like if journal.nodes(run)), None)
        identify = InputIdentities(lambda text: None).resolve
        return reasons(graph, journal=journal, store=store, earlier=earlier, fresh=fresh, identify=identify)


def _text(value: Any) -> str:
    """A value of a plan for people; a pair of numbers is a range."""
    if isinstance(value, tuple) and len(value) == 2:
        return f"at least {value[0]:g}" if value[1] is None else f"{value[0]:g} to {value[1]:g}"
    if isinstance(value, list) and len(value) > _SHOWN:
        return f"{', '.join(map(str, value[:_SHOWN]))} and {len(value) - _SHOWN:,} more"
    return "not known" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
