"""Whether a job's run has its journal carried, and from when to when: see swath.agent.carried_state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping

from swath.agent.attempt_folder import AttemptFolder, LineNumbers
from swath.agent.carried_state import CarriedState, CarryLimits, project_key, tell
from swath.agent.run_code import RunCode
from swath.engine.journal import Journal
from swath.errors import SwathError
from swath.project.project import Project

NO_KEY = "the agent's file has no results_key for it"
NO_RESULTS = "the project's swath.yaml has no `results` at an address"


class Carrying:
    """The carried state of one attempt: none where the project has no bucket, or the agent no key; the run's log says so."""

    def __init__(self, folder: AttemptFolder, limits: CarryLimits = CarryLimits()) -> None:
        self._folder = folder
        self._limits = limits
        self._state: CarriedState | None = None
        self._ended = threading.Event()

    def begin(self, code: RunCode, env: Mapping[str, str], key: str, stop: threading.Event) -> None:
        """Before the run begins: fetch what an earlier attempt has left. env: of the run. key: the secret; empty where there is none.

        Raises SwathError: see CarriedState.restore.
        """
        work = self._folder.work
        results = _results(code, env)
        missing = NO_KEY if not key else "" if results else NO_RESULTS
        if missing:
            note = f"the journal stays on this machine: {missing} (docs/launchers.md)"
            words = (code.state, work.run, note, self._ended)
            threading.Thread(target=tell, args=words, name="note", daemon=True).start()
            return
        secret = project_key(key, work.project)
        carried = CarriedState(results, secret, code.state, work.run, work.number, self._limits)
        if carried.restore(code.root, stop):
            self._number_lines(code)
        self._state = carried
        carried.start()

    def _number_lines(self, code: RunCode) -> None:
        """The server may have fewer lines than the journal that came, or more: those of the last minute on the other machine."""
        numbers = self._folder.numbers()
        with Journal.open(code.state) as journal:
            here = journal.log_count(self._folder.work.run)
        if numbers is not None and numbers.local == 0:
            self._folder.write_numbers(LineNumbers(min(numbers.server - 1, here), numbers.server))

    def hurry(self) -> None:
        """This machine is about to end. May be called by a signal's handler."""
        if self._state is not None:
            self._state.hurry()

    def finish(self) -> None:
        """The run has ended: what it has left is in the bucket when this returns, or that took too long."""
        self._ended.set()
        if self._state is not None:
            self._state.finish()


def _results(code: RunCode, env: Mapping[str, str]) -> str:
    """The address of the project's results; empty without one, and for a project that nobody trusts."""
    with contextlib.suppress(SwathError, OSError):  # the run itself tells what is wrong with swath.yaml
        project = Project.find(code.root, env)
        if project.trusted and "://" in (project.results or ""):
            return project.results or ""
    return ""
