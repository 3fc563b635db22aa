"""Texts of labels -> what stands between the labels, where the texts leave no doubt; else a question."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..datasets.class_list_check import cut, joined, joints, key_of
from ..datasets.label_cells import parsed
from ..errors import AevlpError
from ..labels.label_words import number

SEPARATORS = (";", ",", "|", "/", "\t", "\n", ":", "&", "+", " ")
_WORDS = {
    ";": "semicolons", ",": "commas", "|": "bars", "/": "slashes", "\t": "tabs", "\n": "line ends", ":": "colons", "&": "&",
    "+": "+", " ": "blanks", "-": "hyphens", "_": "underscores",
}  # fmt: skip
_OF_NO_NAME = (";", "|", "\t", "\n")
_USUAL = (*_OF_NO_NAME, ",")
_TIMES = 3  # that a name of several words stands in a column, on average
_MOST, _SOME = 0.5, 0.25  # of the parts of cut texts, that stand in other texts too where a separator is one, or may be


def separator_of(
    cells: Sequence[object], classes: tuple[str, ...] | None, place: str, rows: Sequence[str] = ()
) -> str | None:
    """Return what stands between the labels of a column's cells, None where no text holds more than one label.

    Lists, and texts that write lists, separate themselves. With `classes` a separator is one by which all texts are classes.
    Without, its parts stand alone or in other company too, as those of a name with a comma in it do not. rows: where each cell
    stands, in words.
    Raises AevlpError, which names `--label-separator`, where two separators can be meant or one may be part of a name.
    """
    texts = _texts(cells, rows)
    if not texts or (classes and all(text in classes for text in texts)):
        return None
    seen = [sign for sign in SEPARATORS if any(len(cut(text, sign)) > 1 for text in texts)]
    if classes:
        return _by_classes(texts, seen, classes, place)
    if all(number(part) is not None for text in texts for part in _loose(text)):
        return None  # numbers or vectors: they need names before all else
    homes = _homes(texts) if seen else {}
    shares = {sign: _share(_parts(texts, sign), homes) for sign in seen}
    certain = [sign for sign in seen if sign != " " and _is_certain(texts, sign, shares[sign])]
    if certain:
        others = [sign for sign in _USUAL if sign not in certain and shares.get(sign, 0) >= _MOST]
        if len(certain + others) > 1:
            raise _asked(texts, certain + others, place)
        return certain[0]
    doubtful = [sign for sign in seen if sign != " " and (shares[sign] or sign in (*_USUAL, "/"))]
    loose = [sign for sign in joints(texts) if sign.strip() not in doubtful and joined(texts, sign)]
    doubtful += [*loose, *([" "] if loose and joined(texts, " ") else [])]
    if doubtful:
        raise _asked(texts, doubtful, place)
    return _blank(texts, shares[" "], cells, place) if " " in seen else None


def between(separator: str) -> str:
    """Return the words that say what stands between labels, such as " with commas between them"."""
    return f" with {_in_words(separator)} between them"


def _in_words(separator: str) -> str:
    return _WORDS.get(separator, repr(separator))


def _texts(cells: Sequence[object], rows: Sequence[str]) -> dict[str, str]:
    """Return the different texts that hold something and write no list, each with where it first stands, "" if nobody says."""
    texts: dict[str, str] = {}
    for n, cell in enumerate(cells):
        if isinstance(cell, str):
            texts.setdefault(cell.strip(), rows[n].rpartition(", ")[2] if rows else "")
    return {text: row for text, row in texts.items() if text and not parsed(text, None, "").listed}


def _loose(text: str) -> list[str]:
    for sign in SEPARATORS:
        text = text.replace(sign, " ")
    return text.split()


def _by_classes(texts: Mapping[str, str], seen: list[str], classes: tuple[str, ...], place: str) -> str | None:
    known = {*classes, *map(str, range(len(classes)))}
    of_names = [sign for sign in joints(texts) if any(len(cut(text, sign)) > 1 for text in texts if text in known)]
    loose = [sign for sign in joints(texts) if sign not in of_names and sign.strip() not in seen]
    fitting = [sign for sign in (*seen, *loose) if all(part in known for text in texts for part in cut(text, sign))]
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


def _homes(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the texts that each part stands in, whichever separator they are cut at; parts by `key_of`."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for text in texts:
        for sign in SEPARATORS:
            for part in cut(text, sign):
                homes[key_of(part)].add(text)
    return homes


def _share(parts: set[str], homes: Mapping[str, set[str]]) -> float:
    """Return which share of the parts of cut texts stand in other texts too."""
    return sum(len(homes[part]) > 1 for part in parts) / len(parts)


def _parts(texts: Mapping[str, str], sign: str) -> set[str]:
    return {key_of(part) for text in texts if len(parts := cut(text, sign)) > 1 for part in parts}


def _is_certain(texts: Mapping[str, str], sign: str, share: float) -> bool:
    """Return whether a sign can only be between labels: those that names may hold too need more than parts that recur."""
    if sign in _OF_NO_NAME and share >= _MOST:
        return True
    cuts = [cut(text, sign) for text in texts]
    alone = {key_of(parts[0]) for parts in cuts if len(parts) == 1}
    words = {part for parts in cuts for part in parts}
    varied = len(set(map(len, cuts))) > 2 and len(texts) >= 2 * len(words)
    if _parts(texts, sign) <= alone or varied or _in_two_orders(cuts):
        return True
    first = {parts[0] for parts in cuts if len(parts) > 1}
    later = {part for parts in cuts for part in parts[1:]}  # of a name such as "chair, wooden" it stands nowhere else
    return sign == "," and share >= _MOST and any(part in first or key_of(part) in alone for part in later)


def _blank(texts: Mapping[str, str], share: float, cells: Sequence[object], place: str) -> str | None:
    """Return a blank where it can only be between labels, None where it can only be in names."""
    words = [sign for sign in joints(texts) if sign.startswith(" ")]
    if _is_certain(texts, " ", share) and not words:
        return " "
    wide = {text for text in texts if len(cut(text, " ")) > 1}
    times = sum(isinstance(cell, str) and cell.strip() in wide for cell in cells)
    if share >= _SOME or times < _TIMES * len(wide):  # few, and never apart: nothing says which it is
        others = [text for text in wide if not any(len(cut(text, sign)) > 1 for sign in words)]
        raise _asked(texts, [*words, *([" "] if others or not words else [])], place)
    return None


def _in_two_orders(cuts: list[list[str]]) -> bool:
    return len({tuple(sorted(parts)) for parts in cuts}) < len({tuple(parts) for parts in cuts})


def _asked(texts: Mapping[str, str], signs: list[str], place: str) -> AevlpError:
    if len(signs) == 1:
        shown = repr(next(text for text in texts if len(cut(text, signs[0])) > 1))[:60]
        return AevlpError(
            f"{place}: {shown} may be one label, or several with {_in_words(signs[0])} between them: say {_option(signs[0])}, or "
            "list the names as --classes"
        )
    holding = {sign: [text for text in texts if len(cut(text, sign)) > 1] for sign in signs}
    if " " in holding:  # which stand around words too
        worded = {text for sign, found in holding.items() if sign != " " and sign.startswith(" ") for text in found}
        holding[" "] = [text for text in holding[" "] if text not in worded]
    main, *others = sorted(signs, key=lambda sign: -len(holding[sign]))
    odd = next((text for text in holding[others[-1]] if text not in holding[main]), holding[others[-1]][0])
    words = " and ".join(map(_in_words, signs))
    where = f" ({texts[odd]})" if texts[odd] else ""
    return AevlpError(
        f"{place}: {words} could stand between labels, as in {holding[main][0][:60]!r} and in {odd[:60]!r}{where}, expected one "
        f"separator throughout: write all labels with {_in_words(main)}; or, where the other is part of names, say "
        f"{' or '.join(map(_option, signs[:4]))}, and list the names in a file as --classes FILE"
    )


def _option(sign: str) -> str:
    return f"--label-separator '{ {chr(9): 'tab', chr(10): 'newline'}.get(sign, sign) }'"
