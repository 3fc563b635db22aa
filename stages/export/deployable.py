"""A run's folder -> what every format is made of: the network, and what the file says of itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.files.stamps import content_sha256
from ...pipeline.runtime.provenance import versions
from ...pipeline.training.classifier import Architecture
from ...pipeline.training.decided import decision_of
from ...pipeline.training.run_folder import NOT_COMPARED, RunFolder
from ..prediction.exported import About, ModelInput
from ..prediction.run_model import pixel_classifier
from ..stage_two.run import Run
from .network import Deployed


@dataclass(frozen=True)
class Deployable:
    """A run that is to be exported. net: in evaluation mode. description: of the best weights."""

    run: Run
    net: Deployed
    architecture: Architecture
    description: dict[str, Any]
    about: About


def deployable(place: Path, preprocessing: bool) -> Deployable:
    """Return a run as it is to be exported; AevlpError where it is none, or has lost what it needs."""
    folder = RunFolder(place)
    classifier, architecture, description = pixel_classifier(folder)
    decision = decision_of(description, folder.best_file)
    fed = ModelInput(architecture.size, architecture.mean, architecture.std, architecture.upright, preprocessing)
    net = Deployed(classifier, fed, decision.calibration).eval().requires_grad_(False)
    run = Run(place)
    about = About(description["classes"], decision, fed, _provenance(run, folder, description))
    return Deployable(run, net, architecture, description, about)


def _provenance(run: Run, folder: RunFolder, description: dict[str, Any]) -> dict[str, Any]:
    """Return what made a run's weights, without the places where things were on the machine that trained it."""
    figures = {"best_epoch": run.best_epoch, "validation_map": run.best_map, "test_map": run.test_map}
    return {
        "run": run.folder.absolute().name,
        "weights_sha256": content_sha256(folder.best_file),
        "cache_fingerprint": description["cache_fingerprint"],
        "scoring_model": {name: _named(description["clip"][name]) for name in ("model", "weights")},
        "settings": _named({name: value for name, value in run.settings.items() if name not in NOT_COMPARED}),
        "metrics": {**figures, "evaluated_by": run.evaluated_by},
        "exported_with": versions(),
    }


def _named(value: Any) -> Any:
    """Return JSON-like values with the names alone of files that are told with their folders."""
    if isinstance(value, dict):
        return {key: _named(of) for key, of in value.items()}
    if isinstance(value, list):
        return [_named(of) for of in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
