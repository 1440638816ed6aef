"""One forward pass that keeps what the proxies want to see of it: weights as they are used, ReLU patterns, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode
from torch.utils.weak import TensorWeakRef

from po_nas.errors import UnsupportedModuleError
from proxies.channels import sizes_of
from proxies.custom_functions import inside_function
from proxies.dataflow import Dataflow
from proxies.decomposed import DECOMPOSED
from proxies.isolation import seeded
from proxies.operators import (
    DIFFERENCES,
    DROPOUTS,
    NORMS,
    SUMS,
    Call,
    Operand,
    is_operator,
    operands,
    operands_of_product,
    product_of_weights,
    tensors,
)
from proxies.patterns import pack
from proxies.provenance import Provenance, WeightUse
from proxies.relus import PLAIN, Comparisons, as_fill
from proxies.reordering import may_reorder
from proxies.state import State, first_tensor

__all__ = ["Captured", "Watch", "record"]


@dataclass
class Captured:
    """What one forward pass left behind.

    `uses` are the weights in the order in which operators used them; `codes` packed ReLU patterns, one array a ReLU in
    the order of the calls, or why there are none; `outputs` the output tensors of each watched module, one a call.
    """

    state: State
    watch: Watch
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    result: Any = None
    uses: list[WeightUse] = field(default_factory=list)
    codes: list[Tensor] = field(default_factory=list)
    no_codes: UnsupportedModuleError | None = None
    outputs: dict[nn.Module, list[Tensor]] = field(default_factory=dict)

    @contextmanager
    def live(self) -> Iterator[None]:
        """The module with the tensors and the stand-ins of the pass."""
        with self.state.installed(self.parameters, self.buffers), self.watch:
            yield

    def gradients(
        self,
        of: Sequence[Tensor],
        by: Sequence[Tensor],
        directions: Sequence[Tensor] | None = None,
        *,
        retain: bool = False,
        create: bool = False,
    ) -> list[Tensor]:
        """Gradients, zero where there is no path; `UnsupportedModuleError` where nothing can be differentiated.

        Checkpointed parts compute their activations once more, so the module is as it was in the pass meanwhile.
        """
        if not any(tensor.requires_grad for tensor in of):
            reason = "the output is not differentiable (it depends on no parameter and no input)"
            raise UnsupportedModuleError("*", reason, "gradients")
        directions = [torch.ones_like(tensor) for tensor in of] if directions is None else directions
        known = [target for target in by if target.requires_grad]
        if not known:
            return [torch.zeros_like(target) for target in by]
        with self.live():
            # `torch.autograd.grad` would hide the stand-ins from what is computed again.
            found = iter(
                torch.autograd.Variable._execution_engine.run_backward(
                    tuple(of), tuple(directions), retain or create, create, tuple(known), True, False
                )
            )
        gradients = [next(found) if target.requires_grad else None for target in by]
        return [torch.zeros_like(target) if g is None else g for g, target in zip(gradients, by, strict=True)]


_FREEZING: frozenset[Callable[..., Any]] = frozenset(
    {Tensor.requires_grad_, Tensor.requires_grad.__set__}  # type: ignore[attr-defined]
)
"""Ways to set whether a tensor requires a gradient."""


class Watch(TorchFunctionMode):
    """Sees every function of torch that the module calls, through a module or not, and lets others stand in for some.

    `keep` keeps the outputs of the operators with weights, attached to the graph. `codes` makes ReLU patterns: it is
    told which ReLU of the pass it is and given the output, and returns a tensor with the samples in dimension 0.
    `dropout` says whether dropout happens. `flow` keeps what is computed from the first input. Subclasses replace
    `normalise`, `weight` and `bias`; where `weights` is false, nothing is kept of weights and nothing stands in for
    them.
    """

    weights = True

    def __init__(
        self,
        *,
        keep: bool = False,
        codes: Callable[[int, Tensor], Tensor] | None = None,
        dropout: bool = True,
        flow: Dataflow | None = None,
    ) -> None:
        super().__init__()
        self.keep, self.codes, self.dropout, self.flow = keep, codes, dropout, flow

    # -- what stands in -----------------------------------------------------------------------------------------------

    def normalise(self, call: Call) -> Any:
        """The result of a normalisation."""
        return call.run()

    def weight(self, use: WeightUse, weight: Tensor) -> Tensor:
        """What an operator multiplies by instead of `weight`."""
        return weight

    def bias(self, bias: Tensor) -> Tensor:
        """What an operator adds instead of `bias`."""
        return bias

    def seen(self, call: Call, result: Any) -> None:
        """A function has been called."""

    # -- a pass -------------------------------------------------------------------------------------------------------

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        """Start to record into `captured`; outputs of the operators `copied` are handed on as copies."""
        self.captured, self.copied, self.share = captured, copied, share
        self.recording, self.differentiated = True, torch.is_grad_enabled()
        state = captured.state
        self.provenance = Provenance(captured.parameters, (*captured.buffers.values(), *state.constants))
        self.originals = {key: captured.parameters[name] for key, name in state.originals.items()}
        self.refused: UnsupportedModuleError | None = None
        self.reordering = False
        self._stale = set(map(id, state.stale))
        self._fused: list[WeightUse] = []
        self._several: dict[int, tuple[TensorWeakRef, WeightUse, int]] = {}
        self.comparisons = Comparisons(self.provenance.kind)
        self.relus, self.products, self._sequences = 0, 0, False
        self._known: dict[int, tuple[TensorWeakRef, int, bool, TensorWeakRef, int]] = {}
        self._shared: list[tuple[Tensor, int]] = []
        self._kept: dict[int, tuple[Tensor, int]] = {}

    def start(self, inputs: Sequence[Tensor], layers: frozenset[int]) -> None:
        """The pass starts on these inputs; `layers` are products of weights by weights that are layers."""
        self.layers = layers
        if self.flow is not None:
            self.flow.begin(inputs[0], self.axis)

    def axis(self, tensor: Tensor) -> int:
        """The dimension of a tensor (n, …) that its channels lie along.

        Where nothing is known of it: the second, but the last of three dimensions as long as nothing but sequences of
        tokens has been seen.
        """
        found = self.provenance.channels.axis(tensor)
        if found is None or found == 0:
            return 2 if tensor.dim() == 3 and not self._sequences else 1
        return found

    def end(self) -> tuple[set[int], bool]:
        """Stop to record. Which kept outputs the module has changed in place since, and whether it has changed a
        shared one."""
        self.recording = False
        if any(not use.output.requires_grad for use in self._fused):
            reason = "a function with a backward of its own computes more than a layer; there is no gradient inside it"
            raise UnsupportedModuleError("*", reason, "gradients")
        changed = {k for k, (tensor, version) in self._kept.items() if tensor._version != version} - self.copied
        disturbed = any(output._version != version for output, version in self._shared)
        self._kept, self._shared, self._known = {}, [], {}
        return changed, disturbed

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        try:
            return self._called(function, arguments, keywords)
        except UnsupportedModuleError as error:
            self.refused = error
            raise

    def _called(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Any) -> Any:
        function, keywords = as_fill(function, arguments), keywords or {}
        given = [*tensors(arguments), *tensors(keywords)] if keywords else [*tensors(arguments)]
        if any(id(tensor) in self.originals for tensor in given):
            # A parameter that the module keeps in a second place.
            arguments, keywords = self._replaced(arguments), self._replaced(keywords)
            given = self._replaced(given)
        if self._stale and any(id(tensor) in self._stale for tensor in given):
            reason = "an attribute holds what was computed from a parameter before the call; compute it in forward"
            raise UnsupportedModuleError("*", reason, "parameters")
        if function in _FREEZING and given and self.provenance.name(given[0]) is not None:
            # Frozen weights count as others do, and flags of stand-ins would outlast the pass.
            return given[0]
        if self.weights and function in DECOMPOSED:
            with self:
                return DECOMPOSED[function](*arguments, **keywords)
        call = Call(function, arguments, keywords)
        self.reordering = self.reordering or may_reorder(call)
        uses: list[WeightUse] = []
        merged: list[WeightUse] = []
        product: int | None = None
        if function in DROPOUTS and not self.dropout:
            result = call.get(0, "input")
        elif (rectified := self.comparisons.rectified(call)) is not None:
            result = self._relu(call, rectified)
        elif function in NORMS and self.provenance.kind(call.get(0, "input")) == "data":
            result = self.normalise(call)
        elif self.weights and isinstance(function, OpOverload | OpOverloadPacket):
            result = self._operation(call, given)
        elif self.weights and is_operator(function):
            product = self.products
            result = self._multiply(call, uses)
        elif self.weights and (function in SUMS or function in DIFFERENCES):
            result = self._add(call, merged)
        else:
            result = call.run()
        self.comparisons.note(call, result)
        if not self.weights:
            return result
        if isinstance(result, Tensor | list | tuple) or function is Tensor.__setitem__:
            if self.flow is not None and self.recording:
                result = self.flow.note(given, result, uses, merged)
            self._note(function, given, result, uses, merged, product)
        if self.recording:
            self.seen(call, result)
        return result

    def _note(
        self,
        function: Callable[..., Any],
        given: list[Tensor],
        result: Any,
        uses: Sequence[WeightUse],
        merged: Sequence[WeightUse],
        product: int | None,
    ) -> None:
        """Keep account of what the result of a function is made of."""
        if product is not None and (uses or not isinstance(result, Tensor)):
            product = None
        weights = [given[k] for k in self._multiplied] if uses else []
        self.provenance.note(function, given, result, weights, product)
        if not self.recording:
            return
        channels = self.provenance.channels
        if not merged:
            channels.note(function, given, result, operator=bool(uses))
        for use in (*uses, *merged):
            if isinstance(result, Tensor) and len(use.channels) == 1:
                product_alone = None if merged or self._has_bias else use
                channels.put(result, use.channels[0], use.together, product_alone)
        if isinstance(result, Tensor) and any(use.convolution for use in uses):
            self._sequences |= result.dim() == 3

    def _operation(self, call: Call, given: Sequence[Tensor]) -> Any:
        """The result of an operation that is called by its registered name."""
        kinds = {self.provenance.kind(tensor) for tensor in given}
        if "data" in kinds and ("weight" in kinds or str(call.function).startswith("aten")):
            reason = f"torch.ops.{call.function} is called, which is not understood; call the function of torch"
            raise UnsupportedModuleError("*", reason, "functions of torch")
        return call.run()

    def _replaced(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.originals.get(id(value), value)
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return type(value)(map(self._replaced, value))
        return {k: self._replaced(v) for k, v in value.items()} if isinstance(value, dict) else value

    # -- operators with weights ---------------------------------------------------------------------------------------

    def _multiply(self, call: Call, uses: list[WeightUse]) -> Any:
        number, self.products = self.products, self.products + 1
        if number in self.layers and self.recording and product_of_weights(call, self.provenance.kind):
            found = operands_of_product(call, self.provenance.kind)
        else:
            found = operands(call, self.provenance.kind)
        if not found:
            return call.run()
        inside = self.differentiated and not torch.is_grad_enabled() and inside_function()
        given = [*tensors(call.arguments), *tensors(call.keywords)]
        weights = [call.get(operand.position, operand.name) for operand in found]
        self._multiplied = [k for k, tensor in enumerate(given) if any(tensor is w for w in weights)]
        self._has_bias = any(o.bias is not None and isinstance(call.get(*o.bias), Tensor) for o in found)
        for operand in found:
            uses.append(self._use(call, operand))
        result = call.run()
        if not self.recording:
            return result
        index = len(self.captured.uses)
        if len(uses) == 1 and len(uses[0].channels) > 1 and not self._has_bias and isinstance(result, Tensor):
            self._several[id(result)] = (TensorWeakRef(result), uses[0], result._version)
        for use in uses:
            if self.keep:
                use.output = result
        if inside and self.keep:
            self._fused += uses
        self.captured.uses += uses
        if self.keep:
            self._kept[index] = (result, result._version)
        return result.clone() if index in self.copied else result

    def _add(self, call: Call, merged: list[WeightUse]) -> Any:
        """A sum of data and a bias, that is of a number for each channel; that of a product is its operator's."""
        places = ((0, "input"), (1, "other"))
        terms = [call.get(*place) for place in places]
        kinds = [self.provenance.kind(term) for term in terms]
        pair: tuple[Tensor, Tensor] | None = None
        several: WeightUse | None = None
        for k, bias in enumerate(terms):
            if kinds[k] != "weight" or kinds[1 - k] != "data" or (k == 0 and call.function in DIFFERENCES):
                continue
            sizes = sizes_of(bias)
            several = self._of_several(terms[1 - k], sizes)
            if len(sizes) > 1 and several is None:
                continue
            pair = (terms[1 - k], bias)
            if call.function in DIFFERENCES and call.keywords.get("alpha", 1) == 1 and len(call.arguments) == 2:
                call.function, bias = DIFFERENCES[call.function], -bias
            call.put(*places[k], self.bias(bias))
        result = call.run()
        if pair is None or not self.recording or not isinstance(result, Tensor):
            return result
        if several is not None and result.shape == pair[0].shape:
            use = several
        else:
            found = self.provenance.channels.biased(*pair, result)
            if found is None:
                return result
            use, axis = found
            use.channels = (axis,)
        merged.append(use)
        if not self.keep:
            return result
        index = next(k for k in reversed(range(len(self.captured.uses))) if self.captured.uses[k] is use)
        use.output = result
        self._kept[index] = (result, result._version)
        return result.clone() if index in self.copied and result is not pair[0] else result

    def _of_several(self, data: Tensor, sizes: Mapping[int, int]) -> WeightUse | None:
        """The weight whose product `data` is, if it makes channels along several dimensions, those of `sizes`."""
        known = self._several.get(id(data))
        if known is None or known[0]() is not data or data._version != known[2]:
            return None
        wanted = {d: data.shape[d] for d in known[1].channels if data.shape[d] > 1}
        return known[1] if wanted == sizes else None

    def _use(self, call: Call, operand: Operand) -> WeightUse:
        used: Tensor = call.get(operand.position, operand.name)
        use = self.provenance.use(used, operand)
        call.put(operand.position, operand.name, self.weight(use, used))
        if operand.bias is not None:
            bias = call.get(*operand.bias)
            if isinstance(bias, Tensor) and self.provenance.kind(bias) == "weight":
                call.put(*operand.bias, self.bias(bias))
        return use

    # -- ReLUs --------------------------------------------------------------------------------------------------------

    def _relu(self, call: Call, rectified: Tensor) -> Any:
        data = self.recording and self.provenance.kind(rectified) == "data"
        inplace = call.keywords.get("inplace", len(call.arguments) > 1 and call.arguments[1] is True)
        if call.function in PLAIN and call.arguments and not inplace and self.share and self.recording:
            output = self._computed_once(call.arguments[0])
        else:
            output = call.run()
        if data:
            self._code(output)
        return output

    def _code(self, output: Tensor) -> None:
        if self.codes is not None and self.captured.no_codes is None:
            try:
                self.captured.codes.append(pack(self.codes(self.relus, output)))
            except UnsupportedModuleError as error:
                self.captured.no_codes = error
        self.relus += 1

    def _computed_once(self, tensor: Tensor) -> Tensor:
        """ReLU of a tensor. Several of one and the same tensor (the edges that leave a node of a cell) share their
        output: less time, and much less memory in a double backward pass."""
        if _saving_is_hooked():
            return torch.relu(tensor)
        grad = torch.is_grad_enabled()
        known = self._known.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1:3] == (tensor._version, grad):
            before: Tensor | None = known[3]()
            if before is not None and before._version == known[4]:
                self._shared.append((before, before._version))
                return before
        output = torch.relu(tensor)
        # Weak, so that nothing lives longer than the module itself lets it.
        self._known[id(tensor)] = (TensorWeakRef(tensor), tensor._version, grad, TensorWeakRef(output), output._version)
        return output


