"""A split by the content of images: kept in the cache, so that those alone are read again that are new or written anew."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_blocks, stage_one, stage_two

from aevlp.pipeline.datasets import content_split
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.stages.caches.merge import merge
from aevlp.stages.caches.select import select
from aevlp.stages.caches.update import append

SHARES = "{train: 0.5, val: 0.25, test: 0.25}"
NAMES = ("train", "val", "test")


def shared_out(folder: Path, images: int = 24, shares: str = SHARES) -> Path:
    """Draw blocks of which nobody said a split, to be divided by their content."""
    if not folder.exists():
        draw_blocks(folder, images, 0)
    table = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text(
        "".join(f"{line.replace(',train,', ',').replace(',split', '')}\n" for line in table)
    )
    manifest = (folder / "blocks.yaml").read_text().replace("    simulate: single-positive\n", "")
    (folder / "blocks.yaml").write_text(manifest.replace("split_column: split", f"split_by: {{content: {shares}}}"))
    return folder


def split_of(content: bytes) -> str:
    place = int.from_bytes(hashlib.sha256(content).digest(), "big") / 2**256
    return NAMES[0] if place < 0.5 else NAMES[1] if place < 0.75 else NAMES[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return shared_out(tmp_path / "data")


@pytest.fixture
def cache(data: Path, tmp_path: Path) -> Path:
    return stage_one(data, tmp_path / "c.h5")


@pytest.fixture
def hashed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read for their split from here on, as in a process of its own."""
    names: list[str] = []
    real = content_split.content_sha256
    monkeypatch.setattr(content_split, "content_sha256", lambda path: names.append(path.name) or real(path))
    content_split._HASHES.clear()
    return names


def splits_of(cache: ScoreCache) -> dict[str, str]:
    return dict(zip(cache.ids.tolist(), cache.split.tolist(), strict=True))


def train(cache: Path, run: Path) -> Path:
    return stage_two(cache, run, backbone="linear", epochs=1)


def test_training_from_a_cache_reads_no_image_for_its_split(
    data: Path, cache: Path, hashed: list[str], tmp_path: Path
) -> None:
    of_files = {name: split_of((data / name).read_bytes()) for name in splits_of(open_cache(cache))}
    assert splits_of(open_cache(cache)) == of_files and set(of_files.values()) == set(NAMES)
    train(cache, tmp_path / "run")
    assert hashed == []
    os.utime(data / "images" / "03.png")
    train(cache, tmp_path / "again")
    assert hashed == ["03.png"]


def test_an_image_whose_content_is_another_is_noticed(
    data: Path, cache: Path, hashed: list[str], tmp_path: Path
) -> None:
    image = data / "images" / "05.png"
    random, before = np.random.default_rng(1), image.read_bytes()
    others = (random.bytes(len(before)) for _ in range(100))
    image.write_bytes(next(content for content in others if split_of(content) != split_of(before)))
    os.utime(image, ns=(1, 1))
    with pytest.raises(AevlpError, match=r"other labels or splits than blocks .* for 1 image, first 'images/05\.png'"):
        train(cache, tmp_path / "run")
    assert hashed == ["05.png"]


def test_other_shares_are_noticed(data: Path, cache: Path, hashed: list[str], tmp_path: Path) -> None:
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace(SHARES, "{train: 0.25, val: 0.25, test: 0.5}"))
    with pytest.raises(AevlpError, match="other labels or splits than blocks"):
        train(cache, tmp_path / "run")
    assert len(hashed) == 24


def test_an_image_that_is_added_is_read_alone_and_moves_no_other(
    data: Path, cache: Path, hashed: list[str], tmp_path: Path
) -> None:
    before = splits_of(open_cache(cache))
    draw_blocks(tmp_path / "more", 26, 0)
    for name in ("24.png", "25.png"):
        (tmp_path / "more" / "images" / name).rename(data / "images" / name)
    (data / "labels.csv").write_text((tmp_path / "more" / "labels.csv").read_text())
    shared_out(data)
    append(cache, workers=0)
    assert sorted(hashed) == ["24.png", "25.png"]
    now = splits_of(open_cache(cache))
    assert len(now) == 26 and {name: now[name] for name in before} == before
    assert now["images/25.png"] == split_of((data / "images" / "25.png").read_bytes())
    hashed.clear()
    content_split._HASHES.clear()
    train(cache, tmp_path / "run")
    assert hashed == []


def test_images_that_are_gone_stay_in_their_split(
    data: Path, cache: Path, hashed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in (data / "images").iterdir():
        image.unlink()
    train(cache, tmp_path / "run")
    assert hashed == [] and "24 scored images are not in" in capsys.readouterr().err


def test_what_was_not_divided_by_content_says_nothing_of_shares(cache_path: Path, cache: Path) -> None:
    assert "split_by" not in open_cache(cache_path).provenance["dataset"]
    assert open_cache(cache).provenance["dataset"]["split_by"] == {"train": 0.5, "val": 0.25, "test": 0.25}


def test_a_merged_cache_says_the_shares_that_all_have(data: Path, cache: Path, tmp_path: Path) -> None:
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace(SHARES, "{train: 0.25, val: 0.25, test: 0.5}"))
    other = stage_one(data, tmp_path / "other.h5")
    names = open_cache(cache).ids.tolist()
    first = select(cache, tmp_path / "first.h5", images=",".join(names[:12]))
    for of, says in ((cache, True), (other, False)):
        rest = select(of, tmp_path / f"rest-{of.stem}.h5", images=",".join(names[12:]))
        whole = merge(tmp_path / f"whole-{of.stem}.h5", [first.path, rest.path])
        assert len(whole) == 24 and ("split_by" in whole.provenance["dataset"]) == says
