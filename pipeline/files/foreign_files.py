"""The first bytes of a file that holds no picture of `image_formats` -> what it is, in words, for a message."""

import codecs
import re

HEAD = 2560  # bytes that are looked at

_STARTS = {
    b"version https://git-lfs.github.com": "a Git LFS pointer, not the picture itself (run git lfs pull in its repository)",
    b"\xff\xd8": "a JPEG file damaged at its beginning",
    b"\x89PNG": "a PNG file damaged at its beginning, as by a transfer as text",
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"%PDF": "a PDF file",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "a Windows icon",
    b"\0\0\2\0\0\0\0\0": "a TGA picture",
    b"\0\0\x0a\0\0\0\0\0": "a TGA picture",
    b"\0\0\2\0": "a Windows cursor",
    b"icns": "a macOS icon",
    b"qoif": "a QOI picture",
    b"DDS ": "a DDS texture",
    b"BLP1": "a BLP texture",
    b"BLP2": "a BLP texture",
    b"FTEX": "an FTEX texture",
    b"FTU\0": "an FTEX texture",
    b"\x01\xda": "an SGI picture",
    b"\x59\xa6\x6a\x95": "a Sun raster picture",
    b"\xb1\x68\xde\x3a": "a DCX picture",
    b"\x80\xe8\0\0": "a PIXAR picture",
    b"DanM": "a Microsoft Paint picture",
    b"LinS": "a Microsoft Paint picture",
    b"\x28\0\0\0": "a bitmap without its file header",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile",
    b"Image type: ": "an IFUNC picture",
    b"P7 332": "an XV thumbnail",
    b"P7\n": "a PAM picture",
    b"PF\n": "a floating-point map in colour",
    b"/* XPM */": "an XPM picture",
    b"#define": "an XBM picture",
    b"gimp xcf": "a GIMP file",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"SIMPLE": "a FITS file",
    b"GRIB": "a GRIB file",
    b"BUFR": "a BUFR file",
    b"\0\0\0\0\0\0\0\x04": "a McIdas file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"CDF\x01": "a netCDF file",
    b"CDF\x02": "a netCDF file",
    b"\x93NUMPY": "a NumPy array",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite file",
    b"PK\x03\x04": "a zip archive, or a document kept as one",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xd0\xcf\x11\xe0": "an old Microsoft Office document",
    b"\x1a\x45\xdf\xa3": "a Matroska or WebM video",
    b"\0\0\x01\xba": "an MPEG video",
    b"\0\0\x01\xb3": "an MPEG video",
    b"FLV\x01": "a Flash video",
    b"OggS": "an Ogg recording",
    b"ID3": "an MP3 recording",
    b"fLaC": "a FLAC recording",
    b"\x7fELF": "a program",
    b"MZ\x90": "a Windows program",
}
_INSIDE = (  # the place of a signature that is not the first thing in a file
    (20, b"GIMP", "a GIMP brush"),
    (40, b" EMF", "a Windows metafile"),
    (128, b"DICM", "a DICOM file"),
    (257, b"ustar", "a tar archive"),
    (2048, b"PCD_", "a Photo CD file"),
)
_RIFF = {b"AVI ": "an AVI video", b"WAVE": "a WAVE recording"}
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # that an MP4 or QuickTime file begins with
_BRANDS = {b"crx ": "a Canon raw photograph", b"M4A ": "an MP4 recording"}
_FLIC = (b"\x11\xaf", b"\x12\xaf")
_CONTROLS = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SHOWN = 40  # characters of a text


def name_of(head: bytes) -> str:
    """Return what a file is, from its first `HEAD` bytes, fewer where it is shorter: "an HTML page", "the file is empty"."""
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "nothing but zeros"
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "a RIFF file")
    if head[4:8] in _BOXES:
        return _BRANDS.get(head[8:12], "an MP4 or QuickTime video")
    if head[4:6] in _FLIC:
        return "a FLIC animation"
    for place, start, name in _INSIDE:
        if head[place:].startswith(start):
            return name
    if head[:1] == b"\x0a" and head[1:2] in (b"\0", b"\2", b"\3", b"\5") and head[2:3] in (b"\0", b"\1"):
        return "a PCX picture"
    return _text(head) or "of no known kind"


def _text(head: bytes) -> str:
    """Return what a text is and how it begins, "" for what is none."""
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head).strip()  # the last character may be cut
    except UnicodeDecodeError:
        return ""
    if not text or _CONTROLS.search(text):
        return ""
    lower = text.lower()
    if re.match(r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype svg[^>]*>\s*)?<svg\b", lower, re.DOTALL):
        return "an SVG drawing"
    if re.match(r"(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", lower, re.DOTALL):
        return "an HTML page, as a failed download leaves it"
    kind = "an XML file" if lower.startswith("<?xml") else "a text"
    line = " ".join(text.splitlines()[0].split())
    shown = line[:_SHOWN] + "…" * (len(line) > _SHOWN)
    return f"{kind} that begins with {shown!r}"
