"""The built-in losses: what each is, what it needs, where it comes from. Pure Python, no torch.

Learning rates and clipping are where the pilot on NAS-Bench-201 (three-layer GCN, AdamW, cosine schedule, 16 to 469
training architectures) did best at the top of the ranking; they are starting points, not constants of nature.
"""

from __future__ import annotations

from losses.metadata import Category, Head, Hyperparameter, Labels, LossSpec

__all__ = ["BUILT_IN"]

_PWLNAS = "Loss Functions for Predictor-based Neural Architecture Search, ICCV 2025, arXiv 2506.05869"
_LAMBDA = (
    "The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018; "
    "On Optimizing Top-K Metrics for Neural Ranking Models, SIGIR 2022"
)


def _margin(default: float) -> Hyperparameter:
    return Hyperparameter("margin", default, "lead that a better one must have", "output units", low=0.0)


_FRACTION = Hyperparameter(
    "fraction", 0.1, "share of the list that is its top: K = max(2, round(fraction · n))", low=0.0, high=1.0,
    low_open=True, high_open=True,
)  # fmt: skip


def _temperature(default: float, meaning: str) -> Hyperparameter:
    return Hyperparameter("temperature", default, meaning, "output units", low=0.0, low_open=True)


def _loss(
    name: str,
    summary: str,
    category: Category,
    *hyperparameters: Hyperparameter,
    labels: Labels = "order",
    head: Head = "free",
    gradient_clip: float = 5.0,
    reference: str,
) -> LossSpec:
    """A spec; most losses know the order of the targets alone, and leave their outputs free."""
    return LossSpec(name, summary, category, labels, head, 5e-3, gradient_clip, hyperparameters, reference)


