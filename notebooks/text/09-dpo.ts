// %% [markdown] id="title"
// # 9 · Contrastive learning: DPO and its kin
//
// *Follows the lecture's taxonomy,* **contrastive learning: DPO and variants** *(offline).*
//
// [Notebook 7](07-reward-maximisation.ipynb) fitted a reward model to preferences and then maximised it by sampling. DPO leaves
// out both: it trains the policy on the preferences directly, as one would a classifier. Here you derive it, train it, and
// meet six relatives: on clean labels, and on labels of which a quarter are wrong.
//
// After it you can
// - derive DPO from $\pi^*$, and say which reward a policy implies;
// - say what IPO, KTO, SimPO, ORPO, cDPO and robust DPO change, and in which units their numbers are;
// - recognise likelihood displacement, and say why a good margin is not yet a good policy.
//
// *Reading: 30 minutes. Running: about 4 minutes on two free CPU cores the first time; afterwards a new* `beta` *retrains four of the
// seven methods.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.1;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let flipRate: number = 0.25; // of the noisy labels; below 0.5

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  bars,
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  evaluateAdvice,
  frontierFigure,
  hints,
  logPartition,
  miniDemonstrationProbabilities,
  miniRewards,
  miniText,
  optimalPolicy,
  points,
  Policy,
  Predictions,
  Random,
  results,
  scoreDifferences,
  sequenceLogProbs,
  show,
  testPrompts,
  trainingFigure,
  unfilled,
  watch,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
console.log(describeBackend(backend));

// %% [markdown] id="derivation"
// ## From π* to a loss
//
// [Notebook 6](06-regularised-objective.ipynb) found the best policy for any reward:
//
// $$\pi^*(y|x) = \frac{1}{Z(x)}\,\pi_{ref}(y|x)\,e^{r(x,y)/\beta}.$$
//
// Take logarithms and solve for the reward:
//
// $$r(x,y) = \beta\,\underbrace{\log\frac{\pi^*(y|x)}{\pi_{ref}(y|x)}}_{h(y)} + \beta\log Z(x).$$
//
// Read it from right to left: **every policy is optimal for some reward**, its *implicit reward* $\beta h$, which is known up to a
// constant of the prompt. The constant cannot be computed. It need not be: Bradley-Terry looks at differences of rewards of two
// answers to *one* prompt, and there it cancels,
//
// $$P(y^+ \succ y^-) = \sigma\big(r(y^+) - r(y^-)\big) = \sigma\big(\beta\,[h(y^+) - h(y^-)]\big).$$
//
// So the likelihood of the preferences is a function of the policy, and we maximise it in the policy's weights.
//
// On the mini world of 4,096 answers this can be looked at. Below, $\pi^*$ is computed for the gold reward, and $\beta h$ from it.

// %% id="implicit"
const mini = (() => {
  const logReference = miniDemonstrationProbabilities().map(Math.log);
  const rewards = miniRewards();
  const star = optimalPolicy(logReference, rewards, beta);
  const implied = star.map((logPi, y) => beta * (logPi - logReference[y]));
  const constant = -beta * logPartition(logReference, rewards, beta);
  const furthest = implied.reduce((most, value, y) => Math.max(most, Math.abs(value - rewards[y] - constant)), 0);
  const some = Array.from({ length: 300 }, (_, i) => (i * 997) % rewards.length); // 997 shares no factor with 4,096
  return { rewards: rewards, implied: implied, constant: constant, furthest: furthest, some: some };
})();
await show(
  points({
    title: "The implicit reward of π* is the reward, less one constant for all answers",
    subtitle: `300 of 4,096 answers, β = ${beta}; the furthest of all is ${mini.furthest.toExponential(0)} off the line`,
    x: { title: "gold reward r" },
    y: { title: "β·(log π* − log π_ref)" },
    line: { slope: 1, intercept: mini.constant, name: "r − β·log Z" },
    series: [
      {
        name: "answers",
        x: mini.some.map((y) => mini.rewards[y]),
        y: mini.some.map((y) => mini.implied[y]),
        labels: mini.some.map((y) => miniText(y)),
        method: "dpo",
      },
    ],
  }),
);

