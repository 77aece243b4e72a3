"""The same bits from a Dask cluster: what is sent once, workers that die, no run without end."""

import ast
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from problems import plain_problem, sample_table, variant_table

import lmmlasso_fast as ll
from lmmlasso_fast import parallel
from lmmlasso_fast.cross_validation import cross_validate
from lmmlasso_fast.errors import LMMLassoError
from lmmlasso_fast.p_values import multi_split
from lmmlasso_fast.parallel import as_n_jobs, each
from lmmlasso_fast.simulation import write_plink
from lmmlasso_fast.stability import make_plan, run_replicates, stability_selection

distributed = pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")  # a dependency of distributed

from clusters import all_but_a_worker, all_of, slow, start, within  # noqa: E402

# what Dask has to do for the next Python is no fault of ours
pytestmark = [
    pytest.mark.promise("same-bytes"),
    pytest.mark.filterwarnings("default::DeprecationWarning:(dask|distributed|tornado)"),
]


@pytest.fixture(scope="module")
def client():
    with start(2) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def lonely():
    """A cluster with a single worker; it is started again when it dies."""
    with start(1) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """(genotypes of a file, phenotype)"""
    problem = plain_problem(3, n=90, p=150, missing=0.03, hostile=False)
    prefix = tmp_path_factory.mktemp("genotypes") / "g"
    dosages = np.where(np.isnan(problem.D), -1, problem.D).astype(np.int8)
    write_plink(prefix, dosages, sample_table(90), variant_table(150))
    return ll.read_plink(prefix), problem.y


def kill_a_worker(client):
    os.kill(min(client.run(os.getpid).values()), signal.SIGKILL)


# ---- who may reach it ---------------------------------------------------------------------------


def listening():
    """(process, address, port) of every socket on which this process or one it started listens."""
    found = set()
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add((process.pid, *connection.laddr))
    return found


def cluster_of_the_manual():
    """Starts the cluster of docs/cluster.md, with the arguments that it tells people to give."""
    manual = (Path(__file__).parents[2] / "docs/cluster.md").read_text(encoding="utf-8")
    [arguments] = re.findall(r"\bLocalCluster\((.*)\)", manual)
    return eval(f"distributed.LocalCluster({arguments})", {"distributed": distributed})


@pytest.mark.promise("hostile")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere sockets are for root to see")
def test_only_this_machine_unless_asked(problem):
    """Scheduler, workers, nannies and dashboard of a cluster that is started as the manual says."""
    before = listening()
    with cluster_of_the_manual() as cluster, distributed.Client(cluster) as client:
        within(60, select, problem)
        found = listening() - before
        ports = {port for _, _, port in found}
        info = client.scheduler_info()
        known = [info["address"], *info["workers"], client.dashboard_link]
        known += [worker["nanny"] for worker in info["workers"].values()]
    assert len(known) == 6
    assert ports >= {urlsplit(address).port for address in known}
    assert {urlsplit(address).hostname for address in known} == {"127.0.0.1"}
    assert not {address for _, address, _ in found} - {"127.0.0.1", "::1"}, found


@pytest.mark.promise("hostile")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere sockets are for root to see")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_without_dask_nothing_listens(problem, n_jobs):
    before, found, backends = listening(), set(), {1: "threading", 2: "loky"}

    def look(done, total):
        found.update(listening())

    with parallel_config(backends[n_jobs], n_jobs=n_jobs):
        select(problem, progress=look)
    assert found <= before


#: What starts a server in some library, or asks for one to be started.
SERVERS = re.compile(
    r"(?i)\w*(cluster|server|scheduler|nanny|listener|manager)|Client|Worker|socket|socketpair"
    r"|bind|listen|create_server|start_server|start_unix_server|serve|serve_forever|run_server"
)
SERVER_MODULES = re.compile(r"(socket|socketserver|http|xmlrpc|asyncio|tornado|bokeh|dask)\b")


