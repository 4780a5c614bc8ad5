"""Asks for the content identities of remote inputs before the calls that depend on them get their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swath.errors import SwathError
from swath.file_identity import unknown_identity
from swath.graph.graph import Graph
from swath.graph.task import Task
from swath.spec.fields.paths import InputFile
from swath.spec.locations import is_remote
from swath.storage.address import redacted, scheme

if TYPE_CHECKING:
    from swath.imagery.remote.identities import IdentityLimits


class InputIdentities:
    """Gives the remote InputFiles in a graph's arguments their identities; each file is asked once for a run, all in parallel."""

    def __init__(self, warn: Callable[[str], None], limits: IdentityLimits | None = None) -> None:
        """limits: how files are asked; those of swath.imagery.remote.identities when not given."""
        self._warn, self._limits = warn, limits
        self._known: dict[str, str] = {}

    def resolve(self, graph: Graph) -> None:
        """Of the arguments of tasks whose results are reused; others run in every run."""
        files = [
            file
            for node in graph
            if isinstance(node.target, Task) and node.target.policy.cache
            for file in remote_files((node.args, node.kwargs))
        ]
        if new := sorted({str(file) for file in files} - self._known.keys()):
            self._ask(new)
        for file in files:
            file.remote_identity = self._known[file]

    def _ask(self, hrefs: list[str]) -> None:
        from swath.imagery.remote.identities import LIMITS, identities

        notes: list[str] = []
        matches = {href: self._matches(href, notes) for href in hrefs}
        found = identities((each for every in matches.values() for each in every), notes, self._limits or LIMITS)
        for href, every in matches.items():
            parts = [found[each] for each in every]
            if len(every) == 1:
                self._known[href] = parts[0]
            else:
                text = "\n".join(f"{each} {part}" for each, part in zip(every, parts, strict=True))
                self._known[href] = hashlib.sha256(text.encode()).hexdigest()[:32] if every else unknown_identity()
        for note in notes:
            self._warn(note)

    def _matches(self, href: str, notes: list[str]) -> list[str]:
        """The files that a pattern in an object store names; any other address itself."""
        if scheme(href) in ("file", "http", "https") or not any(sign in href for sign in "*?["):
            return [href]
        from swath.storage.objects import objects_matching

        try:
            return objects_matching(href)
        except (SwathError, OSError, ValueError) as error:
            notes.append(
                f"{redacted(href)}: whether its files changed cannot be known ({error}); what is computed of them is not reused"
            )
            return []


def remote_files(value: Any) -> Iterator[InputFile]:
    """The remote InputFiles in a value of a spec, in any depth."""
    if isinstance(value, InputFile):
        if is_remote(value):
            yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from remote_files(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from remote_files(part)
    elif hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from remote_files(getattr(value, name))
