"""Says what a checkpoint gave to a model, and stops where it did not give the backbone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, MutableMapping, Sequence

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch import Tensor

from nclr_mm.reading import CheckpointError, complete_versions, find_weights

from ..distributed import unwrapped_model


@HOOKS.register_module()
class LoadedWeightsHook(Hook):
    """Compare the model with the checkpoint it was loaded from, tensor by tensor and by value.

    mmengine only warns where names or shapes do not fit, and mmdet3d permutes the kernels of sparse
    convolutions that are not marked as those of spconv 2: then a backbone would train from random
    weights. This hook reports what was loaded and what was left over, and ends a
    training unless the modules named are complete, and a test unless the whole model is.

    Weights of other training code, below other fields than ``state_dict`` or behind a prefix, are
    found by their names (:func:`nclr_mm.reading.find_weights`), and the report says where. Kernels
    whose shapes prove the layout of spconv 2 are marked
    (:func:`nclr_mm.reading.complete_versions`).

    Without a checkpoint (``load_from=None``) it says so.

    Args:
        modules: names of the model's modules that training must have from the checkpoint.
        prefix: put before the names of the checkpoint's modules unless they have it, such as
            ``pts_``, by which mmdet3d's multimodal detectors call their point branch.
    """

    priority = 'VERY_HIGH'

    def __init__(self, modules: Sequence[str] = ('backbone',), prefix: str = '') -> None:
        self.modules = tuple(modules)
        self.prefix = prefix
        self._checkpoint: Mapping[str, Tensor] | None = None
        self._wrapping = ''

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the tensors of the checkpoint until the model has them, by the model's names.

        Those below other fields or behind a prefix are put where mmengine looks for them, unless a
        run is resumed.

        Raises:
            CheckpointError: if it has no tensors by name.
        """
        self._wrapping = ''
        resumes = getattr(runner, '_resume', False)
        own = unwrapped_model(runner).state_dict()
        if not resumes:
            wanted = own.keys() | {name.removeprefix(self.prefix) for name in own}
            weights = find_weights(checkpoint, wanted.__contains__)
            if weights is not None and weights.wrapping:
                checkpoint['state_dict'], self._wrapping = weights.tensors, weights.wrapping
        state = checkpoint
        if isinstance(checkpoint, dict):
            state = checkpoint.get('state_dict', checkpoint)
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise CheckpointError(f'{runner._load_from} does not hold tensors by name.')
        if self.prefix and not any(name.startswith(self.prefix) for name in state):
            add_prefix(state, self.prefix)
        if not resumes and 'state_dict' in checkpoint:
            if not isinstance(state, OrderedDict):  # a dict cannot hold the versions
                state = checkpoint['state_dict'] = OrderedDict(state)
            complete_versions(state, own)
        self._checkpoint = state

    def before_train(self, runner) -> None:
        """Report, and check the modules that are named.

        Raises:
            CheckpointError: naming the checkpoint and the first tensor that was not loaded, or is
                not finite.
        """
        self._check(runner, self.modules)

    def before_test(self, runner) -> None:
        """Report, and check the whole model: a head of random weights is worth no test.

        Raises:
            CheckpointError: as :meth:`before_train`.
        """
        self._check(runner, [name for name, _ in unwrapped_model(runner).named_children()])

    def _check(self, runner, modules: Sequence[str]) -> None:
        if self._checkpoint is None:
            print_log(
                'No checkpoint was loaded (load_from): the model keeps the weights it starts with.',
                'current',
            )
            return
        model = unwrapped_model(runner)
        state = model.state_dict()
        faults = compare(state, self._checkpoint)
        source = runner._load_from or 'the checkpoint'
        if self._wrapping:
            source = f'{source} ({self._wrapping})'
        print_log(describe(state, self._checkpoint, faults, source), 'current')
        self._checkpoint = None
        for module in modules:
            if not hasattr(model, module):
                raise ValueError(
                    f'LoadedWeightsHook: the model {type(model).__name__} has no module {module!r}.'
                )
            names = [n for n in state if n.startswith(f'{module}.')]
            unfit = [n for n in names if n in faults]
            if unfit:
                raise CheckpointError(
                    f'{source} did not fill {module!r}: {len(unfit)} of {len(names)} tensors were '
                    f'not loaded, first {unfit[0]} ({faults[unfit[0]]}). It must be the checkpoint '
                    'of a model whose settings of this module are the same.'
                )


def add_prefix(state: MutableMapping[str, Tensor], prefix: str) -> None:
    """Put a prefix before the name of each tensor, in place.

    The versions of the modules are kept: without them mmdet3d turns sparse kernels round.
    """
    for tensors_or_versions in (state, getattr(state, '_metadata', {})):
        for name in [name for name in tensors_or_versions if name]:
            value = tensors_or_versions.pop(name)
            tensors_or_versions[prefix + name.removeprefix('module.')] = value


def compare(state: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor]) -> dict[str, str]:
    """Find the tensors of a model that a checkpoint did not give it.

    Args:
        state: the model's tensors.
        checkpoint: the checkpoint's, some of them perhaps with the prefix ``module.``.

    Returns:
        For each tensor that differs what is wrong with it.
    """
    given = {name.removeprefix('module.'): value for name, value in checkpoint.items()}
    faults = {}
    for name, value in state.items():
        if name not in given:
            faults[name] = 'missing in the checkpoint'
        elif not given[name].isfinite().all():
            faults[name] = 'not finite in the checkpoint'
        elif not _same(value, given[name]):
            same_shape = value.shape == given[name].shape
            faults[name] = (
                'of another value than in the checkpoint'
                if same_shape
                else f'{tuple(value.shape)} here, {tuple(given[name].shape)} in the checkpoint'
            )
    return faults


def _same(value: Tensor, given: Tensor) -> bool:
    given = given.to(value)
    if value.shape == given.shape:
        return bool((value == given).all())
    # Kernels of spconv 1 have their output channels last; mmdet3d turns them round.
    turned = given.permute(-1, *range(given.dim() - 1)) if given.dim() == 5 else given
    return value.shape == turned.shape and bool((value == turned).all())


def describe(
    state: Mapping[str, Tensor],
    checkpoint: Mapping[str, Tensor],
    faults: Mapping[str, str],
    source: str,
) -> str:
    """One paragraph: tensors loaded, left at their start, and left over, by module."""

    def count(names) -> str:
        modules = Counter(name.split('.')[0] for name in names)
        return ', '.join(f'{module} {number}' for module, number in modules.items()) or 'none'

    left_over = [n for n in checkpoint if n.removeprefix('module.') not in state]
    return (
        f'{source}: loaded {len(state) - len(faults)} of {len(state)} tensors of the model '
        f'({count(n for n in state if n not in faults)}); not loaded: {count(faults)}; '
        f'left over in the checkpoint: {count(left_over)}.'
    )
