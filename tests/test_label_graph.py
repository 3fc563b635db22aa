"""The relation between labels and the frozen graph on text features: published arrays, loops from the spec, and stage one."""

import hashlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from conftest import draw_blocks, stage_one, stage_two
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.torch import save_file

from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.clip.text_graph import (
    TextGraph,
    cosines,
    gcn_residual,
    graph_weights,
    load_relation,
    relation_matrices,
)
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.images.views import view_boxes, view_pixels
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.stages.caches import verify
from goldens import load

RELATION, GCN = load("relation"), load("gcn")
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.floats(0, 1)


def slow_matrices(relation: np.ndarray, k: int, p: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and A in double precision, step by step from the spec's section 4; of equal entries the lower column is kept."""
    size = len(relation)
    adjacency, smoothed = np.zeros((size, size)), np.zeros((size, size))
    for i, row in enumerate(relation.tolist()):
        kept = sorted(range(size), key=lambda j: (-row[j], j))[:k]
        total = math.fsum(row[j] for j in kept if j != i)
        for j in kept:
            adjacency[i, j] = p * row[j] / total
        adjacency[i, i] = 1 - p
        powers = [math.exp(a / temperature) for a in adjacency[i]]
        share = {j: powers[j] / math.fsum(powers) for j in kept}  # all others are set to 0 after the softmax
        for j in kept:
            smoothed[i, j] = share[j] / math.fsum(share.values())
    return smoothed, adjacency


def slow_residual(text: np.ndarray, adjacency: np.ndarray, *weights: np.ndarray) -> np.ndarray:
    """Return G in double precision: every class takes the mixture of its neighbours' rows, three times."""
    rows = text.astype(np.float64)
    for layer, weight in enumerate(weights):
        passed = rows @ weight.astype(np.float64)
        mixed = np.zeros_like(passed)
        for i in range(len(mixed)):
            for j in range(len(mixed)):
                mixed[i] += float(adjacency[i, j]) * passed[j]
        rows = mixed if layer == 2 else np.array([[x if x > 0 else 0.2 * x for x in row] for row in mixed])
    return rows


def features(seed: int, classes: int, width: int, sameness: float = 1.0) -> np.ndarray:
    """Return text features that resemble one another, as those of a text tower do."""
    random = np.random.default_rng(seed)
    return (random.normal(sameness, 0.5, (classes, width)) * random.uniform(1, 9)).astype(np.float32)


def distinct_relation(seed: int, classes: int) -> np.ndarray:
    """Return similarities in (0, 1] of which no two in a row are equal; some rows do not have their own class on top."""
    random = np.random.default_rng(seed)
    ranks = np.array([random.permutation(classes) for _ in range(classes)]) + random.uniform(0.1, 0.9, (classes, 1))
    return (ranks / classes).astype(np.float32)


# --- the relation matrices


@pytest.mark.parametrize("name", RELATION)
def test_relation_matrices_equal_the_published_ones(name: str) -> None:
    case = RELATION[name]
    smoothed, adjacency = relation_matrices(
        case["relation"], int(case["sparse_topk"]), float(case["reweight_p"]), float(case["T"])
    )
    assert smoothed.dtype == adjacency.dtype == np.float32
    np.testing.assert_allclose(adjacency, case["adjacency"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(smoothed, case["smoothed"], rtol=0, atol=1e-5)


@st.composite
def relations(draw: st.DrawFn, least: float = 0.125) -> tuple[np.ndarray, int]:
    """A matrix, with many ties or few, and how many of a row to keep, so that each row keeps a neighbour."""
    size = draw(st.integers(2, 9))
    elements = st.sampled_from([least, 0.25, 0.5, 1.0]) | st.floats(least, 1, width=32)
    return draw(arrays(np.float32, (size, size), elements=elements)), draw(st.integers(2, size + 3))


@settings(max_examples=100, deadline=None)
@given(case=relations(), reweight=SHARES, temperature=st.floats(0.05, 2))
def test_relation_matrices_equal_loops_from_the_formula(
    case: tuple[np.ndarray, int], reweight: float, temperature: float
) -> None:
    relation, k = case
    before = relation.copy()
    smoothed, adjacency = relation_matrices(relation, k, reweight, temperature)
    expected_smoothed, expected_adjacency = slow_matrices(relation, k, reweight, temperature)
    np.testing.assert_allclose(adjacency, expected_adjacency, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(smoothed, expected_smoothed, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(relation, before)


@settings(max_examples=60, deadline=None)
@given(case=relations(), reweight=SHARES, temperature=st.floats(0.05, 2))
def test_rows_of_the_matrices_are_shares(case: tuple[np.ndarray, int], reweight: float, temperature: float) -> None:
    relation, k = case
    smoothed, adjacency = relation_matrices(relation, k, reweight, temperature)
    np.testing.assert_allclose(np.diag(adjacency), 1 - reweight, rtol=0, atol=1e-6)
    np.testing.assert_allclose(adjacency.sum(axis=1) - np.diag(adjacency), reweight, rtol=0, atol=1e-5)
    np.testing.assert_allclose(smoothed.sum(axis=1), 1, rtol=0, atol=1e-5)
    assert (adjacency >= 0).all()
    assert (smoothed >= 0).all()
    off_diagonal = ~np.eye(len(relation), dtype=bool)
    assert ((smoothed > 0).sum(axis=1) <= k).all()
    assert (smoothed[off_diagonal] > 0)[adjacency[off_diagonal] > 0].all()  # Q lives where A does


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(2, 9), k=st.integers(2, 9), order=SEEDS)
def test_the_order_of_the_classes_does_not_matter_where_no_two_are_equally_near(
    seed: int, classes: int, k: int, order: int
) -> None:
    relation = distinct_relation(seed, classes)
    places = np.random.default_rng(order).permutation(classes)
    mine, moved = (relation_matrices(m, k, 0.2, 0.3) for m in (relation, relation[places][:, places]))
    for matrix, other in zip(mine, moved, strict=True):
        np.testing.assert_allclose(other, matrix[places][:, places], rtol=1e-5, atol=1e-7)


def test_more_neighbours_than_classes_are_all_of_them() -> None:
    relation = distinct_relation(0, 6)
    for found, expected in zip(
        relation_matrices(relation, 1000, 0.2, 0.3), relation_matrices(relation, 6, 0.2, 0.3), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    fewer = relation_matrices(relation, 5, 0.2, 0.3)[1]
    assert (fewer != relation_matrices(relation, 6, 0.2, 0.3)[1]).any()


def test_a_class_that_is_not_among_its_own_nearest_has_a_place_in_the_adjacency_alone() -> None:
    relation = np.array([[0.1, 0.5, 1.0], [0.5, 1.0, 0.9], [1.0, 0.9, 1.0]])
    smoothed, adjacency = relation_matrices(relation, 2, 0.3, 0.25)
    np.testing.assert_allclose(adjacency[0], [0.7, 0.3 / 3, 0.6 / 3], rtol=1e-6)
    assert smoothed[0, 0] == 0
    assert smoothed[0, 1] > 0


def test_a_class_without_neighbours_is_named() -> None:
    names = ["cat", "dog", "owl"]
    with pytest.raises(AevlpError, match=r"the class 'cat' without any neighbour: raise sparse_topk"):
        relation_matrices(np.eye(3), 1, 0.2, 0.3, names)
    alone = np.array([[1.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 1.0]])
    with pytest.raises(AevlpError, match=r"the class 'dog' without any neighbour"):
        relation_matrices(alone, 3, 0.2, 0.3, names)
    with pytest.raises(AevlpError, match=r"the class number 1 without any neighbour"):
        relation_matrices(alone, 3, 0.2, 0.3)
    with pytest.raises(AevlpError, match=r"the class 'cat' without any neighbour"):  # a single class has none at all
        relation_matrices(np.ones((1, 1)), 1, 0.2, 0.3, names[:1])


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_relation_that_is_not_finite_names_the_class(odd: float) -> None:
    relation = np.ones((3, 3))
    relation[1, 2] = odd
    with pytest.raises(AevlpError, match="the relation of class 'dog' is not finite"):
        relation_matrices(relation, 3, 0.2, 0.3, ["cat", "dog", "owl"])


@pytest.mark.parametrize("shape", [(2, 3), (3,), (2, 2, 2), (0, 0)])
def test_a_relation_of_another_shape_is_a_mistake(shape: tuple[int, ...]) -> None:
    with pytest.raises(AevlpError, match=r"must be \(classes, classes\), found \("):
        relation_matrices(np.ones(shape), 2, 0.2, 0.3)


@pytest.mark.parametrize(
    ("k", "reweight", "temperature"),
    [(0, 0.2, 0.3), (-1, 0.2, 0.3), (2, -0.1, 0.3), (2, 1.1, 0.3), (2, math.nan, 0.3), (2, 0.2, 0), (2, 0.2, math.nan)],
)
def test_a_constant_out_of_range_is_a_mistake(k: int, reweight: float, temperature: float) -> None:
    with pytest.raises(AevlpError, match=f"found {k}, {reweight} and {temperature}$"):
        relation_matrices(np.ones((3, 3)), k, reweight, temperature)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(1, 6), width=st.integers(1, 8))
def test_cosines_equal_a_loop(seed: int, classes: int, width: int) -> None:
    text = features(seed, classes, width)
    expected = [[a @ b / math.sqrt((a @ a) * (b @ b)) for b in text.astype(float)] for a in text.astype(float)]
    np.testing.assert_allclose(cosines(text), expected, rtol=0, atol=1e-6)
    assert cosines(text).dtype == np.float32


# --- the graph network


@pytest.mark.parametrize("name", GCN)
def test_the_graph_equals_the_published_one(name: str) -> None:
    case = GCN[name]
    weights = [case[key] for key in ("W1", "W2", "W3")]
    residual = gcn_residual(case["text_features"], case["adjacency"], *weights)
    assert residual.dtype == np.float32
    text = case["text_features"] + residual
    image = case["image_features"]
    cosine = (image / np.linalg.norm(image, axis=1, keepdims=True)) @ (
        text / np.linalg.norm(text, axis=1, keepdims=True)
    ).T
    half = name.endswith("_f16")  # these ran in half precision
    np.testing.assert_allclose(residual, case["gcn_out"], rtol=0 if half else 1e-4, atol=2e-2 if half else 1e-5)
    np.testing.assert_allclose(cosine, case["cosine"], rtol=0, atol=4e-3 if half else 1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, classes=st.integers(1, 6), width=st.integers(1, 5), hidden=st.integers(1, 7))
def test_the_graph_equals_loops_from_the_formula(seed: int, classes: int, width: int, hidden: int) -> None:
    random = np.random.default_rng(seed)
    text, adjacency = random.normal(size=(classes, width)), random.uniform(-0.2, 1, (classes, classes))
    weights = [random.normal(size=shape) for shape in ((width, hidden), (hidden, hidden), (hidden, width))]
    single = [a.astype(np.float32) for a in (text, adjacency, *weights)]
    before = [a.copy() for a in single]
    expected = slow_residual(*single)
    np.testing.assert_allclose(gcn_residual(*single), expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))
    for array, kept in zip(single, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_a_text_that_is_longer_has_a_longer_residual(seed: int, scale: float) -> None:
    text, adjacency = features(seed, 5, 6), relation_matrices(distinct_relation(seed, 5), 3, 0.2, 0.3)[1]
    weights = graph_weights(6, seed, hidden=16)
    longer = gcn_residual(np.float32(scale) * text, adjacency, *weights)
    expected = np.float32(scale) * gcn_residual(text, adjacency, *weights)
    np.testing.assert_allclose(longer, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in GCN if name.endswith("_f32")])
def test_weights_have_the_published_shapes_and_bounds(name: str) -> None:
    case = GCN[name]
    width, hidden = case["W1"].shape
    drawn = [graph_weights(width, seed, hidden) for seed in range(40)]
    for layer, (key, bound) in enumerate(zip(("W1", "W2", "W3"), case["uniform_bounds"], strict=True)):
        weights = np.stack([w[layer] for w in drawn])
        assert weights.dtype == np.float32
        assert weights.shape[1:] == case[key].shape
        assert np.abs(case[key]).max() <= np.float32(bound)  # the published draws keep them as well
        assert np.abs(weights).max() <= np.float32(bound)
        np.testing.assert_allclose((weights.min(), weights.max()), (-bound, bound), rtol=0.01)
        deviation = bound / math.sqrt(3 * weights.size)  # of the mean of uniform draws
        assert abs(weights.mean()) < 5 * deviation
        assert abs(np.square(weights).mean() - bound**2 / 3) < 5 * bound**2 * math.sqrt(4 / 45 / weights.size)


def test_weights_come_from_the_seed_alone_and_are_1024_wide() -> None:
    first, again, other = (graph_weights(6, seed) for seed in (3, 3, 4))
    assert [w.shape for w in first] == [(6, 1024), (1024, 1024), (1024, 6)]
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).mean() > 0.99


@settings(max_examples=15, deadline=None)
@given(
    seed=SEEDS, classes=st.integers(2, 6), width=st.integers(2, 6), k=st.integers(2, 8), given_relation=st.booleans()
)
def test_the_text_graph_equals_the_formula(seed: int, classes: int, width: int, k: int, given_relation: bool) -> None:
    text = features(seed, classes, width)
    names = [f"class {n}" for n in range(classes)]
    relation = distinct_relation(seed, classes) if given_relation else None
    found = TextGraph(k, 0.3, 0.2, seed, relation)(text, names)
    adjacency = slow_matrices(cosines(text) if relation is None else relation, k, 0.3, 0.2)[1]
    expected = text + slow_residual(text, adjacency, *graph_weights(width, seed))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(text, features(seed, classes, width))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, scale=st.sampled_from([2.0**-7, 0.5, 4.0, 2.0**9]))
def test_directions_do_not_hang_on_the_length_of_the_features(seed: int, scale: float) -> None:
    """Where all features are scaled alike: this is why the tower's own output is passed, not unit vectors."""
    text, graph = features(seed, 5, 8), TextGraph(4, 0.2, 0.3, seed)
    names = list("abcde")
    np.testing.assert_allclose(
        graph(np.float32(scale) * text, names), scale * graph(text, names), rtol=1e-4, atol=1e-4 * scale
    )


def test_a_relation_of_another_number_of_classes_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match="the relation matrix is of 4 classes, and there are 3"):
        TextGraph(2, 0.2, 0.3, 0, np.ones((4, 4), dtype=np.float32))(features(0, 3, 4), ["a", "b", "c"])


