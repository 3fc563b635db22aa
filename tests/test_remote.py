"""Data sets in remote stores: the same tables, images and caches as on the local disk, few requests, and errors that say so."""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import call, stage_one
from dataset_files import tar_of
from PIL import Image
from s3_store import PAGE, S3Store

from aevlp.pipeline.datasets import DataError, ImageTable, load_images
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.errors import AevlpError, ImageError
from aevlp.pipeline.files.containers import read_bytes
from aevlp.pipeline.files.locations import RemoteError, RemotePath, forget_listings, location
from aevlp.pipeline.files.stamps import file_identity, file_size
from aevlp.pipeline.images.read import read_image
from aevlp.pipeline.images.view_loading import ViewDataset, load_views
from aevlp.pipeline.manifest.formats import DatasetSpec
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import open_cache

MANIFEST = """
datasets:
  csv: {title: T, format: table, table: labels.csv, split_column: split, classes: classes.txt}
  jsonl: {title: T, format: table, table: labels.jsonl, labels: observed}
  parquet: {title: T, format: table, table: labels.parquet, split_column: split}
  image_folder: {title: T, format: image_folder, splits: {train: folders/train, test: folders/val}}
  coco_json:
    title: T
    format: coco_json
    annotations: {train: train.json, test: test.json}
    images: {train: images, test: images}
  webdataset: {title: T, format: webdataset, shards: {train: "shards/train-{000..001}.tar", test: "shards/test-*.tar"}}
  huggingface: {title: T, format: huggingface, files: {train: "rows/train-*.parquet"}}
  formatted: {title: T, format: formatted, folder: lists, images: images, classes: [cat, dog]}
  voc: {title: T, format: voc, classes: [cat, dog], simulate: {regime: largest}}
  nuswide: {title: T, format: nuswide, classes: [cat, dog], images: images}
  cub: {title: T, format: cub, classes: [cat, dog], folder: birds}
"""
FORMATS = [line.split(":")[0].strip() for line in MANIFEST.splitlines() if line.startswith("  ") and line[2] != " "]


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (20, 30 + number % 3, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def shard(samples: dict[str, list[str]]) -> bytes:
    files: dict[str, bytes | str] = {}
    for number, (name, labels) in enumerate(samples.items()):
        files |= {f"{name}.png": picture(number), f"{name}.json": json.dumps({"labels": labels})}
    return tar_of(files)


def saved(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=2)
    return file.getvalue()


def coco(*images: str) -> bytes:
    listed = [{"id": n, "file_name": name} for n, name in enumerate(images)]
    objects = [{"image_id": n, "category_id": 5 + n % 2, "area": 4.0} for n in range(len(images))]
    categories = [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}]
    return json.dumps({"images": listed, "annotations": objects, "categories": categories}).encode()


def box(name: str, side: int) -> bytes:
    return (
        f"<annotation><object><name>{name}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{side}</xmax>"
        f"<ymax>{side}</ymax></bndbox></object></annotation>"
    ).encode()


