/** Sums along one axis of [outer, n, inner]. */
import { total } from "./adamw.as";

export function sumAxis(x: usize, outer: i32, n: i32, inner: i32, to: usize): void {
  if (inner == 1) {
    for (let o = 0; o < outer; o++, x += <usize>n << 2) store<f32>(to + (<usize>o << 2), <f32>total(x, n, true));
    return;
  }
  const bytes = <usize>inner << 2;
  const whole = bytes & ~15;
  for (let o = 0; o < outer; o++, to += bytes) {
    memory.fill(to, 0, bytes);
    for (let i = 0; i < n; i++, x += bytes) {
      for (let at: usize = 0; at < whole; at += 16) v128.store(to + at, f32x4.add(v128.load(to + at), v128.load(x + at)));
      for (let at = whole; at < bytes; at += 4) store<f32>(to + at, load<f32>(to + at) + load<f32>(x + at));
    }
  }
}
