"""Tracing: a run as an OpenTelemetry trace, with spans for the run, its nodes and their calls."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swath import events
from swath.reporting import otel
from swath.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

_TEXT = 2000
"""Characters of a message or a traceback in a span."""
_RETRIES = 20
"""Retries of a call that its span lists."""
_RESULTS = {
    "done": "success",
    "partial": "failure",
    "failed": "failure",
    "interrupted": "cancellation",
    "terminated": "cancellation",
}


@dataclass(frozen=True)
class TraceLimits:
    """Size of a trace, and how long its end may take."""

    calls: int = 10_000
    """Calls of a run that get a span each. Later ones are counted on their node; failed ones among them still get a
    span, up to a tenth of this number."""
    queue: int = 16_384
    """Spans that wait to be sent; further ones are dropped."""
    flush_s: float = 5.0
    """For sending the last spans at the end of a run."""
    terminated_s: float = 1.0
    """The same after SIGTERM."""


def start_trace(attributes: Mapping[str, str], limits: TraceLimits = TraceLimits()) -> tuple[RunTrace | None, str]:
    """The listener that makes a run's trace; or None, and why there is none when a variable asks for it.

    attributes: of the run's span, besides those that events give. Nothing of OpenTelemetry is imported unless a
    variable asks for traces.
    """
    variable = otel.requested_by(os.environ)
    if not variable:
        return None, ""
    try:
        return RunTrace(otel.open_export(limits.queue), dict(attributes), limits), ""
    except ImportError as error:
        if error.name and not error.name.startswith("opentelemetry"):
            return None, f"{variable} asks for traces, but there are none: {error}"
        return None, f"{variable} asks for traces, which need an optional package: pip install 'swath[otel]'"
    except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a variable must not keep a run from starting
        return None, f"{variable} asks for traces, but there are none: {type(error).__name__}"


@dataclass
class _OpenNode:
    """Span of a node that has not ended, and counts of its calls."""

    span: Span
    context: Context
    made: int = 0
    reused: int = 0
    failed: int = 0
    retried: int = 0
    without_span: int = 0


@dataclass
class _OpenCall:
    """A call that has not ended."""

    started: float
    """Seconds since the epoch."""
    worker: str
    retries: list[events.CallRetried] = field(default_factory=list)


class RunTrace:
    """A listener of events that makes the spans of one run; `end` makes the last ones and sends them."""

    def __init__(self, export: otel.TraceExport, attributes: dict[str, str], limits: TraceLimits) -> None:
        self._export = export
        self._attributes = attributes
        self._limits = limits
        self._tracer: Tracer = export.provider.get_tracer("swath", __version__)
        self._run: Span | None = None
        self._context: Context = export.parent
        """Of the run's span; the parent's until the run has started."""
        self._nodes: dict[str, _OpenNode] = {}
        self._calls: dict[tuple[str, int | None], _OpenCall] = {}
        self._spans_left, self._failed_left = limits.calls, limits.calls // 10
        self._broken = ""
        """Class of an error of the SDK, after which no more spans are made."""

    def __call__(self, event: events.Event) -> None:
        if self._broken:
            return
        try:
            self._handle(event)
        except Exception as error:  # noqa: BLE001 - a fault of the SDK must not end a run
            self._broken = type(error).__name__

    def end(self, status: str, exit_code: int, error: str, at: float) -> str:
        """End the run's span and send what is left, within the time limit. Returns what went wrong. Never raises.

        at: end of the run, seconds since the epoch.
        """

        def close() -> None:
            self._end_spans(status, exit_code, error, at)
            self._export.provider.force_flush()

        flush = threading.Thread(target=_quietly(close), name="trace-flush", daemon=True)
        flush.start()
        flush.join(self._limits.terminated_s if status == "terminated" else self._limits.flush_s)
        late = flush.is_alive()
        shutdown = threading.Thread(target=_quietly(self._export.exporter.shutdown), name="trace-shutdown", daemon=True)
        shutdown.start()
        shutdown.join(0.5)
        if late:
            return f"the traces could not all be sent to {otel.endpoint()} in time"
        if lost := self._export.exporter.lost:
            return f"the traces could not be sent to {otel.endpoint()}: {lost:,} spans are lost"
        return f"the trace is incomplete: {self._broken}" if self._broken else ""

    # --- events

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.CallStarted():
                call = self._calls.get((event.node, event.item))
                if call is None:
                    self._calls[event.node, event.item] = _OpenCall(event.time, event.worker)
                else:
                    call.worker = event.worker
            case events.CallDone():
                self._call_done(event)
            case events.CallRetried():
                call = self._calls.setdefault((event.node, event.item), _OpenCall(event.time, ""))
                if len(call.retries) < _RETRIES:
                    call.retries.append(event)
            case events.CallFailed():
                self._call_failed(event)
            case events.NodeOpened():
                self._node_opened(event)
            case events.NodeDone():
                if node := self._nodes.pop(event.node, None):
                    self._end_node(node, event.state, event.time)
            case events.ClusterReady():
                attributes = {"swath.cluster.kind": event.cluster, "swath.cluster.workers": event.workers}
                self._span("start cluster", self._context, event.time - event.seconds, attributes).end(_ns(event.time))
            case events.RunStarted():
                self._run_started(event)
            case _:
                pass

    def _run_started(self, event: events.RunStarted) -> None:
        from opentelemetry.trace import set_span_in_context

        attributes = {
            "cicd.pipeline.name": event.pipeline, "cicd.pipeline.run.id": event.run, "swath.run.name": event.name,
            "swath.run.resumed": event.resumed, "swath.spec": event.spec, "swath.cluster.kind": event.cluster,
        }  # fmt: skip
        parent = self._export.parent
        self._run = self._span(f"run {event.pipeline}", parent, event.time, attributes | self._attributes)
        self._context = set_span_in_context(self._run, parent)

    def _node_opened(self, event: events.NodeOpened) -> None:
        from opentelemetry.trace import set_span_in_context

        step = next((self._nodes[name] for name in _steps_of(event.node) if name in self._nodes), None)
        parent = step.context if step else self._context
        attributes = {"cicd.pipeline.task.name": event.node, "cicd.pipeline.task.run.id": f"{event.run}/{event.node}"}
        span = self._span(event.node, parent, event.time, attributes)
        if event.total is not None:
            span.set_attribute("swath.calls.total", event.total)
        self._nodes[event.node] = _OpenNode(span, set_span_in_context(span, parent))

    def _call_done(self, event: events.CallDone) -> None:
        node = self._nodes.get(event.node)
        call = self._calls.pop((event.node, event.item), None)
        if node is None:
            return
        if event.reused:
            node.reused += 1
            return
        node.made += 1
        node.retried += bool(call and call.retries)
        if self._spans_left <= 0:
            node.without_span += 1
            return
        self._spans_left -= 1
        started = event.time - event.seconds
        span = self._call_span(node, event, event.worker, started if call is None else min(call.started, started), call)
        span.set_attribute("cicd.pipeline.task.run.result", "success")
        span.end(_ns(event.time))

    def _call_failed(self, event: events.CallFailed) -> None:
        from opentelemetry.trace import StatusCode

        node = self._nodes.get(event.node)
        call = self._calls.pop((event.node, event.item), None)
        if node is None:
            return
        node.failed += 1
        node.retried += bool(call and call.retries)
        if self._spans_left <= 0 and self._failed_left <= 0:
            node.without_span += 1
            return
        self._failed_left -= self._spans_left <= 0
        self._spans_left -= self._spans_left > 0
        span = self._call_span(node, event, call.worker if call else "", call.started if call else event.time, call)
        span.set_attributes({"cicd.pipeline.task.run.result": "failure", "error.type": _error_type(event.error)})
        span.set_status(StatusCode.ERROR, event.error[:_TEXT])
        exception = {"exception.type": _error_type(event.error), "exception.message": event.error[:_TEXT]}
        if event.traceback:
            exception["exception.stacktrace"] = event.traceback[-_TEXT:]
        span.add_event("exception", exception, _ns(event.time))
        span.end(_ns(event.time))

    # --- spans

    def _call_span(
        self, node: _OpenNode, event: events.CallEvent, worker: str, started: float, call: _OpenCall | None
    ) -> Span:
        name = event.node if event.item is None else f"{event.node}[{event.item}]"
        attributes: dict[str, Any] = {
            "cicd.pipeline.task.name": event.node,
            "cicd.pipeline.task.run.id": f"{event.run}/{name}",
        }
        if worker:
            attributes["cicd.worker.name"] = worker
        if event.item is not None:
            attributes["swath.call.item"] = event.item
        span = self._span(event.node, node.context, started, attributes)
        for retry in call.retries if call else ():
            exception: dict[str, Any] = {
                "exception.type": _error_type(retry.error), "exception.message": retry.error[:_TEXT],
                "swath.call.attempt": retry.attempt, "swath.call.delay_s": retry.delay_s,
            }  # fmt: skip
            span.add_event("retry", exception, _ns(retry.time))
        return span

    def _end_node(self, node: _OpenNode, state: str, at: float) -> None:
        from opentelemetry.trace import StatusCode

        result = {"done": "failure" if node.failed else "success", "skipped": "skip"}.get(state, "failure")
        node.span.set_attributes(
            {
                "cicd.pipeline.task.run.result": result, "swath.calls.made": node.made, "swath.calls.reused": node.reused,
                "swath.calls.failed": node.failed, "swath.calls.retried": node.retried,
                "swath.calls.without_span": node.without_span,
            }
        )  # fmt: skip
        if result == "failure":
            count = f"{node.failed} {'call' if node.failed == 1 else 'calls'} failed" if node.failed else state
            node.span.set_status(StatusCode.ERROR, count)
        node.span.end(_ns(at))

    def _end_spans(self, status: str, exit_code: int, error: str, at: float) -> None:
        from opentelemetry.trace import StatusCode

        for node in reversed(self._nodes.values()):
            self._end_node(node, "failed" if status == "failed" else "stopped", at)
        if self._run is None:
            return
        result = _RESULTS.get(status, "error")
        self._run.set_attributes(
            {"cicd.pipeline.result": result, "swath.run.status": status, "swath.run.exit_code": exit_code}
        )
        if exit_code:
            self._run.set_status(StatusCode.ERROR, error[:_TEXT] or status)
        self._run.end(_ns(at))

    def _span(self, name: str, parent: Context, started: float, attributes: Mapping[str, Any]) -> Span:
        return self._tracer.start_span(name, parent, start_time=_ns(started), attributes=dict(attributes))


def _steps_of(node: str) -> Iterator[str]:
    """The steps that a node is in, the innermost first: `a/b` and `a` of `a/b/c`."""
    while "/" in node:
        node = node.rpartition("/")[0]
        yield node


def _error_type(error: str) -> str:
    """The class of an error, as far as its text begins with one."""
    head = error.partition(":")[0]
    return head if head.isidentifier() else "SwathError"


def _ns(seconds: float) -> int:
    """Nanoseconds."""
    return int(seconds * 1e9)


def _quietly(function: Callable[[], None]) -> Callable[[], None]:
    """The function without its exceptions: lost spans are counted, and a thread that raises would print."""

    def call() -> None:
        with contextlib.suppress(Exception):
            function()

    return call