// %% [markdown] id="exercise-implicit"
// ## Exercise: the reward that a policy implies
//
// Given $\log\pi$ and $\log\pi_{ref}$ of all answers to one prompt: the reward for which $\pi$ is optimal at $\beta$. Its level is
// free, so fix it: the plain mean over the answers is 0.

// %% id="hints-implicit"
hints("09-implicit-reward");

// %% id="implicit-reward" tags=["exercise"]
// logPolicy, logReference: one entry an answer, all answers to one prompt.
function implicitReward(logPolicy: number[], logReference: number[], beta: number): number[] {
  return unfilled("09-implicit-reward");
}

await check("09-implicit-reward", implicitReward, { beta: beta, seed: seed });

// %% [markdown] id="heart"
// ## The loss in five lines
//
// The log-probability of an answer is the **sum** over its tokens: `<eos>` included, in both answers; the prompt in neither
// ([`src/objectives/contrastive/dpo.ts`](../src/objectives/contrastive/dpo.ts)). The reference's numbers are constants. They are computed once, before
// training begins, and the reference is not needed after that
// ([`src/objectives/preference-pairs.ts`](../src/objectives/preference-pairs.ts)).

// %% id="five-lines"
function dpoHeart(
  policyChosen: tf.Tensor1D, // [B], each a sum over the answer's tokens
  policyRejected: tf.Tensor1D,
  referenceChosen: tf.Tensor1D,
  referenceRejected: tf.Tensor1D,
): tf.Scalar {
  const chosen = policyChosen.sub(referenceChosen); // h(y⁺)
  const rejected = policyRejected.sub(referenceRejected); // h(y⁻)
  const margin = chosen.sub(rejected).mul(beta);
  return margin.neg().softplus().mean() as tf.Scalar; // −log σ(m) = softplus(−m)
}

// %% [markdown] id="gradient"
// Its gradient says what training does. For one pair with the margin $m$:
//
// $$\nabla L = -\beta\,\underbrace{\sigma(-m)}_{\text{how wrong we are}}\big(\nabla\log\pi(y^+) - \nabla\log\pi(y^-)\big).$$
//
// The chosen is pulled up and the rejected pushed down, equally hard, and pairs that are ordered well already hardly count. Here is
// the negative signal that maximum likelihood lacks.

// %% [markdown] id="exercise-loss"
// ## Exercise: DPO's loss and its gradient

// %% id="hints-loss"
hints("09-dpo-loss");

// %% id="dpo-loss" tags=["exercise"]
// Columns of numbers, one entry a pair: log π and log π_ref of whole answers. gradChosen: ∂ loss / ∂ policyChosen, an entry a pair.
function dpo(
  pairs: {
    policyChosen: number[];
    policyRejected: number[];
    referenceChosen: number[];
    referenceRejected: number[];
  },
  beta: number,
): { loss: number; gradChosen: number[]; gradRejected: number[] } {
  return unfilled("09-dpo-loss");
}

await check("09-dpo-loss", dpo, { beta: beta, seed: seed });

// %% [markdown] id="training"
// ## DPO on the advice world
//
// The pairs are those on which the reward model of [notebook 4](04-bradley-terry.ipynb) was fitted: two answers of the SFT model,
// compared by an annotator. Nothing is drawn from the policy while it learns: the method is **offline**. So the records cannot tell how
// far the policy has gone: $\mathrm{KL}(\pi\|\pi_{ref})$ is a mean over the policy's *own* answers, and nobody draws any. We
// measure it afterwards.

