"""Kinds of inputs: how one is written with random changes, and how swath uses it."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

KINDS = {
    "specs": "tests.attack.specs:Specs",
    "rasters": "tests.attack.rasters:Rasters",
    "stac": "tests.attack.stac:Stac",
    "areas": "tests.attack.areas:Areas",
    "models": "tests.attack.models:Models",
    "contracts": "tests.attack.contracts:Contracts",
    "archives": "tests.attack.archives:Archives",
}


class Kind(Protocol):
    """One kind of inputs. It is created in the process that uses them, once for many."""

    codes: frozenset[int]
    """Exit codes of inputs that are refused."""
    host: tuple[str, int] | None
    """The only host that inputs may lead to."""

    def __init__(self, folder: Path) -> None:
        """Write what all inputs are derived from. folder: empty, for this kind alone."""

    def unchanged(self) -> Iterator[Path]:
        """Inputs without a change, which have to be valid, one after the other."""

    def write(self, chance: random.Random) -> tuple[Path, str]:
        """Write one input. Returns its path and what was changed."""

    def use(self, path: Path) -> None:
        """Use an input as swath does. Raises SwathError for one that is refused."""

    def names(self, path: Path) -> tuple[str, ...]:
        """Texts of which the message of a refusal has to contain one: it must say where the mistake is."""

    def may_start(self, event: str, arguments: Any) -> bool:
        """Whether the use of an input may start this process."""


def open_kind(name: str, folder: Path) -> Kind:
    """The kind of this name, or of `module:class`."""
    module, _, cls = KINDS.get(name, name).partition(":")
    kind: Kind = getattr(importlib.import_module(module), cls)(folder)
    return kind


class NoProcesses:
    """A kind whose inputs lead to no host and start no process; messages name the file."""

    codes = frozenset({2})
    host: tuple[str, int] | None = None

    def names(self, path: Path) -> tuple[str, ...]:
        return (path.name,)

    def may_start(self, event: str, arguments: Any) -> bool:
        return False
