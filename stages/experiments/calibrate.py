"""A cache and a few labelled images, or class frequencies -> a policy whose constants fit, as a .json file for training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline import policies
from ...pipeline.errors import AevlpError, some
from ...pipeline.labels.codes import POSITIVE, UNKNOWN
from ...pipeline.labels.damp import DampSettings
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.policies import create_policy
from ...pipeline.policies.calibration import (
    expected_by_observed,
    expected_quality,
    fit_quality,
    fit_temperatures,
    fit_thresholds,
    fit_views,
    frequency_thresholds,
    write_policy_file,
)
from ...pipeline.policies.cap import observed_frequencies
from ...pipeline.policies.labelling import label, require_views
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.training.splits import splits
from ..cache_origin import dataset_of
from ..columns import Column, broken, show_columns
from ..console import out, print_result, say
from ..declaration import takes
from ..new_files import check_unused
from ..results import Table
from ..stage_two.own_logits import with_own_logits
from ..stage_two.without_labels import has_no_labels, rows_without_labels
from .class_frequencies import read_frequencies
from .labelled_images import Labelled, labelled_images
from .options import CalibrateOptions

OF_CLASSES = ("threshold", "sigmoid")  # policies with a threshold a class
OBSERVED = "observed"  # instead of a file of frequencies


@dataclass(frozen=True)
class Fit:
    """A policy's constants and, in words, what they were fitted to; title, header and lines of a table that shows them."""

    constants: dict[str, Any]
    fitted_on: str
    title: str
    header: tuple[str, ...]
    lines: list[tuple[Any, ...]]


@dataclass(frozen=True, repr=False)
class Calibration(Table):
    """A policy fitted to a cache, a row for each class, or for each view. path: of the file for training's `policy`."""

    path: Path
    policy: str
    fit: Fit

    @property
    def constants(self) -> dict[str, Any]:
        """The policy's constants."""
        return self.fit.constants

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """What was fitted, and how good it may be expected to be."""
        return [dict(zip(self.fit.header, line, strict=True)) for line in self.fit.lines]

    def summary(self) -> dict[str, Any]:
        """Return the policy, what it was fitted to, and its file."""
        return {"policy": self.policy, "fitted on": self.fit.fitted_on, "path": self.path}

    def to_json(self) -> dict[str, Any]:
        """Return the file, the policy, its constants and the table."""
        made = {"policy": self.policy, "constants": self.constants, "fitted_on": self.fit.fitted_on}
        return {"path": str(self.path), **made, "table": self.rows}


@takes(CalibrateOptions)
def calibrate(options: CalibrateOptions) -> Calibration:
    """Fit a policy's constants, write them as a .json file for training, and return them. No test image is looked at."""
    _check(options)
    cache = open_whole_cache(options.cache)
    require_views(options.policy, policies.reads(options.policy), cache.header, cache.path)
    spec = dataset_of(cache, options.dataset, options.manifest)
    damp = spec.damp.settings(cache.provenance["method"]["compat"])
    constants = _own_constants(options.policy, cache, spec, damp)
    _check_fitted_to(options, cache)
    train = _train(cache, spec)
    labelled = labelled_images(options, cache, train)
    if labelled is not None and len(labelled.rows) == 1:
        given = options.labelled or f"--labelled-truth {options.labelled_truth}"
        raise AevlpError(
            f"{given}: one image cannot calibrate {options.policy}, there is no other to tell whether what it says holds: "
            "label at least two, better a hundred"
        )
    if options.policy in OF_CLASSES:
        fit = _thresholds(options, cache, spec, constants, train, labelled)
    elif options.policy == "view-weights":
        fit = _view_weights(cache, damp, train, labelled)
    else:
        fit = _view_quality(options, cache, damp, train, labelled)
    full = labelled is not None
    write_policy_file(
        options.output, options.policy, fit.constants, cache.classes, cache.fingerprint, fit.fitted_on, full
    )
    return Calibration(options.output, options.policy, fit)


