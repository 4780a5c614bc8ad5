"""References to the environment in a document: `${env:NAME}` is replaced by a value that no message may show."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.spec.secrets import scrub
from swath.spec.yaml.allowed_environment import AllowedEnvironment, chosen_hosts
from swath.spec.yaml.document import Document, Path

_REFERENCE = re.compile(r"\$\$\{env:|\$\{env:([^{}]*)\}|\$\{env:")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
        pieces: list[tuple[str, bool]] = []
        names: list[str] = []
        end = 0
        for match in _REFERENCE.finditer(value):
            pieces += [(value[end : match.start()], False), (one(match, value, path), match[0] != "$${env:")]
            names += [match[1]] if match[1] else []
            end = match.end()
        pieces.append((value[end:], False))
        check_hosts(pieces, names, path)
        return "".join(piece for piece, _ in pieces)

    def check_hosts(pieces: Sequence[tuple[str, bool]], names: Sequence[str], path: Path) -> None:
        if not isinstance(values, AllowedEnvironment):
            return
        for host in chosen_hosts(pieces):
            for name in names:
                if name in values and not values.may_send(name, host.name):
                    report(path, f"{name} may not be a part of an address of {host.written}: {values.why_not_there}")

    def one(match: re.Match[str], value: str, path: Path) -> str:
        if match[0] == "$${env:":
            return "${env:"
        origins[path] = value
        name = match[1]
        if name is None or not _NAME.fullmatch(name):
            return report(path, "a reference to the environment is written ${env:NAME}")
        if isinstance(values, AllowedEnvironment) and not values.may_read(name):
            return report(path, f"the environment variable {name} may not be read: {values.why}")
        if name not in values:
            return report(path, f"the environment variable {name} is not set")
        if values[name]:
            secrets[values[name]] = match[0]
        return values[name]

    def report(path: Path, message: str) -> str:
        mistakes.append(document.marks[path].mistake(path, message))
        broken.add(path)
        return ""

    data = walk(document.data, ())
    resolved = replace(document, data=data, mistakes=tuple(mistakes), broken=frozenset(broken))
    return ResolvedDocument(resolved, origins, secrets)
