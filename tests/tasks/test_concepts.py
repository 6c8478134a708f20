"""Concepts of a small study: what is kept agrees with the factorisation, and nothing is made twice or half."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from scipy.optimize import nnls  # type: ignore[import-untyped]

import run
from callbacks.stopping import STOP_REQUESTS
from datamodules import FakeImages
from datamodules.base import Split
from methods.concepts.activation_collection import Collected
from methods.concepts.activations import Activations, check_columns, check_disk, choose_images
from methods.concepts.blocks import StoredMatrix
from methods.concepts.fits import (
    ConceptFactorization,
    Method,
    block_weights,
    factorize,
    heldout_column_error,
    method_of,
    project,
    published_method,
)
from methods.concepts.hals import NO_PENALTIES, Penalties
from methods.concepts.record import ConceptRecord
from study.records import read_record
from tests.images import LOADING, fake_images
from tests.studies import Compose, Program, compose

SMALL = (
    "task=concepts", "classifiers=[vgg_compact]", "classifier_settings={vgg_compact:{weights:random}}", "data=cues",
    "data.images=8", "data.held_out=24", "data.size=16", "concepts.k=3", "concepts.layers=[features.0.2,head.1]",
    "concepts.permutations=20", "concepts.passes=30", "concepts.chunk=7", "checkpoint_every=0",
)  # fmt: skip
ALONE = (*SMALL, "concepts.controls=false", "concepts.seeds=[]", "concepts.importance_images=0")
LAYERS = ["features.0.2", "head.1"]
COLUMNS = {
    "concepts": "concept mass images top_class top_class_mass class_entropy null_mean p q superclass_entropy "
    "top_superclass dead",
    "profile": "concept block share",
    "classes": "concept class share superclass",
    "neurons": "block neuron concept selectivity",
    "importance": "block concept images logit_drop changed control_logit_drop control_changed",
    "ranks": "k error heldout_error stability chance",
    "stability": "concept cosine chance",
    "impurity": "images low high count accuracy lower upper",
    "cues": "cue value concept auroc null_upper",
}


class Interruption(Exception):
    pass


@pytest.fixture(scope="module")
def finished_concepts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``concepts`` folder of a small study with everything on; tests never write to it."""
    studies = tmp_path_factory.mktemp("concepts")
    table = "class,superclass\n" + "".join(
        f"class_{label},{'even' if label % 2 == 0 else 'odd'}\n" for label in range(4)
    )
    (studies / "groups.csv").write_text(table)
    everything = ("concepts.seeds=[0,1]", "concepts.ranks=[2,3]", f"concepts.superclasses={studies / 'groups.csv'}")
    run.run(compose(studies, *SMALL, *everything))
    return studies / "smoke" / "concepts"


@pytest.mark.slow
def test_every_table_has_its_columns_and_rows(finished_concepts: Path) -> None:
    tables = {name: pd.read_csv(finished_concepts / f"{name}.csv") for name in COLUMNS}
    for name, columns in COLUMNS.items():
        assert tables[name].columns.tolist() == ["classifier", *columns.split()], name
        assert set(tables[name]["classifier"]) == {"vgg_compact"}
    rows = {name: len(table) for name, table in tables.items()}
    widths = 3 * 16 * 16 + 12 + 128
    live = int((~tables["concepts"]["dead"]).sum())
    assert rows | {"impurity": 0} == {
        "concepts": 3, "profile": 9, "classes": 12, "neurons": widths, "importance": 2 * live, "ranks": 2,
        "stability": 3, "impurity": 0, "cues": 16,
    }  # fmt: skip
    assert set(tables["importance"]["block"]) == set(LAYERS)
    assert tables["ranks"]["k"].tolist() == [2, 3]
    assert set(tables["cues"]["cue"]) == {"colour", "shape", "texture", "background"}
    assert tables["cues"]["auroc"].max() > 0.5
    assert set(tables["classes"]["superclass"]) == {"even", "odd"}
    assert tables["impurity"].groupby("images")["count"].sum().to_dict() == {"fitted": 24, "heldout": 24}
    assert np.allclose(tables["profile"].groupby("concept")["share"].sum(), 1)


