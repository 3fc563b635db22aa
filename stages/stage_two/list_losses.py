"""The tables of losses and of policies."""

import dataclasses
import inspect
from typing import Any

from ...pipeline import losses, policies
from ...pipeline.losses.foreign import installed
from ..console import out, print_json, print_table


def run(as_json: bool) -> None:
    """Print every loss with its paper, year, what it reads and remembers, and every policy with what it does.

    Losses of installed packages are named, not imported.
    """
    if as_json:
        print_json(
            {name: {**dataclasses.asdict(e), "constants": losses.constants(name)} for name, e in losses.TABLE.items()}
            | {
                "policies": {
                    name: {**dataclasses.asdict(e), "constants": _defaults(name)} for name, e in policies.TABLE.items()
                }
            }
            | {"installed": installed()}
        )
        return
    rows = [(name, e.paper, e.year, ", ".join(e.reads), e.state) for name, e in losses.TABLE.items()]
    print_table("Losses, for --loss", ("name", "paper", "year", "reads", "state"), rows)
    rows = [(name, e.paper, e.year or "-", e.what) for name, e in policies.TABLE.items()]
    print_table(
        "Policies, which make the pseudo-labels and scores, for --policy", ("name", "paper", "year", "labels"), rows
    )
    for name, place in installed().items():
        out.print(f"{name}: {place}, of an installed package")
    out.print(
        "A loss of your own: --loss module:Class, a class in module.py of the current folder or an installed package"
    )


def _defaults(name: str) -> dict[str, Any]:
    """Return a policy's constants, None for one that the manifest says."""
    return {key: None if value is inspect.Parameter.empty else value for key, value in policies.constants(name).items()}
