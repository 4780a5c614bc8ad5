from __future__ import annotations

import pytest

from swath.reporting.otel import CountingExporter, endpoint, requested_by


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_no_variable_no_traces(env: dict[str, str]) -> None:
    assert requested_by(env) == ""


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_an_endpoint_asks_for_traces_and_only_its_host_is_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "https://user:c4n4ry@traces.example.org:4318/c4n4ry?key=c4n4ry")
    assert requested_by({name: "https://traces.example.org"}) == name
    assert endpoint() == "https://traces.example.org:4318"
    monkeypatch.setenv(name, "https://traces.example.org:c4n4ry/")
    assert endpoint() == "their endpoint"


def test_spans_that_any_exporter_could_not_send_are_counted() -> None:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Fixed(SpanExporter):
        def __init__(self, result: SpanExportResult) -> None:
            self.result = result

        def export(self, spans: object) -> SpanExportResult:
            return self.result

    exporter = CountingExporter([Fixed(SpanExportResult.SUCCESS), Fixed(SpanExportResult.FAILURE)])
    assert exporter.export(["a", "b"]) == SpanExportResult.FAILURE
    assert exporter.lost == 2
    exporter = CountingExporter([Fixed(SpanExportResult.SUCCESS)])
    assert exporter.export(["a", "b"]) == SpanExportResult.SUCCESS
    assert exporter.lost == 0
