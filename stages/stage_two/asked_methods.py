"""A loss, a policy and constants that are set one by one -> the loss and the policy with their constants."""

from collections.abc import Sequence

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.losses import check_constants, entry
from ...pipeline.method_names import FILE, MethodName, parsed, set_constants, with_constants
from ...pipeline.plugins import check
from .labels_plan import LABELS


def asked_methods(loss: str, policy: str | None, settings: Sequence[str]) -> tuple[MethodName, str | None]:
    """Return the loss, and the policy where one is asked for or gets a constant, with the constants that `settings` gives them.

    loss, policy: as in gpr[q3=0.5]; None for the loss's own policy. settings: each as in gpr.q3=0.5.
    Raises AevlpError for a loss that is not known, for a constant of what is not trained with, and one that is set both ways.
    """
    given = set_constants(settings)
    named = with_constants(parsed(loss), given)
    found = entry(named.name)
    labels = parsed(policy or found.policy) if policy or LABELS & set(found.reads) else None
    check_used(given, [named.name, *([labels.name] if labels else [])])
    if labels is None or labels.name not in given:
        return named, policy
    return named, str(with_constants(labels, given))


def check_asked(loss: str, policy: str | None, settings: Sequence[str]) -> None:
    """Raise AevlpError for a loss, a policy or a constant that there is not, before any work is done; none is imported twice."""
    named, labels = asked_methods(loss, policy, settings)
    check_constants(named.name, named.constants)
    if labels is not None and not parsed(labels).name.endswith(FILE):
        chosen = parsed(labels)
        check(f"policy {chosen.name}", policies.parameters(chosen.name), chosen.constants)


def check_used(given: dict, used: Sequence[str]) -> None:
    """Raise AevlpError where `set_constants` gave a constant to what is not trained with, or to a policy from a file."""
    for name, constants in given.items():
        place = f"--set {name}.{next(iter(constants))}"
        if name.endswith(FILE):
            raise AevlpError(f"{place}: the constants of a file are fitted together, none is set beside them")
        if name not in used:
            raise AevlpError(f"{place}: nothing is trained with {name}, only with {', '.join(dict.fromkeys(used))}")
