"""Libraries that report their use to their makers, and keep files for that in the home folder, imported so that they do not."""

import os
import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """Return OpenVINO; it reports already that it is imported. Raises ImportError where it is not installed."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def import_nncf() -> ModuleType:
    """Return NNCF, which quantises for OpenVINO. Raises ImportError where it is not installed."""
    import_openvino()
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    return nncf
