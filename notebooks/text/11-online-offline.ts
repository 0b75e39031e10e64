// %% [markdown] id="title"
// # 11 · Online, offline, and in between
//
// *Follows the lecture's slide* **Taxonomy of Alignment Methods**, *its axis online, offline, mixed*
//
// Every method so far learns from answers with a reward or a preference. This notebook asks one question of all of them: **whose
// answers are they?** Those of the reference, drawn once (offline); those of the policy as it is now (online); or those of the
// policy as it was a while ago (mixed). You will run the simplest online method, best-of-n, which trains nothing; then one loss,
// DPO's, on all three kinds of data, with everything else kept equal.
//
// After it you can
// - write down the policy that best-of-n is, its exact KL, and estimate its gold reward for every $n$ from one set of samples;
// - say what offline data lack, and measure it;
// - say what a moving reference does to $\beta$.
//
// *Reading: 25 minutes. Running: about 3 minutes on two CPU cores, once the models of the notebooks before are trained.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.3;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let draws: number = 64;

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  bars,
  bestOfN,
  bestOfNKlBound,
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  evaluateAdvice,
  expectation,
  expectedBestOfN,
  frontier,
  frontierFigure,
  hints,
  klDivergence,
  lines,
  miniDemonstrationProbabilities,
  miniPair,
  miniRewards,
  modelReward,
  normalise,
  optimalPolicy,
  Policy,
  Predictions,
  Random,
  results,
  rewardsOf,
  sequenceLogProbs,
  show,
  slider,
  testPrompts,
  trainingFigure,
  unfilled,
  watch,
} from "alignment";

const backend = await chooseBackend();
const chosenScale = chooseScale(scale, backend);
const models = course({ seed: seed, scale: chosenScale });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
// DPO divides by β; a zero in the parameters cell stands for "very cheap".
const price = Math.max(beta, 0.01);
console.log(describeBackend(backend));

// %% [markdown] id="best-of-n-text"
// ## Best-of-n: online without training
//
// Draw $n$ answers from $\pi_{ref}$, score them, give the best. No gradient, no $\beta$; and yet it *is* a policy, with a
// probability for every answer. Let $F(t) = \pi_{ref}(r \le t)$ and $F(t^-) = \pi_{ref}(r < t)$. The best of $n$ has reward $r(y)$ if
// all $n$ draws are at most that good, but not all are worse. Among answers of the same reward (*ties*) the reference decides:
//
// $$\pi_n(y) = \Big(F(r(y))^n - F(r(y)^-)^n\Big)\cdot\frac{\pi_{ref}(y)}{\pi_{ref}(\text{ties of } y)}.$$
//
// Only the *order* of the rewards enters. How far is it from the reference? If no answer had a probability of its own (a density)
// and no two tied, every $\log\pi_n/\pi_{ref}$ would be $\log(n\,F^{n-1})$ with $F$ distributed like the largest of $n$ uniform numbers, and the
// KL would be $\log n - \frac{n-1}{n}$, whatever the reward. This figure is often quoted as *the* KL of best-of-n. On answers
// that can be counted it is only an upper bound.

// %% [markdown] id="exercise-pmf"
// ## Exercise: the policy that best-of-n is

// %% id="hints-pmf"
hints("11-best-of-n-pmf");

// %% id="best-of-n-pmf" tags=["exercise"]
// reference: probabilities of all answers, summing to 1; rewards: one an answer, possibly equal.
function bestOfNProbabilities(reference: number[], rewards: number[], n: number): number[] {
  return unfilled("11-best-of-n-pmf");
}

await check("11-best-of-n-pmf", bestOfNProbabilities, { beta: beta, seed: seed });

// %% [markdown] id="exact-text"
// ## Exactly, on the mini world
//
// The 4,096 answers of [notebook 6](06-regularised-objective.ipynb), the distribution of its demonstrations as the reference
// ([`src/evaluation/exact/best-of-n.ts`](../src/evaluation/exact/best-of-n.ts)). Once with its own rewards; once with the rewards
// rounded to whole numbers, as a judge would who gives marks from −3 to 3.

// %% id="predict-kl" tags=["predict"]
predict({
  id: "kl",
  question: "log n − (n−1)/n is 4.55 nats at n = 256. The exact KL with rewards rounded to whole numbers",
  answer: 3,
});

// %% id="exact-kl"
const miniReference = normalise(miniDemonstrationProbabilities().map(Math.log));
const miniReward = miniRewards();
const miniMarks = miniReward.map(Math.round);
const counts = Array.from({ length: 13 }, (_, i) => 2 ** i);
const klOf = (rewards: ArrayLike<number>): number[] =>
  counts.map((n) => klDivergence(bestOfN(miniReference, rewards, n), miniReference));
