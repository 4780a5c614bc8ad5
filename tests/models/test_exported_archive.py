"""Our reader of .pt2 archives against torch.export.load: the same bits, and the same sizes refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.exported_archive import read_program, read_weights
from swath.models.unet import UNet
from tests.models.safety.crafted import entries_of, write_entries
from tests.models.tiny_models import export

BANDS = 3


class Resized(nn.Module):
    """Asks for its size, and for a size that follows from it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(BANDS, 4, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return F.interpolate(self.first(images).relu(), size=images.shape[-2:], mode="bilinear", align_corners=False)


class Split(nn.Module):
    """An operator with several results, a constant, a buffer that is not saved with the weights, and a list with a None."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.arange(3.0).reshape(3, 1, 1), persistent=False)
        self.scale = torch.tensor([1.5, 2.0, 4.0]).reshape(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        red, green, blue = ((images - self.mean) / self.scale).chunk(3, dim=1)
        return torch.cat(
            [blue, red.clamp(min=0)[:, :, torch.tensor([0])].expand_as(green), green.to(torch.float64).float()], 1
        )


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(BANDS, 1, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)
        seen: Tensor = self.heads(tokens, tokens, tokens, need_weights=False)[0]
        return seen.transpose(1, 2).reshape(images.shape)


class Counting(nn.Module):
    """Changes a buffer at each call."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images + self.calls


class Precise(nn.Module):
    """Parts without gradients and in another precision, an infinite number, and a comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(BANDS, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            first = self.first(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            second = self.second(first)
        return second.float().masked_fill(images[:, :1] > 0, float("-inf"))


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = torch.cond(images.sum() > 0, lambda x: x + 1, lambda x: x - 1, (images,))
        return result


NETWORKS = {
    "unet": (UNet(BANDS, 2, width=4, depth=2), 4),
    "resized": (Resized(), 2),
    "split": (Split(), 1),
    "groups": (nn.Sequential(nn.Conv2d(BANDS, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU()), 1),
    "pooled": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Upsample(scale_factor=8)), 1),
    "attentive": (Attentive(), 1),
    "counting": (Counting(), 1),
    "branching": (Branching(), 1),
    "precise": (Precise(), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_operators_give_the_same_bits(name: str, tmp_path: Path) -> None:
    network, multiple = NETWORKS[name]
    path = export(network.eval(), BANDS, tmp_path / "network.pt2", multiple)
    program, reference = read_program(str(path)), torch.export.load(path).module()
    for shape in ((1, BANDS, 16, 24), (3, BANDS, 40, 16)):
        images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            expected, given = reference(images), program(images)
        if name == "attentive":  # torch's attention on the CPU depends in the last bits on where its memory lies
            torch.testing.assert_close(given, expected)
        else:
            assert torch.equal(expected, given)
        assert expected.stride() == given.stride()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "resized"])
def test_the_same_sizes_are_refused(name: str, tmp_path: Path) -> None:
    network, multiple = NETWORKS[name]
    path = export(network.eval(), BANDS, tmp_path / "network.pt2", multiple)
    program, reference = read_program(str(path)), torch.export.load(path).module()

    def taken(call: object, height: int, width: int) -> bool:
        try:
            call(torch.zeros(1, BANDS, height, width))  # type: ignore[operator]
        except (RuntimeError, ValueError, AssertionError):
            return False
        return True

    for height in range(20):
        for width in (8, height):
            assert taken(program, height, width) == taken(reference, height, width), (height, width)
    with pytest.raises(ValueError, match="axes"):
        program(torch.zeros(BANDS, 8, 8))
    with pytest.raises(ValueError, match="axis 1 of images was exported for 3 to 3"):
        program(torch.zeros(1, BANDS + 1, 8, 8))


def test_a_network_of_one_size_takes_that_size_only(tmp_path: Path) -> None:
    path = tmp_path / "fixed.pt2"
    torch.export.save(torch.export.export(UNet(BANDS, 2, depth=1).eval(), (torch.zeros(1, BANDS, 32, 32),)), path)
    program = read_program(str(path))
    assert program(torch.zeros(1, BANDS, 32, 32)).shape == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="axis 3 of images was exported for 32 to 32, not for 64"):
        program(torch.zeros(1, BANDS, 32, 64))


def test_branches_and_their_results_are_those_of_the_library(tmp_path: Path) -> None:
    program = read_program(str(export(Branching(), BANDS, tmp_path / "network.pt2")))
    images = torch.ones(1, BANDS, 8, 8)
    assert torch.equal(program(images), images + 1)
    assert torch.equal(program(-images), -images - 1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's own
def test_a_buffer_that_changes_is_changed_as_by_the_library(tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    torch.export.save(torch.export.export(Counting(), (torch.zeros(1, BANDS, 8, 8),)).run_decompositions(), path)
    program = read_program(str(path))
    assert [float(program(torch.zeros(1, BANDS, 8, 8)).max()) for _ in range(3)] == [1, 2, 3]


def test_weights_have_their_names_in_the_module(tmp_path: Path) -> None:
    network = UNet(BANDS, 2, width=4, depth=2)
    state = read_weights(str(export(network, BANDS, tmp_path / "network.pt2", 4)))
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in state.items())


class Two(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": images + 1, "aux": images - 1}


class One(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": images + 1}


def test_a_network_of_several_results_is_refused_with_their_names(tmp_path: Path) -> None:
    path = str(export(Two(), BANDS, tmp_path / "two.pt2"))
    with pytest.raises(
        ModelError, match=r"two\.pt2: the model gives 2 outputs \(out, aux\), and its contract names 'logits'"
    ):
        read_program(path, "logits")
    images = torch.zeros(1, BANDS, 8, 8)
    assert [float(read_program(path, name)(images).max()) for name in ("out", "aux")] == [1, -1]
    assert read_program(str(export(One(), BANDS, tmp_path / "one.pt2")))(torch.zeros(1, BANDS, 8, 8)).max() == 1


def test_archives_of_before_are_read(tmp_path: Path) -> None:
    """Torch 2.8 wrote all weights in one file of torch.save; 2.7 and older ones other names of entries."""
    network = UNet(BANDS, 2, width=4, depth=1).eval()
    now = export(network, BANDS, tmp_path / "now.pt2", 2)
    weights, none = io.BytesIO(), io.BytesIO()
    torch.save(network.state_dict(), weights)
    torch.save({}, none)
    with zipfile.ZipFile(now) as source:
        document = source.read(next(name for name in source.namelist() if "/models/" in name))
    with zipfile.ZipFile(tmp_path / "v8.pt2", "w") as archive:
        archive.writestr("a/models/model.json", document)
        archive.writestr("a/byteorder", "little")
        archive.writestr("a/data/weights/model.pt", weights.getvalue())
        archive.writestr("a/data/constants/model.pt", none.getvalue())
    with zipfile.ZipFile(tmp_path / "v7.pt2", "w") as archive:
        archive.writestr("version", "8.5")
        archive.writestr("serialized_exported_program.json", document)
        archive.writestr("serialized_state_dict.pt", weights.getvalue())
        archive.writestr("serialized_constants.pt", none.getvalue())
        archive.writestr("serialized_example_inputs.pt", none.getvalue())
    images = torch.randn(1, BANDS, 16, 16)
    expected = read_program(str(now))(images)
    for older in ("v8.pt2", "v7.pt2"):
        assert torch.equal(read_program(str(tmp_path / older))(images), expected)


def test_weights_that_reach_beyond_their_data_are_refused(tmp_path: Path) -> None:
    entries = entries_of(export(UNet(BANDS, 2, width=4, depth=1).eval(), BANDS, tmp_path / "good.pt2", 2))
    name = "data/weights/model_weights_config.json"
    document = json.loads(entries[name])
    first = next(iter(document["config"]))
    for dimension in document["config"][first]["tensor_meta"]["sizes"][:1]:
        dimension["as_int"] += 1
    entries[name] = json.dumps(document).encode()
    with pytest.raises(ModelError, match=rf"{first} does not lie within its data"):
        read_program(str(write_entries(tmp_path / "beyond.pt2", entries)))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.pt2"
    page.write_text("<html>")
    with pytest.raises(ModelError, match=r"page\.pt2: not a zip archive"):
        read_program(str(page))
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        archive.writestr("a/models/model.json", "{}")
    with pytest.raises(ModelError, match=r"empty\.pt2: not a torch\.export archive that swath reads: KeyError"):
        read_program(str(tmp_path / "empty.pt2"))


def test_the_shared_models_are_plain(shared: Path) -> None:
    for path in (Path("models/water.pt2").absolute(), shared / "data/models/clouds_rgbi.pt2"):
        if path.exists():
            assert read_program(str(path)).tensors
