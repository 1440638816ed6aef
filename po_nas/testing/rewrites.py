"""Rewrites: networks written down in another way that compute the same function, for tests of proxies.

A proxy that scores what a network computes gives both the same score. `REWRITES` are from networks that people write:
functions in place of modules, layers of libraries, reparametrised weights, other containers, other names.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations, parametrize, prune

from po_nas.testing import layer_forms as forms
from po_nas.testing.small_networks import Aggregate, Attention, Unrolled
from proxies.isolation import seeded

__all__ = ["ASPECTS", "REWRITES", "Rewrite", "rewritten"]

ASPECTS = {
    "parameters": "the function is computed from other parameters (a scale and a direction in place of a weight)",
    "grouping": "weights are divided into layers in another way (one matrix for query, key and value)",
    "layers": "there are more layers, which add zero",
    "convolutions": "a convolution is no convolution any more, or the other way round",
    "normalisation": "batch normalisation is written out, so that nothing tells it apart from the rest",
    "operations": "other multiplications are made",
    "modules": "the tree of modules is another one: parts are wrapped, joined or taken apart",
}
"""What a rewrite may change beside the code; proxies that are about it by definition have other scores then."""


@dataclass(frozen=True)
class Rewrite:
    """A network → one that computes the same function.

    `function` works on a network of its own, which it may change, and returns the new one, or None where there is
    nothing to rewrite. `changes` are of `ASPECTS`. `last`: its result cannot be copied or rewritten any further.
    """

    name: str
    function: Callable[[nn.Module], nn.Module | None] = field(repr=False)
    changes: frozenset[str] = frozenset()
    last: bool = False

    def __call__(self, module: nn.Module) -> nn.Module | None:
        """The rewritten network, or None; `module` stays as it is."""
        return rewritten(module, [self])


def rewritten(module: nn.Module, rewrites: Sequence[Rewrite]) -> nn.Module | None:
    """A copy of `module`, rewritten by each in turn (`last` ones at the end); None where none has anything to do."""
    result, found = copy.deepcopy(module), False
    for rewrite in sorted(rewrites, key=lambda r: r.last):
        with seeded(0), warnings.catch_warnings():
            # Some ways to reparametrise a weight are deprecated; networks have them all the same.
            warnings.simplefilter("ignore")
            changed = rewrite.function(result)
        result, found = (result, found) if changed is None else (changed, True)
    return result.train(module.training) if found else None


def _replaced(module: nn.Module, make: Callable[[nn.Module], nn.Module | None]) -> nn.Module | None:
    """`module` with ``make(part)`` in the place of each part for which it is not None; None where there is none.

    What is inside a replaced part is not visited; a part that is in several places is replaced by one module.
    """
    done: dict[int, tuple[nn.Module, nn.Module]] = {}
    count = 0

    def visit(part: nn.Module) -> nn.Module:
        nonlocal count
        if id(part) in done:
            return done[id(part)][1]
        new = make(part)
        if new is None:
            new = part
            done[id(part)] = (part, new)
            for name, child in list(part._modules.items()):
                if child is not None:
                    setattr(part, name, visit(child))
        else:
            count += 1
        done[id(part)] = (part, new)
        return new

    result = visit(module)
    return result if count else None


def _is_plain(part: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a part is a layer of just that class without peculiarities, its weight a parameter, and no hooks."""
    if type(part) not in kinds or part._parameters.get("weight") is None or part._forward_pre_hooks:
        return False
    if isinstance(part, nn.Conv1d | nn.Conv2d):
        return part.padding_mode == "zeros" and not isinstance(part.padding, str)
    if isinstance(part, _BatchNorm):
        return part.track_running_stats
    return not isinstance(part, nn.Embedding) or (part.padding_idx is None and part.max_norm is None)


