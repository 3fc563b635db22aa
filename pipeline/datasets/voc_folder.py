"""A folder of a labelling tool -> its XML files and its pictures, and which of them belong together."""

from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from ..errors import AevlpError
from ..files.file_reading import find_pictures, is_systems
from ..files.image_formats import ENDINGS
from ..labels.splits import SPLITS, split_of
from .faults import DataError

# Folders that hold one kind of file and say nothing of what it shows.
XML_FOLDERS = {"annotations", "annotation", "xml", "xmls", "labels"}
PICTURE_FOLDERS = {"jpegimages", "images", "image", "imgs", "img"}


class LabelledFolder:
    """The XML files and pictures below a folder; an image's id is its XML file's name there, without Annotations/ and .xml.

    They belong together by name and folder: train/a.xml or Annotations/train/a.xml, train/a.jpg or JPEGImages/train/a.png.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def xml(self) -> dict[str, Path]:
        """The XML files by image id, sorted; AevlpError where two are of one id."""
        files: dict[str, Path] = {}
        for path in sorted(self.folder.glob("**/*.[xX][mM][lL]")):
            relative = path.relative_to(self.folder)
            if any(map(is_systems, relative.parts)):
                continue
            name = _without(relative, XML_FOLDERS).with_suffix("").as_posix()
            if (first := files.setdefault(name, path)) != path:
                raise AevlpError(f"{first} and {path} are both of the image {name}: remove one")
        return files

    def id_of(self, listed: str) -> str | None:
        """Return the image id of a line in a list, with or without an ending; None where no XML file is its for certain."""
        bare = PurePosixPath(listed)
        for name in (listed, bare.with_suffix("").as_posix() if bare.suffix.lower() in ENDINGS else listed):
            if name in self.xml:
                return name
            if len(same := self._xml_names[PurePosixPath(name).name]) == 1:
                return same[0]
        return None

    def picture_of(self, name: str, written: str | None = None) -> Path | None:
        """Return the picture of an image id, None where there is none.

        It is called as the XML file is, whatever its ending, or as `written` in that. DataError where it may be either of two.
        """
        place = PurePosixPath(name)
        found = self._named[name], self._named[(place.parent / written).as_posix()] if written else []
        if not any(found):
            alone = len(self._xml_names[place.name]) < 2
            found = (
                self._elsewhere(place, place.name) if alone else [],
                self._elsewhere(place, written) if written else [],
            )
        by_stem, by_name = found
        if by_name and set(by_name) <= set(by_stem):
            by_stem = by_name
        either = sorted({*by_stem, *by_name})
        if len(either) > 1:
            listed = " and ".join(path.relative_to(self.folder).as_posix() for path in either[:2])
            raise DataError(
                "bad row", f"{self.folder}: {listed} may both be the picture of {name}: remove or rename one"
            )
        return either[0] if either else None

    def split_folders(self) -> dict[str, str]:
        """Return the folders with XML files that are named as splits, by split."""
        parents = sorted({part for name in self.xml for part in PurePosixPath(name).parts[:-1]})
        return {split: part for split in SPLITS for part in parents if split_of(part) == split}

    def _elsewhere(self, place: PurePosixPath, name: str) -> list[Path]:
        """Return the pictures of a name in any folder, other than those in the folder of another split."""
        return [path for path in self._named[f"*/{name}"] if _splits(path.relative_to(self.folder)) == _splits(place)]

    @cached_property
    def _xml_names(self) -> defaultdict[str, list[str]]:
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.xml:
            names[PurePosixPath(name).name].append(name)
        return names

    @cached_property
    def _named(self) -> defaultdict[str, list[Path]]:
        """The pictures by their name below the folder, with and without ending; by that in any folder after "*/"."""
        names: defaultdict[str, list[Path]] = defaultdict(list)
        for path in find_pictures(self.folder).images:
            place = _without(path.relative_to(self.folder), PICTURE_FOLDERS)
            for key in {place.as_posix(), place.with_suffix("").as_posix()}:
                names[key].append(path)
            for key in {place.name, place.stem}:
                names[f"*/{key}"].append(path)
        return names


def _without(path: Path, folders: set[str]) -> PurePosixPath:
    """Return a path without the first folder that only tells the kind of file."""
    parts = list(path.parts)
    for n, part in enumerate(parts[:-1]):
        if part.lower() in folders:
            del parts[n]
            break
    return PurePosixPath(*parts)


def _splits(path: PurePosixPath | Path) -> set[str | None]:
    return {split_of(part) for part in path.parts[:-1]} - {None}
