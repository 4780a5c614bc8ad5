from __future__ import annotations

import re

from swath.protocol.messages import AgentInfo
from swath.server.database.database import Database
from swath.server.metrics import RequestCounts, exposition

SAMPLE = re.compile(r'([a-z_]+)(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? (-?[0-9.e+]+)')


def test_metrics_are_in_prometheus_text_format(database: Database) -> None:
    requests = RequestCounts()
    requests.add("GET", 200, 0.5)
    requests.add("GET", 200, 0.25)
    agent = AgentInfo(id="a", name="desk", labels=(), slots=4, busy=1, version="0.2.0", seen_s=2, paused=False)
    gone = agent.model_copy(update={"seen_s": 9999})
    text = exposition(database, [agent, gone], requests, now=1000.0)
    lines = text.splitlines()
    assert text.endswith("\n")
    assert all(line.startswith(("# HELP ", "# TYPE ")) or SAMPLE.fullmatch(line) for line in lines)
    for line in (
        'swath_http_requests_total{method="GET",status="200"} 2.0', "swath_http_request_seconds_total 0.75",
        "swath_agents 1", "swath_agent_slots 4", "swath_agent_slots_busy 1", 'swath_runs{state="queued"} 0',
        "swath_queue_oldest_seconds 0.0",
    ):  # fmt: skip
        assert line in lines
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(set(kinds)) == len(kinds)
