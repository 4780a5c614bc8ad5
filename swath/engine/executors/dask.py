"""Calls on a Dask cluster, through futures; the engine's journal makes them durable, not the cluster's memory."""

from __future__ import annotations

import itertools
import queue
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed.scheduler import KilledWorker

from swath.engine.call import (
    OUTPUT_INTERVAL_S,
    BatchResult,
    CallBatch,
    CallOutput,
    NodeContext,
    OutputListener,
    failure,
)
from swath.engine.executors.dask_worker import pack_calls, pack_context, run_batch
from swath.engine.executors.executor import Executor
from swath.errors import InfrastructureError, TaskFailed, TaskTimeout

if TYPE_CHECKING:
    from distributed import Client, Future

KILL_TIMEOUT_S = 20.0
FETCH_TIMEOUT_S = 10.0
"""When an answer has not come in that time it is asked whether any worker has it: one may be busy for long. If none has, the
batch is made again: Dask itself does not always see that an answer went with its worker while it was fetched."""
FETCHES = 8
"""So many answers are fetched at once."""
COMMONS = 64
"""So many packed commons are held, for nodes whose batches alternate."""


@dataclass
class _Sent:
    """A batch on its way."""

    batch: CallBatch
    future: Future[BatchResult]
    alone: bool
    ended: bool = False
    started: float | None = None
    """When it last said that a call began, by the monotonic clock."""
    address: str = ""


