"""Images that the label files list and that are not on disk: said before any work, with what may be meant."""

import numpy as np

from ...pipeline.datasets import ImageTable
from ...pipeline.datasets.near_names import hints
from ...pipeline.errors import AevlpError
from ...pipeline.files.file_versions import FileVersions
from ...pipeline.manifest.formats import DatasetSpec
from ..console import say

SHOWN = 3


def note_missing(spec: DatasetSpec, images: ImageTable, versions: FileVersions) -> None:
    """Say which images are not in the data set's folder; AevlpError where none is. versions: of the images' files."""
    missing = [row for row, size in enumerate(versions.sizes) if size is None]
    if not missing:
        return
    said = hints(spec, images, missing, SHOWN)[:SHOWN]
    of_all = said[0] if len(set(said)) == 1 and len(said) > 1 else ""
    names = images.take(np.array(missing[:SHOWN])).relative_paths()
    each = [name if of_all or not hint else f"{name} ({hint[2:]})" for name, hint in zip(names, said, strict=True)]
    named = " ".join(f"{', '.join(each)}{', …' * (len(missing) > SHOWN)}{of_all}".split())
    root = images.root
    if len(missing) == len(images):
        question = "" if any(said) else "; is it the data set's own folder?"
        raise AevlpError(f"none of the {len(images):,} images that are listed is in {root}: {named}{question}")
    say(f"{len(missing):,} of {len(images):,} images are not in {root}: {named}")
