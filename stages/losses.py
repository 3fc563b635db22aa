"""The table of losses."""

import dataclasses

from ..pipeline.losses import TABLE, constants
from .console import print_json, print_table


def run(as_json: bool) -> None:
    """Print every loss with its paper, year and what it reads of the cache."""
    if as_json:
        print_json({name: {**dataclasses.asdict(entry), "constants": constants(name)} for name, entry in TABLE.items()})
        return
    rows = [(name, entry.paper, entry.year, ", ".join(entry.reads)) for name, entry in TABLE.items()]
    print_table("Losses", ("name", "paper", "year", "reads"), rows)
