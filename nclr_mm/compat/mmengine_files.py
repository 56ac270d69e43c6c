"""mmengine: reading a pickle or a YAML file runs whatever code it brings along.

Fault: `mmengine.load` reads `.pkl` with `pickle.load` and YAML with PyYAML's full loader. Both call
any function that the file names. Info files, ground-truth databases and results are such files, and
they are shared between people.

The handlers of both formats are replaced: pickles may hold numpy arrays and Python's plain types,
YAML its plain types. What is written stays as it is.

NumPy itself trusts what it is made from: bytes can be called an array of objects, or a dtype be
given flags that are not its own, and the bytes then are taken for addresses. So a pickle that names
anything is read twice, at first with stand-ins that check what would be called with what, and that
an array is as large as its bytes. Before that its keys are looked at (`check_keys`), and what is in
it is in no message, for as a text it may have no end.

Holds for: mmengine up to 0.10.7.
"""

import codecs
import gc
import io
import pickle
import re
import reprlib
from collections import OrderedDict, defaultdict
from math import prod
from typing import IO, Any

import numpy as np
import yaml
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import PickleHandler, YamlHandler, file_handlers

from nclr_mm.reading import check_keys

__all__ = ['PlainPickleHandler', 'PlainUnpickler', 'PlainYamlHandler', 'apply']

_MOST_MERGED = 100_000  # entries of YAML mappings that are merged into others


def brief(value: object) -> str:
    """For a message: the beginning of a name; of anything else the type."""
    return reprlib.repr(value) if isinstance(value, str) else type(value).__name__


class _StandIn:
    """For something of NumPy's; a pickle can neither change it nor give it a state."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError(f'it gives a state to {type(self).__name__.strip("_")}')


class _Latin1(_StandIn):
    """For `codecs.encode`, by which old protocols write bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != 'latin1':
            raise pickle.UnpicklingError(f'bytes are encoded as {brief(encoding)}, expected latin1')
        return codecs.encode(text, encoding)


class _Bytes(_StandIn):
    """For `bytes` and `bytearray`, which make as many zeros as a number says."""

    __slots__ = ('kind',)

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self, *content: object) -> object:
        if content and not isinstance(content[0], (str, bytes, bytearray, list, tuple)):
            raise pickle.UnpicklingError(
                f'{brief(content[0])} is no content of {self.kind.__name__}'
            )
        return self.kind(*content)


class _Type(_StandIn):
    """For a type that may be the one a defaultdict makes, but is called in no file.

    What `str` would make of lists in lists may have no end.
    """

    __slots__ = ('kind',)

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self, *content: object) -> object:
        raise pickle.UnpicklingError(f'it calls {self.kind.__name__}')


class _Hashing(_Type):
    """For sets, of protocols up to 3, and dicts of Python 2: called with a list."""

    __slots__ = ()

    def __call__(self, *content: object) -> object:
        if len(content) > 1 or not all(isinstance(values, list) for values in content):
            raise pickle.UnpicklingError(f'it calls {self.kind.__name__} without a list')
        values = content[0] if content else []
        keys = values if self.kind in (set, frozenset) else [value[0] for value in values]
        for key in keys:
            for part in key if isinstance(key, tuple) else (key,):
                if isinstance(part, tuple | frozenset):  # hashing may have no end
                    raise pickle.UnpicklingError('a key that it calls is of more than one level')
        return self.kind(*content)


class _Default(_Type):
    """For a defaultdict."""

    __slots__ = ()

    def __call__(self, *factory: object) -> object:
        if len(factory) > 1 or not all(isinstance(made, _Type | _Bytes) for made in factory):
            raise pickle.UnpicklingError('a defaultdict is made otherwise than of a type')
        return defaultdict(*factory)


class _ArrayType(_StandIn):
    """For `numpy.ndarray`, which is named in each array and must not be called."""

    __slots__ = ()


class DTypeStandIn:
    """For a dtype; its state may be its own alone."""

    kinds = '?biufcSUO'

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(name, str) or not re.fullmatch(rf'[<>|=]?[{self.kinds}]\d*', name):
            raise pickle.UnpicklingError(f'arrays of {brief(name)} are not read')
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        sizes = (self.dtype.itemsize, self.dtype.alignment) if self.dtype.kind in 'SU' else (-1, -1)
        own = (None, None, None, *sizes, self.dtype.flags)
        if len(state) != 8 or state[0] != 3 or state[1] not in tuple('<>|=') or state[2:] != own:
            raise pickle.UnpicklingError(f'{self.dtype} has a state that is not its own')
        self.dtype = self.dtype.newbyteorder(state[1])


def check_content(dtype: object, raw: object) -> None:
    """Raise `pickle.UnpicklingError` unless an array of the dtype may be made of it."""
    if not isinstance(dtype, DTypeStandIn):
        raise pickle.UnpicklingError('an array has no dtype')
    kinds = (list,) if dtype.dtype.hasobject else (bytes, bytearray, pickle.PickleBuffer)
    if not isinstance(raw, kinds):
        raise pickle.UnpicklingError(f'{type(raw).__name__} is no content of {dtype.dtype}')


def check_array(shape: object, dtype: object, raw: object) -> None:
    """Raise `pickle.UnpicklingError` unless an array is as large as what it is made of."""
    check_content(dtype, raw)
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError('the shape of an array is not of numbers')
    if dtype.dtype.hasobject:
        fits = prod(shape) == len(raw)
    else:
        # A text of no letters takes no bytes, and there may be none of it.
        fits = prod(shape) * max(dtype.dtype.itemsize, 1) == memoryview(raw).nbytes
    if not fits:
        raise pickle.UnpicklingError('an array has another size than its content')


