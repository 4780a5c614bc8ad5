"""An input that does what no input may do: the Python expression in SWATH_ATTACK_HARM."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from swath.errors import StateError, UsageError
from tests.attack.kind import NoProcesses


class Harm(NoProcesses):
    """Shows that harm is found."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "model.json"

    def unchanged(self) -> Iterator[Path]:
        yield from ()

    def write(self, chance: random.Random) -> tuple[Path, str]:
        self._file.write_text("{}")
        return self._file, "harm"

    def use(self, path: Path) -> None:
        eval(os.environ["SWATH_ATTACK_HARM"], {"usage_error": usage_error, "state_error": state_error})  # noqa: S307 - of the test


def usage_error(message: str) -> NoReturn:
    raise UsageError(message)


def state_error(message: str) -> NoReturn:
    raise StateError(message)