_SPECS = (
    _loss(
        "mse",
        "mean squared error",
        "regression",
        labels="standardized",
        head="calibrated",
        reference="Neural Predictor for Neural Architecture Search, ECCV 2020, arXiv 1912.00848",
    ),
    _loss(
        "mse_sr",
        "squared error plus regression of differences",
        "pairwise",
        Hyperparameter("weight", 0.1, "weight of the differences beside the squared error", low=0.0),
        Hyperparameter(
            "mode", "all", "all pairs, or each with its image under one random permutation", choices=("all", "perm")
        ),
        labels="standardized",
        head="calibrated",
        reference="NAR-Former: Neural Architecture Representation Learning towards Holistic Attributes Prediction, "
        "CVPR 2023, arXiv 2211.08024",
    ),
    _loss(
        "hr",
        "hinge on differences of strictly ordered pairs",
        "pairwise",
        _margin(0.1),
        reference="A Generic Graph-based Neural Architecture Encoding Scheme for Predictor-based NAS, ECCV 2020, "
        "arXiv 2004.01899",
    ),
    _loss(
        "lr",
        "logistic loss on differences of strictly ordered pairs",
        "pairwise",
        _temperature(1.0, "differences are divided by it"),
        reference="ReNAS: Relativistic Evaluation of Neural Architecture Search, CVPR 2021, arXiv 1910.01523",
    ),
    _loss(
        "listmle",
        "likelihood of the true order under Plackett-Luce",
        "listwise",
        reference="Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008",
    ),
    _loss(
        "ew",
        "squared error, weights exponential in the accuracy",
        "weighted",
        Hyperparameter(
            "mode",
            "exp",
            "weight: exp((y-1)/T), expm1(y/T)/expm1(1/T), or exp((y-best)/T)",
            choices=("exp", "expm1", "best"),
        ),
        Hyperparameter(
            "temperature", 1.0, "T; on accuracies 1 hardly differs from mse", "label units", low=0.0, low_open=True
        ),
        Hyperparameter(
            "labels",
            "fraction",
            "scale of the targets; standardized makes T = 1 much sharper",
            choices=("fraction", "standardized"),
        ),
        Hyperparameter(
            "best",
            None,
            "best training target, set by bind (None: of the batch, or 1)",
            "label units",
            low=float("-inf"),
            optional=True,
        ),
        labels="fraction",
        head="calibrated",
        reference="Bridging the Gap between Sample-based and One-shot Neural Architecture Search with BONAS, "
        "NeurIPS 2020, arXiv 1911.09336",
    ),
    _loss(
        "mape",
        "absolute error relative to the distance from a lower bound of the error",
        "weighted",
        Hyperparameter(
            "lower_bound",
            None,
            "bound b below all errors (None: derived, see rho)",
            "error, fraction",
            low=0.0,
            high=1.0,
            high_open=True,
            optional=True,
        ),
        Hyperparameter("rho", 0.9, "derived b = rho · smallest error", low=0.0, high=1.0),
        Hyperparameter("floor", 1e-3, "smallest allowed error - b", "error, fraction", low=0.0, low_open=True),
        Hyperparameter("exponent", 1.0, "of error - b; 0 is the mean absolute error", low=0.0),
        Hyperparameter(
            "smallest",
            None,
            "smallest training error, set by bind (None: of the batch)",
            "error, fraction",
            low=0.0,
            high=1.0,
            optional=True,
        ),
        labels="fraction",
        head="calibrated",
        reference="BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search, "
        "AAAI 2021, arXiv 1910.11858",
    ),
    _loss(
        "warp",
        "hinge, each item's violations weighted by their harmonic number",
        "weighted",
        _margin(1.0),
        Hyperparameter(
            "mode",
            "exact",
            "count all violators, or estimate them by trials until the first",
            choices=("exact", "sampled"),
        ),
        Hyperparameter(
            "weight",
            "none",
            "factor per item: y, exp(y), 1-(rank-1)/n, or exp(sharpness · z), z standardised in the batch",
            choices=("none", "gt", "exp_gt", "ranking", "exp_z"),
        ),
        Hyperparameter("sharpness", 2.0, "of the weight exp_z", low=0.0),
        reference=f"WSABIE: Scaling Up to Large Vocabulary Image Annotation, IJCAI 2011; {_PWLNAS}",
    ),
    _loss(
        "warp_homotopy",
        "from hinge (alpha = 0) to WARP (alpha = 1) and beyond",
        "weighted",
        _margin(0.1),
        Hyperparameter("alpha", 1.0, "decay of the weight of an item's k-th violation, k^-alpha", low=0.0),
        reference="Ranking with Ordered Weighted Pairwise Classification, ICML 2009",
    ),
    _loss(
        "weighted_lr",
        "logistic pairs, weights exponential in the better one's rank",
        "weighted",
        Hyperparameter("gamma", 4.0, "sharpness of the weights; 0 is lr", low=0.0),
        Hyperparameter(
            "scale",
            "quantile",
            "weights are exp(gamma · rank quantile) or exp(gamma · z-score)",
            choices=("quantile", "zscore"),
        ),
        _temperature(1.0, "differences are divided by it"),
        reference=f"weights in the manner of {_PWLNAS}, section 5",
    ),
    _loss(
        "top_vs_rest",
        "logistic loss of the list's top against its rest",
        "top-k",
        _FRACTION,
        _temperature(1.0, "differences are divided by it"),
        reference="cf. Surrogate Functions for Maximizing Precision at the Top, ICML 2015, arXiv 1505.06813",
    ),
    _loss(
        "lambda_ndcg",
        "logistic pairs weighted by the change of NDCG@K",
        "top-k",
        _FRACTION,
        Hyperparameter("gain", 5.0, "relevance of rank quantile u is 2^(gain · u) - 1", low=0.0, low_open=True),
        reference=_LAMBDA,
    ),
    _loss(
        "lambda_precision",
        "logistic pairs whose exchange changes Precision@K",
        "top-k",
        _FRACTION,
        Hyperparameter("epsilon", 0.1, "weight of lr beside it, so that gradients never die", low=0.0),
        reference=_LAMBDA,
    ),
    _loss(
        "soft_topk",
        "classification of the top by a soft threshold at the K-th prediction",
        "top-k",
        _FRACTION,
        _temperature(1.0, "softness of the threshold"),
        Hyperparameter(
            "mode", "bce", "cross-entropy of membership, or soft 1 - Precision@K", choices=("bce", "precision")
        ),
        reference="Differentiable Fast Top-K Selection for Large-Scale Recommendation, arXiv 2510.11472; cf. "
        "LapSum, ICML 2025, arXiv 2503.06242",
    ),
    _loss(
        "soft_nk",
        "differentiable N@K: log of the expected best true rank among the top K",
        "top-k",
        _FRACTION,
        _temperature(1.0, "softness of the threshold"),
        reference=f"the metric: {_PWLNAS}",
    ),
    _loss(
        "diff_kendall",
        "one minus Kendall's τ with tanh in place of the sign",
        "pairwise",
        Hyperparameter("slope", 1.0, "of tanh", "1 / output units", low=0.0, low_open=True),
        reference="DiffKendall: A Novel Approach for Few-Shot Learning with Differentiable Kendall's Rank "
        "Correlation, NeurIPS 2023, arXiv 2307.15317",
    ),
    _loss(
        "po_nas",
        "correlation, aligned gaps and right directions, as PO-NAS fuses proxy scores",
        "pairwise",
        Hyperparameter("align", 0.5, "weight of the alignment of gaps", low=0.0),
        Hyperparameter(
            "direction", None, "weight of wrong directions (None: 1; 100 for fractions)", low=0.0, optional=True
        ),
        Hyperparameter(
            "threshold",
            0.1,
            "gaps of targets below it have no direction",
            "standard deviations; accuracy points for fractions",
            low=0.0,
        ),
        Hyperparameter(
            "labels",
            "standardized",
            "scale of the targets; fraction for the paper's own, which depends on it",
            choices=("standardized", "fraction"),
        ),
        labels="standardized",
        gradient_clip=1.0,
        reference="Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS "
        "2025, OpenReview mVh0lIsdUl",
    ),
    _loss(
        "piecewise",
        "one loss while data are few, another afterwards",
        "schedule",
        Hyperparameter("warm", "hr", "loss below the threshold: a name, {name: …, …} or a loss"),
        Hyperparameter("focus", "warp", "loss above the threshold; may be piecewise or scheduled itself"),
        Hyperparameter("by", "evaluated", "what the threshold counts", choices=("evaluated", "budget", "ess")),
        Hyperparameter(
            "threshold",
            None,
            "focus above this many evaluations (None: 50), this share of the budget (None: 0.5), or from this "
            "effective sample size of the focus loss on (None: 12)",
            low=0.0,
            optional=True,
        ),
        reference=_PWLNAS,
    ),
    _loss(
        "scheduled",
        "as sharp a weighting as the effective sample size allows",
        "schedule",
        Hyperparameter("base", "weighted_lr", "loss whose emphasis grows: a name, {name: …, …} or a loss"),
        Hyperparameter("minimum", 12.0, "effective sample size to keep", "architectures", low=1.0),
        Hyperparameter("strongest", None, "emphasis to stop at (None: the base's own)", low=0.0, optional=True),
        reference="effective sample size: Kish, Survey Sampling, Wiley 1965",
    ),
)

BUILT_IN: dict[str, LossSpec] = {spec.name: spec for spec in _SPECS}
"""The specs of the built-in losses by name."""
