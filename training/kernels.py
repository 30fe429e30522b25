"""Kernels for `natsdb.training.fused`, in Triton: what they are told to do is there.

Values are P×C (channels last, P pixels of all images), bf16 on a GPU; sums are float32. `…_at` is where something is in
memory, `of` a normalization's statistics (4×C, see `statistics`). Widths are powers of two from 16, images square.
"""

import triton
import triton.language as tl


@triton.jit
def convolve(
    x_at, weight_at, kept_at, y_at, sums_at, pixels,
    to_in, to_out, to_row, to_column,
    HEIGHT: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr, SIZE: tl.constexpr, RELU: tl.constexpr,
    BACK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y = convolution of x or ReLU(x), and for each program the sums of y and of its squares. With BACK the gradient:
    then x is the one by y, y the one by x, and `kept` what x was, above 0 where the gradient passes.

    `to_…`: steps of the weights' memory to the next channel read, channel written, row, column.
    """
    AROUND: tl.constexpr = SIZE // 2
    into, outof = tl.arange(0, IN), tl.arange(0, OUT)
    total = tl.zeros([OUT], tl.float32)
    squares = tl.zeros([OUT], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(pixels, BLOCK), tl.num_programs(0)):
        pixel = tile * BLOCK + tl.arange(0, BLOCK)
        inside = pixel < pixels
        row, column = (pixel // HEIGHT) % HEIGHT, pixel % HEIGHT
        summed = tl.zeros([BLOCK, OUT], tl.float32)
        for tap in range(SIZE * SIZE):
            down = tap // SIZE - AROUND
            right = tap % SIZE - AROUND
            there = (
                inside & (row + down >= 0) & (row + down < HEIGHT) & (column + right >= 0) & (column + right < HEIGHT)
            )
            at = (pixel + down * HEIGHT + right)[:, None] * IN + into[None, :]
            read = tl.load(x_at + at, mask=there[:, None], other=0.0)
            if RELU and not BACK:
                read = tl.where(read < 0, 0.0, read).to(x_at.dtype.element_ty)
            # A gradient comes from where the pixel went: the weights turned by half a turn.
            place = SIZE * SIZE - 1 - tap if BACK else tap
            weight = tl.load(
                weight_at + into[:, None] * to_in + outof[None, :] * to_out
                + (place // SIZE) * to_row + (place % SIZE) * to_column
            )  # fmt: skip
            summed = tl.dot(read, weight.to(x_at.dtype.element_ty), summed, input_precision="ieee")
        at = pixel[:, None] * OUT + outof[None, :]
        if RELU and BACK:
            kept = tl.load(kept_at + at, mask=inside[:, None], other=0.0)
            summed = tl.where(kept > 0, summed, 0.0)
        written = summed.to(y_at.dtype.element_ty)
        tl.store(y_at + at, written, mask=inside[:, None])
        if not BACK:
            # Pixels outside are zeros here.
            rounded = tl.where(inside[:, None], written.to(tl.float32), 0.0)
            total += tl.sum(rounded, 0)
            squares += tl.sum(rounded * rounded, 0)
    if not BACK:
        at = sums_at + tl.program_id(0) * 2 * OUT + outof
        tl.store(at, total)
        tl.store(at + OUT, squares)


@triton.jit
def by_weight(
    x_at, dy_at, part_at, pixels,
    HEIGHT: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr, SIZE: tl.constexpr, WIDE: tl.constexpr,
    RELU: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A program's part of the gradient by the weights of one row: columns and channels read, side by side × written."""
    AROUND: tl.constexpr = SIZE // 2
    down = tl.program_id(1) - AROUND
    read_at, outof = tl.arange(0, WIDE), tl.arange(0, OUT)
    right = read_at // IN - AROUND
    summed = tl.zeros([WIDE, OUT], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(pixels, BLOCK), tl.num_programs(0)):
        pixel = tile * BLOCK + tl.arange(0, BLOCK)
        inside = pixel < pixels
        row, column = (pixel // HEIGHT) % HEIGHT, pixel % HEIGHT
        there = inside & (row + down >= 0) & (row + down < HEIGHT)
        beside = column[:, None] + right[None, :]
        there = there[:, None] & (beside >= 0) & (beside < HEIGHT) & (read_at < SIZE * IN)[None, :]
        at = (pixel + down * HEIGHT - AROUND)[:, None] * IN + read_at[None, :]
        read = tl.load(x_at + at, mask=there, other=0.0)
        if RELU:
            read = tl.where(read < 0, 0.0, read).to(x_at.dtype.element_ty)
        dy = tl.load(dy_at + pixel[:, None] * OUT + outof[None, :], mask=inside[:, None], other=0.0)
        summed = tl.dot(tl.trans(read), dy, summed, input_precision="ieee")
    at = (tl.program_id(0) * SIZE + tl.program_id(1)) * WIDE * OUT
    tl.store(part_at + at + read_at[:, None] * OUT + outof[None, :], summed)


@triton.jit
def add_parts(
    part_at, dw_at, parts, to_in, to_out, to_row, to_column,
    IN: tl.constexpr, OUT: tl.constexpr, SIZE: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient by the weights: the sum of the programs' parts, in the weights' own order in memory."""
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = number < SIZE * SIZE * IN * OUT
    outof, read = number % OUT, (number // OUT) % (SIZE * IN)
    row = number // (OUT * SIZE * IN)
    summed = tl.zeros([BLOCK], tl.float32)
    for first in range(0, parts, 64):
        part = first + tl.arange(0, 64)[:, None]
        at = (part * SIZE + row[None, :]) * WIDE * OUT + (read * OUT + outof)[None, :]
        summed += tl.sum(tl.load(part_at + at, mask=(part < parts) & inside[None, :], other=0.0), 0)
    at = (read % IN) * to_in + outof * to_out + row * to_row + (read // IN) * to_column
    tl.store(dw_at + at, summed, mask=inside)


@triton.jit
def sums(y_at, sums_at, pixels, OUT: tl.constexpr, BLOCK: tl.constexpr):
    """For each program the sums of y and of its squares, of a convolution that is not ours."""
    outof = tl.arange(0, OUT)
    total = tl.zeros([OUT], tl.float32)
    squares = tl.zeros([OUT], tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(pixels, BLOCK), tl.num_programs(0)):
        pixel = tile * BLOCK + tl.arange(0, BLOCK)
        at = pixel[:, None] * OUT + outof[None, :]
        y = tl.load(y_at + at, mask=(pixel < pixels)[:, None], other=0.0).to(tl.float32)
        total += tl.sum(y, 0)
        squares += tl.sum(y * y, 0)
    at = sums_at + tl.program_id(0) * 2 * OUT + outof
    tl.store(at, total)
    tl.store(at + OUT, squares)


@triton.jit
def statistics(
    sums_at, programs, weight_at, bias_at, mean_at, variance_at, out_at, pixels, momentum, small,
    OUT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """From sums: scale and shift of the normalization, mean and one over the deviation (4×C); running figures too."""
    outof = tl.arange(0, OUT)
    total = tl.zeros([OUT], tl.float32)
    squares = tl.zeros([OUT], tl.float32)
    for first in range(0, programs, ROWS):
        number = first + tl.arange(0, ROWS)
        at = sums_at + number[:, None] * 2 * OUT + outof[None, :]
        total += tl.sum(tl.load(at, mask=(number < programs)[:, None], other=0.0), 0)
        squares += tl.sum(tl.load(at + OUT, mask=(number < programs)[:, None], other=0.0), 0)
    mean = total / pixels
    variance = tl.maximum(squares / pixels - mean * mean, 0.0)
    inverse = 1.0 / tl.sqrt(variance + small)
    scale = tl.load(weight_at + outof) * inverse
    tl.store(out_at + outof, scale)
    tl.store(out_at + OUT + outof, tl.load(bias_at + outof) - mean * scale)
    tl.store(out_at + 2 * OUT + outof, mean)
    tl.store(out_at + 3 * OUT + outof, inverse)
    before = tl.load(mean_at + outof)
    tl.store(mean_at + outof, before + momentum * (mean - before))
    before = tl.load(variance_at + outof)
    tl.store(variance_at + outof, before + momentum * (variance * (pixels / (pixels - 1.0)) - before))


@triton.jit
def _normal(y_at, of_at, at, channel, OUT: tl.constexpr, inside):
    y = tl.load(y_at + at, mask=inside, other=0.0).to(tl.float32)
    return y * tl.load(of_at + channel) + tl.load(of_at + OUT + channel)


@triton.jit
def add_up(
    y0, y1, y2, of0, of1, of2, p0, p1, p2, out_at, values,
    NORMAL: tl.constexpr, PLAIN: tl.constexpr, OUT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A node: the sum of up to three values to be normalized and of up to three as they are."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < values
    channel = at % OUT
    summed = tl.zeros([BLOCK], tl.float32)
    if NORMAL > 0:
        summed += _normal(y0, of0, at, channel, OUT, inside)
    if NORMAL > 1:
        summed += _normal(y1, of1, at, channel, OUT, inside)
    if NORMAL > 2:
        summed += _normal(y2, of2, at, channel, OUT, inside)
    if PLAIN > 0:
        summed += tl.load(p0 + at, mask=inside, other=0.0).to(tl.float32)
    if PLAIN > 1:
        summed += tl.load(p1 + at, mask=inside, other=0.0).to(tl.float32)
    if PLAIN > 2:
        summed += tl.load(p2 + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_at + at, summed.to(out_at.dtype.element_ty), mask=inside)


@triton.jit
def by_norm(
    d_at, y0, y1, y2, of0, of1, of2, sums_at, pixels,
    NORMAL: tl.constexpr, OUT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """For each program the sums of the node's gradient, and of it times each normalized value: 4×C."""
    outof = tl.arange(0, OUT)
    s = tl.zeros([OUT], tl.float32)
    s0 = tl.zeros([OUT], tl.float32)
    s1 = tl.zeros([OUT], tl.float32)
    s2 = tl.zeros([OUT], tl.float32)
    m0, i0 = tl.load(of0 + 2 * OUT + outof), tl.load(of0 + 3 * OUT + outof)
    m1, i1 = tl.load(of1 + 2 * OUT + outof), tl.load(of1 + 3 * OUT + outof)
    m2, i2 = tl.load(of2 + 2 * OUT + outof), tl.load(of2 + 3 * OUT + outof)
    for tile in range(tl.program_id(0), tl.cdiv(pixels, BLOCK), tl.num_programs(0)):
        pixel = tile * BLOCK + tl.arange(0, BLOCK)
        inside = (pixel < pixels)[:, None]
        at = pixel[:, None] * OUT + outof[None, :]
        d = tl.load(d_at + at, mask=inside, other=0.0).to(tl.float32)
        s += tl.sum(d, 0)
        y = tl.load(y0 + at, mask=inside, other=0.0).to(tl.float32)
        s0 += tl.sum(d * (y - m0[None, :]) * i0[None, :], 0)
        if NORMAL > 1:
            y = tl.load(y1 + at, mask=inside, other=0.0).to(tl.float32)
            s1 += tl.sum(d * (y - m1[None, :]) * i1[None, :], 0)
        if NORMAL > 2:
            y = tl.load(y2 + at, mask=inside, other=0.0).to(tl.float32)
            s2 += tl.sum(d * (y - m2[None, :]) * i2[None, :], 0)
    at = sums_at + tl.program_id(0) * 4 * OUT + outof
    tl.store(at, s)
    tl.store(at + OUT, s0)
    tl.store(at + 2 * OUT, s1)
    tl.store(at + 3 * OUT, s2)


@triton.jit
def by_norm_end(
    sums_at, programs, of0, of1, of2, dweight_at, dbias_at, by_at, pixels, OUT: tl.constexpr, ROWS: tl.constexpr
):
    """From those sums, of one of the values (a program each): the gradients by weight and bias, and a, b, c (3×C) so
    that the gradient by the value y is a·d + b·y + c."""
    which = tl.program_id(0)
    outof = tl.arange(0, OUT)
    of = of0
    if which == 1:
        of = of1
    if which == 2:
        of = of2
    s = tl.zeros([OUT], tl.float32)
    sy = tl.zeros([OUT], tl.float32)
    for first in range(0, programs, ROWS):
        number = first + tl.arange(0, ROWS)
        at = sums_at + number[:, None] * 4 * OUT + outof[None, :]
        s += tl.sum(tl.load(at, mask=(number < programs)[:, None], other=0.0), 0)
        sy += tl.sum(tl.load(at + (1 + which) * OUT, mask=(number < programs)[:, None], other=0.0), 0)
    tl.store(dbias_at + which * OUT + outof, s)
    tl.store(dweight_at + which * OUT + outof, sy)
    scale, mean, inverse = tl.load(of + outof), tl.load(of + 2 * OUT + outof), tl.load(of + 3 * OUT + outof)
    b = -scale * inverse * sy / pixels
    tl.store(by_at + which * 3 * OUT + outof, scale)
    tl.store(by_at + which * 3 * OUT + OUT + outof, b)
    tl.store(by_at + which * 3 * OUT + 2 * OUT + outof, -scale * s / pixels - b * mean)


@triton.jit
def _by_value(y_at, dy_at, by, d, at, channel, OUT: tl.constexpr, inside):
    y = tl.load(y_at + at, mask=inside, other=0.0).to(tl.float32)
    dy = tl.load(by + channel) * d + tl.load(by + OUT + channel) * y + tl.load(by + 2 * OUT + channel)
    tl.store(dy_at + at, dy.to(dy_at.dtype.element_ty), mask=inside)


@triton.jit
def by_values(
    d_at, y0, y1, y2, dy0, dy1, dy2, by_at, values, NORMAL: tl.constexpr, OUT: tl.constexpr, BLOCK: tl.constexpr
):
    """The gradients by the values that were normalized."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < values
    channel = at % OUT
    d = tl.load(d_at + at, mask=inside, other=0.0).to(tl.float32)
    _by_value(y0, dy0, by_at, d, at, channel, OUT, inside)
    if NORMAL > 1:
        _by_value(y1, dy1, by_at + 3 * OUT, d, at, channel, OUT, inside)
    if NORMAL > 2:
        _by_value(y2, dy2, by_at + 6 * OUT, d, at, channel, OUT, inside)


@triton.jit
def _across(at, HEIGHT: tl.constexpr):
    """How many rows there are of the three around one."""
    return tl.where(at > 0, 1.0, 0.0) + tl.where(at < HEIGHT - 1, 1.0, 0.0) + 1.0


@triton.jit
def pool(x_at, y_at, pixels, HEIGHT: tl.constexpr, CHANNELS: tl.constexpr, BACK: tl.constexpr, BLOCK: tl.constexpr):
    """Means of 3×3 pixels, of those that there are; with BACK its gradient: each pixel's share of those around it."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    pixel = at // CHANNELS
    inside = pixel < pixels
    row, column = (pixel // HEIGHT) % HEIGHT, pixel % HEIGHT
    summed = tl.zeros([BLOCK], tl.float32)
    for tap in tl.static_range(9):
        down = tap // 3 - 1
        right = tap % 3 - 1
        r, c = row + down, column + right
        there = inside & (r >= 0) & (r < HEIGHT) & (c >= 0) & (c < HEIGHT)
        read = tl.load(x_at + at + (down * HEIGHT + right) * CHANNELS, mask=there, other=0.0).to(tl.float32)
        if BACK:
            read = read / (_across(r, HEIGHT) * _across(c, HEIGHT))
        summed += read
    if not BACK:
        summed = summed / (_across(row, HEIGHT) * _across(column, HEIGHT))
    tl.store(y_at + at, summed.to(y_at.dtype.element_ty), mask=inside)
