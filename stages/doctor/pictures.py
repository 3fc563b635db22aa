"""The formats of pictures: a tiny one of each is made in memory, and opened as a data set's pictures are."""

import io

from .finding import Finding

COLOUR, SIDE = (200, 40, 90), 16
TOLERANCE = 12  # grey levels: all but PNG and TIFF lose a little
NEEDED = ("JPEG", "PNG")
NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "AVIF": "AVIF", "HEIF": "HEIC", "TIFF": "TIFF"}


def codecs() -> list[Finding]:
    """Return a line for each format: whether a picture of it is decoded to the colour it was made with."""
    return [_codec(name, word) for name, word in NAMES.items()]


def _codec(name: str, word: str) -> Finding:
    heic = "pip install 'aevlp[heic]'"
    try:
        made = tiny_picture(name)
    except Exception as error:  # whatever a library raises that was built without this format
        todo = heic if name == "HEIF" else "pip install -U pillow"
        state = "fault" if name in NEEDED else "missing"
        return Finding(word, state, f"cannot be made here, and hardly read: {type(error).__name__}: {error}", todo)
    try:
        wrong = difference(made)
    except Exception as error:
        wrong = f"{error}"
    if wrong:
        return Finding(
            word, "fault", f"a picture made here is not read: {wrong}", "pip install -U --force-reinstall pillow"
        )
    return Finding(word, "ok", f"read{_how(name)}")


def tiny_picture(name: str) -> bytes:
    """Return a picture of one colour in a format of `NAMES`; whatever Pillow or pillow-heif raise where they cannot make it."""
    from PIL import Image

    picture, file = Image.new("RGB", (SIDE, SIDE), COLOUR), io.BytesIO()
    if name == "HEIF":
        from pillow_heif import from_pillow

        from_pillow(picture).save(file, quality=95)
    else:
        picture.save(file, name)
    return file.getvalue()


def difference(content: bytes) -> str:
    """Return how the picture that is decoded differs from the one that was made, empty where it does not."""
    import numpy as np

    from ...pipeline.images.image_opening import opened

    with opened(io.BytesIO(content)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape != (SIDE, SIDE, 3):
        return f"expected {SIDE} x {SIDE} pixels of 3 colours, found {' x '.join(map(str, pixels.shape))}"
    off = int(np.abs(pixels.astype(int) - COLOUR).max())
    return f"its colours are off by {off} of 255" if off > TOLERANCE else ""


def _how(name: str) -> str:
    if name != "JPEG":
        return ""
    from ...pipeline.images.decoders import SIMPLEJPEG, fastest

    return ", by simplejpeg" if fastest() == SIMPLEJPEG else ", by Pillow"
