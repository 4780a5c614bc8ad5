"""Progress of a run, counted from its events: calls, rates and time left of each node. Views and live documents show it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from swath import events

WINDOW_S = 30.0
"""Rates are means over this time."""
SAMPLE_S = 0.5
"""Minimum time between two samples of a rate."""


def in_mapped(name: str) -> bool:
    """Whether a node belongs to an item of a mapped step, such as `detect[3]/fetch`."""
    return "]/" in name


def collapsed(name: str) -> str:
    """The name without the items of mapped steps, under which they are counted: `detect/fetch` for `detect[3]/fetch`."""
    return re.sub(r"\[\d+\]/", "/", name) if "]/" in name else name


@dataclass
class NodeProgress:
    """Counts of one node."""

    name: str
    depth: int = 0
    total: int | None = None
    done: int = 0
    """Calls that have a result, including reused ones."""
    reused: int = 0
    failed: int = 0
    retried: int = 0
    state: str = "open"
    """`open`, `done`, `skipped` or `failed`."""
    opened: float = 0.0
    """When its calls could start."""
    started: float | None = None
    """When its first call started; None before, and of a node without calls of its own."""
    ended: float | None = None
    pixels: int = 0
    """Pixels that calls reported in this session."""
    ground_km2: float = 0.0
    """Ground that these pixels cover, in km2."""
    begun: dict[tuple[str, int | None], float] = field(default_factory=dict)
    """Running calls: (node, item) -> done fraction, 0 to 1."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The last metrics that a call reported, by name."""
    samples: deque[tuple[float, float, int, float]] = field(default_factory=deque)
    """(time, calls executed, pixels, km2) of the last WINDOW_S seconds."""

    @property
    def seconds(self) -> float:
        """From its first call's start to its end, without the time in the queue; 0 while it runs."""
        began = self.opened if self.started is None else self.started
        return max(0.0, self.ended - began) if self.ended is not None else 0.0

    @property
    def settled(self) -> int:
        """Calls that have ended, for better or worse."""
        return self.done + self.failed

    @property
    def executed(self) -> float:
        """Calls executed in this session, running ones by their done fraction."""
        return self.done - self.reused + sum(self.begun.values())

    @property
    def fraction(self) -> float | None:
        """Done fraction of all calls, 0 to 1; None while their number is unknown."""
        if self.state == "done":
            return 1.0
        if not self.total:
            return None
        return min(1.0, (self.settled + sum(self.begun.values())) / self.total)

    def sample(self, now: float) -> None:
        """Take a sample for the rates."""
        if self.samples and now - self.samples[-1][0] < SAMPLE_S:
            return
        self.samples.append((now, self.executed, self.pixels, self.ground_km2))
        while len(self.samples) > 2 and now - self.samples[1][0] > WINDOW_S:
            self.samples.popleft()

    def _speeds(self, now: float) -> tuple[float, float, float]:
        """Calls, pixels and km2 per second."""
        if self.ended is not None:
            now, since, executed, pixels, ground = self.ended, self.ended - self.seconds, 0.0, 0, 0.0
        elif self.samples:
            since, executed, pixels, ground = self.samples[0]
        else:
            return 0.0, 0.0, 0.0
        span = now - since
        if span < 0.2:
            return 0.0, 0.0, 0.0
        grown = self.executed - executed, self.pixels - pixels, self.ground_km2 - ground
        calls, pixels_per_s, km2_per_s = (max(0.0, each) / span for each in grown)
        return calls, pixels_per_s, km2_per_s

    def calls_per_s(self, now: float) -> float:
        """Calls executed per second in the last WINDOW_S seconds; of a node that ended, over its whole time."""
        return self._speeds(now)[0]

    def pixels_per_s(self, now: float) -> float:
        """Pixels per second over the same time; 0 when its calls report none."""
        return self._speeds(now)[1]

    def km2_per_s(self, now: float) -> float:
        """Square kilometres of ground per second over the same time; 0 when its calls report none."""
        return self._speeds(now)[2]

    def eta_s(self, now: float) -> float | None:
        """Seconds until all calls have ended at the current rate; None while that is unknown."""
        speed = self.calls_per_s(now)
        if self.total is None or self.state != "open" or speed <= 0:
            return None
        left = self.total - self.settled - sum(self.begun.values())
        return max(0.0, left) / speed


