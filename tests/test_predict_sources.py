"""Labels of the images that a source names: the same pictures in the shapes people have them in, with and without labels."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import source_shapes as shapes
from conftest import call
from PIL import Image
from refusals import one_line
from test_onnx_model import mean_colours

import aevlp
from aevlp.pipeline.sources.images_alone import ENDINGS
from aevlp.stages.prediction.image_names import MANIFESTS, SOURCES

GIVEN = shapes.labels(9)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return mean_colours(tmp_path / "model.onnx")


def seen(model: Path, *images: str | Path, **options: Any) -> dict[str, list[float]]:
    """Return the probabilities of each image by its id."""
    found = aevlp.predict(model, [str(image) for image in images], **options).images
    assert len({image["image"] for image in found}) == len(found)
    return {image["image"]: list((image["probabilities"] or {}).values()) for image in found}


def expected(model: Path, folder: Path) -> dict[str, list[float]]:
    """Return the same by the names of files, read as files."""
    shapes.draw(folder, GIVEN)
    return {Path(name).name: values for name, values in seen(model, folder).items()}


@pytest.mark.parametrize(
    "shape",
    [
        shapes.comma,
        shapes.tab,
        shapes.one_hot,
        shapes.json_lines,
        shapes.parquet,
        shapes.coco,
        shapes.tars,
        shapes.hugging_face,
    ],
)
def test_a_source_in_any_shape_gives_what_its_files_give(
    model: Path, tmp_path: Path, shape: Callable[[Path, dict[str, frozenset[str]]], Path]
) -> None:
    (tmp_path / "source").mkdir()
    source = shape(tmp_path / "source", GIVEN)
    # a folder with pictures and a table is a folder of pictures, so the table is named
    found, whole = seen(model, source), expected(model, tmp_path / "plain")
    assert sorted(found.values()) == sorted(whole.values())
    if shape is not shapes.hugging_face:  # whose rows have numbers alone
        assert {name.rpartition("/")[2]: values for name, values in found.items()} == whole


def test_a_table_needs_no_labels_and_names_images_anywhere(model: Path, tmp_path: Path) -> None:
    whole = expected(model, tmp_path / "plain")
    far = tmp_path / "far" / "list.csv"
    far.parent.mkdir()
    names = [str(tmp_path / "plain" / name) for name in whole]
    far.write_text("\n".join(["picture", *names, names[0], ""]) + "\n")
    assert seen(model, far) == dict(zip(names, whole.values(), strict=True))
    near = tmp_path / "plain" / "list.csv"
    near.write_text("one,two\n" + "".join(f"{name},{name}\n" for name in whole))
    with one_line("--image-column"):
        seen(model, near)
    assert seen(model, near, image_column="two") == whole


def test_an_image_that_a_table_names_and_that_is_not_there_is_a_row(model: Path, tmp_path: Path) -> None:
    whole = expected(model, tmp_path / "plain")
    (tmp_path / "plain" / "list.csv").write_text("image\n" + "".join(f"{name}\n" for name in [*whole, "gone.png"]))
    found = aevlp.predict(model, [str(tmp_path / "plain" / "list.csv")]).images
    assert [image["status"] for image in found] == ["ok"] * 9 + ["missing"]
    assert found[-1]["image"] == "gone.png" and found[-1]["probabilities"] is None


def test_tars_without_labels_and_one_image_alone(model: Path, tmp_path: Path) -> None:
    whole = expected(model, tmp_path / "plain")
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        tar.add(tmp_path / "plain" / "003.png", "a/003.png")
        tar.add(tmp_path / "plain" / "003.png", "a/._003.png")
    assert seen(model, tmp_path / "one.tar") == {"one.tar/a/003.png": whole["003.png"]}


def test_a_hugging_face_file_and_a_data_set_of_a_manifest(model: Path, tmp_path: Path) -> None:
    whole = expected(model, tmp_path / "plain")
    rows = [{"bytes": (tmp_path / "plain" / name).read_bytes(), "path": name} for name in whole]
    (tmp_path / "hf").mkdir()
    columns = {"image": rows, "labels": [sorted(names) for names in GIVEN.values()]}
    pq.write_table(pa.table(columns), tmp_path / "hf" / "data.parquet")
    assert list(seen(model, tmp_path / "hf").values()) == list(whole.values())
    entries = {
        name: {"title": name, "format": "images", "classes": ["a", "b"], "root": str(tmp_path / "plain")}
        for name in "xy"
    }
    (tmp_path / "my.yaml").write_text(json.dumps({"datasets": entries}))
    with one_line("--dataset"):
        seen(model, tmp_path / "my.yaml")
    named = seen(model, tmp_path / "my.yaml", dataset="y", data_root=tmp_path / "plain")
    assert named == seen(model, "y", manifest=tmp_path / "my.yaml", data_root=tmp_path / "plain") == whole


def test_shards_have_the_ids_of_the_source(model: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    table = shapes.comma(tmp_path / "source", GIVEN)
    assert call("predict", model, table, "--output", tmp_path / "labels", "--shard-images", 4) == 0
    found = pq.read_table(tmp_path / "labels")
    whole = seen(model, table)
    assert found["image"].to_pylist() == list(whole)
    values = np.stack([found[f"p({name})"].to_numpy() for name in ("red", "green", "blue")], axis=1)
    np.testing.assert_allclose(values, list(whole.values()), atol=1e-7)


def test_files_that_are_known_as_sources_are_those_that_can_be_read_as_such() -> None:
    # Listed apart, since what reads them takes a while to load; .txt alone or among others is refused with advice.
    assert set(SOURCES) - {*MANIFESTS, ".txt"} == ENDINGS - {".txt"}


def test_what_can_be_meant_in_two_ways_is_refused(model: Path, tmp_path: Path) -> None:
    shapes.draw(tmp_path / "plain", GIVEN)
    table = tmp_path / "plain" / "list.csv"
    table.write_text("image\n000.png\n")
    with one_line("pass it alone"):
        seen(model, tmp_path / "plain" / "000.png", table)
    with one_line("standard input"):
        (tmp_path / "paths.txt").write_text("a.png\n")
        seen(model, tmp_path / "paths.txt")
    with one_line("--image-column"):
        seen(model, tmp_path / "plain", image_column="image")
    with one_line("--data-root"):
        seen(model, table, data_root=tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text("image\n")
    with one_line("no rows"):
        seen(model, empty)
    (tmp_path / "bad.json").write_text('{"images": 3}')
    with one_line("bad.json"):
        seen(model, tmp_path / "bad.json")
    with one_line("no file, folder or match"):
        seen(model, "nothing-of-this-name")


def test_a_folder_beside_a_table_is_its_pictures_and_the_table_is_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    shapes.comma(tmp_path / "mine", GIVEN)
    assert len(seen(model, tmp_path / "mine")) == 9
    assert "left out of" in capsys.readouterr().err
    Image.new("RGB", (4, 4)).save(tmp_path / "mine" / "more.png")
    assert len(seen(model, tmp_path / "mine" / "mine.csv")) == 9
