"""Compare up to 64 neighbours of an array with a level or with another array in one instruction; the result is a mask.

LLVM turns each of these functions into the widest vector comparison that the machine has (AVX-512: 16 int32 per step).
The result is the same on every machine, because a mask is exact. Numba has no type for a vector of booleans, so these
functions are intrinsics.

No bounds are checked: each caller makes its arrays `LANES` elements longer than the highest index.
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
    """Give Numba's `intrinsic` the type that its callers see, without the arguments that the compiler adds."""
    return cast(Intrinsic, intrinsic(function))


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any, lanes: int) -> Any:
    """Load `array[index : index + lanes]` as one LLVM vector, with the alignment of a single element."""
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
    """Return a mask whose bit i of 32 is low[at + i] <= floor or high[at + i] >= ceiling; all int32 or all float64."""
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
    """Return a mask whose bit i of 64 is a[at + i] < b[at + i], both float64; a comparison with NaN gives 0."""
    signature = types.uint64(a, b, types.int64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, at = arguments
        left = _load(context, builder, signature.args[0], a, at, LANES)
        right = _load(context, builder, signature.args[1], b, at, LANES)
        return _mask(builder, _compare(builder, signature.args[0], "<", left, right), LANES)

    return signature, code


def _beside(operator: str) -> Any:
    def beside(typing: Any, a: Any, at: Any, level: Any) -> Any:
        """Return a mask whose bit i of 32 is a[at + i] < level (or >), float64; a comparison with NaN gives 0."""
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
    """Return the place of the lowest 1 in a 64-bit word, or 64 if there is none."""
    signature = types.int64(types.uint64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return signature, code


@lanewise
def ones(typing: Any, word: Any) -> Any:
    """Count the bits of a 64-bit word that are 1."""
    signature = types.int64(types.uint64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return signature, code


@lanewise
def write_line(typing: Any, out: Any, at: Any, offset: Any, slope: Any, x: Any) -> Any:
    """Write out[at + i] = offset + slope * x[at + i] for 8 neighbours, with the roundings of scalar code."""
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
    """Return `values` (n,) followed by `LANES` copies of `fill`; the array begins on a cache line."""
    out: NDArray[Number] = on_cache_line((len(values) + LANES,), values.dtype)
    out[: len(values)] = values
    out[len(values) :] = fill
    return out


def on_cache_line(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Return an uninitialised array that begins on a cache line, so that no vector load straddles two cache lines."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    room = np.empty(size + _LINE, dtype=np.uint8)
    start = -room.ctypes.data % _LINE
    out: NDArray[Any] = room[start : start + size].view(kind).reshape(shape)
    return out