# --- the relation as a file


def test_a_relation_is_read_from_npy_and_csv(tmp_path: Path) -> None:
    matrix = distinct_relation(1, 4)
    np.save(tmp_path / "m.npy", matrix.astype(np.float64))
    np.savetxt(tmp_path / "m.csv", matrix, delimiter=",")
    np.save(tmp_path / "whole.npy", np.arange(9).reshape(3, 3))
    for name in ("m.npy", "m.csv"):
        found = load_relation(tmp_path / name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, matrix)
    np.testing.assert_array_equal(load_relation(tmp_path / "whole.npy"), [[0, 1, 2], [3, 4, 5], [6, 7, 8]])


class Trap:
    """What a pickle can do to whoever loads it."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sprung,))


def test_objects_in_a_relation_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[Trap(tmp_path / "sprung")]], dtype=object), allow_pickle=True)
    with pytest.raises(
        AevlpError, match=r"cannot read a relation matrix from .*m\.npy: Object arrays cannot be loaded"
    ):
        load_relation(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes(b"\x80\x04.")  # a bare pickle
    with pytest.raises(AevlpError) as caught:
        load_relation(tmp_path / "m.npy")
    assert "allow_pickle" not in str(caught.value)  # no advice to load it after all
    assert not (tmp_path / "sprung").exists()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, np.eye(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("m.npy", b"", "cannot read a relation matrix from "),
        ("m.npy", b"no array", "cannot read a relation matrix from "),
        ("m.npy", saved(np.eye(3))[:-1], "cannot read a relation matrix from "),
        ("m.npy", archive(), "cannot read a relation matrix from "),
        ("m.npy", b"PK\x03\x04 and no archive", "cannot read a relation matrix from "),
        ("m.npy", saved(np.ones((2, 3))), "expected a square matrix of numbers, found float64 of shape (2, 3)"),
        ("m.npy", saved(np.ones(4)), "expected a square matrix of numbers, found float64 of shape (4,)"),
        ("m.npy", saved(np.array(1.0)), "expected a square matrix of numbers, found float64 of shape ()"),
        ("m.npy", saved(np.ones((1, 1, 1))), "expected a square matrix of numbers, found float64 of shape (1, 1, 1)"),
        ("m.npy", saved(np.array([["a"]])), "expected a square matrix of numbers, found <U1 of shape (1, 1)"),
        ("m.npy", saved(np.eye(2) * 1j), "expected a square matrix of numbers, found complex128 of shape (2, 2)"),
        ("m.npy", saved(np.eye(2) > 0), "expected a square matrix of numbers, found bool of shape (2, 2)"),
        ("m.csv", b"1,0.5,0.5\n0.5,1,0.5\n", "expected a square matrix of numbers, found float64 of shape (2, 3)"),
        ("m.csv", b"1,0.5\n0.5\n", "cannot read a relation matrix from "),
        ("m.csv", b"cat,dog\n1,0.5\n0.5,1\n", "cannot read a relation matrix from "),
        ("m.csv", b"1;0.5\n0.5;1\n", "cannot read a relation matrix from "),
        ("m.csv", b"\xff\xfe1,0\n", "cannot read a relation matrix from "),
        ("m.txt", b"1", "a relation matrix is a .npy or .csv file"),
    ],
)
def test_a_file_that_holds_no_relation_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AevlpError) as caught:
        load_relation(tmp_path / name)
    assert expected in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.npy", "none.csv"])
def test_a_relation_that_is_not_there_is_one_clear_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(AevlpError, match=rf"cannot read a relation matrix from .*{name}"):
        load_relation(tmp_path / name)


def test_an_empty_csv_is_a_mistake(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    (tmp_path / "m.csv").write_text("")
    with pytest.raises(AevlpError, match=r"m\.csv: expected a square matrix of numbers"):
        load_relation(tmp_path / "m.csv")
    assert not recwarn.list  # the error says it all


# --- in stage one

GRAPH = {"sparse_topk": 1000, "reweight": 0.2, "temperature": 0.3}  # where neither manifest nor command line says more


def tiny_clip(folder: Path) -> ClipEncoder:
    return ClipEncoder(ClipSource(str(folder / "tiny-clip.json"), "random"), torch.device("cpu"))


def text_by_hand(folder: Path, cache: ScoreCache, k: int = 3, relation: np.ndarray | None = None) -> np.ndarray:
    """Return unit text features (C, D) of the cache's prompts after the graph that its provenance names, from the formulas."""
    with torch.no_grad():
        text = tiny_clip(folder).model.encode_text(open_clip.get_tokenizer("tiny-clip")(cache.prompts)).numpy()
    unit = text / np.linalg.norm(text, axis=1, keepdims=True)
    made = cache.provenance["text_graph"]
    adjacency = slow_matrices(
        unit @ unit.T if relation is None else relation, k, made["reweight"], made["temperature"]
    )[1]
    moved = text + slow_residual(text, adjacency, *graph_weights(text.shape[1], made["seed"]))
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def graph_cache(blocks: Path) -> ScoreCache:
    """The blocks' cache with the frozen text graph, single precision; tests do not change it."""
    return open_cache(stage_one(blocks, blocks.parent / "graph.h5", storage="float32", text_graph="frozen"))


