"""The configurations that come with the package: every one is read and checked, none is run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from po_nas import benchmarks, methods
from po_nas.compare.design import ComparisonConfig, load_comparison
from po_nas.compare.measures import MEASURES
from po_nas.core.settings import validated
from po_nas.research.evolved_proxies.design import load_evolved_study
from po_nas.research.fusion.design import load_fusion_study
from po_nas.research.loss_study.design import load_loss_study
from po_nas.runtime.config import load_config

CONFIGS = Path(__file__).parents[2] / "configs"
LOSSES = sorted(CONFIGS.glob("studies/losses_*.yaml"))
FUSION = sorted(CONFIGS.glob("studies/fusion*.yaml"))
EVOLVED = sorted(CONFIGS.glob("studies/evolved_proxies*.yaml"))
PUBLISHED = sorted(CONFIGS.glob("published/*.yaml"))
NUMBERS = {path: yaml.safe_load(path.read_text(encoding="utf-8")).get("published") for path in PUBLISHED}
COMPARISONS = sorted({*CONFIGS.glob("studies/*.yaml"), *PUBLISHED} - {*LOSSES, *EVOLVED, *FUSION})
SEARCHES = sorted(CONFIGS.glob("*.yaml"))
EVERY = sorted(CONFIGS.rglob("*.yaml"))


def name(path: Path) -> str:
    return path.relative_to(CONFIGS).as_posix()


def repeated_keys(node: yaml.Node) -> list[str]:
    if isinstance(node, yaml.SequenceNode):
        return [key for child in node.value for key in repeated_keys(child)]
    if not isinstance(node, yaml.MappingNode):
        return []
    counts = Counter(key.value for key, _ in node.value)
    below = [key for _, child in node.value for key in repeated_keys(child)]
    return [key for key, count in counts.items() if count > 1] + below


@pytest.mark.parametrize("path", EVERY, ids=name)
def test_no_key_hides_another(path):
    # Of two methods with one label YAML would silently keep the second.
    assert repeated_keys(yaml.compose(path.read_text(encoding="utf-8"))) == []


def test_repeated_keys_are_seen():
    assert repeated_keys(yaml.compose("methods: {a: x, b: [{c: 1, c: 2}], a: y}")) == ["a", "c"]


@pytest.mark.parametrize("path", EVOLVED, ids=name)
def test_studies_of_evolved_metrics_are_valid(path):
    assert load_evolved_study(path).problems


@pytest.mark.parametrize("path", FUSION, ids=name)
def test_studies_of_fusion_are_valid(path):
    assert load_fusion_study(path).benchmarks()


@pytest.mark.parametrize("path", COMPARISONS, ids=name)
def test_comparisons_are_valid(path):
    config = load_comparison(path)
    one = config.model_copy(update={"seeds": config.seeds[:1]})
    cells = one.cells(config.names())
    assert len(cells) == len(config.names()) * len(config.methods)
    # Labels differ and so do the searches that they stand for.
    assert len({str(cell.key) for cell in cells}) == len(cells)
    assert config.reported[-1] == config.budget


@pytest.mark.parametrize("path", LOSSES, ids=name)
def test_loss_studies_are_valid(path):
    assert load_loss_study(path).groups()


@pytest.mark.parametrize("path", SEARCHES, ids=name)
def test_searches_are_valid(path):
    config = load_config(path)
    benchmarks.registry.entry(config.benchmark)
    options = validated(methods.registry.get(config.method.name).Options, config.method.options)
    assert options.model_dump().keys() >= config.method.options.keys()


@pytest.fixture(params=PUBLISHED, ids=name)
def study(request) -> ComparisonConfig:
    return load_comparison(request.param)


def test_published_studies_can_be_tested_for_significance(study):
    assert len(study.seeds) == 20


def test_published_numbers_are_of_the_study(study):
    for entry in study.published:
        assert entry.benchmark in study.names()
        assert entry.measure in MEASURES
        assert entry.source
        if entry.ours:
            # Else it would stand beside nothing.
            assert entry.ours in study.methods
            assert entry.evaluations in study.reported
    told = Counter((e.benchmark, e.method, e.measure, e.evaluations) for e in study.published)
    assert [key for key, count in told.items() if count > 1] == []


DATA = {"pwlnas_table2": "nasbench201", "robot_table2": "nasbench201"} | dict.fromkeys(
    ("pwlnas_table4", "robot_table3"), "transnasbench101"
)


@pytest.mark.parametrize("file", DATA)
def test_published_numbers_are_in_our_units(file, public_data):
    """Nothing published is above the best of our tables: errors are converted, SSIM is a fraction, ranks are ranks."""
    public_data(DATA[file])
    study = load_comparison(CONFIGS / "published" / f"{file}.yaml")
    objectives = {benchmark: benchmarks.get(benchmark, study.feedback) for benchmark in study.names()}
    for entry in study.published:
        found = objectives[entry.benchmark]
        if entry.measure == "rank":
            assert 1 <= entry.value <= len(found.rows)
            continue
        optimum = found.optimum_validation if entry.measure == "validation" else found.optimum_test
        # Two digits are printed; a paper's mean is no bad architecture's.
        assert 0.7 * optimum[0] < entry.value <= optimum[0] + 0.005


def test_every_list_of_numbers_is_printed():
    files = {path.name for path in CONFIGS.glob("published/numbers/*.yaml")}
    assert files == {Path(numbers).name for numbers in NUMBERS.values() if numbers}


@pytest.mark.parametrize(
    ("file", "measure", "errors"),
    [
        # As the papers print them.
        ("pwlnas_table2", "best_test_queried", {"cifar10": 5.63, "cifar100": 26.51, "imagenet16-120": 52.88}),
        ("pwlnas_table3", "test", {"cifar10": 5.80}),
    ],
)
def test_errors_of_pwlnas_are_printed_as_accuracies(file, measure, errors):
    study = load_comparison(CONFIGS / "published" / f"{file}.yaml")
    found = {
        e.benchmark.partition("/")[2]: 100 - e.value
        for e in study.published
        if e.ours == "pwlnas" and e.measure == measure
    }
    assert found == pytest.approx(errors)
    # The least error that there is on either benchmark.
    assert all(100 - e.value >= 5.63 - 1e-9 for e in study.published)
