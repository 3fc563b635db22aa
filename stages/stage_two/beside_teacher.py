"""A plan -> how good CLIP is without training on what the run will be evaluated by, and what is said of both at its end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.intervals import FEWEST
from ...pipeline.evaluation.teachers import MULTI_FOCUS, teacher_map, teacher_scores
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.manifest.clip_names import RANDOM
from ..console import say
from .labels_plan import PolicyPlan
from .plan import Plan
from .run import Run
from .teachers import USUAL, scoring_policy, usual_policy

CALLED = {"test": "test", "val": "validation"}


def with_teacher(plan: Plan) -> Plan:
    """Return a plan with its teacher's figures, as settings.json keeps them; as it is where it has them or truth is unknown.

    They are of the test split, of the validation split where there is none.
    """
    cache = plan.cache
    if plan.teacher is not None or cache.truth is None:
        return plan
    name, split = ("test", plan.test) if len(plan.test.rows) else ("val", plan.val)
    policy = scoring_policy(cache, split.rows, plan.policy, usual_policy(cache, plan.spec))
    try:
        [scores] = teacher_scores(cache, split.rows, [policy.create()])
        maps = {name: teacher_map(values, split.truth) for name, values in scores.items()}
    except AevlpError as error:  # of a policy of the user's own, whose labels alone a training needs
        say(f"this training is not compared with CLIP without training: {error}")
        return plan
    return replace(plan, teacher=teacher_figures(name, policy, maps))


def teacher_figures(split: str, policy: PolicyPlan, maps: Mapping[str, float]) -> dict[str, Any]:
    """Return what settings.json keeps: the split, by whose score the views are read, and the mAP of each teacher as fractions."""
    return {"split": split, "policy": {"name": policy.name, "constants": policy.constants}, "maps": dict(maps)}


def against_teacher(plan: Plan, run: Run) -> str:
    """Return whether a finished run beats CLIP without training, and what usually helps where not; "" where that is unknown."""
    if plan.teacher is None or MULTI_FOCUS not in plan.teacher["maps"]:
        return ""
    split, maps = plan.teacher["split"], plan.teacher["maps"]
    mine = run.test_map if split == "test" else run.best_map
    assert mine is not None
    lead, policy = 100 * (mine - maps[MULTI_FOCUS]), plan.teacher["policy"]["name"]
    others = ", ".join(f"{name} {100 * value:.2f}" for name, value in maps.items() if name != MULTI_FOCUS)
    said = (
        f"CLIP without training, {MULTI_FOCUS if policy == USUAL else f'scored by {policy}'}, has {CALLED[split]} mAP "
        f"{100 * maps[MULTI_FOCUS]:.2f} ({others}): this classifier"
    )
    if plan.cache.provenance["clip"]["weights"] == RANDOM:
        said = f"The CLIP has RANDOM weights, these figures mean nothing. {said}"
    positives = ((plan.test if split == "test" else plan.val).truth == POSITIVE).sum(axis=0)
    if few := int((positives < FEWEST).sum()):
        many = f"{few} of {counted(len(positives), 'class', 'classes')}"
        said = f"{many} have fewer than {FEWEST} positives there, too few to be sure of a difference. {said}"
    if lead > 0:
        return f"{said} is {lead:.2f} points better"
    return f"{said} does not beat it, {abs(lead):.2f} points are missing. What usually helps: {_advice(plan)}"


def _advice(plan: Plan) -> str:
    """Return what such a training has not tried, most likely first."""
    recipe, tips = plan.recipe, ["more --epochs"]
    if recipe["backbone"] == "linear":
        tips.append("a --backbone that sees the images, such as clip")
    else:
        tips += ["a pretrained backbone"] * (recipe["weights"] == "random")
        tips.append("a larger image size")
        if recipe["backbone"] != "clip":
            tips.append("--backbone clip, which begins with what CLIP knows")
    if plan.policy is not None:
        tips.append(f"another threshold (aevlp sweep {plan.cache.path} tries some) or another --policy")
    elif "truth" not in plan.loss.reads:
        tips.append("a loss that learns from pseudo-labels, such as gpr")
    return "; ".join(tips)
