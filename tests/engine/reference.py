"""What a plan means, told as simply as possible: a recursion over its parts, one call after the other, no engine's code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swath.graph.ref import SKIPPED
from tests.engine.random_graphs import (
    WALKED,
    Part,
    Plan,
    digest,
    fails,
    how_of,
    inner_plan,
    names,
    spec_for,
    told,
)


class Unclear(Exception):
    """What the plan means depends on what ends first, or on how many fail: it is not compared."""


ASIDE = object()
"""In the place of an item that was set aside."""
FAILED = object()
MANY_FAILURES = 10
"""As many as make the engine give a run up."""


@dataclass
class Meaning:
    """What a run of a plan gives."""

    value: Any
    """FAILED, SKIPPED, or the result."""
    set_aside: list[str] = field(default_factory=list)
    """Places."""


def meaning(plan: Plan, prefix: str = "") -> Meaning:
    """Interpret a plan."""
    return _Reading(plan, prefix).all()


class _Fails(Exception):
    pass


class _Reading:
    def __init__(self, plan: Plan, prefix: str) -> None:
        self.plan = plan
        self.names = [prefix + name for name in names(plan)]
        self.states: dict[int, Any] = {}
        self.set_aside: list[str] = []

    def all(self) -> Meaning:
        for number in range(len(self.plan.parts)):
            self.state(number)
        return Meaning(self.result(), self.set_aside)

    def result(self) -> Any:
        chosen = self.plan.result
        states = [self.state(number) for number in chosen]
        if any(state is FAILED for state in states):
            return FAILED
        values = [self.whole(number, "plain") for number in chosen]
        return values[0] if len(chosen) == 1 else {str(n): value for n, value in zip(chosen, values, strict=True)}

    def state(self, number: int) -> Any:
        """FAILED, SKIPPED, a value, or of a mapped part a list with ASIDE in it."""
        if number not in self.states:
            self.states[number] = self.find(number, self.plan.parts[number])
        return self.states[number]

    def find(self, number: int, part: Part) -> Any:
        followed = [n for n in part.of if part.kind in WALKED and self.plan.parts[n].kind in WALKED]
        whole = [n for n in part.of if n not in followed]
        whole += [n for n in (part.shared, part.when) if n is not None]
        failed = [n for n in (*followed, *whole) if self.state(n) is FAILED]
        skipped = [n for n in (*followed, *whole) if self.state(n) is SKIPPED]
        off = part.when is not None and self.state(part.when) is False
        if failed and (skipped or off) and set(failed + skipped) & set(followed):
            raise Unclear("it is skipped or fails, whichever comes first")
        if failed:
            return FAILED
        if (skipped and part.kind != "either") or off or (part.when is not None and part.when in skipped):
            return SKIPPED
        if part.kind not in WALKED:
            try:
                return self.call(number, part)
            except _Fails:
                self.set_aside.append(self.names[number])
                return FAILED
        return self.map(number, part)

    def whole(self, number: int, use: str = "") -> Any:
        """A part's value as an argument."""
        state = self.state(number)
        if state is SKIPPED:
            return SKIPPED
        kind = self.plan.parts[number].kind
        if kind in WALKED:
            return [item for item in state if item is not ASIDE]
        return state["one"] if kind == "pair" and not use else state

    def walked(self, number: int) -> list[Any]:
        """A part's items, to be mapped over."""
        state = self.state(number)
        found: list[Any] = state["many"] if self.plan.parts[number].kind == "pair" else state
        return found

    def call(self, number: int, part: Part) -> Any:
        """The value of a part that is not mapped."""
        how = how_of(part)
        args = [self.whole(n) for n in part.of]
        if part.kind == "listing":
            made = self.fail(digest("listing", part.n, part.salt, part.spread, told(how)), how)
            return [digest(made, i % part.spread) for i in range(part.n)]
        if part.kind == "pair":
            made = self.fail(digest("pair", args[0], part.n, told(how)), how)
            return {"one": made, "many": [made + i for i in range(part.n)]}
        if part.kind == "blend":
            return self.fail(digest("blend", args, part.salt, told(how)), how)
        if part.kind == "flag":
            return digest("flag", args[0], part.salt) % 3 > 0
        if part.kind == "step":
            return self.step(self.names[number] + "/", 3, 1, part.shape, part.fail, part.flaky)
        for value in args:
            if value is not SKIPPED:
                return value
        raise _Fails

    def step(self, prefix: str, n: int, seed: int, shape: str, fail: int, flaky: int) -> Any:
        found = meaning(inner_plan(n, seed, shape, fail, flaky), prefix)
        self.set_aside += found.set_aside
        return found.value

    def fail(self, made: int, how: dict[str, Any]) -> int:
        if fails(made, how):
            raise _Fails
        return made

    def map(self, number: int, part: Part) -> Any:
        items: list[Any] = []
        failures = 0
        for i, args in enumerate(zip(*(self.walked(n) for n in part.of), strict=True)):
            if any(arg is ASIDE for arg in args):
                items.append(ASIDE)
                continue
            try:
                items.append(self.item(part, i, args, f"{self.names[number]}[{i}]"))
            except _Fails:
                self.set_aside.append(f"{self.names[number]}[{i}]")
                items.append(ASIDE)
                failures += 1
        if failures >= MANY_FAILURES:
            raise Unclear("so many failures may end the run")
        return FAILED if items and all(item is ASIDE for item in items) else items

    def item(self, part: Part, i: int, args: tuple[Any, ...], place: str) -> Any:
        how = how_of(part)
        if part.kind == "work":
            shared = None if part.shared is None else self.whole(part.shared)
            return self.fail(digest("work", args, part.salt, shared, told(how)), how)
        if part.kind == "specs":
            return spec_for(self.fail(digest("specs", args[0], part.salt, told(how)), how), part.salt, how)
        if args[0] is SKIPPED or not isinstance(args[0], dict) or "shape" not in args[0]:
            raise _Fails
        spec = args[0]
        found = self.step(f"{place}/", spec["n"], spec["seed"], spec["shape"], spec["fail"], spec["flaky"])
        return ASIDE if found is FAILED else found
