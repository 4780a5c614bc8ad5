"""Conditions on arguments that torch's inner operators do not check themselves: otherwise they read or write over a tensor's end.

Torch's public operators check their arguments before they call the inner ones; a graph may call these directly. Found by calling every
listed operator with arguments that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Check = Callable[..., None]
"""Takes an operator's arguments. Raises ValueError when they do not fit."""


def _fits(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} do not fit")


def batch_norm(images: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *_: Any) -> None:
    """One number per channel, and statistics where they are not computed from the images."""
    _fits(images.ndim >= 2 and images.numel() > 0, "the axes of batch norm")
    _fits(training or (mean is not None and variance is not None), "the statistics of batch norm")
    for each in (weight, bias, mean, variance):
        _fits(each is None or each.shape == (images.shape[1],), "the channels of batch norm")


def batch_norm_without_training(images: Any, weight: Any, bias: Any, mean: Any, variance: Any, *_: Any) -> None:
    """As batch_norm."""
    batch_norm(images, weight, bias, mean, variance, False)


def batch_norm_without_statistics(images: Any, weight: Any, bias: Any, training: bool, *_: Any) -> None:
    """As batch_norm."""
    batch_norm(images, weight, bias, None, None, training)


def fourier(complex_input: bool) -> Check:
    """Of different axes of an array of numbers, in one of torch's three norms."""

    def check(values: Any, axes: Sequence[int], norm: int, last: Any) -> None:
        _fits(
            values.is_complex() == complex_input and values.element_size() in (4, 8, 16),
            "numbers of a Fourier transform",
        )
        _fits(values.numel() > 0 and 0 <= norm <= 2, "numbers and norm of a Fourier transform")
        _fits(
            0 < len(axes) == len({*axes}) and all(0 <= axis < values.ndim for axis in axes),
            "axes of a Fourier transform",
        )
        if not isinstance(last, bool):  # the length of the last axis of what is real
            _fits(last >= 1 and last // 2 + 1 <= values.shape[axes[-1]], "the length of a Fourier transform")

    return check


def weight_norm(values: Any, norms: Any, axis: int = 0) -> None:
    """One norm per slice of the weights along an axis."""
    axis = axis % max(values.ndim, 1)
    shape = tuple(length if at == axis else 1 for at, length in enumerate(values.shape))
    _fits(values.ndim > 0 and tuple(norms.shape) == shape and norms.dtype == values.dtype, "the norms of weights")


def attention(
    query: Any,
    key: Any,
    value: Any,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: Any = None,
) -> None:
    """Of query, key and value (batch, heads, length, channels), and a mask of the scores' shape or one that is repeated."""
    _fits(query.ndim == key.ndim == value.ndim == 4, "the axes of attention")
    _fits(key.shape == value.shape, "key and value of attention")
    _fits(query.shape[:2] == key.shape[:2] and query.shape[3] == key.shape[3], "query and key of attention")
    if attn_mask is not None:
        scores = (*query.shape[:3], key.shape[2])
        _fits(attn_mask.ndim in (2, 4), "the axes of the mask of attention")
        for length, scored in zip(attn_mask.shape, scores[-attn_mask.ndim :], strict=True):
            _fits(length in (1, scored), "scores and mask of attention")


def recurrence(gates: int) -> Check:
    """Of an operator of so many gates: weights of each layer and direction, in torch's order."""

    def check(
        images: Any,
        state: Any,
        params: Sequence[Any],
        biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        both: bool,
        *_: Any,
    ) -> None:
        states = list(state) if isinstance(state, list | tuple) else [state]
        directions, each = (2 if both else 1), (4 if biases else 2)
        _fits(images.ndim == 3 and len(states) == (2 if gates == 4 else 1), "images and states of a recurrence")
        _fits(0 < layers < 1000 and len(params) == layers * directions * each, "layers and weights of a recurrence")
        hidden = states[0].shape[-1]
        for one in states:
            _fits(
                one.ndim == 3 and one.shape[0] == layers * directions and one.shape[2] == hidden,
                "states of a recurrence",
            )
            _fits(one.dtype == images.dtype, "types of a recurrence")
        for index in range(layers * directions):
            layer = params[index * each : (index + 1) * each]
            given = images.shape[2] if index < directions else directions * hidden
            shapes = [(gates * hidden, given), (gates * hidden, hidden), (gates * hidden,), (gates * hidden,)]
            for weights, shape in zip(layer, shapes, strict=False):
                _fits(tuple(weights.shape) == shape and weights.dtype == images.dtype, "weights of a recurrence")

    return check


CONDITIONS: dict[str, Check] = {
    "_fft_c2c.default": fourier(complex_input=True),
    "_fft_c2r.default": fourier(complex_input=True),
    "_fft_r2c.default": fourier(complex_input=False),
    "_native_batch_norm_legit.default": batch_norm,
    "_native_batch_norm_legit.no_stats": batch_norm_without_statistics,
    "_native_batch_norm_legit_no_training.default": batch_norm_without_training,
    "_scaled_dot_product_flash_attention_for_cpu.default": attention,
    "_weight_norm.default": weight_norm,
    "_weight_norm_interface.default": weight_norm,
    "gru.input": recurrence(3),
    "lstm.input": recurrence(4),
    "native_batch_norm.default": batch_norm,
    "rnn_relu.input": recurrence(1),
    "rnn_tanh.input": recurrence(1),
}
"""By operator and overload."""
CONDITIONAL = frozenset(name.partition(".")[0] for name in CONDITIONS)
"""Operators that may be called in these overloads only, and not by TorchScript, where the conditions cannot be asked for."""
