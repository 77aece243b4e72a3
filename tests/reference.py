"""The slow, obvious oracle: every stage in dense float64 numpy, one formula per function.

Nothing here imports lmmlasso_fast, shares code with it or is fast; scipy is used for one bounded
minimisation. Letters are those of the model

    y = C gamma + X beta + u + e,   u ~ N(0, sigma_g^2 K),   e ~ N(0, sigma_e^2 I)

with V = K + delta I, delta = sigma_e^2 / sigma_g^2, W'W = V^-1 and M the projection off W C. From
`objective` to `lasso_path`, X and y are already whitened, X~ = M W X and y~ = M W y, and

    F(beta) = 1/(2n) ||y~ - X~ beta||^2 + alpha sum_j pi_j (rho |beta_j| + (1 - rho)/2 beta_j^2)

where rho is l1_ratio and every pi_j is positive and finite (`split_penalty_factors` comes first).
"""

from types import SimpleNamespace

import numpy as np

LOG_2PI = np.log(2.0 * np.pi)

# ---------------------------------------------------------------------------------------------
# PLINK .bed: bytes 6c 1b 01, then ceil(n / 4) bytes per variant, first sample in the low bits.
# Code 00 = two copies of A1, 01 = missing, 10 = one copy, 11 = no copy.
# ---------------------------------------------------------------------------------------------
BED_MAGIC = bytes([0x6C, 0x1B, 0x01])
COPIES_OF_A1 = {0b00: 2.0, 0b01: np.nan, 0b10: 1.0, 0b11: 0.0}