// %% id="before"
const sft = await models.sft().result();
const questions = testPrompts();
const { training: labelled, validation } = await models.preferences().result();
const held = validation.slice(0, 200).map((pair) => models.preferencePair(pair));
const heldSides = [...held.map(({ chosen }) => chosen), ...held.map(({ rejected }) => rejected)];
const heldReference = await sequenceLogProbs(sft, heldSides);
const perPrompt = 2 * models.sizes.answersPerPrompt;

// Answers to the test questions, judged; and h of answer pairs that no training has seen.
async function measure(policy: Policy, name: string) {
  const advice = await evaluateAdvice({
    policy: policy,
    reference: sft,
    vocabulary: models.vocabulary,
    prompts: questions,
    samplesPerPrompt: perPrompt,
    rng: rng.child(`measure ${name}`),
  });
  const h = (await sequenceLogProbs(policy, heldSides)).map((logPi, i) => logPi - heldReference[i]);
  const n = held.length;
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / n;
  const margins = held.map((_, i) => h[i] - h[n + i]);
  return {
    metrics: advice.metrics,
    answers: advice.answers,
    chosenChange: mean(held.map((_, i) => h[i])),
    rejectedChange: mean(held.map((_, i) => h[n + i])),
    accuracy: mean(margins.map((m) => (Math.sign(m) + 1) / 2)),
  };
}

const before = await measure(sft, "SFT");
console.log(
  `SFT: gold ${before.metrics.gold.toFixed(2)}, harmful answers ${before.metrics.harmRate.toFixed(3)}; ` +
    `${Math.min(labelled.length, models.sizes.rewardPairs)} pairs to learn from, ${held.length} to measure on`,
);

// %% id="predict-training" tags=["predict"]
predict({
  id: "start",
  question: "The loss before the first step, where the policy is the reference",
  answer: 0.693,
});
predict({
  id: "chosen",
  question: "The mean log-probability of the chosen answers (of unseen pairs), from before training to after, goes",
  answer: "up",
  choices: ["up", "down", "same"],
});
predict({
  id: "gold",
  question: "The gold reward of the policy's own answers goes",
  answer: "up",
  choices: ["up", "down", "same"],
});

// %% id="train"
const stage = models.aligned("dpo", { beta: beta });
const records = await watch(stage, (seen) =>
  trainingFigure(seen, {
    title: `DPO at β = ${beta}: what the pairs' log-probabilities do while the margin is trained`,
    subtitle: "means over the pairs of a step; running mean over 10 steps",
    metrics: [
      { key: "loss", title: "−log σ(m)", reference: { value: Math.LN2, name: "log 2, where it starts" } },
      { key: ["chosenLogProbChange", "rejectedLogProbChange"], title: "log π − log π_ref", unit: "nats/answer" },
      { key: "implicitAccuracy", title: "accuracy of β·h", reference: { value: 0.5, name: "a toss-up" } },
    ],
    method: "dpo",
    smooth: 10,
  }),
);
const policy = await stage.result();
const after = await measure(policy, "DPO");

// %% id="compare-training"
compare("start", records[0].loss, { tolerance: 0.01, explain: "log 2: every margin is 0, whatever the pairs" });
compare("chosen", after.chosenChange, {
  tolerance: 0.02,
  explain: `on unseen pairs: chosen ${after.chosenChange.toFixed(2)}, rejected ${after.rejectedChange.toFixed(2)} nats an answer`,
});
compare("gold", after.metrics.gold - before.metrics.gold, {
  tolerance: 0.1,
  explain: `SFT ${before.metrics.gold.toFixed(2)}, DPO ${after.metrics.gold.toFixed(2)}; harmful answers ${before.metrics.harmRate.toFixed(3)} and ${after.metrics.harmRate.toFixed(3)}`,
});

// %% id="answers"
await show(
  [0, 4, 8, 12, 16].map((i) => ({
    question: questions[i].text,
    SFT: before.answers[i * perPrompt].answer,
    [`DPO, β = ${beta}`]: after.answers[i * perPrompt].answer,
    gold: after.answers[i * perPrompt].gold.total,
  })),
);