const [klExact, klMarks] = [klOf(miniReward), klOf(miniMarks)];
const at256 = counts.indexOf(256);
await show(
  lines({
    title: `At n = 256 best-of-n is ${klExact[at256].toFixed(2)} nats away, not ${bestOfNKlBound(256).toFixed(2)}; with coarse rewards ${klMarks[at256].toFixed(2)}`,
    subtitle: "exact KL(π_n‖π_ref) on 4,096 answers",
    x: { title: "answers drawn, n", log: true },
    y: { title: "KL to the reference", unit: "nats" },
    series: [
      { name: "bound: log n − (n−1)/n", x: counts, y: counts.map((n) => bestOfNKlBound(n)), exact: true },
      { name: "rewards as they are", x: counts, y: klExact, method: "bestOfN" },
      { name: "rounded to whole numbers", x: counts, y: klMarks, method: "rewardModel" },
    ],
  }),
);
compare("kl", klMarks[at256], {
  tolerance: 0.3,
  explain:
    "Where all draws beyond some n tie at the top, more draws change nothing: the KL ends at −log π_ref(best answers).",
});

// %% [markdown] id="frontier-text"
// Is it a good policy for its distance? The frontier of notebook 6 says how much reward any policy can have at a given KL.

// %% id="exact-frontier"
const fineBetas = Array.from({ length: 80 }, (_, i) => 0.05 * 2000 ** (i / 79));
const miniCurve = frontier(miniReference, miniReward, fineBetas).sort(
  (a, b) => a.klPolicyToReference - b.klPolicyToReference,
);
const shownCounts = [1, 2, 4, 8, 16, 64, 256];
const bestPolicies = shownCounts.map((n) => bestOfN(miniReference, miniReward, n));
/** How much more reward the frontier has at the same KL. */
const shortfalls = bestPolicies.map((logP) => {
  const kl = klDivergence(logP, miniReference);
  const at = miniCurve.findIndex((point) => point.klPolicyToReference >= kl);
  return at < 0 ? 0 : miniCurve[at].reward - expectation(logP, miniReward);
});
await show(
  frontierFigure({
    title: `Best-of-n lies within ${Math.max(...shortfalls).toFixed(2)} of the best reward that its KL can buy`,
    subtitle: "exact; π* at every β in grey",
    y: "E[r]",
    exact: {
      name: "π*, every β",
      kl: miniCurve.map((point) => point.klPolicyToReference),
      reward: miniCurve.map((point) => point.reward),
    },
    series: [
      {
        name: "best-of-n",
        kl: bestPolicies.map((logP) => klDivergence(logP, miniReference)),
        reward: bestPolicies.map((logP) => expectation(logP, miniReward)),
        labels: shownCounts.map((n) => `n = ${n}`),
        method: "bestOfN",
      },
    ],
  }),
);

// %% id="exact-slider"
const kinds = ["good", "other", "bad"] as const;
const kindNames = { good: "good advice", other: "pointless", bad: "harmful" };
const shareOf = (logP: ArrayLike<number>, kind: (typeof kinds)[number]): number =>
  Array.from(logP).reduce((sum, l, y) => sum + (miniPair(y) === kind ? Math.exp(l) : 0), 0);
await show(
  slider(
    shownCounts.map((n, i) =>
      bars({
        title: `The best of ${n}: E[r] = ${expectation(bestPolicies[i], miniReward).toFixed(2)}, ${(100 * shareOf(bestPolicies[i], "bad")).toPrecision(2)}% harmful`,
        subtitle: `exact; KL ${klDivergence(bestPolicies[i], miniReference).toFixed(2)} nats, bound ${bestOfNKlBound(n).toFixed(2)}`,
        y: { title: "share of answers", range: [0, 1.05] },
        groups: [
          { name: "reference", logP: miniReference, method: "reference" as const },
          { name: "best of n", logP: bestPolicies[i], method: "bestOfN" as const },
        ].map((group) => ({
          name: group.name,
          method: group.method,
          bars: kinds.map((kind) => ({ label: kindNames[kind], value: shareOf(group.logP, kind) })),
        })),
        values: false,
      }),
    ),
    { name: "n", values: shownCounts, start: 2 },
  ),
);

