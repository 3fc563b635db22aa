"""Names of images that miss their file by a hair: found when one file alone can be meant, never another file."""

import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.datasets.image_names import find_images
from aevlp.pipeline.files.locations import location


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def found(root: Path, *names: str, folder: str = ".") -> list[str | None]:
    return find_images(root, [(folder, name) for name in names]).paths


def remarks(root: Path, *names: str, folder: str = ".") -> list[str]:
    return [remark.text for remark in find_images(root, [(folder, name) for name in names]).remarks]


def test_a_name_that_is_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "A.jpg", "x/a.jpg", "x/y/b", "c%20d.jpg", "e\\f.jpg")
    names = ["a.jpg", "A.jpg", "x/a.jpg", "x/y/b", "c%20d.jpg", "e\\f.jpg", "./a.jpg", "x//y/./b"]
    assert found(tmp_path, *names) == [*names[:6], "a.jpg", "x/y/b"]
    assert remarks(tmp_path, *names) == []


@pytest.mark.parametrize("folder", ["photos", "photos/", "./photos", "a/b"])
def test_names_are_below_their_folder(tmp_path: Path, folder: str) -> None:
    place = str(Path(folder))
    make(tmp_path, f"{place}/a.jpg", f"{place}/x/b.jpg")
    assert found(tmp_path, "a.jpg", "x/b.jpg", "c.jpg", folder=folder) == [
        f"{place}/a.jpg",
        f"{place}/x/b.jpg",
        f"{place}/c.jpg",
    ]


# Of each kind: the file, names that mean it, and the words that say how it was found.
NEAR = {
    "ending's case": ("a.JPG", ["a.jpg", "a.Jpg"], "under another case of their ending"),
    "name's case": ("IMG_1.jpg", ["img_1.jpg", "Img_1.JPG"], "under another case of their name"),
    "folder's case": ("Train/a.jpg", ["train/a.jpg", "TRAIN/a.jpg"], "under another case of their name"),
    "Unicode form": ("é/ü.jpg", ["e\u0301/u\u0308.jpg", "é/u\u0308.jpg"], "in another Unicode form"),
    "Unicode form of the file": ("e\u0301.jpg", ["é.jpg"], "in another Unicode form"),
    "percent signs": ("my é.jpg", ["my%20é.jpg", "my%20%C3%A9.jpg"], "with percent signs read as"),
    "percent signs of a slash": ("x/a.jpg", ["x%2Fa.jpg", "x%2fa.jpg"], "with percent signs read as"),
    "percent signs of the file": ("my%20a.jpg", ["my a.jpg"], "with percent signs in the name of the file"),
    "backslashes": ("x/y/a.jpg", ["x\\y\\a.jpg", ".\\x\\y\\a.jpg"], "with backslashes read as slashes"),
    "another machine": ("x/a.jpg", ["/home/u/data/x/a.jpg", "/x/a.jpg", "/mnt/x/a.jpg"], "by the end of their path"),
    "another system": ("x/a.jpg", ["C:\\Users\\u\\x\\a.jpg", "D:/x/a.jpg"], "by the end of their path"),
    "an address": (
        "a.jpg",
        ["https://host/upload/a.jpg", "gs://bucket/a.jpg", "s3://b/x/a.jpg?v=1#z"],
        "by the end of",
    ),
    "a path from elsewhere": ("x/a.jpg", ["../x/a.jpg", "../../images/x/a.jpg"], "by the end of their path"),
    "a path from above": ("x/a.jpg", ["data/photos/x/a.jpg", "photos/x/a.jpg"], "by the end of their path"),
    "a path with detours": ("x/a.jpg", ["y/../x/a.jpg"], ""),
    "uploaded": ("a.jpg", ["/data/upload/3/1a2b3c4d-a.jpg", "1a2b3c4d-a.jpg"], "without the digits that an upload"),
    "served": ("x/a.jpg", ["/data/local-files/?d=x/a.jpg", "/data/local-files/?d=photos%2Fx/a.jpg"], "by the end of"),
    "an id": ("train_0.jpg", ["train_0"], "with the ending that their name leaves out"),
    "an id with a dot": ("x/v1.5.PNG", ["x/v1.5"], "with the ending that their name leaves out"),
    "an id of another case": ("T_0.Webp", ["t_0"], "with the ending that their name leaves out"),
    "several at once": (
        "Bilder/é 1.JPG",
        ["C:\\u\\bilder\\e\u0301%201.jpg", "https://h/BILDER/%C3%A9%201"],
        "by the end of",
    ),
}


