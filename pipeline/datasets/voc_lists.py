"""The lists of a PASCAL VOC devkit: the images of a set, and for each class which of them show it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AevlpError, some
from .text_lists import read_lines

NAMED = 5  # ids in a message


@dataclass
class ClassLists:
    """What the lists of a set say. flags: by class, whether each image that its list names shows it. absent: the lists that
    are not there."""

    main: Path
    image_set: str
    flags: dict[str, dict[str, bool]] = field(default_factory=dict)
    absent: list[Path] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Return the list of a class."""
        return self.main / f"{name}_{self.image_set}.txt"

    @property
    def files(self) -> list[Path]:
        """The lists that are there."""
        return [self.path(name) for name in self.flags]

    def shown(self, image: str) -> list[str]:
        """Return the classes of which a list says that the image shows them."""
        return [name for name, flags in self.flags.items() if flags.get(image)]

    def without(self, image: str) -> list[str]:
        """Return the classes whose list does not name the image."""
        return [name for name, flags in self.flags.items() if image not in flags]

    def images(self) -> list[str]:
        """Return the images that any list names, in the order of the lists."""
        return list(dict.fromkeys(image for flags in self.flags.values() for image in flags))


def read_class_lists(main: Path, image_set: str, classes: Iterable[str], whole: list[str] | None) -> ClassLists:
    """Return the lists <class>_<set>.txt in ImageSets/Main: only the flag 1 counts, 0 (difficult) and -1 are absent.

    whole: the images of the set. Raises AevlpError for a line of another form, and for an image that is none of the set's.
    """
    found = ClassLists(main, image_set)
    known = None if whole is None else set(whole)
    for name in classes:
        if (path := found.path(name)).is_file():
            found.flags[name] = _flags(path, known)
        else:
            found.absent.append(path)
    return found


def read_set(path: Path) -> list[str]:
    """Return the images that the list of a set names."""
    return [_unquoted(line.strip()) for line in read_lines(path, "a list") if line.strip()]


def _flags(path: Path, known: set[str] | None) -> dict[str, bool]:
    flags: dict[str, bool] = {}
    for number, line in enumerate(read_lines(path, "a list"), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or fields[-1] not in ("1", "0", "-1"):
            raise AevlpError(f"{path}, line {number}: expected an image id and 1, 0 or -1, found {line.strip()!r}")
        image = fields[0]
        if len(fields) > 2 and (line.lstrip().startswith('"') or image not in (known or {image})):
            image = _unquoted(line.strip().rpartition(fields[-1])[0].strip())  # a name with blanks
        flags[image] = flags.get(image, False) or fields[-1] == "1"
    if known is not None and (odd := [image for image in flags if image not in known]):
        raise AevlpError(f"{path} names images that the list of the whole set does not: {some(odd, NAMED)}")
    return flags


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
