"""Texts of labels -> what stands between the labels, where the texts leave no doubt; else a question."""

from collections import defaultdict
from collections.abc import Sequence

from ..datasets.class_list_check import cut
from ..datasets.label_cells import parsed
from ..errors import AevlpError, some
from ..labels.label_words import number

SEPARATORS = (";", ",", "|", "/", "\t", "\n", ":", "&", "+", " ")
WORDS = {
    ";": "semicolons", ",": "commas", "|": "bars", "/": "slashes", "\t": "tabs", "\n": "line ends", ":": "colons", "&": "&",
    "+": "+", " ": "blanks",
}  # fmt: skip
DEFAULT = ";"
_SHARE = 0.5  # of the parts of cut texts, that stand in other texts too where a separator is one


def separator_of(cells: Sequence[object], classes: tuple[str, ...] | None, place: str) -> str | None:
    """Return what stands between the labels of a column's cells, None where no text holds more than one label.

    Lists, and texts that write lists, separate themselves. With `classes` a separator is one by which all texts are classes.
    Without, its parts stand alone or in other company too, as those of a name with a comma in it do not.
    Raises AevlpError, which names `--label-separator`, where two separators can be meant or one may be part of a name.
    """
    texts = _texts(cells)
    if not texts or (classes and all(text in classes for text in texts)):
        return None
    seen = [sign for sign in SEPARATORS if any(len(cut(text, sign)) > 1 for text in texts)]
    if classes:
        return _by_classes(texts, seen, classes, place)
    if all(number(part) is not None for text in texts for part in _loose(text)):
        return None  # numbers or vectors: they need names before all else
    certain = [sign for sign in seen if sign != " " and _recur(texts, sign)]
    if len(certain) > 1:
        raise _asked(texts, certain, place)
    if certain:
        return certain[0]
    doubtful = [sign for sign in seen if sign != " " and _some_recur(texts, sign)]
    if doubtful:
        raise _asked(texts, doubtful, place)
    if " " in seen and not any(sign in seen for sign in (";", ",", "|", "\t", "\n")):
        return _blank(texts, place)
    return None


def _texts(cells: Sequence[object]) -> list[str]:
    """Return the different texts that hold something and write no list."""
    found: dict[str, None] = {}
    for cell in cells:
        if isinstance(cell, str) and cell.strip() and not parsed(cell, None, "").listed:
            found[cell.strip()] = None
    return list(found)


def _loose(text: str) -> list[str]:
    for sign in SEPARATORS:
        text = text.replace(sign, " ")
    return text.split()


def _by_classes(texts: list[str], seen: list[str], classes: tuple[str, ...], place: str) -> str | None:
    known = {*classes, *map(str, range(len(classes)))}
    fitting = [sign for sign in seen if all(part in known for text in texts for part in cut(text, sign))]
    if len(fitting) > 1:
        raise _asked(texts, fitting, place)
    if fitting:
        return fitting[0]
    some_fit = [
        sign
        for sign in seen
        if any(len(parts := cut(text, sign)) > 1 and all(part in known for part in parts) for text in texts)
    ]
    if len(some_fit) > 1:
        raise _asked(texts, some_fit, place)
    return some_fit[0] if some_fit else None  # the reader says which names are unknown


def _homes(texts: list[str], sign: str) -> dict[str, set[str]]:
    """Return the texts that each part stands in."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for text in texts:
        for part in cut(text, sign):
            homes[part].add(text)
    return homes


def _parts(texts: list[str], sign: str) -> set[str]:
    return {part for text in texts if len(parts := cut(text, sign)) > 1 for part in parts}


def _recur(texts: list[str], sign: str) -> bool:
    """Return whether most parts of cut texts stand in other texts too."""
    homes, parts = _homes(texts, sign), _parts(texts, sign)
    return sum(len(homes[part]) > 1 for part in parts) >= max(2, _SHARE * len(parts))


def _some_recur(texts: list[str], sign: str) -> bool:
    """Return whether a separator may be one: a part stands elsewhere, or there are too few texts to say that none does."""
    homes, parts = _homes(texts, sign), _parts(texts, sign)
    return any(len(homes[part]) > 1 for part in parts) or sign in (";", ",", "|")


def _blank(texts: list[str], place: str) -> str | None:
    """Return a blank where it can only be between labels, None where it can only be in names."""
    parts = _parts(texts, " ")
    alone = {text for text in texts if len(cut(text, " ")) == 1}
    lengths = {len(cut(text, " ")) for text in texts}
    if parts <= alone or (len(lengths) > 2 and len(texts) >= 2 * len(_homes(texts, " "))) or _in_two_orders(texts):
        return " "
    if _recur(texts, " "):
        raise _asked(texts, [" "], place)
    return None


def _in_two_orders(texts: list[str]) -> bool:
    orders = [tuple(cut(text, " ")) for text in texts]
    return len({tuple(sorted(order)) for order in orders}) < len(set(orders))


def _asked(texts: list[str], signs: list[str], place: str) -> AevlpError:
    shown = [repr(next(text for text in texts if len(cut(text, sign)) > 1))[:60] for sign in signs]
    words = " and ".join(WORDS[sign] for sign in signs)
    ways = " or ".join(
        f"--label-separator '{ {chr(9): 'tab', chr(10): 'newline'}.get(sign, sign) }'" for sign in signs[:4]
    )
    if len(signs) == 1:
        return AevlpError(
            f"{place}: {shown[0]} may be one label, or several with {words} between them: say {ways}, or list the names as "
            "--classes"
        )
    return AevlpError(
        f"{place}: {words} could stand between labels ({some(list(dict.fromkeys(shown)), 3)}), expected one separator "
        f"throughout: write the labels in one way, or say {ways}"
    )
