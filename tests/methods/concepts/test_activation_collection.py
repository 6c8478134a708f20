"""What is collected is what plain hooks see, image by image; what cannot be factorised is refused in words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules import FakeImages
from datamodules.base import UNREADABLE, ImageDataset, Split
from datamodules.views.subset import ImageSubset
from methods.concepts.activation_collection import (
    ActivationCollection,
    Collected,
    block_shapes,
    nonnegative_layers,
    pooled,
)
from methods.concepts.record import PIXELS
from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from tests.images import LOADING

CHOSEN = [0, 1, 2, 4, 5, 7, 8, 9, 10]
Matrices = list[np.ndarray]
Collect = Callable[..., tuple[Collected, Matrices]]


class Tokens(nn.Module):
    """Places become tokens ``(N, T, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class ChannelsLast(nn.Module):
    """``(N, H, W, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Layouts(nn.Module):
    """Every layout, a ReLU in place that is called twice, and a GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 6, 3)
        self.relu, self.gelu = nn.ReLU(inplace=True), nn.GELU()
        self.tokens, self.last, self.head = Tokens(), ChannelsLast(), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.middle(self.relu(self.stem(x))))
        mean: Tensor = self.tokens(x).mean(dim=1) + self.last(x).amax(dim=(1, 2))
        return self.head(self.gelu(mean - mean.mean()))


