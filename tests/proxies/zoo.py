"""A zoo: small networks of the families that people use, written as in the libraries that they come from.

They have in common what such code has in common: subclasses of torch's layers, functions in place of modules, weights
that belong to no layer, outputs with positions. Blocks and widths are few, so that all proxies take a second.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES, SAMPLES, SIZE, STEPS, WORDS = 4, 8, 16, 8, 11


@dataclass(frozen=True)
class Entry:
    """A network, what it is called with, labels, and the loss where it is not cross-entropy of (n, classes, …)."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    labels: Tensor
    loss: Callable[[Tensor, Tensor], Tensor] | None = None


# -- images --------------------------------------------------------------------------------------------------------


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch normalisation with its activation."""

    def __init__(self, channels: int, act: nn.Module | None = None):
        super().__init__(channels)
        self.act = act or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = BatchNormAct2d(outputs, nn.ReLU(inplace=True))
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = BatchNormAct2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        out += x if self.downsample is None else self.downsample(x)
        return functional.relu(out, inplace=True)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False), BatchNormAct2d(8, nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(0.1 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv_dw(x).permute(0, 2, 3, 1))
        y = self.gamma * self.fc2(functional.gelu(self.fc1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 2, 2), LayerNorm2d(8))
        self.stages = nn.Sequential(
            nn.Sequential(ConvNeXtBlock(8), ConvNeXtBlock(8)),
            nn.Sequential(LayerNorm2d(8), nn.Conv2d(8, 16, 2, 2), ConvNeXtBlock(16), ConvNeXtBlock(16)),
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(x)).mean((-2, -1))))


class SqueezeExcite(nn.Module):
    def __init__(self, width: int, reduced: int):
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(width, reduced, 1), nn.Conv2d(reduced, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.conv_expand(functional.silu(self.conv_reduce(scale))))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        wide = 4 * inputs
        self.conv_pw, self.bn1 = nn.Conv2d(inputs, wide, 1, bias=False), BatchNormAct2d(wide, nn.SiLU(inplace=True))
        self.conv_dw = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.bn2 = BatchNormAct2d(wide, nn.SiLU(inplace=True))
        self.se = SqueezeExcite(wide, inputs)
        self.conv_pwl, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=False), BatchNormAct2d(outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.se(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x)))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.skip else y


class EfficientNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.bn1 = BatchNormAct2d(8, nn.SiLU(inplace=True))
        self.blocks = nn.Sequential(
            nn.Sequential(InvertedResidual(8, 8, 1), InvertedResidual(8, 8, 1)),
            nn.Sequential(InvertedResidual(8, 12, 2), InvertedResidual(12, 12, 1)),
        )
        self.conv_head, self.bn2 = nn.Conv2d(12, 24, 1, bias=False), BatchNormAct2d(24, nn.SiLU(inplace=True))
        self.global_pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.bn1(self.conv_stem(x)))
        x = self.global_pool(self.bn2(self.conv_head(x))).flatten(1)
        return self.classifier(functional.dropout(x, 0.2, self.training))


class UNet(nn.Module):
    """Classes of pixels."""

    def __init__(self):
        super().__init__()

        def double(inputs: int, outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for channels in (inputs, outputs):
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            return nn.Sequential(*layers)

        self.down = nn.ModuleList([double(3, 6), double(6, 12)])
        self.bottom = double(12, 12)
        self.up = nn.ModuleList([nn.ConvTranspose2d(12, 12, 2, 2), nn.ConvTranspose2d(12, 6, 2, 2)])
        self.merge = nn.ModuleList([double(24, 12), double(12, 6)])
        self.head = nn.Conv2d(6, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for part in self.down:
            x = part(x)
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([kept.pop(), up(x)], 1))
        return self.head(x)


# -- patches -------------------------------------------------------------------------------------------------------


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int = 2, causal: bool = False):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.proj(x.transpose(1, 2).reshape(n, t, c))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, causal: bool = False):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, causal=causal)
        self.norm2, self.mlp = nn.LayerNorm(width), Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, width: int = 12):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, 4, 4)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class WindowBlock(nn.Module):
    """Attention in windows of 2 × 2, shifted by half a window in every other block; positions are biases."""

    def __init__(self, width: int, shift: int, heads: int = 2):
        super().__init__()
        self.shift, self.heads = shift, heads
        self.norm1, self.norm2, self.mlp = nn.LayerNorm(width), nn.LayerNorm(width), Mlp(width, 2 * width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(0.02 * torch.randn(9, heads))
        place = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        offset = place[:, :, None] - place[:, None, :] + 1
        self.register_buffer("relative_position_index", offset[0] * 3 + offset[1])

    def attend(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        windows = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(windows).reshape(len(windows), 4, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + bias).softmax(-1)
        windows = self.proj((attention @ v).transpose(1, 2).reshape(-1, 4, c))
        return windows.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        x = x + torch.roll(self.attend(y), (self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, 8, 2, 2)
        self.stage1 = nn.Sequential(WindowBlock(8, 0), WindowBlock(8, 1))
        self.merge_norm, self.merge = nn.LayerNorm(32), nn.Linear(32, 16, bias=False)
        self.stage2 = nn.Sequential(WindowBlock(16, 0), WindowBlock(16, 1))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.patch_embed(x).permute(0, 2, 3, 1))
        x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        x = self.stage2(self.merge(self.merge_norm(x)))
        return self.head(self.norm(x).mean((1, 2)))


class MixerBlock(nn.Module):
    def __init__(self, patches: int, width: int):
        super().__init__()
        self.norm1, self.mlp_tokens = nn.LayerNorm(width), Mlp(patches, 2 * patches)
        self.norm2, self.mlp_channels = nn.LayerNorm(width), Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Mixer(nn.Module):
    def __init__(self, width: int = 12):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(*(MixerBlock(16, width) for _ in range(3)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(1))


# -- sequences and graphs ------------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """Two recurrent layers (`nn.LSTM` or `nn.GRU`) and a classifier on the last step."""

    def __init__(self, kind: str):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 12, num_layers=2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        return self.fc(self.norm(out[:, -1]))


class Encoder(nn.Module):
    """`nn.TransformerEncoder`."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.embed = nn.Linear(5, width)
        layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.embed(x)).mean(1))


