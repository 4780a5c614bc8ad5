"""Leases of a journal that somebody else wrote: only a staging folder of the lease's own run is removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.cluster.teardown import partial_output
from swath.cluster.teardown.partial_output import PARTIAL, why_not_removed
from swath.cluster.teardown.sweep import find_leftovers
from swath.engine.journal import Journal
from swath.errors import TeardownError
from swath.storage.publication import is_staging_name, staging_folder
from tests.engine.conftest import run_row

NOT_ITS = "not a staging folder of run gone"


def folder(path: Path) -> str:
    path.mkdir(parents=True)
    (path / "precious").write_text("x")
    return str(path)


def linked(at: Path) -> str:
    link = at / ".out.gone.partial"
    link.symlink_to(folder(at / "elsewhere"))
    return str(link)


def dangling(at: Path) -> str:
    link = at / ".out.gone.partial"
    link.symlink_to(at / "nowhere")
    return str(link)


def file(at: Path) -> str:
    path = at / ".out.gone.partial"
    path.write_text("precious")
    return str(path)


def upwards(at: Path) -> str:
    folder(at / ".out.gone.partial")
    folder(at / "sub")
    return f"{at}/sub/../.out.gone.partial"


@pytest.mark.parametrize(
    ("crafted", "reason"),
    [
        (lambda at: "/", NOT_ITS),
        (lambda at: "..", NOT_ITS),
        (lambda at: str(at), NOT_ITS),
        (lambda at: folder(at / "home"), NOT_ITS),
        (lambda at: folder(at / ".out.other.partial"), NOT_ITS),
        (lambda at: folder(at / ".out.2026-map.gone.partial"), NOT_ITS),
        (lambda at: folder(at / "..gone.partial"), NOT_ITS),
        (lambda at: folder(at / "swath-other-0123abcd.partial"), NOT_ITS),
        (lambda at: folder(at / ".out.gone.partial" / "inside"), NOT_ITS),
        (lambda at: folder(at / ".out.gone.partial") + "/..", NOT_ITS),
        (upwards, NOT_ITS),
        (linked, f"{NOT_ITS}: it is no folder"),
        (dangling, f"{NOT_ITS}: it is no folder"),
        (file, f"{NOT_ITS}: it is no folder"),
    ],
)
def test_a_lease_of_any_other_path_is_refused(tmp_path: Path, crafted: Callable[[Path], str], reason: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    lease = crafted(place)
    before = sorted(place.rglob("*"))
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        journal.start_run(run_row("2026-map.gone", process_started=1.0))
        journal.write_lease("gone", PARTIAL, lease)
        (left,) = find_leftovers(journal).leftovers
        with pytest.raises(TeardownError) as caught:
            left.remove(journal)
        assert caught.value.message == f"not removed: {lease} is {reason}"
        assert [each.id for each in journal.leases()] == [lease]
    assert sorted(place.rglob("*")) == before


def test_a_staging_folder_that_becomes_a_link_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    listed = tmp_path / ".out.gone.partial"
    folder(listed)
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        journal.write_lease("gone", PARTIAL, str(listed))
        (left,) = find_leftovers(journal).leftovers
        listed.rename(tmp_path / "precious")
        listed.symlink_to(tmp_path / "precious")
        with pytest.raises(TeardownError, match="it is no folder"):
            left.remove(journal)
    assert (tmp_path / "precious/precious").exists()


def test_a_folder_of_another_user_or_with_a_mount_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / ".out.gone.partial")
    assert why_not_removed(path, "gone", ()) == ""
    monkeypatch.setattr(partial_output.os.path, "ismount", lambda place: str(place) == path)
    assert why_not_removed(path, "gone", ()).endswith("a file system is mounted there")
    monkeypatch.setattr(os, "getuid", lambda: Path(path).stat().st_uid + 1)
    assert why_not_removed(path, "gone", ()).endswith("it belongs to another user")


@pytest.mark.parametrize("target", ["/maps/out", "/maps/a.b", "s3://bucket/out", "gs://bucket/out"])
def test_the_staging_folder_of_every_target_has_the_form(target: str) -> None:
    name = staging_folder(target, "20260301-120000-map-1a2b").name
    assert is_staging_name(name, "20260301-120000-map-1a2b")
    assert not is_staging_name(name, "20260301-120000-map-1a2c")
    assert not is_staging_name(name, "")
