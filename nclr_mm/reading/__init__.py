"""Reading of files that may come from elsewhere, without trust."""

from .archives import check_archive
from .checkpoints import CheckpointError, load_checkpoint
from .pickle_keys import check_keys

__all__ = ['CheckpointError', 'check_archive', 'check_keys', 'load_checkpoint']
