# %% [markdown]
# # A vision transformer
#
# A small vision transformer on scikit-learn's digits, found by `po_nas`: Bayesian optimisation with two training-free
# proxies, `synflow` and `nwot`, among transformers of at most 30,000 parameters.

# %%
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

# %% [markdown]
# The choices. `mlp` is a list: the hidden width of each block, in multiples of `dim`.

# %%
space = po_nas.declare(
    "vit",
    patch=Ordinal([2, 4]),
    dim=Ordinal([16, 32, 48]),
    heads=Ordinal([1, 2, 4]),
    depth=Int(1, 3),
    mlp=Ordinal([1, 2, 4]).each("depth"),  # the hidden width of each block, in multiples of dim
    pool=Categorical(["first", "mean"]),
    lr=Float(1e-3, 2e-2, log=True),
)
images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
images, order = images.view(-1, 1, 8, 8).float() / 16, torch.randperm(1797, generator=torch.Generator().manual_seed(0))

# %% [markdown]
# The network. `example_inputs` is the batch that proxies are computed on.


# %%
class Transformer(nn.Module):
    def __init__(self, patch, dim, heads, mlp, pool):
        super().__init__()
        self.tiles, self.pool, self.head = nn.Unfold(patch, stride=patch), pool, nn.Linear(dim, 10)
        self.embed, self.places = nn.Linear(patch**2, dim), nn.Parameter(0.02 * torch.randn(64 // patch**2, dim))
        block = partial(nn.TransformerEncoderLayer, dim, heads, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.Sequential(*(block(dim_feedforward=ratio * dim) for ratio in mlp), nn.LayerNorm(dim))

    def forward(self, x):
        tokens = self.blocks(self.embed(self.tiles(x).transpose(1, 2)) + self.places)
        return self.head(tokens[:, 0] if self.pool == "first" else tokens.mean(1))


@space.network(example_inputs=(images[:16], labels[:16]))
def build(patch, dim, heads, mlp, pool, **rest):
    return Transformer(patch, dim, heads, mlp, pool)


# %% [markdown]
# What an evaluation is: train on 1,200 digits, return the accuracy on the others.


# %%
def train(config, seed, epochs):
    torch.manual_seed(seed)
    network, (learn, validate) = build(**config), order.split([1200, 597])
    optimiser = torch.optim.AdamW(network.parameters(), lr=config["lr"])
    for batch in [b for _ in range(epochs) for b in learn[torch.randperm(1200)].split(64)]:
        optimiser.zero_grad()
        cross_entropy(network(images[batch]), labels[batch]).backward()
        optimiser.step()
    return (network.eval()(images[validate]).argmax(1) == labels[validate]).double().mean()


# %% [markdown]
# The search. The run is written to `runs/vit_digits`; `po-nas report runs/vit_digits` makes a page of it.


# %%
def main(budget=20, epochs=10, method="po_nas", pool=100, out="runs/vit_digits"):
    options = {"proxies": ["synflow", "nwot"], "constraints": {"params": "<= 30000"}, "budget": budget, "out": out}
    method = {"name": method, "pool": pool}
    return po_nas.search(space=space, objective=partial(train, epochs=epochs), method=method, **options)


if __name__ == "__main__":
    found = main()
    print(f"{found.validation:.2%} of 597 digits are right: {found.incumbent}")

# %% [markdown]
# ![validation after each evaluation](pictures/vit_digits.png)
#
# Each point is an evaluation, the line is the best so far. The picture is of a whole run with seed 0, made by
# `python perf/examples.py vit_digits`.
