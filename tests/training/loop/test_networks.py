"""Networks by name, and weights to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from swath.errors import ModelError
from swath.models.safety.first_load import FirstLoad
from swath.spec.fields.network import Network
from swath.training.loop import networks
from swath.training.loop.networks import build_network, encode_weights, read_state_dict, stride_of


def test_the_seed_decides_the_first_weights_and_no_generator_is_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert encode_weights(build_network(Network(), 4, 2, seed=5)) == encode_weights(
        build_network(Network(), 4, 2, seed=5)
    )
    assert encode_weights(build_network(Network(), 4, 2, seed=5)) != encode_weights(
        build_network(Network(), 4, 2, seed=6)
    )
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("depth", [1, 3])
def test_the_stride_is_what_sizes_must_be_multiples_of(depth: int) -> None:
    assert stride_of(build_network(Network(depth=depth), 2, 2), 2, "unet") == 2**depth


def test_a_network_of_segmentation_models_is_made_by_name_without_a_download() -> None:
    options = {"encoder_name": "resnet18", "decoder_channels": [16, 8, 8, 4, 4]}
    network = build_network(Network(name="smp:Unet", options=options), 5, 3)
    assert network(torch.zeros(1, 5, 64, 64)).shape == (1, 3, 64, 64)
    assert stride_of(network, 5, "smp:Unet") == 32


def test_a_network_of_the_project_is_called_with_bands_and_classes() -> None:
    network = build_network(Network(name="swath.models.unet:UNet", options={"width": 2}), 3, 4)
    assert network(torch.zeros(1, 3, 16, 16)).shape == (1, 4, 16, 16)


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (Network(name="smp:Nothing"), "no such network"),
        (Network(name="smp:from_pretrained", options={"pretrained_model_name_or_path": "a/b"}), "no such network"),
        (Network(name="smp:create_model", options={"arch": "unet"}), "no such network"),
        (Network(name="smp:Unet", options={"encoder_name": "tu-hf_hub:a/b"}), "is the address of a model"),
        (Network(name="smp:Unet", options={"encoder_name": "tu-local-dir:/tmp"}), "is the address of a model"),
        (Network(name="no_such_module:make"), "cannot import"),
        (Network(name="smp:Unet", options={"encoder_name": "colour"}), "colour"),
        (Network(name="builtins:dict"), "gives dict"),
    ],
)
def test_what_is_no_network_is_an_error_that_says_why(network: Network, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        build_network(network, 3, 2)


def test_weights_to_begin_with_are_those_of_the_file_and_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "before.safetensors"
    path.write_bytes(encode_weights(build_network(Network(width=4), 3, 2, seed=9)))
    assert encode_weights(build_network(Network(width=4, weights=str(path)), 3, 2, seed=1)) == path.read_bytes()
    with pytest.raises(ModelError, match=r"(?s)down\.0\.0\.weight: \(4, 3, 3, 3\) in the file, \(4, 5, 3, 3\).*head"):
        build_network(Network(width=4, weights=str(path)), 5, 3)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "network."])
def test_weights_of_wrappers_fit_without_their_prefix(prefix: str, tmp_path: Path) -> None:
    state = build_network(Network(), 3, 2, seed=5).state_dict()
    named = {prefix + name: tensor for name, tensor in state.items()}
    save_file(named, tmp_path / "a.safetensors")
    torch.save(named, tmp_path / "state.ckpt")
    torch.save({"state_dict": named, "epoch": 3}, tmp_path / "lightning.ckpt")
    for file in ("a.safetensors", "state.ckpt", "lightning.ckpt"):
        found = build_network(Network(weights=str(tmp_path / file)), 3, 2).state_dict()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_initial_weights_are_read_in_a_process_without_rights_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def refuse(model: FirstLoad) -> None:
        loaded.append(model.path)
        raise ModelError("refused there")

    monkeypatch.setattr(networks, "load_first", refuse)
    torch.save(build_network(Network(), 3, 2).state_dict(), tmp_path / "a.ckpt")
    with pytest.raises(ModelError, match="refused there"):
        read_state_dict(str(tmp_path / "a.ckpt"))
    assert loaded == [str(tmp_path / "a.ckpt")]


def test_a_file_that_holds_no_weights_is_an_error(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pt2", "a.ckpt", "a.bin"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ModelError):
            read_state_dict(str(tmp_path / name))


def test_options_of_one_network_are_refused_for_another() -> None:
    with pytest.raises(ValidationError, match="other networks"):
        Network(name="unet", options={"encoder_name": "resnet18"})
    with pytest.raises(ValidationError, match="is for unet"):
        Network(name="smp:Unet", width=16)
