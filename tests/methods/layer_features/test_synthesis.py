"""The synthesis against its steps written out for one image at a time, and what must have no effect."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn
from torchvision import models

from methods.layer_features import synthesis
from methods.layer_features.layer_inputs import last_convolution
from methods.layer_features.networks import WithoutResizing
from methods.layer_features.objective import top_channels
from methods.layer_features.procedure import network_view, regularized
from methods.layer_features.regularizers import gaussian_blur, radial_mask, tv_denoise, zoom_crop
from methods.layer_features.results import METHODS
from methods.layer_features.settings import LayerFeatures
from methods.layer_features.synthesis import FeatureSynthesis
from methods.layer_features.targets import LayerTargets, find_layer_targets, layer_activations
from networks.activations import recorded
from networks.classifier import Classifier
from networks.compact_classifiers import CompactVGG
from networks.layouts import spatial_mean
from networks.normalization import IMAGENET_MEAN, IMAGENET_STD
from tests.conftest import stir
from tests.methods.layer_features.procedures import PLAIN, PUBLISHED, STABLE

MakeTrainer = Callable[..., pl.Trainer]
LAYERS = ("network.features.2", "network.features.4")
CPU = torch.device("cpu")


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    network = Classifier(CompactVGG(4, widths=(4, 6, 8), hidden=8))
    stir(network)
    return network.eval()


@pytest.fixture
def pixels() -> Tensor:
    """Noise around another colour in each image."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.randint(40, 216, (20, 3, 1, 1), generator=generator)
    return (colours + torch.randint(-40, 40, (20, 3, 32, 32), generator=generator)).to(torch.uint8)


def without_resizing(classifier: nn.Module) -> WithoutResizing:
    return WithoutResizing(classifier, swapped=False)


def targets_of(
    network: WithoutResizing, pixels: Tensor, procedure: LayerFeatures, layers: Sequence[str] = LAYERS
) -> list[LayerTargets]:
    inputs = {layer: last_convolution(network, layer, torch.zeros(1, 3, 32, 32)) for layer in layers}
    activations = layer_activations(network, inputs, pixels, CPU, chunk=7)
    return [
        find_layer_targets(
            layer, inputs[layer], activations[layer], replace(procedure, clusters=2, components=5, members=3), seed=0
        )
        for layer in layers
    ]


def starts_of(targets: list[LayerTargets], pixels: Tensor) -> Tensor:
    return torch.cat([part.blends(pixels).repeat(3, 1, 1, 1) for part in targets])


@contextmanager
def module_of(
    network: WithoutResizing,
    targets: list[LayerTargets],
    starts: Tensor,
    procedure: LayerFeatures,
    seed: int = 0,
    kept: Sequence[int] = (),
    kind: type[FeatureSynthesis] = FeatureSynthesis,
) -> Iterator[FeatureSynthesis]:
    with recorded(network, [name for part in targets for name in (part.layer, part.inputs)]) as read:
        yield kind(network, read, targets, starts, replace(procedure, channels=3), seed=seed, kept=kept)


def synthesised(
    network: WithoutResizing,
    targets: list[LayerTargets],
    starts: Tensor,
    procedure: LayerFeatures,
    make_trainer: MakeTrainer,
    **options: Any,
) -> FeatureSynthesis:
    with module_of(network, targets, starts, procedure, **options) as module:
        make_trainer().fit(module)
    return module


def objective(classifier: Classifier, image: Tensor, blocks: int, swapped: bool = False) -> tuple[Tensor, Tensor]:
    """Activations averaged over positions, and the last convolution's input, through layers called one by one."""
    x = classifier.normalization((image.flip(0) if swapped else image)[None])
    layers = list(classifier.network.features)[:blocks]  # type: ignore[arg-type]
    for layer in layers[:-1]:
        x = layer(x)
    given = x
    made = torch.relu(layers[-1][1](layers[-1][0](x))) if isinstance(layers[-1], nn.Sequential) else layers[-1](x)
    return made[0].mean(dim=(1, 2)), given