class Ending(nn.Module):
    """A classifier whose activation is made up."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.odd, self.head = change, nn.Identity(), nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.head(self.odd(self.change(x.mean(dim=(2, 3))))))


@pytest.fixture
def layouts() -> Classifier:
    torch.manual_seed(3)
    return Classifier(Layouts())


@pytest.fixture
def collect(tmp_path: Path, make_trainer: Callable[..., pl.Trainer], data: FakeImages) -> Collect:
    def collected(
        classifier: Classifier,
        layers: Sequence[str],
        dtype: str = "float32",
        pool: Literal["avg", "max", "none"] = "avg",
        negative: Literal["refuse", "split"] = "refuse",
        images: FakeImages = data,
    ) -> tuple[Collected, Matrices]:
        shapes = block_shapes(classifier, torch.rand(3, 16, 16), layers, pool, negative)
        paths = [tmp_path / f"{place}.npy" for place in range(len(layers))]
        widths = [int(np.prod(shape)) for shape in shapes]
        module = ActivationCollection(classifier, layers, paths, widths, dtype, CHOSEN, pool, negative)
        make_trainer().test(module, datamodule=ImageSubset(images, CHOSEN, "val"), verbose=False)
        return module.result, [np.load(path) for path in paths]

    return collected


def hooked(classifier: Classifier, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """What layers make of images, one image at a time, and the classes said."""
    seen: dict[str, list[Tensor]] = {name: [] for name in names}
    last: dict[str, Tensor] = {}
    handles = [
        classifier.network.get_submodule(name).register_forward_hook(
            lambda _, __, made, name=name: last.__setitem__(name, made.detach().clone())
        )
        for name in names
    ]
    said = []
    for image in images:
        said.append(int(classifier.eval()(image[None]).argmax()))
        for name in names:
            seen[name].append(last[name][0])
    for handle in handles:
        handle.remove()
    return {name: torch.stack(parts) for name, parts in seen.items()} | {"said": torch.tensor(said)}


def images_of(data: FakeImages) -> Tensor:
    split = data.split("val")
    return torch.stack([split[place][0] for place in CHOSEN]).float() / 255


@pytest.mark.parametrize("pool", ["avg", "max", "none"])
def test_what_is_stored_is_what_hooks_see(
    layouts: Classifier, collect: Collect, data: FakeImages, pool: Literal["avg", "max", "none"]
) -> None:
    found, matrices = collect(layouts, [PIXELS, "relu", "tokens", "last"], pool=pool)
    images = images_of(data)
    seen = hooked(layouts, images, ["relu", "tokens", "last"])
    relu = seen["relu"]  # of the second call; tokens and channels last are other layouts of the same
    assert torch.equal(seen["tokens"], relu.flatten(2).transpose(1, 2))
    expected = {"avg": relu.mean(dim=(2, 3)), "max": relu.amax(dim=(2, 3)), "none": relu.flatten(1)}[pool]
    assert np.array_equal(matrices[0], images.flatten(1).numpy())
    for matrix in matrices[1:]:
        assert matrix.dtype == np.float32
        assert np.allclose(matrix, expected.numpy(), rtol=1e-5, atol=1e-7)
    assert found.seen.all()
    assert found.labels.tolist() == [place % 6 for place in CHOSEN]
    assert found.predicted.tolist() == seen["said"].tolist()
    assert np.allclose(found.mean_image, images.mean(dim=0).numpy(), atol=1e-6)
    for place, matrix in enumerate(matrices):
        assert found.sums[place] == pytest.approx(matrix.astype(float).sum(), rel=1e-12)
        assert found.squares[place] == pytest.approx((matrix.astype(float) ** 2).sum(), rel=1e-12)


def test_a_relu_in_place_does_not_reach_what_came_before(
    layouts: Classifier, collect: Collect, data: FakeImages
) -> None:
    _, [matrix] = collect(layouts, ["stem"], pool="none", negative="split")
    stem = layouts.network.get_submodule("stem")
    with torch.no_grad():
        made = stem(layouts.normalization(images_of(data)))
    assert (made < 0).any()
    expected = torch.cat([made.clamp(min=0), (-made).clamp(min=0)], dim=1).flatten(1)
    assert np.allclose(matrix, expected.numpy(), atol=1e-6)


def test_negative_numbers_are_refused_with_layer_image_and_fix(layouts: Classifier, collect: Collect) -> None:
    with pytest.raises(ValueError, match=r"layer gelu makes negative numbers \(-0\.\d+ for image (\d+)\)") as caught:
        collect(layouts, ["relu", "gelu"])
    assert "name layers behind a ReLU in concepts.layers, or use concepts.negative=split" in str(caught.value)
    _, [matrix] = collect(layouts, ["gelu"], negative="split")
    assert matrix.shape == (len(CHOSEN), 12)
    assert matrix.min() == 0
    assert (matrix[:, :6] * matrix[:, 6:]).max() == 0


def test_a_pooled_mean_below_zero_is_split_before_it_is_pooled(collect: Collect, data: FakeImages) -> None:
    class Signs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.odd(x).mean(dim=(2, 3)).repeat(1, 2)
            return made

    classifier = Classifier(Signs())
    _, [matrix] = collect(classifier, ["odd"], negative="split")
    x = classifier.normalization(images_of(data))
    both = torch.cat([F.relu(x).mean(dim=(2, 3)), F.relu(-x).mean(dim=(2, 3))], dim=1)
    assert np.allclose(matrix, both.numpy(), atol=1e-6)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_names_layer_and_image(collect: Collect, value: float) -> None:
    def fifth(x: Tensor) -> Tensor:
        return torch.where(torch.arange(len(x))[:, None] == 1, value, x.abs())

    with pytest.raises(ValueError, match=r"the activation of layer odd is not finite for image 1"):
        collect(Classifier(Ending(fifth)), ["odd"])


def test_half_precision_at_rest_counts_what_is_stored(collect: Collect, layouts: Classifier) -> None:
    found, [matrix] = collect(layouts, ["relu"], dtype="float16", pool="none")
    _, [exact] = collect(layouts, ["relu"], pool="none")
    assert matrix.dtype == np.float16
    assert np.array_equal(matrix, exact.astype(np.float16))
    assert found.squares[0] == pytest.approx((matrix.astype(float) ** 2).sum(), rel=1e-12)
    assert found.squares[0] != pytest.approx((exact.astype(float) ** 2).sum(), rel=1e-12)
    with pytest.raises(ValueError, match="layer odd makes numbers too large for float16: use float32"):
        collect(Classifier(Ending(lambda x: 70_000 + x.abs())), ["odd"], dtype="float16")
    collect(Classifier(Ending(lambda x: 70_000 + x.abs())), ["odd"])


class Unreadable(FakeImages):
    """Two images cannot be read."""

    on_error = "skip"

    def split(self, name: Split) -> Any:
        return UnreadableSplit(super().split(name))


class UnreadableSplit(torch.utils.data.Dataset[tuple[Tensor, int, int]]):
    def __init__(self, whole: ImageDataset) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return len(self.whole)

    def label(self, index: int) -> int:
        return self.whole.label(index)

    def __getitem__(self, key: Any) -> tuple[Tensor, int, int]:
        image, label, index = self.whole[key]
        return (torch.zeros_like(image), UNREADABLE, index) if index in (0, 8) else (image, label, index)


def test_an_image_that_cannot_be_read_is_left_out(collect: Collect, layouts: Classifier, data: FakeImages) -> None:
    broken = Unreadable(**LOADING | {"class_count": 6, "size": 16, "images": 11, "batch_size": 2})
    found, [pixels, relu] = collect(layouts, [PIXELS, "relu"], images=broken)
    whole, [_, other] = collect(layouts, [PIXELS, "relu"], images=data)
    there = np.array([index not in (0, 8) for index in CHOSEN])
    assert found.seen.tolist() == there.tolist()
    assert not relu[~there].any()
    assert np.allclose(relu[there], other[there], rtol=1e-5)
    assert found.squares[0] == pytest.approx((pixels[there].astype(float) ** 2).sum())
    assert found.labels[there].tolist() == whole.labels[there].tolist()
    assert np.allclose(found.mean_image, images_of(data)[torch.from_numpy(there)].mean(dim=0).numpy(), atol=1e-6)


ON_RANKS = """
import numpy as np
from pathlib import Path
from datamodules.views.subset import ImageSubset
from methods.concepts.activation_collection import ActivationCollection, block_shapes

