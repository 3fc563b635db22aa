"""Whether the lists in a column are class numbers or 0/1 vectors: certain from all of its cells, or refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import AevlpError
from ..labels.label_words import YES_OR_NO, as_yaml, number, word
from ..manifest.label_keys import LabelKeys
from .class_list_check import key_of
from .column_words import LABELS
from .label_cells import Cell, Item
from .presence import Presence


@dataclass(frozen=True)
class Column:
    """What is known of a column of labels beside its cells.

    place: where it is, in words. name: its header. classes: None where none are listed. typed: whether the file itself says
    that its numbers are those of classes. otherwise: whether the manifest lists the file's classes in another order, or with
    others, so that the places of a vector are not certain. beside: this and other columns of a table that may each be of one
    class.
    """

    place: str
    name: str
    classes: tuple[str, ...] | None
    typed: bool = False
    otherwise: bool = False
    beside: tuple[str, ...] = ()


def are_vectors(keys: LabelKeys, column: Column, cells: Sequence[Cell]) -> bool:
    """Return whether a column holds a value for each class, not names or numbers of classes.

    Raises AevlpError that names the key `label_form`, or `classes`, where both can be meant or the one that is meant cannot
    be read.
    """
    given = [key for key in ("label_values", "label_threshold") if getattr(keys, key) is not None]
    if given and keys.label_form in ("names", "numbers"):
        raise AevlpError(
            f"{column.place}: `{given[0]}` is of a value for each class, and the manifest says `label_form: {keys.label_form}`: "
            f"leave one of them out"
        )
    if keys.label_form == "vector" or keys.label_values or keys.label_threshold is not None:
        if column.classes is None:
            raise AevlpError(
                f"{column.place}: vectors need the names of their places: list them under `classes`, in order"
            )
        return True
    if keys.label_form is not None:
        return False
    distinct = [cell for cell in dict.fromkeys(cells) if cell.parts]  # an empty list is an empty cell
    presence = Presence(keys)
    values = [found for cell in distinct if (found := _values(cell, column.classes, presence)) is not None]
    lone = [cell for cell in distinct if not cell.listed and len(cell.items) == 1 and len(cell.parts) == 1]
    if len(lone) == len(distinct):
        _require_labels(keys, column, lone)
        return False
    return _decided(column, values, named=len(values) < len(distinct))


@dataclass(frozen=True)
class _Values:
    """A cell whose items are numbers or words for present and absent, as `word` gives them."""

    words: tuple[str, ...]
    presence: bool  # all of them may say present, absent or not known
    gaps: bool  # a text with nothing between two separators

    @property
    def repeats(self) -> bool:
        """Whether one of them stands twice, which no list of class numbers has."""
        return len(set(self.words)) < len(self.words)


def _values(cell: Cell, classes: tuple[str, ...] | None, presence: Presence) -> _Values | None:
    if cell.items and classes and not _numerals(classes) and all(item in classes for item in cell.items):
        return None
    parts = cell.parts
    words = tuple(map(word, parts))
    numeric = [_number(item) for item in parts]
    known = [presence.number(item) is not None for item in parts]
    if words and (
        not any(text in ("0", "1", "true", "false") or n is not None for text, n in zip(words, numeric, strict=True))
    ):
        return None
    if not all(k or n is not None for k, n in zip(known, numeric, strict=True)):
        return None
    gaps = not cell.listed and "" in words
    return _Values(tuple(filter(None, words)) if gaps else words, all(known), gaps)


def _number(item: Item) -> int | float | None:
    if isinstance(item, str):
        return number(item)
    return None if isinstance(item, bool) else item


def _decided(column: Column, values: list[_Values], named: bool) -> bool:
    classes, place = column.classes, column.place
    lists = [v for v in values if v.words]
    if not lists:
        return False
    count = None if classes is None else len(classes)
    lengths = {len(v.words) for v in lists}
    presence = all(v.presence for v in lists)
    whole = all(text.removeprefix("-").isdigit() for v in lists for text in v.words)  # numbers, not true or 0.5
    negative = any(text.startswith("-") for v in lists for text in v.words)
    alike = len(lengths) == 1 and max(lengths) > 1
    example = ", ".join(lists[0].words)
    if named:
        if odd := _unlike_numbers(lists, count):
            form = "0/1 vectors" if odd[0].presence else "repeated numbers"
            example = ", ".join(odd[0].words)
            raise AevlpError(f"{place}: names in some cells, {form} in others ({example}): write them in one form")
        return False
    if any(v.gaps for v in lists) and presence:
        raise _both(column, "with nothing between two separators", example)
    if classes is None:
        if alike and presence and (negative or not whole or any(v.repeats for v in lists)):
            raise AevlpError(
                f"{place}: these look like 0/1 vectors of length {max(lengths)} ({example}): list the {max(lengths)} names under "
                f"`classes`"
            )
        if alike and presence:
            raise AevlpError(
                f"{place}: these may be 0/1 vectors of length {max(lengths)} or class numbers ({example}): list the names under "
                f"`classes` and say `label_form: vector` or `label_form: numbers`"
            )
        return False  # numbers, which need names
    full = lengths == {count}
    if full and presence:
        beyond = count == 1 and any(v.words != ("0",) for v in lists)
        certain = not whole or beyond or not all(map(_is_padded, lists))
        if not certain and column.typed:
            return False
        if not certain or column.typed or _numerals(classes):
            raise _both(column, f"of length {count}", example)
        return True
    if not whole and full:
        raise AevlpError(
            f"{place}: a value for each of the {count} classes ({example}), of which some are neither 1 nor 0: say what each "
            f"stands for under `label_values`"
        )
    if not whole and max(lengths) > 1:
        found = " and ".join(map(str, sorted(lengths)[:3]))
        raise AevlpError(
            f"{place}: these look like vectors of length {found} ({example}), and `classes` lists {count} names: they must be as "
            f"many"
        )
    odd = _unlike_numbers(lists, count)
    if column.typed:  # the file says numbers: a box each, where nothing looks like a vector
        odd = [v for v in odd if v.repeats and (presence or alike or len(v.words) == count)]
    if odd:
        repeated = ", with repeated numbers," if odd[0].repeats else ""
        found = " and ".join(map(str, sorted(lengths)[:3]))
        raise _both(column, f"of length {found}{repeated}", ", ".join(odd[0].words))
    return False


def _unlike_numbers(lists: list[_Values], count: int | None) -> list[_Values]:
    """Return those that repeat a number, or may be a vector of the classes, `count` of them."""
    return [v for v in lists if v.repeats or (v.presence and 1 < len(v.words) == count)]


def _is_padded(values: _Values) -> bool:
    """Whether it may be class numbers, each of them once, which may be filled up with -1."""
    numbers = [text for text in values.words if text != "-1"]
    return values.words[: len(numbers)] == tuple(numbers) and len(set(numbers)) == len(numbers)


def _both(column: Column, what: str, example: str) -> AevlpError:
    count = len(column.classes or ())
    return AevlpError(
        f"{column.place}: lists {what} ({example}) for {count} classes may be a value for each class or class numbers: say "
        f"`label_form: vector` or `label_form: numbers`"
    )


def _require_labels(keys: LabelKeys, column: Column, cells: list[Cell]) -> None:
    """Refuse the column of one class, in which each cell says yes or no."""
    words = {word(cell.items[0]) for cell in cells}
    classes = column.classes
    if not words or not words <= YES_OR_NO or (classes and all(cell.items[0] in classes for cell in cells)):
        return
    plain = key_of(column.name) in LABELS
    if words <= {"0", "1"} and (plain if classes is None else column.typed or (plain and len(classes) > 1)):
        return
    found = " and ".join(sorted(words))
    what = "say `label_form: vector`"
    if column.beside:
        what = f"name the columns of all classes, such as `label_columns: {as_yaml(column.beside)}`"
    raise AevlpError(
        f"{column.place}: it holds only {found}, as the column of one class does: {what}; or, where they are class numbers, say "
        f"`label_form: numbers`"
    )


def _numerals(classes: tuple[str, ...]) -> bool:
    return any(name.isascii() and name.isdigit() for name in classes)
