"""Pictures of predicted calibrations, while validating and testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmdet3d.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from nclr_mm.visualization import file_name, sample_sheets, save_image

from ..distributed import unwrapped_model


@HOOKS.register_module()
class CalibrationVisualizationHook(Hook):
    """Write a sheet for each camera of some samples (:func:`~nclr_mm.visualization.sample_sheets`).

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

    def _draw(self, runner, stage: str, data_batch: dict, outputs: Sequence) -> None:
        for i, sample in enumerate(outputs):
            number, rest = divmod(self._seen, self.interval)
            self._seen += 1  # in every process, for all of them to stop keeping features
            if rest or number >= self.max_samples or not is_main_process():
                continue
            inputs = data_batch['inputs']
            for camera, sheet in sample_sheets(inputs['img'][i], inputs['points'][i], sample):
                self._write(runner, stage, sample.metainfo, camera, sheet)

    def _write(self, runner, stage: str, meta: dict, camera: str, sheet: np.ndarray) -> None:
        parts = [meta.get('sample_idx', self._seen - 1), meta.get('repeat_idx'), camera]
        name = file_name(*parts)
        save_image(Path(runner.work_dir, self.out_dir, stage, f'{name}.jpg'), sheet)
        # No slash: mmengine's local backend would take it for a folder that does not exist.
        runner.visualizer.add_image(f'{stage.split("_")[0]}_{name}', sheet, step=runner.iter)
