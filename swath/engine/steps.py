"""Steps: graphs of pipelines that stand in the place of a call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Step:
    """The graph of one item of a node whose target is a pipeline."""

    node: str
    item: int
    names: list[str]
    """All nodes of the graph."""
    unsettled: int
    """How many of them have not ended."""


class Steps:
    """The steps of a run that have not ended."""

    def __init__(self) -> None:
        self._by_result: dict[str, Step] = {}
        self._by_node: dict[str, Step] = {}

    def add(self, step: Step, result: str) -> None:
        """Add a step. `result` is the node whose result is that of the step."""
        self._by_result[result] = step
        self._by_node.update(dict.fromkeys(step.names, step))

    def __len__(self) -> int:
        """Number of nodes of all of them."""
        return len(self._by_node)

    def contains(self, name: str) -> bool:
        """Whether a node is in a step."""
        return name in self._by_node

    def settle(self, name: str) -> None:
        """A node ended."""
        step = self._by_node.get(name)
        if step is not None:
            step.unsettled -= 1

    def pop_result(self, name: str) -> Step | None:
        """The step whose result is that of a node; it is returned once."""
        return self._by_result.pop(name, None)

    def pop_settled(self, name: str) -> list[str]:
        """All nodes of the step that a node is in, once all of them have ended; they are forgotten here."""
        step = self._by_node.get(name)
        if step is None or step.unsettled:
            return []
        for inner in step.names:
            del self._by_node[inner]
        return step.names
