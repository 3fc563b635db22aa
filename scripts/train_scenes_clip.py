"""Train the small CLIP of the scenes data set from generated pictures and captions, and write weights/scenes-clip.safetensors.

    python scripts/train_scenes_clip.py --samples 1400000

Pictures come from another seed than the data set's. A picture, or a random crop of one, is described by the objects of
which more than half the box is inside; a caption names all of them or one, sometimes with colours. A caption that is true
of a picture is a match wherever it stands in the batch, so targets are soft; a crop that shows nothing matches every caption
equally, which teaches the model to be undecided about empty tiles instead of confidently wrong.
"""

import argparse
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from aevlp.pipeline.datasets.scene_pictures import CLASSES, COLORS, SIZE, draw_scene

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
PICTURES_SEED = 1
RADII = (20, 92)  # larger shapes than the data set's, as any CLIP has seen other pictures than those it is used on
MOST_OBJECTS = 4
VIEW_SIDES = (128, 64, 43)  # the whole picture and the tiles of grids 2 and 3; a fourth side is drawn for each batch


def draw(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and its objects as rows (class, color, left, upper, right, lower), -1 where there are fewer."""
    picture, objects = draw_scene(PICTURES_SEED, index, RADII)
    rows = np.full((MOST_OBJECTS, 6), -1, dtype=np.int64)
    for row, thing in zip(rows, objects, strict=False):
        row[:] = (CLASSES.index(thing.name), list(COLORS).index(thing.color), *thing.box)
    return picture, rows


def draw_pool(count: int, workers: int) -> tuple[Tensor, Tensor]:
    """Return pictures (count, 3, 128, 128) uint8 and objects (count, 4, 6) int64."""
    pictures = torch.empty((count, 3, SIZE, SIZE), dtype=torch.uint8)
    objects = torch.empty((count, MOST_OBJECTS, 6), dtype=torch.int64)
    with Pool(workers) as pool:
        for n, (picture, rows) in enumerate(pool.imap(draw, range(count), chunksize=256)):
            pictures[n] = torch.from_numpy(picture).permute(2, 0, 1)
            objects[n] = torch.from_numpy(rows)
    return pictures, objects


def crop(pictures: Tensor, objects: Tensor, rows: Tensor, side: int, size: int) -> tuple[Tensor, Tensor]:
    """Return square crops of one side at random places, (n, 3, size, size) in [0, 1], and which objects they show, (n, 4)."""
    n = len(rows)
    left, upper = torch.randint(0, SIZE - side + 1, (2, n))
    span = torch.arange(side)
    y, x = (upper[:, None] + span)[:, None, :, None], (left[:, None] + span)[:, None, None, :]
    views = pictures[rows[:, None, None, None], torch.arange(3)[None, :, None, None], y, x]
    mirrored = torch.rand(n) < 0.5
    views[mirrored] = views[mirrored].flip(-1)
    views = functional.interpolate(views.float(), (size, size), mode="bilinear", antialias=True) / 255

    box = objects[rows, :, 2:].float()
    low = torch.stack([left, upper], 1)[:, None].float()
    overlap = (torch.minimum(box[..., 2:], low + side) - torch.maximum(box[..., :2], low)).clamp(min=0).prod(-1)
    area = (box[..., 2:] - box[..., :2]).prod(-1)
    return views, (objects[rows, :, 0] >= 0) & (overlap > 0.5 * area)


def describe(things: Tensor, shown: Tensor) -> tuple[list[str], Tensor, Tensor]:
    """Return captions, the facts they claim and the facts that hold, as (n, facts) booleans.

    things: (n, 4, 2) class and color; shown: (n, 4) bool. A fact is "there is a star" or "there is a red star".
    """
    n, facts = len(things), len(CLASSES) * (1 + len(COLORS))
    claims, holds = torch.zeros((2, n, facts), dtype=torch.bool)
    names, colors = list(CLASSES), list(COLORS)
    captions = []
    for i in range(n):
        here = [(int(c), int(k)) for c, k in things[i][shown[i]]]
        for c, k in here:
            holds[i, c] = holds[i, len(names) * (1 + k) + c] = True
        said = here if torch.rand(()) < 0.4 else here[: int(torch.rand(()) * len(here)) + 1][-1:]
        colored = bool(torch.rand(()) < 0.25)
        for c, k in said:
            claims[i, len(names) * (1 + k) + c if colored else c] = True
        phrases = [with_article(f"{colors[k]} {names[c]}" if colored else names[c]) for c, k in said]
        captions.append("a photo of " + (" and ".join(phrases) or "nothing") + ".")
    return captions, claims, holds


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" and not CLASSES.count(phrase) else "a ") + phrase


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, claims: Tensor, holds: Tensor) -> Tensor:
    """Return the mean cross entropy, over both directions, to the uniform distribution over each row's matches."""
    logits = scale * images @ texts.T
    silent = ~claims.any(1)  # captions of pictures that show nothing: they claim nothing and are not compared
    matches = (claims.float() @ (~holds).float().T == 0).T.float()
    logits, matches = logits[:, ~silent], matches[:, ~silent]
    matches[silent] = 1.0
    to_text = -(matches / matches.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    matches, logits = matches[~silent].T, logits[~silent].T
    to_image = -(matches / matches.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    return (to_text + to_image) / 2


def save(model: torch.nn.Module, used_tokens: Tensor, path: Path) -> None:
    """Write the weights in half precision, with the rows of tokens no caption uses set to zero."""
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    table = state["token_embedding.weight"]
    unused = torch.ones(len(table), dtype=torch.bool)
    unused[used_tokens] = False
    table[unused] = 0
    state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file({k: v.contiguous() for k, v in state.items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=80_000)
    parser.add_argument("--samples", type=int, default=1_400_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=WEIGHTS / "scenes-clip.safetensors")
    args = parser.parse_args()

    pictures, objects = draw_pool(args.pictures, args.workers)
    print("pictures drawn", flush=True)
    torch.manual_seed(args.seed)
    open_clip.add_model_config(WEIGHTS / "scenes-clip.json")
    model: Any = open_clip.create_model("scenes-clip", pretrained=None)
    tokenizer = open_clip.get_tokenizer("scenes-clip")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.visual.image_mean, model.visual.image_std))
    size = open_clip.get_model_preprocess_cfg(model)["size"]

    model.visual.to(memory_format=torch.channels_last)  # with bfloat16, 2.5 times faster on a CPU that has it

    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    steps = args.samples // args.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.05)
    used_tokens = torch.unique(tokenizer([f"a photo of {with_article(c)}." for c in CLASSES]))
    model.train()
    start, recent = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        sides = (*VIEW_SIDES, int(torch.randint(40, SIZE, ())))
        rows = torch.randint(0, len(pictures), (len(sides), args.batch_size // len(sides)))
        views, shown = zip(
            *(crop(pictures, objects, r, s, size) for r, s in zip(rows, sides, strict=True)), strict=True
        )
        captions, claims, holds = describe(objects[rows.flatten(), :, :2], torch.cat(shown))
        tokens = tokenizer(captions)
        used_tokens = torch.unique(torch.cat([used_tokens, tokens.flatten()]))
        pixels = ((torch.cat(views) - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            images, texts = model.encode_image(pixels), model.encode_text(tokens)
        images, texts = (functional.normalize(v.float(), dim=-1) for v in (images, texts))
        loss = contrastive_loss(images, texts, model.logit_scale.exp(), claims, holds)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6)
        recent += loss.item()
        if step % 200 == 0:
            rate = step * args.batch_size / (time.monotonic() - start)
            print(f"step {step}/{steps}  loss {recent / 200:.4f}  {rate:.0f} samples/s", flush=True)
            recent = 0.0
            save(model, used_tokens, args.output)
    save(model, used_tokens, args.output)


if __name__ == "__main__":
    main()