// %% [markdown] id="displacement"
// ## Likelihood displacement
//
// Look at the middle panel again. Only the **difference** of the two curves is trained. Nothing holds their level, and an answer that is
// rejected shares most of its words with one that is chosen: pushing it down pulls the other along. Where both curves fall, the
// probability goes to answers that are in *no* pair, about which no annotator was asked. A growing margin says nothing about where.
//
// (Measured on three seeds at β = 0.1, over the last 30 steps: the chosen fell by 0.8 and the rejected by 2.1 to 2.4 nats an answer, every
// time.)
//
// Nor is it a bug when a training log shows the chosen answers' probability falling. It is a reason to look at what the policy *says*.
//
// ## A reward model in disguise
//
// $\beta h$ scores any answer. How good a reward model is it? Both below learnt from the same pairs, and are asked about pairs that
// neither has seen. (The accuracy is that of $h$. Whether $\log\pi(y^+) > \log\pi(y^-)$ is another question, with another answer.)

// %% id="as-reward-model"
const explicit = await scoreDifferences(await models.rewardModel().result(), held);
const raw = await sequenceLogProbs(policy, heldSides);
const share = (right: (i: number) => boolean) => held.filter((_, i) => right(i)).length / held.length;
const explicitAccuracy = share((i) => explicit[i] > 0);
await show([
  { "which answer is better?": "reward model, r", accuracy: explicitAccuracy },
  { "which answer is better?": "DPO's implicit reward, β·h", accuracy: after.accuracy },
  { "which answer is better?": "raw log-probability, log π", accuracy: share((i) => raw[i] > raw[held.length + i]) },
]);

// %% [markdown] id="variants"
// ## The kin
//
// Each changes one thing. $m = \beta\,[h(y^+) - h(y^-)]$, $\varepsilon$ is the share of labels taken to be wrong, $|y|$ counts tokens.
//
// | method | loss | what it changes |
// |---|---|---|
// | [DPO](../src/objectives/contrastive/dpo.ts) | $-\log\sigma(m)$ | |
// | [IPO](../src/objectives/contrastive/ipo.ts) | $(h(y^+) - h(y^-) - \frac{1}{2\beta})^2$ | the margin has a finite target: certain labels cannot drive it to infinity |
// | [KTO](../src/objectives/contrastive/kto.ts) | $1 - \sigma(\pm\beta\,[h(y) - z])$ | no pairs: single answers, desirable (+) or not (−); $z \ge 0$, detached, estimated from mismatched answers |
// | [SimPO](../src/objectives/contrastive/simpo.ts) | $-\log\sigma\big(\beta\,[\frac{\log\pi(y^+)}{\lvert y^+\rvert} - \frac{\log\pi(y^-)}{\lvert y^-\rvert}] - \gamma\big)$ | no reference; **averages** over tokens, so its $\beta$ is in other units |
// | [ORPO](../src/objectives/contrastive/orpo.ts) | $-\frac{\log\pi(y^+)}{\lvert y^+\rvert} - \lambda\log\sigma\big(\mathrm{logit}^+ - \mathrm{logit}^-\big)$ | no reference; SFT on the chosen, and a term for the odds of averages |
// | [cDPO](../src/objectives/contrastive/cdpo.ts) | $-(1-\varepsilon)\log\sigma(m) - \varepsilon\log\sigma(-m)$ | wants the margin at $\mathrm{logit}(1-\varepsilon)$: fits noisy labels cautiously |
// | [robust DPO](../src/objectives/contrastive/robust-dpo.ts) | $\frac{-(1-\varepsilon)\log\sigma(m) + \varepsilon\log\sigma(-m)}{1-2\varepsilon}$ | undoes the noise: on average over the flips, DPO's loss on clean labels; may be negative |
//
// The last two are told the same $\varepsilon$ and do opposite things with it.

// %% [markdown] id="exercise-ipo"
// ## Exercise: IPO

// %% id="hints-ipo"
hints("09-ipo");