layers = ["pixels", "features.0.2", "head.1"]
shapes = block_shapes(classifiers["a"], torch.rand(3, 32, 32), layers, "avg", "refuse")
paths = [Path(sys.argv[2]) / f"{sys.argv[1]}-{place}.npy" for place in range(3)]
chosen, widths = [0, 1, 2, 4, 5, 7, 10], [int(np.prod(shape)) for shape in shapes]
module = ActivationCollection(classifiers["a"], layers, paths, widths, "float32", chosen, "avg", "refuse")
found = tested(module, ImageSubset(data, chosen))
save(vars(found) | {f"matrix{place}": np.load(path) for place, path in enumerate(paths)})
"""


@pytest.mark.slow
def test_ranks_collect_every_image_once(on_one_and_two_ranks: Callable[[str], tuple[dict[str, Any], ...]]) -> None:
    one, first, second = on_one_and_two_ranks(ON_RANKS)
    assert one["seen"].all()
    for key, values in one.items():
        assert np.allclose(first[key], values, rtol=1e-5, atol=1e-7), key
        assert np.array_equal(first[key], second[key]), key


def test_layers_are_non_negative_and_distinct() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True),
        nn.Dropout(), nn.Conv2d(6, 6, 3), nn.Softplus(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 6),
    )  # fmt: skip
    images = torch.rand(4, 3, 16, 16)
    assert nonnegative_layers(Classifier(network), images, 9) == ["0.1", "3", "6"]
    assert nonnegative_layers(Classifier(network), images, 1) == ["6"]
    assert nonnegative_layers(Classifier(network), images, 2)[-1] == "6"


def test_a_block_that_ends_with_a_pool_is_left_out() -> None:
    torch.manual_seed(0)
    classifier, images = Classifier(CompactVGG(6)).eval(), torch.rand(4, 3, 32, 32)
    relus = ["features.0.2", "features.1.2", "features.3.2", "features.4.2", "features.6.2", "features.7.2", "head.1"]
    assert nonnegative_layers(classifier, images, 99) == relus
    assert nonnegative_layers(classifier, images, 3) == ["features.3.2", "features.6.2", "head.1"]


def test_without_any_such_layer_it_says_what_to_do() -> None:
    torch.manual_seed(0)
    linear = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 6), nn.Tanh(), nn.Linear(6, 6)))
    with pytest.raises(ValueError, match=r"name layers in concepts\.layers, and use concepts\.negative=split"):
        nonnegative_layers(linear, torch.rand(4, 3, 4, 4), 4)


def test_shapes_of_blocks_are_those_of_the_pools(layouts: Classifier) -> None:
    image, layers = torch.rand(3, 16, 16), [PIXELS, "stem", "tokens", "last", "gelu"]
    assert block_shapes(layouts, image, layers, "none", "refuse") == [
        (3, 16, 16), (4, 7, 7), (6, 25, 1), (6, 5, 5), (6, 1, 1),
    ]  # fmt: skip
    assert block_shapes(layouts, image, layers, "avg", "split") == [
        (3, 16, 16), (8, 1, 1), (12, 1, 1), (12, 1, 1), (12, 1, 1),
    ]  # fmt: skip
    assert pooled(image[None], PIXELS, "avg").shape == (1, 3, 16, 16)


def test_a_network_with_shortcuts_gives_layers_that_can_be_collected(collect: Collect) -> None:
    torch.manual_seed(0)
    classifier = Classifier(CompactResNet(6))
    classifier(torch.rand(8, 3, 32, 32))
    names = nonnegative_layers(classifier.eval(), torch.rand(4, 3, 16, 16), 3)
    assert len(set(names)) == 3
    _, matrices = collect(classifier, names)
    assert all(matrix.min() >= 0 and matrix.any() for matrix in matrices)
