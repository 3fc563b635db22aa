"""Answers -> the rows and columns of a cache that they are about."""

from collections.abc import Iterator, Sequence

from ...pipeline.review.answers import Answer
from ...pipeline.score_cache import ScoreCache

Place = tuple[int, int]  # of a pair: row, column


def placed(cache: ScoreCache, answers: Sequence[Answer]) -> Iterator[tuple[Place, Answer]]:
    """Yield each answer with its place; those about images and classes that the cache has not are passed over."""
    named = {answer.image for answer in answers}
    rows = {name: row for row, name in enumerate(cache.ids.tolist()) if name in named} if named else {}
    columns = {name: column for column, name in enumerate(cache.classes)}
    for answer in answers:
        if answer.image in rows and answer.label in columns:
            yield (rows[answer.image], columns[answer.label]), answer
