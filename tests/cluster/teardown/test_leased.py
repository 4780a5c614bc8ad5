"""Nothing is launched before it is leased and guarded; afterwards all is removed, whatever happened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.contract import RunContext
from swath.cluster.teardown import leased as module
from swath.cluster.teardown.lease import CloudLease, open_leases
from swath.cluster.teardown.leased import leased
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.errors import CredentialsError, Interrupted, StateError, TeardownError
from tests.waiting import until

RUN = "20260301-120000-maps-1a2b"


class Cloud:
    """What happens, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.refused: Exception | None = None
        self.stuck: Exception | None = None
        monkeypatch.setattr(module, "fleet_of", lambda kind, place: self)
        monkeypatch.setattr(module, "remove_all", self.remove)
        monkeypatch.setattr(module, "guarded", self.guarded)
        monkeypatch.setattr(module, "STOP_POLL_S", 0.01)

    def machines(self, label: str) -> list[Any]:
        if self.refused is not None:
            raise self.refused
        self.done.append("listed")
        return []

    def remove(self, fleet: Any, label: str, say: Any) -> int:
        self.done.append(f"removed {label}")
        say("it takes long")
        if self.stuck is not None:
            raise self.stuck
        return 0

    @contextlib.contextmanager
    def guarded(self, lease: CloudLease, folder: Path) -> Iterator[Any]:
        self.done.append("guarded")
        yield self
        self.done.append("unguarded")

    def ending(self) -> None:
        self.done.append("ending")

    def release(self) -> None:
        self.done.append("released")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(monkeypatch)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    said: list[tuple[str, str]] = []
    with Journal.open(tmp_path) as journal:
        yield RunContext(RUN, journal, Stop(), lambda level, text: said.append((level, text)), secrets=())


def lease() -> CloudLease:
    return CloudLease.new(RUN, "aws", "eu-central-1")


def test_the_order_leaves_no_machine_behind(cloud: Cloud, context: RunContext) -> None:
    mine = lease()
    with leased(mine, context):
        assert cloud.done == ["listed", "guarded"]
        assert open_leases(context.journal, RUN) == [mine]
    assert cloud.done[2:] == ["ending", f"removed {mine.label}", "released", "unguarded"]
    assert open_leases(context.journal, RUN) == []


def test_machines_are_removed_after_an_error_too(cloud: Cloud, context: RunContext) -> None:
    with pytest.raises(ZeroDivisionError), leased(lease(), context):
        raise ZeroDivisionError
    assert cloud.done[-1] == "released"


def test_machines_of_an_earlier_cluster_of_the_run_are_removed_first(cloud: Cloud, context: RunContext) -> None:
    earlier, mine = lease(), lease()
    earlier.write(context.journal)
    CloudLease.new("20260301-120000-other-3c4d", "aws", "eu-central-1").write(context.journal)
    with leased(mine, context):
        assert cloud.done == ["listed", f"removed {earlier.label}", "guarded"]
    assert [each.run for each in context.journal.leases()] == ["20260301-120000-other-3c4d"]


def test_without_credentials_nothing_is_begun(cloud: Cloud, context: RunContext) -> None:
    cloud.refused = CredentialsError("none")
    with pytest.raises(CredentialsError), leased(lease(), context):
        raise AssertionError("nothing may be launched")
    assert (cloud.done, context.journal.leases()) == ([], [])


def test_a_guardian_is_not_released_when_machines_may_be_left(cloud: Cloud, context: RunContext) -> None:
    cloud.stuck = TeardownError("1 machine was not confirmed gone")
    with pytest.raises(TeardownError), leased(lease(), context):
        pass
    assert "released" not in cloud.done
    assert len(open_leases(context.journal, RUN)) == 1


def test_the_guardian_is_told_at_once_when_the_run_is_asked_to_stop(cloud: Cloud, context: RunContext) -> None:
    with leased(lease(), context):
        context.stop.request(Interrupted("Ctrl-C"))
        until(lambda: "ending" in cloud.done, 10)
    assert cloud.done.count("ending") == 2


def test_a_journal_that_cannot_be_written_at_the_end_is_no_error(
    cloud: Cloud, context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lease: str) -> None:
        raise StateError("the disk is full")

    with leased(lease(), context):
        monkeypatch.setattr(context.journal, "end_lease", full)
    assert "released" in cloud.done
