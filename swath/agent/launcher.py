"""Launchers: how an agent starts the supervisor of a run. `process` starts it on the agent's own machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Protocol

import psutil

from swath.agent.attempt_folder import SUPERVISOR_LOCK, AttemptFolder
from swath.engine.process import Process
from swath.errors import StateError


class Launcher(Protocol):
    """Starts supervisors, and tells whether they are there."""

    def start(self, folder: AttemptFolder) -> None:
        """Start a supervisor for an attempt. Raises StateError when that is not possible."""
        ...

    def alive(self, folder: AttemptFolder) -> bool:
        """Whether the attempt has a supervisor."""
        ...

    def close(self) -> None:
        """The agent ends; supervisors go on."""
        ...


class ProcessLauncher:
    """A supervisor is a process of this machine, in a session of its own: it outlives the agent."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, folder: AttemptFolder) -> None:
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "swath.agent.supervisor", str(folder.path)],
                cwd=folder.path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StateError(f"a supervisor could not be started: {error}") from error
        self._children[folder.path.name] = child
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already: the agent will notice
            folder.write_process("supervisor", Process.of(child.pid))

    def alive(self, folder: AttemptFolder) -> bool:
        child = self._children.get(folder.path.name)
        if child is not None:
            if child.poll() is None:
                return True
            del self._children[folder.path.name]
        return folder.is_locked(SUPERVISOR_LOCK)

    def close(self) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.returncode = 0  # nobody waits for it here: no warning about that
        self._children.clear()
