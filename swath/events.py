"""The events of a run. Displays, logs, traces and notifications are listeners to them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base class of all events."""

    kind: ClassVar[str] = "event"
    time: float
    """Seconds since the epoch, UTC."""
    run: str
    """The run's id."""

    def to_json(self) -> str:
        """One line of JSON, with the event's name under `event`."""
        fields = {"event": self.kind, **dataclasses.asdict(self)}
        return json.dumps({k: _plain(v) for k, v in fields.items()}, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, list, tuple, dict, type(None))) else str(value)


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    kind: ClassVar[str] = "run_started"
    pipeline: str
    name: str
    spec: str
    """Path of the spec file."""
    resumed: bool = False
    cluster: str = "local"
    """Kind of the cluster."""


@dataclass(frozen=True, kw_only=True)
class ClusterReady(Event):
    kind: ClassVar[str] = "cluster_ready"
    cluster: str
    workers: int
    seconds: float
    """How long it took to come up."""
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeOpened(Event):
    """A node has all that it needs; its calls can start."""

    kind: ClassVar[str] = "node_opened"
    node: str
    total: int | None
    """Number of calls; None while it is not known."""
    depth: int = 0
    """0 for the pipeline's own nodes, 1 for those of a step, and so on."""


@dataclass(frozen=True, kw_only=True)
class NodeDone(Event):
    kind: ClassVar[str] = "node_done"
    node: str
    state: str
    """`done`, `skipped` or `failed`."""


@dataclass(frozen=True, kw_only=True)
class CallEvent(Event):
    node: str
    item: int | None
    """Index of the item of a mapped node; None for a single call."""


@dataclass(frozen=True, kw_only=True)
class CallStarted(CallEvent):
    kind: ClassVar[str] = "call_started"
    worker: str
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class CallProgress(CallEvent):
    kind: ClassVar[str] = "call_progress"
    done: float | None
    total: float | None
    pixels: int = 0
    """Pixels finished since the call's last report."""
    ground_km2: float = 0.0
    """Ground that these pixels cover, in km2; 0 where it is not known."""


@dataclass(frozen=True, kw_only=True)
class CallMetrics(CallEvent):
    """Metrics of a running call, such as those of a training at the end of an epoch."""

    kind: ClassVar[str] = "call_metrics"
    values: dict[str, float]
    """Numbers by name, the most important first."""


@dataclass(frozen=True, kw_only=True)
class CallDone(CallEvent):
    kind: ClassVar[str] = "call_done"
    worker: str
    seconds: float
    reused: bool = False
    """True when the result of an earlier call was reused and nothing was executed."""


@dataclass(frozen=True, kw_only=True)
class StepDone(CallEvent):
    """An item of a mapped step has its result."""

    kind: ClassVar[str] = "step_done"


@dataclass(frozen=True, kw_only=True)
class CallRetried(CallEvent):
    kind: ClassVar[str] = "call_retried"
    error: str
    attempt: int
    """The attempt that failed, from 1."""
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class CallFailed(CallEvent):
    kind: ClassVar[str] = "call_failed"
    error: str
    attempt: int = 1
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class Log(Event):
    """A log line: a task's log record, print or warning, or a line of the run itself."""

    kind: ClassVar[str] = "log"
    level: str
    """`debug`, `info`, `warning` or `error`."""
    text: str
    node: str = ""
    item: int | None = None
    worker: str = ""


@dataclass(frozen=True, kw_only=True)
class RunStopping(Event):
    """A signal, a cancel or a time limit asked the run to stop; teardown begins."""

    kind: ClassVar[str] = "run_stopping"
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunDone(Event):
    kind: ClassVar[str] = "run_done"
    status: str
    """`done`, `partial` (some items set aside), `failed`, `interrupted`, `terminated`."""
    exit_code: int
    seconds: float
    error: str = ""
    outputs: list[str] = field(default_factory=list)
    """Published files or folders: paths or URLs."""
    calls: int = 0
    """Calls that were executed in this session."""
    reused: int = 0
    """Calls that reused the result of an earlier call."""
    set_aside: list[str] = field(default_factory=list)
    """Items that failed for good, as `node[item]: error`."""
    table: list[dict[str, Any]] = field(default_factory=list)
    """Of a matrix: a row for each variant (see swath.runner.variant_table.VariantRow)."""


Listener = Callable[[Event], None]
"""Takes the events of a run. It must not raise."""
