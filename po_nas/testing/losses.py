"""Conformance kits for losses of predictors and of classifiers."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import losses
from losses import Context, Loss, classification
from losses.classification import ClassificationLoss
from po_nas.errors import MissingExtraError
from po_nas.testing.switches import switched

try:
    import pytest
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest", "dev") from error

__all__ = ["ClassificationLossConformance", "LossConformance"]


class _LossKit:
    """What the kits of both kinds of loss share."""

    loss: ClassVar[str]
    hyperparameters: ClassVar[Mapping[str, Any]] = {}

    def make(self, **changes: Any) -> Any:
        """The loss under test."""
        raise NotImplementedError

    def _value(self, x: Tensor, target: Tensor, *more: Any, **changes: Any) -> tuple[Tensor, Tensor]:
        """The loss of `x`, and its gradient."""
        leaf = x.clone().requires_grad_()
        value = self.make(**changes)(leaf, target, *more)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient

    def test_unknown_hyperparameter(self) -> None:
        """What it does not know is an error that names it."""
        with pytest.raises(ValueError, match="no_such_thing"):
            self.make(no_such_thing=1)


class LossConformance(_LossKit):
    """Checks a loss against the contract of `losses.Loss`; subclass it in a test module.

    Set `loss` to a registered name and `hyperparameters` to what it should be tested with. What is checked follows from
    the spec: a loss with a ``free`` head must not change when a constant is added to all predictions, and must be zero
    where there is nothing to order; one without randomness must work under ``torch.func.vmap``. A failure repeats.
    """

    sizes: ClassVar[tuple[int, ...]] = (1, 2, 3, 24)

    def make(self, **changes: Any) -> Loss:
        return losses.get(self.loss, **{**self.hyperparameters, **changes})

    def targets(self, n: int, seed: int = 0) -> Tensor:
        """Targets (n,), float64, on the scale that the loss wants; some are tied from five on."""
        values = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        if n >= 5:
            values[1], values[3] = values[0], values[2]
        return 0.5 + 0.4 * values if self.make().spec.labels == "fraction" else 4 * values - 2

    def predictions(self, n: int, seed: int = 0) -> Tensor:
        """Predictions (n,), float64, without ties."""
        return torch.randn(n, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)

    def _value(self, x: Tensor, target: Tensor, *more: Any, **changes: Any) -> tuple[Tensor, Tensor]:
        return super()._value(x, target, torch.Generator().manual_seed(1), **changes)

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


class ClassificationLossConformance(_LossKit):
    """Checks a loss against the contract of `losses.classification.ClassificationLoss`; subclass it in a test module.

    Set `loss` to a registered name and `hyperparameters` to what it should be tested with. `equivariant` False is for a
    loss that treats classes differently, `least_at` is where the loss of two classes may have its least value: the
    probability of the true class there (losses with regularisation built in do not end at certainty).
    """

    equivariant: ClassVar[bool] = True
    least_at: ClassVar[tuple[float, float]] = (0.5, 1.0)
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((1, 2), (3, 10), (16, 100))

    def make(self, **changes: Any) -> ClassificationLoss:
        return classification.get(self.loss, **{**self.hyperparameters, **changes})

    def batch(self, n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Logits (n, classes), float64, and labels (n,)."""
        generator = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
        return logits, torch.randint(classes, (n,), generator=generator)

    def extremes(self, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Logits (256, classes), float32, from all alike to ±10,000, and labels (256,)."""
        generator = torch.Generator().manual_seed(seed)
        logits = 20 * torch.randn(256, classes, generator=generator)
        extreme = torch.rand(256, classes, generator=generator) < 0.4
        # 16.1 is minus the logarithm of the bound that probabilities are kept from.
        values = torch.tensor([-1e4, -16.1, 0.0, 16.1, 1e4])
        logits[extreme] = values[torch.randint(5, (int(extreme.sum()),), generator=generator)]
        return logits, torch.randint(classes, (256,), generator=generator)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        for n, classes in self.sizes:
            yield self.batch(n, classes)

    # -- what it says of itself -----------------------------------------------------------------------------------

    def test_spec(self) -> None:
        """The spec has the registered name, a summary, label smoothing, and a meaning for each hyper-parameter."""
        loss, spec = self.make(), classification.spec(self.loss)
        assert spec.name == loss.name == self.loss
        assert spec.summary
        assert "label_smoothing" in loss.hyperparameters
        assert set(loss.hyperparameters) == {h.name for h in spec.hyperparameters} - set(spec.fixed)
        assert all(h.meaning for h in spec.hyperparameters)
        assert not list(loss.parameters())

    # -- its value ------------------------------------------------------------------------------------------------

    def test_reductions(self) -> None:
        """A finite scalar that is the mean of the samples' losses; their sum; themselves."""
        loss = self.make()
        for logits, labels in self._batches():
            each = loss(logits, labels, reduction="none")
            assert each.shape == labels.shape
            assert torch.isfinite(each).all()
            torch.testing.assert_close(loss(logits, labels), each.mean())
            torch.testing.assert_close(loss(logits, labels, reduction="sum"), each.sum())
            torch.testing.assert_close(loss(logits[:1], labels[:1], reduction="none"), each[:1])

    def test_finite_everywhere(self) -> None:
        """Values and gradients are finite over the whole simplex, corners and logits of ±10,000 included."""
        for classes in (2, 3, 10):
            for smoothing in (0.0, 0.1):
                logits, labels = self.extremes(classes)
                value, gradient = self._value(logits, labels, label_smoothing=smoothing)
                assert value.dtype == torch.float32
                assert torch.isfinite(value)
                assert torch.isfinite(gradient).all()

    def test_right_is_better(self) -> None:
        """Of two classes, the least loss is where the true one is predicted; a first step raises it alone."""
        p, values = classification.curve(self.make())
        low, high = self.least_at
        assert low < p[values.argmin()] <= high
        for classes in (2, 10):
            _, gradient = self._value(torch.zeros(1, classes), torch.tensor([1]))
            assert gradient[0, 1] < 0
            assert (gradient[0, torch.arange(classes) != 1] > 0).all()

    def test_classes_are_alike(self) -> None:
        """Renaming the classes permutes the gradient and leaves the value alone."""
        if not self.equivariant:
            return
        for logits, labels in self._batches():
            order = torch.randperm(logits.shape[1], generator=torch.Generator().manual_seed(2))
            value, gradient = self._value(logits, labels)
            renamed, renamed_gradient = self._value(logits[:, order], order.argsort()[labels])
            torch.testing.assert_close(renamed, value)
            torch.testing.assert_close(renamed_gradient, gradient[:, order])

    def test_offset(self) -> None:
        """A constant added to the logits changes no probability, so it changes nothing."""
        for logits, labels in self._batches():
            torch.testing.assert_close(self._value(logits + 3, labels), self._value(logits, labels))

    def test_smoothing(self) -> None:
        """Label smoothing changes the value; none is the default unless the loss is tested with some."""
        for logits, labels in self._batches():
            assert self._value(logits, labels, label_smoothing=0.3)[0] != self._value(logits, labels)[0]

    def test_broken_logits_show(self) -> None:
        """A logit that is not a number makes the loss not finite, so that a trainer can see it."""
        logits, labels = self.batch(4, 10)
        logits[1, 2] = torch.nan
        assert not torch.isfinite(self.make()(logits, labels))

    def test_gradient(self) -> None:
        """The gradient is that of finite differences."""
        logits, labels = self.batch(3, 4, 3)
        loss = self.make()
        assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits / 2).requires_grad_())

    # -- where it runs --------------------------------------------------------------------------------------------

    def test_reduced_precision(self) -> None:
        """Logits in half precision are computed in single precision, under autocast and outside."""
        logits, labels = self.batch(16, 10)
        for dtype in (torch.bfloat16, torch.float16):
            half = logits.to(dtype)
            expected, gradient = self._value(half.float(), labels)
            value, half_gradient = self._value(half, labels)
            assert value.dtype == torch.float32
            assert torch.equal(value, expected)
            assert torch.equal(half_gradient, gradient.to(dtype))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert torch.equal(self.make()(half, labels), expected)

    def test_switches_of_torch_do_not_matter(self) -> None:
        """Value and gradient are the same whatever new tensors are by default."""
        logits, labels = self.batch(6, 10)
        expected = self._value(logits.float(), labels)
        with switched("dtype", "device", "autocast", "deterministic", "precision"):
            found = self._value(logits.float(), labels)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)

    def test_vmap(self) -> None:
        """Many models at once give what one after the other gives."""
        loss = self.make()
        batches = [self.batch(6, 10, seed) for seed in range(3)]
        both = torch.func.grad_and_value(loss)
        single = [both(*batch) for batch in batches]
        gradients, values = torch.func.vmap(both)(*(torch.stack(part) for part in zip(*batches, strict=True)))
        torch.testing.assert_close(gradients, torch.stack([gradient for gradient, _ in single]))
        torch.testing.assert_close(values, torch.stack([value for _, value in single]))

    def test_nothing_is_random(self) -> None:
        """Two calls give the same, and the global generator is left alone."""
        logits, labels = self.batch(6, 10)
        before = torch.get_rng_state()
        assert torch.equal(self.make()(logits, labels), self.make()(logits, labels))
        assert torch.equal(torch.get_rng_state(), before)

    def test_it_travels(self) -> None:
        """Pickled and unpickled, as executors do, it computes the same."""
        logits, labels = self.batch(6, 10)
        loss = self.make()
        assert torch.equal(pickle.loads(pickle.dumps(loss))(logits, labels), loss(logits, labels))

    # -- bad input ------------------------------------------------------------------------------------------------

    def test_bad_input(self) -> None:
        """Each is a ValueError that names the item."""
        loss = self.make()
        logits, labels = self.batch(4, 3)
        with pytest.raises(ValueError, match=r"\(4, 3\).*\(3,\).*samples"):
            loss(logits, labels[:3])
        with pytest.raises(ValueError, match=r"\(12,\)"):
            loss(logits.reshape(-1), labels)
        with pytest.raises(ValueError, match=r"labels are torch\.float64"):
            loss(logits, labels.double())
        with pytest.raises(ValueError, match=r"logits are torch\.int64"):
            loss(logits.long(), labels)
