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
        "scoring_model": {name: _name(description["clip"][name]) for name in ("model", "weights")},
        "settings": {name: value for name, value in run.settings.items() if name not in NOT_COMPARED},
        "metrics": {**figures, "evaluated_by": run.evaluated_by},
        "exported_with": versions(),
    }


def _name(text: str | None) -> str | None:
    """Return a name as it is, and of a file its own alone."""
    return Path(text).name if text is not None and Path(text).is_absolute() else text
