from .pipeline.clip.text_graph import gcn_residual, relation_matrices
from .pipeline.datasets import ImageTable, load_images
from .pipeline.errors import AevlpError
from .pipeline.evaluation.metrics import (
    PseudoLabelQuality,
    average_precision,
    mean_average_precision,
    pseudo_label_quality,
)
from .pipeline.images.schemes.grid import tile_boxes
from .pipeline.images.views import view_pixels
from .pipeline.labels.damp import DampSettings, damp_codes, damp_scores
from .pipeline.labels.single_positive import observe, split_train_val, subsample
from .pipeline.losses import Targets, TrainingLoss, create_loss, loss_names
from .pipeline.losses.schedules import clean_rate, gpr_schedule
from .pipeline.losses.supervised_contrastive import multi_label_contrastive_loss
from .pipeline.losses.virtual_category import virtual_category_loss
from .pipeline.manifest.load import Manifest, load_manifest
from .pipeline.policies import Known, Labels, create_policy, policy_names
from .pipeline.policies.ccd import ccd_bias, ccd_correct, ccd_labels
from .pipeline.policies.cdul import cdul_labels, cdul_update
from .pipeline.policies.propagation import class_graph, image_graph, propagate
from .pipeline.policies.sigmoid import sigmoid_probabilities
from .pipeline.policies.sparc import sparc_scores
from .pipeline.score_cache import ScoreCache, open_cache
from .stages.caches.convert import convert
from .stages.caches.diff import CacheDifference, diff
from .stages.caches.inspect import CacheReport, inspect
from .stages.caches.merge import merge
from .stages.caches.rescore import rescore
from .stages.caches.select import select
from .stages.caches.sentences import SentenceFile, sentences
from .stages.caches.update import append, retry
from .stages.caches.verify import CacheFaults, verify
from .stages.data.check import CheckReport, check
from .stages.data.datasets import DatasetList, datasets
from .stages.doctor.doctor import Doctor, doctor
from .stages.experiments.calibrate import Calibration, calibrate
from .stages.experiments.compare import Comparison, compare
from .stages.experiments.demo import Demo, demo
from .stages.experiments.reproduce import Reproduction, reproduce
from .stages.experiments.sweep import Sweep, sweep
from .stages.export.export import export
from .stages.journey.run import run
from .stages.prediction.predict import predict
from .stages.prediction.predictions import Predictions
from .stages.prediction.predictor import Predictor
from .stages.prediction.sharding import PredictedShards
from .stages.report.report import report
from .stages.review.review import Review, review
from .stages.stage_one.pseudolabel import pseudolabel
from .stages.stage_two.evaluate import Evaluation, evaluate
from .stages.stage_two.label_table import LabelTable, labels
from .stages.stage_two.list_losses import LossList, losses
from .stages.stage_two.list_runs import RunList, runs
from .stages.stage_two.run import Run, open_run
from .stages.stage_two.train import train

__all__ = [
    "AevlpError",
    "CacheDifference",
    "CacheFaults",
    "CacheReport",
    "Calibration",
    "CheckReport",
    "Comparison",
    "DampSettings",
    "DatasetList",
    "Demo",
    "Doctor",
    "Evaluation",
    "ImageTable",
    "Known",
    "LabelTable",
    "Labels",
    "LossList",
    "Manifest",
    "PredictedShards",
    "Predictions",
    "Predictor",
    "PseudoLabelQuality",
    "Reproduction",
    "Review",
    "Run",
    "RunList",
    "ScoreCache",
    "SentenceFile",
    "Sweep",
    "Targets",
    "TrainingLoss",
    "append",
    "average_precision",
    "calibrate",
    "ccd_bias",
    "ccd_correct",
    "ccd_labels",
    "cdul_labels",
    "cdul_update",
    "check",
    "class_graph",
    "clean_rate",
    "compare",
    "convert",
    "create_loss",
    "create_policy",
    "damp_codes",
    "damp_scores",
    "datasets",
    "demo",
    "diff",
    "doctor",
    "evaluate",
    "export",
    "gcn_residual",
    "gpr_schedule",
    "image_graph",
    "inspect",
    "labels",
    "load_images",
    "load_manifest",
    "loss_names",
    "losses",
    "mean_average_precision",
    "merge",
    "multi_label_contrastive_loss",
    "observe",
    "open_cache",
    "open_run",
    "policy_names",
    "predict",
    "propagate",
    "pseudo_label_quality",
    "pseudolabel",
    "relation_matrices",
    "report",
    "reproduce",
    "rescore",
    "retry",
    "review",
    "run",
    "runs",
    "select",
    "sentences",
    "sigmoid_probabilities",
    "sparc_scores",
    "split_train_val",
    "subsample",
    "sweep",
    "tile_boxes",
    "train",
    "verify",
    "view_pixels",
    "virtual_category_loss",
]
__version__: str
