from __future__ import annotations

from pathlib import Path

from swath.cluster.local.scratch import TICKS, scratch
from swath.engine.process import Process


def test_folders_of_killed_clients_are_removed_at_the_next_start_and_those_in_use_stay(tmp_path: Path) -> None:
    me = Process.this()
    gone = tmp_path / f"abc.{me.pid}.1.{me.host}"
    used = tmp_path / f"abc.{me.pid}.{round(me.started * TICKS)}.{me.host}"
    others = [tmp_path / f"abc.{me.pid}.1.another.host", tmp_path / "mine.txt"]
    for folder in (gone, used, *others):
        folder.mkdir()
        (folder / "spilled").write_text("x")
    with scratch(tmp_path) as own:
        assert not gone.exists()
        assert own.parent == tmp_path
    assert not own.exists()
    assert all(folder.exists() for folder in (used, *others))
