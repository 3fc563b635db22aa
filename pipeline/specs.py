"""What a manifest may say of a data set: one class a format on disk, each key checked."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, field_validator

from .errors import AevlpError
from .observation import checked
from .pseudo_labels import DampSettings


def _known_splits(names: dict[str, str]) -> dict[str, str]:
    if odd := sorted(set(names) - {"train", "test"}):
        raise ValueError(f"a split is train or test, found {odd[0]!r}")
    return {split: names[split] for split in ("train", "test") if split in names}


PACKAGED = Path(__file__).resolve().parent.parent / "data_manifest.yaml"
SplitNames = Annotated[dict[str, str], AfterValidator(_known_splits)]


class Section(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A part of the manifest; a key it does not know is a mistake."""


class Download(Section, frozen=True):
    """One archive of a data set, which unpacks in the data set's folder: its address, checksum and size in bytes."""

    url: str = Field(pattern="^https?://")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    size: int | None = Field(default=None, ge=1)


class Expected(Section, frozen=True):
    """How many classes and images the published version has."""

    classes: int | None = None
    train: int | None = None
    test: int | None = None


class Clip(Section, frozen=True):
    """The scoring model: an open_clip name or a model-config JSON, and a tag or a weights file."""

    model: str = "ViT-B-16"
    weights: str = "openai"


class Damp(Section, frozen=True):
    """The constants of the pseudo-labels (spec section 8); the defaults are the published program's."""

    grid: int = Field(default=4, ge=1, le=32)
    temperature: float = Field(default=0.01, gt=0)
    eta: float = Field(default=0.1, ge=0)
    threshold: float = Field(default=0.5, ge=0, le=1)
    top_k: int = Field(default=3, ge=1)
    negative_ratio: float = Field(default=0.1, ge=0, le=1)

    def settings(self, compat: str) -> DampSettings:
        """Return the constants that turn cosines into codes."""
        return DampSettings(**self.model_dump(exclude={"grid"}), compat=compat)


class TextGraphConstants(Section, frozen=True):
    """The constants of the label graph on text features (spec section 4); more neighbours than classes are all of them."""

    sparse_topk: int = Field(default=1000, ge=1)
    reweight: float = Field(default=0.2, ge=0, le=1)
    temperature: float = Field(default=0.3, gt=0)


class Recipe(Section, frozen=True):
    """How stage two trains: `lr` is the backbone's; the head learns `head_lr_factor` times faster."""

    backbone: str = "resnet50.tv_in1k"
    image_size: int = Field(default=448, ge=1)
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=8, ge=1)
    lr: float = Field(default=1e-5, gt=0)
    head_lr_factor: float = Field(default=10, gt=0)
    linear_init: int = Field(default=0, ge=0)
    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    linear_epochs: int = Field(default=25, ge=1)
    linear_lr: float = Field(default=1e-3, gt=0)


