"""Pre-training of the encoder on architectures without accuracies: hidden nodes and proxy scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from po_nas.errors import SurrogateDataError, TrainingDivergedError
from po_nas.switches import default_switches
from surrogates.encodings import Encodings, Shape
from surrogates.fusion.encoder import Embeddings, GraphEncoder, Graphs
from surrogates.fusion.settings import PretrainingSettings
from surrogates.isolation import seeded, single_thread
from surrogates.optimiser import warmup_cosine

__all__ = ["Pretrained", "PretrainingModel", "pretrain"]

_ROWS = 1024
"""Architectures that are encoded at once."""
_SMALLEST = 1e-6
"""Below this a standard deviation is taken for zero."""


class PretrainingModel(nn.Module):
    """The encoder, what hangs on it in pre-training, and the statistics of the pre-training data.

    Initialisation draws from torch's global generator.
    """

    features: torch.Tensor
    """Mean and standard deviation of node features (2, f)."""
    score_scale: torch.Tensor
    """Mean and standard deviation of the proxy scores (2, K), present ones alone."""
    node_scale: torch.Tensor
    """Mean and standard deviation of raw embeddings of nodes (2, d)."""
    pooled_scale: torch.Tensor
    """Mean and standard deviation of raw pooled embeddings (2, d)."""

    def __init__(self, shape: Shape, proxies: int, *, width: int, heads: int) -> None:
        super().__init__()
        self.encoder = GraphEncoder(shape, width=width, heads=heads)
        size = self.encoder.size
        self.token = nn.Parameter(torch.zeros(shape.node_features))
        self.reconstruct = nn.Linear(size, shape.node_features)
        self.head = nn.Sequential(nn.Linear(size, size // 2), nn.GELU(), nn.Linear(size // 2, proxies))
        for name, columns in (
            ("features", shape.node_features),
            ("score_scale", proxies),
            ("node_scale", size),
            ("pooled_scale", size),
        ):
            self.register_buffer(name, torch.stack([torch.zeros(columns), torch.ones(columns)]))

    def prepare(self, inputs: Encodings) -> Graphs:
        """Graphs whose node features are standardised."""
        graphs = GraphEncoder.prepare(inputs)
        nodes = (graphs.nodes - self.features[0]) / self.features[1] * graphs.mask[..., None]
        return graphs._replace(nodes=nodes)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """An encoder that learns no more, and a head that predicts proxy scores.

    `error` is the mean squared error of the head on held-out architectures, as a share of each score's variance; NaN
    without training. Embeddings have mean 0 and standard deviation 1 on the pre-training data.
    """

    model: PretrainingModel
    shape: Shape
    settings: PretrainingSettings
    error: float

    @torch.no_grad()
    def _raw(self, inputs: Encodings) -> tuple[torch.Tensor, torch.Tensor]:
        if inputs.shape[:3] != self.shape[:3]:
            raise SurrogateDataError(f"encodings are {inputs.shape}, those of the pre-training {self.shape}")
        return _encode(self.model, self.model.prepare(inputs))

    @default_switches()
    @single_thread()
    def embed(self, inputs: Encodings) -> Embeddings:
        """Embeddings of k architectures; padding is zero."""
        nodes, pooled = self._raw(inputs)
        mask = inputs.mask
        nodes = (nodes - self.model.node_scale[0]) / self.model.node_scale[1] * mask[..., None]
        return Embeddings(nodes, mask, (pooled - self.model.pooled_scale[0]) / self.model.pooled_scale[1])

    @default_switches()
    @single_thread()
    @torch.no_grad()
    def predict_scores(self, inputs: Encodings) -> torch.Tensor:
        """Proxy scores (k, K) on the scale of the pre-training data; without training they mean nothing."""
        _, pooled = self._raw(inputs)
        return cast(torch.Tensor, self.model.head(pooled)) * self.model.score_scale[1] + self.model.score_scale[0]


@default_switches()
@single_thread()
def pretrain(
    inputs: Encodings, scores: torch.Tensor, settings: PretrainingSettings | None = None, seed: int = 0
) -> Pretrained:
    """Train an encoder on k architectures and their proxy scores (k, K), normalised by the caller, NaN where missing.

    The loss is `reconstruction` times the mean squared error of the features of hidden nodes, plus `prediction` times
    that of the scores that are present. Features and scores are standardised first, which the paper does not, so that
    neither part rules the other whatever the space. `seed` decides the initialisation, which architectures are held
    out, batches and masks; the global generator and the number of threads are left as they were.

    Raises `SurrogateDataError` for scores of the wrong shape or infinite ones, `TrainingDivergedError`.
    """
    settings = settings or PretrainingSettings()
    if scores.ndim != 2 or len(scores) != len(inputs) or not scores.numel():
        raise SurrogateDataError(
            f"proxy scores have shape {tuple(scores.shape)}; expected ({len(inputs)}, at least 1), a row each"
        )
    if bool(torch.isinf(scores).any()):
        raise SurrogateDataError("a proxy score is infinite; normalise scores, and mark missing ones with NaN")
    with seeded(seed):
        model = PretrainingModel(inputs.shape, scores.shape[1], width=settings.width, heads=settings.heads)
    model.to(inputs.device)
    _standardise(model, inputs, scores)
    graphs = model.prepare(inputs)
    present = ~torch.isnan(scores)
    targets = ((scores.float() - model.score_scale[0]) / model.score_scale[1]).nan_to_num(0.0)
    error = math.nan
    if settings.epochs:
        error = _train(model, graphs, targets, present.float(), settings, seed)
    model.eval().requires_grad_(False)
    nodes, pooled = _encode(model, graphs)
    model.node_scale.copy_(_moments(nodes[graphs.mask]))
    model.pooled_scale.copy_(_moments(pooled))
    return Pretrained(model, inputs.shape, settings, error)


@torch.no_grad()
def _encode(model: PretrainingModel, graphs: Graphs) -> tuple[torch.Tensor, torch.Tensor]:
    found = [model.encoder(graphs.rows(slice(start, start + _ROWS))) for start in range(0, len(graphs.nodes), _ROWS)]
    if not found:
        nodes = graphs.nodes.new_zeros(*graphs.mask.shape, model.encoder.size)
        return nodes, nodes.new_zeros(0, model.encoder.size)
    return torch.cat([nodes for nodes, _ in found]), torch.cat([pooled for _, pooled in found])


def _moments(values: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation (2, columns) of rows; 1 where a column is constant."""
    spread = values.std(0, correction=0)
    return torch.stack([values.mean(0), torch.where(spread > _SMALLEST, spread, 1.0)])


