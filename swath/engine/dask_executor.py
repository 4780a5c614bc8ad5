"""Calls on a Dask cluster, through futures; the engine's journal makes them durable, not the cluster's memory."""

from __future__ import annotations

import queue
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import cloudpickle
from distributed.scheduler import KilledWorker

from swath.engine.executor import Executor
from swath.engine.work import Outcome, Said, Say, Work, failure, perform, worker_name
from swath.errors import InfrastructureError, TaskFailed, TaskTimeout

if TYPE_CHECKING:
    from distributed import Client, Future

SAY_EVERY_S = 0.2
"""Progress of one call is sent at most so often."""
KILL_TIMEOUT_S = 20.0
FETCH_TIMEOUT_S = 30.0
"""An outcome is a few kB and its worker has just made it; when it does not come in that time, nobody has it."""


def run_work(data: bytes, topic: str) -> Outcome:
    """What a worker runs: one call. What it says goes to the client through the scheduler's event log."""
    from distributed import get_worker

    worker = get_worker()
    name = f"{worker.name}" if isinstance(worker.name, int) else worker_name()
    work: Work = cloudpickle.loads(data)
    held: list[Said] = []
    sent = 0.0

    def send(said: Said) -> None:
        worker.log_event(topic, {"said": said.__dict__, "address": worker.address})

    def say(said: Said) -> None:
        nonlocal sent
        if said.level == "progress":
            held.append(said)
            now = time.monotonic()
            if now - sent < SAY_EVERY_S:
                return
            sent = now
            flush()
        else:
            send(said)

    def flush() -> None:
        if held:
            last = held[-1]
            pixels = sum(said.pixels for said in held)
            held.clear()
            send(Said(last.work, last.time, "progress", "", last.done, last.total, pixels, last.worker))

    try:
        return perform(work, say, f"worker-{name}" if name.isdigit() else name)
    finally:
        flush()


