"""Tests for torchmlp.__main__: the demonstration."""

import subprocess
import sys

import matplotlib.image
import pytest

from torchmlp import __main__ as demo


@pytest.mark.filterwarnings("ignore")
def test_demonstration_prints_a_table_and_draws(tmp_path, capsys):
    picture = tmp_path / "demo.png"
    demo.main(["--out", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:-1]}
    assert list(rows) == ["circles", "moons", "iris", "digits", "regression"]
    for theirs, ours, difference, *seconds in rows.values():
        assert theirs == ours
        assert float(difference) < 1e-9
        assert len(seconds) == 3
    pixels = matplotlib.image.imread(picture)
    assert pixels.shape[0] > 500
    assert pixels.std() > 0.05


def test_help_and_missing_folder(capsys, tmp_path):
    out = subprocess.check_output([sys.executable, "-m", "torchmlp", "--help"], text=True)
    assert "--out FILE" in out
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--out", str(tmp_path / "missing" / "x.png")])
    assert "does not exist" in capsys.readouterr().err
