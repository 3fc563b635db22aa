"""The commands, in the order of the help."""

from ..data.options import CheckOptions, DatasetsOptions
from ..experiments.options import CalibrateOptions, CompareOptions, DemoOptions, ReproduceOptions, SweepOptions
from ..journey.options import RunOptions
from ..stage_one.options import PseudolabelOptions
from ..stage_two.options import EvaluateOptions, LossesOptions, PredictOptions, RunsOptions, TrainOptions
from .build import Command

FIRST, LOOK, COMPARE, CACHES, DATA = "First steps", "Look", "Compare", "Caches", "Data"

COMMANDS = (
    Command(
        "run",
        "journey.run:run",
        RunOptions,
        FIRST,
        "aevlp run photos/ --classes cat,dog",
        json=True,
    ),
    Command(
        "check",
        "data.check:check",
        CheckOptions,
        FIRST,
        "aevlp check photos.yaml",
        json=True,
    ),
    Command(
        "pseudolabel",
        "stage_one.pseudolabel:pseudolabel",
        PseudolabelOptions,
        FIRST,
        "aevlp pseudolabel photos/ --classes cat,dog",
    ),
    Command(
        "train",
        "stage_two.train:train",
        TrainOptions,
        FIRST,
        "aevlp train cache/voc.h5",
    ),
    Command(
        "evaluate",
        "stage_two.evaluate:evaluate",
        EvaluateOptions,
        FIRST,
        "aevlp evaluate runs/voc-gpr-seed0",
        json=True,
    ),
    Command(
        "predict",
        "stage_two.predict:predict",
        PredictOptions,
        FIRST,
        "aevlp predict runs/voc-gpr-seed0 new/",
        json=True,
    ),
    Command(
        "demo",
        "experiments.demo:demo",
        DemoOptions,
        FIRST,
        "aevlp demo",
    ),
    Command(
        "losses",
        "stage_two.list_losses:losses",
        LossesOptions,
        LOOK,
        "aevlp losses --json",
        json=True,
    ),
    Command(
        "datasets",
        "data.datasets:datasets",
        DatasetsOptions,
        DATA,
        "aevlp datasets voc --download",
        json=True,
    ),
    Command(
        "runs",
        "stage_two.list_runs:runs",
        RunsOptions,
        LOOK,
        "aevlp runs",
        json=True,
    ),
    Command(
        "compare",
        "experiments.compare:compare",
        CompareOptions,
        COMPARE,
        "aevlp compare cache/voc.h5 --losses an,gr,gpr",
        json=True,
    ),
    Command(
        "sweep",
        "experiments.sweep:sweep",
        SweepOptions,
        COMPARE,
        "aevlp sweep cache/voc.h5",
        json=True,
    ),
    Command(
        "calibrate",
        "experiments.calibrate:calibrate",
        CalibrateOptions,
        COMPARE,
        "aevlp calibrate cache/voc.h5 --policy threshold --prior observed",
        json=True,
    ),
    Command(
        "reproduce",
        "experiments.reproduce:reproduce",
        ReproduceOptions,
        COMPARE,
        "aevlp reproduce voc",
        json=True,
    ),
)
