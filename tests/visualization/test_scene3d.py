"""Scenes in a browser without a display: they are drawn, and turn when the mouse drags them."""

import json
import queue
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARInstance3DBoxes

from nclr_mm.visualization.scene3d import Points, box_lines, camera_lines, write_scene

pytest.importorskip('plotly', reason='scenes need plotly')

BROWSER = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
# Draws the scene to a picture, drags the mouse over it, draws again; reports what it saw.
SCRIPT = """
<script>
const report = (seen) => fetch('/seen', {method: 'POST', body: JSON.stringify(seen)});
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
async function picture(plot) {
  const image = new Image();
  image.src = await Plotly.toImage(plot, {format: 'png', width: 500, height: 400});
  await image.decode();
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [500, 400];
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return Array.from(context.getImageData(0, 0, 500, 400).data);
}
const count = (data, test) => {
  let number = 0;
  for (let i = 0; i < data.length; i += 4) number += test(data[i], data[i + 1], data[i + 2]);
  return number;
};
async function look() {
  const plot = document.getElementsByClassName('plotly-graph-div')[0];
  await pause(500);
  const eye = () => Object.values(plot._fullLayout.scene._scene.getCamera().eye);
  const before = await picture(plot), eyeBefore = eye();
  const canvas = plot.querySelector('canvas');
  const box = canvas.getBoundingClientRect();
  const at = (type, x, y, buttons) => canvas.dispatchEvent(new MouseEvent(type, {
    bubbles: true, cancelable: true, view: window, buttons, button: 0,
    clientX: box.left + x, clientY: box.top + y}));
  at('mousemove', 200, 150, 0);
  at('mousedown', 200, 150, 1);
  for (let i = 1; i <= 10; i++) { at('mousemove', 200 + 12 * i, 150 + 3 * i, 1); await pause(30); }
  at('mouseup', 320, 180, 0);
  await pause(500);
  const after = await picture(plot);
  let changed = 0;
  for (let i = 0; i < before.length; i += 4) changed += before[i] !== after[i];
  await report({
    red: count(before, (r, g, b) => r > 180 && g < 90 && b < 90),
    green: count(before, (r, g, b) => g > 150 && r < 90 && b < 140),
    changed, eyeBefore, eyeAfter: eye()});
}
look().catch((error) => report({error: String(error)}));
</script>
"""


def layers():
    rng = np.random.default_rng(0)
    corners = LiDARInstance3DBoxes(torch.tensor([[5.0, 0, 0, 4, 2, 1.5, 0.3]])).corners.numpy()
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    cam2img = np.array([[300.0, 0, 320], [0, 300, 200], [0, 0, 1]])
    return [
        Points('scan', rng.uniform([-10, -10, -1], [10, 10, 1], (4000, 3)), (255, 0, 0), 3.0),
        box_lines('box', corners, (0, 220, 90)),
        camera_lines('camera', pose, cam2img, (400, 640), (255, 255, 255)),
    ]


def test_the_file_needs_nothing_else(tmp_path):
    text = write_scene(tmp_path / 'scene.html', layers(), 'a title').read_text()
    assert 'a title' in text
    assert not re.search(r'<(script|link)[^>]+(src|href)=', text)


def test_a_pyramid_is_where_the_camera_looks():
    camera = layers()[2]
    # The optical axis is x; four sides and a frame, two metres deep.
    assert camera.segments.shape == (8, 2, 3)
    np.testing.assert_allclose(camera.segments[:4, 0], 0, atol=1e-12)
    np.testing.assert_allclose(camera.segments[:4, 1, 0], 2)
    np.testing.assert_allclose(camera.segments[0, 1, 1:], [2 * 320 / 300, 2 * 200 / 300])


@pytest.mark.parametrize(
    'low, high', [([-40, -10, -2], [40, 90, 1]), ([4.5, -20, -2], [51, 20, 3])]
)
def test_a_scene_opens_behind_the_lidar(low, high, tmp_path):
    """Also where the scan holds only what is in front, or reaches farther to one side."""
    points = np.random.default_rng(0).uniform(low, high, (500, 3))
    write_scene(tmp_path / 'scene.html', [Points('scan', points, (255, 0, 0))])
    text = (tmp_path / 'scene.html').read_text()
    scene = json.JSONDecoder().raw_decode(text, text.rindex('"scene":{"xaxis"') + 8)[0]
    limits = np.array([scene[f'{name}axis']['range'] for name in 'xyz'])
    assert (limits[:, 0] < np.minimum(points.min(axis=0), 0)).all()
    assert (limits[:, 1] > np.maximum(points.max(axis=0), 0)).all()
    # Plotly's data aspect: axes of lengths l have the sides l / (lx ly lz)^(1/3), the middle is 0.
    unit = np.cbrt(np.prod(limits[:, 1] - limits[:, 0]))
    for name, want in (('eye', [-28, 0, 16]), ('center', [0, 0, 0])):
        place = np.array([scene['camera'][name][axis] for axis in 'xyz'])
        np.testing.assert_allclose(place * unit + limits.mean(axis=1), want, atol=1e-6)


def test_many_points_are_thinned(tmp_path):
    scan = Points('scan', np.random.default_rng(0).normal(size=(5000, 3)), (1, 2, 3))
    text = write_scene(tmp_path / 'scene.html', [scan], max_points=100).read_text()
    assert text.count('#010203') == 100


def open_in_browser(page: bytes, profile) -> dict:
    """What the page reports, within two minutes."""
    reports = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Type', 'text/html; charset=utf-8')
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self):
            reports.put(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = subprocess.Popen(
        [
            BROWSER,
            *('--headless=new', '--no-sandbox', '--disable-dev-shm-usage'),
            *('--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'),
            *(f'--user-data-dir={profile}', '--window-size=900,700'),
            *('--remote-debugging-port=0', f'http://127.0.0.1:{server.server_port}/'),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return reports.get(timeout=120)
    finally:
        browser.kill()
        browser.wait()
        server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason='no Chromium to open the scene in')
def test_it_draws_and_turns(tmp_path):
    path = write_scene(tmp_path / 'scene.html', layers())
    page = path.read_text().replace('</body>', SCRIPT + '</body>')
    seen = open_in_browser(page.encode(), tmp_path / 'profile')
    assert 'error' not in seen, seen
    assert seen['red'] > 1000 and seen['green'] > 50
    turned = np.subtract(seen['eyeAfter'], seen['eyeBefore'])
    assert np.linalg.norm(turned) > 0.1
    assert seen['changed'] > 1000
