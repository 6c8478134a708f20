"""SegNet equals a slow literal version of itself, at every size, and is the network whose weights were published."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.segnet import CompactSegNet, SegNet

Stages = Sequence[Sequence[int]]
Pool = Callable[[Tensor], tuple[Tensor, Tensor]]
Unpool = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
MakeSegNet = Callable[..., SegNet]

SMALL: Stages = ((2, 3), (4,))
FIVE_STAGES: Stages = ((2, 2), (2, 2), (2, 3, 3), (3, 3, 3), (3, 3, 2))
PUBLISHED_ENCODER = [
    ("11", 3, 64), ("12", 64, 64),
    ("21", 64, 128), ("22", 128, 128),
    ("31", 128, 256), ("32", 256, 256), ("33", 256, 256),
    ("41", 256, 512), ("42", 512, 512), ("43", 512, 512),
    ("51", 512, 512), ("52", 512, 512), ("53", 512, 512),
]  # fmt: skip
PUBLISHED_DECODER = [
    ("53d", 512, 512), ("52d", 512, 512), ("51d", 512, 512),
    ("43d", 512, 512), ("42d", 512, 512), ("41d", 512, 256),
    ("33d", 256, 256), ("32d", 256, 256), ("31d", 256, 128),
    ("22d", 128, 128), ("21d", 128, 64),
    ("12d", 64, 64), ("11d", 64, 64),
]  # fmt: skip


def pool_by_loops(x: Tensor) -> tuple[Tensor, Tensor]:
    """2×2 maxima and the position of each in its map, row by row; an odd last row or column is dropped."""
    count, channels, height, width = x.shape
    values, switches = [], []
    for one_map in x.reshape(-1, height, width).tolist():
        for top in range(0, height - 1, 2):
            for left in range(0, width - 1, 2):
                window = [(top + i, left + j) for i in (0, 1) for j in (0, 1)]
                row, column = max(window, key=lambda place: one_map[place[0]][place[1]])
                values.append(one_map[row][column])
                switches.append(row * width + column)
    shape = (count, channels, height // 2, width // 2)
    return torch.tensor(values, dtype=x.dtype).reshape(shape), torch.tensor(switches).reshape(shape)


def unpool_by_loops(x: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Put each value where its maximum was, and zero elsewhere."""
    maps = []
    for values, places in zip(x.flatten(0, 1).flatten(1).tolist(), switches.flatten(0, 1).flatten(1), strict=True):
        one_map = [0.0] * (size[0] * size[1])
        for value, place in zip(values, places.tolist(), strict=True):
            one_map[place] = value
        maps.append(one_map)
    return torch.tensor(maps, dtype=x.dtype).reshape(*x.shape[:2], *size)


def pool_by_modules(x: Tensor) -> tuple[Tensor, Tensor]:
    values, switches = nn.MaxPool2d(2, stride=2, return_indices=True)(x)
    return values, switches


def unpool_by_modules(x: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    return nn.MaxUnpool2d(2, stride=2)(x, switches, output_size=size)


def literal_batch_norm(x: Tensor, weights: dict[str, Tensor], name: str, training: bool) -> Tensor:
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    if training:
        mean = x.mean((0, 2, 3))
        variance = ((x - mean.view(-1, 1, 1)) ** 2).mean((0, 2, 3))
    scale = weights[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
    return (x - mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + weights[f"{name}.bias"].view(-1, 1, 1)


def literal_segnet(
    weights: dict[str, Tensor],
    stages: Stages,
    images: Tensor,
    training: bool,
    pool: Pool = pool_by_loops,
    unpool: Unpool = unpool_by_loops,
) -> Tensor:
    """The reconstruction, written out from the weights' names."""

    def block(x: Tensor, number: str) -> Tensor:
        half = "decoder" if number.endswith("d") else "encoder"
        x = F.conv2d(x, weights[f"{half}.conv{number}.weight"], weights[f"{half}.conv{number}.bias"], padding=1)
        return literal_batch_norm(x, weights, f"{half}.bn{number}", training).clamp(min=0)

    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float32).to(images.dtype).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float32).to(images.dtype).view(3, 1, 1)
    x = (images - mean) / std
    memory = []
    for stage, widths in enumerate(stages, start=1):
        for position in range(1, len(widths) + 1):
            x = block(x, f"{stage}{position}")
        size = (x.shape[2], x.shape[3])
        x, switches = pool(x)
        memory.append((switches, size))
    for stage in range(len(stages), 0, -1):
        x = unpool(x, *memory[stage - 1])
        for position in range(len(stages[stage - 1]), 0, -1):
            x = block(x, f"{stage}{position}d")
    x = F.conv2d(x, weights["decoder.conv_final.weight"], weights["decoder.conv_final.bias"])
    return x * std + mean


def images_of(height: int, width: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height))


def weights_of(autoencoder: SegNet) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in autoencoder.state_dict().items()}


