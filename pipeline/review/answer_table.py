"""Answers <-> a table with a row a pair: image, class, answer (yes, no or skip), and the size of the image file."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from .answers import Answer

COLUMNS = ("image", "class", "answer", "size")
DELIMITERS = (",", ";", "\t")
WORDS = {POSITIVE: "yes", NEGATIVE: "no", UNKNOWN: "skip"}
CODES = {
    **{word: code for code, word in WORDS.items()},
    **{"y": POSITIVE, "n": NEGATIVE, "1": POSITIVE, "-1": NEGATIVE},
}


def answer_table(answers: Iterable[Answer]) -> str:
    """Return the text of the table, in the order of the answers."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for answer in answers:
        writer.writerow((answer.image, answer.label, WORDS[answer.code], "" if answer.size is None else answer.size))
    return text.getvalue()


def read_answer_table(path: Path) -> list[Answer]:
    """Return the answers in a table; rows without an answer are passed over, other columns are not read.

    Raises AevlpError where a column is missing, a row is not what the columns say, or a pair has two answers.
    """
    found: dict[tuple[str, str], Answer] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=header.count)  # of spreadsheets in other languages
            reader = csv.DictReader(file, delimiter=delimiter)
            missing = [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]
            if missing:
                raise AevlpError(
                    f"{path}: expected the columns image, class and answer, found {', '.join(reader.fieldnames or ()) or 'none'}"
                )
            for row in reader:
                answer = _answer(path, reader.line_num, row)
                if answer is None:
                    continue
                before = found.setdefault((answer.image, answer.label), answer)
                if before.code != answer.code:
                    raise AevlpError(
                        f"{path}, line {reader.line_num}: {answer.image} and {answer.label} have another answer above"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AevlpError(f"cannot read {path}: {error}") from error
    return list(found.values())


def _answer(path: Path, line: int, row: dict[str, str]) -> Answer | None:
    where = f"{path}, line {line}"
    if None in row or None in row.values():
        raise AevlpError(f"{where}: another number of cells than there are columns")
    image, label, word = row["image"], row["class"], row["answer"].strip().casefold()
    if not word:
        return None
    if not image or not label:
        raise AevlpError(f"{where}: an answer without an image or a class")
    if word not in CODES:
        raise AevlpError(f"{where}: expected the answer yes, no or skip, found {row['answer']!r}")
    size = row.get("size", "").strip()
    if size and not size.isdecimal():
        raise AevlpError(f"{where}: expected a size in bytes, found {size!r}")
    return Answer(image, label, CODES[word], int(size) if size else None)
