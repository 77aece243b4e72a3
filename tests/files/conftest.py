"""Worker processes."""

import joblib
import pytest


@pytest.fixture(params=["loky", "dask"])
def processes(request):
    """Two workers in other processes."""
    if request.param == "dask":
        distributed = pytest.importorskip("distributed")
        request.applymarker(pytest.mark.filterwarnings("default::DeprecationWarning"))
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            ) as cluster,
            distributed.Client(cluster),
            joblib.parallel_config("dask"),
        ):
            yield
        return
    from joblib.externals.loky import get_reusable_executor

    with joblib.parallel_config("loky", n_jobs=2):
        yield
    get_reusable_executor().shutdown(wait=True)
