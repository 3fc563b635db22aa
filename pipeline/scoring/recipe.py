"""Everything that shapes a score, as one record: a cache's provenance, and what must agree for two scores to be of one kind."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..clip.towers import TORCH
from ..images.decoders import PILLOW
from ..score_cache import CacheHeader
from ..score_cache.provenance import simulation_of, without_origins

OF_FEATURES = "cosines of the text features"  # what a text graph relates classes by where nothing else is given
ELSEWHERE = ("images", "store", "storage", "prompts")  # of the header, not of the provenance in it


@dataclass(frozen=True)
class MadeFrom:
    """A data set: its name, the manifest ("" for the packaged one), its folder, and hashes of the data and of its label files.

    split_by: the shares of the splits that images were put in by their content, None where their splits were given.
    """

    name: str
    manifest: str
    root: str
    fingerprint: str
    label_files: dict[str, str]
    split_by: dict[str, float] | None = None


@dataclass(frozen=True)
class Recipe:
    """What a cache's scores were made of, and how.

    images: how many. store, storage, prompts: as in `CacheHeader`. clip: as `ClipSource.recorded` finds it again. resize: as
    `resizing.described` says it. prompt: the templates. text_graph: its constants, or "none". method: the constants of the
    scores, and the grid. simulate: by which regime labels were hidden. vocabulary: "selected" or "rescored" where the classes
    are not those that were scored. logits: the model's own scale and bias, {"scale": s, "bias": b or None}, which make logits of
    its cosines; None in caches of before they were recorded.
    """

    images: int
    store: str
    storage: str
    prompts: tuple[str, ...]
    dataset: MadeFrom
    clip: dict[str, Any]
    weights_sha256: str
    activation: str
    image_size: int
    pixel_statistics: dict[str, Any]
    resize: str
    decoder: str
    tower: str
    prompt: list[str]
    text_graph: dict[str, Any] | str
    method: dict[str, Any]
    simulate: dict[str, Any]
    precision: str
    seed: int
    versions: dict[str, str]
    vocabulary: str | None = None
    logits: dict[str, float | None] | None = None

    @classmethod
    def of(cls, header: CacheHeader) -> "Recipe":
        """Return what a cache was made of; what caches of before did not record is what it was then."""
        made = header.provenance
        of_data = {f.name: made["dataset"].get(f.name) for f in fields(MadeFrom)}
        then = {
            **{f.name: made.get(f.name) for f in fields(cls) if f.name not in ELSEWHERE},
            "dataset": MadeFrom(**of_data),
            "simulate": simulation_of(made),
            "decoder": made.get("decoder", PILLOW),
            "tower": made.get("tower", TORCH),  # before there were others
            "method": {"half": False, **made["method"]},  # before it was a constant
        }
        return cls(images=header.rows, store=header.stores, storage=header.storage, prompts=header.prompts, **then)

    def provenance(self) -> dict[str, Any]:
        """Return what a cache records."""
        whole = {name: value for name, value in vars(self).items() if name not in ELSEWHERE}
        whole["dataset"] = asdict(self.dataset)
        if self.dataset.split_by is None:
            del whole["dataset"]["split_by"]
        for name in ("vocabulary", "logits"):
            if whole[name] is None:
                del whole[name]
        return whole

    def comparable(self) -> dict[str, Any]:
        """Return what must agree for two runs to give the same cache: all but where the files were, and what decoded them.

        The data's fingerprint stands last: it changes with the observed labels too, and the regime says more than a hash.
        """
        whole = {**{name: getattr(self, name) for name in ELSEWHERE}, **without_origins(self.provenance())}
        del whole["dataset"], whole["decoder"]  # no decoder is used that does not give the same pixels
        return {**whole, "dataset": {"name": self.dataset.name, "fingerprint": self.dataset.fingerprint}}

    def shaping(self) -> dict[str, Any]:
        """Return what must agree for an image to get the same scores, whichever others stand beside it."""
        return {name: value for name, value in self.comparable().items() if name not in ("images", "dataset")}

    def of_shards(self, more: dict[str, Any]) -> dict[str, Any]:
        """Return what must agree for two processes to share the shards of one cache.

        more: what shapes a shard besides: the list of images, the device, the sizes of a batch and of a shard.
        """
        whole = {**self.comparable(), **more}
        return {**whole, "dataset": {"name": self.dataset.name}}  # each shard has the file versions of its own
