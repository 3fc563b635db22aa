"""The examples of a cache in a foreign loop run, and learn what there is to learn."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aevlp.pipeline.score_cache import write_cache
from fakes import random_cache

EXAMPLES = Path(__file__).parent.parent / "examples"
ROWS, CLASSES, WIDTH = 300, 5, 16


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Two caches of equal labels and cosines: one's embeddings tell what is shown, the other's are of other images."""
    header, rows = random_cache(ROWS, CLASSES, width=WIDTH, storage="float32", bad=0)
    assert rows.truth is not None and rows.similarity is not None
    random = np.random.default_rng(3)
    embedding = rows.truth @ random.normal(size=(CLASSES, WIDTH)) + random.normal(scale=0.3, size=(ROWS, WIDTH))
    embedding = np.repeat((embedding / np.linalg.norm(embedding, axis=1, keepdims=True))[:, None], 2, axis=1)
    similarity = 0.1 * random.random(rows.similarity.shape) + 0.5 * rows.truth[:, None, None]
    rows = replace(rows, similarity=similarity.astype(np.float32))
    folder = tmp_path_factory.mktemp("examples")
    for tells in (True, False):
        of = embedding if tells else embedding[random.permutation(ROWS)]
        write_cache(folder / f"{tells}.h5", header, [replace(rows, embedding=of.astype(np.float32))])
    return {tells: folder / f"{tells}.h5" for tells in (True, False)}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", ["plain_pytorch", "hugging_face_trainer"])
def test_an_example_learns_what_embeddings_tell_and_nothing_from_those_of_other_images(
    name: str, telling: dict[bool, Path]
) -> None:
    if name == "hugging_face_trainer":
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    reached = {}
    for tells, cache in telling.items():
        command = [sys.executable, EXAMPLES / f"{name}.py", str(cache), "gpr"]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        assert "validation mAP" in done.stdout.splitlines()[-1]
        reached[tells] = float(done.stdout.split()[-1])
    assert reached[True] > 90 and reached[False] < 75, reached