def _saving_is_hooked() -> bool:
    """Whether saved tensors are given away, as checkpointed parts do: they must save the same when they run again."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def record(
    state: State,
    inputs: Sequence[Tensor],
    watch: Watch,
    *,
    parameters: Mapping[str, Tensor] | None = None,
    watched: Sequence[nn.Module] = (),
    seed: int | None = None,
    share: bool = True,
) -> Captured:
    """Run the module on copies of `inputs` under `watch`; `parameters` (the state's leaves by default) take its own's
    place.

    A module may write to its inputs, and change what is kept in place; then the pass is run again with copies.
    """
    copied: frozenset[nn.Module] = frozenset()
    copied_uses: frozenset[int] = frozenset()
    layers: frozenset[int] = frozenset()
    while True:
        state.fresh()
        captured = Captured(state, watch, state.leaves if parameters is None else parameters, state.buffers())
        seen: list[tuple[nn.Module, Tensor, int]] = []

        def keep(
            part: nn.Module,
            _: Any,
            output: Any,
            captured: Captured = captured,
            seen: list[tuple[nn.Module, Tensor, int]] = seen,
            copied: frozenset[nn.Module] = copied,
        ) -> Any:
            tensor = first_tensor(output)
            if tensor is None:
                return None
            captured.outputs.setdefault(part, []).append(tensor)
            seen.append((part, tensor, tensor._version))
            return tensor.clone() if part in copied and tensor is output else None

        chance: AbstractContextManager[object] = nullcontext() if seed is None else seeded(seed)
        with ExitStack() as stack:
            for part in watched:
                stack.callback(part.register_forward_hook(keep).remove)
            stack.enter_context(chance)
            watch.begin(captured, copied_uses, share)
            own = [tensor.clone() for tensor in inputs]
            watch.start(own, layers)
            stack.enter_context(captured.live())
            try:
                captured.result = state.module(*own)
            except TypeError:
                # Of an operator between tensors torch makes another error.
                if watch.refused is None:
                    raise
                raise watch.refused from None
        changed_uses, disturbed = watch.end()
        changed = {part for part, tensor, version in seen if tensor._version != version} - copied
        flowing = frozenset[int]() if watch.flow is None else watch.flow.changed(captured.result)
        more = watch.provenance.needed - layers
        if not (changed or changed_uses or disturbed or flowing or more):
            watch.provenance.channels.end(captured.result)
            return captured
        copied |= changed
        copied_uses |= changed_uses
        layers |= more
        if watch.flow is not None:
            watch.flow.copied |= flowing
        share = share and not disturbed
