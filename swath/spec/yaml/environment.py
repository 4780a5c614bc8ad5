"""References to the environment in a document: `${env:NAME}` is replaced by a value that no message may show."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swath.spec.secrets import scrub
from swath.spec.yaml.document import Document, Path

_REFERENCE = re.compile(r"\$\$\{env:|\$\{env:([^{}]*)\}|\$\{env:")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class AllowedEnvironment(Mapping[str, str]):
    """An environment of which a document may read some variables only."""

    def __init__(self, values: Mapping[str, str], names: frozenset[str], why: str) -> None:
        """names: of the variables that may be read. why: the reason for messages, with what to do."""
        self._values = {name: values[name] for name in names if name in values}
        self.names = names
        self.why = why

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with resolved references."""

    document: Document
    """Its data has the values; its text has the references."""
    origins: Mapping[Path, str]
    """Paths of values with a reference, and these values as they were written."""
    secrets: Mapping[str, str]
    """Values from the environment, and their references."""

    def origin(self, path: Path) -> str:
        """The value at a path as it was written, if it has a reference; else empty."""
        return self.origins.get(path, "")

    def scrub(self, message: str) -> str:
        """The message with masked values."""
        return scrub(message, self.secrets)


def resolve(document: Document, env: Mapping[str, str] | None = None) -> ResolvedDocument:
    """Replace `${env:NAME}` in all text values, not in keys. `$${env:` is an escape for the text `${env:`.

    A variable that is not set, or a malformed reference, is a mistake of the document.
    """
    values = os.environ if env is None else env
    origins: dict[Path, str] = {}
    secrets: dict[str, str] = {}
    mistakes = list(document.mistakes)
    broken = set(document.broken)

    def walk(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        return text(value, path) if isinstance(value, str) and "${env:" in value else value

    def text(value: str, path: Path) -> str:
        def one(match: re.Match[str]) -> str:
            if match[0] == "$${env:":
                return "${env:"
            origins[path] = value
            name = match[1]
            if name is None or not _NAME.fullmatch(name):
                return report(path, "a reference to the environment is written ${env:NAME}")
            if isinstance(values, AllowedEnvironment) and name not in values.names:
                return report(path, f"the environment variable {name} may not be read: {values.why}")
            if name not in values:
                return report(path, f"the environment variable {name} is not set")
            if values[name]:
                secrets[values[name]] = match[0]
            return values[name]

        return _REFERENCE.sub(one, value)

    def report(path: Path, message: str) -> str:
        mistakes.append(document.marks[path].mistake(path, message))
        broken.add(path)
        return ""

    data = walk(document.data, ())
    resolved = replace(document, data=data, mistakes=tuple(mistakes), broken=frozenset(broken))
    return ResolvedDocument(resolved, origins, secrets)
