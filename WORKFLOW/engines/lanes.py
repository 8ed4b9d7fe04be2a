"""Many comparisons in one instruction: up to 64 neighbours of an array against a level or another array, as a mask.

LLVM turns each of these into the widest vector compares the machine has (AVX-512: 16 int32 a step), and the result is
the same on every machine: a mask is exact. Numba has no spelling for a vector of booleans, hence the intrinsics.

No bounds are checked: whoever calls makes its arrays `LANES` longer than the highest index.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 64
_LINE = 64  # bytes

Intrinsic = Callable[..., Any]

Number = TypeVar("Number", bound=np.generic)


def lanewise(function: Intrinsic) -> Intrinsic:
    """Numba's `intrinsic`, typed as its callers see it: without what the compiler passes besides."""
    return cast(Intrinsic, intrinsic(function))


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any, lanes: int) -> Any:
    """`array[index : index + lanes]` as one LLVM vector; neighbours in memory, aligned like one element."""
    data = context.make_array(kind)(context, builder, array).data
    element = context.get_data_type(kind.dtype)
    vector = ir.VectorType(element, lanes)
    pointer = builder.bitcast(builder.gep(data, [index]), vector.as_pointer())
    loaded = builder.load(pointer, typ=vector)
    loaded.align = context.get_abi_sizeof(element)
    return loaded


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    one = builder.insert_element(empty, value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes))


def _compare(builder: Any, kind: Any, operator: str, a: Any, b: Any) -> Any:
    is_float = isinstance(kind.dtype, types.Float)
    return builder.fcmp_ordered(operator, a, b) if is_float else builder.icmp_signed(operator, a, b)


def _mask(builder: Any, bits: Any, lanes: int) -> Any:
    return builder.zext(builder.bitcast(bits, ir.IntType(lanes)), ir.IntType(64))


@lanewise
def touched(typing: Any, low: Any, high: Any, at: Any, floor: Any, ceiling: Any) -> Any:
    """Bit i of 32: low[at + i] <= floor or high[at + i] >= ceiling. All of one type, int32 or float64."""
    signature = types.uint64(low, high, types.int64, low.dtype, high.dtype)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, high, at, floor, ceiling = arguments
        lows = _load(context, builder, signature.args[0], low, at, 32)
        highs = _load(context, builder, signature.args[1], high, at, 32)
        below = _compare(builder, signature.args[0], "<=", lows, _splat(builder, floor, 32))
        above = _compare(builder, signature.args[1], ">=", highs, _splat(builder, ceiling, 32))
        return _mask(builder, builder.or_(below, above), 32)

    return signature, code


@lanewise
def less(typing: Any, a: Any, b: Any, at: Any) -> Any:
    """Bit i of 64: a[at + i] < b[at + i], float64."""
    signature = types.uint64(a, b, types.int64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at = arguments
        left = _load(context, builder, signature.args[0], a, at, LANES)
        right = _load(context, builder, signature.args[1], b, at, LANES)
        return _mask(builder, _compare(builder, signature.args[0], "<", left, right), LANES)

    return signature, code


def _beside(operator: str) -> Any:
    def beside(typing: Any, a: Any, at: Any, level: Any) -> Any:
        """Bit i of 32: a[at + i] < level (or >), float64."""
        signature = types.uint64(a, types.int64, types.float64)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, at, level = arguments
            values = _load(context, builder, signature.args[0], a, at, 32)
            return _mask(builder, builder.fcmp_ordered(operator, values, _splat(builder, level, 32)), 32)

        return signature, code

    return lanewise(beside)


below, above = _beside("<"), _beside(">")


@lanewise
def lowest_bit(typing: Any, word: Any) -> Any:
    """Place of the lowest 1 in a 64-bit word, 64 when there is none."""
    signature = types.int64(types.uint64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return signature, code


@lanewise
def ones(typing: Any, word: Any) -> Any:
    """How many bits of a 64-bit word are 1."""
    signature = types.int64(types.uint64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return signature, code


@lanewise
def write_line(typing: Any, out: Any, at: Any, offset: Any, slope: Any, x: Any) -> Any:
    """out[at + i] = offset + slope * x[at + i] for 8 neighbours, rounded after each step as in scalar code."""
    signature = types.void(out, types.int64, types.float64, types.float64, x)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, offset, slope, x = arguments
        xs = _load(context, builder, signature.args[4], x, at, 8)
        line = builder.fadd(_splat(builder, offset, 8), builder.fmul(_splat(builder, slope, 8), xs))
        data = context.make_array(signature.args[0])(context, builder, out).data
        pointer = builder.bitcast(builder.gep(data, [at]), line.type.as_pointer())
        store = builder.store(line, pointer)
        store.align = 8
        return context.get_dummy_value()

    return signature, code


def padded(values: NDArray[Number], fill: float) -> NDArray[Number]:
    """`values` (n,) followed by `LANES` times `fill`, beginning on a cache line."""
    out: NDArray[Number] = on_cache_line((len(values) + LANES,), values.dtype)
    out[: len(values)] = values
    out[len(values) :] = fill
    return out


def on_cache_line(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """An uninitialised array that begins on a cache line, as numpy's own need not: no vector load straddles two."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    room = np.empty(size + _LINE, dtype=np.uint8)
    start = -room.ctypes.data % _LINE
    out: NDArray[Any] = room[start : start + size].view(kind).reshape(shape)
    return out
