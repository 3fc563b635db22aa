"""A cache and its CLIP -> text features of sentences that name several classes, beside the cache; no image is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline import policies
from ...pipeline.clip.libraries import Encoder
from ...pipeline.clip.prompts import class_names, imagenet_templates
from ...pipeline.errors import AevlpError, counted
from ...pipeline.labels.codes import effective
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import parsed
from ...pipeline.policies.compounds import all_pairs, members_of, pairs_and_triplets
from ...pipeline.policies.compounds import sentences as worded
from ...pipeline.policies.mentions import member_matrix
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache, open_cache
from ...pipeline.score_cache.sentences import OF_TRUTH, Sentences, sentences_file, sentences_of, write_sentences
from ...pipeline.scoring.scorer import one_thread_each
from ..cache_origin import dataset_of, scoring_encoder
from ..console import out, print_result
from ..declaration import takes
from ..given_names import names_of_file
from ..new_files import check_folder
from ..results import Result
from .options import SentencesOptions

AT_A_TIME = 256  # sentences encoded at once


@dataclass(frozen=True, repr=False)
class SentenceFile(Result):
    """Text features that were written beside a cache. texts: the sentences. alone: classes that none of them mentions."""

    cache: Path
    path: Path
    texts: Sequence[str]
    alone: Sequence[str]

    def summary(self) -> dict[str, Any]:
        """Return the file, and how many sentences it has."""
        return {"path": self.path, "sentences": len(self.texts), "classes in none": len(self.alone)}


@takes(SentencesOptions)
def sentences(options: SentencesOptions) -> SentenceFile:
    """Encode sentences that name several classes, write them beside a cache for the policy sparc, and return what they are.

    A file that is there is replaced. Raises AevlpError for sentences that cannot be chosen so, and where the cache's CLIP is not
    there or not the same.
    """
    cache = open_cache(options.cache)
    path = sentences_file(cache.path)
    check_folder(path)
    spec = dataset_of(cache, None, options.manifest)
    names = _names(cache, spec)
    texts, members = _chosen(options.compounds, cache, names)
    with one_thread_each():
        encoder = scoring_encoder(cache.provenance, spec.manifest_path.parent, find_device(options.device))
        templates = imagenet_templates()
        made = Sentences(
            classes=tuple(cache.classes),
            weights_sha256=cache.provenance["weights_sha256"],
            chosen=options.compounds,
            texts=tuple(texts),
            members=members,
            bare=_vectors(encoder, [[name] for name in names]),
            ensemble=_vectors(encoder, [[template.replace("{}", name) for template in templates] for name in names]),
            compound=_vectors(encoder, [[text] for text in texts]),
        )
    write_sentences(path, made)
    alone = [cache.classes[c] for c in np.flatnonzero(~members.any(axis=1))]
    return SentenceFile(cache.path, path, texts, alone)


def show(result: SentenceFile) -> None:
    """Print what was written, and what to do next."""
    print_result(result.path, f": {counted(len(result.texts), 'sentence')}, no image was looked at")
    if result.alone:
        out.print(f"in no sentence, so scored alone: {', '.join(result.alone)}")
    out.print(f"next: aevlp train {result.cache} --policy sparc")


def make_if_read(cache: ScoreCache, policy: str | None, device: str | None) -> None:
    """Make a cache's sentences where a policy that is asked for reads them and they are not there, or not those of the cache."""
    name = None if policy is None else parsed(policy).name
    if name not in policies.TABLE or "sentences" not in policies.reads(name):
        return
    try:
        sentences_of(cache)
    except AevlpError:
        sentences(cache.path, device=device)


def _names(cache: ScoreCache, spec: DatasetSpec) -> list[str]:
    """Return what each class is called in a sentence: its name, or its natural name in the manifest."""
    natural = {name: words for name, words in spec.natural_names.items() if name in cache.classes}
    words = class_names(cache.classes, spec.name_rule, natural, None, cache.provenance["method"]["compat"])
    return [of_class[0] for of_class in words]


def _chosen(asked: str, cache: ScoreCache, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return sentences, and which mentions a class, (C, M) int8 0/1."""
    if asked == "all":
        return _worded(all_pairs(len(names)), names)
    if asked in ("labels", OF_TRUTH):
        rows = np.flatnonzero((cache.status == "ok") & (cache.split == "train"))
        if asked == OF_TRUTH and cache.truth is None:
            raise AevlpError(
                f"--compounds truth: {cache.path} has no full labels; all pairs need none: --compounds all"
            )
        known = effective(cache.observed[rows], cache.code(rows)) if cache.truth is None or asked == "labels" else None
        pairs, triplets = pairs_and_triplets(np.asarray(cache.truth)[rows] if known is None else known)
        if not pairs:
            raise AevlpError(
                f"--compounds {asked}: no two classes of {cache.path} are often enough in one training image: --compounds all "
                f"takes every pair"
            )
        return _worded([*pairs, *triplets], names)
    if not Path(asked).exists():
        raise AevlpError(
            f"--compounds {asked}: expected all, labels, {OF_TRUTH}, or a text file with a sentence a line, and there is no file "
            f"{asked}"
        )
    texts = names_of_file(Path(asked), "sentences")
    members = member_matrix(texts, names)
    if not members.any():
        raise AevlpError(f"--compounds {asked}: no sentence mentions a class of {cache.path}")
    return texts, members


def _worded(compounds: Sequence[tuple[int, ...]], names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    return worded(names, compounds), members_of(compounds, len(names))


def _vectors(encoder: Encoder, texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the unit text feature of each list of sentences, (n, D) float32."""
    features = np.concatenate([encoder.encode_classes(some) for some in _batches(texts)])
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _batches(texts: Sequence[Sequence[str]]) -> Iterator[Sequence[Sequence[str]]]:
    size = max(1, AT_A_TIME // len(texts[0]))
    for start in range(0, len(texts), size):
        yield texts[start : start + size]
