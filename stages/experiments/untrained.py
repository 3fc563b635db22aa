"""The data of several trainings and the policies they read -> CLIP without training on the same test images, a row each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...pipeline.evaluation.intervals import map_interval
from ...pipeline.evaluation.teachers import MULTI_FOCUS
from ..stage_two.beside_teacher import teacher_figures
from ..stage_two.labels_plan import PolicyPlan
from ..stage_two.plan import Plan, TrainingData
from ..stage_two.teachers import TeacherRow, judged_teachers, scoring_policy, usual_policy
from .methods import Method
from .results import ends


@dataclass(frozen=True)
class Untrained:
    """CLIP without training on the test split; nothing where the full truth is not known.

    rows: a row for each teacher, those of policies that score alike once. own: of each method, its teachers by their names.
    policies: by whose score each method's teacher reads the views.
    """

    rows: list[TeacherRow] = field(default_factory=list)
    own: dict[Method, dict[str, TeacherRow]] = field(default_factory=dict)
    policies: dict[Method, PolicyPlan] = field(default_factory=dict)

    def of(self, method: Method) -> TeacherRow | None:
        """Return the teacher that a method is compared with: the score of its own policy."""
        return self.own.get(method, {}).get(MULTI_FOCUS)

    def told(self, method: Method, plan: Plan) -> Plan:
        """Return a method's plan with its teacher's figures, so that no training reads the cosines for them again."""
        if method not in self.own:
            return plan
        maps = {name: row.map for name, row in self.own[method].items()}
        return replace(plan, teacher=teacher_figures("test", self.policies[method], maps))

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each teacher as results.json has it: mAP and its interval as fractions."""
        return [
            {
                "teacher": row.name,
                "title": row.title,
                "policy": row.policy,
                "mean": row.map,
                **ends("interval", map_interval(row.judged)),
            }
            for row in self.rows
        ]


def untrained(data: TrainingData, policies: Mapping[Method, Mapping[str, Any] | None]) -> Untrained:
    """Return CLIP without training on the test split, by the score of damp and of each other policy; the cosines are read once.

    policies: of each method, the policy as settings.json of a run has it, None where it reads none.
    """
    cache, test = data.cache, data.test
    if cache.truth is None or not len(test.rows):
        return Untrained()
    usual = usual_policy(cache, data.spec)
    scoring: dict[Method, PolicyPlan] = {}
    wanted = [(usual.name, usual)]
    for method, policy in policies.items():
        own = None if policy is None else PolicyPlan(policy["name"], policy["constants"])
        scoring[method] = scoring_policy(cache, test.rows, own, usual)
        is_own = method.policy is not None and scoring[method] is own
        wanted.append((method.policy if is_own and method.policy else usual.name, scoring[method]))
    rows, own_rows = judged_teachers(cache, test, wanted)
    return Untrained(rows, dict(zip(policies, own_rows[1:], strict=True)), scoring)
