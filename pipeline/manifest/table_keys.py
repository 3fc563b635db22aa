"""The keys of a manifest's entry that say where a table and its images are, and how it is written."""

from pathlib import PurePosixPath
from posixpath import normpath
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from .sections import Section, known_splits, listed_names


def _one_or_each(value: Any) -> Any:
    """Check a name, or a name for each split."""
    names = list(value.values()) if isinstance(value, dict) else [value]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"expected a name, or one for each split as {{train: …, test: …}}, found {value!r}")
    return known_splits(value) if isinstance(value, dict) else value


OneOrEach = Annotated[str | dict[str, str], BeforeValidator(_one_or_each)]
ColumnName = Annotated[str, StringConstraints(strip_whitespace=True)]
ColumnNames = Annotated[tuple[ColumnName, ...], BeforeValidator(listed_names), Field(min_length=1)]


class ColumnKeys(Section, frozen=True):
    """Which column holds the images, and which their labels."""

    image_column: ColumnName = "image"
    label_column: ColumnName = "labels"

    @model_validator(mode="after")
    def _each_for_one_thing(self) -> Self:
        labels = "label_columns" if getattr(self, "label_columns", None) else "label_column"
        first: dict[str, str] = {}
        for key in ("image_column", labels, "split_column", "confidence_column"):
            value = getattr(self, key, None) or ()
            for column in (value,) if isinstance(value, str) else value:
                if first.get(column) == key:
                    raise ValueError(f"`{key}` names {column} twice")
                if column in first:
                    raise ValueError(f"`{first[column]}` and `{key}` are both {column}: each is a column of its own")
                first[column] = key
        return self


class TableKeys(Section, frozen=True):
    """Where a table and its images are, and how a CSV file is written where it does not show that itself.

    table: a file, or one for each split. images: the folder that the names of images are in, or one for each split; left out:
    the data set's folder, or the table's where the names are found there. delimiter: between cells. encoding: a codec of
    Python's. columns: the header of a file that has none.
    """

    table: OneOrEach
    images: OneOrEach | None = None
    delimiter: str | None = None
    encoding: str | None = None
    columns: ColumnNames | None = None

    @field_validator("table")
    @classmethod
    def _a_file_each(cls, table: str | dict[str, str]) -> str | dict[str, str]:
        files = [normpath(name) for name in table.values()] if isinstance(table, dict) else []
        if len(set(files)) < len(files):
            raise ValueError("one file stands for two splits: name it once, and its column of splits as `split_column`")
        return table

    @field_validator("images")
    @classmethod
    def _below_the_folder(cls, images: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for folder in images.values() if isinstance(images, dict) else [images or "."]:
            if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
                raise ValueError(
                    f"{folder!r} is not below the data set's folder: say as `root` a folder that holds both"
                )
        return images

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        character = {"\\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter)
        if character is not None and (len(character) != 1 or character in '"\r\n'):
            raise ValueError(
                f"expected the one character between cells, such as ';' or '|' or tab, found {delimiter!r}"
            )
        return character

    @field_validator("encoding")
    @classmethod
    def _text_codec(cls, encoding: str | None) -> str | None:
        try:
            if encoding is not None:
                "".encode(encoding)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"expected a text encoding such as utf-8, utf-16, latin-1, cp1252 or gb18030, found {encoding!r}"
            ) from error
        return encoding

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is not None and (not all(columns) or len(set(columns)) < len(columns)):
            raise ValueError("expected a name for each column of the table, each once")
        return columns
