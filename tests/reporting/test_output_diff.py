from __future__ import annotations

from pathlib import Path

from swath.reporting.output_diff import OutputDiff, diff_outputs


def test_outputs_are_paired_below_the_folder_that_they_share_and_compared_by_content(
    tmp_path: Path,
) -> None:
    for name, text in {
        "a/map.tif": "map", "a/x/item.json": "1", "a/gone.txt": "", "a/more.txt": "", "a/report.html": "1",
        "b/map.tif": "map", "b/x/item.json": "2", "b/report.html": "2", "c": "same file",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "a" / "gone.txt").unlink()
    names = ("map.tif", "x/item.json", "gone.txt", "report.html")
    one = (*(str(tmp_path / "a" / name) for name in names), str(tmp_path / "a" / "more.txt"), "14")
    other = (*(str(tmp_path / "b" / name) for name in names), "15")
    found = {each.name: each.verdict for each in diff_outputs(one, other)}
    assert found == {
        "map.tif": "same", "x/item.json": "different", "gone.txt": "gone", "more.txt": "only before", "0": "different",
    }  # fmt: skip
    same = (str(tmp_path / "c"), "s3://bucket/map.tif")
    assert tuple(diff_outputs(same, same)) == (
        OutputDiff("c", str(tmp_path / "c"), str(tmp_path / "c"), "one file", (9, 9)),
        OutputDiff("0", "s3://bucket/map.tif", "s3://bucket/map.tif", "one address", (None, None)),
    )
