import * as tf from "@tensorflow/tfjs";
import { checkShape } from "./shape";
import { adamwInPlace, type AdamWUpdate, fusedKernel } from "./wasm-kernels";

/** Parameters by name, in a fixed order. */
export type Parameters = ReadonlyMap<string, tf.Variable>;

export interface AdamWOptions {
  /** Decay rates of the running means of the gradient and of its square. */
  betas?: [number, number];
  epsilon?: number;
  /** Decoupled weight decay: each step shrinks matrices by learningRate·weightDecay, vectors (gains, biases) not at all. */
  weightDecay?: number;
}

/**
 * AdamW (Loshchilov & Hutter 2019, Algorithm 2): Adam (Kingma & Ba 2015) with weight decay applied to the weight, not
 * mixed into the gradient. With m, v the running means of g, g² and t the step from 1:
 * θ ← θ·(1 − lr·decay) − lr · (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε).
 */
export class AdamW {
  private readonly first = new Map<string, tf.Variable>();
  private readonly second = new Map<string, tf.Variable>();
  private readonly betas: [number, number];
  private readonly epsilon: number;
  private readonly weightDecay: number;
  /** Steps taken so far. */
  steps = 0;

  constructor(
    readonly parameters: Parameters,
    { betas = [0.9, 0.95], epsilon = 1e-8, weightDecay = 0 }: AdamWOptions = {},
  ) {
    this.betas = betas;
    this.epsilon = epsilon;
    this.weightDecay = weightDecay;
    for (const [name, parameter] of parameters) {
      this.first.set(
        name,
        tf.tidy(() => tf.variable(tf.zerosLike(parameter), false)),
      );
      this.second.set(
        name,
        tf.tidy(() => tf.variable(tf.zerosLike(parameter), false)),
      );
    }
  }

  /**
   * One step down the gradients (by parameter name, same shapes), each first multiplied by `scale`, e.g. to clip them;
   * the gradients are not disposed. No tensor but the parameters changes, whatever shares memory with them.
   */
  apply(gradients: ReadonlyMap<string, tf.Tensor>, learningRate: number, scale = 1): void {
    const step = this.steps + 1;
    const [beta1, beta2] = this.betas;
    const correction1 = 1 / (1 - beta1 ** step);
    const correction2 = 1 / (1 - beta2 ** step);
    const updates = [...this.parameters].map(([name, parameter]): AdamWUpdate => {
      const gradient = gradients.get(name);
      if (!gradient) throw new Error(`AdamW.apply: no gradient for "${name}"; pass one for every parameter`);
      checkShape(`AdamW.apply: gradient of "${name}"`, gradient, parameter.shape);
      const first = this.first.get(name)!;
      const second = this.second.get(name)!;
      const decay = parameter.rank >= 2 ? learningRate * this.weightDecay : 0;
      const keep = 1 - decay;
      const { epsilon } = this;
      const constants = { learningRate, beta1, beta2, epsilon, keep, correction1, correction2, scale };
      return { parameter, gradient, first, second, constants };
    });
    for (const update of adamwInPlace(updates)) adamwPlain(update);
    this.steps = step;
  }

  /** The running means as named tensors (`first/…`, `second/…`), for a checkpoint. They stay owned by the optimiser. */
  state(): Map<string, tf.Variable> {
    return new Map([
      ...[...this.first].map(([name, value]) => [`first/${name}`, value] as const),
      ...[...this.second].map(([name, value]) => [`second/${name}`, value] as const),
    ]);
  }

  dispose(): void {
    for (const moment of this.state().values()) moment.dispose();
  }
}

/** The definition in plain tf operations. */
export function adamwPlain({ parameter, gradient, first, second, constants }: AdamWUpdate): void {
  const { learningRate, beta1, beta2, epsilon, keep, correction1, correction2, scale } = constants;
  tf.tidy(() => {
    const g = scale === 1 ? gradient : gradient.mul(scale);
    const m = first.mul(beta1).add(g.mul(1 - beta1));
    const v = second.mul(beta2).add(g.square().mul(1 - beta2));
    const update = m.mul(learningRate * correction1).div(v.mul(correction2).sqrt().add(epsilon));
    parameter.assign((keep === 1 ? parameter : parameter.mul(keep)).sub(update));
    first.assign(m);
    second.assign(v);
  });
}

/** √Σ‖g‖² over all gradients, a scalar. */
export function globalNorm(gradients: Iterable<tf.Tensor>): tf.Scalar {
  const all = [...gradients];
  const kernel = all.every(({ dtype }) => dtype === "float32") ? fusedKernel("GlobalNorm") : undefined;
  if (kernel) return kernel(Object.fromEntries(all.map((gradient, i) => [`x${i}`, gradient])))[0] as tf.Scalar;
  return tf.tidy(() => tf.addN(all.map((gradient) => gradient.square().sum())).sqrt() as tf.Scalar);
}

/**
 * Learning rate at a step (from 0): linear warm-up over `warmUp` steps, then constant, or a half cosine down to
 * `floor`·peak at the last step.
 */
export function learningRateAt(
  step: number,
  options: { peak: number; steps: number; warmUp: number; schedule: "constant" | "cosine"; floor?: number },
): number {
  const { peak, steps, warmUp, schedule, floor = 0.1 } = options;
  if (step < warmUp) return (peak * (step + 1)) / warmUp;
  if (schedule === "constant") return peak;
  const progress = steps - 1 <= warmUp ? 1 : (step - warmUp) / (steps - 1 - warmUp);
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, progress))));
}
