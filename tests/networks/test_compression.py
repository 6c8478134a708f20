"""Pruning and int8: against PyTorch's own, by counting, and with gradients that get through."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from networks.compact_classifiers import CompactVGG
from networks.compact_vit import CompactViT
from networks.compression import LEVELS, masks, prune, quantize_int8, round_activations, round_weights, sparsity


@pytest.fixture
def network() -> CompactVGG:
    torch.manual_seed(0)
    return CompactVGG(5, widths=(4, 6, 8), hidden=16).eval()


def weights_of(network: nn.Module) -> Tensor:
    return torch.cat(
        [m.get_parameter("weight").flatten() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    )


@pytest.mark.parametrize("amount", [0.0, 0.5, 0.8, 0.97])
def test_the_smallest_weights_of_all_layers_together_go(network: CompactVGG, amount: float) -> None:
    before = weights_of(network).detach().clone()
    removed = round(amount * len(before))
    share = prune(network, amount)
    after = weights_of(network)
    smallest = set(before.abs().argsort()[:removed].tolist())
    assert share == pytest.approx(removed / len(before), abs=1e-12)
    assert set((after == 0).nonzero().flatten().tolist()) == smallest
    kept = after != 0
    assert torch.equal(after[kept], before[kept])


def test_pruning_leaves_the_names_and_the_rest(network: CompactVGG) -> None:
    before = copy.deepcopy(network.state_dict())
    prune(network, 0.8)
    after = network.state_dict()
    assert before.keys() == after.keys()
    pruned = masks(network).keys()
    assert len(pruned) == 8
    assert all(torch.equal(before[key], after[key]) for key in before.keys() - pruned)


@pytest.mark.parametrize("amount", [-0.1, 1.0, 80.0])
def test_shares_out_of_range_are_refused(network: CompactVGG, amount: float) -> None:
    with pytest.raises(ValueError, match=r"not in \[0, 1\)"):
        prune(network, amount)


def test_networks_without_weights_have_no_sparsity() -> None:
    assert prune(nn.Sequential(nn.ReLU()), 0.8) == sparsity(nn.ReLU()) == 0


def pytorchs_int8(network: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, with no successor in torch itself
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.skipif("x86" not in torch.backends.quantized.supported_engines, reason="the reference is x86's")
def test_linear_layers_equal_pytorchs_dynamic_quantisation() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        layer = nn.Linear(24, 10)
        image = torch.randn(1, 24) * float(torch.rand(()) * 10) + float(torch.randn(()))
        reference = pytorchs_int8(nn.Sequential(layer))(image)
        ours = quantize_int8(nn.Sequential(copy.deepcopy(layer)))(image)
        step = (image.max().clamp(min=0) - image.min().clamp(max=0)) / LEVELS  # one input rounded the other way
        assert (ours - reference).abs().max() <= 1.01 * step * layer.weight.abs().max()
        assert (ours - reference).abs().median() <= 1e-4 * reference.abs().max()


def test_a_layer_computes_with_integers() -> None:
    """The same layer with int8 weights, 7-bit inputs and integer sums, written out."""
    torch.manual_seed(1)
    layer, image = nn.Linear(12, 4).requires_grad_(False), torch.randn(1, 12) - 0.5
    scale = float(layer.weight.abs().max() / 127.5)
    weights = [[max(-128, min(127, round(value / scale))) for value in row] for row in layer.weight.tolist()]
    low, high = min(0.0, float(image.min())), max(0.0, float(image.max()))
    step = (high - low) / 127
    zero = round(-low / step)
    inputs = [max(0, min(127, round(value / step + zero))) for value in image[0].tolist()]
    sums = [sum(w * (x - zero) for w, x in zip(row, inputs, strict=True)) for row in weights]
    expected = [scale * step * value + bias for value, bias in zip(sums, layer.bias.tolist(), strict=True)]
    assert quantize_int8(nn.Sequential(layer))(image)[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_an_image_is_rounded_without_its_neighbours() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 8) * torch.logspace(-3, 3, 6)[:, None, None]
    together = round_activations(x)
    assert torch.equal(together, torch.cat([round_activations(image[None]) for image in x]))
    for image in together:
        assert len(image.unique()) <= LEVELS + 1


@pytest.mark.parametrize("fill", [0.0, 3.0, -2.0])
def test_constant_inputs_stay(fill: float) -> None:
    assert torch.allclose(round_activations(torch.full((2, 5), fill)), torch.full((2, 5), fill), rtol=1e-6)


def test_convolutions_have_a_scale_per_output_channel() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([1e-3, 1, 10, 0])[:, None, None, None]
    rounded = round_weights(weight, per_channel=True)
    expected = [torch.quantize_per_tensor(channel, max(float(channel.abs().max()) / 127.5, 1e-7), 0, torch.qint8)
                for channel in weight]  # fmt: skip
    assert torch.allclose(rounded, torch.stack([channel.dequantize() for channel in expected]), atol=1e-6)


@pytest.mark.parametrize("make", [lambda: CompactVGG(5, widths=(4, 6, 8)), lambda: CompactViT(5, width=16, heads=2)])
def test_gradients_get_through(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    plain = make().eval().requires_grad_(False)
    rounded = quantize_int8(copy.deepcopy(plain))
    assert plain.state_dict().keys() == rounded.state_dict().keys()
    gradients = []
    for network in (plain, rounded):
        x = torch.rand(2, 3, 36, 36, generator=torch.Generator().manual_seed(2), requires_grad=True)
        network(x).log_softmax(1)[:, 0].sum().backward()
        assert x.grad is not None
        gradients.append(x.grad.flatten())
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.95
    assert not torch.equal(gradients[0], gradients[1])


def test_inputs_are_rounded_in_inference_too() -> None:
    """PyTorch's fused transformer kernel reads the weights of linear layers without calling them."""
    torch.manual_seed(0)
    vit = quantize_int8(CompactViT(5, width=16, heads=2).eval().requires_grad_(False))
    x = torch.rand(2, 3, 36, 36)
    with torch.inference_mode():
        fast = vit(x)
    torch.testing.assert_close(fast, vit(x.requires_grad_()), rtol=1e-4, atol=1e-5)
