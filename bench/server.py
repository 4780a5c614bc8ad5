"""Speed and size of the server: runs asked for and claimed through HTTP, the time until an agent hears of one and until the first
line of its log is there, log lines, lists of many runs, and idle agents.

Run: python bench/server.py [--runs 2000] [--agents 50] [--idle 1000] [--supervisors 200] [--stored-runs 10000 --stored-lines 10000000]
[--database postgresql://...] [--json FILE]. The server is a
process of its own; the clients are threads of this one, which share its two or more cores with it: on a small machine they are
a good part of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from swath.protocol.client import Client, ClientLimits  # noqa: E402
from swath.protocol.messages import AgentRegistration, Claim, RunRequest  # noqa: E402

SERVER = """
import sys
from pathlib import Path
from swath.server.rate_limit import Rate
from swath.server import services
from swath.server.serving import ListenAddress, Server

fast = services.ServerLimits(rate=Rate(per_s=1e6, burst=1e6))
made = services.Services.of
services.Services.of = classmethod(lambda cls, database, **others: made(database, limits=fast, **others))
server = Server(ListenAddress(port=0), Path(sys.argv[1]), sys.argv[2] or None)
user = server.services.accounts.create("user", "bench", "admin", who="bench")
agent = server.services.accounts.create("agent", "agents", "runner", who="bench")
server.run(lambda: print(server.url, user, agent, flush=True))
"""
SPEC = "pipeline: predict\nname: bench\n"


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def asked(url: str, token: str, runs: int) -> dict[str, Any]:
    """P1: runs asked for by eight connections."""
    client = Client(url, token)
    client.call("PUT", "/projects/bench", {"source": {"folder": "/bench"}})
    request = RunRequest(project="bench", spec=SPEC)
    took: list[float] = []

    def ask(number: int) -> None:
        began = time.perf_counter()
        client.submit(request, f"key {number}")
        took.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(runs)))
    seconds = time.perf_counter() - began
    return {"asked_per_s": runs / seconds, "asked_p99_ms": 1000 * percentile(took, 0.99)}


def registered(client: Client, name: str) -> str:
    return client.register(AgentRegistration(name=name, session=f"session of {name}", slots=1000, version="bench")).id


def claimed(url: str, token: str, runs: int, agents: int) -> dict[str, Any]:
    """P2: all of them claimed by so many agents, each once."""
    client = Client(url, token)
    found: list[str] = []

    def work(number: int) -> None:
        name = f"agent-{number}"
        agent = registered(client, name)
        turn = 0
        while True:
            claim = Claim(session=f"session of {name}", claim=f"claim {turn:06} of {name:>10}")
            got = client.claim(agent, claim)
            if got is None:
                return
            found.append(got.run)
            turn += 1

    began = time.perf_counter()
    with ThreadPoolExecutor(agents) as pool:
        list(pool.map(work, range(agents)))
    seconds = time.perf_counter() - began
    twice = [run for run, count in Counter(found).items() if count > 1]
    assert not twice
    assert len(found) == runs, (len(found), runs)
    return {"claimed_per_s": runs / seconds}


def heard(url: str, user: str, token: str, times: int) -> dict[str, Any]:
    """P3: from the request to the waiting agent."""
    client, people = Client(url, token), Client(url, user)
    agent = registered(client, "waiting")
    at: dict[str, float] = {}
    took: list[float] = []
    for number in range(times):
        waiting = threading.Thread(
            target=lambda n=number: at.update({client.claim(agent, claim_of(n)).run: time.perf_counter()})
        )  # type: ignore[union-attr]
        waiting.start()
        time.sleep(0.1)
        began = time.perf_counter()
        run = people.submit(RunRequest(project="bench", spec=SPEC), f"heard {number}").id
        waiting.join()
        took.append(at[run] - began)
    return {"heard_p50_ms": 1000 * statistics.median(took), "heard_p99_ms": 1000 * percentile(took, 0.99)}


def claim_of(number: int) -> Claim:
    return Claim(session="session of waiting", claim=f"a claim of its own {number:04}", wait_s=20)


def idle(url: str, token: str, agents: int, process: psutil.Process) -> dict[str, Any]:
    """P5: agents that wait, each in a request: memory and processor time of the server."""
    from urllib.parse import urlsplit

    client = Client(url, token, ClientLimits(read_s=60))
    before = process.memory_info().rss
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda n: registered(client, f"idle-{n}"), range(agents)))
    port = urlsplit(url).port

    async def wait_each() -> tuple[int, float]:
        writers = []
        for number, agent in enumerate(ids):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = json.dumps(
                {"session": f"session of idle-{number}", "claim": f"claim of {agent}", "wait_s": 25}
            ).encode()
            head = (
                f"POST /api/v1/agents/{agent}/claim HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            writers.append((reader, writer))
        await asyncio.sleep(5)
        used = sum(process.cpu_times()[:2])
        await asyncio.sleep(5)
        share = (sum(process.cpu_times()[:2]) - used) / 5
        rss = process.memory_info().rss
        for _, writer in writers:
            writer.close()
        return rss, share

    rss, share = asyncio.run(wait_each())
    return {"idle_agents": agents, "rss_mb": rss / 1e6, "rss_before_mb": before / 1e6, "idle_cores": share}


HELLO = """
from swath import Spec, pipeline, task

