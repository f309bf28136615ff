"""Kernels: batched primitives in Numba, each with a plain NumPy reference beside it.

Rules, each of which was paid for by a measurement:

1. Per-agent mathematics is written once, as `scalar` functions (`compile.py`) on float32 values, and
   shared by all kernels; kernels are thin loops around it. Arrays that are only read stay unwritten.
2. Kernels are made by `compile.kernel` alone (`kernel_apart` where no two arrays share memory): no GIL,
   NumPy's error model, no reference counting, fastmath without "nnan" and "ninf" (with them isnan() finds
   nothing). A kernel allocates nothing: scratch buffers are arguments. Those of a GPU are made by
   `compile.device_kernel`.
3. Every constant is np.float32(..) or np.int32(..): `x * 2` and `math.pi * x` silently become float64.
4. Scalar functions use math.*, abs, min and max, which also compile for CUDA; NumPy's do not.
5. Inner loops run over contiguous, padded arrays, with selects instead of branches. A loop that writes
   many rows of one array does not vectorise (they might overlap), nor one with a count that may be negative.
6. Compiled code is cached per digest of all sources here: an edited helper never meets old machine code.
7. Threads are chunks of worlds or candidates in a thread pool, never `parallel=True`: results do not
   depend on the number of threads.

`layout` names the arrays of a batch of worlds; `step` advances it (`step_parts` times it), in `passes`
over the agents of a world, of what `drivers` decide and how `moves` are made; `survey` finds who may
matter to whom; `follow` holds paths and leaders; `idm_plan` serves the IDM planner; `sight` tells who
sees whom (in float64; its reference in the tests is shapely); `lqr`, `rollout` and `score*` roll
candidates out and score them (their public face, which checks its input, is `drive.sim.candidates`);
`features` with `sort`, `series` and `areas` are what learners read (`drive.sim.features`); `cuda_*` are
the loops of step, roll-out and score on a GPU (`drive.sim.cuda`); `reference*` are the plain versions.
"""
