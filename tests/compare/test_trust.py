"""What the searches of a comparison have learned is found again, kept, and drawn."""

from __future__ import annotations

import numpy as np
import pytest

import po_nas
from po_nas import methods
from po_nas.compare import run as running
from po_nas.compare.design import ComparisonConfig
from po_nas.compare.report import make_comparison_report
from po_nas.compare.results import Study
from po_nas.compare.run import run_comparison
from po_nas.compare.runs import read_runs
from po_nas.methods.model_free import RandomSearch

TASK = "nasbench_graph/proteins"


class Learned(RandomSearch):
    """Its weights are what it was told; a search of seed 1 has nothing to say, one of seed 2 cannot."""

    def explain(self):
        if self.seed == 2:
            raise RuntimeError("too tired")
        if self.seed == 1:
            return None
        told = [self.score(o.outcome) for o in self.successes]
        rows = [
            {"label": "incumbent", "architectures": 1, "weights": [max(told), -float(len(told))]},
            {"label": "others", "architectures": 2, "weights": [0.0, 0.0]},
        ]
        return {"trust": {"proxies": ["params", "flops"], "rows": rows}}


@pytest.fixture(autouse=True)
def learned():
    methods.register("learned_toy", summary="says what it was told")(Learned)
    yield
    methods.registry.remove("learned_toy")


def config(seeds: int) -> ComparisonConfig:
    wanted = {"benchmarks": TASK, "methods": {"mine": "learned_toy", "random": None}, "seeds": seeds, "budget": 6}
    return ComparisonConfig.model_validate(wanted)


def test_it_is_what_the_search_itself_would_say(tmp_path, caplog, monkeypatch):
    study = Study.load(run_comparison(config(4), tmp_path).parent)
    (trust,) = study.trust
    assert (trust.benchmark, trust.method, trust.proxies) == (TASK, "mine", ("params", "flops"))
    ends = [study.values("validation", TASK, "mine", 6)[seed] for seed in (0, 3)]
    np.testing.assert_allclose(trust.weights, [[ends[0], -6], [ends[1], -6]])
    assert f"{TASK}, seed 2" in caplog.text
    assert study.finished, "an explanation that fails is no failed search"
    # Another session runs no search again, asks once more what could not be said, and goes on with further seeds.
    ran = []
    monkeypatch.setattr(running, "run_cell", lambda cell: ran.append(cell.search.seed) or [])
    monkeypatch.setattr(Learned, "explain", lambda self: {"trust": {"proxies": ["x"], "rows": []}})
    run_comparison(config(4), tmp_path)
    assert ran == []
    caplog.clear()
    run_comparison(config(4), tmp_path)
    assert caplog.text == ""


def test_five_searches_are_enough(tmp_path):
    alone = ComparisonConfig.model_validate({**config(8).model_dump(), "methods": {"mine": {"name": "learned_toy"}}})
    (trust,) = Study.load(run_comparison(alone, tmp_path).parent).trust
    assert trust.weights.shape == (3, 2), "five seeds, of which one has nothing to say and one cannot"


def test_it_is_drawn(tmp_path):
    study = Study.load(run_comparison(config(2), tmp_path).parent)
    paths = make_comparison_report(study, tmp_path)
    assert tmp_path / "figures" / "trust.png" in paths.figures
    assert 'id="about-trust"' in paths.page.read_text()


def test_run_directories_have_it_too(tmp_path):
    for seed in (0, 3):
        po_nas.search(benchmark=TASK, method="learned_toy", budget=6, seed=seed, out=tmp_path / str(seed))
    (trust,) = read_runs([tmp_path / "0", tmp_path / "3"]).trust
    assert trust.weights.shape == (2, 2)
    assert read_runs([tmp_path / "0"]).trust[0].weights[0, 1] == -6