// %% id="ipo" tags=["exercise"]
// One entry a pair: log π and log π_ref of whole answers.
function ipo(
  policyChosen: number[],
  policyRejected: number[],
  referenceChosen: number[],
  referenceRejected: number[],
  beta: number,
): number {
  return unfilled("09-ipo");
}

await check("09-ipo", ipo, { beta: beta, seed: seed });

// %% [markdown] id="noise"
// ## All of them, on clean and on noisy labels
//
// The same pairs, in the same batches, for the same number of steps at the same learning rate; then once more with some of the labels
// turned round. cDPO and robust DPO are told the rate of the noisy labels both times: on clean labels that is a mistake.
//
// What differs in units cannot be matched: SimPO's $\beta = 2$, $\gamma = 0.5$ and ORPO's $\lambda = 0.5$ do not depend on `beta`. One
// seed and one setting a method: the table shows *what kind* of policy each makes, it is no ranking.

// %% id="predict-noise" tags=["predict"]
predict({
  id: "noise",
  question: `With ${Math.round(100 * flipRate)} % of the labels turned round, DPO's gold reward is, against clean labels,`,
  answer: "lower",
  choices: ["lower", "higher", "same"],
});
predict({
  id: "near",
  question: "Which of these three stays nearest to the reference, on clean labels?",
  answer: "ORPO",
  choices: ["DPO", "KTO", "ORPO"],
});

// %% id="train-variants"
const kin = [
  {
    name: "DPO",
    method: "dpo" as const,
    make: (rate: number) => models.aligned("dpo", { beta: beta, flipRate: rate }),
  },
  {
    name: "IPO",
    method: "ipo" as const,
    make: (rate: number) => models.aligned("ipo", { beta: beta, flipRate: rate }),
  },
  {
    name: "KTO",
    method: "kto" as const,
    make: (rate: number) => models.aligned("kto", { beta: beta, flipRate: rate }),
  },
  {
    name: "SimPO",
    method: "simpo" as const,
    make: (rate: number) => models.aligned("simpo", { beta: 2, gamma: 0.5, flipRate: rate }),
  },
  {
    name: "ORPO",
    method: "orpo" as const,
    make: (rate: number) => models.aligned("orpo", { lambda: 0.5, flipRate: rate }),
  },
  {
    name: "cDPO",
    method: "cdpo" as const,
    make: (rate: number) => models.aligned("cdpo", { beta: beta, assumedFlipRate: flipRate, flipRate: rate }),
  },
  {
    name: "robust DPO",
    method: "robustDpo" as const,
    make: (rate: number) => models.aligned("robustDpo", { beta: beta, assumedFlipRate: flipRate, flipRate: rate }),
  },
];
const reports: { name: string; method: (typeof kin)[number]["method"]; noisy: boolean; report: typeof after }[] = [];
for (const noisy of [false, true]) {
  for (const { name, method, make } of kin) {
    const trained = await make(noisy ? flipRate : 0).result();
    const report = name === "DPO" && !noisy ? after : await measure(trained, `${name} ${noisy}`);
    reports.push({ name: name, method: method, noisy: noisy, report: report });
  }
}
const reportOf = (name: string, noisy: boolean) =>
  reports.find((row) => row.name === name && row.noisy === noisy)!.report;
await show(
  [{ name: "SFT", noisy: false, report: before }, ...reports].map((row) => ({
    method: row.name,
    labels: row.name === "SFT" ? "–" : row.noisy ? "noisy" : "clean",
    gold: row.report.metrics.gold,
    harm: row.report.metrics.harmRate,
    KL: row.report.metrics.klPolicyToReference,
    "junk words": row.report.metrics.junk,
    "Δ log p(chosen)": row.report.chosenChange,
    "Δ log p(rejected)": row.report.rejectedChange,
    "accuracy of h": row.report.accuracy,
  })),
);

