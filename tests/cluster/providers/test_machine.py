from __future__ import annotations

from swath.cluster.providers.machine import console_tail, run_label


def test_the_tail_of_a_console_has_its_last_lines_without_colours() -> None:
    console = "boot\r\n\x1b[0;32mdocker: pull\x1b[0m\r\n\r\n\x07manifest unknown\r\n"
    assert console_tail(console, 2) == "docker: pull\nmanifest unknown"


def test_labels_are_accepted_by_every_cloud_and_have_the_end_of_the_run_id() -> None:
    long = run_label("20260301-120000-" + "Ä very long name " * 5 + "-ab12")
    assert long.endswith("-ab12")
    assert len(long) == 63
    assert set(long) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
