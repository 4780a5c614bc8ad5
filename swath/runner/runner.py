"""One run of a job, in order: staging, graph, journal, locks, leases, cluster, engine, report, teardown."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from swath import crashpoint
from swath.cluster.contract import RunContext
from swath.cluster.cost.budget import Budget
from swath.cluster.teardown.bucket_output import leased_output
from swath.cluster.teardown.partial_output import PARTIAL
from swath.code_shipping import name_modules
from swath.engine.engine import Engine
from swath.engine.engine_result import CallCounts, EngineResult
from swath.engine.executors.inline import InlineExecutor
from swath.engine.executors.routed import RoutedExecutor
from swath.engine.journal import Journal
from swath.engine.journal_rows import MACHINES, RunRow
from swath.engine.process import Process
from swath.engine.result_signature import result_key
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.stored_result import DamagedResult, StoredResult
from swath.errors import (
    Interrupted,
    Locked,
    SetAside,
    StateError,
    Stopped,
    SwathError,
    TaskFailed,
    TeardownError,
    TimedOut,
    UsageError,
)
from swath.events import Listener, Log, RunDone, RunStarted
from swath.graph.graph import Graph
from swath.reporting import notifications, tracing
from swath.reporting.failure_groups import FailureGroups
from swath.runner import cost_estimate, reportable, throughput
from swath.runner.event_stream import EventStream
from swath.runner.heartbeat import heartbeat
from swath.runner.input_identities import InputIdentities
from swath.runner.job import Job
from swath.runner.lock import in_use, locked
from swath.runner.outcome import RunOutcome
from swath.runner.output_checks import check_outputs
from swath.runner.reports import RunReports
from swath.runner.run_cluster import RunCluster
from swath.spec.code_names import modules_of
from swath.storage.private_folder import make_private
from swath.storage.publication import staging_folder
from swath.storage.state_owner import mark_as_own

DAMAGE_ATTEMPTS = 3
"""How often a graph is executed when stored results are damaged: after the first time all results are verified before they are
reused, so another failure means that the store itself loses or changes what is written."""


def run(
    job: Job,
    *,
    listeners: Sequence[Listener] = (),
    fresh: bool = False,
    run_id: str | None = None,
    timeout_s: float | None = None,
    stop: Stop | None = None,
    signals: bool = False,
) -> RunOutcome:
    """Run a job to its end.

    listeners: functions that get every event of the run (see swath.events). fresh: use no result of an earlier run.
    run_id: of a new run, where it is known already. timeout_s: the run is stopped after so many seconds; it can be resumed.
    stop: stops the run from another thread, by `stop.request(...)`. signals: stop the run at SIGINT, SIGTERM and SIGHUP, and end the
    process at a second one; for programs whose whole work is this run. Without it signals are the caller's: an exception that a handler
    raises, such as KeyboardInterrupt, ends the run in the journal as interrupted, closes its cluster, and goes on to the caller.

    Raises SwathError for what keeps the run from starting; whatever happens later is in the outcome.
    """
    # `_inheriting` is set while a new process imports the main script.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "a worker process has imported the script that started it, and has come to its run",
            remedy="write the run below `if __name__ == '__main__':`, as in every script that starts processes",
        )
    crashpoint.reached("parsing")
    notifications.check_addresses([job.project.notify, job.spec.notify])
    check_outputs(job)
    budget = cost_estimate.budget_of(job)
    models = throughput.models_digest(job.spec)
    run_id = job.earlier.id if job.earlier is not None else run_id or job.new_id()

    def say(text: str) -> None:  # before the run begins the journal has no line of it
        for listener in listeners:
            with contextlib.suppress(Exception):
                listener(Log(time=time.time(), run=run_id, level="info", text=text))

    job = job.staged(say)
    name_modules(module for spec in job.loaded.specs for module in modules_of(spec))
    graph = job.graph
    with Journal.open(job.project.state) as journal, contextlib.ExitStack() as exits:
        exits.enter_context(in_use(job.project.state))
        with contextlib.suppress(OSError):  # a report that cannot be written there is a warning
            make_private(job.project.state / "runs")
        if job.project.trusted:
            mark_as_own(job.project.state)
        earlier = _resumable(journal, run_id) if job.earlier is not None else None
        for output in job.outputs:
            remote = "://" in output.to
            exits.enter_context(leased_output(journal, output.to, run_id) if remote else locked(output.to, run_id))
        stop = stop or Stop()
        if signals:
            exits.enter_context(stop.on_signals())
        exits.enter_context(stop.after(timeout_s, _timed_out(timeout_s)))
        fresh = fresh or (earlier is not None and earlier.fresh)
        this = _Run(run_id, job, journal, stop, listeners, budget, models, fresh=fresh)
        this.begin()
        stop.on_leaving = this.leave
        exits.enter_context(heartbeat(job.project.state, run_id, stop))
        outcome = this.end(this.report(this.execute(graph)))
        if this.raised is not None:
            raise this.raised
        return outcome


def _resumable(journal: Journal, run: str) -> RunRow:
    """The row of a run that is not running. Raises Locked when it is."""
    row = journal.find(run)
    if row.status == "running":
        raise Locked(f"{row.id} is still running (process {row.pid} on {row.host})", remedy="`pipe cancel` it first")
    return row


def _timed_out(limit_s: float | None) -> TimedOut:
    return TimedOut(f"the run took longer than its time limit of {limit_s:g} s" if limit_s is not None else "")


class _Run:
    """One run while it goes on: begin, execute, report, end."""

    def __init__(
        self,
        run: str,
        job: Job,
        journal: Journal,
        stop: Stop,
        listeners: Sequence[Listener],
        budget: Budget | None,
        models: str,
        *,
        fresh: bool,
    ) -> None:
        self.id = run
        self.job = job
        self.journal = journal
        self.stop = stop
        self.budget = budget
        self.models = models
        """Digest of the models, by the paths before staging."""
        self.fresh = fresh
        self.started = time.time()
        self._began = time.monotonic()
        self.partials = [staging_folder(output.to, run) for output in job.outputs]
        self.store = ResultStore(job.results, job.result_secrets, key=result_key(job.project.state))
        failures = FailureGroups()
        self.trace, self.untraced = tracing.start_trace(_revision(job.source.git))
        traces: list[Listener] = [self.trace] if self.trace is not None else []
        self.events = EventStream(run, journal, [*listeners, failures, *traces], job.scrub)
        self.say = self.events.say
        self.inputs = InputIdentities(functools.partial(self.say, "warning"))
        self.reports = RunReports(run, job, journal, self.store, self.events, failures, self.started)
        self.counts = CallCounts()
        consoles = job.project.state / "runs" / run / "machines"
        context = RunContext(run, journal, stop, self.say, budget, tuple(job.secrets), consoles)
        self.cluster = RunCluster(job, context, self.store, self.events.emit)
        self.raised: BaseException | None = None
        """What ended the run although it is not its own: KeyboardInterrupt and the like."""

    def begin(self) -> None:
        """Write the run into the journal, with everything that it may leave behind, and say so."""
        job, loaded, process = self.job, self.job.loaded, Process.this()
        cluster = loaded.spec.cluster.kind
        row = RunRow(
            self.id, loaded.pipeline, job.name, loaded.file, loaded.text, loaded.overrides, cluster, str(loaded.root),
            "running", self.started, None, None, "", process.host, process.pid, process.started, (), job.source.git,
            fresh=self.fresh, pid_space=process.pid_space,
        )  # fmt: skip
        (self.journal.start_run if job.earlier is None else self.journal.resume_run)(row)
        try:
            job.source.write(self.reports.folder)
        except OSError as error:
            self.say("warning", f"the uncommitted changes could not be saved: {error}")
        for partial in self.partials:
            self.journal.write_lease(self.id, PARTIAL, str(partial))
        self.events.emit(
            RunStarted(
                time=self.started, run=self.id, pipeline=loaded.pipeline, name=job.name, spec=loaded.file,
                resumed=job.earlier is not None, cluster=cluster,
            )
        )  # fmt: skip
        for note in loaded.notes:
            self.say("info", note)
        if loaded.spec.budget is not None and self.budget is None:
            self.say("info", f"the budget {cost_estimate.without_effect(cluster)}")
        if self.untraced:
            self.say("warning", self.untraced)
        if refused := job.source.git.get("refused"):
            self.say("warning", f"the commit of the project cannot be recorded: {refused}")
        self.reports.write_table()
        if self.journal.network_fs:
            self.say(
                "warning",
                f"the state folder {self.journal.folder} is on a network file system ({self.journal.network_fs}): the journal"
                " is slower there; SWATH_HOME can name a folder on a disk of this machine",
            )

    # --- the calls

    def execute(self, graph: Graph) -> RunOutcome:
        """Make the calls. Whatever happens, the cluster is closed when this returns, or the outcome says what may be left."""
        outcome = self._execute(graph)
        if not self.cluster.leftovers:
            return outcome
        error = "\n".join(filter(None, (outcome.error, self.events.scrub(self.cluster.leftovers))))
        return replace(outcome, exit_code=TeardownError.exit_code, error=error)

    def _execute(self, graph: Graph) -> RunOutcome:
        try:
            with contextlib.ExitStack() as exits:
                result = self._execute_graph(graph, exits)
            return self._outcome(result.value)
        except Stopped as error:
            return self._stopped(error)
        except SwathError as error:
            self.say("error", str(error))
            return RunOutcome(self.id, "failed", self._code(error.exit_code), self.events.scrub(str(error)))
        except Exception as error:  # noqa: BLE001 - a fault of ours or of a library: keep the traceback, end like any failure
            self.say("error", "".join(traceback.format_exception(error)).rstrip())
            text = self.events.scrub(f"{type(error).__name__}: {error}\n  the whole story: pipe logs {self.id}")
            return RunOutcome(self.id, "failed", 1, text)
        except BaseException as error:  # noqa: BLE001 - raised again when the end is written
            self.raised = error
            return self._stopped(Interrupted(f"interrupted by {type(error).__name__}"))

    def _execute_graph(self, graph: Graph, exits: contextlib.ExitStack) -> EngineResult:
        """Execute the graph; from the beginning when a stored result is damaged, so that its call is executed again."""
        for attempt in range(DAMAGE_ATTEMPTS):
            engine = Engine(
                self.id, journal=self.journal, store=self.store, emit=self.events.emit, stop=self.stop,
                on_error=self.job.spec.on_error, fresh=self.fresh, scrub=self.events.scrub, verify=attempt > 0,
                identify=self.inputs.resolve, on_client_only=self.cluster.release_workers,
            )  # fmt: skip
            engine.counts.executed = self.counts.executed
            self.counts = engine.counts
            executor = RoutedExecutor(
                InlineExecutor(engine.on_output, self.stop),
                functools.partial(self.cluster.open, exits, engine.on_output),
            )
            try:
                result = engine.execute(graph, executor)
                if result.value is not None:
                    self.store.get(result.value)
                self.reports.fill_table()  # reads results, too
            except DamagedResult as error:
                if attempt == DAMAGE_ATTEMPTS - 1:
                    raise
                if not attempt:
                    self.say("warning", f"{error.message}; calls whose stored results do not fit are executed again")
            else:
                return result
        raise AssertionError("the last attempt returns or raises")

    def _stopped(self, error: Stopped) -> RunOutcome:
        message = error.message
        with contextlib.suppress(StateError):
            request = self.journal.cancel_request(self.id)
            if request is not None and isinstance(error, Interrupted):  # by a signal, which tells neither who nor why
                message = self.events.scrub(str(request))
        self.say("warning", f"{message}; go on with: pipe resume {self.id}")
        return RunOutcome(self.id, error.status, error.exit_code, message)

    def _outcome(self, result: StoredResult | None) -> RunOutcome:
        """How the run ended whose graph has come to its end, with or without a result."""
        value = self.store.get(result) if result is not None else None
        finished = result is not None
        counts = self.counts
        table = self.reports.fill_table()
        if table is not None:
            value, finished = table, table.has_results
            if table.has_results and table.best_by not in (None, *table.numbers):
                offered = ", ".join(table.numbers) or "none"
                self.say("warning", f"search.best: no variant has a number {table.best_by!r}; they have {offered}")
        outputs = [self.events.scrub(output) for output in reportable.outputs(value)]
        if not counts.set_aside and not (counts.left_out and finished):
            return RunOutcome(self.id, "done", 0, "", outputs, [], value)
        if finished:
            count, parts = counts.failed, len(counts.left_out)
            what = [f"{count} {'call' if count == 1 else 'calls'}"] if count else []
            what += [f"{parts} {'part' if parts == 1 else 'parts'} of the input"] if parts else []
            error = SetAside(f"{' and '.join(what)} {'was' if count + parts == 1 else 'were'} set aside")
            aside = [*counts.set_aside, *counts.left_out]
            return RunOutcome(self.id, "partial", error.exit_code, error.message, outputs, aside, value)
        return RunOutcome(self.id, "failed", self._code(counts.exit_code), counts.set_aside[0], [], counts.set_aside)

    def _code(self, exit_code: int) -> int:
        """The exit code of a failure: 2 says that nothing was started, so once the cluster is up it is 1."""
        return TaskFailed.exit_code if exit_code == UsageError.exit_code and self.cluster.workers else exit_code

    # --- the end

    def report(self, outcome: RunOutcome) -> RunOutcome:
        """Write the reports. Those beside maps are outputs of the run."""
        try:
            return replace(
                outcome,
                outputs=outcome.outputs
                + self.reports.write(outcome, self.cluster.workers, self.cluster.machine_uses()),
            )
        except StateError as error:
            self.say("warning", f"the report could not be written: {error}")
        except Exception as error:  # noqa: BLE001 - `report()` of a project's own result: what it says may not fit the page
            self.say("warning", f"the report could not be written: {type(error).__name__}: {error}")
        return outcome

    def leave(self, reason: Stopped) -> None:
        """Write down that the run ended by a stop that the main thread did not hear. The process ends then, whatever this does."""
        with contextlib.suppress(Exception), Journal.open(self.job.project.state) as journal:
            journal.finish_run(self.id, reason.status, reason.exit_code, reason.message, [])

    def end(self, outcome: RunOutcome) -> RunOutcome:
        """Write down how it ended, and say so. What cannot be written keeps no run from ending with its own exit code."""
        crashpoint.reached("ending")
        try:
            for partial in self.partials:
                if not partial.exists():
                    self.journal.end_lease(str(partial))
            self.journal.finish_run(
                self.id, outcome.status, outcome.exit_code, outcome.error, outcome.outputs, self._facts(outcome)
            )
        except StateError as error:
            text = f"how the run ended could not be written down: {error.message}"
            self.say("error", text)
            outcome = replace(outcome, exit_code=outcome.exit_code or error.exit_code, error=outcome.error or text)
        seconds = time.monotonic() - self._began
        requested = self.stop.requested
        self.reports.notify(outcome, seconds, lambda: self.stop.requested is not requested)
        if self.trace is not None:
            wrong = self.trace.end(outcome.status, outcome.exit_code, self.events.scrub(outcome.error), time.time())
            if wrong:
                self.say("warning", wrong)
        self.events.emit(
            RunDone(
                time=time.time(), run=self.id, status=outcome.status, exit_code=outcome.exit_code,
                seconds=seconds, error=outcome.error, outputs=outcome.outputs,
                calls=self.counts.executed, reused=self.counts.reused, set_aside=outcome.set_aside,
                table=self.reports.table_rows(),
            )
        )  # fmt: skip
        return outcome

    def _facts(self, outcome: RunOutcome) -> dict[str, Any] | None:
        """What later runs, and who looks at this one, want to know of it."""
        facts: dict[str, Any] = {}
        if uses := self.cluster.machine_uses():
            facts[MACHINES] = [str(each) for each in uses]
        if outcome.status in ("done", "partial"):
            megapixels = self.reports.about.get("megapixels")
            measured = throughput.measure(self.job, self.models, self.journal.calls(self.id), megapixels)
            facts |= {throughput.FACT: measured} if measured is not None else {}
        return {**self.journal.find(self.id).facts, **facts} if facts else None


def _revision(git: dict[str, Any]) -> dict[str, str]:
    """The attributes of a trace that name the commit."""
    named = {"vcs.ref.head.revision": git.get("commit"), "vcs.ref.head.name": git.get("branch")}
    return {key: str(value) for key, value in named.items() if value}