@each(kind=NEAR)
def test_a_name_that_misses_by_a_hair_is_found_and_said(tmp_path: Path, kind: str) -> None:
    file, names, words = NEAR[kind]
    make(tmp_path, file, "another.jpg", "further/one.jpg")
    for name in names:
        assert found(tmp_path, name) == [file]
        (said,) = remarks(tmp_path, name)
        assert said.startswith("1 image was found ")
        assert words in said
        assert said.endswith(f", such as {file} for {name}")


def test_a_remark_counts_the_names_of_one_kind(tmp_path: Path) -> None:
    make(tmp_path, *(f"train-jpg/t_{n}.jpg" for n in range(1200)), "train-jpg/X.JPG")
    names = [*(f"t_{n}" for n in range(1200)), "X.jpg"]
    assert remarks(tmp_path, *names, folder="train-jpg") == [
        "1,200 images were found with the ending that their name leaves out, such as t_0.jpg for t_0",
        "1 image was found under another case of their ending, such as X.JPG for X.jpg",
    ]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["a.jpg", "a.JPG"], "a.Jpg"),
        (["a.jpg", "a.png"], "a"),
        (["x/a.jpg", "X/a.jpg"], "x/A.jpg"),
        (["a.jpg", "images/a.jpg"], "/home/u/images/a.jpg"),
        (["a.jpg", "1a2b3c4d-a.jpg"], "/data/upload/3/1a2b3c4d-a.jpg"),
        (["é.jpg", "e\u0301.jpg"], "É.jpg"),
        (["a b.jpg", "a%20b.jpg"], "A%20b.jpg"),
        (["x/a.jpg", "x\\a.jpg"], "x\\A.jpg"),
    ],
)
def test_of_two_files_that_could_be_meant_none_is(tmp_path: Path, files: list[str], name: str) -> None:
    make(tmp_path, *files)
    assert find_images(tmp_path, [(".", name)]).paths[0] not in files
    assert remarks(tmp_path, name) == []


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "a.JPG"],
        ["a.jpg", "a"],
        ["A.jpg", "A.JPG"],
        ["a.jpg", "/home/u/a.jpg"],
        ["/home/u/1/a.jpg", "/home/u/2/a.jpg"],
        ["1a2b3c4d-a.jpg", "4d3c2b1a-a.jpg"],
    ],
)
def test_no_two_names_get_one_file(tmp_path: Path, names: list[str]) -> None:
    make(tmp_path, "a.jpg")
    paths = found(tmp_path, *names)
    assert [path for path in paths if path == "a.jpg"] == ["a.jpg"] * ("a.jpg" in names)


def test_a_name_that_stands_on_many_rows_is_one_name(tmp_path: Path) -> None:
    make(tmp_path, "a.JPG", "b.jpg")
    assert found(tmp_path, "a.jpg", "b.jpg", "a.jpg", "b.jpg") == ["a.JPG", "b.jpg"] * 2


