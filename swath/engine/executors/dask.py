"""The executor on a Dask cluster, through futures; the engine's journal makes results durable, not the cluster's memory."""

from __future__ import annotations

import contextlib
import itertools
import queue
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed.scheduler import KilledWorker

from swath.engine.call import BatchResult, CallBatch, CallOutput, NodeContext, OutputListener, failed_outcome
from swath.engine.executors.dask_worker import pack_calls, pack_context, run_batch
from swath.engine.executors.executor import Executor
from swath.engine.executors.scheduler_connection import ConnectionLimits, SchedulerConnection
from swath.engine.output_capture import OUTPUT_INTERVAL_S
from swath.errors import InfrastructureError, TaskFailed, TaskTimeout

if TYPE_CHECKING:
    from distributed import Client, Future

RESTART_TIMEOUT_S = 20.0
FETCH_TIMEOUT_S = 10.0
"""When a result has not come in that time the scheduler is asked whether any worker has it: one may be busy for long. If none
has, the batch is submitted again: Dask itself does not always see that a result went with its worker while it was fetched."""
CANCEL_S = 10.0
FETCHES = 8
"""So many results are fetched at once."""
SENDS = 10
"""A batch is submitted so often, when it goes with a lost connection or worker each time."""
PACKED_CONTEXTS = 64
"""So many packed contexts stay in memory, for nodes whose batches alternate."""


@dataclass
class _InFlight:
    """A batch that was submitted."""

    batch: CallBatch
    future: Future[BatchResult]
    alone: bool
    """Whether nothing else runs beside it, because it is suspected of killing workers."""
    sends: int = 1
    """How often it was submitted."""
    done: bool = False
    started: float | None = None
    """When a call of it was last reported to start, by the monotonic clock."""
    address: str = ""
    """Of the worker that reported it."""


