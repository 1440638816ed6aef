"""A deep ensemble of predictor networks with calibrated uncertainty; one network is an ensemble of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch

import losses
from losses.base import Loss
from po_nas.errors import ConfigError
from po_nas.switches import default_switches
from surrogates import networks
from surrogates.base import Posterior, Surrogate
from surrogates.encodings import Encodings
from surrogates.members import Members, standardized
from surrogates.training import TrainingSettings, train_members

__all__ = ["Calibration", "DeepEnsemble", "folds", "gat", "gcn", "mlp", "pinat"]

_LEAST_RESIDUAL = 0.1
"""Share of the held-out variance that disagreement never explains."""

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Calibration:
    """An increasing affine map of standardised outputs to targets, and how wrong it was where it had not looked.

    An architecture's mean is ``offset + slope · (mean of the members)``. Its variance is `residual` plus ``weight``
    times the variance of the members there, in the units of the targets. `residual` and `weight` are such that the
    average variance is the mean squared error on held-out architectures. That error is one model's; the ensemble's mean
    is better, so intervals err on the wide side.
    """

    offset: float
    slope: float
    residual: float
    weight: float

    @classmethod
    def fit(cls, outputs: torch.Tensor, held_out: torch.Tensor, targets: torch.Tensor, members: int) -> Calibration:
        """Calibrate with standardised outputs (models, n) of all models on the n training architectures.

        `held_out` (models, n) tells which architectures a model was not trained on; the first `members` models are the
        ensemble. When no architecture was held out, the variance of the targets is all that is known.
        """
        outputs, targets = outputs.double(), targets.double()
        honest = bool(held_out.any(0).all())
        weights = held_out.double() if honest else torch.ones_like(outputs)
        own = (outputs * weights).sum(0) / weights.sum(0)
        centered, moved = own - own.mean(), targets - targets.mean()
        slope = float((centered @ moved / (centered @ centered).clamp_min(_SMALLEST)).clamp_min(0.0))
        offset = float(targets.mean()) - slope * float(own.mean())
        n = len(targets)
        if not honest:
            return cls(offset, slope, float(moved.square().sum() / (n - 1)), 0.0)
        error = float((targets - offset - slope * own).square().sum() / (n - 2))
        # What models disagree by on what they have not seen: the one held out against those of the ensemble that saw.
        seen = (~held_out[:members]).double()
        others = (outputs[:members] * seen).sum(0) / seen.sum(0)
        apart = slope**2 * float(((own - others).square() / (1 + 1 / seen.sum(0))).mean())
        weight = min(1.0, (1 - _LEAST_RESIDUAL) * error / max(apart, _SMALLEST)) if members > 1 else 0.0
        return cls(offset, slope, error - weight * apart, weight)

    def posterior(self, outputs: torch.Tensor) -> Posterior:
        """The posterior from the ensemble's standardised outputs (members, k)."""
        center = outputs.mean(0)
        spread = self.slope * self.weight**0.5
        mean = self.offset + self.slope * center
        samples = mean + spread * (outputs - center)
        # In double precision, whose squares do not overflow.
        shared = samples.double().var(0) if len(samples) > 1 else torch.zeros_like(mean, dtype=torch.float64)
        return Posterior(mean, (shared + self.residual).sqrt().to(mean.dtype), samples)


