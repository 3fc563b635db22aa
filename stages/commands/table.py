"""The commands, in the order of the help."""

from ..stage_two.options import LossesOptions
from .build import Command

FIRST, LOOK, COMPARE, CACHES, DATA = "First steps", "Look", "Compare", "Caches", "Data"

COMMANDS = (Command("losses", "stage_two.list_losses:losses", LossesOptions, LOOK, "aevlp losses --json", json=True),)
