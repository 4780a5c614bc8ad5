"""Rows of the journal as values: runs, nodes, calls, log lines and leases, and how they are read from SQLite."""

from __future__ import annotations

import dataclasses
import json
import time
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from swath.engine.process import Process
from swath.errors import StateError
from swath.run_id import is_run_id

MACHINES = "machines"
"""Name of the machines of a run in a cloud among its facts: a line for each kind and zone."""
HEARTBEAT_TIMEOUT_S = 15.0
"""A run on another host without a heartbeat for so long counts as crashed."""


@dataclass(frozen=True)
class CancelRequest:
    """Somebody wants a run to stop. It is in the journal, so it reaches a run on any host that shares the state folder."""

    by: str
    """User and host."""
    reason: str
    """In the user's own words; may be empty."""
    time: float
    """Seconds since the epoch."""

    def __str__(self) -> str:
        return f"cancelled by {self.by}{f': {self.reason}' if self.reason else ''}"


@dataclass(frozen=True)
class RunRow:
    """One run."""

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
    """`running`, `done`, `partial`, `failed`, `interrupted`, `terminated`, `timed out`, `over budget`, or `crashed`: its process is
    gone."""
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
    """When its process last wrote that it is alive."""
    fresh: bool = False
    """Whether it reuses no result of an earlier run, also when it is resumed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What later runs, and who looks at this one, want to know without reading its spec, such as its model and machines."""
    pid_space: str = ""
    """What the pid is unique in (see swath.engine.process.pid_space)."""
    paused_s: float = 0.0
    """Seconds between the sessions of a run that was resumed."""

    @property
    def process(self) -> Process:
        """The process that executes the run, or did."""
        return Process(self.host, self.pid, self.process_started, self.pid_space)

    def paused_until(self, now: float) -> float:
        """`paused_s` of a run that is resumed now: since its last session ended, or was last alive, it paused."""
        ended = self.finished if self.finished is not None else self.heartbeat
        return self.paused_s + (max(0.0, now - ended) if ended is not None else 0.0)

    @property
    def seconds(self) -> float | None:
        """How long its sessions took together, until now where it is running; None of a run whose end is not known."""
        end = time.time() if self.status == "running" else self.finished
        return None if end is None else max(0.0, end - self.started - self.paused_s)

    @property
    def silent_s(self) -> float:
        """Seconds since the heartbeat of a run that is running; 0 while they are within HEARTBEAT_TIMEOUT_S."""
        if self.status != "running" or self.heartbeat is None:
            return 0.0
        silent = time.time() - self.heartbeat
        return silent if silent > HEARTBEAT_TIMEOUT_S else 0.0


class NodeRow(NamedTuple):
    """One node of one run, with the parts of their keys that all its calls share."""

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
    """One call of one run, in its last state."""

    node: str
    item: int | None
    key: str
    state: str
    """`done`, `reused`, `retried` or `failed`; `step` for an item of a mapped step that has its result."""
    attempt: int
    worker: str
    finished: float | None
    seconds: float | None
    """From its start to its end on the worker."""
    error: str
    traceback: str
    cpu_s: float | None = None
    """Processor time of the worker's process meanwhile, in seconds."""
    memory: int | None = None
    """Largest memory that the worker's process ever had until then, in bytes."""


@dataclass(frozen=True)
class LogRow:
    """One log line of a run."""

    id: int
    time: float
    level: str
    text: str
    node: str
    item: int | None
    worker: str


@dataclass(frozen=True)
class LeaseRow:
    """Something that a run may leave behind, such as a machine or a folder; recorded before it is created."""

    id: str
    """What `pipe sweep` needs to find it, such as a path."""
    run: str
    kind: str
    created: float
    """Seconds since the epoch."""


def result_checksum(key: str, digest: str, size: int) -> int:
    """Binds a result to the call that it is of: the signature of a result says nothing of the row that names it."""
    return zlib.crc32(f"{key} {digest} {size}".encode())


def fits(key: str, checksum: int | None, digest: str, size: int) -> bool:
    """Whether a row of results is as it was written; rows of earlier versions have no checksum."""
    return checksum is None or checksum == result_checksum(key, digest, size)


RUN_COLUMNS = ", ".join(column.name for column in dataclasses.fields(RunRow))
CALL_COLUMNS = ", ".join(CallRow._fields)


def call_row(row: tuple[Any, ...]) -> CallRow:
    """A call, from CALL_COLUMNS. The item of a single call is -1 in the table."""
    return CallRow(row[0], None if row[1] < 0 else row[1], *row[2:])


def run_row(row: tuple[Any, ...]) -> RunRow:
    """A run, from RUN_COLUMNS. One that is `running` in the table but whose process is gone is `crashed`.

    Raises StateError for an id that is none: folders are named after it, which are written and removed.
    """
    fields = dict(zip((column.name for column in dataclasses.fields(RunRow)), row, strict=True))
    if not is_run_id(fields["id"]):
        raise StateError(
            f"the journal has a run with the id {fields['id'][:200]!r}, which is none",
            remedy="the journal of this state folder was damaged, or written by somebody else: remove it, or set SWATH_HOME to another",
        )
    if fields["status"] == "running" and _is_gone(fields):
        fields["status"] = "crashed"
    for name in ("overrides", "outputs", "git", "facts"):
        fields[name] = json.loads(fields[name])
    fields["fresh"] = bool(fields["fresh"])
    return RunRow(**fields | {name: tuple(fields[name]) for name in ("overrides", "outputs")})


def _is_gone(run: dict[str, Any]) -> bool:
    """Whether a run's process is gone; of another host only its heartbeat can tell."""
    process = Process(run["host"], run["pid"], run["process_started"], run["pid_space"])
    if process.here:
        return process.gone()
    return run["heartbeat"] is not None and time.time() - run["heartbeat"] > HEARTBEAT_TIMEOUT_S
