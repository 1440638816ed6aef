"""Speed and quality of the neural predictors against their targets; writes docs/results/predictors.md.

    python perf/predictors.py

A five-member ensemble is fitted to 100 random cells of NAS-Bench-201 (CIFAR-10 validation accuracy) and scores all
15,625: as one batched model, and its members one by one in a plain loop over an ``nn.Module`` with the same data,
batches, steps and optimiser. One thread. Both ways alternate and the fastest of several rounds counts, since a busy
machine only ever adds time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import _page
import numpy as np
import torch
from scipy.stats import kendalltau

import losses
import surrogates
from po_nas import benchmarks, spaces
from surrogates.encodings import Encodings
from surrogates.ensemble import DeepEnsemble
from surrogates.isolation import seeded
from surrogates.labels import scaled
from surrogates.optimiser import warmup_cosine
from surrogates.training import TrainingSettings, member_seeds

TRAIN, MEMBERS, TOP = 100, 5, 78
ROUNDS, SEEDS = 8, 5


def sample(seed: int, total: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice(total, TRAIN, replace=False))


def one_by_one(
    inputs: Encodings, rows: torch.Tensor, targets: torch.Tensor, loss: str, steps: int
) -> tuple[float, float]:
    """Seconds to train and to score, member after member."""
    settings, pool = TrainingSettings(), inputs
    training = scoring = 0.0
    batch = math.ceil(TRAIN / math.ceil(TRAIN / settings.batch))
    for member, seed in enumerate(member_seeds(0, MEMBERS)):
        started = time.perf_counter()
        with seeded(seed):
            network = surrogates.network("gcn")(inputs.shape)
        labels = scaled(targets[rows[member]], losses.get(loss), None)
        prepared = network.prepare(inputs[rows[member]])
        rng = np.random.default_rng(seed)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=labels.loss.spec.learning_rate, weight_decay=settings.weight_decay
        )
        order: list[int] = []
        for step in range(steps):
            if len(order) < batch:
                order += rng.permutation(TRAIN).tolist()
            chosen = torch.tensor(order[:batch])
            del order[:batch]
            predicted = network(tuple(tensor[chosen] for tensor in prepared), None, None)
            value = labels.loss.compute(predicted, labels.values[chosen])
            optimiser.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), labels.loss.spec.gradient_clip)
            for group in optimiser.param_groups:
                group["lr"] = labels.loss.spec.learning_rate * warmup_cosine(step + 1, settings.steps, settings.warmup)
            optimiser.step()
        training += time.perf_counter() - started
        started = time.perf_counter()
        with torch.no_grad():
            prepared = network.prepare(pool)
            for start in range(0, len(pool), 512):
                network(tuple(tensor[start : start + 512] for tensor in prepared), None, None)
        scoring += time.perf_counter() - started
    return training, scoring


def batched(
    inputs: Encodings, known: torch.Tensor, targets: torch.Tensor, loss: str
) -> tuple[float, float, DeepEnsemble]:
    """Seconds to fit and to score, and the fitted ensemble."""
    ensemble = DeepEnsemble("gcn", members=MEMBERS, loss=loss)
    started = time.perf_counter()
    ensemble.fit(inputs[known], targets[known])
    fitted = time.perf_counter()
    ensemble.posterior(inputs)
    return fitted - started, time.perf_counter() - fitted, ensemble


def quality(fit: Callable[[int], torch.Tensor], truth: torch.Tensor) -> tuple[str, str]:
    """Kendall's tau and Precision@0.5 % over seeds, mean and standard error."""
    best = set(truth.argsort(descending=True)[:TOP].tolist())
    found = [fit(seed) for seed in range(SEEDS)]
    taus = [kendalltau(f.numpy(), truth.numpy()).statistic for f in found]
    precisions = [100 * len(best & set(f.argsort(descending=True)[:TOP].tolist())) / TOP for f in found]
    cells = [(np.mean(v), np.std(v, ddof=1) / math.sqrt(SEEDS)) for v in (taus, precisions)]
    return f"{cells[0][0]:.3f} ± {cells[0][1]:.3f}", f"{cells[1][0]:.1f} ± {cells[1][1]:.1f}"


def main() -> None:
    torch.set_num_threads(1)
    space, task = spaces.get("nasbench201"), benchmarks.get("nasbench201/cifar10")
    started = time.perf_counter()
    inputs = Encodings.stack(space.encode_graph(a) for a in space.enumerate())
    encoding = time.perf_counter() - started
    truth = torch.from_numpy(np.asarray(task.validation) / 100)
    known = sample(0, len(inputs))
    rows = known.expand(MEMBERS, -1)

    speed = []
    for loss in ("hr", "mse"):
        together, apart, steps = [], [], 0
        for _ in range(ROUNDS):
            fit, score, ensemble = batched(inputs, known, truth, loss)
            assert ensemble.trained is not None
            steps = int(ensemble.trained.steps.max())
            together.append((fit, score))
            apart.append(one_by_one(inputs, rows, truth, loss, steps))
        (a, b), (c, d) = min(together, key=sum), min(apart, key=sum)
        speed.append(
            (
                loss,
                steps,
                f"{a:.2f}",
                f"{b:.2f}",
                f"**{a + b:.2f}**",
                f"{c:.2f}",
                f"{d:.2f}",
                f"{c + d:.2f}",
                f"**{(c + d) / (a + b):.1f}**",
            )
        )

    scores = []
    for network in ("gcn", "mlp", "gat", "pinat"):
        for loss in ("hr", "mse"):
            seconds = []

            def fit(
                seed: int, network: str = network, loss: str = loss, seconds: list[float] = seconds
            ) -> torch.Tensor:
                started = time.perf_counter()
                chosen = sample(seed, len(inputs))
                ensemble = DeepEnsemble(network, members=MEMBERS, loss=loss).fit(
                    inputs[chosen], truth[chosen], seed=seed
                )
                found = ensemble.posterior(inputs).mean
                seconds.append(time.perf_counter() - started)
                return found

            cells = quality(fit, truth)
            scores.append((network, loss, *cells, f"{min(seconds):.1f}"))
    lines = [
        "# Neural predictors: speed and quality",
        "",
        f"Regenerate with `python perf/predictors.py`. One thread, {_page.machine('torch')}. NAS-Bench-201, CIFAR-10 validation accuracy; "
        f"ensembles of {MEMBERS}, trained on {TRAIN} random cells, default settings; encoding all 15,625 cells once takes "
        f"{encoding:.1f} s and is not counted.",
        "",
        "## Training and scoring all 15,625 cells",
        "",
        "Seconds, the fastest of several alternating rounds. Targets: ≤ 6 s in all, ≥ 3 times as fast as one by one.",
        "",
        *_page.table(
            ("loss", "steps", "fit", "score", "both", "fit, one by one", "score, one by one", "both", "times as fast"),
            speed,
        ),
        "",
        "## Quality",
        "",
        f"Posterior means against the validation accuracies of all 15,625 cells, training cells included; mean ± standard "
        f"error over {SEEDS} samples. Precision@0.5 % is the share of the best {TOP} cells among the {TOP} best predicted "
        "(0.5 % by chance). Seconds are for fit and score.",
        "",
        *_page.table(("network", "loss", "Kendall τ", "Precision@0.5 %", "s"), scores, left=2),
    ]
    _page.publish("predictors", lines)


if __name__ == "__main__":
    main()
