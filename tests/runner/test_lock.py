from __future__ import annotations

import fcntl
import multiprocessing
import os
import threading
from pathlib import Path

import pytest

from swath.errors import Locked, StateError
from swath.runner import lock
from swath.runner.lock import in_use, locked, unused


def test_an_output_has_one_run_and_is_free_afterwards(tmp_path: Path) -> None:
    output = str(tmp_path / "deep/out")
    with locked(output, "first"):
        with pytest.raises(Locked, match=r"first \(process \d+ on ") as caught, locked(output, "second"):
            pass
        assert caught.value.exit_code == 6
    with locked(output, "third"):
        pass
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_name_that_is_written_late_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / ".out.lock"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        late = threading.Timer(0.3, lambda: file.write_text('{"run": "first", "host": "here", "pid": 7}'))
        late.start()
        with pytest.raises(Locked, match=r"another run writes to .*/out: first \(process 7 on here\)"):
            locked(str(tmp_path / "out"), "second").__enter__()
        late.join()
        file.write_text("")
        with pytest.raises(Locked, match="its name could not be read"):
            locked(str(tmp_path / "out"), "second").__enter__()


@pytest.mark.parametrize("content", ["[]", "1", "null", '{"run": 1}', "[" * 100_000, "\0"])
def test_a_lock_file_of_another_form_is_a_lock_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(lock, "NAME_TIMEOUT_S", 0)
    file = tmp_path / ".out.lock"
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file.write_text(content)
        with pytest.raises(Locked, match="its name could not be read"):
            locked(str(tmp_path / "out"), "second").__enter__()


def test_a_lock_file_that_was_left_behind_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / ".out.lock").write_text('{"run": "gone", "host": "elsewhere", "pid": 1}')
    with locked(str(tmp_path / "out"), "new"):
        pass


def _counted(folder: str, rounds: int) -> None:
    """Add to a number, which comes out right only when nobody else does so meanwhile."""
    number = Path(folder) / "number"
    while rounds:
        try:
            with locked(f"{folder}/out", "run"):
                number.write_text(str(int(number.read_text()) + 1))
                rounds -= 1
        except Locked:
            continue


def test_a_lock_that_is_removed_while_others_wait_for_it_never_has_two_holders(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_counted, args=(str(tmp_path), 60)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "180"


def test_results_are_unused_only_while_no_run_uses_them(tmp_path: Path) -> None:
    with in_use(tmp_path), in_use(tmp_path), unused(tmp_path) as free:
        assert not free
    with unused(tmp_path) as free:
        assert free


def test_a_run_waits_for_a_pruning_and_gives_up_in_the_end(tmp_path: Path) -> None:
    entered = threading.Event()

    def begin() -> None:
        with in_use(tmp_path):
            entered.set()

    with unused(tmp_path):
        waiting = threading.Thread(target=begin)
        waiting.start()
        with pytest.raises(Locked, match="being pruned"), in_use(tmp_path, timeout_s=0.2):
            pass
        assert not entered.is_set()
    assert entered.wait(5)
    waiting.join()


def test_a_place_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written"), locked(str(tmp_path / "file/out"), "run"):
        pass
    with pytest.raises(StateError, match="SWATH_HOME"), in_use(tmp_path / "file/state"):
        pass


def test_a_lock_file_that_is_a_link_or_a_pipe_is_refused_and_nothing_is_written_through_it(tmp_path: Path) -> None:
    """A link can come with a clone."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = tmp_path / ".out.lock"
    lock.symlink_to(victim)
    with pytest.raises(StateError, match="is a symbolic link"), locked(str(tmp_path / "out"), "a"):
        pass
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(StateError, match="is no regular file"), locked(str(tmp_path / "out"), "a"):
        pass
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "runs.lock").symlink_to(victim)
    with pytest.raises(StateError, match="cannot be written"), in_use(tmp_path / "state"):
        pass
    assert victim.read_text() == "precious"
