"""A small factorisation whose concepts are known: each belongs to a class and lives most in one block."""

import numpy as np

from methods.concepts.record import ConceptRecord

CLASSES = [f"class {label}" for label in range(6)]
SUPERCLASSES = ["even", "odd"] * 3
BLOCKS = ("pixels", "layer2", "layer4", "avgpool")
SHAPES = ((3, 8, 8), (10, 4, 4), (30, 1, 1), (20, 1, 1))


def made_record(
    images: int = 240, concepts: int = 8, dead: int | None = None, seed: int = 0, top: int = 6
) -> ConceptRecord:
    """Concept r is of class ``r % 6``; the classifier errs on images that are mostly of another class's concept."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images + 60) % len(CLASSES)
    factor = generator.exponential(size=(len(labels), concepts))
    factor *= 1 + 5 * (labels[:, None] == np.arange(concepts) % len(CLASSES))
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    factors = [generator.gamma(0.5, size=(concepts, size)) for size in sizes]
    for concept in range(concepts):
        factors[concept % len(factors)][concept] *= 3
    factors[0] = (pictures(concepts, 8) + 0.05 * generator.random((concepts, 3, 8, 8))).reshape(concepts, -1)
    if dead is not None:
        factor[:, dead] = 0
    predicted = factor.argmax(axis=1) % len(CLASSES)
    fitted = slice(0, images)
    held = slice(images, None)
    order = np.argsort(-factor[fitted], axis=0)[:top].T
    shown = np.clip(pictures(concepts, 8)[:, None] + 0.1 * generator.random((concepts, top, 3, 8, 8)), 0, 1)
    return ConceptRecord(
        image_factor=factor[fitted], index=np.arange(images), labels=labels[fitted], predicted=predicted[fitted],
        heldout_image_factor=factor[held], heldout_index=np.arange(60), heldout_labels=labels[held],
        heldout_predicted=predicted[held], blocks=np.array(BLOCKS), shapes=np.array(SHAPES),
        weights=np.array([1 / size for size in sizes]), factors=np.concatenate(factors, axis=1), errors=np.full(4, 0.1),
        heldout_errors=np.full(4, 0.12), objective=np.geomspace(1, 0.1, 20), mean_image=np.full((3, 8, 8), 0.4),
        top_index=order, top_images=(255 * shown).astype(np.uint8), classes=np.array(CLASSES),
    )  # fmt: skip


def pictures(concepts: int, side: int) -> np.ndarray:
    """A picture of each concept in [0, 1], ``(k, 3, side, side)``: a patch of one colour, each at another position."""
    drawn = np.full((concepts, 3, side, side), 0.1)
    for concept in range(concepts):
        row, column = divmod(concept * 3 % (side * side), side)
        drawn[concept, concept % 3, row : row + 4, column : column + 4] = 0.9
    return drawn
