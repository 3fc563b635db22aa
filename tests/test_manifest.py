"""The packaged manifest against the published constants, and what a user's own manifest may get wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torchvision.datasets.voc import DATASET_YEAR_DICT

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest import PACKAGED, Manifest, ScenesSpec, TableSpec, VocSpec, load_manifest
from aevlp.pipeline.pseudo_labels import DampSettings
from aevlp.pipeline.scene_pictures import CLASSES

# The method's section 8 and, for `train` and `test`, the protocol's section 3.
PUBLISHED: dict[str, tuple] = {
    #                        voc                  coco                 nuswide              cub
    "classes":              (20,                  80,                  81,                  312),
    "train":                (5717,                82081,               150000,              5994),
    "test":                 (5823,                40137,               60260,               5794),
    "epochs":               (8,                   8,                   10,                  10),
    "batch_size":           (8,                   16,                  16,                  8),
    "lr":                   (1e-5,                1e-5,                1e-5,                1e-5),
    "head_lr_factor":       (10,                  10,                  10,                  10),
    "linear_init":          (0,                   0,                   0,                   0),
    "image_size":           (448,                 448,                 448,                 448),
    "beta":                 ([0, 2, -2, -2],      [0, 10, -2, -8],     [0, 10, -2, -8],     [0, 10, -2, -8]),
    "alpha":                ([0.5, 2, 0.8, 0.5],  [0.5, 2, 0.8, 0.5],  [0.5, 2, 0.8, 0.5],  [0.5, 2, 0.8, 0.5]),
    "q2":                   (0.01,                0.01,                0.01,                0.01),
    "q3":                   (1,                   1,                   1,                   1.5),
    "lam_1":                (0.7,                 0.7,                 0.7,                 0.8),
    "lam_2":                (0.4,                 0.5,                 0.5,                 0.2),
    "rho":                  (0.9,                 0.9,                 0.9,                 0.9),
    "reg":                  (0.05,                0.001,               0.001,               0.01),
    "expected_positives":   (1.5,                 2.9,                 1.9,                 31.4),
    "temperature":          (0.01,                0.01,                0.01,                0.1),
    "eta":                  (0.0,                 0.3,                 0.3,                 0.005),
    "threshold":            (0.5,                 0.5,                 0.6,                 0.005),
    "grid":                 (4,                   4,                   4,                   5),
    "top_k":                (3,                   3,                   3,                   32),
    "negative_ratio":       (0.2,                 0.3,                 0.2,                 0.2),
    "negatives":            (4,                   24,                  16,                  62),
    "sparse_topk":          (20,                  62,                  50,                  312),
    "reweight":             (0.2,                 0.2,                 0.2,                 0.2),
    "relation_temperature": (0.3,                 0.2,                 0.2,                 0.3),
}  # fmt: skip
BENCHMARKS = ("voc", "coco", "nuswide", "cub")

PHOTOS = """
datasets:
  photos:
    title: My photographs
    format: table
    table: labels.csv
