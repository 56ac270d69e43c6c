"""Weights in a checkpoint of any training code, by the names that a model has for them."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ['Weights', 'complete_versions', 'find_weights']

# Fields that hold weights, of which the first counts where several fit as well.
_FIELDS = ('state_dict', 'model_state_dict', 'teacher', 'student', 'model', 'model_state')
# Words of the fields and prefixes of averages, such as model_ema, encoder_k or target_network.
_AVERAGED = re.compile(
    r'(?:^|[._])(?:ema|swa|avg|averaged?|momentum|target|shadow|k)(?:[._]|$)', re.IGNORECASE
)
# What torch's own wrappers, of distributed and of compiled models, put before and inside names.
_WRAPPERS = re.compile(r'(?:(?:module|_orig_mod)\.)*')
_INSIDE = re.compile(r'(?<=\.)(?:(?:module|_orig_mod)\.)+')
# Levels of dicts within dicts, and parts of a name, that are looked through.
_DEPTH, _PARTS = 4, 16


class Weights(NamedTuple):
    """What :func:`find_weights` finds.

    Attributes:
        tensors: by name, with ``_metadata`` (module name -> version) as in
            ``nn.Module.state_dict``; by it mmdet3d tells the layout of sparse kernels.
        outside: those of the names that did not have the prefix, and are as they were.
        wrapping: field, prefix and wrappers inside names, such as ``model, prefix net., without
            module. inside names``; empty for a file as mmengine writes it.
    """

    tensors: OrderedDict[str, Tensor]
    outside: set[str]
    wrapping: str


def find_weights(
    content: object, wanted: Callable[[str], bool] | None = None, key: str = 'state_dict'
) -> Weights | None:
    """Find weights below the fields of a checkpoint and behind the prefix of their names.

    Most names that are wanted decide, then whether the field and the prefix are not of an average
    (``ema``, ``momentum``, ``target``, ``encoder_k``), then the field, then the shortest prefix,
    then the order in the file. If no name is wanted there, it is the usual field. A ``module.`` or
    ``_orig_mod.`` inside a name is removed where only the name without it is wanted.

    Args:
        content: of the file.
        wanted: tells a name of the model from others. Without it the usual field, or the first
            known one with tensors, is taken, and no prefix but those of torch's wrappers.
        key: the usual field.

    Returns:
        The tensors of the field, without the prefix; None if there is no such field.
    """
    fields = (key, '', *_FIELDS)

    def rank(path: tuple[str, ...]) -> tuple[int, int]:
        last = path[-1] if path else ''
        return fields.index(last) if last in fields else len(fields), len(path)

    usual: tuple[str, ...] = ()
    if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
        usual = (key,)
    containers = sorted(_dicts(content, usual), key=lambda item: rank(item[0]))
    found = []
    for place, (path, container) in enumerate(containers):
        if wanted is None and rank(path)[0] == len(fields):
            continue
        for prefix, number in _prefixes(container, wanted).items():
            averaged = _AVERAGED.search('.'.join((*path, prefix))) is not None
            order = (-number if wanted else 0, averaged, place, -number, len(prefix))
            found.append((order, path, container, prefix))
    if found:
        _, path, container, prefix = min(found, key=lambda item: item[0])
    elif usual:
        path, container, prefix = usual, dict(containers)[usual], 'module.'
    else:
        return None
    tensors, outside, wrapper = _without(prefix, container, wanted)
    wrapping = [] if path == usual else ['.'.join(path) or 'no field']
    if found and prefix:
        wrapping.append(f'prefix {prefix}')
    if wrapper:
        wrapping.append(f'without {wrapper} inside names')
    return Weights(tensors, outside, ', '.join(wrapping))


def _dicts(content: object, usual: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Each dict within dicts, once, with the names of the fields above it; the usual one first."""
    seen: set[int] = set()
    left: list[tuple[tuple[str, ...], Any]] = [((), content)]
    if usual and isinstance(content, Mapping):
        left.insert(0, (usual, content[usual[0]]))
    while left:
        path, value = left.pop(0)
        if isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            yield path, value
            if len(path) < _DEPTH:
                left += [
                    ((*path, name), item)
                    for name, item in value.items()
                    if isinstance(name, str) and isinstance(item, Mapping)
                ]


def _prefixes(container: Mapping, wanted: Callable[[str], bool] | None) -> Counter[str]:
    """What stands before names that are wanted, and how often."""
    numbers: Counter[str] = Counter()
    for name, value in container.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            continue
        if wanted is None:
            numbers[_WRAPPERS.match(name)[0]] += 1  # type: ignore[index]
            continue
        for start in (0, *(dot.end() for dot in islice(re.finditer(r'\.', name), _PARTS))):
            if wanted(_bare(name[start:], wanted)):
                numbers[name[:start]] += 1
    return numbers


def _bare(name: str, wanted: Callable[[str], bool]) -> str:
    """The name, without wrappers inside it where only so it is wanted."""
    bare = _INSIDE.sub('', name)
    return bare if bare != name and not wanted(name) and wanted(bare) else name


def _without(
    prefix: str, container: Mapping, wanted: Callable[[str], bool] | None
) -> tuple[OrderedDict[str, Tensor], set[str], str]:
    """Remove the prefix, and wrappers inside names, from the names of tensors and modules.

    Returns:
        The tensors, the names that do not have the prefix, and the first wrapper inside a name.
    """
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    outside: set[str] = set()
    wrapper = ''
    modules: dict[str, str] = {}
    named = {n: v for n, v in container.items() if isinstance(n, str) and isinstance(v, Tensor)}
    inside = {name.removeprefix(prefix) for name in named if name.startswith(prefix)}
    for name, value in named.items():
        if name.startswith(prefix):
            inner = name.removeprefix(prefix)
            bare = _bare(inner, wanted) if wanted else inner
            if bare != inner and bare not in inside and bare not in tensors:
                wrapper = wrapper or _INSIDE.search(inner)[0]  # type: ignore[index]
                modules[inner.rpartition('.')[0]] = bare.rpartition('.')[0]
                inner = bare
            tensors[inner] = value
        elif name not in inside:
            tensors[name] = value
            outside.add(name)
    versions: OrderedDict[str, Any] = OrderedDict()
    for module, version in (getattr(container, '_metadata', None) or {}).items():
        if f'{module}.'.startswith(prefix):
            inner = f'{module}.'.removeprefix(prefix)[:-1]
            versions[modules.get(inner, inner)] = version
        else:
            versions.setdefault(module, version)
    tensors._metadata = versions  # type: ignore[attr-defined]
    return tensors, outside, wrapper


def complete_versions(tensors: OrderedDict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Mark sparse kernels as those of spconv 2 where their shapes prove it, in place.

    mmdet3d turns the axes of the kernels of a state dict without ``_metadata``, as if they were of
    spconv 1, (z, y, x, in, out). A kernel that has the shape (out, z, y, x, in) of the model's is
    one of spconv 2, unless all axes are equal.

    Args:
        tensors: of a checkpoint, by the model's names; its ``_metadata`` is completed.
        own: ``state_dict`` of the model, with its ``_metadata``.
    """
    versions = getattr(own, '_metadata', {})
    modules = {
        name: module
        for name, value in own.items()
        if value.dim() == 5 and versions.get(module := name.rpartition('.')[0]) == {'version': 2}
    }
    if any(
        name in tensors and tensors[name].shape == own[name].shape and len(set(own[name].shape)) > 1
        for name in modules
    ):
        marks = {module: versions[module] for module in modules.values()}
        tensors._metadata = {**getattr(tensors, '_metadata', {}), **marks}  # type: ignore[attr-defined]
