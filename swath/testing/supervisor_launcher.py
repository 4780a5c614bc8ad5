"""The conformance suite of what starts supervisors for an agent: they outlive it, and the next agent knows that they are there.

Subclass SupervisorLauncherTests in a test module and give it the fixture `new_launcher`:

    class TestMyLauncher(SupervisorLauncherTests):
        @pytest.fixture
        def new_launcher(self):
            return MyLauncher
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from swath.agent.attempt_folder import SUPERVISOR_LOCK, AttemptFolder, ServerAddress
from swath.agent.launcher import Launcher
from swath.engine.process import Process
from swath.protocol.messages import RunRequest, Work


class SupervisorLauncherTests:
    """The suite."""

    deadline_s: ClassVar[float] = 90.0
    """What is not so after so long is an error."""

    @pytest.fixture
    def new_launcher(self) -> Callable[[], Launcher]:
        """Makes a launcher, as each agent does."""
        raise NotImplementedError("give your test class a fixture `new_launcher`")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[AttemptFolder]:
        """An attempt whose server does not answer: its supervisor waits for it."""
        work = Work(
            run="20260101-suite", number=1, token="swath_attempt_none", project="suite", source={"folder": str(tmp_path)},
            request=RunRequest(project="suite", spec="pipeline: none\n"),
        )  # fmt: skip
        folder = AttemptFolder.create(tmp_path / "attempts", ServerAddress("http://127.0.0.1:9", "suite"), work)
        yield folder
        process = folder.process("supervisor")
        if process is not None and not process.gone():
            os.kill(process.pid, signal.SIGKILL)

    def _wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + self.deadline_s
        while not condition():
            assert time.monotonic() < until, f"it is not so after {self.deadline_s:g} s"
            time.sleep(0.05)

    def test_a_supervisor_outlives_its_agent_and_is_known_until_it_ends(
        self, new_launcher: Callable[[], Launcher], folder: AttemptFolder
    ) -> None:
        with contextlib.closing(new_launcher()) as first:
            assert not first.alive(folder)
            first.start(folder)
            assert first.alive(folder)
            self._wait(lambda: folder.is_locked(SUPERVISOR_LOCK))
        later = new_launcher()
        assert later.alive(folder)
        process = self._process(folder)
        assert os.getsid(process.pid) != os.getsid(0), "a signal to the agent's terminal would end it"
        os.kill(process.pid, signal.SIGKILL)
        self._wait(lambda: not later.alive(folder))
        later.close()

    def test_the_one_who_started_it_sees_its_end_and_can_start_another(
        self, new_launcher: Callable[[], Launcher], folder: AttemptFolder
    ) -> None:
        with contextlib.closing(new_launcher()) as launcher:
            launcher.start(folder)
            before = self._process(folder)
            os.kill(before.pid, signal.SIGKILL)
            self._wait(lambda: not launcher.alive(folder))
            launcher.start(folder)
            assert launcher.alive(folder)
            assert self._process(folder).pid != before.pid

    def _process(self, folder: AttemptFolder) -> Process:
        found = folder.process("supervisor")
        assert found is not None
        return found
