"""mmengine: reading a pickle or a YAML file runs whatever code it brings along.

Fault: `mmengine.load` reads `.pkl` with `pickle.load` and YAML with PyYAML's full loader. Both call
any function that the file names. Info files, ground-truth databases and results are such files, and
they are shared between people.

The handlers of both formats are replaced: pickles may hold numpy arrays and Python's plain types,
YAML its plain types. What is written stays as it is.

Holds for: mmengine up to 0.10.7.
"""

import codecs
import pickle
from collections import OrderedDict, defaultdict
from typing import IO, Any

import numpy as np
import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler, file_handlers

__all__ = ['PlainPickleHandler', 'PlainUnpickler', 'PlainYamlHandler', 'apply']


def _latin1(text: str, encoding: str) -> bytes:
    """Stand-in for `codecs.encode`, by which old protocols write bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'bytes are encoded as {encoding!r}, expected latin1')
    return codecs.encode(text, encoding)


def _allowed() -> dict[tuple[str, str], Any]:
    plain = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
    names: dict[tuple[str, str], Any] = {('builtins', kind.__name__): kind for kind in plain}
    names |= {('__builtin__', kind.__name__): kind for kind in plain}  # of protocols up to 2
    names |= {('collections', kind.__name__): kind for kind in (OrderedDict, defaultdict)}
    names |= {('numpy', 'ndarray'): np.ndarray, ('numpy', 'dtype'): np.dtype}
    names['_codecs', 'encode'] = _latin1
    array = np.zeros(1)
    # `numpy.core` became `numpy._core` in numpy 2; a file of either may be read.
    for core in ('numpy.core', 'numpy._core'):
        names[f'{core}.multiarray', '_reconstruct'] = array.__reduce__()[0]
        names[f'{core}.multiarray', 'scalar'] = array[0].__reduce__()[0]
        names[f'{core}.numeric', '_frombuffer'] = array.__reduce_ex__(5)[0]
    return names


_ALLOWED = _allowed()


class PlainUnpickler(pickle.Unpickler):
    """Reads numpy arrays and plain types; anything else raises `pickle.UnpicklingError`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f'it refers to {module}.{name}; of pickles only numpy arrays and plain types are '
                'read, for anything else can run code'
            )
        return _ALLOWED[module, name]


class PlainPickleHandler(PickleHandler):
    """mmengine's handler, which reads with `PlainUnpickler`."""

    def load_from_fileobj(self, file: IO[bytes], **kwargs: Any) -> Any:
        return PlainUnpickler(file, **kwargs).load()


class PlainYamlHandler(YamlHandler):
    """mmengine's handler, which reads with PyYAML's safe loader."""

    def load_from_fileobj(self, file: IO[str], **kwargs: Any) -> Any:
        return yaml.load(file, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))


def apply() -> None:
    """Replace the handlers that read with full trust; one of another program is left."""
    if type(file_handlers['pkl']) is PickleHandler:
        register_handler(['pickle', 'pkl'])(PlainPickleHandler)
    if type(file_handlers['yaml']) is YamlHandler:
        register_handler(['yaml', 'yml'])(PlainYamlHandler)
