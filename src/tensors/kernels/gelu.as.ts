/** GELU in its tanh form: ½·x·(1 + tanh u) = x·σ(2u) with u = √(2/π)·(x + 0.044715·x³). */
import { exp4, loadEnd, one, storeEnd } from "./maths.as";

export let twice: f32 = 1.5957691216057308; // 2·√(2/π)
export let cubic: f32 = 0.044715;
export let threeCubic: f32 = 3 * 0.044715;

// @ts-ignore: decorator
@inline
function gate(x: v128): v128 {
  const u = f32x4.mul(x, f32x4.mul(f32x4.splat(twice), f32x4.add(f32x4.splat(one), f32x4.mul(f32x4.splat(cubic), f32x4.mul(x, x)))));
  return f32x4.div(f32x4.splat(one), f32x4.add(f32x4.splat(one), exp4(f32x4.neg(u))));
}

// @ts-ignore: decorator
@inline
function value(x: v128): v128 {
  return f32x4.mul(x, gate(x));
}

/** d(x·σ(2u))/dx = σ + x·σ·(1 − σ)·2·du/dx */
// @ts-ignore: decorator
@inline
function slope(x: v128): v128 {
  const s = gate(x);
  const inner = f32x4.mul(f32x4.splat(twice), f32x4.add(f32x4.splat(one), f32x4.mul(f32x4.splat(threeCubic), f32x4.mul(x, x))));
  return f32x4.add(s, f32x4.mul(f32x4.mul(x, inner), f32x4.mul(s, f32x4.sub(f32x4.splat(one), s))));
}

// Eight numbers a time, in two halves alike, which V8 may join.
export function gelu(x: usize, n: i32, y: usize): void {
  let i = 0;
  for (; i + 8 <= n; i += 8, x += 32, y += 32) {
    const low = value(v128.load(x)), high = value(v128.load(x, 16));
    v128.store(y, low);
    v128.store(y, high, 16);
  }
  for (; i + 4 <= n; i += 4, x += 16, y += 16) v128.store(y, value(v128.load(x)));
  if (i < n) storeEnd(y, n - i, value(loadEnd(x, n - i, 0)));
}

export function geluGradient(x: usize, dy: usize, n: i32, dx: usize): void {
  let i = 0;
  for (; i + 8 <= n; i += 8, x += 32, dy += 32, dx += 32) {
    const low = f32x4.mul(v128.load(dy), slope(v128.load(x)));
    const high = f32x4.mul(v128.load(dy, 16), slope(v128.load(x, 16)));
    v128.store(dx, low);
    v128.store(dx, high, 16);
  }
  for (; i + 4 <= n; i += 4, x += 16, dy += 16, dx += 16) {
    v128.store(dx, f32x4.mul(v128.load(dy), slope(v128.load(x))));
  }
  if (i < n) storeEnd(dx, n - i, f32x4.mul(loadEnd(dy, n - i, 0), slope(loadEnd(x, n - i, 0))));
}
