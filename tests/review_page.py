"""A small cache with pictures, the desk for it, and a client that asks as a browser does: what tests of the review share."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from aevlp.pipeline.review.answers import AnswerStore
from aevlp.pipeline.review.queue import Pair
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.review.desk import Desk, Given
from aevlp.stages.review.explained import Explainer
from aevlp.stages.review.gate import Door
from aevlp.stages.review.order import Order
from aevlp.stages.review.pictures import Pictures
from aevlp.stages.review.server import application
from fakes import blocks, random_cache

PORT = 8765
ANSWERS = "pairs.review.sqlite"
HOST = f"127.0.0.1:{PORT}"
ORIGIN = {"origin": f"http://{HOST}"}


def make_cache(folder: Path, rows: int = 30, classes: Sequence[str] = ("bird", "cat", "dog"), seed: int = 0) -> Path:
    """Write a cache of random scores, and pictures for it below data/, of noise with a bright corner; return its path."""
    header, content = random_cache(rows, len(classes), bad=0, seed=seed)
    header = replace(header, classes=tuple(classes), prompts=tuple(classes))
    write_cache(folder / "pairs.h5", header, blocks(content, 8))
    (folder / "data" / "images").mkdir(parents=True)
    random = np.random.default_rng(seed)
    for row, path in enumerate(content.paths):
        pixels = random.integers(60, 150, (48, 64, 3), dtype=np.uint8)
        pixels[:24, 32:] = (row * 8 % 256, 200, 40)
        Image.fromarray(pixels).save(folder / "data" / path, quality=95)
    return folder / "pairs.h5"


def find_all(cache: ScoreCache, answered: Collection[tuple[int, int]]) -> list[Pair]:
    """Return every pair of a training image and a class that is neither observed nor answered, in the order of the rows."""
    rows = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    places = ((int(r), int(c)) for r in rows for c in np.flatnonzero(cache.observed[r] == 0))
    return [
        Pair(r, c, gain=1.0, chance=float((7 * r + 3 * c) % 10) / 10, wrong=0.25)
        for r, c in places
        if (r, c) not in answered
    ]


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Review:
    """A review under test. refused: lines that were said."""

    cache: ScoreCache
    store: AnswerStore
    desk: Desk
    clock: Clock
    refused: list[str] = field(default_factory=list)

    def door(self, port: int = PORT) -> Door:
        return Door(port, self.refused.append)

    def application(self, door: Door) -> Any:
        settings = cached_settings(self.cache)
        pictures = Pictures(self.cache, self.cache.path.parent / "data", 10**6)
        return application(self.desk, Explainer(self.cache, settings), pictures, door)

    def client(self, *, entered: bool = True) -> TestClient:
        """Return a browser's client; entered: by the address with the token."""
        door = self.door()
        client = TestClient(self.application(door), base_url=f"http://{HOST}", headers={"host": HOST})
        if entered:
            assert client.get(f"/?token={door.token}").status_code == 200
        return client


def begin(path: Path, answers: Path) -> Review:
    """Return a review of a cache, its answers in a folder, with a clock that the test moves."""
    cache, clock = open_cache(path), Clock()
    store = AnswerStore(answers / ANSWERS)
    return Review(cache, store, Desk(cache, store, Order(lambda answered: find_all(cache, answered)), clock), clock)


def ask(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    """Return the reply to a request of the page."""
    reply = client.post(path, json={"tab": "one", **body}, headers=ORIGIN)
    assert reply.status_code == 200, reply.text
    return reply.json()


def answer_of(pair: dict[str, Any], code: int, seconds: float = 2.0) -> dict[str, Any]:
    """Return what the page sends for an answer."""
    return {**{key: pair[key] for key in ("row", "column", "image", "label")}, "answer": code, "seconds": seconds}


def given_of(review: Review, row: int, column: int, code: int) -> Given:
    """Return an answer about a pair of a cache."""
    return Given(row, column, str(review.cache.ids[row]), review.cache.classes[column], code, 1.0)