// %% [markdown] id="estimator-text"
// ## From samples: every n at once
//
// For a language model nobody knows $F$. Draw $N$ answers to a question once. Any $n$ of them could have been the $n$ draws, so average
// over **all subsets** of size $n$. The answer with the $i$-th lowest reward is the best of the subsets that hold it and $n-1$ of
// the $i-1$ below it:
//
// $$\widehat{\mathbb{E}}_{\pi_n}[v] = \sum_{i=n}^{N}\frac{\binom{i-1}{n-1}}{\binom{N}{n}}\,v_{(i)}, \qquad v_{(1)},\dots,v_{(N)}\text{ in ascending order of reward.}$$
//
// It is unbiased for every $n \le N$ (Nakano et al. 2021; Gao et al. 2022 draw their curves with it). Reward and value need not be
// the same: choose by the reward model, count the gold reward.

// %% [markdown] id="exercise-estimator"
// ## Exercise: the estimator
//
// The rewards are all different here; the library's own version also shares weights among ties.

// %% id="hints-estimator"
hints("11-best-of-n-estimator");

// %% id="best-of-n-estimator" tags=["exercise"]
// rewards: what the best is chosen by; values: what is counted; both one a sample. Returns the expected value of the best of n.
function expectedBest(rewards: number[], values: number[], n: number): number {
  return unfilled("11-best-of-n-estimator");
}

await check("11-best-of-n-estimator", expectedBest, { beta: beta, seed: seed });

// %% [markdown] id="advice-text"
// ## On the advice world
//
// The SFT model's answers to the test questions, the reward model of [notebook 4](04-bradley-terry.ipynb) to choose by
// ([`src/objectives/reward-maximisation/best-of-n.ts`](../src/objectives/reward-maximisation/best-of-n.ts)).

// %% id="predict-best" tags=["predict"]
predict({
  id: "harm4",
  question: "Share of harmful answers among the best of 4 (SFT: about 0.15)",
  answer: 0.02,
});

// %% id="best-of-n"
const sft = await models.sft().result();
const proxy = modelReward(await models.rewardModel().result());
const questions = testPrompts();
const N = chosenScale === "quick" ? 8 : draws;
const drawn = await evaluateAdvice({
  policy: sft,
  vocabulary: models.vocabulary,
  prompts: questions,
  samplesPerPrompt: N,
  rng: rng.child("best of n"),
});
const drawnRewards = await rewardsOf(
  proxy,
  drawn.answers.map(({ example }) => example),
);
/** Mean over questions of the expected value of the best of n, entry n − 1. */
const bestCurve = (valueOf: (i: number) => number): number[] => {
  const total = new Array<number>(N).fill(0);
  questions.forEach((_, q) => {
    const rows = Array.from({ length: N }, (_, i) => q * N + i);
    expectedBestOfN(
      rows.map((i) => drawnRewards[i]),
      rows.map(valueOf),
    ).forEach((value, n) => (total[n] += value / questions.length));
  });
  return total;
};
const bestGold = bestCurve((i) => drawn.answers[i].gold.total);
const bestProxy = bestCurve((i) => drawnRewards[i]);
const bestHarm = bestCurve((i) => (drawn.answers[i].gold.counts.harm > 0 ? 1 : 0));
const powers = Array.from({ length: Math.floor(Math.log2(N)) + 1 }, (_, i) => 2 ** i);
await show(
  powers.map((n) => ({
    n: n,
    proxy: bestProxy[n - 1],
    gold: bestGold[n - 1],
    "harmful answers": bestHarm[n - 1],
    "KL at most": bestOfNKlBound(n),
    "tokens an answer": n * drawn.metrics.length,
  })),
);

// %% id="figure-best-of-n"
const every = Array.from({ length: N }, (_, i) => i + 1);
await show(
  lines({
    title: `Best of ${N}: gold ${bestGold[N - 1].toFixed(2)}, one draw: ${bestGold[0].toFixed(2)}; half of the gain by n = ${every.find((n) => bestGold[n - 1] >= (bestGold[0] + bestGold[N - 1]) / 2)}`,
    subtitle: `chosen by the reward model; ${N} answers to each of ${questions.length} questions, all n from the same`,
    x: { title: "answers drawn, n", log: true },
    y: { title: "reward" },
    series: [
      { name: "proxy", x: every, y: bestProxy, method: "rewardModel", markers: false },
      { name: "gold", x: every, y: bestGold, method: "gold", markers: false },
    ],
  }),
);
compare("harm4", bestHarm[Math.min(4, N) - 1], { tolerance: 0.02 });

