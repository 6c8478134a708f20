"""The compact vision transformer: any size, gradients to the pixels, and what sets its family apart."""

import math

import pytest
import torch
from torch import Tensor, nn

from networks.classifier import Classifier, freeze
from networks.compact_vit import CompactViT, sines_and_cosines


@pytest.fixture
def vit() -> CompactViT:
    torch.manual_seed(0)
    return CompactViT(5, width=16, depth=2, heads=2)


@pytest.mark.parametrize("size", [(32, 32), (48, 48), (50, 67), (96, 96)])
def test_any_size_will_do(vit: CompactViT, size: tuple[int, int]) -> None:
    assert vit.eval()(torch.rand(2, 3, *size)).shape == (2, 5)


def test_codes_of_places_as_in_the_paper() -> None:
    rows, columns, width = 3, 5, 8
    codes = sines_and_cosines(rows, columns, width)
    for row in range(rows):
        for column in range(columns):
            literal = []
            for place in (row, column):
                angles = [place / 10_000 ** (k / (width // 4)) for k in range(width // 4)]
                literal += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            assert codes[row * columns + column].tolist() == pytest.approx(literal, abs=1e-6)
    assert len({tuple(code) for code in codes.tolist()}) == rows * columns


def literal_logits(vit: CompactViT, x: Tensor) -> Tensor:
    """The network with attention written out, one head at a time."""
    tokens = vit.stem(x)
    tokens = tokens.flatten(2).transpose(1, 2) + sines_and_cosines(tokens.shape[2], tokens.shape[3], tokens.shape[1])
    for block in vit.encoder.layers:
        assert isinstance(block, nn.TransformerEncoderLayer)
        attention = block.self_attn
        q, k, v = (block.norm1(tokens) @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, dim=-1)
        size = q.shape[-1] // attention.num_heads
        heads = [
            torch.softmax(q[..., h : h + size] @ k[..., h : h + size].mT / size**0.5, dim=-1) @ v[..., h : h + size]
            for h in range(0, q.shape[-1], size)
        ]
        tokens = tokens + attention.out_proj(torch.cat(heads, dim=-1))
        tokens = tokens + block.linear2(nn.functional.gelu(block.linear1(block.norm2(tokens))))
    assert vit.encoder.norm is not None
    return vit.head(vit.encoder.norm(tokens).mean(dim=1))


def test_equals_attention_written_out_with_and_without_the_fast_path(vit: CompactViT) -> None:
    x = torch.randn(3, 3, 36, 48)
    freeze(vit)
    expected = literal_logits(vit, x)
    with torch.inference_mode():  # PyTorch's fused kernels
        torch.testing.assert_close(vit(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vit(x.requires_grad_()), expected, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_images_through_the_frozen_network(vit: CompactViT) -> None:
    classifier = freeze(Classifier(vit))
    images = torch.rand(2, 3, 36, 36, dtype=torch.float32, requires_grad=True)
    loss = classifier(images)[:, 1].sum()
    loss.backward()
    assert images.grad is not None
    direction = images.grad / images.grad.norm()
    with torch.no_grad():
        step = 1e-2
        rise = classifier(images + step * direction)[:, 1].sum() - classifier(images - step * direction)[:, 1].sum()
    assert float(rise / (2 * step)) == pytest.approx(float(images.grad.norm()), rel=0.02)
    assert (images.grad.abs().amax(1) > 0).float().mean() > 0.9  # all pixels count


def test_places_matter(vit: CompactViT) -> None:
    freeze(vit)
    x = torch.randn(1, 3, 36, 36)
    assert not torch.allclose(vit(x), vit(x.roll((12, 18), dims=(2, 3))), atol=1e-4)


def test_impossible_widths_are_named() -> None:
    with pytest.raises(ValueError, match="patch=5 must be even"):
        CompactViT(5, patch=5)
    with pytest.raises(ValueError, match="width=18 a multiple of 4"):
        CompactViT(5, width=18, heads=2)