class DaskExecutor:
    """The executor on a `distributed.Client`. Does not own the client; whoever started the cluster closes it."""

    def __init__(self, client: Client, say: Say) -> None:
        self._client = client
        self._say = say
        self._topic = f"swath-{id(self)}-{time.time_ns()}"
        self._futures: dict[str, Future[Outcome]] = {}
        self._limits: dict[str, float] = {}
        self._running: dict[str, tuple[float, str]] = {}
        self._works: dict[str, Work] = {}
        self._suspects: deque[Work] = deque()
        self._tried_alone: set[str] = set()
        self._held: deque[Work] = deque()
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        client.subscribe_topic(self._topic, self._heard)

    @property
    def slots(self) -> int:
        """Threads of all workers."""
        threads: int = sum(self._client.nthreads().values())
        return max(1, threads)

    def submit(self, work: Work) -> None:
        if self._suspects:
            self._held.append(work)
        else:
            self._send(work)

    def _send(self, work: Work, *, alone: bool = False) -> None:
        if work.timeout_s is not None:
            self._limits[work.id] = work.timeout_s
        key = f"{work.id}/alone" if alone else work.id
        future = self._client.submit(
            run_work, cloudpickle.dumps(work), self._topic, key=key, pure=False, resources=work.resources or None
        )
        self._futures[work.id] = future
        self._works[work.id] = work
        self._watch(work.id)

    def _watch(self, work: str) -> None:
        self._futures[work].add_done_callback(lambda _future: self._arrived.put(("ended", work)))

    def _try_alone(self) -> None:
        """Run calls whose workers died again, one at a time and nothing beside them.

        Dask blames every call that a dead worker held. A call that fails even alone is the one that kills workers.
        """
        if self._futures:
            return
        while self._suspects and self._suspects[0].id in self._tried_alone:
            self._suspects.popleft()
        if self._suspects:
            self._tried_alone.add(self._suspects[0].id)
            self._send(self._suspects[0], alone=True)
        while self._held and not self._suspects:
            self._send(self._held.popleft())

    def _heard(self, event: tuple[float, Any]) -> None:
        # Runs on the client's own thread: only hand it on.
        self._arrived.put(("said", event[1]))

    def wait(self, timeout_s: float) -> list[Outcome]:
        outcomes = self._end_overdue()
        ended: list[str] = []
        until = time.monotonic() + timeout_s
        while True:
            left = 0.0 if ended or outcomes else until - time.monotonic()
            try:
                kind, value = self._arrived.get(timeout=left) if left > 0 else self._arrived.get_nowait()
            except queue.Empty:
                break
            if kind == "said":
                self._pass_on(value)
            elif value in self._futures and value not in ended:
                ended.append(value)
        if not ended and not outcomes:
            self._check_alive()
        outcomes += self._collect(ended)
        self._try_alone()
        return outcomes

    def _pass_on(self, message: dict[str, Any]) -> None:
        said = Said(**message["said"])
        if said.level == "started":
            self._running[said.work] = (time.monotonic(), message["address"])
        self._say(said)

    def _collect(self, ended: list[str]) -> list[Outcome]:
        outcomes = []
        for work in ended:
            if self._futures[work].status in ("pending", "lost"):
                self._watch(work)  # its worker died with the outcome; Dask makes the call again
                continue
            future = self._futures.pop(work)
            self._running.pop(work, None)
            self._limits.pop(work, None)
            outcome = self._outcome(work, future)
            future.release()
            call = self._works.pop(work)
            if outcome.lost and work not in self._tried_alone:
                self._suspects.append(call)
            else:
                outcomes.append(outcome)
        return outcomes

    def _outcome(self, work: str, future: Future[Outcome]) -> Outcome:
        if future.status != "finished":
            return self._broken(work, future)
        try:
            return future.result(timeout=FETCH_TIMEOUT_S)
        except KilledWorker:
            return self._broken(work, future)
        except TimeoutError as error:
            raise InfrastructureError(
                f"the outcome of a call did not come within {FETCH_TIMEOUT_S:g} s: its worker is gone and none took its place",
                remedy="`pipe resume last` goes on",
            ) from error

    def _broken(self, work: str, future: Future[Outcome]) -> Outcome:
        if future.status == "cancelled":
            raise InfrastructureError(
                "the Dask scheduler forgot a call: the cluster was restarted or lost",
                remedy="`pipe resume last` goes on",
            )
        error = future.exception()
        if isinstance(error, KilledWorker):
            failed = TaskFailed(
                "the call killed each worker that tried it",
                remedy="give workers more memory (cluster.memory_gb) or make its input smaller",
            )
            return Outcome(work, "", 0.0, None, str(failed), "", False, 1, lost=True)
        return failure(work, "", 0.0, error or TaskFailed("the call ended without a result"))

    def _end_overdue(self) -> list[Outcome]:
        """End the workers whose call passed its time limit: nothing else stops a call that sits in C code."""
        now = time.monotonic()
        overdue = [
            work
            for work, (since, _) in self._running.items()
            if work in self._limits and now - since > self._limits[work]
        ]
        outcomes = []
        for work in overdue:
            _, address = self._running.pop(work)
            limit = self._limits.pop(work)
            future = self._futures.pop(work)
            self._works.pop(work)
            future.cancel(force=True, reason="time limit", msg="the call passed its time limit")
            try:
                self._client.restart_workers([address], timeout=KILL_TIMEOUT_S, raise_for_error=False)
            except ValueError as error:  # a worker without a nanny cannot be restarted
                raise InfrastructureError(
                    f"a call passed its time limit of {limit:g} s, and its worker {address} cannot be restarted: {error}",
                    remedy="start workers with a nanny (the default of `dask worker`)",
                ) from error
            error_ = TaskTimeout(f"the call took longer than its time limit of {limit:g} s; its worker was restarted")
            outcomes.append(Outcome(work, address, limit, None, str(error_), "", True, 1, lost=True))
        return outcomes

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise InfrastructureError(
                f"the Dask scheduler at {self._client.scheduler.address if self._client.scheduler else '?'} is lost",
                remedy="finished calls are kept: start it again, then `pipe resume last`",
            )

    def cancel(self) -> None:
        futures = list(self._futures.values())
        for held in (self._futures, self._works, self._running, self._suspects, self._held):
            held.clear()
        if self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)
            if futures:
                self._client.cancel(futures, force=True)


_: type[Executor] = DaskExecutor
