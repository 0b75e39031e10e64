import { loadPolicy, saveModel } from "../models/checkpoint";
import type { Policy } from "../models/policy";
import { adviceVocabulary } from "../world/grammar";

/** How stages keep a policy of the advice world: weights, sizes and vocabulary. */
export const policyFiles = {
  save: (policy: Policy, folder: string) => saveModel(folder, policy, adviceVocabulary()),
  load: async (folder: string): Promise<Policy> => (await loadPolicy(folder)).policy,
};