@pytest.mark.slow
def test_every_control_is_a_row(finished_concepts: Path) -> None:
    controls = pd.read_csv(finished_concepts / "controls.csv")
    assert controls["control"].tolist() == [
        "concepts", "permuted", "untrained", "pixels", "activations", *(f"layer:{layer}" for layer in LAYERS),
        *(f"untrained layer:{layer}" for layer in LAYERS), "kmeans", "pca", "published",
    ]  # fmt: skip
    complete = controls.set_index("control").drop(
        columns="knn_impurity_auroc"
    )  # NaN where all predictions are right, or none
    unknown = complete.isna().stack()
    left = {index for index, missing in unknown.items() if missing}
    expected = {("permuted", f"cluster_difference{end}") for end in ("", "_lower", "_upper")}
    assert left == expected | {("kmeans", "error"), ("pca", "error")}
    concepts = complete.loc["concepts"]
    assert (concepts["difference"], concepts["cluster_difference"]) == (0, 0)
    assert complete.loc["published", "error"] > concepts["error"]
    entropies, differences = complete["class_entropy"], complete["difference"]
    assert np.isclose(entropies["permuted"], entropies["concepts"] + differences["permuted"])


@pytest.mark.slow
def test_the_file_holds_the_factorisation(finished_concepts: Path) -> None:
    file = read_record(ConceptRecord, finished_concepts / "vgg_compact.npz")
    assert file.blocks.tolist() == ["pixels", *LAYERS]
    fitted = finished_concepts / "activations" / "vgg_compact-fitted"
    blocks = [np.load(next(fitted.glob(f"{number}_*.npy"))).astype(float) for number in range(3)]
    for x, weight, factor, error in zip(blocks, file.weights, file.block_factors, file.errors, strict=True):
        square = (x**2).sum()
        assert weight == pytest.approx(1 / square)
        assert error == pytest.approx(((x - file.image_factor @ factor) ** 2).sum() / square, rel=1e-3)
    half = sum(file.errors) / 2
    assert file.objective[-1] == pytest.approx(half)
    assert (np.diff(file.objective) <= 1e-6).all()
    assert np.allclose(blocks[0].mean(axis=0), file.mean_image.ravel(), atol=1e-6)
    assert file.index.tolist() == list(range(24))
    for concept, row in enumerate(file.top_index):
        order = np.argsort(-file.image_factor[:, concept], kind="stable")
        assert row[0] == file.index[order[0]]
        assert np.allclose(file.top_images[concept, 0] / 255, blocks[0][order[0]].reshape(3, 16, 16), atol=1e-6)
    matrix = np.load(finished_concepts / "vgg_compact-stability.npz")["matrix"]
    assert np.allclose(matrix.diagonal(), pd.read_csv(finished_concepts / "stability.csv")["cosine"])


