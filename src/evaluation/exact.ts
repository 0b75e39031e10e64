/**
 * Exact ground truth on spaces small enough to enumerate: every quantity of the course in float64, from its definition.
 *
 * Tests, exercises and grey reference curves compare with this, so it shares no code with the models, rewards and
 * objectives that it judges. Distributions are arrays of natural-log probabilities over a list of outcomes; policies over
 * token sequences are tables of logits, one row per state.
 */
export * from "./exact/distributions";
export * from "./exact/best-of-n";
export * from "./exact/sequences";
export * from "./exact/gradients";