def _layers(
    name: str,
    kinds: type[nn.Module] | tuple[type[nn.Module], ...],
    make: Callable[[Any], nn.Module | None],
    *changes: str,
    last: bool = False,
) -> Rewrite:
    """A rewrite of each plain layer of some kinds."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)

    def function(module: nn.Module) -> nn.Module | None:
        return _replaced(module, lambda part: make(part) if _is_plain(part, *wanted) else None)

    return Rewrite(name, function, frozenset(changes), last)


def _parts(name: str, kind: type[nn.Module], make: Callable[[Any], nn.Module | None], *changes: str) -> Rewrite:
    """A rewrite of each part of just one class, which need not have a weight."""

    def function(module: nn.Module) -> nn.Module | None:
        return _replaced(module, lambda part: make(part) if type(part) is kind else None)

    return Rewrite(name, function, frozenset(changes))


def _relus(form: str) -> Rewrite:
    return _parts(f"ReLU: {form}", nn.ReLU, lambda _: forms.Relu(form))


def _products(form: str) -> Rewrite:
    return _layers(f"linear: {form}", nn.Linear, lambda layer: forms.Product(layer, form, ("w", "b")))


def _mixed_relus(module: nn.Module) -> nn.Module | None:
    names = itertools.cycle([None, "clamp", "method", "functional.relu"])

    def make(part: nn.Module) -> nn.Module | None:
        form = next(names) if type(part) is nn.ReLU else None
        return None if form is None else forms.Relu(form)

    return _replaced(module, make)


# -- parts of a Sequential that become one ------------------------------------------------------------------------


def _pairs(module: nn.Module, join: Callable[[Any, Any], nn.Module | None]) -> nn.Module | None:
    """Join neighbours in each Sequential where `join` has something for them; the second becomes an identity."""
    found = False
    for part in module.modules():
        if type(part) is not nn.Sequential:
            continue
        names = list(part._modules)
        for first, second in itertools.pairwise(names):
            joined = join(getattr(part, first), getattr(part, second))
            if joined is not None:
                setattr(part, first, joined)
                setattr(part, second, nn.Identity())
                found = True
    return module if found else None


def _norm_with_activation(norm: nn.Module, activation: nn.Module) -> nn.Module | None:
    kinds: dict[type[nn.Module], type[Any]] = {nn.BatchNorm1d: forms.NormAct1d, nn.BatchNorm2d: forms.NormAct2d}
    if type(norm) not in kinds or not type(activation).__module__.startswith("torch.nn.modules.activation"):
        return None
    new: nn.Module = _same_norm(norm, kinds[type(norm)])
    new.act = activation
    return new


def _same_norm(norm: Any, kind: type[Any]) -> Any:
    new = kind(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
    new.weight, new.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        getattr(new, name).copy_(buffer)
    return new


class _OwnBatchNorm1d(nn.BatchNorm1d):
    """A subclass that does nothing else."""


class _OwnBatchNorm2d(nn.BatchNorm2d):
    """A subclass that does nothing else."""


def _own_norm(norm: Any) -> nn.Module:
    return _same_norm(norm, _OwnBatchNorm1d if isinstance(norm, nn.BatchNorm1d) else _OwnBatchNorm2d)  # type: ignore[no-any-return]


# -- weights that are computed from others ------------------------------------------------------------------------


class _PlusZero(nn.Module):
    """A weight plus the product of a low-rank pair, of which one is zero."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        self.up = nn.Parameter(weight.new_zeros(rows, 2))
        self.down = nn.Parameter(torch.linspace(-1, 1, 2 * columns).to(weight).view(2, columns))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def _pruned(part: nn.Module) -> None:
    prune.identity(part, "weight")  # type: ignore[no-untyped-call]


def _changed(action: Callable[[Any], object]) -> Callable[[nn.Module], nn.Module]:
    """`action` on a part, as a function that returns the part."""

    def make(part: nn.Module) -> nn.Module:
        action(part)
        return part

    return make


def _spectral(part: nn.Module, action: Callable[[Any], object]) -> nn.Module | None:
    """Divide by the spectral norm, where it is one in all directions."""
    weight: Any = part.weight
    values = torch.linalg.svdvals(weight.detach().flatten(1))
    if float((values - 1).abs().max()) > 1e-12:
        return None
    action(part)
    return part


# -- containers, names and places ---------------------------------------------------------------------------------


class _Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: Any) -> Any:
        return self.inner(*arguments)


class _Attributes(nn.Module):
    """What a `ModuleList` holds, as attributes."""

    def __init__(self, parts: nn.ModuleList) -> None:
        super().__init__()
        self.count = len(parts)
        for k, part in enumerate(parts):
            setattr(self, f"part_{k}", part)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Any:
        if not 0 <= k < self.count:
            raise IndexError(k)
        return getattr(self, f"part_{k}")


def _nested(module: nn.Module) -> nn.Module | None:
    """Pairs of parts of each Sequential in a Sequential of their own."""

    def nest(part: nn.Sequential) -> nn.Module:
        parts = [_replaced(p, make) or p for p in part]
        return nn.Sequential(*(nn.Sequential(*parts[k : k + 2]) for k in range(0, len(parts), 2)))

    def make(part: nn.Module) -> nn.Module | None:
        return nest(part) if type(part) is nn.Sequential and len(part) > 2 else None

    return _replaced(module, make)


