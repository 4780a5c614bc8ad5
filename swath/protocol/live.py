"""How a run that goes on stands: counts of its nodes and groups of its problems, small whatever the run's size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from swath.protocol.messages import Message

MOST_NODES = 200
MOST_PROBLEMS = 50
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LiveNode(Message):
    """Counts of one node; of a mapped step's inner node over all items."""

    name: str = Field(max_length=200)
    depth: Count = 0
    """0 for the pipeline's own nodes, 1 for those of a step."""
    state: Literal["open", "done", "skipped", "failed"]
    total: Count | None
    """None while it is not known."""
    done: Count
    """Calls with a result, those that were reused included."""
    reused: Count
    failed: Count
    retried: Count
    active: Count
    """Calls that are being executed."""
    fraction: float | None = Field(ge=0, le=1)
    """How much of it is done, running calls by their progress; None while that is not known."""
    calls_per_s: Amount
    pixels_per_s: Amount
    km2_per_s: Amount
    """Of ground."""
    eta_s: Amount | None
    seconds: Amount
    """How long it took; 0 while it goes on."""
    metrics: dict[Annotated[str, Field(max_length=100)], float] = Field(default={}, max_length=20)
    """The last ones of its calls, such as the loss of a training."""


class LiveProblem(Message):
    """Calls of a node that failed or were retried for one reason."""

    node: str = Field(max_length=200)
    item: int | None
    """Of the first of them."""
    final: bool
    """Whether they failed for good."""
    count: int = Field(ge=1)
    reason: str = Field(max_length=400)


class Live(Message):
    """A run as its process counts it."""

    nodes: tuple[LiveNode, ...] = Field(max_length=MOST_NODES)
    hidden: Count = 0
    """Nodes that are not among `nodes`."""
    workers: Count | None = None
    stopping: str = Field(default="", max_length=1000)
    problems: tuple[LiveProblem, ...] = Field(default=(), max_length=MOST_PROBLEMS)
    more_problems: Count = 0
    """Failures and retries that are in none of `problems`."""

    @property
    def current(self) -> LiveNode | None:
        """The node to look at: of those that are open the one with most calls; else the last one with calls."""
        counted = [node for node in self.nodes if node.total]
        going = [node for node in counted if node.state == "open"]
        return max(going, key=lambda node: node.total or 0) if going else (counted[-1] if counted else None)
