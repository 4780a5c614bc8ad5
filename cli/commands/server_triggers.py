"""`pipe trigger ... --server`: the triggers of a project of a server."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from swath import units
from swath.cli.commands.remote_runs import client_of
from swath.cli.commands.submit import only_project
from swath.cli.render.columns import table
from swath.cli.render.terminal_text import printable
from swath.client import Client
from swath.errors import UsageError
from swath.protocol.triggers import Fired, TickInfo, TriggerDetail, TriggerInfo, TriggerPage, TriggerPut
from swath.spec.yaml.document import read
from swath.spec.yaml.override import Override


def list_triggers(project: str | None, *, as_json: bool) -> int:
    """A line for each trigger."""
    client, place = _place(project)
    page = TriggerPage.model_validate(client.call("GET", place))
    if as_json:
        print(json.dumps(page.model_dump(mode="json"), ensure_ascii=False, indent=2))
        return 0
    rows = [
        [each.name, each.what, f"paused by {each.paused}" if each.paused else "active", _next(each), _last(each.last)]
        for each in page.triggers
    ]
    for line in table(
        ["TRIGGER", "WHAT", "STATE", "NEXT", "LAST"], [[printable(cell) for cell in row] for row in rows]
    ):
        print(line)
    if page.problem:
        print(f"swath.yaml of the project: {printable(page.problem)}", file=sys.stderr)
    elif page.read is None:
        print("no agent has read the project's swath.yaml yet: `pipe agents` lists them", file=sys.stderr)
    return 0


def show_trigger(project: str | None, name: str, *, as_json: bool) -> int:
    """One trigger with its next instants, runs and ticks."""
    client, place = _place(project)
    detail = TriggerDetail.model_validate(client.call("GET", f"{place}/{quote(name, safe='')}"))
    if as_json:
        print(json.dumps(detail.model_dump(mode="json"), ensure_ascii=False, indent=2))
        return 0
    about = detail.trigger
    lines = [f"{about.name}: {about.what}, runs {about.spec}{f'; {about.waits_for}' if about.waits_for else ''}"]
    lines += [f"  next    {_moment(each, about.zone)}" for each in about.next]
    for firing in detail.firings:
        what = firing.status or firing.state
        lines.append(
            "  run     "
            + "  ".join(filter(None, (units.local_time(firing.made), firing.key, what, firing.run, firing.text)))
        )
    for tick in detail.ticks:
        times = f" ({tick.times} times since {units.local_time(tick.first)})" if tick.times > 1 else ""
        lines.append(f"  {tick.outcome:7} {units.local_time(tick.at)}  {tick.text}{times}")
    for line in lines:
        print(printable(line))
    return 0


def fire_trigger(project: str | None, name: str, key: str | None) -> int:
    """Ask for a run, or for a look."""
    client, place = _place(project)
    fired = Fired.model_validate(client.call("POST", f"{place}/{quote(name, safe='')}/fire", {"key": key}))
    if fired.run:
        print(fired.run)
    else:
        print(f"{fired.key}: a run waits for its turn" if fired.key else f"{name} looks at once", file=sys.stderr)
    return 0


def pause_trigger(project: str | None, name: str) -> int:
    """Pause a trigger."""
    client, place = _place(project)
    client.call("POST", f"{place}/{quote(name, safe='')}/pause", {})
    return 0


def resume_trigger(project: str | None, name: str, missed: str) -> int:
    """Let a trigger go on."""
    if missed not in ("skip", "last", "all"):
        raise UsageError(f"--missed {missed!r} is none of skip, last and all")
    client, place = _place(project)
    client.call("POST", f"{place}/{quote(name, safe='')}/resume", {"missed": missed})
    return 0


def put_trigger(project: str | None, name: str, spec: Path, fields: list[str]) -> int:
    """Make a trigger, or change it."""
    definition = definition_of(fields)
    client, place = _place(project)
    body = {"definition": definition, "spec": read(str(spec))}
    made = TriggerPut.model_validate(client.call("PUT", f"{place}/{quote(name, safe='')}", body))
    if made.hook_key:
        address = f"{client.url}/api/v1{place.replace('/projects/', '/hooks/').removesuffix('/triggers')}/{quote(name, safe='')}"
        print(f"{address}\n{made.hook_key}")
        print("the key signs requests to the address; it is shown this once", file=sys.stderr)
    return 0


def remove_trigger(project: str | None, name: str) -> int:
    """Remove a trigger."""
    client, place = _place(project)
    client.call("DELETE", f"{place}/{quote(name, safe='')}")
    return 0


def definition_of(fields: list[str]) -> dict[str, Any]:
    """A trigger from texts such as cron=... and set.output.to=...: what follows `set.` is a key of the spec. Raises SpecError."""
    definition: dict[str, Any] = {}
    for text in fields:
        override = Override.parse(text)
        first, *rest = override.keys
        if rest and first == "set":
            definition.setdefault("set", {})[".".join(rest)] = override.value.data
        elif rest:
            raise UsageError(f"--set {'.'.join(override.keys)}: a trigger has no such field")
        else:
            definition[first] = override.value.data
    return definition


def _place(project: str | None) -> tuple[Client, str]:
    client = client_of()
    name = project or only_project(client, Path("swath.yaml"))
    return client, f"/projects/{quote(name, safe='')}/triggers"


def _next(trigger: TriggerInfo) -> str:
    if not trigger.next:
        return ""
    return f"{'looks at ' if trigger.kind == 'sensor' else ''}{_moment(trigger.next[0], trigger.zone)}"


def _moment(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %z")


def _last(tick: TickInfo | None) -> str:
    return f"{units.local_time(tick.at)} {tick.outcome}: {tick.text}"[:120] if tick else ""
