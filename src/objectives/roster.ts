/**
 * The roster: the files of all methods. A new method's line goes here; what its file exports is exported with it, and its
 * description is found by `methods.ts`.
 */
export * from "./reward-maximisation/policy-gradient";
export * from "./contrastive/dpo";
