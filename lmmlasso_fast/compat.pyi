"""Types of compat.py, whose signatures are those of the published script."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

def train(
    X: ArrayLike,
    K: ArrayLike,
    y: ArrayLike,
    mu: float,
    numintervals: int = ...,
    ldeltamin: float = ...,
    ldeltamax: float = ...,
    rho: float = ...,
    alpha: float = ...,
    debug: bool = ...,
) -> dict[str, Any]: ...
def predict(
    y_t: ArrayLike,
    X_t: ArrayLike,
    X_v: ArrayLike,
    K_tt: ArrayLike,
    K_vt: ArrayLike,
    ldelta: float,
    w: ArrayLike,
) -> np.ndarray: ...
def stability_selection(
    X: ArrayLike,
    K: ArrayLike,
    y: ArrayLike,
    mu: float,
    n_reps: int,
    f_subset: float,
    *,
    seed: int = ...,
    **kwargs: Any,
) -> np.ndarray: ...
def train_nullmodel(
    y: ArrayLike,
    K: ArrayLike,
    numintervals: int = ...,
    ldeltamin: float = ...,
    ldeltamax: float = ...,
    debug: bool = ...,
) -> tuple[np.ndarray, np.ndarray, float, dict[str, Any]]: ...
