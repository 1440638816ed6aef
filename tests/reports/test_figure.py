"""The anytime figure."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from matplotlib import image

from po_nas.reports.figures import COLOURS, draw_regret, save_figure
from po_nas.reports.run import load_run


def drawn(directory, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(load_run(directory), tmp_path / "figure.png")
    return image.imread(tmp_path / "figure.png")[:, :, :3]


def has_colour(pixels, name):
    wanted = np.array([int(COLOURS[name][k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return (np.abs(pixels - wanted).max(axis=-1) < 0.02).sum() > 20


def test_a_finished_run(finished, tmp_path):
    pixels = drawn(finished, tmp_path)
    assert pixels.shape == (round(5.4 * 150), round(7.2 * 150), 3)
    white = (pixels > 0.99).all(axis=-1).mean()
    assert 0.5 < white < 0.98
    assert all(has_colour(pixels, name) for name in ("line", "trial", "initial", "optimum"))
    assert not has_colour(pixels, "best"), "nothing has failed"
    # Both halves and all four quarters hold something.
    for part in np.array_split(pixels, 2):
        for quarter in np.array_split(part, 2, axis=1):
            assert (quarter < 0.5).any()


def test_the_curve_is_the_incumbent(finished):
    run = load_run(finished)
    top, bottom = draw_regret(run).axes
    curve = next(line for line in top.lines if line.get_label() == "incumbent")
    assert list(curve.get_ydata()) == run.incumbents()
    assert list(curve.get_xdata()) == list(range(1, 26))
    assert curve.get_drawstyle() == "steps-post"
    assert list(bottom.lines[0].get_ydata()) == [run.regret(v) for v in run.incumbents()]
    points = sum(len(c.get_offsets()) for c in top.collections)
    assert points == 25
    low, high = bottom.get_ylim()
    assert low == 0
    assert high > max(bottom.lines[0].get_ydata())
    ticks = [label.get_text() for label in bottom.get_yticklabels()]
    assert all(text == f"{float(text):g}" for text in ticks)


def test_what_runs_out_of_the_picture_is_counted(finished):
    run = load_run(finished)
    top = draw_regret(run).axes[0]
    low, high = top.get_ylim()
    outside = [t for t in run.told if not low <= t.validation <= high]
    said = top.get_title(loc="right")
    assert outside, "this run has outliers"
    assert said.split()[0] == str(len(outside))
    assert low <= min(run.incumbents()[-1], run.optimum["validation"])


def test_failures_are_marked(failing, tmp_path):
    run = load_run(failing)
    assert has_colour(drawn(failing, tmp_path), "best")
    (axes,) = draw_regret(run).axes
    failed = next(line for line in axes.lines if line.get_label() == "failed")
    assert list(failed.get_xdata()) == [k for k, t in enumerate(run.told, 1) if t.reason]


@pytest.mark.parametrize("which", ["running", "empty"])
def test_unfinished_runs_can_be_drawn(which, request, tmp_path):
    assert drawn(request.getfixturevalue(which), tmp_path).std() > 0.01


def test_the_same_run_gives_the_same_figure(finished):
    written = [io.BytesIO(), io.BytesIO()]
    for file in written:
        draw_regret(load_run(finished)).savefig(file, dpi=60)
    assert written[0].getvalue() == written[1].getvalue()
