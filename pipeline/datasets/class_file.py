"""A file of class names, one a line or a list of JSON or YAML, -> the names; what may be more than a name is refused."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import AevlpError, in_one_line
from ..labels.names import named_twice
from ..manifest.formats import DatasetSpec
from . import column_words
from .class_list_check import key_of
from .faults import DataError, Report, not_there, refuse
from .file_tree import image_ending
from .json_text import json_value
from .text_lists import read_lines

_WHAT = "the class names in"
_COLON = re.compile(r"(\d+)\s*[:=]\s*\S.*")  # `0: cat`, as YOLO's lists have it
_NUMBERED = re.compile(r"(\d+)[\s.,;)]+\S.*")
_ALONE = "expected names alone, one a line"
_TABLES = (".csv", ".tsv")
_HEADERS = column_words.LABELS | {"name", "names", "classname", "classnames"}


def class_list(spec: DatasetSpec, root: Path, report: Report = refuse) -> tuple[str, ...] | None:
    """Return the manifest's class names, from the file that it names where it names one; None where it says nothing.

    A class that the file names twice is reported, and taken once.
    """
    if not isinstance(spec.classes, str):
        return spec.classes
    path = root / spec.classes
    if not path.is_file():
        raise not_there(spec, root, path)
    names = tuple(filter(None, names_in(path)))
    if twice := named_twice(names):
        report(DataError("class named twice", f"{path}: classes named twice: {', '.join(twice)}"))
    if not names:
        raise AevlpError(f"{path}: the file is empty, expected one class name a line")
    return tuple(dict.fromkeys(names))


def names_in(path: Path) -> list[str]:
    """Return the class names in a file, stripped; [] of an empty one.

    Raises AevlpError for a file that is no text, and where a line holds more than a name: a number before each, a comment,
    the quotes, brackets or dashes of a list, the cells of a table.
    """
    lines = read_lines(path, _WHAT)
    text = "\n".join(lines).strip()
    if path.suffix.lower() == ".json" or text.startswith(("[", "{")):
        return _names(_from_json(text, path), path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _names(_from_yaml(text, path), path)
    named = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    names = [line for _, line in named]
    for n, line in named:
        if line.startswith(("#", "//")):
            raise AevlpError(f"{path}, line {n}: {line[:60]!r} looks like a comment, {_ALONE}: delete the line")
        if _is_row(line, path):
            raise AevlpError(
                f"{path}, line {n}: {line[:60]!r} is a row of a table, {_ALONE}: write them into a file .txt, "
                f"or pass the table as SOURCE"
            )
        if is_quoted(line):
            raise AevlpError(
                f"{path}, line {n}: {line[:60]!r} has the quotes or brackets of a list, {_ALONE}: delete them"
            )
    if path.suffix.lower() in _TABLES and names and key_of(names[0]) in _HEADERS:
        raise AevlpError(
            f"{path}: its first line, {names[0]!r}, looks like the header of a table, {_ALONE}: delete it, or write the names "
            f"into a file .txt where it is a class"
        )
    if len(names) > 1 and all(line.startswith("- ") for line in names):
        raise AevlpError(f"{path}: its lines begin with a dash, as in {names[0][:60]!r}, {_ALONE}: delete the dashes")
    if _are_numbered(names):
        raise AevlpError(
            f"{path}: its lines are numbered, as in {names[0][:60]!r}, {_ALONE}: delete the numbers, and keep the order where "
            f"labels are numbers"
        )
    return names


def is_quoted(name: str) -> bool:
    """Return whether a name has the bracket of a list before or behind it, or a quote, as a piece of code has."""
    end = name.rstrip(", ")[-1:]
    return name[:1] in ("[", "{", '"', "'") or end == '"' or (end in ("]", "}") and not {"[", "{"} & set(name))


def _is_row(line: str, path: Path) -> bool:
    """Return whether a line has several cells: by a tab, by any separator in a file of a table, or as one names an image."""
    cells = re.split(r"[,;\t]", line)
    of_table = path.suffix.lower() in _TABLES or any(image_ending(cell.strip("\"' ")) for cell in cells)
    return "\t" in line or (len(cells) > 1 and of_table)


def _are_numbered(lines: Sequence[str]) -> bool:
    """Return whether a number stands before each name: with a colon, or one by one from 0 or 1 as "20 euro" does not."""
    if lines and all(map(_COLON.fullmatch, lines)):
        return True
    found = [match for line in lines if (match := _NUMBERED.fullmatch(line))]
    counted = sorted(int(match[1]) for match in found)
    return len(counted) == len(lines) > 1 and counted[0] in (0, 1) and counted == [*range(counted[0], counted[-1] + 1)]


def _from_json(text: str, path: Path) -> Any:
    try:
        return json_value(text)
    except (ValueError, RecursionError) as error:
        raise AevlpError(
            f"{path}: it begins as JSON and is none ({in_one_line(error, 80)}); write one class name a line"
        ) from error


def _from_yaml(text: str, path: Path) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise AevlpError(f"{path}: it is no YAML ({in_one_line(error, 80)}); write one class name a line") from error


def _names(found: Any, path: Path) -> list[str]:
    if isinstance(found, str):  # of a YAML file: lines, or one name
        raise AevlpError(f"{path}: expected a list of class names, found a text: write a dash and a blank before each")
    if not isinstance(found, list):
        kind = "an object" if isinstance(found, dict) else repr(found)[:60]
        raise AevlpError(
            f"{path}: expected a list of class names, found {kind}: write one class name a line in a file .txt, in the order of "
            f"their numbers where labels are numbers"
        )
    for n, name in enumerate(found, 1):
        if not isinstance(name, str):
            raise AevlpError(
                f"{path}: name {n} of the list is {str(name)[:60]!r}, expected a class name as text: write it in quotes"
            )
    return [name.strip() for name in found]
