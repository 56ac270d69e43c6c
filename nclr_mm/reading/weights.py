"""Weights in a checkpoint of any training code, by the names that a model has for them."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ['Weights', 'find_weights']

# Fields that hold weights, of which the first counts where several fit as well.
_FIELDS = ('state_dict', 'model_state_dict', 'teacher', 'student', 'model', 'model_state')
_AVERAGED = re.compile(r'(?:^|_)ema(?:_|$)')
# What torch's own wrappers, of distributed and of compiled models, put before names.
_WRAPPERS = re.compile(r'(?:(?:module|_orig_mod)\.)*')
# Levels of dicts within dicts, and parts of a name, that are looked through.
_DEPTH, _PARTS = 4, 16


class Weights(NamedTuple):
    """What :func:`find_weights` finds.

    Attributes:
        tensors: by name, with ``_metadata`` (module name -> version) as in
            ``nn.Module.state_dict``; by it mmdet3d tells the layout of sparse kernels.
        outside: those of the names that did not have the prefix, and are as they were.
        wrapping: field and prefix, such as ``model, prefix module.``; empty for a file as mmengine
            writes it.
    """

    tensors: OrderedDict[str, Tensor]
    outside: set[str]
    wrapping: str


def find_weights(
    content: object, wanted: Callable[[str], bool] | None = None, key: str = 'state_dict'
) -> Weights | None:
    """Find weights below the fields of a checkpoint and behind the prefix of their names.

    Most names that are wanted decide, then the field (exponential averages last), then the shortest
    prefix, then the order in the file. If no name is wanted there, it is the usual field.

    Args:
        content: of the file.
        wanted: tells a name of the model from others. Without it the usual field, or the first
            known one with tensors, is taken, and no prefix but those of torch's wrappers.
        key: the usual field.

    Returns:
        The tensors of the field, without the prefix; None if there is no such field.
    """
    fields = (key, '', *_FIELDS)

    def rank(path: tuple[str, ...]) -> tuple[bool, int, int]:
        last = path[-1] if path else ''
        place = fields.index(last) if last in fields else len(fields)
        return any(map(_AVERAGED.search, path)), place, len(path)

    usual: tuple[str, ...] = ()
    if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
        usual = (key,)
    containers = sorted(_dicts(content, usual), key=lambda item: rank(item[0]))
    found = []
    for place, (path, container) in enumerate(containers):
        if wanted is None and rank(path)[1] == len(fields):
            continue
        for prefix, number in _prefixes(container, wanted).items():
            order = (-number, place) if wanted else (place, -number)
            found.append(((*order, len(prefix)), path, container, prefix))
    if found:
        _, path, container, prefix = min(found, key=lambda item: item[0])
    elif usual:
        path, container, prefix = usual, dict(containers)[usual], 'module.'
    else:
        return None
    tensors, outside = _without(prefix, container)
    wrapping = [] if path == usual else ['.'.join(path) or 'no field']
    if found and prefix:
        wrapping.append(f'prefix {prefix}')
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
            if wanted(name[start:]):
                numbers[name[:start]] += 1
    return numbers


def _without(prefix: str, container: Mapping) -> tuple[OrderedDict[str, Tensor], set[str]]:
    """The tensors with the prefix taken off their names and modules, and the names without it."""
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    outside: set[str] = set()
    named = {n: v for n, v in container.items() if isinstance(n, str) and isinstance(v, Tensor)}
    inside = {name.removeprefix(prefix) for name in named if name.startswith(prefix)}
    for name, value in named.items():
        if name.startswith(prefix):
            tensors[name.removeprefix(prefix)] = value
        elif name not in inside:
            tensors[name] = value
            outside.add(name)
    versions: OrderedDict[str, Any] = OrderedDict()
    for module, version in (getattr(container, '_metadata', None) or {}).items():
        if f'{module}.'.startswith(prefix):
            versions[f'{module}.'.removeprefix(prefix)[:-1]] = version
        else:
            versions.setdefault(module, version)
    tensors._metadata = versions  # type: ignore[attr-defined]
    return tensors, outside
