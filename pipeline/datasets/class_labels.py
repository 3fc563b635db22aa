"""The labels of an image as a cell or a file gives them -> class names."""

from typing import Any

from ..errors import AevlpError
from .faults import DataError, Report


def label_names(value: Any, separator: str) -> list[str]:
    """Return the labels in a cell: a list of them, or text with a separator between them."""
    if value is None:
        return []
    names = value if isinstance(value, list) else str(value).split(separator)
    return [name for name in (str(n).strip() for n in names) if name]


def labels_in(value: Any, separator: str, where: str) -> list[str | int]:
    """Return the labels that a value gives: names or class numbers, one or a list of them, or text with a separator."""
    values = (
        value
        if isinstance(value, list)
        else label_names(value, separator)
        if isinstance(value, str | None)
        else [value]
    )
    if odd := [v for v in values if not _is_label(v)]:
        raise DataError("bad row", f"{where}: expected class names or numbers, found {str(odd[0])[:60]!r}")
    return [label for label in (v.strip() if isinstance(v, str) else v for v in values) if label != ""]


def named(
    labels: list[str | int], classes: tuple[str, ...] | None, where: str, image: str, report: Report
) -> list[str]:
    """Return the names of labels, class numbers counted from 0; a number beyond the classes is reported and left out.

    Raises AevlpError for a number where no classes are known.
    """
    names = []
    for label in labels:
        if isinstance(label, str):
            names.append(label)
        elif classes is None:
            raise AevlpError(f"{where}: the class number {label} has no name: list `classes` in the manifest")
        elif 0 <= label < len(classes):
            names.append(classes[label])
        else:
            text = f"{where}: unknown class number {label}: known are 0 to {len(classes) - 1}"
            report(DataError("unknown class", text, image))
    return names


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)  # JSON may hold halves of a character
    return isinstance(value, int) and not isinstance(value, bool)