class DaskExecutor:
    """The executor on a `distributed.Client`. Does not own the client; whoever started the cluster closes it.

    check: raises when what a call asks for can never be had on this cluster. on_backlog: hears how much there is to do.
    """

    batch_s = 0.3

    def __init__(
        self,
        client: Client,
        say: OutputListener,
        *,
        check: Callable[[Mapping[str, float]], None] | None = None,
        on_backlog: Callable[[int, float | None], None] | None = None,
    ) -> None:
        self._client = client
        self._say = say
        self._check = check
        self._on_backlog = on_backlog
        self._topic = f"swath-{id(self)}-{time.time_ns()}"
        self._sent: dict[int, _Sent] = {}
        self._suspects: deque[CallBatch] = deque()
        self._held: deque[CallBatch] = deque()
        self._packed: OrderedDict[int, tuple[NodeContext, bytes]] = OrderedDict()
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._slots = (-1.0, 1)
        self._numbers = itertools.count(1)
        self._fetching = ThreadPoolExecutor(FETCHES, thread_name_prefix="swath-fetch")
        client.subscribe_topic(self._topic, self._heard)

    @property
    def slots(self) -> int:
        """Threads of all workers."""
        at, slots = self._slots
        if time.monotonic() - at > 1:
            slots = max(1, sum(self._client.nthreads().values()))
            self._slots = (time.monotonic(), slots)
        return slots

    @property
    def window(self) -> int:
        return max(4, 3 * self.slots)

    def submit(self, batch: CallBatch) -> None:
        if self._check is not None:
            self._check(batch.task.policy.resources)
        if self._suspects:
            self._held.append(batch)
        else:
            self._send(batch)

    def _send(self, batch: CallBatch, *, alone: bool = False) -> None:
        commons = list({id(call.common): call.common for call in batch.calls}.values())
        first = batch.calls[0]
        key = f"{first.common.run}/{first.common.node}/{first.item}/{batch.id}/{next(self._numbers)}"
        future = self._client.submit(
            run_batch, [self._pack(common) for common in commons], pack_calls(batch, commons), self._topic,
            key=key, pure=False, resources=dict(batch.task.policy.resources) or None,
        )  # fmt: skip
        self._sent[batch.id] = _Sent(batch, future, alone)
        self._watch(batch.id)

    def _pack(self, common: NodeContext) -> bytes:
        found = self._packed.pop(id(common), None) or (common, pack_context(common))
        self._packed[id(common)] = found  # holds `common`, so that its id stays its own
        if len(self._packed) > COMMONS:
            self._packed.popitem(last=False)
        return found[1]

    def _watch(self, batch: int) -> None:
        self._sent[batch].future.add_done_callback(lambda _future: self._arrived.put(("ended", batch)))

    def _try_alone(self) -> None:
        """Run calls whose workers died again, one at a time and nothing beside them.

        Dask blames every call that a dead worker held. A call that fails even alone is the one that kills workers.
        """
        if self._sent:
            return
        if self._suspects:
            self._send(self._suspects.popleft(), alone=True)
        while self._held and not self._suspects and not self._sent:
            for _ in range(len(self._held)):
                self._send(self._held.popleft())

    def _heard(self, event: tuple[float, Any]) -> None:
        # Runs on the client's own thread: only hand it on.
        self._arrived.put(("said", event[1]))

    def wait(self, timeout_s: float) -> list[BatchResult]:
        answers = self._end_overdue()
        until = time.monotonic() + timeout_s
        while True:
            left = 0.0 if answers else until - time.monotonic()
            try:
                kind, value = self._arrived.get(timeout=left) if left > 0 else self._arrived.get_nowait()
            except queue.Empty:
                break
            if kind == "said":
                self._pass_on(value)
            elif kind == "ended":
                self._ended(value)
            elif (answer := self._fetched(*value)) is not None:
                answers.append(answer)
        if not answers:
            self._check_alive()
        self._try_alone()
        return answers

    def _pass_on(self, message: dict[str, Any]) -> None:
        sent = self._sent.get(message["batch"])
        for parts in message["said"]:
            said = CallOutput(*parts)
            if said.level == "started" and sent is not None:
                sent.started, sent.address = time.monotonic(), message["address"]
            self._say(said)

    def _ended(self, number: int) -> None:
        """A future says that it ended: fetch the answer, in a thread, because a busy worker may take long to give it."""
        sent = self._sent.get(number)
        if sent is None or sent.ended:
            return
        if sent.future.status in ("pending", "lost"):
            self._watch(number)  # its worker died with the answer; Dask makes the calls again
            return
        sent.ended, sent.started = True, None
        if sent.future.status == "finished":
            self._fetching.submit(self._fetch, number, sent.future)
        else:
            self._arrived.put(("fetched", (number, sent.future, None)))

    def _fetch(self, number: int, future: Future[BatchResult]) -> None:
        """Wait for an answer as long as somebody has it."""
        while True:
            try:
                answer: BatchResult | BaseException | None = future.result(timeout=FETCH_TIMEOUT_S)
            except TimeoutError:
                if self._client.status == "running" and any(self._client.who_has([future]).values()):
                    continue
                answer = None
            except (Exception, CancelledError) as error:  # noqa: BLE001 - told on the engine's thread
                answer = error
            self._arrived.put(("fetched", (number, future, answer)))
            return

    def _fetched(
        self, number: int, future: Future[BatchResult], answer: BatchResult | BaseException | None
    ) -> BatchResult | None:
        """What came back for a batch; None when there is nothing to say yet."""
        sent = self._sent.get(number)
        if sent is None or sent.future is not future:
            return None
        del self._sent[number]
        if answer is None and future.status == "finished":
            self._send(sent.batch, alone=sent.alone)  # it went with its worker while it was fetched
            return None
        found = answer if isinstance(answer, BatchResult) else self._broken(sent)
        future.release()
        if found.lost and len(sent.batch.calls) == 1 and not sent.alone:
            self._suspects.append(sent.batch)
            return None
        for said in found.said:
            self._say(said)
        return found

    def _broken(self, sent: _Sent) -> BatchResult:
        self._check_alive()
        if sent.future.status in ("cancelled", "finished"):
            raise InfrastructureError(
                "the Dask scheduler forgot a call: the cluster was restarted or lost",
                remedy="`pipe resume last` goes on",
            )
        error = sent.future.exception()
        if not isinstance(error, KilledWorker):
            wrong = failure(error or TaskFailed("the call ended without a result"), 0.0)
            return BatchResult(sent.batch.id, "", [wrong] * len(sent.batch.calls))
        failed = TaskFailed(
            "the call killed each worker that tried it",
            remedy="give workers more memory (cluster.memory_gb) or make its input smaller",
        )
        outcomes = [failure(failed, 0.0)._replace(traceback="", retryable=False)] if sent.alone else []
        return BatchResult(sent.batch.id, "", outcomes, lost="" if sent.alone else "workers that tried it died")

    def _end_overdue(self) -> list[BatchResult]:
        """End the workers whose call passed its time limit: nothing else stops a call that sits in C code."""
        now = time.monotonic()
        answers = []
        for number, sent in list(self._sent.items()):
            limit = sent.batch.task.policy.timeout_s
            if limit is None or sent.started is None:
                continue
            single = len(sent.batch.calls) == 1
            # Of many quick calls not each start is told, so the one that hangs may have begun a little later.
            if now - sent.started > (limit if single else limit + 2 * OUTPUT_INTERVAL_S):
                del self._sent[number]
                self._end_worker(sent, limit)
                late = TaskTimeout(f"the call took longer than its time limit of {limit:g} s; its worker was restarted")
                outcomes = [failure(late, limit)._replace(traceback="")] if single else []
                lost = "" if single else f"one of its calls took longer than its time limit of {limit:g} s"
                answers.append(BatchResult(number, sent.address, outcomes, lost=lost))
        return answers

    def _end_worker(self, sent: _Sent, limit: float) -> None:
        sent.future.cancel(force=True, reason="time limit", msg="the call passed its time limit")
        try:
            self._client.restart_workers([sent.address], timeout=KILL_TIMEOUT_S, raise_for_error=False)
        except ValueError as error:  # a worker without a nanny cannot be restarted
            raise InfrastructureError(
                f"a call passed its time limit of {limit:g} s, and its worker {sent.address} cannot be restarted: {error}",
                remedy="start workers with a nanny (the default of `dask worker`)",
            ) from error

    def _check_alive(self) -> None:
        if self._client.status != "running":
            raise InfrastructureError(
                f"the Dask scheduler at {self._client.scheduler.address if self._client.scheduler else '?'} is lost",
                remedy="finished calls are kept: start it again, then `pipe resume last`",
            )

    def backlog(self, calls: int, seconds: float | None) -> None:
        if self._on_backlog is not None:
            self._on_backlog(calls, seconds)

    def cancel(self) -> None:
        futures = [sent.future for sent in self._sent.values()]
        for held in (self._sent, self._suspects, self._held):
            held.clear()
        if self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)
            if futures:
                self._client.cancel(futures, force=True)
        self._fetching.shutdown(wait=False, cancel_futures=True)


_: type[Executor] = DaskExecutor
