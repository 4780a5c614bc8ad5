"""Inner operators of torch with arguments that do not fit: refused before the call, which would reach over a tensor's end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swath.models.safety.operators import ATEN_NAMES, SCRIPT_NAMES
from swath.models.safety.preconditions import CONDITIONAL, CONDITIONS


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    packet, _, overload = name.partition(".")
    CONDITIONS[name](*args, **kwargs)
    return getattr(getattr(torch.ops.aten, packet), overload)(*args, **kwargs)


def test_conditions_are_of_listed_operators_that_torchscript_does_not_call() -> None:
    assert CONDITIONAL <= ATEN_NAMES
    assert not {f"aten::{name}" for name in CONDITIONAL} & SCRIPT_NAMES


def test_what_fits_is_computed() -> None:
    images, four = torch.randn(2, 4, 3, 3), torch.rand(4)
    expected = F.batch_norm(images, four, four, four, four)
    for name, more in (
        ("_native_batch_norm_legit_no_training.default", (0.1, 1e-5)),
        ("native_batch_norm.default", (False, 0.1, 1e-5)),
    ):
        torch.testing.assert_close(call(name, images, four, four, four, four, *more)[0], expected)
    call("_native_batch_norm_legit.no_stats", images, four, None, True, 0.1, 1e-5)
    query = torch.randn(1, 2, 5, 8)
    masks = (None, torch.zeros(5, 5), torch.zeros(1, 2, 5, 5), torch.zeros(1, 1, 1, 5))
    for mask in masks:
        call("_scaled_dot_product_flash_attention_for_cpu.default", query, query, query, 0.0, False, attn_mask=mask)
    call("_weight_norm_interface.default", torch.randn(4, 3, 2), torch.ones(4, 1, 1), 0)
    call("_weight_norm.default", torch.randn(4, 3), torch.ones(1, 3), 1)


@pytest.mark.parametrize(("kind", "layers", "both"), [("lstm", 2, True), ("gru", 1, False), ("rnn_tanh", 3, True)])
def test_recurrences_that_fit_are_computed(kind: str, layers: int, both: bool) -> None:
    kind_of = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN}[kind]
    network = kind_of(8, 5, layers, bidirectional=both)
    state: Any = torch.zeros(layers * (2 if both else 1), 1, 5)
    images = torch.randn(7, 1, 8)
    expected = network(images)[0]
    given = [state, state] if kind == "lstm" else state
    torch.testing.assert_close(
        call(f"{kind}.input", images, given, network._flat_weights, True, layers, 0.0, False, both, False)[0], expected
    )


ROWS, STATE = torch.ones(5, 1, 64), torch.ones(1, 1, 64)
ONE, MANY = torch.ones(1), torch.ones(1, 4096, 8, 8)
LONG, SHORT = torch.ones(1, 2, 4000, 64), torch.ones(1, 2, 8, 64)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("native_batch_norm.default", (MANY, ONE, ONE, ONE, ONE, False, 0.1, 1e-5), {}),
        ("native_batch_norm.default", (MANY, None, None, None, ONE, False, 0.1, 1e-5), {}),
        ("native_batch_norm.default", (ONE, None, None, None, None, False, 0.1, 1e-5), {}),
        ("_native_batch_norm_legit_no_training.default", (MANY, None, None, ONE, ONE, 0.1, 1e-5), {}),
        ("_native_batch_norm_legit.default", (MANY, ONE, ONE, ONE, ONE, True, 0.1, 1e-5), {}),
        ("_native_batch_norm_legit.no_stats", (MANY, ONE, ONE, True, 0.1, 1e-5), {}),
        ("_weight_norm_interface.default", (torch.ones(64, 4096), ONE, 0), {}),
        ("_weight_norm.default", (torch.ones(64, 4096), ONE, 1), {}),
        ("_scaled_dot_product_flash_attention_for_cpu.default", (LONG, LONG, SHORT), {}),
        ("_scaled_dot_product_flash_attention_for_cpu.default", (LONG, SHORT[:, :1], SHORT[:, :1]), {}),
        ("_scaled_dot_product_flash_attention_for_cpu.default", (LONG, SHORT[..., :8], SHORT[..., :8]), {}),
        ("_scaled_dot_product_flash_attention_for_cpu.default", (LONG, LONG, LONG), {"attn_mask": torch.ones(2, 3)}),
        ("_scaled_dot_product_flash_attention_for_cpu.default", (LONG, LONG, LONG), {"attn_mask": torch.ones(1)}),
        (
            "lstm.input",
            (
                torch.ones(5, 1, 64),
                [torch.ones(1, 1, 64)] * 2,
                [torch.ones(1, 1)] * 4,
                True,
                1,
                0.0,
                False,
                False,
                False,
            ),
            {},
        ),
        ("lstm.input", (ROWS, [STATE], [], True, 1, 0.0, False, False, False), {}),
        ("gru.input", (ROWS, STATE, [], True, 9, 0.0, False, False, False), {}),
        (
            "rnn_relu.input",
            (ROWS, STATE, [ONE] * 4, True, 1, 0.0, False, False, False),
            {},
        ),
    ],
)
def test_what_does_not_fit_is_not_called(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        call(name, *args, **kwargs)
