"""The sixteen smallest of many keys, in order, for many lanes at once.

Sorting networks take the same way whatever they sort, so that the vector unit goes it for all lanes
together; sixteen keys of a lane stay in registers, which is why the comparisons are written out.
"""

from __future__ import annotations

from drive.sim.kernels.compile import scalar

LANES = 64
"""Lanes lie side by side, key after key: key k of lane l is `keys[k * LANES + l]`."""


@scalar
def sort_sixteen(keys, lanes):
    """Sort the sixteen keys of each of the first `lanes` lanes of `keys (16 * LANES,)`.

    The network of M. W. Green with 60 comparisons (Knuth, The Art of Computer Programming 3, 5.3.4).
    """
    for at in range(lanes):
        a, b, c, d = keys[at], keys[at + 1 * LANES], keys[at + 2 * LANES], keys[at + 3 * LANES]
        e, f, g, h = keys[at + 4 * LANES], keys[at + 5 * LANES], keys[at + 6 * LANES], keys[at + 7 * LANES]
        i, j, k, q = keys[at + 8 * LANES], keys[at + 9 * LANES], keys[at + 10 * LANES], keys[at + 11 * LANES]
        m, n, o, p = (
            keys[at + 12 * LANES],
            keys[at + 13 * LANES],
            keys[at + 14 * LANES],
            keys[at + 15 * LANES],
        )
        a, n = min(a, n), max(a, n)
        b, m = min(b, m), max(b, m)
        c, p = min(c, p), max(c, p)
        d, o = min(d, o), max(d, o)
        e, i = min(e, i), max(e, i)
        f, g = min(f, g), max(f, g)
        h, q = min(h, q), max(h, q)
        j, k = min(j, k), max(j, k)
        a, f = min(a, f), max(a, f)
        b, h = min(b, h), max(b, h)
        c, j = min(c, j), max(c, j)
        d, e = min(d, e), max(d, e)
        g, n = min(g, n), max(g, n)
        i, o = min(i, o), max(i, o)
        k, p = min(k, p), max(k, p)
        q, m = min(q, m), max(q, m)
        a, b = min(a, b), max(a, b)
        c, d = min(c, d), max(c, d)
        e, f = min(e, f), max(e, f)
        g, i = min(g, i), max(g, i)
        h, j = min(h, j), max(h, j)
        k, q = min(k, q), max(k, q)
        m, n = min(m, n), max(m, n)
        o, p = min(o, p), max(o, p)
        a, c = min(a, c), max(a, c)
        b, d = min(b, d), max(b, d)
        e, k = min(e, k), max(e, k)
        f, q = min(f, q), max(f, q)
        g, h = min(g, h), max(g, h)
        i, j = min(i, j), max(i, j)
        m, o = min(m, o), max(m, o)
        n, p = min(n, p), max(n, p)
        b, c = min(b, c), max(b, c)
        d, m = min(d, m), max(d, m)
        e, g = min(e, g), max(e, g)
        f, h = min(f, h), max(f, h)
        i, k = min(i, k), max(i, k)
        j, q = min(j, q), max(j, q)
        n, o = min(n, o), max(n, o)
        b, e = min(b, e), max(b, e)
        c, g = min(c, g), max(c, g)
        f, i = min(f, i), max(f, i)
        h, k = min(h, k), max(h, k)
        j, n = min(j, n), max(j, n)
        q, o = min(q, o), max(q, o)
        c, e = min(c, e), max(c, e)
        d, g = min(d, g), max(d, g)
        j, m = min(j, m), max(j, m)
        q, n = min(q, n), max(q, n)
        d, f = min(d, f), max(d, f)
        g, i = min(g, i), max(g, i)
        h, j = min(h, j), max(h, j)
        k, m = min(k, m), max(k, m)
        d, e = min(d, e), max(d, e)
        f, g = min(f, g), max(f, g)
        h, i = min(h, i), max(h, i)
        j, k = min(j, k), max(j, k)
        q, m = min(q, m), max(q, m)
        g, h = min(g, h), max(g, h)
        i, j = min(i, j), max(i, j)
        keys[at], keys[at + 1 * LANES], keys[at + 2 * LANES], keys[at + 3 * LANES] = a, b, c, d
        keys[at + 4 * LANES], keys[at + 5 * LANES], keys[at + 6 * LANES], keys[at + 7 * LANES] = e, f, g, h
        keys[at + 8 * LANES], keys[at + 9 * LANES], keys[at + 10 * LANES], keys[at + 11 * LANES] = i, j, k, q
        keys[at + 12 * LANES], keys[at + 13 * LANES], keys[at + 14 * LANES], keys[at + 15 * LANES] = (
            m,
            n,
            o,
            p,
        )


