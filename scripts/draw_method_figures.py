"""Draws the figures of docs/method.md: a picture's views, its scores, and the GPR loss; all with the program's own functions.

python scripts/draw_method_figures.py docs
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

import aevlp
from aevlp.pipeline.datasets.varied_scenes import CLASSES, draw_varied
from aevlp.pipeline.losses.generalized_pseudo_label_robust import GeneralizedPseudoLabelRobust, gpr_entries

SEED, SHOWN, OBSERVED = 7, 14, "house"  # a picture of a series that no data set has; its observed label
DAMP: dict[str, Any] = {"temperature": 0.12, "eta": 0.3, "threshold": 0.18, "top_k": 6, "negative_ratio": 0.5}
SETTINGS = aevlp.DampSettings(**DAMP)
GRID = 2
EPOCHS = 8
BLUE, ORANGE, GREEN, RED, GREY = "#2a6fbb", "#d97706", "#15803d", "#b91c1c", "#6b7280"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the figures are written")
    folder = parser.parse_args().folder
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    with tempfile.TemporaryDirectory() as scenes:
        pixels, truth, cosines = scored(Path(scenes))
    observed = np.array([[int(name == OBSERVED) for name in CLASSES]], np.int8)
    _save(views(pixels, cosines), folder / "method-views.png")
    _save(scores(cosines, observed, truth), folder / "method-score.png")
    _save(loss(), folder / "method-loss.png")


def scored(folder: Path) -> tuple[np.ndarray, set[str], np.ndarray]:
    """Return the picture that is shown, (H, W, 3) uint8, what is in it, and its cosines (1, V, C), with CLIP's help."""
    pixels, objects = draw_varied(SEED, SHOWN)
    for index in range(SHOWN, SHOWN + 3):  # fewer are no data set
        Image.fromarray(draw_varied(SEED, index)[0]).save(folder / f"{index}.bmp")
    cache = aevlp.pseudolabel(
        folder,
        classes=list(CLASSES),
        clip="scenes2",
        cache=folder / "scenes.h5",
        key={"damp": {"grid": GRID, **DAMP}},
        progress=False,
    )
    row = cache.ids.tolist().index(f"{SHOWN}.bmp")
    cosines = cache.similarity(np.array([row]))[:, 0].astype(np.float32)  # plain, not mirrored
    return pixels, {thing.name for thing in objects}, cosines


def probabilities(cosines: np.ndarray) -> np.ndarray:
    """Return what each view alone says, (V, C): a score without tiles is the whole image's probability."""
    nothing = np.zeros((cosines.shape[1], cosines.shape[2]), np.int8)
    return aevlp.damp_scores(cosines[0][:, None], nothing, SETTINGS)[0]


def likeliest(cosines: np.ndarray, count: int) -> np.ndarray:
    """Return the classes with the highest probability in any view."""
    return np.argsort(-probabilities(cosines).max(axis=0))[:count]


def views(pixels: np.ndarray, cosines: np.ndarray) -> Figure:
    """Draw the whole image and its tiles as CLIP sees them, and what it says of each."""
    height, width = pixels.shape[:2]
    boxes = [(0, 0, width, height), *aevlp.tile_boxes(width, height, GRID)]
    names = ["whole image", *(f"tile {n}" for n in range(1, len(boxes)))]
    classes = likeliest(cosines, 6)[::-1]
    figure, axes = plt.subplots(2, len(boxes), figsize=(9.5, 3.9), height_ratios=(1.15, 1), layout="constrained")
    for top, bottom, box, name, said in zip(*axes, boxes, names, probabilities(cosines), strict=True):
        seen = aevlp.view_pixels(Image.fromarray(pixels), box, 64, False, (0, 0, 0), (1, 1, 1))
        top.imshow(np.clip(seen.transpose(1, 2, 0), 0, 1), interpolation="nearest")
        if name == "whole image":
            for n in range(1, GRID):
                top.axhline(64 * n / GRID - 0.5, color="white", linestyle="--", linewidth=1)
                top.axvline(64 * n / GRID - 0.5, color="white", linestyle="--", linewidth=1)
        top.set_title(name, fontsize=9)
        top.set_axis_off()
        bottom.barh([CLASSES[c] for c in classes], said[classes], color=BLUE)
        bottom.set_xlim(0, 1)
        bottom.tick_params(labelleft=name == "whole image")
    figure.supxlabel("probability, from the view's cosines", fontsize=9)
    return figure