def test_the_same_again_is_skipped_and_other_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = run.run(compose(tmp_path, *ALONE))
    folder = tmp_path / "smoke" / "concepts"
    assert objective == pytest.approx(pd.read_csv(folder / "concepts.csv")["class_entropy"].mean())
    assert not list(tmp_path.rglob("last.ckpt"))
    assert not list(tmp_path.rglob("*.partial*"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    def never(*_: Any) -> None:
        raise Interruption

    monkeypatch.setattr(ConceptFactorization, "training_step", never)
    assert run.run(compose(tmp_path, *ALONE, "concepts.memory=64")) == pytest.approx(objective)
    assert "there already" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"concepts\.k was 3, now 4"):
        run.run(compose(tmp_path, *ALONE, "concepts.k=4"))


def test_what_was_interrupted_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.run(compose(tmp_path / "whole", *ALONE))
    steps = 0
    original = ConceptFactorization.training_step

    def interrupted(self: ConceptFactorization, batch: Any, batch_idx: int) -> None:
        nonlocal steps
        steps += 1
        if steps in (11, 60):  # four batches a pass: while the start is sought, and within a pass
            raise Interruption
        original(self, batch, batch_idx)

    monkeypatch.setattr(ConceptFactorization, "training_step", interrupted)
    for _ in range(2):
        with pytest.raises(Interruption):
            run.run(compose(tmp_path / "cut", *ALONE))
        assert len(list(tmp_path.rglob("last.ckpt"))) == 1
    assert not (tmp_path / "cut" / "smoke" / "concepts" / "concepts.csv").exists()
    run.run(compose(tmp_path / "cut", *ALONE))
    whole, cut = (
        read_record(ConceptRecord, tmp_path / name / "smoke" / "concepts" / "vgg_compact.npz")
        for name in ("whole", "cut")
    )
    assert np.array_equal(whole.image_factor, cut.image_factor)
    assert np.array_equal(whole.objective, cut.objective)
    assert np.array_equal(whole.factors, cut.factors)
    assert not list(tmp_path.rglob("last.ckpt"))
    assert STOP_REQUESTS.held_back is False


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("concepts.k=25", r"concepts\.k=25: there are 24 images, so at most 24 concepts"),
        ("concepts.ranks=[2,30]", r"concepts\.k=30: there are 24 images"),
        ("concepts.k=0", r"concepts\.k=0: give a whole number from 1 on"),
        ("concepts.k=2.5", r"concepts\.k=2\.5"),
        ("concepts.penalties=0.5", r"concepts\.penalties"),
        ("concepts.images=0", r"concepts\.images=0: give a whole number from 1 on"),
        ("concepts.heldout_images=0", r"concepts\.heldout_images=0: give a whole number from 1 on"),
        ("concepts.permutations=0", r"concepts\.permutations=0: give a whole number from 1 on"),
        ("concepts.chunk=0", r"concepts\.chunk=0: give a whole number from 1 on"),
        ("concepts.importance_images=-1", r"concepts\.importance_images=-1: give a whole number from 0 on"),
        ("concepts.split=train", r"concepts\.split=train: give val or test"),
        ("concepts.pool=median", r"concepts\.pool=median: give avg or max or none"),
        ("concepts.negative=keep", r"concepts\.negative=keep: give refuse or split"),
        ("concepts.storage=int8", r"concepts\.storage=int8: give float32 or float16"),
        ("concepts.seeds=[1,1]", r"concepts\.seeds=\[1, 1\]: give a list, .* from 0 on, each once"),
        ("concepts.ranks=null", r"concepts\.ranks"),
        ("concepts.ranks=[0]", r"concepts\.ranks=\[0\]: give a list, each element a whole number from 1 on"),
        ("presets/concepts=best", r"presets/concepts/best"),
        ("concepts.solver=als", r"concepts\.solver=als: give hals or published"),
        ("concepts.penalties={l3:1}", r"concepts\.penalties={l3:1}"),
        ("concepts.penalties={l1:-1}", r"concepts\.penalties\.l1=-1\.0: give a number from 0 on"),
        ("concepts.weights=even", r"concepts\.weights=even: use balanced, equal, or factors by name"),
        ("concepts.weights=[1,2]", r"concepts\.weights=\[1, 2\]: use balanced, equal, or factors by name"),
        ("concepts.weights={head:2}", r"concepts\.weights: 'head' is no block; there are pixels, features\.0\.2"),
        ("concepts.weights={pixels:0,features.0.2:0,head.1:0}", r"give factors from 0 on, not all 0"),
        ("concepts.layers=head.1", r"concepts\.layers=head\.1: give names in brackets, as \[head\.1\], or list"),
        ("concepts.layers=[heat.1]", r"the network has no layer 'heat\.1'; did you mean head\.1"),
        ("concepts.layers=[head.1,head.1]", r"give one block or more, each once"),
        ("concepts.layers=[pixels]", r"give one block or more, each once"),
        ("concepts.memory=0.000001", r"of memory, and there are .* GiB: use concepts\.pool=avg"),
        ("concepts.superclasses=none.csv", r"concepts\.superclasses=none\.csv does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_any_work(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.concepts.activations.collect", None)
    kinds = (ValueError, FileNotFoundError, OmegaConfBaseException, HydraException)
    with pytest.raises(kinds, match=message):
        run.run(compose(tmp_path, *SMALL, override))
    assert not (tmp_path / "smoke" / "concepts").exists()


def test_fewer_columns_than_concepts_and_a_full_disk_are_refused(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"concepts\.k=13: the blocks have 12 columns, so at most 12 concepts"):
        run.run(composed(*SMALL, "concepts.k=13", "concepts.pixels=false", "concepts.layers=[features.0.2]"))
    options = composed(*SMALL).concepts
    check_columns(10_000, 16_128, options)
    with pytest.raises(ValueError, match=r"each take .* GiB, and .* GiB free: use concepts\.pool=avg"):
        check_disk(10**9, 10**9, options, tmp_path / "not" / "there")
    check_disk(10**9, 10**9, options, tmp_path, present=4 * 10**18)


def test_layers_are_listed_and_nothing_else_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.run(compose(tmp_path, *SMALL, "concepts.layers=list"))
    said = capsys.readouterr().out
    assert all(name in said for name in (*LAYERS, "features.8"))
    assert "network." not in said
    assert not (tmp_path / "smoke" / "concepts").exists()


class SameImages(FakeImages):
    def same_images(self, one: Split, other: Split) -> bool:
        return True


def test_validation_images_that_are_test_images_are_shared_out(composed: Compose) -> None:
    images: dict[str, Any] = LOADING | {"class_count": 3, "size": 8, "images": 12}
    options = composed(*SMALL, "concepts.images=6", "concepts.heldout_images=4").concepts
    fitted, heldout = choose_images(options, SameImages(**images))
    assert (fitted.split, heldout.split) == ("val", "val")
    assert not set(fitted.chosen) & set(heldout.chosen)
    assert (len(fitted.chosen), len(heldout.chosen)) == (6, 4)
    other = choose_images(options, fake_images(**images))
    assert [part.split for part in other] == ["val", "test"]
    with pytest.raises(ValueError, match=r"none is left to hold out: use fewer than 12 in concepts\.images"):
        choose_images(composed(*SMALL).concepts, SameImages(**images))


def made_activations(
    folder: Path, blocks: Sequence[np.ndarray], labels: np.ndarray, dtype: str = "float64"
) -> Activations:
    rows, names = len(labels), ["pixels", "a", "b"][: len(blocks)]
    matrices = []
    for name, block in zip(names, blocks, strict=True):
        matrix = StoredMatrix.create(folder / f"{name}.npy", rows, block.shape[1], dtype)
        matrix.write(np.arange(rows), block.astype(dtype))
        matrices.append(matrix)
    stored = [block.astype(dtype).astype(float) for block in blocks]
    collected = Collected(
        np.ones(rows, bool), labels, labels, np.array([x.sum() for x in stored]),
        np.array([(x**2).sum() for x in stored]),
        np.zeros((3, 1, 1), np.float32),
    )  # fmt: skip
    shapes = [(block.shape[1], 1, 1) for block in blocks]
    return Activations(names, shapes, matrices, np.arange(rows), np.arange(rows), collected)


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Activations, Activations]:
    """Two sets of images of the same three concepts, with a little noise."""
    generator = np.random.default_rng(0)
    factors = [scale * generator.gamma(0.5, size=(3, width)) for scale, width in ((1, 7), (30, 5), (0.1, 6))]
    made = []
    for name, count in (("fitted", 26), ("heldout", 9)):
        images = generator.gamma(0.5, size=(count, 3))
        blocks = [images @ w * (1 + 0.05 * generator.random((count, w.shape[1]))) for w in factors]
        made.append(made_activations(tmp_path / name, blocks, np.arange(count) % 4))
    return made[0], made[1]


