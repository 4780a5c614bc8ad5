"""Random graphs: a plan of plain values, the tasks that it uses, and the pipeline that it stands for.

Nothing here computes a graph: the engine does, and beside it the simple interpreter in `reference.py`.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.graph.either import either
from swath.graph.pipeline import Pipeline
from swath.graph.ref import Ref
from swath.graph.task import task
from swath.spec.base import Spec

SEQUENCES = ("listing", "pair", "work", "specs", "steps")
"""Kinds of parts that can be mapped over."""
WALKED = ("work", "specs", "steps")
"""Kinds that are mapped nodes."""
SHAPES = ("sum", "both", "maybe", "deep")
DEEP = 10


@dataclass(frozen=True)
class Part:
    """One node of a plan. Numbers name earlier parts."""

    kind: str
    of: tuple[int, ...] = ()
    """Positional arguments."""
    shared: int | None = None
    """Keyword argument of a map: the same for all items."""
    when: int | None = None
    n: int = 0
    """Number of items."""
    salt: int = 0
    spread: int = 1
    """A listing has so many different values."""
    fail: int = 0
    """One of so many calls fails for good; 0: none."""
    flaky: int = 0
    """One of so many calls fails at first; 0: none."""
    cache: bool = True
    shape: str = ""
    """Of the pipeline that a step stands for."""


@dataclass(frozen=True)
class Plan:
    """A graph as plain values."""

    parts: tuple[Part, ...]
    result: tuple[int, ...]
    """What the pipeline returns; several as a mapping."""


# --- what the tasks compute; the reference uses these functions too


def digest(*parts: Any) -> int:
    """A number that stands for a call and all that went into it."""
    return int.from_bytes(hashlib.blake2b(repr(plain(list(parts))).encode(), digest_size=6).digest(), "big")


def plain(value: Any) -> Any:
    """A value with lazy sequences as lists, without what only says where and how fast a step runs."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items() if key not in ("folder", "nap_s")}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(part) for part in value]
    return value


def fails(number: int, how: Mapping[str, Any]) -> bool:
    """Whether a call fails for good."""
    return bool(how["fail"]) and number % how["fail"] == 0


