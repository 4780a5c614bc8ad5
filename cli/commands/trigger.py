"""`pipe trigger`: list, show, fire, pause, resume and backfill the triggers of this project."""

from __future__ import annotations

import dataclasses
import getpass
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from swath import units
from swath.cli.commands.watch import trusted_project
from swath.cli.render.columns import table
from swath.errors import UsageError
from swath.project.project import Project
from swath.triggers.firing_rules import due_key, fingerprint
from swath.triggers.load import read_triggers
from swath.triggers.schedule import instants_between, next_instants
from swath.triggers.trigger import AfterTrigger, CronTrigger, EveryTrigger, Trigger
from swath.triggers.words import trigger_words
from swath.watch.store import Firing, NewFiring, Tick, TriggerState, TriggerStore
from swath.watch.watcher import run_settings
from swath.watch.watching import is_watched

MOST_BACKFILLED = 1000
SHOWN = 10
"""Firings and ticks that `pipe trigger show` prints."""


def list_triggers(*, as_json: bool) -> int:
    """A line for each trigger."""
    project, triggers = _here()
    with TriggerStore.open(project.state) as store:
        states = store.states()
        facts = [_facts(name, trigger, states.get(name), store) for name, trigger in triggers.items()]
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return 0
    rows = [[fact["name"], fact["what"], fact["state"], fact["next"] or "", fact["last"]] for fact in facts]
    for line in table(["TRIGGER", "WHAT", "STATE", "NEXT", "LAST"], rows):
        print(line)
    _tell_whether_watched(project)
    return 0


def show_trigger(name: str, *, as_json: bool) -> int:
    """One trigger with its next instants, runs and ticks."""
    project, triggers = _here()
    trigger = _named(name, triggers)
    with TriggerStore.open(project.state) as store:
        state = store.states().get(name)
        facts = _facts(name, trigger, state, store)
        firings, ticks = store.firings(name, SHOWN), store.ticks(name, SHOWN)
    upcoming = _upcoming(trigger, state)
    if as_json:
        told = {
            "next_instants": upcoming,
            "runs": [_plain(each) for each in firings],
            "ticks": [dataclasses.asdict(each) for each in ticks],
        }
        print(json.dumps({**facts, "spec": trigger.spec, **told}, ensure_ascii=False, indent=2))
        return 0
    print(f"{name}: {facts['what']}, {facts['state']}; runs {trigger.spec}")
    for instant in upcoming:
        print(f"  next    {instant}")
    for firing in firings:
        print(f"  run     {_firing_line(firing)}")
    for tick in ticks:
        print(f"  {_tick_line(tick)}")
    _tell_whether_watched(project)
    return 0


def fire_trigger(name: str, key: str | None) -> int:
    """Ask for a run, or for a look."""
    project, triggers = _here()
    trigger = _named(name, triggers)
    now = datetime.now(UTC).replace(microsecond=0)
    with TriggerStore.open(project.state) as store, store.transaction():
        _known_state(store, name, trigger)
        if key is not None:
            earlier = store.find(name, key)
            if earlier is None:
                raise UsageError(
                    f"{name} has found nothing under {key!r}", remedy=f"`pipe trigger show {name}` shows keys"
                )
            found, due = earlier.found, earlier.due
            new = NewFiring(name, f"{key} again at {due_key(now)}", due, run_settings(trigger), found, now.timestamp())
        elif isinstance(trigger, CronTrigger | EveryTrigger):
            new = NewFiring(name, f"by hand at {due_key(now)}", now.timestamp(), run_settings(trigger), {})
        elif isinstance(trigger, AfterTrigger):
            raise UsageError(f"{name} follows runs of {trigger.after}", remedy=f"pipe trigger fire {trigger.after}")
        else:
            store.want_look(name)
            print(f"{name} looks at once", file=sys.stderr)
            _tell_whether_watched(project)
            return 0
        if not store.fire(dataclasses.replace(new, overlap=trigger.overlap), now.timestamp()):
            raise UsageError(f"{name} was fired by hand in this second already", remedy="once more in a second")
        store.tick(name, "fired", f"{new.key}, by {_user()}", now.timestamp())
    print(f"{new.key}: a run is queued", file=sys.stderr)
    _tell_whether_watched(project)
    return 0


def pause_trigger(name: str) -> int:
    """Pause a trigger."""
    project, triggers = _here()
    trigger = _named(name, triggers)
    with TriggerStore.open(project.state) as store, store.transaction():
        _known_state(store, name, trigger)
        if not store.pause(name, f"{_user()} at {units.local_time(time.time())}"):
            raise UsageError(f"{name} is paused already", remedy=f"pipe trigger resume {name}")
    return 0


