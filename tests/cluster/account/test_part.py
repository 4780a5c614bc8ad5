"""Parts are made in their order, tried again while something settles, and removed only where a setup made them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from swath.cluster.account.part import (
    PartState,
    SettleLimits,
    Terraform,
    look_at,
    make_parts,
    remove_parts,
    to_remove,
)
from swath.errors import InfrastructureError, SwathError, TeardownError

MISSING = PartState("missing")


@dataclass
class Thing:
    title: str
    state: PartState = MISSING
    failures: int = 0
    """Calls that fail before one does not."""
    reason: str = ""
    done: list[str] = field(default_factory=list)

    def look(self) -> PartState:
        return self.state

    def make(self) -> None:
        self._do("make")

    def kept(self) -> str:
        return self.reason

    def remove(self) -> None:
        self._do("remove")

    def unsettled(self, error: SwathError) -> bool:
        return "not yet" in error.message

    def terraform(self) -> Terraform:
        return {}

    def _do(self, what: str) -> None:
        if self.failures:
            self.failures -= 1
            raise InfrastructureError(f"{self.title} is not yet there")
        self.done.append(what)


def said(done: str, part: object) -> None:
    """Nothing."""


def test_only_what_is_missing_or_different_is_made() -> None:
    things = [Thing("a"), Thing("b", PartState("there")), Thing("c", PartState("different"))]
    make_parts(look_at(things), said)
    assert [each.done for each in things] == [["make"], [], ["make"]]


def test_a_part_is_tried_again_while_what_it_depends_on_settles() -> None:
    thing = Thing("a", failures=2)
    make_parts(look_at([thing]), said, SettleLimits(within_s=60, pause_s=0))
    assert thing.done == ["make"]


def test_a_part_that_does_not_settle_in_time_is_an_error() -> None:
    with pytest.raises(InfrastructureError, match="not yet"):
        make_parts(look_at([Thing("a", failures=99)]), said, SettleLimits(within_s=0, pause_s=0))


def test_what_no_setup_made_and_what_has_a_reason_to_stay_is_not_removed() -> None:
    mine, foreign = PartState("there", ours=True), PartState("there")
    things = [Thing("a", mine), Thing("b", foreign), Thing("c", mine, reason="has content"), Thing("d")]
    listed = to_remove(look_at(things))
    assert [(part.title, kept) for part, kept in listed] == [
        ("c", "has content"), ("b", "was not made by a setup"), ("a", ""),
    ]  # fmt: skip


def test_a_part_that_cannot_be_removed_does_not_keep_the_others() -> None:
    stuck, other = Thing("a", failures=1), Thing("b")
    with pytest.raises(TeardownError, match="a: a is not yet there"):
        remove_parts([stuck, other], said)
    assert other.done == ["remove"]
