"""The loop's buffers, made once for a number of branches and pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.planners.cpto.basis import BRANCH, FREE, TRUNK, Basis
from drive.planners.cpto.kernels.admm import (
    EXACT,
    NUM_RESIDUALS,
    Factors,
    Iterate,
    Model,
    Scratch,
    factorise,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.cpto.kernels.admm import Weights

    Floats = NDArray[np.float64]


def model_of(basis: Basis) -> Model:
    late = min(basis.shared + 2, len(basis.times) - 1)
    return Model(basis.start, basis.free, basis.gram, basis.lane, late)


def make_iterate(branches: int, pairs: int, steps: int) -> Iterate:
    """Everything zero: no slack, no dual."""
    z, p, n = branches, pairs, steps
    return Iterate(
        w=np.zeros((3, z, FREE)),
        path=np.zeros((z, 3, 2, n)),
        psi=np.zeros((z, n)),
        slack=np.zeros((z, 3, 2, n)),
        dual=np.zeros((z, 3, 2, n)),
        away=np.zeros((z, p, 2, n)),
        aim=np.zeros((z, p, 2, n)),
        press=np.zeros((z, p, n)),
        d=np.ones((z, p, n)),
        mean=np.zeros((3, TRUNK)),
        trunk_dual=np.zeros((3, z, TRUNK)),
        residual=np.zeros(NUM_RESIDUALS),
    )


def make_factors(
    model: Model, weights: Weights, probability: Floats, pairs: NDArray[np.int64], mode: int
) -> Factors:
    """The inverted systems for branches of `probability (Z,)` with `pairs (Z,)` of obstacles."""
    z = len(probability)
    factors = Factors(
        bb=np.empty((3, z, BRANCH, BRANCH)),
        cross=np.empty((3, z, BRANCH, TRUNK)),
        trunk=np.empty((3, 1 if mode == EXACT else z, TRUNK, TRUNK)),
    )
    factorise(model, weights, probability, pairs, mode, np.empty((z, FREE, FREE)), factors)
    return factors


def make_scratch(branches: int, steps: int) -> Scratch:
    z, n = branches, steps
    return Scratch(
        hessian=np.empty((FREE, FREE)),
        cost=np.empty((3, z, FREE)),
        rhs=np.empty((3, z, FREE)),
        offset=np.empty((3, 4, n)),
        target=np.empty((2, 3, n)),
        turn=np.empty((z, 2, n)),
        way=np.empty(n),
        rel=np.empty((2, n)),
        old=np.empty((z, TRUNK)),
    )
