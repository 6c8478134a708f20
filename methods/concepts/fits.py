"""Factorisations of ``task=concepts``: each a run of Lightning's Trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import DictConfig, OmegaConf

from callbacks.checkpointing import Checkpointing
from methods.concepts import hals
from methods.concepts.activations import Activations
from methods.concepts.factorization import CoupledFactorization, Solver, Start
from methods.concepts.factorization_module import ConceptFactorization
from methods.concepts.files import row_norms, scaled
from methods.concepts.hals import Penalties
from methods.concepts.stored_blocks import BlockRows
from study.console import say
from study.loggers import open_loggers
from study.trainer import Length, make_trainer, without_accumulation

EXACT = "32-true"  # no step has a gradient, and sums of rounded numbers would be rough
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """How blocks are factorised.

    Attributes:
        solver: ``hals`` or ``published``.
        weights: ``balanced``, ``equal``, or a factor of the balanced weight by the block's name.
        penalties: On the images' factor.
        passes: Most of them.
        tolerance: See :class:`~methods.concepts.factorization_module.ConceptFactorization`.
        start: ``nndsvda`` or ``random``.
        seed: Of the start.
    """

    solver: Solver
    weights: Any
    penalties: Penalties
    passes: int
    tolerance: float = 1e-6
    start: Start = "nndsvda"
    seed: int = 0


PRESETS = {
    "stable": Method("hals", "balanced", Penalties(), 1000),
    "published": Method("published", "equal", Penalties(l1=1.0, l2=1.0), 50, start="random"),
}  # the second: arXiv 2012.12516


@dataclass(frozen=True)
class Found:
    """A factorisation.

    Attributes:
        factors: W_b of each block, ``(k, m_b)``.
        image_factor: H, ``(N, k)``.
        weights: a_b of each block.
        errors: Relative squared error of each block; NaN where it has no weight, and so no factor.
        objective: After each pass.
    """

    factors: list[Floats]
    image_factor: Floats
    weights: list[float]
    errors: list[float]
    objective: list[float]

    def scaled(self) -> tuple[Floats, list[Floats]]:
        """As :meth:`methods.concepts.files.ConceptFile.scaled`."""
        return scaled(self.image_factor, self.weights, self.factors)

    def norms(self) -> Floats:
        """The length of each concept's stacked row, ``(k,)``."""
        return row_norms(self.weights, self.factors)

    @property
    def error(self) -> float:
        """Mean over the blocks that have a weight."""
        return float(np.nanmean(self.errors))


def method_of(options: DictConfig) -> Method:
    """The method that the settings choose; a wrong one is refused."""
    if options.preset not in PRESETS:
        raise ValueError(f"concepts.preset={options.preset}: choose {' or '.join(PRESETS)}")
    preset = PRESETS[options.preset]
    plain: Any = OmegaConf.to_container(options, resolve=True)
    chosen = {key: plain[key] for key in ("solver", "weights", "passes") if plain[key] is not None}
    if plain["penalties"] is not None:
        if not isinstance(plain["penalties"], dict):
            raise ValueError(f"concepts.penalties={plain['penalties']}: give them by name, as {{l1: 0.5}}")
        unknown = plain["penalties"].keys() - vars(preset.penalties).keys()
        if unknown:
            raise ValueError(f"concepts.penalties: unknown {', '.join(unknown)}; use {', '.join(vars(Penalties()))}")
        chosen["penalties"] = Penalties(**plain["penalties"])
    solver, weights = chosen.get("solver", preset.solver), chosen.get("weights", preset.weights)
    if solver not in get_args(Solver):
        raise ValueError(f"concepts.solver={solver}: choose {' or '.join(get_args(Solver))}")
    if weights not in ("balanced", "equal") and not isinstance(weights, Mapping):
        raise ValueError(f"concepts.weights={weights}: use balanced, equal, or factors by name as {{pixels: 0.5}}")
    return replace(preset, tolerance=float(options.tolerance), **chosen)


def block_weights(weights: Any, activations: Activations) -> list[float]:
    """a_b of each block.

    Args:
        weights: As for :class:`Method`.
        activations: The blocks.

    Raises:
        ValueError: If a name is unknown.
    """
    balanced = activations.blocks(None).weights
    if weights == "balanced":
        return list(balanced)
    if weights == "equal":
        return [1.0] * len(activations.names)
    check_weights(weights, activations.names)
    return [float(weights.get(name, 1.0)) * own for name, own in zip(activations.names, balanced, strict=True)]


