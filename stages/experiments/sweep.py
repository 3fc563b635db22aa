"""A cache -> how good the labels of policies are over grids of settings, and which setting the manifest should have."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.policies.sweeping import Figures, best, check_swept, default_grid, figures, settings_of, tabulate
from ...pipeline.runtime.provenance import versions
from ...pipeline.score_cache import ScoreCache, open_whole_cache
from ..console import out, print_json, print_table, say

F1 = "F1 on the validation part"
ESTIMATE = (
    "observed recall² / share of entries labelled positive, on the validation part (Lee and Liu 2003): an estimate, for "
    "want of the truth"
)
HIDDEN = ("compat", "half", "policy")  # what a line of the manifest does not say


@dataclass(frozen=True)
class Options:
    """What the command line may say. grid: each "constant=value,value"; none for the default grid around the manifest's."""

    cache: Path
    policies: Sequence[str] = ("damp",)
    grid: Sequence[str] = ()
    top: int = 10
    output: Path | None = None
    json: bool = False
    dataset: str | None = None
    manifest: Path | Sequence[Path] | None = None


def run(options: Options) -> None:
    """Print the best settings on the validation part and a line for the manifest; save all of them where that is asked for.

    Raises AevlpError, before a cosine is read, for a policy, constant or value that cannot be swept and another kind of file.
    """
    if options.output is not None and options.output.suffix not in (".csv", ".json"):
        raise AevlpError(f"--output must end in .csv or .json, found {options.output}")
    cache = open_whole_cache(options.cache)
    if not options.json:
        say(f"{options.cache}: {len(cache):,} images, {len(cache.classes)} classes")
    from ..cache_origin import dataset_of

    spec = dataset_of(cache, options.dataset, options.manifest)
    record = swept(cache, spec, options.policies, parsed_grid(options.grid))
    if options.output is not None:
        _write(options.output, record)
    if options.json:
        print_json({**record, "results": record["results"][: options.top]})
    else:
        _print(record, options.top)
    if options.output is not None and not options.json:
        out.print(f"{options.output}: all {len(record['results']):,} settings")


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
    cache: ScoreCache, spec: DatasetSpec, names: Sequence[str], grid: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return every setting's figures, best first, and the one that the validation part recommends.

    grid: values of constants, each taken by the policies that have it; empty for the default grid.
    """
    owns = {name: _own(name, cache, spec) for name in names}
    for constant, values in grid.items():
        taking = [own for own in owns.values() if constant in own and constant not in HIDDEN]
        if not taking:
            known = sorted({known for own in owns.values() for known in own if known not in HIDDEN})
            raise AevlpError(
                f"--grid {constant}: no constant of {', '.join(names)} is called that, they have {', '.join(known)}"
            )
        if any(isinstance(own[constant], int) for own in taking) and not all(float(v).is_integer() for v in values):
            raise AevlpError(f"--grid {constant}: expected whole numbers, found {', '.join(map(str, values))}")
    grids = {
        name: {key: [type(own[key])(value) for value in values] for key, values in grid.items() if key in own}
        or default_grid(own, len(cache.classes))
        for name, own in owns.items()
    }
    tried = {name: settings_of(name, own, grids[name]) for name, own in owns.items()}

    from ...pipeline.training.splits import splits

    train, val, test = splits(cache, spec.recipe.val_fraction)
    parts = {"train": train.rows, "val": val.rows, **({"test": test.rows} if len(test.rows) else {})}
    results, recommended = [], []
    for name, settings in tried.items():
        tables = tabulate(cache, name, settings, list(parts.values()))
        judged = [
            {part: figures(table[n], len(cache.classes), truth=cache.truth is not None) for n, part in enumerate(parts)}
            for table in tables
        ]
        merits = [of["val"].merit for of in judged]
        rows = [
            {
                "policy": name,
                "constants": setting,
                "own": setting == owns[name],
                "merit": merit,
                **{part: asdict(figure) for part, figure in of.items()},
            }
            for setting, merit, of in zip(settings, merits, judged, strict=True)
        ]
        results += rows
        recommended.append(rows[best(settings, merits, owns[name])])
    choice = max(recommended, key=lambda row: row["merit"])
    return {
        "cache": str(cache.path),
        "cache_fingerprint": cache.fingerprint,
        "dataset": spec.name,
        "images": {part: len(rows) for part, rows in parts.items()},
        "criterion": F1 if cache.truth is not None else ESTIMATE,
        "recommended": {**choice, "line": _line(choice, spec, cache.provenance["method"]["grid"])},
        "settings": len(results),
        "results": sorted(results, key=lambda row: (-row["merit"], row is not choice)),
        "versions": versions(),
    }


def _own(name: str, cache: ScoreCache, spec: DatasetSpec) -> dict[str, Any]:
    """Return all constants that training would take for a policy."""
    check_swept(name)
    from ...pipeline.losses import entry
    from ..stage_two.labels_plan import policy_of

    plan = policy_of(name, "gpr", entry("gpr"), cache, spec)
    assert plan is not None
    own = {}
    for constant, parameter in policies.parameters(name).items():
        value = plan.constants.get(constant, parameter.default)
        own[constant] = parameter.annotation(value) if parameter.annotation in (int, float) else value
    return own


def _line(row: Mapping[str, Any], spec: DatasetSpec, grid: int) -> str:
    constants = {key: value for key, value in row["constants"].items() if key not in HIDDEN}
    if row["policy"] == "damp":
        said = spec.damp.model_dump(include={"half"}, exclude_none=True)
        return f"damp: {_listed({'grid': grid, **constants, **said})}"
    return f"policies: {{{row['policy']}: {_listed(constants)}}}"


def _listed(constants: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in constants.items()) + "}"


def _print(record: dict[str, Any], top: int) -> None:
    known = record["recommended"]["val"]["f1"] is not None
    names = _varied(record["results"])
    columns = ("precision", "recall", "f1", "negative_precision") if known else ("observed_recall", "share")
    others = [part for part in record["images"] if part != "val"]
    one = "f1" if known else "observed_recall"
    short = {"f1": "F1", "negative_precision": "negatives' precision", "observed_recall": "observed recall"}
    labels = [short.get(column, column) for column in columns]
    header = [
        *("policy", "setting", *labels, "positives an image"),
        *(f"{part} {short[one]}" for part in others),
    ]
    best = record["results"][:top]
    rows = [
        [
            row["policy"] + ("*" if row["own"] else ""),
            ", ".join(f"{name} {row['constants'][name]}" for name in names if name in row["constants"]),
            *(
                "-"
                if column == "negative_precision" and not row["val"]["negatives"]
                else f"{100 * row['val'][column]:.1f}"
                for column in columns
            ),
            f"{row['val']['positives']:.2f}",
            *(f"{100 * row[part][one]:.1f}" for part in others),
        ]
        for row in (*best, *(row for row in record["results"][top:] if row["own"]))
    ]
    title = f"Pseudo-labels on the validation part (%), the best {len(best)} of {record['settings']:,} settings"
    print_table(title, header, rows, right=range(2, len(header)))
    choice = record["recommended"]
    own = next(row for row in record["results"] if row["own"] and row["policy"] == choice["policy"])
    out.print(
        f"* the manifest's own setting; chosen by {record['criterion']}; figures of the test split choose nothing"
    )
    if choice["own"]:
        out.print("recommended: the manifest's own setting, there is nothing to change")
    else:
        what, scale, digits = ("F1", 100, 1) if known else ("estimate", 1, 3)
        out.print(
            f"recommended, {what} {scale * choice['merit']:.{digits}f} instead of {scale * own['merit']:.{digits}f}, a line "
            f"for the manifest:"
        )
    out.print(choice["line"])


def _varied(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the constants that have more than one value."""
    values: dict[str, set[Any]] = {}
    for row in results:
        for key, value in row["constants"].items():
            values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if len(found) > 1]


def _write(path: Path, record: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        if path.suffix == ".json":
            temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
            return
        names = list(dict.fromkeys(key for row in record["results"] for key in row["constants"]))
        measured = list(Figures.__dataclass_fields__)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["policy", *names, "merit", *(f"{part}_{what}" for part in record["images"] for what in measured)]
            )
            for row in record["results"]:
                constants = (row["constants"].get(name, "") for name in names)
                values = (row[part][what] for part in record["images"] for what in measured)
                writer.writerow([row["policy"], *constants, row["merit"], *values])
