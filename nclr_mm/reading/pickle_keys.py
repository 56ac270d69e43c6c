"""Pickles whose keys would take for ever to hash.

A tuple of a tuple twice, of a tuple twice, and so on is a few bytes a level in a file, for what was
read can be referred to, and twice the work a level where it is the key of a dict: hashes of tuples
are not kept. Python's unpickler is compiled and hashes before anything can look. So the opcodes are
gone through first, with a stack that holds no values, only how much there is to hash.
"""

import pickle
import re
from re import Match

__all__ = ['check_keys']

_LIGHT = None  # on the stack: what takes no time to hash, or cannot be hashed
_DEEPEST = 100  # nested tuples; hashing goes as deep as they are

_SCALAR = rb'G.{8}|K.|M..|J.{4}|[N\x88\x89]'
_GET = rb'|h.|j.{4}'
#: how a value is kept to be referred to, in protocols up to 3 and later; not as a number that one
#: that stands alone might not have
_PUT, _MEMOIZE = rb'(?:q.|r..[\x00-\x0f]\x00)?', rb'\x94?'


class _Runs:
    """Patterns of values in a row without a tuple, of which most files mostly are.

    Args:
        put: how values are kept.
        get: how they are referred to; nothing where that may be to a tuple.
    """

    def __init__(self, put: bytes, get: bytes) -> None:
        # Repetitions are bounded, for the matching of each takes memory.
        numbers = rb'\]%b\((?:%b){1,2000}e' % (put, _SCALAR)
        pairs = rb'\}%b\((?:%b%b|%b){1,2000}u' % (put, _SCALAR, get, numbers)
        values = rb'(?:%b|%b|[\]})]%b|(?:%b)%b%b)' % (numbers, pairs, put, _SCALAR, put, get)
        self.values = re.compile(values, re.DOTALL)
        self.match = re.compile(values + rb'{1,500}', re.DOTALL).match


#: where there are tuples, and where there are none
_RUNS = {put: (_Runs(put, b''), _Runs(put, _GET)) for put in (_PUT, _MEMOIZE)}
_MEMOIZED = re.compile(rb'(?:%b%b|[\]})(eu])(\x94?)' % (_SCALAR, _GET), re.DOTALL)
_REFERENCES = re.compile(rb'%b|[\]})(eu\x94]|q.|r.{4}|(h.|j.{4})' % _SCALAR, re.DOTALL)
_STARTS = frozenset(b'GKMJN\x88\x89]})hj')

#: bytes that follow an opcode which pushes a value without a tuple
_FIXED = {
    **dict.fromkeys(b'N\x88\x89]}\x8f)\x97', 0),
    **dict.fromkeys(b'K', 1),
    **dict.fromkeys(b'M', 2),
    **dict.fromkeys(b'J', 4),
    **dict.fromkeys(b'G', 8),
}
#: bytes that say how long the text, bytes or number is
_SIZED = {
    **dict.fromkeys(b'U\x8a\x8cC', 1),
    **dict.fromkeys(b'T\x8bXB', 4),
    **dict.fromkeys(b'\x8d\x8e\x96', 8),
}
#: lines that follow
_LINES = {**dict.fromkeys(b'IFLSV', 1), **dict.fromkeys(b'c', 2)}
#: bytes that follow what leaves the stack as it is
_NOTHING = {**dict.fromkeys(b'\x80', 1), **dict.fromkeys(b'\x95', 8), **dict.fromkeys(b'\x98', 0)}
#: values that are taken and thrown away: of APPEND, BUILD; and before one is pushed: REDUCE, names
_TAKEN, _REPLACED = dict.fromkeys(b'ab', 1), dict.fromkeys(b'R\x93', 2)
_TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}
_MARK, _STOP, _SETITEM = b'(.s'
#: in checkpoints: BINPERSID, a storage of the id on the stack; NEWOBJ, of a class and its arguments
_PERSISTENT, _NEW = b'Q\x81'
_MEMO, _TO_MARK = frozenset(b'qrpg\x94hj'), frozenset(b'eutld\x90\x91')


def check_keys(content: bytes, of_torch: bool = False, pickles: int = 1) -> None:
    """Raise `pickle.UnpicklingError` if what pickles would hash is out of all proportion.

    Also for opcodes that pickle does not write for plain types and arrays.

    Args:
        content: begins with the pickles.
        of_torch: whether they may also refer to storages, and make objects, as in checkpoints.
        pickles: how many there are, one behind the other.
    """
    try:
        at = 0
        for _ in range(pickles):
            at = _Scan(content, at, of_torch).run()
    except (IndexError, ValueError, OverflowError) as error:  # no value, mark, byte or line is left
        raise pickle.UnpicklingError('it is cut short or damaged') from error


