from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from swath.engine.process import Process, process_start_s


def test_a_later_process_with_the_same_pid_is_not_taken_for_the_run() -> None:
    me = Process.this()
    assert not me.gone()
    assert replace(me, started=me.started - 0.5).gone()
    assert not replace(me, host="elsewhere", started=0).gone()


def test_a_pid_of_another_boot_or_container_says_nothing_here() -> None:
    me = Process.this()
    other = replace(me, started=0, pid_space="another boot or pid namespace")
    assert me.here
    assert not other.here
    assert not other.gone()
    assert replace(other, pid_space="").gone()  # of a journal that did not know it: the host's name decides


def test_a_clock_that_is_set_changes_nothing_of_which_process_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    me = Process.this()
    before = psutil.Process().create_time()
    real = psutil._pslinux.boot_time
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: real() + 3600)  # what the kernel then says
    assert psutil.Process().create_time() != before
    assert not me.gone()


def test_a_pid_without_a_process_has_no_start() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        process_start_s(2**31 - 1)  # above any pid
    assert process_start_s(Process.this().pid) == Process.this().started