class DaskExecutor:
    """The executor on a `distributed.Client`. Does not own the client; whoever started the cluster closes it.

    check: raises when a task asks for resources that no worker of this cluster can have. on_backlog: gets the backlog.
    """

    batch_s = 0.3

    def __init__(
        self,
        client: Client,
        on_output: OutputListener,
        *,
        check: Callable[[Mapping[str, float]], None] | None = None,
        on_backlog: Callable[[int, float | None], None] | None = None,
        limits: ConnectionLimits = ConnectionLimits(),
    ) -> None:
        self._client: Any = client
        self._connection = SchedulerConnection(client, limits)
        self._on_output = on_output
        self._check = check
        self._on_backlog = on_backlog
        self._id = secrets.token_hex(8)
        """Keeps keys and the topic of this executor apart from those of others on the cluster, such as of a killed session of the
        same run: Dask takes equal keys for the same work."""
        self._topic = f"swath-{self._id}"
        self._in_flight: dict[int, _InFlight] = {}
        self._suspects: deque[CallBatch] = deque()
        """Single calls whose workers died; they run again one at a time."""
        self._postponed: deque[CallBatch] = deque()
        """Batches that wait until there are no suspects."""
        self._lost: deque[_InFlight] = deque()
        """Batches that went with a connection, until there is another."""
        self._packed: OrderedDict[int, tuple[NodeContext, bytes]] = OrderedDict()
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        """From the client's own threads: (`output`, event), (`done`, batch id) and (`fetched`, (batch id, future, result))."""
        self._slots = (-1.0, 1)
        self._numbers = itertools.count(1)
        self._fetch_pool = ThreadPoolExecutor(FETCHES, thread_name_prefix="swath-fetch")
        self._closed = False
        self._client.subscribe_topic(self._topic, lambda event: self._messages.put(("output", event[1])))

    @property
    def slots(self) -> int:
        """Threads of all workers."""
        at, slots = self._slots
        if time.monotonic() - at > 1:
            if self._connection.connected():
                with contextlib.suppress(InfrastructureError):  # whether it is lost is decided by `wait`
                    slots = max(1, sum(self._connection.ask(self._client.scheduler.ncores).values()))
            self._slots = (time.monotonic(), slots)
        return slots

    @property
    def window(self) -> int:
        return max(4, 3 * self.slots)

    # --- submitting

    def submit(self, batch: CallBatch) -> None:
        if self._check is not None:
            self._check(batch.task.policy.resources)
        if self._suspects:
            self._postponed.append(batch)
        else:
            self._send(batch)

    def _send(self, batch: CallBatch, *, alone: bool = False, sends: int = 1) -> None:
        """Submit a batch, for the `sends`-th time."""
        contexts = list({id(call.context): call.context for call in batch.calls}.values())
        first = batch.calls[0]
        key = f"{first.context.run}/{first.context.node}/{first.item}/{self._id}/{next(self._numbers)}"
        with self._connection.errors():
            future = self._client.submit(
                run_batch, [self._pack(context) for context in contexts], pack_calls(batch, contexts), self._topic,
                key=key, pure=False, resources=dict(batch.task.policy.resources) or None,
            )  # fmt: skip
        self._in_flight[batch.id] = _InFlight(batch, future, alone, sends)
        self._watch(batch.id)

    def _pack(self, context: NodeContext) -> bytes:
        found = self._packed.pop(id(context), None) or (context, pack_context(context))
        self._packed[id(context)] = found  # with `context`, so that its id stays its own
        if len(self._packed) > PACKED_CONTEXTS:
            self._packed.popitem(last=False)
        return found[1]

    def _watch(self, batch: int) -> None:
        self._in_flight[batch].future.add_done_callback(lambda _future: self._messages.put(("done", batch)))

    def _run_suspects(self) -> None:
        """Run calls whose workers died again, one at a time and nothing beside them.

        Dask blames every call that was on a worker when it died. A call that fails even alone is the one that kills workers.
        """
        if self._in_flight or self._lost:
            return
        if self._suspects:
            self._send(self._suspects.popleft(), alone=True)
        while self._postponed and not self._suspects and not self._in_flight:
            for _ in range(len(self._postponed)):
                self._send(self._postponed.popleft())

    # --- receiving

    def wait(self, timeout_s: float) -> list[BatchResult]:
        results = self._end_overdue() if self._connection.connected() else []
        until = time.monotonic() + timeout_s
        while True:
            left = 0.0 if results else until - time.monotonic()
            try:
                kind, value = self._messages.get(timeout=left) if left > 0 else self._messages.get_nowait()
            except queue.Empty:
                break
            if kind == "output":
                self._forward_output(value)
            elif kind == "done":
                self._on_done(value)
            elif (result := self._on_fetched(*value)) is not None:
                results.append(result)
        if results and self._client.status != "running":
            return results  # a scheduler that is gone is an error of the next turn, when they are recorded
        if self._connection.connected():
            self._send_lost()
            self._run_suspects()
        return results

    def _send_lost(self) -> None:
        while self._lost:
            entry = self._lost.popleft()
            self._send(entry.batch, alone=entry.alone, sends=entry.sends + 1)

    def _forward_output(self, message: dict[str, Any]) -> None:
        entry = self._in_flight.get(message["batch"])
        for fields in message["outputs"]:
            output = CallOutput(*fields)
            if output.level == "started" and entry is not None:
                entry.started, entry.address = time.monotonic(), message["address"]
            self._on_output(output)

    def _on_done(self, number: int) -> None:
        """A future is done: fetch the result, in a thread, because a busy worker may take long to send it."""
        entry = self._in_flight.get(number)
        if entry is None or entry.done:
            return
        if entry.future.status in ("pending", "lost"):
            self._watch(number)  # its worker died with the result; Dask runs the batch again
            return
        entry.done, entry.started = True, None
        if entry.future.status == "finished":
            self._fetch_pool.submit(self._fetch, number, entry.future)
        else:
            self._messages.put(("fetched", (number, entry.future, None)))

    def _fetch(self, number: int, future: Future[BatchResult]) -> None:
        """Wait for a result as long as a worker has it."""
        while True:
            try:
                result: BatchResult | BaseException | None = future.result(timeout=FETCH_TIMEOUT_S)
            except TimeoutError:
                if self._on_a_worker(future):
                    continue
                result = None
            except (Exception, CancelledError) as error:  # noqa: BLE001 - handled on the engine's thread
                result = error
            self._messages.put(("fetched", (number, future, result)))
            return

    def _on_a_worker(self, future: Future[BatchResult]) -> bool:
        """Whether a worker has the result of a future. From any thread."""
        try:
            found = self._connection.ask(self._client.scheduler.who_has, keys=[future.key])
        except InfrastructureError:
            return False
        return any(found.values())

    def _on_fetched(
        self, number: int, future: Future[BatchResult], fetched: BatchResult | BaseException | None
    ) -> BatchResult | None:
        """The result of a batch; None when it runs again."""
        entry = self._in_flight.get(number)
        if entry is None or entry.future is not future:
            return None
        del self._in_flight[number]
        lost = fetched is None or isinstance(fetched, OSError)  # it went with its worker while it was fetched
        if (future.status == "cancelled" or (future.status == "finished" and lost)) and entry.sends < SENDS:
            self._lost.append(entry)
            return None
        result = fetched if isinstance(fetched, BatchResult) else self._result_of_failed(entry)
        future.release()
        if result.lost and len(entry.batch.calls) == 1 and not entry.alone:
            self._suspects.append(entry.batch)
            return None
        for output in result.outputs:
            self._on_output(output)
        return result

    def _result_of_failed(self, entry: _InFlight) -> BatchResult:
        if entry.future.status in ("cancelled", "finished"):
            raise InfrastructureError(
                "the Dask scheduler forgot a call: the cluster was restarted or lost",
                remedy="`pipe resume last` goes on",
            )
        error = entry.future.exception()
        if not isinstance(error, KilledWorker):
            wrong = failed_outcome(error or TaskFailed("the call ended without a result"), 0.0)
            return BatchResult(entry.batch.id, "", [wrong] * len(entry.batch.calls))
        failed = TaskFailed(
            "the call killed each worker that tried it",
            remedy="give workers more memory (cluster.memory_gb) or make its input smaller",
        )
        outcomes = [failed_outcome(failed, 0.0)._replace(traceback="", retryable=False)] if entry.alone else []
        return BatchResult(entry.batch.id, "", outcomes, lost="" if entry.alone else "workers that tried it died")

    # --- time limits

    def _end_overdue(self) -> list[BatchResult]:
        """Restart the workers whose call is past its time limit: nothing else stops a call that sits in C code."""
        now = time.monotonic()
        results = []
        for number, entry in list(self._in_flight.items()):
            limit_s = entry.batch.task.policy.timeout_s
            if limit_s is None or entry.started is None:
                continue
            single = len(entry.batch.calls) == 1
            # Of many quick calls not each start is reported, so the one that hangs may have begun a little later.
            if now - entry.started > (limit_s if single else limit_s + 2 * OUTPUT_INTERVAL_S):
                del self._in_flight[number]
                self._restart_worker(entry, limit_s)
                late = TaskTimeout(
                    f"the call took longer than its time limit of {limit_s:g} s; its worker was restarted"
                )
                outcomes = [failed_outcome(late, limit_s)._replace(traceback="")] if single else []
                lost = "" if single else f"one of its calls took longer than its time limit of {limit_s:g} s"
                results.append(BatchResult(number, entry.address, outcomes, lost=lost))
        return results

    def _restart_worker(self, entry: _InFlight, limit_s: float) -> None:
        entry.future.cancel(force=True, reason="time limit", msg="the call passed its time limit")
        try:
            self._connection.ask(
                self._client._restart_workers, [entry.address], RESTART_TIMEOUT_S, raise_for_error=False,
                timeout_s=2 * RESTART_TIMEOUT_S,
            )  # fmt: skip
        except ValueError as error:  # a worker without a nanny cannot be restarted
            raise InfrastructureError(
                f"a call passed its time limit of {limit_s:g} s, and its worker {entry.address} cannot be restarted: {error}",
                remedy="start workers with a nanny (the default of `dask worker`)",
            ) from error

    # --- the cluster

    def backlog(self, calls: int, seconds: float | None) -> None:
        if self._on_backlog is not None:
            self._on_backlog(calls, seconds)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        futures = [entry.future for entry in self._in_flight.values()]
        for batches in (self._in_flight, self._suspects, self._postponed, self._lost):
            batches.clear()
        if self._client.status == "running":
            with contextlib.suppress(InfrastructureError, OSError):  # a scheduler that is lost meanwhile runs nothing
                self._client.unsubscribe_topic(self._topic)
                if futures:
                    self._connection.ask(self._client._cancel, futures, force=True, timeout_s=CANCEL_S)
        self._fetch_pool.shutdown(wait=False, cancel_futures=True)


_: type[Executor] = DaskExecutor