// %% id="compare-noise"
const dpoNoisy = reportOf("DPO", true);
compare(
  "noise",
  Math.abs(dpoNoisy.metrics.gold - after.metrics.gold) < 0.1
    ? "same"
    : dpoNoisy.metrics.gold < after.metrics.gold
      ? "lower"
      : "higher",
  { explain: `clean ${after.metrics.gold.toFixed(2)}, noisy ${dpoNoisy.metrics.gold.toFixed(2)}` },
);
const nearest = ["DPO", "KTO", "ORPO"].reduce((a, b) =>
  reportOf(b, false).metrics.klPolicyToReference! < reportOf(a, false).metrics.klPolicyToReference! ? b : a,
);
compare("near", nearest, {
  explain: ["DPO", "KTO", "ORPO"]
    .map((name) => `${name} ${reportOf(name, false).metrics.klPolicyToReference!.toFixed(2)}`)
    .join(", "),
});

// %% id="figure-noise"
const lost = kin.filter(({ name }) => reportOf(name, true).metrics.gold < reportOf(name, false).metrics.gold).length;
await show(
  bars({
    title: `Wrong labels cost ${lost} of the ${kin.length} methods gold reward`,
    subtitle: `${questions.length} test questions, ${perPrompt} answers each; β = ${beta}, seed ${seed}`,
    y: { title: "gold reward" },
    groups: kin.map(({ name, method }) => ({
      name: name,
      method: method,
      bars: [
        { label: "clean labels", value: reportOf(name, false).metrics.gold },
        { label: `${Math.round(100 * flipRate)} % turned round`, value: reportOf(name, true).metrics.gold },
      ],
    })),
    references: [{ axis: "y", value: before.metrics.gold, name: "SFT" }],
    values: false, // they stand in the table
  }),
);

// %% id="figure-frontier"
const furthest = kin.reduce((a, b) =>
  reportOf(b.name, false).metrics.klPolicyToReference! > reportOf(a.name, false).metrics.klPolicyToReference! ? b : a,
);
await show(
  frontierFigure({
    title: `The same steps lead to different distances: on clean labels ${furthest.name} goes furthest`,
    subtitle: "one point a method; labels without a flip",
    squareRoot: true,
    y: "gold reward",
    series: [
      ...kin.map(({ name, method }) => ({
        name: name,
        kl: [reportOf(name, false).metrics.klPolicyToReference!],
        reward: [reportOf(name, false).metrics.gold],
        labels: [name],
        method: method,
      })),
      { name: "SFT", kl: [0], reward: [before.metrics.gold], method: "sft" as const },
    ],
  }),
);

// %% [markdown] id="hot"
// ## Too hot
//
// With five times the learning rate the margin grows much faster and the training log looks better than before. Then read the answers.

// %% id="predict-hot" tags=["predict"]
predict({
  id: "hot",
  question: "At five times the learning rate, the gold reward is, against DPO above,",
  answer: "lower",
  choices: ["lower", "higher", "same"],
});

// %% id="train-hot"
const hotStage = models.aligned("dpo", { beta: beta, learningRate: 5e-4 });
const hotRecords = await watch(hotStage, (seen) =>
  trainingFigure(
    { "learning rate 1e-4": records, "5e-4": seen },
    {
      title: "One training at two learning rates: the margin, and the chosen answers",
      subtitle: "running mean over 10 steps",
      metrics: [
        { key: "margin", title: "margin" },
        { key: "chosenLogProbChange", title: "chosen: log π − log π_ref", unit: "nats" },
      ],
      smooth: 10,
    },
  ),
);
const hot = await measure(await hotStage.result(), "hot");
compare(
  "hot",
  Math.abs(hot.metrics.gold - after.metrics.gold) < 0.1
    ? "same"
    : hot.metrics.gold < after.metrics.gold
      ? "lower"
      : "higher",
  {
    explain:
      `gold ${after.metrics.gold.toFixed(2)} and ${hot.metrics.gold.toFixed(2)}, junk words an answer ` +
      `${after.metrics.junk.toFixed(2)} and ${hot.metrics.junk.toFixed(2)}, ` +
      `KL ${after.metrics.klPolicyToReference!.toFixed(1)} and ${hot.metrics.klPolicyToReference!.toFixed(1)} nats`,
  },
);
await show(
  [0, 8, 16].map((i) => ({
    question: questions[i].text,
    "answer at 5e-4": hot.answers[i * perPrompt].answer,
    gold: hot.answers[i * perPrompt].gold.total,
  })),
);

