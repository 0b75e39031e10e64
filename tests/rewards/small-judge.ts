import * as tf from "@tensorflow/tfjs";
import { Gpt } from "../../src/models/gpt";
import { Policy } from "../../src/models/policy";
import { judgeFromPolicy } from "../../src/rewards/judge-model";
import { Random } from "../../src/tensors/random";
import { adviceVocabulary } from "../../src/world/grammar";

const advice = adviceVocabulary();
export const smallSizes = { vocabularySize: advice.size, context: 48, width: 16, layers: 1, heads: 2 };

/** An untaught judge whose weights are large enough that its letters differ. */
export async function smallJudge(seed: number, deviation = 0.3): Promise<Policy> {
  const base = new Policy(Gpt.initialise(smallSizes, Random.fromSeed(seed)), 30);
  const judge = await judgeFromPolicy(base, advice, Random.fromSeed(seed).child("judge"));
  base.dispose();
  const noise = Random.fromSeed(seed).child("noise");
  for (const parameter of judge.gpt.parameters.values()) {
    const values = Float32Array.from({ length: parameter.size }, () => deviation * noise.normal());
    tf.tidy(() => parameter.assign(parameter.add(tf.tensor(values, parameter.shape))));
  }
  return judge;
}
