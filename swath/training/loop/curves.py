"""Learning curves: the metrics of each epoch as CSV, and drawn with matplotlib."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from swath.errors import MissingExtra
from swath.training.loop.epochs import Epoch


def curves_csv(history: Sequence[Epoch], classes: Sequence[str]) -> str:
    """CSV with a line for each epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["epoch", "step", "loss", "learning_rate", "validation_loss", "mean_iou", "accuracy"]
    writer.writerow([*names, *(f"iou {name}" for name in classes)])
    for e in history:
        values = [
            e.loss,
            e.learning_rate,
            e.validation_loss,
            e.mean_iou,
            e.accuracy,
            *(e.iou or (None,) * len(classes)),
        ]
        writer.writerow([e.number, e.step, *("" if value is None else f"{value:.6g}" for value in values)])
    return text.getvalue()


def draw_curves(path: Path, history: Sequence[Epoch], classes: Sequence[str], colors: Sequence[str], best: int) -> None:
    """Write a PNG: losses on the left, IoU of each class on the right, the epoch number `best` marked. `colors` are RGB as six
    hexadecimal digits. Raises MissingExtra without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.patheffects import withStroke
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        raise MissingExtra("matplotlib", "train", "drawing learning curves") from None
    scored = [epoch for epoch in history if epoch.counts]
    figure = Figure(figsize=(9, 3.4) if scored else (4.6, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, *right = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
    left.plot([e.number for e in history], [e.loss for e in history], color="#4477AA", label="training")
    if scored:
        losses = [float("nan") if e.validation_loss is None else e.validation_loss for e in scored]
        left.plot([e.number for e in scored], losses, color="#EE6677", label="validation")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    left.legend(frameon=False)
    for axes in right:
        for number, (name, color) in enumerate(zip(classes, colors, strict=True)):
            values = [float("nan") if e.iou[number] is None else e.iou[number] for e in scored]
            edge = [withStroke(linewidth=3, foreground="0.6")]  # pale colours are hard to see on white
            axes.plot([e.number for e in scored], values, color=f"#{color}", label=name, path_effects=edge)
        axes.set(xlabel="epoch", ylabel="IoU on the validation split", ylim=(0, 1))
        axes.legend(frameon=False, loc="lower right")
    for axes in (left, *right):
        axes.axvline(best, color="0.7", linewidth=0.8, linestyle=":")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(history) == 1:
            for line in axes.lines:
                line.set_marker("o")
    figure.savefig(path, dpi=120, metadata={"Software": None})
