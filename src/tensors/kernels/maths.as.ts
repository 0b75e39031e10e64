/** Four numbers at a time: exponential, sums over the lanes, and the one to three elements at the end of a row. */
import { multiplyAdd } from "./tiles.as";

// Constants of the innermost loops are exported variables, which the compiler cannot take for constants: V8 puts a constant
// vector together anew at every use, by three instructions, and loads a variable into all lanes by one.
export let lowest: f32 = -87.3;
export let highest: f32 = 88.8;
export let inverseLog2: f32 = 1.44269504;
export let rounding: f32 = 12583039;
export let log2High: f32 = -0.693359375;
export let log2Low: f32 = 2.12194440e-4;
export let term5: f32 = 1.3981999507e-3;
export let term6: f32 = 1.9875691500e-4;
export let term4: f32 = 8.3334519073e-3;
export let term3: f32 = 4.1665795894e-2;
export let term2: f32 = 1.6666665459e-1;
export let term1: f32 = 5.0000001201e-1;
export let one: f32 = 1;

/**
 * eˣ to about 1.5 units in the last place: x = n·ln 2 + r with ln 2 in two parts (Cody & Waite 1980), e^r by a polynomial
 * of degree 6 that is minimax on |r| ≤ ½·ln 2, times 2ⁿ. Below −87.3 it is 0, from 88.4 on infinite.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  // The pseudo-minimum and -maximum are one instruction each, and keep a NaN that comes first.
  const bounded = f32x4.pmin(f32x4.pmax(x, f32x4.splat(lowest)), f32x4.splat(highest));
  // Added to 1.5·2²³, a number is rounded to a whole one, which stands in the low bits; 127 more is the exponent's bias.
  const shifted = f32x4.add(f32x4.mul(bounded, f32x4.splat(inverseLog2)), f32x4.splat(rounding));
  const n = f32x4.sub(shifted, f32x4.splat(rounding));
  let r = multiplyAdd(bounded, n, f32x4.splat(log2High));
  r = multiplyAdd(r, n, f32x4.splat(log2Low));
  let p = multiplyAdd(f32x4.splat(term5), r, f32x4.splat(term6));
  p = multiplyAdd(f32x4.splat(term4), p, r);
  p = multiplyAdd(f32x4.splat(term3), p, r);
  p = multiplyAdd(f32x4.splat(term2), p, r);
  p = multiplyAdd(f32x4.splat(term1), p, r);
  p = multiplyAdd(f32x4.add(r, f32x4.splat(one)), f32x4.mul(r, r), p);
  const power = i32x4.shl(shifted, 23);
  return v128.andnot(f32x4.mul(p, power), f32x4.lt(x, f32x4.splat(lowest)));
}

/**
 * log x for a positive x, to the last place of float32: 2·artanh((m − 1)/(m + 1)) + e·log 2 with m near 1. Infinity and NaN
 * stay what they are.
 */
export function logarithm(x: f64): f64 {
  if (!(x < Infinity)) return x;
  const bits = reinterpret<i64>(x);
  let exponent = <i32>((bits >> 52) & 0x7ff) - 1023;
  let m = reinterpret<f64>((bits & 0xfffffffffffff) | 0x3ff0000000000000); // in [1, 2)
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  const s = (m - 1) / (m + 1); // |s| ≤ 0.172, so the term left out is below 1e-12
  const q = s * s;
  const series = 1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11 + q * (1.0 / 13))))));
  return 2 * s * series + <f64>exponent * 0.6931471805599453;
}

// @ts-ignore: decorator
@inline
export function sum4(v: v128): f32 {
  return (
    f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))
  );
}

// @ts-ignore: decorator
@inline
export function max4(v: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max<f32>(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** The 1 to 3 floats at `from`, the lanes after them `filler`. */
export function loadEnd(from: usize, count: i32, filler: f32): v128 {
  let v = f32x4.replace_lane(f32x4.splat(filler), 0, load<f32>(from));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(from, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(from, 8));
  return v;
}

/** Stores the first 1 to 3 lanes. */
export function storeEnd(to: usize, count: i32, v: v128): void {
  store<f32>(to, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(v, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(v, 2), 8);
}
