"""Factorisations: the module that Lightning runs, how one is fitted, and the projection of further images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from methods.concepts import hals
from methods.concepts.activations import Activations
from methods.concepts.factorization import CoupledFactorization, Solver, Start
from methods.concepts.hals import NO_PENALTIES, Penalties
from methods.concepts.record import Floats, scaled
from methods.concepts.settings import Concepts
from study.folder import CONF
from study.trainer import Length, make_trainer, without_accumulation
from study.training import fitted

EXACT = "32-true"  # no step has a gradient, and sums of rounded numbers would be rough


@dataclass(frozen=True)
class Method:
    """How blocks are factorised; settings of ``concepts``, as plain values.

    Attributes:
        solver: ``hals`` or ``published``.
        start: ``nndsvda`` or ``random``.
        weights: ``balanced``, ``equal``, or factors of the balanced weights by the names of the blocks.
        penalties: Penalties on the image factor.
        passes: Most passes after the start.
        tolerance: Smallest decrease of the objective in a pass, as a share of its first value.
        seed: Decides the start.
    """

    solver: Solver
    start: Start
    weights: Any
    penalties: Penalties
    passes: int
    tolerance: float
    seed: int


def method_of(settings: DictConfig, seed: int) -> Method:
    """The method that the node ``concepts`` of a configuration describes."""
    plain: Any = OmegaConf.to_container(settings, resolve=True)
    names = ("solver", "start", "weights", "passes", "tolerance")
    return Method(**{name: plain[name] for name in names}, penalties=Penalties(**plain["penalties"]), seed=seed)


def published_method(seed: int) -> Method:
    """The published method: ``presets/concepts=published`` on top of the defaults, whatever else was set."""
    preset = OmegaConf.load(CONF / "presets" / "concepts" / "published.yaml")
    settings: Any = OmegaConf.merge(OmegaConf.structured(Concepts), preset)
    return method_of(settings, seed)


class ConceptFactorization(pl.LightningModule):
    """Lets Lightning run a :class:`~methods.concepts.factorization.CoupledFactorization`: an epoch is one exact pass.

    Batches are ``(numbers of the images, their rows of every block)``, as :class:`~methods.concepts.blocks.BlockRows`
    gives them: each image once in an epoch, and always on the same rank. Ranks add up ``HᵀH``, ``HᵀX`` and a few
    scalars; H stays where its images are until :meth:`gathered`. Nothing is differentiated. Logs ``train/objective``
    and the relative squared error of each block, and stops when the objective has converged. A checkpoint holds the
    whole state, but must be made between two epochs.

    Args:
        factorization: At its start, the same on every rank.
        names: Names of the blocks.
        tolerance: Smallest decrease of the objective in a pass, as a share of its first value.
    """

    def __init__(self, factorization: CoupledFactorization, names: Sequence[str], tolerance: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.factorization, self.names, self.tolerance = factorization, list(names), tolerance
        self.unused = nn.Parameter(torch.zeros(1))  # DDP refuses a module without parameters

    def configure_optimizers(self) -> list[Any]:
        """No optimiser: every step is exact."""
        return []

    def on_train_start(self) -> None:
        """Move to the device, and begin a pass: a resumed epoch has no ``on_train_epoch_start``."""
        self.factorization.to(self.device)
        self.factorization.begin_pass()

    def on_train_epoch_start(self) -> None:
        """Begin a pass."""
        self.factorization.begin_pass()

    @torch.no_grad()
    def training_step(self, batch: tuple[Tensor, Sequence[Tensor]], batch_idx: int) -> None:
        """Add some images, in full precision."""
        rows, chunk = batch
        if len(rows):
            with torch.autocast(self.device.type, enabled=False):
                self.factorization.add(rows.cpu(), chunk)

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Finish the pass, log it, and stop if the objective has converged."""
        self.factorization.end_pass(self.summed)
        if not self.factorization.history:
            return
        objective, *errors = self.factorization.history[-1]
        numbers = {f"train/error {name}": error for name, error in zip(self.names, errors, strict=True)}
        self.log_dict({"train/objective": objective} | numbers, prog_bar=True, batch_size=1)
        self.trainer.should_stop = self.factorization.converged(self.tolerance)

    def summed(self, part: Tensor) -> Tensor:
        """The sum of a tensor over all ranks."""
        return self.trainer.strategy.reduce(part, reduce_op="sum")

    @torch.no_grad()
    def gathered(self) -> Tensor:
        """Hᵀ of all images, ``(k, N)``, on every rank."""
        return self.factorization.gathered(self.summed)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state; called on every rank, so H can be gathered."""
        checkpoint["factorization"] = self.factorization.state_dict(self.gathered())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the state."""
        self.factorization.load_state_dict(checkpoint["factorization"])


