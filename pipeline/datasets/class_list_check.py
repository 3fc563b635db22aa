"""Class names that were found in the data, not listed by anybody -> why they may not be the names that were meant."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from ..errors import some
from ..labels.label_words import NOTHING

SEPARATORS = (",", ";", "|", "/", "\t", "\n", ":", "&", "+")
# What joins labels and stands in names too: of these all parts have to be labels of their own. Words stand between blanks.
_JOINING_SIGNS = ("-", "_")
_JOINING_WORDS = {"and", "or", "und", "oder", "et", "ou", "y", "och", "og", "&", "+", "-"}
_ROWS = 10  # from so many on, a class of its own for each is no list of classes
_SYNTAX = re.compile(r"""[\[\]{}]|^["'(]|["']$|["']\s*[:,]|[:=]\s*(-?[\d.]+|true|false|none|null)$""", re.IGNORECASE)
_LISTED = "if these are the names, list them under `classes`"


def doubts(
    rows: Sequence[Sequence[str]],
    separator: str | None,
    from_text: frozenset[str] = frozenset(),
    places: Sequence[str] = (),
    unlisted: Collection[str] = (),
) -> list[str]:
    """Return what is strange about the names in rows, a line each that names the manifest's key; [] where nothing is.

    rows: the labels of each image. separator: what the labels of a text are cut at, None where each text is one label.
    from_text: the names that were cut out of a text, at a separator that nobody named. places: of rows, in words.
    unlisted: the names of cells that are no lists.
    """
    used = Counter(name for row in rows for name in dict.fromkeys(row))
    names = sorted(used)
    if syntax := _syntax(names):  # what else is strange follows from it
        return [syntax]
    found = [
        _separators(names, rows, separator, from_text, places, unlisted),
        _numerals(names),
        _one_a_row(used, rows, separator),
        _alike(names, rows, places),
    ]
    return [line for line in found if line]


def doubts_of_classes(names: Sequence[str]) -> list[str]:
    """Return what is strange about class names that folders, categories or XML files have, as `doubts` does of cells."""
    nothing = [name for name in names if name.casefold() in NOTHING]
    odd = (
        f"classes that may stand for no label: {_shown(nothing)}: take them out of the data; {_LISTED}"
        if nothing
        else None
    )
    return [line for line in (odd, _alike(sorted(names))) if line]


def key_of(name: str) -> str:
    """Return what two spellings of one name have in common: no case, no blanks, hyphens or underscores, one Unicode form."""
    return re.sub(r"[\s_\-\u2010-\u2015]+", "", unicodedata.normalize("NFKC", name).casefold())


def suggested(separator: str) -> str:
    """Return the key that says this separator, for a message."""
    return f"`label_separator: {_quoted(separator)}`"


def cut(name: str, separator: str) -> list[str]:
    """Return the parts of a name between separators, without blanks around them, none of them empty."""
    return [part.strip() for part in name.split(separator) if part.strip()]


def joints(texts: Collection[str]) -> list[str]:
    """Return what may join labels in some texts, and be part of names: `-`, `_`, and words such as " and ", as they are written.

    A word that begins or ends a text, or is one, joins nothing.
    """
    split = [text.split() for text in texts]
    outer = {words[n] for words in split if words for n in (0, -1)}
    inner = dict.fromkeys(word for words in split for word in words[1:-1])
    found = [f" {word} " for word in inner if word.casefold() in _JOINING_WORDS and word not in outer]
    signs = (sign for sign in _JOINING_SIGNS if f" {sign} " not in found)
    return found + [sign for sign in signs if any(sign in text for text in texts)]


def joined(texts: Collection[str], joint: str) -> list[str]:
    """Return the texts of which all parts, between what may join them, are texts of their own."""
    alone = {key_of(text) for text in texts} - {""}
    return [t for t in texts if len(parts := cut(t, joint)) > 1 and all(key_of(part) in alone for part in parts)]


def _quoted(separator: str) -> str:
    return {"\t": r'"\t"', "\n": r'"\n"'}.get(separator, f"'{separator}'")


def _shown(names: Iterable[str]) -> str:
    return some([repr(name if len(name) < 60 else f"{name[:57]}...") for name in names], 4)


def _syntax(names: list[str]) -> str | None:
    odd = [name for name in names if _SYNTAX.search(name) or (name.endswith(")") and "(" not in name)]
    if odd:
        return (
            f"classes that look like pieces of a list or an object: {_shown(odd)}: write the labels as names with "
            f"`label_separator` between them, or as a JSON list; {_LISTED}"
        )
    if odd := [name for name in names if any(unicodedata.category(c) == "Cc" and c not in "\t\n" for c in name)]:
        return f"classes that hold control characters: {_shown(odd)}: write the labels as names; {_LISTED}"
    return None


def _separators(
    names: list[str],
    rows: Sequence[Sequence[str]],
    separator: str | None,
    from_text: frozenset[str],
    places: Sequence[str],
    unlisted: Collection[str],
) -> str | None:
    loose = {
        sign: odd for sign in joints(sorted(unlisted)) if (odd := [n for n in joined(names, sign) if n in unlisted])
    }
    for other in (*SEPARATORS, *loose):
        pieces = {name: parts for name in names if other in name and len(parts := cut(name, other)) > 1}
        parted = Counter(part for parts in pieces.values() for part in set(parts))
        alone = set(names)
        certain = from_text if other in ",;|\t\n" else frozenset()
        if separator is None:  # ids such as /m/0k4j have parts too, that are no labels
            odd = [n for n, parts in pieces.items() if n in certain or all(p in alone for p in parts)]
            if odd := loose.get(other, odd):
                return f"classes made of others: {_shown(odd)}: expected one label in a row: give each a row; {_LISTED}"
            continue
        odd = [n for n, parts in pieces.items() if n in certain or any(p in alone or parted[p] > 1 for p in parts)]
        odd = loose.get(other, odd)
        if odd and any(len(row) > 1 for row in rows):
            first = next((place for row, place in zip(rows, places, strict=False) if odd[0] in row), "")
            return (
                f"classes made of others: {_shown(odd)}{first and f', first in {first}'}: other labels have {separator!r} "
                f"between them, expected that throughout: write these so; {_LISTED}"
            )
        if odd:
            return f"classes made of others: {_shown(odd)}: did you mean {suggested(other)}? Or {_LISTED}"
    if separator is not None and not separator.strip():
        return _joining_word(names, rows)
    if separator is not None and all(len(row) < 2 for row in rows):
        return _blanks(names)
    return None


def _joining_word(names: Iterable[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Return what is strange about a name that only ever stands between two others, and is a word that joins them."""
    outer = {row[n] for row in rows if row for n in (0, -1)}
    word = next((name for name in names if name.casefold() in _JOINING_WORDS and name not in outer), None)
    if word is None:
        return None
    return f"the class {word!r} only stands between two others: did you mean {suggested(f' {word} ')}? Or {_LISTED}"


