"""The model card: scores, sources and settings, with texts from outside escaped."""

from __future__ import annotations

import dataclasses

from swath.training.loop.epochs import Epoch
from swath.training.model_card import render_card
from tests.training.example import record


def test_the_card_says_how_well_it_does_and_escapes_what_came_from_outside() -> None:
    page = render_card(record(), b"png")
    assert "<b>0.860</b>" in page
    assert "scene &lt;1&gt;" in page
    assert "CC0-1.0" in page
    without = dataclasses.replace(record(), best=Epoch(2, 6, 0.5, 0.001, 3.0))
    assert "There was no validation split" in render_card(without, b"png")