class GPT(nn.Module):
    """The next word at every position; the head shares the weight of the embedding."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(WORDS, width), nn.Embedding(STEPS, width)
        self.h = nn.ModuleList([TransformerBlock(width, causal=True) for _ in range(2)])
        self.ln_f, self.lm_head = nn.LayerNorm(width), nn.Linear(width, WORDS, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, words: Tensor) -> Tensor:
        x = self.wte(words) + self.wpe(torch.arange(words.shape[1], device=words.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class GraphNetwork(nn.Module):
    """Sums over the edges of a graph; classes of nodes."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(i, width) / i**0.5) for i in (5, width)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width), nn.BatchNorm1d(width)])
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        for weight, norm in zip(self.weights, self.norms, strict=True):
            x = x @ weight
            x = x + torch.zeros_like(x).index_add(0, target, x[source])
            x = torch.relu(norm(x))
        return self.head(x)


def _next_word(logits: Tensor, words: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), words.flatten())


def _images(build: Callable[[], nn.Module]) -> Entry:
    return Entry(build(), (torch.randn(SAMPLES, 3, SIZE, SIZE),), torch.arange(SAMPLES) % CLASSES)


def _sequences(build: Callable[[], nn.Module]) -> Entry:
    return Entry(build(), (torch.randn(SAMPLES, STEPS, 5),), torch.arange(SAMPLES) % CLASSES)


def _gpt() -> Entry:
    words = torch.randint(0, WORDS, (SAMPLES, STEPS + 1))
    return Entry(GPT(), (words[:, :-1],), words[:, 1:], _next_word)


def _unet() -> Entry:
    return Entry(UNet(), (torch.randn(SAMPLES, 3, SIZE, SIZE),), torch.randint(0, CLASSES, (SAMPLES, SIZE, SIZE)))


def _graph() -> Entry:
    nodes = torch.arange(SAMPLES)
    edges = torch.stack([torch.cat([nodes, nodes]), torch.cat([(nodes + 1) % SAMPLES, (nodes * 3 + 1) % SAMPLES])])
    return Entry(GraphNetwork(), (torch.randn(SAMPLES, 5), edges), nodes % CLASSES)


ZOO: dict[str, Callable[[], Entry]] = {
    "ResNet": functools.partial(_images, ResNet),
    "ConvNeXt": functools.partial(_images, ConvNeXt),
    "EfficientNet": functools.partial(_images, EfficientNet),
    "U-Net": _unet,
    "ViT": functools.partial(_images, ViT),
    "Swin": functools.partial(_images, Swin),
    "MLP-Mixer": functools.partial(_images, Mixer),
    "LSTM": functools.partial(_sequences, functools.partial(Recurrent, "LSTM")),
    "GRU": functools.partial(_sequences, functools.partial(Recurrent, "GRU")),
    "Transformer": functools.partial(_sequences, Encoder),
    "GPT": _gpt,
    "graph network": _graph,
}


def entry(name: str, seed: int = 0) -> Entry:
    """A network of the zoo in single precision, its weights and inputs drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ZOO[name]()
