"""What the commands of stage two are asked for."""

from dataclasses import KW_ONLY, dataclass

from ..declaration import Options, Progress


@dataclass(frozen=True)
class LossesOptions(Options):
    """List the losses: paper, year, what each reads of the cache and what it remembers; and the policies that make labels."""

    _: KW_ONLY
    progress: Progress = None
