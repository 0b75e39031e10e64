/** Elementwise functions that tfjs' wasm backend computes one number at a time. */
import { exp4, loadEnd, storeEnd } from "./maths.as";

/** eˣ over the whole range of float32, its square root being taken by exp4 where that would leave its own range. */
// @ts-ignore: decorator
@inline
function exponential(x: v128): v128 {
  const near = exp4(x);
  const far = f32x4.gt(f32x4.abs(x), f32x4.splat(87));
  if (!v128.any_true(far)) return near;
  const root = exp4(f32x4.mul(x, f32x4.splat(0.5)));
  return v128.bitselect(f32x4.mul(root, root), near, far);
}

/** tanh x: a polynomial in x² near 0 (where the other form cancels), else ±(1 − 2/(e^2|x| + 1)). Cephes' tanhf. */
// @ts-ignore: decorator
@inline
function hyperbolicTangent(x: v128): v128 {
  const size = f32x4.abs(x);
  const e = exp4(f32x4.add(size, size));
  const far = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(e, f32x4.splat(1))));
  const signed = v128.or(far, v128.and(x, f32x4.splat(-0.0)));
  const z = f32x4.mul(x, x);
  let p = f32x4.add(f32x4.mul(f32x4.splat(-5.70498872745e-3), z), f32x4.splat(2.06390887954e-2));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-5.37397155531e-2));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(1.33314422036e-1));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-3.33332819422e-1));
  const near = f32x4.add(x, f32x4.mul(x, f32x4.mul(z, p)));
  return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(0.625)));
}

export function exp(x: usize, n: i32, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4, x += 16, y += 16) v128.store(y, exponential(v128.load(x)));
  if (i < n) storeEnd(y, n - i, exponential(loadEnd(x, n - i, 0)));
}

export function tanh(x: usize, n: i32, y: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4, x += 16, y += 16) v128.store(y, hyperbolicTangent(v128.load(x)));
  if (i < n) storeEnd(y, n - i, hyperbolicTangent(loadEnd(x, n - i, 0)));
}