// %% [markdown] id="best-of-n-lessons"
// Best-of-n reaches only what the reference says now and then, and it stays near: the best of 64 is at most 3.2 nats away. So the
// reward model is asked about answers of the kind it was fitted to, and over-optimisation, so easy in
// [notebook 7](07-reward-maximisation.ipynb), hardly shows here. The price: every answer costs $n$ times the tokens, for ever.
// (`distilBestOfN` pays once: maximum likelihood on the answers that were best, so that one draw is worth $n$.)
//
// ## Offline: a picture of the past
//
// [DPO](09-dpo.ipynb) trains on pairs. Where do they come from? **Offline**, two answers of the SFT model, drawn and compared before
// training begins. Everything DPO learns about an answer it learns from answers that the *reference* gave. But as it trains, the
// policy gives other answers.
//
// To see only this difference we keep everything else equal: the same loss, $\beta$, learning rate, number of gradient steps and pairs
// a step, and the same labeller, the reward model, whose preferences are drawn from Bradley-Terry with its rewards. First, all
// pairs from the SFT model.

// %% id="predict-offline" tags=["predict"]
predict({
  id: "reliable",
  question:
    "How often the reward model puts two answers in the gold order: from the SFT model's answers to the trained policy's own, this share goes",
  answer: "down",
  choices: ["up", "down", "same"],
});

// %% id="train-offline"
const offlineStage = models.aligned("iterativeDpo", { beta: price, rounds: 1 });
const offlineRecords = await watch(offlineStage, (seen) =>
  trainingFigure(seen, {
    title: `Offline DPO at β = ${price}: the pairs on hand are learned`,
    subtitle: "pairs of the SFT model's answers, labelled once; running mean over 10 steps",
    metrics: [
      { key: "loss", title: "DPO loss", reference: { value: Math.LN2, name: "log 2: nothing learned" } },
      { key: "accuracy", title: "pairs ordered right" },
    ],
    method: "dpo",
    smooth: 10,
  }),
);
const offline = await offlineStage.result();

// %% id="measures"
const perQuestion = models.sizes.answersForDiversity;
const pastPairs = (await models.preferences().result()).training
  .slice(0, 200)
  .map((pair) => models.preferencePair(pair));
const pastLogProbs = async (policy: Policy) => ({
  chosen: await sequenceLogProbs(
    policy,
    pastPairs.map(({ chosen }) => chosen),
  ),
  rejected: await sequenceLogProbs(
    policy,
    pastPairs.map(({ rejected }) => rejected),
  ),
});
const pastOfSft = await pastLogProbs(sft);
const meanDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value - b[i], 0) / a.length;
async function measure(policy: Policy, name: string) {
  const { metrics, answers } = await evaluateAdvice({
    policy: policy,
    reference: sft,
    reward: proxy,
    vocabulary: models.vocabulary,
    prompts: questions,
    samplesPerPrompt: perQuestion,
    rng: rng.child(`measure ${name}`),
  });
  const scores = await rewardsOf(
    proxy,
    answers.map(({ example }) => example),
  );
  // All pairs of answers to one question whose gold rewards differ: does the reward model order them so?
  const right: number[] = [];
  for (let i = 0; i < answers.length; i++)
    for (let j = i + 1; j < answers.length && answers[j].prompt.id === answers[i].prompt.id; j++) {
      const difference = answers[i].gold.total - answers[j].gold.total;
      if (difference !== 0) right.push((Math.sign((scores[i] - scores[j]) * difference) + 1) / 2);
    }
  const past = await pastLogProbs(policy);
  return {
    name: name,
    metrics: metrics,
    answers: answers,
    rewardModelAccuracy: right.reduce((a, b) => a + b, 0) / right.length,
    pastChosen: meanDifference(past.chosen, pastOfSft.chosen),
    pastRejected: meanDifference(past.rejected, pastOfSft.rejected),
  };
}
const ofSft = await measure(sft, "SFT");
const ofOffline = await measure(offline, "offline DPO");
compare("reliable", ofOffline.rewardModelAccuracy - ofSft.rewardModelAccuracy, {
  tolerance: 0.02,
  explain: `SFT ${ofSft.rewardModelAccuracy.toFixed(3)}, offline DPO ${ofOffline.rewardModelAccuracy.toFixed(3)}`,
});

// %% [markdown] id="shift-text"
// That is **distribution shift**, and there are two of it. The *pairs* grow stale: they are about answers the policy has stopped
// giving. And the *labeller* grows unreliable: a reward model has learned to tell good from bad among the SFT model's answers; the
// policy's answers are all fairly good, and differ in what the reward model never had to judge. New pairs mend the first. Only
// new human labels mend the second.
//
// ## Online DPO
//
// Draw two answers of the policy **as it is now**, have them compared, take one step, forget them. The heart of it, for pairs
// $[B, 2]$ of summed log-probabilities ([`src/objectives/contrastive/online-dpo.ts`](../src/objectives/contrastive/online-dpo.ts)):

