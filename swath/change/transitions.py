"""Transition: what a pixel was and what it is now, as one value of a change map, with a name and a colour.

The value is `from * n + to`, n being the number of classes: it means the same in every map of these classes. A pixel that stayed
in its class has a transition as well, such as `still water`.
"""

from __future__ import annotations

from dataclasses import dataclass

from swath.maps.legend import MapClass

NODATA = 255
"""Of a change map: where the class of either state is not known."""
MAX_CLASSES = 15
"""Their transitions fit into a byte beside nodata."""


@dataclass(frozen=True)
class Transition:
    """From one class to another, or to the same."""

    before: MapClass
    after: MapClass
    classes: int
    """Number of classes."""

    @property
    def value(self) -> int:
        """In the change map, 0 to 224."""
        return self.before.value * self.classes + self.after.value

    @property
    def changed(self) -> bool:
        return self.before != self.after

    @property
    def name(self) -> str:
        return f"{self.before.name} -> {self.after.name}" if self.changed else f"still {self.after.name}"

    @property
    def color(self) -> tuple[int, int, int]:
        """RGB: the colour of the new class mixed with a fifth of the old one's; a pale one where nothing changed."""
        if self.changed:
            return _mixed(self.after.color, self.before.color, 0.2)
        return _mixed(self.after.color, (255, 255, 255), 0.72)


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """A colour with this share of the other, 0 to 1."""
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
