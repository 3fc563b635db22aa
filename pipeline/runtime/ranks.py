"""The environment that torchrun sets -> which of how many processes this is; nothing is said between the processes."""

import os
from dataclasses import dataclass

from ..errors import AevlpError


@dataclass(frozen=True)
class Rank:
    """This process among those of a run. number: from 0. of: how many, on all machines. local: its number on this machine."""

    number: int
    of: int
    local: int

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.number == 0


def this_rank() -> Rank:
    """Return the rank that torchrun gave this process; the only one of one where it was started without torchrun.

    Raises AevlpError where RANK, WORLD_SIZE and LOCAL_RANK are not numbers that go together.
    """
    given = {name: os.environ.get(name, default) for name, default in _ALONE.items()}
    try:
        rank = Rank(*map(int, given.values()))
    except ValueError as error:
        raise AevlpError(f"expected numbers from torchrun in the environment, found {given}") from error
    if not 0 <= rank.number < rank.of or rank.local < 0:
        raise AevlpError(f"expected a RANK from 0 to WORLD_SIZE - 1 in the environment, found {given}")
    return rank


_ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
