"""The table of a matrix: state, calls, numbers and outputs of each variant, from the journal; a file in the run's folder."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from swath.engine.journal import Journal
from swath.engine.store import ResultStore
from swath.errors import StateError
from swath.runner.matrix import ROW
from swath.spec.loading.load import LoadedSpec

FILE = "table.json"

State = Literal["waiting", "running", "done", "partial", "skipped", "failed", "stopped"]
ENDED = ("done", "partial", "skipped")
"""States of a variant that has ended with a result, or was skipped."""


@dataclass(frozen=True)
class VariantRow:
    """One variant."""

    variant: str
    values: dict[str, Any]
    """Dotted field of the spec -> its value, as it was written."""
    state: State = "waiting"
    """partial: it has a result, but some calls were set aside. stopped: the run ended before it."""
    made: int = 0
    """Calls that were executed and succeeded."""
    reused: int = 0
    """Calls whose result was there already."""
    failed: int = 0
    """Calls that failed for good."""
    seconds: float = 0.0
    """Sum of the times of its calls, over all workers."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Numbers of its result, such as scores."""
    outputs: tuple[str, ...] = ()
    """Paths or URLs of what it published, or its value."""
    folder: str = ""
    """Where it published; empty when it did not."""
    error: str = ""
    """Why it failed: the error of its first call that did."""
    best: bool = False
    """Whether no other variant that has ended is better, by the number that the spec's search names."""
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    """What its result says for the report; not in the table's file."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        values = dataclasses.asdict(self)
        del values["about"]
        numbers = {name: n if math.isfinite(n) else str(n) for name, n in self.numbers.items()}
        return values | {"outputs": list(self.outputs), "numbers": numbers}


@dataclass(frozen=True)
class VariantTable:
    """One row per variant."""

    rows: tuple[VariantRow, ...]
    final: bool = False
    """Whether the run has ended."""
    best_by: str | None = None
    """Name of the number that decides which variant is the best."""
    goal: str = "max"
    """max: the largest is the best; min: the smallest."""

    @classmethod
    def of(cls, loaded: LoadedSpec) -> VariantTable:
        """Of a run that begins."""
        rows = tuple(VariantRow(variant.name, dict(variant.values)) for variant in loaded.variants)
        search = loaded.spec.search
        return cls(rows) if search is None else cls(rows, best_by=search.best, goal=search.goal)

    @classmethod
    def read(cls, folder: Path) -> VariantTable | None:
        """The table in a run's folder; None when the run has none. Raises StateError when it cannot be read."""
        try:
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            rows = tuple(VariantRow(**row | {"outputs": tuple(row["outputs"])}) for row in stored["rows"])
            return cls(rows, bool(stored["final"]), stored.get("judged"), stored.get("goal", "max"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateError(
                f"{folder / FILE} cannot be read: {error}", remedy="`pipe resume` makes it again"
            ) from error

    def write(self, folder: Path, scrub: Callable[[str], str]) -> None:
        """Write it to a run's folder, whole or not at all. `scrub` takes secrets out of texts."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{FILE}.partial"
        head = {"final": self.final, "judged": self.best_by, "goal": self.goal}  # `judged` as in 0.1
        stored = {**head, "rows": scrubbed(self.plain(), scrub)}
        temporary.write_text(json.dumps(stored, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        temporary.replace(folder / FILE)

    def updated(self, journal: Journal, store: ResultStore, run: str, *, ended: bool) -> VariantTable:
        """The same variants with what the journal has of them now. ended: whether the run has."""
        calls = {row.variant: _VariantCalls() for row in self.rows}
        for call in journal.calls(run):
            name, _, inner = call.node.partition("/")
            if name in calls and (inner != ROW or call.state == "failed"):
                calls[name].add(call.state, call.seconds or 0.0, call.error)
        for node in journal.nodes(run):
            if node.node in calls:
                calls[node.node].step = node.state
        rows = tuple(_updated_row(row, calls[row.variant], journal, store, run, ended=ended) for row in self.rows)
        return replace(self, rows=self._with_best(rows), final=ended)

    def _with_best(self, rows: tuple[VariantRow, ...]) -> tuple[VariantRow, ...]:
        """The best of the rows marked; several when they are equal, none when none has the number."""
        name = self.best_by
        known = [row.numbers[name] for row in rows if name in row.numbers and not math.isnan(row.numbers[name])]
        if name is None or not known:
            return tuple(replace(row, best=False) for row in rows)
        best = max(known) if self.goal == "max" else min(known)
        return tuple(replace(row, best=row.numbers.get(name) == best) for row in rows)

    @property
    def fields(self) -> tuple[str, ...]:
        """Dotted fields of the spec that the variants differ in."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that any of the variants has."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.numbers))

    @property
    def has_results(self) -> bool:
        """Whether any variant has ended with a result, or was skipped."""
        return any(row.state in ENDED for row in self.rows)

    def plain(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [row.plain() for row in self.rows]

    def outputs(self) -> list[str]:
        """What the variants published; a value that is no path with the name of its variant."""
        return [line if row.folder else f"{row.variant}: {line}" for row in self.rows for line in row.outputs]

    def report(self) -> dict[str, Any]:
        """For the run's report: the folder above those of the variants; empty where the user chose their folders one by one."""
        folders = {row.folder.rpartition("/") for row in self.rows if row.folder}
        names = {row.variant for row in self.rows}
        above = {parent for parent, _, _ in folders}
        return {"folder": above.pop()} if len(above) == 1 and {last for _, _, last in folders} <= names else {}


@dataclass
class _VariantCalls:
    """The journal's calls of one variant."""

    done: int = 0
    reused: int = 0
    failed: int = 0
    seconds: float = 0.0
    error: str = ""
    step: str = ""
    """State of the variant's node; empty while the journal has none."""

    def add(self, state: str, seconds: float, error: str) -> None:
        self.done += state == "done"
        self.reused += state == "reused"
        self.seconds += seconds
        if state == "failed":
            self.failed += 1
            self.error = self.error or error

    def state(self, *, ended: bool) -> State:
        """Of a variant that has no result. ended: whether the run has."""
        if self.step == "failed" or (ended and self.failed):
            return "failed"
        if ended:
            return "stopped"
        return "running" if self.done or self.reused or self.failed else "waiting"


def _updated_row(
    row: VariantRow, calls: _VariantCalls, journal: Journal, store: ResultStore, run: str, *, ended: bool
) -> VariantRow:
    result = next((store.get(stored) for stored in journal.results_of(run, f"{row.variant}/{ROW}")), None)
    updated = replace(
        row, made=calls.done, reused=calls.reused, failed=calls.failed, seconds=calls.seconds,
        state=calls.state(ended=ended), error=calls.error if calls.failed else "",
    )  # fmt: skip
    if result is None:
        return updated
    state: State = "skipped" if result["skipped"] else "partial" if calls.failed else "done"
    about = result["about"]
    return replace(
        updated, state=state, numbers=result["numbers"], outputs=tuple(result["outputs"]), about=about,
        folder=str(about.get("folder", "")),
    )  # fmt: skip


def scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:
    """Plain data without secrets in its texts."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrubbed(part, scrub) for key, part in value.items()}
    if isinstance(value, Iterable):
        return [scrubbed(part, scrub) for part in value]
    return value
