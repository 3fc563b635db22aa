"""A loss, a policy and constants that are set one by one -> the loss and the policy with their constants."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...pipeline import policies
from ...pipeline.errors import AevlpError, given_by
from ...pipeline.losses import check_constants, entry
from ...pipeline.method_names import FILE, MethodName, parsed, set_constants, with_constants
from ...pipeline.plugins import check
from ...pipeline.policies.calibration import read_policy_file
from .labels_plan import LABELS

Given = Mapping[str, Mapping[str, Any]]  # of `set_constants`


def asked_methods(loss: str, policy: str | None, settings: Sequence[str]) -> tuple[MethodName, str | None]:
    """Return the loss, and the policy where one is asked for or gets a constant, with the constants that `settings` gives them.

    loss, policy: as in gpr[q3=0.5]; None for the loss's own policy. settings: each as in gpr.q3=0.5.
    Raises AevlpError for a loss, a policy or a constant that there is not, for a constant of what is not trained with, and one
    that is set both ways; each begins with the option it is about.
    """
    given = set_constants(settings)
    named = asked_loss(loss, given)
    found = entry(named.name)
    reads = policy is not None or LABELS & set(found.reads)
    labels = asked_policy(policy or found.policy, given) if reads else None
    check_used(given, [named.name, *([labels.name] if labels else [])])
    if labels is not None and labels.name.endswith(FILE):
        with given_by("--policy"):
            read_policy_file(Path(labels.name))
    if labels is None or labels.name not in given:
        return named, policy
    return named, str(labels)


def asked_loss(text: str, given: Given, option: str = "--loss") -> MethodName:
    """Return a loss with its constants, and those of `set_constants`; AevlpError where there is no such loss or constant."""
    with given_by(option):
        named = parsed(text)
        check_constants(named.name, named.constants)
    with given_by("--set"):
        check_constants(named.name, given.get(named.name, {}))
    return with_constants(named, given)


def asked_policy(text: str, given: Given, option: str = "--policy") -> MethodName:
    """Return a policy with its constants, as `asked_loss` does; a file is not opened."""
    with given_by(option):
        named = parsed(text)
        if named.name.endswith(FILE):
            return named
        policies.check_name(named.name)
        known = policies.parameters(named.name)
        check(f"policy {named.name}", known, named.constants)
    with given_by("--set"):
        check(f"policy {named.name}", known, given.get(named.name, {}))
    return with_constants(named, given)


def check_used(given: dict, used: Sequence[str]) -> None:
    """Raise AevlpError where `set_constants` gave a constant to what is not trained with, or to a policy from a file."""
    for name, constants in given.items():
        place = f"--set {name}.{next(iter(constants))}"
        if name.endswith(FILE):
            raise AevlpError(f"{place}: the constants of a file are fitted together, none is set beside them")
        if name not in used:
            raise AevlpError(f"{place}: nothing is trained with {name}, only with {', '.join(dict.fromkeys(used))}")
