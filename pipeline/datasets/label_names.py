"""The labels of a column's cells, names and class numbers -> names of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import AevlpError, unknown_name
from ..labels.label_words import NOTHING, as_yaml, number
from ..manifest.label_keys import LabelKeys
from .class_list_check import SEPARATORS, cut, doubts, joints, key_of, suggested
from .faults import DataError, Report
from .label_cells import Cell, Item
from .label_forms import Column


@dataclass
class _Found:
    """What a cell says: names; unknown names; words that may stand for no label; and faults, a kind and a line each."""

    names: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def faulty(self) -> bool:
        """Whether nothing in the cell can be trusted."""
        return any(kind == "bad row" for kind, _ in self.faults)


def names_of(
    keys: LabelKeys,
    column: Column,
    cells: Sequence[Cell],
    places: Sequence[tuple[str, str]],
    report: Report,
    one_each: bool = False,
) -> list[list[str] | None]:
    """Return the names of the classes in each cell, None for one that is no label or list of labels, which is reported.

    places: of each cell, where it stands and its image's id. one_each: whether a cell is one label, cut nowhere. A number
    counts the classes from 0. An unknown class, and a word that may stand for no label, are reported and left out; so are
    names that are found, not listed, and strange.
    Raises AevlpError where a number has no name or is a name too, and where a text may be cut in two ways.
    """
    reader = _Reader(keys, column, cells)
    found = {}
    for cell, (where, _) in zip(cells, places, strict=True):
        if cell not in found:
            found[cell] = reader.read(cell, where)
    _report_columns(keys, column, found, dict(zip(reversed(cells), reversed(places), strict=True)), report, one_each)
    for cell, (where, image) in zip(cells, places, strict=True):
        for kind, text in found[cell].faults:
            report(DataError(kind, f"{where}: {text}", None if found[cell].faulty else image))
    if column.classes is None:
        said = "label_separator" in keys.model_fields_set
        unlisted = frozenset(n for cell, of in found.items() for n in of.names if not cell.listed)
        texts = frozenset() if said else unlisted
        rows, at = [found[cell].names for cell in cells], [where.rpartition(", ")[2] for where, _ in places]
        for line in doubts(rows, None if one_each else keys.label_separator, texts, at, unlisted):
            report(DataError("doubtful class", f"{column.place}: {line}"))
    return [None if found[cell].faulty else found[cell].names for cell in cells]


class _Reader:
    def __init__(self, keys: LabelKeys, column: Column, cells: Sequence[Cell]) -> None:
        self.keys, self.column = keys, column
        self.classes = column.classes
        self.known = frozenset(column.classes or ())
        if both := sorted(name for name in self.known if name.casefold() in keys.no_label):
            raise AevlpError(
                f"{column.place}: {both[0]!r} is one of the classes, and stands under `no_label`: it is one of them"
            )
        self.cut_classes = {name: parts for name in self.known if len(parts := cut(name, keys.label_separator)) > 1}
        numerals = [name for name in self.known if number(name) is not None]
        self.numerals = bool(numerals)
        self.same_numerals = all(column.classes and number(name) == column.classes.index(name) for name in numerals)
        self.lists = any(cell.listed for cell in cells)
        if self.numerals and not self.same_numerals and keys.label_form is None:
            self._require_certain(cells)

    def _require_certain(self, cells: Sequence[Cell]) -> None:
        """Refuse texts that are all names of classes, and all numbers of others."""
        said = {item for cell in cells if not cell.listed for item in cell.items if item != ""}
        names = [item for item in said if isinstance(item, str) and item in self.known]
        numbers = [value for item in names if (value := number(item)) is not None and value in range(len(self.known))]
        if said and len(numbers) == len(said):
            raise AevlpError(
                f"{self.column.place}: {sorted(names)[0]!r} may be the name of a class or its number, counted from 0: say "
                f"`label_form: names` or `label_form: numbers`"
            )

    def read(self, cell: Cell, where: str) -> _Found:
        self._require_one_cut(cell, where)
        found = _Found()
        no_label = []
        for item in cell.items:
            if item == "":
                continue
            if isinstance(item, str) and item.casefold() in self.keys.no_label:
                no_label.append(item)
            else:
                self._take(item, found, where)
        if no_label and (found.names or found.unknown):
            found.faults.append(("bad row", f"{no_label[0]!r} stands for no label, and stands beside others"))
        return found

    def _take(self, item: Item, found: _Found, where: str) -> None:
        if not isinstance(item, str | int) or isinstance(item, bool):
            text = f"expected class names or numbers, found {str(item)[:60]!r}"
            found.faults.append(("bad row", text))
            return
        form = self.keys.label_form
        value = item if isinstance(item, int) else number(item)
        if form == "names" or (isinstance(item, str) and item in self.known and form != "numbers"):
            value = None
        if value is not None:
            self._take_number(item, value, found, where)
        elif form == "numbers":
            found.faults.append(("unknown class", f"expected class numbers (`label_form: numbers`), found {item!r}"))
        elif self.classes is None or str(item) in self.known:
            self._take_name(str(item), found)
        else:
            self._take_unknown(str(item), found)

    def _take_name(self, name: str, found: _Found) -> None:
        nothing = name.casefold() in NOTHING and name not in self.known
        (found.nothing if nothing else found.names).append(name)

    def _take_unknown(self, name: str, found: _Found) -> None:
        assert self.classes is not None
        if name.casefold() in NOTHING:
            found.nothing.append(name)
            return
        found.unknown.append(name)
        near = [known for known in self.classes if key_of(known) == key_of(name)]
        hint = f"; did you mean {near[0]!r}? Write it so, as `classes` does" if near else ""
        found.faults.append(("unknown class", f"{unknown_name('class', name, self.classes)}{hint}"))

    def _take_number(self, item: Item, value: int | float, found: _Found, where: str) -> None:
        if self.classes is None:
            raise AevlpError(f"{where}: the class number {value} has no name: list the names under `classes`, in order")
        if isinstance(value, float) and not value.is_integer():
            found.faults.append(("bad row", f"expected class names or numbers, found {str(item)!r}"))
        elif self.numerals and self.keys.label_form is None and not self.same_numerals:
            if isinstance(item, str):
                text = (
                    f"{unknown_name('class', item, self.classes)}; if it counts them from 0, say `label_form: numbers`"
                )
                found.faults.append(("unknown class", text))
                return
            raise AevlpError(
                f"{where}: {value} may be the name of a class or its number, counted from 0: say `label_form: names` or "
                f"`label_form: numbers`"
            )
        elif 0 <= value < len(self.classes):
            found.names.append(self.classes[int(value)])
        else:
            text = (
                f"unknown class number {int(value)}: known are 0 to {len(self.classes) - 1}, expected a name for each number, in "
                f"order, under `classes`"
            )
            found.faults.append(("unknown class", text))

    def _require_one_cut(self, cell: Cell, where: str) -> None:
        """Refuse a text in which what stands between labels may be part of a name."""
        if cell.listed and cell.text in self.known:
            raise AevlpError(
                f"{where}: {cell.text!r} is one of `classes`, and a list of labels too: write all labels as JSON lists"
            )
        if cell.listed or cell.text is None or len(cell.items) < 2:
            return
        items = list(map(str, cell.items))
        separator = self.keys.label_separator
        for name, parts in self.cut_classes.items():
            if any(items[n : n + len(parts)] == parts for n in range(len(items))):
                raise AevlpError(
                    f"{where}: {cell.text[:60]!r} may hold the class {name!r}, and is cut at {separator!r}: set "
                    f"`label_separator` to a text that stands in no class"
                )
        if self.lists and self.classes is None and "label_separator" not in self.keys.model_fields_set:
            raise AevlpError(
                f"{where}: other cells are lists, and {cell.text[:60]!r} may be one label or several: say what stands between "
                f"labels, such as {suggested(separator)}"
            )


def _report_columns(
    keys: LabelKeys,
    column: Column,
    found: dict[Cell, _Found],
    places: dict[Cell, tuple[str, str]],
    report: Report,
    one_each: bool,
) -> None:
    """Report what is wrong with many cells alike, a line for all of them."""
    if nothing := [(word, cell) for cell, of in found.items() for word in of.nothing]:
        words = list(dict.fromkeys(word for word, _ in nothing))
        text = (
            f"{places[nothing[0][1]][0]}: {words[0]!r} may be a class or stand for no label: say `no_label: "
            f"{as_yaml(words)}`, or list the class under `classes`"
        )
        report(DataError("doubtful class", text))
    known = frozenset(column.classes or ())
    unknown = {name for of in found.values() for name in of.unknown}
    for separator in () if one_each else (*SEPARATORS, *joints(sorted(unknown)), " "):
        wrong = [
            (name, cell)
            for cell, of in found.items()
            for name in of.unknown
            if separator in name and all(part in known for part in cut(name, separator))
        ]
        if wrong:
            where, image = places[wrong[0][1]]
            own = keys.label_separator
            mixed = any(len(cell.items) > 1 and not cell.listed for cell in found)
            settle = (
                f"write them with {own!r} between labels, as others are"
                if mixed
                else f"did you mean {suggested(separator)}?"
            )
            text = (
                f"{where}: unknown class {wrong[0][0]!r}, which is made of listed ones, as are {len(wrong):,} unknown names: "
                f"{settle}"
            )
            report(DataError("unknown class", text, image))
            return
