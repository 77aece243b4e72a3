"""Eight threads at a time over the same genotypes and kinship: the bits of one alone."""

import threading
import time

import numpy as np
import pytest

import lmmlasso_fast as ll

pytestmark = pytest.mark.promise("threads")

N_THREADS, N_PHENOTYPES = 8, 12


@pytest.fixture(scope="module", params=["packed", "dosages", "array"])
def problem(request):
    rng = np.random.default_rng(9)
    D = rng.integers(0, 3, (160, 1200)).astype(np.int8)
    if request.param == "packed":
        genotypes = ll.Genotypes.from_array(D)
    elif request.param == "dosages":
        from lmmlasso_fast.dosage import DosageGenotypes

        genotypes = DosageGenotypes.from_dosages(np.clip(D + 0.25 * rng.random(D.shape), 0, 2))
    else:
        genotypes = ll.Genotypes.from_array(D + 1e-3 * rng.standard_normal(D.shape))
    effects = rng.standard_normal((6, N_PHENOTYPES))
    y = genotypes.columns(np.arange(6)) @ effects + 2 * rng.standard_normal((160, N_PHENOTYPES))
    return genotypes, y


def fit(genotypes, K, y, k):
    """One of the calls, by the number of the phenotype; the bits of what it finds."""
    null = ll.fit_null(y, K)
    if k % 4 == 0:
        found = ll.association_scan(genotypes, y, null, exact=k % 8 == 0, n_threads=2)
        return null.log_delta, found.beta.tobytes(), found.log10p.tobytes()
    if k % 4 == 1:
        found = ll.cross_validate(genotypes, y, n_folds=3, n_alphas=12, eps=0.2)
        return null.log_delta, found.predictions.tobytes()
    if k % 4 == 2:
        found = ll.stability_selection(genotypes, y, K, n_active=4, n_replicates=4)
        return null.log_delta, found.counts.tobytes()
    path = ll.lasso_path(genotypes, y, null, n_alphas=25, eps=0.05, n_threads=2)
    return null.log_delta, path.coefs.data.tobytes(), path.dual_gaps.tobytes()


def test_threads_give_the_bits_of_one(problem, size, tally):
    genotypes, y = problem
    K = ll.kinship(genotypes)
    K.spectrum  # noqa: B018 (what all share)
    alone = [fit(genotypes, K, y[:, k], k) for k in range(N_PHENOTYPES)]
    end = time.monotonic() + size(1.0, 100.0)
    done, wrong = [], []

    def work(t):
        k = t
        while time.monotonic() < end:
            k = (k + 5) % N_PHENOTYPES
            try:
                same = fit(genotypes, K, y[:, k], k) == alone[k]
            except BaseException as error:
                wrong.append(error)
                raise
            done.append(k)
            if not same:
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(t,)) for t in range(N_THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tally(cases=len(done), failed=len(wrong))
    assert not wrong
    assert len(done) >= N_THREADS