@dataclass(frozen=True)
class FittedConcepts:
    """The result of a factorisation.

    Attributes:
        factors: W_b of each block, ``(k, m_b)``.
        image_factor: H, ``(N, k)``.
        weights: a_b of each block.
        errors: Relative squared error of each block; NaN where it has no weight, and so no factor.
        objective: Objective after each pass.
    """

    factors: list[Floats]
    image_factor: Floats
    weights: list[float]
    errors: list[float]
    objective: list[float]

    def scaled(self) -> tuple[Floats, list[Floats]]:
        """The factors in the scale in which concepts can be compared; see :func:`methods.concepts.record.scaled`."""
        return scaled(self.image_factor, self.weights, self.factors)

    @property
    def roots(self) -> list[float]:
        """√a_b of each block."""
        return [weight**0.5 for weight in self.weights]

    @property
    def error(self) -> float:
        """Relative squared error, mean over the blocks that have a weight."""
        return float(np.nanmean(self.errors))


def block_weights(weights: Any, activations: Activations) -> list[float]:
    """a_b of each block; ``weights`` are those of :class:`Method`.

    Raises:
        ValueError: If a name is unknown.
    """
    balanced = list(activations.blocks(None).weights)
    if weights == "balanced":
        return balanced
    if weights == "equal":
        return [1.0] * len(balanced)
    check_weights(weights, activations.names)
    return [float(weights.get(name, 1.0)) * weight for name, weight in zip(activations.names, balanced, strict=True)]


def check_weights(weights: Any, names: Sequence[str]) -> None:
    """Refuse factors of the weights that name no block, are negative, or are all 0."""
    if not isinstance(weights, Mapping):
        return
    unknown = sorted(weights.keys() - set(names))
    if unknown:
        raise ValueError(f"concepts.weights: {unknown[0]!r} is no block; there are {', '.join(names)}")
    factors = [float(weights.get(name, 1.0)) for name in names]
    if min(factors) < 0 or not any(factors):
        raise ValueError(f"concepts.weights={dict(weights)}: give factors from 0 on, not all 0")


def factorize(
    cfg: DictConfig,
    activations: Activations,
    concepts: int,
    method: Method,
    job: Path | None = None,
    identity: str = "",
) -> FittedConcepts:
    """Factorise blocks.

    Args:
        cfg: The configuration, for its trainer, its loggers and the size of a chunk.
        activations: The blocks.
        concepts: k.
        method: How.
        job: Folder of the log and of the checkpoint from which it goes on if it was interrupted; ``None``: neither.
        identity: What tells the job from one with other settings or inputs.
    """
    grouped = method.penalties.group > 0
    factorization = CoupledFactorization(
        activations.blocks(block_weights(method.weights, activations)),
        concepts,
        penalties=method.penalties,
        solver=method.solver,
        start=method.start,
        seed=method.seed,
        groups=torch.from_numpy(activations.labels) if grouped else None,
        dtype=torch.float32,
    )
    module = ConceptFactorization(factorization, activations.names, method.tolerance)
    rows = activations.passes(cfg.concepts.chunk, by_class=grouped)
    length = Length(factorization.passes_to_start + method.passes)
    cfg = without_accumulation(cfg, EXACT)
    if job is None:
        make_trainer(cfg, length).fit(module, datamodule=rows)
    else:
        with fitted(cfg, module, rows, length=length, job=job, identity=identity, between_epochs=True):
            pass
    weights, history = list(factorization.blocks.weights), factorization.history
    return FittedConcepts(
        [part.cpu().double().numpy() for part in factorization.block_factors()],
        module.gathered().cpu().double().numpy().T,
        weights,
        [error if weight > 0 else float("nan") for error, weight in zip(history[-1][1:], weights, strict=True)],
        [entry[0] for entry in history],
    )


