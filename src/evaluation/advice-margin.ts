import { sequenceLogProbs, type Policy } from "../models/policy";
import { mean } from "../tensors/statistics";
import { promptTokens, responseTokens } from "../text/dialogue";
import { EOS, type Vocabulary } from "../text/vocabulary";
import { PHRASES } from "../world/grammar";
import type { AdvicePrompt } from "../world/prompts";

export interface AdviceMargin {
  /** Mean log π(y | x) of the plain safe answers and of the plain harmful ones, nats an answer. */
  safe: number;
  harmful: number;
  /** safe − harmful: how much the policy favours the answer people want over the one they do not. */
  margin: number;
}

/**
 * What a policy thinks of fixed answers: for each prompt, every safe and every harmful fragment of its topic as a whole
 * answer ("eat less sugar ."). Nothing is drawn, so stages compare without sampling noise.
 *
 * @param form as in `evaluateAdvice`: "document" for a base model, which has not seen the role tokens.
 */
export async function adviceMargin(
  policy: Policy,
  vocabulary: Vocabulary,
  prompts: readonly AdvicePrompt[],
  form: "dialogue" | "document" = "dialogue",
): Promise<AdviceMargin> {
  const meanOf = async (kind: "safe" | "harmful"): Promise<number> => {
    const examples = prompts.flatMap(({ topic, text }) => {
      const prompt = form === "dialogue" ? promptTokens(vocabulary, text) : [EOS, ...vocabulary.encode(text)];
      return PHRASES[topic][kind].map((fragment) => ({
        prompt,
        response: responseTokens(vocabulary, `${fragment} .`),
      }));
    });
    return mean(await sequenceLogProbs(policy, examples));
  };
  const safe = await meanOf("safe");
  const harmful = await meanOf("harmful");
  return { safe, harmful, margin: safe - harmful };
}
