"""One call of a layer is changed and nothing else, against passes written out; and nothing stays behind."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet
from networks.interventions import count_calls, intervened
from tests.conftest import stir


class Shared(nn.Module):
    """One ReLU, in place, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.relu, self.unused = nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.relu(self.third(self.relu(self.second(self.relu(self.first(x))))))
        return made


class Pair(nn.Module):
    """A layer that makes a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.both((x, x + 1))
        made: Tensor = 2 * first + second
        return made


@pytest.fixture
def shared() -> Shared:
    torch.manual_seed(0)
    network = Shared()
    with torch.no_grad():
        for layer in (network.first, network.second, network.third):
            layer.weight.uniform_(-0.5, 1)
    return network


def written_out(network: Shared, x: Tensor, change: Callable[[Tensor], Tensor], call: int) -> Tensor:
    for number, layer in enumerate((network.first, network.second, network.third), start=1):
        x = torch.relu(layer(x))
        x = change(x) if number == call else x
    return x


@pytest.mark.parametrize("call", [1, 2, 3])
def test_the_call_that_is_named_is_changed(shared: Shared, call: int) -> None:
    images = torch.rand(2, 3, 4, 4)
    expected = written_out(shared, images, lambda x: x * 0.3, call)
    with intervened(shared, "relu", lambda x: x * 0.3, call):
        for _ in range(2):  # in every pass
            assert torch.equal(shared(images), expected)
    assert not torch.equal(shared(images), expected)


def test_calls_are_counted(shared: Shared) -> None:
    images = torch.rand(2, 3, 4, 4)
    assert count_calls(shared, "relu", images) == 3
    assert count_calls(shared, "first", images) == 1
    assert count_calls(shared, "unused", images) == 0


def test_the_first_of_several_results_is_changed() -> None:
    x = torch.rand(2, 3)
    network = Pair()
    with intervened(network, "both", torch.zeros_like, 1):
        assert torch.equal(network(x), x + 1)


def test_what_stays_the_same_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    network = CompactResNet(6)
    stir(network)
    classifier, images = Classifier(network).eval(), torch.rand(3, 3, 32, 32)
    before = classifier(images)
    for name, layer in network.named_modules():
        if name and count_calls(classifier, f"network.{name}", images) == 1 and not list(layer.children()):
            with intervened(classifier, f"network.{name}", lambda x: x, 1):
                assert torch.equal(classifier(images), before)


def state(network: nn.Module) -> list[object]:
    return [
        (module.training, dict(module._forward_hooks), dict(module._forward_pre_hooks), "forward" in vars(module))
        for module in network.modules()
    ] + [parameter.requires_grad for parameter in network.parameters()]


def test_everything_is_as_before_also_after_an_exception(shared: Shared) -> None:
    shared.second.weight.requires_grad_(False)
    shared.third.eval()
    before, images = state(shared), torch.rand(1, 3, 4, 4)

    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("no change")

    with intervened(shared, "relu", lambda x: x, 1):
        assert not shared.training
        assert not any(parameter.requires_grad for parameter in shared.parameters())
    assert state(shared) == before
    with pytest.raises(RuntimeError, match="no change"), intervened(shared, "relu", fail, 2):
        shared(images)
    assert state(shared) == before
    with pytest.raises(ValueError, match="did you mean relu"), intervened(shared, "rellu", fail, 1):
        pass
    assert state(shared) == before
    with pytest.raises(RuntimeError):
        count_calls(shared, "relu", torch.rand(1, 4, 4, 4))
    assert state(shared) == before
