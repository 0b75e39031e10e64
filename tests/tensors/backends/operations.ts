import * as tf from "@tensorflow/tfjs";
import { adamwPlain, AdamW } from "../../../src/tensors/adamw";
import { causalAttention, causalAttentionPlain } from "../../../src/tensors/attention";
import { embedding, embeddingPlain } from "../../../src/tensors/embedding";
import { gelu, geluPlain } from "../../../src/tensors/gelu";
import { layerNorm, layerNormPlain } from "../../../src/tensors/layer-norm";
import { Random } from "../../../src/tensors/random";
import { tokenLogProbs, tokenLogProbsPlain } from "../../../src/tensors/token-log-probs";
import { integers, normals, type Data, type Operation } from "../fused";

/** An operation, the plain one that defines it, and inputs; the gradient is of Σ dy·value. */
interface Case {
  what: string;
  operation: Operation;
  plain: Operation;
  inputs: Data[];
  /** The shape of the value. */
  out: number[];
}

/** Value and gradients of a case, computed on one backend. */
export interface Computed {
  what: string;
  values: number[][];
  expected: number[][];
}

function cases(rng: Random): Case[] {
  const list: Case[] = [];
  for (const [B, T, heads, size] of [
    [1, 1, 1, 1],
    [3, 7, 3, 5],
    [2, 17, 2, 8],
  ]) {
    const qkv = normals(rng, [B, T, 3 * heads * size]);
    const padding = integers(rng, [B], T + 1); // up to a row of nothing but padding
    const what = `attention [${B}, ${T}], ${heads} heads of ${size}`;
    const out = [B, T, heads * size];
    list.push(
      {
        what,
        operation: ([x]) => causalAttention(x as tf.Tensor3D, heads),
        plain: ([x]) => causalAttentionPlain(x as tf.Tensor3D, heads),
        inputs: [qkv],
        out,
      },
      {
        what: `${what}, padded`,
        operation: ([x], [p]) => causalAttention(x as tf.Tensor3D, heads, p as tf.Tensor1D),
        plain: ([x], [p]) => causalAttentionPlain(x as tf.Tensor3D, heads, p as tf.Tensor1D),
        inputs: [qkv, padding],
        out,
      },
    );
  }
  for (const shape of [
    [1, 2],
    [5, 7, 13],
    [3, 130],
  ]) {
    const width = shape[shape.length - 1];
    list.push({
      what: `layer norm [${shape}]`,
      operation: ([x, gain, bias]) => layerNorm(x, gain as tf.Tensor1D, bias as tf.Tensor1D),
      plain: ([x, gain, bias]) => layerNormPlain(x, gain as tf.Tensor1D, bias as tf.Tensor1D),
      inputs: [normals(rng, shape), normals(rng, [width]), normals(rng, [width])],
      out: shape,
    });
    list.push({
      what: `GELU [${shape}]`,
      operation: ([x]) => gelu(x),
      plain: ([x]) => geluPlain(x),
      inputs: [normals(rng, shape, 3)],
      out: shape,
    });
    list.push({
      what: `token log-probabilities [${shape}]`,
      operation: ([x], [ids]) => tokenLogProbs(x, ids),
      plain: ([x], [ids]) => tokenLogProbsPlain(x, ids),
      inputs: [normals(rng, shape, 3), integers(rng, shape.slice(0, -1), width)],
      out: shape.slice(0, -1),
    });
    list.push({
      what: `embedding of [${shape}] ids`,
      operation: ([x], [ids]) => embedding(x as tf.Tensor2D, ids),
      plain: ([x], [ids]) => embeddingPlain(x as tf.Tensor2D, ids),
      inputs: [normals(rng, [9, 6]), integers(rng, shape, 9)],
      out: [...shape, 6],
    });
    // What notebooks write beside the course's own operations.
    list.push({
      what: `sums along the last axis [${shape}]`,
      operation: ([x]) => tf.cumsum(x, -1),
      plain: ([x]) => tf.cumsum(x, shape.length - 1),
      inputs: [normals(rng, shape)],
      out: shape,
    });
  }
  list.push({
    what: "gather along the last axis",
    operation: ([x], [ids]) => tf.gather(x, ids as tf.Tensor1D, -1),
    plain: ([x], [ids]) => tf.gather(x, ids as tf.Tensor1D, 1),
    inputs: [normals(rng, [4, 9]), integers(rng, [5], 9)],
    out: [4, 5],
  });
  // More summands than a shader binds buffers, as in the norm of many gradients.
  const summands = Array.from({ length: 30 }, () => normals(rng, [3, 5]));
  const total = (terms: tf.Tensor[]): tf.Tensor => terms.reduce((sum, term) => sum.add(term));
  list.push({ what: "sum of 30", operation: tf.addN, plain: total, inputs: summands, out: [3, 5] });
  list.push({
    what: "stack of 30",
    operation: (terms) => tf.stack(terms),
    plain: (terms) => tf.concat(terms.map((term) => term.expandDims(0))),
    inputs: summands,
    out: [30, 3, 5],
  });
  return list;
}

