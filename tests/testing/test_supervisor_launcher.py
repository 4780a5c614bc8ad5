"""The launcher `process` runs the conformance suite of what starts supervisors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swath.agent.launcher import Launcher, ProcessLauncher
from swath.testing.supervisor_launcher import SupervisorLauncherTests


class TestProcess(SupervisorLauncherTests):
    @pytest.fixture
    def new_launcher(self) -> Callable[[], Launcher]:
        return ProcessLauncher
