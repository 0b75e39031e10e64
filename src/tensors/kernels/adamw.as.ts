/** One step of AdamW over one parameter, and the size of a gradient. */
import { loadEnd, storeEnd, sum4 } from "./maths.as";

/**
 * In place: g ← scale·gradient, m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g²,
 * θ ← θ·keep − rate·m / (√(v·correction) + ε). `keep` is 1 − learning rate·decay, `rate` the learning rate over 1 − β₁ᵗ
 * and `correction` 1 / (1 − β₂ᵗ); rest1 = 1 − β₁ and rest2 = 1 − β₂, which float32 would round less well here.
 */
export function adamw(
  parameter: usize, gradient: usize, first: usize, second: usize, n: i32,
  rate: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, epsilon: f32, keep: f32, correction: f32, scale: f32,
): void {
  const end = n & 3;
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i << 2;
    const last = i + 4 > n;
    const g = f32x4.mul(last ? loadEnd(gradient + at, end, 0) : v128.load(gradient + at), f32x4.splat(scale));
    let m = last ? loadEnd(first + at, end, 0) : v128.load(first + at);
    let v = last ? loadEnd(second + at, end, 0) : v128.load(second + at);
    let p = last ? loadEnd(parameter + at, end, 0) : v128.load(parameter + at);
    m = f32x4.add(f32x4.mul(f32x4.splat(beta1), m), f32x4.mul(f32x4.splat(rest1), g));
    v = f32x4.add(f32x4.mul(f32x4.splat(beta2), v), f32x4.mul(f32x4.splat(rest2), f32x4.mul(g, g)));
    const deviation = f32x4.add(f32x4.sqrt(f32x4.mul(v, f32x4.splat(correction))), f32x4.splat(epsilon));
    p = f32x4.sub(f32x4.mul(p, f32x4.splat(keep)), f32x4.div(f32x4.mul(m, f32x4.splat(rate)), deviation));
    if (last) {
      storeEnd(first + at, end, m);
      storeEnd(second + at, end, v);
      storeEnd(parameter + at, end, p);
    } else {
      v128.store(first + at, m);
      v128.store(second + at, v);
      v128.store(parameter + at, p);
    }
  }
}

// Sums of so many floats are in float32, their sums in float64: fast, and as exact for large tensors as for small.
const run: i32 = 2048;

/** Σ xᵢ², or Σ xᵢ with `plain`. */
export function total(x: usize, n: i32, plain: bool): f64 {
  let whole: f64 = 0;
  for (let start = 0; start < n; start += run) {
    const stop = min(start + run, n);
    let a = f32x4.splat(0), b = a, c = a, d = a;
    let i = start;
    for (; i + 16 <= stop; i += 16) {
      const at = x + (<usize>i << 2);
      const p = v128.load(at), q = v128.load(at, 16), r = v128.load(at, 32), s = v128.load(at, 48);
      a = f32x4.add(a, plain ? p : f32x4.mul(p, p));
      b = f32x4.add(b, plain ? q : f32x4.mul(q, q));
      c = f32x4.add(c, plain ? r : f32x4.mul(r, r));
      d = f32x4.add(d, plain ? s : f32x4.mul(s, s));
    }
    whole += <f64>sum4(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    for (; i < stop; i++) {
      const value = <f64>load<f32>(x + (<usize>i << 2));
      whole += plain ? value : value * value;
    }
  }
  return whole;
}
