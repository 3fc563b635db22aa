"""The sections of a manifest's entry that say how it is scored and trained, each checking its own ranges."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, field_validator, model_validator

from ..errors import AevlpError
from ..images.schemes import scheme
from ..labels.damp import DampSettings
from ..labels.splits import SPLITS, split_of
from .clip_names import may_bring_weights
from .pixel_statistics import Three, checked


def known_splits(names: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of each split, in the order of `SPLITS`; ValueError for a word that stands for none, or twice."""
    found: dict[str, Any] = {}
    for word, value in names.items():
        split = split_of(str(word))
        if split is None:
            raise ValueError(f"a split is train, val or test, found {word!r}")
        if split in found:
            raise ValueError(f"the split {split} stands twice, the second time as {word!r}")
        found[split] = value
    return {split: found[split] for split in SPLITS if split in found}


def listed_names(names: Any, expected: str = "a list of names") -> Any:
    """Return a list of names; ValueError for anything else, such as a bare 1 or no in YAML, which is no text."""
    if not (isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)):
        raise ValueError(f"expected {expected}; quote a name that YAML reads differently, as 'no' or '1'")
    return names


def one_or_several(given: Any) -> Any:
    """Return a list, of one where a text is given."""
    return (given,) if isinstance(given, str) else given


Names = Annotated[tuple[str, ...], BeforeValidator(listed_names)]
SplitNames = Annotated[dict[str, str], AfterValidator(known_splits)]


class Section(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A part of the manifest; a key it does not know is a mistake."""


class Download(Section, frozen=True):
    """One archive of a data set, which unpacks in the data set's folder.

    url, md5, size in bytes: as published. images: the folder of the images in it, where a data set has several archives.
    """

    url: str = Field(pattern="^https?://")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    size: int | None = Field(default=None, ge=1)
    images: str | None = None

    @property
    def file(self) -> str:
        """The archive's file name."""
        return self.url.rsplit("/", 1)[-1]


class Expected(Section, frozen=True):
    """How many classes and images the published version has."""

    classes: int | None = None
    train: int | None = None
    test: int | None = None


class Clip(Section, frozen=True):
    """The scoring model, as `clip_source` says, and what is said of its training besides.

    weights: a tag, a file, or None for those that lie with the model's configuration.
    """

    model: str = "ViT-B-16"
    weights: str | None = "openai"
    mean: Three | None = None
    std: Three | None = None
    activation: Literal["gelu", "quick_gelu"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("mean") is not None or given.get("std") is not None:
            try:
                checked(given.get("mean"), given.get("std"), ("mean", "std"))
            except AevlpError as error:
                raise ValueError(str(error)) from error
        bring = "weights" not in given and may_bring_weights(str(given.get("model", "")))
        return {**given, "weights": None} if bring else given


def _views(grid: Any) -> int | str:
    """Return what is recorded of a scheme of views; its error as pydantic takes it."""
    try:
        return scheme(grid).recorded
    except AevlpError as error:
        raise ValueError(str(error)) from error


class Damp(Section, frozen=True):
    """The constants of the pseudo-labels (spec section 8); the defaults are the published program's.

    grid: tiles a side, or another scheme of views, as in "crops[count=16]" (`pipeline/images/schemes`).
    half: whether probabilities and scores are rounded to half precision; None does so under the rules of the published program.
    """

    grid: Annotated[int | str, BeforeValidator(_views)] = 4
    temperature: float = Field(default=0.01, gt=0)
    eta: float = Field(default=0.1, ge=0)
    threshold: float = Field(default=0.5, ge=0, le=1)
    top_k: int = Field(default=3, ge=1)
    negative_ratio: float = Field(default=0.1, ge=0, le=1)
    half: bool | None = None

    def settings(self, compat: str) -> DampSettings:
        """Return the constants that turn cosines into codes."""
        half = compat == "published" if self.half is None else self.half
        return DampSettings(**self.model_dump(exclude={"grid", "half"}), compat=compat, half=half)


class SplitBy(Section, frozen=True):
    """How images are divided where nobody said of which split they are.

    content: the share of each split; an image's place is the SHA-256 of its file, so it stays where it is when others are added,
    and two copies of one file are in one split.
    """

    content: Annotated[dict[str, float], AfterValidator(known_splits)]

    @field_validator("content")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        if "train" not in shares or not all(0 < share <= 1 for share in shares.values()):
            raise ValueError("expected a share above 0 of each split, such as {train: 0.7, val: 0.1, test: 0.2}")
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of the splits make 1 together, found {sum(shares.values()):g}")
        return shares


class TextGraphConstants(Section, frozen=True):
    """The constants of the label graph on text features (spec section 4); more neighbours than classes are all of them."""

    sparse_topk: int = Field(default=1000, ge=1)
    reweight: float = Field(default=0.2, ge=0, le=1)
    temperature: float = Field(default=0.3, gt=0)


class Recipe(Section, frozen=True):
    """How stage two trains: `lr` is the backbone's; the head learns `head_lr_factor` times faster.

    lr_schedule: of a backbone that learns; "one-cycle" rises to `lr` and falls to nearly nothing in the course of all epochs.
    image_size: pixels a side of the images that `backbone` is fed with; left out with clip, those of the scoring model.
    """

    backbone: str = "resnet50.tv_in1k"
    image_size: int = Field(default=448, ge=1)
    epochs: int = Field(default=8, ge=1)
    batch_size: int = Field(default=8, ge=1)
    lr: float = Field(default=1e-5, gt=0)
    head_lr_factor: float = Field(default=10, gt=0)
    lr_schedule: Literal["constant", "one-cycle"] = "constant"
    linear_init: int = Field(default=0, ge=0)
    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    linear_epochs: int = Field(default=25, ge=1)
    linear_lr: float = Field(default=1e-3, gt=0)
