from __future__ import annotations

from collections.abc import Mapping

from swath.graph.call_context import current_run, metrics, progress, reporting_to


def test_outside_of_a_run_reports_go_nowhere() -> None:
    progress(1, 2, pixels=3)
    metrics({"loss": 0.5})
    assert current_run() == ""


def test_inside_of_a_call_reports_go_to_its_listeners_and_afterwards_to_those_around() -> None:
    seen: list[tuple[float | None, float | None, int, float]] = []
    numbers: list[Mapping[str, float]] = []
    with reporting_to(lambda *report: seen.append(report), "outer", numbers.append):
        with reporting_to(lambda *report: None, "inner"):
            progress(9)
            metrics({"loss": 9})
            assert current_run() == "inner"
        progress(1, 2, pixels=3, ground_km2=0.5)
        metrics({"loss": 0.5})
        assert current_run() == "outer"
    assert seen == [(1, 2, 3, 0.5)]
    assert numbers == [{"loss": 0.5}]
