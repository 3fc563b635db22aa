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

from aevlp.pipeline.datasets import READERS, load_images
from aevlp.pipeline.datasets.scene_pictures import CLASSES
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import DampSettings
from aevlp.pipeline.manifest.formats import PACKAGED, DatasetSpec, ScenesSpec, TableSpec, VocSpec
from aevlp.pipeline.manifest.load import Manifest, load_manifest

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

# The protocol's section 8: mAP (%) by our loss; the row that is a combination with another method belongs to no loss.
RESULTS: dict[str, tuple[float, float, float, float]] = {
    #         voc    coco   nus    cub
    "bce":    (89.42, 76.78, 52.08, 30.90),  # full-label BCE
    "an":     (85.89, 64.92, 42.27, 18.31),  # assume negative
    "role":   (87.77, 67.04, 41.63, 13.66),
    "em":     (89.09, 70.70, 47.15, 20.85),
    "em-apl": (89.19, 70.87, 47.59, 21.84),
    "smile":  (86.31, 63.33, 43.61, 18.61),
    "mime":   (89.20, 72.92, 48.74, 21.89),
    "gr":     (89.83, 73.17, 49.08, 21.64),
    "vlpl":   (89.10, 71.45, 49.55, 24.02),
    "gpr":    (90.46, 73.54, 50.70, 24.89),  # AEVLP
}  # fmt: skip

# File name, MD5 and bytes of each archive, as its publisher or torchvision and TensorFlow Datasets give them.
ARCHIVES = {
    "voc": [("VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd", 1_999_639_040)],
    "coco": [
        ("train2014.zip", "0da8c0bd3d6becc4dcb32757491aca88", 13_510_573_713),
        ("val2014.zip", "a3d79f5ed8d289b7a7554ce06a5782b3", 6_645_013_297),
        ("annotations_trainval2014.zip", "0a379cfc70b0e71301e0f377548639bd", 252_872_794),
    ],
    "cub": [("CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78", 1_150_585_339)],
    "nuswide": [],  # on request alone
}

# The least that an entry of each format says, and what it leaves out then.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "voc": ("classes: [cat]", {"splits": {"train": "train", "test": "val"}, "folder": "."}),
    "coco": ("", {"splits": {"train": "train2014", "test": "val2014"}, "classes": None}),
    "coco_json": ("annotations: {test: b.json, train: a.json}", {"images": {}, "classes": None}),
    "nuswide": ("classes: [cat]", {"images": "Flickr"}),
    "cub": ("classes: [cat]", {"folder": "CUB_200_2011"}),
    "formatted": ("classes: [cat]", {"images": ".", "folder": "."}),
    "table": (
        "table: a.csv",
        {"image_column": "image", "label_column": "labels", "label_separator": ";", "split_column": None, "labels": "complete"},
    ),
    "image_folder": ("", {"splits": {}, "labels": "observed"}),
    "images": ("classes: [cat]", {"classes": ("cat",), "split_by": None}),
    "webdataset": (
        "shards: {train: 'a-*.tar'}",
        {"label_extension": "json", "label_key": "labels", "label_separator": ";", "labels": "complete"},
    ),
    "huggingface": (
        "files: {train: 'a-*.parquet'}",
        {"image_column": "image", "label_column": "labels", "label_separator": ";", "labels": "complete"},
    ),
    "scenes": ("", {"seed": 0, "train": 2000, "test": 800}),
}  # fmt: skip

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
        **spec.damp.model_dump(exclude={"half"}),
        **{key: getattr(spec.recipe, key) for key in recipe},
        **spec.losses["gpr"],
        "expected_positives": spec.expected_positives,
        "negatives": int(spec.damp.negative_ratio * (spec.expected.classes or 0)),
        "sparse_topk": graph.sparse_topk,
        "reweight": graph.reweight,
        "relation_temperature": graph.temperature,
    }


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def entry(format_: str, *lines: str) -> str:
    """Return a manifest of one data set `mine` of a format."""
    return "\n".join(
        ["datasets:", "  mine:", "    title: Mine", f"    format: {format_}", *(f"    {line}" for line in lines)]
    )


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
    assert (spec.recipe.val_fraction, spec.prompt) == (0.2, ("a photo of a {}.",))
    assert spec.simulate == {"regime": "single-positive", "seed": 1200}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_published_results_of_a_benchmark_are_those_of_the_papers_table(name: str) -> None:
    column = BENCHMARKS.index(name)
    assert load_manifest()[name].published == {loss: row[column] for loss, row in RESULTS.items()}


