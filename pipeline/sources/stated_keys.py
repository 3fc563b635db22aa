"""The keys that a person states of a source -> the same, checked, before the first of them is used to look at it."""

from typing import Any

from pydantic import Field, ValidationError

from ..errors import AevlpError
from ..manifest.sections import SplitBy
from ..manifest.table_keys import ColumnName, ColumnNames, OneOrEach, TableKeys
from .understood import OPTIONS, Given

_LEFT = ("table", "images")  # which each format reads in its own way
_A_TEXT = "expected a text, in quotes where YAML reads it differently, as 'no' or '1'"
_SHARES = "expected shares, as train=0.7,val=0.1,test=0.2 or {content: {train: 0.7, val: 0.1, test: 0.2}}"


class _Stated(TableKeys, frozen=True):
    """The keys by which a source is looked at; all others are checked with its entry, when its format is known."""

    table: OneOrEach = ""
    format: str = ""
    image_column: ColumnName = ""
    label_column: ColumnName = ""
    label_columns: ColumnNames | None = None
    split_column: ColumnName | None = None
    label_separator: str = Field(default=";", min_length=1)
    label_key: str = ""
    label_extension: str = ""
    split_by: SplitBy | None = None


def checked_given(given: Given) -> Given:
    """Return what was said of a source as the manifest reads it; AevlpError, in one line, for a value of a wrong kind."""
    stated = {key: given.keys[key] for key in _Stated.model_fields if key in given.keys and key not in _LEFT}
    try:
        read = _Stated.model_validate(stated).model_dump(include=set(stated))
    except ValidationError as error:
        raise _mistake(error.errors()[0], stated) from error
    return Given(given.classes, {**given.keys, **read})


def _mistake(error: Any, stated: dict[str, Any]) -> AevlpError:
    key = str(error["loc"][0])
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type":
        said = _A_TEXT
    elif key == "split_by" and error["type"] != "value_error":
        said = _SHARES
    found = "" if ", found " in said else f", found {str(stated[key])[:60]!r}"
    options = f"{OPTIONS[key]}, or --key '{key}: …'" if key in OPTIONS else f"--key '{key}: …'"
    return AevlpError(f"{key}: {said}{found}: say it anew as {options}")
