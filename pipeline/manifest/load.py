"""data_manifest.yaml -> typed data sets: where each one's images and labels are, its classes, prompts and constants."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from ..errors import AevlpError, in_one_line, unknown_name
from ..files.whole_text import is_whole
from . import formats
from .formats import PACKAGED, DatasetSpec
from .mistakes import ManifestError, mistakes_of
from .sections import Section

SUFFIXES = (".yaml", ".yml")  # of the files that are manifests

AnySpec = Annotated[
    formats.VocSpec
    | formats.CocoSpec
    | formats.CocoJsonSpec
    | formats.NusWideSpec
    | formats.CubSpec
    | formats.FormattedSpec
    | formats.TableSpec
    | formats.ImageFolderSpec
    | formats.ImagesSpec
    | formats.WebDatasetSpec
    | formats.HuggingFaceSpec
    | formats.ScenesSpec,
    Field(discriminator="format"),
]


class Manifest(Section, frozen=True):
    """All data sets of one manifest file; `manifest["voc"]` is one of them."""

    datasets: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")],
        AnySpec,
    ] = Field(min_length=1)

    def __contains__(self, name: str) -> bool:
        return name in self.datasets

    def __getitem__(self, name: str) -> DatasetSpec:
        if name not in self.datasets:
            raise unknown_name("data set", name, self.datasets)
        return self.datasets[name]


def load_manifest(path: Path | str | Sequence[Path | str] | None = None) -> Manifest:
    """Return the checked manifest at `path`, or the packaged one; several are read as one.

    Raises AevlpError that names every mistake with its place: a file that is missing or no YAML, an unknown key, a value of
    the wrong kind or out of range; and where two files define one name.
    """
    if path is None:
        return _read(PACKAGED)
    paths = [Path(p) for p in ([path] if isinstance(path, Path | str) else path)]
    datasets: dict[str, DatasetSpec] = {}
    for manifest in map(_read, paths):
        for name, spec in manifest.datasets.items():
            if name in datasets:
                raise AevlpError(
                    f"two manifests define the data set {name!r}: {datasets[name].manifest_path} and {spec.manifest_path}; "
                    f"rename one of them"
                )
            datasets[name] = spec
    return Manifest.model_construct(datasets=datasets)


def manifest_text(path: Path) -> str:
    """Return the text of a manifest, its line ends as they are; AevlpError where it cannot be read, or is no UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise AevlpError(f"cannot read the manifest {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise AevlpError(f"the manifest {path} is not UTF-8 text: {error}") from error


def manifest_content(text: str, path: Path) -> Any:
    """Return what the text of the manifest at `path` holds; AevlpError where it is not YAML, or a key stands twice."""
    try:
        return _SafeLoader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # such as the 30th of February
        raise AevlpError(f"the manifest {path} is not valid YAML: {in_one_line(error)}") from error


def _read(path: Path) -> Manifest:
    return checked_manifest(manifest_content(manifest_text(path), path), path)


def checked_manifest(content: Any, path: Path) -> Manifest:
    """Return the manifest that `content` is, whether or not it is written at `path`; ManifestError that names every mistake."""
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise ManifestError(path, mistakes_of(error, Manifest)) from error
    for name, spec in manifest.datasets.items():
        spec.placed(name, path.resolve())
    return manifest


class _SafeLoader(yaml.SafeLoader):
    """PyYAML's safe loader, except that a key which stands twice, and half a character, are mistakes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")]
        twice = next((key for n, key in enumerate(keys) if key in keys[:n]), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"the key {twice!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and not is_whole(value):  # "\ud800"
            raise yaml.MarkedYAMLError(
                problem=f"the text {value!r} holds half a character", problem_mark=node.start_mark
            )
        return value
