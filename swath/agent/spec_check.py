"""Checks a spec in a project's folder on this machine, as `pipe check` does, in a process of its own with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import Mistake
from swath.protocol import logins
from swath.protocol.messages import RunRequest

FILE = "spec"
"""How mistakes call the text that was checked."""
_SECRET = (logins.TOKEN, "SWATH_AGENT_TOKEN")


@dataclass(frozen=True)
class SpecCheckLimits:
    """Of checks on this machine."""

    timeout_s: float = 60.0
    at_once: int = 2
    most_bytes: int = 1_000_000
    """Of the answer that is read."""


class FolderSpecCheck:
    """Checks specs in folders of this machine. Safe for threads."""

    def __init__(self, limits: SpecCheckLimits = SpecCheckLimits()) -> None:
        self._limits = limits
        self._slots = threading.BoundedSemaphore(limits.at_once)

    def __call__(self, folder: Path, request: RunRequest, *, thorough: bool) -> tuple[Mistake, ...]:
        """The mistakes of a spec. thorough: imagery, model and outputs are looked at, too; else the spec alone."""
        words = ["check", "-", "--json", *(word for value in request.set for word in ("--set", value))]
        words += ["--timeout", "30s"] if thorough else ["--offline"]
        env = {name: value for name, value in os.environ.items() if name not in _SECRET}
        if not self._slots.acquire(timeout=self._limits.timeout_s):
            return (_whole("other checks are going on; try again in a moment"),)
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "swath.cli", *words], cwd=folder, env=env, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            try:
                out, errors = process.communicate(request.spec.encode(), timeout=self._limits.timeout_s)
            except subprocess.TimeoutExpired:
                return (_whole(f"the check did not end within {self._limits.timeout_s:.0f} s"),)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        except OSError as error:
            return (_whole(f"the project's folder cannot be used: {error.strerror}"),)
        finally:
            self._slots.release()
        return _mistakes(out[: self._limits.most_bytes], errors.decode("utf-8", "replace")[-2000:])


def _mistakes(out: bytes, errors: str) -> tuple[Mistake, ...]:
    try:
        (verdict,) = json.loads(out)
        if verdict["ok"]:
            return ()
        found = tuple(_mistake(each) for each in verdict.get("mistakes", ()))
        return found or (_whole(str(verdict.get("text", "")) or errors.strip()),)
    except (ValueError, TypeError, KeyError):
        return (_whole(errors.strip() or "the check failed"),)


def _mistake(each: dict[str, Any]) -> Mistake:
    file = FILE if each["file"] == "-" else str(each["file"])
    return Mistake(file, int(each["line"]), int(each["column"]), str(each["field"]), str(each["message"]))


def _whole(message: str) -> Mistake:
    """A mistake of no single line."""
    return Mistake(FILE, 1, 1, "", message)
