"""A simulated drive in the KITTI layout with all that detectors need."""

from pathlib import Path

from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate


def simulate_kitti(out: Path) -> Path:
    """Three streets of two frames, reduced clouds and database included; returns their root."""
    root = generate(out, 6, 5, 'kitti', scenes=3, progress=False)
    infos = converters.create_kitti_infos(root)
    converters.create_reduced_clouds(root, infos)
    converters.create_gt_database(infos['train'], root)
    return root
