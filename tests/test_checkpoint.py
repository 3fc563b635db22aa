"""Training state written and read back, and files that are not what they should be."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.training.checkpoint import load_tensors, load_tree, save_tensors, save_tree

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.arange(math.prod(shape)) + draw(st.integers(0, 5))
    return values.reshape(shape).to(draw(st.sampled_from(DTYPES)))


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | tensors()
KEYS = st.integers(-5, 5) | st.sampled_from(["tensor", "items", "list", "value", "state", ""])
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
)


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal, types, key order and the dtypes of tensors included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
def test_a_tree_read_back_equals_the_tree_written(tmp_path: Path, tree: Any) -> None:
    save_tree(tmp_path / "state.safetensors", tree)
    assert same(load_tree(tmp_path / "state.safetensors"), tree)


def test_comparing_trees_notices_every_kind_of_difference() -> None:
    one = torch.ones(2)
    for a, b in [
        (1, 1.0),
        (1, True),
        ({1: 2}, {"1": 2}),
        ([1], [1, 2]),
        (one, one.double()),
        (one, one + 1),
        (None, 0),
    ]:
        assert not same(a, b)
        assert same(a, a)


def test_tuples_come_back_as_lists_and_tensors_without_their_storage(tmp_path: Path) -> None:
    table = torch.arange(12.0, requires_grad=True).reshape(3, 4)
    column = table[:, 1]
    save_tree(tmp_path / "a", {"pair": (1, (2, column)), "twice": [column, column], "turned": table.T})
    tree = load_tree(tmp_path / "a")
    assert same(tree["pair"], [1, [2, torch.tensor([1.0, 5.0, 9.0])]])
    assert same(tree["twice"], [torch.tensor([1.0, 5.0, 9.0])] * 2)
    assert same(tree["turned"], torch.arange(12.0).reshape(3, 4).T.contiguous())


def test_an_interrupted_adam_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def fresh() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        groups = [{"params": [model.weight], "lr": 1e-2}, {"params": [model.bias], "lr": 1e-1}]
        return model, torch.optim.Adam(groups)

    def step(model: torch.nn.Linear, optimizer: torch.optim.Adam, batch: int) -> None:
        optimizer.zero_grad()
        inputs = torch.arange(6.0).reshape(2, 3) * (batch + 1)
        model(inputs).sigmoid().sum().backward()
        optimizer.step()

    whole, optimizer = fresh()
    for batch in range(5):
        if batch == 3:
            save_tree(tmp_path / "state", {"model": dict(whole.state_dict()), "optimizer": optimizer.state_dict()})
        step(whole, optimizer, batch)

    state = load_tree(tmp_path / "state")
    assert list(state["optimizer"]["state"]) == [0, 1]
    resumed, optimizer = fresh()
    resumed.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2, 1e-1]
    for batch in range(3, 5):
        step(resumed, optimizer, batch)
    assert torch.equal(resumed.weight, whole.weight)
    assert torch.equal(resumed.bias, whole.bias)


def test_tensors_come_back_with_their_description(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    description = {"classes": ["é", "日本"], "epoch": 3, "map": 0.5, "none": None}
    save_tensors(path, {"head.weight": torch.ones(2, 3)}, description)
    found, described = load_tensors(path)
    assert same(found, {"head.weight": torch.ones(2, 3)})
    assert described == description
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_is_replaced_and_stays_when_the_new_state_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tree(path, {"epoch": 1})
    save_tree(path, {"epoch": 2})
    with pytest.raises(AevlpError, match="must be numbers, strings and tensors"):
        save_tree(path, {"epoch": object()})
    assert load_tree(path) == {"epoch": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_file_holds_a_json_header_and_numbers_and_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tree(path, {"weights": torch.zeros(4), "epoch": 7})
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert set(header) == {"__metadata__", "0"}
    assert header["0"] == {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    assert json.loads(header["__metadata__"]["aevlp"])["items"][1] == ["epoch", {"value": 7}]
    assert content[8 + length :] == bytes(16)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self) -> tuple:
            return (Path.touch, (ran,))

    torch.save({"weights": Harmful()}, tmp_path / "state")
    with pytest.raises(AevlpError, match="cannot be read"):
        load_tree(tmp_path / "state")
    assert not ran.exists()


@pytest.mark.parametrize("content", [b"", b"x", b"epoch: 3\n" * 50, bytes(200), b"\xff" * 200], ids=repr)
def test_something_else_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(AevlpError, match=r"state\.safetensors cannot be read: \S") as caught:
        load_tree(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_clear_line(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(AevlpError, match="cannot be read"):
            load_tensors(path)


def test_a_file_cut_short_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tree(path, {"weights": torch.arange(8.0), "epoch": 7})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(AevlpError, match="cannot be read"):
            load_tree(path)


def test_a_flipped_bit_anywhere_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_tree(path, {"weights": torch.arange(8.0), "half": torch.ones((), dtype=torch.bfloat16), "epoch": 7, "lr": 0.1})
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(AevlpError, match=r"cannot be read|not one that aevlp wrote"):
            load_tree(path)


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    for name in "abcdef":
        save_tensors(
            tmp_path / name, {"weights": torch.ones(3), "bias": torch.zeros(2)}, {"epoch": 1, "classes": ["x"]}
        )
    assert len({(tmp_path / name).read_bytes() for name in "abcdef"}) == 1


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    metadata = {"aevlp": json.dumps({"classes": ["a"]})}
    save_file({"weights": torch.zeros(2)}, tmp_path / "best", metadata=metadata)
    with pytest.raises(AevlpError, match="its SHA-256 is not the one that was written with it"):
        load_tensors(tmp_path / "best")


def test_a_file_of_another_program_is_named_as_such(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        save_file({"weights": torch.zeros(2)}, tmp_path / "model.safetensors", metadata=metadata)
        with pytest.raises(AevlpError, match=r"model\.safetensors: a safetensors file, but not one that aevlp wrote"):
            load_tensors(tmp_path / "model.safetensors")


def test_weights_in_the_place_of_a_state_are_one_clear_line(tmp_path: Path) -> None:
    save_tensors(tmp_path / "best", {"weights": torch.zeros(2)}, {"classes": ["a"]})
    with pytest.raises(AevlpError, match="best"):
        load_tree(tmp_path / "best")
