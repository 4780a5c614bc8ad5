"""Triggers of swath.yaml, and every mistake in them with its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError
from swath.triggers.load import read_triggers


def project(folder: Path, text: str) -> Path:
    (folder / "lake.yaml").write_text("pipeline: predict\n")
    (folder / "swath.yaml").write_text(text)
    return folder


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as raised:
        read_triggers(project(folder, text))
    return [f"{each.line}:{each.column} {each.field}: {each.message}" for each in raised.value.mistakes]


def test_each_kind_is_read(tmp_path: Path) -> None:
    text = (
        "triggers:\n"
        "  weekly: {cron: '30 2 * * 1', zone: Europe/Berlin, spec: lake.yaml, expires: 6h, missed: all}\n"
        "  often: {every: 1h30m, spec: lake.yaml, set: {output.to: 'out/${trigger:day}'}}\n"
        "  next: {after: often, spec: lake.yaml, set: {name: '${found:anything}'}}\n"
        "  scenes: {sensor: stac, api: 'http://a.example', collections: [s2], area: [0, 0, 1, 1], coverage: 0.8, per: day,\n"
        "    spec: lake.yaml, set: {imagery.datetime: '${found:datetime}'}}\n"
        "  files: {sensor: files, paths: 'in/*.tif', spec: lake.yaml}\n"
        "  bucket: {sensor: bucket, url: 's3://b/p/', spec: lake.yaml}\n"
        "  http: {sensor: http, url: 'http://a.example', pointer: /a/b, spec: lake.yaml}\n"
        "  git: {sensor: git, url: 'https://a.example/x.git', spec: lake.yaml}\n"
        "  own: {sensor: python, function: 'orders:new', spec: lake.yaml}\n"
    )
    found = read_triggers(project(tmp_path, text)).triggers
    assert [each.kind for each in found.values()] == [
        "schedule", "interval", "follow", "stac", "files", "bucket", "http", "git", "python",
    ]  # fmt: skip
    assert found["weekly"].expires == 6 * 3600
    assert found["weekly"].spec == str(tmp_path / "lake.yaml")
    assert found["often"].every == 5400  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("trigger", "place", "words"),
    [
        ("{cron: '0 0 30 2 *', spec: lake.yaml}", "2:13", "not a cron expression"),
        ("{cron: '0 0 0 1 1 *', spec: lake.yaml}", "2:13", "five fields"),
        ("{cron: '0 0 * * *', zone: Berlin, spec: lake.yaml}", "2:32", "there is no time zone"),
        ("{every: 1 fortnight, spec: lake.yaml}", "2:14", "expected a duration"),
        ("{every: 1d, spec: nowhere.yaml}", "2:24", "there is no such file"),
        ("{every: 1d, spec: lake.yaml, zone: UTC}", "2:35", "unknown key"),
        ("{every: 1d, spec: lake.yaml, set: {a: '${found:day}'}}", "2:44", "finds nothing"),
        ("{every: 1d, spec: lake.yaml, set: {a: '${trigger:now}'}}", "2:44", "expected name, key, due"),
        ("{every: 1d, spec: lake.yaml, set: {a: '${env:HOME}'}}", "2:44", "would be stored"),
        ("{spec: lake.yaml}", "2:6", "a trigger has cron"),
        ("{sensor: magic, spec: lake.yaml}", "2:15", "there is no such sensor"),
        ("{after: b, spec: lake.yaml}", "2:14", "there is no trigger b"),
        ("{after: a, spec: lake.yaml}", "2:14", "in a circle"),
        ("{sensor: stac, api: 'http://a', coverage: 0.5, spec: lake.yaml}", "2:6", "coverage needs an area"),
        ("{sensor: bucket, url: 'https://a', spec: lake.yaml}", "2:28", "address in a store"),
    ],
)
def test_a_mistake_has_its_place(tmp_path: Path, trigger: str, place: str, words: str) -> None:
    found = mistakes(tmp_path, f"triggers:\n  a: {trigger}\n")
    assert any(line.split(" ")[0].startswith(place) and words in line for line in found), found


def test_a_project_without_triggers_has_none(tmp_path: Path) -> None:
    assert read_triggers(project(tmp_path, "pipelines: []\n")).triggers == {}
