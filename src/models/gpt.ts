import * as tf from "@tensorflow/tfjs";
import type { Parameters } from "../tensors/adamw";
import { causalAttention } from "../tensors/attention";
import { embedding } from "../tensors/embedding";
import { gelu } from "../tensors/gelu";
import { layerNorm } from "../tensors/layer-norm";
import type { Random } from "../tensors/random";
import { checkShape } from "../tensors/shape";
import { PAD } from "../text/vocabulary";

export interface GptConfig {
  /** V: number of tokens. */
  vocabularySize: number;
  /** The longest sequence, in tokens. */
  context: number;
  /** d: size of the residual stream. */
  width: number;
  layers: number;
  /** Attention heads; they share the width. */
  heads: number;
}

/** How a block attends: from packed projections [B, T, 3·width] of one layer to mixed values [B, T, width]. */
export type Attend = (qkv: tf.Tensor3D, layer: number) => tf.Tensor3D;

/**
 * A decoder-only transformer (Radford et al. 2019, GPT-2): token and learned position embeddings; `layers` blocks of
 * pre-norm causal attention and a four-times-wide GELU network, each added to the residual stream; a last norm; logits
 * through the transposed token embedding.
 *
 * Letters in shape comments: B rows, T positions, d width, V vocabulary.
 */
export class Gpt {
  readonly parameters: Parameters;

  private constructor(
    readonly config: GptConfig,
    parameters: Map<string, tf.Variable>,
  ) {
    this.parameters = parameters;
  }

  /**
   * A new model with random weights: normal with deviation 0.02, the projections that write to the residual stream
   * scaled down by √(2·layers) so that its variance does not grow with depth; biases 0, gains 1.
   */
  static initialise(config: GptConfig, rng: Random): Gpt {
    checkConfig(config);
    const residual = 0.02 / Math.sqrt(2 * config.layers);
    const parameters = new Map<string, tf.Variable>();
    for (const [name, shape] of parameterShapes(config)) {
      const deviation = name.endsWith("projection.weight") ? residual : 0.02;
      const stream = rng.child(name);
      const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => {
        if (shape.length === 1) return name.endsWith("gain") ? 1 : 0;
        return deviation * stream.normal();
      });
      parameters.set(name, variable(values, shape));
    }
    return new Gpt(config, parameters);
  }

  /** A model with given weights; every expected name must be there with its shape, and nothing else. */
  static fromWeights(config: GptConfig, weights: ReadonlyMap<string, { shape: number[]; values: Float32Array }>): Gpt {
    checkConfig(config);
    const expected = parameterShapes(config);
    const extra = [...weights.keys()].filter((name) => !expected.has(name));
    const missing = [...expected.keys()].filter((name) => !weights.has(name));
    if (extra.length > 0 || missing.length > 0) {
      throw new Error(
        `weights do not fit the model: missing [${missing.join(", ")}], unexpected [${extra.join(", ")}]; ` +
          `load the checkpoint with the config it was saved with`,
      );
    }
    const parameters = new Map<string, tf.Variable>();
    for (const [name, shape] of expected) {
      const weight = weights.get(name)!;
      if (String(weight.shape) !== String(shape)) {
        for (const made of parameters.values()) made.dispose();
        throw new Error(`weight "${name}": expected shape [${shape}], got [${weight.shape}]`);
      }
      parameters.set(name, variable(weight.values, shape));
    }
    return new Gpt(config, parameters);
  }

  /** A copy with weights of its own, e.g. the policy that starts at the reference. */
  clone(): Gpt {
    const copies = new Map<string, tf.Variable>();
    for (const [name, parameter] of this.parameters) {
      copies.set(
        name,
        tf.tidy(() => tf.variable(tf.clone(parameter))),
      );
    }
    return new Gpt(this.config, copies);
  }

  /**
   * The residual stream after the last norm: tokens [B, T] int32 → [B, T, d].
   * @param padding [B] int32: how many positions at the left of each row are padding; positions count from behind them.
   */
  hidden(tokens: tf.Tensor2D, padding?: tf.Tensor1D): tf.Tensor3D {
    return tf.tidy(() => {
      checkShape("Gpt: tokens", tokens, [null, null]);
      const [B, T] = tokens.shape;
      if (padding) checkShape("Gpt: padding", padding, [B]);
      const columns = tf.range(0, T, 1, "int32").expandDims<tf.Tensor2D>(0);
      const positions = padding
        ? (tf.maximum(columns.sub(padding.expandDims(1)), tf.scalar(0, "int32")) as tf.Tensor2D)
        : columns;
      const attend: Attend = (qkv) => causalAttention(qkv, this.config.heads, padding);
      return this.residualStream(tokens, positions, attend);
    });
  }

  /** Scores of every next token: tokens [B, T] int32 → [B, T, V]. */
  logits(tokens: tf.Tensor2D, padding?: tf.Tensor1D): tf.Tensor3D {
    return tf.tidy(() => this.unembed(this.hidden(tokens, padding)));
  }

  /** The blocks, with attention given: training looks at a whole sequence, generation at a cache. positions [B or 1, T]. */
  residualStream(tokens: tf.Tensor2D, positions: tf.Tensor2D, attend: Attend): tf.Tensor3D {
    const [B, T] = tokens.shape;
    if (T > this.config.context) {
      throw new RangeError(`Gpt: got ${T} tokens, but the model's context is ${this.config.context}; shorten the text`);
    }
    const at = (name: string): tf.Tensor => this.parameters.get(name)!;
    const linear = (x: tf.Tensor3D, name: string): tf.Tensor3D => {
      const weight = at(`${name}.weight`) as tf.Tensor2D; // [in, out]
      const flat = x.reshape<tf.Tensor2D>([B * T, weight.shape[0]]);
      return flat
        .matMul(weight)
        .add(at(`${name}.bias`))
        .reshape([B, T, weight.shape[1]]);
    };
    const norm = (x: tf.Tensor3D, name: string): tf.Tensor3D =>
      layerNorm(x, at(`${name}.gain`) as tf.Tensor1D, at(`${name}.bias`) as tf.Tensor1D);

    let x = embedding(at("token-embedding") as tf.Tensor2D, tokens).add(
      embedding(at("position-embedding") as tf.Tensor2D, positions),
    ) as tf.Tensor3D; // [B, T, d]
    for (let layer = 0; layer < this.config.layers; layer++) {
      const block = `block.${layer}`;
      const qkv = linear(norm(x, `${block}.attention.norm`), `${block}.attention.qkv`); // [B, T, 3d]
      x = x.add(linear(attend(qkv, layer), `${block}.attention.projection`));
      const inner = gelu(linear(norm(x, `${block}.network.norm`), `${block}.network.expansion`)); // [B, T, 4d]
      x = x.add(linear(inner, `${block}.network.projection`));
    }
    return norm(x, "norm");
  }

  /** Logits from the residual stream: [B, T, d] → [B, T, V]. */
  unembed(hidden: tf.Tensor3D): tf.Tensor3D {
    const [B, T, d] = hidden.shape;
    const table = this.parameters.get("token-embedding") as tf.Tensor as tf.Tensor2D; // [V, d]
    return hidden
      .reshape<tf.Tensor2D>([B * T, d])
      .matMul(table, false, true)
      .reshape([B, T, this.config.vocabularySize]);
  }

  /**
   * Throws unless every id is a token of the vocabulary other than <pad>. Lookups do not check: beyond the table's end some
   * backends read whatever lies in memory there.
   */
  checkTokens(where: string, ids: ArrayLike<number>): void {
    const V = this.config.vocabularySize;
    for (let i = 0; i < ids.length; i++) {
      if (Number.isSafeInteger(ids[i]) && ids[i] > PAD && ids[i] < V) continue;
      throw new RangeError(`${where}: token ${i} is ${ids[i]}, expected an integer in 1 … ${V - 1}`);
    }
  }

  dispose(): void {
    for (const parameter of this.parameters.values()) parameter.dispose();
  }
}

