"""What a step of a training costs, beside a bare PyTorch loop that does the same on tensors in memory.

Run: python bench/training.py [--help]. Both train one network on the same chips with the same loss, optimizer, schedule, clipping
and augmentation; the two take turns, several times over. The bare loop has its batches in memory; ours makes each from the chips,
in its own thread.
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
from swath.training.loop.losses import Loss
from swath.training.loop.networks import build_network
from swath.training.loop.prefetch import NetworkBatch, to_tensors
from swath.training.loop.settings import TrainSettings
from swath.training.loop.trainer import TrainingData, train_network

AT_MOST = 1.05
"""Steps of ours, in steps of the bare loop."""
WAITING = 0.05
"""Share of a training that may be spent waiting for data."""


def course(arguments: argparse.Namespace, steps: int) -> TrainSettings:
    """One epoch of so many steps."""
    return TrainSettings(
        network=Network(width=arguments.width), bands=4, classes=("land", "water"),
        loss=(LossTerm(name="cross_entropy"),), class_weights=((1.0, 1.0),), augment=Augmentation(), optimizer=Optimizer(),
        best=BestEpoch(), epochs=1, epoch_steps=steps, seed=1, device=arguments.device, threads=arguments.threads,
    )  # fmt: skip


def chips(arguments: argparse.Namespace) -> list[NetworkBatch]:
    """Some batches."""
    random = np.random.default_rng(0)
    shape = (arguments.batch, arguments.chip, arguments.chip)
    found = []
    for _ in range(8):
        pixels = random.standard_normal((*shape, 4), np.float32).transpose(0, 3, 1, 2)
        found.append(NetworkBatch(pixels, (pixels[:, 1] > pixels[:, 0]).astype(np.uint8)))
    return found


def ours(told: TrainSettings, batches: list[NetworkBatch]) -> tuple[float, float]:
    """Seconds of a step, and the share of the time that was waited. Starting is not counted: the first steps are left out."""
    marks: list[float] = []

    def batch(step: int) -> NetworkBatch:
        return NetworkBatch(*(np.array(part, order="K") for part in batches[step % len(batches)]))

    with (
        tempfile.TemporaryDirectory() as folder,
        reporting_to(lambda done, total, pixels: marks.append(time.perf_counter()), "bench"),
    ):
        result = train_network(told, TrainingData(batch, lambda: iter(()), 0), Path(folder))
    return _step_s(marks), result.data_wait


def bare(told: TrainSettings, batches: list[NetworkBatch]) -> float:
    """Seconds of a step of a loop without anything around it."""
    torch.set_num_threads(told.threads)
    torch.use_deterministic_algorithms(told.device == "cpu")
    network = build_network(told.network, told.bands, 2, told.seed).to(told.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = Loss(told.loss, told.class_weights).to(told.device)
    how = told.optimizer
    optimizer = torch.optim.AdamW(network.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, how.learning_rate, total_steps=told.steps, pct_start=how.warmup
    )
    held = [tuple(part.to(told.device) for part in to_tensors(each)) for each in batches]
    network.train()
    marks = []
    for step in range(told.steps):
        images, labels = augment_batch(*held[step % len(held)], told.augment, told.seed, step)
        loss = loss_of(network(images.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), how.clip or 1.0)
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
    parser.add_argument("--json", type=Path, help="keep every measurement in this file")
    arguments = parser.parse_args()
    told, batches = course(arguments, arguments.steps), chips(arguments)
    steps: dict[str, list[float]] = {"bare loop": [], "swath": []}
    waits: list[float] = []
    for _ in range(arguments.repeats):
        steps["bare loop"].append(bare(told, batches))
        seconds, waiting = ours(told, batches)
        steps["swath"].append(seconds)
        waits.append(waiting)
    medians = {who: statistics.median(found) for who, found in steps.items()}
    ratio = statistics.median(own / alone for own, alone in zip(steps["swath"], steps["bare loop"], strict=True))
    for who, seconds in medians.items():
        print(f"{who:12} {1000 * seconds:8.2f} ms a step")
    waiting = statistics.median(waits)
    print(f"swath / bare {ratio:8.3f}  (at most {AT_MOST}: {'met' if ratio <= AT_MOST else 'NOT met'})")
    print(
        f"waiting      {100 * waiting:8.2f} % (at most {100 * WAITING:g}: {'met' if waiting <= WAITING else 'NOT met'})"
    )
    if arguments.json:
        kept: dict[str, Any] = {"steps_s": steps, "waiting": waits, "ratio": ratio, "arguments": vars(arguments)}
        arguments.json.write_text(json.dumps(kept, indent=2, default=str) + "\n", encoding="utf-8")
    return 0 if ratio <= AT_MOST and waiting <= WAITING else 1


if __name__ == "__main__":
    sys.exit(main())
