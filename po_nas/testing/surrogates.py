"""A conformance kit for surrogates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch

import surrogates
from po_nas import spaces
from po_nas.errors import MissingExtraError, NotFittedError, SurrogateDataError
from po_nas.testing.switches import switched
from surrogates.base import Posterior, Surrogate
from surrogates.encodings import Encodings

try:
    import pytest
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest", "dev") from error

__all__ = ["SurrogateConformance"]


class SurrogateConformance:
    """Checks a surrogate against the contract of `surrogates.base.Surrogate`; subclass it in a test module.

    Set `surrogate` to a registered name (or override `fresh`), and `options` to options that make it quick. It is
    fitted to `points` architectures of `space_name` whose targets are a linear function of the sums of their node and
    edge features.
    """

    surrogate: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    space_name: ClassVar[str] = "nasbench201"
    points: ClassVar[int] = 40
    proxy_scores: ClassVar[bool] = True
    """Whether it takes proxy scores with the encodings."""
    least_correlation: ClassVar[float] = 0.5
    """With the truth, on architectures that it has not seen."""

    _kept: ClassVar[Mapping[int, Posterior]] = {}

    def fresh(self) -> Surrogate:
        """A surrogate that knows nothing."""
        return surrogates.get(self.surrogate, **self.options)

    def problem(self, seed: int = 0) -> tuple[Encodings, torch.Tensor]:
        """Encodings of twice as many architectures as `points`, and their targets (2 · points,) in [0, 1]."""
        space = spaces.get(self.space_name)
        rng = np.random.default_rng(seed)
        chosen = [space.sample(rng) for _ in range(2 * self.points)]
        inputs = Encodings.stack(space.encode_graph(a) for a in chosen)
        sums = torch.cat([inputs.nodes.sum(1), inputs.edges.sum((1, 2))], dim=1)
        values = sums @ torch.from_numpy(np.random.default_rng(0).normal(size=sums.shape[1])).float()
        return inputs, (values - values.min()) / (values.max() - values.min())

    def _fitted(self, seed: int, *, again: bool = False) -> tuple[Posterior, torch.Tensor]:
        """What a fit to the first `points` says of the others, and the truth about these; remembered for the class."""
        inputs, targets = self.problem()
        kept = type(self).__dict__.get("_kept") or {}
        if again or seed not in kept:
            fitted = self.fresh().fit(inputs[: self.points], targets[: self.points], seed=seed)
            kept = {**kept, seed: fitted.posterior(inputs[self.points :])}
            type(self)._kept = kept
        return kept[seed], targets[self.points :]

    def test_shapes_and_values(self) -> None:
        """Means, positive standard deviations and samples for each architecture, all finite."""
        found, truth = self._fitted(1)
        assert found.mean.shape == found.std.shape == truth.shape
        assert found.samples.ndim == 2
        assert found.samples.shape[1] == len(truth)
        assert bool(torch.isfinite(torch.cat([found.mean, found.std, found.samples.flatten()])).all())
        assert bool((found.std > 0).all())

    def test_it_learns(self) -> None:
        """Means go up with the truth, in the units of the targets."""
        found, truth = self._fitted(1)
        assert float(torch.corrcoef(torch.stack([found.mean, truth]))[0, 1]) > self.least_correlation
        assert float((found.mean - truth).abs().mean()) < 2 * float(truth.std())

    def test_same_seed_same_posterior(self) -> None:
        """A fit is a function of its arguments; another seed gives another one."""
        first, other = self._fitted(1)[0], self._fitted(2)[0]
        again = self._fitted(1, again=True)[0]
        assert torch.equal(first.mean, again.mean)
        assert torch.equal(first.std, again.std)
        assert not torch.equal(first.mean, other.mean)

    def test_global_state_is_left_alone(self) -> None:
        """Neither the random generators nor the number of threads nor the inputs change."""
        inputs, targets = self.problem()
        copies = inputs.nodes.clone(), targets.clone()
        before = torch.random.get_rng_state(), _legacy_state(), torch.get_num_threads()
        self.fresh().fit(inputs, targets).posterior(inputs)
        after = torch.random.get_rng_state(), _legacy_state(), torch.get_num_threads()
        assert torch.equal(before[0], after[0])
        assert before[1:] == after[1:]
        assert torch.equal(inputs.nodes, copies[0])
        assert torch.equal(targets, copies[1])

    def test_switches_of_torch_do_not_matter(self) -> None:
        """Neither gradients nor precision, autocast or the default device, not even for what encodings are made of."""
        targets = self.problem()[1]
        with switched():
            # Made in inference mode, which autograd refuses.
            inputs, targets = self.problem()[0], targets.clone()
            fitted = self.fresh().fit(inputs[: self.points], targets[: self.points], seed=1)
            found = fitted.posterior(inputs[self.points :])
        expected = self._fitted(1)[0]
        assert torch.equal(found.mean, expected.mean)
        assert torch.equal(found.std, expected.std)

    def test_each_architecture_is_judged_on_its_own(self) -> None:
        """The posterior of an architecture does not depend on the others that are asked about."""
        inputs, targets = self.problem()
        fitted = self.fresh().fit(inputs, targets)
        everything, one = fitted.posterior(inputs), fitted.posterior(inputs[3])
        torch.testing.assert_close(everything.mean[3:4], one.mean, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(everything.std[3:4], one.std, rtol=1e-3, atol=1e-4)

    def test_few_points_and_equal_targets(self) -> None:
        """Two points are enough, and targets may all be equal."""
        inputs, targets = self.problem()
        for values in (targets[:2], torch.full((20,), 0.5)):
            found = self.fresh().fit(inputs[: len(values)], values).posterior(inputs)
            assert bool(torch.isfinite(found.mean).all())
            assert bool(torch.isfinite(found.std).all())

    def test_warm_start(self) -> None:
        """A second fit may go on from the first, with more data."""
        inputs, targets = self.problem()
        surrogate = self.fresh().fit(inputs[: self.points], targets[: self.points])
        surrogate.fit(inputs, targets, warm_start=True)
        found = surrogate.posterior(inputs)
        assert float(torch.corrcoef(torch.stack([found.mean, targets]))[0, 1]) > self.least_correlation

    def test_proxy_scores(self) -> None:
        """Proxy scores may come with the encodings; the surrogate then wants them again."""
        if not self.proxy_scores:
            pytest.skip("this surrogate takes no proxy scores")
        inputs, targets = self.problem()
        told = Encodings(inputs.nodes, inputs.adjacency, inputs.edges, inputs.mask, 1e3 * torch.rand(len(inputs), 3))
        surrogate = self.fresh().fit(told, targets)
        assert bool(torch.isfinite(surrogate.posterior(told).mean).all())
        with pytest.raises(SurrogateDataError):
            surrogate.posterior(inputs)

    def test_bad_data(self) -> None:
        """Targets that are not finite, too few points, unequal lengths and encodings of another space are refused."""
        inputs, targets = self.problem()
        for bad in (float("nan"), float("inf")):
            with pytest.raises(SurrogateDataError, match="target 1 is"):
                self.fresh().fit(inputs[:3], torch.tensor([0.1, bad, 0.3]))
        for few, values in ((inputs[:1], targets[:1]), (inputs[:5], targets[:4])):
            with pytest.raises(SurrogateDataError):
                self.fresh().fit(few, values)
        with pytest.raises(NotFittedError):
            self.fresh().posterior(inputs)
        wider = Encodings(inputs.nodes.repeat(1, 1, 2), inputs.adjacency, inputs.edges, inputs.mask)
        with pytest.raises(SurrogateDataError):
            self.fresh().fit(inputs, targets).posterior(wider)


def _legacy_state() -> list[int]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    key: list[int] = state["state"]["key"].tolist()
    return key