/** Name and shape of every parameter, in the order they are stored. */
export function parameterShapes({ vocabularySize, context, width, layers }: GptConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const norm = (name: string): void => void shapes.set(`${name}.gain`, [width]).set(`${name}.bias`, [width]);
  const linear = (name: string, from: number, to: number): void =>
    void shapes.set(`${name}.weight`, [from, to]).set(`${name}.bias`, [to]);
  shapes.set("token-embedding", [vocabularySize, width]).set("position-embedding", [context, width]);
  for (let layer = 0; layer < layers; layer++) {
    norm(`block.${layer}.attention.norm`);
    linear(`block.${layer}.attention.qkv`, width, 3 * width);
    linear(`block.${layer}.attention.projection`, width, width);
    norm(`block.${layer}.network.norm`);
    linear(`block.${layer}.network.expansion`, width, 4 * width);
    linear(`block.${layer}.network.projection`, 4 * width, width);
  }
  norm("norm");
  return shapes;
}

function checkConfig(config: GptConfig): void {
  for (const key of ["vocabularySize", "context", "width", "layers", "heads"] as const) {
    if (!Number.isSafeInteger(config[key]) || config[key] <= 0) {
      throw new RangeError(`GptConfig.${key}: expected a positive integer, got ${config[key]}`);
    }
  }
  if (config.width % config.heads !== 0) {
    throw new RangeError(`GptConfig: width ${config.width} must be a multiple of heads ${config.heads}`);
  }
}

function variable(values: Float32Array, shape: number[]): tf.Variable {
  return tf.tidy(() => tf.variable(tf.tensor(values, shape, "float32")));
}
