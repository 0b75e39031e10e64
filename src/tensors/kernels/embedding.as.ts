/** Rows of a table by index, and rows added back to where they came from. */

/** to[r] = table[ids[r]]. Returns −1, or the first r whose id is none of the `entries`. */
export function gatherRows(table: usize, entries: i32, ids: usize, rows: i32, width: i32, to: usize): i32 {
  const bytes = <usize>width << 2;
  const whole = bytes & ~15;
  for (let r = 0; r < rows; r++) {
    const id = load<i32>(ids + (<usize>r << 2));
    if (<u32>id >= <u32>entries) return r;
    const from = table + <usize>id * bytes;
    for (let at: usize = 0; at < whole; at += 16) v128.store(to + at, v128.load(from + at));
    for (let at = whole; at < bytes; at += 4) store<u32>(to + at, load<u32>(from + at));
    to += bytes;
  }
  return -1;
}

/** to[s] = Σ of the rows r with ids[r] = s, in the order of r; ids outside [0, segments) are left out. */
function sumRows<T>(rows: usize, ids: usize, count: i32, width: i32, to: usize, segments: i32): void {
  const bytes = <usize>width << 2;
  const whole = bytes & ~15;
  memory.fill(to, 0, <usize>segments * bytes);
  for (let r = 0; r < count; r++, rows += bytes) {
    const id = load<i32>(ids + (<usize>r << 2));
    if (<u32>id >= <u32>segments) continue;
    const sum = to + <usize>id * bytes;
    for (let at: usize = 0; at < whole; at += 16) {
      v128.store(sum + at, v128.add<T>(v128.load(sum + at), v128.load(rows + at)));
    }
    for (let at = whole; at < bytes; at += 4) store<T>(sum + at, load<T>(sum + at) + load<T>(rows + at));
  }
}

export function segmentSumF32(rows: usize, ids: usize, count: i32, width: i32, to: usize, segments: i32): void {
  sumRows<f32>(rows, ids, count, width, to, segments);
}

export function segmentSumI32(rows: usize, ids: usize, count: i32, width: i32, to: usize, segments: i32): void {
  sumRows<i32>(rows, ids, count, width, to, segments);
}
