"""Train the small CLIP of the second series of scenes, and write weights/scenes2-clip.safetensors.

    python scripts/train_scenes_clip.py --samples 700000

It learns as every CLIP does, from other pictures than those it is used on: one or two large filled shapes, and captions like
those of the web. A caption names one shape or two, sometimes with their colours, sometimes none ("a photo of shapes"), and
sometimes one that is not there. A caption that is true of another picture of the batch matches that one too, so targets are soft.
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

from aevlp.pipeline.datasets.scene_drawing import COLORS, SIZE
from aevlp.pipeline.datasets.varied_scenes import CLASSES, WEB, draw_varied

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
PICTURES_SEED = 1
MOST_OBJECTS = len(WEB.counts)
SMALLEST_CROP = 64  # pixels, of 128
NONE, WRONG, BOTH, COLORED = 0.1, 0.1, 0.5, 0.3  # chances of a caption


def draw(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture and its objects as rows (class, color, left, upper, right, lower), -1 where there are fewer."""
    picture, objects = draw_varied(PICTURES_SEED, index, WEB)
    rows = np.full((MOST_OBJECTS, 6), -1, dtype=np.int64)
    for row, thing in zip(rows, objects, strict=False):
        row[:] = (CLASSES.index(thing.name), list(COLORS).index(thing.color), *thing.box)
    return picture, rows


def draw_pool(count: int, workers: int) -> tuple[Tensor, Tensor]:
    """Return pictures (count, 3, 128, 128) uint8 and objects (count, MOST_OBJECTS, 6) int64."""
    pictures = torch.empty((count, 3, SIZE, SIZE), dtype=torch.uint8)
    objects = torch.empty((count, MOST_OBJECTS, 6), dtype=torch.int64)
    with Pool(workers) as pool:
        for n, (picture, rows) in enumerate(pool.imap(draw, range(count), chunksize=256)):
            pictures[n] = torch.from_numpy(picture).permute(2, 0, 1)
            objects[n] = torch.from_numpy(rows)
    return pictures, objects


def crop(pictures: Tensor, objects: Tensor, rows: Tensor, side: int, size: int) -> tuple[Tensor, Tensor]:
    """Return square crops of one side at random places, (n, 3, size, size) in [0, 1], and which objects they show, (n, M)."""
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

    things: (n, M, 2) class and color; shown: (n, M) bool. A fact is "there is a star", "there is a red star" or, last, that
    the caption names nothing. The wrong name of a caption is taken to hold: whoever wrote it saw it there.
    """
    names, colors = list(CLASSES), list(COLORS)
    n, facts = len(things), len(names) * (1 + len(colors)) + 1
    claims, holds = torch.zeros((2, n, facts), dtype=torch.bool)
    captions = []
    for i in range(n):
        here = [(int(c), int(k)) for c, k in things[i][shown[i]]]
        chance, both, colored = torch.rand(3).tolist()
        if chance < WRONG and here:
            here[int(torch.randint(len(here), ()))] = (int(torch.randint(len(names), ())), here[0][1])
        for c, k in here:
            holds[i, c] = holds[i, len(names) * (1 + k) + c] = True
        if not here or chance > 1 - NONE:
            claims[i, -1] = holds[i, -1] = True
            captions.append("a photo of shapes.")
            continue
        said = here if both < BOTH else [here[int(torch.randint(len(here), ()))]]
        for c, k in said:
            claims[i, len(names) * (1 + k) + c if colored < COLORED else c] = True
        phrases = [with_article(f"{colors[k]} {names[c]}" if colored < COLORED else names[c]) for c, k in said]
        captions.append(f"a photo of {' and '.join(phrases)}.")
    return captions, claims, holds


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, claims: Tensor, holds: Tensor) -> Tensor:
    """Return the mean cross entropy, over both directions, to the uniform distribution over each row's matches."""
    logits = scale * images @ texts.T
    matches = (claims.float() @ (~holds).float().T == 0).T.float()  # image i, caption j; each image has its own
    to_text = -(matches / matches.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    matches, logits = matches.T, logits.T
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
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--samples", type=int, default=700_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=WEIGHTS / "scenes2-clip.safetensors")
    args = parser.parse_args()

    pictures, objects = draw_pool(args.pictures, args.workers)
    print("pictures drawn", flush=True)
    torch.manual_seed(args.seed)
    open_clip.add_model_config(WEIGHTS / "scenes2-clip.json")
    model: Any = open_clip.create_model("scenes2-clip", pretrained=None)
    tokenizer = open_clip.get_tokenizer("scenes2-clip")
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
        sides = (SIZE, *torch.randint(SMALLEST_CROP, SIZE, (3,)).tolist())
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
