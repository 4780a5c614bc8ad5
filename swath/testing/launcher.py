"""The conformance suite of launchers: a run is started once, its end is known, and nothing is left behind.

Subclass LauncherTests in a test module and give it the fixture `launcher`:

    class TestMyLauncher(LauncherTests):
        @pytest.fixture
        def launcher(self):
            return MyLauncher(settings)

The platform should be a simulated one that really executes the jobs' commands, or an account with nothing else of swath. Its image has
this test's Python at the same path.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

from swath.launchers.contract import JobLauncher, JobRequest

AGENT = "suite-agent"
FOREVER = "import time; time.sleep(3600)"


def job(code: str, number: int = 1, **env: str) -> JobRequest:
    """A job that executes Python code."""
    return JobRequest(f"swath-suite-12345678-a{number}", AGENT, (sys.executable, "-c", code), env)


class LauncherTests:
    """The suite."""

    deadline_s: ClassVar[float] = 60.0
    """What a platform does not show after so long is an error."""

    @pytest.fixture
    def launcher(self) -> JobLauncher:
        """The launcher to be tested. It must have no job."""
        raise NotImplementedError("give your test class a fixture `launcher`")

    def _started(self, launcher: JobLauncher, request: JobRequest) -> str:
        name = launcher.start(request, 0)
        assert name is not None, "the first place is there"
        return name

    def _wait(self, launcher: JobLauncher, name: str, phase: str) -> None:
        until = time.monotonic() + self.deadline_s
        while launcher.state(name).phase != phase:
            assert time.monotonic() < until, f"the job is not {phase} after {self.deadline_s:g} s"
            time.sleep(0.1)

    def _end(self, launcher: JobLauncher, name: str) -> None:
        launcher.stop(name)
        self._wait(launcher, name, "gone")
        launcher.remove(name)

    def test_a_platform_that_answers_says_what_it_is(self, launcher: JobLauncher) -> None:
        assert launcher.check()

    def test_a_job_executes_its_command_with_its_variables_and_no_others(
        self, launcher: JobLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENTS_SECRET", "of the agent")
        file = tmp_path / "environment"
        code = f"import json, os; open({str(file)!r}, 'w').write(json.dumps(dict(os.environ)))"
        name = self._started(launcher, job(code, SWATH_LAUNCH="a b 'c'"))
        self._wait(launcher, name, "gone")
        found = json.loads(file.read_text())
        assert found["SWATH_LAUNCH"] == "a b 'c'"
        assert "AGENTS_SECRET" not in found

    def test_a_job_that_is_started_twice_is_one_job(self, launcher: JobLauncher) -> None:
        name = self._started(launcher, job(FOREVER))
        assert launcher.start(job(FOREVER), 0) == name
        assert launcher.start(job(FOREVER), 1) in (name, None)
        assert launcher.find(job(FOREVER).name) == name
        assert launcher.find(job(FOREVER, 2).name) is None
        assert launcher.jobs_of(AGENT) == (name,)
        self._end(launcher, name)

    def test_attempts_have_jobs_of_their_own(self, launcher: JobLauncher) -> None:
        names = [self._started(launcher, job(FOREVER, number)) for number in (1, 2)]
        assert len(set(names)) == 2
        self._end(launcher, names[0])
        self._wait(launcher, names[1], "running")
        self._end(launcher, names[1])

    def test_jobs_of_an_agent_are_listed_until_they_end(self, launcher: JobLauncher) -> None:
        name = self._started(launcher, job(FOREVER))
        assert launcher.jobs_of(AGENT) == (name,)
        assert launcher.jobs_of("other") == ()
        self._end(launcher, name)
        assert launcher.jobs_of(AGENT) == ()

    def test_what_has_ended_can_be_stopped_and_removed_again(self, launcher: JobLauncher) -> None:
        name = self._started(launcher, job("pass"))
        self._wait(launcher, name, "gone")
        for _ in range(2):
            launcher.stop(name)
            launcher.remove(name)

    def test_a_job_that_failed_is_gone_and_the_platform_says_how(self, launcher: JobLauncher) -> None:
        name = self._started(launcher, job("print('last words'); raise SystemExit(3)"))
        self._wait(launcher, name, "gone")
        state = launcher.state(name)
        assert state.exit_code == 3 or "3" in state.reason
        assert launcher.tail(name)

    def test_a_job_that_is_not_there_is_gone(self, launcher: JobLauncher) -> None:
        name = self._started(launcher, job("pass"))
        self._wait(launcher, name, "gone")
        assert launcher.state(f"{name}0").phase == "gone"
        launcher.stop(f"{name}0")
        assert not launcher.tail(f"{name}0") or "log" in launcher.tail(f"{name}0")