STABLE = Method("hals", "nndsvda", "balanced", NO_PENALTIES, passes=1000, tolerance=1e-6, seed=0)


def test_images_that_were_factorised_are_projected_to_their_own_factor(
    composed: Compose, planted: tuple[Activations, Activations]
) -> None:
    fitted, _ = planted
    for penalties in (NO_PENALTIES, Penalties(l1=0.01, l2=0.02, orthogonality=0.01, group=0)):
        method = replace(STABLE, penalties=penalties, passes=250, tolerance=-1.0)
        found = factorize(composed(*SMALL), fitted, 3, method)
        projected, errors = project(found, fitted, penalties, chunk=4)
        assert np.abs(projected - found.image_factor).max() < 1e-3 * found.image_factor.max()
        assert errors == pytest.approx(found.errors, rel=1e-2)


def test_other_images_are_projected_by_non_negative_least_squares(
    composed: Compose, planted: tuple[Activations, Activations]
) -> None:
    fitted, heldout = planted
    found = factorize(composed(*SMALL), fitted, 3, STABLE)
    projected, errors = project(found, heldout, NO_PENALTIES, chunk=4)
    x = [np.load(matrix.path) for matrix in heldout.matrices]
    roots = np.sqrt(found.weights)
    stacked = np.concatenate([root * w for root, w in zip(roots, found.factors, strict=True)], axis=1)
    rows = np.concatenate([root * part for root, part in zip(roots, x, strict=True)], axis=1)
    expected = np.stack([nnls(stacked.T, row)[0] for row in rows])
    assert np.allclose(projected, expected, atol=1e-5 * expected.max())
    literal = [((part - expected @ w) ** 2).sum() / (part**2).sum() for part, w in zip(x, found.factors, strict=True)]
    assert errors == pytest.approx(literal, rel=1e-4)


