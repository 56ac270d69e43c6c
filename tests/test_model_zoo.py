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


@pytest.mark.parametrize('path', WEIGHTS, ids=lambda p: p.stem)
def test_shipped_weights(path):
    name, _, digits = path.stem.rpartition('-')
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(digits) and len(digits) == 8
    assert path.stat().st_size < 20e6
    init_model(path.parents[1] / f'{name}.py', path)  # all of them, or an error
