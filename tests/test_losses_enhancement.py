"""SMILE and MIME against published values and loops, what MIME remembers, and its labels as a policy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline import policies
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets, constants, create_loss
from aevlp.pipeline.losses.label_enhancement import beta_kl, smile_image_loss
from aevlp.pipeline.losses.mutual_information import latent_divergence
from aevlp.pipeline.policies import Known
from aevlp.pipeline.policies.mime import class_prior, raise_labels
from goldens import load

GOLDEN = load("smile_mime")
SMILE, BETA_KL, IMAGE, MIME, POLICY = (
    {name: case for name, case in GOLDEN.items() if name.rpartition("_")[0] == topic}
    for topic in ("smile", "beta_kl", "smile_image", "mime", "mime_policy")
)
SEEDS = st.integers(0, 2**32 - 1)


def gradients(value: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(value, inputs)


def leaf(array: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array)).to(dtype).requires_grad_()


def test_golden_cases_are_there() -> None:
    assert [len(cases) for cases in (SMILE, BETA_KL, IMAGE, MIME, POLICY)] == [3, 3, 3, 3, 2]


def smile_of(case: dict[str, np.ndarray]) -> Any:
    of = {key: float(case[key]) for key in ("rate", "mu", "T")}
    return create_loss("smile", case["logits"].shape[1], **of, bias=bool(case["bias"]), p0=float(case["p"]))


@pytest.mark.parametrize("case_name", SMILE)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_smile_equals_the_published_loss_and_gradient(case_name: str, dtype: torch.dtype) -> None:
    case = SMILE[case_name]
    logits = leaf(case["logits"], dtype)
    value = smile_of(case)(logits, Targets(observed=torch.from_numpy(case["observed"])))
    assert value.dtype == dtype
    loose = dtype == torch.float32
    np.testing.assert_allclose(value.detach(), case["loss"], rtol=1e-5 if loose else 1e-9)
    (slope,) = gradients(value, logits)
    np.testing.assert_allclose(slope, case["grad"], rtol=1e-3 if loose else 1e-6, atol=1e-6 if loose else 1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 4), st.integers(2, 7)),
    bias=st.booleans(),
    of=st.fixed_dictionaries(
        {"rate": st.floats(0, 2), "mu": st.floats(0, 1), "p0": st.floats(0, 1), "T": st.floats(0.3, 3)}
    ),
)
def test_smile_equals_loops_over_entries(seed: int, shape: tuple[int, int], bias: bool, of: dict[str, float]) -> None:
    random = np.random.default_rng(seed)
    x, observed = random.normal(0, 3, shape), random.integers(-1, 2, shape)
    total, slope = 0.0, np.zeros(shape)
    for i, c in np.ndindex(*shape):
        s = 1 / (1 + math.exp(-x[i, c] / of["T"]))
        d = of["mu"] * s + (1 - of["mu"]) * (1 if observed[i, c] == 1 else of["p0"])
        weight = (1 / (shape[1] - 1) if bias else of["rate"]) if observed[i, c] == 0 else 1
        total -= weight * (d * math.log(s + 1e-5) + (1 - d) * math.log(1 - s + 1e-5))
        slope[i, c] = weight * ((1 - d) / (1 - s + 1e-5) - d / (s + 1e-5)) * s * (1 - s) / of["T"]
    logits = leaf(x)
    value = create_loss("smile", shape[1], bias=bias, **of)(logits, Targets(observed=torch.from_numpy(observed)))
    np.testing.assert_allclose(value.detach(), total / x.size, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradients(value, logits)[0], slope / x.size, rtol=1e-7, atol=1e-11)


def test_smile_does_with_a_single_class() -> None:
    value = create_loss("smile", 1)(torch.zeros(2, 1), Targets(observed=torch.tensor([[1], [0]])))
    assert torch.isfinite(value)


def test_the_defaults_are_the_published_ones() -> None:
    assert constants("smile") == {"bias": True, "rate": 1, "mu": 0.5, "p0": 0.5, "T": 1}
    assert constants("mime") == {"theta": 0.95, "beta": 1e-4, "T": 1, "warmup_epoch": 2}
    assert policies.constants("mime") == {"theta": 0.95, "warmup_epoch": 2}


@pytest.mark.parametrize("case_name", BETA_KL)
def test_beta_kl_equals_the_published_value_and_gradient(case_name: str) -> None:
    case = BETA_KL[case_name]
    d = leaf(case["d"])
    value = beta_kl(d)
    np.testing.assert_allclose(value.detach(), case["value"], rtol=1e-9)
    np.testing.assert_allclose(gradients(value, d)[0], case["grad"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case_name", IMAGE)
def test_smile_for_images_equals_the_published_loss_and_gradients(case_name: str) -> None:
    case = IMAGE[case_name]
    logits, d, a, b, mean, deviation = inputs = [
        leaf(case[key]) for key in ("logits", "d", "d_alpha", "d_beta", "z_mu", "z_std")
    ]
    weights = {key: float(case[key]) for key in ("theta", "alpha", "beta", "rz", "rd")}
    value = smile_image_loss(logits, torch.from_numpy(case["observed"]), d, (a, b), (mean, deviation), **weights)
    np.testing.assert_allclose(value.detach(), case["loss"], rtol=1e-9)
    keys = ("grad", "grad_d", "grad_d_alpha", "grad_d_beta", "grad_z_mu", "grad_z_std")
    for key, slope in zip(keys, gradients(value, *inputs), strict=True):
        np.testing.assert_allclose(slope, case[key], rtol=1e-6, atol=1e-9, err_msg=key)


def test_smile_for_images_wants_all_labels_in_one_shape() -> None:
    full, narrow = torch.full((2, 3), 0.5), torch.full((2, 1), 0.5)
    weights = {"theta": 1.0, "alpha": 1.0, "beta": 1.0, "rz": 1.0, "rd": 1.0}
    for labels in ((narrow, full, full), (full, narrow, full), (full, full, narrow)):
        observed, soft, concentration = labels
        with pytest.raises(AevlpError, match=r"logits' shape \(2, 3\), found \(2, 1\)"):
            smile_image_loss(full, observed, soft, (full, concentration), (full, full), **weights)


@pytest.mark.parametrize("case_name", MIME)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_mime_equals_the_published_loss_and_gradients(case_name: str, dtype: torch.dtype) -> None:
    case = MIME[case_name]
    logits, mean, deviation = inputs = [leaf(case[key], dtype) for key in ("logits", "z_mu", "z_std")]
    targets = Targets(observed=torch.from_numpy(case["observed"]), latent=(mean, deviation))
    beta, loose = float(case["beta"]), dtype == torch.float32
    value = create_loss("mime", logits.shape[1], beta=beta, T=float(case["T"]))(logits, targets)
    assert value.dtype == dtype
    np.testing.assert_allclose(value.detach(), case["loss"], rtol=1e-5 if loose else 1e-9)
    part = beta * latent_divergence(mean, deviation).detach()
    np.testing.assert_allclose(part, case["reg_part"], rtol=1e-4 if loose else 1e-9)
    for key, slope in zip(("grad", "grad_z_mu", "grad_z_std"), gradients(value, *inputs), strict=True):
        np.testing.assert_allclose(
            slope, case[key], rtol=1e-3 if loose else 1e-6, atol=1e-6 if loose else 1e-9, err_msg=key
        )


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-5, 5), deviation=st.floats(0.01, 5))
def test_the_divergence_of_the_latent_is_the_gaussian_one(mean: float, deviation: float) -> None:
    normal = torch.distributions.Normal
    m, s = torch.tensor([[[mean]]], dtype=torch.float64), torch.tensor([[[deviation]]], dtype=torch.float64)
    expected = torch.distributions.kl_divergence(normal(m, s), normal(0.0, 1.0)).mean()
    torch.testing.assert_close(latent_divergence(m, s), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_latent_in_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    mean, deviation = torch.full((2, 3, 4), 300.0, dtype=dtype), torch.full((2, 3, 4), 0.0025, dtype=dtype)
    value = latent_divergence(mean, deviation)
    assert value.dtype == torch.float32
    assert value == latent_divergence(mean.float(), deviation.float())
    assert torch.isfinite(value)  # 300 squared is beyond float16


def latent_of(rows: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(rows, classes, 2), torch.ones(rows, classes, 2)  # whose divergence is 0


@pytest.mark.parametrize("case_name", POLICY)
def test_labels_rise_as_in_the_published_program(case_name: str) -> None:
    case = POLICY[case_name]
    start, theta = case["start"], float(case["theta"])
    labels, (rows, classes) = start, start.shape
    loss: Any = create_loss("mime", classes, observed=torch.from_numpy(start), theta=theta)
    policy: Any = policies.create_policy("mime", theta=theta)
    nothing = np.zeros(start.shape, np.float32)
    known = Known(observed=start, final=nothing, ranking=nothing)
    assert not policy(known).codes.any()
    for logits, after in zip(case["logits"], case["after"], strict=True):
        labels = raise_labels(labels, logits, theta)
        np.testing.assert_array_equal(labels, after)
        assert labels.dtype == np.int8

        loss.after_epoch(torch.from_numpy(logits))
        np.testing.assert_array_equal(loss.labels, after)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(1))
        targets = Targets(observed=torch.from_numpy(start)[order], rows=order, latent=latent_of(rows, classes))
        an = create_loss("an", classes)(torch.ones(rows, classes), Targets(observed=torch.from_numpy(after)[order]))
        assert loss(torch.ones(rows, classes), targets) == an

        policy.after_epoch(logits)
        found = policy(known)
        np.testing.assert_array_equal(found.codes, (after == 1) & (start == 0))
        np.testing.assert_array_equal(found.scores, found.codes)
        assert (found.codes.dtype, found.scores.dtype) == (np.int8, np.float32)
    assert (labels != start).any()


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, theta=st.floats(0, 1))
def test_raised_labels_equal_a_loop(seed: int, theta: float) -> None:
    random = np.random.default_rng(seed)
    labels, logits = random.integers(-1, 2, (5, 3)).astype(np.int8), random.normal(0, 4, (5, 3)).astype(np.float32)
    before = labels.copy()
    expected = [
        [min(old + 1, 1) if 1 / (1 + math.exp(-x)) > theta else old for old, x in zip(*row, strict=True)]
        for row in zip(labels.tolist(), logits.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(raise_labels(labels, logits, theta), expected)
    np.testing.assert_array_equal(labels, before)


def test_labels_at_theta_do_not_rise_and_huge_logits_do_no_harm() -> None:
    with np.errstate(over="raise", invalid="raise"):
        raised = raise_labels(np.zeros((1, 4), np.int8), np.array([[0, 1e-3, 3e4, -3e4]]), 0.5)
    assert raised.tolist() == [[0, 1, 1, 0]]


def test_mime_starts_anew_and_resumes_with_its_labels() -> None:
    observed = torch.tensor([[1, 0], [0, 0]], dtype=torch.int8)
    loss: Any = create_loss("mime", 2, observed=observed)
    loss.after_epoch(torch.tensor([[-9.0, 9.0], [2.9, 3.0]], dtype=torch.bfloat16))
    assert loss.labels.tolist() == [[1, 1], [0, 1]]
    assert observed.tolist() == [[1, 0], [0, 0]]
    other: Any = create_loss("mime", 2, observed=observed)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.labels, loss.labels)

    policy: Any = policies.create_policy("mime")
    known = Known(observed=observed.numpy(), final=np.zeros((2, 2)), ranking=np.zeros((2, 2)))
    assert policy.state_dict() == {}
    policy(known)
    policy.after_epoch(np.array([[-9.0, 9.0], [2.9, 3.0]]))
    resumed: Any = policies.create_policy("mime")
    saved = policy.state_dict()
    resumed.load_state_dict(saved)
    policy.after_epoch(np.full((2, 2), 9.0))
    np.testing.assert_array_equal(resumed(known).codes, [[0, 1], [0, 1]])
    np.testing.assert_array_equal(policy(known).codes, [[0, 1], [1, 1]])
    resumed.load_state_dict({})
    assert not resumed(known).codes.any()


@pytest.mark.parametrize("warmup", [1, 2, 5])
def test_predictions_are_wanted_from_the_warm_up_epoch_on(warmup: int) -> None:
    observed = torch.zeros(3, 2, dtype=torch.int8)
    with_table: Any = create_loss("mime", 2, observed=observed, warmup_epoch=warmup)
    without: Any = create_loss("mime", 2, warmup_epoch=warmup)
    policy: Any = policies.create_policy("mime", warmup_epoch=warmup)
    for epoch in range(1, 11):
        for each in (with_table, without, policy):
            each.set_epoch(epoch, 10)
        assert with_table.wants_predictions == policy.wants_predictions == (epoch >= warmup)
        assert not without.wants_predictions


def test_mime_without_the_codes_of_the_training_set_remembers_nothing() -> None:
    loss: Any = create_loss("mime", 2)
    loss.after_epoch(torch.full((3, 2), 9.0))
    assert loss.state_dict() == {}
    logits, targets = torch.randn(3, 2), Targets(observed=torch.eye(3, 2), latent=latent_of(3, 2))
    assert loss(logits, targets) == create_loss("an", 2)(logits, targets)


def test_what_mime_lacks_or_gets_in_another_shape_is_a_mistake() -> None:
    observed = torch.zeros(3, 2, dtype=torch.int8)
    with pytest.raises(AevlpError, match="mime reads latent"):
        create_loss("mime", 2)(torch.zeros(3, 2), Targets(observed=observed))
    with pytest.raises(AevlpError, match="mime reads rows"):
        create_loss("mime", 2, observed=observed)(torch.zeros(3, 2), Targets(observed=observed, latent=latent_of(3, 2)))
    for codes in (torch.zeros(3, 3), torch.zeros(2)):
        with pytest.raises(AevlpError, match=r"^observed of loss mime must be \(images, 2 classes\), found "):
            create_loss("mime", 2, observed=codes)
    for wrong in ((torch.zeros(3, 2), torch.ones(3, 2)), latent_of(1, 2), (latent_of(3, 2)[0], latent_of(3, 1)[1])):
        with pytest.raises(AevlpError, match="latent must be"):
            create_loss("mime", 2)(torch.zeros(3, 2), Targets(observed=observed, latent=wrong))
    with pytest.raises(AevlpError, match=r"labels' shape \(3, 2\), found \(2, 2\)"):
        create_loss("mime", 2, observed=observed).after_epoch(torch.zeros(2, 2))  # pyright: ignore[reportAttributeAccessIssue]


def test_the_policy_sees_the_same_images_every_time_and_reads_no_cosine() -> None:
    policy: Any = policies.create_policy("mime")
    with pytest.raises(AevlpError, match="once before"):
        policy.after_epoch(np.zeros((3, 2)))
    final, ranking = policy.scores(np.ones((3, 5, 2), np.float32), np.ones((3, 2), np.int8))
    for array in (final, ranking):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.zeros((3, 2)))
    policy(Known(observed=np.zeros((3, 2), np.int8), final=final, ranking=ranking))
    with pytest.raises(AevlpError, match="the same images"):
        policy(Known(observed=np.zeros((4, 2), np.int8), final=final, ranking=ranking))
    with pytest.raises(AevlpError, match="the same images"):
        policy.after_epoch(np.zeros((4, 2)))


def test_the_class_prior_is_the_published_one() -> None:
    case = GOLDEN["class_prior"]
    prior = class_prior(case["observed"], (case["full"] == 1).sum(axis=1))
    np.testing.assert_allclose(prior, case["prior_estimate"], rtol=1e-9)
    shares = (case["observed"] == 1).mean(axis=0)
    np.testing.assert_allclose(shares.sum() / prior.sum(), case["inverse_count_mean"], rtol=1e-9)


def test_the_class_prior_finds_the_true_one_where_single_positives_are_drawn_evenly() -> None:
    random = np.random.default_rng(0)
    full = random.random((4000, 3)) < (0.9, 0.5, 0.2)
    drawn = np.argmax(random.random(full.shape) * full, axis=1)
    observed = full & (drawn[:, None] == np.arange(3))
    # The estimate is biased where counts and classes depend on each other; it is far from the share observed alone.
    estimate, alone = class_prior(observed.astype(np.int8), full.sum(axis=1)), observed.mean(axis=0)
    assert np.abs(estimate - full.mean(axis=0)).max() < 0.5 * np.abs(alone - full.mean(axis=0)).max()


def test_a_class_prior_of_nothing_is_a_mistake() -> None:
    with pytest.raises(AevlpError, match="none"):
        class_prior(np.zeros((3, 2), np.int8), np.zeros(3))
    with pytest.raises(AevlpError, match=r"one count an image, found \(2,\)"):
        class_prior(np.zeros((3, 2), np.int8), np.ones(2))


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        *[("smile", constant) for constant in ({"rate": -1}, {"mu": 1.1}, {"mu": -0.1}, {"p0": 2}, {"T": 0})],
        *[("mime", constant) for constant in ({"theta": 1.1}, {"theta": -0.1}, {"beta": -1}, {"T": 0})],
    ],
)
def test_a_constant_out_of_range_is_a_mistake(name: str, constant: dict[str, float]) -> None:
    with pytest.raises(AevlpError, match=f"^{next(iter(constant))} of loss {name} must be .*, found "):
        create_loss(name, 3, **constant)
    if "theta" in constant:
        with pytest.raises(AevlpError, match="theta of policy mime must be in "):
            policies.create_policy(name, **constant)
