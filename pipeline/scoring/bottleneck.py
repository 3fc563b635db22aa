"""What a run waits for -> which part of it was the limit."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

IMAGES, TOWER, DISK = "images", "the image tower", "the disk"


class TimeSpent:
    """Seconds that the main thread of stage one spent on the tower, and waiting for decoded images and for the disk."""

    def __init__(self) -> None:
        self.seconds = {IMAGES: 0.0, TOWER: 0.0, DISK: 0.0}

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time of the context for a part."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] += time.monotonic() - started

    def limit(self) -> str:
        """Return a line that names the part which the others wait for."""
        total = sum(self.seconds.values()) or 1.0
        share = {part: f"{100 * seconds / total:.0f} %" for part, seconds in self.seconds.items()}
        slowest = max(self.seconds, key=lambda part: self.seconds[part])
        what = {
            TOWER: "the image tower was the limit",
            IMAGES: "reading and decoding images was the limit: more --workers, or aevlp[fast], may help",
            DISK: "the disk was the limit",
        }[slowest]
        return f"{what} (image tower {share[TOWER]} of the time, waiting for images {share[IMAGES]}, for the disk {share[DISK]})"
