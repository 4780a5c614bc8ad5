"""The plan of a run before it is started: an agent makes it, and the page shows what the run would read, write, take and cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from swath import units
from swath.errors import Mistake
from swath.protocol.messages import RunRequest
from swath.server.agents import ALIVE_S
from swath.server.refusals import Refusal
from swath.server.services import Services

WAIT_S = 25.0
"""How long a page waits for a plan; afterwards it is asked for again with the same button."""
LOOK_S = 1.0
_BYTES = "bytes"
MOST_FACTS = 100


@dataclass(frozen=True)
class RunPlan:
    """What the page shows of a plan."""

    facts: tuple[tuple[str, str], ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    error: str = ""
    waits: str = ""
    """Why there is none yet."""
    agents: tuple[str, ...] = ()
    """Agents that may take the run now."""


async def plan_of(server: Services, request: RunRequest, who: str) -> RunPlan:
    """Ask an agent for the plan of a run, and wait for a while."""
    try:
        inquiry = await run_in_threadpool(server.inquiries.ask, "plan", request, who)
    except Refusal as error:
        return RunPlan(error=error.message)
    server.wakeup.notify()
    deadline = time.monotonic() + WAIT_S
    agents = await run_in_threadpool(_takers, server, request)
    while True:
        state = await run_in_threadpool(server.inquiries.state, inquiry)
        if state.answer is not None or not state.open or time.monotonic() > deadline or server.wakeup.closed:
            break
        if not agents and not state.agent:
            break
        await server.wakeup.wait(LOOK_S)
    if state.answer is None:
        if state.agent:
            return RunPlan(waits=f"{state.agent} is still at it; ask for the plan once more in a moment", agents=agents)
        return RunPlan(waits="no agent that may take this run is connected, so there is no plan", agents=agents)
    answer = state.answer
    mistakes = tuple(Mistake(each.file, each.line, each.column, each.field, each.message) for each in answer.mistakes)
    failed = "" if mistakes else answer.error
    return RunPlan(_facts(answer.document or {}), mistakes, failed, agents=agents)


def _takers(server: Services, request: RunRequest) -> tuple[str, ...]:
    """Names of connected agents that have the run's labels, with how busy they are."""
    found = [
        agent
        for agent in server.agents.all()
        if agent.seen_s < ALIVE_S and not agent.paused and agent.project in (None, request.project)
        and set(request.labels) <= set(agent.labels)
    ]  # fmt: skip
    return tuple(f"{agent.name} ({agent.busy} of {agent.slots} busy)" for agent in found)


def _facts(plan: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """A plan's values with their names, as texts. What it is has been made by others: anything may be in it."""
    return tuple(
        (str(name).replace("_", " "), _text(str(name), value))
        for name, value in list(plan.items())[:MOST_FACTS]
        if not isinstance(value, dict)
    )


def _text(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], float | int) and isinstance(value[1], float | int | None):
            return f"at least {value[0]:g}" if value[1] is None else f"{value[0]:g} to {value[1]:g}"
        return ", ".join(str(each) for each in value[:8]) + (f" and {len(value) - 8} more" if len(value) > 8 else "")
    if isinstance(value, int) and not isinstance(value, bool):
        return units.size(value) if _BYTES in name.split("_") else f"{value:,}"
    return str(value)[:2000]
