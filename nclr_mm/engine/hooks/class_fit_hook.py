"""Stops a segmentation run whose model and data disagree about classes."""

from __future__ import annotations

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook

from ..distributed import unwrapped_model


@HOOKS.register_module()
class ClassFitHook(Hook):
    """Compare the classes of each dataset with what the model is built for, before it is used.

    A head with too many classes trains without a complaint, and another ``ignore_index`` takes a
    class out of training or lets unlabelled points in. Compared are the ``num_classes`` and
    ``ignore_index`` of the decode head, the ``ignore_index`` of the data preprocessor, and
    the ``thing_labels`` of model and data preprocessor.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        """Check the training data, and the validation data where the run has a validation."""
        self._check(runner, runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, runner.val_dataloader)

    def before_val(self, runner) -> None:
        """Check the validation data."""
        self._check(runner, runner.val_dataloader)

    def before_test(self, runner) -> None:
        """Check the test data."""
        self._check(runner, runner.test_dataloader)

    @staticmethod
    def _check(runner, loader) -> None:
        check_fit(unwrapped_model(runner), loader.dataset)


def check_fit(model, dataset) -> None:
    """Compare a segmentor with a dataset.

    Args:
        model: an mmdet3d segmentor.
        dataset: dataset with ``metainfo``; datasets without ``classes`` are passed over.

    Raises:
        ValueError: naming the dataset, the setting of the model and both values.
    """
    meta = dataset.metainfo
    if 'classes' not in meta:
        return
    wanted = dict(num_classes=len(meta['classes']))
    for key in ('ignore_index', 'thing_labels'):
        if key in meta:
            wanted[key] = meta[key]
    parts = {
        'model': (model, ['thing_labels']),
        'model.data_preprocessor': (model.data_preprocessor, ['ignore_index', 'thing_labels']),
        'model.decode_head': (
            getattr(model, 'decode_head', None),
            ['num_classes', 'ignore_index'],
        ),
    }
    for part, (module, keys) in parts.items():
        for key in keys:
            value = getattr(module, key, None)
            if value is None or key not in wanted:
                continue
            value = value.tolist() if hasattr(value, 'tolist') else value
            if value != wanted[key]:
                raise ValueError(
                    f'{type(dataset).__name__} has {len(meta["classes"])} classes '
                    f'({", ".join(meta["classes"])}) and needs {part}.{key}={wanted[key]}, '
                    f'but the config has {value}.'
                )
