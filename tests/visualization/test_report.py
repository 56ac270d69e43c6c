"""Tables of metrics and files of text."""

from nclr_mm.visualization.report import metric_table, write_text


def test_table_by_hand():
    columns = {'before': {'a/x': 1.0, 'y': 2.0}, 'after': {'a/x': 0.12345}}
    assert metric_table(columns, ['y', 'a/x']).splitlines() == [
        '| metric | before | after |',
        '| --- | ---: | ---: |',
        '| y | 2.000 |  |',
        '| a/x | 1.000 | 0.123 |',
    ]


def test_text_is_in_utf8(tmp_path):
    write_text(tmp_path / 'new' / 'report.md', 'grün')
    assert (tmp_path / 'new' / 'report.md').read_bytes() == 'grün'.encode()