// %% id="heart"
function onlineDpoLoss(logPi: tf.Tensor2D, logRef: tf.Tensor2D, firstWins: tf.Tensor1D, beta: number): tf.Scalar {
  const [first, second] = tf.split(logPi.sub(logRef), 2, 1); // h = log π − log π_ref of either answer
  const margin = first.sub(second).mul(beta).as1D();
  return margin.mul(firstWins.mul(2).sub(1)).neg().softplus().mean(); // −log σ(margin of the winner)
}

// %% [markdown] id="online-text"
// - **Ties are left out.** Of two equal answers neither is preferred. Trainers that give ties to the first answer learn a preference
//   that nobody has.
// - **The labels decide where it ends.** If preferences are *drawn* from Bradley-Terry, $P(y \succ y') = \sigma(r(y) - r(y'))$, then for every
//   pair the expected gradient is zero where $\beta(h(y) - h(y')) = r(y) - r(y')$: at $\pi^* \propto \pi_{ref}\,e^{r/\beta}$, whoever
//   draws the pairs. If the higher reward always *wins*, no margin is ever enough, and the policy runs on to the single best answer:
//   $\beta$ then sets the speed, not the place. So labels are drawn here.
// - Since $\pi^*$ is the same for pairs from anywhere, why draw new ones? Because the fixed point is where infinitely many pairs
//   lead a policy that can represent anything. With finitely many, the loss is heeded where the pairs are.

// %% id="predict-online" tags=["predict"]
predict({
  id: "objective",
  question: "E[proxy] − β·KL, which both try to make large, is higher for",
  answer: "online",
  choices: ["online", "offline"],
});

