import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import * as tf from "@tensorflow/tfjs";
import { Gpt, type GptConfig } from "../../src/models/gpt";
import { Policy } from "../../src/models/policy";
import { Random } from "../../src/tensors/random";
import { BOT, EOS, USER } from "../../src/text/vocabulary";

/** Two layers, two heads: all of the architecture in 1,900 weights. */
export const tinyConfig: GptConfig = { vocabularySize: 7, context: 8, width: 8, layers: 2, heads: 2 };

/**
 * A model whose weights are far from their small initial values (gains and biases too), so that attention is not uniform
 * and no term of the forward pass is too small to be missed.
 */
export function tinyGpt(seed: number, config: GptConfig = tinyConfig, deviation = 0.4): Gpt {
  const rng = Random.fromSeed(seed);
  const gpt = Gpt.initialise(config, rng.child("initial"));
  const noise = rng.child("noise");
  for (const parameter of gpt.parameters.values()) {
    tf.tidy(() => {
      const values = Float32Array.from({ length: parameter.size }, () => deviation * noise.normal());
      parameter.assign(parameter.add(tf.tensor(values, parameter.shape)));
    });
  }
  return gpt;
}

export const tinyPrompts = [
  [USER, 4, BOT],
  [USER, 5, 6, BOT],
];

/** A policy with the actions <eos>, 4, 5, 6 and the horizon 4: 40 responses to a prompt. */
export function tinyPolicy(seed: number, deviation = 0.4): Policy {
  return new Policy(tinyGpt(seed, tinyConfig, deviation), 4);
}

/** Every response of a policy with these words and horizon: ended by <eos>, at the latest at the horizon. */
export function allResponses(words: readonly number[], responseLimit: number): number[][] {
  const responses: number[][] = [];
  const extend = (prefix: number[]): void => {
    responses.push([...prefix, EOS]);
    if (prefix.length < responseLimit - 1) for (const word of words) extend([...prefix, word]);
  };
  extend([]);
  return responses;
}

/** The weights as plain float64 numbers. */
export function weightsOf(parameters: ReadonlyMap<string, tf.Variable>): Map<string, Float64Array> {
  return new Map([...parameters].map(([name, parameter]) => [name, Float64Array.from(parameter.dataSync())]));
}

/** A folder of its own for the tests of a suite, removed afterwards. */
export function temporaryFolder(): { path(...parts: string[]): string } {
  let root = "";
  before(() => {
    root = mkdtempSync(path.join(tmpdir(), "alignment-test-"));
  });
  after(() => rmSync(root, { recursive: true, force: true }));
  return { path: (...parts) => path.join(root, ...parts) };
}
