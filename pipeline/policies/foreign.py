"""Policies from elsewhere: the class of one, checked."""

from ..custom import Custom, require_reads
from ..errors import AevlpError
from .interface import READABLE

CUSTOM = Custom(
    "policy",
    "my_policies:Nearest",
    "aevlp.policies",
    ("scores", "__call__"),
    "a class whose objects have `scores` and are called with what is known of images",
)
installed, is_named = CUSTOM.installed, CUSTOM.is_named
source_sha256, written_constants = CUSTOM.source_sha256, CUSTOM.written_constants


def load(name: str) -> type:
    """Import a policy's class. Raises AevlpError where `Custom.load` does, and where its `reads` is missing or odd.

    What a policy reads has no default: one that reads the truth is an upper bound, and the tables say so.
    """
    cls = CUSTOM.load(name)
    if not hasattr(cls, "reads"):
        raise AevlpError(f"{cls.__name__} must say what it reads: reads = (), or some of {', '.join(READABLE)}")
    require_reads(cls, getattr(cls, "reads"), READABLE)  # noqa: B009
    return cls
