"""What `aevlp run` may be told: whatever stage one and training may."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

import typer

from ..declaration import PYTHON_ONLY
from ..option_types import Weights
from ..stage_one.options import PseudolabelOptions
from ..stage_two.options import TrainOptions


@dataclass(frozen=True)
class RunOptions(PseudolabelOptions, TrainOptions):  # pyright: ignore[reportIncompatibleVariableOverride]
    """From images to a classifier: look at SOURCE, score it once, train from the scores; the same command again resumes.

    Of what both stages have under one name, `weights` is the CLIP's and `batch_size` the training's.
    """

    _: KW_ONLY
    backbone_weights: Weights = None
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images a step of training; as many as fit are scored at a time.")
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0
    resume: Annotated[bool, PYTHON_ONLY] = False  # which it does anyway
