"""OpenTelemetry: a run as a trace, run > node > call, when its standard environment variables ask for it. Optional extra `otel`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swath import events
from swath.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span, Tracer

CALLS = 10_000
"""Calls of a run that get a span each; of the others only the failed do, up to a tenth of that. Nodes count all of theirs."""
FLUSH_S = 5.0
"""What is left is sent at the end of a run, for so long at most."""
HURRY_S = 1.0
"""The same when the run was terminated."""
QUEUE = 16_384
"""Spans that wait to be sent; more are dropped. OTEL_BSP_MAX_QUEUE_SIZE goes before it."""
_TEXT = 2000
"""Characters of a message or a traceback."""
_ASK = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER")
_RESULTS = {
    "done": "success",
    "partial": "failure",
    "failed": "failure",
    "interrupted": "cancellation",
    "terminated": "cancellation",
}


def asked(env: Mapping[str, str]) -> str:
    """The variable that asks for traces; empty when none does."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if env.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return ""
    return next((name for name in _ASK if env.get(name, "").strip()), "")


def start(attributes: Mapping[str, str]) -> tuple[Tracing | None, str]:
    """The listener that makes the trace, or None and why there is none; nothing is imported unless a variable asks for it.

    attributes: what the run's span says besides what the events say.
    """
    name = asked(os.environ)
    if not name:
        return None, ""
    try:
        _silence()
        return _start(attributes), ""
    except ImportError as error:
        if error.name and not error.name.startswith("opentelemetry"):
            return None, f"{name} asks for traces, but there are none: {error}"
        return None, f"{name} asks for traces, which need an optional package: pip install 'swath[otel]'"
    except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a variable must not keep a run from starting
        return None, f"{name} asks for traces, but there are none: {type(error).__name__}"


def _start(attributes: Mapping[str, str]) -> Tracing:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    named = {"service.name": "swath"} if not os.environ.get("OTEL_SERVICE_NAME") else {}
    resource = Resource.create({"service.version": __version__, **named})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    queue = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE
    sent = _Sent(_exporters())
    provider.add_span_processor(BatchSpanProcessor(sent, max_queue_size=queue))  # type: ignore[arg-type]  # it behaves as one
    carrier = {key: os.environ[key.upper()] for key in ("traceparent", "tracestate") if key.upper() in os.environ}
    parent = TraceContextTextMapPropagator().extract(carrier)
    return Tracing(provider, sent, parent, dict(attributes))


def _exporters() -> list[SpanExporter]:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    made: list[SpanExporter] = []
    for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").lower().split(","):
        match name.strip():
            case "console":
                made.append(ConsoleSpanExporter(out=sys.stderr))  # stdout is for data
            case "otlp" | "":
                made.append(_otlp())
            case "none":
                pass
            case _:
                raise ImportError("OTEL_TRACES_EXPORTER knows otlp, console and none", name="exporter")
    return made


