"""Columns of a table that the manifest does not name -> those that say a split, or whether a row's label is present."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..errors import AevlpError
from ..labels.label_words import BLANK, YES_OR_NO, number, word
from ..labels.splits import expected_words, split_of
from .class_list_check import key_of
from .column_words import OF_ONE_SPLIT, SPLIT, SURE


class UnnamedColumns:
    """Looks at the cells of columns, record by record, and keeps what all of them may be.

    named: the columns that are none of these. sure: whether a column may say how sure a row's label is; with a_label also one
    of 0 and 1, or of fractions, of any name: of a table with a row a label. of_file: whether each file is of one split.
    classes: whether any of the columns may be one of a class, as `train` is among vehicles.
    """

    def __init__(
        self, named: Collection[str | None], where: str, sure: bool, a_label: bool, of_file: bool, classes: bool
    ) -> None:
        self.named, self.where, self.of_file, self.classes = named, where, of_file, classes
        self.by_name, self.by_cells = sure, sure and a_label
        self.names: dict[str, None] = {}
        self.splits: dict[str, set[str]] = {}
        self.odd: dict[str, tuple[str, Any]] = {}  # of a column: where a cell first says no split, and the cell
        # Whether each cell says yes or no to the split that the column is named after.
        self.of_one: dict[str, bool] = {}
        self.disagree: dict[str, str] = {}
        self.sure: dict[str, bool] = {}  # whether a cell says anything

    def add(self, columns: Iterable[str], where: str) -> None:
        """Take notice of a record's columns; AevlpError where the name of one speaks of how sure a label is."""
        for name in columns:
            if name in self.named or name in self.names:
                continue
            if self.by_name and key_of(name) in SURE:
                raise _sure(name, where, "may say")
            self.names[name] = None
            self.splits[name] = set()
            self.of_one[name] = key_of(name) in OF_ONE_SPLIT and not self.classes
            if self.by_cells:
                self.sure[name] = False

    def look(self, record: Mapping[str, Any], where: str, split: str | None) -> None:
        """Take notice of the cells of a record; split: that of its file."""
        for name, yes_or_no in self.of_one.items():
            if yes_or_no and word(record.get(name)) not in (*BLANK, *YES_OR_NO):
                self.of_one[name] = False
        for name in list(self.splits):
            value = record.get(name)
            if word(value) in BLANK:
                continue
            said = split_of(value) if isinstance(value, str) else None
            if said is None:
                self.odd[name] = where, value
                del self.splits[name]
                continue
            self.splits[name].add(said)
            if split is not None and said != split:
                text = f"{where}: the column {name} says {value!r} in the file of {split}"
                self.disagree.setdefault(name, text)
        for name in list(self.sure):
            value = record.get(name)
            if word(value) in BLANK:
                continue
            if _says_presence(value):
                self.sure[name] = True
            else:
                del self.sure[name]

    def require_split(self) -> None:
        """Raise AevlpError for the first column that says the split of an image."""
        for name in self.names:
            said = self.splits.get(name)  # None: other words stand there
            named = key_of(name) in SPLIT or self.of_one[name]
            if self.of_file:
                if said and name in self.disagree and (named or len(said) > 1):
                    raise AevlpError(
                        f"{self.disagree[name]}: move the rows, or say `split_column: null` to take no notice of {name}"
                    )
            elif said is None and named:
                odd_where, value = self.odd[name]
                raise AevlpError(
                    f"{odd_where}: the column {name} may say which split an image is of, and holds {str(value)[:60]!r}, which is "
                    f"none ({expected_words()}): write its values as train, val and test, and say `split_column: {name}`; or say "
                    f"`split_column: null` to take no notice of it"
                )
            elif said and (len(said) > 1 or (named and said != {"train"})):
                raise AevlpError(
                    f"{self.where}: the column {name} says which split an image is of, and the manifest does not name it: say "
                    f"`split_column: {name}`, or `split_column: null` to take no notice of it"
                )

    def require_sure(self) -> None:
        """Raise AevlpError for the first column that holds 0 and 1 or fractions alone."""
        for name, says in self.sure.items():
            if says:
                raise _sure(name, self.where, "holds 0 and 1, or fractions, alone: it may say")


def _says_presence(value: Any) -> bool:
    text = word(value)
    found = number(text)
    return text in YES_OR_NO if found is None else found == -1 or 0 <= found <= 1


def _sure(name: str, where: str, what: str) -> AevlpError:
    return AevlpError(
        f"{where}: the column {name} {what} whether a row's label is present or absent, and the manifest does not name it: say "
        f"`confidence_column: {name}`, or `confidence_column: null` to take no notice of it"
    )
