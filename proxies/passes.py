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
from proxies.attention import AttentionRecorder
from proxies.attention_gradients import AttentionCall, AttentionGradients, AttentionTargets, attention_calls
from proxies.batch import Batch, check_labels
from proxies.blocks import candidates, chain
from proxies.counting import count_operations
from proxies.gaussian import GaussianPass, gaussian_pass
from proxies.isolation import derive_seed, seeded
from proxies.layers import Layer, State
from proxies.linearised import linearised_flow
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
        self._attention: AttentionRecorder | None = None
        self._attention_gradients: AttentionGradients | None = None
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
            self._graph = self._captured = self._attention = None
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

        def run() -> Tensor:
            self._attention = AttentionRecorder(inputs, len(inputs[0])) if "attention" in self.wanted else None
            with seeded(seed), self._attention or nullcontext():
                return self.state.outputs(*inputs)

        with torch.set_grad_enabled(any(name in self.wanted for name in _DIFFERENTIATED)):
            self._captured = record(run, codes="relu" in self.wanted, watched=list(dict.fromkeys(watched)))
        self._graph = self._captured.result
        return self._graph.detach()

    @property
    def _live(self) -> tuple[Tensor, Captured]:
        assert self._graph is not None
        assert self._captured is not None
        return self._graph, self._captured

    def _run_relu(self) -> list[Tensor]:
        codes = self._live[1].codes
        if not codes:
            raise UnsupportedModuleError("*", f"{type(self.state.module).__name__} calls no ReLU", "ReLU")
        if any(code.shape[0] != codes[0].shape[0] for code in codes):
            reason = "a ReLU is called on something that does not hold the batch's samples"
            raise UnsupportedModuleError("*", reason, "ReLU")
        return codes

    def _run_activations(self) -> list[tuple[Layer, tuple[Tensor, ...]]]:
        outputs = self._live[1].outputs
        return [(layer, tuple(outputs[layer.module])) for layer in self.state.layers if layer.module in outputs]

    def _run_blocks(self) -> list[Tensor]:
        result, captured = self._live
        blocks = set(candidates(self.state))
        return chain({m: calls for m, calls in captured.outputs.items() if m in blocks}, result)

    @property
    def _seen(self) -> AttentionRecorder:
        assert self._attention is not None
        return self._attention

    def _run_attention(self) -> list[AttentionCall]:
        if not self._seen.attention:
            reason = f"{type(self.state.module).__name__} computes no softmax of a product of queries and keys"
            raise UnsupportedModuleError("*", reason, "attention")
        return attention_calls(self._seen)

    def _run_feed_forward(self) -> list[Tensor]:
        if not self._seen.feed_forward:
            reason = f"{type(self.state.module).__name__} has attention, but no feed-forward layer"
            raise UnsupportedModuleError("*", reason, "feed-forward layers")
        return [layer.hidden for layer in self._seen.feed_forward]

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
        activations = len(targets)
        heads = None
        if "attention_gradients" in self.wanted and "attention" in self.results and self._seen.differentiable:
            heads = AttentionTargets(self._seen, self.seed)
            targets += heads.tensors
        again = "hessian" in self.wanted
        found = _gradients(self._loss(result, self.batch.labels), targets, retain=again, create=again)
        self._attention_gradients = None
        if heads is not None:
            self._attention_gradients = heads.gradients([g.detach() for g in found[activations:]])
        self._activation_gradients = [g.detach() for g in found[len(weights) : activations]]
        return found[: len(weights)]

    def _run_activation_gradients(self) -> list[ActivationGradient]:
        gradients = iter(self._activation_gradients)
        del self._activation_gradients
        return [
            ActivationGradient(layer, tuple(o.detach() for o in outputs), tuple(next(gradients) for _ in outputs))
            for layer, outputs in self.results["activations"]
        ]

    def _run_attention_gradients(self) -> AttentionGradients:
        found, self._attention_gradients = self._attention_gradients, None
        if found is None:
            reason = f"{type(self.state.module).__name__} computes attention without a graph"
            raise UnsupportedModuleError("*", reason, "gradients")
        return found

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

    def _run_single(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "single"))
        inputs = self._single_input()
        noise = torch.randn(1, *inputs.shape[1:], generator=generator, dtype=torch.float64).to(inputs)
        with torch.no_grad():
            watched = [layer.module for layer in self.state.weights() if layer.convolution]
            captured = record(lambda: self.state(noise), watched=watched)
        return [calls[-1] for calls in captured.outputs.values()]

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
