"""`${env:NAME}` in a document's text: replaced by the environment's value, which no message may show."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from swath.spec.secrets import scrub
from swath.spec.yaml.document import Document, Path

_REFERENCE = re.compile(r"\$\$\{env:|\$\{env:([^{}]*)\}|\$\{env:")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with its references replaced."""

    document: Document
    """Its data holds the values; its text still holds the references."""
    origins: Mapping[Path, str]
    """For every value that has a reference: the value as it was written."""
    secrets: Mapping[str, str]
    """What the environment gave, and the reference that asked for it."""

    def origin(self, path: Path) -> str:
        """As it was written, when the value at this path has a reference; else empty."""
        return self.origins.get(path, "")

    def scrub(self, message: str) -> str:
        """The message without anything that the environment gave."""
        return scrub(message, self.secrets)


def resolve(document: Document, env: Mapping[str, str] | None = None) -> ResolvedDocument:
    """Replace `${env:NAME}` in every text value (never in keys). `$${env:` stands for the text `${env:`.

    A variable that is not set, or a reference that is not well-formed, is a mistake of the document.
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
                return blame(path, "a reference to the environment is written ${env:NAME}")
            if name not in values:
                return blame(path, f"the environment variable {name} is not set")
            if values[name]:
                secrets[values[name]] = match[0]
            return values[name]

        return _REFERENCE.sub(one, value)

    def blame(path: Path, message: str) -> str:
        mistakes.append(document.marks[path].mistake(path, message))
        broken.add(path)
        return ""

    data = walk(document.data, ())
    resolved = replace(document, data=data, mistakes=tuple(mistakes), broken=frozenset(broken))
    return ResolvedDocument(resolved, origins, secrets)
