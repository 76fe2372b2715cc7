"""The building blocks of the networks, and random first weights. Imports torch: import this only when used."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def relu_pair(channels: int) -> list[nn.Module]:
    """Return batch normalisation and ReLU."""
    return [nn.BatchNorm2d(channels), nn.ReLU()]


def stem(image_channels: int, channels: int) -> nn.Sequential:
    """Return a 7x7 convolution at full size with batch normalisation and ReLU."""
    first = nn.Conv2d(image_channels, channels, 7, padding=3, bias=False)
    return nn.Sequential(first, *relu_pair(channels))


class Gdn(nn.Module):
    """Divisive normalisation: x / sqrt(beta + gamma x^2), or x times it (Balle et al., ICLR 2016, eq. 3)."""

    def __init__(self, channels: int, inverse: bool) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(1e-3 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised x, of the same shape (images, channels, height, width)."""
        energy = functional.conv2d(x * x, self.gamma.abs()[:, :, None, None], self.beta.abs().clamp_min(1e-3))
        return x * torch.sqrt(energy) if self.inverse else x * torch.rsqrt(energy)


class Sum(nn.Module):
    """The sum of two branches, then an activation."""

    def __init__(self, main: nn.Module, skip: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.main, self.skip, self.after = main, skip, after

    def forward(self, x: Tensor) -> Tensor:
        """Return after(main(x) + skip(x))."""
        output: Tensor = self.after(self.main(x) + self.skip(x))
        return output


class ChannelAttention(nn.Module):
    """The channel half of CBAM (Woo et al., ECCV 2018, section 3.1), reduction 16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x, each channel times its weight of 0 to 1."""
        pooled = self.weigh(x.mean((2, 3), keepdim=True)) + self.weigh(x.amax((2, 3), keepdim=True))
        return x * torch.sigmoid(pooled)


class SpatialAttention(nn.Module):
    """The spatial half of CBAM: a 7x7 convolution over the maximum and the mean of all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x, each position times its weight of 0 to 1."""
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.weigh(pooled))


class Spread(nn.Module):
    """A transposed 1x1 convolution of stride 2: it fills one pixel in four, the others are 0.

    It is a convolution and zeros because the gradient of torch 2.13's own crashes (oneDNN, channels last, 16 channels
    or fewer).
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (images, after, 2 height, 2 width)."""
        made = self.convolution(x)
        whole: Tensor = made.new_zeros(*made.shape[:2], 2 * made.shape[2], 2 * made.shape[3])
        whole[:, :, ::2, ::2] = made
        return whole


class Projection(nn.Conv2d):
    """A 1x1 convolution without bias over every pixel, or over one pixel in four.

    It selects pixels first because the gradient of torch 2.13's convolution of stride 2 crashes (oneDNN, channels
    last, fewer than 16 channels).
    """

    def __init__(self, before: int, after: int, step: int) -> None:
        super().__init__(before, after, 1, bias=False)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """Return (images, after, height / step, width / step)."""
        return super().forward(x[:, :, :: self.step, :: self.step])


def attended(block: nn.Module, channels: int) -> nn.Sequential:
    """Return a block with CBAM behind it."""
    return nn.Sequential(block, ChannelAttention(channels), SpatialAttention())


def pre_activation(before: int, after: int, stride: int = 1) -> Sum:
    """Return BN-ReLU-conv-BN-ReLU-conv plus the input (projected by 1x1 if the shape changes)."""
    main = nn.Sequential(
        *relu_pair(before),
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        *relu_pair(after),
        nn.Conv2d(after, after, 3, 1, 1, bias=False),
    )
    same = before == after and stride == 1
    return Sum(main, nn.Identity() if same else Projection(before, after, stride), nn.Identity())


def doubled(before: int, after: int, normalised: bool) -> list[nn.Module]:
    """Return bilinear upsampling by 2, a 1x1 convolution and, if asked, batch normalisation."""
    layers: list[nn.Module] = [
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(before, after, 1, bias=False),
    ]
    return [*layers, nn.BatchNorm2d(after)] if normalised else layers


def initialise_kaiming(network: nn.Module, slope: float = 0.0) -> None:
    """Initialise a network's convolutions with Kaiming's normal weights (fan out) and zero biases.

    Args:
        network: changed in place.
        slope: the negative slope of the (leaky) ReLU that follows.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, slope, "fan_out", "leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
