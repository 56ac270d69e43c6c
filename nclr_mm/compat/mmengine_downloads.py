"""mmengine: a checkpoint from a URL may run code.

Fault: `load_from='https://...'`, and all names that mmengine turns into URLs, go through torch.hub,
which unpickles what it downloads without any limit, unlike `torch.load`, and unpacks archives. Here
a file from a URL is loaded as any other: tensors and the classes on torch's list alone, and no more
than it has room for. It is kept where torch.hub keeps it.

Holds for: mmengine up to 0.10.7, torch up to 2.13.
"""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from mmengine.logging import print_log
from mmengine.runner import checkpoint
from torch import hub
from torch.utils import model_zoo

from nclr_mm.reading import load_checkpoint


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    *,
    weights_only: bool | None = None,
) -> Any:
    """Download a checkpoint, unless that was done before, and load it without trust."""
    folder = Path(model_dir or Path(hub.get_dir(), 'checkpoints'))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PurePosixPath(urlparse(url).path).name
    if not file.exists():
        print_log(f'Downloading {url} to {file}', 'current')
        hub.download_url_to_file(url, str(file), progress=progress)
    return load_checkpoint(file, map_location)


def apply() -> None:
    """Replace torch.hub's function, where mmengine asks it for a checkpoint."""
    if checkpoint.load_url is model_zoo.load_url:
        checkpoint.load_url = load_url