def resume_trigger(name: str, missed: str) -> int:
    """Let a trigger go on."""
    if missed not in ("skip", "last", "all"):
        raise UsageError(f"--missed {missed!r} is none of skip, last and all")
    project, triggers = _here()
    trigger = _named(name, triggers)
    with TriggerStore.open(project.state) as store, store.transaction():
        _known_state(store, name, trigger)
        if not store.resume(name, time.time(), missed):
            raise UsageError(f"{name} is not paused")
    return 0


def backfill_trigger(name: str, first: str, last: str | None, *, dry: bool) -> int:
    """Ask for the runs of past due instants that have none."""
    project, triggers = _here()
    trigger = _named(name, triggers)
    if not isinstance(trigger, CronTrigger | EveryTrigger):
        raise UsageError(
            f"{name} is no schedule", remedy="`existing: run` lets a new sensor run for what is there already"
        )
    zone = getattr(trigger, "zone", "UTC")
    start = _instant(first, zone, "--from")
    end = min(datetime.now(UTC), _instant(last, zone, "--to") if last else datetime.now(UTC))
    due = instants_between(trigger.schedule(), start, end, MOST_BACKFILLED + 1)
    if len(due) > MOST_BACKFILLED:
        raise UsageError(f"more than {MOST_BACKFILLED} instants", remedy="give a shorter time")
    now, count = time.time(), 0
    with TriggerStore.open(project.state) as store, store.transaction():
        _known_state(store, name, trigger)
        for moment in due:
            new = NewFiring(name, due_key(moment), moment.timestamp(), run_settings(trigger), {}, now)
            there = store.find(name, new.key)
            if there is None and not dry:
                store.fire(new, now)
            count += there is None
            print(
                f"{new.key}  {'would be run' if dry else 'queued'}"
                if there is None
                else f"{new.key}  {there.status or there.state} already"
            )
    print(f"{count} runs {'would be' if dry else 'are'} queued, of {len(due)} due instants", file=sys.stderr)
    return 0


def _here() -> tuple[Project, dict[str, Trigger]]:
    project = trusted_project(Path())
    return project, dict(read_triggers(project.root).triggers)


def _named(name: str, triggers: dict[str, Trigger]) -> Trigger:
    if name not in triggers:
        raise UsageError(f"there is no trigger {name!r}", remedy=f"there are: {', '.join(triggers) or 'none'}")
    return triggers[name]


def _known_state(store: TriggerStore, name: str, trigger: Trigger) -> None:
    """Have a state for the trigger, also before `pipe watch` has seen it."""
    state = store.states().get(name)
    if state is None or state.fingerprint != fingerprint(trigger):
        store.begin(name, fingerprint(trigger), time.time())


def _facts(name: str, trigger: Trigger, state: TriggerState | None, store: TriggerStore) -> dict[str, Any]:
    upcoming = _upcoming(trigger, state, 1)
    looks = None
    if (
        upcoming is not None
        and not upcoming
        and state is not None
        and state.looked is not None
        and hasattr(trigger, "every")
    ):
        looks = units.local_time(state.looked + trigger.every)
    last = store.ticks(name, 1)
    return {
        "name": name, "kind": trigger.kind, "what": trigger_words(trigger),
        "state": f"paused by {state.paused}" if state and state.paused else "active" if state else "new",
        "next": upcoming[0] if upcoming else (f"looks at {looks}" if looks else None), "pending": store.pending(name),
        "last": f"{units.local_time(last[0].at)} {last[0].outcome}: {last[0].text}"[:120] if last else "",
    }  # fmt: skip


def _upcoming(trigger: Trigger, state: TriggerState | None, count: int = 5) -> list[str]:
    """The next due instants in the trigger's zone, with their offsets."""
    if not isinstance(trigger, CronTrigger | EveryTrigger) or (state and state.paused):
        return []
    zone = ZoneInfo(getattr(trigger, "zone", "UTC"))
    instants = next_instants(trigger.schedule(), datetime.now(UTC), count)
    return [moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z") for moment in instants]


def _plain(firing: Firing) -> dict[str, Any]:
    wanted = ("key", "state", "status", "run", "text", "found", "made", "started", "ended")
    return {name: getattr(firing, name) for name in wanted}


def _firing_line(firing: Firing) -> str:
    what = firing.status if firing.state == "ended" else firing.state
    return "  ".join(
        part for part in (units.local_time(firing.made), firing.key, what, firing.run, firing.text[:120]) if part
    )


def _tick_line(tick: Tick) -> str:
    times = f" ({tick.times} times since {units.local_time(tick.first)})" if tick.times > 1 else ""
    return f"{tick.outcome:7} {units.local_time(tick.at)}  {tick.text}{times}"


def _instant(text: str, zone: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no date or instant", remedy="write 2026-01-01 or 2026-01-01T02:30Z"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _tell_whether_watched(project: Project) -> None:
    if not is_watched(project.state):
        print("no `pipe watch` runs for this project: nothing is started until one does", file=sys.stderr)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"
