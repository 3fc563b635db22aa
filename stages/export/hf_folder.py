"""A run -> a folder that timm and transformers load: model.safetensors, config.json and a model card.

What no class of theirs holds, a linear classifier of unit vectors, is loaded by transformers alone, with the code that lies
beside its weights.
"""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ...pipeline.errors import AevlpError, in_one_line
from .agreement import Computed
from .deployable import Deployable
from .hf_weights import TimmModel, timm_model
from .model_card import model_card
from .score_thresholds import score_thresholds

CODE = "unit_vector_model"  # a module here, and the file of the folder
PROCESSOR = "preprocessor_config.json"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def write(subject: Deployable, path: Path) -> None:
    """Write a run's classifier for timm and transformers; AevlpError where no class of theirs holds it."""
    model = timm_model(subject.net.classifier, subject.architecture)
    if model.head is not None and find_spec("transformers") is None:
        raise AevlpError("--to hf of a linear run needs transformers: pip install 'aevlp[transformers]'")
    path.mkdir()
    config = _pretrained(subject, model) if model.head is None else _with_code(subject, model, path)
    decision = subject.about.decision
    config["score_thresholds"] = score_thresholds(decision)
    config["aevlp"] = {"decision": decision.to_json(), "provenance": dict(subject.about.provenance)}
    (path / CONFIG).write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")
    prefix = "" if model.head is None else "tower."
    head = {f"classifier.{name}": value for name, value in (model.head or {}).items()}
    weights = {f"{prefix}{name}": value for name, value in model.weights.items()} | head
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    save_file(whole, path / WEIGHTS, metadata={"format": "pt"})
    (path / WEIGHTS).chmod((path / CONFIG).stat().st_mode)  # safetensors lets the owner alone read it
    (path / CARD).write_text(model_card(subject, with_code=model.head is not None), encoding="utf-8")


def load(path: Path) -> Computed:
    """Return what computes the logits of a folder, as timm does, or transformers where it has code of its own."""
    network = _load_with_code(path) if (path / f"{CODE}.py").exists() else _load_timm(path)

    def computed(inputs: np.ndarray) -> tuple[np.ndarray, None]:
        with torch.inference_mode():
            found: Any = network(torch.from_numpy(inputs))
        return getattr(found, "logits", found).numpy(), None

    return computed


def _load_timm(path: Path) -> nn.Module:
    import timm

    try:
        return timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    except Exception as error:  # each model has its own way to refuse weights or arguments
        raise AevlpError(
            f"--to hf: timm cannot hold this classifier ({in_one_line(error, 160)}): pass --to onnx, torch or openvino"
        ) from error


def _load_with_code(path: Path) -> nn.Module:
    """Return the model by the module here, of which the folder has a copy: what lies in a folder is not run."""
    from transformers.utils import logging

    from .unit_vector_model import UnitVectorClassifier

    logging.disable_progress_bar()
    try:
        return UnitVectorClassifier.from_pretrained(path).eval()
    finally:
        logging.enable_progress_bar()


def _pretrained(subject: Deployable, model: TimmModel) -> dict[str, Any]:
    """Return the config.json of a model of timm, which transformers reads too."""
    fed, classes = subject.about.input, subject.about.classes
    return {
        "architecture": model.name,
        "num_classes": len(classes),
        "num_features": model.features,
        "label_names": classes,
        "problem_type": "multi_label_classification",
        "model_args": model.arguments,
        "pretrained_cfg": {
            "input_size": [3, fed.size, fed.size],
            "fixed_input_size": "img_size" in model.arguments,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": list(fed.mean),
            "std": list(fed.std),
            "num_classes": len(classes),
            "classifier": model.classifier,
        },
    }


def _with_code(subject: Deployable, model: TimmModel, path: Path) -> dict[str, Any]:
    """Write the code and the image processor of a classifier of unit vectors, and return its config.json."""
    fed, classes = subject.about.input, subject.about.classes
    shutil.copyfile(Path(__file__).with_name(f"{CODE}.py"), path / f"{CODE}.py")
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": fed.size, "width": fed.size},
        "resample": 2,  # bilinear
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(fed.mean),
        "image_std": list(fed.std),
    }
    (path / PROCESSOR).write_text(json.dumps(processor, indent=1), encoding="utf-8")
    return {
        "model_type": "unit_vector_classifier",
        "architectures": ["UnitVectorClassifier"],
        "auto_map": {
            "AutoConfig": f"{CODE}.UnitVectorConfig",
            "AutoModelForImageClassification": f"{CODE}.UnitVectorClassifier",
        },
        "architecture": model.name,
        "model_args": model.arguments,
        "embedding_width": model.outputs,
        "label_names": classes,
        "id2label": dict(enumerate(classes)),
        "label2id": {name: number for number, name in enumerate(classes)},
        "problem_type": "multi_label_classification",
        "dtype": "float32",
    }
