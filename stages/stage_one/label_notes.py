"""A data set's labels -> what its reader should be told of how they are taken, before anything is scored."""

from ...pipeline.datasets import ImageTable
from ...pipeline.datasets.image_table import use_of
from ...pipeline.manifest.formats import DatasetSpec
from ..console import say


def note_labels(images: ImageTable, spec: DatasetSpec) -> None:
    """Say how many labels are used, and what else they could mean, where nobody said which of it they mean."""
    use = use_of(images)
    whose = "Training images: " * bool((images.split == "train").any())
    for text in (use.simulated, f"{whose}{use.text}"):
        if text:
            say(text)
    _note_single_labels(images)
    _note_unlabelled(images, spec)


def _note_unlabelled(images: ImageTable, spec: DatasetSpec) -> None:
    """Say where images without a label are taken to show none of the classes, and nobody said that labels are complete."""
    if images.truth is None or "labels" not in type(spec).model_fields or "labels" in spec.model_fields_set:
        return
    if empty := int((images.truth == 0).all(axis=1).sum()):
        say(
            f"{empty:,} of {len(images):,} images have no label and are taken to show none of the classes: say "
            f"`labels: observed` in the manifest entry if nobody looked for all of them, `labels: complete` if that is so"
        )


def _note_single_labels(images: ImageTable) -> None:
    train = images.split == "train"
    if images.truth is not None and len(images.classes) > 1 and train.any() and images.truth[train].sum(1).max() <= 1:
        say(
            "Every training image has at most one label. If an image may show more than its label says, write "
            "`labels: observed` in its manifest entry, so that the labels are not taken for the whole truth."
        )
