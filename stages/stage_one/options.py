"""What stage one may be told."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ...pipeline.errors import AevlpError
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.files.locations import location
from ...pipeline.images.schemes import scheme
from ...pipeline.images.schemes.grid import MOST_TILES
from ..declaration import PYTHON_ONLY
from ..option_types import Device, MaxPixels, Mean, Std
from ..source_options import SourceOptions


def view_scheme(text: str) -> int | str:
    """Return what is recorded of a scheme of views; typer.BadParameter for one that is not known, or cannot be."""
    try:
        return scheme(text).recorded
    except AevlpError as error:
        raise typer.BadParameter(str(error)) from error


Relation = Annotated[Path | None, typer.Option(help="A .npy or .csv matrix of label similarities for the text graph.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images at a time; default: 16 on a CPU, 64 on a GPU.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that decode images; default: one a core, at most 8.")
]
Engine = Literal["local", "ray"]  # each a module NAME_engine.py here, as engines.py has it


@dataclass(frozen=True)
class PseudolabelOptions(SourceOptions):
    """Stage one: score every image with multi-focus CLIP, once, into a cache; the same command again resumes."""

    _: KW_ONLY
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=location, metavar="PATH|URL", help="Where to write: .h5 or .parquet; default: cache/NAME.h5."
        ),
    ] = None
    simulate: Annotated[
        dict[str, Any] | str | None,
        typer.Option(
            parser=str,
            metavar="REGIME",
            help="Hide some of full labels, to study the method: single-positive, counts, frequency, largest, fraction or wrong, "
            "with constants as in wrong,rate=0.2; or none. Default: the manifest's.",
        ),
    ] = None
    clip: Annotated[
        str | None,
        typer.Option(
            help="An open_clip model, scenes2 (small, comes with aevlp), a model-config .json, hf-hub:ORG/NAME, "
            "local-dir:FOLDER, or transformers:ORG/NAME or transformers:FOLDER, a CLIP or SigLIP of transformers."
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(help="A tag of that model, a weights file, or random; default: those beside its config."),
    ] = None
    mean: Mean = None
    std: Std = None
    activation: Annotated[
        Literal["gelu", "quick_gelu"] | None,
        typer.Option(help="As the CLIP was trained; default: its tag's, its config's."),
    ] = None
    grid: Annotated[
        int | None, typer.Option(min=1, max=MOST_TILES, help="Tiles a side, for --views grid\\[grid=N].")
    ] = None
    views: Annotated[
        int | str | None,
        typer.Option(
            parser=view_scheme,
            metavar="SCHEME",
            help="What CLIP sees beside the whole image: grid, pyramid, overlap or crops, with constants as in "
            "crops\\[count=16,seed=0]; default: the manifest's.",
        ),
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None
    device: Device = None
    precision: Annotated[
        Literal["fp32", "fp16", "bf16"] | None, typer.Option(help="Of the CLIP; default: fp16 on a GPU.")
    ] = None
    storage: Annotated[Literal["float16", "float32"], typer.Option(help="Type of the stored numbers.")] = "float16"
    store: Annotated[
        Literal["cosine", "embedding"],
        typer.Option(help="embedding: the views' vectors, which aevlp rescore needs."),
    ] = "cosine"
    compat: Annotated[
        Literal["paper", "published"], typer.Option(help="Whose rules: the paper's, or the published program's.")
    ] = "paper"
    text_graph: Annotated[
        Literal["none", "frozen"] | None,
        typer.Option(help="frozen: the random graph network on text features; default: the manifest's."),
    ] = None
    relation: Relation = None
    resize: Annotated[
        Literal["fast", "exact"],
        typer.Option(help="exact: Pillow's own result, here and there a grey level apart."),
    ] = "fast"
    tower: Annotated[
        Literal["torch", "compile", "openvino"] | None,
        typer.Option(
            help="What runs the image tower; default: openvino (aevlp\\[cpu]) on a CPU where it is installed, else torch."
        ),
    ] = None
    batch_size: BatchSize = None
    shard_size: Annotated[int, typer.Option(min=1, help="Images a shard: what an interruption costs at most.")] = 256
    hash_images: Annotated[
        bool, typer.Option("--hash-images", help="Know images by their content instead of size and time of change.")
    ] = False
    workers: Workers = None
    seed: Annotated[int, typer.Option(min=0, help="For random weights and the text graph's.")] = 0
    strict: Annotated[bool, typer.Option(help="Refuse if any image cannot be read.")] = False
    restart: Annotated[bool, typer.Option(help="Delete the cache and its parts, after asking, and start anew.")] = False
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --restart deletes.")] = False
    engine: Annotated[Engine, typer.Option(help="ray: actors on a Ray cluster (aevlp\\[ray]).")] = "local"
    actors: Annotated[int, typer.Option(min=1, help="Ray actors that score.")] = 1
    gpus: Annotated[
        float | None, typer.Option(min=0, help="GPUs an actor, such as 0.5; default: 1 if there is one.")
    ] = None
    max_pixels: MaxPixels = MAX_PIXELS
    statistics_from: Annotated[str | None, PYTHON_ONLY] = None  # where mean and std are from, if not from the caller

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid is not None and self.views is not None:
            raise AevlpError(f"--grid {self.grid} and --views {self.views} both say what the views are: leave one out")

    @property
    def asked_views(self) -> int | str | None:
        """The scheme of views that --grid or --views says, None where neither does."""
        return self.views if self.grid is None else self.grid
