"""A cache of view embeddings and other class names -> the cache of those classes, without looking at an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...pipeline.clip.libraries import Encoder
from ...pipeline.clip.prompts import class_names, class_prompts
from ...pipeline.clip.text_graph import TextGraph
from ...pipeline.errors import AevlpError, counted
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.runtime.device import find_device
from ...pipeline.score_cache import ScoreCache, open_cache, write_cache
from ...pipeline.score_cache.rescoring import rescored
from ...pipeline.scoring.recipe import OF_FEATURES
from ...pipeline.scoring.scorer import one_thread_each
from ..cache_origin import dataset_of, scoring_encoder
from ..declaration import takes
from ..given_names import names_of_file
from ..made import made, show
from .inspect import cached_settings
from .new_cache import check_new
from .options import RescoreOptions

__all__ = ["rescore", "show"]


@takes(RescoreOptions)
def rescore(options: RescoreOptions) -> ScoreCache:
    """Write the cache that scoring the same images with the class names in a text file gives, and return it.

    Raises AevlpError where the cache stores no embeddings, or its CLIP is not there or not the same.
    """
    source, classes, prompt = options.cache, options.classes, options.prompt
    cache = open_cache(source)
    target = check_new(options.target or source.with_name(f"{source.stem}-{classes.stem}{source.suffix}"))
    names = names_of_file(classes, "class names")
    spec = dataset_of(cache, None, options.manifest)
    templates = _templates(prompt) if prompt else cache.provenance["prompt"]
    sentences = _sentences(names, templates, spec, cache.provenance["method"]["compat"])
    graph = _text_graph(cache)
    with one_thread_each():
        encoder = scoring_encoder(cache.provenance, spec.manifest_path.parent, find_device(options.device))
        text = _vectors(encoder, sentences, graph, names)
    header, rows = rescored(
        cache,
        names,
        [" | ".join(of_class) for of_class in sentences],
        text,
        cached_settings(cache),
        prompt=list(templates),
    )
    write_cache(target, header, rows)
    return made(
        target,
        f": {counted(len(cache), 'image')}, {counted(len(names), 'class', 'classes')}, no image was looked at\n"
        f"next: aevlp inspect {target}",
    )


def _templates(given: Sequence[str]) -> list[str]:
    for template in given:
        if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
            raise AevlpError(
                f"--prompt {template!r}: it must hold {{}} once, where the class name goes, and no other brace"
            )
    return list(given)


def _sentences(names: list[str], templates: Sequence[str], spec: DatasetSpec, compat: str) -> list[list[str]]:
    """Return the sentences of each class, as stage one makes them; what the manifest says of other classes is left out."""
    natural = {name: words for name, words in spec.natural_names.items() if name in names}
    synonyms = {name: words for name, words in spec.synonyms.items() if name in names}
    return class_prompts(class_names(names, spec.name_rule, natural, synonyms, compat), templates)


def _text_graph(cache: ScoreCache) -> TextGraph | None:
    """Return the text graph that a cache was made with; AevlpError where it holds for the old classes alone."""
    made: dict[str, Any] | str = cache.provenance["text_graph"]
    if not isinstance(made, dict):
        return None
    if made["relation"] != OF_FEATURES:
        raise AevlpError(
            f"{cache.path} was made with a matrix of label similarities, which says nothing of other classes: score the images "
            f"again, with --relation or without"
        )
    return TextGraph(made["sparse_topk"], made["reweight"], made["temperature"], made["seed"])


def _vectors(encoder: Encoder, sentences: list[list[str]], graph: TextGraph | None, names: list[str]) -> np.ndarray:
    text = encoder.encode_classes(sentences)
    if graph is not None:
        text = graph(text, names)
    return text / np.linalg.norm(text, axis=1, keepdims=True)
