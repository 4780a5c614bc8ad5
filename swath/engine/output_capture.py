"""Captures what calls print, log, warn and report while they run, as CallOutput with the node and item it comes from."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from swath.engine.call import LEFT_OUT, Call, CallOutput, OutputListener
from swath.graph.call_context import reporting_to

OUTPUT_INTERVAL_S = 0.2
"""A worker sends starts and progress of calls at most so often."""
VERBOSE_PACKAGES = frozenset(
    (
        *("aiobotocore", "boto3", "botocore", "distributed", "fiona", "fsspec", "gcsfs", "pyogrio", "rasterio", "s3fs"),
        *("torch", "urllib3"),
    )
)
"""Packages that tasks use and whose log records below a warning are of no use to who runs a pipeline."""


class OutputCapture:
    """Captures the output of one call after the other."""

    def __init__(self, on_output: OutputListener, worker: str) -> None:
        self._on_output = on_output
        self._worker = worker
        self._call: Call | None = None
        self._started_at = 0.0
        self._stdout = _LineStream(lambda text: self._send("info", text))

    def begin(self, call: Call) -> None:
        """Output belongs to this call from now on."""
        self._call = call
        now = time.monotonic()
        if now - self._started_at >= OUTPUT_INTERVAL_S:  # of quick calls not each start is worth a message
            self._started_at = now
            self._send("started", "")

    def end(self) -> None:
        """The call ended."""
        self._stdout.end_line()
        self._call = None

    def _send(self, level: str, text: str, **more: Any) -> None:
        call = self._call
        if call is not None:
            where = (call.context.node, call.mapped_item, call.attempt, time.time())
            self._on_output(CallOutput(*where, level, text, worker=self._worker)._replace(**more))

    def _progress(self, done: float | None, total: float | None, pixels: int, ground_km2: float) -> None:
        self._send("progress", "", done=done, total=total, pixels=pixels, ground_km2=ground_km2)

    def _metrics(self, values: Mapping[str, float]) -> None:
        self._send("metrics", json.dumps(dict(values)))

    @contextlib.contextmanager
    def active(self, run: str) -> Iterator[None]:
        """Inside, stdout, log records, warnings and reports of this process are captured."""
        root = logging.getLogger()
        handler, level = _LogHandler(self._send), root.level
        root.addHandler(handler)
        root.setLevel(min(level or logging.WARNING, logging.INFO))
        try:
            with (
                reporting_to(self._progress, run, self._metrics, lambda what: self._send(LEFT_OUT, what)),
                warnings.catch_warnings(),
                contextlib.redirect_stdout(self._stdout),
            ):
                warnings.simplefilter("default")
                for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                    warnings.simplefilter("ignore", kind)  # as Python itself does: they are for authors of libraries
                warnings.showwarning = lambda message, category, *_rest, **_more: self._send(
                    "warning", f"{category.__name__}: {message}"
                )
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


class _LineStream(io.TextIOBase):
    """A text stream that passes whole lines on."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self._rest = ""

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write_line(line)
        return len(text)

    def end_line(self) -> None:
        """Pass on a line that has no end yet."""
        if self._rest:
            self._write_line(self._rest)
            self._rest = ""


class _LogHandler(logging.Handler):
    def __init__(self, send: Callable[[str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and record.name.partition(".")[0] in VERBOSE_PACKAGES:
            return
        self._send(record.levelname.lower().replace("critical", "error"), self.format(record))
