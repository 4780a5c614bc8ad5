"""The state of an open node: what its calls share, and how many of them have failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import NodeContext
from swath.engine.fingerprint import fingerprint
from swath.engine.journal_rows import NodeRow
from swath.engine.node_results import ItemSources


@dataclass
class NodeState:
    """An open node."""

    row: NodeRow
    """As the journal has it."""
    context: NodeContext | None = None
    """What all its calls share; None of a step."""
    queue: BatchQueue | None = None
    """Where its calls wait; None of a step."""
    call_key: Callable[[Any], str] = fingerprint
    """Key of a call, from its positional arguments."""
    sources: ItemSources = ()
    """Of a mapped node: what its items are taken from."""
    ended: int = 0
    """Calls that have ended."""
    failed: int = 0
    """Calls that failed for good."""
