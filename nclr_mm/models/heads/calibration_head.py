"""The calibration head: overlap, matches and pose, and their losses."""

from dataclasses import dataclass

import numpy as np
import torch
from mmdet3d.registry import MODELS, TASK_UTILS
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from nclr_mm.geometry import epnp, normalise_pixels

from ..layers.fusion import overlap_mlp
from ..layers.matching import nearest_pixels, pixel_grid, refine_pixels, soft_argmax
from ..layers.sampling import draw_masked
from ..task_modules import RigMatches
from .targets import Cameras, Targets, calibration_targets


@dataclass
class Scene:
    """Features of a batch, padded to the same number of voxels a sample.

    Attributes:
        xyz: (B, N, 3) voxel positions in metres.
        mask: (B, N) bool, false for padding.
        points: (B, N, C) voxel features.
        pixels: (B, V, h*w, C) pixel features.
        cameras: the cameras.
        fewest: voxels of the sample that has fewest; known without waiting for the device.
    """

    xyz: Tensor
    mask: Tensor
    points: Tensor
    pixels: Tensor
    cameras: Cameras
    fewest: int


@dataclass
class View:
    """The voxels drawn for each camera, with features before and after fusion.

    Attributes:
        index: (B, V, P) drawn voxels.
        valid: (B, V, P) bool, false for empty slots.
        points: (B, V, P, C) voxel features.
        fused_points: (B, V, P, C) voxel features after fusion.
        fused_pixels: (B, V, h*w, C) pixel features after fusion.
    """

    index: Tensor
    valid: Tensor
    points: Tensor
    fused_points: Tensor
    fused_pixels: Tensor


def gather_voxels(values: Tensor, index: Tensor) -> Tensor:
    """Take voxels of each sample: values (B, N, ...) at index (B, V, P) gives (B, V, P, ...).

    Without any voxel (N = 0) every slot is empty, and reads zeros that are connected to values.
    """
    if values.shape[1] == 0:
        zeros = values.sum() + values.new_zeros(values.shape[2:])
        return zeros.expand(*index.shape, *values.shape[2:])
    sample = torch.arange(len(index), device=index.device)[:, None, None]
    return values[sample, index]


def read_pixels(
    pixels: Tensor, camera: Tensor, uv: Tensor, map_size: tuple[int, int], mode: str
) -> Tensor:
    """Read feature maps at given places.

    Args:
        pixels: (B, V, h*w, C) maps.
        camera: (B, M) camera of each place.
        uv: (B, M, 2) cells; beyond the map's outermost centres the border is read.
        map_size: (h, w).
        mode: ``'bilinear'`` or ``'nearest'``.

    Returns:
        (B, M, C) features.
    """
    # The maps of a sample are a volume with the camera as its depth, read at whole depths.
    volume = pixels.float().unflatten(2, map_size).permute(0, 4, 1, 2, 3)
    height, width = map_size
    sizes = width, height, pixels.shape[1]
    place = (*uv.unbind(-1), camera.to(uv.dtype))
    grid = torch.stack([(2 * x + 1) / size - 1 for x, size in zip(place, sizes, strict=True)], -1)
    out = F.grid_sample(
        volume, grid[:, None, None], mode, padding_mode='border', align_corners=False
    )
    return out[:, :, 0, 0].transpose(1, 2)


