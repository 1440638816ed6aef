"""The encoder that is pre-trained on the candidates of a search and their proxy scores, shared by their searches."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field, NonNegativeInt

from po_nas.core.searcher import Domain, MethodOptions
from po_nas.methods.candidates.candidate_set import CandidateSet
from proxies.normalise import Normaliser
from surrogates.fusion.checkpoint import load_or_pretrain
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.pretraining import Pretrained, pretrain
from surrogates.fusion.settings import PRESETS, PretrainingSettings
from surrogates.isolation import single_thread

__all__ = ["EncoderOptions", "embedded", "pool_encoder"]

_STEPS_AN_EPOCH = 16
"""A small pool is cut into so many batches, a large one into more."""
_SMALLEST_BATCH = 32


class EncoderOptions(MethodOptions):
    """How the encoder of architectures is pre-trained."""

    pretraining: Literal["fast", "paper", "none"] = Field(
        "fast",
        description="of the encoder, on the candidates and their proxy scores: fast; paper: its 100 epochs of small "
        "batches; none: left as initialised, so that predicted proxy scores mean nothing",
    )
    pretraining_seed: NonNegativeInt = Field(
        0, description="of the encoder; one for all seeds of the search, so that searches share it"
    )
    checkpoints: str | None = Field(
        None, description="folder where pre-trained encoders are kept between runs; default: in memory only"
    )
    reconstruction: Literal["hidden", "released"] = Field(
        "hidden",
        description="target of the pre-training: the features that were hidden; or, as in the released code, the input "
        "after hiding",
    )

    def settings(self, pool: int) -> PretrainingSettings:
        """The settings for a pool of so many candidates."""
        chosen = replace(PRESETS[self.pretraining], reference=self.reconstruction == "released")
        return replace(chosen, batch=min(chosen.batch, max(_SMALLEST_BATCH, pool // _STEPS_AN_EPOCH)))


def pool_encoder(
    domain: Domain, candidates: CandidateSet, normaliser: Normaliser, options: EncoderOptions
) -> Pretrained:
    """The encoder of candidates, trained to predict their proxy scores on the scale of a normaliser.

    It is trained once for all searches that share `Domain.cache` and have equal options, or read from the folder of
    checkpoints.
    """
    settings, seed, folder = options.settings(len(candidates)), options.pretraining_seed, options.checkpoints

    def train() -> Pretrained:
        inputs, scores = candidates.encodings.graphs, torch.as_tensor(normaliser.fitted, dtype=torch.float32)
        # Two threads gain little on graphs this small, and wait for each other on a busy machine.
        with single_thread():
            if folder is None:
                return pretrain(inputs, scores, settings, seed)
            return load_or_pretrain(folder, inputs, scores, settings, seed)

    return domain.cache.get("encoder", (candidates,), (type(normaliser), settings, seed, folder), train)


def embedded(domain: Domain, encoder: Pretrained, candidates: CandidateSet) -> Embeddings:
    """Embeddings of all candidates, computed once for all searches that share `Domain.cache`."""
    return domain.cache.get(
        "embeddings", (encoder, candidates), None, lambda: encoder.embed(candidates.encodings.graphs)
    )
