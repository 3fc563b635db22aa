"""CLIP without training on a split of a cache: by whose score it reads the views, and what the split says of that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.intervals import Judged, judge
from ...pipeline.evaluation.teachers import TEACHERS, has_scores, teacher_scores
from ...pipeline.losses import entry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.splits import Split
from .labels_plan import PolicyPlan, policy_of

USUAL = "damp"


@dataclass(frozen=True)
class TeacherRow:
    """A teacher on a split. name: of `TEACHERS`. policies: what those are called whose score it is; () where it is of none."""

    name: str
    policies: tuple[str, ...]
    judged: Judged

    @property
    def title(self) -> str:
        """How a table calls it; the score of damp, the usual one, by the name of the teacher alone."""
        return f"CLIP, {self.name if not self.policies or USUAL in self.policies else ', '.join(self.policies)}"

    @property
    def policy(self) -> str | None:
        """The policies in a line, None where there is none."""
        return ", ".join(self.policies) or None

    @property
    def map(self) -> float:
        """Its mAP, in [0, 1]."""
        return float(self.judged.maps[0])


def usual_policy(cache: ScoreCache, spec: DatasetSpec) -> PolicyPlan:
    """Return the policy whose score counts where a training reads none: damp, as the manifest has it."""
    found = policy_of(USUAL, "gpr", entry("gpr"), cache, spec)
    assert found is not None  # that loss reads labels of a policy
    return found


def scoring_policy(cache: ScoreCache, rows: np.ndarray, own: PolicyPlan | None, usual: PolicyPlan) -> PolicyPlan:
    """Return a training's own policy where it scores these rows by their cosines, else the usual one.

    There is none of its own where the loss reads none, where a policy labels by predictions or the truth, and where its file is
    gone or was fitted to other classes.
    """
    try:
        return own if own is not None and has_scores(cache, rows, own.create()) else usual
    except AevlpError:
        return usual


def judged_teachers(
    cache: ScoreCache, split: Split, wanted: Sequence[tuple[str, PolicyPlan]]
) -> tuple[list[TeacherRow], list[dict[str, TeacherRow]]]:
    """Return a row for each teacher on a split, and for each policy its rows by the name of the teacher.

    wanted: how a policy is called, and the policy; those that score alike share a row, and the cosines are read once for all.
    """
    plans: list[PolicyPlan] = []
    for _, plan in wanted:
        if plan not in plans:
            plans.append(plan)
    scores = teacher_scores(cache, split.rows, [plan.create() for plan in plans])
    rows: list[TeacherRow] = []
    own: list[dict[str, TeacherRow]] = [{} for _ in wanted]
    for name, teacher in TEACHERS.items():
        alike: list[tuple[np.ndarray, list[int]]] = []  # scores, and the places in `wanted` of those that give them
        for place, (_, plan) in enumerate(wanted):
            values = scores[plans.index(plan)].get(name)
            if values is None:
                continue
            places = next((at for of, at in alike if of is values or np.array_equal(of, values)), None)
            if places is None:
                alike.append((values, [place]))
            else:
                places.append(place)
        for values, places in alike:
            called = dict.fromkeys(wanted[place][0] for place in places) if teacher.of_policy else ()
            rows.append(TeacherRow(name, tuple(called), judge([values], split.truth)))
            for place in places:
                own[place][name] = rows[-1]
    return rows, own
