"""A source -> what it is understood as, its cache, and a classifier trained from that."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.clip.libraries import config_of
from ...pipeline.errors import AevlpError
from ...pipeline.files.locations import location
from ...pipeline.losses import entry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.runtime.device import find_device
from ...pipeline.runtime.ranks import this_rank
from ...pipeline.score_cache import ScoreCache
from ..caches.sentences import make_if_read
from ..console import out, say
from ..declaration import takes
from ..interrupted import keeping
from ..made import note
from ..report.report import REPORT, report
from ..results import Result
from ..stage_one.options import PseudolabelOptions
from ..stage_one.plan import ScoringPlan
from ..stage_one.pseudolabel import score_source
from ..stage_one.scoring_model import asked_for
from ..stage_two.asked_classifier import check_classifier, fetch_weights
from ..stage_two.asked_methods import asked_methods
from ..stage_two.clip_size import asked_size, check_tower_size
from ..stage_two.learnable import ToBeScored
from ..stage_two.options import TrainOptions
from ..stage_two.required_labels import require_methods
from ..stage_two.run import Run
from ..stage_two.train import show as show_training
from ..stage_two.train import train
from ..stage_two.without_labels import NothingToLearn
from .options import RunOptions

WORKERS = 2  # that decode images for training


@dataclass(frozen=True, repr=False)
class NothingTrained(Result):
    """What `run` returns where images were scored, and neither a label nor a pseudo-label is there to learn from."""

    cache: Path
    reason: str
    report: Path | None = None

    @property
    def failed(self) -> str:
        """Why there is no classifier, as which the command ends."""
        return self.reason

    def summary(self) -> dict[str, Any]:
        """Return the cache, and why nothing was trained."""
        return {"cache": self.cache, "reason": self.reason}

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON has it."""
        return {"cache": str(self.cache), "reason": self.reason, "report": self.report and str(self.report)}


@takes(RunOptions)
def run(options: RunOptions) -> Run | NothingTrained:
    """Look at a source, score its images into a cache, and train a classifier from it; return the run.

    What is there already, made with these very settings, is taken as it is. Raises AevlpError as `pseudolabel` and `train` do,
    before anything is written where the source cannot be understood.
    """
    # A mistake is said before a night of scoring, not after it.
    find_device(options.device)
    loss, policy = asked_methods(options.loss, options.policy, options.set or ())
    training, flag = replace(options, weights=options.backbone_weights), "--backbone-weights"
    check_classifier(training, entry(loss.name), weights_flag=flag)

    def check(spec: DatasetSpec) -> None:
        check_classifier(training, entry(loss.name), spec.recipe.backbone, flag)
        if (options.backbone or spec.recipe.backbone) == "clip" and asked_size(spec, training) is not None:
            source = asked_for(options, spec.clip).located(spec.manifest_path.parent)
            check_tower_size(spec, training, config_of(source.model))
        fetch_weights(training, spec, flag)

    def check_plan(path: Path, plan: ScoringPlan) -> None:
        images = ToBeScored(path, plan.header, plan.images.observed, plan.images.truth)
        train = np.flatnonzero(plan.images.split == "train")
        require_methods(loss, entry(loss.name), policy, images, train, plan.spec)

    scoring = PseudolabelOptions(**_of(PseudolabelOptions, options, batch_size=None))
    cache = note(score_source(scoring, check, check_plan))
    make_if_read(cache, options.policy, options.device)
    try:
        with keeping(f"{cache.path} is kept; the same command resumes"):
            trained = train(**_training(cache, options))
    except NothingToLearn as nothing:
        return NothingTrained(cache.path, str(nothing), _reported(cache.path))
    _reported(trained.folder)
    return trained


def _reported(source: Path) -> Path | None:
    """Write the page of a run or a cache, in the first process alone; that it cannot be written costs no training."""
    if not this_rank().first:
        return None
    try:
        return report(source)
    except AevlpError as error:
        say(f"no report was written: {error}")
        return None


def show(result: Run | NothingTrained) -> None:
    """Print what was made, and what to do next."""
    if not this_rank().first:
        return
    if isinstance(result, NothingTrained):
        out.print(f"{result.cache}: scored; nothing was trained, as there is neither a label nor a pseudo-label")
        if result.report is not None:
            out.print(f"a page to look at: {result.report}")
        out.print(f"next: aevlp inspect {result.cache} · the same command with a table of labels as SOURCE")
        return
    show_training(result)
    if (page := result.folder / REPORT).is_file():
        out.print(f"a page to look at: {page}")
    cache = result.settings["cache"]
    compare = (
        "" if result.test_map is None else f" · aevlp compare {_shown(cache)} --losses an,gr,gpr"
    )  # by the test split
    out.print(f"also: aevlp inspect {_shown(cache)}{compare}")


def _of(kind: type, options: RunOptions, **instead: Any) -> dict[str, Any]:
    return {**{field.name: getattr(options, field.name) for field in fields(kind)}, **instead}


def _training(cache: ScoreCache, options: RunOptions) -> dict[str, Any]:
    return _of(
        TrainOptions,
        options,
        cache=cache.path,
        weights=options.backbone_weights,
        workers=WORKERS if options.workers is None else options.workers,
        dataset=None,
        manifest=None,
        data_root=None,
    )


def _shown(path: str) -> Path:
    found = location(path)
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found
