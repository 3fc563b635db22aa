"""What a model card shows of loading its folder: code that runs as it stands, beside the folder's files and a photo.jpg."""

READING = """\
import json

FOLDER = "."  # where this file lies
with open(f"{FOLDER}/config.json", encoding="utf-8") as file:
    config = json.load(file)
least = dict(zip(config["label_names"], config["score_thresholds"]))"""

TIMM = """\
import timm
import torch
from PIL import Image, ImageOps
from timm.data import create_transform, resolve_data_config

model = timm.create_model(f"local-dir:{FOLDER}", pretrained=True).eval()
transform = create_transform(**resolve_data_config({}, model=model))
image = UPRIGHT.convert("RGB")
with torch.inference_mode():
    scores = model(transform(image)[None]).sigmoid()[0].tolist()
print([name for (name, score), found in zip(least.items(), scores) if found >= score])"""

TRANSFORMERS = """\
from transformers import pipeline

classify = pipeline("image-classification", model=FOLDERTRUST)
print([found["label"] for found in classify("photo.jpg", top_k=len(least)) if found["score"] >= least[found["label"]]])"""


def how_to_load(upright: bool, with_code: bool) -> list[str]:
    """Return the lines of a card. upright: whether images are turned by their EXIF orientation first."""
    opened = 'ImageOps.exif_transpose(Image.open("photo.jpg"))' if upright else 'Image.open("photo.jpg")'
    trust = ", trust_remote_code=True" if with_code else ""
    parts = [("With transformers", TRANSFORMERS.replace("TRUST", trust))]
    if not with_code:
        parts.insert(0, ("With timm", TIMM.replace("UPRIGHT", opened)))
    lines = ["The thresholds, by class:", "", *_block(READING)]
    for title, code in parts:
        lines += ["", f"{title}:", "", *_block(code)]
    if with_code:
        lines += [
            "",
            "No class of timm or transformers reads unit vectors: `unit_vector_model.py` does, which lies here. Read it "
            "before you pass `trust_remote_code=True`.",
        ]
    return lines


def _block(code: str) -> list[str]:
    return ["```python", *code.split("\n"), "```"]
