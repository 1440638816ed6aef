"""What a surrogate is: fitted to evaluated architectures, asked about others."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch

from po_nas.errors import NotFittedError, SurrogateDataError
from po_nas.switches import default_switches, plain
from surrogates.encodings import Encodings, Shape

__all__ = ["Posterior", "Surrogate"]

LARGEST = 1e30
"""Of targets: what is computed from larger ones leaves single precision."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What a surrogate believes about k architectures, in the units of the targets it was fitted to.

    Attributes:
        mean: (k,).
        std: (k,), standard deviations of each on its own.
        samples: (m, k), m joint functions, such as the members of an ensemble, whose variance is the part of `std` that
            architectures share. m may be 1.

    Examples:
        >>> import surrogates, torch
        >>> posterior = surrogates.Posterior(torch.zeros(3), torch.ones(3), torch.zeros(1, 3))
        >>> posterior.samples.shape
        torch.Size([1, 3])
    """

    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor


class Surrogate(ABC):
    """A model of performance: `fit` it to evaluated architectures, ask `posterior` about others.

    Subclasses implement `learn` and `predict`; this class checks what goes in. Targets are oriented so that higher is
    better, in any unit that the subclass documents. A fit is a function of its arguments, `seed` included; the global
    random generators and the number of threads are left alone, and torch is as in a fresh interpreter while `learn` and
    `predict` run (`po_nas.switches`). `po_nas.testing.SurrogateConformance` checks it.

    Examples:
        >>> import po_nas, surrogates, torch
        >>> class Mean(surrogates.Surrogate):
        ...     def learn(self, inputs, targets, **rest):
        ...         self.mean, self.std = targets.mean(), targets.std()
        ...
        ...     def predict(self, inputs):
        ...         mean = self.mean.expand(len(inputs))
        ...         return surrogates.Posterior(mean, self.std.expand(len(inputs)), mean[None])
        >>> space = po_nas.spaces.get("nasbench201")
        >>> inputs = surrogates.Encodings.stack(space.encode_graph(space.at(row)) for row in range(4))
        >>> Mean().fit(inputs[:3], torch.tensor([1.0, 2.0, 3.0])).posterior(inputs[3:]).mean
        tensor([2.])
    """

    _shape: Shape | None = None

    @default_switches()
    def fit(
        self,
        inputs: Encodings,
        targets: torch.Tensor,
        *,
        seed: int = 0,
        budget: int | None = None,
        reference: Encodings | None = None,
        warm_start: bool = False,
    ) -> Self:
        """Learn the targets (k,) of k architectures.

        `budget` is the number of evaluations in all, for losses that follow a schedule. `reference` is a fixed set of
        architectures on which models of arbitrary scale are made comparable, the training inputs when None.
        `warm_start` goes on from the last fit, where there was one; new architectures must then come behind the old
        ones. Raises `SurrogateDataError` for fewer than 2 points, targets that are NaN, infinite or beyond
        ±1e30, and shapes that do not fit each other (or, on a warm start, the last fit). After any error the last fit
        stands.
        """
        if not isinstance(targets, torch.Tensor):
            raise SurrogateDataError(f"targets are a {type(targets).__name__}; make them a torch.Tensor")
        if targets.shape != (len(inputs),):
            raise SurrogateDataError(
                f"targets have shape {tuple(targets.shape)}, expected ({len(inputs)},): one for each architecture"
            )
        if len(inputs) < 2:
            raise SurrogateDataError(f"{len(inputs)} training point(s); a surrogate needs at least 2")
        known = targets.isfinite() & (targets.abs() <= LARGEST)
        if not known.all():
            position = int((~known).nonzero()[0])
            value = float(targets[position])
            remedy = f"beyond ±{LARGEST:g}; divide all by a number" if math.isfinite(value) else ""
            remedy = remedy or "leave failed evaluations out of the training data"
            raise SurrogateDataError(f"target {position} is {value:g}; {remedy}")
        if warm_start and self._shape is not None:
            self._check(inputs)
        if reference is not None and reference.shape != inputs.shape:
            raise SurrogateDataError(f"the reference set is {reference.shape}, the training data {inputs.shape}")
        self.learn(
            inputs, plain(targets), seed=seed, budget=budget, reference=reference or inputs, warm_start=warm_start
        )
        self._shape = inputs.shape
        return self

    @default_switches()
    def posterior(self, inputs: Encodings) -> Posterior:
        """What is believed about architectures; `NotFittedError` before the first fit, `SurrogateDataError` for others.

        Others are encodings of a space that it was not fitted to.
        """
        self._check(inputs)
        return self.predict(inputs)

    def _check(self, inputs: Encodings) -> None:
        if self._shape is None:
            raise NotFittedError(type(self).__name__)
        if inputs.shape != self._shape:
            raise SurrogateDataError(f"encodings are {inputs.shape}, those it was fitted to {self._shape}")

    @abstractmethod
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
        """Do what `fit` promises; the data are checked."""

    @abstractmethod
    def predict(self, inputs: Encodings) -> Posterior:
        """Do what `posterior` promises; the inputs are checked."""
