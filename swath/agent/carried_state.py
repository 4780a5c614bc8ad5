"""A run's journal and folder are carried from machine to machine: copied to the project's bucket of results while the run goes on.

For jobs, whose machine forgets its disk. The next attempt fetches the newest whole copy and goes on from there. Large results are in
the bucket already; the key that signs results and copies comes from a secret store (`results_key` of the agent's file), never from
the bucket.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from swath.crashpoint import reached
from swath.engine.carried_journal import JOURNAL, pack, unpack
from swath.engine.journal import Journal
from swath.engine.result_signature import write_result_key
from swath.errors import InfrastructureError, Interrupted, StateError, SwathError, UsageError
from swath.storage.generations import Generation, Generations
from swath.storage.private_folder import make_private

log = logging.getLogger(__name__)
KEPT = 3
"""Copies that stay, beside the newest."""
LEAST_KEY = 32
"""Characters of a key's secret."""


@dataclass(frozen=True)
class CarryLimits:
    """Times of the copies, in seconds, and their size."""

    every_s: float = 60.0
    share: float = 0.1
    """Of the time at most is spent on copies: where one takes long, they are made more seldom."""
    finish_s: float = 120.0
    """How long the last copy may take; then the end of the run is told without it."""
    restore_s: float = 1800.0
    """How long the store is tried before a run that may have a journal there has failed."""
    most_bytes: int = 1 << 30
    """Of one copy."""


class CarriedState:
    """The copies of one attempt's run."""

    def __init__(
        self,
        results: str,
        key: bytes,
        state: Path,
        run: str,
        attempt: int,
        limits: CarryLimits = CarryLimits(),
    ) -> None:
        """results: address of the project's results. key: see `project_key`. state: the folder with the journal."""
        self.address = f"{results.rstrip('/')}/journals/{run}"
        self._copies = Generations(self.address, hmac.new(key, b"journals", "sha256").digest(), limits.most_bytes)
        self._key = key
        self._state = state
        self._run = run
        self._attempt = attempt
        self._number = 0
        self._limits = limits
        self._hurried = False
        self._last = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed = ""
        self.note = ""
        """A line about what was found, for the run's log."""

    def restore(self, root: Path, stop: threading.Event) -> bool:
        """Fetch the run's journal, if there is none here. root: the project's folder. Returns whether there was one.

        Tried again while the store does not answer. Raises InfrastructureError then, and CredentialsError: nothing is computed again
        because a store was away for a while. Raises Interrupted when `stop` is set.
        """
        until, pause = time.monotonic() + self._limits.restore_s, 5.0
        while True:
            try:
                self.note = self._restored(root)
            except InfrastructureError as error:
                if time.monotonic() + pause > until:
                    raise
                log.warning("%s; again in %.0f s", error.message, pause)
            else:
                return (self._state / JOURNAL).exists()
            if stop.wait(pause):
                raise Interrupted("it was stopped before its journal was there")
            pause = min(2 * pause, 120.0)

    def _restored(self, root: Path) -> str:
        make_private(self._state)
        write_result_key(self._state, self._key)
        if (self._state / JOURNAL).exists():
            return ""
        damaged = 0
        listed = self._copies.listed()
        # A name of this attempt may be there: of a process that was killed before it could say more.
        self._number = max((each.number for each in listed if each.attempt == self._attempt), default=0)
        for each in listed:
            if each.attempt > self._attempt:
                raise StateError(
                    f"attempt {each.attempt} of {self._run} has gone on meanwhile: this is {self._attempt}"
                )
            with tempfile.TemporaryDirectory(dir=self._state, prefix=".carried-") as scratch:
                archive = Path(scratch) / "copy.zip"
                try:
                    if self._copies.fetch(each, archive):
                        found = unpack(archive, self._state, self._run, root)
                        note = f"the journal of attempt {each.attempt} came from {self.address}: {found.finished} calls are finished"
                        note += f"; {damaged} newer copies were not whole" if damaged else ""
                        moved = (
                            ""
                            if found.root == str(root)
                            else f"; but its project was in {found.root}, so they are made again"
                        )
                        return note + moved
                except StateError as error:
                    log.warning("%s: %s", each.name, error.message)
            damaged += 1
        return f"none of the {damaged} copies in {self.address} is whole: all is computed again" if damaged else ""

    def start(self) -> None:
        """Copy every minute, in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="carried state", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """This machine is about to end: copy now. May be called by a signal's handler."""
        self._hurried = True

    def finish(self) -> None:
        """The run has ended: make the last copy, and wait for it as long as that is allowed."""
        self._last.set()
        if self._thread is not None and not self._ended.wait(self._limits.finish_s):
            log.warning("%s: the last copy took too long", self.address)

    def _work(self) -> None:
        if self.note:
            tell(self._state, self._run, self.note, self._last)
        pause = self._limits.every_s
        while not self._wait(pause):
            began = time.monotonic()
            self._try()
            pause = max(self._limits.every_s, (time.monotonic() - began) / self._limits.share)
        self._try()
        self._ended.set()

    def _wait(self, pause: float) -> bool:
        """Whether the run has ended. Returns early when this machine is about to end."""
        until = time.monotonic() + pause
        while not self._last.wait(min(0.5, max(0.0, until - time.monotonic()))):
            if self._hurried or time.monotonic() >= until:
                self._hurried = False
                return False
        return True

    def _try(self) -> None:
        try:
            if has_run(self._state, self._run):
                self.copy()
                self._say("info", f"the journal is carried to {self.address} again")
                self._failed = ""
        except SwathError as error:
            log.warning("%s", error)
            self._say("warning", f"the journal is not carried to {self.address} now: {error.message}")
            self._failed = error.message
        except Exception as error:  # of a library: the run goes on without copies
            log.exception("the journal was not copied")
            self._failed = str(error)

    def copy(self) -> None:
        """Make one copy. Raises SwathError."""
        with tempfile.TemporaryDirectory(dir=self._state, prefix=".carried-") as scratch:
            archive = Path(scratch) / "copy.zip"
            pack(self._state, self._run, archive)
            reached("packed")
            self._number += 1
            generation = Generation(self._attempt, self._number)
            self._copies.add(generation, archive)
            reached("carried")
        self._copies.remove_below(generation, KEPT)

    def _write(self, level: str, text: str) -> None:
        with contextlib.suppress(StateError), Journal.open(self._state) as journal:
            journal.write_log(self._run, time.time(), level, text)

    def _say(self, level: str, text: str) -> None:
        """Only when it was not so before."""
        if (level == "info") == bool(self._failed):
            self._write(level, text)


def has_run(state: Path, run: str) -> bool:
    """Whether the journal of a state folder has a run. Raises StateError."""
    if not (state / JOURNAL).is_file():
        return False
    with Journal.open(state) as journal:
        return any(row.id == run for row in journal.runs())


def tell(state: Path, run: str, text: str, stop: threading.Event) -> None:
    """Write a line into a run's log, once the journal has the run, unless `stop` comes before."""
    while True:
        with contextlib.suppress(StateError):
            if has_run(state, run):
                with Journal.open(state) as journal:
                    journal.write_log(run, time.time(), "info", text)
                return
        if stop.wait(0.5):
            return


def project_key(secret: str, project: str) -> bytes:
    """The key that signs a project's results and journals. Raises UsageError for a secret that could be guessed."""
    if len(secret.strip()) < LEAST_KEY:
        raise UsageError(
            f"results_key has less than {LEAST_KEY} characters", remedy="make one with: openssl rand -hex 32"
        )
    return hmac.new(secret.strip().encode(), f"results of {project}".encode(), "sha256").digest()
