"""Checks of a job before its run: contracts, headers of imagery, areas, grids, outputs. Nothing is started or written."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from swath import units
from swath.errors import InfrastructureError, SwathError
from swath.runner.output_checks import output_errors
from swath.runner.plan import plan_unchecked
from swath.spec.locations import is_remote

if TYPE_CHECKING:
    from swath.runner.job import Job


@dataclass(frozen=True)
class CheckLimits:
    """Times of a check."""

    remote_s: float = 60.0
    """For everything of one spec, where it names something that is not on this machine."""


def check(job: Job, limits: CheckLimits = CheckLimits()) -> list[SwathError]:
    """The errors that a run of a job would have: those of its outputs, and the first of its plan (of a matrix, of each variant).

    Raises what the graph or the planner of a pipeline raises that is no SwathError.
    """
    found = list(output_errors(job))
    _ = job.graph
    failed = _planned(job, limits.remote_s if _remote(job) else None)
    if isinstance(failed, SwathError):
        return [*found, failed]
    if failed is not None:
        raise failed
    return found


def _planned(job: Job, timeout_s: float | None) -> Exception | None:
    """What the plan raised. With a time limit it is made in a thread, which is left alone when the time is over."""
    raised: list[Exception] = []

    def make() -> None:
        try:
            plan_unchecked(job)
        except Exception as error:  # noqa: BLE001 - it is returned
            raised.append(error)

    if timeout_s is None:
        make()
        return raised[0] if raised else None
    thread = threading.Thread(target=make, name="check", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        return InfrastructureError(
            f"what the spec names elsewhere was not read within {units.duration(timeout_s)}",
            remedy="`--timeout` gives more time; `--offline` checks the spec alone",
        )
    return raised[0] if raised else None


def _remote(job: Job) -> bool:
    """Whether a spec names something to read that is not on this machine."""
    return any(_names_remote(value) for spec in job.loaded.specs for value in spec.parameters().values())


def _names_remote(value: Any) -> bool:
    if isinstance(value, str):
        return is_remote(value)
    if isinstance(value, BaseModel):
        return any(_names_remote(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, Mapping):
        return any(map(_names_remote, value.values()))
    return isinstance(value, list | tuple) and any(map(_names_remote, value))
