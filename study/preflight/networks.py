"""One batch through every classifier, forward and backward, before anything is trained with it."""

import torch
from omegaconf import DictConfig
from torch import Tensor

from datamodules.views.subset import spread_images
from networks.classifier import Classifier
from study.classifiers import RANDOM, load_classifier, make_classifier
from study.data import make_data
from study.labels import with_given_labels_of, without_decisions
from study.preflight.faults import FaultList

BATCH = 4  # images whose gradient is computed
DECIDED = 24  # images whose decisions are looked at
AT_CHANCE = 0.05  # of the way from the confidence of guessing to 1


def check_classifier(cfg: DictConfig, config: DictConfig, faults: FaultList) -> None:
    """Build a classifier with its weights, if it has some, and try it on a few images.

    Args:
        cfg: The configuration.
        config: The classifier.
        faults: Gets every fault: a network that cannot be built, weights of another network, an output that is no
            matrix of finite logits, images that get no gradient, or decisions that cannot be decisions: equal for all
            images, or as uncertain as guesses.
    """
    with faults.noted():
        data = make_data(with_given_labels_of(without_decisions(cfg), config))
        classifier = load_classifier(cfg, config, data) if config.weights else make_classifier(config, data)
        images = spread_images(data.split("test"), DECIDED)
        check_pass(classifier.eval(), images[:BATCH], config)
        if not config.get("decisions"):
            check_count(classifier, images[:1], len(data.classes), config)
        if config.get("decisions") and config.weights and config.weights != RANDOM:
            check_decisions(classifier, images, config)


def check_pass(classifier: Classifier, images: Tensor, config: DictConfig) -> None:
    """Refuse a classifier whose output is no matrix of finite logits, or that gives images no gradient.

    Raises:
        ValueError: Names the classifier and what is wrong.
    """
    who, shape = f"classifier {config.name}", " × ".join(map(str, images.shape))
    images = images.clone().requires_grad_()
    try:
        logits = classifier(images)
    except Exception as error:  # a network of a user can raise anything
        raise ValueError(
            f"{who} fails on images of {shape}: {type(error).__name__}: {error}. It must take RGB images in that layout"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        got = " × ".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"{who} gives {got} for {len(images)} images; expected one row of logits for each image")
    if not logits.isfinite().all():
        raise ValueError(f"{who} gives numbers that are not finite: its weights or its normalisation are wrong")
    if not logits.requires_grad:
        raise ValueError(f"{who} gives no gradient: its forward pass must not be under torch.no_grad or detach tensors")
    gradient = torch.autograd.grad(logits.logsumexp(dim=1).sum(), images, allow_unused=True)[0]
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        state = "no gradient" if gradient is None else "a gradient of zero"
        if gradient is not None and not gradient.isfinite().all():
            state = "a gradient that is not finite"
        raise ValueError(f"{who} gives images {state}: nothing can be trained through it")


@torch.no_grad()
def check_count(classifier: Classifier, images: Tensor, classes: int, config: DictConfig) -> None:
    """Refuse a classifier with another number of logits than it is said to have, or fewer than there are labels."""
    logits = classifier(images).shape[1]
    if logits < classes or logits != (config.classes or classes):
        raise ValueError(
            f"classifier {config.name} gives {logits} logits, and the images have {classes} classes: use "
            "labels=decisions, or images with its classes"
        )


@torch.no_grad()
def check_decisions(classifier: Classifier, images: Tensor, config: DictConfig) -> None:
    """Refuse a classifier that predicts the same for all images, or only guesses.

    Raises:
        ValueError: Names the classifier, what is wrong, and the usual causes.
    """
    logits = torch.cat([classifier(part) for part in images.split(BATCH)]).double()
    confidence, chance = float(logits.softmax(dim=1).amax(dim=1).mean()), 1 / logits.shape[1]
    causes = "usual causes are weights that do not belong to it and a wrong mean, std or size of its preprocessing"
    if len(logits) > 1 and torch.allclose(logits, logits[:1].expand_as(logits), rtol=1e-4, atol=1e-6):
        raise ValueError(f"classifier {config.name} has the same logits for all images; {causes}")
    if confidence < chance + AT_CHANCE * (1 - chance):
        raise ValueError(
            f"classifier {config.name} only guesses: its mean confidence on {len(images)} images is {confidence:.2g}, "
            f"and chance is {chance:.2g}; {causes}"
        )