def servers_in(source):
    """Names of what starts servers, and of modules for them, in a source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                found += [name] if SERVERS.fullmatch(name) else []
            case ast.Import(names=modules):
                found += [m.name for m in modules if SERVER_MODULES.match(m.name)]
            case ast.ImportFrom(module=str() as module, level=0):
                found += [module] if SERVER_MODULES.match(module) else []
    return found


@pytest.mark.promise("hostile")
def test_the_package_has_no_server():
    package = Path(ll.__file__).parent
    paths = list(package.rglob("*.py"))
    assert len(paths) > 50
    found = {path.name: servers_in(path.read_text(encoding="utf-8")) for path in paths}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "LocalCluster(n_workers=2)",
        "distributed.Client()",
        "with Client() as client: pass",
        "SSHCluster(hosts)",
        "ThreadingHTTPServer(address, handler)",
        "socketserver.TCPServer(address, handler)",
        "socket.socket()",
        "socket.create_server(('', 0))",
        "import http.server",
        "from http.server import ThreadingHTTPServer as S",
        "from socketserver import *",
        "from multiprocessing.managers import BaseManager; BaseManager(('', 0))",
    ],
)
def test_a_server_would_be_found(source):
    assert servers_in(source)
    assert not servers_in(f"text = {source!r}")


# ---- the same bits -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def selected(problem):
    return select(problem)


def select(problem, **options):
    genotypes, y = problem
    return stability_selection(genotypes, y, n_active=6, n_replicates=12, **options)


def assert_same(one, other):
    assert one._results == other._results
    assert_array_equal(one.counts, other.counts)
    assert_array_equal(one.log_delta, other.log_delta)


def test_stability_selection(client, problem, selected):
    assert_same(within(60, select, problem), selected)


@pytest.mark.parametrize("given", [True, False])
def test_cross_validation(client, problem, given):
    genotypes, y = problem
    K = ll.kinship(genotypes) if given else None

    def validate():
        return cross_validate(genotypes, y, K, n_folds=4, n_alphas=15, eps=0.2)

    there, here = within(60, validate), validate()
    assert there.predictions.tobytes() == here.predictions.tobytes()
    assert_array_equal(there.fold_scores, here.fold_scores)
    assert_array_equal(there.log_delta, here.log_delta)


def test_p_values(client, problem):
    def split():
        return multi_split(*problem, n_active=3, n_splits=6)

    assert_array_equal(within(60, split).p_values, split().p_values)


# ---- what is sent --------------------------------------------------------------------------------


class Counted:
    """Says in a file of its own when it is packed and unpacked, and by which process."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.odd = b"x" * 1001  # moves what comes after it
        self.numbers = np.arange(200_000.0)

    def _note(self, what):
        with open(f"{self.folder}/{what}", "a") as file:
            file.write(f"{os.getpid()}\n")

    def __getstate__(self):
        self._note("packed")
        return self.__dict__

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._note("unpacked")

    def noted(self, what):
        return Counter((Path(self.folder) / what).read_text().split())


def look(shared, task):
    time.sleep(0.02)
    return os.getpid(), shared.numbers.flags.aligned, float(shared.numbers[-1])


def test_what_is_shared_travels_once(client, tmp_path):
    shared = Counted(tmp_path)
    results = within(60, all_of, look, shared, range(30))
    assert [task for task, _ in results] == list(range(30))
    workers = {str(pid) for _, (pid, _, _) in results}
    assert len(workers) == 2
    assert shared.noted("packed")[str(os.getpid())] == 1
    unpacked = shared.noted("unpacked")
    assert unpacked.keys() == workers
    assert unpacked.total() <= 3  # Dask now and then drops a copy, and takes it from the other one
    assert {(aligned, last) for _, (_, aligned, last) in results} == {(True, 199_999.0)}


def test_and_goes_away_afterwards(client, tmp_path):
    within(60, all_of, look, Counted(tmp_path), range(4))
    for _ in range(300):
        if not client.has_what() or not any(client.has_what().values()):
            break
        time.sleep(0.05)
    assert not any(client.has_what().values())


def test_workers_get_the_name_of_the_file(problem):
    from distributed.protocol.pickle import dumps

    packed = dumps(make_plan(*problem))
    genotypes = Path(problem[0]._data.filename).read_bytes()[3:]
    assert b"g.bed" in packed
    assert genotypes[:500] not in packed


def test_a_file_that_workers_do_not_see(client, tmp_path):
    rng = np.random.default_rng(0)
    dosages = rng.integers(0, 3, (40, 50)).astype(np.int8)
    write_plink(tmp_path / "g", dosages, sample_table(40), variant_table(50))
    plan = make_plan(ll.read_plink(tmp_path / "g"), rng.standard_normal(40))
    (tmp_path / "g.bed").unlink()
    with pytest.raises((FileNotFoundError, LMMLassoError), match=r"g\.bed"):
        within(60, lambda: list(run_replicates(plan, range(4))))


# ---- workers that die ----------------------------------------------------------------------------


def test_a_worker_killed_during_the_run(client, problem, selected):
    killed = []

    def progress(done, total):
        if done == 1:
            kill_a_worker(client)
            killed.append(done)

    assert_same(within(60, lambda: select(problem, progress=progress)), selected)
    assert killed
    client.wait_for_workers(2, timeout=60)


def test_the_only_worker_killed_during_the_run(lonely):
    """What was shared is lost with it, and sent again."""
    results = within(60, all_but_a_worker, lonely, slow, 3, range(8), kill_a_worker)
    assert {task: result for task, (_, result) in results.items()} == {k: 3 * k for k in range(8)}
    assert len({pid for pid, _ in results.values()}) == 2


