"""Watcher: runs the triggers of one project. Each turn does what is to be done now: due instants, looks, starts, ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from swath.crashpoint import reached
from swath.errors import NoSuchRun, SpecError, SwathError, UsageError
from swath.sensors.child_look import ChildLook
from swath.triggers.firing_rules import (
    SCHEDULE_CLASSES,
    SENSOR_CLASSES,
    due_firings,
    fingerprint,
    followers,
    found_of_run,
    set_texts,
)
from swath.triggers.load import ProjectTriggers
from swath.triggers.look import Look
from swath.triggers.trigger import AfterTrigger, CronTrigger, EveryTrigger, SensorTrigger, Trigger
from swath.triggers.values import Known, NothingBefore, filled
from swath.watch.project_runs import RunEnd
from swath.watch.store import Firing, NewFiring, TriggerState, TriggerStore

MOST_RESUMES = 3
"""So often a run goes on whose process is gone: one that ends its machine each time does not do so for ever."""


class RunStarter(Protocol):
    """What starts runs, and tells how they end: this machine or a server."""

    def new_id(self, trigger: str, key: str) -> str:
        """What the run of a firing is called before its start."""
        ...

    def start(self, run: str, spec: str, sets: Sequence[str], timeout_s: float | None) -> str:
        """Start the run that is called so, unless it was started already. Returns its id from now on. Raises SwathError; a retryable
        one when it may be tried again."""
        ...

    def end_of(self, run: str) -> RunEnd | None:
        """How a run has ended; None while that is not known. Raises NoSuchRun when it was never started."""
        ...

    def resume(self, run: str, timeout_s: float | None) -> bool:
        """Let a run go on whose process is gone. Returns whether it does. Raises SwathError."""
        ...

    def stop(self, run: str, reason: str) -> None:
        """Ask a run to stop. May be called again."""
        ...

    def close(self) -> None:
        """This process ends; runs go on."""
        ...


@dataclass
class Watcher:
    """The triggers of a project, with what is stored of them. `turn` is called again and again."""

    read: Callable[[], ProjectTriggers]
    """The triggers as they are now. Raises SpecError."""
    store: TriggerStore
    runs: RunStarter
    most_runs: int = 1
    """Runs at the same time."""
    once: bool = False
    """What is due now, and one look of each sensor."""
    clock: Callable[[], float] = time.time
    say: Callable[[str], None] = lambda text: None
    begin_look: Callable[[SensorTrigger, Any, float, Path], ChildLook] = ChildLook
    _looks: dict[str, ChildLook] = field(default_factory=dict)
    _tried: dict[str, float] = field(default_factory=dict)
    """When each schedule was asked last, or each sensor's last look was begun, in this process."""
    _resumes: Counter[str] = field(default_factory=Counter)
    """How often each run was resumed, in this process."""
    _problem: str = ""
    _away: str = ""
    """Why no run could be started, as it was told last."""
    _current: ProjectTriggers | None = None

    def turn(self) -> None:
        """Do what is to be done now. Raises SpecError for a wrong swath.yaml the first time only: later the earlier one counts."""
        self._reload()
        current = self._current
        if current is None:
            return
        self._end_runs(current)
        states = self.store.states()
        for name, trigger in current.triggers.items():
            state = states.get(name)
            print_of = fingerprint(trigger)
            if state is None or state.fingerprint != print_of:
                self.store.begin(name, print_of, self.clock())
                self._drop_look(name)
                if isinstance(trigger, SCHEDULE_CLASSES):
                    continue
                state = self.store.states()[name]
            if state.paused:
                self._drop_look(name)
            elif isinstance(trigger, CronTrigger | EveryTrigger):
                self._fire_due(name, trigger, state)
            elif isinstance(trigger, SENSOR_CLASSES):
                self._look(name, trigger, state, current)
        for name in set(self._looks) - set(current.triggers):
            self._drop_look(name)
        self._start_runs()

    @property
    def busy(self) -> bool:
        """Whether a look goes on, or a run is queued or goes on."""
        return bool(self._looks) or bool(self.store.open_firings())

    def close(self) -> None:
        """End the looks; runs go on."""
        for name in list(self._looks):
            self._drop_look(name)
        self.runs.close()

    def _reload(self) -> None:
        try:
            found = self.read()
        except SpecError as error:
            if self._current is None:
                raise
            if error.message != self._problem:
                self.say(f"{error.message}\nswath.yaml is wrong now: the triggers stay as they were")
            self._problem = error.message
            return
        self._problem = ""
        self._current = found

    # --- schedules

    def _fire_due(self, name: str, trigger: CronTrigger | EveryTrigger, state: TriggerState) -> None:
        if self.once and name in self._tried:
            return
        now = self._tried[name] = self.clock()
        due = due_firings(name, trigger, state.considered, now, state.missed)
        if due is None:
            return
        with self.store.transaction():
            for each in due.firings:
                new = NewFiring(
                    name, each.key, each.moment.timestamp(), run_settings(trigger), {}, each.not_before, each.expires,
                    trigger.overlap,
                )  # fmt: skip
                self._fire(new, "due", now)
            self.store.consider(name, now)
            reached("firing")
            if due.left_out:
                self.store.tick(name, "skipped", due.left_out, now)
                self.say(f"{name}: {due.left_out}")
        reached("fired")

    def _fire(self, new: NewFiring, why: str, now: float) -> bool:
        outcome = self.store.fire(new, now)
        if outcome in ("", "known"):
            return False
        reason = " (an earlier run had not ended)" if outcome == "skipped" else ""
        self.store.tick(new.trigger, "fired" if outcome == "queued" else "skipped", f"{why} {new.key}{reason}", now)
        self.say(f"{new.trigger}: {why} {new.key}: {outcome}{reason}")
        return True

    # --- sensors

    def _look(self, name: str, trigger: SensorTrigger, state: TriggerState, project: ProjectTriggers) -> None:
        if name in self._looks:
            if self._looks[name].done():
                self._take(name, trigger, state)
            return
        if self.once and name in self._tried:
            return
        now = self.clock()
        last = max(state.looked or 0, self._tried.get(name, 0))
        if now - last < trigger.every and last <= now and not state.look_now:
            return
        self._tried[name] = now
        self.store.end_wish(name)
        pending = self.store.pending(name)
        if pending >= trigger.pending:
            self.store.tick(name, "waiting", f"{pending} runs have not ended (pending: {trigger.pending})", now)
            return
        self._looks[name] = self.begin_look(trigger, state.cursor, now, project.root)

    def _take(self, name: str, trigger: SensorTrigger, state: TriggerState) -> None:
        try:
            look = self._looks.pop(name).look()
        except SwathError as error:
            text = error.message
            self.store.tick(name, "failed", text, self.clock())
            self.say(f"{name}: {text}")
            return
        self.take(name, trigger, state, look)

    def take(self, name: str, trigger: SensorTrigger, state: TriggerState, look: Look) -> None:
        """Store what a look found: its runs, its cursor and what came of it, all or nothing."""
        now = self.clock()
        baseline = state.looked is None and trigger.existing == "skip"
        with self.store.transaction():
            fired = 0
            for each in look.found:
                expires = None if trigger.expires is None else now + trigger.expires
                new = NewFiring(
                    name,
                    each.key,
                    now,
                    run_settings(trigger),
                    each.values,
                    now,
                    expires,
                    trigger.overlap,
                    known=baseline,
                )
                fired += self._fire(new, "found", now)
            self.store.end_look(name, now, look.cursor)
            reached("firing")
            if baseline:
                self.store.tick(
                    name, "nothing", f"first look: {len(look.found)} things are there already; {look.text}", now
                )
            elif not fired:
                self.store.tick(name, "nothing", f"nothing new; {look.text}", now)
        reached("fired")

    def _drop_look(self, name: str) -> None:
        if name in self._looks:
            self._looks.pop(name).close()

    # --- runs

    def _end_runs(self, project: ProjectTriggers) -> None:
        for firing in self.store.open_firings():
            if firing.state != "started":
                continue
            if firing.stop:
                self.runs.stop(firing.run, firing.stop)
            try:
                end = self.runs.end_of(firing.run)
            except NoSuchRun:  # this process, or an earlier one, ended before the run began
                self._launch(firing)
                continue
            if end is not None and not self._resume(firing, end):
                self._finish(firing, end, project)

    def _resume(self, firing: Firing, end: RunEnd) -> bool:
        """Let a run go on whose process is gone, such as after the machine was started again. Returns whether it does."""
        if end.status != "crashed" or firing.stop or self._resumes[firing.run] >= MOST_RESUMES:
            return False
        self._resumes[firing.run] += 1
        if not self.runs.resume(firing.run, firing.settings["timeout"]):
            return False
        self.say(f"{firing.trigger}: {firing.run} crashed; it goes on")
        return True

    def _finish(self, firing: Firing, end: RunEnd, project: ProjectTriggers) -> None:
        now = self.clock()
        with self.store.transaction():
            self.store.end(firing.id, end.status, end.text, now)
            for name, trigger in followers(project.triggers, firing.trigger, end.status):
                self._follow(name, trigger, firing, end, now)
        self.say(f"{firing.trigger}: {firing.run} {end.status}" + (f": {end.text}" if end.text else ""))

    def _follow(self, name: str, trigger: AfterTrigger, firing: Firing, end: RunEnd, now: float) -> None:
        state = self.store.states().get(name)
        if state is None or state.paused:
            return
        found = found_of_run(firing.found, firing.run, end.status, end.outputs)
        expires = None if trigger.expires is None else now + trigger.expires
        new = NewFiring(name, firing.run, now, run_settings(trigger), found, now, expires, trigger.overlap)
        self._fire(new, "after", now)

    def _start_runs(self) -> None:
        waiting = self.store.open_firings()
        running = {each.trigger for each in waiting if each.state == "started"}
        room = self.most_runs - sum(each.state == "started" for each in waiting)
        now = self.clock()
        for firing in waiting:
            if firing.state != "queued":
                continue
            if firing.expires is not None and now > firing.expires:
                self.store.end(firing.id, "expired", "it had not started in time (expires)", now)
                self.say(f"{firing.trigger}: {firing.key} expired: it had not started in time")
            elif room > 0 and firing.trigger not in running and firing.not_before <= now and self._begin(firing):
                running.add(firing.trigger)
                room -= 1

    def _begin(self, firing: Firing) -> bool:
        """Give a firing its run. The id is stored first: a run that was started is found again under it."""
        run = self.runs.new_id(firing.trigger, firing.key)
        self.store.start(firing.id, run, self.clock())
        reached("begun")
        return self._launch(replace(firing, run=run))

    def _launch(self, firing: Firing) -> bool:
        try:
            values = filled(firing.settings["set"], self._known(firing))
            run = self.runs.start(firing.run, firing.settings["spec"], set_texts(values), firing.settings["timeout"])
            reached("forked")
        except NothingBefore as error:
            self.store.end(firing.id, "skipped", error.message, self.clock())
            self.say(f"{firing.trigger}: {firing.key} skipped: {error.message}")
            return False
        except SwathError as error:
            if error.retryable:  # the next turn tries again
                if error.message != self._away:
                    self.say(f"{firing.trigger}: {firing.key}: {error.message}; trying again")
                self._away = error.message
                return True
            status = "refused" if isinstance(error, UsageError) else "failed"
            self.store.end(firing.id, status, error.message, self.clock())
            self.say(f"{firing.trigger}: {firing.key} {status}: {error.message}")
            return False
        if run != firing.run:
            self.store.start(firing.id, run, self.clock())
        self._away = ""
        self.say(f"{firing.trigger}: started {run}")
        return True

    def _known(self, firing: Firing) -> Known:
        follows = firing.settings["follows"]  # the run that it follows was done, whatever came of this one
        previous = self.store.previous(firing.trigger, firing.id, done=not follows)
        due = datetime.fromtimestamp(firing.due, UTC)
        return Known(
            firing.trigger,
            firing.key,
            due,
            firing.settings["zone"],
            firing.found,
            None if previous is None else previous.found,
        )


def run_settings(trigger: Trigger) -> dict[str, Any]:
    """What a run needs of its trigger, as JSON."""
    return {
        "spec": str(trigger.spec), "set": trigger.set, "timeout": trigger.timeout, "zone": getattr(trigger, "zone", "UTC"),
        "follows": isinstance(trigger, AfterTrigger),
    }  # fmt: skip