def show(result: Calibration) -> None:
    """Print what was fitted, how good it may be expected to be, and where it is."""
    fit = result.fit
    cells = zip(*fit.lines, strict=True)
    columns = [
        Column(broken(name) if n else name, [_figure(cell) for cell in values], right=n > 0, varies=n > 0)
        for n, (name, values) in enumerate(zip(fit.header, cells, strict=True))
    ]
    show_columns(fit.title, columns, "--json has all")
    out.print(f"fitted on {fit.fitted_on}")
    print_result(result.path, f": train with --policy {result.path}")


def _given(options: CalibrateOptions) -> list[str]:
    """Return the options that say what is fitted to."""
    names = ("labelled", "labelled_truth", "prior")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def _check(options: CalibrateOptions) -> None:
    given = _given(options)
    if len(given) > 1:
        raise AevlpError(f"{' and '.join(given)} exclude each other: give one of them")
    if options.output.suffix != ".json":
        raise AevlpError(f"--output is a .json file, found {options.output}")
    check_unused(options.output)
    if options.policy in ("view-weights", "view-quality"):
        if options.prior is not None or options.temperature != "keep":
            raise AevlpError(
                f"{options.policy} is fitted to labels at the manifest's temperature: leave --prior and --temperature out"
            )
    elif options.policy == "sigmoid" and options.temperature != "keep":
        raise AevlpError("policy sigmoid has the scale of its model and no temperature: leave --temperature out")
    elif options.prior is not None and options.temperature != "keep":
        raise AevlpError("a temperature is fitted to labelled images: leave --temperature out, or give --labelled")


def _check_fitted_to(options: CalibrateOptions, cache: ScoreCache) -> None:
    """Raise AevlpError where nothing is given to fit to that the policy needs, or that the cache has."""
    if has_no_labels(cache) and options.labelled is None and options.prior in (None, OBSERVED):
        why = f"{cache.path}: no image has a label, so {options.policy} has none to be fitted to"
        prior = ", or class frequencies as --prior FILE" if options.policy in OF_CLASSES else ""
        raise AevlpError(f"{why}: give a table of a few labelled images as --labelled FILE{prior}")
    if options.policy in OF_CLASSES and not _given(options):
        raise AevlpError(
            f"{options.policy} is fitted to labelled images or to class frequencies: give --labelled FILE, --labelled-truth "
            f"N, or --prior"
        )


def _train(cache: ScoreCache, spec: DatasetSpec) -> np.ndarray:
    """Return the rows that a training learns from; by those of the validation part it chooses its best epoch."""
    if has_no_labels(cache):
        return rows_without_labels(cache, spec)[0]
    return splits(cache, spec.recipe.val_fraction)[0].rows


def _own_constants(policy: str, cache: ScoreCache, spec: DatasetSpec, damp: DampSettings) -> dict[str, Any]:
    """Return what a policy with thresholds takes unfitted; AevlpError for sigmoid where the cache's model has no bias."""
    if policy != "sigmoid":
        return {"temperature": damp.temperature, "eta": damp.eta}
    said = spec.policies.get("sigmoid", {})
    return with_own_logits("sigmoid", cache, {name: said[name] for name in ("scale", "bias", "tiles") if name in said})