@scalar
def merge_sixteen(keys, lanes):
    """Of two sorted sets `keys (32 * LANES,)` put the sixteen smallest, in order, where the second one is.

    Each set runs up; one against the other backwards is bitonic, and the smaller of each pair are the
    sixteen wanted ones, again bitonic (Batcher 1968).
    """
    for at in range(lanes):
        a = min(keys[at], keys[at + 31 * LANES])
        b = min(keys[at + 1 * LANES], keys[at + 30 * LANES])
        c = min(keys[at + 2 * LANES], keys[at + 29 * LANES])
        d = min(keys[at + 3 * LANES], keys[at + 28 * LANES])
        e = min(keys[at + 4 * LANES], keys[at + 27 * LANES])
        f = min(keys[at + 5 * LANES], keys[at + 26 * LANES])
        g = min(keys[at + 6 * LANES], keys[at + 25 * LANES])
        h = min(keys[at + 7 * LANES], keys[at + 24 * LANES])
        i = min(keys[at + 8 * LANES], keys[at + 23 * LANES])
        j = min(keys[at + 9 * LANES], keys[at + 22 * LANES])
        k = min(keys[at + 10 * LANES], keys[at + 21 * LANES])
        q = min(keys[at + 11 * LANES], keys[at + 20 * LANES])
        m = min(keys[at + 12 * LANES], keys[at + 19 * LANES])
        n = min(keys[at + 13 * LANES], keys[at + 18 * LANES])
        o = min(keys[at + 14 * LANES], keys[at + 17 * LANES])
        p = min(keys[at + 15 * LANES], keys[at + 16 * LANES])
        a, i = min(a, i), max(a, i)
        b, j = min(b, j), max(b, j)
        c, k = min(c, k), max(c, k)
        d, q = min(d, q), max(d, q)
        e, m = min(e, m), max(e, m)
        f, n = min(f, n), max(f, n)
        g, o = min(g, o), max(g, o)
        h, p = min(h, p), max(h, p)
        a, e = min(a, e), max(a, e)
        b, f = min(b, f), max(b, f)
        c, g = min(c, g), max(c, g)
        d, h = min(d, h), max(d, h)
        i, m = min(i, m), max(i, m)
        j, n = min(j, n), max(j, n)
        k, o = min(k, o), max(k, o)
        q, p = min(q, p), max(q, p)
        a, c = min(a, c), max(a, c)
        b, d = min(b, d), max(b, d)
        e, g = min(e, g), max(e, g)
        f, h = min(f, h), max(f, h)
        i, k = min(i, k), max(i, k)
        j, q = min(j, q), max(j, q)
        m, o = min(m, o), max(m, o)
        n, p = min(n, p), max(n, p)
        a, b = min(a, b), max(a, b)
        c, d = min(c, d), max(c, d)
        e, f = min(e, f), max(e, f)
        g, h = min(g, h), max(g, h)
        i, j = min(i, j), max(i, j)
        k, q = min(k, q), max(k, q)
        m, n = min(m, n), max(m, n)
        o, p = min(o, p), max(o, p)
        keys[at + 16 * LANES], keys[at + 17 * LANES], keys[at + 18 * LANES], keys[at + 19 * LANES] = (
            a,
            b,
            c,
            d,
        )
        keys[at + 20 * LANES], keys[at + 21 * LANES], keys[at + 22 * LANES], keys[at + 23 * LANES] = (
            e,
            f,
            g,
            h,
        )
        keys[at + 24 * LANES], keys[at + 25 * LANES], keys[at + 26 * LANES], keys[at + 27 * LANES] = (
            i,
            j,
            k,
            q,
        )
        keys[at + 28 * LANES], keys[at + 29 * LANES], keys[at + 30 * LANES], keys[at + 31 * LANES] = (
            m,
            n,
            o,
            p,
        )
