"""Options and the manifest -> the text graph, if one is asked for, and what a cache records of it."""

from typing import Any

from ...pipeline.clip.libraries import Encoder
from ...pipeline.clip.text_graph import HIDDEN, TextGraph, graph_weights, load_relation
from ...pipeline.errors import AevlpError
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.manifest.sections import TextGraphConstants
from ...pipeline.runtime.provenance import arrays_sha256
from ...pipeline.runtime.seeding import derive
from ...pipeline.scoring.recipe import OF_FEATURES
from .options import PseudolabelOptions


def asked_for(options: PseudolabelOptions, spec: DatasetSpec) -> TextGraph | None:
    """Return the frozen text graph: as asked for, or else where the manifest gives its constants."""
    kind = options.text_graph or ("none" if spec.text_graph is None else "frozen")
    if kind == "none":
        if options.relation:
            raise AevlpError("--relation is read by the text graph alone: pass --text-graph frozen with it")
        return None
    constants = (spec.text_graph or TextGraphConstants()).model_dump()
    relation = load_relation(options.relation) if options.relation else None
    return TextGraph(**constants, seed=derive(options.seed, "text graph"), relation=relation)


def recorded(graph: TextGraph | None, encoder: Encoder) -> dict[str, Any] | str:
    """Return what a cache's provenance says of its text graph."""
    if graph is None:
        return "none"
    return {
        "kind": "frozen",
        "sparse_topk": graph.sparse_topk,
        "reweight": graph.reweight,
        "temperature": graph.temperature,
        "hidden": HIDDEN,
        "seed": graph.seed,
        "weights_sha256": arrays_sha256(*graph_weights(encoder.config["embed_dim"], graph.seed)),
        "relation": OF_FEATURES if graph.relation is None else arrays_sha256(graph.relation),
    }
