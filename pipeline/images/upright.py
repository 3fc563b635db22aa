"""A decoded picture -> the same turned as its EXIF says; no other field of it is read, and none is written."""

from PIL import Image

ORIENTATION = 0x0112  # EXIF tag

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(file: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a picture; 1, as it lies, where its EXIF says none or cannot be read.

    file: as Pillow has opened it. Asked of a TIFF or HEIC that is loaded, which their decoders turn, it is 1.
    """
    try:
        value = file.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF is written by everything and anything
        return 1
    if isinstance(value, (bytes, tuple)) and value:  # a field of another type, or with more than one value
        value = value[0]
    return next((number for number in _TURNS if number == value), 1)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image turned upright; orientation: of `orientation_of`."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
