import * as tf from "@tensorflow/tfjs";
import { AdamW } from "../../src/tensors/adamw";
import { causalAttention } from "../../src/tensors/attention";
import { embedding } from "../../src/tensors/embedding";
import { gelu } from "../../src/tensors/gelu";
import { layerNorm } from "../../src/tensors/layer-norm";
import { Random } from "../../src/tensors/random";
import { tokenLogProbs } from "../../src/tensors/token-log-probs";

/**
 * Trains one block of everything the kernels do for some steps, from a seed; returns every bit of the parameters that
 * result, as hexadecimal text.
 */
export function trainTiny(steps: number): string {
  const rng = Random.fromSeed(71);
  const [B, T, V, width, heads] = [5, 19, 23, 24, 3];
  const parameters = new Map<string, tf.Variable>();
  const make = (name: string, shape: number[], value: () => number): void => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, value);
    parameters.set(name, tf.tidy(() => tf.variable(tf.tensor(values, shape)))); // prettier-ignore
  };
  const weight = (): number => 0.2 * rng.normal();
  make("table", [V, width], weight);
  make("qkv", [width, 3 * width], weight);
  make("up", [width, 4 * width], weight);
  make("down", [4 * width, width], weight);
  make("gain", [width], () => 1);
  make("bias", [width], () => 0);
  const ids = Int32Array.from({ length: B * (T + 1) }, () => rng.integer(V));
  const optimiser = new AdamW(parameters, { weightDecay: 0.1 });
  const at = (name: string): tf.Variable => parameters.get(name)!;
  const norm = (x: tf.Tensor): tf.Tensor => layerNorm(x, at("gain") as tf.Tensor1D, at("bias") as tf.Tensor1D);
  for (let step = 0; step < steps; step++) {
    tf.tidy(() => {
      const tokens = tf.tensor2d(ids, [B, T + 1], "int32");
      const { grads } = tf.variableGrads(() => {
        const table = at("table") as tf.Tensor as tf.Tensor2D;
        let x = embedding(table, tokens.slice([0, 0], [B, T])).reshape([B * T, width]);
        const qkv = tf.matMul(norm(x) as tf.Tensor2D, at("qkv") as tf.Tensor as tf.Tensor2D).reshape([B, T, 3 * width]);
        x = x.add(causalAttention(qkv as tf.Tensor3D, heads).reshape([B * T, width]));
        x = x.add(tf.matMul(gelu(tf.matMul(norm(x), at("up"))), at("down")));
        const targets = tokens.slice([0, 1], [B, T]).reshape([B * T]);
        return tokenLogProbs(tf.matMul(x, table, false, true), targets)
          .mean()
          .neg() as tf.Scalar;
      });
      optimiser.apply(new Map([...parameters].map(([name, variable]) => [name, grads[variable.name]])), 0.01);
    });
  }
  const bits = [...parameters.values()].map((variable) =>
    Buffer.from(variable.dataSync().slice().buffer).toString("hex"),
  );
  optimiser.dispose();
  for (const variable of parameters.values()) variable.dispose();
  return bits.join(" ");
}
