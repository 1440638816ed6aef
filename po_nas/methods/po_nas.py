"""PO-NAS: Bayesian optimisation on proxies whose weights are learned for each architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_array

from po_nas.core.searcher import Domain, MethodOptions
from po_nas.core.trial import Observation
from po_nas.methods.candidates.candidate_evolution import CandidateEvolution, EvolutionOptions, PredictedScores
from po_nas.methods.candidates.candidate_set import CandidateSet, require_proxies
from po_nas.methods.candidates.choice_search import climbed
from po_nas.methods.candidates.pool_encoder import EncoderOptions, pool_encoder
from po_nas.methods.candidates.predictor_fusion import FusedPredictions, PredictorOptions
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.candidates.transferred_prior import TransferredPrior, transferred_prior
from po_nas.methods.objectives import children, observed_losses, pareto_best_first, scalarised
from po_nas.methods.proxy_bo import ProxyBO, ProxyBOOptions
from po_nas.spaces.base import Architecture
from proxies.fusion import redundant
from surrogates.acquisition import GPScorer
from surrogates.candidate_kernels import Component, LearnedSimilarity, Linear, VaryingCoefficients
from surrogates.encodings import Encodings
from surrogates.isolation import single_thread
from surrogates.labels import clipped_scores, impute_failures
from surrogates.marginalised_gp import MarginalisedGP, Mixture, ModelHypothesis, Priors

__all__ = ["PONAS", "PRIORS", "Cluster", "clusters"]

_CLUSTERS = 6
_BRED = 10
"""Architectures that join the candidates before each trial where there are several objectives."""
_DESCRIBED = 300
"""Members of a cluster that are counted for its name."""


@dataclass(frozen=True)
class Cluster:
    """Places of the candidates that belong to it, and which operations it has more and less of than the others."""

    label: str
    members: NDArray[np.intp]


def clusters(features: ProxyFeatures, rng: np.random.Generator) -> list[Cluster]:
    """Up to six clusters by k-means over counts of operation sequences, largest first; randomness: `rng`."""
    counts = features.sequences
    spread = counts.std(axis=0)
    scaled = counts[:, spread > 0] / spread[spread > 0]
    k = min(_CLUSTERS, len(counts))
    _, labels = kmeans2(scaled, k, minit="++", seed=rng)
    groups = [np.flatnonzero(labels == number) for number in range(k)]
    groups = sorted((group for group in groups if len(group)), key=len, reverse=True)
    shares = [_operations(features, group, rng) for group in groups]
    everywhere = _operations(features, np.arange(len(counts)), rng)
    return [Cluster(_label(share, everywhere), group) for share, group in zip(shares, groups, strict=True)]


def _operations(features: ProxyFeatures, members: NDArray[np.intp], rng: np.random.Generator) -> Counter[str]:
    """Mean number of each operation in an architecture of the group."""
    listed = features.candidates
    drawn = members if len(members) <= _DESCRIBED else rng.choice(members, _DESCRIBED, replace=False)
    counted: Counter[str] = Counter()
    for place in drawn:
        graph = listed.space.sequence_graph(listed.architectures[place])
        counted.update(label for label in graph.labels if label not in ("input", "output"))
    return Counter({label: count / len(drawn) for label, count in counted.items()})


def _label(share: Counter[str], everywhere: Counter[str]) -> str:
    """The operation that stands out most upwards, and the one that does downwards."""
    differences = {name: share[name] - everywhere[name] for name in sorted(everywhere)}
    if not differences:
        return "no operations"
    more, less = max(differences, key=differences.__getitem__), min(differences, key=differences.__getitem__)
    parts = [f"{share[more]:.1f} × {more}"] if differences[more] > 0 else []
    parts += [f"{share[less]:.1f} × {less}"] if differences[less] < 0 and less != more else []
    return ", ".join(parts) or "as the others"


Weights = Literal["architecture", "global", "equal"]


PRIORS = Priors(noise=(-1.5, 1.0))
"""More noise than `gp_proxies` assumes: chosen on seeds that no table of the docs uses."""


class _Options(EvolutionOptions, EncoderOptions, ProxyBOOptions):
    weights: Weights = Field(
        "architecture",
        description="weights of the proxies: of each architecture its own, one vector for all, or equal ones",
    )
    learned_weights: float = Field(
        0.2,
        ge=0,
        le=1,
        description="how probable it is beforehand that weights are to be learned instead of being equal, where the "
        "proxies are worth anything",
    )
    transfer: Literal["learned", "equal"] = Field(
        "learned",
        description="where evaluations on other tasks are known: the order of the proxies and how far to trust it are "
        "learned from them; or equal: each other task counts as much as all proxies together",
    )
    predictor: PredictorOptions | None = Field(
        None,
        description="a neural predictor that is fused with the proxies, such as {name: gcn, loss: piecewise}; "
        f"it has {', '.join(PredictorOptions.model_fields)}; default: none",
    )


class PONAS(ProxyBO):
    """Bayesian optimisation on a fusion of proxies whose weights are learned for each architecture.

    The model of the objective is f(A) = c + Σ_m w_m(A) z_m(A) + g(A). z_m are proxies (normal scores); the weights
    w_m(A) have the same prior mean for all trusted proxies, so that without data the order is their mean rank; what
    they add to it is one vector for all architectures plus a Gaussian process over the architecture's operation
    sequences, so alike architectures trust the same proxies. g, a Gaussian process over encodings and proxies, is what
    no weighting of proxies explains: with data it may overrule them. All of it is one Gaussian process with a sum of
    kernels, so the posterior of the weights is exact; how much of each part there is, and whether proxies are to be
    believed at all, is averaged over (`surrogates.marginalised_gp`). The acquisition function is averaged likewise.

    In a space that cannot be enumerated candidates evolve from trial `evolve_from` on
    (`po_nas.methods.candidates.candidate_evolution`), ordered by the mean of the model; offspring are scored with proxy
    scores that an encoder predicts, which is pre-trained on the candidates the first time. In a declared space the
    model has one kernel more, that of the named choices with the scales that the observations tell, and what joins the
    candidates is what a Gaussian process with that kernel alone would evaluate (as in ``gp_bo``).

    With the option `predictor` there is one more term, b · h(A): an ensemble of networks, trained on the evaluations
    under a ranking, weighted or piecewise loss, says h, out of fold where it has seen the value, and the data decide b
    (`po_nas.methods.candidates.predictor_fusion`). With several objectives each has an ensemble of its own; limits that
    only an evaluation tells are modelled without.

    Where evaluations on other tasks are known (``warm_start``), they are proxies, and the order of all proxies, how far
    to trust it and the prior of the hyperparameters are learned from them
    (`po_nas.methods.candidates.transferred_prior`).

    With several objectives there is such a model of each that an evaluation must tell, and the acquisition function is
    the noisy expected hypervolume improvement (`po_nas.methods.objectives.front_values`); what joins the candidates are
    mutants and children of the front.

    This replaces the paper's network, which has no uncertainty and needs tens of evaluations, and its greedy argmax;
    ``po_nas_paper`` is the method as published. `trust` tells the weights of any candidate.

    Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS
    2025, OpenReview mVh0lIsdUl (weights per architecture); Ament et al., NeurIPS 2023, arXiv 2310.20708 (acquisition).
    """

    Options = _Options
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        chosen = self.options.predictor
        self._predictor = None if chosen is None else FusedPredictions(self, chosen)
        self.has_predictor = chosen is not None
        self._latest: ProxyFeatures | None = None
        self._scorer: tuple[int, Hashable, GPScorer] | None = None
        self._choices: tuple[ProxyFeatures, GPScorer, LearnedSimilarity] | None = None

    def model(self, features: ProxyFeatures) -> MarginalisedGP:
        """Similarities, and coefficients of proxy scores."""
        weights = self.options.weights
        learned = 0.0 if weights == "equal" else self.options.learned_weights
        alone = self.options.predictor is not None and self.options.predictor.alone
        choices, (priors, nothing) = self._learned_choices(features), self._prior()

        def make() -> MarginalisedGP:
            components: list[Component] = [*choices, *features.similarities]
            without = features.without_proxies(nothing)
            hypotheses = [replace(without, components=(*choices, *without.components))]
            if not alone and learned < 1:
                equal = ModelHypothesis(tuple(components), mean=True, probability=(1.0 - nothing) * (1.0 - learned))
                hypotheses.append(equal)
            if not alone and learned > 0:
                components.append(linear := Linear(features.z))
                if weights == "architecture":
                    components.append(VaryingCoefficients(linear, features.alike))
                hypotheses.append(ModelHypothesis(tuple(components), mean=True, probability=(1.0 - nothing) * learned))
            return MarginalisedGP(components, features.fused, priors, hypotheses, features.fused_weights)

        key = (weights, learned, alone, priors, nothing)
        return self.domain.cache.get("po_nas model", (features, *choices), key, make)

    def _prior(self) -> tuple[Priors, float]:
        """Priors of the model, and the probability that the proxies are worth nothing."""
        learned = self._transferred
        # Other tasks tell how far to trust the order of the search signal, and not of other metrics.
        if learned is None or self.domain.goals.several or self.domain.goals.measured_limits:
            return PRIORS, 0.5
        return learned.priors, learned.nothing

    def learned(
        self, features: ProxyFeatures, observed: Sequence[int], scores: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        return None if self._predictor is None else self._predictor(features, observed, scores)

    def _learned_choices(self, features: ProxyFeatures) -> tuple[LearnedSimilarity, ...]:
        """In a space of named choices, the kernel of all of them with the scales that the observations tell."""
        if not self.domain.space.vector_groups or len(self.successes) < 2:
            return ()
        scorer = self._by_choice(self.asked, self.observations)
        if self._choices is None or self._choices[:2] != (features, scorer):
            self._choices = features, scorer, scorer.similarity(features.vectors)
        return self._choices[2:]

    def _by_choice(self, number: int, told: Sequence[Observation]) -> GPScorer:
        """A Gaussian process over the choices alone, fitted to what was told before trial `number`."""
        key = tuple((o.trial.architecture, o.outcome.validation) for o in told)
        if self._scorer is None or self._scorer[:2] != (number, key):
            space = self.domain.space
            vectors = csr_array(space.encode_vectors([o.trial.architecture for o in told]))
            signal = impute_failures(np.array([self.signal(o.outcome) for o in told]))
            nothing = (csr_array((0, space.vector_size)),)
            rng = self.stream("acquisition", number)
            fitted = GPScorer((vectors,), clipped_scores(signal), nothing, rng, groups=space.vector_groups)
            self._scorer = number, key, fitted
        return self._scorer[2]

    def _climbed(self, number: int, candidates: CandidateSet, told: Sequence[Observation]) -> list[Architecture]:
        """Architectures that improve most, by the choices alone; none that is a candidate already."""
        if sum(o.outcome.validation is not None for o in told) < 2:
            return []
        rng = self.stream("evolution", number)
        if self.domain.goals.several:
            return self._bred(candidates, told, rng)
        return climbed(
            self.domain.space,
            self._by_choice(number, told),
            self.best_first(told),
            rng,
            key=self.domain.identity,
            known=candidates.position,
            climbs=2,
        )

    def _bred(
        self, candidates: CandidateSet, told: Sequence[Observation], rng: np.random.Generator
    ) -> list[Architecture]:
        """With several objectives: mutants of the front, and what one random weighting of the objectives would choose.

        Choices alone tell the latter; where they have no names there are mutants only.
        """
        space, known = self.domain.space, candidates.position
        found = children(self, told, known, _BRED // 2 if space.vector_groups else _BRED, rng)
        if not space.vector_groups:
            return found
        succeeded = [o for o in told if o.outcome.validation is not None]
        losses, _ = observed_losses(self, succeeded)
        vectors = csr_array(space.encode_vectors([o.trial.architecture for o in succeeded]))
        nothing = (csr_array((0, space.vector_size)),)
        targets = clipped_scores(scalarised(losses, rng))
        scorer = GPScorer((vectors,), targets, nothing, rng, groups=space.vector_groups)
        parents = pareto_best_first(self, succeeded)
        climbers = climbed(space, scorer, parents, rng, key=self.domain.identity, known=known, number=_BRED, climbs=2)
        keys = {self.domain.identity(a) for a in found}
        return [*found, *(a for a in climbers if self.domain.identity(a) not in keys)][:_BRED]

    def features(self) -> ProxyFeatures:
        """The candidates, with what evolution and evaluations have added by now."""
        candidates = self._evolution.now()
        if self._latest is None or self._latest.candidates is not candidates:
            self._latest = self._extended(candidates)
        return self._latest

    @cached_property
    def _base(self) -> ProxyFeatures:
        base, learned = self._untaught, self._transferred
        if learned is None:
            return base
        return self.domain.cache.get(
            "features of other tasks", (base, learned), None, lambda: base.reweighted(learned.weights)
        )

    @cached_property
    def _untaught(self) -> ProxyFeatures:
        return super().features()

    @cached_property
    def _transferred(self) -> TransferredPrior | None:
        """What other tasks teach; the task at hand has no part in it."""
        tasks = self.domain.source_tasks
        if not tasks or self.options.transfer == "equal":
            return None
        base, source = self._untaught, require_proxies(self.domain, self._called)
        return self.domain.cache.get(
            "transferred prior", (base, source, *tasks), None, lambda: transferred_prior(base, source, tasks, PRIORS)
        )

    @cached_property
    def _evolution(self) -> CandidateEvolution:
        source = self._climbed if self.domain.space.vector_groups or self.domain.goals.several else None
        return CandidateEvolution(self, self._base.candidates, self.options, self._predicted, source)

    def _extended(self, candidates: CandidateSet) -> ProxyFeatures:
        start = len(self._base.candidates)
        z = self._base.normaliser.transform(candidates.scores[start:])
        return self._base.extended(candidates.architectures[start:], z, candidates)

    def _predicted(self, number: int, candidates: CandidateSet, told: Sequence[Observation]) -> PredictedScores | None:
        """Means of the model; of offspring with predicted proxy scores."""
        if sum(o.outcome.validation is not None for o in told) < 2:
            return None
        base, features, start = self._base, self._extended(candidates), len(self._base.candidates)

        def means(described: ProxyFeatures) -> NDArray[np.float64]:
            mean = self.predict(described, self.stream("model", number), told).mean
            return np.asarray(mean.numpy(), dtype=np.float64)

        def offspring(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
            encoder = pool_encoder(self.domain, base.candidates, base.normaliser, self.options)
            graphs = Encodings.stack(self.domain.space.encode_graph(a) for a in architectures)
            z = np.concatenate([features.z[start:], encoder.predict_scores(graphs).double().numpy()])
            # Offspring are only scored, so they need no place among the candidates.
            described = base.extended((*candidates.architectures[start:], *architectures), z, candidates)
            return means(described)[-len(architectures) :]

        return PredictedScores(means(features), offspring)

    def explain(self) -> dict[str, Any] | None:
        """The weights of the proxies for the incumbent and for clusters of alike candidates, and what was believed.

        Also pairs of proxies that order the candidates almost alike.
        """
        if len(self.successes) < 2:
            return None
        features, rng = self.features(), self.stream("weights")
        with single_thread():
            predicted = self._predicted_with_low_fidelities(features, rng)
            weights = self.model(features).posterior_weights(predicted)
        best = max(self.successes, key=lambda o: self.score(o.outcome)).trial.architecture
        place = features.candidates.position[self.domain.identity(best)]
        rows = [{"label": "incumbent", "architectures": 1, "weights": weights[place].tolist()}]
        for cluster in clusters(features, rng):
            mean = weights[cluster.members].mean(axis=0).tolist()
            rows.append({"label": cluster.label, "architectures": len(cluster.members), "weights": mean})
        if self.options.predictor is None or not self.options.predictor.alone:
            priors, nothing = self._prior()
            before = (1.0 - nothing) * priors.mean_coefficient * self._base.fused_weights
            label = "before any evaluation" if self._transferred is None else "other tasks, before any evaluation"
            rows.append({"label": label, "architectures": len(features.candidates), "weights": before.tolist()})
        return {
            "trust": {
                "proxies": list(features.candidates.names),
                "source": require_proxies(self.domain, "po_nas").origin,
                "rows": rows,
                "believed": float(1.0 - predicted.hypotheses[0]),
                **self._explained_predictor(predicted),
                "redundant": [
                    {"proxies": [first, second], "spearman": rho}
                    for first, second, rho in redundant(
                        dict(zip(features.candidates.names, features.candidates.scores.T, strict=True))
                    )
                ],
            },
            "proxies": self._evolution.counts(),
        }

    def _explained_predictor(self, predicted: Mixture) -> dict[str, Any]:
        chosen = self.options.predictor
        if chosen is None:
            return {}
        return {"predictor": {"name": chosen.name, "loss": chosen.loss, "weight": predicted.predictor_weight}}

    def trust(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Posterior mean of the weight of each proxy for each candidate (m, k), given what has been told."""
        features = self.features()
        with single_thread():
            predicted = self._predicted_with_low_fidelities(features, rng)
            return self.model(features).posterior_weights(predicted)

    def _predicted_with_low_fidelities(self, features: ProxyFeatures, rng: np.random.Generator) -> Mixture:
        low = self._low_prediction(features, rng) if self._compares_fidelities else None
        return self.predict(features, rng, low=low)
