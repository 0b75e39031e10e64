/**
 * The map of the course: where each slide of the lecture "Alignment of Language Models (Part I)" lives.
 *
 * | slide                                                    | symbol                             | file                                              | notebook                 |
 * | -------------------------------------------------------- | ---------------------------------- | ------------------------------------------------- | ------------------------ |
 * | Stages in LLM training: pre-training                     | pretrain                           | objectives/maximum-likelihood.ts                  | 01-stages                |
 * | Stages in LLM training: instruction tuning               | trainSft                           | objectives/maximum-likelihood.ts                  | 01-stages                |
 * | Stages in LLM training: alignment                        | trainPolicyGradient                | objectives/reward-maximisation/policy-gradient.ts | 07-reward-maximisation   |
 * | Why is instruction tuning not enough?                    | nextTokenLoss                      | objectives/maximum-likelihood.ts                  | 01-stages                |
 * | What to say, what not to say                             | goldReward                         | world/gold-reward.ts                              | 01-stages                |
 * | Policy                                                   | Policy                             | models/policy.ts                                  | 02-policy-state-action   |
 * | Action: generating a token                               | sample                             | models/generation.ts                              | 02-policy-state-action   |
 * | Environment, state change, reward at the end             | responseLogProbs                   | models/policy.ts                                  | 02-policy-state-action   |
 * | Who/what is the reward model?                            | Reward                             | rewards/reward.ts                                 | 03-reward-model          |
 * | Architecture of the reward model                         | ScalarModel                        | models/scalar-head.ts                             | 03-reward-model          |
 * | Bradley-Terry I: p_i / (p_i + p_j)                       | bradleyTerryProbabilityOfStrengths | rewards/bradley-terry.ts                          | 04-bradley-terry         |
 * | Bradley-Terry II: parameterisation by exp                | bradleyTerryProbability            | rewards/bradley-terry.ts                          | 04-bradley-terry         |
 * | Maximum likelihood estimation for BT models              | bradleyTerryLoss                   | rewards/bradley-terry.ts                          | 04-bradley-terry         |
 * | An intuitive view                                        | trainRewardModel                   | rewards/reward-model.ts                           | 04-bradley-terry         |
 * | Where does the data come from?                           | annotate                           | world/annotators.ts                               | 05-preferences           |
 * | Publicly available preference data                       | readPreferences                    | text/preferences.ts                               | 05-preferences           |
 * | Constitutional AI for collecting preferences             | askJudge                           | rewards/judge-model.ts                            | 05-preferences           |
 * | The objective: base or reference policy                  | optimalPolicy                      | evaluation/exact/distributions.ts                 | 06-regularised-objective |
 * | Why care about closeness to the reference?               | evaluateAdvice                     | evaluation/advice.ts                              | 07-reward-maximisation   |
 * | Reward maximisation: what is a high reward?              | expectation                        | evaluation/exact/distributions.ts                 | 06-regularised-objective |
 * | Closeness to the reference: how to capture it?           | klPolicyToReferencePerToken        | objectives/kl.ts                                  | 06-regularised-objective |
 * | Regularised reward maximisation, with beta               | exactObjectiveLoss                 | objectives/enumerated.ts                          | 06-regularised-objective |
 * | Taxonomy: reward maximisation, policy gradient           | policyGradientLoss                 | objectives/reward-maximisation/policy-gradient.ts | 07-reward-maximisation   |
 * | Taxonomy: reward maximisation, PPO                       | ppoLoss                            | objectives/reward-maximisation/ppo.ts             | 08-ppo                   |
 * | Taxonomy: reward maximisation, PPO's advantages          | generalisedAdvantages              | objectives/gae.ts                                 | 08-ppo                   |
 * | Taxonomy: reward maximisation, RLOO                      | rlooLoss                           | objectives/reward-maximisation/rloo.ts            | 08-ppo                   |
 * | Taxonomy: reward maximisation, GRPO                      | grpoLoss                           | objectives/reward-maximisation/grpo.ts            | 08-ppo                   |
 * | Taxonomy: contrastive learning, DPO                      | dpoLoss                            | objectives/contrastive/dpo.ts                     | 09-dpo                   |
 * | Taxonomy: contrastive learning, variants: IPO            | ipoLoss                            | objectives/contrastive/ipo.ts                     | 09-dpo                   |
 * | Taxonomy: contrastive learning, variants: KTO            | ktoLoss                            | objectives/contrastive/kto.ts                     | 09-dpo                   |
 * | Taxonomy: contrastive learning, variants: SimPO          | simpoLoss                          | objectives/contrastive/simpo.ts                   | 09-dpo                   |
 * | Taxonomy: contrastive learning, variants: ORPO           | orpoLoss                           | objectives/contrastive/orpo.ts                    | 09-dpo                   |
 * | Taxonomy: contrastive learning, noisy labels: cDPO       | cdpoLoss                           | objectives/contrastive/cdpo.ts                    | 09-dpo                   |
 * | Taxonomy: contrastive learning, noisy labels: robust DPO | robustDpoLoss                      | objectives/contrastive/robust-dpo.ts              | 09-dpo                   |
 * | Taxonomy: distribution matching, DPG                     | dpgLoss                            | objectives/distribution-matching/dpg.ts           | 10-distribution-matching |
 * | Taxonomy: distribution matching, f-divergences           | fDpgLoss                           | objectives/distribution-matching/f-dpg.ts         | 10-distribution-matching |
 * | Taxonomy: distribution matching, BRAIn                   | brainLoss                          | objectives/distribution-matching/brain.ts         | 10-distribution-matching |
 * | Taxonomy: online, best-of-n                              | sampleBestOfN                      | objectives/reward-maximisation/best-of-n.ts       | 11-online-offline        |
 * | Taxonomy: online, DPO on the policy's own answers        | trainOnlineDpo                     | objectives/contrastive/online-dpo.ts              | 11-online-offline        |
 * | Taxonomy: offline                                        | trainDpo                           | objectives/contrastive/dpo.ts                     | 11-online-offline        |
 * | Taxonomy: mixed, iterative DPO                           | trainIterativeDpo                  | objectives/contrastive/iterative-dpo.ts           | 11-online-offline        |
 * | Taxonomy of alignment methods                            | methods                            | objectives/methods.ts                             | 12-comparison            |
 * | Reward models are not perfect: over-optimisation         | fitOverOptimisation                | evaluation/over-optimisation.ts                   | 12-comparison            |
 * | Reward models are not perfect: many of them              | ensembleReward                     | rewards/ensemble.ts                               | 12-comparison            |
 *
 * What follows are the exports, in the same order: first what every notebook needs, then the lecture, and last what a method
 * or a trainer of one's own needs.
 *
 * @module
 */

