"""Faults of clouds (rows 1 to 3, 13, 14, 37 to 40): whatever goes wrong, the run says what, and no machine is left."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clouds.control import Cloud
from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process
from tests.clouds.projects import cluster, project
from tests.faults.projects import check_nothing_left, finished, hashes, held, tiles, wait_for
from tests.process import Pipe

Start = Callable[..., subprocess.Popen[str]]
__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]
pytestmark = pytest.mark.slow


@pytest.fixture(params=["ec2", "gce"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.getfixturevalue(f"{request.param}_cloud")
    return found


@pytest.fixture
def pipe(cloud: Cloud, tmp_path: Path) -> Iterator[Pipe]:
    """A project on the cloud. Nothing is left when its test has ended."""
    made = project(tmp_path / "project", cloud)
    yield made
    assert cloud.empty(60), f"left: {cloud.alive()}"


@pytest.fixture
def start(pipe: Pipe) -> Iterator[Start]:
    """Starts commands that do not outlive the test."""
    with contextlib.ExitStack() as exits:

        def begun(*words: object) -> subprocess.Popen[str]:
            process = exits.enter_context(pipe.start(*words))
            exits.callback(process.kill)
            return process

        yield begun


def spec(pipe: Pipe, **fields: object) -> Path:
    return tiles(pipe, **{"cluster": "cloud", **fields})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "swath.yaml").write_text("")
    here = Pipe(folder)
    here("run", tiles(here, cluster="inline"))
    return hashes(folder / "out/map")


@pytest.mark.timeout(400)  # its own waits are longer than the default
def test_a_run_goes_on_without_an_answer_a_worker_its_client_and_its_scheduler_and_makes_the_same_bytes(
    cloud: Cloud, pipe: Pipe, start: Start, undisturbed: dict[str, str]
) -> None:
    hold = held(pipe)
    cloud.fail_create(nth=2, when="after", status=500)
    running = start("run", spec(pipe, hold=str(hold)))
    wait_for(lambda: finished(pipe), 90)
    machines = cloud.alive()
    assert len(machines) == 2, "the machine whose answer was lost is the one that was asked for again"
    assert all(each["user_data_bytes"] < 16_000 for each in machines)
    label = "swath:run" if cloud.kind == "ec2" else "swath-run"
    assert len({each["labels"][label] for each in machines}) == 1

    (worker,) = [each for each in machines if not each["name"].endswith("-scheduler")]
    cloud.reclaim(worker["id"])
    wait_for(lambda: worker["id"] not in cloud.names() and len(cloud.alive()) == 2, 60)

    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=150)
    assert running.returncode == 130, err
    assert "pipe resume" in err
    assert cloud.empty(1), "the command had ended before its machines"

    running = start("resume", "last")
    wait_for(lambda: any(each["name"].endswith("-scheduler") for each in cloud.alive()), 60)
    wait_for(lambda: len(cloud.alive()) == 2, 90)
    (worker,) = [each for each in cloud.alive() if not each["name"].endswith("-scheduler")]
    wait_for(lambda: "1 workers for" in cloud.console(worker["id"]), 90)
    (scheduler,) = [each for each in cloud.alive() if each["name"].endswith("-scheduler")]
    cloud.kill_container(scheduler["id"])
    _, err = running.communicate(timeout=150)
    assert running.returncode == 5, err
    assert "Traceback" not in err
    assert cloud.empty(1)

    hold.unlink()
    done = pipe("resume", "last")
    assert hashes(pipe.folder / "out/map") == undisturbed
    assert "reused" in done.err
    check_nothing_left(pipe)


def test_at_quota_the_run_names_it_and_leaves_no_scheduler(cloud: Cloud, pipe: Pipe) -> None:
    cloud.quota(nth=2, times=0)
    done = pipe("run", spec(pipe), code=5)
    assert ("vCPU" if cloud.kind == "ec2" else "CPUS") in done.err
    assert "us-" in done.err, "the region is not named"
    assert cloud.empty(1)


def test_a_container_that_dies_is_told_with_its_console_and_does_not_take_the_whole_deadline(
    cloud: Cloud, pipe: Pipe
) -> None:
    cloud.behaviour(container="dies")
    done = pipe("run", spec(pipe), code=5)
    assert "console" in done.err
    assert cloud.empty(1)


def test_what_cannot_be_terminated_is_exit_code_7_and_sweep_is_the_remedy(cloud: Cloud, pipe: Pipe) -> None:
    pipe.env["SWATH_CLOUD_WITHIN_S"] = "2"
    cloud.behaviour(container="hangs")
    cloud.fail_removal(times=0)
    done = pipe("run", spec(pipe, cluster={**cluster(cloud), "start_timeout_s": 8}), code=7)
    assert "8 s" in done.err, "why the cluster did not come up is told, too"
    assert "pipe sweep" in done.err
    machines = cloud.alive()
    listed = pipe("sweep")
    assert len(machines) == 2, "workers are asked for together with the scheduler"
    for machine in machines:
        assert machine["name"] in done.err
        assert machine["name"] in listed.out
    cloud.clear_faults()
    pipe("sweep", "--yes")
    assert cloud.empty(1)
    check_nothing_left(pipe)


@pytest.mark.parametrize("point", ["leased", "launching", "launched"])
def test_a_client_killed_around_a_create_request_leaves_no_machine_and_the_run_resumes(
    cloud: Cloud, pipe: Pipe, undisturbed: dict[str, str], point: str
) -> None:
    done = pipe("run", spec(pipe), code=-signal.SIGKILL, env={"SWATH_CRASH_AT": point}, cold=True)
    assert "done" not in done.out
    pipe("sweep", "--yes")
    assert cloud.empty(60), f"left: {cloud.alive()}"
    pipe("resume", "last")
    assert hashes(pipe.folder / "out/map") == undisturbed
    check_nothing_left(pipe)