def _blanks(names: list[str]) -> str | None:
    pieces = {name: name.split() for name in names}
    several = [name for name, parts in pieces.items() if len(parts) > 1]
    parted = Counter(part for parts in pieces.values() for part in set(parts))
    odd = [name for name in several if all(parted[part] > 1 for part in pieces[name])]
    lengths = {len(parts) for parts in pieces.values()}
    if len(odd) > 1 and len(odd) * 2 > len(several) and len(lengths) > 1 and len(parted) <= len(names):
        return f"classes made of others: {_shown(odd)}: did you mean {suggested(' ')}? Or {_LISTED}"
    return None


def numerals(names: Sequence[str]) -> list[str]:
    """Return those of some names that are numbers, and so say nothing of what an image shows."""
    return [name for name in names if any(map(str.isdigit, name)) and not any(map(str.isalpha, name))]


def alike_in_case(names: Sequence[str]) -> list[list[str]]:
    """Return the groups of names that differ only in case, each in the order of the names."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.casefold()].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _numerals(names: list[str]) -> str | None:
    if odd := numerals(names):
        return f"classes that are numbers: {_shown(odd)}: names are needed for the prompts: list them under `classes`"
    return None


def _one_a_row(used: Counter[str], rows: Sequence[Sequence[str]], separator: str | None) -> str | None:
    labelled = sum(bool(row) for row in rows)
    if labelled >= _ROWS and len(used) >= labelled and max(used.values()) == 1:
        if separator is None:
            return (
                f"each of the {labelled} rows has a class of its own, such as {_shown(list(used)[:2])}: is this the column of "
                f"labels? Say which is as `label_column`; {_LISTED}"
            )
        return (
            f"each of the {labelled} labelled images has a class of its own, such as {_shown(list(used)[:2])}: is this the "
            f"column of labels, and {suggested(separator)} between them? Or {_LISTED}"
        )
    return None


def _alike(names: list[str], rows: Sequence[Sequence[str]] = (), places: Sequence[str] = ()) -> str | None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key_of(name)].append(name)
    for key in list(groups):
        for plural in (f"{key}s", f"{key}es", f"{key[:-1]}ies" if key.endswith("y") else ""):
            if len(key) > 2 and plural in groups:
                groups[key] += groups.pop(plural)
    odd = [group for group in groups.values() if len(group) > 1]
    if not odd:
        return None
    shown = some([" and ".join(map(repr, group)) for group in odd], 4)
    in_case = all(len({name.casefold() for name in group}) == 1 for group in odd)  # no prompt can tell these apart
    first = {name: next((at for row, at in zip(rows, places, strict=False) if name in row), "") for name in odd[0]}
    stands = ", ".join(f"{name!r}{' first' * (n == 0)} in {at}" for n, (name, at) in enumerate(first.items()) if at)
    return (
        f"classes that may be one: {shown}: write each class in one way{stands and f' ({stands})'}"
        f"{'' if in_case else f'; {_LISTED}'}"
    )
