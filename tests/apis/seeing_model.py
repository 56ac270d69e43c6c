"""A model that matches rightly: it knows the rig, and gets its points and images as any other."""

import json

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from scipy.spatial.transform import Rotation
from torch import nn

from nclr_mm.models.task_modules import PoseLibSolver, RigSolver
from tests.datasets.layouts import AXES

WIDTH, HEIGHT = 640, 400
CAM2IMG = np.array([[350.0, 0, 310], [0, 360, 205], [0, 0, 1]])
PIPELINE = [
    dict(type='LoadLidarPoints'),
    dict(type='LoadCalibratedImages'),
    dict(type='ResizeImages', scale=(256, 96)),
    dict(type='RigidPerturbation', seed_by_sample=True),
    dict(type='PointsRangeFilter', point_cloud_range=[-200.0] * 3 + [200.0] * 3),
    dict(type='Pack3DDetInputs', keys=['points', 'img'], meta_keys=['cam2img', 'lidar2cam']),
]


def pose(yaw, shift):
    """``lidar2cam`` of a camera that looks along x, turned by ``yaw`` degrees."""
    matrix = np.eye(4)
    matrix[:3, :3] = AXES @ Rotation.from_euler('z', -yaw, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


TRUE = np.stack([pose(2, [0.1, -0.2, -0.3]), pose(90, [0.4, 0.1, 0.2])])


def scan(seed):
    """Points (N, 4) all round; the intensity is their number."""
    rng = np.random.default_rng(seed)
    points = np.zeros((3000, 4))
    points[:, :2] = rng.uniform(-30, 30, (3000, 2))
    points[:, 2] = rng.uniform(-2, 4, 3000)
    points[:, 3] = np.arange(3000)
    return points


def image(seed):
    return np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


class SeeingModel(nn.Module):
    """Takes the point of number i of the moved scan for what it is, where it truly projects.

    Args:
        scans: what will be given; the model recognises them by their first points.
        noise: of the matched pixels, in pixels of the network's input image.
        blind: cameras that match nothing.
        dark: numbers of scans in which nothing is matched.
        every: only every n-th point is matched.
        true: ``lidar2cam`` of the cameras.
    """

    def __init__(self, scans, noise=0.0, blind=(), dark=(), every=1, true=TRUE):
        super().__init__()
        self.cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
        self.solver = PoseLibSolver()
        self.rig_solver = RigSolver(min_iterations=100)
        self.scans = scans
        self.noise = noise
        self.blind = blind
        self.dark = dark
        self.every = every
        self.true = true
        self.moved = []
        self.seen = None
        self.rng = np.random.default_rng(0)

    @property
    def calib_head(self):
        return self

    def data_preprocessor(self, data, training):
        assert training is False
        inputs = data['inputs']
        voxels = torch.stack(inputs['points'])
        return dict(
            inputs=dict(imgs=torch.stack(inputs['img']), voxels=voxels),
            data_samples=data['data_samples'],
        )

    def extract_img_feat(self, imgs):
        self.seen = tuple(imgs.shape)
        return imgs

    def extract_point_feat(self, voxels):
        return voxels

    def make_scene(self, point_features, voxels, image_features, samples, image_size):
        return point_features[0].double().numpy(), samples[0].metainfo['cam2img'], image_size

    def predict(self, scene):
        moved, cam2img, image_size = scene
        self.moved.append(moved)
        number = len(cam2img)
        distance = np.linalg.norm(moved[0, :3] - moved[1, :3])
        index = next(
            i
            for i, other in enumerate(self.scans)
            if abs(np.linalg.norm(other[0, :3] - other[1, :3]) - distance) < 1e-3
        )
        original = self.scans[index][moved[:, 3].astype(int)]
        points, pixels, masks, poses = [], [], [], []
        for i in range(number):
            cam = original[:, :3] @ self.true[i, :3, :3].T + self.true[i, :3, 3]
            uv = cam @ cam2img[i].T
            uv = uv[:, :2] / uv[:, 2:]
            inside = (
                (cam[:, 2] > 0) & (uv > 0).all(1) & (uv < np.array(image_size[::-1]) - 1).all(1)
            )
            uv += self.rng.normal(0, 1, uv.shape) * self.noise
            inside &= i not in self.blind and index not in self.dark
            inside &= moved[:, 3] % self.every == 0
            found = self.solver.solve(moved[inside, :3], uv[inside], cam2img[i], image_size)
            points.append(moved[:, :3])
            pixels.append(uv)
            masks.append(inside)
            poses.append(found)
        return [
            BaseDataElement(
                lidar2cam=torch.from_numpy(np.stack([p.lidar2cam for p in poses])),
                valid=torch.tensor([p.valid for p in poses]),
                match_points=torch.from_numpy(np.stack(points)),
                match_pixels=torch.from_numpy(np.stack(pixels)),
                match_mask=torch.from_numpy(np.stack(masks)),
            )
        ]


def of_data_set(root, names, stored, number, scene=lambda i: None, **settings):
    """A model whose config names a data set of frames of a rig, which is written below ``root``."""
    entries = []
    for i in range(number):
        scan(i).astype(np.float32).tofile(root / f'{i}.bin')
        cv2.imwrite(str(root / f'{i}.png'), image(i))
        images = {
            name: dict(
                img_path=f'{i}.png',
                height=HEIGHT,
                width=WIDTH,
                cam2img=CAM2IMG.tolist(),
                lidar2cam=matrix.tolist(),
            )
            for name, matrix in zip(names, stored)
        }
        lidar = dict(lidar_path=f'{i}.bin', num_pts_feats=4)
        entry = dict(sample_idx=i, lidar_points=lidar, images=images, timestamp=float(i))
        entries.append(dict(entry, **({} if scene(i) is None else {'scene': scene(i)})))
    infos = dict(metainfo=dict(dataset='rig', info_version='1.1'), data_list=entries)
    (root / 'infos.json').write_text(json.dumps(infos))
    model = SeeingModel([scan(i) for i in range(number)], **settings)
    dataset = dict(type='CalibrationDataset', data_root=str(root), ann_file='infos.json')
    loader = dict(dataset=dict(dataset, pipeline=PIPELINE))
    model.cfg = Config(dict(test_dataloader=loader))
    return model
