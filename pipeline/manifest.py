"""data_manifest.yaml -> typed data sets: where each one's images and labels are, its classes, prompts and constants."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator

from .errors import AevlpError, unknown_name
from .pseudo_labels import DampSettings

PACKAGED = Path(__file__).resolve().parent.parent / "data_manifest.yaml"


class _Section(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A part of the manifest; a key it does not know is a mistake."""


class Download(_Section, frozen=True):
    """One archive of a data set: its address, checksum where the publisher states one, and where it unpacks to."""

    url: str
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    unpack: str = "."


class Expected(_Section, frozen=True):
    """How many classes and images the published version has."""

    classes: int | None = None
    train: int | None = None
    test: int | None = None


class Clip(_Section, frozen=True):
    """The scoring model: an open_clip name or a model-config JSON, and a tag or a weights file."""

    model: str = "ViT-B-16"
    weights: str = "openai"


class Damp(_Section, frozen=True):
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


class TextGraph(_Section, frozen=True):
    """The constants of the label graph on text features (spec section 4)."""

    sparse_topk: int = Field(ge=1)
    reweight: float = Field(ge=0, le=1)
    temperature: float = Field(gt=0)


class Recipe(_Section, frozen=True):
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


class DatasetSpec(_Section, frozen=True):
    """What every data set has; `name` and `directory` come from where the manifest says it."""

    title: str
    format: str
    root: str | None = None
    folder: str = "."
    downloads: tuple[Download, ...] = ()
    steps: str | None = None
    classes: tuple[str, ...] | str | None = None
    natural_names: dict[str, str] = {}
    prompt: str = "a photo of a {}."
    expected: Expected = Expected()
    clip: Clip = Clip()
    damp: Damp = Damp()
    text_graph: TextGraph | None = None
    recipe: Recipe = Recipe()
    losses: dict[str, dict[str, Any]] = {}
    readable: ClassVar[bool] = True
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

    @field_validator("prompt")
    @classmethod
    def _one_place_for_the_class(cls, prompt: str) -> str:
        if prompt.replace("{}", "", 1).count("{") or "{}" not in prompt:
            raise ValueError("a prompt holds {} once, where the class name goes, and no other brace")
        return prompt

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
    splits: dict[Literal["train", "test"], str] = {"train": "train", "test": "val"}


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


class ListedSpec(DatasetSpec, frozen=True):
    """A benchmark whose constants are known here and whose reader is not there yet."""

    format: Literal["coco", "nuswide", "cub"]
    readable: ClassVar[bool] = False


class Manifest(_Section, frozen=True):
    """All data sets of one manifest file; `manifest["voc"]` is one of them."""

    datasets: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")],
        Annotated[VocSpec | TableSpec | ScenesSpec | ListedSpec, Field(discriminator="format")],
    ] = Field(min_length=1)

    def __contains__(self, name: str) -> bool:
        return name in self.datasets

    def __getitem__(self, name: str) -> DatasetSpec:
        if name not in self.datasets:
            raise unknown_name("data set", name, self.datasets)
        return self.datasets[name]


def load_manifest(path: Path | str | None = None) -> Manifest:
    """Return the checked manifest at `path`, or the packaged one.

    Raises AevlpError that names every mistake with its place: a file that is missing or no YAML, an unknown key, a value of
    the wrong kind or out of range.
    """
    path = PACKAGED if path is None else Path(path)
    try:
        content = _SafeLoader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise AevlpError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AevlpError(f"the manifest {path} is not UTF-8 text: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # such as the 30th of February
        raise AevlpError(f"the manifest {path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        mistakes = [_mistake(e) for e in error.errors()]
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "1 mistake"
        raise AevlpError(f"{count} in the manifest {path}: {'; '.join(mistakes)}") from error
    for name, spec in manifest.datasets.items():
        spec.placed(name, path.resolve())
    return manifest


class _SafeLoader(yaml.SafeLoader):
    """PyYAML's safe loader, except that a key which stands twice is a mistake instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")]
        twice = next((key for n, key in enumerate(keys) if key in keys[:n]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"the key {twice!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _mistake(error: Any) -> str:
    # The third part of a data set's place is the format that pydantic chose by, not a key of the file.
    place = [str(p) for n, p in enumerate(error["loc"]) if n != 2]
    known = {"extra_forbidden": "unknown key", "missing": "missing"}
    message = known.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(place) or 'top level'}: {message}"
