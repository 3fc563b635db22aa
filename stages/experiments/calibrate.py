"""A cache and a few labelled images, or class frequencies -> a policy whose constants fit, as a .json file for training."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.datasets import table as tables
from ...pipeline.datasets.faults import refuse
from ...pipeline.errors import AevlpError, unknown_name
from ...pipeline.labels.damp import DampSettings
from ...pipeline.manifest.formats import DatasetSpec, TableSpec
from ...pipeline.policies.calibration import (
    expected_by_observed,
    expected_quality,
    fit_temperatures,
    fit_thresholds,
    fit_views,
    frequency_thresholds,
    write_policy_file,
)
from ...pipeline.policies.cap import observed_frequencies
from ...pipeline.policies.labelling import label
from ...pipeline.policies.threshold import Threshold
from ...pipeline.runtime.seeding import derive
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.training.splits import splits
from ..cache_origin import dataset_of
from ..console import out, print_json, print_result, print_table, say
from ..new_files import check_unused

POLICIES = ("threshold", "view-quality")
TEMPERATURES = ("keep", "one", "class")
OBSERVED = "observed"  # instead of a file of frequencies


@dataclass(frozen=True)
class Options:
    """What the command line may say.

    policy: of `POLICIES`. labelled: a table of images with all their labels. labelled_truth: so many training images drawn
    instead, whose truth the cache knows. prior: a CSV of class frequencies, or "observed". temperature: of `TEMPERATURES`.
    """

    cache: Path
    policy: str
    labelled: Path | None = None
    labelled_truth: int | None = None
    prior: str | None = None
    temperature: str = "keep"
    output: Path = Path("policy.json")
    seed: int = 0
    dataset: str | None = None
    manifest: Path | Sequence[Path] | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Labelled:
    """Rows of the training split, ascending, and their full labels (n, C); what they are, in words."""

    rows: np.ndarray
    truth: np.ndarray
    words: str


@dataclass(frozen=True)
class Fit:
    """A policy's constants and, in words, what they were fitted to; title, header and lines of a table that shows them."""

    constants: dict[str, Any]
    fitted_on: str
    title: str
    header: tuple[str, ...]
    lines: list[tuple[Any, ...]]


def run(options: Options) -> Path:
    """Fit, print what was fitted and how good it may be expected to be, write it; return where. No test image is looked at."""
    _check(options)
    cache = open_whole_cache(options.cache)
    spec = dataset_of(cache, options.dataset, options.manifest)
    damp = spec.damp.settings(cache.provenance["method"]["compat"])
    train = splits(cache, spec.recipe.val_fraction)[0].rows  # the validation part chooses the best epoch
    labelled = _labelled(options, cache, train)
    if labelled is not None and len(labelled.rows) == 1:
        given = options.labelled or f"--labelled-truth {options.labelled_truth}"
        raise AevlpError(
            f"{given}: one image cannot calibrate {options.policy}, there is no other to tell whether what it says holds: "
            "label at least two, better a hundred"
        )
    if options.policy == "threshold":
        fit = _thresholds(options, cache, spec, damp, train, labelled)
    else:
        fit = _view_quality(cache, damp, train, labelled)
    write_policy_file(
        options.output,
        options.policy,
        fit.constants,
        cache.classes,
        cache.fingerprint,
        fit.fitted_on,
        labelled is not None,
    )
    if options.as_json:
        table = [dict(zip(fit.header, line, strict=True)) for line in fit.lines]
        made = {"policy": options.policy, "constants": fit.constants, "fitted_on": fit.fitted_on, "table": table}
        print_json({"path": str(options.output), **made})
        return options.output
    lines = [[_figure(cell) for cell in line] for line in fit.lines]
    print_table(fit.title, fit.header, lines, right=range(1, len(fit.header)))
    out.print(f"fitted on {fit.fitted_on}")
    print_result(options.output, f": train with --policy {options.output}")
    return options.output


def _check(options: Options) -> None:
    if options.policy not in POLICIES:
        raise unknown_name("policy to calibrate", options.policy, POLICIES)
    if options.temperature not in TEMPERATURES:
        raise unknown_name("way to find the temperature", options.temperature, TEMPERATURES)
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("labelled", "labelled_truth", "prior")
        if getattr(options, name) is not None
    ]
    if len(given) > 1:
        raise AevlpError(f"{' and '.join(given)} exclude each other: give one of them")
    if options.output.suffix != ".json":
        raise AevlpError(f"--output is a .json file, found {options.output}")
    check_unused(options.output)
    if options.policy == "view-quality":
        if options.prior is not None or options.temperature != "keep":
            raise AevlpError(
                "view-quality is fitted to positives at the manifest's temperature: leave --prior and --temperature out"
            )
    elif not given:
        raise AevlpError(
            "threshold is fitted to labelled images or to class frequencies: give --labelled FILE, --labelled-truth N, or --prior"
        )
    elif options.prior is not None and options.temperature != "keep":
        raise AevlpError("a temperature is fitted to labelled images: leave --temperature out, or give --labelled")


def _labelled(options: Options, cache: ScoreCache, train: np.ndarray) -> Labelled | None:
    if options.labelled is not None:
        return _from_table(options.labelled, cache, train)
    if options.labelled_truth is None:
        return None
    if cache.truth is None:
        raise AevlpError(f"--labelled-truth needs full labels, and {cache.path} has none: give --labelled FILE")
    count = options.labelled_truth
    if not 1 <= count <= len(train):
        raise AevlpError(
            f"--labelled-truth must be from 1 to the number of scored training images, {len(train):,}, found {count}"
        )
    random = np.random.default_rng(derive(options.seed, "labelled"))
    rows = np.sort(random.choice(train, size=count, replace=False))
    return Labelled(rows, cache.truth[rows], f"{count:,} training images whose truth is known, seed {options.seed}")


