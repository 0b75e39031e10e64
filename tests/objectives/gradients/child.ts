/**
 * The process in which every loss's gradient is compared with finite differences: it prints one JSON list of
 * {@link CheckedGradient}. A process of its own, since it changes tfjs' precision and `stopGradient` for good.
 */
import { computeInDoublePrecision } from "./double-precision"; // before everything else that loads tfjs
import { note, replay } from "./replayed-stop-gradient"; // before the losses
import * as tf from "@tensorflow/tfjs";
import { finiteDifferenceGradient } from "../../../src/evaluation/exact";
import { allMethods } from "../../../src/objectives/methods";
import { Random } from "../../../src/tensors/random";
import { gradientCases } from "./cases";

/** One input of one case of a loss. */
export interface CheckedGradient {
  loss: string;
  /** Whose description has the case; none for a loss of no method. */
  method?: string;
  /** What of the loss's options the case is about. */
  about: string;
  input: string;
  /** The loss promises to hold this input fixed. */
  fixed: boolean;
  /** max |∂L/∂x_i| by tfjs, and max |∂L/∂x_i − by finite differences|. */
  largest: number;
  difference: number;
}

async function main(): Promise<void> {
  await computeInDoublePrecision();
  const checked: CheckedGradient[] = [];
  const ofNoMethod = Object.entries(gradientCases).map(([loss, cases]) => ({ loss, method: undefined, cases }));
  const ofMethods = allMethods.map((method) => ({
    loss: method.loss.name,
    method: method.name,
    cases: method.gradientCases,
  }));
  for (const { loss, method, cases } of [...ofNoMethod, ...ofMethods]) {
    for (const seed of [0, 1]) {
      for (const { about, inputs, fixed, evaluate } of cases(Random.fromSeed(seed).child(loss))) {
        const names = Object.keys(inputs);
        const tensors = names.map((name) => inputs[name]);
        const scalar = (values: tf.Tensor[]): tf.Scalar =>
          evaluate(Object.fromEntries(names.map((name, i) => [name, values[i]])) as never);
        note();
        const gradients = tf.grads((...values: tf.Tensor[]) => scalar(values))(tensors);
        tensors.forEach((tensor, moved) => {
          const numeric = finiteDifferenceGradient((at) => {
            replay();
            return tf.tidy(
              () =>
                scalar(
                  tensors.map((other, i) => (i === moved ? tf.tensor(Array.from(at), tensor.shape) : other)),
                ).dataSync()[0],
            );
          }, tensor.dataSync());
          const exact = gradients[moved].dataSync();
          checked.push({
            loss,
            method,
            about,
            input: names[moved],
            fixed: fixed.includes(names[moved]),
            largest: Math.max(...exact.map(Math.abs)),
            difference: Math.max(...exact.map((g, i) => Math.abs(g - numeric[i]))),
          });
        });
      }
    }
  }
  console.log(JSON.stringify(checked));
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
