"""What a proxy's function is handed: the results of the passes that its spec asks for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from po_nas.errors import MissingPassError
from proxies.isolation import Snapshot, derive_seed
from proxies.layers import Layer
from proxies.nonlinear import NonlinearCall
from proxies.proxy_spec import ProxySpec, closure

if TYPE_CHECKING:
    from proxies.attention_gradients import AttentionCall, AttentionGradients
    from proxies.gaussian import GaussianPass
    from proxies.noise import NoisePass
    from proxies.passes import ActivationGradient, Passes
    from proxies.sample_gradients import SampleGradients

__all__ = ["ProxyContext"]


class ProxyContext:
    """One module on one batch, seen through the passes that a proxy asked for.

    Always there: `spec`, `seed`, `inputs` (the first input, (n, …)), `labels` (n, …) or None, `layers`, `parameters`,
    `generator`, `call` and `module`. Everything else belongs to a pass and raises `MissingPassError` unless the spec
    names that pass, or one that builds on it. Tensors are detached, on the module's device and in the precision of the
    spec (at least single); they are shared with other proxies, so do not change them in place. Unless said otherwise
    the module is in training mode (batch normalisation uses the statistics of the batch), with the weights it came
    with. The engine makes it; a proxy takes it as its only argument.

    Args:
        spec: The record of the proxy.
        passes: What has been computed.

    Examples:
        >>> import proxies, torch
        >>> @proxies.proxy("shapes", passes=("forward",))
        ... def shapes(context: proxies.ProxyContext) -> float:
        ...     return float(len(context.inputs) + context.outputs.shape[1] + len(context.layers))
        >>> proxies.score(torch.nn.Linear(3, 2), torch.ones(4, 3), "shapes")
        {'shapes': 7.0}
        >>> proxies.registry.remove("shapes")
    """

    def __init__(self, spec: ProxySpec, passes: Passes) -> None:
        self.spec = spec
        self.seed = passes.seed
        self._passes = passes
        self._allowed = closure(spec.passes)
        self._snapshot: Snapshot | None = None
        self._installed: ExitStack | None = None
        self._generator: torch.Generator | None = None

    def _of(self, name: str, attribute: str) -> Any:
        if name not in self._allowed:
            raise MissingPassError(self.spec.name, attribute, name)
        return self._passes.results[name]

    # -- always there ---------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> Tensor:
        """The samples, (n, …)."""
        return self._passes.batch.inputs[0]

    @property
    def labels(self) -> Tensor | None:
        """The labels, (n, …), or None."""
        return self._passes.batch.labels

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with their weights, in the order in which the forward pass first uses them.

        A layer is a weight that an operator multiplies by (`proxies.layers`): of convolutions, linear layers, matrix
        products with data, embeddings, attention and recurrent layers, as modules or functions. `Layer.weight` has the
        shape (outputs, inputs / groups, …) of a convolution, (outputs, inputs) of a linear layer or a product,
        whichever way round it is written. What is only added or multiplied element by element is no layer. Parameters
        that do not require a gradient count like the others. If nothing else has run the forward pass, asking for
        layers runs it. Raises `UnsupportedModuleError` when there are none.
        """
        return self._passes.layers

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters by name, detached, each of its own shape; shared ones once."""
        return {name: leaf.detach() for name, leaf in self._passes.state.leaves.items()}

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of the parameters that require a gradient."""
        return self._passes.state.trainable

    @property
    def generator(self) -> torch.Generator:
        """A CPU generator seeded by the seed of the scoring and the proxy's name."""
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(derive_seed(self.seed, f"proxy/{self.spec.name}"))
        return self._generator

    def call(self, *inputs: Tensor) -> Any:
        """The module's output for other inputs, differentiable; its statistics stay as they are."""
        state = self._passes.state
        if self._installed is None:
            # Until the proxy is done, for what is checkpointed runs again when the output is differentiated.
            if self._snapshot is None:
                # What the proxy itself has done to the module stays.
                state.fresh()
            self._installed = ExitStack()
            self._installed.enter_context(state.installed(state.leaves, state.buffers()))
        return state(*inputs)

    @property
    def module(self) -> nn.Module:
        """The module itself; whatever happens to it is undone when the proxy is done. `call` is cheaper.

        Outputs of `call` cannot be differentiated any more after this.
        """
        self._uninstall()
        if self._snapshot is None:
            self._passes.state.fresh()
            self._snapshot = Snapshot(self._passes.state.module)
        return self._passes.state.module

    def close(self) -> None:
        """Undo what the proxy did to `module`; the engine calls it."""
        self._uninstall()
        if self._snapshot is not None:
            self._snapshot.restore()
            self._snapshot = None

    def _uninstall(self) -> None:
        if self._installed is not None:
            self._installed.close()
            self._installed = None

    # -- one forward pass of the batch ----------------------------------------------------------------------------

    @property
    def outputs(self) -> Tensor:
        """Pass ``forward``: the module's outputs, (n, outputs, …)."""
        return self._of("forward", "outputs")  # type: ignore[no-any-return]

    @property
    def relu_codes(self) -> list[Tensor]:
        """Pass ``relu``: where each ReLU is positive, one array of bytes (⌈n / 8⌉, units of a sample) a call, packed
        by `proxies.patterns.pack`; `proxies.patterns.unpack` gives (n, units).

        ReLU, ReLU6, leaky and parametric ReLU and clamping at zero count, as modules or functions. Where samples are
        not in dimension 0, such as tokens in rows of their own, they are put there; where they cannot be found, the
        pass fails with `UnsupportedModuleError` (`proxies.samples`).
        """
        return self._of("relu", "relu_codes")  # type: ignore[no-any-return]

    @property
    def activations(self) -> list[tuple[Layer, tuple[Tensor, ...]]]:
        """Pass ``activations``: what each layer's operator puts out, one tensor a call, its own bias included.

        (n, channels, …) where `Layer.convolution` is true, else (n, …, channels): samples are in dimension 0, rows of
        one sample in the dimensions between.
        """
        found = self._of("activations", "activations")
        return [(layer, tuple(o.detach() for o in outputs)) for layer, outputs in found]

    @property
    def nonlinear_calls(self) -> list[NonlinearCall]:
        """Pass ``nonlinear``: input and output of every call of an activation function, of whichever kind, in order."""
        calls = self._of("nonlinear", "nonlinear_calls")
        return [NonlinearCall(call.before, call.after.detach(), call.units) for call in calls]

    @property
    def block_features(self) -> list[Tensor]:
        """Pass ``blocks``: the output of each primary block (see `proxies.blocks`), in order, (n, channels, …)."""
        return [f.by_channel(f.read(f.tensor.detach())) for f in self._of("blocks", "block_features")]

    @property
    def attention(self) -> list[AttentionCall]:
        """Pass ``attention``: every call of attention, however it is written (see `proxies.attention`), in order."""
        return self._of("attention", "attention")  # type: ignore[no-any-return]

    @property
    def hidden_states(self) -> list[Tensor]:
        """Pass ``feed_forward``: X W₁ + b₁ of each feed-forward layer, (tokens of all samples, width), one a call."""
        return self._of("feed_forward", "hidden_states")  # type: ignore[no-any-return]

    # -- gradients on that pass -----------------------------------------------------------------------------------

    @property
    def input_jacobian(self) -> Tensor:
        """Pass ``jacobian``: the gradient of the sum of all outputs with respect to each sample, (n, inputs)."""
        return self._of("jacobian", "input_jacobian")  # type: ignore[no-any-return]

    @property
    def block_gradients(self) -> list[tuple[Tensor, Tensor]]:
        """Pass ``block_jacobians``: for each block after the first a tensor v of random signs of the shape of its
        features, and Jᵀv of the shape of the block before, J the Jacobian of one by the other; (n, channels, …)."""
        return self._of("block_jacobians", "block_gradients")  # type: ignore[no-any-return]

    @property
    def weight_gradients(self) -> list[Tensor]:
        """Pass ``gradients``: the loss's gradient by the weight of each of `layers`, of its shape."""
        return [g.detach() for g in self._of("gradients", "weight_gradients")]

    @property
    def activation_gradients(self) -> list[ActivationGradient]:
        """Pass ``activation_gradients``: for each of `layers` its outputs, call by call, and the loss's gradients.

        Both have the shapes of `activations`: (n, channels, …) or (n, …, channels). The gradients are of the loss of
        the whole batch, so those of the mean cross-entropy hold a factor 1 / n.
        """
        return self._of("activation_gradients", "activation_gradients")  # type: ignore[no-any-return]

    @property
    def attention_gradients(self) -> AttentionGradients:
        """Pass ``attention_gradients``: the loss's gradients at the heads' outputs and at the weights of attention and
        of feed-forward layers."""
        return self._of("attention_gradients", "attention_gradients")  # type: ignore[no-any-return]

    @property
    def nonlinear_gradients(self) -> list[Tensor]:
        """Pass ``nonlinear_gradients``: the loss's gradient by the output of each of `nonlinear_calls`."""
        return self._of("nonlinear_gradients", "nonlinear_gradients")  # type: ignore[no-any-return]

    @property
    def hessian_gradient(self) -> list[Tensor]:
        """Pass ``hessian``: H g for each of `layers`, of the shape of its weight; g are `weight_gradients`, H is the
        loss's Hessian by all of these weights."""
        return self._of("hessian", "hessian_gradient")  # type: ignore[no-any-return]

    # -- passes of their own --------------------------------------------------------------------------------------

    @property
    def half_gradients(self) -> list[list[Tensor]]:
        """Pass ``half_gradients``: two lists, `weight_gradients` of the first and of the second half of the batch, each
        by itself (an odd last sample is left out)."""
        return self._of("half_gradients", "half_gradients")  # type: ignore[no-any-return]

    @property
    def sample_gradients(self) -> SampleGradients:
        """Pass ``sample_gradients``: gradients of single samples by all parameters, each (p,), computed while one
        iterates over them."""
        return self._of("sample_gradients", "sample_gradients")  # type: ignore[no-any-return]

    @property
    def gaussian(self) -> GaussianPass:
        """Pass ``gaussian``: features (n, …) of the network with Gaussian weights on Gaussian inputs, and variances
        (channels,) of its batch normalisations."""
        return self._of("gaussian", "gaussian")  # type: ignore[no-any-return]

    @property
    def noise(self) -> NoisePass:
        """Pass ``noise``: the network on noise, with random targets."""
        return self._of("noise", "noise")  # type: ignore[no-any-return]

    @property
    def masked_codes(self) -> list[Tensor]:
        """Pass ``masked``: `relu_codes` of the network with masks and layer normalisation, see `proxies.masked`."""
        return self._of("masked", "masked_codes")  # type: ignore[no-any-return]

    @property
    def single_features(self) -> list[Tensor]:
        """Pass ``single``: the last output of each convolution, (1, channels, …), for one input from N(0, 1)."""
        return self._of("single", "single_features")  # type: ignore[no-any-return]

    @property
    def circle(self) -> list[tuple[Tensor, Tensor]]:
        """Pass ``circle``: first and second derivative of the output along a circle of inputs, at some of its
        points."""
        return self._of("circle", "circle")  # type: ignore[no-any-return]

    @property
    def synaptic_flow(self) -> list[tuple[Tensor, Tensor]]:
        """Pass ``synflow``: |W| and ∂R/∂|W|, of one shape, of each layer that the pass uses, in order; see
        `proxies.linearised`. Batch and instance normalisation are left out."""
        return self._of("synflow", "synaptic_flow")  # type: ignore[no-any-return]

    @property
    def normalised_flow(self) -> list[tuple[Tensor, Tensor]]:
        """Pass ``synflow_bn``: the same with batch normalisation kept."""
        return self._of("synflow_bn", "normalised_flow")  # type: ignore[no-any-return]

    @property
    def macs(self) -> int:
        """Pass ``macs``: multiply-accumulates of one sample (of the whole input where there are several)."""
        return self._of("macs", "macs")  # type: ignore[no-any-return]