def spec_for(number: int, salt: int, how: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a mapped step; now and then a wrong one. From DEEP on the step has no steps itself."""
    if number % 7 == 0:
        return {"no such field": number}
    shapes = SHAPES if salt < DEEP else SHAPES[:-1]
    shape = shapes[number % len(shapes)]
    return {"n": number % 4, "seed": number % 5, "shape": shape, "fail": how["fail"], "flaky": how["flaky"]}


# --- the tasks


def _make(number: int, how: Mapping[str, Any]) -> None:
    """Do as a call does: take a while, fail as it is told to."""
    folder = Path(how["folder"])
    if how["flaky"] and number % how["flaky"] == 0:
        try:
            (folder / "tries" / str(number)).open("x").close()
        except FileExistsError:
            pass
        else:
            raise OSError("not yet")
    time.sleep(how["nap_s"])
    if fails(number, how):
        raise ValueError(f"{number} fails")


def _note(value: Any, how: Mapping[str, Any]) -> Any:
    """Write down that a call was really made."""
    if how["cache"] and value != []:
        with (Path(how["folder"]) / "made.log").open("a") as file:
            file.write(f"{digest(value)}\n")
            file.flush()
    return value


def told(how: Mapping[str, Any]) -> dict[str, Any]:
    """What of `how` tells one call from another."""
    return {key: how[key] for key in ("fail", "flaky", "cache")}


@task
def listing(*, n: int, salt: int, spread: int, how: dict[str, Any]) -> list[int]:
    number = digest("listing", n, salt, spread, told(how))
    _make(number, how)
    return _note([digest(number, i % spread) for i in range(n)], how)


@task
def pair(value: Any, *, n: int, how: dict[str, Any]) -> dict[str, Any]:
    number = digest("pair", value, n, told(how))
    _make(number, how)
    return _note({"one": number, "many": [number + i for i in range(n)]}, how)


@task
def work(*values: Any, salt: int, how: dict[str, Any], shared: Any = None) -> int:
    number = digest("work", values, salt, shared, told(how))
    _make(number, how)
    return _note(number, how)


@task
def specs(value: Any, *, salt: int, how: dict[str, Any]) -> dict[str, Any]:
    number = digest("specs", value, salt, told(how))
    _make(number, how)
    return {**spec_for(number, salt, how), "folder": how["folder"], "nap_s": how["nap_s"]}


@task
def blend(*values: Any, salt: int, how: dict[str, Any]) -> int:
    number = digest("blend", values, salt, told(how))
    _make(number, how)
    return _note(number, how)


@task
def flag(value: Any, *, salt: int) -> bool:
    return digest("flag", value, salt) % 3 > 0


# --- the pipelines


class Inner(Spec):
    """A step."""

    n: int
    seed: int
    shape: str
    fail: int = 0
    flaky: int = 0
    folder: str = ""
    nap_s: float = 0.0


def inner_plan(n: int, seed: int, shape: str, fail: int, flaky: int) -> Plan:
    """The plan of a step."""
    xs = Part("listing", n=n, salt=seed, spread=max(1, n - 1))
    ys = Part("work", (0,), n=n, salt=seed, fail=fail, flaky=flaky)
    if shape == "sum":
        return Plan((xs, ys, Part("blend", (1,), salt=seed)), (2,))
    if shape == "both":
        return Plan((xs, ys, Part("blend", (1,), salt=seed)), (1, 2))
    if shape == "maybe":
        return Plan((xs, Part("flag", (0,), salt=seed), Part("blend", (0,), when=1, salt=seed, fail=fail)), (2,))
    deep = Part("specs", (0,), n=n, salt=DEEP + seed, flaky=flaky)
    return Plan((Part("listing", n=min(n, 1), salt=seed), deep, Part("steps", (1,), n=n)), (2,))


def pipeline_of(plan: Plan, folder: Path, nap_s: float) -> Pipeline:
    """The pipeline that a plan stands for."""

    def planned(spec: Spec) -> Any:
        return _relate(plan, str(folder), nap_s)

    planned.__annotations__["spec"] = Spec
    return Pipeline(planned, "planned")


def _inner(spec: Inner) -> Any:
    return _relate(inner_plan(spec.n, spec.seed, spec.shape, spec.fail, spec.flaky), spec.folder, spec.nap_s)


_inner.__annotations__["spec"] = Inner
inner = Pipeline(_inner, "inner")


def how_of(part: Part) -> dict[str, Any]:
    """How calls of a part go, without where and how fast."""
    return {"fail": part.fail, "flaky": part.flaky, "cache": part.cache}


def _relate(plan: Plan, folder: str, nap_s: float) -> Any:
    made: list[Any] = []

    def whole(number: int) -> Any:
        return made[number]["one"] if plan.parts[number].kind == "pair" else made[number]

    def walked(number: int) -> Any:
        return made[number]["many"] if plan.parts[number].kind == "pair" else made[number]

    for part in plan.parts:
        how = {**how_of(part), "folder": folder, "nap_s": nap_s}
        options: dict[str, Any] = {"cache": part.cache}
        if part.flaky:
            options |= {"retries": 1, "retry_delay_s": 0.001}
        when = True if part.when is None else made[part.when]
        made.append(_node(part, whole, walked, how, options, when))
    if len(plan.result) == 1:
        return made[plan.result[0]]
    return {str(number): made[number] for number in plan.result}


def _node(part: Part, whole: Any, walked: Any, how: dict[str, Any], options: dict[str, Any], when: Any) -> Ref:
    args = [whole(number) for number in part.of]
    found: Any
    match part.kind:
        case "listing":
            chosen = listing.options(**options)
            found = chosen(n=part.n, salt=part.salt, spread=part.spread, how=how, when=when)
        case "pair":
            found = pair.options(**options)(args[0], n=part.n, how=how, when=when)
        case "work":
            shared = None if part.shared is None else whole(part.shared)
            sequences = [walked(number) for number in part.of]
            found = work.options(**options).map(*sequences, salt=part.salt, how=how, shared=shared, when=when)
        case "specs":
            found = specs.options(**options).map(walked(part.of[0]), salt=part.salt, how=how, when=when)
        case "steps":
            found = inner.map(walked(part.of[0]), when=when)
        case "step":
            spec = {"n": 3, "seed": 1, "shape": part.shape, "fail": part.fail, "flaky": part.flaky}
            found = inner({**spec, "folder": how["folder"], "nap_s": how["nap_s"]}, when=when)
        case "blend":
            found = blend.options(**options)(*args, salt=part.salt, how=how, when=when)
        case "flag":
            found = flag(args[0], salt=part.salt, when=when)
        case _:
            found = either(*args, when=when)
    return found  # type: ignore[no-any-return]


def names(plan: Plan) -> list[str]:
    """The names of a plan's nodes: of the tasks, with a number from the second of a name on."""
    called = {"step": "inner", "steps": "inner"}
    seen: dict[str, int] = {}
    found = []
    for part in plan.parts:
        name = called.get(part.kind, part.kind)
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return found


# --- plans by chance


def random_plan(chance: random.Random, parts: int = 12, items: int = 12) -> Plan:
    """A plan of up to so many parts, with up to so many items in a map."""
    made: list[Part] = [_listing(chance, items)]
    for _ in range(chance.randint(1, parts)):
        made.append(
            chance.choice((_listing, _pair, _work, _work, _work, _specs, _step, _blend, _flag, _either))(
                chance, items, made
            )
        )
        if made[-1].kind == "specs":
            made.append(Part("steps", (len(made) - 1,), n=made[-1].n))
    flags = [number for number, part in enumerate(made) if part.kind == "flag"]
    for number, part in enumerate(made):
        before = [other for other in flags if other < number]
        if before and part.kind != "flag" and chance.random() < 0.3:
            made[number] = Part(**{**vars(part), "when": chance.choice(before)})
    count = chance.randint(1, min(4, len(made)))
    result = sorted(chance.sample(range(len(made)), count - 1)) if count > 1 else []
    return Plan(tuple(made), tuple(dict.fromkeys([*result, len(made) - 1])))


def _trouble(chance: random.Random) -> dict[str, Any]:
    return {
        "salt": chance.randint(0, 3),
        "fail": chance.choice((0, 0, 0, 0, 3, 6, 1)) if chance.random() < 0.7 else 0,
        "flaky": chance.choice((0, 0, 2, 4)),
        "cache": chance.random() < 0.85,
    }


def _listing(chance: random.Random, items: int, made: Sequence[Part] = ()) -> Part:
    n = chance.randint(0, items)
    calm = {**_trouble(chance), "fail": chance.choice((0, 0, 0, 0, 0, 0, 2))}
    return Part("listing", n=n, spread=chance.randint(1, max(1, n)), **calm)


def _any(chance: random.Random, made: Sequence[Part]) -> int:
    return chance.randrange(len(made))


def _pair(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    return Part("pair", (_any(chance, made),), n=chance.randint(0, items), **_trouble(chance))


def _walked(chance: random.Random, made: Sequence[Part]) -> int:
    """Something to map over, rather the newest."""
    found = [number for number, part in enumerate(made) if part.kind in SEQUENCES]
    return found[max(chance.randrange(len(found)) for _ in range(2))]


def _work(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    first = _walked(chance, made)
    n = made[first].n
    of = [first]
    beside = [number for number, part in enumerate(made) if part.kind in SEQUENCES and part.n == n]
    while beside and chance.random() < 0.3 and len(of) < 3:
        of.append(chance.choice(beside))
    shared = _any(chance, made) if chance.random() < 0.3 else None
    return Part("work", tuple(of), shared, n=n, **_trouble(chance))


def _specs(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    of = _walked(chance, made)
    return Part("specs", (of,), n=made[of].n, **_trouble(chance))


def _step(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    return Part("step", shape=chance.choice(SHAPES), fail=chance.choice((0, 0, 3)), flaky=chance.choice((0, 2)))


def _blend(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    return Part("blend", tuple(_any(chance, made) for _ in range(chance.randint(1, 3))), **_trouble(chance))


def _flag(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    return Part("flag", (_any(chance, made),), salt=chance.randint(0, 9))


def _either(chance: random.Random, items: int, made: Sequence[Part]) -> Part:
    return Part("either", tuple(_any(chance, made) for _ in range(chance.randint(1, 3))))


def log_lines(folder: Path) -> Iterator[str]:
    """The calls that were really made, in order."""
    file = folder / "made.log"
    if file.exists():
        yield from file.read_text().splitlines()


def prepare(folder: Path) -> None:
    """Make the folders that the tasks use."""
    (folder / "tries").mkdir(parents=True)
