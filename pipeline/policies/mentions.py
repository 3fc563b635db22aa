"""A sentence and class names -> which classes it mentions, in the singular and the plural (SPARC, CVPR 2025)."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import AevlpError

NAME = re.compile(r"[a-z]+( [a-z]+)*")
OTHER = re.compile(r"[^a-z]+")
JOINED_BY_VOC = ("potted plant", "dining table", "tv monitor")
IRREGULAR = (
    ("person", "people"), ("child", "children"), ("man", "men"), ("foot", "feet"), ("goose", "geese"), ("mouse", "mice"),
    ("die", "dice"), ("tooth", "teeth"), ("louse", "lice"), ("leaf", "leaves"), ("wolf", "wolves"), ("knife", "knives"),
    ("cactus", "cacti"), ("shelf", "shelves"), ("calf", "calves"),
)  # fmt: skip
TAKEN = " ! "  # in the place of a name that was found, so that no shorter one is found in it


def mentioned(sentence: str, names: Sequence[str], joined: Sequence[str] = ()) -> list[str]:
    """Return the class names that a sentence mentions, the longest first, each once.

    names: of lower-case letters and single blanks. joined: names of two words that stand among `names` as one, as VOC's do
    (`JOINED_BY_VOC`). A name is there as itself, with or without a final s, with es, or with an irregular plural; one that is
    part of a longer name which is there does not count. Raises AevlpError for a name of anything else.
    """
    for name in names:
        if not NAME.fullmatch(name):
            raise AevlpError(
                f"names that are looked for in sentences are of lower-case letters and single blanks, found {name!r}"
            )
    text = sentence.lower()
    for words in joined:
        text = text.replace(words, words.replace(" ", ""))
    text = f" {OTHER.sub(' ', text)} "
    found = []
    for name in sorted(names, key=len, reverse=True):
        for form in sorted(set(_forms(name))):
            if f" {form} " in text:
                text = text.replace(f" {form} ", TAKEN)
                found += [name] if name not in found else []
    return found


def member_matrix(sentences: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return which sentence mentions a class, (C, M) int8 0/1; names: of any spelling, taken without what is no letter.

    Raises AevlpError where a name has no letter from a to z, or two are then the same.
    """
    plain = [OTHER.sub(" ", name.lower()).strip() for name in names]
    for c, name in enumerate(plain):
        if not name:
            raise AevlpError(
                f"the class {names[c]!r} has no letter from a to z, so no sentence can be found to mention it"
            )
        if name in plain[:c]:
            raise AevlpError(
                f"the classes {names[plain.index(name)]!r} and {names[c]!r} are the same in a sentence: rename one"
            )
    members = np.zeros((len(names), len(sentences)), dtype=np.int8)
    for m, sentence in enumerate(sentences):
        for name in mentioned(sentence, plain):
            members[plain.index(name), m] = 1
    return members


def _forms(name: str) -> Iterator[str]:
    yield from (name, name.removesuffix("s"), f"{name}s", f"{name}es")
    for singular, plural in IRREGULAR:
        name = name.replace(singular, plural)
    yield name