def _thresholds(
    options: CalibrateOptions,
    cache: ScoreCache,
    spec: DatasetSpec,
    own: dict[str, Any],
    train: np.ndarray,
    labelled: Labelled | None,
) -> Fit:
    constants = dict(own)
    if labelled is None:
        frequencies, fitted_on = _frequencies(options, cache, spec, train)
        scores = _scores(options.policy, cache, train, constants)
        thresholds = frequency_thresholds(scores, frequencies)
        expected = expected_by_observed(scores, cache.observed[train], thresholds, frequencies)
        title = "Thresholds by frequency, and what to expect of all labels (estimated from the observed positives)"
        fitted_on = f"{fitted_on} over {len(train):,} training images"
    else:
        if options.temperature != "keep":
            each = options.temperature == "class"
            whole = np.concatenate([cosines[:, 0] for _, cosines in cache.views(labelled.rows)])
            fitted = fit_temperatures(whole, labelled.truth, own["temperature"], each)
            constants |= {"temperatures": fitted.tolist()} if each else {"temperature": float(fitted[0])}
        scores = _scores(options.policy, cache, labelled.rows, constants)
        thresholds = fit_thresholds(scores, labelled.truth)
        if unseen := [cache.classes[c] for c in np.flatnonzero(~(labelled.truth == 1).any(axis=0))]:
            say(
                f"no labelled image shows {some(unseen, 5)}: the threshold there is that which is best for all classes together, "
                f"which may be far off; label images that show them"
            )
        expected = expected_quality(scores, labelled.truth, options.seed)
        title, fitted_on = (
            "Thresholds, and what to expect of all labels, observed ones too (cross-validated)",
            labelled.words,
        )
    header = ("class", "threshold", "expected precision", "expected recall")
    columns = [values.tolist() for values in (thresholds, expected.precision, expected.recall)]
    if "temperatures" in constants:
        header, columns = (*header, "temperature"), [*columns, constants["temperatures"]]
    lines = [
        tuple(None if cell != cell else cell for cell in line) for line in zip(cache.classes, *columns, strict=True)
    ]
    return Fit({**constants, "thresholds": thresholds.tolist()}, fitted_on, title, header, lines)


def _scores(policy: str, cache: ScoreCache, rows: np.ndarray, constants: dict[str, Any]) -> np.ndarray:
    made = create_policy(policy, thresholds=np.zeros(len(cache.classes)).tolist(), **constants)
    return label(cache, rows, made).scores


def _frequencies(
    options: CalibrateOptions, cache: ScoreCache, spec: DatasetSpec, train: np.ndarray
) -> tuple[np.ndarray, str]:
    if options.prior == OBSERVED:
        if spec.expected_positives is None:
            raise AevlpError(
                f"--prior observed needs the number of positives an image: say `expected_positives` under {spec.name} in the "
                f"manifest, or give --prior a file"
            )
        expected = spec.expected_positives
        return observed_frequencies(cache.observed[train], expected), f"{expected:g} positives an image, as observed,"
    path = Path(str(options.prior))
    return read_frequencies(path, cache.classes), f"the class frequencies of {path.name}"


def _view_weights(cache: ScoreCache, damp: DampSettings, train: np.ndarray, labelled: Labelled | None) -> Fit:
    known = labelled or Labelled(
        train, cache.observed[train], f"the observed positives of {len(train):,} training images"
    )
    weights, sureness = fit_views(cache, known.rows, known.truth, damp.temperature)
    constants = {**_codes_constants(damp), "weights": weights.tolist(), "sureness": sureness}
    share = np.exp(weights - weights.max())
    lines = list(zip(_views(cache), weights.tolist(), (share / share.sum()).tolist(), strict=True))
    title = f"Weights of views (sureness {sureness:.3f})"
    return Fit(constants, known.words, title, ("view", "weight", "share"), lines)


def _view_quality(
    options: CalibrateOptions, cache: ScoreCache, damp: DampSettings, train: np.ndarray, labelled: Labelled | None
) -> Fit:
    known = labelled or Labelled(train, cache.observed[train], f"the observed labels of {len(train):,} training images")
    told = np.ones(known.truth.shape, dtype=bool) if labelled else known.truth != UNKNOWN
    present = known.truth == POSITIVE
    network, quality, target = fit_quality(cache, known.rows, present, told, damp.temperature, options.seed)
    lines = list(zip(_views(cache), quality.tolist(), target.tolist(), strict=True))
    title = "Quality of views, and the target it was fitted to (means)"
    return Fit({**_codes_constants(damp), **network}, known.words, title, ("view", "quality", "target"), lines)


def _codes_constants(damp: DampSettings) -> dict[str, Any]:
    return {name: value for name, value in vars(damp).items() if name not in ("eta", "half")}


def _views(cache: ScoreCache) -> list[str]:
    return ["whole image", *(f"tile {n}" for n in range(1, cache.header.views))]


def _figure(cell: Any) -> str:
    return "-" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