def test_the_stable_synthesis_equals_adam_on_each_image_alone(
    classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer
) -> None:
    network, layer = without_resizing(classifier), "network.features.4"
    procedure = replace(PLAIN, iterations=5, sparsity=[0.1, 0.3])
    [found] = targets_of(network, pixels, procedure, [layer])
    module = synthesised(network, [found], starts_of([found], pixels), procedure, make_trainer)
    images = {key: module.images[row] for row, key in enumerate((m, k) for m in METHODS for k in range(2))}
    for (method, cluster), expected in images.items():
        target = found.features[cluster]
        scale = target.square().mean().sqrt()
        top = sorted(range(6), key=lambda channel: -float(target[channel]))[:1]  # a quarter of six channels
        unit = sum(
            float(weight) * float(objective(classifier, pixels[member].float() / 255, 5)[1].abs().sum().detach())
            for member, weight in zip(found.targets[cluster].members, found.targets[cluster].weights, strict=True)
        )
        image = found.blends(pixels)[cluster].clone().requires_grad_()
        optimizer = torch.optim.Adam([image], lr=1.0)
        for iteration in range(5):
            z, given = objective(classifier, image, 5)
            loss = (0.1 + 0.2 * iteration / 4) * given.abs().sum() / unit
            if method != "feature_inversion":
                loss = loss - procedure.activation * sum(z[c] * target[c] for c in top) / sum(
                    target[c] ** 2 for c in top
                )
            if method != "activation_maximization":
                loss = loss + ((((z - target) / scale) ** 2 + 1).sqrt() - 1).mean()
            optimizer.param_groups[0]["lr"] = procedure.lr[0] + (procedure.lr[1] - procedure.lr[0]) * iteration / 4
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                image.clamp_(0, 1)
            noted = module.history[iteration][list(images).index((method, cluster)), 0]
            assert float(noted) == pytest.approx(float(loss.detach()), rel=1e-4)
        image, expected = image.detach(), expected.detach()
        assert float((image - found.blends(pixels)[cluster]).abs().max()) > 0.03
        torch.testing.assert_close(image, expected, rtol=0, atol=2e-3)
        assert float((image - expected).abs().mean()) < 1e-5  # Adam divides by gradients, some of them tiny


def test_the_published_synthesis_equals_its_steps_written_out_flaws_included(
    classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer
) -> None:
    procedure = replace(PUBLISHED, iterations=6, lr=[50.0, 8.0], every=2, brighten_every=3, zoom_every=2)
    network = WithoutResizing(classifier, swapped=True)
    [found] = targets_of(network, pixels, procedure, ["network.features.4"])
    distances = found.clusters.distances
    for cluster, target in enumerate(found.targets):
        group = np.flatnonzero(found.clusters.assignment == cluster)
        assert set(target.members) == set(group[np.argsort(-distances[group])][:3])  # the farthest
        members = [objective(classifier, pixels[m].float() / 255, 5, swapped=True)[0] for m in target.members]
        means = sum(w * z.detach() for w, z in zip(target.weights, members, strict=True))
        torch.testing.assert_close(found.features[cluster], means.float(), rtol=1e-4, atol=1e-5)
    module = synthesised(network, [found], starts_of([found], pixels), procedure, make_trainer, seed=5)
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    top = top_channels(found.features, 3)
    for cluster in range(2):
        image = found.blends(pixels)[cluster]
        for iteration in range(6):
            share = iteration / 5
            normalised = ((image - mean) / std).requires_grad_()
            view = network_view(normalised * std[None] + mean, procedure, iteration, 5)[0]
            z, given = objective(classifier, view, 5, swapped=True)
            loss = (1e-4 + share * 4e-4) * given.abs().sum()
            loss = loss + (((z - found.features[cluster]) ** 2 + 1).sqrt() - 1).mean()
            for other in range(2):  # every image is pulled to every cluster's channels
                loss = loss - (z * found.features[other])[top[other]].sum()
            [gradient] = torch.autograd.grad(loss, normalised)
            gradient = gradient * radial_mask(32, 32, 32 * (70 + share * (57 - 70)) / 512)
            rate = 50 + share * (8 - 50)
            stepped = (normalised - rate * (gradient + 0.9 * gradient)).detach()  # a new Nesterov optimiser's step
            image = (stepped * std + mean)[0] if stepped.ndim == 4 else stepped * std + mean
            if iteration % 2 == 1:
                image = gaussian_blur(image[None], 0.9 + share * (0.2 - 0.9))[0]
                image = tv_denoise(image[None], 2 + share * 6)[0]
            if iteration % 3 == 2:
                image = image.clamp(0, 1) if iteration % 2 == 1 else image
                image = (image + 5 / 255).clamp(0, 1)
            image = (image.clamp(0, 1) * 255).round() / 255
        difference = (module.images[cluster].detach() - image).abs()
        assert float(difference.max()) < 3.5 / 255  # rounding may turn a value on the edge
        assert float(difference.mean()) < 0.2 / 255
    values = module.images.detach() * 255
    torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-4)


