"""The commands, in the order of the help."""

from ..caches.options import (
    AppendOptions,
    ConvertOptions,
    DiffOptions,
    InspectOptions,
    MergeOptions,
    RescoreOptions,
    RetryOptions,
    SelectOptions,
    SentencesOptions,
    VerifyOptions,
)
from ..data.options import CheckOptions, DatasetsOptions
from ..doctor.options import DoctorOptions
from ..experiments.options import CalibrateOptions, CompareOptions, DemoOptions, ReproduceOptions, SweepOptions
from ..export.options import ExportOptions
from ..journey.options import RunOptions
from ..prediction.options import PredictOptions
from ..report.options import ReportOptions
from ..review.options import ReviewOptions
from ..source_options import SourceOptions
from ..stage_one.options import PseudolabelOptions
from ..stage_two.options import (
    EvaluateOptions,
    LabelsOptions,
    LossesOptions,
    RunsOptions,
    TrainingOptions,
    TrainOptions,
)
from .build import Command

# Which of the many options of a stage stand together in the help; those of both stages, and of the source, come first.
STAGES = {SourceOptions: None, PseudolabelOptions: "Scoring", TrainingOptions: "Training", TrainOptions: "Training"}
FIRST, LOOK, COMPARE, CACHES, DATA = "First steps", "Look", "Compare", "Caches", "Data"

COMMANDS = (
    Command(
        "run",
        "journey.run:run",
        RunOptions,
        FIRST,
        "aevlp run photos/ --classes cat,dog",
        json=True,
        panels=STAGES,
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
        panels=STAGES,
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
        "aevlp evaluate runs/voc-gpr-resnet50.tv_in1k-seed0",
        json=True,
    ),
    Command(
        "predict",
        "prediction.predict:predict",
        PredictOptions,
        FIRST,
        "aevlp predict runs/voc-gpr-resnet50.tv_in1k-seed0 new/",
        json=True,
    ),
    Command(
        "export",
        "export.export:export",
        ExportOptions,
        FIRST,
        "aevlp export runs/voc-gpr-resnet50.tv_in1k-seed0 --to onnx",
    ),
    Command(
        "demo",
        "experiments.demo:demo",
        DemoOptions,
        FIRST,
        "aevlp demo",
    ),
    Command(
        "doctor",
        "doctor.doctor:doctor",
        DoctorOptions,
        FIRST,
        "aevlp doctor",
        json=True,
    ),
    Command(
        "inspect",
        "caches.inspect:inspect",
        InspectOptions,
        LOOK,
        "aevlp inspect cache/scenes2.h5",
        json=True,
    ),
    Command(
        "report",
        "report.report:report",
        ReportOptions,
        LOOK,
        "aevlp report cache/scenes2.h5",
    ),
    Command(
        "review",
        "review.review:review",
        ReviewOptions,
        LOOK,
        "aevlp review cache/voc.h5",
        json=True,
    ),
    Command(
        "labels",
        "stage_two.label_table:labels",
        LabelsOptions,
        LOOK,
        "aevlp labels cache/scenes2.h5 --to labels.csv",
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
    Command(
        "verify",
        "caches.verify:verify",
        VerifyOptions,
        CACHES,
        "aevlp verify cache/scenes2.h5",
        json=True,
    ),
    Command(
        "rescore",
        "caches.rescore:rescore",
        RescoreOptions,
        CACHES,
        "aevlp rescore cache/voc.h5 --classes words.txt",
    ),
    Command(
        "convert",
        "caches.convert:convert",
        ConvertOptions,
        CACHES,
        "aevlp convert cache/voc.h5 cache/voc.parquet",
    ),
)

# Those of `aevlp cache`.
CACHE_COMMANDS = (
    Command(
        "verify",
        "caches.verify:verify",
        VerifyOptions,
        CACHES,
        "aevlp cache verify cache/voc.h5",
        json=True,
    ),
    Command(
        "append",
        "caches.update:append",
        AppendOptions,
        CACHES,
        "aevlp cache append cache/photos.h5 --prune",
    ),
    Command(
        "retry",
        "caches.update:retry",
        RetryOptions,
        CACHES,
        "aevlp cache retry cache/photos.h5",
    ),
    Command(
        "merge",
        "caches.merge:merge",
        MergeOptions,
        CACHES,
        "aevlp cache merge all.h5 one.h5 two.h5",
    ),
    Command(
        "diff",
        "caches.diff:diff",
        DiffOptions,
        CACHES,
        "aevlp cache diff one.h5 two.h5",
        json=True,
    ),
    Command(
        "select",
        "caches.select:select",
        SelectOptions,
        CACHES,
        "aevlp cache select all.h5 test.h5 --split test",
    ),
    Command(
        "sentences",
        "caches.sentences:sentences",
        SentencesOptions,
        CACHES,
        "aevlp cache sentences cache/photos.h5",
    ),
)
