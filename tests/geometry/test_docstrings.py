import doctest
import importlib

import pytest
import torch


@pytest.mark.parametrize('module', ['camera', 'epnp', 'overlap', 'precision', 'rigid'])
def test_examples_in_docstrings_run(module):
    loaded = importlib.import_module(f'nclr_mm.geometry.{module}')
    result = doctest.testmod(loaded, extraglobs={'torch': torch})
    assert result.attempted > 0
    assert result.failed == 0
