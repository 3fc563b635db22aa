"""Names of losses and policies, and constants that are set -> the methods that are trained side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...pipeline import losses
from ...pipeline.errors import AevlpError
from ...pipeline.method_names import file_name, set_constants
from ...pipeline.policies import policy_names
from ..places import run_name
from ..stage_two.asked_methods import asked_loss, asked_policy, check_used
from ..stage_two.labels_plan import LABELS

ALL = "all"


@dataclass(frozen=True)
class Method:
    """A loss and the policy whose labels it reads, None where it reads none; both with constants, as in gpr[q3=0.5].

    named: whether a user named the loss and the policy; False where `all` stands for one of them.
    """

    loss: str
    policy: str | None
    named: bool = field(default=True, compare=False)

    @property
    def title(self) -> str:
        """How it is called."""
        return self.loss + (f"-{self.policy}" if self.policy else "")

    @property
    def name(self) -> str:
        """How its runs are called, and how a user may call it too."""
        return file_name(self.loss) + (f"-{file_name(self.policy)}" if self.policy else "")

    @property
    def short_title(self) -> str:
        """How it is called where each loss stands with its own policy: that is left out, unless it was given constants."""
        return self.title if "[" in (self.policy or "") else self.loss

    @property
    def short_name(self) -> str:
        """How its runs are called there."""
        return self.name if "[" in (self.policy or "") else file_name(self.loss)


def methods_of(names: Sequence[str], policies: Sequence[str] | None, settings: Sequence[str] = ()) -> list[Method]:
    """Return each loss with each policy, or with its own; one that reads no labels of a policy once. `all` names every one.

    settings: constants for all methods of a name, each as in gpr.q3=0.5. Raises AevlpError for a loss that is not known, and for
    a constant of what is not compared or that is set twice.
    """
    given = set_constants(settings)
    listed = dict.fromkeys(loss for name in names for loss in (losses.loss_names() if name == ALL else [name]))
    methods: list[Method] = []
    used: list[str] = []
    every = policies and list(
        dict.fromkeys(of for name in policies for of in (policy_names() if name == ALL else [name]))
    )
    for text in listed:
        loss = asked_loss(text, given, "--losses")
        found = losses.entry(loss.name)
        used.append(loss.name)
        if not LABELS & set(found.reads):
            methods.append(Method(str(loss), None, text in names))
            continue
        for policy in every or [found.policy]:
            labels = asked_policy(policy, given, "--policies")
            used.append(labels.name)
            methods.append(Method(str(loss), str(labels), text in names and (not policies or policy in policies)))
    check_used(given, used)
    methods = list(dict.fromkeys(methods))
    by_folder: dict[str, Method] = {}
    for method in methods:
        if by_folder.setdefault(method.name, method) != method:
            other = by_folder[method.name]
            raise AevlpError(
                f"{method.loss} {method.policy or ''} and {other.loss} {other.policy or ''} would both train into "
                f"{run_name(method.name, 0)}: rename one of the files"
            )
    return methods
