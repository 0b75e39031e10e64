/** Inverse transform sampling from rows of logits: the arithmetic of `draw` (models/draw.ts), operation by operation. */

// What no action may have (`impossible` in models/policy.ts) is so far below this that its weight is as good as 0, unless the
// temperature is higher than that.
const leastHighest: f32 = -1e8;
const highestTemperature: f64 = 1e5;
// More than all weights of e⁻⁷⁰⁸ together.
const nothing: f64 = 1e-300;

// Exported variables, which the compiler cannot take for constants (maths.as.ts says why).
export let least2: f64 = -708;
export let inverseLog22: f64 = 1.44269504088896338700;
export let rounding2: f64 = 6755399441055744;
export let log2High2: f64 = 6.93147180369123816490e-1;
export let log2Low2: f64 = 1.90821492927058770002e-10;
export let ratio1: f64 = 1.66666666666666019037e-1;
export let ratio2: f64 = -2.77777777770155933842e-3;
export let ratio3: f64 = 6.61375632143793436117e-5;
export let ratio4: f64 = -1.65339022054652515390e-6;
export let ratio5: f64 = 4.13813679705723846039e-8;
export let one2: f64 = 1;
export let two2: f64 = 2;

/** How much scratch memory `drawTokens` needs. */
export function drawScratchBytes(V: i32): usize {
  return <usize>V << 3;
}

/**
 * eˣ for x ≤ 0, but not less than e⁻⁷⁰⁸, as Math.exp computes it in V8 (fdlibm's e_exp.c; but for few numbers, within 10⁻⁶ of
 * where it rounds n to another whole number or 2⁻²⁸ of 0): x = n·ln 2 + r with ln 2 in two parts, e^r by a rational function,
 * times 2ⁿ. No multiplication is fused with an addition, or last bits would differ.
 */
// @ts-ignore: decorator
@inline
function exp2(x: v128): v128 {
  x = f64x2.pmax(x, f64x2.splat(least2));
  // Added to 1.5·2⁵², a number is rounded to a whole one, which stands in the low bits.
  const shifted = f64x2.add(f64x2.mul(x, f64x2.splat(inverseLog22)), f64x2.splat(rounding2));
  const n = f64x2.sub(shifted, f64x2.splat(rounding2));
  const high = f64x2.sub(x, f64x2.mul(n, f64x2.splat(log2High2)));
  const low = f64x2.mul(n, f64x2.splat(log2Low2));
  const r = f64x2.sub(high, low);
  const t = f64x2.mul(r, r);
  let p = f64x2.add(f64x2.splat(ratio4), f64x2.mul(t, f64x2.splat(ratio5)));
  p = f64x2.add(f64x2.splat(ratio3), f64x2.mul(t, p));
  p = f64x2.add(f64x2.splat(ratio2), f64x2.mul(t, p));
  p = f64x2.add(f64x2.splat(ratio1), f64x2.mul(t, p));
  const c = f64x2.sub(r, f64x2.mul(t, p));
  const quotient = f64x2.div(f64x2.mul(r, c), f64x2.sub(f64x2.splat(two2), c));
  const y = f64x2.sub(f64x2.splat(one2), f64x2.sub(f64x2.sub(low, quotient), high));
  return i64x2.add(y, i64x2.shl(shifted, 52));
}

/**
 * For each of `count` rows of V logits: the token at which the row's number in [0, 1) falls, its weight and the sum of all
 * weights; at temperature 0 the first of the most probable, and 1 and 1. The token is −1 where this does not know what to
 * do: a logit is not a number, no action has a usable one, or the temperature is out of all proportion.
 */
export function drawTokens(
  logits: usize, count: i32, V: i32, temperature: f64, uniforms: usize,
  tokens: usize, weights: usize, totals: usize, scratch: usize,
): void {
  for (let i = 0; i < count; i++) {
    const highest = highestOf(logits, V);
    let token = -1;
    let weight: f64 = 1, total: f64 = 1;
    if (highest > leastHighest && highest < Infinity && temperature <= highestTemperature) {
      if (temperature == 0) {
        token = 0;
        while (load<f32>(logits + (<usize>token << 2)) != highest) token++;
      } else {
        total = weigh(logits, V, highest, temperature, scratch);
        token = tokenAt(load<f64>(uniforms + (<usize>i << 3)) * total, scratch, V);
        weight = load<f64>(scratch + (<usize>token << 3));
      }
    }
    store<i32>(tokens + (<usize>i << 2), token);
    store<f64>(weights + (<usize>i << 3), weight);
    store<f64>(totals + (<usize>i << 3), total);
    logits += <usize>V << 2;
  }
}

/** The highest logit, NaN if one of them is. */
function highestOf(logits: usize, V: i32): f32 {
  const end = logits + (<usize>V << 2);
  let highest: f32 = -Infinity;
  if (V >= 4) {
    let high = v128.load(logits), bad = f32x4.ne(high, high);
    for (; logits + 16 <= end; logits += 16) {
      const x = v128.load(logits);
      high = f32x4.pmax(high, x);
      bad = v128.or(bad, f32x4.ne(x, x));
    }
    if (v128.any_true(bad)) return NaN;
    highest = max(
      max(f32x4.extract_lane(high, 0), f32x4.extract_lane(high, 1)),
      max(f32x4.extract_lane(high, 2), f32x4.extract_lane(high, 3)),
    );
  }
  for (; logits < end; logits += 4) highest = max(highest, load<f32>(logits)); // `max` keeps a NaN
  return highest;
}

/** weights[v] = e^((logit − highest) / temperature), but at least e⁻⁷⁰⁸, which is as good as 0; returns their sum. */
function weigh(logits: usize, V: i32, highest: f32, temperature: f64, weights: usize): f64 {
  const highest2 = f64x2.splat(<f64>highest), temperature2 = f64x2.splat(temperature);
  let v = 0;
  for (; v + 2 <= V; v += 2) {
    let x = f64x2.sub(f64x2.promote_low_f32x4(v128.load64_zero(logits + (<usize>v << 2))), highest2);
    if (temperature != 1) x = f64x2.div(x, temperature2);
    v128.store(weights + (<usize>v << 3), x);
  }
  if (v < V) store<f64>(weights + (<usize>v << 3), (<f64>load<f32>(logits + (<usize>v << 2)) - <f64>highest) / temperature);
  let total: f64 = 0;
  for (v = 0; v + 4 <= V; v += 4, weights += 32) {
    // Two vectors alike, which V8 may join.
    const low = exp2(v128.load(weights)), high = exp2(v128.load(weights, 16));
    v128.store(weights, low);
    v128.store(weights, high, 16);
    total += load<f64>(weights); // one by one, in the order of the tokens, as `draw` does
    total += load<f64>(weights, 8);
    total += load<f64>(weights, 16);
    total += load<f64>(weights, 24);
  }
  for (; v < V; v++, weights += 8) {
    store<f64>(weights, f64x2.extract_lane(exp2(f64x2.splat(load<f64>(weights))), 0));
    total += load<f64>(weights);
  }
  return total;
}

/** The token in whose part of [0, total) a number falls, or the last that has any. */
function tokenAt(left: f64, weights: usize, V: i32): i32 {
  left = max(left, nothing); // 0 falls in the first part that is any
  for (let v = 0; v < V; v++) {
    left -= load<f64>(weights + (<usize>v << 3));
    if (left < 0) return v;
  }
  let last = V - 1;
  while (load<f64>(weights + (<usize>last << 3)) < nothing) last--;
  return last;
}