def test_gradients_of_pixels_are_those_of_finite_differences(classifier: Classifier, pixels: Tensor) -> None:
    network = without_resizing(classifier)
    for procedure in (STABLE, replace(PUBLISHED, sparsity=[0.01, 0.01])):
        targets = targets_of(network.float(), pixels, procedure)
        with module_of(network.double(), targets, starts_of(targets, pixels), procedure) as made:
            module = made.double()
            module.on_fit_start()
            loss = module.training_step(0, 3)
            [gradient] = torch.autograd.grad(loss, module.images)
            generator = torch.Generator().manual_seed(0)
            for _ in range(3):
                direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
                ends = []
                for step in (1e-6, -1e-6):
                    with torch.no_grad():
                        module.images.add_(step * direction)
                        ends.append(module.training_step(0, 3))
                        module.images.sub_(step * direction)
                slope = float((ends[0] - ends[1]).detach()) / 2e-6
                assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-4)


def test_other_images_of_the_batch_have_no_effect(
    classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer
) -> None:
    network, procedure = without_resizing(classifier), replace(STABLE, iterations=12)
    targets = targets_of(network, pixels, procedure)
    starts = starts_of(targets, pixels).double()
    network.double()
    together = synthesised(network, targets, starts, procedure, make_trainer, seed=3).images
    for number, part in enumerate(targets):
        rows = slice(6 * number, 6 * number + 6)
        alone = synthesised(network, [part], starts[rows], procedure, make_trainer, seed=3).images
        torch.testing.assert_close(together[rows], alone, rtol=0, atol=1e-6)
    again = synthesised(network, targets, starts, procedure, make_trainer, seed=3).images
    assert torch.equal(together, again)
    other = synthesised(network, targets, starts, procedure, make_trainer, seed=4).images
    assert not torch.equal(together, other)


def test_the_synthesis_comes_nearer_and_the_network_is_unchanged(
    classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer
) -> None:
    network = without_resizing(classifier.train())
    state, before = deepcopy(network.state_dict()), [module.training for module in network.modules()]
    procedure = replace(STABLE, iterations=40, sparsity=[0.0, 0.0])
    targets = targets_of(network, pixels, procedure)
    others = torch.cat([found.blends(pixels).flip(0).repeat(3, 1, 1, 1) for found in targets])  # the other cluster's
    module = synthesised(network, targets, others, procedure, make_trainer, kept=[0, 7, 40])
    first, last = module.history[0], module.history[-1]
    for row, method in enumerate(module.rows["method"]):
        assert last[row, 0] < first[row, 0]
        if method == "feature_inversion":
            assert last[row, 2] < first[row, 2]
        if method == "activation_maximization":
            assert last[row, 1] < first[row, 1]
    assert list(module.pictures) == [0, 7, 40]
    assert torch.equal(module.pictures[40], module.images.detach())
    assert [module.training for module in network.modules()] == before
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert set(module.state_dict()) == {"images"}


def test_regularisers_come_when_they_are_due_and_as_strong_as_scheduled() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    scheduled = {"blur": [0.9, 0.3], "denoise": [2.0, 8.0], "every": 10, "brightness": 0.1, "brighten_every": 4}
    procedure = replace(PLAIN, iterations=40, **scheduled)  # type: ignore[arg-type]
    for iteration in range(40):
        expected = images
        if iteration % 10 == 9:
            expected = gaussian_blur(images, 0.9 - 0.6 * iteration / 39)
            weight = 2 + 6 * iteration / 39
            expected = tv_denoise(expected, weight)
            other = denoise_tv_chambolle(
                gaussian_blur(images, 0.9 - 0.6 * iteration / 39)[0].numpy(), 1 / (2 * weight),
                eps=1e-9, max_num_iter=3000, channel_axis=0,
            )  # fmt: skip
            np.testing.assert_allclose(expected[0], other, atol=0.05)
        if iteration % 4 == 3:
            expected = expected + 0.1
        torch.testing.assert_close(regularized(images, procedure, iteration), expected.clamp(0, 1))


def test_crops_stay_for_some_iterations_and_shifts_do_not() -> None:
    images = torch.rand(1, 3, 20, 20)
    zoomed = replace(PLAIN, zoom=1.5, zoom_every=3)
    views = [network_view(images, zoomed, iteration, 1) for iteration in range(6)]
    assert torch.equal(views[0], views[2])
    assert not torch.equal(views[2], views[3])
    corner = zoom_crop(images, 1.5, 0, 0)
    assert views[0].shape == corner.shape == images.shape
    shifted = [network_view(images, replace(PLAIN, shift=2), iteration, 1) for iteration in range(20)]
    assert len({tuple(view.flatten().tolist()) for view in shifted}) > 5
    assert all(torch.equal(view.flatten().sort().values, images.flatten().sort().values) for view in shifted)


