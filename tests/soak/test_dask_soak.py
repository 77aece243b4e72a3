"""Workers of a Dask cluster that never answer again, or want more memory than they have."""

import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest

distributed = pytest.importorskip("distributed")

from clusters import all_but_a_worker, all_of, slow, start, within  # noqa: E402

from lmmlasso_fast import parallel  # noqa: E402
from lmmlasso_fast.errors import LMMLassoError  # noqa: E402

pytestmark = [
    pytest.mark.promise("same-bytes"),
    pytest.mark.filterwarnings("default::DeprecationWarning:(dask|distributed|tornado)"),
]
#: Seconds without a sign of life after which the scheduler gives a worker up (its default: 300).
TTL = 5


@pytest.fixture(autouse=True)
def _takes_long(size):
    if not size(False, True):
        pytest.skip("takes half a minute a case: only with --full")


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("repeat", range(3))
def test_a_worker_stopped_for_good(when, repeat):
    """Given up by the scheduler after its worker-ttl; the others do its tasks."""
    import dask

    with (
        dask.config.set({"distributed.scheduler.worker-ttl": f"{TTL}s"}),
        start(2) as cluster,
        distributed.Client(cluster) as client,
    ):
        pid = sorted(client.run(os.getpid).values())[repeat % 2]

        def stop(_):
            os.kill(pid, signal.SIGSTOP)

        try:
            if when == "before":
                stop(client)
            kill = stop if when == "during" else lambda client: None
            results = within(120, all_but_a_worker, client, slow, 3, range(8), kill)
            assert {k: result for k, (_, result) in results.items()} == {k: 3 * k for k in range(8)}
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def too_much(_, task):
    if task == 2:
        held = [np.ones(1 << 20) for _ in range(200)]  # 1.6 GB
        time.sleep(20)
        return len(held)
    return task


def test_a_worker_that_takes_more_memory_than_it_has(monkeypatch):
    """Its nanny kills it; a task that always does it ends the run."""
    monkeypatch.setattr(parallel, "_ATTEMPTS", 2)
    with start(1, memory_limit="700MB") as cluster, distributed.Client(cluster, timeout=10):
        cluster.scheduler.allowed_failures = 1
        with pytest.raises(LMMLassoError, match=r"Dask gave up a task|worker processes died"):
            within(120, all_of, too_much, None, range(4))