// The notebook: backend, randomness, pictures, predictions, exercises, results
export { chooseBackend, describeBackend, type Backend } from "./tensors/backend";
export { Random } from "./tensors/random";
export type { Loss } from "./tensors/loss";
export { displayBundle, show, showHtml, showMarkdown, showText, watch } from "./plots/show";
export { table } from "./plots/table";
export type { Figure } from "./plots/figure";
export { concat, frame, frameTable, groupMean, readCsv, readJsonLines, rowsOf, sortBy } from "./plots/frame";
export {
  bars,
  calibration,
  distribution,
  frontier as frontierFigure,
  heatmap,
  lines,
  points,
  runningMean,
  slider,
  trainingFigure,
  tree,
} from "./plots/figures";
export { wilson } from "./plots/quality";
export { Predictions } from "./notebooks/predictions";
export { check, hints } from "./grading/check";
export { unfilled } from "./grading/exercise";
export { results } from "./notebooks/results";
export { chooseScale, scales, type Scale, type Sizes } from "./course/scales";
export { course, Course } from "./course/course";

// Text and the advice world
export { BOT, EOS, PAD, USER, Vocabulary } from "./text/vocabulary";
export { answerText, promptTokens, questionExample, responseTokens, type Example, type Message } from "./text/dialogue";
export {
  batchesByLength,
  batchesShuffled,
  padExamples,
  padExamplesLeft,
  paddingFraction,
  type TokenBatch,
} from "./text/batches";
export { corpusWindows, documentStream, splitDocuments, splitStream } from "./text/corpus";
export { dialoguePromptTokens, preferenceExamples } from "./text/dialogue";
export { preferenceTexts, tokenisePreferences, type TokenisedPreferences } from "./text/preference-tokens";
export { BytePairEncoding } from "./text/byte-pair-encoding";
export type { Tokenizer } from "./text/tokenizer";
export { loadPolicy, loadScalarModel, saveModel } from "./models/checkpoint";
export { drawBatch, paddedTokens, train, type Objective, type TrainingOptions } from "./models/training";
export { adviceVocabulary, TOPICS, type Topic } from "./world/grammar";
export { advicePrompts, testPrompts, trainPrompts, type AdvicePrompt } from "./world/prompts";
export { pretrainingDocuments } from "./world/documents";
export { demonstrations } from "./world/demonstrations";
export { goldReward, type GoldReward } from "./world/gold-reward";
export { adviceSet } from "./world/parse";
export * from "./world/mini-world";

