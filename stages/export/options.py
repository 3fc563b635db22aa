"""What `aevlp export` is asked for."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..declaration import Options
from ..option_types import DataRoot, Run

To = Literal["onnx", "torch", "hf", "openvino"]


@dataclass(frozen=True)
class ExportOptions(Options):
    """Write a trained classifier as a file or a folder that other programs load, compared with PyTorch first."""

    run: Run
    _: KW_ONLY
    to: Annotated[
        To, typer.Option(help="The format: ONNX, a torch.export program, a Hugging Face folder, or OpenVINO.")
    ]
    output: Annotated[
        Path | None, typer.Option(help="The file or folder to write; default: in the run's folder, such as model.onnx.")
    ] = None
    preprocessing: Annotated[
        bool,
        typer.Option("--preprocessing", help="Have the model resize and normalise: its input is uint8 (B, H, W, 3)."),
    ] = False
    quantize: Annotated[
        Literal["int8"] | None, typer.Option(help="Compute in whole numbers of 8 bits: smaller, faster, less exact.")
    ] = None
    limit: Annotated[
        float | None,
        typer.Option(min=0, metavar="POINTS", help="Points of validation mAP that --quantize may cost; default: 1."),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Write it though --quantize costs more than --limit.")] = False
    data_root: DataRoot = None
