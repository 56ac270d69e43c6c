"""Curves of growth. Oracle: numbers that matplotlib's axes give back."""

from matplotlib.figure import Figure

from nclr_mm.visualization import growth
from nclr_mm.visualization.growth import plot_growth


def test_curves_and_their_linear_growth(tmp_path, monkeypatch):
    figures = []

    def keep(figure: Figure, path):
        figures.append(figure)
        return save(figure, path)

    save = growth.save_figure
    monkeypatch.setattr(growth, 'save_figure', keep)
    curve = dict(work='cameras', sizes=[1, 2, 4], values=[0.5, 0.8, 3.0], exponent=1.29)
    memory = dict(
        work='voxels + pixels', sizes=[10, 12, 2000, 30000], values=[1e6, 1e6, 2e8, 3e9], exponent=1
    )
    path = plot_growth({'cameras': dict(seconds=curve, bytes=memory)}, tmp_path / 'growth.png')
    assert path.read_bytes().startswith(b'\x89PNG')
    above, below = figures[0].axes
    measured, linear = (line.get_ydata().tolist() for line in above.lines)
    assert measured == [0.5, 0.8, 3.0] and linear == [0.5, 1.0, 2.0]
    assert above.get_legend().get_texts()[0].get_text() == 'measured, exponent 1.29'
    assert (above.get_xlabel(), below.get_xlabel()) == ('cameras', 'voxels + pixels')
    assert (above.get_ylabel(), below.get_ylabel()) == ('seconds', 'bytes')
    assert [tick.get_text() for tick in below.get_xticklabels()] == ['10', '2k', '30k']
    assert below.yaxis.get_major_formatter()(5e8) == '500M'
    assert above.yaxis.get_major_formatter()(0.25) == '0.25'
