"""Weights files of torch (.pt2, TorchScript, .safetensors) as networks, refusing those that hold code.

Pickles run code when they are opened, and so does torch.export.load where an archive holds pickled objects. Nothing but tensors
is unpickled here.
"""

from __future__ import annotations

import importlib
import io
import json
import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

from swath.errors import ModelError
from swath.models.exported_archive import read_program
from swath.models.global_layers import TorchNetwork
from swath.models.predictor import first_line

if TYPE_CHECKING:
    import torch


def load_torch_export(path: str) -> TorchNetwork:
    """The network of a .pt2 archive: a Program where the archive is a plain list of operator calls, else the module that
    torch.export.load gives. Raises ModelError."""
    import torch

    refuse_code(path)
    if program := read_program(path):
        return program
    try:
        return torch.export.load(path).module()
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError, OSError) as error:
        raise ModelError(f"{path}: not a torch.export program that this torch loads: {first_line(error)}") from error


def refuse_code(path: str) -> None:
    """Raise ModelError for a .pt2 archive that holds more than tensors: torch.export.load (2.13) unpickles whatever is in it."""
    refusal = f"{path}: holds pickled objects or compiled code, which could do anything when loaded"
    remedy = "export it with torch.export.save from a model that has only tensors"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names) or any("/aotinductor/" in f"/{name}" for name in names):
                raise ModelError(refusal, remedy=remedy)
            pickled = [name for name in names if name.endswith(".pt")]
            for config in (name for name in names if name.endswith("_config.json")):
                for entry in json.loads(archive.read(config))["config"].values():
                    if entry["path_name"].startswith(("custom_obj", "opaque_obj")):
                        raise ModelError(refusal, remedy=remedy)
                    if entry["use_pickle"]:
                        pickled.append(config.rpartition("/")[0] + "/" + entry["path_name"])
            for name in pickled:
                _only_tensors(archive.read(name), refusal, remedy)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a torch.export archive: {first_line(error)}") from error


def _only_tensors(data: bytes, refusal: str, remedy: str) -> None:
    import torch

    if data:
        try:
            torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise ModelError(refusal, remedy=remedy) from error


def load_torchscript(path: str) -> torch.nn.Module:
    """The module of a TorchScript file, in eval mode. Raises ModelError, also for a pickled checkpoint."""
    import torch

    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    if not any(name.endswith("/constants.pkl") for name in names):
        raise ModelError(
            f"{path}: not TorchScript; it looks like a pickled checkpoint, which runs code when it is opened",
            remedy="export the model with torch.export.save to a .pt2 file, or save its weights as .safetensors",
        )
    with warnings.catch_warnings():
        # TorchScript is deprecated; its files will be in use for long.
        warnings.filterwarnings("ignore", message=".*torch.jit.load. is deprecated", category=DeprecationWarning)
        try:
            module: torch.nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: TorchScript that this torch does not load: {first_line(error)}") from error
    return module.eval()


def load_safetensors(path: str, factory: str | None) -> torch.nn.Module:
    """The module that `factory` (`module:function`) makes, with the weights of the file, in eval mode. Raises ModelError."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if factory is None:
        remedy = "write in the spec: model: {path: ..., factory: 'package.module:function'}"
        raise ModelError(f"{path}: weights alone are no network: the factory is missing", remedy=remedy)
    module = _call_factory(factory, path)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{path}: factory {factory} gave {type(module).__name__}, not a torch.nn.Module")
    try:
        module.load_state_dict(load_file(path), strict=True)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file: {first_line(error)}") from error
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit the network of factory {factory}: {error}") from error
    return module.eval()


def _call_factory(factory: str, path: str) -> Any:
    name, _, function = factory.partition(":")
    if not name or not function:
        raise ModelError(f"{path}: factory {factory!r} must be module:function")
    try:
        make = getattr(importlib.import_module(name), function)
    except ImportError as error:
        remedy = "the module has to be installed, or its folder has to be in PYTHONPATH"
        raise ModelError(f"{path}: factory {factory}: cannot import {name}: {error}", remedy=remedy) from error
    except AttributeError:
        raise ModelError(f"{path}: factory {factory}: module {name} has no {function}") from None
    try:
        return make()
    except TypeError as error:
        raise ModelError(f"{path}: factory {factory} must be callable without arguments: {error}") from error
