"""Data sets of numbered sequences: SemanticKITTI and SemanticPOSS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from nclr_mm.datasets.checks import in_frame_order

from . import common

_PART = re.compile(r'(\d+)(?::(\d+)-(\d+))?')


class Part(NamedTuple):
    """Frames ``first`` to ``last``, both included, of a sequence; None is open."""

    sequence: str
    first: int | None = None
    last: int | None = None


def parse_split(text: str) -> tuple[str, list[Part]]:
    """Read ``name=sequence[:first-last][,...]``, such as ``train=00:0-29,01``.

    Raises:
        ValueError: if ``text`` has another form.
    """
    name, _, rest = text.partition('=')
    matches = [_PART.fullmatch(item) for item in rest.split(',')]
    if not name or not all(matches):
        raise ValueError(f'A split reads name=sequence[:first-last][,...], got {text!r}.')
    parts = []
    for sequence, first, last in (match.groups() for match in matches):
        frames = (int(first), int(last)) if first else (None, None)
        parts.append(Part(f'{int(sequence):02d}', *frames))
    return name, parts


def parse_splits(texts: Iterable[str]) -> dict[str, list[Part]]:
    """Read splits as `parse_split` does; the parts of equal names are joined in order."""
    splits: dict[str, list[Part]] = {}
    for name, parts in map(parse_split, texts):
        splits.setdefault(name, []).extend(parts)
    return splits


def chosen_frames(
    root: Path,
    splits: dict[str, list[Part]] | None,
    official_splits: dict[str, list[str]],
) -> dict[str, list[tuple[str, str]]]:
    """Frames, (sequence, stem), of each split.

    Args:
        root: holds ``sequences/<nn>/velodyne``.
        splits: parts of each split; None takes those of a ``splits.json`` at the root
            ({split: [sequences]}), or else the official ones.
        official_splits: sequences of each official split; missing ones are left out with a notice.

    Raises:
        FileNotFoundError, ValueError: naming the folder or file at fault.
    """
    common.require_directory(root / 'sequences', 'expected a folder for each sequence in it')
    splits = splits or _own(root) or _official(root, official_splits)
    return {
        split: [frame for part in parts for frame in _frames(root, part)]
        for split, parts in splits.items()
    }


def write_infos(
    chosen: dict[str, list[tuple[str, str]]],
    make_info: Callable[[tuple[str, str]], dict],
    out_dir: Path,
    tag: str,
    dataset: str,
    workers: int,
) -> dict[str, Path]:
    """Make the entry of each frame once, then write ``<tag>_infos_<split>.pkl`` of each split.

    Returns:
        The path of each info file written, by split.
    """
    needed = sorted({frame for frames in chosen.values() for frame in frames})
    entries = common.map_with_progress(make_info, needed, workers)
    infos = dict(zip(needed, entries, strict=True))
    written = {}
    for split, frames in chosen.items():
        data_list = [infos[frame] for frame in frames]
        path = out_dir / f'{tag}_infos_{split}.pkl'
        written[split] = common.write_infos(path, dict(dataset=dataset), data_list)
    return written


def _own(root: Path) -> dict[str, list[Part]] | None:
    present = {path.name for path in (root / 'sequences').iterdir()}
    splits = common.own_splits(root, present)
    return splits and {split: [Part(s) for s in names] for split, names in splits.items() if names}


def _official(root: Path, official_splits: dict[str, list[str]]) -> dict[str, list[Part]]:
    splits = {}
    for split, sequences in official_splits.items():
        present = [s for s in sequences if (root / 'sequences' / s).is_dir()]
        missing = [s for s in sequences if s not in present]
        if missing:
            print(f'{split}: left out for want of {root}/sequences: {", ".join(missing)}')
        if present:
            splits[split] = [Part(s) for s in present]
    if not splits:
        raise FileNotFoundError(f'{root / "sequences"} holds none of the sequences of its splits.')
    return splits


def _frames(root: Path, part: Part) -> list[tuple[str, str]]:
    """(sequence, stem) of the frames of a part, in order."""
    velodyne = root / 'sequences' / part.sequence / 'velodyne'
    common.require_directory(velodyne, 'expected the scans of this sequence')
    stems = [path.stem for path in in_frame_order(velodyne.glob('*.bin'))]
    strange = [stem for stem in stems if not stem.isdecimal()]
    if strange:
        raise ValueError(
            f'{velodyne / strange[0]}.bin is no scan of the layout, named by numbers as '
            '000000.bin: move it away.'
        )
    if part.first is not None:
        stems = [stem for stem in stems if part.first <= int(stem) <= part.last]
        expected = part.last - part.first + 1
        if len(stems) != expected:
            raise ValueError(
                f'{velodyne} has {len(stems)} scans from {part.first} to {part.last}, '
                f'expected {expected}.'
            )
    if not stems:
        raise ValueError(f'{velodyne} has no scan.')
    return [(part.sequence, stem) for stem in stems]
