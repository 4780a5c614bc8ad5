"""OpenTelemetry SDK as its environment variables ask for it: provider, exporters, parent context. Needs the extra `otel`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swath.version import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_TRIGGERS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER")


def requested_by(env: Mapping[str, str]) -> str:
    """Name of the environment variable that asks for traces; empty when none does."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    if env.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return ""
    return next((name for name in _TRIGGERS if env.get(name, "").strip()), "")


@dataclass(frozen=True)
class TraceExport:
    """Where the spans of a run go."""

    provider: TracerProvider
    exporter: CountingExporter
    parent: Context
    """Of the run's span: that of TRACEPARENT, or an empty one."""


def open_export(queue: int) -> TraceExport:
    """Set the SDK up. Raises ImportError when it is not installed or a variable asks for what it cannot do.

    queue: spans that wait to be sent; further ones are dropped. OTEL_BSP_MAX_QUEUE_SIZE takes precedence.
    """
    _mute()
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    service = {"service.name": "swath"} if not os.environ.get("OTEL_SERVICE_NAME") else {}
    resource = Resource.create({"service.version": __version__, **service})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    size = None if os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") else queue
    exporter = CountingExporter(_exporters())
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=size))  # type: ignore[arg-type]  # duck-typed
    carrier = {key: os.environ[key.upper()] for key in ("traceparent", "tracestate") if key.upper() in os.environ}
    return TraceExport(provider, exporter, TraceContextTextMapPropagator().extract(carrier))


def _exporters() -> list[SpanExporter]:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    exporters: list[SpanExporter] = []
    for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").lower().split(","):
        match name.strip():
            case "console":
                exporters.append(ConsoleSpanExporter(out=sys.stderr))  # stdout is for data
            case "otlp" | "":
                exporters.append(_otlp())
            case "none":
                pass
            case _:
                raise ImportError("OTEL_TRACES_EXPORTER can be otlp, console or none", name="exporter")
    return exporters


def _otlp() -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol in (None, "", "http/protobuf"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    raise ImportError("the protocol of OTEL_EXPORTER_OTLP_PROTOCOL can only be http/protobuf", name="protocol")


class CountingExporter:
    """A SpanExporter that passes spans to others and counts those that they could not send."""

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


def endpoint() -> str:
    """Scheme, host and port that traces are sent to. The rest of the address, and its headers, may be secret."""
    address = (
        os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or ""
    )
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "their endpoint"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "localhost"


def _mute() -> None:
    """Show nothing that the SDK logs, for good: its threads repeat every failure, with addresses in it."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    if not any(isinstance(each, logging.NullHandler) for each in logger.handlers):
        logger.addHandler(logging.NullHandler())