// %% [markdown] id="lessons"
// What to take along
//
// - DPO is Bradley-Terry with $\beta h$ for the reward. Its optimum, with all the pairs in the world, is the same $\pi^*$ that the policy
//   gradient seeks ([the test](../tests/objectives/contrastive/dpo.test.ts) shows it by enumeration). With the pairs there are, it is not the same
//   policy.
// - $\beta$ stands in the loss, and yet nothing in training measures the KL: a high learning rate, many steps or few pairs take the policy
//   as far as they like. **The loss cannot tell you.** Draw answers and look.
// - Before comparing two numbers called $\beta$, ask: of sums or of averages? With a reference or without?
// - Labels are noisy. Robust DPO is unbiased if the rate is known, and pays for it with variance; cDPO only grows modest. On three seeds
//   wrong labels cost DPO 0.1 to 0.5 of gold reward, and robust DPO won back −0.06 to 0.13 of it: too little to tell from chance here.
// - On the same seeds IPO reached 1.37 to 1.44 of gold reward, DPO 1.36 to 1.53, at less than half of DPO's KL; its chosen answers fell by
//   0.1 to 0.2 nats on the training pairs. A margin with a target needs not go so far.
// - On the same seeds harmful answers fell from 0.14 to between 0.08 and 0.13: far less than under the policy gradient of
//   [notebook 7](07-reward-maximisation.ipynb), which draws its own answers and is told of each. Here the push comes only from pairs that
//   happen to hold a harmful one.
//
// **Try it:** set `beta` to 0.5, or `flipRate` to 0.4, and run the notebook again.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  goldSft: before.metrics.gold,
  harmRateSft: before.metrics.harmRate,
  goldDpo: after.metrics.gold,
  harmRateDpo: after.metrics.harmRate,
  klPolicyToReferenceDpo: after.metrics.klPolicyToReference!,
  junkDpo: after.metrics.junk,
  chosenLogProbChangeDpo: after.chosenChange,
  rejectedLogProbChangeDpo: after.rejectedChange,
  implicitAccuracyDpo: after.accuracy,
  rewardModelAccuracy: explicitAccuracy,
  goldIpo: reportOf("IPO", false).metrics.gold,
  goldKto: reportOf("KTO", false).metrics.gold,
  goldSimpo: reportOf("SimPO", false).metrics.gold,
  goldOrpo: reportOf("ORPO", false).metrics.gold,
  goldDpoNoisy: dpoNoisy.metrics.gold,
  goldCdpoNoisy: reportOf("cDPO", true).metrics.gold,
  goldRobustDpoNoisy: reportOf("robust DPO", true).metrics.gold,
  goldHot: hot.metrics.gold,
  junkHot: hot.metrics.junk,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Rafailov et al. (2023), *Direct Preference Optimization: Your Language Model is Secretly a Reward Model*.
// - Azar et al. (2023), *A General Theoretical Paradigm to Understand Learning from Human Preferences* (IPO).
// - Ethayarajh et al. (2024), *KTO: Model Alignment as Prospect Theoretic Optimization*; Meng, Xia & Chen (2024), *SimPO*; Hong, Lee &
//   Thorne (2024), *ORPO*.
// - Mitchell (2023), *A note on DPO with noisy preferences & relationship to IPO* (cDPO); Chowdhury, Kini & Natarajan (2024),
//   *Provably Robust DPO*.
// - Razin et al. (2024), *Unintentional Unalignment: Likelihood Displacement in Direct Preference Optimization*.