"""


def packaged_constants(name: str) -> dict[str, Any]:
    spec = load_manifest()[name]
    graph = spec.text_graph
    assert graph is not None
    recipe = ("epochs", "batch_size", "lr", "head_lr_factor", "linear_init", "image_size")
    return {
        **spec.expected.model_dump(),
        **spec.damp.model_dump(),
        **{key: getattr(spec.recipe, key) for key in recipe},
        **spec.losses["gpr"],
        "negatives": int(spec.damp.negative_ratio * (spec.expected.classes or 0)),
        "sparse_topk": graph.sparse_topk,
        "reweight": graph.reweight,
        "relation_temperature": graph.temperature,
    }


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder: Path, text: str) -> str:
    """Return the one line that refuses this manifest."""
    with pytest.raises(AevlpError) as caught:
        load_manifest(written(folder, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_constants_of_a_benchmark_are_the_published_ones(name: str) -> None:
    assert packaged_constants(name) == {key: values[BENCHMARKS.index(name)] for key, values in PUBLISHED.items()}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_scored_and_trained_with_the_published_models(name: str) -> None:
    spec = load_manifest()[name]
    assert (spec.clip.model, spec.clip.weights) == ("ViT-B-16", "openai")
    assert spec.recipe.backbone == "resnet50.tv_in1k"  # ImageNet-1k V1 weights
    assert (spec.recipe.val_fraction, spec.prompt) == (0.2, "a photo of a {}.")


def test_what_a_data_set_leaves_out_is_what_the_published_command_line_sets(tmp_path: Path) -> None:
    spec = load_manifest(written(tmp_path, PHOTOS))["photos"]
    damp = {"grid": 4, "temperature": 0.01, "eta": 0.1, "threshold": 0.5, "top_k": 3, "negative_ratio": 0.1}
    assert spec.damp.model_dump() == damp
    recipe = spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.head_lr_factor) == (8, 8, 1e-5, 10)
    assert (recipe.linear_init, recipe.image_size, recipe.val_fraction) == (0, 448, 0.2)
    assert (spec.clip.model, spec.clip.weights, spec.prompt) == ("ViT-B-16", "openai", "a photo of a {}.")


def test_class_lists_are_in_the_published_order() -> None:
    manifest = load_manifest()
    for name in ("voc", "coco", "nuswide", "scenes"):
        spec = manifest[name]
        assert isinstance(spec.classes, tuple)
        assert len(spec.classes) == len(set(spec.classes)) == spec.expected.classes
        if name != "coco":  # the others are alphabetical, COCO goes by category id
            assert list(spec.classes) == sorted(spec.classes)
    ends = {name: (manifest[name].classes or ())[:: len(manifest[name].classes or ()) - 1] for name in BENCHMARKS[:3]}
    assert ends == {
        "voc": ("aeroplane", "tvmonitor"),
        "coco": ("person", "toothbrush"),
        "nuswide": ("airport", "zebra"),
    }
    assert (manifest["coco"].classes or ())[9:13] == ("traffic light", "fire hydrant", "stop sign", "parking meter")


def test_the_voc_archive_is_the_one_that_torchvision_knows() -> None:
    spec, known = load_manifest()["voc"], DATASET_YEAR_DICT["2012"]
    assert [(Path(d.url).name, d.md5) for d in spec.downloads] == [(known["filename"], known["md5"])]
    assert Path(spec.folder) == Path(known["base_dir"])
    assert isinstance(spec, VocSpec)
    assert spec.splits == {"train": "train", "test": "val"}  # the benchmark's test set is the official val set


def test_the_scenes_are_complete_in_the_package() -> None:
    spec = load_manifest()["scenes"]
    assert isinstance(spec, ScenesSpec)
    assert spec.classes == CLASSES
    assert (spec.train, spec.test) == (spec.expected.train, spec.expected.test)
    config = json.loads((spec.manifest_path.parent / spec.clip.model).read_text(encoding="utf-8"))
    with safe_open(spec.manifest_path.parent / spec.clip.weights, framework="numpy") as weights:
        assert weights.get_slice("text_projection").get_shape()[-1] == config["embed_dim"]


def test_a_data_set_knows_its_name_and_where_it_usually_lies(tmp_path: Path) -> None:
    voc = load_manifest()["voc"]
    assert (voc.name, voc.manifest_path, voc.default_root()) == ("voc", PACKAGED, Path("data/voc"))
    photos = load_manifest(str(written(tmp_path, PHOTOS)))["photos"]
    assert isinstance(photos, TableSpec)
    assert (photos.name, photos.manifest_path) == ("photos", tmp_path / "mine.yaml")
    assert photos.default_root() == tmp_path
    elsewhere = load_manifest(written(tmp_path, PHOTOS + "    root: pictures/2024\n"))["photos"]
    assert elsewhere.default_root() == tmp_path / "pictures" / "2024"


def test_constants_become_settings(tmp_path: Path) -> None:
    text = PHOTOS + "    damp: {temperature: 0.5, eta: 0.25, threshold: 0.125, top_k: 7, negative_ratio: 0.0}\n"
    damp = load_manifest(written(tmp_path, text))["photos"].damp
    assert damp.settings("published") == DampSettings(0.5, 0.25, 0.125, 7, 0.0, "published")


def test_an_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    """YAML itself reads 1e-3 as text."""
    assert load_manifest(written(tmp_path, PHOTOS + "    recipe: {lr: 1e-3}\n"))["photos"].recipe.lr == 0.001


def test_an_unknown_data_set_lists_the_known_ones_nearest_first() -> None:
    with pytest.raises(AevlpError, match="unknown data set 'nus-wide': known are nuswide, ") as caught:
        load_manifest()["nus-wide"]
    assert all(name in str(caught.value) for name in (*BENCHMARKS, "scenes"))


@pytest.mark.parametrize("name", ["coco", "nuswide", "cub"])
def test_a_benchmark_without_a_reader_says_so(name: str, tmp_path: Path) -> None:
    spec = load_manifest()[name]
    assert not spec.readable
    with pytest.raises(AevlpError, match=f"{name}: this version cannot read the format '{name}'"):
        load_images(spec, tmp_path)


def test_every_mistake_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    text = complaint(
        tmp_path,
        """
