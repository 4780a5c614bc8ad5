from __future__ import annotations

import html.parser
import json
from dataclasses import replace
from pathlib import Path

import pytest

from swath.reporting.call_statistics import CallStatistics, NodeFacts
from swath.reporting.run_report import RunFacts, seam_text, speed_text, to_html, to_json, write_report

SEAMS = {
    "exact": True,
    "reason": "",
    "radius": 51,
    "stride": 8,
    "halo": 51,
    "windows": 4,
    "pixels": 49152,
    "differing": 0,
}
FACTS = RunFacts(
    run="20260101-demo-1", name="demo", pipeline="predict", status="done", exit_code=0, started=1.7e9, finished=1.7e9 + 65,
    spec="specs/demo.yaml", spec_text="pipeline: predict\nmodel: <b>bold</b>\n", cluster="local", workers=2,
    calls=CallStatistics(1.7e9, 1.7e9 + 65, 4, 1, 0, 0.5, (NodeFacts("predict_region", 4, 1, 0, 9.5),)), versions={"swath": "0.1.0"},
    git={"commit": "abc", "branch": "main", "dirty": True}, command="pipe run specs/demo.yaml",
    result={
        "folder": "out/demo", "seams": SEAMS, "files": [{"name": "map.tif", "bytes": 31435, "sha256": "aa"}],
        "shares": [{"value": 1, "name": "water & ice", "color": "#2b7bba", "pixels": 5, "fraction": 0.25}],
        "input": {"imagery": ["a", "b"], "area": "everything"},
        "statistics": [{"name": "canopy <m>", "minimum": 0.5, "mean": 7.25, "maximum": 41.5, "stddev": 3.125}],
    },
)  # fmt: skip


class Words(html.parser.HTMLParser):
    """Text of a page, and the addresses that it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.addresses: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def words(facts: RunFacts, preview: Path | None = None) -> Words:
    parser = Words()
    parser.feed(to_html(facts, preview))
    return parser


def test_the_page_tells_what_ran_on_what_and_what_came_out() -> None:
    text = words(FACTS).text
    for part in (
        "canopy <m>",
        "7.25",
        "demo",
        "1m 05s",
        "2 workers",
        "water & ice",
        "25.0 %",
        "no seams",
        "abc",
        "uncommitted",
        "31.4 kB",
        "9.5 s",
        "<b>bold</b>",
    ):
        assert part in text, part


def test_the_page_needs_nothing_from_elsewhere_and_holds_the_picture(tmp_path: Path) -> None:
    picture = tmp_path / "preview.png"
    picture.write_bytes(b"\x89PNG")
    assert [a[:22] for a in words(FACTS, picture).addresses] == ["data:image/png;base64,"]
    picture.write_bytes(bytes(2_000_000))
    assert words(FACTS, picture).addresses == []


def test_sections_without_anything_to_say_are_left_out() -> None:
    text = words(replace(FACTS, result={}, git={}, calls=None)).text
    for heading in ("Classes", "Seams", "Input", "Output", "Calls", "Set aside"):
        assert heading not in text


def test_what_was_set_aside_is_listed_and_errors_are_shown() -> None:
    text = words(
        replace(
            FACTS,
            status="partial",
            exit_code=3,
            set_aside=("predict_region[3]: cut.tif",),
            error="1 call was set aside",
        )
    ).text
    assert "predict_region[3]: cut.tif" in text
    assert "exit code 3" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "no seams: each pixel has the value of one pass"),
        ({"exact": False, "reason": "group norm looks at the whole image"}, "not exact: group norm"),
        ({"exact": False, "differing": 7, "reason": "last bits"}, "7 differ"),
        (
            {"runtime": "openvino", "precision": "bfloat16", "agreement": 0.99999999, "compared": 65536},
            "computed by openvino in bfloat16: 99.9999 % of 65,536 pixels have the class that the file's own runtime gives in float32",
        ),
    ],
)
def test_the_seam_certificate_is_said_in_words(change: dict[str, object], said: str) -> None:
    assert said in seam_text({"seams": SEAMS | change})
    assert seam_text({}) == ""


def test_the_speed_of_a_map_is_told_in_pixels_ground_and_cost() -> None:
    made = FACTS.result | {"megapixels": 130.0, "ground_km2": 13_000.0}
    fresh = replace(FACTS, result=made, calls=None)
    assert speed_text(fresh) == "The whole run made 130 Mpx in 1m 05s: 2.0 Mpx/s, 720,000 km2/h."
    paid = replace(fresh, cost_usd=0.26)
    assert speed_text(paid).endswith("720,000 km2/h. Its machines cost 0.26 USD, 0.02 USD per 1,000 km2.")
    assert speed_text(paid) in to_html(paid)
    assert speed_text(replace(FACTS, result=made)) == "", "one of its calls was reused: this is no speed"
    assert speed_text(replace(FACTS, result=made, cost_usd=0.26)) == "Its machines cost 0.26 USD."


def test_machines_in_a_cloud_are_told_with_their_zone_and_cost() -> None:
    use = {
        "role": "worker",
        "type": "n2-standard-4",
        "spot": True,
        "place": "europe-west4-b",
        "count": 2,
        "hours": 1.5,
        "usd": 0.26,
    }
    page = " ".join(to_html(replace(FACTS, machines=(use,))).split())
    assert "Machines: worker 2 x n2-standard-4 spot in europe-west4-b (1.5 h, 0.26 USD)." in page
    assert "Machines:" not in to_html(FACTS)


def test_the_json_has_the_results_facts_beside_the_runs_and_no_nan() -> None:
    found = json.loads(to_json(replace(FACTS, result=FACTS.result | {"score": float("nan")})))
    assert found["seams"]["radius"] == 51
    assert found["run"] == "20260101-demo-1"
    assert found["score"] == "nan"


def test_links_that_came_with_the_folder_are_not_followed(tmp_path: Path) -> None:
    precious, secret = tmp_path / "precious", tmp_path / "secret.png"
    precious.write_text("mine")
    secret.write_bytes(b"secret")
    folder = tmp_path / "out"
    folder.mkdir()
    for name in (".report.json.partial", ".report.html.partial", "report.json"):
        (folder / name).symlink_to(precious)
    (folder / "preview.png").symlink_to(secret)
    write_report(folder, FACTS, folder / "preview.png")
    assert precious.read_text() == "mine"
    assert sorted(each.name for each in folder.iterdir()) == ["preview.png", "report.html", "report.json"]
    assert not (folder / "report.json").is_symlink()
    assert "data:image/png" not in (folder / "report.html").read_text()


def test_both_files_are_written_whole(tmp_path: Path) -> None:
    made = write_report(tmp_path / "deep", FACTS)
    assert [path.name for path in made] == ["report.json", "report.html"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["report.html", "report.json"]
