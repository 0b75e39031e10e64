/** Layer normalisation over rows of `width`. */
import { loadEnd, storeEnd, sum4 } from "./maths.as";

/** y = gain·(x − mean)·scale + bias, with mean and scale = 1/√(variance + epsilon) of each row kept for the gradient. */
export function layerNorm(
  x: usize, gain: usize, bias: usize, rows: i32, width: i32, epsilon: f32, y: usize, means: usize, scales: usize,
): void {
  const whole = <usize>(width & ~3) << 2;
  const end = width & 3;
  const bytes = <usize>width << 2;
  for (let r = 0; r < rows; r++) {
    let sum = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) sum = f32x4.add(sum, v128.load(x + at));
    if (end) sum = f32x4.add(sum, loadEnd(x + whole, end, 0));
    const mean = sum4(sum) / <f32>width;
    const mean4 = f32x4.splat(mean);
    let squares = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) {
      const d = f32x4.sub(v128.load(x + at), mean4);
      squares = f32x4.add(squares, f32x4.mul(d, d));
    }
    if (end) {
      const d = f32x4.sub(loadEnd(x + whole, end, mean), mean4);
      squares = f32x4.add(squares, f32x4.mul(d, d));
    }
    const scale: f32 = <f32>1 / sqrt<f32>(sum4(squares) / <f32>width + epsilon);
    const scale4 = f32x4.splat(scale);
    for (let at: usize = 0; at < whole; at += 16) {
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean4), scale4);
      v128.store(y + at, f32x4.add(f32x4.mul(normal, v128.load(gain + at)), v128.load(bias + at)));
    }
    for (let at = whole; at < bytes; at += 4) {
      store<f32>(y + at, (load<f32>(x + at) - mean) * scale * load<f32>(gain + at) + load<f32>(bias + at));
    }
    store<f32>(means + (<usize>r << 2), mean);
    store<f32>(scales + (<usize>r << 2), scale);
    x += bytes;
    y += bytes;
  }
}

/**
 * With x̂ = (x − mean)·scale: dgain = Σ dy·x̂, dbias = Σ dy over the rows, and
 * dx = scale·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·gain.
 */
export function layerNormGradient(
  x: usize, gain: usize, means: usize, scales: usize, dy: usize, rows: i32, width: i32,
  dx: usize, dgain: usize, dbias: usize,
): void {
  const whole = <usize>(width & ~3) << 2;
  const end = width & 3;
  const bytes = <usize>width << 2;
  memory.fill(dgain, 0, bytes);
  memory.fill(dbias, 0, bytes);
  for (let r = 0; r < rows; r++) {
    const mean = load<f32>(means + (<usize>r << 2));
    const scale = load<f32>(scales + (<usize>r << 2));
    const mean4 = f32x4.splat(mean), scale4 = f32x4.splat(scale);
    let sum = f32x4.splat(0), along = f32x4.splat(0);
    for (let at: usize = 0; at < whole; at += 16) {
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean4), scale4);
      const d = v128.load(dy + at);
      const dNormal = f32x4.mul(d, normal);
      v128.store(dgain + at, f32x4.add(v128.load(dgain + at), dNormal));
      v128.store(dbias + at, f32x4.add(v128.load(dbias + at), d));
      sum = f32x4.add(sum, f32x4.mul(d, v128.load(gain + at)));
      along = f32x4.add(along, f32x4.mul(dNormal, v128.load(gain + at)));
    }
    if (end) {
      const normal = f32x4.mul(f32x4.sub(loadEnd(x + whole, end, mean), mean4), scale4);
      const d = loadEnd(dy + whole, end, 0), g = loadEnd(gain + whole, end, 0);
      const dNormal = f32x4.mul(d, normal);
      storeEnd(dgain + whole, end, f32x4.add(loadEnd(dgain + whole, end, 0), dNormal));
      storeEnd(dbias + whole, end, f32x4.add(loadEnd(dbias + whole, end, 0), d));
      sum = f32x4.add(sum, f32x4.mul(d, g));
      along = f32x4.add(along, f32x4.mul(dNormal, g));
    }
    const meanGradient = sum4(sum) / <f32>width, meanAlong = sum4(along) / <f32>width;
    const meanGradient4 = f32x4.splat(meanGradient), meanAlong4 = f32x4.splat(meanAlong);
    for (let at: usize = 0; at < whole; at += 16) {
      const normal = f32x4.mul(f32x4.sub(v128.load(x + at), mean4), scale4);
      const g = f32x4.mul(v128.load(dy + at), v128.load(gain + at));
      const centred = f32x4.sub(f32x4.sub(g, meanGradient4), f32x4.mul(normal, meanAlong4));
      v128.store(dx + at, f32x4.mul(centred, scale4));
    }
    for (let at = whole; at < bytes; at += 4) {
      const normal = (load<f32>(x + at) - mean) * scale;
      const g = load<f32>(dy + at) * load<f32>(gain + at);
      store<f32>(dx + at, (g - meanGradient - normal * meanAlong) * scale);
    }
    x += bytes;
    dy += bytes;
    dx += bytes;
  }
}
