"""The proxies that come with the package: what is known of each without importing torch."""

from __future__ import annotations

from proxies.proxy_spec import ProxySpec
from proxies.transformer_catalogue import TRANSFORMERS

__all__ = ["CATALOGUE"]

_SUITE = "Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230"
_ZERO = "Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134"
_AZ = "Lee and Ham, AZ-NAS, CVPR 2024, arXiv 2403.19232"
_TENAS = "Chen, Gong and Wang, Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021, arXiv 2102.11535"

_VKDNW = "Týbl and Neumann, Training-free NAS through Variance of Knowledge (VKDNW), CVPR 2025, arXiv 2502.04975"
_MECO = "Jiang, Wang and Bie, MeCo, NeurIPS 2023"
_SWAP = "Peng et al., SWAP-NAS, ICLR 2024, arXiv 2403.04161"
_NCD = "Kang et al., Overcoming Negative Correlation of Activation-Based Training-Free NAS (NCD), ICCV 2025"
_DEAD = "undefined for a network whose output does not depend on its input"

CATALOGUE: tuple[tuple[ProxySpec, str, str], ...] = (
    # -- counts ---------------------------------------------------------------------------------------------------
    (
        ProxySpec("params", (), +1, cost="count", failure="blind to topology", reference=_SUITE),
        "counts:params",
        "number of parameters",
    ),
    (
        ProxySpec("flops", ("macs",), +1, cost="count", failure="blind to topology", reference=_SUITE),
        "counts:flops",
        "multiply-accumulates of one sample",
    ),
    (
        ProxySpec(
            "l2_norm", ("forward",), +1, cost="forward", failure="measures size and the initialiser", reference=_SUITE
        ),
        "counts:l2_norm",
        "sum of the norms of the layers' weights",
    ),
    # -- gradients of the loss ------------------------------------------------------------------------------------
    (
        ProxySpec(
            "grad_norm",
            ("gradients",),
            +1,
            True,
            "backward",
            failure="negative rank correlation on TransNAS-Bench-101 macro and NAS-Bench-301",
            reference=_ZERO,
        ),
        "saliency:grad_norm",
        "sum of the norms of the layers' weight gradients",
    ),
    (
        ProxySpec(
            "plain",
            ("gradients",),
            None,
            True,
            "backward",
            failure="positive and negative terms cancel; the sign of its correlation differs between spaces",
            reference=_ZERO,
        ),
        "saliency:plain",
        "sum of weight times gradient",
    ),
    (
        ProxySpec(
            "snip",
            ("gradients",),
            +1,
            True,
            "backward",
            failure="grows with depth and width; weak on TransNAS-Bench-101 macro",
            reference="Lee, Ajanthan and Torr, SNIP, ICLR 2019, arXiv 1810.02340",
        ),
        "saliency:snip",
        "sum of |weight times gradient|",
    ),
    (
        ProxySpec(
            "fisher",
            ("activation_gradients",),
            +1,
            True,
            "backward",
            failure="heavy-tailed over a space (use ranks); negative on generation tasks",
            reference="Turner et al., BlockSwap, ICLR 2020, arXiv 1906.04113",
        ),
        "saliency:fisher",
        "squared saliency of the layers' output channels",
    ),
    (
        ProxySpec(
            "grasp",
            ("hessian",),
            +1,
            True,
            "second_order",
            failure="terms of both signs cancel: near-zero correlation on TransNAS-Bench-101",
            reference="Wang, Zhang and Grosse, Picking Winning Tickets Before Training, ICLR 2020, arXiv 2002.07376",
        ),
        "saliency:grasp",
        "how pruning would change the gradient flow, by one Hessian-vector product",
    ),
    (
        ProxySpec(
            "zico",
            ("half_gradients",),
            +1,
            True,
            "backward",
            4,
            failure="two halves of one batch stand for two batches; dead layers are left out",
            reference="Li et al., ZiCo, ICLR 2023, arXiv 2301.11300",
        ),
        "zico:zico",
        "mean over deviation of absolute gradients, by layer",
    ),
    # -- synaptic flow --------------------------------------------------------------------------------------------
    (
        ProxySpec(
            "synflow",
            ("synflow",),
            +1,
            cost="count",
            dtype="float64",
            failure="spans tens of orders of magnitude (use ranks); overflows for very deep networks",
            reference="Tanaka et al., Pruning neural networks without any data, NeurIPS 2020, arXiv 2006.05467",
        ),
        "synflow:synflow",
        "synaptic flow, batch normalisation left out",
    ),
    (
        ProxySpec(
            "synflow_bn",
            ("synflow_bn",),
            +1,
            cost="count",
            dtype="float64",
            failure="batch normalisation of one sample undoes the scale; undefined where a map is 1 x 1 before it",
            reference=_ZERO,
        ),
        "synflow:synflow_bn",
        "synaptic flow, batch normalisation kept",
    ),
    # -- input Jacobian -------------------------------------------------------------------------------------------
    (
        ProxySpec(
            "jacov",
            ("jacobian",),
            +1,
            cost="backward",
            min_samples=2,
            failure=f"{_DEAD}; rounding noise where nothing but linear layers follows a batch normalisation",
            reference="Mellor et al., Neural Architecture Search without Training (version 1), arXiv 2006.04647",
        ),
        "jacobian:jacov",
        "how uncorrelated the input gradients of the samples are",
    ),
    (
        ProxySpec(
            "epe_nas",
            ("jacobian",),
            +1,
            True,
            "backward",
            2,
            failure=f"{_DEAD}; uninformative with few samples of a class; classification only",
            reference="Lopes, Alirezazadeh and Alexandre, EPE-NAS, ICANN 2021, arXiv 2102.08099",
        ),
        "jacobian:epe_nas",
        "correlations of the input gradients within classes",
    ),
    # -- activation patterns --------------------------------------------------------------------------------------
    (
        ProxySpec(
            "nwot",
            ("relu",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs ReLU; undefined when two samples have the same code; grows with width",
            reference="Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647",
        ),
        "patterns:nwot",
        "log determinant of the kernel of binary activation codes",
    ),
    (
        ProxySpec(
            "swap",
            ("relu",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs ReLU; grows with resolution and width",
            reference=_SWAP,
        ),
        "patterns:swap",
        "number of distinct sample-wise activation patterns",
    ),
    (
        ProxySpec(
            "linear_regions",
            ("relu",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs ReLU; saturates at the size of the batch for all but tiny networks",
            reference=_TENAS,
        ),
        "patterns:linear_regions",
        "number of linear regions that the samples lie in",
    ),
    # -- random inputs --------------------------------------------------------------------------------------------
    (
        ProxySpec(
            "zen",
            ("gaussian",),
            +1,
            cost="forward",
            min_samples=2,
            failure="assumes convolutions with batch normalisation; shortcuts are kept; without normalisation, "
            "features beyond 1e308 (some 200 wide layers) have no score",
            reference="Lin et al., Zen-NAS, ICCV 2021, arXiv 2102.01063",
            version=2,
        ),
        "zen:zen",
        "sensitivity of the last feature map to the input, rescaled by batch normalisation",
    ),
    (
        ProxySpec(
            "meco",
            ("single",),
            +1,
            cost="forward",
            failure="zero for layers with more channels than positions",
            reference=_MECO,
        ),
        "meco:meco",
        "smallest eigenvalues of the channels' correlations",
    ),
    # -- per-sample gradients -------------------------------------------------------------------------------------
    (
        ProxySpec(
            "ntk",
            ("sample_gradients",),
            -1,
            cost="per_sample",
            min_samples=2,
            failure="costly; ill-conditioned for large batches of similar images",
            reference=_TENAS,
        ),
        "sample_gradients:ntk",
        "condition number of the neural tangent kernel",
    ),
    (
        ProxySpec(
            "gradsign",
            ("sample_gradients",),
            +1,
            True,
            "per_sample",
            failure="costly; grows with the number of parameters",
            reference="Zhang and Jia, GradSign, ICLR 2022, arXiv 2110.08616",
        ),
        "sample_gradients:gradsign",
        "agreement of the signs of the samples' gradients",
    ),
    # -- AZ-NAS ---------------------------------------------------------------------------------------------------
    (
        ProxySpec(
            "az_expressivity",
            ("blocks",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs at least two blocks",
            reference=_AZ,
        ),
        "az_nas:az_expressivity",
        "entropy of the blocks' feature spectra",
    ),
    (
        ProxySpec(
            "az_progressivity",
            ("blocks",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs at least two blocks",
            reference=_AZ,
        ),
        "az_nas:az_progressivity",
        "smallest gain in entropy from block to block",
    ),
    (
        ProxySpec(
            "az_trainability",
            ("block_jacobians",),
            +1,
            cost="backward",
            failure="undefined when a block does not use the block before it",
            reference=_AZ,
        ),
        "az_nas:az_trainability",
        "how near the blocks' Jacobians are to an isometry",
    ),
    (
        ProxySpec("az_complexity", ("macs",), +1, cost="count", failure="blind to topology", reference=_AZ),
        "az_nas:az_complexity",
        "multiply-accumulates of one sample",
    ),
    # -- newer ones -----------------------------------------------------------------------------------------------
    (
        ProxySpec(
            "near",
            ("nonlinear",),
            +1,
            cost="forward",
            failure="grows with the number of activation functions and with width",
            reference="Husistein, Reiher and Eckhoff, NEAR, ICLR 2025, arXiv 2408.08776",
        ),
        "near:near",
        "effective ranks before and behind the activation functions",
    ),
    (
        ProxySpec("layer_count", (), +1, cost="count", failure="blind to everything but depth", reference=_VKDNW),
        "vkdnw:layer_count",
        "number of layers with weights",
    ),
    (
        ProxySpec(
            "vkdnw_entropy",
            ("sample_gradients",),
            +1,
            cost="per_sample",
            failure="costly; knows nothing of size (use vkdnw); few layers or samples make its deciles coarse",
            reference=_VKDNW,
        ),
        "vkdnw:vkdnw_entropy",
        "how even the eigenvalues of the Fisher information are",
    ),
    (
        ProxySpec(
            "vkdnw",
            (),
            +1,
            cost="per_sample",
            failure="costly; depth decides, so that architectures of one depth are ordered by the entropy alone",
            reference=_VKDNW,
            needs=("layer_count", "vkdnw_entropy"),
        ),
        "vkdnw:vkdnw",
        "number of layers plus that entropy (VKDNW single)",
    ),
    (
        ProxySpec(
            "intrain",
            ("noise",),
            +1,
            cost="backward",
            min_samples=2,
            failure="grows with the number of layers and of parameter tensors",
            reference="Zhou et al., InTrain, CVPR 2026, arXiv 2606.18676",
        ),
        "intrain:intrain",
        "dimensions that the activations fill, times health of the gradients",
    ),
    (
        ProxySpec(
            "l_swag",
            ("half_gradients", "nonlinear"),
            +1,
            True,
            "backward",
            4,
            failure="weak on the autoencoder of TransNAS-Bench-101 micro; all layers count, the paper selects some",
            reference="Casarin, Escalera and Lanz, L-SWAG, CVPR 2025, arXiv 2505.07300",
        ),
        "l_swag:l_swag",
        "steadiness of the gradients, times number of distinct activation patterns",
    ),
    (
        ProxySpec(
            "dextr",
            ("single", "circle"),
            +1,
            cost="forward",
            dtype="float64",
            version=2,
            failure="negative rank correlation on the size space of NATS-Bench; needs convolutions and forward "
            "derivatives of second order; none where a normalised output is averaged, as on TransNAS-Bench-101",
            reference="Asthana et al., Dextr, TMLR 2025, arXiv 2508.12977",
        ),
        "dextr:dextr",
        "independence of the channels, and curvature of the output along a circle of inputs",
    ),
    (
        ProxySpec(
            "wrcor",
            ("nonlinear_gradients",),
            +1,
            True,
            "backward",
            2,
            failure="depth decides; much weaker on NAS-Bench-101 than on NAS-Bench-201",
            reference="Jing et al., Zero-Shot NAS with Weighted Response Correlation (WRCor), arXiv 2507.08841",
        ),
        "wrcor:wrcor",
        "how uncorrelated the samples' activations and gradients are, later layers counting more",
    ),
    (
        ProxySpec(
            "reg_swap",
            (),
            +1,
            cost="forward",
            min_samples=2,
            failure="the wanted size is that of NAS-Bench-201; other spaces need their own",
            reference=_SWAP,
            needs=("swap", "params"),
        ),
        "patterns:reg_swap",
        "swap, less what the size differs from the wanted one",
    ),
    (
        ProxySpec(
            "meco_opt",
            ("single",),
            +1,
            cost="forward",
            failure="eight random channels stand for a layer",
            reference=_MECO,
        ),
        "meco:meco_opt",
        "meco on eight channels of each convolution, weighted by width",
    ),
    (
        ProxySpec(
            "ncd_nwot",
            ("masked",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs ReLU and convolutions; the share that is masked is that of NAS-Bench-201",
            reference=_NCD,
        ),
        "ncd:ncd_nwot",
        "nwot of the network with masks and layer normalisation",
    ),
    (
        ProxySpec(
            "ncd_swap",
            ("masked",),
            +1,
            cost="forward",
            min_samples=2,
            failure="needs ReLU and convolutions; the share that is masked is that of NAS-Bench-201",
            reference=_NCD,
        ),
        "ncd:ncd_swap",
        "swap of the network with masks and layer normalisation",
    ),
    *TRANSFORMERS,
)
