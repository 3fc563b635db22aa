"""How often the intervals hold the truth: test sets drawn from populations whose mAP is known by integration."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from aevlp.pipeline.intervals import FEWEST, Judged, judge

GRID = torch.linspace(-8, 16, 20_001, dtype=torch.float64)


@dataclass(frozen=True)
class Population:
    """Images whose classes and scores are correlated: Gaussian scores, `lift` higher for positives, by method and class.

    prevalence: (C,). lift: (2, C), of two methods. wobble: the standard deviation by which a training's lifts are off, all alike.
    """

    prevalence: np.ndarray
    lift: np.ndarray
    wobble: float = 0.0

    def maps(self) -> np.ndarray:
        """Return the mAP of both methods over endless images and trainings, (2,)."""
        offs = np.linspace(-4, 4, 41)
        weights = np.exp(-(offs**2) / 2)
        if not self.wobble:
            offs, weights = np.zeros(1), np.ones(1)
        each = [
            [
                np.mean([endless(p, max(a + self.wobble * off, 0)) for p, a in zip(self.prevalence, lift, strict=True)])
                for off in offs
            ]
            for lift in self.lift
        ]
        return np.array(each) @ weights / weights.sum()

    def draw(
        self, images: int, trainings: int, random: np.random.Generator
    ) -> tuple[list[list[np.ndarray]], np.ndarray]:
        """Return the scores (images, C) of both methods' trainings, which share images and half their errors, and the truth."""
        classes = len(self.prevalence)

        def correlated(share: float) -> np.ndarray:
            both = random.normal(size=(images, 1))
            return np.sqrt(share) * both + np.sqrt(1 - share) * random.normal(size=(images, classes))

        threshold = torch.special.ndtri(torch.tensor(1 - self.prevalence)).numpy()
        truth = correlated(0.3) > threshold
        common = correlated(0.3)
        scores = [
            [
                truth * np.maximum(lift + self.wobble * random.normal(), 0)
                + 0.7 * common
                + np.sqrt(0.51) * correlated(0.3)
                for _ in range(trainings)
            ]
            for lift in self.lift
        ]
        return scores, truth.astype(np.int8)


def endless(prevalence: float, lift: float) -> float:
    """Return the average precision of a class over endless images."""
    density = torch.exp(-((GRID - lift) ** 2) / 2) / np.sqrt(2 * np.pi)
    true, false = prevalence * torch.special.ndtr(lift - GRID), (1 - prevalence) * torch.special.ndtr(-GRID)
    return float(torch.trapezoid(density * true / (true + false).clamp(min=1e-300), GRID))


def spread(images: int, classes: int, rarest: float, commonest: float, lift: float) -> Population:
    """Return classes that are expected `rarest` to `commonest` times among so many images, easy and hard ones by turns."""
    prevalence = np.geomspace(rarest, commonest, classes) / images
    lifts = lift + 0.5 * np.cos(2.4 * np.arange(classes))
    return Population(prevalence, np.stack([lifts, lifts + 0.3 + 0.3 * np.sin(np.arange(classes))]))


def test_sets(population: Population, images: int, sets: int, trainings: int = 1) -> Iterator[list[Judged]]:
    """Yield what `sets` test sets with FEWEST positives a class or more say of both methods."""
    random = np.random.default_rng(images)
    while sets:
        scores, truth = population.draw(images, trainings, random)
        if (truth.sum(axis=0) >= FEWEST).all():
            sets -= 1
            yield [judge(each, truth) for each in scores]
