"""Time of a training step, beside a plain PyTorch loop on tensors in memory. Run: python bench/training.py [--help]

Both train one network on the same chips with the same loss, optimizer, schedule, clipping and augmentation, in turns. The plain
loop has its batches in memory; swath copies each of its batches in a thread of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swath.graph.call_context import reporting_to
from swath.spec.fields.network import Augmentation, BestEpoch, LossTerm, Network, Optimizer
from swath.training.loop.augment import augment_batch
from swath.training.loop.losses import SegmentationLoss
from swath.training.loop.networks import build_network
from swath.training.loop.prefetch import NetworkBatch, to_tensors
from swath.training.loop.settings import TrainSettings
from swath.training.loop.trainer import TrainingData, train_network

MAX_RATIO = 1.05
"""Time of a step of swath in steps of the plain loop."""
MAX_DATA_WAIT = 0.05
"""Share of a training in which it waits for data."""


def train_settings(arguments: argparse.Namespace, steps: int) -> TrainSettings:
    """One epoch of `steps` steps."""
    return TrainSettings(
        network=Network(width=arguments.width), bands=4, classes=("land", "water"),
        loss=(LossTerm(name="cross_entropy"),), class_weights=((1.0, 1.0),), augment=Augmentation(), optimizer=Optimizer(),
        best=BestEpoch(), epochs=1, epoch_steps=steps, seed=1, device=arguments.device, threads=arguments.threads,
    )  # fmt: skip


def chips(arguments: argparse.Namespace) -> list[NetworkBatch]:
    """Eight batches of random pixels."""
    random = np.random.default_rng(0)
    shape = (arguments.batch, arguments.chip, arguments.chip)
    batches = []
    for _ in range(8):
        pixels = random.standard_normal((*shape, 4), np.float32).transpose(0, 3, 1, 2)
        batches.append(NetworkBatch(pixels, (pixels[:, 1] > pixels[:, 0]).astype(np.uint8)))
    return batches


def swath_step(settings: TrainSettings, batches: list[NetworkBatch]) -> tuple[float, float]:
    """Seconds of a step, and the share of time spent waiting for data. The first fifth of the steps is left out."""
    marks: list[float] = []

    def batch(step: int) -> NetworkBatch:
        return NetworkBatch(*(np.array(part, order="K") for part in batches[step % len(batches)]))

    with (
        tempfile.TemporaryDirectory() as folder,
        reporting_to(lambda *_: marks.append(time.perf_counter()), "bench"),
    ):
        result = train_network(settings, TrainingData(batch, lambda: iter(()), 0), Path(folder))
    return _step_s(marks), result.data_wait


def plain_step(settings: TrainSettings, batches: list[NetworkBatch]) -> float:
    """Seconds of a step of a loop of nothing but torch."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(settings.device == "cpu")
    network = build_network(settings.network, settings.bands, 2, settings.seed).to(
        settings.device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    loss_of = SegmentationLoss(settings.loss, settings.class_weights).to(settings.device)
    spec = settings.optimizer
    optimizer = torch.optim.AdamW(network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, spec.learning_rate, total_steps=settings.steps, pct_start=spec.warmup
    )
    in_memory = [tuple(part.to(settings.device) for part in to_tensors(each)) for each in batches]
    network.train()
    marks = []
    for step in range(settings.steps):
        images, labels = augment_batch(*in_memory[step % len(in_memory)], settings.augment, settings.seed, step)
        loss = loss_of(network(images.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), spec.clip or 1.0)
        optimizer.step()
        schedule.step()
        marks.append(time.perf_counter())
    return _step_s(marks)


def _step_s(marks: list[float]) -> float:
    first = len(marks) // 5
    return (marks[-1] - marks[first]) / (len(marks) - 1 - first)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--chip", type=int, default=128)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="write every measurement into this file")
    arguments = parser.parse_args()
    settings, batches = train_settings(arguments, arguments.steps), chips(arguments)
    steps: dict[str, list[float]] = {"plain loop": [], "swath": []}
    waits: list[float] = []
    for _ in range(arguments.repeats):
        steps["plain loop"].append(plain_step(settings, batches))
        seconds, waiting = swath_step(settings, batches)
        steps["swath"].append(seconds)
        waits.append(waiting)
    medians = {who: statistics.median(times) for who, times in steps.items()}
    ratio = statistics.median(swath / plain for swath, plain in zip(steps["swath"], steps["plain loop"], strict=True))
    for who, seconds in medians.items():
        print(f"{who:12} {1000 * seconds:8.2f} ms a step")
    waiting = statistics.median(waits)
    print(f"swath/plain  {ratio:8.3f}  (at most {MAX_RATIO}: {'met' if ratio <= MAX_RATIO else 'NOT met'})")
    print(
        f"waiting      {100 * waiting:8.2f} % (at most {100 * MAX_DATA_WAIT:g}: {'met' if waiting <= MAX_DATA_WAIT else 'NOT met'})"
    )
    if arguments.json:
        results: dict[str, Any] = {"steps_s": steps, "waiting": waits, "ratio": ratio, "arguments": vars(arguments)}
        arguments.json.write_text(json.dumps(results, indent=2, default=str) + "\n", encoding="utf-8")
    return 0 if ratio <= MAX_RATIO and waiting <= MAX_DATA_WAIT else 1


if __name__ == "__main__":
    sys.exit(main())
