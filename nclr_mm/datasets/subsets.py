"""Which part of the labelled data is used: the protocols of the published comparisons.

Their numbers are not comparable with each other, so each is named:

- ``'scenes'``: every k-th scene with k = 1 / fraction, in the order of the info file. NCLR and ALSO
  take it from the 600 nuScenes scenes of ``nuscenes_infos_pretrain600.pkl`` (1 % are 6 scenes,
  0.1 % is one), SLidR, Seal, ScaLR and OLIVINE from the 700 scenes of
  ``nuscenes_infos_train.pkl``.
- ``'frames-of-sequences'``: of each sequence the fraction of its frames, rounded down but at least
  one, evenly spaced. On SemanticKITTI's training sequences that gives 17, 188, 1912 and 9560
  frames at 0.1, 1, 10 and 50 %, the numbers of the lists that SegContrast, ALSO and NCLR use.
  (Which frames these lists hold is a random draw of theirs.)
- ``'frames'``: every k-th frame, as SLidR does on SemanticKITTI.

``offset`` shifts the choice, so that repeats see different parts. ``'scenes'`` and ``'frames'``
have k different parts, so an offset counts modulo k: at 50 % there are two. In
``'frames-of-sequences'`` each offset shifts the frames by a golden section of the gap between two.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.logging import print_log

SCENES = 'scenes'
FRAMES_OF_SEQUENCES = 'frames-of-sequences'
FRAMES = 'frames'
GOLDEN = (5**0.5 - 1) / 2
PROTOCOLS = (SCENES, FRAMES_OF_SEQUENCES, FRAMES)


def check_choice(fraction: float, protocol: str, offset: int) -> None:
    """Refuse arguments of :func:`choose_frames` that are out of range."""
    if not 0 < fraction <= 1:
        raise ValueError(f'The label fraction must be in (0, 1], got {fraction}.')
    if offset < 0:
        raise ValueError(f'The offset of the label fraction must not be negative, got {offset}.')
    if protocol not in PROTOCOLS:
        raise ValueError(f'The protocol must be one of {list(PROTOCOLS)}, got {protocol!r}.')


def choose_frames(
    scenes: Sequence[str], fraction: float, protocol: str, offset: int = 0
) -> list[int]:
    """Choose frames.

    Args:
        scenes: scene (or sequence) of each frame, in the order of the info file.
        fraction: part to use, in (0, 1].
        protocol: one of ``PROTOCOLS``.
        offset: shifts the choice; 0 takes the first of each k, k - 1 the last.

    Returns:
        Positions of the chosen frames, ascending.

    Raises:
        ValueError: if an argument is out of range, or nothing is chosen.
    """
    check_choice(fraction, protocol, offset)
    names = list(dict.fromkeys(scenes))
    step = round(1 / fraction)
    uneven = abs(1 / fraction - step) > 0.02 * step or (step == 1 and fraction != 1)
    if protocol != FRAMES_OF_SEQUENCES and uneven:
        raise ValueError(
            f'The protocol {protocol!r} takes every k-th of {protocol}, so the label fraction must '
            f'be 1/k, such as {1 / step:.3g}; got {fraction:g}.'
        )
    if protocol == SCENES:
        wanted = set(names[offset % step :: step])
        chosen = [i for i, scene in enumerate(scenes) if scene in wanted]
        unit, total = 'scenes', len(names)
    elif protocol == FRAMES:
        chosen = list(range(offset % step, len(scenes), step))
        unit, total = 'frames', len(scenes)
    elif fraction * len(scenes) < 0.5:
        chosen, unit, total = [], 'frames', len(scenes)
    else:
        members: dict[str, list[int]] = {name: [] for name in names}
        for i, scene in enumerate(scenes):
            members[scene].append(i)
        chosen = sorted(i for frames in members.values() for i in _spread(frames, fraction, offset))
        unit, total = 'frames', len(scenes)
    if not chosen:
        raise ValueError(
            f'A label fraction of {fraction:g} by the protocol {protocol!r} with offset {offset} '
            f'selects nothing of {total} {unit}: use a larger fraction or a smaller offset.'
        )
    return chosen


def _spread(frames: list[int], fraction: float, offset: int) -> list[int]:
    """Evenly spaced frames of one sequence: the fraction of them, rounded down, at least one."""
    # The smallest slack, so that 0.1 * 10 counts as 1.
    number = max(1, int(len(frames) * fraction + 1e-9))
    # Neighbours of a drive look the same: repeats are shifted by golden sections of the gap.
    shift = int(offset * GOLDEN % 1 * len(frames) / number)
    shifted = ((i * len(frames)) // number + shift for i in range(number))
    return sorted(frames[i % len(frames)] for i in shifted)


def choose_and_report(
    ann_file: str,
    scenes: Sequence[str],
    samples: Sequence[str],
    fraction: float,
    protocol: str,
    offset: int,
) -> list[int]:
    """:func:`choose_frames`, naming the info file in errors and the choice in the log.

    Args:
        ann_file: the info file.
        scenes, fraction, protocol, offset: as for :func:`choose_frames`.
        samples: name of each frame.
    """
    try:
        chosen = choose_frames(scenes, fraction, protocol, offset)
    except ValueError as error:
        raise ValueError(f'{ann_file}: {error}') from error
    named = describe([scenes[i] for i in chosen], [samples[i] for i in chosen], protocol)
    print_log(
        f'{fraction:.3%} of the labels of {ann_file}, protocol {protocol}, offset {offset}: '
        f'{len(chosen)} of {len(scenes)} frames ({len(chosen) / len(scenes):.3%}); {named}.',
        logger='current',
    )
    return chosen


def describe(
    scenes: Sequence[str], samples: Sequence[str], protocol: str, limit: int = 2000
) -> str:
    """One line naming what was chosen: scenes with their frames, or frames.

    Args:
        scenes: scene of each chosen frame.
        samples: name of each chosen frame.
        protocol: how they were chosen.
        limit: how many names are written out.
    """
    names = [str(n) for n in (dict.fromkeys(scenes) if protocol == SCENES else samples)]
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return f'{len(names)} {protocol.split("-")[0]}: {", ".join(names[:limit])}{more}'