@pytest.mark.parametrize(
    ("stages", "height", "width"),
    [(SMALL, 45, 45), (SMALL, 99, 99), (SMALL, 32, 47), (SMALL, 5, 4), (FIVE_STAGES, 299, 299), (FIVE_STAGES, 45, 99)],
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equals_the_literal_version(
    make_segnet: MakeSegNet, stages: Stages, height: int, width: int, training: bool
) -> None:
    autoencoder = make_segnet(stages=stages).double().train(training)
    images, weights = images_of(height, width, 1 if height == 299 else 2), weights_of(autoencoder)
    with torch.no_grad():
        reconstructions = autoencoder(images)
        by_loops = literal_segnet(weights, stages, images, training)
        by_modules = literal_segnet(weights, stages, images, training, pool_by_modules, unpool_by_modules)
    assert reconstructions.shape == images.shape
    torch.testing.assert_close(reconstructions, by_loops, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(reconstructions, by_modules, rtol=1e-9, atol=1e-9)


def test_gradients_equal_those_of_the_literal_version(make_segnet: MakeSegNet) -> None:
    autoencoder, images = make_segnet(stages=SMALL).double(), images_of(45, 47)
    weights = {
        name: tensor.requires_grad_(tensor.is_floating_point()) for name, tensor in weights_of(autoencoder).items()
    }
    literal = literal_segnet(weights, SMALL, images, True, pool_by_modules, unpool_by_modules)
    target = images_of(46, 47)[..., :45, :]
    ((literal - target) ** 2).mean().backward()
    ((autoencoder(images) - target) ** 2).mean().backward()
    for name, parameter in autoencoder.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-8, atol=1e-10)


def test_training_moves_the_running_statistics_by_a_tenth(make_segnet: MakeSegNet) -> None:
    autoencoder, images = make_segnet(stages=SMALL).double(), images_of(16, 16)
    before = weights_of(autoencoder)
    autoencoder(images)
    after = autoencoder.state_dict()
    mean, std = autoencoder.normalization.mean, autoencoder.normalization.std
    first = F.conv2d((images - mean) / std, before["encoder.conv11.weight"], before["encoder.conv11.bias"], padding=1)
    expected_mean = 0.9 * before["encoder.bn11.running_mean"] + 0.1 * first.mean((0, 2, 3))
    expected_variance = 0.9 * before["encoder.bn11.running_var"] + 0.1 * first.var((0, 2, 3), correction=1)
    torch.testing.assert_close(after["encoder.bn11.running_mean"], expected_mean)
    torch.testing.assert_close(after["encoder.bn11.running_var"], expected_variance)
    moved = [name for name in after if name.endswith("running_mean") and not torch.equal(before[name], after[name])]
    assert len(moved) == 2 * 3, "every batch-norm of both halves"


def test_a_value_returns_to_where_its_maximum_was() -> None:
    autoencoder = SegNet([[1]])
    pooled, switches = autoencoder.encode(torch.rand(1, 3, 5, 7))
    ((indices, size),) = switches
    assert pooled.shape == (1, 1, 2, 3)
    assert tuple(size[-2:]) == (5, 7)
    for row in range(2):
        for column in range(3):
            place = divmod(int(indices[0, 0, row, column]), 7)  # type: ignore[index]
            assert place[0] // 2 == row
            assert place[1] // 2 == column


def test_decoding_the_code_is_the_forward_pass(make_segnet: MakeSegNet) -> None:
    autoencoder, images = make_segnet().eval(), torch.rand(2, 3, 45, 45)
    assert torch.equal(autoencoder.decode(*autoencoder.encode(images)), autoencoder(images))


def test_images_of_a_batch_do_not_mix_in_eval_mode(make_segnet: MakeSegNet) -> None:
    autoencoder, images = make_segnet().double().eval(), images_of(45, 45, 3)
    alone = torch.cat([autoencoder(image[None]) for image in images])
    torch.testing.assert_close(autoencoder(images), alone)


def test_the_output_is_not_clamped(make_segnet: MakeSegNet) -> None:
    autoencoder = make_segnet().eval()
    with torch.no_grad():
        torch.nn.init.constant_(autoencoder.decoder.conv_final.weight, 0)
        torch.nn.init.constant_(autoencoder.get_parameter("decoder.conv_final.bias"), 100)
    assert autoencoder(torch.rand(1, 3, 16, 16)).min() > 10


def test_a_mean_and_a_deviation_can_be_chosen(make_segnet: MakeSegNet) -> None:
    reference = make_segnet(stages=SMALL).eval()
    plain = SegNet(SMALL, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    plain.load_state_dict(reference.state_dict())
    images, norm = torch.rand(2, 3, 16, 16), reference.normalization
    torch.testing.assert_close(plain((images - norm.mean) / norm.std) * norm.std + norm.mean, reference(images))


@pytest.fixture(scope="module")
def full_width() -> SegNet:
    with torch.device("meta"):
        return SegNet()


def test_full_width_has_the_published_file_s_number_of_parameters(full_width: SegNet) -> None:
    convolutions = PUBLISHED_ENCODER + PUBLISHED_DECODER
    expected = sum(9 * channels * width + width + 2 * width for _, channels, width in convolutions) + 64 * 3 + 3
    assert expected == 29_480_259
    assert sum(parameter.numel() for parameter in full_width.parameters()) == expected
    common = expected - (9 * 64 * 64 + 64 + 2 * 64 + 64 * 3 + 3) + (9 * 64 * 3 + 3)
    assert common == 29_444_739, "the common SegNet ends in one 3×3 convolution from 64 to 3 channels"


def test_full_width_has_the_published_names_and_shapes(full_width: SegNet) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "decoder.conv_final.weight": (3, 64, 1, 1),
        "decoder.conv_final.bias": (3,),
    }
    for half, layers in (("encoder", PUBLISHED_ENCODER), ("decoder", PUBLISHED_DECODER)):
        for number, channels, width in layers:
            expected[f"{half}.conv{number}.weight"] = (width, channels, 3, 3)
            expected[f"{half}.conv{number}.bias"] = (width,)
            for entry in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{half}.bn{number}.{entry}"] = (width,)
            expected[f"{half}.bn{number}.num_batches_tracked"] = ()
    assert {name: tuple(tensor.shape) for name, tensor in full_width.state_dict().items()} == expected


def test_every_batch_norm_has_momentum_a_tenth(full_width: SegNet) -> None:
    momenta = [layer.momentum for layer in full_width.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert momenta == [0.1] * 26


def test_compact_has_three_stages() -> None:
    widths = [layer.out_channels for layer in CompactSegNet().encoder.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [16, 16, 32, 32, 64, 64]
    assert CompactSegNet().smallest_image == 8


@pytest.mark.parametrize(("height", "width"), [(31, 64), (64, 31), (1, 1)])
def test_images_too_small_to_pool_are_refused(make_segnet: MakeSegNet, height: int, width: int) -> None:
    autoencoder = make_segnet(stages=FIVE_STAGES).eval()
    with pytest.raises(ValueError, match=rf"{height}×{width} pixels are too small .* 5 pooling .* at least 32×32"):
        autoencoder(torch.rand(1, 3, height, width))


def test_the_smallest_image_is_taken(make_segnet: MakeSegNet) -> None:
    autoencoder = make_segnet(stages=FIVE_STAGES).eval()
    side = autoencoder.smallest_image
    assert math.log2(side) == 5
    assert autoencoder(torch.rand(1, 3, side, side)).shape == (1, 3, side, side)


@pytest.mark.parametrize("size", [(16, 16), (13, 11)])
def test_without_switches_the_code_is_all_that_the_decoder_knows(size: tuple[int, int]) -> None:
    autoencoder = SegNet(((4, 4), (6,)), switches=False, code=3).eval()
    images = images_of(*size).float()
    code, switches = autoencoder.encode(images)
    assert code.shape == (2, 3, math.ceil(size[0] / 4), math.ceil(size[1] / 4))  # odd sizes are padded
    assert all(indices is None for indices, _ in switches)
    assert torch.equal(autoencoder.decode(code, switches), autoencoder(images))
    other = autoencoder.encode(1 - images)[1]
    assert torch.equal(autoencoder.decode(code, other), autoencoder(images))  # nothing else came along


def test_without_switches_two_by_two_pixels_become_channels_and_back() -> None:
    network = SegNet(((5,), (6,)), switches=False)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name in ("encoder.bn11", "encoder.conv21", "decoder.conv11d", "decoder.bn21d"):
        module = network.get_submodule(name)
        module.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
    network(torch.rand(2, 3, 4, 8))
    wide, folded = seen["encoder.bn11"][1].relu(), seen["encoder.conv21"][0]
    assert folded.shape == (2, 20, 2, 4)
    folded_back, unfolded = seen["decoder.bn21d"][1].relu(), seen["decoder.conv11d"][0]
    assert folded_back.shape == (2, 20, 2, 4)
    for channel, row, column in product(range(5), range(2), range(2)):
        place = 4 * channel + 2 * row + column
        assert torch.equal(folded[:, place], wide[:, channel, row::2, column::2])
        assert torch.equal(unfolded[:, channel, row::2, column::2], folded_back[:, place])


def test_a_narrow_code_adds_two_convolutions_and_no_other_weight(make_segnet: MakeSegNet) -> None:
    wide, narrow = SegNet(((4, 4), (6,))).state_dict(), SegNet(((4, 4), (6,)), code=2).state_dict()
    assert wide.keys() == {key for key in narrow if "conv_code" not in key}
    assert narrow["encoder.conv_code.weight"].shape == (2, 6, 1, 1)
    assert narrow["decoder.conv_code.weight"].shape == (6, 2, 1, 1)
    with pytest.raises(ValueError, match=r"autoencoder.network.code=0: the code needs one channel or more"):
        SegNet(((4,),), code=0)
