"""A small file of every format that Pillow knows, and of kinds that are no picture, made here."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345\n"
)


def _fits() -> bytes:
    cards = (("SIMPLE", "T"), ("BITPIX", "8"), ("NAXIS", "2"), ("NAXIS1", "4"), ("NAXIS2", "4"))
    lines = [f"{key:8}= {value:>20}" for key, value in cards] + ["END"]
    return "".join(line.ljust(80) for line in lines).ljust(2880).encode() + bytes(2880)


def _mcidas() -> bytes:
    words = [0] * 64
    words[1], words[8], words[9], words[10], words[13] = 4, 4, 4, 1, 1
    return struct.pack(">64i", *words) + bytes(64)


def _iptc() -> bytes:
    fields = ((60, b"\1\0"), (20, b"\4"), (30, b"\4"), (120, b"\1"))
    return b"".join(struct.pack(">BBBH", 0x1C, 3, tag, len(value)) + value for tag, value in fields) + bytes(16)


# Of the formats that Pillow reads and does not write, what makes Pillow know them.
_BY_HAND = {
    "BUFR": b"BUFR" + bytes(40),
    "CUR": struct.pack("<HHHBBBBHHII", 0, 2, 1, 4, 4, 0, 0, 0, 0, 120, 22)
    + struct.pack("<IiiHHIIiiII", 40, 4, 8, 1, 32, 0, 0, 0, 0, 0, 0)
    + bytes(80),
    "DCX": struct.pack("<III", 987654321, 12, 0)
    + struct.pack("<BBBBHHHHHH", 10, 5, 1, 8, 0, 0, 3, 3, 72, 72)
    + bytes(48)
    + struct.pack("<BBHH", 0, 1, 4, 1)
    + bytes(58 + 16),
    "FITS": _fits(),
    "FLI": struct.pack("<IHHHHHHI", 144, 0xAF12, 1, 4, 4, 8, 3, 70).ljust(128, b"\0")
    + struct.pack("<IHHQ", 16, 0xF1FA, 0, 0),
    "FTEX": b"FTEX" + struct.pack("<9i", 0, 4, 4, 1, 1, 1, 32, 48, 0) + bytes(48),
    "GBR": struct.pack(">5I", 28, 2, 4, 4, 1) + b"GIMP" + struct.pack(">I", 1) + bytes(16),
    "GRIB": b"GRIB\0\0\0\1" + bytes(40),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "IMT": b"width 4\nheight 4\npixel n8\n\x0c" + bytes(16),
    "IPTC": _iptc(),
    "MCIDAS": _mcidas(),
    "MPEG": b"\0\0\1\xb3\0\x40\x04\x11" + bytes(8),
    "PCD": bytes(2048) + b"PCD_" + bytes(4000),
    "PIXAR": b"\x80\xe8\0\0" + bytes(412) + struct.pack("<HHHHHH", 4, 4, 0, 0, 14, 2) + bytes(596 + 48),
    "PSD": b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 3, 4, 4, 8, 3, 0, 0, 0, 0) + bytes(48),
    "SUN": struct.pack(">8I", 0x59A66A95, 4, 4, 8, 16, 1, 0, 0) + bytes(16),
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<HHHHHIH", 0, 0, 100, 100, 72, 0, 0) + b"\1\0\t\0" + bytes(40),
    "XPM": b'/* XPM */\nstatic char *x[] = {\n"2 2 1 1",\n"a c #ff0000",\n"aa",\n"aa"\n};\n',
    "XVTHUMB": b"P7 332\n#END_OF_COMMENTS\n4 4 255\n" + bytes(16),
}


def scene(width: int = 40, height: int = 30) -> Image.Image:
    """Return a smooth picture in colour that is far from flat."""
    y, x = np.mgrid[:height, :width]
    channels = (np.sin(x / 7) + np.cos(y / 5), np.cos(x / 4), np.sin(y / 3))
    pixels = np.stack([np.interp(c, (c.min(), c.max()), (0, 255)) for c in channels], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def of_every_format() -> dict[str, bytes]:
    """Return a file of each format that the installed Pillow reads, by its name there."""
    Image.init()
    return {name: _BY_HAND[name] if name in _BY_HAND else saved(name) for name in Image.ID if name != "HEIF"}


def saved(name: str, **options: object) -> bytes:
    """Return a scene written by Pillow in a format, in the first mode that it takes."""
    for mode in ("RGB", "P", "1", "F"):
        file = io.BytesIO()
        try:
            scene().convert(mode).save(file, name, **options)
        except (OSError, ValueError):
            continue
        return file.getvalue()
    raise AssertionError(f"{name}: make a file of it by hand")


def of_no_image_format() -> dict[str, bytes]:
    """Return files that are no picture at all, by kind."""
    archive, tar, hdf5, array, table = (io.BytesIO() for _ in range(5))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "a")
    with tarfile.open(fileobj=tar, mode="w") as file:
        file.addfile(tarfile.TarInfo("a"))
    with h5py.File(hdf5, "w") as file:
        file["a"] = 1
    np.save(array, np.zeros(4))
    pq.write_table(pa.table({"a": [1]}), table)
    return {
        "zip": archive.getvalue(),
        "tar": tar.getvalue(),
        "hdf5": hdf5.getvalue(),
        "numpy": array.getvalue(),
        "parquet": table.getvalue(),
        "postscript": POSTSCRIPT,
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
        "html": b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n",
        "svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>\n',
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40),
        "mp3": b"ID3\4" + bytes(40),
        "json": json.dumps({"labels": ["cat"]}).encode(),
        "text": b"a cat on a mat\n",
        "pointer": LFS_POINTER,
        "empty": b"",
        "zeros": bytes(200),
    }


def exif(entries: Iterable[tuple[int, int, int, bytes]]) -> bytes:
    """Return EXIF of entries (tag, type, count, four bytes), little-endian."""
    entries = list(entries)
    packed = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def tiff(
    data: bytes, width: int, height: int, bits: int, kind: int = 1, photometric: int = 1, order: str = "<", **tags: int
) -> bytes:
    """Return a TIFF of one strip of grey levels.

    kind: of a level, 1 unsigned, 2 signed, 3 floating-point. photometric: 1 where 0 is black, 0 where it is white. order: "<" or
    ">". tags: further ones of one short each, named as in t274.
    """
    short = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 339: kind}
    short |= {int(name[1:]): value for name, value in tags.items()}
    place = 8 + 2 + 12 * (len(short) + 2) + 4
    entries = {tag: struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in short.items()}
    entries |= {t: struct.pack(order + "HHII", t, 4, 1, value) for t, value in ((273, place), (279, len(data)))}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4) + data


def png(levels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of levels (H, W) or (H, W, channels) uint16; chunks: name and content of further ones before the pixels."""
    height, width, channels = levels.reshape(*levels.shape[:2], -1).shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in levels)
    content = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in content)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def draw(folder: Path, *names: str) -> None:
    """Write small pictures, each with noise of its own."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(name) * 1000 + sum(name.encode()))
        Image.fromarray(random.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(folder / name)