def test_the_scenes_have_no_published_results() -> None:
    assert load_manifest()["scenes"].published == {}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_archive_has_its_checksum_and_size(name: str) -> None:
    spec = load_manifest()[name]
    assert [(Path(d.url).name, d.md5, d.size) for d in spec.downloads] == ARCHIVES[name]
    assert bool(spec.downloads) != bool(spec.steps)  # fetched, or else said how to get


def test_what_a_data_set_leaves_out_is_what_the_published_command_line_sets(tmp_path: Path) -> None:
    spec = load_manifest(written(tmp_path, PHOTOS))["photos"]
    damp = {"grid": 4, "temperature": 0.01, "eta": 0.1, "threshold": 0.5, "top_k": 3, "negative_ratio": 0.1}
    assert spec.damp.model_dump() == {**damp, "half": None}
    recipe = spec.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.head_lr_factor) == (8, 8, 1e-5, 10)
    assert (recipe.linear_init, recipe.image_size, recipe.val_fraction) == (0, 448, 0.2)
    assert (spec.clip.model, spec.clip.weights, spec.prompt) == ("ViT-B-16", "openai", ("a photo of a {}.",))
    assert (spec.simulate, spec.text_graph) == (None, None)
    assert (spec.name_rule, spec.natural_names, spec.synonyms, spec.published) == ("plain", {}, {}, {})


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
    assert damp.settings("published") == DampSettings(0.5, 0.25, 0.125, 7, 0.0, "published", half=True)
    assert damp.settings("paper") == DampSettings(0.5, 0.25, 0.125, 7, 0.0, "paper", half=False)


@pytest.mark.parametrize("half", [True, False])
def test_half_precision_can_be_said_whatever_the_rules(tmp_path: Path, half: bool) -> None:
    text = PHOTOS + f"    damp: {{half: {str(half).lower()}}}\n"
    damp = load_manifest(written(tmp_path, text))["photos"].damp
    assert [damp.settings(compat).half for compat in ("paper", "published")] == [half, half]


@pytest.mark.parametrize("half", ["fp16", "2", "[true]"])
def test_half_precision_is_yes_or_no(tmp_path: Path, half: str) -> None:
    with pytest.raises(AevlpError, match=r"damp\.half"):
        load_manifest(written(tmp_path, PHOTOS + f"    damp: {{half: {half}}}\n"))["photos"]


def test_an_exponent_without_a_point_is_a_number(tmp_path: Path) -> None:
    """YAML itself reads 1e-3 as text."""
    assert load_manifest(written(tmp_path, PHOTOS + "    recipe: {lr: 1e-3}\n"))["photos"].recipe.lr == 0.001


