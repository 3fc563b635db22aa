"""A run -> a file or a folder that other programs load, compared with PyTorch before it gets its name."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.training.run_folder import RunFolder
from ..console import print_result, say
from ..declaration import takes
from ..new_files import check_unused
from .options import ExportOptions


@dataclass(frozen=True)
class Format:
    """A format. name: of its file or folder. module: with `write` and `load`. packages: that it needs, of the extra `extra`."""

    name: str
    module: str
    packages: tuple[str, ...] = ()
    extra: str = ""


ONNX = ("onnx", "onnxruntime", "onnxscript")
FORMATS = {
    "onnx": Format("model.onnx", "onnx_file", ONNX, "export"),
    "torch": Format("model.pt2", "program"),
    "hf": Format("huggingface", "hf_folder"),
    "openvino": Format("openvino", "openvino_folder", (*ONNX, "openvino"), "export,cpu"),
}


@takes(ExportOptions)
def export(options: ExportOptions) -> Path:
    """Write a run's classifier in another format and return its path: a file for onnx and torch, else a folder.

    It is compared with PyTorch at batches of 1, 3 and 8 first, and written whole or not at all. With `quantize` its loss of
    validation mAP is measured instead. Raises AevlpError where the run cannot be held by the format, where outputs are more
    than 1e-4 apart, where `quantize` costs more than `limit` without `force`, and where something is there already.
    """
    made = FORMATS[options.to]
    target = options.output or _beside(options.run, made, options.quantize)
    _check(options, made, target)
    RunFolder(options.run).require_run()
    check_unused(target)
    from .deployable import deployable

    module = import_module(f".{made.module}", __package__)
    subject = deployable(options.run, options.preprocessing)
    if not subject.run.finished:
        say(f"{options.run} is not finished: its best weights so far are exported, with one threshold for all classes")
    say(f"exporting the best weights of {options.run} to {options.to}")
    if options.quantize is not None:
        from .int8 import write_int8

        write_int8(subject, options, target, module)
        return target
    from .agreement import check_agreement, written_or_refused

    with replacing(target) as temporary, written_or_refused(str(target)):
        module.write(subject, temporary)
        worst = check_agreement(str(target), module.load(temporary), subject)
    say(f"compared with PyTorch at batches of 1, 3 and 8: outputs are {worst:.1e} apart at most")
    return target


def show(place: Path) -> None:
    """Print where the model is, and what comes next."""
    print_result(place, f": aevlp predict {place} IMAGE…" if place.suffix == ".onnx" else "")


def _beside(run: Path, made: Format, quantize: str | None) -> Path:
    name = Path(made.name)
    return run / (f"{name.stem}-{quantize}{name.suffix}" if quantize else name.name)


def _check(options: ExportOptions, made: Format, target: Path) -> None:
    """Raise AevlpError for options that do not go together, and where a package is missing."""
    suffix = Path(made.name).suffix
    if suffix and target.suffix != suffix:
        raise AevlpError(f"--output {target}: expected a {suffix} file for --to {options.to}")
    if not suffix and target.suffix in (".onnx", ".pt2", ".xml", ".bin", ".safetensors"):
        raise AevlpError(f"--output {target}: --to {options.to} writes a folder, expected the name of one")
    if options.to == "hf" and options.preprocessing:
        raise AevlpError("--preprocessing is not for --to hf: timm and transformers resize and normalise by its config")
    if options.quantize and options.to not in ("onnx", "openvino"):
        raise AevlpError(f"--quantize {options.quantize} is for --to onnx and openvino, not {options.to}")
    if options.data_root is not None and not options.quantize:
        raise AevlpError("--data-root goes with --quantize, which reads images: leave it out")
    if options.limit is not None and not options.quantize:
        raise AevlpError("--limit goes with --quantize, which may cost validation mAP: leave it out")
    if options.force and not options.quantize:
        raise AevlpError("--force goes with --quantize, which may cost more than --limit; nothing overwrites a file")
    if absent := [name for name in made.packages if find_spec(name) is None]:
        raise AevlpError(f"--to {options.to} needs {' and '.join(absent)}: pip install 'aevlp[{made.extra}]'")
    if options.quantize and options.to == "openvino" and find_spec("nncf") is None:
        raise AevlpError("--quantize of --to openvino needs nncf: pip install 'aevlp[int8]'")
