"""Sizes in .pt2 archives: conditions are arithmetic only, and no number grows without bound."""

from __future__ import annotations

import time

import pytest

from swath.models.exported_sizes import GUARD_FUNCTIONS, UnknownSize, axis_range, guard, size_operator


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "L['images'].size()[0].real",
        "[].append(1)",
        "open('x')",
        "max(*L)",
        "(lambda: 1)()",
        "'a' * 9",
        "max.__class__",
        "max(1, key=min)",
        "[x for x in (1,)]",
        "axis_0 := 1",
        "9 ** 9 ** 9",
        "(9 ** 9) ** 9",
        "L['images'].size()[2] ** L['images'].size()[3]",
        "1 << 999999999",
        "(" * 5000 + "1" + ")" * 5000,
        "1 +" * 20000 + "1",
        "L['other'].size()[0] == 1",
        "axis_0; axis_1",
        "",
    ],
)
def test_conditions_are_arithmetic_and_nothing_else(text: str) -> None:
    with pytest.raises(UnknownSize):
        guard(text, "images")


def test_conditions_of_axes_are_computed() -> None:
    condition = guard("L['images'].size()[2] % 4 == 0 and max(L['images'].size()[2], 8) ** 2 <= 4096", "images")
    assert eval(condition, {"__builtins__": GUARD_FUNCTIONS}, {"axis_2": 64})  # noqa: S307 -- what is tested
    assert not eval(condition, {"__builtins__": GUARD_FUNCTIONS}, {"axis_2": 66})  # noqa: S307


@pytest.mark.parametrize(
    "text", ["__import__('os').system('true')", "Symbol('a', __import__('os'))", "Integer(1) if 1 else 2"]
)
def test_a_length_that_is_no_symbol_is_not_evaluated(text: str) -> None:
    """torch.export.load gives it to sympy, which evaluates it as Python."""
    with pytest.raises(UnknownSize, match="the length of an axis is"):
        axis_range({"as_expr": {"expr_str": text}}, {})


def test_numbers_stay_small() -> None:
    power, times, item = (size_operator(f"_operator.{name}") for name in ("pow", "mul", "getitem"))
    assert power is not None
    assert times is not None
    assert item is not None
    began = time.monotonic()
    for call, args in ((power, (10, 10**9)), (times, (1 << 62, 4)), (times, ("a", 1 << 40)), (times, ([0], 1 << 40))):
        with pytest.raises((ValueError, TypeError)):
            call(*args)
    with pytest.raises(TypeError, match="no list"):
        item({"a": 1}, "a")
    assert time.monotonic() - began < 1
    assert (power(3, 2), times(3, 4.5), item([1, 2], 1)) == (9, 13.5, 2)
    assert size_operator("_operator.attrgetter") is None
    assert size_operator("math.factorial") is None
    assert size_operator("torch.load") is None


def test_lengths_that_no_image_has_stay_numbers() -> None:
    symbol = {"as_expr": {"expr_str": "Symbol('s0', integer=True)"}}
    for found in (
        axis_range({"as_int": 10**400}, {}),
        axis_range(symbol, {"s0": {"min_val": 10**4000, "max_val": None}}),
        axis_range(symbol, {"s0": {"min_val": 10**4000, "max_val": 10**4001}}),
    ):
        with pytest.raises(ValueError, match="not for 256"):
            found.check(2, 256, {})
