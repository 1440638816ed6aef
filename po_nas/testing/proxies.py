"""The conformance kit of training-free proxies."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
from collections import OrderedDict
from collections.abc import Set
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import proxies
from po_nas.errors import MissingExtraError, ProxyBatchError, ProxyError
from po_nas.testing.pairs import Reference, aspects
from po_nas.testing.rewrites import REWRITES, Rewrite, rewritten
from po_nas.testing.small_networks import CLASSES as _CLASSES
from po_nas.testing.small_networks import FAMILIES, Example, example
from po_nas.testing.surroundings import SURROUNDINGS, changes, state
from proxies.isolation import seeded

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("the conformance kit", "pytest and hypothesis", "dev") from error

__all__ = ["ProxyConformance"]


class ProxyConformance:
    """Everything that the engine expects of a proxy, as tests; subclass it in a test module.

    Set `proxy` to a registered name. Override `networks` or `batch` when the proxy needs others than small image
    classifiers; it must have a score for at least one of the networks, and a `ProxyError` where it has none.
    """

    proxy: ClassVar[str]

    about: ClassVar[Set[str] | None] = None
    """What the score is about beside the function that a network computes, of `po_nas.testing.rewrites.ASPECTS`.

    None: what its passes are about. Fewer make the kit compare more pairs of networks.
    """

    def networks(self) -> dict[str, nn.Module]:
        """Networks by name: residual with batch normalisation, plain convolutions, a perceptron."""
        with seeded(0):
            return {"residual": _Residual(), "plain": _plain(), "perceptron": _perceptron()}

    def batch(self, samples: int = 8) -> tuple[Tensor, Tensor]:
        """Images (samples, 3, 8, 8) and labels."""
        images = torch.randn(samples, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        return images, torch.arange(samples) % _CLASSES

    def _scores(self, **options: Any) -> dict[str, float]:
        """The scores of the networks that have one."""
        found = {}
        for name, network in self.networks().items():
            batch = options.get("batch", self.batch())
            scores = proxies.evaluate(network, batch, self.proxy, seed=options.get("seed", 0))
            if self.proxy in scores.values:
                found[name] = scores.values[self.proxy]
        return found

    def test_record(self) -> None:
        """The record bears the proxy's name, and the list says what it is."""
        entry = proxies.registry.entry(self.proxy)
        assert proxies.spec(self.proxy).name == self.proxy
        assert entry.summary, "give it a docstring or a summary"
        assert callable(proxies.registry.get(self.proxy))

    def test_scores_are_numbers(self) -> None:
        """At least one network has a score; every score is a finite float."""
        found = self._scores()
        assert found, f"{self.proxy} has no score for any of {', '.join(self.networks())}"
        for name, value in found.items():
            assert isinstance(value, float), name
            assert math.isfinite(value), name

    def test_networks_without_a_score_have_a_typed_error(self) -> None:
        """What the proxy cannot score is refused as such, not by whatever went wrong inside."""
        for name, network in self.networks().items():
            for problem in proxies.evaluate(network, self.batch(), self.proxy).errors.values():
                assert type(problem).__name__ in ("UnsupportedModuleError", "ProxyBatchError"), f"{name}: {problem}"

    def test_same_seed_same_score(self) -> None:
        """A score is a function of module, batch and seed."""
        first = self._scores(seed=3)
        torch.rand(5)
        assert self._scores(seed=3) == first

    def test_does_not_depend_on_the_other_proxies(self) -> None:
        """Scored together with every other proxy that comes with the package, it has the same score."""
        alone = self._scores()
        for name, network in self.networks().items():
            together = proxies.evaluate(network, self.batch(), ["grasp", "fisher", "jacov", "nwot", "zen", self.proxy])
            assert together.values.get(self.proxy) == alone.get(name), name

    def test_leaves_nothing_behind(self) -> None:
        """Parameters, buffers, gradients, modes, hooks, batch and random states are as before."""
        for network in self.networks().values():
            network.eval()
            batch = self.batch()
            before = state(network, *_tensors(batch))
            proxies.evaluate(network, batch, self.proxy)
            assert not changes(before, state(network, *_tensors(batch)))

    def test_does_not_depend_on_its_surroundings(self) -> None:
        """Same score, and nothing left behind, whatever the caller has switched on, and in either mode."""
        known = self._scores()
        inputs, labels = self.batch()
        differentiated = tuple(x.requires_grad_(x.is_floating_point()) for x in _tensors((inputs, None)))
        assert self._scores(batch=(differentiated, labels)) == known
        assert all(x.grad is None for x in differentiated)
        for where, surrounding in SURROUNDINGS.items():
            for (name, network), training in zip(self.networks().items(), itertools.cycle((True, False)), strict=False):
                network.train(training)
                batch = self.batch()
                with surrounding():
                    before = state(network, *_tensors(batch))
                    found = proxies.evaluate(network, batch, self.proxy)
                    assert not changes(before, state(network, *_tensors(batch))), f"{name}, {where}"
                assert found.values.get(self.proxy) == known.get(name), f"{name}, {where}: {found}"

    def test_equal_functions_have_equal_scores(self) -> None:
        """A network written in another way (`po_nas.testing.rewrites`) has the same score, or an error."""
        references = list(self._references().items())
        for k, rewrite in enumerate(REWRITES):
            # Two networks for each rewrite, now these and now those, so that the test takes a second or two.
            turned = [*references[k % len(references) :], *references[: k % len(references)]]
            for name, reference in [(n, r) for n, r in turned if rewrite(r.example.module) is not None][:2]:
                self._check_rewritten(name, reference, [rewrite])

    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_composed_rewrites_keep_the_score(self, data: st.DataObject) -> None:
        """Several rewrites, one after the other, of networks of any family."""
        reference = Reference(data.draw(small_networks(), label="network"), (self.proxy,))
        self._check_rewritten("network", reference, data.draw(compositions(), label="rewrites"))

    def _references(self) -> dict[str, Reference]:
        found = {family: Reference(example(family), (self.proxy,)) for family in FAMILIES}
        inputs, labels = self.batch()
        double = tuple(x.double() if x.is_floating_point() else x for x in _tensors((inputs, None)))
        own = {name: Example(network.double(), double, labels) for name, network in self.networks().items()}
        return found | {f"own {name}": Reference(each, (self.proxy,)) for name, each in own.items()}

    def _check_rewritten(self, name: str, reference: Reference, rewrites: list[Rewrite]) -> None:
        about = aspects(self.proxy) if self.about is None else self.about
        problems = reference.unequal(rewrites, {self.proxy: about})
        if not problems:
            return
        # In a network of the author's own a rewrite may compute something else: a ReLU in place spoils a shortcut.
        module = rewritten(reference.example.module, rewrites)
        assert module is None or not reference.computes_the_same(module), f"{name}, {rewrites}: {problems}"

    def test_labels_are_declared(self) -> None:
        """A proxy that does not need labels has the same score without them; another refuses to go without."""
        images, _ = self.batch()
        if not proxies.spec(self.proxy).needs_labels:
            assert self._scores(batch=(images, None)) == self._scores()
            return
        for network in self.networks().values():
            (problem,) = proxies.evaluate(network, (images, None), self.proxy).errors.values()
            assert isinstance(problem, ProxyError)

    def test_small_batches(self) -> None:
        """Fewer samples than declared are refused; the declared number has a score or a typed error."""
        least = proxies.spec(self.proxy).min_samples
        for network in self.networks().values():
            if least > 1:
                scores = proxies.evaluate(network, self.batch(least - 1), self.proxy)
                assert isinstance(scores.errors[self.proxy], ProxyBatchError)
            scores = proxies.evaluate(network, self.batch(least), self.proxy)
            assert scores.values or isinstance(scores.errors[self.proxy], ProxyError)

    def test_can_be_sent_to_a_worker(self) -> None:
        """`proxies.score_many` pickles the function by its name, so it must live in a module."""
        (resolved,) = proxies.resolve(self.proxy)
        assert pickle.loads(pickle.dumps(resolved)) == resolved


