"""What stands in one cell -> the labels in it, as they are written; what they mean is decided for a whole column."""

import ast
import math
import re
import tokenize
import warnings
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from itertools import pairwise
from typing import Any

from ..files.whole_text import is_whole
from ..labels.label_words import plain
from .class_list_check import key_of
from .column_words import SURE
from .faults import DataError
from .json_text import RepeatedKey, json_value

_NAME_FIELDS = ("label", "name", "class", "category", "label_name", "class_name", "category_name", "tag")
_LIST_FIELDS = ("choices", "labels")  # of Label Studio, and of many
_PLACE_FIELDS = {
    "id", "image_id", "category_id", "class_id", "label_id", "x", "y", "w", "h", "width", "height", "x1", "y1", "x2", "y2",
    "xmin", "ymin", "xmax", "ymax", "bbox", "box", "bounding_box", "area", "points", "polygon", "segmentation", "rotation",
    "color", "supercategory", "iscrowd",
}  # fmt: skip
_QUOTES_THAT_MEET = re.compile(r"""['"][\s\\]*[bBuUrR]*['"]""")
_VALUE = re.compile(r"[-+.\w?]+")
_LARGEST = 2**63  # number: a longer one is no class's, and may be too long to be written
Item = str | int | float | bool | None


@dataclass(frozen=True, slots=True, eq=False)  # cells that are alike are one, as 1 and true are not
class Cell:
    """items: the labels, stripped. listed: they were a list, not a text or a lone value. text: of a cell that was one."""

    items: tuple[Item, ...] = ()
    listed: bool = False
    text: str | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it, not even an empty list."""
        return not self.items and not self.listed

    @property
    def parts(self) -> tuple[Item, ...]:
        """The items of a cell that may be a list of values, which a text may have between any separators."""
        return self.items if self.text is None or self.listed else _loose(self.text)


@lru_cache(maxsize=65_536, typed=True)  # the same labels stand in many cells
def _cell(listed: bool, text: str | None, *items: Item) -> Cell:
    return Cell(items, listed, text)


def parsed(value: Any, separator: str | None, where: str, lines: bool = False) -> Cell:
    """Return what a cell holds: nothing, one label, or a list of them, also one that is written as text.

    separator: between the labels of a text, None where it holds one. lines: whether a line's end separates too.
    Raises DataError for what is no label nor a list of them: bytes that are no UTF-8, lists in lists, objects of another form.
    """
    try:
        if isinstance(value, bytes):
            value = _decoded(value)
        if isinstance(value, str):
            return _from_text(value, separator, lines)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return _cell(False, None)
        listed, items = _from_value(value)
        return _cell(listed, None, *items)
    except _NoLabel as error:
        found = f"{where}: expected class names or numbers, found {_short(error.value)}{error.more}"
        raise DataError("bad row", found) from error


class _NoLabel(Exception):
    def __init__(self, value: Any, more: str = "") -> None:
        super().__init__()
        self.value, self.more = value, more


def _from_value(value: Any) -> tuple[bool, list[Item]]:
    """Return whether a value is a list, and its items."""
    if isinstance(value, dict):
        fields = [field for field in _LIST_FIELDS if field in value]
        if len(value) != 1 or not fields:
            return True, [_named(value)]
        inner = value[fields[0]]
        return True, [_item(v) for v in (inner if isinstance(inner, list) else [inner])]
    if isinstance(value, list | tuple):
        return True, [_named(v) if isinstance(v, dict) else _item(v) for v in value]
    return False, [_item(value)]


def _item(value: Any) -> Item:
    value = _decoded(value) if isinstance(value, bytes) else plain(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        if abs(value) > _LARGEST:
            raise _NoLabel(value)
        return value
    if isinstance(value, str):
        if not is_whole(value):
            raise _NoLabel(value)
        return value.strip()
    if value is not None and not isinstance(value, float):
        raise _NoLabel(value)
    return value


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _NoLabel(value) from error


def _named(thing: dict[Any, Any]) -> Item:
    """Return the one name in an object, whose other fields cannot say anything against it."""
    names = [field for field in _NAME_FIELDS if field in thing]
    others = [field for field in thing if field not in names]
    doubtful = [
        field
        for field in others
        if field not in _PLACE_FIELDS and not (key_of(field) in SURE and thing[field] in (1, True))
    ]
    if len(names) != 1 or not isinstance(thing[names[0]], str) or doubtful:
        said = f", whose {doubtful[0]!r} may say more" if len(names) == 1 and doubtful else ""
        raise _NoLabel(thing, f"{said}: write a list of the names alone")
    return _item(thing[names[0]])


def _from_text(text: str, separator: str | None, lines: bool) -> Cell:
    if not is_whole(text):
        raise _NoLabel(text)
    return _text_cell(text, separator, lines)


@lru_cache(maxsize=65_536)
def _text_cell(text: str, separator: str | None, lines: bool) -> Cell:
    text = text.strip()
    if text[:1] in ("[", "(", "{"):
        value = _literal(text)
        if isinstance(value, dict | list | tuple):
            return _cell(True, text, *_from_value(value)[1])
    parts = [text] if separator is None else text.split(separator)
    if lines:
        parts = [p for line in text.splitlines() for p in ([line] if separator is None else line.split(separator))]
    return _cell(False, text, *(part.strip() for part in parts if part.strip()))


def _literal(text: str) -> Any:
    """Return the list or object that a text writes, as JSON, Python, or NumPy print it; None where it writes none."""
    try:
        return json_value(text)
    except RepeatedKey as error:
        raise _NoLabel(text, f", in which {error}") from error
    except (ValueError, RecursionError):
        pass
    if text[0] == "[" and text[-1] == "]" and text.count("[") == 1:
        try:
            return [_numpy_value(printed) for printed in text[1:-1].split()]
        except ValueError:
            pass
    try:
        if _QUOTES_THAT_MEET.search(text) and _has_joined_texts(text):  # which Python takes for one text
            return _numpy_texts(text)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(text, mode="eval")
            if any(_repeats(node) for node in ast.walk(tree)):
                raise _NoLabel(text, ", in which a field stands twice")
            value = ast.literal_eval(tree)  # literals alone: a name or a call in a cell is an error, and never run
        return sorted(value, key=repr) if isinstance(value, set) else value
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError, Warning):
        return None


def _repeats(node: ast.AST) -> bool:
    keys = [ast.dump(key) for key in node.keys if key] if isinstance(node, ast.Dict) else []
    return len(set(keys)) < len(keys)


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    extra = (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    return [token for token in tokenize.generate_tokens(StringIO(text).readline) if token.type not in extra]


def _has_joined_texts(text: str) -> bool:
    kinds = [token.type for token in _tokens(text)]
    return any(pair == (tokenize.STRING, tokenize.STRING) for pair in pairwise(kinds))


def _numpy_texts(text: str) -> list[Any] | None:
    """Return the texts of an array as NumPy prints it, ['cat' 'dog']; None where something else stands among them."""
    inner = _tokens(text)[1:-1]
    if text[0] != "[" or any(token.type != tokenize.STRING for token in inner):
        return None
    return [ast.literal_eval(token.string) for token in inner]


def _numpy_value(printed: str) -> Item:
    truth = {"True": True, "False": False}.get(printed)
    return truth if truth is not None else _item(float(printed))


def _loose(text: str) -> tuple[Item, ...]:
    """Return the values in a text such as "1 0 1", "0;1;0" or "1, , 0", or the text alone where it is no such list."""
    for separator in (",", ";", "|", "\t", "\n", None):
        parts = text.split(separator)
        if len(parts) > 1 and all(_VALUE.fullmatch(part.strip()) or not part.strip() for part in parts):
            return tuple(part.strip() for part in parts)
    return (text,) if text else ()


def _short(value: Any) -> str:
    try:
        return repr(str(value)[:60])
    except ValueError:  # of a number
        return "more digits than Python writes"
