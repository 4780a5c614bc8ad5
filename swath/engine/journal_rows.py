"""Rows of the journal as values: runs, nodes, calls, log lines and leases, and how they are read from SQLite."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from swath.engine.process import Process

HEARTBEAT_TIMEOUT_S = 15.0
"""A run on another host that has not shown itself for so long is taken for crashed."""


@dataclass(frozen=True)
class RunRow:
    """One run, as the journal keeps it."""

    id: str
    pipeline: str
    name: str
    spec_path: str
    spec_text: str
    """As written, with environment references unresolved."""
    overrides: tuple[str, ...]
    cluster: str
    """Its kind."""
    root: str
    """Folder that the spec's relative paths are relative to."""
    status: str
    """running, done, partial, failed, interrupted, terminated, timed out, over budget, or crashed: its process is gone."""
    started: float
    finished: float | None
    exit_code: int | None
    error: str
    host: str
    pid: int
    process_started: float
    outputs: tuple[str, ...]
    git: dict[str, Any]
    heartbeat: float | None = None
    """When its process last showed itself."""
    fresh: bool = False
    """Whether it looks at no result of an earlier run, also when it is taken up again."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What later runs want to know of this one without reading its spec, such as the model's digest and the machine type."""

    @property
    def silent_s(self) -> float:
        """For how long a run that is going on has not shown itself; 0 while that is no longer than it may be."""
        if self.status != "running" or self.heartbeat is None:
            return 0.0
        silent = time.time() - self.heartbeat
        return silent if silent > HEARTBEAT_TIMEOUT_S else 0.0


class NodeRow(NamedTuple):
    """One node of one run, with what all its calls have in common of their keys."""

    node: str
    code: str
    """Fingerprint of the task's code; empty for a pipeline used as a step."""
    version: str
    """Of the task, as its author wrote it."""
    shared: str
    """Fingerprint of the arguments that are the same for all calls."""
    state: str
    """open, done, skipped or failed."""


class CallRow(NamedTuple):
    """One call of one run: its last state."""

    node: str
    item: int | None
    key: str
    state: str
    """done, reused, retried or failed; `step` of an item of a mapped step that has its result."""
    attempt: int
    worker: str
    finished: float | None
    seconds: float | None
    """From its start to its end on the worker."""
    error: str
    traceback: str
    cpu_s: float | None = None
    """Processor time of the worker's process meanwhile."""
    memory: int | None = None
    """Largest memory that the worker's process ever had until then, in bytes."""


@dataclass(frozen=True)
class LogRow:
    """One line that a run said."""

    id: int
    time: float
    level: str
    text: str
    node: str
    item: int | None
    worker: str


@dataclass(frozen=True)
class LeaseRow:
    """Something that a run may leave behind, written down before it is made."""

    id: str
    """What `pipe sweep` needs to find it, such as a path."""
    run: str
    kind: str
    created: float


RUN_COLUMNS = ", ".join(column.name for column in dataclasses.fields(RunRow))


CALL_COLUMNS = ", ".join(CallRow._fields)


def call_row(row: tuple[Any, ...]) -> CallRow:
    return CallRow(row[0], None if row[1] < 0 else row[1], *row[2:])


def run_row(row: tuple[Any, ...]) -> RunRow:
    fields = dict(zip((column.name for column in dataclasses.fields(RunRow)), row, strict=True))
    if fields["status"] == "running" and _silent(fields):
        fields["status"] = "crashed"
    for name in ("overrides", "outputs", "git", "facts"):
        fields[name] = json.loads(fields[name])
    fields["fresh"] = bool(fields["fresh"])
    return RunRow(**fields | {name: tuple(fields[name]) for name in ("overrides", "outputs")})


def _silent(run: dict[str, Any]) -> bool:
    """Whether a run's process is gone; of another host only its heartbeat can tell."""
    process = Process(run["host"], run["pid"], run["process_started"])
    if process.here:
        return process.gone()
    return run["heartbeat"] is not None and time.time() - run["heartbeat"] > HEARTBEAT_TIMEOUT_S