def scores(cosines: np.ndarray, observed: np.ndarray, truth: set[str]) -> Figure:
    """Draw how the whole image and the tiles become the score of a class, and which classes become positive."""
    of_views = probabilities(cosines)
    final = aevlp.damp_scores(cosines, observed, SETTINGS)[0][0]
    codes = aevlp.damp_codes(cosines, observed, SETTINGS)[0]
    gate = min(float((of_views[0] * observed[0]).max()), SETTINGS.eta)
    classes = likeliest(cosines, 9)[::-1]
    figure, axis = plt.subplots(figsize=(9.5, 3.6), layout="constrained")
    for y, c in enumerate(classes):
        lowest, highest = of_views[1:, c].min(), of_views[1:, c].max()
        axis.plot([lowest, highest], [y, y], color=GREY, linewidth=5, alpha=0.35, solid_capstyle="butt")
        axis.plot(highest if highest > gate else lowest, y, "|", color=GREY, markersize=14, markeredgewidth=2.5)
        axis.plot(of_views[0, c], y, "o", color=BLUE, markerfacecolor="white", markersize=7)
        axis.plot(final[c], y, "D", color=GREEN if codes[c] == 1 else RED if codes[c] == -1 else GREY, markersize=7)
    axis.axvline(gate, color=ORANGE, linestyle="--", linewidth=1)
    axis.axvline(SETTINGS.threshold, color=GREEN, linestyle=":", linewidth=1.2)
    marks = {name: "** " if name == OBSERVED else "* " if name in truth else "" for name in CLASSES}
    axis.set_yticks(range(len(classes)), [marks[CLASSES[c]] + CLASSES[c] for c in classes])
    axis.set_xlabel("probability or score (* the picture shows it, ** and that is observed)")
    handles = [
        Line2D([], [], color=GREY, linewidth=5, alpha=0.35, label="lowest to highest tile"),
        Line2D(
            [],
            [],
            color=GREY,
            marker="|",
            markersize=12,
            markeredgewidth=2.5,
            linestyle="",
            label="the tile that speaks",
        ),
        Line2D([], [], color=BLUE, marker="o", markerfacecolor="white", linestyle="", label="whole image"),
        Line2D([], [], color=GREEN, marker="D", linestyle="", label="score: pseudo-positive"),
        Line2D([], [], color=GREY, marker="D", linestyle="", label="score: unknown"),
        Line2D([], [], color=RED, marker="D", linestyle="", label="score: negative"),
        Line2D([], [], color=ORANGE, linestyle="--", label="gate"),
        Line2D([], [], color=GREEN, linestyle=":", label="threshold"),
    ]
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure


def loss() -> Figure:
    """Draw the schedules of GPR's constants, and its loss of an entry by the predicted probability."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3), layout="constrained")
    epochs = np.arange(1, EPOCHS + 1)
    values = np.array([aevlp.gpr_schedule(int(epoch), EPOCHS) for epoch in epochs])
    for name, column, color in zip(("w", "b", "mu", "sigma"), values.T, (BLUE, ORANGE, GREEN, GREY), strict=True):
        left.plot(epochs, column, marker="o", markersize=3, color=color, label=name)
    left.set_xlabel(f"epoch of {EPOCHS}")
    left.set_title("schedules", fontsize=9)
    left.legend(frameon=False, fontsize=8)
    logits = torch.linspace(-6, 6, 400)[:, None]
    zero = torch.zeros_like(logits, dtype=torch.int8)
    shown = [
        ("observed positive", zero + 1, zero, EPOCHS, GREEN, "-"),
        ("pseudo-positive", zero, zero + 1, EPOCHS, BLUE, "-"),
        ("pseudo-negative", zero, zero - 1, EPOCHS, RED, "-"),
        ("unknown, first epoch", zero, zero, 1, GREY, ":"),
        ("unknown, middle", zero, zero, EPOCHS // 2, GREY, "--"),
        ("unknown, last epoch", zero, zero, EPOCHS, GREY, "-"),
    ]
    made = GeneralizedPseudoLabelRobust(1)
    for name, observed, pseudo, epoch, color, style in shown:
        made.set_epoch(epoch, EPOCHS)
        schedule = (made.w, made.b, made.mu, made.sigma)
        entries = gpr_entries(
            logits, observed, pseudo, schedule, (made.q2, made.q3), (made.lam_1, made.lam_2), made.rho
        )
        right.plot(logits.sigmoid().flatten(), entries.flatten(), style, color=color, label=name)
    right.set_ylim(0, 3)
    right.set_xlabel("predicted probability")
    right.set_title("loss of an entry", fontsize=9)
    right.legend(frameon=False, fontsize=8)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
