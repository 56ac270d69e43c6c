"""Predictions in the formats of the benchmarks."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nclr_mm.writing import write_whole

FORMATS = ('nuscenes', 'semantickitti')
# What nuscenes-devkit asks about; its validators want these five and no more.
_NUSCENES_META = dict(
    use_camera=False, use_lidar=True, use_radar=False, use_map=False, use_external=False
)


class SubmissionWriter:
    """Write the prediction of each sample to a file, as a benchmark wants it.

    - ``'nuscenes'`` (lidarseg and panoptic challenge of nuscenes-devkit):
      ``lidarseg/<split>/<lidar token>_lidarseg.bin``, uint8 classes counted from 1, or
      ``panoptic/<split>/<lidar token>_panoptic.npz``, uint16 1000 * class + object, and
      ``<split>/submission.json``.
    - ``'semantickitti'`` (semantic-kitti-api, SemanticPOSS too):
      ``sequences/<nn>/predictions/<frame>.label``, uint32, raw class and object in the upper 16
      bits.

    Args:
        folder: root of the submission.
        form: one of ``FORMATS``.
        split: name of the split, in nuScenes' paths.
        meta: what differs from the modalities that ``submission.json`` of nuScenes names: LiDAR
            alone, no external data. Pretraining uses cameras; whether that counts is for the
            benchmark's rules to say.

    Raises:
        ValueError: if the format or a key of ``meta`` is unknown.
    """

    def __init__(
        self, folder: str, form: str, split: str = 'test', meta: Mapping[str, bool] | None = None
    ) -> None:
        if form not in FORMATS:
            raise ValueError(f'The submission format must be one of {FORMATS}, not {form!r}.')
        unknown = set(meta or ()) - set(_NUSCENES_META)
        if unknown:
            raise ValueError(
                f'The meta of a submission has {sorted(_NUSCENES_META)}, not {sorted(unknown)}.'
            )
        self.meta = _NUSCENES_META | dict(meta or {})
        self.folder = Path(folder)
        self.form = form
        self.split = split

    def write(
        self,
        sample: Mapping,
        classes: np.ndarray,
        instances: np.ndarray | None,
        canonical_raw: Sequence[int],
    ) -> Path:
        """Write one prediction.

        Args:
            sample: ``lidar_token`` (nuScenes) or ``lidar_path`` (SemanticKITTI) of the sample.
            classes: (N,) labels counted from 0.
            instances: (N,) objects of the sample counted from 1, 0 for none; None for semantic
                segmentation.
            canonical_raw: the raw label that stands for each class.

        Returns:
            The file.

        Raises:
            ValueError: if an object's number, or the data set, does not fit the format.
        """
        if self.form == 'nuscenes' and 'lidar_token' not in sample:
            raise ValueError(
                f"{sample['lidar_path']} has no lidar_token, by which the format 'nuscenes' names "
                "files; other data sets are written with form='semantickitti'."
            )
        limit = 1000 if self.form == 'nuscenes' else 2**16
        if instances is not None and instances.max(initial=0) >= limit:
            raise ValueError(
                f'{sample["lidar_path"]}: {int(instances.max())} objects do not fit the format '
                f'{self.form}, which has numbers below {limit}.'
            )
        if self.form == 'semantickitti':
            labels = np.asarray(canonical_raw)[classes].astype('<u4')
            if instances is not None:
                labels |= instances.astype('<u4') << 16
            scan = Path(sample['lidar_path'])
            name = f'sequences/{scan.parent.parent.name}/predictions/{scan.stem}.label'
            return write_whole(self.folder / name, labels.tobytes())
        task = 'lidarseg' if instances is None else 'panoptic'
        folder = self.folder / task / self.split
        token = str(sample['lidar_token'])
        if not re.fullmatch(r'[\w-]+', token):
            raise ValueError(f'{sample["lidar_path"]}: lidar_token {token!r} names no file.')
        if instances is None:
            content = (classes + 1).astype(np.uint8).tobytes()
            name = f'{token}_lidarseg.bin'
            return write_whole(folder / name, content)
        both = ((classes + 1) * 1000 + instances).astype(np.uint16)
        name = f'{token}_panoptic.npz'
        content = io.BytesIO()
        np.savez_compressed(content, data=both)
        return write_whole(folder / name, content.getvalue())

    def finish(self) -> None:
        """Write what describes the submission as a whole."""
        if self.form == 'nuscenes':
            text = json.dumps(dict(meta=self.meta)).encode()
            write_whole(self.folder / self.split / 'submission.json', text)