@pytest.mark.parametrize(("what", "wrong"), [("image", float("nan")), ("loss", float("inf"))])
def test_nan_and_inf_are_errors_that_name_layer_and_iteration(
    what: str, wrong: float, classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer
) -> None:
    class Spoilt(WithoutResizing):
        passes = 0

        def forward(self, images: Tensor) -> Tensor:
            self.passes += 1
            if what == "loss" and self.passes == 4:
                images = images * torch.tensor([1.0] * 7 + [wrong] + [1.0] * 4)[:, None, None, None]
            return super().forward(images)

    network, procedure = Spoilt(classifier, swapped=False), replace(PLAIN, iterations=6, lr=[0.01, 0.01])
    targets = targets_of(without_resizing(classifier), pixels, procedure)
    if what == "image":

        class Broken(FeatureSynthesis):
            def on_before_optimizer_step(self, optimizer: Any) -> None:
                if len(self.history) == 4:
                    assert self.images.grad is not None
                    self.images.grad[7] = wrong

        kind: type[FeatureSynthesis] = Broken
    else:
        kind = FeatureSynthesis
    with module_of(network, targets, starts_of(targets, pixels), procedure, kind=kind) as module:
        pattern = (
            rf"{what} is not finite in iteration 3: layer network.features.4, cluster 1, synthesis.*layer_features.lr"
        )
        with pytest.raises(ValueError, match=pattern):
            make_trainer().fit(module)


def test_half_precision_makes_finite_images(classifier: Classifier, pixels: Tensor, make_trainer: MakeTrainer) -> None:
    network, procedure = without_resizing(classifier), replace(STABLE, iterations=8)
    targets = targets_of(network, pixels, procedure)
    starts = starts_of(targets, pixels)
    whole = synthesised(network, targets, starts, procedure, make_trainer).images.detach()
    mixed = functools.partial(make_trainer, precision="bf16-mixed")
    half = synthesised(network, targets, starts, procedure, mixed).images.detach()
    assert torch.isfinite(half).all()
    assert float((half - whole).abs().mean()) < 0.05
    assert not torch.equal(half, whole)


def test_layers_of_any_shape_have_targets(make_trainer: MakeTrainer, pixels: Tensor) -> None:
    torch.manual_seed(0)
    network = without_resizing(Classifier(CompactVGG(4, widths=(4, 6, 8), hidden=8)))
    layers = ["network.head.0", "network.features.9"]  # a linear layer without positions, and the pool before it
    targets = targets_of(network, pixels, PLAIN, layers)
    assert [found.inputs for found in targets] == ["network.head.0:input", "network.features.7.0:input"]
    module = synthesised(network, targets, starts_of(targets, pixels), replace(PLAIN, iterations=3), make_trainer)
    assert torch.isfinite(module.images).all()
    with recorded(network, layers) as read:
        network(pixels.float() / 255)
        torch.testing.assert_close(targets[0].activations.means, spatial_mean(read()[layers[0]]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            targets[1].activations.means, read()[layers[1]].mean(dim=(2, 3)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.slow
def test_a_resnet152_at_512_pixels_runs(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "METHODS", METHODS[:1])  # one image is enough
    torch.manual_seed(0)
    network, layer = without_resizing(Classifier(models.resnet152())), "network.layer4.2"
    inputs = last_convolution(network, layer, torch.zeros(1, 3, 64, 64))
    assert inputs == "network.layer4.2.conv3:input"
    pixels = torch.randint(256, (2, 3, 512, 512), dtype=torch.uint8)
    activations = layer_activations(network, {layer: inputs}, pixels, CPU, chunk=1)[layer]
    procedure = replace(STABLE, iterations=2, clusters=1, members=2)
    targets = find_layer_targets(layer, inputs, activations, procedure, seed=0)
    with recorded(network, [layer, inputs]) as read:
        starts = targets.blends(pixels)
        module = FeatureSynthesis(network, read, [targets], starts, procedure, seed=0, kept=[])
        make_trainer().fit(module)
    assert module.images.shape == (1, 3, 512, 512)
    assert torch.isfinite(module.images).all()
    assert not torch.equal(module.images, starts)
