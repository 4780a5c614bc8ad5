"""Describe a model once per run: checksum of its weights, contract, measured receptive field. Calls then carry a ModelInfo."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from swath.errors import ModelError
from swath.models.contract import (
    UNBOUNDED,
    Contract,
    Format,
    ModelInfo,
    Precision,
    ReceptiveField,
    Weights,
    native_runtime,
)
from swath.models.contract_file import contract_path, read_contract
from swath.models.declaration import channels_error
from swath.models.device import Device, resolve_device
from swath.models.load import check_file, declaration_of, format_of, load_model, weights_sha256
from swath.models.runtime import obstacle
from swath.models.weights_cache import local_copy
from swath.module_code import module_digest
from swath.spec.fields.model import ModelRef


def contract_of(ref: ModelRef) -> Contract:
    """The model's contract: the file that the spec names, or the one beside the weights. Raises ModelError."""
    if ref.contract is not None:
        return read_contract(local_copy(ref.contract))
    if ref.path is None:
        raise ModelError(f"{ref.predictor}: the model's contract is missing", remedy="give its path in model.contract")
    if "://" not in ref.path:
        return read_contract(contract_path(ref.path))
    folder, _, name = ref.path.rpartition("/")
    return read_contract(local_copy(f"{folder}/{contract_path(name).name}"))


def check_weights(ref: ModelRef) -> None:
    """Raise ModelError for a file on this machine that is no model, holds what a model may not, or does not fit its contract. What
    is elsewhere is not fetched."""
    if ref.predictor is not None or ref.path is None:
        _function_of(ref)
        return
    form = format_of(ref.path, ref.trust)
    if "://" not in ref.path and Path(ref.path).is_file():
        check_file(ref.path, form, contract_of(ref))


def weights_of(ref: ModelRef) -> Weights:
    """The weights with their checksum. Reads the file, but loads no network. Raises ModelError, also for a file that holds what a model
    may not."""
    if ref.predictor is not None or ref.path is None:
        return _function_of(ref)
    form = format_of(ref.path, ref.trust)
    path: str | Path = ref.path if "://" in ref.path else Path(ref.path).absolute()
    if isinstance(path, Path) and not path.is_file():
        raise ModelError(f"{path}: there is no such file", remedy="check `model` in the spec")
    if ref.factory is not None and form not in ("safetensors", "checkpoint"):
        raise ModelError(f"{path}: a factory is for .safetensors; a {form} file contains its network")
    _check_runtime(ref, str(path), form)
    local = local_copy(str(path))
    check_file(local, form)
    contract = contract_of(ref)
    check_file(local, form, contract)
    code = module_digest(ref.factory.partition(":")[0]) if ref.factory is not None else ""
    declared = declaration_of(local, form)
    return Weights(
        str(path), form, weights_sha256(local), ref.factory, len(contract.bands), contract.output_name, code,
        contract.expected_channels, declared.size(contract.axes) if declared is not None else 0, contract.size, contract.axes,
    )  # fmt: skip


def _function_of(ref: ModelRef) -> Weights:
    """A function of the project, with the file that it reads, if there is one. Imports nothing."""
    named = ref.predictor or ""
    code = module_digest(named.partition(":")[0])
    if not code:
        remedy = "the module has to be in the project's root or its folder of pipelines, or be installed"
        raise ModelError(f"predictor {named}: there is no module {named.partition(':')[0]}", remedy=remedy)
    path, sha256 = named, hashlib.sha256(code.encode()).hexdigest()
    if ref.path is not None:
        path = ref.path if "://" in ref.path else str(Path(ref.path).absolute())
        sha256 = weights_sha256(local_copy(path))
    contract = contract_of(ref)
    radius = UNBOUNDED if ref.radius == "unbounded" else ref.radius or 0
    return Weights(
        path, "function", sha256, named, len(contract.bands), contract.output_name, code, contract.expected_channels,
        axes=contract.axes, radius=radius,
    )  # fmt: skip


def measure_weights(weights: Weights) -> ReceptiveField:
    """Load the network and measure its receptive field; takes a few seconds. Deterministic for the same weights.

    Raises ModelError, also for a network that does not give the contract's number of channels.
    """
    from swath.models.function_reach import probe_function
    from swath.models.receptive import gives_probabilities, measure_predictor, output_channels

    predictor = load_model(weights)
    if weights.format == "function":
        found = probe_function(predictor, weights.factory or "", weights.bands, weights.radius)
    else:
        found = measure_predictor(
            predictor, weights.bands, weights.size, weights.likely_size, votes=bool(weights.axes.numbers)
        )
    if weights.channels is not None:
        given = output_channels(predictor, weights.bands, found.size)
        if given != weights.channels:
            raise channels_error(weights.path, given, weights.channels)
    return replace(found, gives_probabilities=gives_probabilities(predictor, weights.bands, found))


def measure_channels(weights: Weights) -> int:
    """How many channels the network gives, by running it."""
    from swath.models.receptive import output_channels

    return output_channels(load_model(weights), weights.bands, weights.size)


def describe(ref: ModelRef, receptive: ReceptiveField) -> ModelInfo:
    """Everything that a call needs to know of the model, from an earlier measurement. Loads no network."""
    weights = weights_of(ref)
    on_cpu = weights.format in ("onnx", "function") or ref.runtime in ("onnxruntime", "openvino")
    device: Device = "cpu" if on_cpu else resolve_device(ref.device)
    if ref.precision == "float16" and device == "cpu":
        raise ModelError(
            f"{weights.path}: precision float16 is for GPUs, and this runs on the CPU", remedy="use bfloat16 or float32"
        )
    return ModelInfo(
        path=weights.path,
        format=weights.format,
        sha256=weights.sha256,
        contract=contract_of(ref),
        factory=weights.factory,
        radius=receptive.radius,
        stride=receptive.stride,
        exact=receptive.exact,
        reason=receptive.reason,
        smallest=receptive.smallest,
        precision="float32" if ref.precision == "auto" else ref.precision,
        device=device,
        code=weights.code,
        gives_probabilities=receptive.gives_probabilities,
        runtime=native_runtime(weights.format) if ref.runtime == "auto" else ref.runtime,
        size=receptive.size,
    )


def _check_runtime(ref: ModelRef, path: str, form: Format) -> None:
    """Raise ModelError where the runtime that the spec names does not do what it asks for."""
    if ref.runtime == "auto":
        if form == "onnx" and (ref.precision not in ("float32", "auto") or ref.device == "cuda"):
            given = "device cuda" if ref.precision in ("float32", "auto") else f"precision {ref.precision}"
            raise ModelError(
                f"{path}: ONNX models run in float32 on the CPU, not with {given}",
                remedy="export the model as .pt2, or leave it out",
            )
        return
    device: Device = "cuda" if ref.device == "cuda" else "cpu"
    precision: Precision = "float32" if ref.precision == "auto" else ref.precision
    if why := obstacle(ref.runtime, form, precision, device):
        raise ModelError(f"{path}: runtime {ref.runtime} {why}", remedy="leave model.runtime out")


def inspect(ref: ModelRef) -> ModelInfo:
    """Checksum, measurement and description in one call."""
    return describe(ref, measure_weights(weights_of(ref)))