def _flattened(module: nn.Module) -> nn.Module | None:
    """Each Sequential in a Sequential dissolved."""

    def parts(part: nn.Sequential) -> list[nn.Module]:
        inner = [parts(p) if type(p) is nn.Sequential else [p] for p in part]
        return [p for each in inner for p in each]

    def make(part: nn.Module) -> nn.Module | None:
        if type(part) is not nn.Sequential or not any(type(p) is nn.Sequential for p in part):
            return None
        return nn.Sequential(*(_replaced(p, make) or p for p in parts(part)))

    return _replaced(module, make)


def _renamed(module: nn.Module) -> nn.Module | None:
    """Other names for the parts of each Sequential."""
    found = False
    for part in list(module.modules()):
        if type(part) is nn.Sequential:
            children = list(part._modules.values())
            part._modules.clear()
            for k, child in enumerate(children):
                part.add_module(f"{type(child).__name__.lower()}_{'abcdefghijklmnopqrstuvwxyz'[-1 - k]}", child)
            found = True
    return module if found else None


def _reordered(module: nn.Module) -> nn.Module | None:
    """Children (of modules that are no list) and parameters registered the other way round."""
    for part in list(module.modules()):
        for registered in (part._parameters, part._buffers, part._modules):
            if registered is part._modules and isinstance(part, nn.Sequential | nn.ModuleList):
                continue
            content = list(registered.items())
            registered.clear()
            registered.update(reversed(content))  # type: ignore[arg-type]
    return module


def _untied(module: nn.Module) -> nn.Module | None:
    """A linear layer that stands in several places becomes several that share their parameters."""
    found, seen = False, set()
    for part in list(module.modules()):
        for name, child in list(part._modules.items()):
            if child is None or not _is_plain(child, nn.Linear):
                continue
            if id(child) in seen:
                twin: Any = nn.Linear(child.in_features, child.out_features)  # type: ignore[arg-type]
                twin.weight, twin.bias = child.weight, child.bias
                setattr(part, name, twin)
                found = True
            seen.add(id(child))
    return module if found else None


def _checkpointed(reentrant: bool) -> Callable[[nn.Module], nn.Module | None]:
    """Checkpoint the last child with parameters that is called, or one inside it."""

    def function(module: nn.Module) -> nn.Module | None:
        named = [(n, c) for n, c in module._modules.items() if c is not None and any(True for _ in c.parameters())]
        for name, child in reversed(named):
            if isinstance(child, nn.ModuleList | forms.Checkpointed):
                continue
            if len(named) > 1:
                setattr(module, name, forms.Checkpointed(child, reentrant))
                return module
            return function(child) and module
        return None

    return function


def _channels_last(module: nn.Module) -> nn.Module | None:
    if not any(type(part) is nn.Conv2d for part in module.modules()):
        return None
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _traced(module: nn.Module) -> nn.Module | None:
    try:
        return torch.fx.symbolic_trace(module)
    except Exception:  # what cannot be traced (a loop over a dimension) is not rewritten
        return None