def folds(n: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """The fold (n,), from 0 to `count` - 1, of each of n architectures, of equal sizes to within one.

    With a generator of the same seed the folds of the first architectures do not change when others come behind them.
    """
    blocks = [torch.randperm(count, generator=generator) for _ in range(-(-n // count))]
    return torch.cat(blocks)[:n]


_FOLDS = 3
"""Models that are trained beside an ensemble too small to hold out data of its own."""


class DeepEnsemble(Surrogate):
    """Networks of one kind, each with its own initialisation, batches and training data, trained as one model.

    `network` and `network_options` name the networks, `members` is their number, `loss` and `loss_options` what they
    are trained under, `settings` how (`TrainingSettings`, or a mapping of its fields).

    From three members on, each leaves out one fold of the data. With one or two, these are trained on everything, and
    three models that leave out a third each are trained beside them. The outputs of a model on architectures that it
    has not seen, standardised on the reference set, are mapped to the targets by least squares and give the variance
    (`Calibration`). So means and standard deviations are in the units of the targets under any loss, ranking losses
    included. With fewer than two architectures a fold nothing is left out, and the variance is that of the targets.

    Targets: any unit for losses of ``standardized`` and ``order`` labels; fractions in [0, 1] for those of ``fraction``
    labels, which raise a ValueError for others. Accuracies with a long tail of failures make wide intervals: give it
    `surrogates.gaussian_process.normal_scores` of them where the top matters.

    References: Lakshminarayanan, Pritzel and Blundell, Simple and Scalable Predictive Uncertainty Estimation using Deep
    Ensembles, NeurIPS 2017, arXiv 1612.01474.
    """

    def __init__(
        self,
        network: str = "gcn",
        *,
        members: int = 5,
        loss: str | Loss = "hr",
        loss_options: Mapping[str, object] | None = None,
        network_options: Mapping[str, object] | None = None,
        settings: TrainingSettings | Mapping[str, float] | None = None,
    ) -> None:
        if members < 1:
            raise ConfigError("members", members, "must be at least 1")
        self.members = members
        self.loss = losses.get(loss, **(loss_options or {})) if isinstance(loss, str) else loss
        self.settings = settings if isinstance(settings, TrainingSettings) else _settings(settings or {})
        self._factory = networks.factory(network, **(network_options or {}))
        self._fold_seed: int | None = None
        self._trained: Members | None = None
        self._ensemble: Members | None = None
        self._known: torch.Tensor | None = None
        self._calibration: Calibration | None = None
        self._out_of_fold: torch.Tensor | None = None

    @property
    def out_of_fold(self) -> torch.Tensor | None:
        """What models that did not learn from an architecture say of it, for those of the last fit (n,).

        Standardised on the reference set. None before the first fit, and where there were too few to leave some out.
        """
        return self._out_of_fold

    @default_switches()
    def standardized(self, inputs: Encodings) -> torch.Tensor:
        """The mean (k,) of the members' outputs, each standardised on the reference set; raises as `posterior`."""
        self._check(inputs)
        assert self._ensemble is not None
        assert self._known is not None
        return standardized(self._ensemble.predict(inputs), self._known).mean(0)

    @property
    def trained(self) -> Members | None:
        """The members as the last fit left them, and how their training went; None before."""
        return self._ensemble

    def learn(
        self,
        inputs: Encodings,
        targets: torch.Tensor,
        *,
        seed: int,
        budget: int | None,
        reference: Encodings,
        warm_start: bool,
    ) -> None:
        """See `Surrogate.fit`; folds stay on a warm start, which is a fresh fit when the number of models changes."""
        warm = warm_start and self._trained is not None
        fold_seed = self._fold_seed if warm else seed
        rows, held_out = self._rows(len(inputs), torch.Generator().manual_seed(fold_seed or 0))
        initial = self._trained if warm and self._trained is not None and len(self._trained) == len(rows) else None
        trained = train_members(
            self._factory,
            inputs,
            rows,
            targets.cpu()[rows],
            self.loss,
            self.settings,
            seed,
            budget=budget,
            initial=initial,
        )
        known = trained.predict(reference)
        outputs = standardized(known if reference is inputs else trained.predict(inputs), known)
        held_out = held_out.to(outputs.device)
        # From here on nothing is refused: a fit that is leaves the last one as it was.
        self._fold_seed = fold_seed
        self._calibration = Calibration.fit(outputs, held_out, targets.to(outputs.device), self.members)
        left_out = bool(held_out.any(0).all())
        self._out_of_fold = (outputs * held_out).sum(0) / held_out.sum(0) if left_out else None
        self._trained, self._ensemble, self._known = trained, trained.first(self.members), known[: self.members]

    def predict(self, inputs: Encodings) -> Posterior:
        assert self._ensemble is not None
        assert self._calibration is not None
        assert self._known is not None
        return self._calibration.posterior(standardized(self._ensemble.predict(inputs), self._known))

    def _rows(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Which of the data each model sees, (models, n) with repeats, and which it does not, (models, n) bool."""
        count = self.members if self.members >= _FOLDS else _FOLDS
        everything = torch.arange(n)
        if n < 2 * count:
            return everything.repeat(self.members, 1), torch.zeros(self.members, n, dtype=torch.bool)
        fold = folds(n, count, generator)
        rows, held_out = [], []
        for left_out in range(count):
            kept = everything[fold != left_out]
            # All models get n rows; some of what a model sees fills the place of what it does not.
            filling = kept[torch.randperm(len(kept), generator=generator)[: n - len(kept)]]
            rows.append(torch.cat([kept, filling]))
            held_out.append(fold == left_out)
        if self.members < _FOLDS:
            rows = [everything] * self.members + rows
            held_out = [torch.zeros(n, dtype=torch.bool)] * self.members + held_out
        return torch.stack(rows), torch.stack(held_out)


def _settings(values: Mapping[str, float]) -> TrainingSettings:
    unknown = set(values) - set(TrainingSettings.__dataclass_fields__)
    if unknown:
        raise ConfigError(
            f"settings.{min(unknown)}", "", f"is unknown; there are {', '.join(TrainingSettings.__dataclass_fields__)}"
        )
    return TrainingSettings(**values)  # type: ignore[arg-type]


mlp, gcn, gat, pinat = (partial(DeepEnsemble, name, members=1) for name in ("mlp", "gcn", "gat", "pinat"))
