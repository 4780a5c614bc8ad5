"""Networks that people use pass in every format: none of their operators is missing from the list."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from swath.models.load import check_file, format_of, rehearse
from swath.models.onnx_predictor import OnnxPredictor
from swath.models.torch_files import load_torch_export, load_torchscript
from swath.training.loop.torchvision_guard import import_torchvision

pytestmark = pytest.mark.slow

Load = Callable[[str], Callable[[torch.Tensor], torch.Tensor]]


def smp_network(name: str, encoder: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import_torchvision()
        smp = pytest.importorskip("segmentation_models_pytorch")
        network: nn.Module = getattr(smp, name)(encoder, encoder_weights=None, in_channels=3, classes=2)
        return network

    return make


def timm_network(name: str, **options: object) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import_torchvision()
        network: nn.Module = pytest.importorskip("timm").create_model(name, pretrained=False, **options)
        return network

    return make


class Masks(nn.Module):
    """The parts of Mask2Former: a transformer whose queries look at pixels, sampling at offsets, and masks by a product."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Conv2d(3, 16, 4, stride=4)
        self.queries = nn.Parameter(torch.randn(5, 16))
        self.decoder = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
        self.offsets = nn.Conv2d(16, 2, 1)
        self.classes = nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = self.pixels(images)
        offsets = self.offsets(pixels).permute(0, 2, 3, 1).tanh()
        pixels = pixels + nn.functional.grid_sample(pixels, offsets, align_corners=False)
        queries = self.decoder(self.queries.expand(len(images), -1, -1), pixels.flatten(2).transpose(1, 2))
        masks = torch.einsum("nqc,nchw->nqhw", queries, pixels).sigmoid()
        found = torch.einsum("nqk,nqhw->nkhw", self.classes(queries).softmax(-1), masks)
        return nn.functional.interpolate(found, scale_factor=4.0, mode="bilinear", align_corners=False)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "U-Net": (smp_network("Unet", "resnet18"), 64),
    "U-Net of EfficientNet": (smp_network("Unet", "efficientnet-b0"), 64),
    "DeepLabV3+": (smp_network("DeepLabV3Plus", "resnet18"), 64),
    "SegFormer": (smp_network("Segformer", "mit_b0"), 64),
    "UPerNet": (smp_network("UPerNet", "resnet18"), 128),
    "Swin": (timm_network("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1)), 224),
    "DINOv2": (timm_network("vit_small_patch14_dinov2", depth=2, img_size=70), 70),
    "ConvNeXt V2": (timm_network("convnextv2_atto", depths=(1, 1, 1, 1)), 64),
    "Mask2Former": (Masks, 64),
}


@pytest.mark.filterwarnings("ignore")  # of torch's exporters
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_loads_and_gives_what_it_gave(tmp_path: Path, name: str) -> None:
    make, side = NETWORKS[name]
    torch.manual_seed(1)
    network, images = make().eval(), torch.randn(1, 3, side, side)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        expected = network(images.clone())
    assert np.isfinite(expected.numpy()).all()
    for path, load in export(network, images, tmp_path, external_data=name == "SegFormer"):
        check_file(str(path), format_of(str(path)))
        with torch.inference_mode():
            given = load(str(path))(images.clone())
        torch.testing.assert_close(
            given,
            expected,
            rtol=1e-3,
            atol=1e-3 * float(expected.abs().max()),
            msg=lambda text, path=path: f"{path.name}: {text}",
        )


@pytest.mark.filterwarnings("ignore")
def test_a_network_in_every_format_passes_its_first_load_without_rights(tmp_path: Path) -> None:
    make, side = NETWORKS["Swin"]
    for path, _ in export(make().eval(), torch.randn(1, 3, side, side), tmp_path):
        rehearse(str(path), format_of(str(path)))


def export(
    network: nn.Module, images: torch.Tensor, folder: Path, external_data: bool = False
) -> Iterator[tuple[Path, Load]]:
    """The network in all formats: file by file, with what loads it."""
    program = torch.export.export(network, (images,))
    torch.export.save(program, folder / "net.pt2")
    yield folder / "net.pt2", load_torch_export
    torch.export.save(program.run_decompositions(), folder / "core.pt2")
    yield folder / "core.pt2", load_torch_export
    torch.jit.save(torch.jit.trace(network, images, check_trace=False), str(folder / "net.torchscript"))  # type: ignore[no-untyped-call]
    yield folder / "net.torchscript", load_torchscript
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = folder / "net.onnx"
    torch.onnx.export(network, (images,), str(path), dynamo=True, external_data=external_data, verbose=False)
    yield path, load_onnx


def load_onnx(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
    session = OnnxPredictor.open(path)._session
    return lambda given: torch.from_numpy(session.run(None, {session.get_inputs()[0].name: given.numpy()})[0])
