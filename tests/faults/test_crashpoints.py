"""Faults 4 to 9: a run that is signalled at each of its named points loses nothing and leaves nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from swath.crashpoint import POINTS
from tests.faults.projects import Mark, check_journal, check_nothing_left, hashes, tiles
from tests.process import Pipe

ELSEWHERE = (
    "leased", "launching", "launched", "moving", "claimed", "sent", "spawned", "packed", "carried", "submitted", "assigned",
    "stored", "migrating", "firing", "fired", "begun", "forked",
)  # fmt: skip
"""Points of clusters on clouds, of agents, of servers, and of `pipe watch`."""

AT = {"running": "running@3", "publishing": "publishing@3"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "swath.yaml").write_text("")
    pipe = Pipe(folder)
    pipe("run", tiles(pipe))
    return hashes(folder / "out/map")


def crash(pipe: Pipe, spec: Path, point: str, name: str) -> int:
    """Run to a crash point, and check what must hold then. Returns the exit code."""
    mark = Mark()
    done = pipe("run", spec, code=None, env=mark.env | {"SWATH_CRASH_AT": f"{AT.get(point, point)}:{name}"})
    assert "Traceback" not in done.err
    mark.check_none_left()
    check_journal(pipe)
    return done.code


def check_output(pipe: Pipe, undisturbed: dict[str, str]) -> None:
    """The next session makes the same bytes, and nothing is left to sweep."""
    journal = pipe.folder / ".swath/journal.sqlite"
    if journal.exists():
        pipe("resume", "last")
    else:
        pipe("run", pipe.folder / "tiles.yaml")
    assert hashes(pipe.folder / "out/map") == undisturbed
    check_nothing_left(pipe)
    assert [path.name for path in (pipe.folder / "out").iterdir()] == ["map"]


@pytest.mark.slow
@pytest.mark.parametrize("point", [point for point in POINTS if point not in ELSEWHERE])
def test_a_run_killed_at_a_point_resumes_to_the_same_bytes(pipe: Pipe, undisturbed: dict[str, str], point: str) -> None:
    assert crash(pipe, tiles(pipe), point, "KILL") == -signal.SIGKILL
    if (pipe.folder / "out/map/item.json").exists():  # the manifest is last: with it, all is there
        assert point in ("closing", "ending")
        assert hashes(pipe.folder / "out/map") == undisturbed
    check_output(pipe, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("parsing", "TERM"),
        ("parsing", "INT"),
        ("starting", "INT"),
        ("started", "TERM"),
        ("running", "INT"),
        ("publishing", "TERM"),
        ("closing", "INT"),
        ("ending", "TERM"),
    ],
)
def test_a_run_asked_to_stop_at_a_point_ends_well_and_resumes_to_the_same_bytes(
    pipe: Pipe, undisturbed: dict[str, str], point: str, name: str
) -> None:
    code = crash(pipe, tiles(pipe), point, name)
    if point in ("closing", "ending"):  # there is nothing left to stop
        assert code == 0
    elif point == "parsing" and name == "TERM":  # nothing is written yet, and nobody listens
        assert code == -signal.SIGTERM
    else:
        assert code == {"TERM": 143, "INT": 130}[name]
    if point == "publishing":  # files that belong together are not parted
        assert hashes(pipe.folder / "out/map") == undisturbed
    else:
        assert (pipe.folder / "out/map").exists() == (point in ("closing", "ending"))
    check_output(pipe, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "name"),
    [("starting", "KILL"), ("started", "INT"), ("running", "TERM"), ("closing", "KILL")],
)
def test_the_same_holds_on_a_cluster_of_processes(
    pipe: Pipe, undisturbed: dict[str, str], point: str, name: str
) -> None:
    crash(pipe, tiles(pipe, cluster={"kind": "local", "workers": 2}), point, name)
    check_output(pipe, undisturbed)


@pytest.mark.slow
def test_what_was_killed_while_it_published_can_be_swept_and_a_new_run_publishes_whole(
    pipe: Pipe, undisturbed: dict[str, str]
) -> None:
    spec = tiles(pipe)
    crash(pipe, spec, "publishing", "KILL")
    assert len(pipe("sweep").out.splitlines()) == 2
    pipe("sweep", "--yes")
    assert list((pipe.folder / "out").glob(".*.partial")) == []
    done = pipe("run", spec, "--json")
    assert done.count("call_done", node="tile", reused=True) == 6
    assert hashes(pipe.folder / "out/map") == undisturbed


def test_a_crash_point_that_does_not_exist_is_refused(pipe: Pipe) -> None:
    done = pipe("run", tiles(pipe), code=2, env={"SWATH_CRASH_AT": "lunch"})
    assert ", ".join(POINTS) in done.err
