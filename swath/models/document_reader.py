"""DocumentReader: takes typed values out of a JSON document and collects every mistake, with its field."""

from __future__ import annotations

import difflib
import json
import math
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass
class DocumentReader:
    """Its methods take a value from an object of the document; a wrong or missing one is written into `mistakes`."""

    source: str
    """Name of the document in messages."""
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, where: str, message: str) -> None:
        """Note a mistake of the field `where`."""
        self.mistakes.append(f"{self.source}: {where}: {message}")

    def text(self, parent: dict[str, Any], key: str, where: str = "") -> str:
        """A text that is not blank; empty after a mistake."""
        value = self._required(parent, key, where)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.wrong(where + key, f"must be a text, not {json.dumps(value)}")
        return value if isinstance(value, str) else ""

    def one_of(self, parent: dict[str, Any], key: str, options: tuple[str, ...], default: str | None = None) -> str:
        """One of the options; the first after a mistake."""
        value = parent.get(key, default)
        if value is None:
            self.wrong(key, f"is missing; one of {', '.join(options)}")
        elif value not in options:
            self.wrong(key, f"must be one of {', '.join(options)}, not {json.dumps(value)}{suggestion(value, options)}")
        return value if value in options else options[0]

    def number(self, parent: dict[str, Any], key: str, where: str = "", default: float | None = None) -> float | None:
        """A finite number; None where there is none, or after a mistake."""
        value = parent.get(key, default)
        if value is None or (is_number(value) and _is_finite(value)):
            return cast("float | None", value)
        self.wrong(where + key, f"must be a number, not {json.dumps(value)}")
        return None

    def single(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        """The object of a list of one object; empty after a mistake."""
        value = self._required(document, key, "")
        if value is None:
            return {}
        if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict):
            count = f"{len(value)} entries" if isinstance(value, list) else json.dumps(value)
            self.wrong(
                key, f"must be a list with one object, not {count}: swath runs models with one input and one output"
            )
            return {}
        return value[0]

    def _required(self, parent: dict[str, Any], key: str, where: str) -> Any:
        value = parent.get(key)
        if value is None:
            self.wrong(where + key, f"is missing{suggestion(key, tuple(parent))}")
        return value


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(number: float) -> bool:
    """Whether a number of JSON, whose integers have any number of digits, is one that floats can hold."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def suggestion(word: Any, options: tuple[str, ...]) -> str:
    """` (did you mean X?)` when an option is close to the word; else empty."""
    close = difflib.get_close_matches(str(word), options, n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""