def check_weights(weights: Any, names: Sequence[str]) -> None:
    """Refuse factors of the weights that are no blocks', negative, or all 0."""
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
) -> Found:
    """Factorise blocks; with a job, one that was interrupted goes on.

    Args:
        cfg: The configuration.
        activations: The blocks.
        concepts: k.
        method: How.
        job: Where its log and checkpoint go; ``None``: it has none.
        identity: What tells it from others.
    """
    options = cfg.concepts
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
    rows = activations.passes(options.chunk, by_class=grouped)
    length = Length(factorization.passes_to_start + method.passes)
    if job is None:
        make_trainer(without_accumulation(cfg, EXACT), length).fit(module, datamodule=rows)
    else:
        go_on(cfg, module, rows, length, job, identity)
    weights, history = list(factorization.blocks.weights), factorization.history
    return Found(
        [part.cpu().double().numpy() for part in factorization.block_factors()],
        module.gathered().cpu().double().numpy().T,
        weights,
        [error if weight > 0 else float("nan") for error, weight in zip(history[-1][1:], weights, strict=True)],
        [entry[0] for entry in history],
    )


def go_on(
    cfg: DictConfig, module: ConceptFactorization, rows: BlockRows, length: Length, job: Path, identity: str
) -> None:
    """Factorise from where it was interrupted, or from the beginning."""
    checkpointing = Checkpointing(job / "last.ckpt", cfg.checkpoint_every, identity, between_epochs=True)
    resumed = None if checkpointing.consumed() is None else checkpointing.path
    if resumed is not None:
        say(f"going on from {resumed}")
    with open_loggers(cfg, job, identity, keep_log=resumed is not None) as loggers:
        trainer = make_trainer(without_accumulation(cfg, EXACT), length, [checkpointing], loggers)
        trainer.fit(module, datamodule=rows, ckpt_path=resumed, weights_only=True if resumed else None)


def project(found: Found, activations: Activations, penalties: Penalties, chunk: int) -> tuple[Floats, list[float]]:
    """H of other images ``(N', k)``, factors fixed, and each block's relative squared error.

    Args:
        found: The factorisation.
        activations: Blocks of the other images, the same.
        penalties: On H; that of groups is left out.
        chunk: Images at once.

    Returns:
        H, and the errors; NaN for a block that is all 0 or has no weight.
    """
    roots = [weight**0.5 for weight in found.weights]
    factors = [torch.from_numpy(factor) for factor in found.factors]
    stacked = [root * factor for root, factor in zip(roots, factors, strict=True)]
    made, errors = [torch.zeros(0, found.image_factor.shape[1], dtype=torch.float64)], np.zeros(len(factors))
    for _, blocks in activations.passes(chunk).every_chunk():
        images = project_on(stacked, [root * x.double() for root, x in zip(roots, blocks, strict=True)], penalties)
        made.append(images)
        errors += [float(((x - images @ w) ** 2).sum()) for x, w in zip(blocks, factors, strict=True)]
    squares = np.array(activations.collected.squares)
    shares = np.divide(errors, squares, out=np.full(len(errors), np.nan), where=(squares > 0) & (np.array(roots) > 0))
    return torch.cat(made).numpy(), shares.tolist()


def heldout_column_error(found: Found, activations: Activations, chunk: int, seed: int) -> float:
    """How well half of the columns tells the other half, in images that were not factorised.

    H is fitted to a random half of every block's columns, and the error is that of the other half: with too many
    concepts it rises again, as that of the columns fitted never does.

    Args:
        found: The factorisation.
        activations: Blocks of other images.
        chunk: Images at once.
        seed: Of the halves.

    Returns:
        Relative squared error, mean over the blocks that have a weight; of one column, that of this column.
    """
    generator = np.random.default_rng(seed)
    halves = [np.sort(generator.permutation(factor.shape[1])[: factor.shape[1] // 2]) for factor in found.factors]
    others = [
        np.setdiff1d(np.arange(factor.shape[1]), half) for factor, half in zip(found.factors, halves, strict=True)
    ]
    roots = [weight**0.5 for weight in found.weights]
    known = [torch.from_numpy(r * w[:, half]) for r, w, half in zip(roots, found.factors, halves, strict=True)]
    told = [torch.from_numpy(w[:, other]) for w, other in zip(found.factors, others, strict=True)]
    errors, squares = np.zeros(len(roots)), np.zeros(len(roots))
    for _, blocks in activations.passes(chunk).every_chunk():
        images = project_on(known, [r * x[:, half].double() for r, x, half in zip(roots, blocks, halves, strict=True)])
        for place, (block, other, factor) in enumerate(zip(blocks, others, told, strict=True)):
            wanted = block[:, other].double()
            errors[place] += float(((wanted - images @ factor) ** 2).sum())
            squares[place] += float((wanted**2).sum())
    used = (squares > 0) & (np.array(roots) > 0)
    return float((errors[used] / squares[used]).mean())


def project_on(
    factors: Sequence[torch.Tensor], blocks: Sequence[torch.Tensor], penalties: Penalties | None = None
) -> torch.Tensor:
    """H ``(n, k)`` of stacked rows, all float64; by default without penalties."""
    gram = torch.stack([w @ w.T for w in factors]).sum(dim=0)
    products = torch.stack([w @ x.T for w, x in zip(factors, blocks, strict=True)]).sum(dim=0)
    return hals.project(products, gram, penalties or Penalties()).T
