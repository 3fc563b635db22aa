"""The commands, in the order of the help."""

from ..data.options import CheckOptions, DatasetsOptions
from ..stage_one.options import PseudolabelOptions
from ..stage_two.options import LossesOptions
from .build import Command

FIRST, LOOK, COMPARE, CACHES, DATA = "First steps", "Look", "Compare", "Caches", "Data"

COMMANDS = (
    Command(
        "pseudolabel",
        "stage_one.pseudolabel:pseudolabel",
        PseudolabelOptions,
        FIRST,
        "aevlp pseudolabel photos/ --classes cat,dog",
    ),
    Command("check", "data.check:check", CheckOptions, FIRST, "aevlp check photos.yaml", json=True),
    Command("losses", "stage_two.list_losses:losses", LossesOptions, LOOK, "aevlp losses --json", json=True),
    Command("datasets", "data.datasets:datasets", DatasetsOptions, DATA, "aevlp datasets voc --download", json=True),
)
