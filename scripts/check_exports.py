"""What `aevlp review --export` wrote -> whether the tools' own packages read it; they are installed by hand, beside aevlp.

    python scripts/check_exports.py voc.label-studio.json voc.fiftyone voc.cvat.xml

Needs label-studio-sdk, fiftyone and datumaro for the file of each; FiftyOne's reader runs without its database.
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path


def label_studio(path: Path) -> str:
    """Return how many tasks and predictions Label Studio's SDK finds valid; SystemExit where one is not."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(path.with_suffix(".xml").read_text(encoding="utf-8"))
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for task in tasks:
        if not interface.validate_task({"data": task["data"]}):
            sys.exit(f"{path}: a task is not valid: {task['data']}")
        for prediction in task["predictions"]:
            if errors := interface.validate_prediction(prediction, return_errors=True):
                sys.exit(f"{path}: a prediction is not valid: {errors}")
    return f"{len(tasks)} tasks, all valid"


def fifty_one(path: Path) -> str:
    """Return how many samples and questions FiftyOne's importer reads."""
    from fiftyone.utils.data.importers import FiftyOneDatasetImporter, _handle_legacy_formats

    importer = _handle_legacy_formats(FiftyOneDatasetImporter(str(path)))
    importer.setup()
    samples = list(importer)
    return f"{len(samples)} samples, {sum(len(sample['questions'].classifications) for sample in samples)} questions"


def cvat(path: Path) -> str:
    """Return how many images and tags Datumaro's reader of CVAT's format finds."""
    from datumaro import Dataset

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "annotations.xml").write_bytes(path.read_bytes())
        with zipfile.ZipFile(path.with_suffix(".images.zip")) as images:  # the reader asks for them
            images.extractall(Path(folder) / "images")
        items = list(Dataset.import_from(folder, "cvat"))
    return f"{len(items)} images, {sum(len(item.annotations) for item in items)} tags"


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:]):
        check = fifty_one if given.is_dir() else {".json": label_studio, ".xml": cvat}[given.suffix]
        print(f"{given}: {check(given)}")
