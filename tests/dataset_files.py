"""A data set of a test: its entry in a manifest, a tar with its files, and the labels that were read of it."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aevlp.pipeline.datasets.image_table import ImageTable
from aevlp.pipeline.manifest.formats import DatasetSpec
from aevlp.pipeline.manifest.load import load_manifest


def write_entry(folder: Path, **keys: Any) -> Path:
    """Write a manifest of one data set, p, with these keys; return the manifest."""
    content = {"datasets": {"p": {"title": "P", **keys}}}
    (folder / "m.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return folder / "m.yaml"


def entry(folder: Path, lines: str) -> DatasetSpec:
    """Return the entry of a data set, photos, whose keys a manifest in `folder` gives as YAML writes them between braces."""
    (folder / "photos.yaml").write_text(f"datasets: {{photos: {{title: Photos, {lines}}}}}", encoding="utf-8")
    return load_manifest(folder / "photos.yaml")["photos"]


def tar_of(files: Mapping[str, bytes | str], kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar with these files, in this order. kind: its format."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=kind) as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return whole.getvalue()


def labels_of(images: ImageTable) -> dict[str, set[str]]:
    """Return the names of the classes that each image shows, by the image's id."""
    return {image: set(shown) for image, shown in label_lists(images).items()}


def label_lists(images: ImageTable) -> dict[str, list[str]]:
    """Return them in the order of the classes."""
    assert images.truth is not None
    return {
        str(image): [name for name, shown in zip(images.classes, row, strict=True) if shown]
        for image, row in zip(images.ids, images.truth, strict=True)
    }
