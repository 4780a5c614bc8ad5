"""The server's triggers: their parts over one database."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.server.database.database import Database
from swath.server.triggers.by_hand import ByHand
from swath.server.triggers.definitions import TriggerDefinitions
from swath.server.triggers.firings import Firings
from swath.server.triggers.hooks import Hooks
from swath.server.triggers.listing import TriggerLists
from swath.server.triggers.looks import Looks
from swath.server.triggers.scheduler import Scheduler


@dataclass(frozen=True)
class Triggers:
    """What the server has of triggers."""

    definitions: TriggerDefinitions
    by_hand: ByHand
    scheduler: Scheduler
    looks: Looks
    hooks: Hooks
    lists: TriggerLists

    @classmethod
    def of(cls, database: Database, clock: Callable[[], float] = time.time) -> Triggers:
        """All parts over one database."""
        firings, definitions = Firings(database), TriggerDefinitions(database, clock)
        return cls(
            definitions, ByHand(database, firings, clock), Scheduler(database, firings, clock),
            Looks(database, definitions, firings, clock), Hooks(database, firings, clock), TriggerLists(database, clock),
        )  # fmt: skip
