"""Names of losses and policies -> the methods that are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...pipeline import losses
from ...pipeline.errors import AevlpError
from ..stage_two.labels_plan import LABELS
from .trainings import file_name

ALL = "all"


@dataclass(frozen=True)
class Method:
    """A loss and the policy whose labels it reads, None where it reads none."""

    loss: str
    policy: str | None

    @property
    def name(self) -> str:
        """How its runs are called, and how a user may call it."""
        return file_name(self.loss) + (f"-{file_name(self.policy)}" if self.policy else "")


def methods_of(names: Sequence[str], policies: Sequence[str] | None) -> list[Method]:
    """Return each loss with each policy, or with its own; one that reads no labels of a policy once. `all` names every loss."""
    named = [name for given in names for name in (losses.loss_names() if given == ALL else [given])]
    methods = []
    for name in dict.fromkeys(named):
        found = losses.entry(name)
        reads = LABELS & set(found.reads)
        methods += [Method(name, policy) for policy in (dict.fromkeys(policies or [found.policy]) if reads else [None])]
    by_name: dict[str, Method] = {}
    for method in methods:
        if by_name.setdefault(method.name, method) != method:
            other = by_name[method.name]
            raise AevlpError(
                f"{method.loss} {method.policy or ''} and {other.loss} {other.policy or ''} would both train into "
                f"{method.name}-seed0: rename one of the files"
            )
    return methods
