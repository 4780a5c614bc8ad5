"""Lines of text for the events of a run. A failure is told once: when it happens."""

from __future__ import annotations

from collections.abc import Iterator

from swath import events, units
from swath.cli.render.terminal_text import printable
from swath.cli.render.variant_rows import to_lines

QUIET = ("partial", "interrupted", "terminated")
"""Statuses whose error repeats what was printed before."""
REMEMBERED = 1000
"""Failures whose text is kept; of further ones the end of the run has the text again."""
NAMED = 10
"""Calls that a line about failures names at most."""


class EventText:
    """Lines for the events of one run, in their order."""

    def __init__(self) -> None:
        self._failed: dict[str, str] = {}
        """Failures that were printed: name of the call -> its error."""
        self._retried: dict[str, str] = {}
        """Calls that are tried again -> the first line of their last error."""

    def lines(self, event: events.Event) -> Iterator[str]:
        """Lines for an event; none for those that only change counts."""
        match event:
            case events.RunStarted():
                again = ", resumed" if event.resumed else ""
                yield f"run {event.run}: {event.name or event.pipeline} ({event.pipeline}, {event.spec}){again}"
            case events.ClusterReady():
                where = f" at {event.address}" if event.address else ""
                workers = f"{event.workers} {'worker' if event.workers == 1 else 'workers'}"
                yield f"cluster {event.cluster} ready in {units.duration(event.seconds)}: {workers}{where}"
            case events.CallDone():
                self._retried.pop(call_name(event.node, event.item), None)
            case events.CallRetried():
                name, first = call_name(event.node, event.item), printable(event.error).partition("\n")[0]
                same = self._retried.get(name) == first
                self._retried[name] = first
                text = f"{name} attempt {event.attempt} failed{' in the same way' if same else ''}"
                yield f"{text}, again in {units.duration(event.delay_s)}{'' if same else f': {first}'}"
            case events.CallFailed():
                name = call_name(event.node, event.item)
                self._retried.pop(name, None)
                if len(self._failed) < REMEMBERED:
                    self._failed[name] = event.error
                head, *more = printable(event.error).splitlines() or [""]
                yield f"{name} failed for good: {head}"
                yield from (f"  {line}" for line in more)
            case events.Log() if event.node or event.level != "error":  # the error of a run comes with RunDone
                where = " ".join(
                    part for part in (call_name(event.node, event.item) if event.node else "", event.worker) if part
                )
                level = "" if event.level in ("info", "debug") else f"{event.level}: "
                head, *more = printable(event.text).splitlines() or [""]
                yield f"{where}{' | ' if where else ''}{level}{head}"
                yield from (f"  {line}" for line in more)
            case events.RunStopping():
                yield f"stopping: {event.reason}"
            case events.RunDone():
                yield from self.summary(event)

    def forget(self, event: events.Event) -> None:
        """An event whose lines were not shown after all."""
        if isinstance(event, events.CallFailed):
            self._failed.pop(call_name(event.node, event.item), None)

    def summary(self, end: events.RunDone) -> Iterator[str]:
        """Lines for the end of a run."""
        reused = f", {end.reused} reused" if end.reused else ""
        calls = f"{end.calls} {'call' if end.calls == 1 else 'calls'}"
        yield f"{end.status} in {units.duration(end.seconds)}: {calls}{reused}"
        if end.table:
            yield from (f"  {line}" for line in to_lines(end.table[:100]))
            if len(end.table) > 100:
                yield f"  and {len(end.table) - 100} more: pipe runs table {end.run}"
        if end.status == "partial":
            yield from self._set_aside(end)
        elif end.error and end.status not in QUIET:
            yield from self._error(end)

    def _set_aside(self, end: events.RunDone) -> Iterator[str]:
        """The calls that were set aside, by name where their errors were printed."""
        printed = [name for name in map(_name, end.set_aside) if name in self._failed]
        if printed:
            yield f"  set aside: {_listed(printed)}; errors are above, tracebacks: pipe logs {end.run} --failed"
        others = [item for item in end.set_aside if _name(item) not in self._failed]
        for item in others[:20]:
            yield f"  set aside: {printable(item).partition(chr(10))[0]}"
        if len(others) > 20:
            yield f"  and {len(others) - 20} more: pipe runs show {end.run}"

    def _error(self, end: events.RunDone) -> Iterator[str]:
        """The error of a run: where it is that of a call and was printed, only the calls and the rest of its text."""
        name, _, text = end.error.partition(": ")
        printed = self._failed.get(name)
        if printed is not None and text.startswith(printed):
            names = list(dict.fromkeys([name, *(each for each in map(_name, end.set_aside) if each in self._failed)]))
            yield f"error: {_listed(names)} failed, see above; tracebacks: pipe logs {end.run} --failed"
            rest = printable(text[len(printed) :]).splitlines()
        else:
            head, *rest = printable(end.error).splitlines()
            yield f"error: {head}"
        yield from (f"  {line.strip()}" for line in rest if line.strip())


def call_name(node: str, item: int | None) -> str:
    """Such as `predict_region[12]`."""
    return node if item is None else f"{node}[{item}]"


def _name(failure: str) -> str:
    """The name of the call in `predict_region[12]: its error`."""
    return failure.partition(": ")[0]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
