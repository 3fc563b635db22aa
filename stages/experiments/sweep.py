"""Caches -> how good the labels of policies are over grids of settings, and which setting the manifest should have."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...pipeline import policies
from ...pipeline.errors import AevlpError, counted
from ...pipeline.labels.added import may_show_more
from ...pipeline.manifest.editing import set_in_manifest
from ...pipeline.manifest.formats import PACKAGED, DatasetSpec
from ...pipeline.method_names import parsed, set_constants, with_constants
from ...pipeline.policies.sweeping import best, check_swept, default_grid, figures, settings_of, tabulate
from ...pipeline.runtime.provenance import versions
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ...pipeline.score_cache.provenance import views_of
from ...pipeline.training.splits import splits
from ..cache_origin import dataset_of
from ..console import out, say
from ..declaration import takes
from ..new_files import check_unused
from ..results import Table
from .options import SweepOptions
from .other_views import require_other_views, together
from .sweep_table import HIDDEN, setting_rows, show_sweep, write_settings

FEW = 50  # validation images, by which a setting is chosen
F1 = "F1 on the validation part"
ESTIMATE = (
    "observed recall² / share of entries labelled positive, on the validation part (Lee and Liu 2003): an estimate, for "
    "want of the truth"
)


@dataclass(frozen=True, repr=False)
class Sweep(Table):
    """How good the labels of each setting are, the best by the validation part first.

    record: all that is known, as an `output` has it. top: how many settings are shown. output: where all were written.
    """

    record: dict[str, Any]
    top: int = 10
    output: Path | None = None

    def __fspath__(self) -> str:
        if self.output is None:
            raise AevlpError("this sweep is in no file: pass output= to aevlp.sweep, as in output='sweep.json'")
        return str(self.output)

    @property
    def recommended(self) -> dict[str, Any]:
        """The recommended policy, its constants, its figures on each part, and a line for the manifest."""
        return self.record["recommended"]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """Views, policy, constants, whether they are the manifest's own, merit, and figures as <part>_<figure>."""
        return setting_rows(self.record)

    def summary(self) -> dict[str, Any]:
        """Return the recommendation."""
        return {"settings": self.record["settings"], "recommended": self.recommended["line"]}

    def to_json(self) -> dict[str, Any]:
        """Return what is known of the best settings and of the recommendation."""
        return {**self.record, "results": self.record["results"][: self.top]}


@takes(SweepOptions)
def sweep(options: SweepOptions) -> Sweep:
    """Measure the labels of every setting, recommend one by the validation part, and write it where that is asked for.

    Raises AevlpError, before a cosine is read, for a policy, constant or value that cannot be swept, another kind of file, and a
    recommendation that is to be written into the packaged manifest.
    """
    if options.output is not None and options.output.suffix not in (".csv", ".json"):
        raise AevlpError(f"--output must end in .csv or .json, found {options.output}")
    if options.output is not None:
        check_unused(options.output)
    grid = parsed_grid(options.grid or ())
    caches = [open_whole_cache(path) for path in (options.cache, *(options.others or ()))]
    if options.apply and len(caches) > 1:
        raise AevlpError("--apply writes the constants of one cache: pass the one that is recommended alone")
    require_other_views(caches)
    cache = caches[0]
    for each in caches:
        say(f"{each.path}: {counted(len(each), 'image')}, {counted(len(each.classes), 'class', 'classes')}")
    spec = dataset_of(cache, options.dataset, options.manifest)
    if options.apply and spec.manifest_path == PACKAGED:
        raise AevlpError(
            f"--apply writes into a manifest of your own, and {spec.name} stands in the packaged one: copy its entry "
            f"`{spec.name}:` below `datasets:` of a file of your own, and pass that as --manifest"
        )
    record = together([swept(each, spec, options.policies, grid, options.set or ()) for each in caches])
    if (judged_by := record["images"]["val"]) < FEW:
        say(
            f"only {counted(judged_by, 'validation image')}, with fewer than {FEW} the recommended setting may be chance"
        )
    if options.output is not None:
        write_settings(options.output, record)
    if options.apply:
        record["applied"] = _applied(record["recommended"], spec)
    return Sweep(record, options.top, options.output)


def show(result: Sweep) -> None:
    """Print the best settings, a line for the manifest, and what was written."""
    show_sweep(result.record, result.top)
    if result.output is not None:
        out.print(f"{result.output}: all {len(result.rows):,} settings")


def parsed_grid(given: Sequence[str]) -> dict[str, list[float]]:
    """Return constant -> values of "constant=value,value" texts; AevlpError for anything else, and a constant given twice."""
    grid: dict[str, list[float]] = {}
    for text in given:
        name, sign, values = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise AevlpError(f"--grid takes a constant and its values, as in temperature=0.05,0.09, found {text!r}")
        if name in grid:
            raise AevlpError(f"--grid names {name} twice: give all its values in one, as in {name}=1,2")
        try:
            grid[name] = [int(value) if value.strip().isdecimal() else float(value) for value in values.split(",")]
        except ValueError as error:
            raise AevlpError(f"the values of --grid {name} must be numbers with commas, found {values!r}") from error
        if not all(map(math.isfinite, grid[name])):
            raise AevlpError(f"the values of --grid {name} must be finite, found {values!r}")
    return grid


