"""A look in a process of its own: started, asked whether it has ended, ended at its time limit, and its answer checked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from swath.errors import StateError, SwathError
from swath.sensors.look_process import MOST_BYTES
from swath.triggers.look import LONGEST_KEY, MOST_FOUND, Found, Look
from swath.triggers.trigger import SensorTrigger
from swath.units import duration

LONGEST_WORDS = 500
"""Characters of an error that a look tells."""


class LookFailed(SwathError):
    """A look failed, took too long, or answered nonsense."""


class ChildLook:
    """One look. Its sensor's settings travel by standard input: they may hold secrets."""

    def __init__(
        self, trigger: SensorTrigger, cursor: Any, now: float, root: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """env: of the process; this one's when not given."""
        request = {"trigger": trigger.model_dump(mode="json"), "cursor": cursor, "now": now, "root": str(root)}
        self._deadline, self._limit_s = time.monotonic() + trigger.limit, trigger.limit
        self._files = contextlib.ExitStack()
        try:
            question, self._out, self._err = (self._files.enter_context(_file()) for _ in range(3))
            question.write(json.dumps(request).encode())
            question.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "swath.sensors.look_process"], cwd=root, stdin=question, stdout=self._out,
                stderr=self._err, start_new_session=True, env=env,
            )  # fmt: skip
        except OSError as error:
            self._files.close()
            raise StateError(f"a look could not be started: {error}") from error

    def done(self) -> bool:
        """Whether it has ended, or its time has."""
        return self._process.poll() is not None or time.monotonic() > self._deadline

    def look(self) -> Look:
        """What it found, once it is done. Raises LookFailed."""
        try:
            in_time = self._process.poll() is not None
            self._end()
            if not in_time:
                raise LookFailed(
                    f"the look took longer than {duration(self._limit_s)}", remedy="set `limit:` of the trigger"
                )
            self._out.seek(0)
            return checked_look(self._out.read(MOST_BYTES + 1), lambda: self._last_words())
        finally:
            self._files.close()

    def close(self) -> None:
        """End it, whatever it does."""
        self._end()
        self._files.close()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # also what it has started
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        size = self._err.seek(0, os.SEEK_END)
        self._err.seek(max(0, size - 4096))
        lines = self._err.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:LONGEST_WORDS] if lines else f"exit code {self._process.returncode}"


def _file() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def checked_look(answer: bytes, last_words: Any = lambda: "") -> Look:
    """The answer of a look, as far as it can be believed. Raises LookFailed."""
    try:
        told = json.loads(answer) if len(answer) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise LookFailed(f"the look gave no answer: {last_words()}")
    if error := told.get("error"):
        raise LookFailed(str(error)[:LONGEST_WORDS])
    entries = told.get("found")
    if not isinstance(entries, list) or len(entries) > MOST_FOUND:
        raise LookFailed(f"the look found more than {MOST_FOUND:,} things, or none that can be read")
    found: dict[str, Found] = {}
    for entry in entries:
        key, values = (entry.get("key"), entry.get("values")) if isinstance(entry, dict) else (None, None)
        if (
            not isinstance(key, str)
            or not 0 < len(key) <= LONGEST_KEY
            or not key.isprintable()
            or not isinstance(values, dict)
        ):
            raise LookFailed(f"the look found something without a key of 1 to {LONGEST_KEY} printable characters")
        found[key] = Found(key, {"key": key, **values})
    return Look(tuple(found.values()), told.get("cursor"), str(told.get("text") or "")[:2000])
