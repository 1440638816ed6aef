"""Every benchmark on public files, against facts that were established independently of this code."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.benchmarks import data
from po_nas.benchmarks.data.nasbench201 import load_public
from po_nas.benchmarks.data.nasbench201_rows import flops, parameters
from po_nas.errors import InvalidArchitectureError, MissingDataError
from tests.errors import raised

ON_FILES = [e.name for e in benchmarks.registry.entries() if e.spec.dataset and not e.spec.surrogate]

# name, feedback: best validation, its test, the rank of that, best test, rho, rho in the best tenth
FACTS = {
    ("nasbench201/cifar10", "full"): (91.61, 94.37, 1, 94.37, 0.982, 0.71),
    ("nasbench201/cifar10", "epochs12"): (84.89, 94.37, 1, 94.37, 0.771, 0.69),
    ("nasbench201/cifar10", "robot"): (84.89, 94.37, 1, 94.37, 0.771, 0.69),
    ("nasbench201/cifar100", "full"): (73.49, 73.51, 1, 73.51, 0.993, 0.78),
    ("nasbench201/cifar100", "epochs12"): (61.32, 72.28, 34, 73.51, 0.825, 0.72),
    ("nasbench201/cifar100", "robot"): (84.89, 73.09, None, 73.51, 0.777, None),
    ("nasbench201/imagenet16-120", "full"): (46.73, 46.20, 38, 47.31, 0.994, 0.79),
    ("nasbench201/imagenet16-120", "epochs12"): (38.67, 46.48, 18, 47.31, 0.817, 0.75),
    ("nasbench201/imagenet16-120", "robot"): (84.89, 46.33, None, 47.31, 0.811, None),
    ("transnas_micro/class_scene", "full"): (54.94, 63.57, 13, 64.18, 0.939, 0.22),
    ("transnas_micro/class_object", "full"): (46.32, 51.15, 381, 52.56, 0.851, 0.17),
    ("transnas_micro/room_layout", "full"): (-0.5938, -0.5659, 20, -0.5510, 0.933, 0.40),
    ("transnas_micro/jigsaw", "full"): (95.37, 95.27, 1, 95.27, 0.997, 0.84),
    ("transnas_micro/segmentsemantic", "full"): (26.27, 28.00, 362, 29.59, 0.939, 0.29),
    ("transnas_micro/normal", "full"): (0.5962, 0.6190, 1, 0.6190, 0.992, 0.84),
    ("transnas_micro/autoencoder", "full"): (0.5772, 0.5960, 1, 0.5960, 0.998, 0.95),
    ("transnas_macro/class_scene", "full"): (57.48, 64.48, 85, 65.27, 0.952, 0.41),
    ("transnas_macro/class_object", "full"): (47.96, 53.36, 63, 54.35, 0.842, 0.31),
    ("transnas_macro/room_layout", "full"): (-0.5628, -0.5484, 52, -0.5158, 0.744, 0.42),
    ("transnas_macro/jigsaw", "full"): (97.02, 97.07, 1, 97.07, 0.993, 0.90),
    ("transnas_macro/segmentsemantic", "full"): (29.66, 30.90, 180, 32.47, 0.939, 0.34),
    ("transnas_macro/normal", "full"): (0.6435, 0.6709, 1, 0.6709, 0.993, 0.92),
    ("transnas_macro/autoencoder", "full"): (0.7688, 0.7808, 1, 0.7808, 0.999, 0.99),
    ("nasbench101/cifar10", "full"): (94.91, None, None, None, None, None),
    ("nasbench101/cifar10", "epochs36"): (None, None, 30, 94.91, 0.879, None),
    ("nasbench101/cifar10", "epochs12"): (None, None, None, 94.91, 0.618, None),
    ("nasbench101/cifar10", "epochs4"): (None, None, None, 94.91, 0.451, None),
    ("nasbench301/cifar10", "full"): (94.49, None, None, None, None, None),
}
# The final-epoch validation maxima of TransNAS-Bench-101.
FINAL = {
    "transnas_micro": (54.94, 45.59, -0.6010, 95.37, 94.61, 0.5873, 0.5772),
    "transnas_macro": (57.41, 47.42, -0.5822, 97.02, 94.86, 0.6435, 0.7488),
}
TASKS = ("class_scene", "class_object", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder")


def same(found: float | None, published: float | None) -> bool:
    """Whether a number is the published one to the digits that were published."""
    if published is None:
        return True
    digits = 4 if abs(published) < 2 else 2
    return found is not None and abs(found - published) <= 0.51 * 10**-digits


@pytest.mark.parametrize(("name", "feedback"), [pytest.param(*key, id=" ".join(key)) for key in FACTS])
def test_optimum_and_noise_ceiling(name, feedback, public_data):
    public_data(benchmarks.registry.entry(name).spec.dataset or "nasbench201")
    best, ceiling, rank, best_test, rho, rho_top = FACTS[name, feedback]
    found = benchmarks.get(name, feedback).describe()
    assert same(found.optimum_validation[0], best)
    assert same(found.ceiling_test, ceiling)
    assert rank is None or found.ceiling_test_rank == rank
    assert same(found.optimum_test and found.optimum_test[0], best_test)
    assert rho is None or found.spearman == pytest.approx(rho, abs=1.1e-3)
    # The published value rounds the size of the tenth differently.
    assert rho_top is None or found.spearman_top_tenth == pytest.approx(rho_top, abs=0.015)


@pytest.mark.parametrize("family", FINAL)
def test_final_epoch_of_transnas(family, public_data):
    public_data("transnasbench101")
    for task, best in zip(TASKS, FINAL[family], strict=True):
        full, robot = (benchmarks.get(f"{family}/{task}", feedback) for feedback in ("full", "robot"))
        assert same(robot.optimum_validation[0], best)
        assert "final" in robot.feedback.epochs
        if task == "segmentsemantic":
            assert "mIoU" in full.metric.name
            assert "accuracy" in robot.metric.name
            assert full.notes
        else:
            # The best epoch is never worse than the last one.
            assert (full.validation >= robot.validation).all()
            np.testing.assert_array_equal(full.test, robot.test)


@pytest.mark.parametrize("name", ON_FILES)
def test_every_architecture_has_its_row(name, public_data):
    spec = benchmarks.registry.entry(name).spec
    public_data(spec.dataset)
    benchmark = benchmarks.get(name)
    assert benchmark.space.size == benchmark.distinct == len(benchmark.validation)
    rng = np.random.default_rng(0)
    for row in rng.integers(benchmark.distinct, size=20).tolist():
        architecture = benchmark.rows.architecture(row)
        assert benchmark.row(architecture) == row
        assert benchmark.row(benchmark.space.from_string(benchmark.space.to_string(architecture))) == row
        assert benchmark.evaluate(architecture).validation == benchmark.validation[row]
        sampled = benchmark.space.sample(rng)
        assert benchmark.evaluate(sampled).failure is None
    assert set(benchmark.extras) <= set(benchmark.units) <= {*benchmark.extras, *benchmark.measured}
    first = benchmark.rows.architecture(0)
    told = {name: column[0] for name, column in benchmark.measured.items()}
    assert benchmark.evaluate(first).metrics == {"validation": benchmark.validation[0], **told}


def test_rows_agree_with_the_files_they_came_from(public_data):
    """Cells and networks whose numbers were read from the public files by eye."""
    public_data("transnasbench101", "nasbench101_sample", "nasbench301_sample", "suite_zero")
    for name, text, validation in (
        ("transnas_macro/class_scene", "64-4111-basic", 53.02547836303711),
        ("transnas_macro/autoencoder", "64-4111-basic", 0.6472733020782471),
        ("suite_zero/transbench101_micro-ninapro", "64-41414-0_31_023", 92.86798184847795),
        (
            "suite_zero/nasbench201-scifar100",
            "|nor_conv_1x1~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|",
            29.959998724365235,
        ),
    ):
        benchmark = benchmarks.get(name)
        assert benchmark.evaluate(benchmark.space.from_string(text)).validation == validation
    sample = benchmarks.get("nasbench101/cifar10", "epochs4")
    assert sample.space.canonical(sample.rows.architecture(0)) == "00005c142e6f48ac74fdcf73e3439874"
    assert sample.validation[0] == 100 * 0.3604767620563507


def test_isomorphic_cells_outside_the_pool_are_found(public_data):
    public_data("nasbench101_sample")
    benchmark = benchmarks.get("nasbench101/cifar10")
    base = benchmark.space.base
    # In a cell of few edges some vertices are dead, and an edit there changes nothing.
    row = next(r for r in range(benchmark.distinct) if sum(benchmark.rows.architecture(r).code[0]) <= 4)
    listed = benchmark.rows.architecture(row)
    twins = [near for near in base.neighbours(listed) if base.canonical(near) == base.canonical(listed)]
    assert twins
    assert {benchmark.row(twin) for twin in twins} == {row}


def test_an_architecture_outside_the_pool_is_refused(public_data):
    public_data("suite_zero")
    benchmark = benchmarks.get("suite_zero/nasbench201-svhn")
    base = benchmark.space.base
    listed = {base.canonical(architecture) for architecture in benchmark.space.enumerate()}
    stranger = next(a for a in base.enumerate() if base.canonical(a) not in listed)
    with raised(InvalidArchitectureError, "199", space=benchmark.space.label, value=stranger.code):
        benchmark.evaluate(stranger)


@pytest.mark.parametrize("name", [n for n in ON_FILES if n.endswith(("cifar10", "jigsaw", "svhn"))])
def test_without_the_data_the_command_is_named(name):
    dataset = benchmarks.registry.entry(name).spec.dataset
    with raised(MissingDataError, name, f"po-nas data get {dataset}", dataset=dataset):
        benchmarks.get(name)


def test_hardware_costs(public_data):
    public_data("nasbench201_hardware", "nasbench201")
    table = data.table("nasbench201_hardware")
    assert len(table) == 53
    assert {table.unit(c) for c in table if c.endswith("latency")} == {"ms"}
    assert np.isnan(table["hw_c10_edgetpu_latency"]).sum() == 4_699
    row = int(np.flatnonzero(data.table("nasbench201")["api_index"] == 0)[0])
    assert table["hw_c10_pixel3_latency"][row] == 3.6058499999999998
    assert table["lat_help_samsung_s7"][row] == 29.0


def test_public_numbers_of_nasbench201_are_none_without_the_data():
    assert load_public("c10") is None


def test_public_numbers_of_nasbench201(public_data):
    public_data("nasbench201")
    assert set(load_public("c10")) == {"test_200", "val_12", "test_12", "cost_12_s"}
    assert set(load_public("in16")) == {"test_200", "val_12", "test_12"}
    assert load_public("c10")["cost_12_s"].mean() == pytest.approx(109.7, abs=0.05)


def test_the_rule_of_sizes_agrees_with_the_wheel_but_for_known_cells():
    for task, prefix in (("cifar10", "c10"), ("cifar100", "c100"), ("imagenet16-120", "in16")):
        listed = benchmarks.get(f"nasbench201/{task}").extras["params"]
        assert (~np.isclose(parameters(prefix), listed, atol=5e-6)).sum() in (0, 204)
        assert flops(prefix).min() > 0
