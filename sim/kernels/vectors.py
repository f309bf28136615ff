"""What Numba's loops do not become: records read across and turned into a frame without leaving registers.

Written in LLVM's own vectors, whose widths it fits to the processor. Nothing here checks bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDTH, COUNT = 8, 16
"""Floats of a record, and records that are read at once."""
FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLAGS = ("contract", "nsz")


def _long(value):
    return ir.Constant(LONG, value)


def _data(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def _load(builder, pointer, count):
    return builder.load(builder.bitcast(pointer, ir.VectorType(FLOAT, count).as_pointer()), align=4)


def _store(builder, value, array, place):
    pointer = builder.gep(array, [_long(place)])
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=4)


def _shuffled(builder, a, b, lanes):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(lanes)), list(lanes)))


def _spread(builder, value):
    """A float in all lanes."""
    kind = ir.VectorType(FLOAT, COUNT)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(INT, 0))
    return _shuffled(builder, one, one, [0] * COUNT)


def _turned(builder, u, v, c, s):
    """Vectors (u, v) in the frame with the axis (c, s)."""

    def times(a, b):
        return builder.fmul(a, b, flags=FLAGS)

    return (
        builder.fadd(times(c, u), times(s, v), flags=FLAGS),
        builder.fsub(times(c, v), times(s, u), flags=FLAGS),
    )


def _seen(builder, columns, frame):
    """Columns x, y, cos, sin in the frame (x, y, cos, sin)."""
    x, y, c, s = frame
    away = builder.fsub(columns[0], x, flags=FLAGS), builder.fsub(columns[1], y, flags=FLAGS)
    return *_turned(builder, *away, c, s), *_turned(builder, *columns[2:4], c, s)


def _transposed(builder, rows):
    """The columns of eight vectors of eight, in rounds that are single instructions."""
    pairs = [
        [_shuffled(builder, rows[k], rows[k + 1], lanes) for k in range(0, WIDTH, 2)]
        for lanes in ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15))
    ]
    fours = [
        [_shuffled(builder, four[k], four[k + 1], lanes) for k in (0, 2)]
        for four in pairs
        for lanes in ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
    ]
    return [
        _shuffled(builder, *two, lanes)
        for lanes in ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
        for two in fours
    ]


@intrinsic
def write_records(typingctx, records, picks, at, stride, x, y, c, s, target, to):
    """Column k of `records[picks[at + n * stride]]`, n < COUNT, goes to `target[to + COUNT * k + n]`.

    `records (N, WIDTH)` and `target` float32, `picks` int32, the last two of one axis; all contiguous.
    Columns are x, y, cos, sin, which are told in the frame at (x, y) with the axis (c, s), three more, which
    are told as they are, and one that is 1, or 0 in a record all of zeros. An indexed read of one column
    costs as much as one of the record.
    """

    def codegen(context, builder, signature, args):
        source, chosen, out = (_data(context, builder, signature.args[k], args[k]) for k in (0, 1, 8))
        rows = []
        for n in range(COUNT):
            place = builder.add(args[2], builder.mul(args[3], _long(n)))
            pick = builder.zext(builder.load(builder.gep(chosen, [place])), LONG)
            rows.append(_load(builder, builder.gep(source, [builder.mul(pick, _long(WIDTH))]), WIDTH))
        halves = _transposed(builder, rows[:WIDTH]), _transposed(builder, rows[WIDTH:])
        columns = [_shuffled(builder, a, b, range(COUNT)) for a, b in zip(*halves, strict=True)]
        seen = list(_seen(builder, columns, [_spread(builder, a) for a in args[4:8]]))
        for k in range(2):
            seen[k] = builder.fmul(seen[k], columns[7], flags=FLAGS)
        target = builder.gep(out, [args[9]])
        for k, column in enumerate((*seen, *columns[4:7])):
            _store(builder, column, target, COUNT * k)
        return context.get_dummy_value()

    f = types.float32
    return types.void(records, picks, types.int64, types.int64, f, f, f, f, target, types.int64), codegen


@intrinsic
def write_slices(typingctx, slices, first, x, y, c, s, target, to):
    """Point n of slice r of `slices[first:first + 8]`, column k, goes to `target[to + 32 k + 4 r + n]`.

    `slices (N, 16)` and `target` float32, contiguous, the last of one axis. A slice is four points column by
    column: x, y, cos, sin, which are told in the frame at (x, y) with the axis (c, s); zeros stay zeros.
    """

    def codegen(context, builder, signature, args):
        source, out = (_data(context, builder, signature.args[k], args[k]) for k in (0, 6))
        start = builder.gep(source, [builder.mul(args[1], _long(16))])
        target = builder.gep(out, [args[7]])
        frame = [_spread(builder, a) for a in args[2:6]]
        zero = ir.Constant(ir.VectorType(FLOAT, COUNT), [0.0] * COUNT)
        half = ir.Constant(ir.VectorType(FLOAT, COUNT), [0.5] * COUNT)
        blocks = []
        for block in range(2):
            columns = []
            for k in range(4):
                parts = [
                    _load(builder, builder.gep(start, [_long(16 * r + 4 * k)]), 4)
                    for r in range(4 * block, 4 * block + 4)
                ]
                pairs = [_shuffled(builder, parts[n], parts[n + 1], range(8)) for n in (0, 2)]
                columns.append(_shuffled(builder, *pairs, range(COUNT)))
            length = builder.fadd(
                *(builder.fmul(a, a, flags=FLAGS) for a in columns[2:]),
                flags=FLAGS,
            )
            there = builder.fcmp_ordered(">", length, half)
            seen = list(_seen(builder, columns, frame))
            for k in range(2):
                seen[k] = builder.select(there, seen[k], zero)
            blocks.append(seen)
        # In the order of addresses: other orders keep memory from running ahead, and cost much more.
        for k, halves in enumerate(zip(*blocks, strict=True)):
            for block, column in enumerate(halves):
                _store(builder, column, target, 32 * k + COUNT * block)
        return context.get_dummy_value()

    f = types.float32
    return types.void(slices, types.int64, f, f, f, f, target, types.int64), codegen


@intrinsic
def prefetch_slices(typingctx, slices, first):
    """Ask for `slices[first:first + 8]` of `slices (N, 16)` float32, contiguous, before they are needed."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        source = _data(context, builder, signature.args[0], args[0])
        start = builder.gep(source, [builder.mul(args[1], _long(16))])
        kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
        ask = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        read, near, data = (ir.Constant(INT, k) for k in (0, 3, 1))
        for r in range(8):
            place = builder.bitcast(builder.gep(start, [_long(16 * r)]), byte)
            builder.call(ask, [place, read, near, data])
        return context.get_dummy_value()

    return types.void(slices, types.int64), codegen
