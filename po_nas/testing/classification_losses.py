"""A conformance kit for classification losses."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from losses import classification
from losses.classification import ClassificationLoss
from po_nas.errors import MissingExtraError
from po_nas.testing.switches import switched

try:
    import pytest
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest", "dev") from error

__all__ = ["ClassificationLossConformance"]


class ClassificationLossConformance:
    """Checks a loss against the contract of `losses.classification.ClassificationLoss`; subclass it in a test module.

    Set `loss` to a registered name and `hyperparameters` to what it should be tested with. `equivariant` False is for a
    loss that treats classes differently, `least_at` is where the loss of two classes may have its least value: the
    probability of the true class there (losses with regularisation built in do not end at certainty).
    """

    loss: ClassVar[str]
    hyperparameters: ClassVar[Mapping[str, Any]] = {}
    equivariant: ClassVar[bool] = True
    least_at: ClassVar[tuple[float, float]] = (0.5, 1.0)
    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((1, 2), (3, 10), (16, 100))

    def make(self, **changes: Any) -> ClassificationLoss:
        """The loss under test."""
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

    def _value(self, logits: Tensor, labels: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
        leaf = logits.clone().requires_grad_()
        value = self.make(**changes)(leaf, labels)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient

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

    def test_unknown_hyperparameter(self) -> None:
        """What it does not know is an error that names it."""
        with pytest.raises(ValueError, match="no_such_thing"):
            self.make(no_such_thing=1)

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