def test_a_worker_lost_when_it_is_sent_to(client, monkeypatch):
    scatter, lost = client.scatter, iter([OSError("closed"), TimeoutError(), KeyError("there")])

    def send(*arguments, **options):
        for error in lost:
            raise error
        return scatter(*arguments, **options)

    monkeypatch.setattr(client, "scatter", send)
    assert within(60, all_of, times_two, None, range(3)) == [(0, 0), (1, 2), (2, 4)]
    assert next(lost, None) is None


def note(folder, task):
    (Path(folder) / f"{task}.{time.monotonic_ns()}").touch()
    time.sleep(0.05)


def test_what_was_handed_over_is_not_computed_again(client, tmp_path):
    def run():
        with closing(each(note, str(tmp_path), range(6))) as results:
            assert sorted(next(results)[0] for _ in range(6)) == list(range(6))
            time.sleep(1.0)  # until the scheduler has heard that nobody holds the last one
            kill_a_worker(client)
            client.wait_for_workers(2, timeout=60)
            time.sleep(0.2)

    within(60, run)
    assert len(list(tmp_path.iterdir())) == 6


def kill_the_worker(_, task):
    if task == 2:
        time.sleep(0.3)  # who starts it again has to be done with the last start
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_task_that_always_kills_its_worker(monkeypatch, n_workers):
    """Dask gives it up or, when what is shared goes with the worker, forgets it: then we count."""
    monkeypatch.setattr(parallel, "_ATTEMPTS", 2)
    message = r"Dask gave up a task|worker processes died 2 times"
    with start(n_workers) as cluster, distributed.Client(cluster, timeout=10):
        cluster.scheduler.allowed_failures = 1
        with pytest.raises(LMMLassoError, match=message):
            within(60, all_of, kill_the_worker, None, range(2, 4))


def test_a_task_that_dask_gives_up(client, monkeypatch):
    def give_up(futures):
        raise distributed.KilledWorker("the task", SimpleNamespace(address="tcp://there"), 3)

    monkeypatch.setattr(distributed, "as_completed", give_up)
    with pytest.raises(LMMLassoError, match=r"Dask gave up a task .*'the task' on 4 .* workers"):
        within(60, all_of, times_two, None, range(4))


def times_two(_, task):
    return 2 * task


def close_scheduler(client):
    client.cluster.close()


def test_the_scheduler_gone_during_the_run(lonely):
    with pytest.raises(LMMLassoError, match="connection to Dask's scheduler is lost"):
        within(60, all_but_a_worker, lonely, slow, 1, range(8), close_scheduler)


def test_workers_stopped_for_a_while(client):
    """Nothing is lost, nor done twice: they go on where they were."""
    pids = list(client.run(os.getpid).values())

    def stop(client):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        threading.Timer(1.0, lambda: [os.kill(pid, signal.SIGCONT) for pid in pids]).start()

    try:
        results = within(60, all_but_a_worker, client, slow, 3, range(12), stop)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert {task: result for task, (_, result) in results.items()} == {k: 3 * k for k in range(12)}


def no_memory(_, task):
    if task == 2:
        raise MemoryError("for 8 GB")
    return task


def test_a_task_without_memory(client):
    with pytest.raises(MemoryError, match="for 8 GB"):
        within(60, all_of, no_memory, None, range(6))


def close_client(client):
    client.close()


def test_the_client_closed_during_the_run():
    with start(1) as cluster, distributed.Client(cluster) as client:
        message = "connection to Dask's scheduler is lost; start another client"
        with pytest.raises(LMMLassoError, match=message):
            within(60, all_but_a_worker, client, slow, 1, range(8), close_client)


# ---- the rest of the contract --------------------------------------------------------------------


def fail_at_3(_, task):
    if task == 3:
        raise KeyError("here")
    return task


def test_an_exception_of_a_task_surfaces(client):
    with pytest.raises(KeyError, match="here"):
        within(60, all_of, fail_at_3, None, range(10))


def test_leaving_early_ends_the_rest(client, tmp_path):
    def first():
        with closing(each(note, str(tmp_path), range(200))) as results:
            return next(results)

    within(60, first)
    while any(client.processing().values()):
        time.sleep(0.05)
    assert len(list(tmp_path.iterdir())) < 200


def region_in_a_task(shared, task):
    with parallel_config("dask"):
        return as_n_jobs(None), sum(result for _, result in each(times_two, shared, range(task)))


def test_a_region_within_tasks_does_not_wait_for_its_own_place(client):
    results = within(60, all_of, region_in_a_task, None, range(2, 6))
    assert [total for _, (_, total) in results] == [2, 6, 12, 20]


def jobs(_=None, task=None):
    return as_n_jobs(None)


def test_one_job_within_a_worker(client):
    assert within(60, all_of, jobs, None, range(2)) == [(0, 1), (1, 1)]
    assert client.submit(jobs, pure=False).result(60) == 1
    with start(1, processes=False) as cluster, distributed.Client(cluster) as inside:
        assert inside.submit(jobs, pure=False).result(60) == 1