def _otlp() -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol in (None, "", "http/protobuf"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    raise ImportError("the protocol of OTEL_EXPORTER_OTLP_PROTOCOL can only be http/protobuf", name="protocol")


class _Sent:
    """An exporter that hands on to others and counts what they could not send."""

    def __init__(self, exporters: list[SpanExporter]) -> None:
        self._exporters = exporters
        self.lost = 0

    def export(self, spans: Any) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        results = [exporter.export(spans) for exporter in self._exporters]
        if SpanExportResult.FAILURE not in results:
            return SpanExportResult.SUCCESS
        self.lost += len(spans)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return all(exporter.force_flush(timeout_millis) for exporter in self._exporters)


@dataclass
class _Node:
    """An open node's span, and its calls so far."""

    span: Span
    context: Context
    made: int = 0
    reused: int = 0
    failed: int = 0
    retried: int = 0
    untold: int = 0
    """Calls without a span of their own."""


@dataclass
class _Begun:
    """A call that has not ended."""

    time: float
    worker: str
    retries: list[events.CallRetried] = field(default_factory=list)


class Tracing:
    """A listener of events that makes the spans of one run; `end` makes the last one and sends what is left."""

    def __init__(self, provider: TracerProvider, sent: _Sent, parent: Context, attributes: dict[str, str]) -> None:
        self._provider = provider
        self._sent = sent
        self._parent = parent
        self._attributes = attributes
        self._tracer: Tracer = provider.get_tracer("swath", __version__)
        self._run: Span | None = None
        self._within: Context = parent
        self._nodes: dict[str, _Node] = {}
        self._begun: dict[tuple[str, int | None], _Begun] = {}
        self._left, self._left_failed = CALLS, CALLS // 10
        self._broken = ""

    def __call__(self, event: events.Event) -> None:
        if self._broken:
            return
        try:
            self._take(event)
        except Exception as error:  # noqa: BLE001 - traces are not worth a run
            self._broken = type(error).__name__

    def end(self, status: str, exit_code: int, error: str, at: float) -> str:
        """End the run's span and send what is left, for a few seconds at most. Returns what went wrong, or nothing. Never raises."""

        def close() -> None:
            self._end_all(status, exit_code, error, at)
            self._provider.force_flush()

        closing = threading.Thread(target=_swallowing(close), name="last spans", daemon=True)
        closing.start()
        closing.join(HURRY_S if status == "terminated" else FLUSH_S)
        late = closing.is_alive()
        stopping = threading.Thread(target=_swallowing(self._sent.shutdown), name="end of traces", daemon=True)
        stopping.start()
        stopping.join(0.5)
        if late:
            return f"the traces could not all be sent to {_whereto()} in time"
        if self._sent.lost:
            return f"the traces could not be sent to {_whereto()}: {self._sent.lost:,} spans are lost"
        return f"the trace is not whole: {self._broken}" if self._broken else ""

    # --- spans

    def _take(self, event: events.Event) -> None:
        match event:
            case events.CallStarted():
                begun = self._begun.get((event.node, event.item))
                if begun is None:
                    self._begun[event.node, event.item] = _Begun(event.time, event.worker)
                else:
                    begun.worker = event.worker
            case events.CallDone():
                self._done(event)
            case events.CallRetried():
                begun = self._begun.setdefault((event.node, event.item), _Begun(event.time, ""))
                if len(begun.retries) < 20:
                    begun.retries.append(event)
            case events.CallFailed():
                self._failed(event)
            case events.NodeOpened():
                self._open(event)
            case events.NodeDone():
                if node := self._nodes.pop(event.node, None):
                    self._close(node, event.state, event.time)
            case events.ClusterReady():
                about = {"swath.cluster.kind": event.cluster, "swath.cluster.workers": event.workers}
                self._span("start cluster", self._within, event.time - event.seconds, about).end(_ns(event.time))
            case events.RunStarted():
                self._start(event)
            case _:
                pass

    def _start(self, event: events.RunStarted) -> None:
        from opentelemetry.trace import set_span_in_context

        about = {
            "cicd.pipeline.name": event.pipeline, "cicd.pipeline.run.id": event.run, "swath.run.name": event.name,
            "swath.run.resumed": event.resumed, "swath.spec": event.spec, "swath.cluster.kind": event.cluster,
        }  # fmt: skip
        self._run = self._span(f"run {event.pipeline}", self._parent, event.time, about | self._attributes)
        self._within = set_span_in_context(self._run, self._parent)

    def _open(self, event: events.NodeOpened) -> None:
        from opentelemetry.trace import set_span_in_context

        above = next((self._nodes[part] for part in _above(event.node) if part in self._nodes), None)
        within = above.context if above else self._within
        about = {"cicd.pipeline.task.name": event.node, "cicd.pipeline.task.run.id": f"{event.run}/{event.node}"}
        span = self._span(event.node, within, event.time, about)
        if event.total is not None:
            span.set_attribute("swath.calls.total", event.total)
        self._nodes[event.node] = _Node(span, set_span_in_context(span, within))

    def _close(self, node: _Node, state: str, at: float) -> None:
        from opentelemetry.trace import StatusCode

        result = {"done": "failure" if node.failed else "success", "skipped": "skip"}.get(state, "failure")
        node.span.set_attributes(
            {
                "cicd.pipeline.task.run.result": result, "swath.calls.made": node.made, "swath.calls.reused": node.reused,
                "swath.calls.failed": node.failed, "swath.calls.retried": node.retried, "swath.calls.without_span": node.untold,
            }
        )  # fmt: skip
        if result == "failure":
            count = f"{node.failed} {'call' if node.failed == 1 else 'calls'} failed" if node.failed else state
            node.span.set_status(StatusCode.ERROR, count)
        node.span.end(_ns(at))

    def _done(self, event: events.CallDone) -> None:
        node = self._nodes.get(event.node)
        begun = self._begun.pop((event.node, event.item), None)
        if node is None:
            return
        if event.reused:
            node.reused += 1
            return
        node.made += 1
        node.retried += bool(begun and begun.retries)
        if self._left <= 0:
            node.untold += 1
            return
        self._left -= 1
        began = event.time - event.seconds
        span = self._call(node, event, event.worker, began if begun is None else min(begun.time, began), begun)
        span.set_attribute("cicd.pipeline.task.run.result", "success")
        span.end(_ns(event.time))

    def _failed(self, event: events.CallFailed) -> None:
        from opentelemetry.trace import StatusCode

        node = self._nodes.get(event.node)
        begun = self._begun.pop((event.node, event.item), None)
        if node is None:
            return
        node.failed += 1
        node.retried += bool(begun and begun.retries)
        if self._left <= 0 and self._left_failed <= 0:
            node.untold += 1
            return
        self._left_failed -= self._left <= 0
        self._left -= self._left > 0
        span = self._call(node, event, begun.worker if begun else "", begun.time if begun else event.time, begun)
        span.set_attributes({"cicd.pipeline.task.run.result": "failure", "error.type": _kind(event.error)})
        span.set_status(StatusCode.ERROR, event.error[:_TEXT])
        about = {"exception.type": _kind(event.error), "exception.message": event.error[:_TEXT]}
        if event.traceback:
            about["exception.stacktrace"] = event.traceback[-_TEXT:]
        span.add_event("exception", about, _ns(event.time))
        span.end(_ns(event.time))

    def _call(self, node: _Node, event: events.CallEvent, worker: str, began: float, begun: _Begun | None) -> Span:
        name = event.node if event.item is None else f"{event.node}[{event.item}]"
        about: dict[str, Any] = {
            "cicd.pipeline.task.name": event.node,
            "cicd.pipeline.task.run.id": f"{event.run}/{name}",
        }
        if worker:
            about["cicd.worker.name"] = worker
        if event.item is not None:
            about["swath.call.item"] = event.item
        span = self._span(event.node, node.context, began, about)
        for retry in begun.retries if begun else ():
            said: dict[str, Any] = {
                "exception.type": _kind(retry.error), "exception.message": retry.error[:_TEXT], "swath.call.attempt": retry.attempt,
                "swath.call.delay_s": retry.delay_s,
            }  # fmt: skip
            span.add_event("retry", said, _ns(retry.time))
        return span

    def _end_all(self, status: str, exit_code: int, error: str, at: float) -> None:
        from opentelemetry.trace import StatusCode

        for node in reversed(self._nodes.values()):
            self._close(node, "failed" if status == "failed" else "stopped", at)
        if self._run is None:
            return
        self._run.set_attributes(
            {
                "cicd.pipeline.result": _RESULTS.get(status, "error"),
                "swath.run.status": status,
                "swath.run.exit_code": exit_code,
            }
        )
        if exit_code:
            self._run.set_status(StatusCode.ERROR, error[:_TEXT] or status)
        self._run.end(_ns(at))

    def _span(self, name: str, within: Context, at: float, about: Mapping[str, Any]) -> Span:
        return self._tracer.start_span(name, within, start_time=_ns(at), attributes=dict(about))


def _above(node: str) -> Iterator[str]:
    """The steps that a node is in, the nearest first."""
    while "/" in node:
        node = node.rpartition("/")[0]
        yield node


def _kind(error: str) -> str:
    """The class of an error as far as its text says it."""
    head = error.partition(":")[0]
    return head if head.isidentifier() else "SwathError"


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def _whereto() -> str:
    """Scheme, host and port of where the traces go: the rest of the address, and its headers, may be secret."""
    address = (
        os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""
    )
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "their endpoint"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "localhost"


def _swallowing(do: Callable[[], None]) -> Callable[[], None]:
    def quietly() -> None:
        with contextlib.suppress(Exception):  # what is lost is counted; a thread that raises would print
            do()

    return quietly


def _silence() -> None:
    """Let the SDK log to nobody, for good: its threads say the same again and again, with addresses in it. `end` says it once."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    if not any(isinstance(each, logging.NullHandler) for each in logger.handlers):
        logger.addHandler(logging.NullHandler())