def test_fewer_held_out_images_than_concepts_and_an_empty_block(
    composed: Compose, tmp_path: Path, planted: tuple[Activations, Activations]
) -> None:
    found = factorize(composed(*SMALL), planted[0], 3, STABLE)
    blocks = [np.load(matrix.path)[:2] for matrix in planted[1].matrices]
    blocks[1][:] = 0
    projected, errors = project(found, made_activations(tmp_path, blocks, np.arange(2)), NO_PENALTIES, chunk=4)
    assert projected.shape == (2, 3)
    assert np.isnan(errors).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_half_of_the_columns_tell_the_other_half(
    composed: Compose, tmp_path: Path, planted: tuple[Activations, Activations], dtype: str
) -> None:
    found = factorize(composed(*SMALL), planted[0], 3, STABLE)
    scale = 1e-3 if dtype == "float16" else 1.0  # weighted, these are far below what half precision holds
    x = [scale * np.load(matrix.path) for matrix in planted[1].matrices]
    heldout = made_activations(tmp_path / dtype, x, np.arange(9), dtype)
    x = [np.load(matrix.path).astype(float) for matrix in heldout.matrices]
    generator, errors, known, wanted, told = np.random.default_rng(5), [], [], [], []
    roots = np.sqrt(found.weights)
    for root, part, factor in zip(roots, x, found.factors, strict=True):
        order = generator.permutation(part.shape[1])
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        known.append((root * factor[:, half], root * part[:, half]))
        wanted.append(part[:, other])
        told.append(factor[:, other])
    stacked, rows = (np.concatenate(parts, axis=1) for parts in zip(*known, strict=True))
    images = np.stack([nnls(stacked.T, row)[0] for row in rows])
    for part, factor in zip(wanted, told, strict=True):
        errors.append(((part - images @ factor) ** 2).sum() / (part**2).sum())
    assert heldout_column_error(found, heldout, 4, 5) == pytest.approx(np.mean(errors), rel=1e-3)


def test_too_many_concepts_tell_other_columns_worse(
    composed: Compose, planted: tuple[Activations, Activations]
) -> None:
    errors = {
        k: heldout_column_error(factorize(composed(*SMALL), planted[0], k, STABLE), planted[1], 100, 0) for k in (1, 3)
    }
    assert errors[3] < errors[1] / 3


def test_weights_are_balanced_equal_or_named(planted: tuple[Activations, Activations]) -> None:
    fitted, _ = planted
    balanced = [1 / square for square in fitted.collected.squares]
    assert block_weights("balanced", fitted) == balanced
    assert block_weights("equal", fitted) == [1, 1, 1]
    assert block_weights({"a": 0.5, "pixels": 0}, fitted) == [0, balanced[1] / 2, balanced[2]]


def test_a_block_without_weight_has_no_error(composed: Compose, planted: tuple[Activations, Activations]) -> None:
    fitted, heldout = planted
    without = replace(STABLE, weights={"a": 0}, passes=200)
    found = factorize(composed(*SMALL), fitted, 3, without)
    projected, errors = project(found, heldout, NO_PENALTIES, chunk=4)
    assert not found.factors[1].any()
    for named in (found.errors, errors):
        assert np.isnan(named).tolist() == [False, True, False]
    assert found.error == pytest.approx((found.errors[0] + found.errors[2]) / 2)
    alone = factorize(composed(*SMALL), fitted.of(["pixels", "b"]), 3, STABLE)
    other = heldout.of(["pixels", "b"])
    assert np.allclose(projected, project(alone, other, NO_PENALTIES, chunk=4)[0], rtol=1e-2, atol=1e-2)
    assert heldout_column_error(found, heldout, 4, 0) < 0.1