def project(
    concepts: FittedConcepts, activations: Activations, penalties: Penalties, chunk: int
) -> tuple[Floats, list[float]]:
    """H of other images with the factors fixed, and the relative squared error of each block.

    Args:
        concepts: The factorisation.
        activations: The same blocks of the other images.
        penalties: Penalties on H; the group penalty is left out.
        chunk: Images at once.

    Returns:
        H, ``(N', k)``, and the errors; NaN for a block that is all 0 or has no weight.
    """
    roots, factors = concepts.roots, [torch.from_numpy(factor) for factor in concepts.factors]
    stacked = [root * factor for root, factor in zip(roots, factors, strict=True)]
    parts, errors = [torch.zeros(0, concepts.image_factor.shape[1], dtype=torch.float64)], np.zeros(len(factors))
    for _, blocks in activations.passes(chunk).every_chunk():
        images = project_on(stacked, [root * x.double() for root, x in zip(roots, blocks, strict=True)], penalties)
        parts.append(images)
        errors += [float(((x - images @ w) ** 2).sum()) for x, w in zip(blocks, factors, strict=True)]
    squares = activations.collected.squares
    shares = np.divide(errors, squares, out=np.full(len(errors), np.nan), where=(squares > 0) & (np.array(roots) > 0))
    return torch.cat(parts).numpy(), shares.tolist()


def heldout_column_error(concepts: FittedConcepts, activations: Activations, chunk: int, seed: int) -> float:
    """How well half of the columns predicts the other half, in images that were not factorised.

    H is fitted to a random half of the columns of every block, and the error is that of the other half. With too many
    concepts it rises again, which the error of the fitted columns never does.

    Args:
        concepts: The factorisation.
        activations: Blocks of other images.
        chunk: Images at once.
        seed: Decides the halves.

    Returns:
        Relative squared error, mean over the blocks that have a weight; of a block with one column, that of the column.
    """
    generator, roots = np.random.default_rng(seed), concepts.roots
    widths = [factor.shape[1] for factor in concepts.factors]
    halves = [np.sort(generator.permutation(width)[: width // 2]) for width in widths]
    others = [np.setdiff1d(np.arange(width), half) for width, half in zip(widths, halves, strict=True)]
    known = [torch.from_numpy(r * w[:, half]) for r, w, half in zip(roots, concepts.factors, halves, strict=True)]
    predicted = [torch.from_numpy(w[:, other]) for w, other in zip(concepts.factors, others, strict=True)]
    errors, squares = np.zeros(len(roots)), np.zeros(len(roots))
    for _, blocks in activations.passes(chunk).every_chunk():
        given = [root * x[:, half].double() for root, x, half in zip(roots, blocks, halves, strict=True)]
        images = project_on(known, given, NO_PENALTIES)
        hidden = [x[:, other].double() for x, other in zip(blocks, others, strict=True)]
        errors += [float(((x - images @ w) ** 2).sum()) for x, w in zip(hidden, predicted, strict=True)]
        squares += [float((x**2).sum()) for x in hidden]
    used = (squares > 0) & (np.array(roots) > 0)
    return float((errors[used] / squares[used]).mean())


def project_on(factors: Sequence[Tensor], blocks: Sequence[Tensor], penalties: Penalties) -> Tensor:
    """H ``(n, k)`` of images with weighted blocks ``(n, m_b)``, weighted factors ``(k, m_b)`` fixed; all float64."""
    gram = torch.stack([w @ w.T for w in factors]).sum(dim=0)
    products = torch.stack([w @ x.T for w, x in zip(factors, blocks, strict=True)]).sum(dim=0)
    return hals.project(products, gram, penalties).T