def every_format() -> dict[str, bytes]:
    """Return one small folder that holds a data set in each format; c.png is listed and not there."""
    table = b"image,split,labels\nimages/a.png,train,cat;dog\n./images//b 1.png,train,dog\nimages/c.png,test,cat\n"
    main, voc = "VOCdevkit/VOC2012/ImageSets/Main", "VOCdevkit/VOC2012"
    return {
        "images/a.png": picture(1),
        "images/b 1.png": picture(2),
        "images/damaged.png": picture(3)[:99],
        "classes.txt": b"dog\ncat\n",
        "labels.csv": table,
        "labels.jsonl": b'{"image": "images/a.png", "labels": ["dog"]}\n{"image": "images/damaged.png", "labels": "cat"}\n',
        "labels.parquet": parquet(
            image=["images/a.png", "images/b 1.png", "images/c.png"],
            split=["train", "test", "train"],
            labels=["cat", "dog", "cat"],
        ),
        "folders/train/dog/1.png": picture(4),
        "folders/train/dog/deep/er/2.PNG": picture(5),
        "folders/train/cat/notes.txt": b"no image",
        "folders/train/cat/.hidden.png": picture(6),
        "folders/train/cat/3.png": picture(6),
        "folders/val/cat/4.png": picture(7),
        "train.json": b"\xef\xbb\xbf" + coco("a.png", "c.png", "damaged.png"),
        "test.json": coco("b 1.png"),
        "shards/train-000.tar": shard({"a/1": ["cat"], "a/2": ["dog", "cat"]}),
        "shards/train-001.tar": shard({"3": ["dog"]}),
        "shards/test-9.tar": shard({"4": []}),
        "rows/train-0.parquet": parquet(
            image=pa.array([picture(1), b"no image", picture(3)]), labels=[["cat"], ["dog"], ["cat", "dog"]]
        ),
        "rows/train-1.parquet": parquet(image=pa.array([picture(4)]), labels=[["dog"]]),
        "lists/formatted_train_images.npy": saved(["a.png", "b 1.png"]),
        "lists/formatted_train_labels.npy": saved([[1.0, 0.0], [1.0, 1.0]]),
        "lists/formatted_val_images.npy": saved(["c.png"]),
        "lists/formatted_val_labels.npy": saved([[0.0, 1.0]]),
        f"{main}/cat_train.txt": b"x 1\ny 1\n",
        f"{main}/dog_train.txt": b"x -1\ny 1\n",
        f"{main}/cat_val.txt": b"z 1\n",
        f"{main}/dog_val.txt": b"z 0\n",
        f"{voc}/Annotations/x.xml": box("cat", 9),
        f"{voc}/Annotations/y.xml": box("dog", 7),
        f"{voc}/Annotations/z.xml": box("cat", 7),
        f"{voc}/JPEGImages/x.jpg": picture(8),
        "ImageList/TrainImagelist.txt": b"a.png\nb 1.png\n",
        "ImageList/TestImagelist.txt": b"c.png\n",
        **{
            f"Groundtruth/TrainTestLabels/Labels_{name}_{split}.txt": flags
            for name, split, flags in (
                ("cat", "Train", b"1\n1\n"),
                ("dog", "Train", b"0\n1\n"),
                ("cat", "Test", b"0\n"),
                ("dog", "Test", b"1\n"),
            )
        },
        "birds/images.txt": b"1 cat/1.png\n2 dog/2.png\n",
        "birds/train_test_split.txt": b"1 1\n2 0\n",
        "birds/attributes/image_attribute_labels.txt": b"1 1 1 3 1.0\n1 2 0 3 1.0\n2 1 0 3 1.0\n2 2 1 3 1.0\n",
        "birds/images/dog/2.png": picture(9),
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all formats on the local disk; tests do not change it."""
    root = tmp_path_factory.mktemp("formats")
    for name, content in every_format().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "all.yaml").write_text(MANIFEST)
    return root


@pytest.fixture
def memory() -> Iterator[RemotePath]:
    """The folder of all formats in fsspec's store in memory."""
    store = fsspec.filesystem("memory")
    for name, content in every_format().items():
        store.pipe_file(f"/bucket/photos/{name}", content)
    forget_listings()
    yield location("memory://bucket/photos")
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def entry(local: Path, name: str) -> DatasetSpec:
    return load_manifest(local / "all.yaml")[name]


def one_line(error: pytest.ExceptionInfo[AevlpError]) -> str:
    assert len(str(error.value).strip().splitlines()) == 1
    return str(error.value)


def outcomes(images: ImageTable) -> list[object]:
    """Return what reading each image gives: pixels, or the status and the reason without the folder."""
    found: list[object] = []
    for path in images.paths:
        try:
            found.append(read_image(path).tobytes())
        except ImageError as error:
            found.append((error.status, str(error).replace(str(images.root), "ROOT")))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_a_data_set_is_the_same_from_memory_as_from_disk(local: Path, memory: RemotePath, name: str) -> None:
    spec = entry(local, name)
    here, there = load_images(spec, local), load_images(spec, memory)
    assert len(here) >= 2 and (here.observed == 1).any()
    assert there.ids.tolist() == here.ids.tolist()
    assert there.relative_paths() == here.relative_paths()
    assert there.classes == here.classes and there.split.tolist() == here.split.tolist()
    np.testing.assert_array_equal(there.observed, here.observed)
    assert there.label_hashes() == here.label_hashes()
    assert there.fingerprint() == here.fingerprint()
    assert outcomes(there) == outcomes(here)
    assert [file_size(path) for path in there.paths] == [file_size(path) for path in here.paths]


def test_the_formats_hold_images_that_are_sound_missing_and_damaged(local: Path) -> None:
    found = {name: outcomes(load_images(entry(local, name), local)) for name in FORMATS}
    assert all(any(isinstance(outcome, bytes) for outcome in of_format) for of_format in found.values())
    words = {outcome[0] for of_format in found.values() for outcome in of_format if isinstance(outcome, tuple)}
    assert words == {"missing", "unreadable"}


@pytest.mark.parametrize("pattern", [
    "*", "**", "**/*", "images/*", "images/a.png", "*/*.png", "**/*.png", "**/cat/*", "folders/*/cat", "none/*",
    "im[a-g]ges/?.png", "folders/**/*.PNG", "labels.csv/*", "images", ".*", "**/.hidden.png", "./images//*.png",
])  # fmt: skip
def test_a_pattern_matches_as_pathlib_has_it(local: Path, memory: RemotePath, pattern: str) -> None:
    expected = sorted(p.relative_to(local).as_posix() for p in local.glob(pattern) if p.name != "all.yaml")
    assert sorted(p.relative_to(memory).as_posix() for p in memory.glob(pattern)) == expected


@pytest.mark.parametrize("pattern", ["", "a**"])
def test_what_pathlib_takes_for_no_pattern_is_none(memory: RemotePath, pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        list(Path("a").glob(pattern))
    with pytest.raises(ValueError, match=f"^unacceptable pattern: {re.escape(repr(pattern))}$"):
        list(memory.glob(pattern))


@pytest.mark.parametrize("name", ["a.png", "./a//b.jpg", "a/../b", "é 2%20#?.tar.gz", "b//", ".a", "a/."])
def test_names_are_computed_as_of_any_path(name: str) -> None:
    remote, plain = location("s3://bucket/photos") / name, PurePosixPath("/bucket/photos") / name
    root = location("s3://bucket/photos")
    assert str(remote) == f"s3:/{plain}"
    assert remote.relative_to(root).as_posix() == plain.relative_to("/bucket/photos").as_posix()
    assert (remote.name, remote.suffix, remote.stem) == (plain.name, plain.suffix, plain.stem)
    assert str(remote.parent) == f"s3:/{plain.parent}"
    assert location(str(remote)) == remote and hash(location(str(remote))) == hash(remote)


def test_a_plain_text_is_a_plain_path(tmp_path: Path) -> None:
    for text in ("photos", "../a b", str(tmp_path), "c:/x", "s3:/bucket"):
        assert location(text) == Path(text) and type(location(text)) is type(Path())
    assert location(tmp_path) is tmp_path
    assert location(f"file://{tmp_path}") == tmp_path and not isinstance(location(f"file://{tmp_path}"), RemotePath)


def test_the_root_in_a_provenance_leads_back() -> None:
    for text in ("s3://bucket", "s3://bucket/photos", "memory://a/b c"):
        assert str(location(text).absolute()) == text
        assert location(str(location(text + "/").absolute())) == location(text)


@pytest.mark.parametrize("text, said", [
    ("nonsense://bucket/x", "nonsense://"), ("s3://", "s3://bucket/photos"), ("simplecache::s3://a/b", "no place"),
])  # fmt: skip
def test_what_names_no_store_is_refused(text: str, said: str) -> None:
    with pytest.raises(AevlpError) as caught:
        location(text)
    assert said in one_line(caught)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, text, said in (("s3fs", "s3://b/x", "pip install 'aevlp[remote]'"), ("gcsfs", "gs://b/x", "gcsfs")):
        monkeypatch.setitem(sys.modules, module, None)  # as Python itself marks what cannot be imported
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, text.partition(":")[0], raising=False)
        with pytest.raises(AevlpError) as caught:
            location(text)
        assert said in one_line(caught)


@pytest.mark.parametrize("image", ["../x.png", "/etc/x.png", "images/../../x.png"])
def test_no_image_outside_the_folder(local: Path, memory: RemotePath, image: str) -> None:
    fsspec.filesystem("memory").pipe_file(
        "/bucket/photos/labels.csv", f"image,split,labels\n{image},train,cat\n".encode()
    )
    fsspec.filesystem("memory").pipe_file("/bucket/x.png", picture(1))
    with pytest.raises(DataError, match="below the data set's folder"):
        load_images(entry(local, "csv"), memory)


def test_nothing_is_written_and_nothing_local_is_taken_for_remote(memory: RemotePath, tmp_path: Path) -> None:
    path = memory / "images" / "a.png"
    for use in (
        path.unlink,
        path.touch,
        (memory / "new").mkdir,
        lambda: path.write_bytes(b""),
        lambda: os.rename(path, path),  # noqa: PTH104
        path.stat,
    ):
        with pytest.raises(AevlpError, match="memory://bucket/photos"):
            use()
    (tmp_path / "x.png").write_bytes(picture(1))
    with pytest.raises(AevlpError, match="not in the store"):
        read_image(memory / str(tmp_path / "x.png"))


def test_scenes_are_drawn_on_the_local_disk_alone(memory: RemotePath) -> None:
    with pytest.raises(AevlpError, match="local") as caught:
        load_images(load_manifest()["scenes"], memory)
    one_line(caught)


def test_an_arrow_file_is_refused_in_one_line(local: Path, memory: RemotePath) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/photos/rows/train-0.arrow", b"ARROW1")
    spec = entry(local, "huggingface").model_copy(update={"files": {"train": "rows/*.arrow"}})
    with pytest.raises(AevlpError, match="copy it to a local folder") as caught:
        load_images(spec, memory)
    one_line(caught)


@pytest.mark.process
def test_check_finds_the_same_faults(local: Path, memory: RemotePath) -> None:
    for name in ("csv", "jsonl"):
        here, there = (check_dataset(entry(local, name), root, workers=2) for root in (local, memory))
        lines = [
            [(f.kind, f.text.replace(str(root), "ROOT")) for f in checked.findings]
            for checked, root in ((here, local), (there, memory))
        ]
        assert lines[0] == lines[1] and lines[0]


def test_a_folder_of_images_costs_a_request_for_each_thousand(local: Path, s3: S3Store) -> None:
    count = 2 * PAGE + 300
    s3.objects |= {f"bucket/photos/images/{n:05}.png": b"x" * (1 + n % 7) for n in range(count)}
    lines = "".join(f"images/{n:05}.png,train,cat\n" for n in range(count))
    s3.objects["bucket/photos/labels.csv"] = f"image,split,labels\n{lines}".encode()
    s3.objects["bucket/photos/classes.txt"] = b"cat\n"
    images = load_images(entry(local, "csv"), "s3://bucket/photos")
    # the root and the folder of images, listed; the table, opened and read for its head and as a whole, and the classes
    assert s3.counted() == {"list": 4, "head": 3, "range": 3}
    assert [file_size(path) for path in images.paths] == [1 + n % 7 for n in range(count)]
    assert s3.counted() == {}
    images.fingerprint()
    assert file_identity(images.paths[0]) == (1, "9dd4e461268c8034f5c8564e155c67a6")  # the MD5 of x
    assert s3.counted() == {}


def test_reading_an_image_is_one_request(local: Path, s3: S3Store) -> None:
    s3.put_folder(local, "bucket/photos")
    root = location("s3://bucket/photos")
    assert np.array_equal(read_image(root / "images" / "b 1.png"), read_image(local / "images" / "b 1.png"))
    assert s3.counted() == {"get": 1}
    with pytest.raises(ImageError) as caught:
        read_image(root / "images" / "c.png")
    assert (caught.value.status, s3.counted()) == ("missing", {"get": 1})
    member = root / "shards" / "train-000.tar" / "a" / "1.png"
    assert read_bytes(member) == read_bytes(local / "shards" / "train-000.tar" / "a" / "1.png")
    file_size(member)  # finds the shard and what is in it
    s3.counted()
    assert np.array_equal(read_image(member), read_image(local / "shards" / "train-000.tar" / "a" / "1.png"))
    assert s3.counted() == {"range": 1}


@pytest.mark.parametrize("name", ["csv", "image_folder", "coco_json", "webdataset", "huggingface"])
def test_a_data_set_is_the_same_from_s3_as_from_disk(local: Path, s3: S3Store, name: str) -> None:
    s3.put_folder(local, "bucket/photos")
    s3.objects["bucket/photos/images/"] = b""  # as consoles mark a folder
    here, there = load_images(entry(local, name), local), load_images(entry(local, name), "s3://bucket/photos")
    assert there.fingerprint() == here.fingerprint()
    assert there.label_hashes() == here.label_hashes()
    assert outcomes(there) == outcomes(here)


def test_the_mark_of_a_folder_is_not_in_it_and_a_file_is_no_folder(s3: S3Store) -> None:
    s3.objects |= {
        "bucket/photos/": b"",
        "bucket/photos/a.png": b"x",
        "bucket/photos/in/": b"",
        "bucket/photos/in/b.png": b"x",
    }
    root = location("s3://bucket/photos")
    assert [path.name for path in root.iterdir()] == ["a.png", "in"]
    assert [path.relative_to(root).as_posix() for path in root.glob("**/*")] == ["a.png", "in", "in/b.png"]
    assert (root / "a.png").is_file() and not (root / "a.png").is_dir()
    assert (root / "in").is_dir() and not (root / "in").is_file() and not (root / "none").exists()


def test_a_file_of_many_blocks_is_read_whole(s3: S3Store) -> None:
    content = np.random.default_rng(0).bytes(20_000_000)
    s3.objects["bucket/large"] = content
    with location("s3://bucket/large").open("rb") as file:
        assert file.read(7) == content[:7]
        file.seek(15_000_000)
        assert file.read(5_000_000) == content[15_000_000:]
        file.seek(-9, 2)
        assert file.read() == content[-9:]
        file.seek(3)
        assert file.read() == content[3:]


def test_the_identity_changes_when_an_object_is_written_anew(s3: S3Store) -> None:
    s3.objects |= {"bucket/a.png": b"one", "bucket/b.tar": shard({"x": []})}
    root = location("s3://bucket")
    before, inside = file_identity(root / "a.png"), file_identity(root / "b.tar" / "x.png")
    assert before is not None and inside is not None
    assert before[0] == 3 and inside == (len(picture(0)), file_identity(root / "b.tar")[1])  # type: ignore[index]
    s3.objects["bucket/a.png"] = b"two"
    assert file_identity(root / "a.png") == before  # the listing is of before
    forget_listings()
    after = file_identity(root / "a.png")
    assert after is not None and after[0] == 3 and after[1] != before[1]
    assert file_identity(root / "none.png") is None and file_identity(root) is None


def test_a_data_set_that_is_read_again_is_listed_again(local: Path, s3: S3Store) -> None:
    s3.put_folder(local, "bucket/photos")
    spec = entry(local, "csv")
    before = load_images(spec, "s3://bucket/photos").fingerprint()
    s3.objects["bucket/photos/images/a.png"] += b"more"
    assert load_images(spec, "s3://bucket/photos").fingerprint() != before


@pytest.mark.parametrize(
    "place, said",
    [("nobucket/photos", "no s3://nobucket/photos/labels.csv"), ("bucket/none", "no s3://bucket/none/labels.csv")],
)
def test_a_bucket_or_folder_that_is_not_there_is_one_line(local: Path, s3: S3Store, place: str, said: str) -> None:
    s3.put_folder(local, "bucket/photos")
    with pytest.raises(AevlpError) as caught:
        load_images(entry(local, "csv"), f"s3://{place}")
    assert said in one_line(caught)


def test_no_credentials_are_one_line(local: Path, s3: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RemoteError, match="credentials") as caught:
        load_images(entry(local, "csv"), "s3://bucket/photos")
    assert "s3://bucket/photos" in one_line(caught)


@pytest.mark.parametrize("kind", ["list", "head", "range"])
@pytest.mark.parametrize("status", [403, 503])
def test_a_store_that_refuses_is_no_missing_file(local: Path, s3: S3Store, kind: str, status: int) -> None:
    s3.put_folder(local, "bucket/photos")
    s3.fails = lambda asked, name: status if asked == kind else None
    with pytest.raises(RemoteError, match="s3://bucket/photos") as caught:
        load_images(entry(local, "csv"), "s3://bucket/photos")
    one_line(caught)


@pytest.mark.process
@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_the_store_does_not_give_stops_the_scoring(local: Path, s3: S3Store, workers: int) -> None:
    s3.put_folder(local, "bucket/photos")
    images = load_images(entry(local, "jsonl"), "s3://bucket/photos")
    dataset = ViewDataset(images.paths.tolist(), 2, 32, "paper")
    assert [batch.status for batch in load_views(dataset, [[0], [1]], workers)] == [["ok"], ["unreadable"]]
    s3.fails = lambda kind, name: 503 if name.endswith("a.png") else None
    with pytest.raises(RemoteError) as caught:
        list(load_views(dataset, [[0], [1]], workers))
    assert one_line(caught).startswith("cannot read s3://bucket/photos/images/a.png: ")
    s3.fails = lambda kind, name: 403 if kind == "list" else None
    forget_listings()
    with pytest.raises(RemoteError):
        file_size(images.paths[0])


def same_cache(one: Path, other: Path) -> None:
    mine, theirs = open_cache(one), open_cache(other)
    for column in ("ids", "paths", "split", "status", "truth", "observed"):
        np.testing.assert_array_equal(getattr(mine, column), getattr(theirs, column))
    for column in ("similarity", "embedding", "score", "code"):
        np.testing.assert_array_equal(getattr(mine, column)(slice(None)), getattr(theirs, column)(slice(None)))
    assert mine.classes == theirs.classes and mine.prompts == theirs.prompts
    first, second = (
        dict(cache.provenance, dataset=dict(cache.provenance["dataset"], root="")) for cache in (mine, theirs)
    )
    assert first == second


@pytest.mark.process
def test_stage_one_from_memory_equals_that_from_disk(
    blocks: Path, cache_path: Path, tmp_path: Path, memory: RemotePath
) -> None:
    fsspec.filesystem("memory").put(str(blocks), "/bucket/blocks", recursive=True)
    root = location("memory://bucket/blocks")
    made = stage_one(blocks, tmp_path / "x.h5", storage="float32", data_root=root, workers=2)
    same_cache(cache_path, made)


@pytest.mark.slow
@pytest.mark.process
def test_both_stages_from_s3(blocks: Path, cache_path: Path, tmp_path: Path, s3: S3Store) -> None:
    s3.put_folder(blocks, "bucket/blocks")
    cache, run = tmp_path / "x.h5", tmp_path / "run"
    given = ("--manifest", blocks / "blocks.yaml", "--data-root", "s3://bucket/blocks", "--workers", 2)
    assert call("pseudolabel", "--dataset", "blocks", "--cache", cache, "--storage", "float32", *given) == 0
    same_cache(cache_path, cache)
    assert open_cache(cache).provenance["dataset"]["root"] == "s3://bucket/blocks"
    assert call("check", "blocks", *given) in (0, 1)
    s3.counted()
    assert call("train", "--cache", cache, "--run", run, "--epochs", 1, "--workers", 2) == 0
    assert s3.counted()["get"] >= 16  # the images, from where the cache says they are
    assert call("evaluate", run, "--workers", 0) == 0
    assert s3.counted()["get"] >= 4
