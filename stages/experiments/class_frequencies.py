"""A CSV of class frequencies -> the frequency of each class."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...pipeline.errors import AevlpError, counted, unknown_name


def read_frequencies(path: Path, classes: Sequence[str]) -> np.ndarray:
    """Return the frequency (C,) float64 in [0, 1] of every class from a CSV with the columns class and frequency.

    Raises AevlpError where the file is none, and where a class is unknown, named twice or missing.
    """
    found: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if missing := [name for name in ("class", "frequency") if name not in (reader.fieldnames or ())]:
                raise AevlpError(f"{path}: expected the columns class and frequency, there is no {missing[0]}")
            for record in reader:
                where, name = f"{path}, line {reader.line_num}", record["class"]
                if name not in classes:
                    raise AevlpError(f"{where}: {unknown_name('class', str(name), classes)}")
                if name in found:
                    raise AevlpError(f"{where}: the class {name} stands there twice")
                found[name] = _share(record["frequency"], where)
    except UnicodeDecodeError as error:
        raise AevlpError(f"{path}: not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise AevlpError(f"{path}: not a valid .csv file: {error}") from error
    except OSError as error:
        raise AevlpError(
            f"cannot read the class frequencies {path}: {error.strerror or error}; give a .csv file, or observed"
        ) from error
    if missing := [name for name in classes if name not in found]:
        raise AevlpError(
            f"{path}: {counted(len(missing), 'class has', 'classes have')} no frequency, first {missing[0]}"
        )
    return np.array([found[name] for name in classes])


def _share(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise AevlpError(f"{where}: a frequency is a share of the images, from 0 to 1, found {text!r}")
    return value
