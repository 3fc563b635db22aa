"""Images that are missing -> what may be meant: the file of nearly that name, or the folder that most of them are in."""

from collections import Counter
from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path, PurePosixPath
from posixpath import basename, dirname, join

from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from .file_tree import FileTree, grouped, image_ending, spelling
from .image_names import readings
from .image_table import ImageTable

FOLDERS = 200  # that are looked into, the nearest to the root first
FILES = 2000  # of one folder that a name is compared with
SAMPLE = 50  # missing images that are looked for elsewhere
LIKENESS = 0.6  # of two names, from which on one may be meant by the other


def hints(spec: DatasetSpec, images: ImageTable, missing: Sequence[int], shown: int) -> list[str]:
    """Return of each missing image, a row of `images`, what to say behind its name, "" for nothing; of `shown` at most.

    Where most images are missing and would be found in another folder, all are told that.
    """
    names, gone = images.relative_paths(), set(missing)
    near = NearNames(images.root, [name for row, name in enumerate(names) if row not in gone])
    if 2 * len(gone) > len(names):
        parts = {split: [names[row] for row in missing if images.split[row] == split] for split in SPLITS}
        below = {split: _below(spec, part) for split, part in parts.items() if part}
        folders = {split: near.folder_of(part) or near.folder_of_ends(part) for split, part in below.items()}
        stated = _stated(spec)
        known = {split: folder for split, folder in folders.items() if folder is not None and folder not in stated}
        if known and len(known) == len(folders):
            return [f"; did you mean {_key(spec, known)}?"] * len(missing)
    nearest = [near.nearest(names[row]) for row in missing[:shown]]
    return [f"; the nearest is {name}" if name else "" for name in nearest] + [""] * (len(missing) - len(nearest))


def _below(spec: DatasetSpec, missing: Sequence[str]) -> list[str]:
    """Return paths without the folder of images that the manifest says."""
    prefixes = [f"{folder}/" for folder in _stated(spec)]
    return [next((path[len(start) :] for start in prefixes if path.startswith(start)), path) for path in missing]


def _stated(spec: DatasetSpec) -> list[str]:
    """Return the folders of images that the manifest says."""
    stated = getattr(spec, "images", None) or {}
    folders = [stated] if isinstance(stated, str) else stated.values()
    return [PurePosixPath(folder).as_posix() for folder in folders]


def _key(spec: DatasetSpec, folders: dict[str, str]) -> str:
    """Return the manifest's key, as it would be written, that says in which folder the images of each split are."""
    if "images" not in type(spec).model_fields:
        return f"the files in {' and '.join(dict.fromkeys(folders.values()))}"
    if len(set(folders.values())) == 1 and spec.format != "coco_json":
        return f"`images: {next(iter(folders.values()))}`"
    return f"`images: {{{', '.join(f'{split}: {folder}' for split, folder in folders.items())}}}`"


class NearNames:
    """The files below a data set's folder that are no image of it. used: the paths below the root of its images."""

    def __init__(self, root: Path, used: Collection[str]) -> None:
        self._tree, self._used = FileTree(root), frozenset(used)

    def nearest(self, missing: str) -> str | None:
        """Return the file below the root that a missing path may mean: of its very name elsewhere, or nearly of its name."""
        elsewhere = self._by_spelling.get(spelling(basename(missing)), [])
        if len(elsewhere) == 1:
            return elsewhere[0]
        here, stem = dirname(missing), _stem(missing)
        content = self._tree.folder(here)
        if content is None:
            return None
        others = [name for name in sorted(content.files) if image_ending(name) and join(here, name) not in self._used]
        others = sorted(others, key=lambda name: abs(len(_stem(name)) - len(stem)))[:FILES]
        compared = [(SequenceMatcher(None, stem, _stem(name)).ratio(), name) for name in others]
        likeness, name = max(compared, default=(0.0, ""), key=lambda pair: pair[0])
        return join(here, name) if likeness >= LIKENESS else None

    def folder_of(self, names: Sequence[str]) -> str | None:
        """Return the one folder below the root from which most of these names would be found; None where there is none."""
        sample = names[:: max(1, len(names) // SAMPLE)][:SAMPLE]
        places: Counter[str] = Counter()
        for name in sample:
            places.update(self._folders_with(name))
        best = places.most_common(2)
        if not best or best[0][1] * 2 <= len(sample) or (len(best) > 1 and best[1][1] == best[0][1]):
            return None
        return best[0][0]

    def folder_of_ends(self, names: Sequence[str]) -> str | None:
        """Return the one folder below the root from which the ends of most of these paths would be found, as long as can be."""
        ends = [parts[-1] for name in names if (parts := [parts for parts, _ in readings(name)])]
        for length in range(max(map(len, ends), default=0), 0, -1):
            folder = self.folder_of(["/".join(parts[-length:]) for parts in ends])
            if folder is not None:
                return folder
        return None

    def _folders_with(self, name: str) -> set[str]:
        """Return the folders below the root, itself not, from which a name would be found."""
        key, above = spelling(basename(name)), _spellings(dirname(name))
        found = set()
        for file in {*self._by_spelling.get(key, ()), *self._by_stem.get(key, ())}:
            folder = [part for part in dirname(file).split("/") if part]
            cut = len(folder) - len(above)
            if cut > 0 and [spelling(part) for part in folder[cut:]] == above:
                found.add("/".join(folder[:cut]))
        return found

    @cached_property
    def _files(self) -> list[str]:
        walked = self._tree.walk(FOLDERS)
        paths = (join(place, name) for place, content in walked for name in content.files)
        return [path for path in paths if path not in self._used]

    @cached_property
    def _by_spelling(self) -> dict[str, list[str]]:
        return grouped((spelling(basename(path)), path) for path in self._files)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        return grouped((_stem(path), path) for path in self._files if image_ending(path))


def _stem(path: str) -> str:
    """Return the spelling of a file's name without the ending of an image."""
    return spelling(basename(path).removesuffix(image_ending(path)))


def _spellings(path: str) -> list[str]:
    return [spelling(part) for part in path.split("/") if part not in ("", ".")]
