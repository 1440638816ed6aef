# %% [markdown]
# # A character-level GPT
#
# A GPT on eight sonnets of Shakespeare (sonnets.txt), by `po_nas`: Bayesian optimisation with two training-free proxies
# for transformers, `synaptic_diversity` and `w_pca`, among those of at most 60,000 parameters. Lower is better: bits
# per character of the last sonnet, which no training sees.

# %%
import math
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

# %% [markdown]
# The choices, and the text.

# %%
space = po_nas.declare(
    "gpt",
    context=Ordinal([16, 32, 64]),
    dim=Ordinal([16, 32, 48]),
    depth=Int(1, 3),
    heads=Ordinal([1, 2, 4]).each("depth"),
    act=Categorical(["relu", "gelu"]),
    tied=Categorical([True, False]),  # whether the characters go out by the weights by which they came in
    dropout=Float(0.0, 0.4),
    lr=Float(1e-3, 3e-2, log=True),
)
folder = Path(__file__).parent if "__file__" in globals() else Path()  # a notebook has no __file__
text = (folder / "sonnets.txt").read_text(encoding="utf-8")
letters = sorted(set(text))
codes = torch.tensor([letters.index(letter) for letter in text])
known = text.rindex("\n\n") + 2  # where the last sonnet begins

# %% [markdown]
# The network. `example_inputs` is the batch that proxies are computed on: 16 passages of 16 characters, and what
# follows each character.


# %%
class GPT(nn.Module):
    def __init__(self, context, dim, heads, act, tied, dropout):
        super().__init__()
        self.embed, self.out = nn.Embedding(len(letters), dim), nn.Linear(dim, len(letters))
        nn.init.normal_(self.embed.weight, std=0.02)
        self.out.weight = self.embed.weight if tied else self.out.weight
        self.places = nn.Parameter(0.02 * torch.randn(context, dim))
        options = {"activation": act, "dropout": dropout, "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(dim, h, 4 * dim, **options) for h in heads)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(context))

    def forward(self, x):
        hidden = self.embed(x) + self.places[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, src_mask=self.mask[: x.shape[1], : x.shape[1]], is_causal=True)
        return self.out(hidden).transpose(1, 2)


@space.network(example_inputs=(codes[:256].view(16, 16), codes[1:257].view(16, 16)))
def build(context, dim, heads, act, tied, dropout, **rest):
    return GPT(context, dim, heads, act, tied, dropout)


# %% [markdown]
# What an evaluation is: so many steps of training, then the last sonnet.


# %%
def train(config, seed, steps):
    torch.manual_seed(seed)
    network, size = build(**config), config["context"]
    windows, last = codes[:known].unfold(0, size + 1, 1), codes[known - 1 :].unfold(0, size + 1, size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config["lr"])
    for _ in range(steps):
        batch = windows[torch.randint(len(windows), (16,))]
        optimiser.zero_grad()
        cross_entropy(network(batch[:, :-1]), batch[:, 1:]).backward()
        optimiser.step()
    return cross_entropy(network.eval()(last[:, :-1]), last[:, 1:]) / math.log(2)


# %% [markdown]
# The search.


# %%
def main(budget=20, steps=200, method="po_nas", pool=100, out="runs/char_gpt"):
    options = {"proxies": ["synaptic_diversity", "w_pca"], "constraints": {"params": "<= 60000"}, "budget": budget}
    options |= {"maximize": False, "method": {"name": method, "pool": pool}, "out": out}
    return po_nas.search(space=space, objective=partial(train, steps=steps), **options)


if __name__ == "__main__":
    found = main()
    print(f"{found.validation:.3f} bits per character: {found.incumbent}")

# %% [markdown]
# ![validation after each evaluation](pictures/char_gpt.png)
#
# Each point is an evaluation, the line is the best so far. The picture is of a whole run with seed 0, made by
# `python perf/examples.py char_gpt`.
