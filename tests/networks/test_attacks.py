"""Attacks against one image at a time, against closed forms, and against what they must leave alone."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.attacks import Bpda, fgsm, loss_gradient, pgd
from networks.norm_balls import Norm, project, random_offsets, steepest
from networks.seeding import image_generators
from tests.replicas import replicates

EPSILONS = {"linf": 0.03, "l2": 0.4}
NORMS: tuple[Norm, ...] = ("linf", "l2")


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def model() -> nn.Module:
    """A small network with dropout and batch-norm, which behave otherwise in training."""
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(54, 5)
    )
    made(torch.rand(16, 3, 8, 8))
    return made.eval()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    return torch.rand(7, 3, 8, 8), torch.randint(5, (7,))


@replicates(fgsm, pgd)
def literal_pgd(
    model: nn.Module, image: Tensor, label: int, norm: Norm, epsilon: float, step: float, steps: int, start: Tensor
) -> list[np.ndarray]:
    """Every iterate of one image, in the words of the paper and in numpy."""
    clean = image.numpy()
    current = np.clip(clean + start.numpy(), 0, 1)
    iterates = [current]
    for _ in range(steps):
        pixels = torch.tensor(current, requires_grad=True)
        F.cross_entropy(model(pixels[None]), torch.tensor([label])).backward()
        assert pixels.grad is not None
        slope = pixels.grad.numpy()
        if norm == "linf":
            moved = np.clip(current + step * np.sign(slope), clean - epsilon, clean + epsilon)
        else:
            change = current + step * slope / np.linalg.norm(slope) - clean
            length = np.linalg.norm(change)
            moved = clean + (change * epsilon / length if length > epsilon else change)
        current = np.clip(moved, 0, 1).astype(np.float32)
        iterates.append(current)
    return iterates


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_pgd_equals_a_literal_loop(
    model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm, random_start: bool
) -> None:
    images, labels = batch
    epsilon, index = EPSILONS[norm], torch.arange(10, 17)
    options: dict[str, Any] = {
        "norm": norm, "epsilon": epsilon, "step": epsilon / 3, "steps": 5, "random_start": random_start,
    }  # fmt: skip
    made = {
        keep: pgd(model, images, labels, keep=keep, generator=image_generators(0, index), **options)
        for keep in ("strongest", "first", "last")
    }
    wrongly_first = 0
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        start = torch.zeros_like(image)
        if random_start:
            start = random_offsets(image[None], norm, epsilon, image_generators(0, index[number : number + 1]))[0]
        iterates = literal_pgd(model, image, label, norm, epsilon, epsilon / 3, 5, start)
        with torch.no_grad():
            logits = [model(torch.tensor(iterate)[None])[0] for iterate in iterates]
        rank = [(int(value.argmax()) != label, -float(value.log_softmax(0)[label])) for value in logits]
        strongest = max(range(6), key=lambda place: rank[place])
        first = next((place for place in range(6) if rank[place][0]), strongest)
        wrongly_first += 0 < first < strongest
        for keep, place in (("strongest", strongest), ("first", first), ("last", 5)):
            np.testing.assert_allclose(made[keep][number].numpy(), iterates[place], atol=2e-6)
    assert wrongly_first or random_start  # the cases differ


@pytest.mark.parametrize("norm", NORMS)
def test_fgsm_is_one_step_of_pgd_of_full_length(model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm) -> None:
    images, labels = batch
    epsilon = EPSILONS[norm]
    once = fgsm(model, images, labels, epsilon, norm=norm)
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        expected = literal_pgd(model, image, label, norm, epsilon, epsilon, 1, torch.zeros_like(image))[1]
        np.testing.assert_allclose(once[number].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_classifier_gets_the_best_change_there_is(norm: Norm) -> None:
    """For two classes with weights w, the best change is ε sign(w) or ε w / ‖w‖: Hölder's inequality with equality."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    images = 0.4 + 0.2 * torch.rand(5, 3, 4, 4)  # far from 0 and 1
    labels = torch.tensor([0, 1, 0, 1, 1])
    head: Any = linear[1]
    weights = (head.weight[1] - head.weight[0]).detach()
    epsilon = 0.1
    best_change = epsilon * (weights.sign() if norm == "linf" else weights / weights.norm())
    towards = torch.where(labels == 0, 1.0, -1.0)
    best = images + (towards[:, None] * best_change).reshape(images.shape)
    gain = epsilon * float(weights.abs().sum() if norm == "linf" else weights.norm())
    made = {
        "fgsm": fgsm(linear, images, labels, epsilon, norm=norm),
        "pgd": pgd(linear, images, labels, norm=norm, epsilon=epsilon, step=0.05, steps=8, random_start=False),
    }
    for adversarial in made.values():
        torch.testing.assert_close(adversarial, best, atol=1e-6, rtol=0)
        with torch.no_grad():
            margin = (linear(adversarial) - linear(images)) @ torch.tensor([-1.0, 1.0]) * towards
        torch.testing.assert_close(margin, torch.full((5,), gain), atol=1e-5, rtol=0)
    begun_anywhere = pgd(
        linear, images, labels, norm=norm, epsilon=epsilon, step=0.05, steps=60, random_start=True,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    torch.testing.assert_close(begun_anywhere, best, atol=2e-3, rtol=0)


@pytest.mark.parametrize("keep", ["strongest", "first", "last"])
@pytest.mark.parametrize("norm", NORMS)
def test_changes_stay_in_the_ball_and_in_the_range_of_pixels(
    model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm, keep: Any
) -> None:
    images, labels = batch
    images = (3 * images - 1).clamp(0, 1)  # many at the bounds
    for epsilon in (0.01, 0.5, 30.0):
        for made in (
            fgsm(model, images, labels, epsilon, norm=norm),
            pgd(model, images, labels, norm=norm, epsilon=epsilon, step=epsilon, steps=3, random_start=True, keep=keep),
        ):
            change = (made - images).flatten(1)
            length = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
            assert float(length.max()) <= epsilon * (1 + 1e-6) + 1e-7
            assert float(length.min()) > 0
            assert 0 <= float(made.min()) <= float(made.max()) <= 1


@pytest.mark.parametrize("norm", NORMS)
def test_no_budget_gives_the_images_back_exactly(model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm) -> None:
    images, labels = batch
    assert torch.equal(fgsm(model, images, labels, 0.0, norm=norm), images)
    made = pgd(model, images, labels, norm=norm, epsilon=0.0, step=0.1, steps=2, random_start=True)
    assert torch.equal(made, images)


@pytest.mark.parametrize("norm", NORMS)
def test_the_strongest_iterate_never_has_a_lower_loss_than_the_start(
    model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm
) -> None:
    images, _ = batch
    with torch.no_grad():
        predicted = model(images).argmax(1)
        before = F.cross_entropy(model(images), predicted, reduction="none")
        made = pgd(
            model, images, predicted, norm=norm, epsilon=EPSILONS[norm], step=9.0, steps=4, random_start=False
        )  # steps that are far too long
        logits = model(made)
    after = F.cross_entropy(logits, predicted, reduction="none")
    assert bool(((logits.argmax(1) != predicted) | (after >= before - 1e-6)).all())


@pytest.mark.parametrize("keep", ["strongest", "first"])
@pytest.mark.parametrize("norm", NORMS)
def test_batches_of_any_size_are_attacked_alike(
    model: nn.Module, batch: tuple[Tensor, Tensor], norm: Norm, keep: Any
) -> None:
    images, labels = batch
    index = torch.tensor([5, 3, 100, 7, 12, 0, 41])

    def attacked(part: Tensor) -> Tensor:
        return pgd(
            model, images[part], labels[part], norm=norm, epsilon=EPSILONS[norm], step=EPSILONS[norm] / 4, steps=4,
            random_start=True, generator=image_generators(9, index[part]), keep=keep,
        )  # fmt: skip

    whole = attacked(torch.arange(7))
    for part in (torch.tensor([2]), torch.tensor([6, 4, 0, 1]), torch.tensor([3, 5])):
        torch.testing.assert_close(attacked(part), whole[part], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_fill_the_ball_evenly(norm: Norm) -> None:
    offsets = random_offsets(torch.zeros(20_000, 3, 1, 1), norm, 2.0, torch.Generator().manual_seed(0)).flatten(1)
    length = offsets.abs().amax(1) if norm == "linf" else offsets.norm(dim=1)
    assert float(length.max()) <= 2 + 1e-6
    inner = (length <= 1).float().mean()
    assert float(inner) == pytest.approx(1 / 8, abs=0.01)  # half the radius, an eighth of the volume
    assert offsets.mean(0).abs().max() < 0.03


def test_starts_depend_on_seed_and_image_alone() -> None:
    image = torch.zeros(1, 3, 4, 4)

    def start(seed: int, index: int) -> Tensor:
        return random_offsets(image, "linf", 1.0, image_generators(seed, torch.tensor([index])))

    assert torch.equal(start(0, 5), start(0, 5))
    assert not torch.equal(start(0, 5), start(0, 6))
    assert not torch.equal(start(0, 5), start(1, 5))


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_the_nearest_point_of_the_ball(norm: Norm) -> None:
    torch.manual_seed(0)
    centre = torch.full((4, 3, 2, 2), 0.5)
    outside = centre + 0.3 * torch.randn(4, 3, 2, 2)
    inside = project(outside, centre, norm, 0.2)
    distance = (outside - inside).flatten(1).norm(dim=1)
    others = project(centre + torch.randn(500, 4, 3, 2, 2), centre.expand(500, -1, -1, -1, -1), norm, 0.2)
    assert bool(((outside - others).flatten(2).norm(dim=2) >= distance - 1e-5).all())
    assert torch.equal(project(inside, centre, norm, 0.3), inside)


def test_tiny_gradients_keep_their_direction_and_none_gives_none() -> None:
    direction = torch.randn(1, 3, 4, 4)
    stepped = steepest(torch.cat([1e-30 * direction, 0 * direction]), "l2")
    torch.testing.assert_close(stepped[:1], direction / direction.norm())
    assert not stepped[1].any()


def test_the_model_is_left_as_it_was(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    expected = pgd(model, images, labels, norm="linf", epsilon=0.1, step=0.05, steps=2, random_start=False)
    model.train()
    normalization: Any = model.get_submodule("1").eval()
    model.get_parameter("5.weight").requires_grad_(False)
    modes = [module.training for module in model.modules()]
    learned = [parameter.requires_grad for parameter in model.parameters()]
    statistics = normalization.running_mean.clone()
    images.requires_grad_()
    made = pgd(model, images, labels, norm="linf", epsilon=0.1, step=0.05, steps=2, random_start=False)
    assert torch.equal(made, expected)  # no dropout, although in train mode
    assert not made.requires_grad
    assert images.grad is None
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == learned
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(normalization.running_mean, statistics)


def test_the_model_is_left_as_it_was_after_an_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    model.train()
    broken = nn.Sequential(model, Raising())
    with pytest.raises(RuntimeError, match="no"):
        fgsm(broken, *batch, 0.1, norm="linf")
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


class Raising(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError("no")


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_found_where_they_are_switched_off(
    model: nn.Module, batch: tuple[Tensor, Tensor], context: Callable[[], Any]
) -> None:
    images, labels = batch
    expected = fgsm(model, images, labels, 0.1, norm="linf")
    with context():
        made = fgsm(model, images.clone(), labels.clone(), 0.1, norm="linf")
        assert not torch.is_grad_enabled()
    assert torch.equal(made, expected)


class Rounding(nn.Module):
    """Pixels in few steps, then a square: the gradient of rounding is zero."""

    def forward(self, images: Tensor) -> Tensor:
        return (images * 8).round() / 8 * images.detach() ** 2


@replicates(Bpda)
def test_bpda_goes_forward_through_the_real_thing_and_back_as_the_identity(
    model: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    images, labels = batch
    rounding = Rounding()
    defended, attackable = nn.Sequential(rounding, model), nn.Sequential(Bpda(rounding), model)
    with torch.no_grad():
        assert torch.equal(attackable(images), defended(images))
    assert not loss_gradient(defended, images, labels).any()  # masked
    made = rounding(images).requires_grad_()
    F.cross_entropy(model(made), labels, reduction="sum").backward()
    assert made.grad is not None
    torch.testing.assert_close(loss_gradient(attackable, images, labels), made.grad)
    assert torch.equal(fgsm(defended, images, labels, 0.1, norm="linf"), images)  # which looks safe
    with torch.no_grad():
        before = F.cross_entropy(defended(images), labels)
        after = F.cross_entropy(defended(fgsm(attackable, images, labels, 0.1, norm="linf")), labels)
    assert after > before + 0.05  # and is not


def test_bpda_refuses_another_shape(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"became \(7, 3, 4, 4\)"):
        Bpda(nn.AvgPool2d(2))(batch[0])


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_a_gradient_that_is_no_number_is_an_error_that_names_the_image(
    model: nn.Module, batch: tuple[Tensor, Tensor], attack: str
) -> None:
    class Root(nn.Module):
        """Finite, but with an infinite slope at 0."""

        def forward(self, images: Tensor) -> Tensor:
            return images.sqrt()

    images, labels = batch
    images[4, 0, 0, 0] = 0
    index = torch.arange(100, 107)
    rooted = nn.Sequential(Root(), model)
    options: dict[str, Any] = {"norm": "l2", "step": 0.1, "steps": 2, "random_start": False, "keep": "first"}
    attacked: Callable[..., Tensor] = (
        functools.partial(pgd, **options) if attack == "pgd" else functools.partial(fgsm, norm="l2")
    )
    with pytest.raises(ValueError, match="not finite for image 104"):
        attacked(rooted, images, labels, epsilon=0.1, index=index)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": torch.full((2, 3, 4, 4), 1.5)}, "from 1.5 to 1.5"),
        ({"images": torch.full((2, 3, 4, 4), torch.nan)}, "finite"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, "one for each"),
        ({"norm": "l1"}, "norm='l1' is unknown; choose linf or l2"),
        ({"epsilon": -0.1}, "epsilon=-0.1"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"steps": 0}, "steps=0"),
        ({"step": 0.0}, "step=0.0"),
        ({"keep": "best"}, "keep='best'"),
    ],
)
def test_bad_arguments_are_named(model: nn.Module, changed: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "images": torch.rand(2, 3, 4, 4), "labels": torch.zeros(2, dtype=torch.long), "norm": "linf", "epsilon": 0.1,
        "step": 0.1, "steps": 1, "random_start": False,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        pgd(model, **given | changed)


def test_no_images_are_no_error(model: nn.Module) -> None:
    images, labels = torch.zeros(0, 3, 8, 8), torch.zeros(0, dtype=torch.long)
    assert fgsm(model, images, labels, 0.1, norm="linf").shape == images.shape
    made = pgd(
        model, images, labels, norm="l2", epsilon=0.1, step=0.1, steps=1, random_start=True, generator=[], keep="first"
    )
    assert made.shape == images.shape
