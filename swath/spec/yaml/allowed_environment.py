"""An environment of which a document may read some variables only, and may send their values to some hosts only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_AUTHORITY = re.compile(r"://([^/?#\s]*)")
_PORT = re.compile(r":\d*$")


class AllowedEnvironment(Mapping[str, str]):
    """The variables that a document may read."""

    def __init__(
        self,
        values: Mapping[str, str],
        names: Collection[str] | None,
        why: str,
        *,
        hosts: Mapping[str, Collection[str]] | Collection[str] | None = None,
        why_not_there: str = "",
    ) -> None:
        """names: of the variables that may be read; None for all. why: the reason for messages, with what to do.

        hosts: hosts and buckets of addresses that a value may be a part of, such as `api.example.org` or `*.example.org`, for all
        variables, or by the name of each; None for all hosts. An address that is a value as a whole may name any. why_not_there: as
        why, for another host.
        """
        allowed = values if names is None else names
        self._values = {name: values[name] for name in allowed if name in values}
        self.names = None if names is None else frozenset(names)
        self.why = why
        self.hosts = hosts
        self.why_not_there = why_not_there

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def limited_to(self, names: Collection[str] | None) -> AllowedEnvironment:
        """The same with these variables only; None for no other limit."""
        both = self.names if names is None else frozenset(names)
        if self.names is not None and both is not None:
            both &= self.names
        return AllowedEnvironment(self._values, both, self.why, hosts=self.hosts, why_not_there=self.why_not_there)

    def may_read(self, name: str) -> bool:
        """Whether a document may read a variable, set or not."""
        return self.names is None or name in self.names

    def may_send(self, name: str, host: str) -> bool:
        """Whether a variable's value may be a part of an address of a host."""
        if self.hosts is None:
            return True
        listed = self.hosts.get(name, ()) if isinstance(self.hosts, Mapping) else self.hosts
        return any(
            host == each.lower() or (each.startswith("*.") and host.endswith(each[1:].lower())) for each in listed
        )


@dataclass(frozen=True)
class ChosenHost:
    """A host, or bucket, that the document chooses, at least in part."""

    name: str
    """In lower case, without a port."""
    written: str
    """The same with `*` for each part from the environment."""


def chosen_hosts(pieces: Sequence[tuple[str, bool]]) -> list[ChosenHost]:
    """Hosts, and buckets, of the addresses in a text, but for those that are wholly from the environment.

    pieces: of the text, and whether each is from the environment.
    """
    text = "".join(piece for piece, _ in pieces)
    given = [outside for piece, outside in pieces for _ in piece]
    found = []
    for address in _AUTHORITY.finditer(text):
        start = address.start(1) + address[1].rfind("@") + 1
        host = _PORT.sub("", text[start : address.end(1)])
        if host and not all(given[start : start + len(host)]):
            shown = "".join("*" if given[start + n] else each for n, each in enumerate(host))
            found.append(ChosenHost(host.lower(), re.sub(r"\*+", "*", shown.lower())))
    return found
