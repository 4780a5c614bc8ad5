"""The table of results: what became of each variant of a matrix. Read from the journal, and kept beside the run's report."""

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
"""States of a variant that has come to its end."""


@dataclass(frozen=True)
class VariantRow:
    """One variant."""

    variant: str
    values: dict[str, Any]
    """Dotted field of the spec -> its value, as it was written."""
    state: State = "waiting"
    """partial: it has a result, but some calls were set aside. stopped: the run ended before it."""
    made: int = 0
    """Calls that were made and succeeded."""
    reused: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Sum of the times of its calls, over all workers."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What its result offers."""
    outputs: tuple[str, ...] = ()
    """Paths or URLs of what it published, or its value."""
    folder: str = ""
    """Where it published; empty when it did not."""
    error: str = ""
    """Why it failed: the first call of it that did."""
    best: bool = False
    """Whether no other variant that has ended is better, by what the spec's search asks for."""
    about: dict[str, Any] = field(default_factory=dict, repr=False)
    """What its result says for the report; not kept in the table's file."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        kept = dataclasses.asdict(self)
        del kept["about"]
        numbers = {name: n if math.isfinite(n) else str(n) for name, n in self.numbers.items()}
        return kept | {"outputs": list(self.outputs), "numbers": numbers}


@dataclass(frozen=True)
class VariantTable:
    """One row per variant."""

    rows: tuple[VariantRow, ...]
    final: bool = False
    """Whether the run has ended."""
    judged: str | None = None
    """Name of the number that tells which variant is the best."""
    goal: str = "max"
    """Whether the largest or the smallest (min) is."""

    @classmethod
    def of(cls, loaded: LoadedSpec) -> VariantTable:
        """Of a run that begins."""
        rows = tuple(VariantRow(variant.name, dict(variant.values)) for variant in loaded.variants)
        search = loaded.spec.search
        return cls(rows) if search is None else cls(rows, judged=search.best, goal=search.goal)

    @classmethod
    def read(cls, folder: Path) -> VariantTable | None:
        """The table that is kept in a run's folder; None when the run has none. Raises StateError when it cannot be read."""
        try:
            kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
            rows = tuple(VariantRow(**row | {"outputs": tuple(row["outputs"])}) for row in kept["rows"])
            return cls(rows, bool(kept["final"]), kept.get("judged"), kept.get("goal", "max"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateError(
                f"{folder / FILE} cannot be read: {error}", remedy="`pipe resume` makes it again"
            ) from error

    def write(self, folder: Path, scrub: Callable[[str], str]) -> None:
        """Keep it in a run's folder, whole or not at all. `scrub` takes secrets out of texts."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{FILE}.partial"
        said = {"final": self.final, "judged": self.judged, "goal": self.goal}
        kept = {**said, "rows": scrubbed(self.plain(), scrub)}
        temporary.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        temporary.replace(folder / FILE)

    def told(self, journal: Journal, store: ResultStore, run: str, *, over: bool) -> VariantTable:
        """The same variants with what the journal knows of them now. `over`: no more will come."""
        facts = {row.variant: _Facts() for row in self.rows}
        for call in journal.calls(run):
            name, _, inner = call.node.partition("/")
            if name in facts and (inner != ROW or call.state == "failed"):
                facts[name].take(call.state, call.seconds or 0.0, call.error)
        for node in journal.nodes(run):
            if node.node in facts:
                facts[node.node].step = node.state
        rows = tuple(self._row(row, facts[row.variant], journal, store, run, over) for row in self.rows)
        return replace(self, rows=self._with_best(rows), final=over)

    def _with_best(self, rows: tuple[VariantRow, ...]) -> tuple[VariantRow, ...]:
        """The best of the rows marked; several when they are equal, none when none has the number."""
        name = self.judged
        known = [row.numbers[name] for row in rows if name in row.numbers and not math.isnan(row.numbers[name])]
        if name is None or not known:
            return tuple(replace(row, best=False) for row in rows)
        best = max(known) if self.goal == "max" else min(known)
        return tuple(replace(row, best=row.numbers.get(name) == best) for row in rows)

    @staticmethod
    def _row(row: VariantRow, facts: _Facts, journal: Journal, store: ResultStore, run: str, over: bool) -> VariantRow:
        made = next((store.get(stored) for stored in journal.results_of(run, f"{row.variant}/{ROW}")), None)
        now = replace(
            row, made=facts.done, reused=facts.reused, failed=facts.failed, seconds=facts.seconds, state=facts.state(over),
            error=facts.error if facts.failed else "",
        )  # fmt: skip
        if made is None:
            return now
        state: State = "skipped" if made["skipped"] else "partial" if facts.failed else "done"
        about = made["about"]
        return replace(
            now, state=state, numbers=made["numbers"], outputs=tuple(made["outputs"]), about=about,
            folder=str(about.get("folder", "")),
        )  # fmt: skip

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that the variants differ in."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the numbers that any of the variants offers."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.numbers))

    @property
    def ended(self) -> bool:
        """Whether any variant has a result."""
        return any(row.state in ENDED for row in self.rows)

    def plain(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [row.plain() for row in self.rows]

    def outputs(self) -> list[str]:
        """What the variants published; values that are no paths come with their variant."""
        return [line if row.folder else f"{row.variant}: {line}" for row in self.rows for line in row.outputs]

    def report(self) -> dict[str, Any]:
        """For the run's report: the folder in which the variants have theirs, when it is the runner that gave them these."""
        folders = {row.folder.rpartition("/") for row in self.rows if row.folder}
        names = {row.variant for row in self.rows}
        above = {parent for parent, _, _ in folders}
        return {"folder": above.pop()} if len(above) == 1 and {last for _, _, last in folders} <= names else {}


@dataclass
class _Facts:
    """What the journal's calls say of one variant."""

    done: int = 0
    reused: int = 0
    failed: int = 0
    seconds: float = 0.0
    error: str = ""
    step: str = ""
    """State of its node, when the journal knows it."""

    def take(self, state: str, seconds: float, error: str) -> None:
        self.done += state == "done"
        self.reused += state == "reused"
        self.seconds += seconds
        if state == "failed":
            self.failed += 1
            self.error = self.error or error

    def state(self, over: bool) -> State:
        """Of a variant that has no result."""
        if self.step == "failed" or (over and self.failed):
            return "failed"
        if over:
            return "stopped"
        return "running" if self.done or self.reused or self.failed else "waiting"


def scrubbed(value: Any, scrub: Callable[[str], str]) -> Any:
    """Plain data without secrets in its texts."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrubbed(part, scrub) for key, part in value.items()}
    if isinstance(value, Iterable):
        return [scrubbed(part, scrub) for part in value]
    return value
