"""Coupled non-negative factorisation, pass by pass over the images; one chunk of them is needed at a time."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from methods.concepts import hals, nndsvd
from methods.concepts.blocks import Blocks, Reduce, Sums
from methods.concepts.hals import Penalties

Solver = Literal["hals", "published"]
Start = Literal["nndsvda", "random"]
START_PASSES = 4  # over the images, to find singular vectors; one more gives the images' coordinates
PATIENCE = 3  # passes with too little decrease, before it stops


class CoupledFactorization:
    """Blocks ``X_b ≈ H W_b`` with one H; see :mod:`methods.concepts.hals` for the objective.

    A pass is: :meth:`begin_pass`, :meth:`add` for every chunk of images, each image once, and :meth:`end_pass`.
    With ``start=nndsvda`` the first :data:`START_PASSES` + 1 passes find the start. Every further pass is one exact
    sweep over H and one over W. Ranks that share the images give :meth:`end_pass` a function that adds up over all.

    Args:
        blocks: What is factorised.
        concepts: k.
        penalties: On H; if any is on, stacked rows have unit length.
        solver: ``hals``, or ``published``: multiplicative steps, and rows of unit length in every block.
        start: ``nndsvda``, or ``random``.
        seed: Of a random start, and of the subspace in which singular vectors are sought.
        groups: The group of each image, for the group penalty, ``(N,)``.
        dtype: Of factors and products; sums are float64.
        device: Of all of it.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        blocks: Blocks,
        concepts: int,
        *,
        penalties: Penalties | None = None,
        solver: Solver = "hals",
        start: Start = "nndsvda",
        seed: int = 0,
        groups: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        if solver not in get_args(Solver) or start not in get_args(Start):
            raise ValueError(f"solver={solver!r}, start={start!r}: choose {get_args(Solver)}, {get_args(Start)}")
        most = min(blocks.rows, sum(blocks.widths))
        if not 1 <= concepts <= most:
            raise ValueError(
                f"{concepts} concepts of {blocks.rows} images with {sum(blocks.widths)} columns: use 1 to {most}"
            )
        self.blocks, self.concepts, self.solver, self.seed = blocks, concepts, solver, seed
        self.penalties = penalties or Penalties()
        if self.penalties.group and (groups is None or len(groups) != blocks.rows):
            raise ValueError("the group penalty needs the group of every image")
        self.groups = groups if self.penalties.group else None
        self.group_sizes = None if self.groups is None else torch.bincount(self.groups)
        self.dtype, self.device = dtype, torch.device(device)
        self.history: list[list[float]] = []  # objective, then relative squared errors, of each pass
        self.passes_to_start = START_PASSES + 1 if start == "nndsvda" else 0
        self.image_factor = torch.zeros(concepts, blocks.rows, dtype=dtype, device=self.device)
        self.own = torch.zeros(blocks.rows, dtype=torch.bool)
        self.owned: Tensor | None = None  # in the pass before
        self.factors: list[Tensor] = []
        self.subspace = torch.zeros(0)
        self.coordinates = torch.zeros(0)
        if start == "random":
            self._start_randomly()
        else:
            self._start_search()

    @property
    def objective(self) -> float:
        """After the last pass."""
        return self.history[-1][0]

    def _start_randomly(self) -> None:
        scale = (self.blocks.mean / self.concepts) ** 0.5
        made = nndsvd.random_images(range(self.blocks.rows), self.concepts, scale, self.seed)
        generator = torch.Generator().manual_seed(hash((self.seed, -1)) % 2**62)
        stacked = torch.randn(self.concepts, sum(self.blocks.widths), generator=generator, dtype=torch.float64)
        self.image_factor = made.to(self.device, self.dtype)
        self._set_factors(stacked.abs() * scale)

    def _start_search(self) -> None:
        width = sum(self.blocks.widths)
        columns = min(self.concepts + nndsvd.OVERSAMPLING, self.blocks.rows, width)
        self.subspace = nndsvd.random_subspace(width, columns, self.seed, torch.float64, self.device)
        self.coordinates = torch.zeros(columns, self.blocks.rows, dtype=self.dtype, device=self.device)

    def _set_factors(self, stacked: Tensor) -> None:
        """Take stacked rows ``(k, M)`` as the factors; make them unit rows where they have to be."""
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
        """Go to a device."""
        self.device = device
        self.image_factor, self.coordinates = self.image_factor.to(device), self.coordinates.to(device)
        self.subspace, self.factors = self.subspace.to(device), [factor.to(device) for factor in self.factors]

    def owned_mask(self) -> Tensor:
        """1 for each image that came to this process in the last pass, else 0, ``(N,)``."""
        owned = torch.ones_like(self.own) if self.owned is None else self.owned
        return owned.to(self.device, self.dtype)

    def begin_pass(self) -> None:
        """Forget the sums of the last pass."""
        k = self.concepts if self.factors else self.subspace.shape[1]
        self.sums = Sums.zeros(k, self.blocks.widths, self.device)
        self.own.zero_()
        source = self.factors or self.subspace.T.split(list(self.blocks.widths), dim=1)
        self.working = [part.to(self.dtype).contiguous() for part in source]
        self.gram = torch.stack([part @ part.T for part in source]).sum(dim=0).to(self.dtype)

    def add(self, rows: Tensor, chunk: Sequence[Tensor]) -> None:
        """Take in some images.

        Args:
            rows: Their numbers, ``(n,)``.
            chunk: Their rows of every block, ``(n, m_b)``, floats of any precision.

        Raises:
            ValueError: If an image comes twice in a pass, or a group is not whole.
        """
        if self.own[rows].any() or len(rows.unique()) < len(rows):
            raise ValueError("an image came twice in one pass: use a sampler that neither pads nor repeats")
        self.own[rows] = True
        matrices = [part.to(self.device, self.dtype) for part in chunk]
        parts = [root * (w @ x.T) for root, w, x in zip(self.blocks.roots, self.working, matrices, strict=True)]
        products = torch.stack(parts).sum(dim=0)
        places = rows.to(self.device)
        if self.factors:
            found = self.image_factor[:, places]
            self._descend(found, products, self._groups_of(rows))
            self.image_factor[:, places] = found
        else:
            found = products
            self.coordinates[:, places] = found
        sums = self.sums
        sums.gram += (found @ found.T).double()
        for root, total, x in zip(self.blocks.roots, sums.products, matrices, strict=True):
            total += root * (found @ x).double()
        sums.scalars[0] += found.sum().double()
        sums.scalars[1] += self._group_norms(found, rows)
        sums.scalars[2] += len(rows)
        sums.scalars[3] += float(rows.sum())

    def _descend(self, found: Tensor, products: Tensor, groups: Tensor | None) -> None:
        step = hals.descend_image_factor if self.solver == "hals" else hals.multiply_image_factor
        step(found, products, self.gram, self.penalties, groups)

    def _groups_of(self, rows: Tensor) -> Tensor | None:
        """The group of each row; each must be here with all of its images."""
        if self.groups is None or self.group_sizes is None:
            return None
        groups = self.groups[rows]
        present = torch.bincount(groups, minlength=len(self.group_sizes))
        if ((present > 0) & (present != self.group_sizes)).any():
            raise ValueError("with a group penalty all images of a group must be in one chunk: order them by group")
        return groups.to(self.device)

    def _group_norms(self, found: Tensor, rows: Tensor) -> float:
        groups = self._groups_of(rows)
        if groups is None or not self.factors:
            return 0.0
        members = groups.unique(return_inverse=True)[1]
        squares = found.new_zeros(len(found), int(members.max()) + 1).index_add_(1, members, found**2)
        return float(squares.sqrt().double().sum())

    def end_pass(self, reduce: Reduce = lambda part: part) -> None:
        """Finish a pass: move the factors, or come nearer to the start.

        Args:
            reduce: Adds a tensor up over all ranks.

        Raises:
            ValueError: If some image was missing or came to two ranks, or numbers are no longer finite.
        """
        sums = self.sums.reduced(reduce)
        count, total = float(sums.scalars[2]), float(sums.scalars[3])
        if count != self.blocks.rows or total != self.blocks.rows * (self.blocks.rows - 1) / 2:
            raise ValueError(
                f"a pass had {count:.0f} images where each of {self.blocks.rows} must come once: use a sampler that "
                "neither pads nor leaves out"
            )
        if self.owned is not None and not torch.equal(self.owned, self.own):
            raise ValueError("images went to another rank than in the pass before: keep each on its rank")
        self.owned = self.own.clone()
        if not self.factors:
            self._come_nearer(sums, reduce)
        else:
            self._move(sums)

    def _move(self, sums: Sums) -> None:
        if self.solver == "hals":
            hals.descend_factors(self.factors, sums.gram, sums.products, self.penalties.any)
        else:
            hals.multiply_factors(self.factors, sums.gram, sums.products)
        norms = self.blocks.norms
        errors = hals.squared_errors(self.factors, sums.gram, sums.products, norms)
        extra = hals.penalty(sums.gram, float(sums.scalars[0]), float(sums.scalars[1]), self.penalties)
        objective = sum(errors) / 2 + extra
        if objective != objective or abs(objective) == float("inf"):
            raise ValueError("the factorisation is no longer finite: is a block's scale beyond the precision?")
        shares = [error / norm if norm > 0 else 0.0 for error, norm in zip(errors, norms, strict=True)]
        self.history.append([objective, *shares])

    def _come_nearer(self, sums: Sums, reduce: Reduce) -> None:
        """One subspace iteration; after the last, the start."""
        self.passes_to_start -= 1
        if self.passes_to_start > 0:
            self.subspace = torch.linalg.qr(torch.cat(sums.products, dim=1).T)[0]
            return
        values, rotation = nndsvd.singular_values(sums.gram, self.concepts)
        own = self.own.to(self.device)
        coordinates = self.coordinates.T.double()
        left = reduce(nndsvd.halves(coordinates[own] @ rotation))
        begun = nndsvd.signed_start(values, rotation, left, self.subspace @ rotation)
        filling = self.blocks.mean
        self.image_factor = nndsvd.start_of_images(coordinates, begun, filling).to(self.dtype)
        self._set_factors(nndsvd.filled(begun.factors, filling))
        self.subspace = self.coordinates = torch.zeros(0)

    def converged(self, tolerance: float) -> bool:
        """Whether the objective fell by no more than ``tolerance`` of its first value in each of the last passes."""
        values = [entry[0] for entry in self.history[-PATIENCE - 1 :]]
        falls = [before - after for before, after in pairwise(values)]
        return len(falls) == PATIENCE and all(fall <= tolerance * self.history[0][0] for fall in falls)

    def block_factors(self) -> list[Tensor]:
        """W_b of each block, ``(k, m_b)``; zero where the block has no weight."""
        roots = self.blocks.roots
        return [w / root if root > 0 else torch.zeros_like(w) for w, root in zip(self.factors, roots, strict=True)]

    def transform(self, chunk: Sequence[Tensor]) -> Tensor:
        """H of other images, ``(n, k)``, factors fixed; the group penalty is left out.

        Args:
            chunk: Their rows of every block, ``(n, m_b)``.
        """
        roots, wide = self.blocks.roots, torch.float64
        factors = [part.to(wide) for part in self.factors]
        gram = torch.stack([part @ part.T for part in factors]).sum(dim=0)
        parts = [r * (w @ x.to(self.device, wide).T) for r, w, x in zip(roots, factors, chunk, strict=True)]
        return hals.project(torch.stack(parts).sum(dim=0), gram, self.penalties).T

    def state_dict(self, gathered: Tensor | None = None) -> dict[str, object]:
        """All that the passes so far have left.

        Args:
            gathered: The image factor of all images, where ranks share them.
        """
        return {
            "image_factor": self.image_factor if gathered is None else gathered,
            "factors": self.factors,
            "subspace": self.subspace,
            "passes_to_start": self.passes_to_start,
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from :meth:`state_dict`, between two passes."""
        for name, value in state.items():
            setattr(self, name, value)
        if self.factors:
            self.coordinates = torch.zeros(0)


def fit(
    factorization: CoupledFactorization,
    chunks: Callable[[], Iterable[tuple[Tensor, Sequence[Tensor]]]],
    passes: int,
    tolerance: float = 1e-6,
) -> int:
    """Factorise in this process alone; returns the number of passes after the start.

    Args:
        factorization: Changed in place.
        chunks: Gives the rows' numbers and their blocks, chunk by chunk, anew for every pass.
        passes: Most of them, after the start.
        tolerance: As for :meth:`CoupledFactorization.converged`.
    """
    while len(factorization.history) < passes:
        factorization.begin_pass()
        for rows, chunk in chunks():
            factorization.add(rows, chunk)
        factorization.end_pass()
        if factorization.converged(tolerance):
            break
    return len(factorization.history)
