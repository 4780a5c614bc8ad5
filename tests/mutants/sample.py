"""Which mutations are tried, which tests are run on each, and what a sample says of all."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar


class Place(Protocol):
    """Where a mutation is."""

    @property
    def module(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


T = TypeVar("T", bound=Place)


def shuffled(mutations: Sequence[T], seed: int) -> Iterator[T]:
    """The mutations in random order, of each place (file, line, column) one only."""
    order = list(mutations)
    random.Random(seed).shuffle(order)
    seen: set[tuple[str, int, int]] = set()
    for each in order:
        place = (each.module, each.line, each.column)
        if place not in seen:
            seen.add(place)
            yield each


@dataclass
class CoverageMap:
    """Which tests run which lines, and in how many seconds."""

    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, lines: Mapping[str, Mapping[str, Sequence[str]]], seconds: Mapping[str, float]) -> None:
        self.seconds |= seconds
        for module, by_line in lines.items():
            for line, tests in by_line.items():
                self.lines.setdefault(module, {}).setdefault(int(line), set()).update(tests)

    def forget(self, files: Sequence[str]) -> None:
        """Remove the tests of these files."""
        gone = {test for test in self.seconds if test.partition("::")[0] in files}
        self.seconds = {test: seconds for test, seconds in self.seconds.items() if test not in gone}
        for by_line in self.lines.values():
            for tests in by_line.values():
                tests -= gone

    def tests_of(self, source: str, module: str, line: int, *, most_s: float, most: int) -> list[str]:
        """Tests that run the statement at `line`, those of the module's own test file first, then the fast ones; those of the whole
        module where the line runs at import."""
        by_line = self.lines.get(module, {})
        own = _test_file(module)
        wanted = statement_lines(ast.parse(source), line)
        chosen: set[str] = set().union(*(by_line.get(each, set()) for each in wanted or by_line))
        if wanted is None or not chosen:  # also those that use the module in another process
            chosen |= {test for test in self.seconds if test.partition("::")[0] == own}
        ordered = sorted(
            (test for test in chosen if test in self.seconds),
            key=lambda test: (test.partition("::")[0] != own, self.seconds[test], test),
        )
        taken: list[str] = []
        total = 0.0
        for test in ordered[:most]:
            total += self.seconds[test]
            if taken and total > most_s:
                break
            taken.append(test)
        return taken


def _test_file(module: str) -> str:
    """tests/maps/cog/test_cog.py for swath/maps/cog/cog.py."""
    folder, _, name = module.removeprefix("swath/").rpartition("/")
    return f"tests/{folder}/test_{name}"


def statement_lines(tree: ast.AST, line: int) -> range | None:
    """Lines of the smallest statement at `line`, of a compound one its header; None where they run when the module is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.body[0].lineno <= line <= (
            node.end_lineno or 0
        ):
            return _innermost(node, line)
    return None


def _innermost(function: ast.FunctionDef | ast.AsyncFunctionDef, line: int) -> range:
    best: ast.stmt = function
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
            continue
        if (node.end_lineno or 0) - node.lineno <= (best.end_lineno or 0) - best.lineno:
            best = node
    body = getattr(best, "body", None)
    end = body[0].lineno - 1 if isinstance(body, list) and body and body[0].lineno > best.lineno else best.end_lineno
    return range(best.lineno, max(line, end or line) + 1)


def interval(found: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, for samples of independent places."""
    if count == 0:
        return 0.0, 1.0
    share = found / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def summary(room: str, seed: int, places: int, outcomes: Sequence[str]) -> str:
    """A row of the table in docs/testing.md: outcomes are found, timeout, survived and equivalent."""
    equivalent, survived = outcomes.count("equivalent"), outcomes.count("survived")
    found = len(outcomes) - equivalent - survived
    low, high = interval(found, found + survived)
    share = 100 * found / max(1, found + survived)
    return (
        f"| {room} | {places:,} | {len(outcomes)} | {seed} | {found} | {equivalent} | {survived} | {share:.0f} % "
        f"({100 * low:.0f} to {100 * high:.0f}) |"
    )
