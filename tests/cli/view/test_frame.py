from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swath import events
from swath.cli.render.terminal_text import width
from swath.cli.view.frame import frame
from swath.reporting.run_progress import RunProgress
from tests.cli.view.events import RUN, progress_after, run_events


@given(
    wide=st.integers(10, 200),
    high=st.integers(2, 30),
    names=st.lists(st.text("ab字é_/[0]", min_size=1, max_size=60), min_size=1, max_size=40, unique=True),
    seen=st.integers(0, 200),
)
def test_no_frame_is_wider_or_higher_than_the_terminal(wide: int, high: int, names: list[str], seen: int) -> None:
    progress = progress_after(event for number, event in enumerate(run_events(50, fail=4)) if number <= seen)
    for depth, name in enumerate(names):
        progress.take(events.NodeOpened(time=1, run=RUN, node=name, total=None, depth=depth % 4))
    lines = frame(progress, 1_000_060.0, wide, high)
    assert len(lines) <= high
    assert all(sum(width(text) for text, _ in line) <= wide for line in lines)
    assert not any("\n" in text for line in lines for text, _ in line)


def test_the_nodes_of_a_mapped_step_are_counted_together_below_it() -> None:
    progress = RunProgress()
    for name, depth in [("detect", 0), ("publish", 0), ("detect[0]/fetch", 1), ("detect[1]/fetch", 1)]:
        progress.take(events.NodeOpened(time=0, run=RUN, node=name, total=1, depth=depth))
    progress.take(events.NodeDone(time=1, run=RUN, node="publish", state="skipped"))
    lines = ["".join(text for text, _ in line).rstrip() for line in frame(progress, 2, 80, 20)]
    assert [line[2:].split("  ░")[0].rstrip() for line in lines[1:]] == [
        "detect",
        "  fetch",
        "publish  skipped",
    ]


def test_when_there_are_more_nodes_than_lines_the_failed_and_the_open_are_shown() -> None:
    progress = RunProgress()
    for number in range(40):
        progress.take(events.NodeOpened(time=number, run=RUN, node=f"n{number}", total=1))
        progress.take(events.NodeDone(time=number, run=RUN, node=f"n{number}", state="done"))
    progress.take(events.NodeOpened(time=0, run=RUN, node="n7", total=2))
    progress.take(events.CallFailed(time=0, run=RUN, node="n7", item=0, error="x"))
    lines = ["".join(text for text, _ in line) for line in frame(progress, 50, 80, 10)]
    assert len(lines) == 10
    assert any("n7 " in line for line in lines)
    assert lines[-1].strip() == "… and 32 done"