def test_a_picture_that_was_deleted_is_not_looked_for_in_other_folders(tmp_path: Path) -> None:
    """Of a table whose other names are right, the end of a path is no name."""
    make(tmp_path, "1.jpg", "cats/2.jpg", "dogs/1.jpg")
    assert found(tmp_path, "cats/1.jpg", "cats/2.jpg") == ["cats/1.jpg", "cats/2.jpg"]
    assert found(tmp_path, "cats/1.jpg") == ["1.jpg"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.jpg", "x/../../secret.jpg", "/secret.jpg", "..\\secret.jpg"]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    make(tmp_path, "secret.jpg", "root/x/a.jpg")
    (path,) = found(tmp_path / "root", name)
    assert path is None or (path == name and "\\" in name)


@each(name=["", ".", "..", "/", "//", "x/", "\0", "a\0b/c", "a" * 300, "b/" * 3000, "%", "%00", "\ud800", "C:\\"])
def test_no_name_is_too_odd_to_be_looked_for(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a.jpg", "x/a.jpg")
    (path,) = found(tmp_path, name)
    assert path not in ("a.jpg", "x/a.jpg")


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert found(tmp_path / "gone", "a.jpg", "x/b", "/c.jpg") == ["a.jpg", "x/b", None]


def test_a_whole_path_of_this_machine_is_exact(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "x/a.jpg")
    assert found(tmp_path, f"{tmp_path}/x/a.jpg", f"{tmp_path}/a.jpg") == ["x/a.jpg", "a.jpg"]
    assert remarks(tmp_path, f"{tmp_path}/x/a.jpg") == []


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    make(tmp_path, "disk/a.JPG")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    assert found(tmp_path / "root", "images/a.jpg", "loop/loop/b.jpg") == ["images/a.JPG", "loop/loop/b.jpg"]


@pytest.mark.parametrize(
    "name", ["train.tar/0.jpg", "x/train.parquet/image/3", "data.arrow/image/0", "train.TAR/x/0.jpg"]
)
def test_a_path_through_a_container_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    make(tmp_path, name.partition("/")[0], "0.jpg")
    assert found(tmp_path, name) == [name]


def test_names_in_a_remote_store(tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for file in ("photos/Train/a.JPG", "photos/b.jpg"):
        store.pipe(f"/names/{file}", b"")
    root = location("memory://names/photos")
    assert found(root, "train/a.jpg", "b", "/home/u/b2.jpg", "c.jpg") == ["Train/a.JPG", "b.jpg", None, "c.jpg"]
    store.rm("/names", recursive=True)


PARTS = st.text(st.sampled_from("abAB é% .-\u0301ü1"), min_size=1, max_size=4).filter(
    lambda part: part.strip(". ") == part != ""
)
FILES = st.lists(
    st.tuples(st.lists(PARTS, max_size=2), PARTS, st.sampled_from([".jpg", ".JPG", ".png", ""])).map(
        lambda file: "/".join((*file[0], file[1] + file[2]))
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
CHANGES = {
    "upper": str.upper,
    "lower": str.lower,
    "NFD": lambda name: unicodedata.normalize("NFD", name),
    "NFC": lambda name: unicodedata.normalize("NFC", name),
    "percent": quote,
    "backslashes": lambda name: name.replace("/", "\\"),
    "no ending": lambda name: name.rpartition(".")[0] if name.lower().endswith((".jpg", ".png")) else name,
    "dot": lambda name: f"./{name}",
    "home": lambda name: f"/home/u/{name}",
    "drive": lambda name: f"C:\\u\\{name}",
    "address": lambda name: f"https://host/a/{name}?x=1",
    "above": lambda name: f"../a/{name}",
    "upload": lambda name: "/".join((*name.split("/")[:-1], f"12345678-{name.rpartition('/')[2]}")),
}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES, st.lists(st.lists(st.sampled_from(sorted(CHANGES)), max_size=3), min_size=6, max_size=6), st.data())
def test_a_disturbed_name_is_found_as_the_file_it_came_from_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], changes: list[list[str]], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("root")
    files = [file for file in files if not any(f"{file}/" in f"{other}/" and file != other for other in files)]
    make(root, *files)
    meant = data.draw(st.permutations(files))[: data.draw(st.integers(1, len(files)))]
    names: dict[str, str] = {}
    for file, kinds in zip(meant, changes, strict=False):
        name = file
        for kind in kinds:
            name = CHANGES[kind](name)
        names.setdefault(name, file)
    for name, path in zip(names, found(root, *names), strict=True):
        there = path in files
        exact = path == str(Path(name))
        assert not there or exact or path == names[name], (name, path)
        if name == names[name]:
            assert path == name


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(CHANGES)), st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True))
def test_any_one_change_of_distinct_names_is_found(
    tmp_path_factory: pytest.TempPathFactory, kind: str, numbers: list[int]
) -> None:
    root = tmp_path_factory.mktemp("root")
    files = [f"Böden {n % 3}/foto é{n}.Jpg" for n in numbers]
    make(root, *files)
    assert found(root, *map(CHANGES[kind], files)) == files
