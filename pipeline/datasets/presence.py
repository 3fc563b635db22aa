"""A value for each class, as vectors and class columns have them -> codes: present, absent, or not known."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from ..errors import AevlpError, counted, some
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ..labels.label_words import ABSENT, BLANK, MEANING, PRESENT, mapping_as_yaml, word
from ..manifest.label_keys import LabelKeys
from .faults import DataError, Remark

FRACTION = "a fraction"
# Words that are only read where it is said what they stand for, each beside the one that it is written with.
_PAIRS = (
    ("yes", "no"), ("y", "n"), ("t", "f"), ("present", "absent"), ("positive", "negative"), ("pos", "neg"), ("on", "off"),
)  # fmt: skip
_MARKS = ("x", "\u2713", "\u2714")  # of what is present, beside cells that are empty
_DECIMAL_COMMA = re.compile(r"0?(,[0-9]+)|1(,0+)")
_CODES = {PRESENT: POSITIVE, ABSENT: NEGATIVE}


def pairs_of(words: Iterable[str]) -> dict[str, str]:
    """Return what words such as yes stand for, each with the one that it is written with; others are left out."""
    found: dict[str, str] = {}
    for text in words:
        for pair in _PAIRS:
            if text in pair:
                found |= dict(zip(pair, (PRESENT, ABSENT), strict=True))
        if text in _MARKS:
            found[text] = PRESENT
    return found


def decimal_comma(value: Any) -> str | None:
    """Return a number from 0 to 1 that is written as "0,9" with a point; None for all else."""
    match = _DECIMAL_COMMA.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else f"{value.strip().partition(',')[0] or '0'}.{value.strip().partition(',')[2]}"


class Presence:
    """Values are kept as numbers of the words that they are, a byte each, until it is known what the words stand for."""

    def __init__(self, keys: LabelKeys) -> None:
        self._keys = keys
        self._meaning = dict(keys.label_values) if keys.label_values else dict(MEANING)
        if keys.label_values:
            self._meaning = {**dict.fromkeys(BLANK, "unknown"), **self._meaning}
        self._numbers: dict[str, int] = {}
        self._seen: dict[tuple[type, Any], int | None] = {}  # 1 and true are two

    def number(self, value: Any) -> int | None:
        """Return the number of a value's word, None for a value that says nothing of a class."""
        try:
            return self._seen[value.__class__, value]
        except TypeError:  # a list or an object
            return None
        except KeyError:
            found = self._number(value)
            if len(self._seen) < 10_000:
                self._seen[value.__class__, value] = found
            return found

    def _number(self, value: Any) -> int | None:
        if value is not None and not isinstance(value, str | int | float | Decimal):
            return None
        text = word(value)
        if text not in self._meaning:
            text = self._fraction(text) or ""
            if not text:
                return None
        return self._numbers.setdefault(text, len(self._numbers))

    def _fraction(self, text: str) -> str | None:
        """Return the word of a probability: what it is beside `label_threshold`, or that it is one."""
        try:
            probability = float(text)
        except ValueError:
            return None
        if not 0 <= probability <= 1:
            return None
        threshold = self._keys.label_threshold
        if threshold is None:
            return None if self._keys.label_values else FRACTION
        text = f"at or above {threshold:g}" if probability >= threshold else f"below {threshold:g}"
        self._meaning[text] = PRESENT if probability >= threshold else ABSENT
        return text

    def meaning(self, value: Any) -> str | None:
        """Return "present", "absent", "unknown" or `FRACTION`, None for a value that says nothing of a class."""
        number = self.number(value)
        text = None if number is None else list(self._numbers)[number]
        return text if text is None or text == FRACTION else self._meaning[text]

    def telling(self) -> list[int]:
        """Return the numbers of the words that say present or absent, or how probable it is."""
        said = (PRESENT, ABSENT)
        return [n for text, n in self._numbers.items() if text == FRACTION or self._meaning[text] in said]

    def refused(self, value: Any, place: str) -> DataError:
        """Return the error for a value that says nothing of a class, in a row and column."""
        expected = "present (1), absent (0) or not known"
        if self._keys.label_values:
            expected = f"one of those under `label_values` ({some(list(self._keys.label_values), 12)})"
        if (text := decimal_comma(value)) is not None:
            found = (
                f"{place} holds {value!r}, a number with a decimal comma: write {text}, and all others so, with a point"
            )
            return DataError("bad row", found)
        return DataError(
            "bad row", f"{place} holds {str(value)[:60]!r}, expected {expected}: correct it{self.example(value)}"
        )

    def example(self, odd: Any) -> str:
        """Return the words that advise to say what values stand for, an odd one with them; "" where it cannot be said."""
        if not isinstance(odd, str | int | float | Decimal) or len(text := word(odd)) > 60:
            return ""
        known = {known: self._meaning[known] for known in self._numbers if known not in (*BLANK, FRACTION)}
        meant = pairs_of([text])
        if meant and not (known and text in _MARKS):  # beside 1 and 0 a mark may say anything
            known = known if len(known) <= 8 else {}
            return f", or say what each value stands for, such as {_example({**known, **meant})}"
        known = known if known and len(known) <= 8 else {"1": PRESENT, "0": ABSENT}
        return f", or say what each value stands for, such as {_example({**known, text: 'unknown'})}"

    def codes(self, rows: list[bytes], width: int, place: str) -> tuple[np.ndarray, bool, list[Remark]]:
        """Return (n, C) int8 codes, whether all are known, and what is to be said; then absent is 0, else absent is -1.

        rows: n times the numbers of C values. place: where they stand, in words.
        Raises AevlpError that names the manifest's key where what a value stands for is not certain.
        """
        numbers = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), width)
        found = np.bincount(numbers.ravel(), minlength=len(self._numbers))
        counts = {text: int(found[n]) for text, n in self._numbers.items() if found[n]}
        given = "labels" in self._keys.model_fields_set
        self._require_certain(counts, place, given and self._keys.labels == "observed")
        meaning, remarks = self._meaning, []
        unknown = {text: count for text, count in counts.items() if meaning[text] == "unknown"}
        absent = {text: count for text, count in counts.items() if meaning[text] == ABSENT}
        listed = ", ".join(f"{counted(count, 'time')} {text or 'empty'}" for text, count in unknown.items())
        if given and self._keys.labels == "complete" and unknown:
            raise AevlpError(
                f"{place}: not every label is known ({listed}), and the manifest says `labels: complete`: leave it out, or say "
                f"what the value stands for in `label_values`"
            )
        said = self._keys.label_values or self._keys.label_threshold is not None
        if self._keys.labels == "observed" and absent and not unknown and not said:
            meaning = {**meaning, **dict.fromkeys(absent, "unknown")}
            text = (
                f"{place}: with `labels: observed` {' and '.join(absent)} is read as not known; where it is verified absent say "
                f"{_example({text: meaning[text] if text not in absent else ABSENT for text in counts})}"
            )
            remarks.append(Remark("read differently", text))
        elif unknown:
            text = (
                f"{place}: of {numbers.size:,} labels {sum(unknown.values()):,} are not known ({listed}), so the labels are "
                f"taken as observed ones, {' and '.join(absent) or '0'} as verified absent; `label_values` may say otherwise"
            )
            remarks.append(Remark("read differently", text))
        lookup = np.zeros(256, dtype=np.int8)
        for text, n in self._numbers.items():
            lookup[n] = _CODES.get(meaning.get(text, ""), UNKNOWN)
        codes = lookup[numbers]
        complete = self._keys.labels == "complete" and not unknown
        return (np.maximum(codes, 0) if complete else codes), complete, remarks

    def _require_certain(self, counts: dict[str, int], place: str, observed: bool) -> None:
        if FRACTION in counts:
            raise AevlpError(
                f"{place}: {counts[FRACTION]:,} values are fractions, as probabilities are: say from where on a class is "
                f"present, such as `label_threshold: 0.5`"
            )
        if self._keys.label_values or "-1" not in counts:
            return
        two = not ("0" in counts or "false" in counts) or not ("1" in counts or "true" in counts)
        if two or observed:
            found = ", ".join(text or "empty" for text in counts)
            example = _example({"1": PRESENT, "-1": ABSENT} | ({"0": "unknown"} if "0" in counts else {}))
            raise AevlpError(
                f"{place}: the values are {found}, so -1 may be absent or not known: say it, such as {example}"
            )


def _example(meaning: dict[str, str]) -> str:
    return f"`label_values: {mapping_as_yaml(meaning)}`"