def test_the_graph_changes_every_cosine_and_nothing_of_the_images(graph_cache: ScoreCache, cache_path: Path) -> None:
    plain = open_cache(cache_path)
    np.testing.assert_array_equal(graph_cache.embedding(slice(None)), plain.embedding(slice(None)))
    change = np.abs(graph_cache.similarity(slice(None)) - plain.similarity(slice(None)))
    assert change.max() > 0.01
    assert (change > 0).mean() > 0.99
    assert plain.provenance["text_graph"] == "none"
    assert graph_cache.prompts == plain.prompts


def test_cosines_with_the_graph_equal_those_by_hand(blocks: Path, graph_cache: ScoreCache) -> None:
    text = text_by_hand(blocks, graph_cache)
    similarity = graph_cache.similarity(slice(None))
    np.testing.assert_allclose(similarity[:, :, 0], graph_cache.embedding(slice(None)) @ text.T, atol=1e-5)
    encoder = tiny_clip(blocks)
    image = Image.open(blocks / str(graph_cache.paths[3])).convert("RGB")
    for v, box in enumerate(view_boxes(*image.size, 2)):
        pixels = view_pixels(image, box, 32, True, encoder.mean, encoder.std)
        with torch.no_grad():
            view = encoder.model.encode_image(torch.from_numpy(pixels)[None])[0].numpy()
        np.testing.assert_allclose(similarity[3, 1, v], view / np.linalg.norm(view) @ text.T, atol=1e-5)


