"""Local Dask clusters, and tasks for them."""

import os
import threading
import time
from contextlib import closing

import distributed
from joblib import parallel_config

from lmmlasso_fast.parallel import each


def start(n_workers, **options):
    options = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"} | options
    return distributed.LocalCluster(n_workers=n_workers, **options)


def within(seconds, function, *arguments):
    """Return what the function returns under Dask; fail if it takes longer than that."""
    results, errors = [], []

    def run():
        try:
            with parallel_config("dask"):
                results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "no end"
    if errors:
        raise errors[0]
    return results[0]


def all_of(function, shared, tasks):
    return sorted(each(function, shared, tasks))


def slow(shared, task):
    time.sleep(0.1)
    return os.getpid(), task * shared


def all_but_a_worker(client, function, shared, tasks, kill):
    """Run all tasks; after the first result something is killed."""
    results = {}
    with closing(each(function, shared, tasks)) as finished:
        for task, result in finished:
            if not results:
                kill(client)
            assert task not in results
            results[task] = result
    return results
