"""One run, told in order: spec, graph, journal, lock, lease, cluster, engine, report, teardown."""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swath import crashpoint
from swath.cluster.contract import RunContext, RunningCluster, cluster_of
from swath.cluster.cost.budget import Budget
from swath.cluster.teardown.sweep import PARTIAL
from swath.engine.engine import CallCounts, Engine
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import InlineExecutor
from swath.engine.executors.routed import RoutedExecutor
from swath.engine.explain import NodeExplanation
from swath.engine.explain import explain as explained
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.process import Process
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.stored_result import StoredResult
from swath.errors import (
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
from swath.events import CallDone, ClusterReady, Event, Listener, Log, RunDone, RunStarted
from swath.graph.graph import Graph
from swath.project.project import Project
from swath.project.provenance import CodeSource, reproduction
from swath.project.registry import Registry
from swath.reporting.call_statistics import FailureGroups, account
from swath.reporting.notifications import RunEnding, check_addresses, recipients, send
from swath.reporting.run_report import RunFacts, write_report
from swath.reporting.tracing import start_trace
from swath.runner import cost_estimate, matrix, staging
from swath.runner.heartbeat import beating
from swath.runner.lock import in_use, locked
from swath.runner.variant_table import VariantTable, scrubbed
from swath.spec.fields.output import Destination
from swath.spec.loading.load import LoadedSpec, parse
from swath.spec.secrets import masked_errors, scrub
from swath.spec.validation.reachability import results_location
from swath.storage.publication import staging_folder
from swath.version import versions


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended."""

    run: str
    """The run's id."""
    status: str
    exit_code: int
    error: str = ""
    outputs: list[str] = field(default_factory=list)
    """What was published: paths or URLs."""
    set_aside: list[str] = field(default_factory=list)
    result: Any = None
    """What the pipeline returned."""


def run(
    loaded: LoadedSpec,
    project: Project,
    registry: Registry,
    *,
    listeners: Sequence[Listener] = (),
    fresh: bool = False,
    resume: str | None = None,
    timeout_s: float | None = None,
    identity: str | None = None,
    source: CodeSource | None = None,
) -> RunOutcome:
    """Run a spec to its end. Raises SwathError for what keeps it from starting; whatever happens later is in the outcome.

    `fresh` makes every call anew. `resume` is the id of a run that is taken up again. After `timeout_s` the run is stopped.
    `identity` is the id of a new run, when it is known already. `source` is what spec and pipelines were taken from when that is
    not the files as they are.
    """
    crashpoint.reached("parsing")
    check_addresses([project.notify, loaded.spec.notify])
    budget = cost_estimate.budget_of(loaded, project, registry, _again(project, registry), begun=resume is not None)
    identity = identity or (new_identity(loaded) if resume is None else None)
    loaded = staging.staged(loaded, lambda text: _tell(listeners, identity or resume or "", text))
    project = replace(project, results=results_location(loaded.spec, project.results))
    graph = matrix.graph(registry.find(loaded.pipeline), loaded)
    with Journal.open(project.state) as journal, contextlib.ExitStack() as exits:
        exits.enter_context(in_use(project.state))
        if identity is None:
            identity = _identity(journal, str(resume))
        for output in outputs_of(loaded):
            if "://" not in output.to:
                exits.enter_context(locked(output.to, identity))
        stop = Stop()
        exits.enter_context(stop.on_signals())
        exits.enter_context(stop.after(timeout_s, _timed_out(timeout_s)))
        earlier = journal.find(identity) if resume is not None else None
        source = source or _as_it_is(loaded, project, earlier)
        fresh = fresh or (earlier is not None and earlier.fresh)
        this = _Run(identity, loaded, project, journal, stop, listeners, time.time(), source, budget, fresh=fresh)
        exits.enter_context(beating(project.state, identity))
        this.begin(resumed=resume is not None)
        outcome = this.go(graph)
        try:
            outcome = this.report(outcome)
        except StateError as error:
            this.say("warning", f"the report could not be written: {error}")
        return this.end(outcome)


def _tell(listeners: Sequence[Listener], run: str, text: str) -> None:
    """A line from before the run begins; the journal has none of it."""
    for listener in listeners:
        listener(Log(time=time.time(), run=run, level="info", text=text))


def resume_loaded(row: RunRow, project: Project, registry: Registry) -> LoadedSpec:
    """The spec of an earlier run, from the text that the journal kept."""
    return parse(
        row.spec_text,
        row.spec_path,
        overrides=row.overrides,
        project=project,
        find=registry.spec_class,
        names=registry.names,
    )


@dataclass(frozen=True)
class Plan:
    """What a run would take."""

    values: dict[str, Any]
    """Plain values by name."""

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Names and values to show."""
        return [(name.replace("_", " "), _shown(value)) for name, value in self.values.items() if name != matrix.EACH]

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.values)


def plan(loaded: LoadedSpec, project: Project, registry: Registry) -> Plan:
    """What a run of a spec would take. Looks at imagery and model; starts no cluster and writes nothing."""
    cluster = loaded.spec.cluster
    with masked_errors(_hidden(loaded, project), f"there is no plan of {loaded.pipeline}"):
        facts = matrix.plan(registry.find(loaded.pipeline), loaded)
        facts |= staging.plan(loaded) | cost_estimate.told(loaded, project, registry, facts, _again(project, registry))
    return Plan(
        {
            "pipeline": loaded.pipeline,
            "name": _name(loaded),
            "cluster": cluster.kind,
            "state": str(project.state),
            **facts,
        }
    )


def _shown(value: Any) -> str:
    """A value of a plan, for people; a pair of numbers is from the one to the other."""
    if isinstance(value, tuple) and len(value) == 2:
        return f"at least {value[0]:g}" if value[1] is None else f"{value[0]:g} to {value[1]:g}"
    return "not known" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _again(project: Project, registry: Registry) -> Callable[[RunRow], LoadedSpec]:
    """What gives the spec of an earlier run."""
    return lambda row: resume_loaded(row, project, registry)


def explain(loaded: LoadedSpec, project: Project, registry: Registry, *, fresh: bool = False) -> list[NodeExplanation]:
    """What a run of a spec would do, node by node, compared with the last run of the same pipeline and name. Looks at imagery and
    model as a run would; starts no cluster and writes nothing."""
    project = replace(project, results=results_location(loaded.spec, project.results))
    graph = matrix.graph(registry.find(loaded.pipeline), loaded)
    with contextlib.ExitStack() as exits:
        known = (project.state / "journal.sqlite").is_file()
        state = project.state if known else Path(exits.enter_context(tempfile.TemporaryDirectory()))
        journal = exits.enter_context(Journal.open(state))
        store = ResultStore(project.results or str(project.state / "results"), {**loaded.secrets, **project.secrets})
        like = (row.id for row in journal.runs() if (row.pipeline, row.name) == (loaded.pipeline, _name(loaded)))
        earlier = next((run for run in like if journal.nodes(run)), None)
        return explained(graph, journal=journal, store=store, earlier=earlier, fresh=fresh)


def outputs_of(loaded: LoadedSpec) -> list[Destination]:
    """The outputs that a spec names, of all its variants."""
    return [value for spec in loaded.specs for value in spec.parameters().values() if isinstance(value, Destination)]


def _identity(journal: Journal, resume: str) -> str:
    row = journal.find(resume)
    if row.status == "running":
        raise Locked(f"{row.id} is still running (process {row.pid} on {row.host})", remedy="`pipe cancel` it first")
    return row.id


def _timed_out(limit_s: float | None) -> TimedOut:
    return TimedOut(f"the run took longer than its time limit of {limit_s:g} s" if limit_s is not None else "")


def new_identity(loaded: LoadedSpec) -> str:
    """An id for a new run of a spec."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{_name(loaded)}-{secrets.token_hex(2)}"


def _name(loaded: LoadedSpec) -> str:
    return loaded.spec.name or Path(loaded.file).stem


def _as_it_is(loaded: LoadedSpec, project: Project, earlier: RunRow | None) -> CodeSource:
    """What spec and pipelines are taken from when that is the files as they are. earlier: the run that is taken up again."""
    file = loaded.root / earlier.git.get("spec", loaded.file) if earlier else Path(loaded.file).absolute()
    used = [*project.pipelines, *([project.file] if project.file else [])]
    known = _hidden(loaded, project)
    return CodeSource.of_files((file, loaded.text), loaded.root, used, lambda text: scrub(text, known))


def _hidden(loaded: LoadedSpec, project: Project) -> dict[str, str]:
    """What no text may show, and what is shown instead."""
    notices = {**project.notify.secrets(), **loaded.spec.notify.secrets()}
    return {**notices, **loaded.secrets, **project.secrets}


def _revision(git: dict[str, Any]) -> dict[str, str]:
    """What a trace says of a commit."""
    said = {"vcs.ref.head.revision": git.get("commit"), "vcs.ref.head.name": git.get("branch")}
    return {key: str(value) for key, value in said.items() if value}


class _Run:
    """One run while it goes on."""

    def __init__(
        self,
        identity: str,
        loaded: LoadedSpec,
        project: Project,
        journal: Journal,
        stop: Stop,
        listeners: Sequence[Listener],
        started: float,
        source: CodeSource,
        budget: Budget | None,
        *,
        fresh: bool,
    ) -> None:
        self.id = identity
        self.loaded = loaded
        self.project = project
        self.journal = journal
        self.stop = stop
        self.troubles = FailureGroups()
        self.tracing, self.untraced = start_trace(_revision(source.git))
        self.listeners: list[Listener] = [*listeners, self.troubles, *([self.tracing] if self.tracing else [])]
        self.started = started
        self._began = time.monotonic()
        self.partials = [staging_folder(output.to, identity) for output in outputs_of(loaded)]
        self.workers = 0
        """Of the cluster; 0 until it is up."""
        self.folder = project.state / "runs" / identity
        self.source = source
        self.budget = budget
        self._hidden = _hidden(loaded, project)
        sealed = {**loaded.secrets, **project.secrets}
        self.store = ResultStore(project.results or str(project.state / "results"), sealed)
        self.table = VariantTable.of(loaded) if loaded.variants else None
        self.fresh = fresh
        self.tally = CallCounts()
        self._left = ""
        """What may be left of the cluster."""

    # --- telling

    def scrub(self, text: str) -> str:
        """`text` without what the environment gave to the spec, and without the addresses of notices."""
        return scrub(text, self._hidden)

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
        if isinstance(event, CallDone) and not event.reused:
            crashpoint.reached("running")

    def say(self, level: str, text: str) -> None:
        """A line of the runner's own: to the journal and to every reader."""
        text = self.scrub(text)
        now = time.time()
        with contextlib.suppress(StateError):  # what cannot be kept is still told
            self.journal.write_log(self.id, now, level, text)
        self.emit(Log(time=now, run=self.id, level=level, text=text))

    # --- the run

    def begin(self, *, resumed: bool) -> None:
        loaded, me = self.loaded, Process.this()
        self.journal.start_run(
            RunRow(
                self.id, loaded.pipeline, _name(loaded), loaded.file, loaded.text, loaded.overrides,
                loaded.spec.cluster.kind, str(loaded.root), "running", self.started, None, None, "", me.host, me.pid, me.started, (),
                self.source.git, fresh=self.fresh,
            )
        )  # fmt: skip
        try:
            self.source.write(self.folder)
        except OSError as error:
            self.say("warning", f"the changes that are in no commit could not be kept: {error}")
        for partial in self.partials:
            self.journal.write_lease(self.id, PARTIAL, str(partial))
        self.emit(
            RunStarted(
                time=self.started, run=self.id, pipeline=loaded.pipeline, name=_name(loaded), spec=loaded.file,
                resumed=resumed, cluster=loaded.spec.cluster.kind,
            )
        )  # fmt: skip
        for note in loaded.notes:
            self.say("info", note)
        if loaded.spec.budget is not None and self.budget is None:
            self.say("info", f"the budget {cost_estimate.without_effect(loaded.spec.cluster.kind)}")
        if self.untraced:
            self.say("warning", self.untraced)
        self._keep_table()
        if self.journal.shared_by:
            self.say(
                "warning",
                f"the state folder {self.journal.folder} is on a network file system ({self.journal.shared_by}): the journal"
                " is slower there; SWATH_HOME can name a folder on a disk of this machine",
            )

    def go(self, graph: Graph) -> RunOutcome:
        """Make the calls; whatever happens, the cluster is closed when this returns, or the outcome says what may be left."""
        outcome = self._made(graph)
        if not self._left:
            return outcome
        error = "\n".join(filter(None, (outcome.error, self.scrub(self._left))))
        return replace(outcome, exit_code=TeardownError.exit_code, error=error)

    def _made(self, graph: Graph) -> RunOutcome:
        store = self.store
        engine = Engine(
            self.id, journal=self.journal, store=store, emit=self.emit, stop=self.stop, on_error=self.loaded.spec.on_error,
            fresh=self.fresh, scrub=self.scrub,
        )  # fmt: skip
        self.tally = engine.counts
        try:
            with contextlib.ExitStack() as exits:
                executor = RoutedExecutor(
                    InlineExecutor(engine.on_output, self.stop), lambda: self._start(exits, engine, store)
                )
                result = engine.execute(graph, executor)
            return self._outcome(result.value, store)
        except Stopped as error:
            self.say("warning", f"{error.message}; go on with: pipe resume {self.id}")
            return RunOutcome(self.id, error.status, error.exit_code, error.message)
        except SwathError as error:
            self.say("error", str(error))
            return RunOutcome(self.id, "failed", self._code(error.exit_code), self.scrub(str(error)))
        except Exception as error:  # noqa: BLE001 - a fault of ours or of a library: keep the traceback, end like any failure
            self.say("error", "".join(traceback.format_exception(error)).rstrip())
            text = self.scrub(f"{type(error).__name__}: {error}\n  the whole story: pipe logs {self.id}")
            return RunOutcome(self.id, "failed", 1, text)

    def _start(self, exits: contextlib.ExitStack, engine: Engine, store: ResultStore) -> Executor:
        """Bring the cluster up, when the first call needs it."""
        crashpoint.reached("starting")
        began = time.monotonic()
        tenant = RunContext(self.id, self.journal, self.stop, self.say, self.budget)
        try:
            cluster = cluster_of(self.loaded.spec.cluster, self.project.state, tenant).__enter__()
        except TeardownError as error:
            self._note_left(error)
            if isinstance(error.__context__, SwathError):  # why it did not come up is worth as much
                raise error.__context__ from None
            raise
        exits.callback(self._close, cluster)
        executor = cluster.executor(engine.on_output, self.stop)
        cluster.check_store(store)
        self.workers = cluster.workers
        self.emit(
            ClusterReady(
                time=time.time(), run=self.id, cluster=cluster.kind, workers=cluster.workers,
                seconds=time.monotonic() - began, address=cluster.address,
            )
        )  # fmt: skip
        crashpoint.reached("started")
        exits.callback(crashpoint.reached, "closing")
        return executor

    def _close(self, cluster: RunningCluster) -> None:
        """Whatever may be left of the cluster changes nothing in what was made, but how the run ends."""
        try:
            cluster.__exit__(None, None, None)
        except TeardownError as error:
            self._note_left(error)

    def _note_left(self, error: TeardownError) -> None:
        self.say("error", str(error))
        self._left = str(error)

    def _outcome(self, result: StoredResult | None, store: ResultStore) -> RunOutcome:
        value = store.get(result) if result is not None else None
        finished = result is not None
        tally = self.tally
        if self.table is not None:
            value = self.table = self.table.told(self.journal, store, self.id, over=True)
            finished = self.table.ended
            if self.table.ended and self.table.judged not in (None, *self.table.numbers):
                offered = ", ".join(self.table.numbers) or "none"
                self.say("warning", f"search.best: no variant has a number {self.table.judged!r}; they have {offered}")
        outputs = [self.scrub(output) for output in matrix.outputs(value)]
        if not tally.set_aside:
            return RunOutcome(self.id, "done", 0, "", outputs, [], value)
        if finished:
            count = tally.failed
            error = SetAside(f"{count} {'call was' if count == 1 else 'calls were'} set aside")
            return RunOutcome(self.id, "partial", error.exit_code, error.message, outputs, tally.set_aside, value)
        return RunOutcome(self.id, "failed", self._code(tally.exit_code), tally.set_aside[0], [], tally.set_aside)

    def _code(self, exit_code: int) -> int:
        """The exit code of a failure: 2 says that nothing was started, so once the cluster is up it is 1."""
        return TaskFailed.exit_code if exit_code == UsageError.exit_code and self.workers else exit_code

    def report(self, outcome: RunOutcome) -> RunOutcome:
        """Write the run's report: to the state folder, and beside the map when there is one."""
        self._end_table()
        about = outcome.result.report() if hasattr(outcome.result, "report") else {}
        root = self.loaded.root
        again = reproduction(self.loaded.file, self.loaded.overrides, self.source.git, root, self.folder, start=root)
        facts = RunFacts(
            self.id, _name(self.loaded), self.loaded.pipeline, outcome.status, outcome.exit_code, self.started, time.time(),
            self.loaded.file, self.loaded.text, self.loaded.overrides, self.loaded.spec.cluster.kind, self.workers,
            outcome.error, account(self.journal.calls(self.id), self.started, time.time(), self.troubles),
            tuple(outcome.set_aside), self.loaded.notes, versions(), self.source.git, again.line, about, caveat=again.caveat,
            table=self._table_rows(),
            first_started=first if (first := self.journal.find(self.id).started) < self.started else None,
        )  # fmt: skip
        folders = [self.folder]
        if about.get("folder") and "://" not in about["folder"]:
            folders.append(Path(about["folder"]))
        try:
            for folder in folders:
                made = write_report(folder, facts, folders[-1] / "preview.png")
        except OSError as error:
            self.say("warning", f"the report could not be written: {error}")
            return outcome
        beside_the_map = [str(path) for path in made] if len(folders) > 1 else []
        beside_the_map += self._report_variants(facts)
        return replace(outcome, outputs=outcome.outputs + beside_the_map)

    def _keep_table(self) -> None:
        """Write the table of results to the state folder."""
        if self.table is not None:
            try:
                self.table.write(self.folder, self.scrub)
            except OSError as error:
                self.say("warning", f"the table of results could not be written: {error}")

    def _end_table(self) -> None:
        """What became of the variants, also when the run was stopped or failed."""
        if self.table is not None and not self.table.final:
            try:
                self.table = self.table.told(self.journal, self.store, self.id, over=True)
            except SwathError as error:
                self.say("warning", f"the table of results could not be made: {error.message}")
        self._keep_table()

    def _report_variants(self, facts: RunFacts) -> list[str]:
        """A report beside the map of each variant. Returns their paths."""
        made: list[Path] = []
        for row in self.table.rows if self.table is not None else ():
            folder = Path(row.folder)
            if row.folder and "://" not in row.folder:
                own = replace(facts, name=row.variant, status=row.state, account=None, result=row.about, table=())
                try:
                    made += write_report(folder, own, folder / "preview.png")
                except OSError as error:
                    self.say("warning", f"the report of {row.variant} could not be written: {error}")
        return [str(path) for path in made]

    def end(self, outcome: RunOutcome) -> RunOutcome:
        """Write down how it ended, and tell it. What cannot be written keeps no run from ending with its own exit code."""
        try:
            for partial in self.partials:
                if not partial.exists():
                    self.journal.end_lease(str(partial))
            self.journal.finish_run(self.id, outcome.status, outcome.exit_code, outcome.error, outcome.outputs)
        except StateError as error:
            text = f"how the run ended could not be written down: {error.message}"
            self.say("error", text)
            outcome = replace(outcome, exit_code=outcome.exit_code or error.exit_code, error=outcome.error or text)
        seconds = time.monotonic() - self._began
        self.tell(outcome, seconds)
        if self.tracing is not None:
            wrong = self.tracing.end(outcome.status, outcome.exit_code, self.scrub(outcome.error), time.time())
            if wrong:
                self.say("warning", wrong)
        self.emit(
            RunDone(
                time=time.time(), run=self.id, status=outcome.status, exit_code=outcome.exit_code,
                seconds=seconds, error=outcome.error, outputs=outcome.outputs,
                calls=self.tally.executed, reused=self.tally.reused, set_aside=outcome.set_aside,
                table=self._table_rows(),
            )
        )  # fmt: skip
        return outcome

    def tell(self, outcome: RunOutcome, seconds: float) -> None:
        """Tell whom spec and swath.yaml name. It changes nothing in how the run ended."""
        told = recipients([self.project.notify, self.loaded.spec.notify], outcome.status)
        if not told:
            return
        page, stopped = self.folder / "report.html", self.stop.requested
        ending = RunEnding(
            self.id, self.loaded.pipeline, _name(self.loaded), outcome.status, outcome.exit_code, seconds,
            self.scrub(outcome.error), tuple(outcome.outputs), len(outcome.set_aside),
            str(page) if page.is_file() else "", Process.this().host,
        )  # fmt: skip
        for line in send(told, ending, leave=lambda: self.stop.requested is not stopped):
            self.say("warning", line)

    def _table_rows(self) -> list[dict[str, Any]]:
        return scrubbed(self.table.plain(), self.scrub) if self.table is not None else []