version: 2
datasets:
  photos:
    format: table
    table: labels.csv
    tabel: labels.csv
    label_separator: ""
    labels: some
    prompt: a photo
    damp: {grid: 0, eta: -1, temperature: hot, topk: 3}
    recipe: {val_fraction: 1.0}
    losses: {gpr: 3}
    downloads: [{url: http://a, md5: ABC}]
  shapes: {title: Shapes, format: scenes, seed: -1, train: 1.5}
""",
    )
    places = {
        "version: unknown key",
        "datasets.photos.title: missing",
        "datasets.photos.tabel: unknown key",
        "datasets.photos.label_separator: ",
        "datasets.photos.labels: Input should be 'complete' or 'observed'",
        "datasets.photos.prompt: a prompt holds {} once",
        "datasets.photos.damp.grid: Input should be greater than or equal to 1",
        "datasets.photos.damp.eta: ",
        "datasets.photos.damp.temperature: Input should be a valid number",
        "datasets.photos.damp.topk: unknown key",
        "datasets.photos.recipe.val_fraction: Input should be less than 1",
        "datasets.photos.losses.gpr: ",
        "datasets.photos.downloads.0.md5: ",
        "datasets.shapes.seed: ",
        "datasets.shapes.train: ",
    }
    assert {place for place in places if place in text} == places
    assert text.startswith(f"{len(places)} mistakes in the manifest {tmp_path / 'mine.yaml'}: ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("colour: red", "datasets.photos.colour: unknown key"),
        ("classes: []", "datasets.photos.classes: there must be at least one class"),
        ("classes: [a, b, a]", "datasets.photos.classes: classes named twice: a"),
        ("prompt: 'a {} and a {}'", "datasets.photos.prompt: "),
        ("prompt: 'a {name}'", "datasets.photos.prompt: "),
        ("damp: {eta: .nan}", "datasets.photos.damp.eta: "),
        ("damp: 3", "datasets.photos.damp: "),
        ("damp: {top_k: 2.5}", "datasets.photos.damp.top_k: "),
        ("damp: {threshold: 1.5}", "datasets.photos.damp.threshold: "),
    ],
)
def test_one_mistake_is_counted_as_one(tmp_path: Path, line: str, expected: str) -> None:
    text = complaint(tmp_path, f"{PHOTOS}    {line}\n")
    assert text.startswith("1 mistake in the manifest ")
    assert expected in text


@pytest.mark.parametrize("line", ["classes: 3", "classes: [cat, no]"])
def test_a_wrong_kind_of_classes_is_one_mistake(tmp_path: Path, line: str) -> None:
    """YAML reads the class `no` as false."""
    text = complaint(tmp_path, f"{PHOTOS}    {line}\n")
    assert "datasets.photos.classes" in text
    assert text.startswith("1 mistake in the manifest ")
    assert "tuple[" not in text


@pytest.mark.parametrize("constant", ["damp: {temperature: .inf}", "recipe: {lr: .inf}"])
def test_an_infinite_constant_is_a_mistake(tmp_path: Path, constant: str) -> None:
    assert "datasets.photos." in complaint(tmp_path, f"{PHOTOS}    {constant}\n")


def test_voc_needs_its_classes(tmp_path: Path) -> None:
    text = complaint(tmp_path, "datasets: {v: {title: V, format: voc}}")
    assert "datasets.v.classes: there must be at least one class" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "top level: "),
        ("- a\n- b\n", "top level: "),
        ("photos: {title: x, format: table, table: a.csv}", "datasets: missing"),
        ("datasets: 3", "datasets: "),
        ("datasets: {a: 3}", "datasets.a: "),
        ("datasets: {a: {title: x}}", "'format'"),
        ("datasets: {a: {title: x, format: coc}}", "'voc', 'table', 'scenes', 'coco', 'nuswide', 'cub'"),
        ("datasets: {2012: {title: x, format: scenes}}", "datasets.2012: "),
    ],
)
def test_a_wrong_shape_is_one_clear_line(tmp_path: Path, text: str, expected: str) -> None:
    found = complaint(tmp_path, text)
    assert str(tmp_path / "mine.yaml") in found
    assert expected in found


@pytest.mark.parametrize(
    "text", ["a: [1, 2\n", "a: b: c", "\tindented: true", "a: !!python/object/apply:os.getcwd []", "a: \x07", "%"]
)
def test_bad_yaml_is_one_clear_line(tmp_path: Path, text: str) -> None:
    assert "mine.yaml is not valid YAML: " in complaint(tmp_path, text)


@pytest.mark.parametrize("title", ["2012-13-45", "2001-02-29 00:00:00"])
def test_an_impossible_date_is_one_clear_line(tmp_path: Path, title: str) -> None:
    assert "mine.yaml" in complaint(tmp_path, PHOTOS.replace("My photographs", title))


def test_a_data_set_that_stands_twice_is_a_mistake(tmp_path: Path) -> None:
    assert "photos" in complaint(tmp_path, PHOTOS + PHOTOS.removeprefix("\ndatasets:\n"))


def test_entries_may_share_parts_by_yaml_anchors(tmp_path: Path) -> None:
    text = (
        f"{PHOTOS}    damp: &mine {{grid: 2, top_k: 5}}\n"
        "  others:\n    title: Others\n    format: table\n    table: b.csv\n    damp: {<<: *mine, top_k: 1}\n"
        "  same:\n    title: Same\n    format: table\n    table: c.csv\n    damp: *mine\n"
    )
    manifest = load_manifest(written(tmp_path, text))
    found = [(manifest[name].damp.grid, manifest[name].damp.top_k) for name in ("photos", "others", "same")]
    assert found == [(2, 5), (2, 1), (2, 5)]


@pytest.mark.parametrize("text", ["? [a, b]\n: 1\n", "{a: 1}: 2", "datasets: {? [1] : 2}"])
def test_a_key_that_is_no_word_is_one_clear_line(tmp_path: Path, text: str) -> None:
    assert "mine.yaml" in complaint(tmp_path, text)


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"cannot read the manifest .*missing\.yaml: No such file"):
        load_manifest(tmp_path / "missing.yaml")
    with pytest.raises(AevlpError, match=r"cannot read the manifest .*: Is a directory"):
        load_manifest(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("datasets: {é: 1}".encode("latin-1"))
    with pytest.raises(AevlpError, match=r"latin\.yaml is not UTF-8 text: "):
        load_manifest(tmp_path / "latin.yaml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load_manifest(written(tmp_path, "\ufeff" + PHOTOS.strip()))["photos"].title == "My photographs"


ENTRY = load_manifest()["voc"].model_dump(mode="json")
JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(ENTRY)), JUNK | st.dictionaries(st.text(max_size=4), JUNK, max_size=2))
def test_any_value_in_any_place_loads_or_is_a_users_mistake(tmp_path: Path, key: str, value: Any) -> None:
    path = written(tmp_path, yaml.safe_dump({"datasets": {"mine": {**ENTRY, key: value}}}))
    try:
        assert isinstance(load_manifest(path), Manifest)
    except AevlpError as error:
        assert "datasets.mine" in str(error)
