/** log softmax(logits)[target] by rows of `width` logits. */
import { exp4, loadEnd, logarithm, max4, storeEnd, sum4 } from "./maths.as";

/**
 * Writes each row's log-probability of its target and its log Σ exp, kept for the gradient. Returns −1, or the first row
 * whose target is no index of it.
 */
export function tokenLogProbs(
  logits: usize, targets: usize, rows: i32, width: i32, logProbs: usize, normalisers: usize,
): i32 {
  const whole = <usize>(width & ~3) << 2;
  const end = width & 3;
  for (let r = 0; r < rows; r++) {
    const target = load<i32>(targets + (<usize>r << 2));
    if (<u32>target >= <u32>width) return r;
    let highest4 = f32x4.splat(-Infinity);
    for (let at: usize = 0; at < whole; at += 16) highest4 = f32x4.pmax(v128.load(logits + at), highest4);
    if (end) highest4 = f32x4.max(highest4, loadEnd(logits + whole, end, -Infinity));
    const highest = max4(highest4);
    highest4 = f32x4.splat(highest);
    let sum = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) sum = f32x4.add(sum, exp4(f32x4.sub(v128.load(logits + at), highest4)));
    if (end) sum = f32x4.add(sum, exp4(f32x4.sub(loadEnd(logits + whole, end, -Infinity), highest4)));
    // The two are added last, in double precision: log Σ is small where the highest logit is large.
    const logSum = logarithm(<f64>sum4(sum));
    store<f32>(logProbs + (<usize>r << 2), <f32>(<f64>load<f32>(logits + (<usize>target << 2)) - <f64>highest - logSum));
    store<f32>(normalisers + (<usize>r << 2), <f32>(<f64>highest + logSum));
    logits += <usize>width << 2;
  }
  return -1;
}

/** dlogits = dy·(one-hot(target) − softmax) */
export function tokenLogProbsGradient(
  logits: usize, targets: usize, normalisers: usize, dy: usize, rows: i32, width: i32, dlogits: usize,
): void {
  const whole = <usize>(width & ~3) << 2;
  const end = width & 3;
  for (let r = 0; r < rows; r++) {
    const d = load<f32>(dy + (<usize>r << 2));
    if (d == 0) {
      memory.fill(dlogits, 0, <usize>width << 2); // a masked position
    } else {
      const minus = f32x4.splat(-d);
      const normaliser = f32x4.splat(load<f32>(normalisers + (<usize>r << 2)));
      for (let at: usize = 0; at < whole; at += 16) {
        v128.store(dlogits + at, f32x4.mul(minus, exp4(f32x4.sub(v128.load(logits + at), normaliser))));
      }
      if (end) storeEnd(dlogits + whole, end, f32x4.mul(minus, exp4(f32x4.sub(loadEnd(logits + whole, end, 0), normaliser))));
      const at = dlogits + (<usize>load<i32>(targets + (<usize>r << 2)) << 2);
      store<f32>(at, load<f32>(at) + d);
    }
    logits += <usize>width << 2;
    dlogits += <usize>width << 2;
  }
}
