"""Searches with the joblib backends of dask and Ray, and fits with Ray Train."""

import contextlib
import io

import pytest
from launch import run
from searches import make_search, report


@pytest.mark.parametrize(
    ("package", "script"), [("distributed", "dask_search.py"), ("ray", "ray_search.py")]
)
def test_search_on_a_cluster_has_the_result_of_one_process(package, script):
    pytest.importorskip(package, reason=f"{package} is not installed")
    with contextlib.redirect_stdout(io.StringIO()) as expected:
        report(make_search())
    assert run(script).splitlines()[-1] == expected.getvalue().strip()


def test_ray_train_shares_a_fit():
    pytest.importorskip("ray.train.torch", reason="the extra 'cluster' has ray[train]")
    assert run("ray_train.py").splitlines()[-1] == "True True"
