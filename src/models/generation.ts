import * as z from "zod";
import { checkOptions, notNegative, randomStream, wholeNumber } from "../tensors/options";
import type { Example } from "../text/dialogue";
import { EOS } from "../text/vocabulary";
import { mostRowsTogether, startDecoder } from "./start-decoder";
import type { Drawing } from "./draw";
import type { Policy } from "./policy";

export { draw } from "./draw";

export const samplingOptions = z.strictObject({
  rng: randomStream,
  /** Logits are divided by it before the softmax; 0 takes the most probable token, the first of equals. Default 1. */
  temperature: notNegative.default(1),
  /** Keep only the k most probable tokens; of equals the first. */
  topK: wholeNumber(1).optional(),
  /**
   * Keep only the fewest tokens whose probabilities sum to at least p, the most probable first (Holtzman et al. 2020). With
   * `topK` too, the probabilities are those among the k tokens.
   */
  topP: z
    .number({ error: "a number in (0, 1]" })
    .gt(0, { error: "a number in (0, 1]" })
    .lte(1, { error: "a number in (0, 1]" })
    .optional(),
  /** Rows generated together, at most. Default 256. */
  batchSize: wholeNumber(1).default(256),
});
export type SamplingOptions = z.input<typeof samplingOptions>;

export interface Sample extends Example {
  /** log-probability of each response token under the distribution it was drawn from (0 for a decreed <eos>). */
  logProbs: number[];
}

/**
 * Draws one response a prompt, in order. Response i draws from its own stream, so the same seed gives the same response
 * whatever else is in the batch: exactly on the course's kernels, and elsewhere as long as the logits, whose last digits
 * depend on the batch's shape, do not round a draw to the other side of a boundary. Its log-probabilities are those of scoring only at temperature 1 without topK and topP.
 */
export async function sample(policy: Policy, prompts: number[][], options: SamplingOptions): Promise<Sample[]> {
  const { rng, temperature, topK, topP, batchSize } = checkOptions("sample", samplingOptions, options);
  prompts.forEach((prompt, i) => checkPrompt(policy, prompt, i));
  const samples: Sample[] = [];
  const rows = Math.min(batchSize, mostRowsTogether());
  for (let start = 0; start < prompts.length; start += rows) {
    const batch = prompts.slice(start, start + rows);
    const streams = batch.map((_, row) => rng.child(`row ${start + row}`));
    samples.push(...(await sampleBatch(policy, batch, { streams, temperature, topK, topP })));
  }
  return samples;
}

// Generation feeds one token at a time, so the model itself does not see that a sequence outgrows its context.
function checkPrompt({ gpt, responseLimit }: Policy, prompt: number[], i: number): void {
  const longest = gpt.config.context - responseLimit + 1;
  if (prompt.length === 0 || prompt.length > longest) {
    throw new RangeError(
      `sample: prompt ${i} has ${prompt.length} tokens, expected 1 … ${longest}: context ${gpt.config.context} less ` +
        `responseLimit ${responseLimit}, and one because the last token is not read`,
    );
  }
  gpt.checkTokens(`sample: prompt ${i}`, prompt);
}

async function sampleBatch(policy: Policy, prompts: number[][], drawing: Drawing): Promise<Sample[]> {
  const samples: Sample[] = prompts.map((prompt) => ({ prompt, response: [], logProbs: [] }));
  const chosen = policy.responseLimit - 1; // then the horizon decrees <eos>
  if (chosen > 0) {
    const capacity = Math.max(...prompts.map((prompt) => prompt.length)) + chosen - 1; // the last token is not read
    const decoder = await startDecoder(policy, prompts, capacity, drawing);
    try {
      let writing = prompts.map((_, row) => row);
      for (;;) {
        const [rows, tokens]: [number[], number[]] = [[], []];
        for (const row of writing) {
          const { token, logProb } = decoder.drawn(row);
          const { response, logProbs } = samples[row];
          response.push(token);
          logProbs.push(logProb);
          if (token === EOS || response.length === chosen) continue;
          rows.push(row);
          tokens.push(token);
        }
        if (rows.length === 0) break;
        await decoder.read(rows, tokens);
        writing = rows;
      }
    } finally {
      decoder.dispose();
    }
  }
  for (const { response, logProbs } of samples) {
    if (response[response.length - 1] === EOS) continue;
    response.push(EOS);
    logProbs.push(0);
  }
  return samples;
}
