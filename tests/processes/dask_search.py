"""A search with the joblib backend of dask. Prints the best score and the parameters."""

from distributed import Client, LocalCluster
from joblib import parallel_config
from searches import make_search, report

if __name__ == "__main__":  # the workers import this file
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster), parallel_config(backend="dask"):
        report(make_search())