@functools.cache
def small_networks() -> st.SearchStrategy[Example]:
    """Networks of any family of `po_nas.testing.small_networks`, with an activation that a rewrite knows or not."""
    return st.builds(
        example,
        st.sampled_from(list(FAMILIES)),
        depth=st.integers(1, 3),
        activation=st.sampled_from([nn.ReLU, nn.SiLU, nn.GELU]),
        seed=st.integers(0, 99),
    )


@functools.cache
def compositions() -> st.SearchStrategy[list[Rewrite]]:
    """Two to four rewrites, at most one of them with a result that cannot be rewritten."""
    first = st.lists(st.sampled_from([r for r in REWRITES if not r.last]), min_size=1, max_size=3, unique=True)
    last = st.sampled_from([None, *(r for r in REWRITES if r.last)])
    return st.tuples(first, last).map(lambda drawn: [*drawn[0], *([drawn[1]] if drawn[1] else [])])


def _tensors(batch: Any) -> tuple[Tensor, ...]:
    inputs, labels = batch
    first = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    return first if labels is None else (*first, labels)


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6))
        self.blocks = nn.ModuleList([_Block(6, 6, 1), _Block(6, 8, 2)])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.pool(x).flatten(1))
        return logits


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return result


def _plain() -> nn.Module:
    layers = [
        ("first", nn.Conv2d(3, 6, 3)),
        ("relu", nn.ReLU(inplace=True)),
        ("second", nn.Conv2d(6, 8, 3, groups=2)),
        ("relu_again", nn.ReLU()),
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("head", nn.Linear(8, _CLASSES)),
    ]
    return nn.Sequential(OrderedDict(layers))


def _perceptron() -> nn.Module:
    widths = [192, 24, 16, _CLASSES]
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
