"""The conformance suite of fleets: what the end of a run, its guardian and `pipe sweep` rely on to leave no machine behind.

Subclass FleetTests in a test module and give it the fixtures `fleet` and `launch`:

    class TestMyFleet(FleetTests):
        @pytest.fixture
        def fleet(self):
            return MyFleet("region-1")

        @pytest.fixture
        def launch(self, fleet):
            return lambda run, name, expires: my_cloud.create(name, labels=...)  # one machine

The cloud should be a simulated one, or an account that holds nothing else of swath. With `break_termination` and
`unreachable_fleet` the suite also tests what a fleet does when the cloud fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import ClassVar

import pytest

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import CLOUD_KINDS, Machine, run_label
from swath.cluster.teardown.removal import RemovalLimits, remove_all
from swath.errors import CredentialsError, InfrastructureError, SwathError, TeardownError

Launch = Callable[[str, str, float], object]
"""(label of a run, name, expiry in seconds since 1970) -> launches one worker machine."""
RUN, OTHER_RUN = run_label("suite-run-1a2b"), run_label("suite-other-3c4d")
EXPIRES = float(int(time.time()) + 36_000)


class FleetTests:
    """The suite."""

    deadline_s: ClassVar[float] = 60.0
    """A change that a listing does not show after so long is an error."""
    limits: ClassVar[RemovalLimits] = RemovalLimits(empty_for_s=0.5, give_up_s=60.0, min_wait_s=0.05, max_wait_s=0.5)
    """For the removal of all machines of a run. A real cloud needs the defaults."""

    @pytest.fixture
    def fleet(self) -> Fleet:
        """The fleet to be tested. It must be empty."""
        raise NotImplementedError("give your test class a fixture `fleet`")

    @pytest.fixture
    def launch(self) -> Launch:
        """A function that launches one worker machine of a run."""
        raise NotImplementedError("give your test class a fixture `launch`")

    @pytest.fixture
    def break_termination(self) -> Callable[[], AbstractContextManager[None]] | None:
        """A context manager during which the cloud terminates no machine; None when that cannot be simulated."""
        return None

    @pytest.fixture
    def unreachable_fleet(self) -> Fleet | None:
        """A fleet whose cloud does not answer; None when that cannot be simulated."""
        return None

    @pytest.fixture(autouse=True)
    def _terminate_all(self, fleet: Fleet) -> Iterator[None]:
        yield
        fleet.terminate(fleet.machines())

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + self.deadline_s
        while not condition():
            assert time.monotonic() < until, f"{what} after {self.deadline_s:g} s"
            time.sleep(0.05)

    def _launched(self, fleet: Fleet, launch: Launch, name: str = "suite-one", run: str = RUN) -> list[Machine]:
        """Launch a machine; all that the fleet lists of it afterwards (a cloud may list several resources)."""
        before = {machine.id for machine in fleet.machines(run)}
        launch(run, name, EXPIRES)
        self._wait_until(lambda: bool(_ids(fleet.machines(run)) - before), "the machine is not listed")
        return [machine for machine in fleet.machines(run) if machine.id not in before]

    # --- listing

    def test_it_has_a_kind_and_a_place(self, fleet: Fleet) -> None:
        assert fleet.kind in CLOUD_KINDS
        assert fleet.place

    def test_without_machines_the_listing_is_empty(self, fleet: Fleet) -> None:
        assert fleet.machines() == []
        assert fleet.machines(RUN) == []

    def test_every_machine_is_listed_with_its_run_its_role_and_its_expiry(self, fleet: Fleet, launch: Launch) -> None:
        machines = self._launched(fleet, launch)
        for machine in machines:
            assert machine.id
            assert machine.name
            assert machine.place
            assert machine.run == RUN
            assert machine.role in ("worker", "scheduler", "cluster")
            assert machine.expires == EXPIRES
        assert len(_ids(machines)) == len(machines), "ids are unique"

    def test_machines_are_listed_by_run_and_of_all_runs(self, fleet: Fleet, launch: Launch) -> None:
        one = _ids(self._launched(fleet, launch, "suite-one", RUN))
        two = _ids(self._launched(fleet, launch, "suite-two", OTHER_RUN))
        assert _ids(fleet.machines(RUN)) == one
        assert _ids(fleet.machines(OTHER_RUN)) == two
        assert _ids(fleet.machines()) == one | two
        assert fleet.machines("suite-of-no-run") == []

    def test_several_threads_may_list_at_once(self, fleet: Fleet, launch: Launch) -> None:
        ids = _ids(self._launched(fleet, launch))
        with ThreadPoolExecutor(4) as threads:
            listings = list(threads.map(lambda _: _ids(fleet.machines(RUN)), range(8)))
        assert all(listing == ids for listing in listings)

    # --- termination

    def test_terminated_machines_disappear_and_those_of_another_run_stay(self, fleet: Fleet, launch: Launch) -> None:
        machines = self._launched(fleet, launch, "suite-one", RUN)
        others = _ids(self._launched(fleet, launch, "suite-two", OTHER_RUN))
        fleet.terminate(machines)
        self._wait_until(lambda: not fleet.machines(RUN), "the machine is still listed")
        assert _ids(fleet.machines()) == others

    def test_terminating_nothing_is_no_error(self, fleet: Fleet) -> None:
        fleet.terminate([])

    def test_terminating_what_is_gone_is_no_error_and_others_are_terminated(self, fleet: Fleet, launch: Launch) -> None:
        gone = self._launched(fleet, launch, "suite-one")
        fleet.terminate(gone)
        self._wait_until(lambda: not fleet.machines(RUN), "the machine is still listed")
        fleet.terminate(gone)
        there = self._launched(fleet, launch, "suite-two")
        fleet.terminate([*gone, *there])
        self._wait_until(lambda: not fleet.machines(RUN), "the machine is still listed")

    def test_a_refused_termination_is_an_error_and_the_machine_stays_listed(
        self, fleet: Fleet, launch: Launch, break_termination: Callable[[], AbstractContextManager[None]] | None
    ) -> None:
        if break_termination is None:
            pytest.skip("no fixture `break_termination`")
        machines = self._launched(fleet, launch)
        with break_termination(), pytest.raises((InfrastructureError, CredentialsError)):
            fleet.terminate(machines)
        assert _ids(machines) <= _ids(fleet.machines(RUN))
        fleet.terminate(machines)
        self._wait_until(lambda: not fleet.machines(RUN), "the machine is still listed")

    def test_all_machines_of_a_run_can_be_removed(self, fleet: Fleet, launch: Launch) -> None:
        machines = [*self._launched(fleet, launch, "suite-one"), *self._launched(fleet, launch, "suite-two")]
        others = _ids(self._launched(fleet, launch, "suite-three", OTHER_RUN))
        assert remove_all(fleet, RUN, limits=self.limits) == len(machines)
        assert fleet.machines(RUN) == []
        assert _ids(fleet.machines()) == others
        assert remove_all(fleet, RUN, limits=self.limits) == 0

    # --- a cloud that does not answer

    def test_a_cloud_that_does_not_answer_is_an_error_and_not_an_empty_listing(
        self, unreachable_fleet: Fleet | None
    ) -> None:
        if unreachable_fleet is None:
            pytest.skip("no fixture `unreachable_fleet`")
        with pytest.raises(InfrastructureError) as caught:
            unreachable_fleet.machines(RUN)
        assert caught.value.exit_code == InfrastructureError.exit_code
        with pytest.raises(TeardownError):
            remove_all(unreachable_fleet, RUN, limits=RemovalLimits(0.05, 0.1, 0.01, 0.05))

    # --- for people

    def test_a_machine_has_a_console_and_an_unknown_one_has_none(self, fleet: Fleet, launch: Launch) -> None:
        machines = self._launched(fleet, launch)
        assert all(isinstance(fleet.console(machine, 5), str) for machine in machines)
        assert all(len(fleet.console(machine, 5).splitlines()) <= 5 for machine in machines)
        fleet.terminate(machines)
        self._wait_until(lambda: not fleet.machines(RUN), "the machine is still listed")
        for machine in machines:
            try:
                fleet.console(machine)
            except SwathError:
                continue

    def test_the_removal_command_names_the_machine(self, fleet: Fleet, launch: Launch) -> None:
        for machine in self._launched(fleet, launch):
            command = fleet.removal_command(machine)
            assert "\n" not in command
            assert machine.id in command or machine.name in command


def _ids(machines: list[Machine]) -> set[str]:
    return {machine.id for machine in machines}
