"""Reading of files that may come from elsewhere, without trust."""

from .archives import check_archive
from .checkpoints import CheckpointError, NoCheckpointError, load_checkpoint
from .pickle_keys import check_keys

__all__ = [
    'CheckpointError',
    'NoCheckpointError',
    'check_archive',
    'check_keys',
    'load_checkpoint',
]