def test_provenance_says_which_graph_it_was(graph_cache: ScoreCache) -> None:
    made = dict(graph_cache.provenance["text_graph"])
    seed = made.pop("seed")
    weights = b"".join(w.tobytes() for w in graph_weights(16, seed))
    assert made == {
        "kind": "frozen",
        **GRAPH,
        "hidden": 1024,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "relation": "cosines of the text features",
    }
    assert verify.find_faults(graph_cache) == []


def test_a_cache_with_the_graph_trains(graph_cache: ScoreCache, tmp_path: Path) -> None:
    assert stage_two(graph_cache.path, tmp_path / "run", epochs=1, backbone="linear").is_dir()


def test_the_seed_gives_the_graph_and_the_same_seed_the_same_cache(blocks: Path, tmp_path: Path) -> None:
    save_file({k: v.clone() for k, v in tiny_clip(blocks).model.state_dict().items()}, tmp_path / "clip.safetensors")
    weights = str(tmp_path / "clip.safetensors")  # of a file, so that the seed is the graph's alone
    first, again, other = (
        open_cache(
            stage_one(blocks, tmp_path / f"{n}.h5", storage="float32", text_graph="frozen", weights=weights, seed=seed)
        )
        for n, seed in enumerate((5, 5, 6))
    )
    graphs = [cache.provenance["text_graph"] for cache in (first, again, other)]
    assert graphs[0] == graphs[1]
    assert {key for key in graphs[0] if graphs[0][key] != graphs[2][key]} == {"seed", "weights_sha256"}
    np.testing.assert_array_equal(first.similarity(slice(None)), again.similarity(slice(None)))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    np.testing.assert_array_equal(first.embedding(slice(None)), other.embedding(slice(None)))
    assert (first.similarity(slice(None)) != other.similarity(slice(None))).mean() > 0.99


