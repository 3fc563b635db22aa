"""Options, a data set and a cache -> which policy makes the labels, and with which constants."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.losses import LossEntry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import FILE, current, parsed
from ...pipeline.policies.calibration import read_policy_file
from ...pipeline.policies.labelling import require_views
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.sentences import OF_TRUTH, sentences_of
from .learnable import Learnable
from .own_logits import with_own_logits

LABELS = {"pseudo", "scores"}  # what a policy gives a loss to read


@dataclass(frozen=True)
class PolicyPlan:
    """A policy and its constants, checked.

    fitted_on: in words, what they were fitted to, where a file brought them. full_labels: whether that, or what chose the
    sentences that the policy reads, was full labels.
    """

    name: str
    constants: dict[str, Any]
    fitted_on: str | None = None
    full_labels: bool = False

    @property
    def reads_truth(self) -> bool:
        """Whether its labels, or its constants, come from full labels."""
        return self.full_labels or "truth" in self.create().reads

    def create(self) -> policies.Policy:
        """Return the policy, new: what it remembers begins anew."""
        return policies.create_policy(self.name, **self.constants)


def policy_of(
    given: str | None, loss: str, entry: LossEntry, cache: ScoreCache, spec: DatasetSpec
) -> PolicyPlan | None:
    """Return the policy that is asked for, or the loss's own; None where the loss reads no labels of a policy.

    given: a policy's name, with constants as `method_names.parsed` reads them, or a .json file of `aevlp calibrate`. Other
    constants come from that file, else from `policies:` of the manifest's entry; those that a policy has no default for from its
    `damp:`, and the model's own scale and bias from the cache.
    Raises AevlpError for an unknown policy, a file made for another cache, a policy that the loss would not read, and one that
    reads text features which the cache has not.
    """
    if not LABELS & set(entry.reads):
        if given is not None:
            raise AevlpError(
                f"loss {loss} reads no labels of a policy: leave --policy {given} out, or choose another loss"
            )
        return None
    compat = cache.provenance["method"]["compat"]
    asked = parsed(given or entry.policy)
    content = _from_file(Path(asked.name), cache) if asked.name.endswith(FILE) else None
    name, constants = (asked.name, asked.constants) if content is None else (content["policy"], content["constants"])
    name = current(name)
    reads = policies.reads(name)
    plan = policy_with(name, spec, compat, required_constants(name, spec, cache, constants))
    if content is not None:
        plan = replace(plan, fitted_on=content["fitted_on"], full_labels=content["full_labels"])
    if "sentences" in reads and sentences_of(cache).chosen == OF_TRUTH:
        plan = replace(plan, full_labels=True)
    return plan


def required_constants(name: str, spec: DatasetSpec, images: Learnable, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constants given for a policy over the manifest's, with the model's own scale and bias where it takes them.

    Raises AevlpError where the images' cache lacks what the policy reads: vectors of views, full labels, scale and bias.
    """
    reads = policies.reads(name)
    require_views(name, reads, images.header, images.path)
    said = {current(known): constants for known, constants in spec.policies.items()}
    constants = with_own_logits(name, images, {**said.get(name, {}), **given})
    if "truth" in reads and images.truth is None:
        raise AevlpError(
            f"policy {name} needs full labels, and {images.path} has none: pass another --policy, such as damp"
        )
    return constants


def policy_with(name: str, spec: DatasetSpec, compat: str, given: Mapping[str, Any]) -> PolicyPlan:
    """Return a policy with the constants that are given; those it has no default for are the manifest's `damp:`.

    compat: the rules under which the cache was made. Raises AevlpError for an unknown policy, and for constants it does not take.
    """
    policies.check_name(name)
    said = {**spec.damp.model_dump(exclude={"grid"}), "expected_positives": spec.expected_positives}
    takes = policies.constants(name)
    known = {
        constant: said[constant]
        for constant, default in takes.items()
        if default is inspect.Parameter.empty and constant in said
    }
    rules = {"compat": compat, "half": spec.damp.settings(compat).half}
    known |= {name: value for name, value in rules.items() if name in takes}
    plan = PolicyPlan(name, {**known, **given})
    if plan.constants.get("expected_positives", 0) is None and "frequencies" not in given:
        raise AevlpError(
            f"policy {name} needs the number of positives an image: say `expected_positives` under {spec.name} in the manifest"
        )
    plan.create()
    return plan


def _from_file(path: Path, cache: ScoreCache) -> dict[str, Any]:
    """Return what a file of `aevlp calibrate` holds; AevlpError where it was fitted on another cache."""
    content = read_policy_file(path)
    if content["classes"] != cache.classes:
        raise AevlpError(
            f"{path} was fitted for other classes than those of {cache.path}: run aevlp calibrate on this cache"
        )
    if content["cache_fingerprint"] != cache.fingerprint:
        raise AevlpError(
            f"{path} was fitted on another cache than {cache.path}, with other images, labels or scores: run aevlp calibrate on "
            f"this one"
        )
    return content
