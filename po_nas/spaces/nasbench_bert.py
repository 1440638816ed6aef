"""The space of NAS-Bench-BERT: encoders of two or four layers, each with an operation between tokens of its own."""

from __future__ import annotations

from po_nas.spaces.declared.choices import Categorical, Ordinal
from po_nas.spaces.declared.registered import RegisteredSpace

__all__ = ["OPERATIONS", "NASBenchBERTSpace", "encoders"]

OPERATIONS = ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9")


class NASBenchBERTSpace(RegisteredSpace):
    """NAS-Bench-BERT, of FlexiBERT's kind: width, layers, and the choices of each layer; 10,621,440 encoders.

    A declared space. `operation` is self-attention by scaled products (SDP) or with a matrix between queries and keys
    (WMA), a discrete Fourier or cosine transform (DFT, DCT), or a dynamic convolution over spans of 5 or 9 tokens
    beside attention (DSC5, DSC9). `feed_forwards` counts hidden layers of the feed-forward part, `feed_forward` is the
    width of those behind the first: with one of them it changes nothing in the networks (as the published training
    code reads; the authors have not confirmed it).

    References: Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, ACL 2023, arXiv
    2306.00288; Tuli et al., FlexiBERT, 2022, arXiv 2205.11656.
    """

    reference = "Serianni and Kalita, ACL 2023, arXiv 2306.00288"


def encoders() -> NASBenchBERTSpace:
    """The space."""
    return NASBenchBERTSpace(
        "nasbench_bert",
        {
            "width": Ordinal([128, 256]),
            "layers": Ordinal([2, 4]),
            "operation": Categorical(OPERATIONS).each("layers"),
            "heads": Ordinal([2, 4]).each("layers"),
            "feed_forward": Ordinal([512, 1024]).each("layers"),
            "feed_forwards": Ordinal([1, 3]).each("layers"),
        },
    )
