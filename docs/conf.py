"""Sphinx builds these pages: make docs."""

from nclr_mm import __version__

project = 'nclr_mm'
author = 'the authors of nclr_mm'
release = __version__
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
html_theme = 'furo'
html_title = f'nclr_mm {release}'
exclude_patterns = ['_build']
myst_heading_anchors = 4
myst_enable_extensions = ['dollarmath']
# Docstrings are Google's form in plain words, with double backquotes for code.
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
autodoc_member_order = 'bysource'
