"""Random changes of bytes and of documents, the same for the same random source."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 2**31, 1 << 70, 1.5, 1e308, -1e308, float("nan"), float("inf"), "", " ", "x", "x" * 100,
    "é\u202e", "\x00", "\x1b[31m", "\x07", "../../x", "/proc/self/environ", "file:///dev/null", "/dev/zero", "http://[", "http://x:99999/",
    "data:,x", "/", ".", "~", "%s{0}{x.y}", "${env:HOME}", "torch.os.system", "os:system", "9" * 5000,
    [], [None], [[]], [1], ["x"], [{}], {}, {"x": None}, {"as_int": -5}, {"type": "Polygon"}, [[[[[[1]]]]]],
)  # fmt: skip
"""Values that fields do not expect. None of them is an address that can be reached."""


def changed_bytes(data: bytes, chance: random.Random, first: int | None = None) -> bytes:
    """Data with one to twenty bits flipped, bytes removed, inserted or copied. first: only within so many bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        if not changed:
            break
        at, how = chance.randrange(min(len(changed), first or len(changed))), chance.randrange(5)
        if how < 2:
            changed[at] ^= 1 << chance.randrange(8)
        elif how == 2:
            del changed[at : at + chance.randrange(1, 50)]
        elif how == 3:
            changed[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            other = chance.randrange(len(changed))
            changed[at : at + 30] = changed[other : other + 30]
    return bytes(changed)


def cut_bytes(data: bytes, chance: random.Random) -> bytes:
    """The beginning of data, of random length."""
    return data[: chance.randrange(len(data) + 1)]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member of a document, at all depths."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*place, key)
        yield from places(value[key], (*place, key))


def changed_document(document: Any, chance: random.Random, strange: tuple[Any, ...] = STRANGE) -> tuple[Any, str]:
    """A copy with one to three members replaced, removed, moved or doubled, and what was done."""
    changed, done = copy.deepcopy(document), []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        found = list(places(changed))
        if not found:
            break
        *way, last = chance.choice(found)
        parent: Any = changed
        for key in way:
            parent = parent[key]
        how = chance.random()
        if how < 0.15:
            del parent[last]
            done.append(f"without {way} {last}")
        elif how < 0.2 and isinstance(parent, dict):
            parent[str(chance.choice(strange))[:200]] = parent.pop(last)
            done.append(f"another key for {way} {last}")
        elif how < 0.3:
            other: Any = changed
            for key in chance.choice(found[: found.index((*way, last)) + 1]):
                other = other[key]
            parent[last] = copy.deepcopy(other)
            done.append(f"{way} {last} = another member")
        else:
            parent[last] = copy.deepcopy(chance.choice(strange))
            done.append(f"{way} {last} = {str(parent[last])[:60]!r}")
    return changed, ", ".join(done)


def scattered_changes(value: Any, chance: random.Random, share: float = 0.02) -> Any:
    """A document with this share of its members replaced, and some keys removed: for large documents."""
    if chance.random() < share:
        return chance.choice(STRANGE)
    if isinstance(value, dict):
        return {
            key: scattered_changes(each, chance, share) for key, each in value.items() if chance.random() > share / 7
        }
    return [scattered_changes(each, chance, share) for each in value] if isinstance(value, list) else value
