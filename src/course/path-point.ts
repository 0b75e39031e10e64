/** A policy on its way from the reference: what a method has made of it by now, and what that took. */
export interface PathPoint {
  /** Gradient steps so far. */
  step: number;
  /** KL(π‖π_ref): mean Σ_t (log π − log π_ref) over answers to the test questions (k1), nats. */
  klPolicyToReference: number;
  /** What is optimised (a reward model, or what an ensemble makes of several), and what is wanted. Means over answers. */
  proxy: number;
  gold: number;
  /** As in `AdviceMetrics`; best-of-n leaves the last out where it has too few answers to count. */
  harmRate: number;
  junk: number;
  length: number;
  distinctAdvice?: number;
  /**
   * Share of held-out preferences in which the policy has raised the log-probability of the preferred answer by more than
   * that of the other: h(chosen) > h(rejected), h = log π − log π_ref, ½ where equal. What a practitioner can see. Not of
   * best-of-n, which has no log-probabilities.
   */
  heldOutAccuracy?: number;
  /** Tokens, <eos> included, that are sampled to give one answer: its own, or best-of-n's n times as many. */
  tokensPerAnswer: number;
  /** Tokens, <eos> included, of all responses that were scored so far, to learn from them. */
  sampledTokens: number;
  /** Tokens whose gradient was taken. */
  trainedTokens: number;
  /** Processor seconds of training so far, over all threads; measuring not counted. Hardly depends on what else runs. */
  processorSeconds: number;
  /** With an ensemble: the mean of its members' deviation, and the mean score of its members but the first. */
  disagreement?: number;
  otherMembers?: number;
}
