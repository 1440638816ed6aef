# %% [markdown]
# # A graph network
#
# A graph network for the nodes of a citation-like graph, made up here, by `regularized_evolution`: an operation and a
# skip connection for each layer.

# %%
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

# %% [markdown]
# The choices, and the graph: 300 papers in 5 fields; one cites those of its own field more often.

# %%
space = po_nas.declare(
    "graph",
    depth=Int(1, 4),
    op=Categorical(["gcn", "sage", "max", "gat", "linear"]).each("depth"),
    skip=Categorical([True, False]).each("depth"),
    dim=Ordinal([8, 16, 32]),
    dropout=Float(0.0, 0.7),
    lr=Float(3e-3, 1e-1, log=True),
)
draw = torch.Generator().manual_seed(0)
labels = torch.randint(5, (300,), generator=draw)  # 300 papers in 5 fields; one cites those of its own field more
edges = torch.rand(300, 300, generator=draw) < torch.where(labels[:, None] == labels, 0.08, 0.006)
edges = edges.triu(1) | edges.triu(1).T | torch.eye(300, dtype=torch.bool)
words = torch.nn.functional.one_hot(labels, 40) * 1.2 + torch.randn(300, 40, generator=draw)
learn, validate, _ = torch.randperm(300, generator=draw).split([45, 120, 135])

# %% [markdown]
# The network.


# %%
class Layer(nn.Module):
    def __init__(self, op, skip, dim):
        super().__init__()
        self.op, self.skip, self.out = op, skip, nn.Linear(dim, dim)
        self.key, self.query = nn.Linear(dim, 1), nn.Linear(dim, 1)
        self.own = nn.Linear(dim, dim)

    def forward(self, x):
        degree = edges.sum(1, keepdim=True)
        if self.op == "gcn":
            near = (edges / (degree * degree.T).sqrt()) @ x
        elif self.op == "gat":
            scores = nn.functional.leaky_relu(self.query(x) + self.key(x).T, 0.2)
            near = scores.masked_fill(~edges, -torch.inf).softmax(1) @ x
        elif self.op == "max":
            near = torch.where(edges[:, :, None], x, -torch.inf).amax(1)
        else:
            near = (edges / degree) @ x if self.op == "sage" else x
        new = self.out(near) + (self.own(x) if self.op == "sage" else 0)
        return torch.relu(new + x if self.skip else new)


@space.network
def build(op, skip, dim, dropout, **rest):
    layers = [part for one in zip(op, skip, strict=True) for part in (Layer(*one, dim), nn.Dropout(dropout))]
    return nn.Sequential(nn.Linear(40, dim), nn.ReLU(), *layers, nn.Linear(dim, 5))


# %% [markdown]
# What an evaluation is: learn from 45 labelled nodes, return the accuracy on 120 others.


# %%
def train(config, seed, epochs):
    torch.manual_seed(seed)
    network = build(**config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config["lr"], weight_decay=5e-3)
    for _ in range(epochs):
        optimiser.zero_grad()
        cross_entropy(network.train()(words)[learn], labels[learn]).backward()
        optimiser.step()
    return (network.eval()(words)[validate].argmax(1) == labels[validate]).double().mean()


# %% [markdown]
# The search.


# %%
def main(budget=30, epochs=50, method="regularized_evolution", out="runs/graph_network"):
    settings = {"method": method, "budget": budget, "out": out}
    return po_nas.search(space=space, objective=partial(train, epochs=epochs), **settings)


if __name__ == "__main__":
    found = main()
    print(f"{found.validation:.2%} of 120 nodes are right: {found.incumbent}")

# %% [markdown]
# ![validation after each evaluation](pictures/graph_network.png)
#
# Each point is an evaluation, the line is the best so far. The picture is of a whole run with seed 0, made by
# `python perf/examples.py graph_network`.