def decode_bed(data, n_samples, n_variants):
    """Copies of A1, n x p float64 with nan for missing, from the bytes of a .bed file."""
    stride = (n_samples + 3) // 4
    if data[:3] != BED_MAGIC or len(data) != 3 + stride * n_variants:
        raise ValueError(f"not a variant-major .bed of {n_samples} samples, {n_variants} variants")
    codes = np.frombuffer(data, np.uint8, offset=3).reshape(n_variants, stride)
    table = np.array([COPIES_OF_A1[code] for code in range(4)])
    dosage = np.empty((n_samples, n_variants))
    for i in range(n_samples):
        dosage[i] = table[(codes[:, i // 4] >> (2 * (i % 4))) & 0b11]
    return dosage


def encode_bed(dosage):
    """The bytes of a .bed file from copies of A1 (0, 1, 2 or nan); padding bits are zero."""
    n_samples, n_variants = dosage.shape
    packed = np.zeros((n_variants, (n_samples + 3) // 4), np.uint8)
    for i in range(n_samples):
        for code, copies in COPIES_OF_A1.items():
            hit = np.isnan(dosage[i]) if np.isnan(copies) else dosage[i] == copies
            packed[hit, i // 4] |= code << (2 * (i % 4))
    return BED_MAGIC + packed.tobytes()


def genotype_counts(dosage):
    """p x 4 integers: samples with 0, 1, 2 copies of A1 and missing."""
    hits = [dosage == 0, dosage == 1, dosage == 2, np.isnan(dosage)]
    return np.stack([hit.sum(axis=0) for hit in hits], axis=1)


def allele_counts(dosage):
    """(copies of A1, copies of A2) per variant among the observed genotypes."""
    n0, n1, n2, _ = genotype_counts(dosage).T
    return n1 + 2 * n2, n1 + 2 * n0


def allele_frequency(dosage):
    """Frequency of A1 among the observed alleles; nan where every genotype is missing."""
    a1, a2 = allele_counts(dosage)
    return np.where(a1 + a2 > 0, a1 / np.maximum(a1 + a2, 1), np.nan)


def duplicates(dosage):
    """[(j, first, sign)]: column j is the earlier column `first`, or with sign -1 is 2 - first.

    Missing genotypes must be the same ones. Constant columns are not compared.
    """
    first, found = {}, []
    for j, d in enumerate(dosage.T):
        observed = d[~np.isnan(d)]
        if len(np.unique(observed)) < 2:
            continue
        key, swapped = (np.where(np.isnan(d), -1.0, v).tobytes() for v in (d, 2.0 - d))
        if key in first:
            found.append((j, first[key], 1))
        elif swapped in first:
            found.append((j, first[swapped], -1))
        else:
            first[key] = j
    return found


# ---------------------------------------------------------------------------------------------
# Standardised SNPs and kinship
# ---------------------------------------------------------------------------------------------
def standardise(dosage):
    """(X, mean, sd): x_ij = (d_ij - mean_j) / sd_j with missing -> 0.

    mean_j and sd_j are over the observed genotypes, sd_j with the number observed as divisor. A
    column that is constant (decided on the values) or all missing has x_j = 0, mean_j = sd_j = 0.
    """
    mean, sd = np.zeros(dosage.shape[1]), np.zeros(dosage.shape[1])
    for j, d in enumerate(dosage.T):
        observed = d[~np.isnan(d)]
        if len(np.unique(observed)) > 1:
            mean[j], sd[j] = observed.mean(), observed.std()
    return standardise_with(dosage, mean, sd), mean, sd


def standardise_with(dosage, mean, sd):
    """(d - mean)/sd with somebody else's mean and sd (new samples); missing and sd = 0 -> 0."""
    X = (dosage - mean) / np.where(sd > 0, sd, 1.0)
    X[np.isnan(X)] = 0.0
    X[:, sd == 0] = 0.0
    return X


def to_allele_scale(beta, mean, sd, intercept=0.0):
    """(beta per copy of A1, intercept): X beta + b0 = D beta_allele + b0_allele."""
    beta_allele = np.where(sd > 0, beta / np.where(sd > 0, sd, 1.0), 0.0)
    return beta_allele, intercept - mean @ beta_allele


def kinship_rrm(X, p):
    """Realised relationship matrix K = X X' / p, p the number of polymorphic SNPs."""
    return X @ X.T / p


def kinship_rrm_new(X_new, X, p, scale=1.0):
    """K_*t = X_* X' / (p scale): new samples standardised with the training mean and sd."""
    return X_new @ X.T / (p * scale)


def kinship_by_estimator(dosage, estimator):
    """K of n samples, not scaled, by the formula; pair by pair, SNP by SNP."""
    X, mean, sd = standardise(dosage)
    D, mean, sd = dosage[:, sd > 0], mean[sd > 0], sd[sd > 0]
    if estimator == "rrm":
        return kinship_rrm(X, D.shape[1])
    filled = np.where(np.isnan(D), mean, D)
    if estimator == "centred":
        return (filled - mean) @ (filled - mean).T / D.shape[1]
    if estimator == "standardised":
        Z = (filled - mean) / filled.std(axis=0)
        return Z @ Z.T / D.shape[1]
    K = np.empty((len(D), len(D)))
    for i, a in enumerate(D):
        for k, b in enumerate(D):
            if estimator == "ibs":
                terms = 1 - np.abs(a - b) / 2
            else:  # gcta
                q = mean / 2
                terms = (a - 2 * q) * (b - 2 * q) / (2 * q * (1 - q))
            K[i, k] = np.nanmean(terms)
    return K


def kinship_pedigree(parents):
    """2 phi of individuals 0 ... n - 1 with parents[i] = (father, mother) or None, by recursion.

    phi_ii = (1 + phi_fm) / 2; phi_ik = (phi_fk + phi_mk) / 2 with i no ancestor of k.
    """

    def generation(i):
        return 1 + max((generation(p) for p in parents[i] if p is not None), default=0)

    def phi(i, k):
        if i is None or k is None:
            return 0.0
        if i == k:
            return (1 + phi(*parents[i])) / 2
        if generation(i) < generation(k):
            i, k = k, i
        return (phi(parents[i][0], k) + phi(parents[i][1], k)) / 2

    n = len(parents)
    return np.array([[2 * phi(i, k) for k in range(n)] for i in range(n)])


def scale_to_unit_diagonal(K):
    """(K / scale, scale) with scale = mean diagonal of K."""
    scale = np.mean(np.diag(K))
    return K / scale, scale


# ---------------------------------------------------------------------------------------------
# Null model
# ---------------------------------------------------------------------------------------------
def gls(y, V, C):
    """(gamma, RSS): gamma = (C'V^-1 C)^-1 C'V^-1 y, RSS = r'V^-1 r with r = y - C gamma."""
    solved = np.linalg.solve(V, np.column_stack([C, y]))
    V_inv_C, V_inv_y = solved[:, :-1], solved[:, -1]
    gamma = np.linalg.solve(C.T @ V_inv_C, C.T @ V_inv_y)
    return gamma, (y - C @ gamma) @ (V_inv_y - V_inv_C @ gamma)


def nll(log_delta, y, K, C, method="ml"):
    """Negative log-likelihood with gamma and sigma_g^2 profiled out, V = K + delta I.

    ML:   n/2 log(2 pi) + 1/2 log|V| + n/2 log(RSS/n) + n/2
    REML: the same with n - c for n outside V, + 1/2 log|C'V^-1 C| - 1/2 log|C'C|
    """
    n, c = C.shape
    V = K + np.exp(log_delta) * np.eye(n)
    _, rss = gls(y, V, C)
    m = n if method == "ml" else n - c
    value = 0.5 * (m * LOG_2PI + np.linalg.slogdet(V)[1] + m * np.log(rss / m) + m)
    if method == "reml":
        value += 0.5 * np.linalg.slogdet(C.T @ np.linalg.solve(V, C))[1]
        value -= 0.5 * np.linalg.slogdet(C.T @ C)[1]
    return value


def spectral_profile(log_delta, y, K, C, method="ml"):
    """(nll, d nll / d log delta) from K = U diag(s) U', eigenvalues below zero at zero.

    With v_i = s_i + delta, z = diag(v)^(-1/2) U'y, QR = diag(v)^(-1/2) U'C and r = (I - QQ')z:
    RSS = r'r and, gamma being at its optimum, d RSS / d delta = -sum_i r_i^2 / v_i.
    """
    n, c = C.shape
    s, U = np.linalg.eigh(K)
    v = np.maximum(s, 0) + np.exp(log_delta)
    Q, R = np.linalg.qr(U.T @ C / np.sqrt(v)[:, None])
    z = U.T @ y / np.sqrt(v)
    r = z - Q @ (Q.T @ z)
    rss, m = r @ r, n if method == "ml" else n - c
    value = 0.5 * (m * LOG_2PI + m * np.log(rss / m) + m + np.log(v).sum())
    slope = 0.5 * (np.sum(1 / v) - m * np.sum(r**2 / v) / rss)
    if method == "reml":
        value += np.log(np.abs(np.diag(R))).sum() - 0.5 * np.linalg.slogdet(C.T @ C)[1]
        slope -= 0.5 * np.sum(Q**2 / v[:, None])
    return value, slope * np.exp(log_delta)


def null_model_at(log_delta, y, K, C, method="ml"):
    """sigma_g^2 = RSS/n (REML: /(n - c)), sigma_e^2 = delta sigma_g^2, h2 = 1/(1 + delta), gamma.

    h2 is a share of the variance only if the mean diagonal of K is 1.
    """
    n, c = C.shape
    delta = np.exp(log_delta)
    gamma, rss = gls(y, K + delta * np.eye(n), C)
    sigma_g2 = rss / (n if method == "ml" else n - c)
    return SimpleNamespace(
        method=method,
        log_delta=log_delta,
        delta=delta,
        sigma_g2=sigma_g2,
        sigma_e2=delta * sigma_g2,
        h2=1.0 / (1.0 + delta),
        gamma=gamma,
        nll=nll(log_delta, y, K, C, method),
    )


def fit_null(y, K, C, method="ml", n_grid=101, low=-5.0, high=5.0):
    """Minimise nll: dense grid, then a bounded search in every bracket with a local minimum."""
    from scipy.optimize import minimize_scalar

    def profile(log_delta):
        return nll(log_delta, y, K, C, method)

    grid = np.linspace(low, high, n_grid)
    values = np.array([profile(x) for x in grid])
    candidates = [(values[0], low), (values[-1], high)]
    minima = 0
    for i in range(1, n_grid - 1):
        if values[i] <= values[i - 1] and values[i] <= values[i + 1]:
            minima += 1
            found = minimize_scalar(
                profile, bounds=(grid[i - 1], grid[i + 1]), method="bounded",
                options={"xatol": 1e-9},
            )  # fmt: skip
            candidates.append((found.fun, found.x))
    best = min(candidates)[1]
    fit = null_model_at(best, y, K, C, method)
    fit.at_boundary = best in (low, high)
    fit.n_local_minima = minima + int(values[0] < values[1]) + int(values[-1] < values[-2])
    return fit


def h2_standard_error(log_delta, y, K, C, method="ml", step=1e-3):
    """se(h2) = (d2 nll / d h2^2)^(-1/2), nll as a function of h2 = 1/(1 + delta), by central
    differences. At an interior optimum, the only place where it means something, this is the
    delta method applied to the curvature in delta."""

    def profile(h2):
        return nll(np.log1p(-h2) - np.log(h2), y, K, C, method)

    h2 = 1.0 / (1.0 + np.exp(log_delta))
    curvature = (profile(h2 + step) - 2.0 * profile(h2) + profile(h2 - step)) / step**2
    return curvature**-0.5


# ---------------------------------------------------------------------------------------------
# Whitening
# ---------------------------------------------------------------------------------------------
def whitening(K, delta, C):
    """(W, M): W = diag(s + delta)^(-1/2) U' with K = U diag(s) U'; M = I - QQ', Q from QR of W C.

    K = None is the model without a random effect: V = I, W = I.
    """
    n = C.shape[0]
    if K is None:
        W = np.eye(n)
    else:
        s, U = np.linalg.eigh(K)
        W = U.T / np.sqrt(s + delta)[:, None]
    Q, _ = np.linalg.qr(W @ C)
    return W, np.eye(n) - Q @ Q.T


def precision(K, delta, C):
    """P = V^-1 - V^-1 C (C'V^-1 C)^-1 C'V^-1 by dense solves (equals W'M W); V = I for K None."""
    n = C.shape[0]
    V = np.eye(n) if K is None else K + delta * np.eye(n)
    V_inv = np.linalg.inv(V)
    VC = V_inv @ C
    return V_inv - VC @ np.linalg.solve(C.T @ VC, VC.T)


def split_penalty_factors(X, C, penalty_factors):
    """(C', keep, pi): factor 0 joins the covariates, inf is excluded, the rest stays penalised.

    C' = [C, X[:, pi = 0]] goes to `whitening`; X[:, keep] is what F penalises, with factors pi.
    """
    factors = np.asarray(penalty_factors, dtype=float)
    keep = np.flatnonzero((factors > 0) & np.isfinite(factors))
    return np.hstack([C, X[:, factors == 0]]), keep, factors[keep]


def whitened_factors(X, K, delta, C):
    """pi_j = ||M W x_j|| divided by its mean; infinity where C spans x_j, or x_j = 0."""
    W, M = whitening(K, delta, C)
    Q, _ = np.linalg.qr(C)
    outside = np.linalg.norm(X - Q @ (Q.T @ X), axis=0) > 1e-7 * np.linalg.norm(X, axis=0)
    lengths = np.linalg.norm(M @ W @ X, axis=0)
    return np.where(outside, lengths / lengths[outside].mean(), np.inf)


# ---------------------------------------------------------------------------------------------
# The penalised problem in whitened coordinates
# ---------------------------------------------------------------------------------------------
def _factors(X, penalty_factors):
    return np.ones(X.shape[1]) if penalty_factors is None else np.asarray(penalty_factors, float)


def objective(beta, X, y, alpha, l1_ratio=1.0, penalty_factors=None):
    """F(beta) of the module docstring."""
    pi = _factors(X, penalty_factors)
    r = y - X @ beta
    ridge = 0.5 * (1.0 - l1_ratio) * beta**2
    return r @ r / (2 * len(y)) + alpha * np.sum(pi * (l1_ratio * np.abs(beta) + ridge))


def duality_gap(beta, X, y, alpha, l1_ratio=1.0, penalty_factors=None):
    """F(beta) - D(theta) >= F(beta) - min F, with theta the best feasible multiple of r.

    Elastic net by augmentation: with rows sqrt(k_j) e_j below X, k_j = n alpha (1 - rho) pi_j, and
    zeros below y it is a Lasso with penalties alpha rho pi_j, whose dual is to maximise

        D(theta) = (y'theta - theta'theta / 2) / n   subject to   |x_j'theta| <= n alpha rho pi_j

    For the augmented residual (r, -sqrt(k_j) beta_j) the products below are X'r - k beta, y'r and
    r'r + sum_j k_j beta_j^2: the extra rows need not be stored.
    """
    n = len(y)
    pi = _factors(X, penalty_factors)
    k = n * alpha * (1.0 - l1_ratio) * pi
    r = y - X @ beta
    correlation, y_r, r_r = np.abs(X.T @ r - k * beta), y @ r, r @ r + np.sum(k * beta**2)
    touched = correlation > 0
    bound = np.min(n * alpha * l1_ratio * pi[touched] / correlation[touched], initial=np.inf)
    scale = np.clip(y_r / r_r, -bound, bound) if r_r > 0 else 0.0  # theta = scale (r, ...)
    dual = (scale * y_r - 0.5 * scale**2 * r_r) / n
    return objective(beta, X, y, alpha, l1_ratio, pi) - dual


def relative_gap(beta, X, y, alpha, l1_ratio=1.0, penalty_factors=None):
    """duality_gap / (1/(2n) ||y~||^2), the unit in which every certificate is stated."""
    return duality_gap(beta, X, y, alpha, l1_ratio, penalty_factors) * 2 * len(y) / (y @ y)


def kkt_violation(beta, X, y, alpha, l1_ratio=1.0, penalty_factors=None):
    """Largest distance over j of x_j'r/n - alpha (1 - rho) pi_j beta_j from its optimal value,
    alpha rho pi_j sign(beta_j), or where beta_j = 0 from the interval +- alpha rho pi_j."""
    pi = _factors(X, penalty_factors)
    g = X.T @ (y - X @ beta) / len(y) - alpha * (1.0 - l1_ratio) * pi * beta
    bound = alpha * l1_ratio * pi
    inside = np.maximum(np.abs(g) - bound, 0.0)
    return np.max(np.where(beta != 0, np.abs(g - bound * np.sign(beta)), inside), initial=0.0)


def alpha_max(X, y, l1_ratio=1.0, penalty_factors=None):
    """The smallest alpha whose solution is zero: max_j |x_j'y| / (n rho pi_j)."""
    pi = _factors(X, penalty_factors)
    return np.max(np.abs(X.T @ y) / (len(y) * l1_ratio * pi), initial=0.0)


def lasso_cd(X, y, alpha, l1_ratio=1.0, penalty_factors=None, beta=None, tol=1e-12,
             max_sweeps=20_000):  # fmt: skip
    """Minimise F by cyclic coordinate descent until the relative gap is at most tol.

    beta_j <- S(x_j'r/n + ||x_j||^2/n beta_j, alpha rho pi_j) / (||x_j||^2/n + alpha (1 - rho) pi_j)
    with S soft thresholding. Every hundredth sweep takes all columns, the others those not zero.
    """
    n, p = X.shape
    X = np.asfortranarray(X)  # contiguous columns
    pi = _factors(X, penalty_factors)
    beta = np.zeros(p) if beta is None else beta.copy()
    r = y - X @ beta
    squares = np.sum(X**2, axis=0) / n
    for sweep in range(max_sweeps):
        full = sweep % 100 == 0
        for j in np.flatnonzero(squares > 0) if full else np.flatnonzero(beta):
            z = X[:, j] @ r / n + squares[j] * beta[j]
            new = np.sign(z) * max(abs(z) - alpha * l1_ratio * pi[j], 0.0)
            new /= squares[j] + alpha * (1.0 - l1_ratio) * pi[j]
            if new != beta[j]:
                r -= X[:, j] * (new - beta[j])
                beta[j] = new
        if full:
            r = y - X @ beta  # drop the rounding of the updates
            if relative_gap(beta, X, y, alpha, l1_ratio, pi) <= tol:
                return beta
    raise RuntimeError(f"coordinate descent: gap above {tol} after {max_sweeps} sweeps")


def lasso_path(X, y, alphas, l1_ratio=1.0, penalty_factors=None, tol=1e-12):
    """p x len(alphas) solutions, each started from the one before."""
    coefs, beta = np.zeros((X.shape[1], len(alphas))), None
    for k, alpha in enumerate(alphas):
        beta = lasso_cd(X, y, alpha, l1_ratio, penalty_factors, beta, tol)
        coefs[:, k] = beta
    return coefs


# ---------------------------------------------------------------------------------------------
# What follows from beta
# ---------------------------------------------------------------------------------------------
def fixed_effects(beta, y, X, C, K, delta):
    """gamma(beta) = (C'V^-1 C)^-1 C'V^-1 (y - X beta); V = I for K None."""
    V = np.eye(len(y)) if K is None else K + delta * np.eye(len(y))
    return gls(y - X @ beta, V, C)[0]


def predict(beta, y, X, C, K, delta, X_new, C_new, K_new):
    """y_* = C_* gamma + X_* beta + K_* V^-1 (y - C gamma - X beta), and the three parts.

    K_new has the new samples in its rows, the training samples in its columns.
    """
    gamma = fixed_effects(beta, y, X, C, K, delta)
    residual = y - C @ gamma - X @ beta
    covariates, snps, random = C_new @ gamma, X_new @ beta, np.zeros(len(X_new))
    if K is not None:
        random = K_new @ np.linalg.solve(K + delta * np.eye(len(y)), residual)
    return SimpleNamespace(
        total=covariates + snps + random, covariates=covariates, snps=snps, random=random
    )


def variance_split(beta, y, X, C, K, delta):
    """Variances of SNPs, random effect and noise at beta, in the phenotype's unit squared.

    snps = var(X beta), random = sigma_g^2 = ||M W (y - X beta)||^2 / n, noise = delta sigma_g^2,
    with delta that of the null model and mean diagonal of K equal to 1: at beta = 0 these are the
    ML null model's. Without K the random part is 0 and the noise ||M (y - X beta)||^2 / n.
    """
    W, M = whitening(K, delta, C)
    rss = np.sum((M @ (W @ (y - X @ beta))) ** 2) / len(y)
    random, noise = (0.0, rss) if K is None else (rss, delta * rss)
    return SimpleNamespace(snps=np.var(X @ beta), random=random, noise=noise)
