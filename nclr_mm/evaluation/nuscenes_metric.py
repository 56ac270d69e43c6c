"""nuScenes detection score over the frames that were predicted."""

from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from mmdet3d.evaluation.metrics import NuScenesMetric
from mmdet3d.registry import METRICS
from mmengine.logging import print_log

from nclr_mm.datasets.converters import common
from nclr_mm.datasets.converters.nuscenes import TABLES
from nclr_mm.datasets.infos import check_sample, read_infos

# What nuscenes-devkit scores of each version.
_SPLITS = {'v1.0-mini': 'mini_val', 'v1.0-trainval': 'val'}


@METRICS.register_module()
class NuScenesDetectionMetric(NuScenesMetric):
    """mmdet3d's NuScenesMetric over the frames that were predicted, which may be no whole split.

    nuscenes-devkit wants predictions for each frame that the tables have of the official split, and
    ends with an error otherwise. Here it gets the ground truth of the predicted frames alone: of a
    part of the split (also by ``indices`` of the data set), of other scenes, or of simulated ones.
    The log says where they are not the official split. The version of the tables is that of the
    info file. Both are read when the metric gets to know its data set, before the first step.

    Args:
        data_root: folder that holds the tables, ``v1.0-trainval`` or ``v1.0-mini``.
        ann_file: the info file of the data set.
        args, kwargs: further arguments of ``mmdet3d.evaluation.NuScenesMetric``.

    Raises:
        FileNotFoundError: without the info file or a table.
        ValueError: if the tables cannot be scored against, or do not have a frame of the info file.
    """

    @property
    def dataset_meta(self) -> dict | None:
        """The metainfo of the data set."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        infos = read_infos(self.ann_file, '`python tools/create_data.py nuscenes`')
        for entry in infos['data_list']:
            check_sample(entry, self.ann_file)
        paths = (entry.get('lidar_points', {}).get('lidar_path') for entry in infos['data_list'])
        self.frames = {Path(path or '').name: i for i, path in enumerate(paths)}
        self.tokens = [entry.get('token') for entry in infos['data_list']]
        version = infos['metainfo'].get('version')
        if not self.format_only:
            self.official = self._official_frames(version)
        self._dataset_meta = dict(dataset_meta, version=version)

    def _official_frames(self, version: str) -> set[str]:
        """Tokens of the frames that the tables have of the official split."""
        if version not in _SPLITS:
            raise ValueError(
                f'{self.ann_file} is of the version {version!r}, but only {" and ".join(_SPLITS)} '
                'can be scored; format_only=True writes predictions alone.'
            )
        tables = common.require_directory(
            Path(self.data_root) / version, f'expected the tables that {self.ann_file} is made of'
        )
        for table in TABLES:
            common.require_file(tables / f'{table}.json')
        from nuscenes.utils.splits import create_splits_scenes

        names = create_splits_scenes()[_SPLITS[version]]
        rows = common.read_json(tables / 'scene.json')
        scenes = {row['token'] for row in rows if row['name'] in names}
        rows = common.read_json(tables / 'sample.json')
        samples = {row['token']: row['scene_token'] for row in rows}
        unknown = sorted(map(str, set(self.tokens) - samples.keys()))
        if unknown:
            raise ValueError(
                f'{tables / "sample.json"} lacks {len(unknown)} of the {len(self.tokens)} frames '
                f'of {self.ann_file}, the first being {unknown[0]!r}.'
            )
        return {token for token, scene in samples.items() if scene in scenes}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch; ValueError if its frames are not of the info file."""
        samples = []
        for sample in data_samples:
            # Of a data set with ``indices``, sample_idx counts the chosen frames alone.
            scan = Path(sample.get('lidar_path', '')).name
            index = self.frames.get(scan) if scan else sample['sample_idx']
            if index is None:
                raise ValueError(
                    f'{self.ann_file} does not have the frame of {scan}; data set and evaluator '
                    'need the same ann_file.'
                )
            samples.append(dict(sample, sample_idx=index))
        super().process(data_batch, samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """NDS, mAP, and precisions and errors of each class, by name."""
        self.predicted = {self.tokens[result['sample_idx']] for result in results}
        return super().compute_metrics(results)

    def _evaluate_single(self, *args, **kwargs) -> dict[str, float]:
        from nuscenes.eval.detection import evaluate

        def load_gt(nusc, eval_split, box_cls, verbose=False):
            tokens = [row['token'] for row in nusc.sample if row['token'] in self.predicted]
            return evaluate.load_gt_of_sample_tokens(nusc, tokens, box_cls, verbose)

        with mock.patch.object(evaluate, 'load_gt', load_gt):
            scores = super()._evaluate_single(*args, **kwargs)
        number, split = len(self.predicted), _SPLITS[self.version]
        if self.predicted < self.official:
            part = f'{number} of the {len(self.official)} frames that {self.version} has of {split}'
            print_log(f'The score is over {part}.', 'current')
        elif self.predicted != self.official:
            print_log(
                f'The score is over {number} frames, which are not the official split {split}.',
                'current',
            )
        return scores
