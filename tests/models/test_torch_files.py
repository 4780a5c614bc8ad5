"""Weights files of torch: nothing that could hold code is opened, and what does not fit says why."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from swath.errors import ModelError
from swath.models.contract import Weights
from swath.models.load import format_of, load_model, weights_sha256
from swath.models.torch_files import read_checkpoint
from swath.models.unet import UNet
from swath.module_code import CodeChanged
from tests.models.tiny_models import write_identity_model


def weights(path: Path, bands: int = 4, factory: str | None = None) -> Weights:
    return Weights(str(path), format_of(str(path)), weights_sha256(str(path)), factory, bands)


class Attack:
    """Unpickling it makes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.folder),))


def test_a_pickled_checkpoint_is_refused_unopened(tmp_path: Path) -> None:
    proof = tmp_path / "opened"
    for name, legacy in (("zip.pt", True), ("plain.pt", False)):
        torch.save({"weights": Attack(proof)}, tmp_path / name, _use_new_zipfile_serialization=legacy)
        with pytest.raises(ModelError, match="not TorchScript; it looks like a pickled checkpoint"):
            load_model(weights(tmp_path / name))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Attack(proof)))
    with pytest.raises(ModelError, match="not a format of weights"):
        weights(tmp_path / "model.pkl")
    assert not proof.exists()


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "weights", "constants", "aotinductor/model/x.so"])
def test_a_pickle_inside_an_exported_program_is_refused_unopened(tmp_path: Path, where: str) -> None:
    proof = tmp_path / "opened"
    path = write_identity_model(tmp_path)
    dressed = tmp_path / "dressed.pt2"
    inside = tmp_path / "inside.pt"
    torch.save((Attack(proof),), inside)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(dressed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(where):
                data = inside.read_bytes()
            if name.endswith(f"{where}/model_{where}_config.json"):
                entry = {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
                if where == "constants":
                    entry["path_name"] = "opaque_obj_0"
                data = json.dumps({"config": {"x": entry}}).encode()
                target.writestr(f"{name.rpartition('/')[0]}/{entry['path_name']}", inside.read_bytes())
            target.writestr(name, data)
        if where.startswith("aotinductor"):
            target.writestr(f"dressed/data/{where}", b"\x7fELF")
    with pytest.raises(ModelError, match="pickled objects or compiled code"):
        load_model(weights(dressed, 3))
    assert not proof.exists()


def test_safetensors_fit_their_factory_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_file(UNet(4, 2).state_dict(), path)
    assert (
        load_model(weights(path, factory="swath.models.unet:UNet"))(np.zeros((1, 4, 16, 16), np.float32)).shape[1] == 2
    )
    save_file({f"module.{name}": tensor for name, tensor in UNet(4, 2).state_dict().items()}, path)
    assert load_model(weights(path, factory="swath.models.unet:UNet")) is not None
    save_file(UNet(5, 2).state_dict(), path)
    with pytest.raises(ModelError, match="do not fit the network of factory"):
        load_model(weights(path, factory="swath.models.unet:UNet"))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (None, "the factory is missing"),
        ("swath.models.unet", "must be module:function"),
        ("no_such_package.nets:make", "cannot import no_such_package.nets"),
        ("swath.models.unet:lake", "module swath.models.unet has no lake"),
        ("swath.models.unet:_convolve", "callable without arguments"),
        ("builtins:dict", "gave dict, not a torch.nn.Module"),
    ],
)
def test_a_factory_that_does_not_work_says_why(tmp_path: Path, factory: str | None, message: str) -> None:
    path = tmp_path / "unet.safetensors"
    save_file(UNet(1, 2).state_dict(), path)
    with pytest.raises(ModelError, match=message):
        load_model(weights(path, factory=factory))


def test_a_factory_whose_code_changed_since_the_run_began_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(module: str, digest: str) -> None:
        raise CodeChanged("the code of nets changed since the run began")

    monkeypatch.setattr("swath.models.project_function.import_as", changed)
    path = tmp_path / "unet.safetensors"
    save_file(UNet(1, 2).state_dict(), path)
    with pytest.raises(ModelError, match="factory nets:make: the code of nets changed") as caught:
        load_model(weights(path, factory="nets:make"))
    assert caught.value.remedy == "start the run again"


def test_a_checkpoint_that_is_empty_or_cut_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(UNet(1, 2, 2, 1).state_dict(), path)
    whole = path.read_bytes()
    for size in (0, 1, 10, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"a\.ckpt: holds pickled objects beside weights, or is damaged"):
            read_checkpoint(str(path))
