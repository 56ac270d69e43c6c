"""The model zoo: metafiles in mmdet3d's form that name what is there, and weights that fit."""

import hashlib
import re

import pytest
import yaml

from nclr_mm.apis import init_model
from tests.doc_blocks import REPO

INDEX = REPO / 'nclr_mm/.mim/model-index.yml'
METAFILES = [REPO / path for path in yaml.safe_load(INDEX.read_text())['Import']]
WEIGHTS = sorted((REPO / 'configs').glob('*/weights/*'))


def test_every_folder_of_leaves_is_indexed():
    folders = {path.parent for path in (REPO / 'configs').glob('[!_]*/*.py')}
    assert {path.parent for path in METAFILES} == folders


@pytest.mark.parametrize('path', METAFILES, ids=lambda p: p.parent.name)
def test_metafile(path):
    content = yaml.safe_load(path.read_text())
    (collection,) = content['Collections']
    assert (REPO / collection['README']).is_file()
    assert (REPO / collection['Code']['URL']).exists()
    assert '2401.12452' in collection['Paper']['URL']
    names = [model['Name'] for model in content['Models']]
    assert sorted(names) == sorted(leaf.stem for leaf in path.parent.glob('*.py'))
    shown = (REPO / 'docs/results.md').read_text()
    for model in content['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Config'] == f'configs/{path.parent.name}/{model["Name"]}.py'
        assert model['Metadata']['Training Data'] in collection['Metadata']['Training Data']
        for result in model.get('Results', []):
            for name, value in result['Metrics'].items():
                digits = re.escape(f'{value:.2f}' if value < 1 else f'{value:g}')
                whole = rf'(?<![\d.]){digits}(?!\.?\d| M)'
                assert re.search(whole, shown), f'{model["Name"]}: {name} is not in results.md'
                readme = (REPO / collection['README']).read_text()
                assert re.search(whole, readme), f'{model["Name"]}: {name} is not in the README'
        if 'Weights' in model:
            assert (REPO / model['Weights']).is_file()


def test_measured_rows_of_calibration_are_in_the_metafile():
    """Rows of configs/nclr/README.md that wait for nothing (no dagger) have results."""
    models = yaml.safe_load((REPO / 'configs/nclr/metafile.yml').read_text())['Models']
    results = {model['Name']: model.get('Results') for model in models}
    readme = (REPO / 'configs/nclr/README.md').read_text()
    rows = re.findall(r'^\| `(nclr_\w[\w-]*)` \| [^|]*\|([^|]*)\|', readme, re.MULTILINE)
    assert len(rows) > 4
    for name, errors in rows:
        assert '†' in errors or results[name], name


@pytest.mark.parametrize('path', WEIGHTS, ids=lambda p: p.stem)
def test_shipped_weights(path):
    name, _, digits = path.stem.rpartition('-')
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digits) and len(digits) == 8
    assert path.stat().st_size < 20e6
    init_model(path.parents[1] / f'{name}.py', path)  # all of them, or an error
