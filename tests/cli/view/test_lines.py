from __future__ import annotations

import io
import json

from swath.cli.view.lines import JsonView
from tests.cli.view.events import run_events


def test_json_lines_are_every_event_and_nothing_else() -> None:
    out = io.StringIO()
    source = list(run_events(3))
    with JsonView(out) as view:
        for event in source:
            view(event)
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == [event.kind for event in source]
