"""The losses and the policies that there are."""

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...pipeline import losses as registry
from ...pipeline import policies
from ...pipeline.losses.foreign import installed
from ..console import out, print_table
from ..declaration import takes
from ..results import Table
from .options import LossesOptions


@dataclass(frozen=True, repr=False)
class LossList(Table):
    """Every loss, a row each; `policies` likewise. installed: where losses of installed packages are, by name."""

    losses: Sequence[dict[str, Any]]
    policies: Sequence[dict[str, Any]]
    installed: dict[str, str]

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The losses: name, paper, year, reads, state, constants …"""
        return self.losses

    def summary(self) -> dict[str, Any]:
        """Return how many there are of each."""
        return {"losses": len(self.losses), "policies": len(self.policies), "installed": len(self.installed)}

    def to_json(self) -> dict[str, Any]:
        """Return the losses by name, with the policies and installed losses beside them."""
        return {
            **_by_name(self.losses),
            "policies": _by_name(self.policies),
            "installed": self.installed,
        }


@takes(LossesOptions)
def losses(_: LossesOptions) -> LossList:
    """Return every loss with its paper, year, what it reads and remembers, and every policy with what it does.

    Losses of installed packages are named, not imported.
    """
    return LossList(
        [
            {"name": name, **dataclasses.asdict(entry), "constants": registry.constants(name)}
            for name, entry in registry.TABLE.items()
        ],
        [
            {"name": name, **dataclasses.asdict(entry), "constants": _defaults(name)}
            for name, entry in policies.TABLE.items()
        ],
        installed(),
    )


def show(found: LossList) -> None:
    """Print the two tables."""
    rows = [(of["name"], of["paper"], of["year"], ", ".join(of["reads"]), of["state"]) for of in found.losses]
    print_table("Losses, for --loss", ("name", "paper", "year", "reads", "state"), rows)
    rows = [(of["name"], of["paper"], of["year"] or "-", of["what"]) for of in found.policies]
    print_table(
        "Policies, which make the pseudo-labels and scores, for --policy", ("name", "paper", "year", "labels"), rows
    )
    for name, place in found.installed.items():
        out.print(f"{name}: {place}, of an installed package")
    out.print(
        "One of your own: --loss or --policy module:Class, a class in module.py of the current folder or an installed package"
    )


def _by_name(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: {key: value for key, value in row.items() if key != "name"} for row in rows}


def _defaults(name: str) -> dict[str, Any]:
    """Return a policy's constants, None for one that the manifest says."""
    return {key: None if value is inspect.Parameter.empty else value for key, value in policies.constants(name).items()}
