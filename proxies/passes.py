"""The passes over a network that proxies share: each is run once, whoever asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from proxies.batch import Batch, check_labels
from proxies.blocks import candidates, chain
from proxies.circle import movements
from proxies.counting import count_operations
from proxies.gaussian import GaussianPass, gaussian_pass
from proxies.isolation import derive_seed, seeded
from proxies.layers import Layer, State
from proxies.linearised import linearised_flow
from proxies.masked import masked_codes
from proxies.noise import NoisePass, noise_pass
from proxies.nonlinear import NonlinearCall, Nonlinearities
from proxies.proxy_spec import PASSES
from proxies.recording import Captured, record
from proxies.sample_gradients import SampleGradients

__all__ = ["ActivationGradient", "Loss", "Passes"]

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ActivationGradient:
    """What one layer put out, call by call, and the gradient of the loss there; both have the shape of the output."""

    layer: Layer
    outputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]


class Passes:
    """Runs passes of one module on one batch in one precision and keeps their results until they are released.

    `wanted` are the passes that will be asked for, because some are run differently for those that follow them: the
    loss is differentiated such that it can be differentiated again only when the Hessian is wanted. Each pass has a
    seed of its own, so nothing depends on what else is wanted.
    """

    def __init__(
        self,
        module: nn.Module,
        batch: Batch,
        *,
        loss: Loss | None,
        seed: int,
        wanted: Collection[str],
        dtype: torch.dtype | None = None,
    ) -> None:
        self.state = State(module, dtype)
        self.batch = batch.to(self.state.device, self.state.dtype)
        self.loss, self.seed, self.wanted = loss, seed, wanted
        self.results: dict[str, Any] = {}
        self._captured: Captured | None = None
        self._graph: Tensor | None = None
        self._nonlinear: list[NonlinearCall] = []
        self._input = self.batch.inputs[0]

    def run(self, name: str) -> None:
        """Run a pass; those that it builds on must have been run."""
        with seeded(derive_seed(self.seed, name)):
            self.results[name] = getattr(self, f"_run_{name}")()

    def release(self, still_wanted: Collection[str]) -> None:
        """Forget the results that nobody needs any more, and the graph with its activations likewise."""
        for name in set(self.results) - set(still_wanted):
            del self.results[name]
        pending = {name for name in still_wanted if name not in self.results}
        if not any("forward" in PASSES[name] for name in pending):
            self._graph = self._captured = None
            self._nonlinear = []
        if "nonlinear" in self.results and "nonlinear_gradients" not in pending:
            self.results["nonlinear"] = [NonlinearCall(c.before, c.after.detach()) for c in self.results["nonlinear"]]
        if "block_jacobians" not in pending and "blocks" in self.results:
            self.results["blocks"] = [features.detach() for features in self.results["blocks"]]
        if "hessian" not in pending and "gradients" in self.results:
            self.results["gradients"] = [g.detach() for g in self.results["gradients"]]

    # -- on the graph of one forward pass of the batch --------------------------------------------------------------

    def _run_forward(self) -> Tensor:
        watched: list[nn.Module] = []
        if "activations" in self.wanted:
            watched += [layer.module for layer in self.state.layers]
        if "blocks" in self.wanted:
            watched += candidates(self.state)
        if "jacobian" in self.wanted and self._input.is_floating_point():
            self._input = self._input.detach().requires_grad_()
        inputs = (self._input, *self.batch.inputs[1:])
        seed = derive_seed(self.seed, "forward")

        def captured(copies: bool) -> tuple[Captured, Nonlinearities]:
            seen = Nonlinearities(gradients="nonlinear_gradients" in self.wanted, copies=copies)

            def run() -> Tensor:
                with seeded(seed), seen if "nonlinear" in self.wanted else nullcontext():
                    return self.state.outputs(*inputs)

            return record(run, codes="relu" in self.wanted, watched=list(dict.fromkeys(watched))), seen

        with torch.set_grad_enabled(any(name in self.wanted for name in _DIFFERENTIATED)):
            self._captured, seen = captured(copies=False)
            if seen.disturbed:
                self._captured, seen = captured(copies=True)
        self._nonlinear = seen.calls
        self._graph = self._captured.result
        return self._graph.detach()

    @property
    def _live(self) -> tuple[Tensor, Captured]:
        assert self._graph is not None
        assert self._captured is not None
        return self._graph, self._captured

    def _run_relu(self) -> list[Tensor]:
        return _same_samples(self._live[1].codes, self.state.module)

    def _run_activations(self) -> list[tuple[Layer, tuple[Tensor, ...]]]:
        outputs = self._live[1].outputs
        return [(layer, tuple(outputs[layer.module])) for layer in self.state.layers if layer.module in outputs]

    def _run_nonlinear(self) -> list[NonlinearCall]:
        if not self._nonlinear:
            reason = f"{type(self.state.module).__name__} calls no activation function"
            raise UnsupportedModuleError("*", reason, "activation functions")
        return self._nonlinear

    def _run_blocks(self) -> list[Tensor]:
        result, captured = self._live
        blocks = set(candidates(self.state))
        return chain({m: calls for m, calls in captured.outputs.items() if m in blocks}, result)

    def _run_jacobian(self) -> Tensor:
        result, _ = self._live
        if not self._input.requires_grad:
            reason = "the inputs are integers; there is no gradient with respect to them"
            raise UnsupportedModuleError("*", reason, "real inputs")
        gradients = _gradients(result.sum(), [self._input], retain=True)
        return gradients[0].detach().flatten(1)

    def _run_block_jacobians(self) -> list[tuple[Tensor, Tensor]]:
        features: Sequence[Tensor] = self.results["blocks"]
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "block_jacobians"))
        found = []
        for before, after in itertools.pairwise(features):
            signs = torch.randint(0, 2, after.shape, generator=generator).to(after) * 2 - 1
            found.append((signs, _gradients(after, [before], signs, retain=True)[0].detach()))
        return found

    def _run_gradients(self) -> list[Tensor]:
        result, captured = self._live
        weights = [layer.weight for layer in self.state.weights()]
        targets = list(weights)
        if "activation_gradients" in self.wanted:
            targets += [tensor for layer in self.state.layers for tensor in captured.outputs.get(layer.module, ())]
        if "nonlinear_gradients" in self.wanted:
            targets += [call.after for call in self._nonlinear]
        again = "hessian" in self.wanted
        found = _gradients(self._loss(result, self.batch.labels), targets, retain=again, create=again)
        beside = [g.detach() for g in found[len(weights) :]]
        split = len(beside) - (len(self._nonlinear) if "nonlinear_gradients" in self.wanted else 0)
        self._activation_gradients, self._nonlinear_gradients = beside[:split], beside[split:]
        return found[: len(weights)]

    def _run_activation_gradients(self) -> list[ActivationGradient]:
        gradients = iter(self._activation_gradients)
        del self._activation_gradients
        return [
            ActivationGradient(layer, tuple(o.detach() for o in outputs), tuple(next(gradients) for _ in outputs))
            for layer, outputs in self.results["activations"]
        ]

    def _run_nonlinear_gradients(self) -> list[Tensor]:
        gradients = self._nonlinear_gradients
        del self._nonlinear_gradients
        return gradients

    def _run_hessian(self) -> list[Tensor]:
        gradients: list[Tensor] = self.results["gradients"]
        weights = [layer.weight for layer in self.state.layers]
        live = [g for g in gradients if g.requires_grad]
        self.results["gradients"] = [g.detach() for g in gradients]
        self._graph = self._captured = None
        del gradients
        if not live:
            return [torch.zeros_like(w) for w in weights]
        _check_second_order(live)
        directions = [g.detach() for g in live]
        return _gradients(live, weights, directions)

    # -- passes of their own --------------------------------------------------------------------------------------

    def _run_half_gradients(self) -> list[list[Tensor]]:
        weights = [layer.weight for layer in self.state.weights()]
        inputs, labels = self._single_input(), self._labels()
        half = len(inputs) // 2
        halves = ((inputs[:half], labels[:half]), (inputs[half : 2 * half], labels[half : 2 * half]))
        return [_gradients(self._loss(self.state.outputs(x), y), weights) for x, y in halves]

    def _run_sample_gradients(self) -> SampleGradients:
        return SampleGradients(self.state, self._single_input(), self.batch.labels, self._loss)

    def _run_gaussian(self) -> GaussianPass:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "gaussian"))
        return gaussian_pass(self.state, self.batch.inputs, generator)

    def _run_noise(self) -> NoisePass:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "noise"))
        return noise_pass(self.state, self.batch.inputs, generator)

    def _run_masked(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "masked"))
        return _same_samples(masked_codes(self.state, self.batch.inputs, generator), self.state.module)

    def _run_single(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "single"))
        inputs = self._single_input()
        noise = torch.randn(1, *inputs.shape[1:], generator=generator, dtype=torch.float64).to(inputs)
        with torch.no_grad():
            watched = [layer.module for layer in self.state.weights() if layer.convolution]
            captured = record(lambda: self.state(noise), watched=watched)
        return [calls[-1] for calls in captured.outputs.values()]

    def _run_circle(self) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "circle"))
        return movements(self.state, self._single_input(), generator)

    def _run_synflow(self) -> list[tuple[Tensor, Tensor]]:
        return linearised_flow(self.state, self.batch.inputs, normalise=False)

    def _run_synflow_bn(self) -> list[tuple[Tensor, Tensor]]:
        return linearised_flow(self.state, self.batch.inputs, normalise=True)

    def _run_macs(self) -> int:
        inputs = self.batch.inputs
        first = inputs[0][:1] if len(inputs) == 1 else inputs[0]
        original = next(p.dtype for p in self.state.module.parameters())
        first = first.to(original) if first.is_floating_point() else first
        return count_operations(self.state.module, first, *inputs[1:]).total

    # -- pieces ---------------------------------------------------------------------------------------------------

    def _single_input(self) -> Tensor:
        if len(self.batch.inputs) > 1:
            reason = "the module takes several inputs, so samples cannot be taken one by one"
            raise UnsupportedModuleError("*", reason, "one input")
        return self.batch.inputs[0]

    def _labels(self) -> Tensor:
        if self.batch.labels is None:
            raise ProxyBatchError("*", "labels are needed; pass the batch as (inputs, labels)", "labels")
        return self.batch.labels

    def _loss(self, outputs: Tensor, labels: Tensor | None) -> Tensor:
        labels = self._labels() if labels is None else labels
        if self.loss is None:
            check_labels(outputs, labels)
            return nn.functional.cross_entropy(outputs, labels)
        value = self.loss(outputs, labels)
        if not isinstance(value, Tensor) or value.dim():
            raise ProxyBatchError("*", "loss(outputs, labels) must return a tensor without dimensions", "loss")
        return value


_DIFFERENTIATED = ("jacobian", "block_jacobians", "gradients")


def _gradients(
    of: Tensor | Sequence[Tensor],
    by: Sequence[Tensor],
    directions: Any = None,
    *,
    retain: bool = False,
    create: bool = False,
) -> list[Tensor]:
    """Gradients, zero where there is no path; `UnsupportedModuleError` where nothing can be differentiated."""
    outputs = [of] if isinstance(of, Tensor) else list(of)
    if not any(o.requires_grad for o in outputs):
        reason = "the output is not differentiable (it depends on no parameter and no input)"
        raise UnsupportedModuleError("*", reason, "gradients")
    found = torch.autograd.grad(
        outputs, list(by), directions, retain_graph=retain or create, create_graph=create, allow_unused=True
    )
    return [torch.zeros_like(target) if g is None else g for g, target in zip(found, by, strict=True)]


def _same_samples(codes: list[Tensor], module: nn.Module) -> list[Tensor]:
    """The codes; `UnsupportedModuleError` where there are none, or of something else than the batch's samples."""
    if not codes:
        raise UnsupportedModuleError("*", f"{type(module).__name__} calls no ReLU", "ReLU")
    if any(code.shape[0] != codes[0].shape[0] for code in codes):
        reason = "a ReLU is called on something that does not hold the batch's samples"
        raise UnsupportedModuleError("*", reason, "ReLU")
    return codes


def _check_second_order(tensors: Sequence[Tensor]) -> None:
    """Refuse a graph with a function that can be differentiated only once.

    Torch marks such a function by a node that fails when it is run. A gradient by the weights does not run it, and
    would silently lack its part.
    """
    seen: set[Any] = set()
    left: list[Any] = [t.grad_fn for t in tensors]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented"):
            reason = "a function of the module can be differentiated only once"
            raise UnsupportedModuleError("*", reason, "second derivatives")
        seen.add(node)
        left += [following for following, _ in node.next_functions]