class Job(Spec):
    pass

@task
def hello():
    print("hello")

@pipeline
def job(spec: Job):
    return hello()
"""


def first_line(url: str, user: str, folder: Path, times: int) -> dict[str, Any]:
    """P4: from the request to the run's first log line at the server, with a real agent and supervisor."""
    from swath.agent.agent import Agent

    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "job.py").write_text(HELLO)
    (folder / "swath.yaml").write_text("")
    os.environ["SWATH_TRUST"] = "1"
    people = Client(url, user)
    people.call("PUT", "/projects/hello", {"source": {"folder": str(folder)}})
    own = people.call("POST", "/tokens", {"name": "hello", "kind": "agent", "project": "hello"})["token"]
    agent = Agent(Client(url, own), "bench", folder / "agent")
    thread = threading.Thread(target=agent.run, daemon=True)
    thread.start()
    took = []
    for number in range(times):
        began = time.perf_counter()
        request = RunRequest(project="hello", spec="pipeline: job\ncluster: inline\n", fresh=True)
        run = people.submit(request, f"hello {number}").id
        line = next(iter(people.follow(run)), None)
        took.append(time.perf_counter() - began)
        ended = people.wait(run)
        assert (ended.status, line is None) == ("done", False), ended.error
    agent.stop()
    thread.join(60)
    return {"first_line_p50_s": statistics.median(took), "first_line_most_s": max(took)}


def sent_lines(url: str, user: str, token: str, supervisors: int, seconds: float) -> dict[str, Any]:
    """P6: supervisors send 50 lines a second each, in batches of 100, while people ask for lists and the ends of logs."""
    client, people = Client(url, token), Client(url, user)
    agent = registered(client, "writing")
    for number in range(supervisors):
        people.submit(RunRequest(project="bench", spec=SPEC), f"written {number}")
    works = [
        client.claim(agent, Claim(session="session of writing", claim=f"a claim to write {n:06}"))
        for n in range(supervisors)
    ]
    over = time.monotonic() + seconds
    sent, asked_ms = [0] * supervisors, []

    def write(number: int) -> None:
        work = works[number]
        assert work is not None
        own, place = Client(url, work.token), f"/attempts/{work.run}/{work.number}"
        own.call("POST", f"{place}/beat", {})
        due = time.monotonic() + 2 * number / supervisors
        while due < over:
            time.sleep(max(0.0, due - time.monotonic()))
            first = sent[number] + 1
            lines = [
                {"id": n, "time": 5.0, "level": "info", "text": f"{n}: a line of some letters of a run"}
                for n in range(first, first + 100)
            ]
            own.call("POST", f"{place}/lines", {"lines": lines})
            sent[number] += 100
            due += 2.0

    def look() -> None:
        while time.monotonic() < over:
            for path in ("/runs?limit=50", f"/runs/{works[0].run}/lines?after={max(0, sent[0] - 500)}"):  # type: ignore[union-attr]
                began = time.perf_counter()
                people.call("GET", path)
                asked_ms.append(1000 * (time.perf_counter() - began))
            time.sleep(0.1)

    began = time.monotonic()
    with ThreadPoolExecutor(supervisors + 1) as pool:
        done = [pool.submit(look), *(pool.submit(write, number) for number in range(supervisors))]
        for each in done:
            each.result()
    return {"lines_per_s": sum(sent) / (time.monotonic() - began), "lines_api_p99_ms": percentile(asked_ms, 0.99)}


