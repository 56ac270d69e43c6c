"""What hooks read from a batch, as the loader gives it."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ['metainfo_of', 'names_of', 'samples_of']


def samples_of(batch: object) -> list:
    """The data samples of a collated batch; none where it is of another form."""
    return list((batch.get('data_samples') if isinstance(batch, dict) else None) or [])


def metainfo_of(sample: object) -> dict:
    """The metainfo of a data sample, empty where it has none."""
    return getattr(sample, 'metainfo', {})


def names_of(samples: Iterable) -> str:
    """What tells samples: the scan's path, or the sample's position."""
    infos = map(metainfo_of, samples)
    names = [str(info.get('lidar_path', info.get('sample_idx', '?'))) for info in infos]
    return ', '.join(names) or 'unknown'
