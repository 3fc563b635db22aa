"""What each extra brings: its packages, and what aevlp can do with them."""

from importlib.metadata import PackageNotFoundError, version

from .finding import Finding

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "cpu": (("openvino",), "scores faster on a CPU"),
    "export": (("onnx", "onnxruntime", "onnxscript"), "exports a run to ONNX, and predicts from one without torch"),
    "fast": (("simplejpeg",), "decodes JPEG files faster"),
    "heic": (("pillow-heif",), "opens HEIC pictures, as phones take them"),
    "int8": (("nncf",), "exports to OpenVINO in whole numbers of 8 bits, --quantize int8"),
    "remote": (("fsspec", "s3fs"), "reads and writes s3:// and other stores"),
    "ray": (("ray",), "runs on many machines, --engine ray"),
    "review": (("starlette", "uvicorn"), "serves the page of aevlp review"),
    "tensorboard": (("tensorboard",), "logs a training to TensorBoard, --log tensorboard"),
    "transformers": (("transformers",), "takes CLIPs and SigLIPs of transformers, --clip transformers:NAME"),
    "wandb": (("wandb",), "logs a training to Weights & Biases, --log wandb"),
    "docs": (("sphinx", "myst-nb", "furo"), "builds the documentation, make docs"),
    "dev": (
        (
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "hypothesis",
            "scikit-learn",
            "datasets",
            "accelerate",
            "httpx",
            "ipykernel",
            "nbclient",
            "playwright",
            "axe-playwright-python",
            "ruff",
            "pyright",
        ),
        "tests and checks aevlp itself",
    ),
}


def extras() -> list[Finding]:
    """Return a line for each extra: the versions of its packages, or what it would give."""
    return [_extra(name, *of) for name, of in EXTRAS.items()]


def _extra(name: str, packages: tuple[str, ...], gives: str) -> Finding:
    have = {package: _version(package) for package in packages}
    if absent := [package for package, found in have.items() if found is None]:
        return Finding(
            f"aevlp[{name}]", "missing", f"{gives}; not installed: {', '.join(absent)}", f"pip install 'aevlp[{name}]'"
        )
    return Finding(f"aevlp[{name}]", "ok", ", ".join(f"{package} {of}" for package, of in have.items()))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