/** Every case on the named backend, and its plain twin on tfjs' backend in plain JavaScript. */
export async function compareOperations(backend: string): Promise<Computed[]> {
  const rng = Random.fromSeed(51);
  const results: Computed[] = [];
  for (const { what, operation, plain, inputs, out } of cases(rng)) {
    const dy = normals(rng, out);
    results.push({
      what,
      values: await compute(backend, operation, inputs, dy),
      expected: await compute("cpu", plain, inputs, dy),
    });
  }
  results.push(await compareAdamW(backend, rng));
  await tf.setBackend(backend);
  return results;
}

async function compute(backend: string, operation: Operation, inputs: Data[], dy: Data): Promise<number[][]> {
  await tf.setBackend(backend);
  const results = tf.tidy(() => {
    const make = ({ shape, values, dtype }: Data): tf.Tensor => tf.tensor(values, shape, dtype);
    const floats = inputs.filter(({ dtype }) => dtype === "float32").map(make);
    const integers = inputs.filter(({ dtype }) => dtype === "int32").map(make);
    const value = operation(floats, integers);
    return [value, ...tf.grads((...floats) => operation(floats, integers))(floats, make(dy))];
  });
  const values = await Promise.all(results.map(async (result) => Array.from(await result.data())));
  tf.dispose(results);
  return values;
}

/** Three steps of AdamW through the optimiser on the backend, and of its plain form on cpu. */
async function compareAdamW(backend: string, rng: Random): Promise<Computed> {
  const shape = [5, 7];
  const start = normals(rng, shape);
  const gradients = [1, 2, 3].map(() => normals(rng, shape));
  const tensor = ({ values }: Data): tf.Tensor => tf.tensor(values, shape);
  const variable = (data: Data): tf.Variable => tf.tidy(() => tf.variable(tensor(data)));
  await tf.setBackend(backend);
  const parameter = variable(start);
  const optimiser = new AdamW(new Map([["w", parameter]]), { weightDecay: 0.1 });
  for (const data of gradients) tf.tidy(() => optimiser.apply(new Map([["w", tensor(data)]]), 0.01, 0.5));
  const values = [Array.from(await parameter.data())];
  optimiser.dispose();
  parameter.dispose();

  await tf.setBackend("cpu");
  const zeros = { ...start, values: start.values.map(() => 0) };
  const state = [variable(start), variable(zeros), variable(zeros)] as const;
  gradients.forEach((data, i) =>
    tf.tidy(() =>
      adamwPlain({
        parameter: state[0],
        gradient: tensor(data),
        first: state[1],
        second: state[2],
        constants: {
          learningRate: 0.01,
          beta1: 0.9,
          beta2: 0.95,
          epsilon: 1e-8,
          keep: 1 - 0.01 * 0.1,
          correction1: 1 / (1 - 0.9 ** (i + 1)),
          correction2: 1 / (1 - 0.95 ** (i + 1)),
          scale: 0.5,
        },
      }),
    ),
  );
  const expected = [Array.from(await state[0].data())];
  tf.dispose([...state]);
  return { what: "AdamW, three steps", values, expected };
}
