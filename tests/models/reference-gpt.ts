import type { GptConfig } from "../../src/models/gpt";

/**
 * The forward pass of the course's transformer written a second time, from the papers, in float64 and plain loops over one
 * sequence, so that the tfjs model has something to agree with.
 *
 * Weights are row-major; a linear layer computes y_j = Σ_i x_i·W[i, j] + b_j.
 */
export function referenceLogits(
  config: GptConfig,
  weights: ReadonlyMap<string, Float64Array>,
  tokens: readonly number[],
): number[][] {
  const table = weights.get("token-embedding")!;
  return referenceHidden(config, weights, tokens).map((h) =>
    Array.from({ length: config.vocabularySize }, (_, v) =>
      h.reduce((sum, value, i) => sum + value * table[v * config.width + i], 0),
    ),
  );
}

/** The residual stream after the last norm, [T][d]. */
export function referenceHidden(
  { width, layers, heads }: GptConfig,
  weights: ReadonlyMap<string, Float64Array>,
  tokens: readonly number[],
): number[][] {
  const w = (name: string): Float64Array => {
    const found = weights.get(name);
    if (!found) throw new Error(`no weight ${name}`);
    return found;
  };
  const linear = (x: number[], name: string, outputs: number): number[] => {
    const matrix = w(`${name}.weight`);
    const bias = w(`${name}.bias`);
    const y = new Array<number>(outputs);
    for (let j = 0; j < outputs; j++) {
      y[j] = bias[j];
      for (let i = 0; i < x.length; i++) y[j] += x[i] * matrix[i * outputs + j];
    }
    return y;
  };
  const norm = (x: number[], name: string): number[] => {
    const gain = w(`${name}.gain`);
    const bias = w(`${name}.bias`);
    let mean = 0;
    for (const value of x) mean += value / x.length;
    let variance = 0;
    for (const value of x) variance += (value - mean) ** 2 / x.length;
    return x.map((value, i) => (gain[i] * (value - mean)) / Math.sqrt(variance + 1e-5) + bias[i]);
  };
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  const size = width / heads;
  let stream = tokens.map((token, t) =>
    Array.from(
      { length: width },
      (_, i) => w("token-embedding")[token * width + i] + w("position-embedding")[t * width + i],
    ),
  );
  for (let layer = 0; layer < layers; layer++) {
    const packed = stream.map((x) =>
      linear(norm(x, `block.${layer}.attention.norm`), `block.${layer}.attention.qkv`, 3 * width),
    );
    const mixed = stream.map((_, t) => {
      const out = new Array<number>(width).fill(0);
      for (let head = 0; head < heads; head++) {
        const scores: number[] = [];
        for (let s = 0; s <= t; s++) {
          let score = 0;
          for (let i = head * size; i < (head + 1) * size; i++) score += packed[t][i] * packed[s][width + i];
          scores.push(score / Math.sqrt(size));
        }
        const top = Math.max(...scores);
        const exps = scores.map((score) => Math.exp(score - top));
        const total = exps.reduce((a, b) => a + b);
        for (let i = head * size; i < (head + 1) * size; i++) {
          for (let s = 0; s <= t; s++) out[i] += (exps[s] / total) * packed[s][2 * width + i];
        }
      }
      return out;
    });
    const add = (x: number[], y: number[]): number[] => x.map((value, i) => value + y[i]);
    stream = stream.map((x, t) => add(x, linear(mixed[t], `block.${layer}.attention.projection`, width)));
    stream = stream.map((x) => {
      const inner = linear(norm(x, `block.${layer}.network.norm`), `block.${layer}.network.expansion`, 4 * width);
      return add(x, linear(inner.map(gelu), `block.${layer}.network.projection`, width));
    });
  }
  return stream.map((x) => norm(x, "norm"));
}

/** log softmax of a row of logits at an index; blocked ids have probability 0. */
export function referenceLogProb(logits: readonly number[], token: number, blocked: readonly number[] = []): number {
  const allowed = logits.filter((_, v) => !blocked.includes(v));
  const top = Math.max(...allowed);
  return logits[token] - top - Math.log(allowed.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
}

/** d f / d weight of every weight by central differences in float64. */
export function referenceGradient(
  weights: ReadonlyMap<string, Float64Array>,
  f: (weights: ReadonlyMap<string, Float64Array>) => number,
  step = 1e-5,
): Map<string, Float64Array> {
  return new Map(
    [...weights].map(([name, values]) => [
      name,
      values.map((value, i) => {
        values[i] = value + step;
        const above = f(weights);
        values[i] = value - step;
        const below = f(weights);
        values[i] = value;
        return (above - below) / (2 * step);
      }),
    ]),
  );
}
