"""A conformance kit for losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import losses
from losses import Context, Loss
from po_nas.errors import MissingExtraError
from po_nas.testing.switches import switched

try:
    import pytest
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest", "dev") from error

__all__ = ["LossConformance"]


class LossConformance:
    """Checks a loss against the contract of `losses.Loss`; subclass it in a test module.

    Set `loss` to a registered name and `hyperparameters` to what it should be tested with. What is checked follows from
    the spec: a loss with a ``free`` head must not change when a constant is added to all predictions, and must be zero
    where there is nothing to order; one without randomness must work under ``torch.func.vmap``. A failure repeats.
    """

    loss: ClassVar[str]
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    sizes: ClassVar[tuple[int, ...]] = (1, 2, 3, 24)

    def make(self) -> Loss:
        """The loss under test."""
        return losses.get(self.loss, **self.hyperparameters)

    def targets(self, n: int, seed: int = 0) -> Tensor:
        """Targets (n,), float64, on the scale that the loss wants; some are tied from five on."""
        values = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        if n >= 5:
            values[1], values[3] = values[0], values[2]
        return 0.5 + 0.4 * values if self.make().spec.labels == "fraction" else 4 * values - 2

    def predictions(self, n: int, seed: int = 0) -> Tensor:
        """Predictions (n,), float64, without ties."""
        return torch.randn(n, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)

    def _value(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        leaf = pred.clone().requires_grad_()
        value = self.make()(leaf, target, torch.Generator().manual_seed(1))
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for n in self.sizes:
            yield self.predictions(n), self.targets(n)
            yield self.predictions(n), self.targets(n)[:1].expand(n).clone()

    # -- what it says of itself -----------------------------------------------------------------------------------

    def test_spec(self) -> None:
        """The spec has the registered name, a summary, and a meaning for each hyper-parameter, which are attributes."""
        loss = self.make()
        spec = losses.spec(self.loss)
        assert spec.name == loss.name == self.loss
        assert spec.summary
        assert spec.learning_rate > 0
        assert set(loss.hyperparameters) == {h.name for h in spec.hyperparameters}
        for hyperparameter in spec.hyperparameters:
            assert hyperparameter.meaning
            assert getattr(loss, hyperparameter.name) == loss.hyperparameters[hyperparameter.name]

    def test_unknown_hyperparameter(self) -> None:
        """What it does not know is an error that names it."""
        with pytest.raises(ValueError, match="no_such_thing"):
            losses.get(self.loss, no_such_thing=1)

    def test_immutable(self) -> None:
        """A loss is a value: equal when made alike, and not to be changed."""
        loss = self.make()
        assert loss == self.make()
        assert hash(loss) == hash(self.make())
        assert loss.replace() == loss
        with pytest.raises(AttributeError, match="immutable"):
            loss.spec = losses.spec(self.loss)

    # -- its value ------------------------------------------------------------------------------------------------

    def test_scalar_with_gradient(self) -> None:
        """A finite scalar and a finite gradient for every size of batch, ties and equal targets included."""
        for pred, target in self._batches():
            value, gradient = self._value(pred, target)
            assert value.shape == ()
            assert torch.isfinite(value)
            assert gradient.shape == pred.shape
            assert torch.isfinite(gradient).all()

    def test_nothing_to_order(self) -> None:
        """One architecture, or equal targets: a loss of the order is zero, with a gradient of zeros."""
        if self.make().spec.head == "free":
            for pred, target in self._batches():
                if bool((target == target[0]).all()):
                    value, gradient = self._value(pred, target)
                    assert value == 0
                    assert not gradient.any()

    def test_order_of_the_input_does_not_matter(self) -> None:
        """Permuting a batch permutes the gradient and leaves the value alone."""
        if self.make().stochastic:
            return
        for pred, target in self._batches():
            value, gradient = self._value(pred, target)
            order = torch.randperm(len(pred), generator=torch.Generator().manual_seed(2))
            permuted, permuted_gradient = self._value(pred[order], target[order])
            torch.testing.assert_close(permuted, value)
            torch.testing.assert_close(permuted_gradient, gradient[order])

    def test_offset_of_a_free_head(self) -> None:
        """A constant added to all predictions changes nothing, so the gradient sums to zero."""
        if self.make().spec.head == "free":
            for pred, target in self._batches():
                value, gradient = self._value(pred, target)
                shifted, shifted_gradient = self._value(pred + 3, target)
                torch.testing.assert_close(shifted, value)
                torch.testing.assert_close(shifted_gradient, gradient)
                assert abs(float(gradient.sum())) < 1e-9

    def test_the_right_order_is_best(self) -> None:
        """No predictions beat the right ones: the targets themselves, or far apart in the right order."""
        target = self.targets(24).sort().values + torch.arange(24) * 1e-3
        right = target
        if self.make().spec.head == "free":
            right = 100.0 * torch.arange(24, dtype=torch.float64)
        best, _ = self._value(right, target)
        for seed in range(5):
            order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))
            assert float(best) < float(self._value(right[order], target)[0])
        assert float(best) < float(self._value(right.flip(0), target)[0])

    def test_large_predictions(self) -> None:
        """Predictions of ±1000 in single precision neither overflow nor lose their gradient's finiteness."""
        target = self.targets(24).float()
        for pred in (1e3 * self.predictions(24).sign(), 1e3 * target, -1e3 * target, 1e3 + self.predictions(24)):
            value, gradient = self._value(pred.float(), target)
            assert value.dtype == torch.float32
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()

    def test_broken_predictions_show(self) -> None:
        """A prediction that is not a number makes the loss not finite, so that a trainer can see it."""
        target = self.targets(6)
        for i in range(6):
            pred = self.predictions(6)
            pred[i] = torch.nan
            assert not torch.isfinite(self.make()(pred, target))

    def test_gradient(self) -> None:
        """The gradient is that of finite differences."""
        loss = self.make()
        for n in (2, 7):
            target = self.targets(n, 3)
            assert torch.autograd.gradcheck(
                lambda pred, target=target: loss(pred, target, torch.Generator().manual_seed(1)),
                self.predictions(n, 3).requires_grad_(),
            )

    # -- where it runs --------------------------------------------------------------------------------------------

    def test_reduced_precision(self) -> None:
        """Half-precision predictions are computed in single precision, under autocast and outside."""
        target, pred = self.targets(24).float(), self.predictions(24).bfloat16()
        expected = self.make()(pred.float(), target, torch.Generator().manual_seed(1))
        assert torch.equal(self.make()(pred, target, torch.Generator().manual_seed(1)), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = self.make()(pred, target, torch.Generator().manual_seed(1))
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)

    def test_switches_of_torch_do_not_matter(self) -> None:
        """Value, gradient and importance are the same whatever new tensors are by default."""
        pred, target = self.predictions(24).float(), self.targets(24).float()
        context = Context(24, target, budget=100)
        expected = *self._value(pred, target), self.make().bind(context).importance(context)
        with switched("dtype", "device", "autocast", "deterministic", "precision"):
            found = *self._value(pred, target), self.make().bind(context).importance(context)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)

    def test_vmap(self) -> None:
        """Many models at once give what one after the other gives, on shared targets and on their own."""
        loss = self.make()
        if loss.stochastic:
            return
        pred = torch.stack([self.predictions(24, seed) for seed in range(3)])
        target = torch.stack([self.targets(24, seed) for seed in range(3)])
        both = torch.func.grad_and_value(loss.compute)
        for shared in (False, True):
            targets = target[:1].expand(3, -1) if shared else target
            single = [both(p, t) for p, t in zip(pred, targets, strict=True)]
            batched = torch.func.vmap(both, (0, None if shared else 0))(pred, target[0] if shared else target)
            torch.testing.assert_close(batched[0], torch.stack([gradient for gradient, _ in single]))
            torch.testing.assert_close(batched[1], torch.stack([value for _, value in single]))

    def test_randomness_is_its_own(self) -> None:
        """Nothing is drawn from the global generator; equal generators give equal values, and so do none."""
        pred, target = self.predictions(24), self.targets(24)
        before = torch.get_rng_state()
        values = [self.make()(pred, target) for _ in range(2)]
        assert torch.equal(values[0], values[1])
        values = [self.make()(pred, target, torch.Generator().manual_seed(5)) for _ in range(2)]
        assert torch.equal(values[0], values[1])
        assert torch.equal(torch.get_rng_state(), before)
        if self.make().stochastic:
            generator = torch.Generator().manual_seed(5)
            assert len({float(self.make()(pred, target, generator)) for _ in range(10)}) > 1

    def test_bind(self) -> None:
        """Bound to data it is a loss again, one that is settled and computes."""
        for n in (2, 20, 200):
            target = self.targets(n)
            context = Context(n, target, budget=100)
            bound = self.make().bind(context)
            assert isinstance(bound, Loss)
            assert bound.bind(context).bind(context) == bound.bind(context)
            assert torch.isfinite(bound(self.predictions(n), target))
            assert bound.importance(context).min() >= 0
            assert bound.stage

    # -- bad input ------------------------------------------------------------------------------------------------

    def test_bad_input(self) -> None:
        """Each is a ValueError that names the item and the remedy."""
        loss = self.make()
        pred, target = self.predictions(4), self.targets(4)
        with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\).*reshape"):
            loss(pred.unsqueeze(1), target)
        with pytest.raises(ValueError, match="empty"):
            loss(pred[:0], target[:0])
        for bad in (torch.nan, torch.inf):
            broken = target.clone()
            broken[2] = bad
            with pytest.raises(ValueError, match=rf"target\[2\] = {bad}.*leave"):
                loss(pred, broken)
        if loss.spec.labels == "fraction":
            with pytest.raises(ValueError, match=r"target\[0\].*divide percent accuracies by 100"):
                loss(pred, 100 * target)