class _Array:
    """For an array that is to be given its state."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, _, raw = state
        check_array(shape, dtype, raw)


class _Reconstruct(_StandIn):
    """For `_reconstruct`, which makes an array without content."""

    __slots__ = ()

    def __call__(self, kind: object, shape: tuple, name: object) -> _Array:
        if not isinstance(kind, _ArrayType) or shape != (0,) or name not in (b'b', 'b'):
            raise pickle.UnpicklingError('an array begins otherwise than NumPy writes it')
        return _Array()


class _FromBuffer(_StandIn):
    """For `_frombuffer`, which makes an array of bytes."""

    __slots__ = ()

    def __call__(self, raw: object, dtype: object, shape: tuple, order: str) -> _StandIn:
        check_array(shape, dtype, raw)
        return _ArrayType()


class _Scalar(_StandIn):
    """For `scalar`, which makes a number or a text of bytes."""

    __slots__ = ()

    def __call__(self, dtype: object, raw: object) -> _StandIn:
        check_content(dtype, raw)
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError(f'{type(raw).__name__} is no scalar')
        return _ArrayType()


def _allowed(checked: bool) -> dict[tuple[str, str], Any]:
    """What pickles may name; the parts of NumPy, or the stand-ins that check them."""
    plain = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple)
    names: dict[tuple[str, str], Any] = {('builtins', kind.__name__): kind for kind in plain}
    names |= {('__builtin__', kind.__name__): kind for kind in plain}  # of protocols up to 2
    names |= {('collections', kind.__name__): kind for kind in (OrderedDict, defaultdict)}
    if checked:
        checks = dict.fromkeys(plain, _Type) | {bytes: _Bytes, bytearray: _Bytes}
        checks |= {set: _Hashing, frozenset: _Hashing, OrderedDict: _Hashing, defaultdict: _Default}
        del checks[complex]
        names = {key: checks[kind](kind) if kind in checks else kind for key, kind in names.items()}
    names['_codecs', 'encode'] = _Latin1()
    array = np.zeros(1)
    names['numpy', 'ndarray'] = _ArrayType() if checked else np.ndarray
    names['numpy', 'dtype'] = DTypeStandIn if checked else np.dtype
    # `numpy.core` became `numpy._core` in numpy 2; a file of either may be read.
    for core in ('numpy.core', 'numpy._core'):
        for module, name, check, real in (
            ('multiarray', '_reconstruct', _Reconstruct(), array.__reduce__()[0]),
            ('multiarray', 'scalar', _Scalar(), array[0].__reduce__()[0]),
            ('numeric', '_frombuffer', _FromBuffer(), array.__reduce_ex__(5)[0]),
        ):
            names[f'{core}.{module}', name] = check if checked else real
    return names


def _opened(content: bytes) -> IO[bytes]:
    """A file of it; the unpickler calls one without a buffer for each opcode."""
    return io.BufferedReader(io.BytesIO(content))


class _Inspector(pickle.Unpickler):
    """Goes through a pickle with stand-ins for NumPy's parts."""

    allowed = _allowed(checked=True)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(
                f'it refers to {module}.{name}; of pickles only numpy arrays and plain types are '
                'read, for anything else can run code'
            )
        return self.allowed[module, name]


class PlainUnpickler(_Inspector):
    """Reads numpy arrays and plain types; anything else raises `pickle.UnpicklingError`.

    Args:
        file: it; read to its end.
        kwargs: of `pickle.Unpickler`.
    """

    allowed = _allowed(checked=False)

    def __init__(self, file: IO[bytes], **kwargs: Any) -> None:
        self._content, self._options = file.read(), kwargs
        self._inspected = False
        super().__init__(_opened(self._content), **kwargs)

    def find_class(self, module: str, name: str) -> Any:
        if not self._inspected:  # what names nothing has nothing to be inspected
            _Inspector(_opened(self._content), **self._options).load()
            self._inspected = True
        return super().find_class(module, name)

    def load(self) -> Any:
        """The content."""
        # Of a large file's many new objects Python's search for cycles would take most of the time.
        searching = gc.isenabled()
        gc.disable()
        try:
            check_keys(self._content)
            return super().load()
        except (TypeError, AttributeError, ValueError, LookupError, OverflowError) as error:
            raise pickle.UnpicklingError(
                f'it is not as pickles of plain types are: {error}'
            ) from error
        finally:
            if searching:
                gc.enable()


class PlainPickleHandler(PickleHandler):
    """mmengine's handler, which reads with `PlainUnpickler`."""

    def load_from_fileobj(self, file: IO[bytes], **kwargs: Any) -> Any:
        return PlainUnpickler(file, **kwargs).load()


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, whose compiled twin crashes where lists are nested without end."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put in what a mapping merges; twice what merges twice, and so on, has no end."""
        own = len(node.value)
        super().flatten_mapping(node)
        self._merged += max(len(node.value) - own, 0)
        if self._merged > _MOST_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, 'mappings are merged into one another without end', node.start_mark
            )


class PlainYamlHandler(YamlHandler):
    """mmengine's handler, which reads with a safe loader."""

    def load_from_fileobj(self, file: IO[str], **kwargs: Any) -> Any:
        return yaml.load(file, Loader=_PlainLoader)


def apply() -> None:
    """Replace the handlers that read with full trust; one of another program is left."""
    if type(file_handlers['pkl']) is PickleHandler:
        register_handler(['pickle', 'pkl'])(PlainPickleHandler)
    if type(file_handlers['yaml']) is YamlHandler:
        register_handler(['yaml', 'yml'])(PlainYamlHandler)
