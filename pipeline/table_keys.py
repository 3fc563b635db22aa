"""The keys of a manifest's entry that say where a table and its images are, and how it is written."""

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from .spec_sections import Section, known_splits


def _one_or_each(value: Any) -> Any:
    """Check a name, or a name for each split."""
    names = list(value.values()) if isinstance(value, dict) else [value]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"expected a name, or one for each split as {{train: …, test: …}}, found {value!r}")
    return known_splits(value) if isinstance(value, dict) else value


OneOrEach = Annotated[str | dict[str, str], BeforeValidator(_one_or_each)]


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
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)

    @field_validator("table")
    @classmethod
    def _a_file_each(cls, table: str | dict[str, str]) -> str | dict[str, str]:
        files = [PurePosixPath(name) for name in table.values()] if isinstance(table, dict) else []
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
