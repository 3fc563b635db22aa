"""The formats of pictures that are opened, known by their first bytes; a file of any other format is never given to a decoder.

All are raster formats whose decoders run inside this process: Pillow's others may start a program (PostScript), draw (WMF), or
take almost anything for a picture (TGA).
"""

# Pillow's name of a format -> the usual endings of its files.
FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "HEIF": (".heic", ".heif", ".hif"),
}
ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)
HEAD = 32  # bytes that tell a format
MAX_PIXELS = 178_956_970  # of a picture that is opened without being asked for: Pillow's own limit

_STARTS = {
    b"\xff\xd8\xff": "JPEG",  # an MPO is a JPEG with more pictures behind it
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIF"
)
_ANY_BRAND = (b"mif1", b"msf1")  # of AVIF and HEIF alike: the brands behind it say which
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes, which tell a BMP from a text that begins with BM


def format_of(head: bytes) -> str | None:
    """Return the name, in `FORMATS`, of the format that a file's first `HEAD` bytes are of; None for any other file."""
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _format_of_brands(head)
    if head[:1] == b"P" and head[1:2] in b"123456f" and head[2:3].isspace():
        return "PPM"
    return None


def _format_of_brands(head: bytes) -> str | None:
    """Return the format of a file that says in a box of brands what it is: first the one it has, then those it agrees with."""
    if head[8:12] not in _ANY_BRAND:
        return _BRANDS.get(head[8:12])
    end = min(int.from_bytes(head[:4], "big"), len(head))
    found = [_BRANDS[head[n : n + 4]] for n in range(16, end, 4) if head[n : n + 4] in _BRANDS]
    return found[0] if found else "HEIF"