class _Scan:
    def __init__(self, content: bytes, start: int, of_torch: bool) -> None:
        self.content, self.start, self.of_torch = content, start, of_torch
        self.memoizes = content[start] == 0x80 and content[start + 1] >= 4
        self.runs, self.runs_without_tuples = _RUNS[_MEMOIZE if self.memoizes else _PUT]
        #: values since the last mark: light ones, matched runs of them, (parts, depth) of tuples
        self.stack: list = []
        self.below: list[list] = []
        self.memo: dict[int, tuple[int, int]] = {}  # the tuples in it
        self.references: set[bytes] = set()  # to these, as they are written
        self.wary = 0  # until where a run is not to hold references, for one is to a tuple
        self.memoized = 0
        self.uncounted: list[Match] = []  # runs that were not looked at for what they memoize
        # More than any real file has, in which most keys are texts.
        self.left = 1_000_000 + 10 * len(content)

    def run(self) -> int:
        """Go through it, and say where it ends."""
        content, stack, at = self.content, self.stack, self.start
        while True:
            code = content[at]
            if code in _STARTS:
                run = self._match(at)
                if run:
                    stack.append(run)
                    at = run.end()
                    if self.memoizes:
                        self.uncounted.append(run)
                    code = content[at]
            at += 1
            if code in _SIZED:
                start = at + _SIZED[code]
                at = start + int.from_bytes(content[at:start], 'little')
                stack.append(_LIGHT)
            elif code == _MARK:
                self.below.append(stack)
                self.stack = stack = []
            elif code in _MEMO:
                if code == 0x94:
                    index = -1  # the next
                elif code in b'pg':
                    end = content.index(b'\n', at)
                    index, at = int(content[at:end]), end + 1
                else:
                    start, at = at, at + (1 if code in b'qh' else 4)
                    index = int.from_bytes(content[start:at], 'little')
                if code in b'hjg':
                    stack.append(self.memo.get(index, _LIGHT))
                else:
                    self._put(index)
            elif code in _TO_MARK:
                values = stack
                self.stack = stack = self.below.pop()
                if code in b't\x91':  # TUPLE, FROZENSET
                    stack.append(_joined(values))
                elif code in b'ld':  # LIST, DICT
                    stack.append(_LIGHT)
                if code in b'ud\x90\x91':
                    self._hash(values)
            elif code in _TUPLES:
                stack.append(_joined([self._pop() for _ in range(_TUPLES[code])]))
            elif code == _SETITEM:
                self._hash([self._pop(), self._pop()])
            elif code in _FIXED:
                at += _FIXED[code]
                stack.append(_LIGHT)
            elif code in _LINES:
                for _ in range(_LINES[code]):
                    at = content.index(b'\n', at) + 1
                stack.append(_LIGHT)
            elif code in _NOTHING:
                at += _NOTHING[code]
            elif code in _TAKEN:
                self._pop()
            elif code in _REPLACED or (code == _NEW and self.of_torch):
                self._pop()
                self._pop()
                stack.append(_LIGHT)
            elif code == _STOP:
                return at
            elif code == _PERSISTENT and self.of_torch:
                self._pop()
                stack.append(_LIGHT)
            else:
                raise pickle.UnpicklingError(
                    f'it has the opcode {bytes([code])!r}, which plain types have not'
                )

    def _match(self, at: int) -> Match | None:
        if at >= self.wary:
            run = self.runs_without_tuples.match(self.content, at)
            if not run or not self.memo:
                return run
            if self.references.isdisjoint(_REFERENCES.findall(*self._place(run))):
                return run
            self.wary = run.end()
        return self.runs.match(self.content, at)

    def _pop(self) -> tuple[int, int] | None:
        value = self.stack.pop()
        if isinstance(value, Match):
            number = len(self.runs_without_tuples.values.findall(*self._place(value)))
            self.stack += [_LIGHT] * number
            value = self.stack.pop()
        return value

    def _place(self, run: Match) -> tuple[bytes, int, int]:
        return self.content, run.start(), run.end()

    def _put(self, index: int) -> None:
        if (index < 0) != self.memoizes:
            raise pickle.UnpicklingError('it keeps values as other protocols do')
        if index > 1_000_000 + len(self.content):  # room is made for all
            raise pickle.UnpicklingError(f'it keeps a value as number {index}')
        value = self.stack[-1]
        if isinstance(value, tuple):
            if self.memoizes:
                self._count_memoized()
                index = self.memoized
            self.memo[index] = value
            self.references.add(b'j' + index.to_bytes(4, 'little'))
            if index < 256:
                self.references.add(b'h%c' % index)
        elif not self.memoizes:
            self.memo.pop(index, None)
        self.memoized += 1

    def _count_memoized(self) -> None:
        for run in self.uncounted:
            self.memoized += sum(map(len, _MEMOIZED.findall(*self._place(run))))
        self.uncounted.clear()

    def _hash(self, values: list) -> None:
        # Values of a dict are counted like its keys, for to tell them would take time.
        self.left -= sum(value[0] for value in values if isinstance(value, tuple))
        if self.left < 0:
            raise pickle.UnpicklingError('its keys are tuples of tuples without end')


def _joined(values: list) -> tuple[int, int]:
    """Parts and depth of a tuple of these."""
    parts, depth = 1, 0
    for value in values:
        if isinstance(value, tuple):
            parts, depth = parts + value[0], max(depth, value[1])
        elif isinstance(value, Match):
            parts += value.end() - value.start()  # at most
        else:
            parts += 1
    if depth >= _DEEPEST:
        raise pickle.UnpicklingError(f'it has more than {_DEEPEST} tuples in one another')
    return parts, depth + 1
