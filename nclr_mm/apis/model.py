"""Building of trained models."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from nclr_mm.checkpoint import read_weights
from nclr_mm.engine.command_line import override, read_config
from nclr_mm.models.voxel_grid import check_voxel_grid
from nclr_mm.reading import complete_versions

__all__ = ['init_model']


def init_model(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
    cfg_options: Mapping | None = None,
) -> nn.Module:
    """Build the model of a config and load all of its weights.

    Unlike mmdet3d's function of this name it refuses a checkpoint that does not fit, and reads it
    without running code from it.

    Args:
        config: the config, or its file. A config file is a Python program, and runs.
        checkpoint: file with the weights, or None for the initial ones. They may be in other fields
            than ``state_dict`` and behind a prefix (:func:`nclr_mm.reading.find_weights`); tensors
            without the prefix are not the model's, and are passed over.
        device: where the model shall be.
        cfg_options: settings of the config to override.

    Returns:
        The model in evaluation mode, with the config as ``model.cfg``.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the config has no model, the checkpoint lacks weights of it, holds others or
            such as are not finite, there is no such device, or the config states two grids of
            voxels.
    """
    if not isinstance(config, Config):
        config = read_config(config)
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f'There is no device {device!r}; expected cpu, cuda or cuda:N.') from error
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'There is no device {device}: PyTorch finds no GPU here.')
    config = override(config.copy(), cfg_options, f'the config {config.filename}')
    if 'model' not in config:
        raise ValueError(f'The config {config.filename} has no model.')
    init_default_scope(config.get('default_scope', 'mmdet3d'))
    model = MODELS.build(config.model)
    check_voxel_grid(model)
    if checkpoint is None:
        model.init_weights()
    else:
        _load(model, checkpoint)
    model.cfg = config
    return model.to(device).eval()


def _load(model: nn.Module, checkpoint: str | os.PathLike) -> None:
    own = model.state_dict()
    tensors, outside, wrapping = read_weights(checkpoint, wanted=own.__contains__)
    if wrapping:
        checkpoint = f'{checkpoint} ({wrapping})'
    for name in outside - own.keys():  # of what wraps the model
        del tensors[name]
    missing = sorted(own.keys() - tensors.keys())
    surplus = sorted(tensors.keys() - own.keys())
    unfit = sorted(
        name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape
    )
    odd = sorted(
        name
        for name in own.keys() & tensors.keys()
        if _kind(tensors[name]) != _kind(own[name]) or not tensors[name].isfinite().all()
    )
    for names, what in (
        (missing, 'lacks {n} of its {total} tensors, first {first}'),
        (unfit, 'has {n} tensors of another shape, first {first}'),
        (surplus, 'holds {n} tensors that it has not, first {first}'),
        (odd, 'has {n} tensors of other kinds of numbers, or not finite, first {first}'),
    ):
        if names:
            what = what.format(n=len(names), total=len(own), first=names[0])
            raise ValueError(
                f'{checkpoint} does not fit the model {type(model).__name__} of the config: the '
                f'file {what}.'
            )
    complete_versions(tensors, own)
    model.load_state_dict(tensors)


def _kind(tensor: Tensor) -> tuple:
    return tensor.layout, tensor.is_floating_point(), tensor.is_complex()
