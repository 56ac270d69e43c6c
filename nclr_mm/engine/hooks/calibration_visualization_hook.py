"""Pictures of predicted calibrations, while validating and testing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet3d.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook

from nclr_mm.visualization import calibration_sheet, save_image

from ..distributed import unwrapped_model


@HOOKS.register_module()
class CalibrationVisualizationHook(Hook):
    """Write a sheet for each camera of some samples (see :func:`calibration_sheet`).

    The sheets go to ``<work_dir>/<out_dir>/<stage>`` as JPEG, named by sample, repeat (where the
    data set repeats samples) and camera, and to the runner's visualizer (TensorBoard and so on);
    ``<stage>`` is ``val_<iteration>`` or ``test``. Only the main process draws. No display is
    needed.

    Args:
        interval: draw every n-th sample, beginning with the first.
        max_samples: draw this many samples at most, in each run through the data.
        out_dir: folder in the work directory, or an absolute path.

    Raises:
        ValueError: if an argument does not fit.
    """

    priority = 'NORMAL'

    def __init__(
        self, interval: int = 1, max_samples: int = 4, out_dir: str = 'calibration'
    ) -> None:
        for name, value in (('interval', interval), ('max_samples', max_samples)):
            if value < 1:
                raise ValueError(
                    f'CalibrationVisualizationHook: {name} must be at least 1, got {value}.'
                )
        self.interval = interval
        self.max_samples = max_samples
        self.out_dir = out_dir
        self._seen = 0

    def before_val_epoch(self, runner) -> None:
        """Count samples from the first one again."""
        self._seen = 0

    def before_test_epoch(self, runner) -> None:
        """Count samples from the first one again."""
        self._seen = 0

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Ask for the features as long as there is more to draw."""
        self._keep_features(runner)

    def before_test_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Ask for the features as long as there is more to draw."""
        self._keep_features(runner)

    def _keep_features(self, runner) -> None:
        wanted = self._seen <= (self.max_samples - 1) * self.interval
        unwrapped_model(runner).calib_head.keep_features = wanted

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Features are for pictures alone."""
        unwrapped_model(runner).calib_head.keep_features = False

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Features are for pictures alone."""
        unwrapped_model(runner).calib_head.keep_features = False

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw samples of a validation batch."""
        self._draw(runner, f'val_{runner.iter}', data_batch, outputs)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw samples of a test batch."""
        self._draw(runner, 'test', data_batch, outputs)

    @master_only
    def _draw(self, runner, stage: str, data_batch: dict, outputs: Sequence) -> None:
        for i, sample in enumerate(outputs):
            number, rest = divmod(self._seen, self.interval)
            self._seen += 1
            if rest or number >= self.max_samples:
                continue
            inputs = data_batch['inputs']
            points = inputs['points'][i].cpu().numpy()
            for camera, image in enumerate(inputs['img'][i]):
                self._draw_camera(runner, stage, sample, camera, image, points)

    def _draw_camera(self, runner, stage: str, sample, camera: int, image, points) -> None:
        meta = sample.metainfo
        image_rgb = np.ascontiguousarray(image.cpu().numpy()[::-1].transpose(1, 2, 0))
        sheet = calibration_sheet(
            image_rgb,
            sample.pred_calib.to_dict(),
            camera,
            meta['lidar2cam'][camera],
            meta['cam2img'][camera],
            meta.get('perturbation'),
            points,
        )
        names = meta.get('cam_names')
        camera_name = names[camera] if names is not None else str(camera)
        parts = [meta.get('sample_idx', self._seen - 1), meta.get('repeat_idx'), camera_name]
        # Sample names may hold slashes and the like.
        name = re.sub(r'[^\w.-]+', '_', '_'.join(str(part) for part in parts if part is not None))
        save_image(Path(runner.work_dir, self.out_dir, stage, f'{name}.jpg'), sheet)
        # No slash: mmengine's local backend would take it for a folder that does not exist.
        runner.visualizer.add_image(f'{stage.split("_")[0]}_{name}', sheet, step=runner.iter)