def with_lines(folder: Path, lines: str) -> Path:
    """Draw blocks whose manifest has more lines; return their folder."""
    draw_blocks(folder)
    manifest = folder / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("format: table", f"format: table\n    {lines}"))
    return folder


def test_constants_in_the_manifest_turn_the_graph_on_and_none_turns_it_off(tmp_path: Path, cache_path: Path) -> None:
    folder = with_lines(tmp_path / "data", "text_graph: {sparse_topk: 2, reweight: 0.9, temperature: 0.5}")
    on = open_cache(stage_one(folder, tmp_path / "on.h5", storage="float32"))
    made = on.provenance["text_graph"]
    assert (made["kind"], made["sparse_topk"], made["reweight"], made["temperature"]) == ("frozen", 2, 0.9, 0.5)
    text = text_by_hand(folder, on, k=2)
    np.testing.assert_allclose(on.similarity(slice(None))[:, :, 0], on.embedding(slice(None)) @ text.T, atol=1e-5)
    assert np.abs(text - text_by_hand(folder, on, k=3)).max() > 1e-3  # so that the constant is seen to be used
    off = open_cache(stage_one(folder, tmp_path / "off.h5", storage="float32", text_graph="none"))
    assert off.provenance["text_graph"] == "none"
    np.testing.assert_array_equal(off.similarity(slice(None)), open_cache(cache_path).similarity(slice(None)))