// Stages in LLM training
export { Gpt, type GptConfig } from "./models/gpt";
export { causalAttention } from "./tensors/attention";
export { tokenLogProbs } from "./tensors/token-log-probs";
export { nextTokenLoss, pretrain, trainSft } from "./objectives/maximum-likelihood";
export type { TrainingRecord } from "./models/training";

// Policy, state, action
export { draw, sample, type Sample } from "./models/generation";
export { Policy, responseLogProbs, sequenceLogProbs } from "./models/policy";

// The reward model and its architecture
export { lengthReward, rewardsOf, tokenReward, type Reward } from "./rewards/reward";
export { ScalarModel } from "./models/scalar-head";

// Bradley-Terry
export { bradleyTerryLoss, bradleyTerryProbability, bradleyTerryProbabilityOfStrengths } from "./rewards/bradley-terry";
export { pairsFromRanking, rankingLoss } from "./rewards/ranking";
export * from "./rewards/tournament";
export {
  centreScores,
  modelReward,
  scoreDifferences,
  trainRewardModel,
  type PreferencePair,
} from "./rewards/reward-model";
export { preferenceCalibration } from "./evaluation/calibration";
export { fitTemperature } from "./evaluation/temperature-scaling";
export { correlation } from "./evaluation/correlation";

// Where the data come from
export { annotate, flippedProbability, preferenceProbability, toPreferenceRecord } from "./world/annotators";
export { ATTRIBUTES, CONSTITUTION, favoured, principle } from "./world/constitution";
export { averageOfOrders, judgedPreference, judgePrompt, judgeVocabulary } from "./world/judge";
export { judgeLesson, type JudgeLesson } from "./world/judge-lessons";
export {
  askJudge,
  askJudgeBothOrders,
  judgeFromPolicy,
  judgeLogits,
  judgeLoss,
  trainJudge,
} from "./rewards/judge-model";
export { judgeComparisons, judgedPairs, judgedRecord, judgeQuestion, logOddsOfA } from "./rewards/ai-feedback";
export { readPreferences, writePreferences, type PreferenceRecord } from "./text/preferences";

// The objective: reward, closeness to the reference, beta
export {
  entropy,
  expectation,
  frontier,
  klDivergence,
  logPartition,
  logSumExp,
  normalise,
  objective,
  optimalObjective,
  optimalPolicy,
  totalVariation,
  variance,
} from "./evaluation/exact/distributions";
export {
  klByChainRule,
  randomLogits,
  sequenceSpace,
  tabularLogProbs,
  tabularPolicyFor,
} from "./evaluation/exact/sequences";
export { objectiveGradient, weightedScore } from "./evaluation/exact/gradients";
export { klPolicyToReferenceEstimate, klPolicyToReferencePerToken, sumOverResponse } from "./objectives/kl";
export { EnumeratedPolicy } from "./models/enumerated-policy";
export { exactObjectiveLoss, fitEnumerated, maximiseEnumerated } from "./objectives/enumerated";
export { fitWordReward, type WordReward } from "./rewards/word-reward";

// The methods: their losses, trainers and descriptions, and what they share
export * from "./objectives/roster";
export { methods, type MethodName } from "./objectives/methods";
export { method, type Method } from "./objectives/method";
export { batchMeanAdvantages, klShapedReturns, leaveOneOutAdvantages } from "./objectives/returns";
export { clippedSurrogate } from "./objectives/clipped-surrogate";
export { generalisedAdvantages, klShapedTokenRewards, whitenedAdvantages } from "./objectives/gae";
export { stateValues } from "./models/state-values";
export { ofResponses, onTokens } from "./objectives/token-layout";
export {
  effectiveSampleSize,
  estimatePartition,
  logTargetUnnormalised,
  selfNormalisedWeights,
} from "./objectives/target";
export { fitLambda } from "./objectives/distribution-matching/moment-matching";
export { evaluateAdvice, type AdviceMetrics } from "./evaluation/advice";
export { adviceMargin } from "./evaluation/advice-margin";

