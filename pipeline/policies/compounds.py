"""Class names, and perhaps labels -> sentences that name two or three classes (SPARC, CVPR 2025)."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

Pair = tuple[int, int]
Triplet = tuple[int, int, int]


def all_pairs(classes: int) -> list[Pair]:
    """Return every pair of classes, which needs no label: ours, where the paper counts in full labels."""
    return list(combinations(range(classes), 2))


def pairs_and_triplets(
    labels: np.ndarray, pair_threshold: float = 0.05, triplet_threshold: float = 0.025
) -> tuple[list[Pair], list[Triplet]]:
    """Return which classes are often together, by full or pseudo-labels (n, C), positive where 1.

    A pair (i, j), i < j: P(j | i) is above `pair_threshold`. A triplet (i, j, k) for a pair: k has the highest P(k | i, j), which
    is above `triplet_threshold`, the first of equals. Of triplets that differ by the order of the last two, one is kept, by the
    released program's rule: by P(k' | i, j) of the last class k', by a slip, instead of k.
    """
    there = (labels == 1).astype(np.int64)
    alone, together = there.sum(axis=0), there.T @ there
    classes = there.shape[1]
    pairs = [(i, j) for i, j in all_pairs(classes) if together[i, j] > pair_threshold * alone[i] and alone[i]]
    triplets: list[Triplet] = []
    stored: dict[Triplet, float] = {}
    for i, j in pairs:
        others = [k for k in range(classes) if k not in (i, j)]
        shares = there[(there[:, i] & there[:, j]).astype(bool)].sum(axis=0) / together[i, j]
        likely = [k for k in others if shares[k] > triplet_threshold]
        if not likely:
            continue
        found, last = (i, j, max(likely, key=lambda k: shares[k])), float(shares[others[-1]])
        earlier = (i, found[2], j)
        if earlier not in stored or last > stored[earlier]:
            triplets = [*(triplet for triplet in triplets if triplet != earlier), found]
        stored[found] = last
    return pairs, triplets


def sentences(names: Sequence[str], compounds: Sequence[tuple[int, ...]]) -> list[str]:
    """Return "A and B" of each pair of classes, and "A, B, and C" of each triplet."""
    return [
        " and ".join(words) if len(words) == 2 else f"{', '.join(words[:-1])}, and {words[-1]}"
        for words in ([names[c] for c in classes] for classes in compounds)
    ]


def members_of(compounds: Sequence[tuple[int, ...]], classes: int) -> np.ndarray:
    """Return which compound names a class, (C, M) int8 0/1."""
    members = np.zeros((classes, len(compounds)), dtype=np.int8)
    for m, named in enumerate(compounds):
        members[list(named), m] = 1
    return members