def swept(
    cache: ScoreCache,
    spec: DatasetSpec,
    policies_asked: Sequence[str],
    grid: Mapping[str, Sequence[float]],
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return every setting's figures, best first, and the one that the validation part recommends.

    policies_asked: with constants that are held. grid: values of constants, each taken by the policies that have it; empty for
    the default grid. settings: constants that are held too, each as in damp.top_k=2.
    """
    # Here, as below: the first line should not wait until torch is imported.
    from ..stage_two.asked_methods import check_used

    _require_something_hidden(cache)
    given = set_constants(settings)
    asked = {str(method): method for method in (with_constants(parsed(name), given) for name in policies_asked)}
    check_used(given, [method.name for method in asked.values()])
    for text, method in asked.items():
        if held := sorted(set(grid) & set(method.constants)):
            raise AevlpError(f"--grid {held[0]}: {text} holds that constant, leave one of them out")
    owns = {name: _own(name, cache, spec) for name in asked}
    for constant, values in grid.items():
        taking = [own for own in owns.values() if constant in own and constant not in HIDDEN]
        if not taking:
            known = sorted({known for own in owns.values() for known in own if known not in HIDDEN})
            raise AevlpError(
                f"--grid {constant}: no constant of {', '.join(asked)} is called that, they have {', '.join(known)}"
            )
        if any(isinstance(own[constant], int) for own in taking) and not all(float(v).is_integer() for v in values):
            raise AevlpError(f"--grid {constant}: expected whole numbers, found {', '.join(map(str, values))}")
    grids = {
        name: {key: [type(own[key])(value) for value in values] for key, values in grid.items() if key in own}
        or default_grid(_without(own, asked[name].constants), len(cache.classes))
        for name, own in owns.items()
    }
    tried = {name: settings_of(asked[name].name, own, grids[name]) for name, own in owns.items()}

    views = str(views_of(cache.provenance))
    train, val, test = splits(cache, spec.recipe.val_fraction)
    parts = {"train": train.rows, "val": val.rows, **({"test": test.rows} if len(test.rows) else {})}
    results, recommended = [], []
    for name, constants in tried.items():
        tables = tabulate(cache, asked[name].name, constants, list(parts.values()))
        judged = [
            {part: figures(table[n], len(cache.classes), truth=cache.truth is not None) for n, part in enumerate(parts)}
            for table in tables
        ]
        merits = [of["val"].merit for of in judged]
        rows = [
            {
                "views": views,
                "policy": name,
                "constants": setting,
                "own": setting == owns[name],
                "merit": merit,
                **{part: asdict(figure) for part, figure in of.items()},
            }
            for setting, merit, of in zip(constants, merits, judged, strict=True)
        ]
        results += rows
        recommended.append(rows[best(constants, merits, owns[name])])
    choice = max(recommended, key=lambda row: row["merit"])
    policy = asked[choice["policy"]].name
    stands = _own(policy, cache, spec)
    line = _line(policy, choice["constants"], spec, cache.provenance["method"]["grid"])
    changes = {key: value for key, value in choice["constants"].items() if key not in HIDDEN and stands[key] != value}
    return {
        "cache": str(cache.path),
        "cache_fingerprint": cache.fingerprint,
        "caches": [{"cache": str(cache.path), "cache_fingerprint": cache.fingerprint, "views": views}],
        "dataset": spec.name,
        "images": {part: len(rows) for part, rows in parts.items()},
        "criterion": F1 if cache.truth is not None else ESTIMATE,
        "recommended": {**choice, "line": line, "changes": changes},
        "settings": len(results),
        "results": sorted(results, key=lambda row: (-row["merit"], row is not choice)),
        "versions": versions(),
    }


def _without(own: Mapping[str, Any], held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in own.items() if name not in held}


def _require_something_hidden(cache: ScoreCache) -> None:
    """Raise AevlpError where every true label is observed: F1 on what nobody observed would be 0 whatever the setting."""
    if not may_show_more(cache.truth, cache.observed):
        raise AevlpError(
            f"every true label of {cache.path} is observed, so no setting can be judged by the labels it adds: score the images "
            f"with --simulate single-positive to study the constants, or say `labels: observed` in the manifest if images may "
            f"show more than their labels say"
        )


def _own(name: str, cache: ScoreCache, spec: DatasetSpec) -> dict[str, Any]:
    """Return all constants that training would take for a policy, those in its name included."""
    policy = parsed(name).name
    check_swept(policy)
    from ...pipeline.losses import entry
    from ..stage_two.labels_plan import policy_of

    plan = policy_of(name, "gpr", entry("gpr"), cache, spec)
    assert plan is not None
    if plan.constants.get("thresholds") is not None:
        raise AevlpError(f"policy {name} has a threshold of its own for each class: only one for all classes is swept")
    own = {}
    for constant, parameter in policies.parameters(policy).items():
        value = plan.constants.get(constant, parameter.default)
        own[constant] = parameter.annotation(value) if parameter.annotation in (int, float) else value
    return own


def _line(policy: str, constants: Mapping[str, Any], spec: DatasetSpec, grid: int | str) -> str:
    shown = {key: value for key, value in constants.items() if key not in HIDDEN}
    if policy == "damp":
        said = spec.damp.model_dump(include={"half"}, exclude_none=True)
        return f"damp: {_listed({'grid': _quoted(grid), **shown, **said})}"
    return f"policies: {{{policy}: {_listed(shown)}}}"


def _quoted(grid: int | str) -> int | str:
    """Return a scheme of views as a list in braces has it: YAML reads brackets there as a list of its own."""
    return grid if isinstance(grid, int) else f'"{grid}"'


def _listed(constants: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in constants.items()) + "}"


def _applied(recommended: Mapping[str, Any], spec: DatasetSpec) -> dict[str, Any]:
    """Write the recommended constants that differ from the manifest's into it; return where, and which."""
    policy, changes = parsed(recommended["policy"]).name, recommended["changes"]
    place = ("datasets", spec.name, *(["damp"] if policy == "damp" else ["policies", policy]))
    if changes:
        set_in_manifest(spec.manifest_path, place, changes)
    return {"manifest": str(spec.manifest_path), "place": ".".join(place), "constants": changes}
