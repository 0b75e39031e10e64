/**
 * The roster: the files of all methods. A new method's line goes here; what its file exports is exported with it, and its
 * description is found by `methods.ts`.
 */
export * from "./reward-maximisation/policy-gradient";
export * from "./reward-maximisation/ppo";
export * from "./reward-maximisation/best-of-n";
export * from "./reward-maximisation/rloo";
export * from "./reward-maximisation/grpo";
export * from "./contrastive/dpo";
export * from "./distribution-matching/dpg";
export * from "./distribution-matching/f-dpg";
export * from "./distribution-matching/brain";
export * from "./contrastive/cdpo";
export * from "./contrastive/robust-dpo";
export * from "./contrastive/ipo";
export * from "./contrastive/kto";
export * from "./contrastive/simpo";
export * from "./contrastive/orpo";
export * from "./contrastive/online-dpo";
export * from "./contrastive/iterative-dpo";