// Online, offline and mixed
export { bestOfN, bestOfNKlBound } from "./evaluation/exact/best-of-n";
export { preferByBradleyTerry, preferHigher, type Labeller } from "./rewards/labeller";

// Over-optimisation and comparison
export {
  exactOverOptimisation,
  fitOverOptimisation,
  overOptimisationGain,
  overOptimisationPeak,
  type OverOptimisationFit,
} from "./evaluation/over-optimisation";
export { ensembleReward, ensembleScores, type EnsembleRule } from "./rewards/ensemble";
export { earlyStop } from "./evaluation/early-stopping";
export { overSeeds } from "./evaluation/seeds";
export { atMatchedKl } from "./evaluation/matched-kl";
export type { PathPoint } from "./course/path-point";
export { comparedMethods, comparedPaths, farPaths, matchedKl, type CoursePath } from "./course/comparison";
export { readMeasuredPaths, rowsOfPath, type PathRow } from "./course/measured-paths";

// To write a method or a trainer of one's own: options, tensors, text
export {
  checkOptions,
  checkValue,
  fraction,
  given,
  givenFunction,
  givenList,
  notNegative,
  oneOf,
  positive,
  positiveOrInfinite,
  settingsOf,
  wholeNumber,
  yesOrNo,
} from "./tensors/options";
export { AdamW, globalNorm, learningRateAt, type AdamWOptions, type Parameters } from "./tensors/adamw";
export { checkShape } from "./tensors/shape";
export { stopGradient } from "./tensors/stop-gradient";
export { layerNorm } from "./tensors/layer-norm";
export { gelu } from "./tensors/gelu";
export { readSafetensors, writeSafetensors, type StoredTensor } from "./tensors/safetensors";
export { SPECIAL_TOKENS } from "./text/vocabulary";
export { tokenizerFromJSON } from "./text/tokenizer";
export type { PreferenceFormatName, PreferenceProblem, ReadPreferences } from "./text/preferences";

// … models and what they learn from
export { trainingOptions, TrainingInterrupted } from "./models/training";
export { checkExample, impossible, scoringTensors, type ResponseLogProbs } from "./models/policy";
export { rewardModelOptions } from "./rewards/reward-model";
export { verdictsOf, type Candidates, type Verdict } from "./rewards/labeller";
export {
  accuracyOf,
  averageLogProbs,
  betaOption,
  comparedOnPairs,
  implicitRewards,
  pairTrainingOptions,
  spendOnPairs,
  trainOnPairs,
  type PairLengths,
  type PairLogProbs,
  type PairMethod,
} from "./objectives/preference-pairs";
export {
  checkGroups,
  checkReference,
  drawRollout,
  drawingOptions,
  drawnLogProbs,
  logRatios,
  measureSamples,
  policiesOptions,
  rewardTrainingOptions,
  rolloutOptions,
  type Rollout,
  type RolloutOptions,
} from "./objectives/rollouts";
export {
  drawLabelledPairs,
  labelledPairsLoss,
  labelledTrainingOptions,
  lossOnPairs,
  type LabelledPairs,
} from "./objectives/labelled-pairs";
export { trainOnTarget, type TargetMethod, type TargetRollout } from "./objectives/target-rollouts";
export { importanceRatio, klReferenceToPolicyPerToken, type KlEstimator } from "./objectives/kl";
export {
  fixedOfPairs,
  gradientCase,
  randomLogProbs,
  randomMovedLogProbs,
  randomPairs,
  randomTokenLogProbs,
  randomVector,
  responseMask,
  type GradientCase,
} from "./objectives/gradient-cases";
export { branches, type Branch, type Budget } from "./objectives/method";

// … and the truth that it is held to, pictures of it, and the models that are kept
export {
  finiteDifferenceGradient,
  klPolicyToReferenceGradient,
  klReferenceToPolicyGradient,
} from "./evaluation/exact/gradients";
export { paddedResponses, stateVisitation, type SequenceSpaceOptions } from "./evaluation/exact/sequences";
export { staticPicture, type PictureOptions, type StaticPicture } from "./plots/static-picture";
export { artifactRoot, listArtifacts, pruneArtifacts, type StoredArtifact } from "./course/artifacts";