def test_the_published_preset_is_the_papers(composed: Compose) -> None:
    published = compose_concepts(composed, "presets/concepts=published")
    assert method_of(published, 0) == published_method(0)
    method = published_method(3)
    assert (method.solver, method.start, method.weights, method.passes) == ("published", "random", "equal", 50)
    assert (method.tolerance, method.seed) == (1e-6, 3)
    assert method.penalties == Penalties(l1=1, l2=1, orthogonality=0, group=0)
    changed = method_of(compose_concepts(composed, "presets/concepts=published", "concepts.penalties.l1=0.5"), 0)
    assert changed == replace(published_method(0), penalties=replace(method.penalties, l1=0.5))
    assert method_of(compose_concepts(composed), 0) == STABLE


def compose_concepts(composed: Compose, *overrides: str) -> Any:
    return composed(*(key for key in SMALL if "passes" not in key), *overrides).concepts


def test_groups_of_the_group_penalty_are_classes(
    composed: Compose, planted: tuple[Activations, Activations], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, _ = planted
    strong = replace(STABLE, penalties=replace(NO_PENALTIES, group=0.2), passes=60)
    found = factorize(composed(*SMALL, "concepts.chunk=5"), fitted, 3, strong)
    assert (found.image_factor > 0).any()
    empty = [~(found.image_factor[fitted.labels == label] > 0).any(axis=0) for label in range(4)]
    assert np.any(empty)  # whole classes leave a concept together
    weak = factorize(composed(*SMALL), fitted, 3, STABLE)
    assert not np.any([~(weak.image_factor[fitted.labels == label] > 0).any(axis=0) for label in range(4)])


def test_an_own_random_start_is_not_found_again_by_itself(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, "presets/concepts=published", "concepts.seeds=[0,1]"))
    folder = tmp_path / "smoke" / "concepts"
    both = pd.read_csv(folder / "stability.csv")["cosine"]
    run.run(compose(tmp_path, *ALONE, "presets/concepts=published", "concepts.seeds=[1]", "study=other"))
    assert np.allclose(both, pd.read_csv(tmp_path / "other" / "concepts" / "stability.csv")["cosine"])


def test_pixels_alone_can_be_factorised(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *SMALL, "concepts.layers=[]", "concepts.seeds=[]"))
    controls = pd.read_csv(tmp_path / "smoke" / "concepts" / "controls.csv")
    assert controls["control"].tolist() == ["concepts", "permuted", "untrained", "kmeans", "pca", "published"]
    assert pd.read_csv(tmp_path / "smoke" / "concepts" / "importance.csv").empty


def test_another_table_of_superclasses_counts_and_its_path_does_not(tmp_path: Path) -> None:
    rows = [f"class_{label},{'even' if label % 2 == 0 else 'odd'}\n" for label in range(4)]
    for name, lines in {"one": rows, "same": rows, "other": [*rows[:3], "class_3,even\n"]}.items():
        (tmp_path / f"{name}.csv").write_text("class,superclass\n" + "".join(lines))
    classes = tmp_path / "smoke" / "concepts" / "classes.csv"
    found = []
    for name in ("one", "same", "other"):
        run.run(compose(tmp_path, *ALONE, f"concepts.superclasses={tmp_path / name}.csv"))
        found.append((classes.stat().st_mtime_ns, pd.read_csv(classes)["superclass"].tolist()))
    assert found[0] == found[1]
    assert found[2][1] == ["even", "odd", "even", "even"] * 3


@pytest.mark.slow
def test_two_processes_find_the_same(tmp_path: Path, program: Program) -> None:
    given = ("experiment=smoke", *SMALL, "concepts.seeds=[0]")
    program(*given, f"studies={tmp_path / 'one'}")
    program(*given, f"studies={tmp_path / 'two'}", "trainer.devices=2", "trainer.strategy=ddp")
    one, two = (tmp_path / name / "smoke" / "concepts" for name in ("one", "two"))
    for name in (*COLUMNS, "controls"):
        pd.testing.assert_frame_equal(
            pd.read_csv(one / f"{name}.csv"), pd.read_csv(two / f"{name}.csv"), rtol=1e-3, atol=1e-3
        )
    files = [read_record(ConceptRecord, folder / "vgg_compact.npz") for folder in (one, two)]
    assert np.allclose(files[0].image_factor, files[1].image_factor, rtol=1e-3, atol=1e-3)
    assert torch.equal(*(torch.from_numpy(file.index) for file in files))
