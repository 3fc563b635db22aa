"""How people write that a class is present, absent or not known, and that an image has no label."""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

PRESENT, ABSENT, UNKNOWN = "present", "absent", "unknown"
BLANK = ("", "nan", "null")  # of a cell that holds nothing, in a file of text and in others
# The words of vectors and class columns, as `word` returns them; -1 is only unknown beside 1 and 0.
MEANING = {
    "1": PRESENT,
    "true": PRESENT,
    "0": ABSENT,
    "false": ABSENT,
    **dict.fromkeys((*BLANK, "-1", "u", "?", "unknown", "none", "na", "n/a", "<na>"), UNKNOWN),
}
# Words of a single cell that say yes or no, of which no list of labels is made.
YES_OR_NO = {"0", "1", "true", "false", "yes", "no", "y", "n", "t", "f", "present", "absent"}
# Words that may stand for no label, or be a class of their own.
NOTHING = {
    "nan", "none", "null", "nil", "n/a", "na", "<na>", "#n/a", "-", "--", "\u2013", "\u2014", "?", "[]", "{}", "nothing", "empty",
    "blank", "no finding", "no findings", "nofinding", "no_finding", "no-finding", "no label", "no labels", "no_label",
    "unlabeled", "unlabelled", "not labeled", "not labelled", "undefined", "unknown", "missing",
}  # fmt: skip
_PLAIN = re.compile(r"[^\W\d_][\w.]*(?: [\w.]+)*")
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(\.[0-9]*)?|(\.[0-9]+))")


def plain(value: Any) -> Any:
    """Return a decimal number, as some columns hold, as an int where it is whole, else as a float; all else as it is."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def word(value: Any) -> str:
    """Return how a value is compared: numbers as short as they are, "1" for 1.0; text and truth values in small letters."""
    value = plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)  # "nan", "inf" too
    return _text_word(value) if isinstance(value, str) else str(value)


@lru_cache(maxsize=4096)
def _text_word(text: str) -> str:
    found = number(text)
    return text.strip().casefold() if found is None else word(found)


def number(text: str) -> int | float | None:
    """Return the number that a text such as " 3", "-1" or "1.0" is; None for any other, "007", "nan" and "inf" too."""
    match = _NUMBER.fullmatch(text.strip()) if len(text) < 40 else None
    return None if match is None else float(match[0]) if match[1] or match[2] else int(match[0])


def as_yaml(words: Sequence[str]) -> str:
    """Return a list of words as a manifest has it, those in quotes that YAML would read otherwise."""
    plain = (_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS for text in words)
    return f"[{', '.join(text if p else json.dumps(text, ensure_ascii=False) for text, p in zip(words, plain, strict=True))}]"


def mapping_as_yaml(meaning: Mapping[str, str]) -> str:
    """Return what words stand for, as the `label_values` of a manifest has it, in braces."""
    return f"{{{', '.join(f'{as_yaml([text])[1:-1]}: {what}' for text, what in meaning.items())}}}"


def by_word(values: dict[Any, Any]) -> dict[str, Any]:
    """Return the `label_values` of a manifest by `word`; YAML reads a bare yes as true, so that true stands for both.

    Raises ValueError where two keys are one word with two meanings.
    """
    found: dict[str, Any] = {}
    for key, meaning in values.items():
        if found.setdefault(word(key), meaning) != meaning:
            raise ValueError(f"the value {word(key)!r} stands twice, as {found[word(key)]} and as {meaning}")
    for key, others in (("true", ("yes", "on")), ("false", ("no", "off"))):
        if key in found:
            for other in others:
                found.setdefault(other, found[key])
    return found