def _swapped(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        new = nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
        torch.utils.swap_tensors(parameter, new)  # type: ignore[no-untyped-call]
    return module


_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


REWRITES: tuple[Rewrite, ...] = (
    # ReLU
    *(_relus(form) for form in forms.RELUS),
    Rewrite("ReLU: some as modules, some not", _mixed_relus),
    _parts("ReLU on rows", nn.ReLU, forms.Rows, "modules"),
    _parts("ReLU, sequence first", nn.ReLU, forms.SequenceFirst, "modules"),
    _parts("ReLU on halves of the batch", nn.ReLU, forms.Halves, "modules"),
    # linear layers
    *(_products(form) for form in forms.PRODUCTS),
    _layers("linear: matmul, same names", nn.Linear, lambda p: forms.Product(p, "matmul")),
    _layers("linear on rows", nn.Linear, forms.Rows, "modules"),
    _layers("linear, sequence first", nn.Linear, forms.SequenceFirst, "modules"),
    _layers("linear on halves of the batch", nn.Linear, forms.Halves, "modules"),
    _layers("linear as 1 x 1 convolution", nn.Linear, forms.OneByOne, "convolutions", "modules"),
    Rewrite(
        "linear and ReLU in one",
        lambda m: _pairs(m, lambda a, b: forms.Fused(a) if _is_plain(a, nn.Linear) and type(b) is nn.ReLU else None),
        frozenset({"modules"}),
    ),
    # convolutions
    _layers("convolution as function", (nn.Conv1d, nn.Conv2d), forms.FunctionalConvolution),
    _layers(
        "1 x 1 convolution as linear",
        nn.Conv2d,
        lambda p: forms.Pointwise(p) if _is_pointwise(p) else None,
        "convolutions",
        "modules",
    ),
    _layers("1-D convolution as 2-D", nn.Conv1d, forms.Flat),
    _layers("groups apart", nn.Conv2d, lambda p: forms.Split(p) if p.groups > 1 else None, "grouping", "modules"),
    _layers(
        "convolution as matrix product",
        nn.Conv2d,
        lambda p: forms.Unfolded(p) if p.groups == 1 else None,
        "convolutions",
        "modules",
    ),
    # normalisation
    Rewrite("batch norm with activation", lambda m: _pairs(m, _norm_with_activation)),
    _layers("batch norm of a subclass", _NORMS, _own_norm),
    _layers("batch norm as function", _NORMS, forms.FunctionalNorm),
    _layers("batch norm written out", _NORMS, forms.Arithmetic, "normalisation"),
    _layers("layer norm as function", nn.LayerNorm, forms.FunctionalLayerNorm),
    # attention, recurrence, graphs, words
    _parts("attention: scaled_dot_product_attention", Attention, forms.ScaledDotProduct),
    _parts("attention: MultiheadAttention", Attention, lambda p: forms.Merged(p, True), "grouping", "modules"),
    _parts("attention, sequence first", Attention, lambda p: forms.Merged(p, False), "grouping", "modules"),
    _parts("recurrence: torch's layers", Unrolled, forms.Recurrent, "modules"),
    _parts("recurrence: torch's cells", Unrolled, forms.Cells, "modules"),
    _parts("neighbours: edge by edge", Aggregate, lambda _: forms.Scattered(), "operations"),
    _layers("embedding as function", nn.Embedding, lambda p: forms.Lookup(p, False), "modules"),
    _layers("embedding as index", nn.Embedding, lambda p: forms.Lookup(p, True), "modules"),
    # weights that are computed from others
    _layers("prune.identity", _WEIGHTED, _changed(_pruned), last=True),
    _layers("weight_norm, old", _WEIGHTED, _changed(nn.utils.weight_norm), "parameters", last=True),
    _layers("weight_norm", _WEIGHTED, _changed(parametrizations.weight_norm), "parameters", last=True),
    _layers(
        "identity parametrisation",
        _WEIGHTED,
        _changed(lambda p: parametrize.register_parametrization(p, "weight", nn.Identity())),
        last=True,
    ),
    _layers(
        "zero addend of low rank",
        _WEIGHTED,
        _changed(lambda p: parametrize.register_parametrization(p, "weight", _PlusZero(p.weight))),
        "parameters",
        "operations",
        last=True,
    ),
    _layers(
        "spectral_norm, old",
        nn.Linear,
        lambda p: _spectral(p, nn.utils.spectral_norm),
        "parameters",
        "operations",
        last=True,
    ),
    _layers(
        "spectral_norm",
        nn.Linear,
        lambda p: _spectral(p, parametrizations.spectral_norm),
        "parameters",
        "operations",
        last=True,
    ),
    _layers("adapter of zero", nn.Linear, forms.WithAdapter, "parameters", "layers", "operations", "modules"),
    # the tree of modules
    Rewrite("wrapper", _Wrapper),
    Rewrite("Sequential in Sequential", _nested, frozenset({"modules"})),
    Rewrite("Sequential dissolved", _flattened, frozenset({"modules"})),
    _parts("list as attributes", nn.ModuleList, _Attributes),
    Rewrite("other names", _renamed),
    Rewrite("other order", _reordered),
    Rewrite("shared parameters, not modules", _untied),
    Rewrite("checkpoint", _checkpointed(False), frozenset({"modules"})),
    Rewrite("checkpoint, reentrant", _checkpointed(True), frozenset({"modules"})),
    Rewrite("copy", copy.deepcopy),
    Rewrite("channels last", _channels_last),
    Rewrite("swapped tensors", _swapped),
    Rewrite("traced by torch.fx", _traced, frozenset({"modules"})),
)
"""All rewrites."""
