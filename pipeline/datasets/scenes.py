"""The generated scenes: drawn into the data set's folder when they are not there, then read like any table."""

import csv
from pathlib import Path

from PIL import Image

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..manifest.formats import ScenesSpec, TableSpec
from . import scene_pictures, table, varied_scenes
from .faults import Report
from .image_table import Listings

SERIES = {
    1: (scene_pictures.CLASSES, scene_pictures.draw_scene),
    2: (varied_scenes.CLASSES, varied_scenes.draw_varied),
}  # number -> its classes, and what draws picture `index` of a seed


def read(spec: ScenesSpec, root: Path, report: Report) -> Listings:
    """Return the scenes, drawing them first where the folder has none of this seed and these numbers."""
    name = table_name(spec)
    if not (root / name).is_file():
        draw(spec, root)
    as_table = TableSpec(
        title=spec.title,
        format="table",
        table=name,
        split_column="split",
        classes=spec.classes or SERIES[spec.series][0],
    )
    return table.read(as_table.placed(spec.name, spec.manifest_path), root, report)


def table_name(spec: ScenesSpec) -> str:
    """Return the name of the list of pictures, which says what it lists: another setting, another list."""
    return f"{_series(spec)}_seed{spec.seed}_{spec.train}_{spec.test}.csv"


def _series(spec: ScenesSpec) -> str:
    return "scenes" if spec.series == 1 else f"scenes{spec.series}"


def draw(spec: ScenesSpec, root: Path) -> None:
    """Write the pictures and, last, the table that lists them.

    They are BMP files: uncompressed, so that their bytes depend on the seed alone and on no version of a compressor.
    """
    try:
        rows = _draw_pictures(spec, root)
    except OSError as error:
        raise AevlpError(f"{spec.name}: cannot write pictures below {root}: {error.strerror or error}") from error
    with replacing(root / table_name(spec)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "split", "labels"))
        writer.writerows(rows)


def _draw_pictures(spec: ScenesSpec, root: Path) -> list[tuple[str, str, str]]:
    """Write the pictures and return the table's rows."""
    folder = root / (f"seed{spec.seed}" if spec.series == 1 else f"series{spec.series}_seed{spec.seed}")
    draw_picture = SERIES[spec.series][1]
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(spec.train + spec.test):
        pixels, objects = draw_picture(spec.seed, index)
        path = folder / f"scene_{index:06d}.bmp"
        Image.fromarray(pixels).save(path)
        names = ";".join(sorted(thing.name for thing in objects))
        rows.append((path.relative_to(root).as_posix(), "train" if index < spec.train else "test", names))
    return rows
