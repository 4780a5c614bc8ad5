"""The colours of a map of values: viridis, as a few colours between which others lie."""

RAMP = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99), (170, 220, 50),
    (253, 231, 37),
)  # fmt: skip
"""RGB, from the lowest value to the highest, at equal distances."""
