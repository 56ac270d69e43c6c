"""What the network makes of a frame, whatever way the LiDAR looks at the cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet3d.registry import TRANSFORMS
from mmdet3d.structures import LiDARPoints
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import nn

from nclr_mm.datasets.transforms import RigidPerturbation

__all__ = ['Look', 'Looker']

# Share of the points; of scans of the known data sets nine in ten are in it.
_FEWEST_IN_RANGE = 0.1
# Steps of a test pipeline that this module or its caller does.
_OWN_STEPS = ('LoadLidarPoints', 'LoadCalibratedImages', 'SampleCameras', 'RigidPerturbation')


@dataclass
class Look:
    """What one look gave each camera: matches in the LiDAR's own frame, and a pose or None."""

    matches: list[tuple[np.ndarray, np.ndarray]]
    poses: list[np.ndarray | None]


class Looker:
    """Runs the test pipeline of a model's config, but for loading and perturbation, and the model.

    Attributes:
        cam2img: (V, 3, 3) intrinsics of the images that the network saw last.
        image_size: (height, width) of them.
    """

    def __init__(self, model: nn.Module, names: Sequence[str], seed: int) -> None:
        config = getattr(model, 'cfg', None)
        if config is None or not hasattr(model, 'calib_head'):
            raise ValueError('model must be an NCLR model of nclr_mm.apis.init_model.')
        init_default_scope(config.get('default_scope', 'mmdet3d'))
        steps = _test_pipeline(config)
        self.model = model
        self.names = list(names)
        self.pipeline = Compose(
            [TRANSFORMS.build(step) for step in steps if step['type'] not in _OWN_STEPS]
        )
        motion = next((step for step in steps if step['type'] == 'RigidPerturbation'), {})
        settings = {key: value for key, value in motion.items() if key != 'type'}
        self.motion = RigidPerturbation(**dict(settings, seed_by_sample=True, seed=seed))
        self.cam2img = None
        self.image_size = (0, 0)
        self._brightest = 0.0  # absolute intensity that the network has seen
        self._points = [0, 0]  # given, and left by the pipeline

    @torch.no_grad()
    def look(
        self,
        points: np.ndarray,
        images: Sequence[np.ndarray],
        cam2img: np.ndarray,
        frame: int,
        looks: int,
    ) -> list[Look]:
        """Look at a frame several times."""
        found, image_features = [], None
        for index in range(looks):
            motion = np.eye(4)
            if index:
                motion = self.motion.draw(dict(sample_idx=frame, repeat_idx=index))
            inputs, sample = self._prepare(points, images, cam2img, motion)
            if image_features is None:  # they do not depend on the points
                image_features = self.model.extract_img_feat(inputs['imgs'])
            head = self.model.calib_head
            scene = head.make_scene(
                self.model.extract_point_feat(inputs['voxels']),
                inputs['voxels'],
                image_features,
                [sample],
                tuple(inputs['imgs'].shape[-2:]),
            )
            found.append(_in_own_frame(head.predict(scene)[0], motion))
        return found

    def input_warnings(self) -> list[str]:
        """What is unlike the data of a training in what the network saw, a sentence each.

        All data sets of this package come to the network with intensities of 0 to 1.
        """
        given, left = self._points
        if left < _FEWEST_IN_RANGE * given:
            return [
                f'{1 - left / given:.0%} of the points are outside of the range of the network: '
                "coordinates must be in the LiDAR's own frame, in metres"
            ]
        brightest = self._brightest
        if not given or 0.05 <= brightest <= 2.0:
            return []
        if not brightest:
            return ['all intensities are 0, networks of this package are trained with 0 to 1']
        return [
            f'the network saw intensities up to {brightest:.3g}, networks of this package are '
            'trained with 0 to 1: intensity_scale (--intensity-scale) brings them there'
        ]

    def _prepare(self, points, images, cam2img, motion) -> tuple[dict, object]:
        moved = points.copy()
        moved[:, :3] = points[:, :3] @ motion[:3, :3].T + motion[:3, 3]
        results = dict(
            sample_idx=0,
            points=LiDARPoints(torch.from_numpy(moved.astype(np.float32)), points_dim=4),
            img=[image.copy() for image in images],
            cam_names=self.names,
            cam2img=cam2img.copy(),
            # The truth is what is asked for; nothing of a prediction depends on it.
            lidar2cam=np.tile(np.eye(4), (len(images), 1, 1)),
            rig2cam=None,  # matches of all looks are joined before a rig is solved
        )
        packed = self.pipeline(results)
        seen = packed['inputs']['points'][:, 3]
        self._points = [self._points[0] + len(points), self._points[1] + len(seen)]
        if len(seen):
            self._brightest = max(self._brightest, float(seen.abs().max()))
        batch = dict(
            inputs={key: [value] for key, value in packed['inputs'].items()},
            data_samples=[packed['data_samples']],
        )
        batch = self.model.data_preprocessor(batch, False)
        sample = batch['data_samples'][0]
        self.cam2img = np.asarray(sample.metainfo['cam2img'], dtype=np.float64)
        self.image_size = tuple(batch['inputs']['imgs'].shape[-2:])
        return batch['inputs'], sample


def _in_own_frame(pred, motion: np.ndarray) -> Look:
    """Undo the motion of the points in a prediction."""
    back = np.linalg.inv(motion)
    matches, poses = [], []
    for i in range(len(pred.valid)):
        mask = pred.match_mask[i]
        points = pred.match_points[i, mask].double().numpy()
        matches.append(
            (points @ back[:3, :3].T + back[:3, 3], pred.match_pixels[i, mask].double().numpy())
        )
        poses.append(pred.lidar2cam[i].numpy() @ motion if pred.valid[i] else None)
    return Look(matches, poses)


def _test_pipeline(config: Mapping) -> list[ConfigDict]:
    dataset = config.get('test_dataloader', {}).get('dataset')
    while dataset is not None and 'pipeline' not in dataset:
        dataset = dataset.get('dataset')
    if dataset is None:
        raise ValueError('The config of the model has no test_dataloader.dataset.pipeline.')
    return dataset.pipeline
