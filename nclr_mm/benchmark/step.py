"""Time and memory of whole training steps, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from torch import nn
from torch.utils.data import Dataset

from .timing import Clock, peak_bytes

__all__ = ['LOADING', 'as_in_a_worker', 'build_dataset', 'build_training', 'measure_steps']

#: name of the part that a worker does
LOADING = 'loading'


def build_dataset(cfg: Config) -> Dataset:
    """The training data of a pretraining config; its ``custom_imports`` are to be done before."""
    init_default_scope(cfg.get('default_scope', 'mmdet3d'))
    return DATASETS.build(cfg.train_dataloader.dataset)


def build_training(cfg: Config, device: torch.device, pose_loss: bool) -> tuple:
    """Model of a pretraining config, and its optimiser wrapper.

    Args:
        cfg: the config.
        device: of the model.
        pose_loss: whether the pose loss is on.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet3d'))
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to(device).train()
    model.data_preprocessor.to(device)
    model.calib_head.with_pose_loss = pose_loss
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


@contextmanager
def as_in_a_worker() -> Iterator[None]:
    """One thread of PyTorch and none of OpenCV's, as loader workers have."""
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(opencv_threads)


def _step(model: nn.Module, optimiser, dataset, index: Sequence[int], clock: Clock) -> float:
    clock.start()
    with as_in_a_worker():
        data = pseudo_collate([dataset[i % len(dataset)] for i in index])
    clock.stop(LOADING)
    with optimiser.optim_context(model):
        data = model.data_preprocessor(data, training=True)
        inputs, samples = data['inputs'], data['data_samples']
        clock.stop('voxelise, normalise')
        point_features = model.extract_point_feat(inputs['voxels'])
        clock.stop('LiDAR branch')
        image_features = model.extract_img_feat(inputs['imgs'])
        clock.stop('image branch')
        image_size = tuple(inputs['imgs'].shape[-2:])
        scene = model.calib_head.make_scene(
            point_features, inputs['voxels'], image_features, samples, image_size
        )
        loss, _ = model.parse_losses(model.calib_head.loss(scene))
        clock.stop('head and losses')
    optimiser.backward(loss)
    clock.stop('backward')
    optimiser.step()
    optimiser.zero_grad()
    clock.stop('optimiser')
    return float(loss.detach())


def measure_steps(
    cfg: Config,
    dataset: Dataset,
    device: torch.device | str = 'cpu',
    steps: int = 5,
    warm_up: int = 2,
    batch_size: int = 1,
    pose_loss: bool = False,
) -> dict:
    """Run training steps.

    Args:
        cfg: pretraining config.
        dataset: its training data.
        device: where.
        steps: that are timed.
        warm_up: steps before them.
        batch_size: samples a step.
        pose_loss: whether the pose loss is on.

    Returns:
        ``parts``, median seconds of each; ``step``, their sum; ``loading``, seconds a sample in one
        worker; ``peak_bytes`` since the process began (CPU: resident; GPU: of tensors); ``losses``
        of the timed steps.
    """
    device = torch.device(device)
    set_random_seed(0)
    model, optimiser = build_training(cfg, device, pose_loss)
    clock, losses = Clock(device), []
    for i in range(warm_up + steps):
        if i == warm_up:
            clock.seconds.clear()
            losses.clear()
        index = range(i * batch_size, (i + 1) * batch_size)
        losses.append(_step(model, optimiser, dataset, index, clock))
    parts = clock.medians()
    loading = parts.pop(LOADING) / batch_size
    return dict(
        parts=parts,
        step=sum(parts.values()),
        loading=loading,
        peak_bytes=peak_bytes(device),
        losses=losses,
    )
