# %% [markdown]
# # A multilayer perceptron on a table
#
# Layers and optimiser of a multilayer perceptron for scikit-learn's breast cancer data, by `gp_bo`: a Gaussian process
# with a kernel for each named choice. Lower is better: the log loss over five folds.

# %%
from functools import partial

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn.functional import cross_entropy

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

# %% [markdown]
# The choices. `momentum` exists with one of the optimisers alone.

# %%
space = po_nas.declare(
    "tabular",
    depth=Int(1, 3),
    width=Int(8, 128, log=True).each("depth"),
    act=Categorical(["ReLU", "GELU", "Tanh"]),
    norm=Categorical(["Identity", "BatchNorm1d", "LayerNorm"]),
    dropout=Float(0.0, 0.5),
    optimiser=Categorical(["AdamW", "SGD"]),
    lr=Float(1e-3, 1e-1, log=True),
    momentum=Float(0.0, 0.95, when={"optimiser": "SGD"}),
    weight_decay=Float(1e-6, 1e-1, log=True),
    batch=Ordinal([16, 32, 64]),
)
table, labels = (torch.as_tensor(part) for part in load_breast_cancer(return_X_y=True))
table = ((table - table.mean(0)) / table.std(0)).float()
folds = torch.randperm(569, generator=torch.Generator().manual_seed(0)).chunk(5)

# %% [markdown]
# The network.


# %%
@space.network(example_inputs=(table[:32], labels[:32]))
def build(width, act, norm, dropout, **rest):
    layers = []
    for before, after in zip([30, *width], width, strict=False):
        layers += [nn.Linear(before, after), getattr(nn, norm)(after), getattr(nn, act)(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(width[-1], 2))


# %% [markdown]
# What an evaluation is: five trainings. A dict may be returned; `metric` says which number is optimised.


# %%
def train(config, seed, epochs):
    """The log loss and the accuracy over five folds."""
    torch.manual_seed(seed)
    scores = torch.empty(569, 2)
    for fold in folds:
        network = build(**config)
        learn = torch.cat([other for other in folds if other is not fold])
        options = {key: config[key] for key in ("lr", "momentum", "weight_decay") if key in config}
        optimiser = getattr(torch.optim, config["optimiser"])(network.parameters(), **options)
        for batch in [b for _ in range(epochs) for b in learn[torch.randperm(len(learn))].split(config["batch"])]:
            optimiser.zero_grad()
            cross_entropy(network(table[batch]), labels[batch]).backward()
            optimiser.step()
        scores[fold] = network.eval()(table[fold]).detach()
    return {"log_loss": cross_entropy(scores, labels), "accuracy": (scores.argmax(1) == labels).double().mean()}


# %% [markdown]
# The search.


# %%
def main(budget=30, epochs=10, method="gp_bo", out="runs/tabular_mlp"):
    options = {"metric": "log_loss", "maximize": False, "method": method, "budget": budget, "out": out}
    return po_nas.search(space=space, objective=partial(train, epochs=epochs), **options)


if __name__ == "__main__":
    found = main()
    print(f"log loss {found.validation:.4f}: {found.incumbent}")

# %% [markdown]
# ![validation after each evaluation](pictures/tabular_mlp.png)
#
# Each point is an evaluation, the line is the best so far. The picture is of a whole run with seed 0, made by
# `python perf/examples.py tabular_mlp`.
