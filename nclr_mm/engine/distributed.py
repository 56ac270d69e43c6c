"""Distributed runs: on machines without a GPU, and the model below a wrapper."""

import torch
from mmengine.config import Config
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

__all__ = ['prepare_cpu_processes', 'unwrapped_model']


def prepare_cpu_processes(cfg: Config) -> None:
    """Set up a run of several processes where there is no GPU; otherwise leave all to mmengine.

    mmengine's launcher selects a CUDA device and passes one to the model wrapper, both without
    asking whether there is any. Here the processes are joined by gloo before the runner starts,
    and the wrapper is told of no device.

    Args:
        cfg: the run's config; ``launcher`` is read, ``model_wrapper_cfg`` is completed.

    Raises:
        ValueError: if the launcher is not ``'pytorch'`` (``torchrun``).
    """
    if cfg.launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'launcher {cfg.launcher!r} needs GPUs; use tools/dist_train.sh without one.'
        )
    torch.distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    cfg.model_wrapper_cfg = dict(wrapper, **cfg.get('model_wrapper_cfg', {}), device_ids=None)


def unwrapped_model(runner) -> nn.Module:
    """The runner's model itself, without wrappers of distributed runs and of augmented tests."""
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
