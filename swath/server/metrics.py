"""Metrics in the text format of Prometheus, version 0.0.4: runs, agents, and the requests of this process.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from swath.protocol.messages import AgentInfo
from swath.server.agents import ALIVE_S
from swath.server.database.database import Database

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""


class RequestCounts:
    """Requests that this process has answered. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._seconds = 0.0

    def add(self, method: str, status: int, seconds: float) -> None:
        """Count one answer. seconds: until its first byte, long polls with their wait."""
        with self._lock:
            self._counts[method, status] += 1
            self._seconds += seconds

    def samples(self) -> tuple[list[Sample], float]:
        """Answers by method and status, and the seconds of all of them."""
        with self._lock:
            found = sorted(self._counts.items())
            return [({"method": m, "status": str(s)}, float(n)) for (m, s), n in found], self._seconds


def exposition(
    database: Database, agents: Sequence[AgentInfo], requests: RequestCounts, now: float | None = None
) -> str:
    """All metrics. now: the server's clock."""
    at = time.time() if now is None else now
    with database.reading() as db:
        states = db.execute("SELECT state, count(*) AS runs FROM runs WHERE state <> 'ended' GROUP BY state")
        ended = db.execute("SELECT status, count(*) AS runs FROM runs WHERE state = 'ended' GROUP BY status")
        oldest = db.execute("SELECT min(queued) AS at FROM runs WHERE state = 'queued'")[0]["at"]
        beat = db.execute("SELECT min(beat) AS at FROM attempts WHERE ended IS NULL")[0]["at"]
    answers, seconds = requests.samples()
    count = {row["state"]: row["runs"] for row in states}
    alive = [agent for agent in agents if agent.seen_s < ALIVE_S]
    parts = [
        _metric("swath_runs", "gauge", "Runs that have not ended, by state.",
                [({"state": state}, count.get(state, 0)) for state in ("queued", "claimed", "running")]),
        _metric("swath_runs_ended", "gauge", "Runs that have ended and are stored, by status.",
                [({"status": row["status"]}, row["runs"]) for row in ended]),
        _metric("swath_queue_oldest_seconds", "gauge", "Age of the oldest queued run.",
                [({}, 0.0 if oldest is None else max(0.0, at - oldest))]),
        _metric("swath_attempts_silent_seconds", "gauge", "Longest time since an open attempt was heard of.",
                [({}, 0.0 if beat is None else max(0.0, at - beat))]),
        _metric("swath_agents", "gauge", "Agents that were heard of in the last minute.", [({}, len(alive))]),
        _metric("swath_agent_slots", "gauge", "Runs that these agents can execute at once.",
                [({}, sum(agent.slots for agent in alive))]),
        _metric("swath_agent_slots_busy", "gauge", "Of these, how many are taken.", [({}, sum(agent.busy for agent in alive))]),
        _metric("swath_http_requests_total", "counter", "Answers of this process.", answers),
        _metric("swath_http_request_seconds_total", "counter", "Seconds until the answers began, with the waits of long polls.",
                [({}, seconds)]),
    ]  # fmt: skip
    return "".join(parts)


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
