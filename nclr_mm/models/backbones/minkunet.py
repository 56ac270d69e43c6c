"""MinkUNet for pretraining: mmdet3d's network, safe on small and on empty clouds."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from math import prod

import torch
from mmdet3d.models.backbones import MinkUNetBackbone
from mmdet3d.models.layers.sparse_block import replace_feature
from mmdet3d.registry import MODELS
from packaging.version import Version
from torch import Tensor, nn

from ..layers.norms import norms_across_processes, running_statistics_if_alone

# Beyond this, spconv's 32-bit index of the cells of a batch wraps, and far voxels become
# neighbours without an error (seen with spconv 2.3.8; on GPUs it counts in 64 bits).
_MAX_CPU_CELLS = 2**32
_BACKENDS = dict(spconv='spconv', torchsparse='torchsparse', minkowski='MinkowskiEngine')


def spconv_precision(device_type: str) -> AbstractContextManager:
    """Autocast as spconv can do it: float16 on GPUs; it has no bfloat16, so that is left out."""
    if torch.get_autocast_dtype(device_type) == torch.bfloat16:
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def torchsparse_has_batch_first() -> bool:
    """Whether coordinates are [batch, x, y, z], as torchsparse has them since version 2.1.

    Before, they were [x, y, z, batch] (github.com/mit-han-lab/torchsparse, issue 264).
    """
    import torchsparse

    return Version(torchsparse.__version__) >= Version('2.1.0')


@MODELS.register_module()
class CalibrationMinkUNet(MinkUNetBackbone):
    """MinkUNet whose parameters, names and results are those of mmdet3d's ``MinkUNetBackbone``.

    Checkpoints pass between the two as they are. On top of it:

    - under bfloat16 autocast the sparse network stays in float32, for spconv has no bfloat16;
    - voxels at an odd upper border are no longer dropped by the strided convolutions (mmdet3d
      gives spconv the exact extent, which ``kernel 2, stride 2`` then cuts off);
    - a batch without voxels gives an empty result that is still connected to the parameters;
    - where the coarsest level holds a single voxel, for which batch statistics do not exist, the
      running statistics are used.

    Args:
        encoder_channels: channels of the encoder's stages.
        decoder_channels: channels of the decoder's stages.
        sparseconv_backend: ``'spconv'``, ``'torchsparse'`` or ``'minkowski'``. The last two are
            optional packages.
        frozen: for linear probing: no gradients, and batch norm keeps its statistics.
        norm_eval: for fine-tuning on a few scans: batch norm keeps the statistics of the
            pretraining, while its scales and shifts learn. Random weights have none worth keeping.
        kwargs: arguments of ``mmdet3d.models.MinkUNetBackbone``.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int] = (32, 64, 128, 256),
        decoder_channels: Sequence[int] = (256, 128, 96, 96),
        sparseconv_backend: str = 'spconv',
        frozen: bool = False,
        norm_eval: bool = False,
        **kwargs,
    ) -> None:
        package = _BACKENDS.get(sparseconv_backend)
        if package is None:
            raise ValueError(
                f'sparseconv_backend must be one of {list(_BACKENDS)}, not {sparseconv_backend!r}.'
            )
        if find_spec(package) is None:
            raise ImportError(
                f'sparseconv_backend={sparseconv_backend!r} needs the package {package}, which is '
                "not installed; install it (docs/install.md) or use sparseconv_backend='spconv'."
            )
        # mmdet3d's constructor inserts into the lists that it is given.
        super().__init__(
            encoder_channels=list(encoder_channels),
            decoder_channels=list(decoder_channels),
            sparseconv_backend=sparseconv_backend,
            **kwargs,
        )
        self.out_channels = decoder_channels[-1]
        self.frozen = frozen
        self.norm_eval = norm_eval
        self._freeze()

    def _freeze(self) -> None:
        if self.frozen:
            self.requires_grad_(False)
            self.train(False)

    def train(self, mode: bool = True) -> 'CalibrationMinkUNet':
        """Set the mode; a frozen network, and batch norm with ``norm_eval``, stay in evaluation."""
        super().train(mode and not self.frozen)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        """Compute voxel features.

        Args:
            voxel_features: (Nv, C) inputs.
            coors: (Nv, 4) int32 [batch, x, y, z], not negative.

        Returns:
            (Nv, decoder_channels[-1]) features in the order of the inputs.
        """
        if len(coors) == 0:
            if norms_across_processes(self):  # the others wait for this process: a voxel of zeros
                voxel = voxel_features.new_zeros((1, voxel_features.shape[1]))
                return self(voxel, coors.new_zeros((1, 4)))[:0]
            touched = sum(p.sum() for p in self.parameters()) * 0
            return voxel_features.new_zeros((0, self.out_channels)) + touched
        with running_statistics_if_alone(self, coors, 2**self.num_stages):
            if self.sparseconv_backend == 'spconv':
                with spconv_precision(voxel_features.device.type):
                    return self._forward_spconv(voxel_features, coors)
            if self.sparseconv_backend == 'torchsparse' and not torchsparse_has_batch_first():
                coors = coors.roll(-1, dims=1)
            return self._forward_other(voxel_features, coors)

    def _forward_other(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        return MinkUNetBackbone.forward(self, voxel_features, coors)

    def _sparse_tensor(self, voxel_features: Tensor, coors: Tensor):
        from spconv.pytorch import SparseConvTensor

        multiple = 2**self.num_stages
        batch_and_shape = (coors.amax(dim=0) + 1).tolist()
        shape = [-(-extent // multiple) * multiple for extent in batch_and_shape[1:]]
        cells = prod([batch_and_shape[0], *shape])
        if coors.device.type == 'cpu' and cells > _MAX_CPU_CELLS:
            raise ValueError(
                f'spconv on CPUs counts at most 2^32 cells, but {batch_and_shape[0]} samples of '
                f'{" x ".join(map(str, shape))} voxels have {cells}: use a smaller batch or point '
                'range, or larger voxels.'
            )
        return SparseConvTensor(voxel_features, coors, shape, batch_and_shape[0])

    def _forward_spconv(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        x = self.conv_input(self._sparse_tensor(voxel_features, coors))
        laterals = [x]
        for encoder_layer in self.encoder:
            x = encoder_layer(x)
            laterals.append(x)
        for (upsample, blocks), lateral in zip(self.decoder, laterals[-2::-1], strict=True):
            x = upsample(x)
            x = blocks(replace_feature(x, torch.cat((x.features, lateral.features), dim=1)))
        return x.features