@dataclass
class RunProgress:
    """Counts of a run."""

    run: str = ""
    pipeline: str = ""
    name: str = ""
    cluster: str = ""
    workers: int | None = None
    started: float | None = None
    stopping: str = ""
    """Why it is being stopped; empty while it is not."""
    end: events.RunDone | None = None
    nodes: dict[str, NodeProgress] = field(default_factory=dict)

    def node(self, name: str, now: float) -> NodeProgress:
        """The node of that name; a new one starts now."""
        found = self.nodes.get(name)
        if found is None:
            found = self.nodes[name] = NodeProgress(name, opened=now)
        return found

    def take(self, event: events.Event) -> NodeProgress | None:
        """Count one event. Returns its node, if it has one."""
        if isinstance(event, events.CallEvent):
            return self._call(event)
        match event:
            case events.NodeOpened():
                node = self.node(collapsed(event.node), event.time)
                if in_mapped(event.node):
                    node.total = None if event.total is None else (node.total or 0) + event.total
                else:
                    node.total = event.total
                node.depth = event.depth
                node.sample(event.time)
                return node
            case events.NodeDone():
                if in_mapped(event.node):
                    return self.nodes.get(collapsed(event.node))
                node = self.node(collapsed(event.node), event.time)
                self._end(node, event)
                for inner in self.nodes.values():
                    if inner.name.startswith(f"{node.name}/") and inner.state == "open":
                        self._end(inner, event)
                return node
            case events.RunStarted():
                self.run, self.pipeline, self.name = event.run, event.pipeline, event.name
                self.cluster, self.started = event.cluster, event.time
            case events.ClusterReady():
                self.cluster, self.workers = event.cluster, event.workers
            case events.RunStopping():
                self.stopping = event.reason
            case events.RunDone():
                self.end = event
        return None

    @staticmethod
    def _end(node: NodeProgress, event: events.NodeDone) -> None:
        node.state, node.ended = event.state, event.time
        node.begun.clear()

    def _call(self, event: events.CallEvent) -> NodeProgress:
        node = self.node(collapsed(event.node), event.time)
        match event:
            case events.CallStarted():
                node.begun[event.node, event.item] = 0.0
                node.started = event.time if node.started is None else node.started
            case events.CallProgress():
                if event.done is not None and event.total:
                    if not node.executed:  # the time before was start-up and does not count for the rate
                        node.samples.clear()
                    node.begun[event.node, event.item] = min(1.0, max(0.0, event.done / event.total))
                node.pixels += event.pixels
                node.ground_km2 += event.ground_km2
            case events.CallMetrics():
                node.metrics = event.values
            case events.CallDone():
                node.begun.pop((event.node, event.item), None)
                node.done += 1
                node.reused += event.reused
            case events.StepDone():
                node.done += 1
            case events.CallRetried():
                node.begun.pop((event.node, event.item), None)
                node.retried += 1
            case events.CallFailed():
                node.begun.pop((event.node, event.item), None)
                node.failed += 1
        node.sample(event.time)
        return node


def ordered(run: RunProgress) -> list[NodeProgress]:
    """Nodes in the order in which they started, those of a step below the step."""
    below: dict[str, list[NodeProgress]] = {}
    for node in run.nodes.values():
        below.setdefault(step_of(node.name), []).append(node)

    def walk(name: str) -> Iterator[NodeProgress]:
        for node in below.pop(name, ()):
            yield node
            yield from walk(node.name)

    found = list(walk(""))
    return found + [node for rest in below.values() for node in rest]


def step_of(name: str) -> str:
    """The step that a node is in: `detect` for `detect/fetch`; empty for a node of the pipeline itself."""
    return name.rpartition("/")[0]
