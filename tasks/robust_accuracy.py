"""``task=robust_accuracy``: how often every classifier is right on test images, as they are and attacked."""

import pandas as pd
from omegaconf import DictConfig

from datamodules.poisoned import without_poison
from lightning_modules import RobustAccuracy
from networks.attacks import PgdAttack
from stats.proportion import wilson_interval
from study import adversaries, classifiers
from study.artifact import Artifact, settings_of
from study.console import is_first_rank, say_made, say_skipped, say_skipped_images, show_table
from study.data import make_data
from study.folder import study_folder
from study.labels import own_labels, with_labels_of
from study.trainer import accelerate, make_trainer


def adversary(cfg: DictConfig) -> PgdAttack:
    """Who attacks, the same for all classifiers."""
    found = adversaries.read(cfg.robust_accuracy.adversary, "robust_accuracy.adversary")
    if found is None:
        raise ValueError("robust_accuracy.adversary=null: say who attacks, as {norm: linf, epsilon: 0.03137}")
    return found


def run(cfg: DictConfig) -> float:
    """Write both accuracies of every classifier with their intervals, and return the mean one under attack."""
    folder, configs, attacker = study_folder(cfg), classifiers.study_classifiers(cfg), adversary(cfg)
    data = without_poison(make_data(cfg, cfg.robust_accuracy.batch_size))
    inputs = {"images": data.fingerprint()} | {
        f"classifier {name}": classifiers.weights_fingerprint(cfg, config) for name, config in configs.items()
    }
    inputs |= {f"question to {name}": str(asked) for name, asked in own_labels(configs).items()}
    path = folder.robust_accuracy
    settings = settings_of(cfg) | {"adversary": vars(attacker), "classifiers": list(configs)}
    artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)
    if artifact.exists():
        return say_skipped(path, artifact.objective())
    rows = {name: accuracies(cfg, config, attacker) for name, config in configs.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("classifier")
    mean = float(table["robust_accuracy"].mean())
    if is_first_rank():
        with artifact.making(mean) as temporary:
            table.to_csv(temporary[path])
    cells = [
        [name, f"{row['accuracy']:.1%}", f"{row['robust_accuracy']:.1%}", f"{row['lower']:.1%} to {row['upper']:.1%}"]
        for name, row in rows.items()
    ]
    show_table(f"test images under attack by {attacker}", ["", "as they are", "attacked", "95 % interval"], cells)
    say_skipped_images(data.unreadable(), folder.job("robust_accuracy"))
    say_made(path)
    return mean


def accuracies(cfg: DictConfig, config: DictConfig, attacker: PgdAttack) -> dict[str, float]:
    """Both accuracies of one classifier, the 95 % interval of the one under attack, and the number of images."""
    asked = with_labels_of(cfg, config)
    data = without_poison(make_data(asked, cfg.robust_accuracy.batch_size))
    classifier = classifiers.load_classifier(cfg, config, data)
    accelerate(cfg, classifier)
    [found] = make_trainer(cfg).test(RobustAccuracy(classifier, attacker, cfg.seed), datamodule=data, verbose=False)
    images = len(data.split("test")) - len(data.unreadable())
    lower, upper = wilson_interval(found["test/robust_accuracy"], images)
    return {
        "accuracy": found["test/accuracy"],
        "robust_accuracy": found["test/robust_accuracy"],
        "lower": float(lower),
        "upper": float(upper),
        "images": images,
    }
