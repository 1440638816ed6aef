# %% [markdown]
# # Stages of a residual network
#
# Width and depth of the stages of a residual network, as torchvision and timm have them, by `gp_proxies`: a Gaussian
# process over choices and proxy scores. Networks of more than 4 million FLOPs are not proposed.

# %%
from functools import partial

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import po_nas
from po_nas import Categorical, Float, Int, Ordinal

# %% [markdown]
# The choices. `depth` is a list, one for each stage, and `kernel` a list of lists.

# %%
space = po_nas.declare(
    "stages",
    depth=Int(1, 3).each(3),
    width=Ordinal([8, 12, 16, 24, 32]).each(3),
    kernel=Ordinal([3, 5]).each("depth"),  # of every block of every stage
    act=Categorical(["ReLU", "SiLU"]),
    lr=Float(1e-3, 3e-2, log=True),
    constraints=["width[0] <= width[1]", "width[1] <= width[2]"],
)
images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
images, order = images.view(-1, 1, 8, 8).float() / 16, torch.randperm(1797, generator=torch.Generator().manual_seed(0))

# %% [markdown]
# The network.


# %%
class Block(nn.Module):
    def __init__(self, before, width, kernel, stride, act):
        super().__init__()
        self.first = nn.Conv2d(before, width, kernel, stride, kernel // 2, bias=False)
        self.second = nn.Conv2d(width, width, kernel, 1, kernel // 2, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])
        self.act = getattr(nn, act)()
        same = before == width and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(before, width, stride, stride, bias=False)

    def forward(self, x):
        return self.act(self.norms[1](self.second(self.act(self.norms[0](self.first(x))))) + self.skip(x))


@space.network(example_inputs=(images[:16], labels[:16]))
def build(width, kernel, act, **rest):
    layers, before = [], 1
    for number, (after, kernels) in enumerate(zip(width, kernel, strict=True)):
        for k, size in enumerate(kernels):
            layers.append(Block(before, after, size, 2 if k == 0 and number else 1, act))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


# %% [markdown]
# What an evaluation is: learn from 400 digits, so that it is not too easy, and return the accuracy on the others.


# %%
def train(config, seed, epochs):
    torch.manual_seed(seed)
    network, (learn, validate) = build(**config), order.split([400, 1397])  # few images, so that it is not too easy
    optimiser = torch.optim.AdamW(network.parameters(), lr=config["lr"])
    for batch in [b for _ in range(epochs) for b in learn[torch.randperm(400)].split(50)]:
        optimiser.zero_grad()
        cross_entropy(network(images[batch]), labels[batch]).backward()
        optimiser.step()
    with torch.no_grad():
        return (network.eval()(images[validate]).argmax(1) == labels[validate]).double().mean()


# %% [markdown]
# The search.


# %%
def main(budget=20, epochs=6, method="gp_proxies", pool=100, out="runs/stages"):
    options = {"proxies": ["synflow", "nwot"], "constraints": {"flops": "<= 4e6"}, "budget": budget, "out": out}
    method = {"name": method, "pool": pool}
    return po_nas.search(space=space, objective=partial(train, epochs=epochs), method=method, **options)


if __name__ == "__main__":
    found = main()
    print(f"{found.validation:.2%} of 1397 digits are right: {found.incumbent}")

# %% [markdown]
# ![validation after each evaluation](pictures/stages.png)
#
# Each point is an evaluation, the line is the best so far. The picture is of a whole run with seed 0, made by
# `python perf/examples.py stages`.