@MODELS.register_module()
class CalibrationHead(BaseModule):
    """Neural calibration (NCLR, arXiv 2401.12452) on voxel and pixel features.

    Every part is switchable: ``alignment`` (LTA or the released code's cosine), ``fusion``
    (``None`` leaves it out), ``occlusion``, ``loss_contrast``, ``loss_fused_contrast`` and the
    overlap losses (``None`` leaves a loss out), and the pose loss (``with_pose_loss``, switched by
    :class:`nclr_mm.engine.PoseLossSwitchHook`).

    Args:
        point_channels: channels of the voxel features.
        channels: channels C of the image neck and of the head.
        num_voxels: voxels P drawn a camera in training (4096 in the official settings).
        preferred_fraction: part of the draw taken from voxels that the camera sees; 0 is the
            official uniform draw.
        num_pairs: contrastive pairs a sample (1024 in the official settings).
        exclude_radius: pairs of one camera nearer than this (in cells) are no negatives of each
            other; 0 is the official form.
        pixel_sampling: how a pixel feature is read at a projection, ``'bilinear'`` or
            ``'nearest'`` (official).
        alignment: similarity before and after fusion, each with parameters of its own; ``None``
            is the plain cosine.
        fusion: fusion module, or ``None``.
        occlusion: arguments of :func:`nclr_mm.geometry.occlusion_mask`, or ``None``.
        loss_contrast: contrastive loss on backbone features, or ``None``.
        loss_fused_contrast: contrastive loss on fused features, or ``None``.
        loss_point_overlap: overlap loss of the voxels, or ``None``.
        loss_pixel_overlap: overlap loss of the pixels, or ``None``.
        loss_pose: pose loss.
        with_pose_loss: whether the pose loss is on.
        keypoints: choice of keypoints for the pose loss: ``number`` K, ``thresholds`` on the
            overlap score in the order they are tried, ``minimum`` keypoints for a threshold to
            do. A camera for which none does gives no pose loss.
        match_temperature: temperature of the soft-argmax (0.01 in the official settings).
        max_translation: metres; a soft pose farther away is physically impossible, comes from
            matches that agree on nothing, and gives no pose loss.
        test_cfg: inference: ``num_voxels`` M used a sample, ``score_threshold`` on the overlap,
            ``features`` to match (``'fused'`` or ``'backbone'``), ``mutual`` nearest matches
            only, ``max_matches`` K a camera, ``window`` and ``temperature`` of the sub-cell
            refinement, ``solver`` of each camera's pose, ``rig_solver`` of the one motion that all
            cameras of a sample share where their relative poses are known, or ``None``.
    """

    default_keypoints = dict(number=128, thresholds=(0.9, 0.7), minimum=10)
    default_test_cfg = dict(
        num_voxels=8192,
        score_threshold=0.5,
        features='fused',
        mutual=True,
        max_matches=1500,
        window=5,
        temperature=0.05,
        solver=dict(type='PoseLibSolver'),
        rig_solver=dict(type='RigSolver'),
    )

    def __init__(
        self,
        point_channels: int,
        channels: int = 64,
        num_voxels: int = 4096,
        preferred_fraction: float = 0.0,
        num_pairs: int = 1024,
        exclude_radius: float = 0.0,
        pixel_sampling: str = 'bilinear',
        alignment: dict | None = None,
        fusion: dict | None = None,
        occlusion: dict | None = None,
        loss_contrast: dict | None = None,
        loss_fused_contrast: dict | None = None,
        loss_point_overlap: dict | None = None,
        loss_pixel_overlap: dict | None = None,
        loss_pose: dict | None = None,
        with_pose_loss: bool = False,
        keypoints: dict | None = None,
        match_temperature: float = 0.01,
        max_translation: float = 100.0,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if pixel_sampling not in ('bilinear', 'nearest'):
            raise ValueError(
                f"pixel_sampling must be 'bilinear' or 'nearest', not {pixel_sampling!r}."
            )
        if not 0 <= preferred_fraction <= 1:
            raise ValueError(f'preferred_fraction must be in [0, 1], not {preferred_fraction}.')
        if fusion is None and loss_fused_contrast is not None:
            raise ValueError('loss_fused_contrast needs fusion; set it to None without one.')
        losses = (loss_contrast, loss_fused_contrast, loss_point_overlap, loss_pixel_overlap)
        if not (any(losses) or with_pose_loss):
            raise ValueError('CalibrationHead needs at least one loss.')
        self.num_voxels = num_voxels
        self.preferred_fraction = preferred_fraction
        self.num_pairs = num_pairs
        self.exclude_radius = exclude_radius
        self.pixel_sampling = pixel_sampling
        self.occlusion = occlusion
        self.with_pose_loss = with_pose_loss
        self.match_temperature = match_temperature
        self.max_translation = max_translation
        self.keypoints = self._merge('keypoints', self.default_keypoints, keypoints)
        self.test_cfg = self._merge('test_cfg', self.default_test_cfg, test_cfg)
        if self.test_cfg['features'] not in ('fused', 'backbone'):
            raise ValueError(
                "test_cfg.features must be 'fused' or 'backbone', not "
                f'{self.test_cfg["features"]!r}.'
            )
        if self.test_cfg['window'] % 2 == 0:
            raise ValueError(f'test_cfg.window must be odd, not {self.test_cfg["window"]}.')
        self.solver = TASK_UTILS.build(self.test_cfg['solver'])
        rig_solver = self.test_cfg['rig_solver']
        self.rig_solver = None if rig_solver is None else TASK_UTILS.build(rig_solver)
        #: whether predictions hold the features that were matched, for pictures of them
        self.keep_features = False

        def build(cfg: dict | None, **defaults) -> nn.Module | None:
            return None if cfg is None else MODELS.build(dict(defaults, **cfg))

        alignment = alignment or dict(type='CosineAlignment')
        #: brings voxel features to C channels; the detector applies it, where it costs least
        self.point_in = nn.Linear(point_channels, channels)
        self.alignment = build(alignment, channels=channels)
        self.fusion = build(fusion, channels=channels)
        self.fused_alignment = self.alignment
        if fusion is not None:
            self.fused_alignment = build(alignment, channels=channels)
        self.point_overlap = overlap_mlp(channels)
        self.pixel_overlap = overlap_mlp(channels)
        self.loss_contrast = build(loss_contrast)
        self.loss_fused_contrast = build(loss_fused_contrast)
        self.loss_point_overlap = build(loss_point_overlap)
        self.loss_pixel_overlap = build(loss_pixel_overlap)
        self.loss_pose = build(loss_pose or dict(type='PoseLoss'))

    @staticmethod
    def _merge(name: str, defaults: dict, given: dict | None) -> dict:
        unknown = set(given or ()) - set(defaults)
        if unknown:
            raise ValueError(f'{name} has no field {sorted(unknown)}; it has {sorted(defaults)}.')
        return dict(defaults, **(given or {}))

    def loss(self, scene: Scene) -> dict[str, Tensor]:
        """Compute the losses of a batch, and the numbers of pairs and of poses for the log."""
        targets = calibration_targets(scene.xyz, scene.mask, scene.cameras, self.occlusion)
        view = self.view(scene, self.draw(scene, targets))
        losses = self.contrastive_losses(scene, view, targets)
        scores = self.point_overlap(view.fused_points)[..., 0]
        losses.update(self.overlap_losses(scores, view, targets))
        if self.with_pose_loss:
            losses.update(self.pose_losses(scores, scene, view))
        if not losses:
            raise ValueError(
                'Nothing is trained: the pose loss is switched off and every other loss is None; '
                'give PoseLossSwitchHook begin=0, or another loss.'
            )
        # What a loss that is left out would have trained still takes part, with a zero gradient:
        # distributed training waits for every parameter.
        first = next(name for name in losses if name.startswith('loss'))
        losses[first] = losses[first] + 0 * sum(p.sum() for p in self.parameters())
        return losses

    def make_scene(
        self,
        point_features: Tensor,
        voxels: dict,
        image_features: Tensor,
        data_samples: list,
        image_size: tuple[int, int],
    ) -> Scene:
        """Pad the samples, and collect the cameras.

        Args:
            point_features: (Nv, C) voxel features, after ``point_in``.
            voxels: ``xyz`` (Nv, 3) positions in metres and ``counts``, voxels of each sample.
            image_features: (B*V, C, h, w) image features.
            data_samples: B data samples with ``cam2img`` (V, 3, 3) and ``lidar2cam`` (V, 4, 4) in
                their metainfo.
            image_size: (H, W) of the input images.
        """
        counts = voxels['counts']

        def pad(values: Tensor) -> Tensor:
            return pad_sequence(values.split(counts), batch_first=True)

        mask = pad(torch.ones_like(voxels['xyz'][:, 0], dtype=torch.bool))
        map_size = tuple(image_features.shape[-2:])
        strides = [pixels / cells for pixels, cells in zip(image_size, map_size, strict=True)]
        if strides[0] != strides[1] or strides[0] % 1:
            raise ValueError(
                f'Images of {image_size[0]}x{image_size[1]} give feature maps of '
                f'{map_size[0]}x{map_size[1]}, which are not an even part of them, so that pixels '
                'and features would not align: choose a height and a width that are multiples of '
                'the largest stride of the image branch (32).'
            )
        cameras = Cameras.from_samples(data_samples, image_size, map_size, image_features.device)
        pixels = image_features.flatten(2).transpose(1, 2)
        pixels = pixels.unflatten(0, cameras.cam2img.shape[:2])
        xyz, points = pad(voxels['xyz']), pad(point_features)
        return Scene(xyz, mask, points, pixels, cameras, min(counts))

    def draw(self, scene: Scene, targets: Targets) -> tuple[Tensor, Tensor]:
        """Draw the voxels of each camera: index and valid, both (B, V, P)."""
        mask = scene.mask[:, None].expand_as(targets.visible)
        return draw_masked(mask, self.num_voxels, targets.visible, self.preferred_fraction)

    def view(self, scene: Scene, drawn: tuple[Tensor, Tensor]) -> View:
        """Gather the drawn voxels and fuse them with the pixels of their camera."""
        index, valid = drawn
        points = gather_voxels(scene.points, index) * valid[..., None]
        if self.fusion is None:
            return View(index, valid, points, points, scene.pixels)
        full = scene.fewest >= index.shape[-1]
        fused_points, fused_pixels = self.fusion(
            points.flatten(0, 1), scene.pixels.flatten(0, 1), None if full else valid.flatten(0, 1)
        )
        shape = index.shape[:2]
        return View(
            index, valid, points, fused_points.unflatten(0, shape), fused_pixels.unflatten(0, shape)
        )

    def contrastive_losses(self, scene: Scene, view: View, targets: Targets) -> dict[str, Tensor]:
        """Contrast matched voxels and pixels: of the whole scene before fusion, of the drawn
        voxels after it."""
        losses = {}
        if self.loss_contrast is not None:
            losses['loss_contrast'], losses['num_pairs'] = self.contrast(
                self.loss_contrast,
                self.alignment,
                scene.points,
                scene.pixels,
                targets.uv,
                targets.visible,
                scene.cameras.map_size,
            )
        if self.loss_fused_contrast is not None:
            losses['loss_fused_contrast'], losses['num_fused_pairs'] = self.contrast(
                self.loss_fused_contrast,
                self.fused_alignment,
                view.fused_points,
                view.fused_pixels,
                self._of_drawn(targets.uv, view),
                self._of_drawn(targets.visible, view) & view.valid,
                scene.cameras.map_size,
            )
        return losses

    def contrast(
        self,
        loss: nn.Module,
        alignment: nn.Module,
        points: Tensor,
        pixels: Tensor,
        uv: Tensor,
        visible: Tensor,
        map_size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Draw pairs of a sample and contrast them.

        Args:
            loss: contrastive loss.
            alignment: similarity.
            points: (B, V, N, C) voxel features of each camera, or (B, N, C) the same for all.
            pixels: (B, V, h*w, C) maps.
            uv: (B, V, N, 2) projections in cells.
            visible: (B, V, N) bool, the pairs to draw from.
            map_size: (h, w).

        Returns:
            The loss, and the number of pairs in the batch.
        """
        pair, mask = draw_masked(visible.flatten(1), self.num_pairs)
        number = max(visible.shape[2], 1)
        camera, voxel = pair // number, pair % number
        uv = self._of_pairs(uv, camera, voxel)
        same = None
        if self.exclude_radius > 0:
            near = torch.cdist(uv, uv) < self.exclude_radius
            same = near & (camera[:, :, None] == camera[:, None])
        read = read_pixels(pixels, camera, uv, map_size, self.pixel_sampling)
        points = alignment(self._of_pairs(points, camera, voxel))
        return loss(points, alignment(read), mask, same), mask.sum().float()

    @staticmethod
    def _of_pairs(values: Tensor, camera: Tensor, voxel: Tensor) -> Tensor:
        """Values (B, V, N, C) or (B, N, C) of pairs (B, M); connected zeros where N is 0."""
        if values.shape[-2] == 0:
            zeros = values.sum() + values.new_zeros(values.shape[-1])
            return zeros.expand(*camera.shape, -1)
        sample = torch.arange(len(camera), device=camera.device)[:, None]
        return values[sample, voxel] if values.dim() == 3 else values[sample, camera, voxel]

    def overlap_losses(self, logits: Tensor, view: View, targets: Targets) -> dict[str, Tensor]:
        """Which voxels fall into the image, and on which cells a voxel falls."""
        losses = {}
        if self.loss_point_overlap is not None:
            visible = self._of_drawn(targets.visible, view)
            losses['loss_point_overlap'] = self.loss_point_overlap(logits, visible, view.valid)
        if self.loss_pixel_overlap is not None:
            pixel_logits = self.pixel_overlap(view.fused_pixels)[..., 0]
            occupied = targets.occupied.flatten(2)
            losses['loss_pixel_overlap'] = self.loss_pixel_overlap(pixel_logits, occupied)
        return losses

    def pose_losses(self, logits: Tensor, scene: Scene, view: View) -> dict[str, Tensor]:
        """Match keypoints softly, solve each camera's pose, and compare it with the truth."""
        cameras = scene.cameras
        keypoint, mask = self.choose_keypoints(logits.detach().sigmoid(), view.valid)

        def pick(values: Tensor) -> Tensor:
            return values.gather(2, keypoint[..., None].expand(*keypoint.shape, values.shape[-1]))

        cells = soft_argmax(
            self.fused_alignment(pick(view.fused_points)).flatten(0, 1),
            self.fused_alignment(view.fused_pixels).flatten(0, 1),
            pixel_grid(*cameras.map_size, logits.device),
            self.match_temperature,
        )
        intrinsics = cameras.cam2img.flatten(0, 1)
        solved = epnp(
            pick(gather_voxels(scene.xyz, view.index)).flatten(0, 1),
            normalise_pixels(cameras.to_image(cells), intrinsics),
            mask=mask.flatten(0, 1),
        )
        valid = solved.valid & (solved.t.detach().norm(dim=-1) < self.max_translation)
        rotation, translation = self.loss_pose(
            solved.R, solved.t, cameras.lidar2cam.flatten(0, 1), valid
        )
        return dict(
            loss_pose_rotation=rotation,
            loss_pose_translation=translation,
            num_poses=valid.sum().float(),
        )

    def choose_keypoints(self, scores: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Draw keypoints among the voxels with a high overlap score.

        Args:
            scores: (B, V, P) overlap scores.
            valid: (B, V, P) bool.

        Returns:
            index (B, V, K) and mask (B, V, K) bool; a camera without enough candidates at any
            threshold has none.
        """
        candidates = torch.zeros_like(valid)
        undecided = torch.ones_like(valid[..., :1])
        for threshold in self.keypoints['thresholds']:
            passing = valid & (scores > threshold)
            enough = undecided & (passing.sum(-1, keepdim=True) >= self.keypoints['minimum'])
            candidates = torch.where(enough, passing, candidates)
            undecided = undecided & ~enough
        return draw_masked(candidates, self.keypoints['number'])

    @staticmethod
    def _of_drawn(values: Tensor, view: View) -> Tensor:
        """Values (B, V, N, ...) of all voxels at the drawn ones (B, V, P, ...)."""
        if values.shape[2] == 0:
            return values.new_zeros((*view.index.shape, *values.shape[3:]))
        index = view.index
        if values.dim() == 4:
            index = index[..., None].expand(*view.index.shape, values.shape[-1])
        return values.gather(2, index)

    @torch.no_grad()
    def predict(self, scene: Scene) -> list[BaseDataElement]:
        """Calibrate each camera of each sample.

        Returns:
            For each sample the fields named in ``docs/architecture.md`` under *Prediction*.
        """
        cfg = self.test_cfg
        batch_size, num_cameras = scene.cameras.cam2img.shape[:2]
        generator = torch.Generator(scene.mask.device).manual_seed(0)
        number = min(cfg['num_voxels'], scene.mask.shape[1])
        index, valid = draw_masked(scene.mask, number, generator=generator)
        drawn = [x[:, None].expand(-1, num_cameras, -1) for x in (index, valid)]
        view = self.view(scene, drawn)
        point_scores = self.point_overlap(view.fused_points)[..., 0].float().sigmoid() * view.valid
        pixel_scores = self.pixel_overlap(view.fused_pixels)[..., 0].float().sigmoid()
        features = self.matched_features(scene, view)
        match, cells, similarity, is_match = self.match(scene, view, point_scores, features)
        xyz = scene.xyz[torch.arange(batch_size, device=index.device)[:, None], index]
        match_xyz = gather_voxels(xyz, match)
        match_uv = scene.cameras.to_image(cells)
        rigs = scene.cameras.rig2cam or [None] * batch_size
        results = []
        for i in range(batch_size):
            keep = valid[i].cpu()
            results.append(
                BaseDataElement(
                    metainfo=dict(img_shape=scene.cameras.image_size),
                    voxels=scene.xyz[i].float().cpu()[scene.mask[i].cpu()],
                    points=xyz[i].float().cpu()[keep],
                    point_scores=point_scores[i].cpu()[:, keep],
                    pixel_scores=pixel_scores[i].unflatten(-1, scene.cameras.map_size).cpu(),
                    match_points=match_xyz[i].float().cpu(),
                    match_pixels=match_uv[i].float().cpu(),
                    match_scores=similarity[i].float().cpu(),
                    match_mask=is_match[i].cpu(),
                )
            )
            if self.keep_features:
                points, pixels = (x[i].float().cpu() for x in features)
                results[-1].point_features = points[:, keep]
                results[-1].pixel_features = pixels.unflatten(1, scene.cameras.map_size)
            cam2img = scene.cameras.cam2img[i].cpu()
            self.solve(results[-1], cam2img)
            if self.rig_solver is not None and rigs[i] is not None and num_cameras > 1:
                self.solve_rig(results[-1], cam2img, rigs[i])
        return results

    def matched_features(self, scene: Scene, view: View) -> tuple[Tensor, Tensor]:
        """Aligned features of the voxels used (B, V, M, C) and of the cells (B, V, h*w, C)."""
        if self.test_cfg['features'] == 'fused':
            return self.fused_alignment(view.fused_points), self.fused_alignment(view.fused_pixels)
        return self.alignment(view.points), self.alignment(scene.pixels)

    def match(
        self, scene: Scene, view: View, scores: Tensor, features: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Choose the most similar matches of each camera.

        Args:
            scene: the batch.
            view: the voxels used.
            scores: (B, V, M) their overlap scores.
            features: of :meth:`matched_features`.

        Returns:
            index (B, V, K) into the voxels used, cells (B, V, K, 2), similarity (B, V, K) and
            mask (B, V, K) bool.
        """
        cfg = self.test_cfg
        points, pixels = (x.flatten(0, 1) for x in features)
        candidate = (view.valid & (scores > cfg['score_threshold'])).flatten(0, 1)
        number = min(cfg['max_matches'], points.shape[1])
        if number == 0:
            shape = (*view.index.shape[:2], 0)
            empty = points.new_zeros(shape)
            return empty.long(), points.new_zeros((*shape, 2)), empty, empty.bool()
        similarity, pixel, mutual = nearest_pixels(points, pixels, candidate)
        if cfg['mutual']:
            candidate = mutual
        similarity, index = similarity.masked_fill(~candidate, -torch.inf).topk(number, dim=-1)
        height, width = scene.cameras.map_size
        cells = refine_pixels(
            points.gather(1, index[..., None].expand(-1, -1, points.shape[-1])),
            pixels,
            pixel.gather(1, index),
            height,
            width,
            cfg['temperature'],
            cfg['window'],
        )
        mask = similarity.isfinite()
        shape = view.index.shape[:2]
        return tuple(
            x.unflatten(0, shape) for x in (index, cells, similarity.masked_fill(~mask, 0), mask)
        )

    def solve(self, prediction: BaseDataElement, cam2img: Tensor) -> None:
        """Solve each camera's pose from its matches and write it into the prediction."""
        num_cameras, num_matches = prediction.match_mask.shape
        inliers = torch.zeros((num_cameras, num_matches), dtype=torch.bool)
        poses = torch.eye(4, dtype=torch.float64).repeat(num_cameras, 1, 1)
        errors = torch.full((num_cameras,), torch.inf)
        valid = torch.zeros(num_cameras, dtype=torch.bool)
        for camera in range(num_cameras):
            mask = prediction.match_mask[camera]
            estimate = self.solver.solve(
                prediction.match_points[camera, mask].double().numpy(),
                prediction.match_pixels[camera, mask].double().numpy(),
                cam2img[camera].double().numpy(),
                prediction.img_shape,
            )
            if estimate.valid:
                valid[camera] = True
                poses[camera] = torch.from_numpy(estimate.lidar2cam)
                errors[camera] = estimate.reproj_error
                inliers[camera, mask] = torch.from_numpy(estimate.inliers)
        prediction.set_data(
            dict(
                lidar2cam=poses,
                valid=valid,
                num_inliers=inliers.sum(dim=1),
                num_matches=prediction.match_mask.sum(dim=1),
                reproj_error=errors,
                match_inliers=inliers,
            )
        )

    def solve_rig(self, prediction: BaseDataElement, cam2img: Tensor, rig2cam: np.ndarray) -> None:
        """Solve one motion from the matches of all cameras and write it into the prediction."""
        mask = prediction.match_mask
        matches = RigMatches(
            prediction.match_points[mask].double().numpy(),
            prediction.match_pixels[mask].double().numpy(),
            mask.nonzero()[:, 0].numpy(),
        )
        intrinsics = cam2img.double().numpy()
        found = self.rig_solver.solve(matches, intrinsics, rig2cam, prediction.img_shape)
        inliers = torch.zeros_like(mask)
        inliers[mask] = torch.from_numpy(found.inliers)
        poses = np.tile(np.eye(4), (len(rig2cam), 1, 1))
        if found.valid:
            poses = rig2cam @ found.lidar2rig
        prediction.set_data(
            dict(
                rig_lidar2cam=torch.from_numpy(poses),
                rig_valid=torch.tensor(found.valid),
                rig_covariance=torch.from_numpy(found.covariance),
                rig_num_inliers=inliers.sum(dim=1),
                rig_reproj_error=torch.tensor(found.reproj_error),
            )
        )
