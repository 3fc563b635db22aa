"""What was said of a source, what its form shows, and what is understood of it."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import AevlpError

# Keys of an entry that the command line has an option of its own for; every other goes through `--key`.
OPTIONS = {
    "classes": "--classes",
    "image_column": "--image-column",
    "label_column": "--label-column",
    "label_separator": "--label-separator",
    "split_column": "--split-column",
    "split_by": "--split-by",
}
_UNNAMED = "and the manifest does not name it"
_SPLIT = re.compile(r"`split_column: ([^`]+)`")
QUOTES = "'\""
_SAID = re.compile(
    r"`([a-z_]+): ((?:[^`]|``)+)`|`(classes|[a-z]+_(?:column|columns|separator|form|values|threshold|label))`"
)


@dataclass(frozen=True)
class Given:
    """What a person said of a source. classes: names, or None. keys: of the manifest entry, as that has them."""

    classes: tuple[str, ...] | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)

    def says(self, key: str) -> bool:
        """Return whether a key of the entry was given, also as nothing."""
        return key in self.keys or (key == "classes" and self.classes is not None)


@dataclass(frozen=True)
class Draft:
    """What the form of a source shows: the keys of its entry, its folder, and the words that say it.

    splits: the words that say where its splits are from, None where nobody gave any. labelled: whether it has labels.
    numbered: whether those are numbers, so that no name of the list can be left out.
    """

    entry: dict[str, Any]
    root: Path
    what: str
    splits: str | None = None
    labelled: bool = True
    numbered: bool = False

    @property
    def place(self) -> Path:
        """The file that its labels are in, its folder where they are in several or in none."""
        files = self.entry.get("table", self.entry.get("annotations", ()))
        names = [files] if isinstance(files, str) else [*dict(files).values()]
        return self.root / names[0] if len(names) == 1 else self.root


@dataclass(frozen=True)
class Understood:
    """source: what was looked at. name: of the data set. entry: its entry in a manifest, without `root`. root: its folder.

    lines: what is said of it.
    """

    source: Path
    name: str
    entry: dict[str, Any]
    root: Path
    lines: tuple[str, ...]


def with_options(error: AevlpError) -> AevlpError:
    """Return an error that names a key of a manifest's entry, with the option of the command line that says it."""
    text = str(error).replace("`classes`", "--classes").replace(_UNNAMED, "and no option names it")
    text = text.replace("`split_column: null`", "--split-column none")
    text = _SPLIT.sub(lambda found: f"--split-column {shlex.quote(found[1])}", text)
    for found in _SAID.finditer(text):
        key, value = found[1] or found[3], found[2]
        option = OPTIONS.get(key)
        if (option or "--key") in text:
            return AevlpError(text)
        if option is None:
            return AevlpError(f"{text}; here: --key '{key}: {value or '…'}'")
        shown = f" {shlex.quote(value.strip(QUOTES))}" if value else ""
        return AevlpError(f"{text}; here: {option}{shown}")
    return AevlpError(text)
