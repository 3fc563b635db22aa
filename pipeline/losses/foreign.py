"""Losses from elsewhere: what is known of one by its class."""

from ..custom import Custom, require_reads
from .interface import READABLE

CUSTOM = Custom(
    "loss",
    "my_losses:Focal",
    "aevlp.losses",
    ("__call__",),
    "a class whose objects are called with logits and targets",
)
installed, is_named, load = CUSTOM.installed, CUSTOM.is_named, CUSTOM.load
source_sha256, written_constants = CUSTOM.source_sha256, CUSTOM.written_constants


def described(cls: type) -> tuple[str, int | None, str, tuple[str, ...], str, str, str]:
    """Return paper, year, title, reads, state, policy and head of a foreign loss: its attributes of these names, or defaults.

    Raises AevlpError where `reads` names what no loss can read.
    """
    reads = getattr(cls, "reads", ("observed", "pseudo"))
    require_reads(cls, reads, READABLE)
    paper = getattr(cls, "paper", "-")
    rest = (getattr(cls, "state", "none"), getattr(cls, "policy", "damp"), getattr(cls, "head", "linear"))
    return paper, getattr(cls, "year", None), getattr(cls, "title", ""), tuple(reads), *rest