def _standardise(model: PretrainingModel, inputs: Encodings, scores: torch.Tensor) -> None:
    model.features.copy_(_moments(inputs.nodes[inputs.mask]))
    for column, values in enumerate(scores.float().unbind(1)):
        known = values[~torch.isnan(values)]
        if len(known):
            model.score_scale[:, column] = _moments(known[:, None])[:, 0]


def _train(
    model: PretrainingModel,
    graphs: Graphs,
    targets: torch.Tensor,
    present: torch.Tensor,
    settings: PretrainingSettings,
    seed: int,
) -> float:
    """Train in place; the error of the parameters that are kept."""
    generator = torch.Generator().manual_seed(seed)
    device, k = targets.device, len(targets)
    order = torch.randperm(k, generator=generator).to(device)
    held = int(settings.held_out * k)
    # Too few to hold any out: those of the training decide.
    left, own = (order[:held], order[held:]) if held else (order, order)
    batches = math.ceil(len(own) / settings.batch)
    steps = settings.epochs * batches
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    judged = graphs.rows(left)
    best, kept = math.inf, {name: value.clone() for name, value in model.state_dict().items()}
    step = 0
    for _ in range(settings.epochs):
        shuffled = own[torch.randperm(len(own), generator=generator).to(device)]
        for rows in shuffled.tensor_split(batches):
            step += 1
            batch = graphs.rows(rows)
            draws = torch.rand(batch.mask.shape, generator=generator).to(device)
            hidden = (draws < settings.masked) & batch.mask
            loss = _loss(model, batch, hidden, targets[rows], present[rows], settings)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * warmup_cosine(step, steps, settings.warmup)
            optimiser.step()
        if not math.isfinite(float(loss.detach())):
            raise TrainingDivergedError(0, step, "pre-training", settings.learning_rate)
        with torch.no_grad():
            error = float(_mean_error(model.head(_encode(model, judged)[1]), targets[left], present[left]))
        if error < best:
            best, kept = error, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return best


def _loss(
    model: PretrainingModel,
    graphs: Graphs,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    present: torch.Tensor,
    settings: PretrainingSettings,
) -> torch.Tensor:
    masked = torch.where(hidden[..., None], model.token, graphs.nodes)
    nodes, pooled = model.encoder(graphs._replace(nodes=masked))
    missed = (model.reconstruct(nodes) - (masked if settings.reference else graphs.nodes)).square().mean(-1)
    counted = graphs.mask if settings.reference else hidden
    reconstruction = (missed * counted).sum() / counted.sum().clamp_min(1)
    prediction = _mean_error(model.head(pooled), targets, present)
    total: torch.Tensor = settings.reconstruction * reconstruction + settings.prediction * prediction
    return total


def _mean_error(predicted: torch.Tensor, targets: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    return ((predicted - targets).square() * present).sum() / present.sum().clamp_min(1)