def fill(address: str, runs: int, lines: int) -> None:
    """P7: runs that have ended, with log lines, as if they had been there for long."""
    from swath.server.database.open import open_database
    from swath.server.services import Services

    database = open_database(address)
    services = Services.of(database)
    services.projects.put("bench", {"folder": "/bench"}, who="bench")
    for number in range(runs):
        services.queue.submit(
            RunRequest(project="bench", spec=SPEC), f"stored-{number:06}", "stored", "predict", "bench"
        )
    with database.transaction() as db:
        db.execute("UPDATE runs SET state = 'ended', status = 'done', started = queued, ended = queued + 60")
    each = (
        "INSERT INTO lines (run, id, attempt, time, level, node, worker, text) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
        " FROM n WHERE i < ?) SELECT CAST(? AS TEXT), i, 1, 5.0, 'info', 'infer', 'w', 'line ' || i || ' of a stored run' FROM n"
    )
    for number in range(runs):
        with database.transaction() as db:
            db.execute(each, (lines // runs, f"stored-{number:06}"))
    database.close()


def listed(url: str, user: str, runs: int, lines: int) -> dict[str, Any]:
    """P7: lists, and the last 500 lines of a log, with many runs and lines in the database."""
    people = Client(url, user)
    took: dict[str, list[float]] = {"list": [], "tail": []}
    for number in range(200):
        run = f"stored-{number * runs // 200:06}"
        for name, path in (
            (
                "list",
                ("/runs?limit=50", "/runs?status=done&limit=50", "/runs?project=bench&state=ended&limit=50")[
                    number % 3
                ],
            ),
            ("tail", f"/runs/{run}/lines?after={max(0, lines // runs - 500)}"),
        ):
            began = time.perf_counter()
            people.call("GET", path)
            took[name].append(1000 * (time.perf_counter() - began))
    return {
        f"{name}_{what}_ms": percentile(each, share)
        for name, each in took.items()
        for what, share in (("p50", 0.5), ("p99", 0.99))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--supervisors", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long they send lines")
    parser.add_argument("--stored-runs", type=int, default=0, help="in the database before, such as 10000")
    parser.add_argument("--stored-lines", type=int, default=0, help="such as 10000000")
    parser.add_argument("--database", default="")
    parser.add_argument("--json", type=Path)
    asked_for = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked_for.stored_runs:
            Path(folder, "server").mkdir()
            fill(asked_for.database or f"{folder}/server/server.sqlite", asked_for.stored_runs, asked_for.stored_lines)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, f"{folder}/server", asked_for.database],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            assert server.stdout is not None
            url, user, token = server.stdout.readline().split()
            process = psutil.Process(server.pid)
            found = {"database": asked_for.database.partition(":")[0] or "sqlite", "load": psutil.getloadavg()[0]}
            if asked_for.stored_runs:
                found |= listed(url, user, asked_for.stored_runs, asked_for.stored_lines)
            found |= asked(url, user, asked_for.runs)
            found |= claimed(url, token, asked_for.runs, asked_for.agents)
            found |= heard(url, user, token, 20)
            found |= first_line(url, user, Path(folder, "project"), 5)
            found |= sent_lines(url, user, token, asked_for.supervisors, asked_for.seconds)
            found |= idle(url, token, asked_for.idle, process)
        finally:
            server.terminate()
            server.wait(20)
    for name, value in found.items():
        print(f"{name:16} {value:.1f}" if isinstance(value, float) else f"{name:16} {value}")
    if asked_for.json is not None:
        asked_for.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
