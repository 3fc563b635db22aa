"""What stage one must give: the cosines of an image, straight from the definition."""

from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps

from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.images.schemes import scheme
from aevlp.pipeline.images.views import view_pixels


def plain_cosines(
    folder: Path, path: str, prompts: list[str], views: int | str, mean=None, std=None, model=None
) -> np.ndarray:
    """One image, one view at a time, straight from the definition: (F, V, C)."""
    encoder = ClipEncoder(ClipSource(str(folder / "tiny-clip.json"), "random"), torch.device("cpu"))
    mean, std, model = mean or encoder.mean, std or encoder.std, model or encoder.model
    tokens = open_clip.get_tokenizer("tiny-clip")(prompts)
    image = ImageOps.exif_transpose(Image.open(folder / path)).convert("RGB")
    with torch.no_grad():
        text = model.encode_text(tokens, normalize=True)
        rows = [
            [
                model.encode_image(torch.from_numpy(view_pixels(image, box, 32, flip, mean, std))[None])[0]
                for box in scheme(views).boxes(*image.size)
            ]
            for flip in (False, True)
        ]
    return np.array([[(v / v.norm() @ text.T).numpy() for v in flip] for flip in rows])
