"""Coupled non-negative factorisation, pass by pass over the images; one chunk of images is in memory at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from methods.concepts import hals, nndsvd
from methods.concepts.blocks import Blocks
from methods.concepts.hals import Penalties

Solver = Literal["hals", "published"]
Start = Literal["nndsvda", "random"]
Reduce = Callable[[Tensor], Tensor]
START_PASSES = 4  # over the images, to find singular vectors; one more gives the coordinates of the images
PATIENCE = 3  # passes with too small a decrease before it stops


@dataclass
class Sums:
    """What one pass over the images adds up, all in float64; ranks add up nothing else among each other.

    Attributes:
        gram: HᵀH, ``(k, k)``; before there is an H, that of coordinates in the subspace.
        products: √a_b HᵀX_b of each block, ``(k, m_b)``.
        scalars: Sum of H, sum of the norms of the groups, number of rows, sum of the row numbers.
    """

    gram: Tensor
    products: list[Tensor]
    scalars: Tensor


class CoupledFactorization:
    """Blocks ``X_b ≈ H W_b`` with one H; :mod:`methods.concepts.hals` has the objective.

    A pass is: :meth:`begin_pass`, :meth:`add` for every chunk of images, each image once, and :meth:`end_pass`.
    With ``start=nndsvda`` the first :data:`START_PASSES` + 1 passes find the start. Every further pass updates H once
    and W once. Ranks that share the images give :meth:`end_pass` a function that adds up over all ranks.

    Args:
        blocks: What is factorised.
        concepts: k.
        penalties: Penalties on H; if any is on, stacked rows have unit length.
        solver: ``hals``, or ``published``: multiplicative updates, and rows of unit length in every block.
        start: ``nndsvda``, or ``random``.
        seed: Decides a random start, and the subspace in which singular vectors are sought.
        groups: The group of each image, for the group penalty, ``(N,)``.
        dtype: Precision of the factors and of products of a chunk; sums are float64.

    Attributes:
        history: The objective, then the relative squared error of each block, after each pass.
        factors: √a_b W_b of each block, ``(k, m_b)``; empty until the start is known.
        image_factor: Hᵀ, ``(k, N)``; after a pass, the columns of the images of this process.

    Raises:
        ValueError: If k is out of range, or the group penalty has no groups.
    """

    def __init__(
        self,
        blocks: Blocks,
        concepts: int,
        *,
        penalties: Penalties,
        solver: Solver,
        start: Start,
        seed: int,
        groups: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        most = min(blocks.rows, sum(blocks.widths))
        if not 1 <= concepts <= most:
            raise ValueError(
                f"{concepts} concepts of {blocks.rows} images with {sum(blocks.widths)} columns: use 1 to {most}"
            )
        if penalties.group and (groups is None or len(groups) != blocks.rows):
            raise ValueError("the group penalty needs the group of every image")
        self.blocks, self.concepts, self.penalties, self.solver, self.seed = blocks, concepts, penalties, solver, seed
        self.groups = groups if penalties.group else None
        self.group_sizes = None if self.groups is None else torch.bincount(self.groups)
        self.dtype, self.device = dtype, torch.device("cpu")  # until it is moved
        self.history: list[list[float]] = []
        self.passes_to_start = START_PASSES + 1 if start == "nndsvda" else 0
        self.image_factor = torch.zeros(concepts, blocks.rows, dtype=dtype, device=self.device)
        self.arrived = torch.zeros(blocks.rows, dtype=torch.bool)  # images that came to this process in this pass
        self.arrived_before: Tensor | None = None  # in the pass before
        self.factors: list[Tensor] = []
        self.subspace = self.coordinates = torch.zeros(0)
        if start == "random":
            self._start_randomly()
        else:
            self._start_search()

    def _start_randomly(self) -> None:
        scale = (self.blocks.mean / self.concepts) ** 0.5
        drawn = nndsvd.random_images(range(self.blocks.rows), self.concepts, scale, self.seed)
        generator = torch.Generator().manual_seed(hash((self.seed, -1)) % 2**62)
        stacked = torch.randn(self.concepts, sum(self.blocks.widths), generator=generator, dtype=torch.float64)
        self.image_factor = drawn.to(self.device, self.dtype)
        self._set_factors(stacked.abs() * scale)

    def _start_search(self) -> None:
        width = sum(self.blocks.widths)
        columns = min(self.concepts + nndsvd.OVERSAMPLING, self.blocks.rows, width)
        self.subspace = nndsvd.random_subspace(width, columns, self.seed, torch.float64, self.device)
        self.coordinates = torch.zeros(columns, self.blocks.rows, dtype=self.dtype, device=self.device)

    def _set_factors(self, stacked: Tensor) -> None:
        """Take stacked rows ``(k, M)`` as the factors; give them unit length where the solver needs it."""
        parts = stacked.to(self.device, torch.float64).split(list(self.blocks.widths), dim=1)
        self.factors = [part.clone() for part in parts]
        if self.solver == "published":
            for factor in self.factors:
                factor /= factor.norm(dim=1, keepdim=True).clamp(min=torch.finfo(factor.dtype).tiny)
        elif self.penalties.any:
            norms = stacked.norm(dim=1).to(self.device)
            for factor in self.factors:
                factor /= norms[:, None]
            self.image_factor *= norms[:, None].to(self.dtype)

    def to(self, device: torch.device) -> None:
        """Move all tensors to a device."""
        self.device = device
        self.image_factor, self.coordinates = self.image_factor.to(device), self.coordinates.to(device)
        self.subspace, self.factors = self.subspace.to(device), [factor.to(device) for factor in self.factors]

    def gathered(self, reduce: Reduce) -> Tensor:
        """Hᵀ of all images, ``(k, N)``, where ``reduce`` adds a tensor up over all ranks."""
        if self.arrived_before is None:  # at the start and after resuming, every rank has all of it
            return self.image_factor
        return reduce(self.image_factor * self.arrived_before.to(self.device, self.dtype))

    def begin_pass(self) -> None:
        """Forget the sums of the last pass."""
        k = self.concepts if self.factors else self.subspace.shape[1]
        sizes = [(k, k), *((k, width) for width in self.blocks.widths), (4,)]
        gram, *products, scalars = (torch.zeros(size, dtype=torch.float64, device=self.device) for size in sizes)
        self.sums = Sums(gram, products, scalars)
        self.arrived.zero_()
        source = self.factors or self.subspace.T.split(list(self.blocks.widths), dim=1)
        self.working = [part.to(self.dtype).contiguous() for part in source]
        self.gram = torch.stack([part @ part.T for part in source]).sum(dim=0).to(self.dtype)

    def add(self, rows: Tensor, chunk: Sequence[Tensor]) -> None:
        """Update H for some images and add them to the sums.

        Args:
            rows: Numbers of the images, ``(n,)``.
            chunk: Their rows of every block, ``(n, m_b)``, floats of any precision.

        Raises:
            ValueError: If an image comes twice in a pass, or a group is not whole.
        """
        if self.arrived[rows].any() or len(rows.unique()) < len(rows):
            raise ValueError("an image came twice in one pass: use a sampler that neither pads nor repeats")
        self.arrived[rows] = True
        matrices = [part.to(self.device, self.dtype) for part in chunk]
        parts = [root * (w @ x.T) for root, w, x in zip(self.blocks.roots, self.working, matrices, strict=True)]
        images, columns = torch.stack(parts).sum(dim=0), rows.to(self.device)
        sums = self.sums
        if self.factors:
            groups, products = self._groups_of(rows), images
            images = self.image_factor[:, columns]
            update = hals.descend_image_factor if self.solver == "hals" else hals.multiply_image_factor
            update(images, products, self.gram, self.penalties, groups)
            self.image_factor[:, columns] = images
            sums.scalars[1] += 0.0 if groups is None else float(hals.group_norms(images, groups).double().sum())
        else:
            self.coordinates[:, columns] = images
        sums.gram += (images @ images.T).double()
        for root, total, x in zip(self.blocks.roots, sums.products, matrices, strict=True):
            total += root * (images @ x).double()
        sums.scalars[0] += images.sum().double()
        sums.scalars[2] += len(rows)
        sums.scalars[3] += float(rows.sum())

    def _groups_of(self, rows: Tensor) -> Tensor | None:
        """The group of each row, numbered from 0 without gaps; all images of a group must be in the chunk."""
        if self.groups is None or self.group_sizes is None:
            return None
        groups = self.groups[rows]
        present = torch.bincount(groups, minlength=len(self.group_sizes))
        if ((present > 0) & (present != self.group_sizes)).any():
            raise ValueError("with a group penalty all images of a group must be in one chunk: order them by group")
        return groups.to(self.device).unique(return_inverse=True)[1]

    def end_pass(self, reduce: Reduce = lambda part: part) -> None:
        """Finish a pass: update W, or come nearer to the start.

        Args:
            reduce: Adds a tensor up over all ranks.

        Raises:
            ValueError: If some image was missing or came to two ranks, or numbers are no longer finite.
        """
        products = [reduce(part) for part in self.sums.products]
        sums = Sums(reduce(self.sums.gram), products, reduce(self.sums.scalars))
        count, total = float(sums.scalars[2]), float(sums.scalars[3])
        if count != self.blocks.rows or total != self.blocks.rows * (self.blocks.rows - 1) / 2:
            raise ValueError(
                f"a pass had {count:.0f} images where each of {self.blocks.rows} must come once: use a sampler that "
                "neither pads nor leaves out"
            )
        if self.arrived_before is not None and not torch.equal(self.arrived_before, self.arrived):
            raise ValueError("images went to another rank than in the pass before: keep each on its rank")
        self.arrived_before = self.arrived.clone()
        if self.factors:
            self._update_factors(sums)
        else:
            self._approach_start(sums, reduce)

    def _update_factors(self, sums: Sums) -> None:
        if self.solver == "hals":
            hals.descend_factors(self.factors, sums.gram, sums.products, self.penalties.any)
        else:
            hals.multiply_factors(self.factors, sums.gram, sums.products)
        norms = self.blocks.norms
        errors = hals.squared_errors(self.factors, sums.gram, sums.products, norms)
        extra = hals.penalty(sums.gram, float(sums.scalars[0]), float(sums.scalars[1]), self.penalties)
        objective = sum(errors) / 2 + extra
        if objective != objective or abs(objective) == float("inf"):
            raise ValueError("the factorisation is no longer finite: is the scale of a block beyond the precision?")
        shares = [error / norm if norm > 0 else 0.0 for error, norm in zip(errors, norms, strict=True)]
        self.history.append([objective, *shares])

    def _approach_start(self, sums: Sums, reduce: Reduce) -> None:
        """One subspace iteration; after the last one, the start."""
        self.passes_to_start -= 1
        if self.passes_to_start > 0:
            self.subspace = torch.linalg.qr(torch.cat(sums.products, dim=1).T)[0]
            return
        values, rotation = nndsvd.singular_values(sums.gram, self.concepts)
        coordinates = self.coordinates.T.double()
        left = reduce(nndsvd.halves(coordinates[self.arrived.to(self.device)] @ rotation))
        start = nndsvd.signed_start(values, rotation, left, self.subspace @ rotation)
        filling = self.blocks.mean
        self.image_factor = nndsvd.start_of_images(coordinates, start, filling).to(self.dtype)
        self._set_factors(nndsvd.filled(start.factors, filling))
        self.subspace = self.coordinates = torch.zeros(0)

    def converged(self, tolerance: float) -> bool:
        """Whether the objective fell by no more than ``tolerance`` of its first value in each of the last passes."""
        values = [entry[0] for entry in self.history[-PATIENCE - 1 :]]
        decreases = [before - after for before, after in pairwise(values)]
        return len(decreases) == PATIENCE and all(part <= tolerance * self.history[0][0] for part in decreases)

    def block_factors(self) -> list[Tensor]:
        """W_b of each block, ``(k, m_b)``; zero where the block has no weight."""
        roots = self.blocks.roots
        return [w / root if root > 0 else torch.zeros_like(w) for w, root in zip(self.factors, roots, strict=True)]

    def state_dict(self, image_factor: Tensor) -> dict[str, object]:
        """The state between two passes.

        Args:
            image_factor: Hᵀ of all images, ``(k, N)``, where ranks share them.
        """
        names = ("factors", "subspace", "passes_to_start", "history")
        return {"image_factor": image_factor} | {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from :meth:`state_dict`, between two passes."""
        for name, value in state.items():
            setattr(self, name, value)
        if self.factors:
            self.coordinates = torch.zeros(0)
