from __future__ import annotations

from typing import Any

from swath.cli.render.variant_rows import to_csv, to_lines


def test_long_values_are_cut_from_the_front_and_control_characters_are_not_printed() -> None:
    row = {
        "variant": "v", "values": {"area": "a/" * 40 + "end.tif", "t": "x\x1b[2J\ny"}, "state": "done", "made": 1, "reused": 0,
        "failed": 0, "seconds": 1.0, "numbers": {"ok": True, "n": 12345}, "outputs": [], "folder": "out", "error": "",
    }  # fmt: skip
    head, line = to_lines([row])
    assert "…" in line
    assert "end.tif" in line
    assert "\x1b" not in line
    assert "12,345" in line
    assert head.split() == ["AREA", "T", "STATE", "MADE", "REUSED", "FAILED", "TIME", "ok", "n", "OUTPUT"]


def test_csv_has_every_value_in_full() -> None:
    row: dict[str, Any] = {
        "variant": "v", "values": {"area": "a.geojson", "bands": [1, 2]}, "state": "done", "best": True, "made": 1, "reused": 0,
        "failed": 0, "seconds": 1.5, "numbers": {"n": 12345}, "outputs": [], "folder": "out", "error": "",
    }  # fmt: skip
    assert to_csv([row]).splitlines() == [
        "variant,area,bands,state,best,made,reused,failed,seconds,n,folder,error",
        'v,a.geojson,"[1, 2]",done,True,1,0,0,1.5,12345,out,',
    ]