def _from_table(path: Path, cache: ScoreCache, train: np.ndarray) -> Labelled:
    if not path.is_file():
        raise AevlpError(f"no labelled images {path}: expected a table with the columns image and labels")
    spec = TableSpec(title="labelled images", format="table", table=path.name, classes=tuple(cache.classes))
    listings = tables.read(spec.placed(path.name, path), path.parent, refuse)
    if not listings.complete:
        why = listings.remarks[0].text
        raise AevlpError(f"{path}: some labels are not known, and a labelled image needs all of them: {why}")
    listing = listings.splits["train"]
    row_of = {name: row for row, name in enumerate(cache.ids.tolist())}
    if strange := [name for name in listing.ids if name not in row_of]:
        raise AevlpError(f"{path}: {len(strange):,} images are not in {cache.path}, first {strange[0]!r}")
    rows = np.array([row_of[name] for name in listing.ids], dtype=np.int64)
    if (held := cache.split[rows] != "train").any():
        raise AevlpError(
            f"{path}: {held.sum():,} images are of the test split, first {listing.ids[int(held.argmax())]!r}: label images of "
            f"the training split, the test split is there to judge by"
        )
    scored = cache.status[rows] == "ok"
    if not scored.all():
        say(f"{path}: {(~scored).sum():,} images could not be scored and are left out")
    if judges := int((scored & ~np.isin(rows, train)).sum()):
        say(f"{path}: {judges:,} images are of the validation part, by which training chooses the best epoch")
    order = np.argsort(rows[scored])
    return Labelled(rows[scored][order], listing.labels[scored][order], f"{scored.sum():,} images of {path.name}")


def _thresholds(
    options: Options,
    cache: ScoreCache,
    spec: DatasetSpec,
    damp: DampSettings,
    train: np.ndarray,
    labelled: Labelled | None,
) -> Fit:
    constants: dict[str, Any] = {"temperature": damp.temperature, "eta": damp.eta}
    if labelled is None:
        frequencies, fitted_on = _frequencies(options, cache, spec, train)
        scores = _scores(cache, train, constants)
        thresholds = frequency_thresholds(scores, frequencies)
        expected = expected_by_observed(scores, cache.observed[train], thresholds, frequencies)
        title = "Thresholds by frequency, and what to expect of all labels (estimated from the observed positives)"
        fitted_on = f"{fitted_on} over {len(train):,} training images"
    else:
        if options.temperature != "keep":
            each = options.temperature == "class"
            whole = np.concatenate([cosines[:, 0] for _, cosines in cache.views(labelled.rows)])
            fitted = fit_temperatures(whole, labelled.truth, damp.temperature, each)
            constants |= {"temperatures": fitted.tolist()} if each else {"temperature": float(fitted[0])}
        scores = _scores(cache, labelled.rows, constants)
        thresholds = fit_thresholds(scores, labelled.truth)
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


def _scores(cache: ScoreCache, rows: np.ndarray, constants: dict[str, Any]) -> np.ndarray:
    return label(cache, rows, Threshold(thresholds=np.zeros(len(cache.classes)).tolist(), **constants)).scores


def _frequencies(options: Options, cache: ScoreCache, spec: DatasetSpec, train: np.ndarray) -> tuple[np.ndarray, str]:
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


def read_frequencies(path: Path, classes: Sequence[str]) -> np.ndarray:
    """Return the frequency (C,) float64 in [0, 1] of every class from a CSV with the columns class and frequency.

    Raises AevlpError where the file is none, and where a class is unknown, named twice or missing.
    """
    found: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := [name for name in ("class", "frequency") if name not in (reader.fieldnames or ())]:
                raise AevlpError(f"{path}: expected the columns class and frequency, there is no {missing[0]}")
            for record in reader:
                where, name = f"{path}, line {reader.line_num}", record["class"]
                if name not in classes:
                    raise AevlpError(f"{where}: {unknown_name('class', str(name), classes)}")
                if name in found:
                    raise AevlpError(f"{where}: the class {name} stands there twice")
                found[name] = _share(record["frequency"], where)
    except UnicodeDecodeError as error:
        raise AevlpError(f"{path}: not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise AevlpError(f"{path}: not a valid .csv file: {error}") from error
    except OSError as error:
        raise AevlpError(
            f"cannot read the class frequencies {path}: {error.strerror or error}; give a .csv file, or observed"
        ) from error
    if missing := [name for name in classes if name not in found]:
        raise AevlpError(f"{path}: {len(missing)} classes have no frequency, first {missing[0]}")
    return np.array([found[name] for name in classes])


def _share(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise AevlpError(f"{where}: a frequency is a share of the images, from 0 to 1, found {text!r}")
    return value


def _view_quality(cache: ScoreCache, damp: DampSettings, train: np.ndarray, labelled: Labelled | None) -> Fit:
    observed = Labelled(train, cache.observed[train], f"the observed positives of {len(train):,} training images")
    known = labelled or observed
    weights, sureness = fit_views(cache, known.rows, known.truth, damp.temperature)
    constants = {
        **{name: value for name, value in vars(damp).items() if name not in ("eta", "half")},
        "weights": weights.tolist(),
        "sureness": sureness,
    }
    share = np.exp(weights - weights.max())
    names = ["whole image", *(f"tile {n}" for n in range(1, len(weights)))]
    lines = list(zip(names, weights.tolist(), (share / share.sum()).tolist(), strict=True))
    title = f"Weights of views (sureness {sureness:.3f})"
    return Fit(constants, known.words, title, ("view", "weight", "share"), lines)


def _figure(cell: Any) -> str:
    return "-" if cell is None else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
