"""Windows and scans over rows, in time proportional to their length, in float32 or float64.

Windows: van Herk (1992), Gil and Werman (1993): blocks as long as the window, summed up from both sides, so
that every window is the end of one block and the beginning of the next. Sums need not be idempotent.
"""

from __future__ import annotations

import math
from pathlib import Path

from drive._kernel import kernels_at

kernel = kernels_at("stl", Path(__file__))


@kernel
def load_row(x, r, low, width, before, after, scale, row):
    """`row[i]` is `scale` times what lies at step `i + low` of row `r` of `x (N, T)`."""
    length = x.shape[1]
    n = length + width - 1
    first = min(max(-low, 0), n)
    last = max(min(length - low, n), first)
    for i in range(first):
        row[i] = scale * before[r]
    for i in range(first, last):
        row[i] = scale * x[r, i + low]
    for i in range(last, n):
        row[i] = scale * after[r]


@kernel
def window_hard(x, low, width, before, after, sign, work, out):
    """The largest (`sign` 1) or least (-1) of `x (N, T)` from step t + low to t + low + width - 1.

    `before`, `after (N,)` what lies outside; `work (2, T + width - 1)` scratch.
    """
    rows, length = x.shape
    n = length + width - 1
    back, ahead = work[0], work[1]
    for r in range(rows):
        load_row(x, r, low, width, before, after, sign, back)
        start = 0
        while start < n:
            stop = min(start + width, n)
            top = back[start]
            ahead[start] = top
            for i in range(start + 1, stop):
                top = max(top, back[i])
                ahead[i] = top
            top = back[stop - 1]
            for i in range(stop - 2, start - 1, -1):
                top = max(top, back[i])
                back[i] = top
            start = stop
        for t in range(length):
            out[r, t] = sign * max(back[t], ahead[t + width - 1])


@kernel
def log_add(a, b):
    """log(exp(a) + exp(b)) of finite numbers."""
    top = max(a, b)
    gap = min(a, b) - top
    # Below that even double precision adds nothing.
    if gap < -38.0:
        return top
    return top + math.log1p(math.exp(gap))


@kernel
def window_log(x, low, width, before, after, scale, work, out):
    """log(sum of exp(scale x)) / scale over the same windows; `scale (N,)` is negative for the least."""
    rows, length = x.shape
    n = length + width - 1
    back, ahead = work[0], work[1]
    for r in range(rows):
        load_row(x, r, low, width, before, after, scale[r], back)
        start = 0
        while start < n:
            stop = min(start + width, n)
            total = back[start]
            ahead[start] = total
            for i in range(start + 1, stop):
                total = log_add(total, back[i])
                ahead[i] = total
            total = back[stop - 1]
            for i in range(stop - 2, start - 1, -1):
                total = log_add(total, back[i])
                back[i] = total
            start = stop
        for t in range(length):
            total = back[t]
            if t % width != 0:
                total = log_add(total, ahead[t + width - 1])
            out[r, t] = total / scale[r]


@kernel
def mix(z, m, other_z, other_m):
    """The mean of two means that weigh exp(z) and exp(other_z)."""
    top = max(z, other_z)
    a, b = math.exp(z - top), math.exp(other_z - top)
    return (a * m + b * other_m) / (a + b)


@kernel
def window_mean(x, low, width, before, after, scale, work, out):
    """The mean of x that weighs exp(scale x) over the same windows; `work (4, T + width - 1)`."""
    rows, length = x.shape
    n = length + width - 1
    back, ahead, back_mean, ahead_mean = work[0], work[1], work[2], work[3]
    for r in range(rows):
        load_row(x, r, low, width, before, after, scale[r], back)
        for i in range(n):
            back_mean[i] = back[i] / scale[r]
        start = 0
        while start < n:
            stop = min(start + width, n)
            ahead[start], ahead_mean[start] = back[start], back_mean[start]
            for i in range(start + 1, stop):
                ahead_mean[i] = mix(ahead[i - 1], ahead_mean[i - 1], back[i], back_mean[i])
                ahead[i] = log_add(ahead[i - 1], back[i])
            for i in range(stop - 2, start - 1, -1):
                back_mean[i] = mix(back[i + 1], back_mean[i + 1], back[i], back_mean[i])
                back[i] = log_add(back[i + 1], back[i])
            start = stop
        for t in range(length):
            if t % width == 0:
                out[r, t] = back_mean[t]
            else:
                k = t + width - 1
                out[r, t] = mix(back[t], back_mean[t], ahead[k], ahead_mean[k])


@kernel
def scan_hard(left, right, start, forward, strict, out):
    """u = min(left, max(right, u of the step after)) of rows `(N, T)`, beginning with
    `start (N,)`; `forward`: of the step before."""
    rows, length = left.shape
    for r in range(rows):
        u = start[r]
        for k in range(length):
            t = k if forward else length - 1 - k
            if strict:
                u = max(right[r, t], min(left[r, t], u))
            else:
                u = min(left[r, t], max(right[r, t], u))
            out[r, t] = u


@kernel
def scan_log(left, right, start, scale, loss, forward, strict, out):
    """`scan_hard` with log-sum-exp of temperature `scale (N,)` for largest and least; `loss` is taken off the
    logarithm of each sum of two: 0, or log(2) for mellowmax."""
    rows, length = left.shape
    for r in range(rows):
        tau, u = scale[r], scale[r] * start[r]
        for k in range(length):
            t = k if forward else length - 1 - k
            a, b = tau * left[r, t], tau * right[r, t]
            if strict:
                u = log_add(b, loss - log_add(-a, -u)) - loss
            else:
                u = loss - log_add(-a, loss - log_add(b, u))
            out[r, t] = u / tau
