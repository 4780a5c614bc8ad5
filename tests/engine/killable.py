"""A process that runs random plans in forks of itself, so that a test can kill them at any moment and start the next at once.

It reads lines of JSON and answers with two lines for each: the pid of the fork, and its exit status when it has ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.spec.base import Spec
from tests.engine.conftest import start_or_resume
from tests.engine.random_graphs import Plan, pipeline_of, plain, random_plan

RUN = "run"


@dataclass(frozen=True)
class Ended:
    """How a plan's run ended."""

    value: Any
    """None when there is no result: it failed or was skipped."""
    places: list[str]
    made: int
    reused: int


def run(plan: Plan, folder: Path, nap_s: float = 0.0, run: str = RUN) -> Ended:
    """Run a plan inline, or go on with it. State and traces of calls are in the folder."""
    stop = Stop()
    home = folder / "state"
    store = ResultStore(str(home / "results"))
    with Journal.open(home) as journal:
        start_or_resume(journal, run)
        engine = Engine(run, journal=journal, store=store, emit=lambda event: None, stop=stop)
        graph = pipeline_of(plan, folder, nap_s).build(Spec())
        result = engine.execute(graph, InlineExecutor(engine.on_output, stop))
    value = None if result.value is None else plain(store.get(result.value))
    return Ended(value, sorted(place.partition(": ")[0] for place in result.set_aside), result.executed, result.reused)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            folder = Path(asked["folder"])
            ended = run(random_plan(random.Random(asked["seed"])), folder, asked["nap_s"])
            temporary = folder / "ended.tmp"
            temporary.write_bytes(pickle.dumps(dataclasses.astuple(ended)))
            temporary.rename(folder / "ended")
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
