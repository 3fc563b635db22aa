"""What a manifest may say of a data set: one class a format on disk, each key checked."""

from os.path import normpath
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from ..errors import AevlpError
from ..files.locations import RemotePath, location
from ..labels.names import fault_of_names
from ..labels.observation import checked
from .label_keys import LabelKeys
from .sections import (
    Clip,
    Damp,
    Download,
    Expected,
    Recipe,
    Section,
    SplitBy,
    SplitNames,
    TextGraphConstants,
    listed_names,
    one_or_several,
)
from .table_keys import ColumnKeys, ColumnName, ColumnNames, TableKeys

PACKAGED = Path(__file__).resolve().parents[2] / "data_manifest.yaml"


class DatasetSpec(Section, frozen=True):
    """What every data set has; `name` and `directory` come from where the manifest says it.

    not_read: keys that other formats read, and this one does not, with what says it here.
    """

    not_read: ClassVar[dict[str, str]] = {
        "folder": "all paths are relative to the data set's folder, which `root` says"
    }
    title: str
    format: str
    root: str | None = None
    downloads: tuple[Download, ...] = ()
    steps: str | None = None
    classes: tuple[str, ...] | str | None = None
    natural_names: dict[str, str] = Field(default_factory=dict)
    synonyms: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    name_rule: Literal["plain", "attribute"] = "plain"
    prompt: Annotated[tuple[str, ...], BeforeValidator(one_or_several)] = ("a photo of a {}.",)
    simulate: dict[str, Any] | None = None
    split_by: SplitBy | None = None
    expected: Expected = Expected()
    clip: Clip = Clip()
    damp: Damp = Damp()
    text_graph: TextGraphConstants | None = None
    recipe: Recipe = Recipe()
    expected_positives: float | None = Field(default=None, gt=0)
    losses: dict[str, dict[str, Any]] = Field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = Field(default_factory=dict)
    published: dict[str, float] = Field(default_factory=dict)
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
        """Return the data set's own folder: `root`, beside the manifest or remote; for packaged entries data/<name>."""
        if self.manifest_path == PACKAGED:
            return Path("data") / self.name
        root = location(self.root or ".")
        # Not `cache/../photos`: the folder of a manifest that is about to be written may not be there yet.
        return root if isinstance(root, RemotePath) else Path(normpath(self.manifest_path.parent / root))

    @model_validator(mode="before")
    @classmethod
    def _reads_all_keys(cls, entry: Any) -> Any:
        for key in ("observation", "observe"):
            if isinstance(entry, dict) and key in entry:
                raise ValueError(
                    f"`{key}` is called `simulate` now: rename the key, such as `simulate: single-positive`"
                )
        for key, instead in cls.not_read.items():
            if isinstance(entry, dict) and key in entry and key not in cls.model_fields:
                raise ValueError(f"`format: {entry.get('format')}` does not read `{key}`: {instead}")
        return entry

    @field_validator("prompt")
    @classmethod
    def _one_place_for_the_class(cls, prompt: tuple[str, ...]) -> tuple[str, ...]:
        if not prompt:
            raise ValueError("expected a template or a list of them, found an empty list")
        if any("{}" not in template or set("{}") & set(template.replace("{}", "", 1)) for template in prompt):
            raise ValueError("a prompt holds {} once, where the class name goes, and no other brace")
        return prompt

    @field_validator("simulate", mode="before")
    @classmethod
    def _known_regime(cls, simulate: Any) -> dict[str, Any] | None:
        if not isinstance(simulate, dict | str | None):
            raise ValueError(f"expected a regime such as single-positive, or none, found {simulate!r}")
        try:
            return None if simulate is None else checked(simulate)
        except AevlpError as error:
            raise ValueError(str(error)) from error

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, classes: Any) -> Any:
        return (
            classes if isinstance(classes, str | None) else listed_names(classes, "a list of names or a file of them")
        )

    @field_validator("classes")
    @classmethod
    def _distinct_classes(cls, classes: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        if isinstance(classes, tuple):
            if not classes:
                raise ValueError("there must be at least one class")
            classes = tuple(name.strip() for name in classes)
            if fault := fault_of_names(classes):
                raise ValueError(fault)
        return classes


class VocSpec(DatasetSpec, frozen=True):
    """PASCAL VOC devkit: `splits` names the image set of each split, or the folder of it where XML files alone are there.

    classes: needed where there are lists of classes; left out, the names in the XML files, sorted.
    """

    format: Literal["voc"]
    folder: str = "."
    splits: SplitNames = Field(default={"train": "train", "test": "val"}, min_length=1)


class TableSpec(LabelKeys, ColumnKeys, TableKeys, DatasetSpec, frozen=True):
    """Images listed in a CSV, JSON-lines or Parquet file: a row an image, or with `rows: label` a row a label.

    label_columns: a column for each class, instead of `label_column`. confidence_column: says of a row's label whether it is
    present (1) or verified absent (0); null for a column named Confidence that is to be passed over.
    """

    not_read: ClassVar[dict[str, str]] = {
        "folder": "the folder of its images is `images`, that of all its files `root`"
    }
    format: Literal["table"]
    label_columns: ColumnNames | None = None
    split_column: ColumnName | None = None
    rows: Literal["image", "label"] = "image"
    confidence_column: ColumnName | None = None

    def of_a_column_of_labels(self) -> list[str]:
        """Return the keys of the manifest that say something of a column of labels, and nothing of columns of classes."""
        keys = [key for key in ("label_column", "label_form", "confidence_column", "no_label") if getattr(self, key)]
        return [key for key in keys if key in self.model_fields_set] + ["rows: label"] * (self.rows == "label")

    @model_validator(mode="after")
    def _labels_in_one_place(self) -> Self:
        if self.label_columns is not None and (keys := self.of_a_column_of_labels()):
            raise ValueError(f"`label_columns` and `{keys[0]}` exclude each other: leave one of them out")
        if self.rows == "label" and self.label_form == "vector":
            raise ValueError(
                "a vector is of a table with a row an image: leave `rows: label` or `label_form: vector` out"
            )
        return self

    @model_validator(mode="after")
    def _splits_in_one_place(self) -> Self:
        if isinstance(self.table, dict) and self.split_column is not None:
            raise ValueError("`table` names a file for each split: leave `split_column` out")
        return self


class ScenesSpec(DatasetSpec, frozen=True):
    """Generated pictures of shapes: of which series, how many, and the seed."""

    format: Literal["scenes"]
    series: Literal[1, 2] = 1
    seed: int = Field(default=0, ge=0)
    train: int = Field(default=2000, ge=1)
    test: int = Field(default=800, ge=0)


class CocoSpec(DatasetSpec, frozen=True):
    """MS COCO as the benchmarks read it: `splits` names the image set of each split."""

    format: Literal["coco"]
    splits: SplitNames = Field(default={"train": "train2014", "test": "val2014"}, min_length=1)


class CocoJsonSpec(DatasetSpec, frozen=True):
    """Any data set with COCO-style annotation files, one a split; `images` is the folder that its file names are below."""

    not_read: ClassVar[dict[str, str]] = {
        "folder": "the folder of its images is `images`, one for each split, that of all its files `root`"
    }
    format: Literal["coco_json"]
    annotations: SplitNames = Field(min_length=1)
    images: SplitNames = Field(default_factory=dict)


class NusWideSpec(DatasetSpec, frozen=True):
    """NUS-WIDE, as Cole et al.'s formatted files or as the official lists, whichever is there; `images` is their folder."""

    not_read: ClassVar[dict[str, str]] = {
        "folder": "the folder of its images is `images`, that of all its files `root`"
    }
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
    folder: str = "."
    classes: tuple[str, ...] | str | None = Field(default=(), validate_default=True)
    images: str = "."


class ImageFolderSpec(DatasetSpec, frozen=True):
    """A folder of images for each class; `splits` names the folder of each split, left out: all images are for training."""

    not_read: ClassVar[dict[str, str]] = {
        "folder": "the folder of each split is in `splits`, that of all of them `root`"
    }
    format: Literal["image_folder"]
    splits: SplitNames = Field(default_factory=dict)
    labels: Literal["complete", "observed"] = "observed"


class ImagesSpec(DatasetSpec, frozen=True):
    """A folder of images without labels, all for training; `classes` are what they may show, and nothing is observed."""

    not_read: ClassVar[dict[str, str]] = {"folder": "the folder of its images is `root`"}
    format: Literal["images"]
    classes: tuple[str, ...] | str | None = Field(default=(), validate_default=True)


class WebDatasetSpec(LabelKeys, DatasetSpec, frozen=True):
    """WebDataset tar shards: a glob pattern for each split, in which {000..012} may stand for numbers.

    A sample's labels are in its file of `label_extension`: a .txt holds names, one a line or with `label_separator` between
    them; a .cls one name or number; a .json names or numbers, or an object that has them under `label_key`. Numbers count
    from 0 and need `classes`. image_extension: which file is the image, where a sample has several, such as a mask.
    """

    not_read: ClassVar[dict[str, str]] = {"folder": "write it into the patterns of `shards`, or as `root`"}
    format: Literal["webdataset"]
    shards: SplitNames = Field(min_length=1)
    image_extension: str | None = None
    label_extension: str = "json"
    label_key: str = "labels"

    @field_validator("image_extension", "label_extension")
    @classmethod
    def _without_a_dot(cls, extension: str | None) -> str | None:
        return extension and extension.removeprefix(".").lower()

    @field_validator("label_extension")
    @classmethod
    def _known_kind(cls, extension: str) -> str:
        if extension.rpartition(".")[2] not in ("txt", "cls", "json"):
            raise ValueError(f"labels are in a .txt, .cls or .json, found {extension!r}")
        return extension


class HuggingFaceSpec(LabelKeys, ColumnKeys, DatasetSpec, frozen=True):
    """What Hugging Face `datasets` wrote: for each split a folder of `save_to_disk`, or a glob pattern of Parquet or Arrow files.

    image_column: Image features, bytes, or paths below the data set's folder. label_column: names or numbers, one or a list,
    or text with `label_separator` between names; numbers count from 0 and need ClassLabel names or `classes`.
    """

    not_read: ClassVar[dict[str, str]] = {"folder": "write it into `files`, or as `root`"}
    format: Literal["huggingface"]
    files: SplitNames = Field(min_length=1)