// %% id="train-online"
const onlineStage = models.aligned("onlineDpo", { beta: price });
const onlineRecords = await watch(onlineStage, (seen) =>
  trainingFigure(seen, {
    title: `Online DPO at β = ${price}: each step on pairs that are new`,
    subtitle: "pairs of the policy's own answers; running mean over 10 steps",
    metrics: [
      { key: "loss", title: "DPO loss", reference: { value: Math.LN2, name: "log 2: nothing learned" } },
      { key: "gold", title: "gold reward" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
    ],
    method: "onlineDpo",
    smooth: 10,
  }),
);
const ofOnline = await measure(await onlineStage.result(), "online DPO");
const objectiveOf = ({ metrics }: typeof ofSft): number => metrics.proxy! - price * metrics.klPolicyToReference!;
compare("objective", objectiveOf(ofOnline) > objectiveOf(ofOffline) ? "online" : "offline", {
  explain: `online ${objectiveOf(ofOnline).toFixed(2)}, offline ${objectiveOf(ofOffline).toFixed(2)}, SFT ${objectiveOf(ofSft).toFixed(2)}`,
});

// %% [markdown] id="loss-text"
// Compare the two losses. Offline it falls well below $\log 2$: the pairs become easy. Online it stays closer to it, and that is no
// failure: the policy's answers improve, and two good answers are hard to tell apart, for the labeller too. An online loss is no
// measure of progress.
//
// ## In between: iterative DPO
//
// Drawing and labelling one pair at a time suits no annotator. **Iterative** DPO works in rounds: draw many pairs from the policy as
// it is, have them labelled, train on them for a while, repeat ([`src/objectives/contrastive/iterative-dpo.ts`](../src/objectives/contrastive/iterative-dpo.ts)).
// One round is offline DPO; rounds of one step are online DPO.
//
// In every round there is a choice that is often passed over: which reference? $\pi_{ref}$, as always, or the policy the round starts
// from? Suppose that each round reaches its optimum. With a **fixed** reference every round ends at
// $\pi_{ref}\,e^{r/\beta}$. With a **moving** one, round after round,
//
// $$\pi_1 \propto \pi_{ref}\,e^{r/\beta},\quad \pi_2 \propto \pi_1\,e^{r/\beta} \propto \pi_{ref}\,e^{2r/\beta},\quad\dots\quad
// \pi_R \propto \pi_{ref}\,e^{R\,r/\beta}:$$
//
// the policy of a $\beta$ that is $R$ times smaller. Exactly, on the mini world:

// %% id="predict-moving" tags=["predict"]
predict({
  id: "moving",
  question: `Four rounds at β = ${price} with a moving reference end at π* for which β?`,
  answer: price / 4,
});

// %% id="exact-rounds"
const roundRows: { rounds: number; fixed: number[]; moving: number[] }[] = [];
let movingPolicy: ArrayLike<number> = miniReference;
const fixedPolicy = optimalPolicy(miniReference, miniReward, price);
for (let rounds = 1; rounds <= 4; rounds++) {
  movingPolicy = optimalPolicy(movingPolicy, miniReward, price);
  const both = [fixedPolicy, movingPolicy].map((logP) => [
    expectation(logP, miniReward),
    klDivergence(logP, miniReference),
  ]);
  roundRows.push({ rounds: rounds, fixed: both[0], moving: both[1] });
}
await show(
  roundRows.map((row) => ({
    "after round": row.rounds,
    "fixed: E[r]": row.fixed[0],
    "fixed: KL": row.fixed[1],
    "moving: E[r]": row.moving[0],
    "moving: KL": row.moving[1],
    "moving: β in effect": price / row.rounds,
  })),
);
const atQuarter = optimalPolicy(miniReference, miniReward, price / 4);
const gapToQuarter = Array.from(atQuarter).reduce(
  (most, l, y) => Math.max(most, Math.abs(Math.exp(l) - Math.exp(movingPolicy[y]))),
  0,
);
console.log(`largest difference from π* at β/4, in probability: ${gapToQuarter.toExponential(1)}`);
compare("moving", price / 4, { tolerance: price / 50 });

// %% [markdown] id="exercise-round"
// ## Exercise: one round
//
// The loss of a round, given the log-probabilities of all answers under the three policies that matter, the pairs drawn, and
// how many of their annotators preferred the first.

// %% id="hints-round"
hints("11-iteration-round");

// %% id="iteration-round" tags=["exercise"]
interface Round {
  now: number[]; // log π(y) of every answer, now
  start: number[]; // when the round began
  reference: number[]; // of π_ref
  pairs: [number, number][]; // answers by number
  preferFirst: number[]; // share of annotators who prefer the first of each pair
  beta: number;
  moving: boolean; // is the round's reference the policy it began with?
}
function roundLoss(round: Round): number {
  return unfilled("11-iteration-round");
}

await check("11-iteration-round", roundLoss, { beta: beta, seed: seed });

// %% [markdown] id="iterative-text"
// ## Three rounds on the advice world
//
// As many gradient steps and labels as offline, but the pairs come in three portions, each from the policy as it has become.

// %% id="predict-iterative" tags=["predict"]
predict({
  id: "farthest",
  question: "Of offline, online, and iterative with either reference, which ends farthest from the SFT model?",
  answer: "moving",
  choices: ["offline", "online", "fixed", "moving"],
});

// %% id="train-iterative"
const fixedStage = models.aligned("iterativeDpo", { beta: price });
const movingStage = models.aligned("iterativeDpo", { beta: price, roundReference: "moving" });
const roundsFigure = (title: string) => (seen: typeof onlineRecords) =>
  trainingFigure(seen, {
    title: title,
    subtitle: "KL of the policy that draws a round's pairs, over its three rounds; running mean over 10 steps",
    metrics: [
      { key: "loss", title: "DPO loss", reference: { value: Math.LN2, name: "log 2: nothing learned" } },
      { key: "klRoundStartToReference", title: "KL(start‖ref), k1", unit: "nats" },
    ],
    method: "iterativeDpo",
    smooth: 10,
  });
const fixedRecords = await watch(fixedStage, roundsFigure(`Iterative DPO at β = ${price}, the reference fixed`));
const movingRecords = await watch(
  movingStage,
  roundsFigure("The reference moved: each round begins anew, at a loss of log 2"),
);
const ofFixed = await measure(await fixedStage.result(), "iterative, fixed");
const ofMoving = await measure(await movingStage.result(), "iterative, moving");

// %% [markdown] id="annotators-text"
// ## Asking people again
//
// Until now the reward model said which answer is better, and its errors are the policy's to find. Suppose the annotators can be
// asked, who labelled the reward model's own data: as noisy as ever, but they see the answers given *now*. Online DPO once more,
// with nothing changed but who is asked.

// %% id="predict-annotators" tags=["predict"]
predict({
  id: "annotators",
  question: "With annotators in the reward model's place, the gold reward of online DPO goes",
  answer: "up",
  choices: ["up", "down", "same"],
});

// %% id="train-annotators"
const annotatorStage = models.aligned("onlineDpo", { beta: price, labeller: "annotators" });
const annotatorRecords = await watch(annotatorStage, (seen) =>
  trainingFigure(seen, {
    title: `Online DPO at β = ${price}, compared by annotators`,
    subtitle: "pairs of the policy's own answers; running mean over 10 steps",
    metrics: [
      { key: "gold", title: "gold reward" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
    ],
    method: "onlineDpo",
    smooth: 10,
  }),
);
const ofAnnotators = await measure(await annotatorStage.result(), "online, annotators");
compare("annotators", ofAnnotators.metrics.gold - ofOnline.metrics.gold, {
  tolerance: 0.05,
  explain: `gold reward: labelled by the reward model ${ofOnline.metrics.gold.toFixed(2)}, by annotators ${ofAnnotators.metrics.gold.toFixed(2)}`,
});

// %% [markdown] id="comparison-text"
// ## Side by side
//
// One loss, one $\beta$, as many gradient steps on as many pairs each. What differs is whose answers were compared, by whom (the
// reward model but for the last), and against which reference.

// %% id="comparison"
const all = [ofSft, ofOffline, ofFixed, ofMoving, ofOnline, ofAnnotators];
await show(
  all.map((one) => ({
    policy: one.name,
    proxy: one.metrics.proxy,
    gold: one.metrics.gold,
    harm: one.metrics.harmRate,
    KL: one.metrics.klPolicyToReference,
    "proxy − β·KL": objectiveOf(one),
    "junk words": one.metrics.junk,
    "distinct advice": one.metrics.distinctAdvice,
  })),
);
const farthest = [
  { name: "offline", one: ofOffline },
  { name: "online", one: ofOnline },
  { name: "fixed", one: ofFixed },
  { name: "moving", one: ofMoving },
].reduce((a, b) => (b.one.metrics.klPolicyToReference! > a.one.metrics.klPolicyToReference! ? b : a));
compare("farthest", farthest.name, {
  explain: "A moving reference divides β by the number of rounds, as far as the rounds get.",
});

// %% id="figure-comparison"
const highest = all.reduce((a, b) => (objectiveOf(b) > objectiveOf(a) ? b : a));
const asPoint = (one: typeof ofSft, method: "dpo" | "onlineDpo" | "iterativeDpo") => ({
  name: one.name,
  kl: [Math.max(0, one.metrics.klPolicyToReference!)],
  reward: [one.metrics.gold],
  labels: [one.name],
  method: method,
});
await show(
  frontierFigure({
    title: `Gold reward against distance; proxy − β·KL is highest for ${highest.name}`,
    subtitle: "best-of-n stands at its bound for the KL; its true place is further left",
    squareRoot: true,
    y: "gold reward",
    series: [
      {
        name: "best-of-n",
        kl: powers.map((n) => bestOfNKlBound(n)),
        reward: powers.map((n) => bestGold[n - 1]),
        labels: powers.map((n) => (n === 1 || n === 4 || n === N ? `n = ${n}` : "")),
        method: "bestOfN",
      },
      asPoint(ofOffline, "dpo"),
      asPoint(ofFixed, "iterativeDpo"),
      asPoint(ofMoving, "iterativeDpo"),
      asPoint(ofOnline, "onlineDpo"),
      asPoint(ofAnnotators, "onlineDpo"),
    ],
  }),
);

// %% id="figure-shift"
const trained = all.slice(1);
const rejectedFalls = trained.every((one) => one.pastRejected < one.pastChosen && one.pastChosen < 0);
await show(
  bars({
    title: rejectedFalls
      ? "The offline pairs grow stale: both answers become rarer, the rejected more"
      : "How likely the answers of the offline pairs have become",
    subtitle: "change of log π(y) since SFT, mean over 200 pairs of the SFT model's answers",
    y: { title: "change of log π(y)", unit: "nats" },
    groups: [
      {
        name: "chosen",
        method: "gold" as const,
        bars: trained.map((one) => ({ label: one.name, value: one.pastChosen })),
      },
      {
        name: "rejected",
        method: "base" as const,
        bars: trained.map((one) => ({ label: one.name, value: one.pastRejected })),
      },
    ],
  }),
);

// %% id="figure-labeller"
const lowestAccuracy = Math.min(...trained.map((one) => one.rewardModelAccuracy));
await show(
  bars({
    title: `The reward model: right on ${ofSft.rewardModelAccuracy.toFixed(2)} of the SFT model's pairs, later on as few as ${lowestAccuracy.toFixed(2)}`,
    subtitle: "share of pairs of a policy's own answers that the reward model puts in the gold order",
    y: { title: "reward model's accuracy", range: [0, 1] },
    groups: [
      {
        name: "reward model",
        method: "rewardModel" as const,
        bars: all.map((one) => ({ label: one.name, value: one.rewardModelAccuracy })),
      },
    ],
    references: [{ value: 0.5, name: "a coin" }],
  }),
);

// %% [markdown] id="costs-text"
// And what it cost. A label is a comparison of two different answers; equal ones need none.

// %% id="costs"
/** A round's numbers stand in each of its records: they count once. */
const total = (records: typeof onlineRecords, key: string): number =>
  records
    .filter((record, i) => i === 0 || record.round === undefined || record.round !== records[i - 1].round)
    .reduce((sum, record) => sum + record[key], 0);
await show([
  ...[
    { name: "offline DPO", records: offlineRecords },
    { name: "iterative, fixed", records: fixedRecords },
    { name: "iterative, moving", records: movingRecords },
    { name: "online DPO", records: onlineRecords },
    { name: "online, annotators", records: annotatorRecords },
  ].map(({ name, records }) => ({
    method: name,
    "gradient steps": records.length,
    labels: total(records, "labels"),
    "tokens drawn": total(records, "sampledTokens"),
    "tokens trained on": records[records.length - 1].tokens,
    "tokens an answer, in use": all.find((one) => one.name === name)!.metrics.length,
  })),
  {
    method: "best of 16",
    "gradient steps": 0,
    labels: 0,
    "tokens drawn": 0,
    "tokens trained on": 0,
    "tokens an answer, in use": 16 * drawn.metrics.length,
  },
]);

// %% [markdown] id="lessons"
// What to take along
//
// - **Best-of-n** is a policy with an exact formula, near the frontier, and at most $\log n - (n-1)/n$ nats away. It is the baseline to
//   beat, and it pays at every answer.
// - **Offline** data are about the reference's answers. What they say about the policy's own grows less as it moves; so does what a
//   reward model fitted to them says.
// - **Online** and **iterative** methods ask about the answers given now. This costs tokens and labels; where the labels come
//   from a reward model they are cheap, and only as good as it is off its data.
// - **A moving reference** is not a detail: it divides $\beta$ by the number of rounds.
//
// How far to trust the pictures: with seeds 0, 1 and 2 at $\beta = 0.3$, the reward model was right on 0.79, 0.77 and 0.76 of the SFT
// model's pairs and on 0.60, 0.65 and 0.63 of offline DPO's; proxy − $\beta$·KL came to 2.28, 1.76 and 1.64 online and 2.16, 1.34 and
// 0.91 offline, with more labels online; three rounds with a moving reference ended 5.8, 5.8 and 5.0 nats away, the farthest
// each time; and annotators in the loop brought the gold reward to 1.68, 1.70 and 1.72, the reward model to 1.47, 1.52 and 1.47.
// Whether iterative DPO with a fixed reference beats offline is not settled by three seeds: 2.17, 1.36 and 1.51.
//
// **Try it:** let the reward model's favourite always win, `models.aligned("onlineDpo", { beta: price, labeller: "reward model" })`, and
// compare the KL; or give iterative DPO more rounds, `rounds: 6`, with either reference.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  exactKlOf256: klExact[at256],
  exactKlOf256Rounded: klMarks[at256],
  goldBestOf1: bestGold[0],
  goldBestOf4: bestGold[Math.min(4, N) - 1],
  goldBestOfN: bestGold[N - 1],
  harmBestOf4: bestHarm[Math.min(4, N) - 1],
  goldOffline: ofOffline.metrics.gold,
  goldFixed: ofFixed.metrics.gold,
  goldMoving: ofMoving.metrics.gold,
  goldOnline: ofOnline.metrics.gold,
  goldAnnotators: ofAnnotators.metrics.gold,
  klOffline: ofOffline.metrics.klPolicyToReference!,
  klFixed: ofFixed.metrics.klPolicyToReference!,
  klMoving: ofMoving.metrics.klPolicyToReference!,
  klOnline: ofOnline.metrics.klPolicyToReference!,
  klAnnotators: ofAnnotators.metrics.klPolicyToReference!,
  objectiveOffline: objectiveOf(ofOffline),
  objectiveFixed: objectiveOf(ofFixed),
  objectiveMoving: objectiveOf(ofMoving),
  objectiveOnline: objectiveOf(ofOnline),
  rewardModelAccuracySft: ofSft.rewardModelAccuracy,
  rewardModelAccuracyOffline: ofOffline.rewardModelAccuracy,
  rewardModelAccuracyOnline: ofOnline.rewardModelAccuracy,
  labelsOffline: total(offlineRecords, "labels"),
  labelsOnline: total(onlineRecords, "labels"),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Nakano et al. (2021), *WebGPT*, on the estimator; Gao, Schulman & Hilton (2022), *Scaling Laws for Reward Model Overoptimization*.
// - Beirami et al. (2024), *Theoretical guarantees on the best-of-n alignment policy*.
// - Guo et al. (2024), *Direct Language Model Alignment from Online AI Feedback*.
// - Xu et al. (2023), *Some things are more CRINGE than others: Iterative Preference Optimization*; Dong et al. (2024), *RLHF Workflow*.
// - Tang et al. (2024), *Understanding the performance gap between online and offline alignment algorithms*.