class DatasetSpec(Section, frozen=True):
    """What every data set has; `name` and `directory` come from where the manifest says it."""

    title: str
    format: str
    root: str | None = None
    folder: str = "."
    downloads: tuple[Download, ...] = ()
    steps: str | None = None
    classes: tuple[str, ...] | str | None = None
    natural_names: dict[str, str] = {}
    synonyms: dict[str, tuple[str, ...]] = {}
    name_rule: Literal["plain", "attribute"] = "plain"
    prompt: tuple[str, ...] = ("a photo of a {}.",)
    observation: dict[str, Any] | None = None
    expected: Expected = Expected()
    clip: Clip = Clip()
    damp: Damp = Damp()
    text_graph: TextGraphConstants | None = None
    recipe: Recipe = Recipe()
    losses: dict[str, dict[str, Any]] = {}
    published: dict[str, float] = {}
    _place: dict[str, Any] = PrivateAttr(default_factory=dict)

    def placed(self, name: str, manifest_path: Path) -> Self:
        """Tell the entry under which name, in which file, it stands; return it."""
        self._place.update(name=name, manifest_path=manifest_path)
        return self

    @property
    def name(self) -> str:
        """The data set's name, its key in the manifest."""
        return self._place["name"]

    @property
    def manifest_path(self) -> Path:
        """The manifest that this entry stands in."""
        return self._place["manifest_path"]

    def default_root(self) -> Path:
        """Return the data set's own folder: `root` beside the manifest; for packaged entries data/<name>."""
        if self.manifest_path == PACKAGED:
            return Path("data") / self.name
        return self.manifest_path.parent / (self.root or ".")

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_or_several(cls, prompt: Any) -> Any:
        return (prompt,) if isinstance(prompt, str) else prompt

    @field_validator("prompt")
    @classmethod
    def _one_place_for_the_class(cls, prompt: tuple[str, ...]) -> tuple[str, ...]:
        if not prompt:
            raise ValueError("expected a template or a list of them, found an empty list")
        if any(template.replace("{}", "", 1).count("{") or "{}" not in template for template in prompt):
            raise ValueError("a prompt holds {} once, where the class name goes, and no other brace")
        return prompt

    @field_validator("observation")
    @classmethod
    def _known_regime(cls, observation: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            return None if observation is None else checked(observation)
        except AevlpError as error:
            raise ValueError(str(error)) from error

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, classes: Any) -> Any:
        listed = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
        if not (listed or isinstance(classes, str | None)):
            raise ValueError(
                "expected a list of names or a file of them; quote a name that YAML reads otherwise, as 'no'"
            )
        return classes

    @field_validator("classes")
    @classmethod
    def _distinct_classes(cls, classes: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        if isinstance(classes, tuple):
            if not classes:
                raise ValueError("there must be at least one class")
            if twice := sorted({c for c in classes if classes.count(c) > 1}):
                raise ValueError(f"classes named twice: {', '.join(twice)}")
        return classes


class VocSpec(DatasetSpec, frozen=True):
    """PASCAL VOC devkit: `splits` names the image set of each split."""

    format: Literal["voc"]
    classes: tuple[str, ...] = Field(default=(), validate_default=True)
    splits: SplitNames = {"train": "train", "test": "val"}


class TableSpec(DatasetSpec, frozen=True):
    """Images listed in a CSV, JSON-lines or Parquet file.

    labels: "complete" where the table holds every label of an image, of which one is then observed; "observed" where it
    holds the few that somebody gave, and the truth is not known.
    """

    format: Literal["table"]
    table: str
    image_column: str = "image"
    label_column: str = "labels"
    label_separator: str = Field(default=";", min_length=1)
    split_column: str | None = None
    labels: Literal["complete", "observed"] = "complete"


class ScenesSpec(DatasetSpec, frozen=True):
    """Generated pictures of shapes: how many, and the seed of the series."""

    format: Literal["scenes"]
    seed: int = Field(default=0, ge=0)
    train: int = Field(default=2000, ge=1)
    test: int = Field(default=800, ge=0)


class CocoSpec(DatasetSpec, frozen=True):
    """MS COCO as the benchmarks read it: `splits` names the image set of each split."""

    format: Literal["coco"]
    splits: SplitNames = {"train": "train2014", "test": "val2014"}


class CocoJsonSpec(DatasetSpec, frozen=True):
    """Any data set with COCO-style annotation files, one a split; `images` is the folder that its file names are below."""

    format: Literal["coco_json"]
    annotations: SplitNames = Field(min_length=1)
    images: SplitNames = {}


class NusWideSpec(DatasetSpec, frozen=True):
    """NUS-WIDE, as Cole et al.'s formatted files or as the official lists, whichever is there; `images` is their folder."""

    format: Literal["nuswide"]
    classes: tuple[str, ...] = Field(default=(), validate_default=True)
    images: str = "Flickr"


class CubSpec(DatasetSpec, frozen=True):
    """CUB-200-2011, whose classes are its attributes."""

    format: Literal["cub"]
    classes: tuple[str, ...] = Field(default=(), validate_default=True)
    folder: str = "CUB_200_2011"


class FormattedSpec(DatasetSpec, frozen=True):
    """The formatted_{train,val}_{images,labels,labels_obs}.npy of Cole et al., in `folder`; `images` is the image root."""

    format: Literal["formatted"]
    classes: tuple[str, ...] | str | None = Field(default=(), validate_default=True)
    images: str = "."


class ImageFolderSpec(DatasetSpec, frozen=True):
    """A folder of images for each class; `splits` names the folder of each split, left out: all images are for training."""

    format: Literal["image_folder"]
    splits: SplitNames = {}
    labels: Literal["complete", "observed"] = "observed"


class WebDatasetSpec(DatasetSpec, frozen=True):
    """WebDataset tar shards: glob patterns for each split; each sample's labels are in its file of `label_extension`.

    A .txt holds names between `label_separator`, a .cls one name or number, a .json the same under `label_key`.
    """

    format: Literal["webdataset"]
    shards: SplitNames = Field(min_length=1)
    label_extension: str = "json"
    label_key: str = "labels"
    label_separator: str = Field(default=";", min_length=1)
    labels: Literal["complete", "observed"] = "complete"


class HuggingFaceSpec(DatasetSpec, frozen=True):
    """A folder that Hugging Face `datasets` saved to disk, or its Parquet files: a folder or glob pattern for each split."""

    format: Literal["huggingface"]
    files: SplitNames = Field(min_length=1)
    image_column: str = "image"
    label_column: str = "labels"
    label_separator: str = Field(default=";", min_length=1)
    labels: Literal["complete", "observed"] = "complete"


AnySpec = Annotated[
    VocSpec
    | CocoSpec
    | CocoJsonSpec
    | NusWideSpec
    | CubSpec
    | FormattedSpec
    | TableSpec
    | ImageFolderSpec
    | WebDatasetSpec
    | HuggingFaceSpec
    | ScenesSpec,
    Field(discriminator="format"),
]
