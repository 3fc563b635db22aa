"""The end of a training: its validation part chooses calibration and thresholds, which are stored beside the best weights."""

import numpy as np

from ...pipeline.errors import AevlpError, counted
from ...pipeline.evaluation.decide import decide
from ...pipeline.evaluation.decision import Decision
from ...pipeline.evaluation.threshold_rule import parsed
from ...pipeline.evaluation.thresholds import SHRUNK_BY
from ...pipeline.training.run_folder import RunFolder
from ...pipeline.training.splits import evaluated_by
from ..console import say
from .plan import Plan


def is_decided(plan: Plan, folder: RunFolder) -> bool:
    """Return whether the best weights have the decision that a plan asks for, or can have none, which is said."""
    about = folder.decision().about
    if "images" in about and about["rule"] == plan.options.threshold_for:
        return True
    if (kept := folder.logits_files["val"]).exists():
        return False
    say(
        f"{folder.path} has no {kept.name} to choose thresholds by, as runs of earlier versions have none: it labels as before,"
        f" for {about['rule']}"
    )
    return True


def store_decision(plan: Plan, folder: RunFolder) -> None:
    """Choose by the kept validation logits of a run what its options ask for, store it beside the best weights, and say it."""
    asked, before = plan.options.threshold_for, folder.decision().about
    rows, logits = folder.load_logits("val")
    if not np.array_equal(rows, plan.val.rows):
        raise AevlpError(
            f"{folder.logits_files['val']} is of other images than this run's validation part: delete the folder to train it anew"
        )
    decision = decide(
        logits,
        plan.val.truth,
        parsed(asked),
        evaluated_by(plan.cache),
        plan.spec.expected_positives,
        plan.options.seed,
    )
    folder.save_decision(decision)
    settings = folder.settings()
    if settings.get("options", {}).get("threshold_for", asked) != asked:  # which a resumed run asks for
        folder.write_settings({**settings, "options": {**settings["options"], "threshold_for": asked}})
    for line in said(decision):
        say(line)
    if "images" in before and before["rule"] != asked:
        say(f"they were for {before['rule']} before: what was exported from this run keeps those, export it anew")


def said(decision: Decision) -> list[str]:
    """Return what a person should know of the thresholds and the calibration, in lines."""
    about, methods = decision.about, decision.about["method"]
    lines = [_thresholds_said(decision)]
    if about["evaluated_by"] == "observed":
        lines.append("probabilities are not calibrated: observed labels alone would make them too low")
    elif set(methods) != {"none"}:
        kinds = [f"{methods.count(kind)} by {kind}" for kind in ("temperature", "isotonic") if kind in methods]
        lines.append(f"probabilities are calibrated on the validation images, class by class: {', '.join(kinds)}")
    return lines


def _thresholds_said(decision: Decision) -> str:
    about, thresholds = decision.about, decision.thresholds
    if parsed(about["rule"]).kind == "number":  # of which the images say nothing
        return f"labels are given from a probability of {about['rule']} on, as asked"
    counts = np.array(about["positives"])
    few, none = int(((counts > 0) & (counts < SHRUNK_BY)).sum()), int((counts == 0).sum())
    chosen_by = f"{counted(about['images'], 'validation image')}{decision.by}"
    parts = [f"thresholds for {about['rule']}, from {chosen_by}: {thresholds.min():.2f} to {thresholds.max():.2f}"]
    if few:
        parts.append(
            f"{counted(few, 'class', 'classes')} with fewer than {SHRUNK_BY} positives there near the common one"
        )
    if none:
        parts.append(f"{counted(none, 'class', 'classes')} without any at the common one")
    if unreached := about.get("unreached"):
        parts.append(f"{counted(unreached, 'class does', 'classes do')} not reach that precision: the highest there is")
    return "; ".join(parts)