@pytest.mark.slow
def test_a_relation_of_ones_own_is_used_and_recorded(blocks: Path, graph_cache: ScoreCache, tmp_path: Path) -> None:
    relation = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]], dtype=np.float32)
    np.savetxt(tmp_path / "mine.csv", relation, delimiter=",")
    path = stage_one(blocks, tmp_path / "c.h5", storage="float32", text_graph="frozen", relation=tmp_path / "mine.csv")
    cache = open_cache(path)
    assert cache.provenance["text_graph"]["relation"] == hashlib.sha256(relation.tobytes()).hexdigest()
    text = text_by_hand(blocks, cache, relation=relation)
    np.testing.assert_allclose(cache.similarity(slice(None))[:, :, 0], cache.embedding(slice(None)) @ text.T, atol=1e-5)
    assert np.abs(text - text_by_hand(blocks, graph_cache)).max() > 1e-3
    with pytest.raises(
        AevlpError,
        match=r"was made differently \(this run has text_graph\.relation: cosines of the text features, not ",
    ):
        stage_one(blocks, path, storage="float32", text_graph="frozen")
    with pytest.raises(
        AevlpError, match=r"was made differently \(this run has text_graph: none, not \{'kind': 'frozen'"
    ):
        stage_one(blocks, path, storage="float32")


