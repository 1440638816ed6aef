"""The passes over a network that proxies share: each is run once, whoever asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from proxies.attention import AttentionRecorder
from proxies.attention_gradients import AttentionCall, AttentionGradients, AttentionTargets, attention_calls
from proxies.batch import Batch, check_labels
from proxies.blocks import features_of, marked
from proxies.circle import movements
from proxies.counting import count_operations
from proxies.dataflow import Dataflow, Feature
from proxies.gaussian import GaussianPass, gaussian_pass
from proxies.isolation import derive_seed, seeded
from proxies.layers import Layer, Layers, no_layers, targets
from proxies.linearised import linearised_flow
from proxies.masked import masked_codes
from proxies.noise import NoisePass, noise_pass
from proxies.nonlinear import NonlinearCall, Nonlinearities
from proxies.proxy_spec import closure
from proxies.recording import Captured, Watch, record
from proxies.sample_gradients import SampleGradients
from proxies.samples import SampleRows
from proxies.state import State, nodes

__all__ = ["ActivationGradient", "Loss", "Passes"]

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ActivationGradient:
    """What a layer's weight put out, call by call, and the gradient of the loss there.

    Each output, and its gradient, is (n, channels, …) if `layer.convolution`, else (n, …, channels): rows of one sample
    that the module keeps apart stand in the dimensions between.
    """

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
        self._layers: Layers | None = None
        self._nonlinear: list[NonlinearCall] = []
        self._features: list[Feature] | UnsupportedModuleError | None = None
        self._attention: tuple[AttentionRecorder, Any] | None = None
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
        if not any("forward" in closure((name,)) for name in pending):
            self._forget()
        if not any("attention" in closure((name,)) for name in pending):
            self._attention = None
        if "block_jacobians" not in pending and "blocks" in self.results:
            self.results["blocks"] = [f.detached() for f in self.results["blocks"]]
        if "hessian" not in pending and "gradients" in self.results:
            self.results["gradients"] = [g.detach() for g in self.results["gradients"]]

    def _forget(self) -> None:
        self._graph = self._captured = None
        self._nonlinear, self._features = [], None
        if self._layers is not None:
            self._layers.uses = []

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; `UnsupportedModuleError` when there are none.

        Those of the forward pass. Where none has been run, one is run for them.
        """
        return tuple(self._found().layers)

    def _found(self) -> Layers:
        if self._layers is None:
            seed = derive_seed(self.seed, "forward")
            with torch.no_grad():
                captured = record(self.state, self.batch.inputs, Watch(), seed=seed)
            self._layers = Layers(self.state.module, captured.uses)
            self._layers.uses = []
        if not self._layers.layers:
            raise no_layers(self.state.module)
        return self._layers

    # -- on the graph of one forward pass of the batch --------------------------------------------------------------

    def _run_forward(self) -> Tensor:
        activations, codes = "activations" in self.wanted, "relu" in self.wanted
        seed = derive_seed(self.seed, "forward")
        self._rows = SampleRows(self.state, self.batch.inputs, seed) if activations or codes else None
        coded = self._rows.of_relu if self._rows is not None and codes else None

        blocks = "blocks" in self.wanted
        watched = marked(self.state.module) if blocks else []

        def watching(copies: bool) -> Watch:
            flow = Dataflow() if blocks and not watched else None
            if "nonlinear" not in self.wanted:
                return Watch(keep=activations, codes=coded, flow=flow)
            return Nonlinearities(keep=activations, codes=coded, copies=copies, flow=flow)

        if "jacobian" in self.wanted and self._input.is_floating_point():
            self._input = self._input.detach().requires_grad_()
        inputs = (self._input, *self.batch.inputs[1:])
        with torch.set_grad_enabled(any(name in self.wanted for name in _DIFFERENTIATED)):
            for copies in (False, True):
                watch = watching(copies)
                captured = record(self.state, inputs, watch, watched=watched, seed=seed)
                if not isinstance(watch, Nonlinearities) or not watch.disturbed:
                    break
        self._nonlinear = watch.calls if isinstance(watch, Nonlinearities) else []
        if blocks:
            try:
                self._features = features_of(captured)
            except UnsupportedModuleError as error:
                self._features = error
            watch.flow = None
        if self._rows is None and (blocks or "nonlinear" in self.wanted):
            by_chance = any(len(self._input) in call.after.shape[1:] for call in self._nonlinear)
            if watch.reordering or by_chance:
                self._rows = SampleRows(self.state, self.batch.inputs, seed)
        self._captured = captured
        self._graph = self.state.checked(captured.result, len(self._input))
        self.state.refuse_nan(self._graph)
        self._layers = Layers(self.state.module, captured.uses)
        return self._graph.detach()

    @property
    def _live(self) -> tuple[Tensor, Captured]:
        assert self._graph is not None
        assert self._captured is not None
        return self._graph, self._captured

    def _run_relu(self) -> list[Tensor]:
        captured = self._live[1]
        if captured.no_codes is not None:
            raise captured.no_codes
        if not captured.codes:
            raise UnsupportedModuleError("*", f"{type(self.state.module).__name__} calls no ReLU", "ReLU")
        assert self._rows is not None
        self._rows.count_relus(len(captured.codes))
        return captured.codes

    def _run_activations(self) -> list[tuple[Layer, tuple[Tensor, ...]]]:
        outputs = [use.output for use in self._live[1].uses]
        return self._by_layer(outputs)

    def _by_layer(self, outputs: Sequence[Tensor]) -> list[tuple[Layer, tuple[Tensor, ...]]]:
        """Tensors like the outputs of the weights, one a use, for each layer, as `ActivationGradient` has them."""
        assert self._rows is not None
        uses = self._live[1].uses
        place = {id(use): k for k, use in enumerate(uses)}
        found, layers = [], self._found()
        for layer, own in zip(layers.layers, layers.uses, strict=True):
            calls = []
            for use in own:
                k = place[id(use)]
                rows = layer.part.of_channels(self._rows.of_output(k, use, outputs[k]), -1)
                calls.append(rows.movedim(-1, 1) if layer.convolution else rows)
            found.append((layer, tuple(calls)))
        return found

    def _run_nonlinear(self) -> list[NonlinearCall]:
        if not self._nonlinear:
            reason = f"{type(self.state.module).__name__} calls no activation function"
            raise UnsupportedModuleError("*", reason, "activation functions")
        if self._rows is not None:
            self._rows.check_order([call.after for call in self._nonlinear])
        return self._nonlinear

    def _run_blocks(self) -> list[Feature]:
        if isinstance(self._features, UnsupportedModuleError):
            raise self._features
        assert self._features is not None
        if self._rows is not None:
            self._rows.check_order()
        return self._features

    def _run_jacobian(self) -> Tensor:
        result, captured = self._live
        if not self._input.requires_grad:
            reason = "the inputs are integers; there is no gradient with respect to them"
            raise UnsupportedModuleError("*", reason, "real inputs")
        (gradient,) = captured.gradients([result.sum()], [self._input], retain=True)
        return gradient.detach().flatten(1)

    def _run_block_jacobians(self) -> list[tuple[Tensor, Tensor]]:
        features: Sequence[Feature] = self.results["blocks"]
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "block_jacobians"))
        found = []
        for before, after in itertools.pairwise(features):
            output = after.read(after.tensor)
            signs = torch.randint(0, 2, output.shape, generator=generator).to(output) * 2 - 1
            (pulled,) = self._live[1].gradients([output], [before.tensor], [signs], retain=True)
            found.append((after.by_channel(signs), before.by_channel(before.read(pulled.detach()))))
        return found

    def _run_gradients(self) -> list[Tensor]:
        result, captured = self._live
        layers = self._found()
        outputs = [use.output for use in captured.uses] if "activation_gradients" in self.wanted else []
        again = "hessian" in self.wanted
        loss = self._loss(result, self.batch.labels)
        by_weight, rest = _weight_gradients([loss], captured, again, outputs)
        self._output_gradients = [g.detach() for g in rest]
        return layers.of_bases(by_weight)

    def _run_activation_gradients(self) -> list[ActivationGradient]:
        gradients = self._by_layer(self._output_gradients)
        del self._output_gradients
        return [
            ActivationGradient(layer, tuple(o.detach() for o in outputs), found)
            for (layer, outputs), (_, found) in zip(self.results["activations"], gradients, strict=True)
        ]

    def _run_nonlinear_gradients(self) -> list[Tensor]:
        # On a graph of its own: with the copies that it needs, the others' gradients would be rounded otherwise.
        watch = Nonlinearities(gradients=True)
        captured = record(self.state, self.batch.inputs, watch, seed=derive_seed(self.seed, "forward"))
        loss = self._loss(self.state.checked(captured.result, len(self._input)), self.batch.labels)
        return [g.detach() for g in captured.gradients([loss], [call.after for call in watch.calls])]

    def _run_hessian(self) -> list[Tensor]:
        gradients: list[Tensor] = self.results["gradients"]
        layers, captured = self._found(), self._live[1]
        live = [g for g in gradients if g.requires_grad]
        self.results["gradients"] = [g.detach() for g in gradients]
        del gradients
        if not live:
            return [torch.zeros_like(layer.weight) for layer in layers.layers]
        _check_second_order(live)
        directions = [g.detach() for g in live]
        self._graph = self._captured = captured.result = None
        for use in captured.uses:
            use.output = None
        by_weight, _ = _weight_gradients(live, captured, directions=directions)
        return layers.of_bases(by_weight)

    # -- attention, on a graph of its own ------------------------------------------------------------------------------

    def _run_attention(self) -> list[AttentionCall]:
        inputs = [tensor.clone() for tensor in self.batch.inputs]
        seen = AttentionRecorder(inputs, len(inputs[0]))
        differentiated = "attention_gradients" in self.wanted
        self.state.fresh()
        with torch.set_grad_enabled(differentiated), seeded(derive_seed(self.seed, "forward")), seen:
            result = self.state(*inputs)
        if not seen.attention:
            reason = f"{type(self.state.module).__name__} computes no softmax of a product of queries and keys"
            raise UnsupportedModuleError("*", reason, "attention")
        self._attention = seen, result
        return attention_calls(seen)

    def _run_feed_forward(self) -> list[Tensor]:
        assert self._attention is not None
        seen, _ = self._attention
        if not seen.feed_forward:
            reason = f"{type(self.state.module).__name__} has attention, but no feed-forward layer"
            raise UnsupportedModuleError("*", reason, "feed-forward layers")
        return [layer.hidden for layer in seen.feed_forward]

    def _run_attention_gradients(self) -> AttentionGradients:
        assert self._attention is not None
        seen, result = self._attention
        if not seen.differentiable:
            reason = f"{type(self.state.module).__name__} computes attention without a graph"
            raise UnsupportedModuleError("*", reason, "gradients")
        targets = AttentionTargets(seen, self.seed)
        loss = self._loss(self.state.checked(result, len(self.batch)), self.batch.labels)
        found = torch.autograd.grad(loss, targets.tensors, allow_unused=True, materialize_grads=True)
        return targets.gradients(found)

    # -- passes of their own --------------------------------------------------------------------------------------

    def _run_half_gradients(self) -> list[list[Tensor]]:
        inputs, labels = self._single_input(), self._labels()
        half = len(inputs) // 2
        halves = ((inputs[:half], labels[:half]), (inputs[half : 2 * half], labels[half : 2 * half]))
        found = []
        for x, y in halves:
            captured = record(self.state, (x,), Watch(), share=False)
            if self._layers is None:
                self._layers = Layers(self.state.module, captured.uses)
                self._layers.uses = []
            layers = self._found()
            layers.check(captured.uses)
            loss = self._loss(self.state.checked(captured.result, half), y)
            found.append(layers.of_bases(_weight_gradients([loss], captured)[0]))
        return found

    def _run_sample_gradients(self) -> SampleGradients:
        return SampleGradients(self.state, self._single_input(), self.batch.labels, self._loss)

    def _run_gaussian(self) -> GaussianPass:
        return gaussian_pass(self.state, self.batch.inputs, derive_seed(self.seed, "gaussian"))

    def _run_noise(self) -> NoisePass:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "noise"))
        return noise_pass(self.state, self.batch.inputs, generator)

    def _run_masked(self) -> list[Tensor]:
        return masked_codes(self.state, self.batch.inputs, derive_seed(self.seed, "masked"))

    def _run_single(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "single"))
        inputs = self._single_input()
        if not inputs.is_floating_point():
            raise UnsupportedModuleError("*", "the inputs are integers; none can be drawn from N(0, 1)", "real inputs")
        noise = torch.randn(1, *inputs.shape[1:], generator=generator, dtype=torch.float64).to(inputs)
        with torch.no_grad():
            captured = record(self.state, (noise,), Watch(keep=True))
        layers = Layers(self.state.module, captured.uses)
        return [own[-1].output for layer, own in zip(layers.layers, layers.uses, strict=True) if layer.convolution]

    def _run_circle(self) -> list[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "circle"))
        return movements(self.state, self._single_input(), generator)

    def _run_synflow(self) -> list[tuple[Tensor, Tensor]]:
        return linearised_flow(self.state, self.batch.inputs, normalise=False)

    def _run_synflow_bn(self) -> list[tuple[Tensor, Tensor]]:
        return linearised_flow(self.state, self.batch.inputs, normalise=True)

    def _run_macs(self) -> int:
        given = self.batch.inputs
        inputs = [tensor.clone() for tensor in (given if len(given) > 1 else (given[0][:1],))]
        self.state.fresh()
        with self.state.installed(self.state.leaves, self.state.buffers()):
            return count_operations(self.state.module, *inputs).total

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
        # A loss may write to what it is given.
        outputs, labels = outputs.clone(), labels.clone()
        if self.loss is None:
            check_labels(outputs, labels)
            return nn.functional.cross_entropy(outputs, labels.long())
        value = self.loss(outputs, labels)
        if not isinstance(value, Tensor) or value.dim():
            raise ProxyBatchError("*", "loss(outputs, labels) must return a tensor without dimensions", "loss")
        return value


_DIFFERENTIATED = ("jacobian", "block_jacobians", "gradients")


def _weight_gradients(
    of: Sequence[Tensor],
    captured: Captured,
    again: bool = False,
    more: Sequence[Tensor] = (),
    *,
    directions: Sequence[Tensor] | None = None,
) -> tuple[Mapping[str, Tensor], list[Tensor]]:
    """Gradients by the weights of a pass, by key, and by `more` tensors; `again` makes them differentiable."""
    bases = targets(captured.uses)
    flat = [base for same in bases.values() for base in same]
    found = captured.gradients(of, [*flat, *more], directions, create=again)
    left = iter(found)
    summed = {key: sum((next(left) for _ in same[1:]), next(left)) for key, same in bases.items()}
    return summed, list(left)


def _check_second_order(tensors: Sequence[Tensor]) -> None:
    """Refuse a graph with a function that can be differentiated only once.

    Torch marks such a function by a node that fails when it is run. A gradient by the weights does not run it, and
    would silently lack its part.
    """
    if any(node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented") for node in nodes(tensors)):
        reason = "a function of the module can be differentiated only once"
        raise UnsupportedModuleError("*", reason, "second derivatives")
