"""Paths that lead through a tar, Parquet or Arrow file: what is read, in every process, and what is refused."""

import bz2
import gzip
import io
import lzma
import multiprocessing
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_files import tar_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import each
from refusals import refusal

from aevlp.pipeline.files.arrow_files import chunks, lengths, schema
from aevlp.pipeline.files.containers import locate, read_bytes, size
from aevlp.pipeline.files.tar_files import tar_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
CELLS = [b"first", None, b"", b"\0\xff" * 300, b"fifth", b"sixth", None]


def write_tar(path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.write_bytes(tar_of(files, kind))
    return path


def column(kind: str, cells: list[bytes | None]) -> pa.Array:
    if kind == "struct":
        rows = [{"bytes": cell, "path": f"{n}.png"} if cell or n < 6 else None for n, cell in enumerate(cells)]
        return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return pa.array(cells, {"binary": pa.binary(), "large": pa.large_binary()}[kind])


def table(kind: str, cells: list[bytes | None] = CELLS) -> pa.Table:
    return pa.table({"n": list(range(len(cells))), "a.b image": column(kind, cells), "text": ["x"] * len(cells)})


def write_stream(path: Path, content: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=3)


def write_file(path: Path, content: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=3)


def write_compressed(path: Path, content: pa.Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=3)


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "rows.parquet": lambda path, content: pq.write_table(content, path, row_group_size=3),
    "one.parquet": lambda path, content: pq.write_table(content, path, compression="zstd"),
    "stream.arrow": write_stream,
    "file.arrow": write_file,
    "compressed.arrow": write_compressed,
}


def output(program: str, argument: Path) -> str:
    """Return what a program prints that runs in a process of its own."""
    command = [sys.executable, "-c", program, str(argument)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def nothing_there(path: Path) -> None:
    assert size(path) is None
    with pytest.raises(FileNotFoundError):
        read_bytes(path)


def refused(act: Callable[[], object], file: Path) -> str:
    """Return the one line that says what is wrong with a container."""
    text = refusal(act)
    assert str(file) in text
    return text


def test_a_path_leads_through_the_file_that_is_there(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x": b""})
    (tmp_path / "folder.tar").mkdir()
    assert locate(tmp_path / "a.tar" / "b.tar" / "1.jpg") == (tmp_path / "a.tar", "b.tar/1.jpg")
    for ordinary in ("1.jpg", "folder.tar/1.jpg", "none.tar/1.jpg", "a.tar", "a.zip/1.jpg"):
        assert locate(tmp_path / ordinary) is None
        nothing_there(tmp_path / ordinary)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=90)
MEMBERS = st.dictionaries(
    st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join),
    st.binary(max_size=1500),
    max_size=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MEMBERS, st.sampled_from(["gnu", "pax"]))
