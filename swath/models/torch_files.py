"""Weights files of torch (.pt2, TorchScript, .safetensors, trusted checkpoints) as networks, refusing those that hold code."""

from __future__ import annotations

import io
import pickle
import warnings
from typing import TYPE_CHECKING, Any

from swath.errors import ModelError
from swath.models.exported_archive import read_program
from swath.models.global_layers import TorchNetwork
from swath.models.predictor import cause, first_line
from swath.models.project_function import project_function
from swath.models.safety.torchscript import check_script, checked_script

if TYPE_CHECKING:
    import torch


FACTORY_REMEDY = "name the factory with the options of the network that these weights were saved from"


def load_torch_export(path: str, output: str = "") -> TorchNetwork:
    """The network of a .pt2 archive; of several outputs the one of this name. Raises ModelError."""
    return read_program(path, output)


def load_torchscript(path: str) -> torch.nn.Module:
    """The module of a TorchScript file, in eval mode. Raises ModelError, also for a pickled checkpoint."""
    import torch

    archive = checked_script(path)
    with warnings.catch_warnings():
        # TorchScript is deprecated; its files will be in use for long.
        warnings.filterwarnings("ignore", message=".*torch.jit.load. is deprecated", category=DeprecationWarning)
        try:
            module: torch.nn.Module = torch.jit.load(io.BytesIO(archive), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: TorchScript that this torch does not load: {first_line(error)}") from error
    check_script(module, path)
    return module.eval()


def load_safetensors(path: str, factory: str | None, code: str = "") -> torch.nn.Module:
    """The module that `factory` (`module:function`) makes, with the weights of the file, in eval mode. `code` is the digest of the
    factory's code. Raises ModelError, also when the code is another by now."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    module = _module_of(factory, path, code)
    try:
        module.load_state_dict(without_prefix(load_file(path), module), strict=True)
    except SafetensorError as error:
        raise ModelError(
            f"{path}: not a safetensors file: {first_line(error)}", remedy="copy the file again, or save it again"
        ) from error
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights do not fit the network of factory {factory}: {cause(error)}", remedy=FACTORY_REMEDY
        ) from error
    return module.eval()


def load_checkpoint(path: str, factory: str | None, code: str = "") -> torch.nn.Module:
    """As load_safetensors, for a file of torch.save."""
    module = _module_of(factory, path, code)
    try:
        module.load_state_dict(without_prefix(read_checkpoint(path), module), strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights do not fit the network of factory {factory}: {cause(error)}", remedy=FACTORY_REMEDY
        ) from error
    return module.eval()


def without_prefix(state: dict[str, torch.Tensor], module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights without the prefix that wrappers put before their names, where the module's own are among them."""
    own = set(module.state_dict())
    for prefix in ("", *sorted({name[: name.find(".") + 1] for name in state})):  # `module.`, `model.`, `network.`
        fitting = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if own <= set(fitting):
            return fitting
    return state


def read_checkpoint(path: str) -> dict[str, torch.Tensor]:
    """Weights by name of a file of torch.save that somebody trusts: a state, or a checkpoint with a `state_dict`.

    Read with torch's reader of weights only, which makes no other objects. Raises ModelError.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise ModelError(
            f"{path}: holds pickled objects beside weights, or is damaged: {first_line(error)}",
            remedy="save its state_dict() as .safetensors",
        ) from error
    state = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(state, dict):
        raise ModelError(f"{path}: holds {type(state).__name__}, not weights by name")
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def _module_of(factory: str | None, path: str, code: str) -> torch.nn.Module:
    import torch

    if factory is None:
        remedy = "write in the spec: model: {path: ..., factory: 'package.module:function'}"
        raise ModelError(f"{path}: weights alone are no network: the factory is missing", remedy=remedy)
    module = _call_factory(factory, path, code)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{path}: factory {factory} gave {type(module).__name__}, not a torch.nn.Module")
    return module


def _call_factory(factory: str, path: str, code: str) -> Any:
    make = project_function(factory, f"{path}: factory", code)
    try:
        return make()
    except TypeError as error:
        raise ModelError(f"{path}: factory {factory} must be callable without arguments: {error}") from error
