"""Pretrained image weights that either load completely or stop the run."""

from pathlib import Path

from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..reading import CheckpointError, NoCheckpointError, find_weights, load_checkpoint


@WEIGHT_INITIALIZERS.register_module()
class CompletePretrained:
    """Load a backbone's weights from a local file; an error unless every one of them is there.

    Use it as ``init_cfg=dict(type='CompletePretrained', checkpoint='dino_resnet50.pth')``. DINO's
    and torchvision's ResNet-50 files fit ``mmdet.ResNet`` as they are. The file is read without
    running code from it.

    Args:
        checkpoint: path of the file.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        path = Path(self.checkpoint)
        if not path.is_file():
            raise NoCheckpointError(
                f'Image weights {path} do not exist; put the file there or name another with '
                '--cfg-options model.img_backbone.init_cfg.checkpoint=FILE '
                '(docs/configs.md tells which files fit).'
            )
        own = module.state_dict()
        weights = find_weights(load_checkpoint(path, 'cpu'), own.__contains__)
        found = {n: v for n, v in weights.tensors.items() if n in own} if weights else {}
        named = f'{path} ({weights.wrapping})' if weights and weights.wrapping else path
        # Files from before PyTorch 0.4.1 have no batch counters, and evaluation needs none.
        wanted = {name for name in own if not name.endswith('num_batches_tracked')}
        unfit = [n for n in sorted(wanted) if n not in found or found[n].shape != own[n].shape]
        if unfit:
            raise CheckpointError(
                f'{named} does not hold the weights of {type(module).__name__}: {len(unfit)} of '
                f'{len(wanted)} tensors are missing or of another shape, first {unfit[0]}.'
            )
        odd = [name for name in sorted(found) if not found[name].isfinite().all()]
        if odd:
            raise CheckpointError(f'{named}: the tensor {odd[0]} is not finite.')
        module.load_state_dict(found, strict=False)
        print_log(
            f'Loaded {len(wanted)} of {len(wanted)} image backbone tensors from {named}.',
            logger='current',
        )
