"""Tables of metrics and files that are written at once."""

import pytest

from nclr_mm.visualization.report import metric_table, write_text


def test_table_by_hand():
    columns = {'before': {'a/x': 1.0, 'y': 2.0}, 'after': {'a/x': 0.12345}}
    assert metric_table(columns, ['y', 'a/x']).splitlines() == [
        '| metric | before | after |',
        '| --- | ---: | ---: |',
        '| y | 2.000 |  |',
        '| a/x | 1.000 | 0.123 |',
    ]


def test_text_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'report.md'
    write_text(path, 'one')
    assert path.read_text() == 'one'
    monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(OSError('disk')))
    with pytest.raises(OSError, match='disk'):
        write_text(path, 'two')
    assert path.read_text() == 'one'
