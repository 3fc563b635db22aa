"""The keys that a person states of a source -> the same, checked, before the first of them is used to look at it."""

from typing import Any

from pydantic import Field, ValidationError

from ..errors import AevlpError
from ..labels.splits import split_of
from ..manifest.sections import SplitBy
from ..manifest.table_keys import ColumnName, ColumnNames, OneOrEach, TableKeys
from .understood import OPTIONS, Given

_LEFT = ("table", "images")  # which each format reads in its own way
_A_TEXT = "expected a text, in quotes where YAML reads it differently, as 'no' or '1'"
_EXAMPLE = "train=0.7,val=0.1,test=0.2"
_SHARES = f"expected shares, as {_EXAMPLE} or {{content: {{train: 0.7, val: 0.1, test: 0.2}}}}"


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
    said, value = str(error["msg"]).removeprefix("Value error, "), repr(str(stated[key])[:60])
    if error["type"] == "string_type":
        said = _A_TEXT
    elif key == "split_by":
        said = said if error["type"] == "value_error" else _SHARES
        if (shares := _shares_in(stated[key])) is not None:
            said, value = _wrong_with(shares) or said, ",".join(f"{name}={share:g}" for name, share in shares.items())
    found = "" if ", found " in said else f", found {value}"
    options = f"{OPTIONS[key]}, or --key '{key}: …'" if key in OPTIONS else f"--key '{key}: …'"
    return AevlpError(f"{key}: {said}{found}: say it anew as {options}")


def _shares_in(split_by: Any) -> dict[str, float] | None:
    """Return the shares that are stated, None where these are no numbers."""
    content = split_by.get("content") if isinstance(split_by, dict) else None
    if not isinstance(content, dict) or not all(isinstance(share, int | float) for share in content.values()):
        return None
    return {str(name): share for name, share in content.items()}


def _wrong_with(shares: dict[str, float]) -> str | None:
    """Return what is expected of shares, as the command line has them; None where it is the names of splits that are wrong."""
    splits = [split_of(name) for name in shares]
    if None in splits or len(set(splits)) < len(splits):
        return None
    if "train" not in splits:
        return f"expected a share of train too, as {_EXAMPLE}, or none"
    if all(0 < share <= 1 for share in shares.values()):
        return f"expected shares that make 1 together, as {_EXAMPLE}, not {sum(shares.values()):g}"
    return f"expected a share of each split, above 0 and at most 1, as {_EXAMPLE}, or none"