def test_an_unknown_data_set_lists_the_known_ones_nearest_first() -> None:
    with pytest.raises(AevlpError, match="unknown data set 'nus-wide': known are nuswide, ") as caught:
        load_manifest()["nus-wide"]
    assert all(name in str(caught.value) for name in (*BENCHMARKS, "scenes"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_that_is_not_there_says_where_it_was_looked_for_and_how_to_get_it(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(AevlpError, match=rf"^{name}: no .*; or pass .* --data-root") as caught:
        load_images(load_manifest()[name], tmp_path)
    text = str(caught.value)
    assert str(tmp_path) in text
    assert f"aevlp datasets {name} --download" in text
    assert all(file in text for file, _, _ in ARCHIVES[name])
    assert "\n" not in text


# --- the formats


def test_every_format_has_a_reader_and_its_case_here(tmp_path: Path) -> None:
    text = complaint(tmp_path, entry("none"))
    offered = set(text.rpartition("expected tags: ")[2].replace("'", "").split(", "))
    assert offered == set(READERS) == set(FORMATS)


@pytest.mark.parametrize("format_", FORMATS)
def test_the_least_entry_of_a_format_has_the_usual_keys(format_: str, tmp_path: Path) -> None:
    line, expected = FORMATS[format_]
    spec = load_manifest(written(tmp_path, entry(format_, line)))["mine"]
    assert isinstance(spec, DatasetSpec)
    assert spec.format == format_
    assert {key: getattr(spec, key) for key in expected} == expected
    assert "datasets.mine.colour: unknown key" in complaint(tmp_path, entry(format_, line, "colour: red"))


def test_splits_come_training_first_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    for format_, key in (("coco_json", "annotations"), ("webdataset", "shards"), ("huggingface", "files")):
        text = entry(format_, f"{key}: {{test: b, train: a}}")
        spec = load_manifest(written(tmp_path, text))["mine"]
        assert list(getattr(spec, key).items()) == [("train", "a"), ("test", "b")]


@pytest.mark.parametrize(
    ("format_", "lines", "expected"),
    [
        (
            "voc",
            ["classes: [cat]", "splits: {train: train, eval: val}"],
            "splits: a split is train, val or test, found 'eval'",
        ),
        ("voc", ["classes: [cat]", "splits: {}"], "splits: "),
        ("voc", ["classes: []"], "classes: there must be at least one class"),
        ("coco", ["splits: {train2014: train2014}"], "splits: a split is train, val or test, found 'train2014'"),
        ("coco", ["splits: {}"], "splits: "),
        ("coco", ["splits: {train: 3}"], "splits.train: Input should be a valid string"),
        ("coco_json", [], "annotations: missing"),
        ("coco_json", ["annotations: {}"], "annotations: "),
        ("coco_json", ["annotations: {Train: a, training: b}"], "annotations: the split train stands twice"),
        (
            "coco_json",
            ["annotations: {train: a}", "images: {all: b}"],
            "images: a split is train, val or test, found 'all'",
        ),
        ("image_folder", ["splits: {cats: dev}"], "splits: a split is train, val or test, found 'cats'"),
        ("image_folder", ["labels: partial"], "labels: Input should be 'complete' or 'observed'"),
        ("webdataset", [], "shards: missing"),
        ("webdataset", ["shards: {}"], "shards: "),
        ("webdataset", ["shards: {a: a.tar}"], "shards: a split is train, val or test, found 'a'"),
        ("webdataset", ["shards: a.tar"], "shards: "),
        ("webdataset", ["shards: {train: a.tar}", "label_separator: ''"], "label_separator: "),
        ("huggingface", [], "files: missing"),
        ("huggingface", ["files: {}"], "files: "),
        ("huggingface", ["files: {valid: a, validation: a}"], "files: the split val stands twice"),
        ("nuswide", [], "classes: there must be at least one class"),
        ("cub", [], "classes: there must be at least one class"),
        ("cub", ["classes: [cat]", "name_rule: attributes"], "name_rule: Input should be 'plain' or 'attribute'"),
        ("formatted", [], "classes: there must be at least one class"),
        ("scenes", ["test: -1"], "test: "),
        (
            "scenes",
            ["labels: observed"],
            "labels: unknown key: it is for the formats table, image_folder, webdataset, huggingface, and this is `format: "
            "scenes`: leave it out",
        ),
        (
            "image_folder",
            ["label_columns: [a]"],
            "label_columns: unknown key: it is for the format table, and this is `format: image_folder`: leave it out",
        ),
        ("huggingface", ["files: {train: a}", "labelcolumn: a"], "labelcolumn: unknown key: known are label_column, "),
    ],
)
def test_a_mistake_in_the_keys_of_a_format_has_its_place(
    tmp_path: Path, format_: str, lines: list[str], expected: str
) -> None:
    text = complaint(tmp_path, entry(format_, *lines))
    assert text.startswith("1 mistake in the manifest ")
    assert f"datasets.mine.{expected}" in text


# --- prompts, regimes, the text graph


def test_a_prompt_is_one_template_or_several(tmp_path: Path) -> None:
    one = load_manifest(written(tmp_path, PHOTOS + "    prompt: 'a {} here'\n"))["photos"]
    several = load_manifest(written(tmp_path, PHOTOS + "    prompt: ['a {} here', '{}', 'a bad photo of a {}.']\n"))[
        "photos"
    ]
    assert one.prompt == ("a {} here",)
    assert several.prompt == ("a {} here", "{}", "a bad photo of a {}.")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a photo", "prompt: a prompt holds {} once"),
        ("['a {}', 'a photo']", "prompt: a prompt holds {} once"),
        ("'a {} and a {}'", "prompt: a prompt holds {} once"),
        ("'a {0}'", "prompt: a prompt holds {} once"),
        ("'a {} and a {'", "prompt: a prompt holds {} once"),
        ("'a {} and a }'", "prompt: a prompt holds {} once"),
        ("''", "prompt: a prompt holds {} once"),
        ("[]", "prompt: expected a template or a list of them, found an empty list"),
        ("['a {}', 3]", "prompt.1: Input should be a valid string"),
        ("3", "prompt: "),
        ("{a: '{}'}", "prompt: "),
    ],
)
def test_a_bad_prompt_is_a_mistake(tmp_path: Path, prompt: str, expected: str) -> None:
    text = complaint(tmp_path, f"{PHOTOS}    prompt: {prompt}\n")
    assert text.startswith("1 mistake in the manifest ")
    assert f"datasets.photos.{expected}" in text


def test_names_of_ones_own_are_read(tmp_path: Path) -> None:
    lines = "    natural_names: {tv: television}\n    synonyms: {tv: [telly, 'TV set']}\n"
    spec = load_manifest(written(tmp_path, PHOTOS + lines))["photos"]
    assert (spec.natural_names, spec.synonyms) == ({"tv": "television"}, {"tv": ("telly", "TV set")})
    assert "datasets.photos.synonyms.tv: " in complaint(tmp_path, f"{PHOTOS}    synonyms: {{tv: telly}}\n")
    assert "datasets.photos.natural_names.tv: " in complaint(tmp_path, f"{PHOTOS}    natural_names: {{tv: [telly]}}\n")


@pytest.mark.parametrize(
    ("simulate", "expected"),
    [
        ("{regime: uniform}", {"regime": "single-positive", "seed": 1200}),
        ("{regime: wrong, rate: 0.25, seed: 3}", {"regime": "wrong", "rate": 0.25, "seed": 3}),
        ("{positives: 2}", {"regime": "counts", "positives": 2, "negatives": 0, "seed": 1200}),
        ("single-positive", {"regime": "single-positive", "seed": 1200}),
        ("wrong,rate=0.25,seed=3", {"regime": "wrong", "rate": 0.25, "seed": 3}),
        ("none", {"regime": "none"}),
        ("null", None),
    ],
)
def test_a_regime_is_read_with_all_its_constants(
    tmp_path: Path, simulate: str, expected: dict[str, Any] | None
) -> None:
    spec = load_manifest(written(tmp_path, f"{PHOTOS}    simulate: {simulate}\n"))["photos"]
    assert spec.simulate == expected


@pytest.mark.parametrize(
    ("simulate", "expected"),
    [
        ("wrong", "the regime wrong needs rate"),
        ("[wrong]", "expected a regime such as single-positive, or none, found ['wrong']"),
        ("false", "expected a regime such as single-positive, or none, found False"),
        ("single", "unknown regime 'single': known are single-positive, "),
        ("{regime: wrng}", "unknown regime 'wrng': known are wrong, "),
        ("{regime: [wrong]}", "unknown regime "),
        ("{regime: wrong}", "the regime wrong needs rate"),
        ("{regime: wrong, rate: 2}", "rate must be in [0, 1], found 2"),
        ("{regime: wrong, rate: high}", "rate of the regime wrong must be a number, found 'high'"),
        ("{regime: frequency, power: .nan}", "power of the regime frequency must be a number, found nan"),
        ("{regime: uniform, rate: 0.1}", "unknown constant of the regime single-positive 'rate': known are seed"),
        ("{regime: uniform, seed: yes}", "seed of the regime single-positive must be a whole number, found True"),
        ("{regime: uniform, seed: -1}", "seed of the regime single-positive must be in [0, 2^32), found -1"),
    ],
)
def test_a_mistake_in_a_regime_has_its_place(tmp_path: Path, simulate: str, expected: str) -> None:
    text = complaint(tmp_path, f"{PHOTOS}    simulate: {simulate}\n")
    assert text.startswith("1 mistake in the manifest ")
    assert f"datasets.photos.simulate: {expected}" in text


def test_the_text_graph_takes_all_neighbours_unless_told(tmp_path: Path) -> None:
    graph = load_manifest(written(tmp_path, PHOTOS + "    text_graph: {reweight: 0.5}\n"))["photos"].text_graph
    assert graph is not None
    assert graph.model_dump() == {"sparse_topk": 1000, "reweight": 0.5, "temperature": 0.3}
    for line in ("sparse_topk: 0", "reweight: 1.1", "temperature: 0", "seed: 3"):
        place = f"datasets.photos.text_graph.{line.partition(':')[0]}: "
        assert place in complaint(tmp_path, f"{PHOTOS}    text_graph: {{{line}}}\n")


# --- several manifests


def test_several_manifests_are_read_as_one(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.yaml", tmp_path / "deep" / "other.yaml"
    other.parent.mkdir()
    mine.write_text(PHOTOS)
    other.write_text(PHOTOS.replace("photos:", "drawings:").replace("My photographs", "My drawings"))
    manifest = load_manifest([mine, str(other)])
    assert list(manifest.datasets) == ["photos", "drawings"]
    assert "drawings" in manifest and "voc" not in manifest
    assert (manifest["drawings"].name, manifest["drawings"].manifest_path) == ("drawings", other)
    assert (manifest["photos"].default_root(), manifest["drawings"].default_root()) == (tmp_path, tmp_path / "deep")
    with_packaged = load_manifest([PACKAGED, mine])
    assert {*BENCHMARKS, "scenes", "scenes2", "photos"} == set(with_packaged.datasets)
    assert with_packaged["voc"].default_root() == Path("data/voc")
    with pytest.raises(AevlpError, match="unknown data set 'photo': known are photos, drawings"):
        manifest["photo"]


def test_two_manifests_that_define_one_name_are_both_named(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(PHOTOS)
    both = rf"two manifests define the data set 'photos': {tmp_path}/a\.yaml and {tmp_path}/b\.yaml; rename one of them"
    with pytest.raises(AevlpError, match=both):
        load_manifest([tmp_path / "a.yaml", tmp_path / "b.yaml"])


def test_a_mistake_in_one_of_several_manifests_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PHOTOS)
    (tmp_path / "b.yaml").write_text(PHOTOS.replace("photos:", "others:") + "    colour: red\n")
    with pytest.raises(AevlpError, match=r"1 mistake in the manifest .*b\.yaml: datasets\.others\.colour: unknown key"):
        load_manifest([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    with pytest.raises(AevlpError, match=r"cannot read the manifest .*none\.yaml"):
        load_manifest([tmp_path / "a.yaml", tmp_path / "none.yaml"])


# --- mistakes


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
    downloads: [{url: http://a, md5: ABC, sise: 3}]
    text_graph: {reweigh: 1}
  shapes: {title: Shapes, format: scenes, seed: -1, train: 1.5}
""",
    )
    places = {
        "version: unknown key: known are datasets",
        "datasets.photos.title: missing",
        "datasets.photos.tabel: unknown key: known are table, ",
        "datasets.photos.label_separator: ",
        "datasets.photos.labels: Input should be 'complete' or 'observed'",
        "datasets.photos.prompt: a prompt holds {} once",
        "datasets.photos.damp.grid: expected a grid of 1 to 32 tiles a side, found 0",
        "datasets.photos.damp.eta: ",
        "datasets.photos.damp.temperature: Input should be a valid number",
        "datasets.photos.damp.topk: unknown key: known are top_k, ",
        "datasets.photos.recipe.val_fraction: Input should be less than 1",
        "datasets.photos.losses.gpr: ",
        "datasets.photos.downloads.0.md5: ",
        "datasets.photos.downloads.0.sise: unknown key: known are size, ",
        "datasets.photos.text_graph.reweigh: unknown key: known are reweight, ",
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "top level: "),
        ("- a\n- b\n", "top level: "),
        ("photos: {title: x, format: table, table: a.csv}", "datasets: missing"),
        ("datasets: 3", "datasets: "),
        ("datasets: {a: 3}", "datasets.a: "),
        ("datasets: {a: {title: x}}", "'format'"),
        ("datasets: {a: {title: x, format: coc}}", "expected tags: 'voc', 'coco', 'coco_json', "),
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