def test_a_relation_that_cannot_be_used_is_refused(blocks: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "three.npy", np.ones((3, 3)))
    np.save(tmp_path / "four.npy", np.ones((4, 4)))
    np.save(tmp_path / "lonely.npy", np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
    for options, message in (
        ({"relation": tmp_path / "three.npy"}, "--relation is read by the text graph alone"),
        ({"relation": tmp_path / "three.npy", "text_graph": "none"}, "--relation is read by the text graph alone"),
        ({"relation": tmp_path / "four.npy", "text_graph": "frozen"}, "of 4 classes, and there are 3"),
        ({"relation": tmp_path / "lonely.npy", "text_graph": "frozen"}, "the class 'blue' without any neighbour"),
        ({"relation": tmp_path / "none.npy", "text_graph": "frozen"}, "cannot read a relation matrix from "),
    ):
        with pytest.raises(AevlpError, match=message):
            stage_one(blocks, tmp_path / "c.h5", **options)
    assert not (tmp_path / "c.h5").exists()


def test_the_graph_takes_its_width_from_the_model(graph_cache: ScoreCache) -> None:
    """512 and 768 are fixed in the published program; the blocks' model has 16."""
    assert graph_cache.header.width == 16
    assert math.isclose(float(np.abs(graph_weights(16, 0)[2]).max()), 0.25, rel_tol=1e-3)
