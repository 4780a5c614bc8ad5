"""How a run stands, in words: what the pages show of its state and status."""

from __future__ import annotations

from dataclasses import dataclass

from swath.protocol.messages import RunInfo

ENDED = {
    "done": "good",
    "partial": "warn",
    "failed": "bad",
    "crashed": "bad",
    "refused": "bad",
    "lost": "bad",
    "timed out": "bad",
    "over budget": "bad",
    "interrupted": "off",
    "terminated": "off",
}
"""Statuses of ended runs, with the colour that they are shown in."""


@dataclass(frozen=True)
class RunStatus:
    """A run's state in one word, and a sentence about it."""

    word: str
    tone: str
    """`wait`, `busy`, `good`, `warn`, `bad` or `off`: names of colours in the style sheet."""
    sentence: str = ""


def run_status(run: RunInfo) -> RunStatus:
    """How a run stands now."""
    if run.state == "queued":
        return RunStatus("queued", "wait", run.waits_for or "an agent is about to take it")
    if run.state == "ended":
        word = "stopped" if run.status == "interrupted" else run.status
        return RunStatus(word, ENDED.get(run.status, "bad"), run.error or run.cancel)
    if run.cancel:
        return RunStatus("stopping", "warn", run.cancel)
    if run.state == "claimed":
        return RunStatus("starting", "wait", f"{run.agent} has taken it")
    if run.silent_s:
        return RunStatus("silent", "warn", f"nothing was heard of it for {run.silent_s:.0f} s")
    return RunStatus("running", "busy")


def resumable(run: RunInfo) -> bool:
    """Whether it can go on where it ended."""
    return run.state == "ended" and run.status not in ("done", "refused")
