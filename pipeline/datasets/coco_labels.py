"""The annotations of a COCO-style file -> the label cells that they set, and what is wrong with those that set none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import AevlpError, counted
from .coco_categories import CategoryTable
from .coco_file import Annotation, Id, id_text, object_area
from .faults import DataError, Report


@dataclass(frozen=True)
class Fault:
    """Why an annotation sets no cell; row: of its image, or -1; unnamed: whether it has no category at all."""

    kind: str
    text: str
    row: int
    unnamed: bool


@dataclass
class Cells:
    """The label cells that annotations set: rows of images, columns of the file's own categories, the area of each object."""

    table: CategoryTable
    rows: np.ndarray
    columns: np.ndarray
    areas: np.ndarray
    faults: list[Fault] = field(default_factory=list)

    def of_rows(self, places: np.ndarray) -> "Cells":
        """Return the cells of the images that are kept; places: each row's new one, -1 for an image that is left out."""
        rows = places[self.rows] if len(self.rows) else self.rows
        kept = rows >= 0
        faults = [replace(fault, row=places[fault.row] if fault.row >= 0 else -1) for fault in self.faults]
        return Cells(self.table, rows[kept], self.columns[kept], self.areas[kept], faults)

    def report(self, ids: Sequence[str], labels: np.ndarray, report: Report) -> int:
        """Report the faults and return how many there are that change nothing; ids, labels: of the images, by row.

        An annotation without a category changes nothing where its image shows every class already.
        """
        harmless = 0
        for fault in self.faults:
            if fault.unnamed and fault.row >= 0 and labels[fault.row].all():
                harmless += 1
            else:
                report(DataError(fault.kind, fault.text, ids[fault.row] if fault.row >= 0 else None))
        return harmless

    def labels(self, shape: tuple[int, int], columns: np.ndarray) -> np.ndarray:
        """Return the labels, 0/1, by the classes of the data set; columns: of each category among those."""
        labels = np.zeros(shape, dtype=np.int8)
        labels[self.rows, columns[self.columns]] = 1
        return labels

    def sizes(self, shape: tuple[int, int], columns: np.ndarray) -> np.ndarray:
        """Return the area of the largest object of each class in each image; AevlpError where one is no number."""
        if unknown := int((~np.isfinite(self.areas)).sum()):
            raise AevlpError(
                f"{self.table.path}: {counted(unknown, 'annotation')} with an area or box that is no size in pixels"
            )
        largest = np.zeros(shape)
        np.maximum.at(largest, (self.rows, columns[self.columns]), self.areas)
        return largest


def cells_of(annotations: Sequence[Annotation], table: CategoryTable, row: dict[str, int]) -> Cells:
    """Return the cells of all annotations, noting in the table which categories they use; row: of each image by its id."""
    rows, columns = _in_any_form(row), _in_any_form({number: n for n, number in enumerate(table.ids)})
    places = np.full((len(annotations), 2), -1)
    areas = np.zeros(len(annotations))
    faults = []
    for n, annotation in enumerate(annotations):
        image, category = annotation.image_id, annotation.category_id
        try:
            places[n] = rows[image], columns[category]
        except KeyError:
            image, category = id_text(image), id_text(category)
            if image not in rows or category not in columns:
                where = f"{table.path}, annotation {n + 1} of {len(annotations)}"
                faults.append(_fault(annotation, where, rows.get(image, -1), category in columns))
                continue
            places[n] = rows[image], columns[category]
        areas[n] = object_area(annotation)
    kept = places[:, 0] >= 0
    table.used[places[kept, 1]] = True
    return Cells(table, places[kept, 0], places[kept, 1], areas[kept], faults)


def _in_any_form(place: dict[str, int]) -> dict[Id | None, int]:
    """Return places by ids as text and, to spare most of the writing of text, by the numbers that those are."""
    short = ((text, n) for text, n in place.items() if len(text) < 16 and text.isascii() and text.isdecimal())
    return {**place, **{int(text): n for text, n in short if str(int(text)) == text}}


def _fault(annotation: Annotation, where: str, row: int, of_a_category: bool) -> Fault:
    given = annotation.category_id
    unnamed = given is None or given != given  # NaN
    if of_a_category:
        kind, text = "bad row", f"it names image {annotation.image_id!r}, which is not among its images"
    elif unnamed:
        text = "its `category_id` is null, so what it shows is not known: give it the id of a category, or remove it"
        kind = "bad row"
    else:
        kind, text = "unknown class", f"it names category {given!r}, which is not among its categories"
    return Fault(kind, f"{where}: {text}", row, unnamed)
