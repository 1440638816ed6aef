"""How fast losses are made, checked and tried; writes docs/results/loss_search_speed.md.

    python perf/loss_search_speed.py [--graphs 8192]

One core. Seconds are of the processor, so that another program beside it does not count.
"""

from __future__ import annotations

import argparse
import time

import _page
import numpy as np

from losses.classification import Program
from po_nas.research.evolved_losses import curves
from po_nas.research.evolved_losses.archive import Archive
from po_nas.research.evolved_losses.checks import IntegrityCheck
from po_nas.research.evolved_losses.config import Setting, load_evolve_loss
from po_nas.research.evolved_losses.graph import mutate, sample
from po_nas.research.evolved_losses.probe import gain, probe
from po_nas.research.evolved_losses.training import Job, train
from surrogates.isolation import single_thread

_BATCH = 64


def _seconds(call) -> tuple[float, object]:
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=8192)
    count = parser.parse_args().graphs
    rng = np.random.default_rng(0)
    sampling, graphs = _seconds(lambda: [sample(rng) for _ in range(count)])
    batches = [graphs[k : k + _BATCH] for k in range(0, count, _BATCH)]
    check = IntegrityCheck()
    curving, _ = _seconds(lambda: [check.structure_and_curve(batch) for batch in batches])
    check = IntegrityCheck()
    checking, accepted = _seconds(lambda: [one for batch in batches for one in check.accept(batch)])
    programs = [(Program(one.graph.formula), one.sign) for one in accepted[:200]]
    probing, _ = _seconds(lambda: [probe(*one) for one in programs])
    gaining, _ = _seconds(lambda: [gain(*one) for one in programs])
    mutating, _ = _seconds(lambda: [mutate(one.graph, rng) for one in accepted[:1000]])
    archive = Archive(curves.POINTS + 64)
    for vector in rng.random((5000, curves.POINTS + 64)):
        archive.add(vector)
    asked = rng.random((200, curves.POINTS + 64))
    asking, _ = _seconds(lambda: [archive.near(vector) for vector in asked])
    rows = [
        ("random graphs", f"{count / sampling:,.0f} a second"),
        ("structure and binary curve, graphs given", f"{count / curving:,.0f} a second"),
        ("random graph, structure and binary curve", f"**{count / (sampling + curving):,.0f} a second**"),
        ("random graph and all checks", f"{count / (sampling + checking):,.0f} a second"),
        ("accepted of all checked", f"{len(accepted):,} of {count:,}"),
        ("mutation", f"{1e6 * mutating / min(1000, len(accepted)):,.0f} µs"),
        ("ten classes and gradients", f"{1e6 * probing / len(programs):,.0f} µs"),
        ("phenotype among 5,000", f"{1e6 * asking / len(asked):,.0f} µs"),
        ("free predictions", f"{1e3 * gaining / len(programs):,.1f} ms"),
    ]
    config = load_evolve_loss(None)
    loss = {"name": "formula", "formula": accepted[0].text, "sign": accepted[0].sign, "scale": accepted[0].scale}
    with single_thread():
        for name, rung in (
            ("screen", config.screen),
            ("fitness", config.fitness),
            *((f"elimination {k + 1}", r) for k, r in enumerate(config.elimination)),
        ):
            for setting in rung.settings:
                rows.append(
                    (f"training on digits: {name}, {setting.title}", f"{_training(config, setting, loss):.2f} s")
                )
    lines = [
        "# Speed of a search for losses",
        "",
        f"Made by `python perf/loss_search_speed.py`: processor seconds of one core, {_page.machine('numpy', 'torch')}; "
        "losses are computed in NumPy, their curves judged in batches of 64. Trainings are those of the preset `laptop` "
        "by the project's trainer, reading of data not counted.",
        "",
        *_page.table(("what", "speed"), rows),
    ]
    _page.publish("loss_search_speed", lines)


def _training(config, setting: Setting, loss) -> float:
    job = Job(loss, setting, "digits", 0, config.samples, config.validation)
    train(Job(loss, setting.model_copy(update={"epochs": 1}), "digits", 0, config.samples, config.validation))
    return _seconds(lambda: train(job))[0]


if __name__ == "__main__":
    main()
