"""Parts of an account that runs need (a bucket, a role, a firewall rule, ...): looked at, made and removed in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from swath.errors import InfrastructureError, SwathError, TeardownError

MARK = "Made by pipe setup."
"""At the end of descriptions of what has no labels. What does not have it is never removed."""
LABEL = "swath-setup"
"""Label (Google Cloud) or tag (AWS) of what has labels."""
STAGED_DAYS, UPLOAD_DAYS = 30, 7
"""After so many days a bucket removes staged files, and parts of uploads that were not finished."""

Terraform: TypeAlias = dict[str, dict[str, Any]]
"""Type of a resource -> name -> its arguments, as in Terraform's JSON syntax."""


@dataclass(frozen=True)
class PartState:
    """How a part is in the account."""

    state: Literal["there", "missing", "different"]
    note: str = ""
    """What is different, or worth knowing."""
    ours: bool = False
    """Whether a setup made it: only then is it removed."""


class AccountPart(Protocol):
    """One part. Calls block, and raise CredentialsError and InfrastructureError."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    def look(self) -> PartState:
        """How it is. Changes nothing."""
        ...

    def make(self) -> None:
        """Make it, or change it to what is wanted. May be called again after an error."""
        ...

    def kept(self) -> str:
        """Why it stays when the rest is removed; empty when it does not."""
        ...

    def remove(self) -> None:
        """Remove it. No error when it is gone."""
        ...

    def unsettled(self, error: SwathError) -> bool:
        """Whether an error of `make` goes away by itself: what was made a moment ago is not known everywhere yet."""
        ...

    def terraform(self) -> Terraform:
        """Resources that are the same."""
        ...


@dataclass(frozen=True)
class SettleLimits:
    """How long a part that depends on one just made is tried again."""

    within_s: float = 120.0
    pause_s: float = 3.0


Planned: TypeAlias = Sequence[tuple[AccountPart, PartState]]


def look_at(parts: Iterable[AccountPart]) -> Planned:
    """All parts with their states."""
    return [(part, part.look()) for part in parts]


def make_parts(
    planned: Planned, say: Callable[[str, AccountPart], None], limits: SettleLimits = SettleLimits()
) -> None:
    """Make what is missing and change what is different, in the order given. `say` is told of each part that is done."""
    for part, state in planned:
        if state.state == "there":
            continue
        deadline = time.monotonic() + limits.within_s
        while True:
            try:
                part.make()
                break
            except InfrastructureError as error:
                if not part.unsettled(error) or time.monotonic() > deadline:
                    raise
                time.sleep(limits.pause_s)
        say("made" if state.state == "missing" else "changed", part)


def to_remove(planned: Planned) -> list[tuple[AccountPart, str]]:
    """(part, why it stays or an empty text) of all that is there, in the order in which they are removed."""
    there = [(part, state) for part, state in reversed(planned) if state.state != "missing"]
    return [(part, part.kept() if state.ours else "was not made by a setup") for part, state in there]


def remove_parts(parts: Iterable[AccountPart], say: Callable[[str, AccountPart], None]) -> None:
    """Remove parts. One that cannot be removed does not keep the others: TeardownError at the end."""
    errors: list[tuple[AccountPart, SwathError]] = []
    for part in parts:
        try:
            part.remove()
            say("removed", part)
        except SwathError as error:
            errors.append((part, error))
    if errors:
        lines = [f"{part.title}: {error.message}" for part, error in errors]
        raise TeardownError("not everything was removed:\n" + "\n".join(lines), remedy=errors[0][1].remedy)


def terraform_module(parts: Iterable[AccountPart], provider: Terraform) -> dict[str, Any]:
    """One module of all parts, in Terraform's JSON syntax. `provider`: what stands beside `resource`."""
    resources: Terraform = {}
    for part in parts:
        for kind, named in part.terraform().items():
            resources.setdefault(kind, {}).update(named)
    return {**provider, "resource": resources}
