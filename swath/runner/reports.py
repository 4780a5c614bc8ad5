"""What is reported of a run: the table of its variants, its report files, and notifications."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from swath.cluster.cost.machine_use import MachineUse, total_usd
from swath.engine.journal import Journal
from swath.engine.process import Process
from swath.engine.store import ResultStore
from swath.errors import SwathError
from swath.project.provenance import reproduction
from swath.reporting.call_statistics import summarize_calls
from swath.reporting.failure_groups import FailureGroups
from swath.reporting.notifications import RunEnding, recipients_for, send
from swath.reporting.run_report import RunFacts, write_report
from swath.runner import reportable
from swath.runner.event_stream import EventStream
from swath.runner.job import Job
from swath.runner.outcome import RunOutcome
from swath.runner.variant_table import VariantTable, scrubbed
from swath.version import versions


class RunReports:
    """Writes what is reported of one run. What cannot be written is a warning: it changes nothing in how the run ended."""

    def __init__(
        self,
        run: str,
        job: Job,
        journal: Journal,
        store: ResultStore,
        events: EventStream,
        failures: FailureGroups,
        started: float,
    ) -> None:
        """started: of this session, seconds since 1970. failures: a listener of the run."""
        self._run = run
        self._job = job
        self._journal = journal
        self._store = store
        self._events = events
        self._failures = failures
        self._started = started
        self.folder = job.project.state / "runs" / run
        """The run's folder in the state folder."""
        self.table = VariantTable.of(job.loaded) if job.loaded.variants else None
        """Of a matrix; None without one."""
        self.about: dict[str, Any] = {}
        """What the result says for the report; empty until `write`."""

    # --- the table of a matrix

    def write_table(self) -> None:
        """Write the table to the run's folder."""
        if self.table is not None:
            try:
                self.table.write(self.folder, self._events.scrub)
            except OSError as error:
                self._events.say("warning", f"the table of results could not be written: {error}")

    def fill_table(self) -> VariantTable | None:
        """The table with the results of the variants, as the journal has them now that the engine has ended."""
        if self.table is not None:
            self.table = self.table.updated(self._journal, self._store, self._run, ended=True)
        return self.table

    def end_table(self) -> None:
        """Write the table with what happened to the variants, also of a run that was stopped or failed."""
        if self.table is not None and not self.table.final:
            try:
                self.fill_table()
            except SwathError as error:
                self._events.say("warning", f"the table of results could not be completed: {error.message}")
        self.write_table()

    def table_rows(self) -> list[dict[str, Any]]:
        """The rows of the table as plain values without secrets; empty without a matrix."""
        return scrubbed(self.table.plain(), self._events.scrub) if self.table is not None else []

    # --- report files

    def write(self, outcome: RunOutcome, workers: int, machines: Sequence[MachineUse] = ()) -> list[str]:
        """Write the report to the run's folder, and beside the map where there is one. Returns the paths of the files beside maps.

        workers: of the cluster; 0 when it never came up. machines: that it has had. Raises StateError when the journal cannot
        be read.
        """
        self.end_table()
        self.about = about = reportable.report(outcome.result)
        facts = replace(
            self._facts(outcome, workers, about),
            cost_usd=total_usd(machines),
            machines=tuple(dataclasses.asdict(each) for each in machines),
        )
        folders = [self.folder]
        if about.get("folder") and "://" not in about["folder"]:
            folders.append(Path(about["folder"]))
        try:
            for folder in folders:
                files = write_report(folder, facts, folders[-1] / "preview.png")
        except OSError as error:
            self._events.say("warning", f"the report could not be written: {error}")
            return []
        return [*(str(path) for path in files if len(folders) > 1), *self._write_variants(facts)]

    def _facts(self, outcome: RunOutcome, workers: int, about: dict[str, Any]) -> RunFacts:
        loaded, git = self._job.loaded, self._job.source.git
        row = self._journal.find(self._run)
        first = row.started
        again = reproduction(
            loaded.file, loaded.overrides, git, loaded.root, self.folder, start=loaded.root, fresh=row.fresh
        )
        now = time.time()
        return RunFacts(
            self._run, self._job.name, loaded.pipeline, outcome.status, outcome.exit_code, self._started, now,
            loaded.file, loaded.text, loaded.overrides, loaded.spec.cluster.kind, workers,
            outcome.error, summarize_calls(self._journal.calls(self._run), self._started, now, self._failures),
            tuple(outcome.set_aside), loaded.notes, versions(), git, again.line, about, caveat=again.caveat,
            table=self.table_rows(), first_started=first if first < self._started else None,
        )  # fmt: skip

    def _write_variants(self, facts: RunFacts) -> list[str]:
        """Write a report beside the map of each variant. Returns their paths."""
        files: list[Path] = []
        for row in self.table.rows if self.table is not None else ():
            folder = Path(row.folder)
            if row.folder and "://" not in row.folder:
                own = replace(facts, name=row.variant, status=row.state, calls=None, result=row.about, table=())
                try:
                    files += write_report(folder, own, folder / "preview.png")
                except OSError as error:
                    self._events.say("warning", f"the report of {row.variant} could not be written: {error}")
        return [str(path) for path in files]

    # --- notifications

    def notify(self, outcome: RunOutcome, seconds: float, hurry: Callable[[], bool]) -> None:
        """Send the notifications that spec and swath.yaml ask for. `hurry` says that there is no more time for them."""
        addresses = recipients_for([self._job.project.notify, self._job.spec.notify], outcome.status)
        if not addresses:
            return
        page = self.folder / "report.html"
        ending = RunEnding(
            self._run, self._job.loaded.pipeline, self._job.name, outcome.status, outcome.exit_code, seconds,
            self._events.scrub(outcome.error), tuple(outcome.outputs), len(outcome.set_aside),
            str(page) if page.is_file() else "", Process.this().host,
        )  # fmt: skip
        for line in send(addresses, ending, leave=hurry):
            self._events.say("warning", line)
