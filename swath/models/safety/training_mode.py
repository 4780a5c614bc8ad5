"""Training mode: operators of a network that was exported without `.eval()`, found by their arguments.

Dropout then draws new random numbers for each image, and batch norm uses each image's own statistics: two runs give two maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.errors import ModelError

VARIABLE = object()
"""Stands for an argument that is not a constant."""
EVAL_REMEDY = (
    "call .eval() on the network before you export it (of its own code, F.dropout needs training=self.training, and random "
    "numbers may be drawn in training only)"
)
RANDOM = frozenset(
    {
        "bernoulli", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_", "multinomial", "normal", "normal_",
        "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random_", "randperm", "rrelu", "rrelu_",
        "rrelu_with_noise", "rrelu_with_noise_", "uniform_",
        "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    }
)  # fmt: skip
"""Operators of torch and ONNX that draw random numbers: drop path and rrelu do in training."""
_UPDATES = (
    "_native_batch_norm_legit_functional", "_batch_norm_with_update", "_batch_norm_with_update_functional",
    "batch_norm_update_stats", "batch_norm_stats",
)  # fmt: skip
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def training_fault(operator: str, arguments: Mapping[str, Any]) -> str:
    """What a call of an operator of torch does that is only done in training; empty when nothing.

    `operator` is its name without namespace and overload; `arguments` are its constant arguments by name, VARIABLE for any other.
    """
    training = arguments.get("training") is True or arguments.get("train") is True
    rate = arguments.get("dropout_p", arguments.get("p", arguments.get("dropout")))
    running = arguments.get("running_mean") is not None
    if operator in _UPDATES or ("batch_norm" in operator and training and running):
        return f"{operator} uses each image's own statistics"
    if operator == "instance_norm" and arguments.get("use_input_stats") is True and running:
        return f"{operator} changes its statistics with each image"
    if ("dropout" in operator or operator in _RECURRENT) and training and rate != 0:
        return f"{operator} is active" if "dropout" in operator else f"the dropout of {operator} is active"
    if "attention" in operator and isinstance(rate, int | float) and rate > 0:
        return f"{operator} has a dropout of {rate:g}"
    if operator in RANDOM and (training or not operator.startswith("rrelu")):
        return f"{operator} draws random numbers"
    return ""


def training_error(path: str, fault: str) -> ModelError:
    """The error of a model with a fault that training_fault found."""
    return ModelError(
        f"{path}: the network was exported in training mode ({fault}), so each run would give another map",
        remedy=EVAL_REMEDY,
    )