def test_members_read_back_are_the_members_written(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    file = tmp_path / "a.tar"
    file.unlink(missing_ok=True)
    write_tar(file, files, FORMATS[kind])
    os.utime(file, ns=(0, hash((*files.items(), kind)) % 2**60))  # two examples may be written in one tick of the clock
    assert list(tar_members(file)) == list(files)
    for name, content in files.items():
        assert read_bytes(file / name) == content
        assert size(file / name) == len(content)
    nothing_there(file / ("n" * 91))  # longer than any name drawn


@pytest.mark.parametrize("kind", FORMATS)
def test_names_as_tar_programs_write_them(tmp_path: Path, kind: str) -> None:
    """`tar cf a.tar .` begins each name with ./ and lists the folders."""
    with tarfile.open(tmp_path / "a.tar", "w", format=FORMATS[kind]) as tar:
        for name in (".", "./b"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name in ("./1.jpg", "./b//2.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(name[-5:-2].encode()))
    assert list(tar_members(tmp_path / "a.tar")) == ["1.jpg", "b/2.jpg"]
    assert read_bytes(tmp_path / "a.tar" / "b" / "2.jpg") == b"2.j"
    nothing_there(tmp_path / "a.tar" / "b")


def test_a_name_longer_than_a_file_systems(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x" * 300 + ".jpg": b"long"})
    assert read_bytes(tmp_path / "a.tar" / ("x" * 300 + ".jpg")) == b"long"
    nothing_there(tmp_path / "a.tar" / ("y" * 300))


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    for content in (b"old", b"newer"):
        write_tar(tmp_path / "a.tar", {"x": bytes(len(content) * 600), "1.jpg": content})
        WRITERS["rows.parquet"](tmp_path / "a.parquet", table("binary", [content]))
        write_stream(tmp_path / "a.arrow", table("binary", [content]))
        for place in ("a.tar/1.jpg", "a.parquet/a.b image/0", "a.arrow/a.b image/0"):
            assert read_bytes(tmp_path / place) == content
            assert size(tmp_path / place) == len(content)
        for name in ("a.tar", "a.parquet", "a.arrow"):
            os.utime(tmp_path / name, (1, 1))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_tar_is_refused_whatever_its_name(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    plain = write_tar(tmp_path / "a.tar", {"1.jpg": b"x"})
    plain.write_bytes(compress(plain.read_bytes()))
    assert "unpack a compressed one" in refused(lambda: tar_members(tmp_path / "a.tar"), tmp_path / "a.tar")


def test_a_tar_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Also between two members, where tarfile sees nothing wrong."""
    files = {"1.jpg": bytes(700), "1.txt": b"cat", "2.jpg": bytes(512)}
    whole = write_tar(tmp_path / "whole.tar", files, tarfile.USTAR_FORMAT).read_bytes()
    end = 512 * (1 + 2 + 1 + 1 + 1 + 1)
    for cut in range(0, end + 512, 128):
        file = tmp_path / f"{cut}.tar"
        file.write_bytes(whole[:cut])
        refused(lambda file=file: tar_members(file), file)
    (tmp_path / "end.tar").write_bytes(whole[: end + 512])
    assert list(tar_members(tmp_path / "end.tar")) == list(files)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "2.jpg": b"y"}, tarfile.USTAR_FORMAT)
    content = bytearray(file.read_bytes())
    content[1024 + 150] ^= 1  # in the second header's checksum
    file.write_bytes(content)
    assert "not a whole" in refused(lambda: tar_members(file), file)


@pytest.mark.parametrize("name", ["../1.jpg", "a/../../1.jpg", "a/..", "/etc/1.jpg", "//1.jpg"])
def test_a_member_that_leads_out_of_the_tar_makes_all_of_it_refused(tmp_path: Path, name: str) -> None:
    file = write_tar(tmp_path / "a.tar", {"0.jpg": b"x", name: b"y"})
    assert repr(name) in refused(lambda: tar_members(file), file)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_a_member_that_is_no_plain_file_makes_all_of_it_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("1.jpg")
        member.type, member.linkname = kind, "0.jpg"
        tar.addfile(member)
    assert "'1.jpg'" in refused(lambda: tar_members(tmp_path / "a.tar"), tmp_path / "a.tar")


def test_a_member_that_stands_twice_makes_all_of_it_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("1.jpg"))
        tar.addfile(tarfile.TarInfo("./1.jpg"))
    assert "'./1.jpg' stands there twice" in refused(lambda: tar_members(tmp_path / "a.tar"), tmp_path / "a.tar")


@each(kind=["struct", "binary", "large"], name=WRITERS)
def test_cells_read_back_are_the_cells_written(tmp_path: Path, name: str, kind: str) -> None:
    file = tmp_path / name
    WRITERS[name](file, table(kind))
    assert lengths(file, "a.b image").tolist() == [-1 if cell is None else len(cell) for cell in CELLS]
    for row in (3, 0, 6, 5, 1, 4, 2):
        path = file / "a.b image" / str(row)
        cell = CELLS[row]
        if cell is None:
            nothing_there(path)
        else:
            assert read_bytes(path) == cell
            assert size(path) == len(cell)
    assert [n for chunk in chunks(file, "n") for n in chunk.to_pylist()] == list(range(7))
    assert schema(file).names == ["n", "a.b image", "text"]


@each(name=WRITERS, inner=["a.b image/7", "a.b image/-1", "a.b image/x", "a.b image", "n/0", "text/0", "no/0", "0"])
def test_what_is_no_cell_is_not_there(tmp_path: Path, name: str, inner: str) -> None:
    WRITERS[name](tmp_path / name, table("struct"))
    nothing_there(tmp_path / name / inner)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_without_rows_holds_nothing(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, table("struct", []))
    assert lengths(tmp_path / name, "a.b image").tolist() == []
    nothing_there(tmp_path / name / "a.b image" / "0")


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_is_refused(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "whole", table("struct"))
    whole = (tmp_path / "whole").read_bytes()
    for cut in (0, 3, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        file = tmp_path / f"{cut}{Path(name).suffix}"
        file.write_bytes(whole[:cut])
        refused(lambda file=file: schema(file), file)
        refused(lambda file=file: read_bytes(file / "a.b image" / "0"), file)


def test_offsets_that_lead_out_of_a_mapped_file_are_refused(tmp_path: Path) -> None:
    """Arrow itself follows them, to whatever is in memory there."""
    file = tmp_path / "a.arrow"
    write_stream(file, pa.table({"image": pa.array([b"\x11" * 9, b"\x22" * 9], pa.binary())}))
    content = file.read_bytes()
    good = np.array([0, 9, 18], dtype="<i4").tobytes()
    assert content.count(good) == 1
    file.write_bytes(content.replace(good, np.array([0, 9, 2**30], dtype="<i4").tobytes()))
    refused(lambda: read_bytes(file / "image" / "1"), file)
    refused(lambda: size(file / "image" / "1"), file)


@pytest.mark.process
@pytest.mark.parametrize("name", ["rows.parquet", "stream.arrow", "file.arrow"])
def test_the_images_of_a_file_are_never_all_in_memory(tmp_path: Path, name: str) -> None:
    """In a process of its own, as pyarrow counts what a process ever held."""
    WRITERS[name](tmp_path / name, table("struct", [np.random.default_rng(n).bytes(100_000) for n in range(60)]))
    program = (
        "import sys; from pathlib import Path; import pyarrow\n"
        "from aevlp.pipeline.files.arrow_files import lengths\nfrom aevlp.pipeline.files.containers import read_bytes\n"
        "file = Path(sys.argv[1])\n"
        "assert lengths(file, 'a.b image').tolist() == [100_000] * 60\n"
        "assert all(len(read_bytes(file / 'a.b image' / str(n))) == 100_000 for n in range(60))\n"
        "print(pyarrow.default_memory_pool().max_memory())"
    )
    assert int(output(program, tmp_path / name)) < 2_000_000


@pytest.mark.process
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_every_process_reads_the_same(tmp_path: Path, start: str) -> None:
    """The parent has read before: what it keeps is inherited by a fork."""
    cells = [np.random.default_rng(n).bytes(5000) for n in range(30)]
    write_tar(tmp_path / "a.tar", {f"{n}.jpg": cell for n, cell in enumerate(cells)})
    paths = [tmp_path / "a.tar" / f"{n}.jpg" for n in range(30)]
    for name in ("rows.parquet", "stream.arrow", "file.arrow"):
        WRITERS[name](tmp_path / name, table("struct", [*cells]))
        paths += [tmp_path / name / "a.b image" / str(n) for n in range(30)]
    expected = [read_bytes(path) for path in paths]
    assert expected == cells * 4
    assert [size(path) for path in paths] == [5000] * 120
    with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as processes:
        assert list(processes.map(read_bytes, paths, timeout=120)) == expected
        assert list(processes.map(read_bytes, paths[::-1], timeout=120)) == expected[::-1]
    assert [read_bytes(path) for path in paths] == expected


@pytest.mark.process
def test_a_tar_is_read_without_pyarrow(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.jpg": b"x"})
    program = (
        "import sys; from pathlib import Path; from aevlp.pipeline.files.containers import read_bytes\n"
        "assert read_bytes(Path(sys.argv[1])) == b'x'; print('pyarrow' in sys.modules)"
    )
    assert output(program, tmp_path / "a.tar" / "1.jpg") == "False"


def test_a_container_that_is_not_tar_at_all(tmp_path: Path) -> None:
    for content in (b"", b"text", gzip.compress(b"x"), bytes(range(256)) * 4):
        (tmp_path / "a.tar").write_bytes(content)
        refused(lambda: read_bytes(tmp_path / "a.tar" / "1.jpg"), tmp_path / "a.tar")


def test_a_tar_that_may_not_be_opened_is_no_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    for known_before in (False, True):
        file = write_tar(tmp_path / f"{known_before}.tar", {"1.jpg": b"x"})
        if known_before:
            tar_members(file)
        with monkeypatch.context() as context:
            context.setattr(Path, "open", refuse)
            assert "Permission denied" in refused(lambda file=file: read_bytes(file / "1.jpg"), file)
