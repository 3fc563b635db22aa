"""What `doctor` is asked for."""

from dataclasses import dataclass

from ..declaration import Options


@dataclass(frozen=True)
class DoctorOptions(Options):
    """Look at this machine and installation: what is there, what is missing or wrong, and what to do; exit 1 for a fault."""
