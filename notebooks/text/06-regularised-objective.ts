// %% [markdown] id="title"
// # 6 · The objective: high reward, close to the reference
//
// *Follows the lecture's slides* **The Reward Maximization Objective**, **Why Care About Closeness to** $\pi_{ref}$**?**,
// **Formulating the Objective** *and* **Combining the Objective: Regularized Reward Maximization**
//
// Given a reference policy $\pi_{ref}(y \mid x)$ and a reward model $r(x, y)$, we look for a policy that gives answers of high
// reward and stays close to the reference. In this notebook you turn the two wishes into one formula and find its best
// policy, exactly: in a world of 4,096 answers every expectation is a sum that can be written out.
//
// After it you can
// - say what "high reward" and "close" mean, which way round the KL goes, and why it is a sum over tokens;
// - derive the optimal policy $\pi^* \propto \pi_{ref}\,e^{r/\beta}$, and say how far any other policy falls short of it;
// - read the reward–KL frontier, and say what happens at its two ends;
// - show, without any training, how an imperfect reward is exploited, and what $\beta$ does about it.
//
// *Reading: 40 minutes. Running: about half a minute on two CPU cores.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.3;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let betas: number[] = [0, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2, 5, 10];

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  bars,
  check,
  chooseBackend,
  chooseScale,
  describeBackend,
  EnumeratedPolicy,
  entropy,
  expectation,
  fitEnumerated,
  fitWordReward,
  frontier,
  frontierFigure,
  hints,
  klByChainRule,
  klDivergence,
  lines,
  logPartition,
  maximiseEnumerated,
  MINI_SLOT_NAMES,
  MINI_SLOTS,
  miniAnswer,
  miniDemonstrationProbabilities,
  miniDemonstrations,
  miniPair,
  miniRewards,
  miniSlotTokens,
  miniText,
  miniVocabulary,
  normalise,
  objective,
  optimalObjective,
  optimalPolicy,
  points,
  Predictions,
  Random,
  results,
  sequenceSpace,
  show,
  slider,
  tabularPolicyFor,
  totalVariation,
  trainingFigure,
  unfilled,
  variance,
  watch,
} from "alignment";

const backend = await chooseBackend();
const quick = chooseScale(scale, backend) === "quick";
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
console.log(describeBackend(backend));

// %% [markdown] id="world"
// ## What is given: a reward and a reference
//
// The **mini world** ([`src/world/mini-world.ts`](../src/world/mini-world.ts)) has one question, "how can I get fit?", say, and
// answers of four words: a tone, a verb, an object, a manner, eight words each, so $8^4 = 4096$ answers. Its reward is a table:
// twelve pairs of verb and object are good advice (+1 to +2), thirteen are harmful (−2 to −3), all others are pointless (−0.5);
// tone and manner add a little.

// %% id="look"
const rewards = miniRewards();
const pairs = Array.from(rewards, (_, y) => miniPair(y));
await show(MINI_SLOTS.map((words, slot) => ({ slot: MINI_SLOT_NAMES[slot], words: words.join(", ") })));
await show(
  [
    "sure add fiber gradually",
    "maybe try water forever",
    "friend do sugar slowly",
    "always skip meals now",
    "honestly stop everything never",
  ].map((answer) => ({ answer: answer, advice: miniPair(miniAnswer(answer)), "r(y)": rewards[miniAnswer(answer)] })),
);

// %% [markdown] id="reference-text"
// The **reference** is a small GPT, tuned on 600 demonstrations as in [notebook 1](01-stages.ipynb): 55% of them good advice, 20%
// harmful, 25% any answer at all (some of these are good or harmful too). One forward pass over the 512 possible first three
// words gives its probability of every answer ([`src/models/enumerated-policy.ts`](../src/models/enumerated-policy.ts)).

// %% id="predict-harm" tags=["predict"]
predict({ id: "harm", question: "Share of the reference's answers that are harmful advice", answer: 0.25 });

// %% id="fit"
const demonstrated = miniDemonstrationProbabilities();
const reference = EnumeratedPolicy.initialise(
  { vocabularySize: miniVocabulary().size, slots: miniSlotTokens() },
  rng.child("reference"),
);
// What is lost by a model that draws each word by itself: the entropies of the four words, added up.
const wordByWord = MINI_SLOTS.reduce((sum, words, slot) => {
  const shares = words.map((_, word) =>
    demonstrated.reduce((mass, p, y) => (Math.floor(y / 8 ** (3 - slot)) % 8 === word ? mass + p : mass), 0),
  );
  return sum + entropy(shares.map(Math.log));
}, 0);
const fitRecords = await watch(
  fitEnumerated({
    policy: reference,
    demonstrations: miniDemonstrations({ count: 600, rng: rng.child("demonstrations") }),
    batchSize: 128,
    steps: quick ? 20 : 150,
    learningRate: 5e-3,
    rng: rng.child("fit"),
  }),
  (records) =>
    trainingFigure(records, {
      title: "The reference learns not only which words are common, but which go together",
      subtitle: "maximum likelihood on 600 demonstrations, 128 a step; it starts at log 4096 = 8.32",
      metrics: [
        {
          key: "loss",
          title: "−log π(y)",
          unit: "nats/answer",
          reference: { value: wordByWord, name: "best without heeding the other words" },
        },
      ],
      method: "sft",
    }),
);

// %% id="reference"
// Model outputs are float32; from here on all is float64, and normalised.
const logReference = normalise(await reference.logProbabilities());
const share = (logP: ArrayLike<number>, kind: "good" | "bad" | "other"): number =>
  pairs.reduce((sum, pair, y) => sum + (pair === kind ? Math.exp(logP[y]) : 0), 0);
await show(
  [
    { distribution: "all answers alike", logP: normalise(new Float64Array(4096)) },
    { distribution: "demonstrations", logP: demonstrated.map(Math.log) },
    { distribution: "reference", logP: logReference },
  ].map(({ distribution, logP }) => ({
    distribution: distribution,
    "good advice": share(logP, "good"),
    "harmful advice": share(logP, "bad"),
    pointless: share(logP, "other"),
    "E[r]": expectation(logP, rewards),
  })),
);
compare("harm", share(logReference, "bad"), {
  tolerance: 0.05,
  explain: "Maximum likelihood copies its demonstrations, whose share is 0.20 + 0.25 · 13/64 = 0.25.",
});

// %% [markdown] id="high-reward"
// ## What does it mean for a policy to have high reward?
//
// A reward belongs to an answer; a policy gives many. So take the mean over what the policy says, and over the questions it is
// asked:
//
// $$\mathbb{E}_{x\sim D}\;\mathbb{E}_{y\sim\pi(\cdot|x)}\big[r(x, y)\big] = \mathbb{E}_{x \sim D}\sum_y \pi(y \mid x)\,r(x, y).$$
//
// Here there is one question, and the inner sum has 4,096 terms. For a language model nobody can write it out (242 words and 30
// tokens make $10^{71}$ answers); there one draws $n$ answers and takes the mean of their rewards, which is right on average and off
// by about $\sigma/\sqrt n$, with $\sigma$ the standard deviation of the reward.

// %% id="exact-reward"
let referenceReward = 0;
for (let y = 0; y < 4096; y++) referenceReward += Math.exp(logReference[y]) * rewards[y];
const rewardDeviation = Math.sqrt(variance(logReference, rewards));
console.log(`E[r] of the reference: ${referenceReward.toFixed(4)}, σ = ${rewardDeviation.toFixed(2)}`);

// %% id="predict-error" tags=["predict"]
predict({ id: "error", question: "Standard error of the mean reward of 64 sampled answers", answer: 0.2 });

// %% id="monte-carlo"
const counts = Array.from({ length: 40 }, (_, i) => Math.round(4 * 1024 ** (i / 39)));
const referenceProbabilities = logReference.map(Math.exp);
const estimates = [1, 2, 3].map((run) => {
  const stream = rng.child(`estimate ${run}`);
  let sum = 0;
  const means: number[] = [];
  for (let n = 1; n <= 4096; n++) {
    sum += rewards[stream.weighted(referenceProbabilities)];
    if (counts.includes(n)) means.push(sum / n);
  }
  return { name: `run ${run}`, x: counts, y: means, markers: false, look: run - 1 };
});
await show(
  lines({
    title: "The mean of n sampled rewards closes in on the sum over all answers as 1/√n",
    subtitle: "three runs; the band is the exact value ± 2σ/√n",
    x: { title: "answers sampled, n", log: true },
    y: { title: "mean reward" },
    series: [
      {
        name: "exact sum over 4,096 answers",
        x: counts,
        y: counts.map(() => referenceReward),
        low: counts.map((n) => referenceReward - (2 * rewardDeviation) / Math.sqrt(n)),
        high: counts.map((n) => referenceReward + (2 * rewardDeviation) / Math.sqrt(n)),
        exact: true,
      },
      ...estimates,
    ],
  }),
);
compare("error", rewardDeviation / Math.sqrt(64), { tolerance: 0.05, explain: "σ/√64" });

// %% [markdown] id="reward-alone"
// If high reward were all, the best policy would be plain: give the answer of the highest reward, always. One answer to everything,
// and whatever the reward model overrates most. Both are bad, for the two reasons on the slide: reward models are imperfect, and
// a question has many good answers. At the end of this notebook you will see both in numbers. First: what is "close"?
//
// ## How do we capture closeness to $\pi_{ref}$?
//
// By the **Kullback–Leibler divergence**
//
// $$\mathrm{KL}(\pi\|\pi_{ref}) = \mathbb{E}_{y\sim\pi}\Big[\log\frac{\pi(y)}{\pi_{ref}(y)}\Big]
//   = \sum_y \pi(y)\,\big(\log\pi(y) - \log\pi_{ref}(y)\big) \quad\text{in nats.}$$
//
// It is 0 for $\pi = \pi_{ref}$ and positive for all others: since $\log t \le t - 1$,
// $-\mathrm{KL} = \sum_y \pi\log\frac{\pi_{ref}}{\pi} \le \sum_y \pi\,\big(\frac{\pi_{ref}}{\pi} - 1\big) \le 0$. It is infinite where $\pi$ says
// something that $\pi_{ref}$ never would. And it is not symmetric: $\mathrm{KL}(\pi_{ref}\|\pi)$ is another number, and asks for
// something else. To see what, let the reference have **two** peaks, say two good ways to answer, and $\pi$ only one bump (a
// normal curve) to cover them with. Which bump is closest?

// %% id="predict-mode" tags=["predict"]
predict({
  id: "mode",
  question: "Which KL is smallest for a bump that sits on one peak and ignores the other?",
  answer: "KL(π‖π_ref)",
  choices: ["KL(π‖π_ref)", "KL(π_ref‖π)"],
});

// %% id="two-peaks"
const axis = Array.from({ length: 141 }, (_, i) => -7 + i / 10);
const bump = (mean: number, sd: number): Float64Array => normalise(axis.map((y) => -0.5 * ((y - mean) / sd) ** 2));
const [left, right] = [bump(-2.5, 0.9), bump(2.5, 0.7)];
const twoPeaks = left.map((l, i) => Math.log(0.6 * Math.exp(l) + 0.4 * Math.exp(right[i])));
const closest = (distance: (logP: Float64Array) => number) => {
  let best = { value: Infinity, mean: 0, sd: 1, logP: left };
  for (let mean = -4; mean <= 4; mean += 0.1)
    for (let sd = 0.4; sd <= 4; sd += 0.1) {
      const logP = bump(mean, sd);
      const value = distance(logP);
      if (value < best.value) best = { value: value, mean: mean, sd: sd, logP: logP };
    }
  return best;
};
const reverse = closest((logP) => klDivergence(logP, twoPeaks));
const forward = closest((logP) => klDivergence(twoPeaks, logP));
await show(
  lines({
    title: "KL(π‖π_ref) picks one peak; KL(π_ref‖π) covers both, and the gap between",
    subtitle: "the bump closest to a two-peaked reference, by either KL",
    x: { title: "answers, in a row" },
    y: { title: "probability density" },
    series: [
      { name: "reference", x: axis, y: twoPeaks.map((l) => 10 * Math.exp(l)), exact: true },
      {
        look: 0,
        name: `smallest KL(π‖π_ref): ${reverse.value.toFixed(2)}`,
        x: axis,
        y: reverse.logP.map((l) => 10 * Math.exp(l)),
        markers: false,
      },
      {
        look: 1,
        name: `smallest KL(π_ref‖π): ${forward.value.toFixed(2)}`,
        x: axis,
        y: forward.logP.map((l) => 10 * Math.exp(l)),
        markers: false,
      },
    ],
  }),
);
compare("mode", reverse.sd < forward.sd ? "KL(π‖π_ref)" : "KL(π_ref‖π)");

// %% [markdown] id="direction"
// In $\mathrm{KL}(\pi\|\pi_{ref})$ the expectation is under $\pi$: what $\pi$ never says costs nothing, what $\pi$ says and $\pi_{ref}$
// hardly ever would costs a lot. That is the wish of the lecture: *do not say what the reference would not*. It need not say
// everything the reference would. It can also be estimated from the policy's own samples, which training draws anyway. The
// other direction, *mode-covering*, is what maximum likelihood minimises (with the demonstrations in the place of $\pi_{ref}$), and
// what distribution matching minimises (notebook 10). In papers $\mathrm{KL}(\pi\|\pi_{ref})$ is also called the *reverse* KL.
//
// ### The KL of an answer is the sum over its tokens
//
// A language model gives an answer token by token, $\pi(y) = \prod_t \pi(y_t \mid y_{<t})$, and the logarithm turns the product
// into a sum:
//
// $$\mathrm{KL}(\pi\|\pi_{ref}) = \mathbb{E}_{y\sim\pi}\Big[\sum_t \log\frac{\pi(y_t|y_{<t})}{\pi_{ref}(y_t|y_{<t})}\Big]
//   = \sum_t \mathbb{E}_{y_{<t}\sim\pi}\Big[\mathrm{KL}\big(\pi(\cdot|y_{<t})\,\|\,\pi_{ref}(\cdot|y_{<t})\big)\Big].$$
//
// This is the **chain rule**. The prefixes are drawn from $\pi$, since it is $\pi$ that speaks. Let us check it on policies that
// *lean towards the reward*, the more the larger $\lambda$ is,
//
// $$\pi_\lambda(y) = \frac{1}{Z_\lambda}\,\pi_{ref}(y)\,e^{\lambda r(y)}.$$
//
// For now these are just examples of policies at some distance; soon they will turn out to be special.

// %% id="predict-slot" tags=["predict"]
predict({
  id: "slot",
  question: "In π₁ (λ = 1), which slot contributes most to the KL?",
  answer: "object",
  choices: [...MINI_SLOT_NAMES],
});

// %% id="chain-rule"
const leaning = (lambda: number): Float64Array => normalise(logReference.map((l, y) => l + lambda * rewards[y]));

// KL over whole answers: one sum of 4,096 terms.
const wholeKl = (logP: Float64Array): number =>
  logP.reduce((sum, l, y) => sum + Math.exp(l) * (l - logReference[y]), 0);

// The same by tokens: log-probabilities of the next word in each of the 1 + 8 + 64 + 512 states, then the chain rule.
const space = sequenceSpace({ vocabularySize: 8, eos: "none", maximalLength: 4 });
const tokenwise = (logP: Float64Array) =>
  klByChainRule(space, tabularPolicyFor(space, logP), tabularPolicyFor(space, logReference));

await show(
  [0.3, 1, 3].map((lambda) => {
    const { total, perStep } = tokenwise(leaning(lambda));
    const whole = wholeKl(leaning(lambda));
    return {
      λ: lambda,
      ...Object.fromEntries(MINI_SLOT_NAMES.map((name, slot) => [name, perStep[slot]])),
      "sum of the four": total,
      "KL of whole answers": whole,
      difference: Math.abs(total - whole),
      "mean of the four": total / 4,
    };
  }),
);
const slotKls = [...tokenwise(leaning(1)).perStep];
compare("slot", MINI_SLOT_NAMES[slotKls.indexOf(Math.max(...slotKls))], {
  explain: "Given the verb, the object decides whether the advice is good: there the two policies disagree most.",
});

// %% [markdown] id="sum-not-mean"
// Sum and whole agree to rounding. The **mean** over tokens, which some programs call KL, is a quarter of it here. Were all answers
// equally long, that would only rename $\beta$; where they are not, it makes long answers cheap and is another objective.

// %% [markdown] id="exercise-chain"
// ## Exercise: the chain rule
//
// `policy[s][a]` and `reference[s][a]` are log-probabilities of token $a$ in state $s$, `visits[s]` is the probability that an
// answer of the *policy* passes through state $s$. A token may have probability 0 under the policy (log-probability `-Infinity`).

// %% id="hints-chain"
hints("06-kl-chain-rule");

// %% id="exercise-kl" tags=["exercise"]
function sequenceKl(policy: number[][], reference: number[][], visits: number[]): number {
  return unfilled("06-kl-chain-rule");
}

await check("06-kl-chain-rule", sequenceKl, { beta: beta, seed: seed });

// %% [markdown] id="estimators"
// ### Estimating it from samples
//
// Where answers cannot be listed, the KL is estimated, like the reward, from answers of $\pi$. With
// $d = \log\pi_{ref}(y) - \log\pi(y)$ there are three customary estimators
// ([`src/objectives/kl.ts`](../src/objectives/kl.ts)):
//
// $$k_1 = -d, \qquad k_2 = \tfrac12 d^2, \qquad k_3 = e^d - 1 - d.$$
//
// $\mathbb{E}_\pi[k_1]$ is the definition. $k_3$ adds $e^d - 1$, whose mean is
// $\sum_y\pi\,(\frac{\pi_{ref}}{\pi} - 1) = 0$, so it has the same mean, and it is never negative. $k_2$ is a second-order
// approximation: fine nearby, biased further off, where its mean is $\frac12(\mathrm{KL}^2 + \mathrm{Var}_\pi d)$. By enumeration,
// with no sampling noise:

// %% id="predict-k2" tags=["predict"]
predict({
  id: "k2",
  question: "Far from the reference (λ = 10), the mean of k2 is, compared with the KL, shifted",
  answer: "up",
  choices: ["up", "down", "same"],
});

// %% id="estimator-means"
const estimatorsOf = (logP: Float64Array) => {
  const d = logP.map((l, y) => logReference[y] - l);
  const k: Record<string, Float64Array> = {
    k1: d.map((v) => -v),
    k2: d.map((v) => (v * v) / 2),
    k3: d.map((v) => Math.expm1(v) - v),
  };
  return Object.entries(k).map(([name, values]) => ({
    name: name,
    mean: expectation(logP, values),
    sd: Math.sqrt(variance(logP, values)),
  }));
};
await show(
  [0.1, 0.3, 1, 3, 10].map((lambda) => ({
    λ: lambda,
    KL: wholeKl(leaning(lambda)),
    ...Object.fromEntries(estimatorsOf(leaning(lambda)).flatMap((k) => [[`mean ${k.name}`, k.mean]])),
    ...Object.fromEntries(estimatorsOf(leaning(lambda)).flatMap((k) => [[`sd ${k.name}`, k.sd]])),
  })),
);
compare("k2", estimatorsOf(leaning(10))[1].mean - wholeKl(leaning(10)), {
  explain:
    "Its mean is (KL² + Var d)/2, and KL²/2 alone is more than the KL once that is above 2 nats. At λ = 1 the bias has the other sign.",
});

// %% id="estimator-spread"
const lambdas = Array.from({ length: 30 }, (_, i) => 0.03 * 100 ** (i / 29));
const distances = lambdas.map((lambda) => wholeKl(leaning(lambda)));
await show(
  lines({
    title: "Near the reference k3 is much less noisy than k1; further off its noise explodes",
    subtitle: "exact standard deviation of one sample / KL (k2, being biased, estimates something else)",
    x: { title: "KL to the reference", unit: "nats", log: true },
    y: { title: "standard deviation / KL", log: true },
    series: ["k1", "k2", "k3"].map((name, i) => ({
      name: name,
      x: distances,
      y: lambdas.map((lambda, at) => estimatorsOf(leaning(lambda))[i].sd / distances[at]),
      markers: false,
    })),
  }),
);

// %% [markdown] id="estimators-note"
// Rule of thumb: below some tenths of a nat (per token, this is the usual case) $k_3$ is the better *meter*. Far out, a rare answer
// that the reference likes makes $e^d$ huge, and no number of samples one could pay for shows its mean. As a *gradient* they differ
// in more than noise: see [notebook 7](07-reward-maximisation.ipynb).

// %% [markdown] id="combining"
// ## Combining the two, with $\beta$
//
// $$J_\beta(\pi) = \mathbb{E}_{x\sim D}\Big[\;\mathbb{E}_{y\sim\pi}[r(x,y)] \;-\; \beta\,\mathrm{KL}\big(\pi(\cdot|x)\,\|\,\pi_{ref}(\cdot|x)\big)\Big]$$
//
// $\beta$ is the price of one nat of distance, in units of reward. What is the best policy? There is nothing to train yet: the
// question has an answer on paper. Each prompt can be treated by itself. With $\sum_y\pi(y) = 1$ and a Lagrange multiplier $\mu$ for it,
//
// $$\frac{\partial}{\partial\pi(y)}\Big[\sum_y \pi\big(r - \beta\log\tfrac{\pi}{\pi_{ref}}\big) - \mu\big(\textstyle\sum_y\pi - 1\big)\Big]
//   = r(y) - \beta\log\frac{\pi(y)}{\pi_{ref}(y)} - \beta - \mu = 0 .$$
//
// So at the optimum **reward minus price is the same for every answer**: were it higher somewhere, it would pay to move mass
// there. Solved for $\pi$:
//
// $$\boxed{\;\pi^*(y\mid x) = \frac{1}{Z(x)}\;\pi_{ref}(y\mid x)\;e^{r(x,y)/\beta}\;}\qquad
//   Z(x) = \sum_y \pi_{ref}(y\mid x)\,e^{r(x,y)/\beta}.$$
//
// These are the policies that lean towards the reward, with $\lambda = 1/\beta$. And it is the maximum, not just a stationary
// point. Put $r = \beta\log\frac{\pi^*}{\pi_{ref}} + \beta\log Z$ into $J$, and for **any** policy $\pi$
//
// $$J_\beta(\pi) = \sum_y \pi\,\Big(\beta\log\frac{\pi^*}{\pi_{ref}} + \beta\log Z - \beta\log\frac{\pi}{\pi_{ref}}\Big)
//   = \beta\log Z - \beta\,\mathrm{KL}(\pi\|\pi^*).$$
//
// The **gap identity**: a policy falls short of the best, $J^* = \beta\log Z$, by exactly $\beta$ times its KL to $\pi^*$.
// Maximising $J$ *is* minimising $\mathrm{KL}(\pi\|\pi^*)$. In code ([`src/evaluation/exact/distributions.ts`](../src/evaluation/exact/distributions.ts)):

// %% id="optimum"
const logOptimum = optimalPolicy(logReference, rewards, beta); // normalise(logReference + rewards / beta), stable to β = 0
const optimum = {
  reward: expectation(logOptimum, rewards),
  kl: klDivergence(logOptimum, logReference),
  objective: optimalObjective(logReference, rewards, beta), // β log Z
};
console.log(
  `π* at β = ${beta}: E[r] ${optimum.reward.toFixed(3)} − β · KL ${optimum.kl.toFixed(3)} = ` +
    `${(optimum.reward - beta * optimum.kl).toFixed(6)}; J* = β log Z = ${optimum.objective.toFixed(6)}`,
);

// %% id="gap"
const only = (keep: (y: number) => boolean): Float64Array =>
  normalise(logReference.map((l, y) => (keep(y) ? l : -Infinity)));
const noise = rng.child("a policy at random");
const someRewards = [...rewards];
const bestAnswer = someRewards.indexOf(Math.max(...someRewards));
const candidates: { name: string; logP: Float64Array }[] = [
  { name: "reference", logP: logReference },
  { name: "uniform", logP: normalise(new Float64Array(4096)) },
  { name: "reference, disturbed", logP: normalise(logReference.map((l) => l + noise.normal())) },
  { name: "reference without harm", logP: only((y) => pairs[y] !== "bad") },
  { name: "good advice only", logP: only((y) => pairs[y] === "good") },
  { name: "one best answer", logP: only((y) => y === bestAnswer) },
  { name: "π* of β = 1.5", logP: optimalPolicy(logReference, rewards, 1.5) },
  { name: "π*", logP: logOptimum },
];
const judged = candidates.map(({ name, logP }) => ({
  policy: name,
  "E[r]": expectation(logP, rewards),
  KL: klDivergence(logP, logReference),
  J: objective(logP, logReference, rewards, beta),
  "J* − J": optimum.objective - objective(logP, logReference, rewards, beta),
  // At β = 0 the identity says 0 · ∞: no number.
  "β·KL(π‖π*)": beta > 0 ? beta * klDivergence(logP, logOptimum) : null,
}));
await show(judged);

// %% [markdown] id="exercise-optimum"
// ## Exercise: the best policy of all
//
// Given $\log\pi_{ref}$ and $r$ of every answer to a prompt and a $\beta > 0$: $\log\pi^*$ of every answer. It must hold for small
// $\beta$ as well; at $\beta = 0.001$, $e^{r/\beta}$ is more than a number can hold.

// %% id="hints-optimum"
hints("06-optimal-policy");

// %% id="exercise-pi-star" tags=["exercise"]
function optimalLogProbs(logReference: number[], rewards: number[], beta: number): number[] {
  return unfilled("06-optimal-policy");
}

await check("06-optimal-policy", optimalLogProbs, { beta: beta, seed: seed });

// %% [markdown] id="exercise-j"
// ## Exercise: the value of any policy
//
// $J_\beta$ from $\log\pi$, $\log\pi_{ref}$ and $r$ of every answer. The policy may exclude answers (log-probability `-Infinity`).

// %% id="hints-j"
hints("06-objective");

// %% id="exercise-objective" tags=["exercise"]
function regularisedObjective(logPolicy: number[], logReference: number[], rewards: number[], beta: number): number {
  return unfilled("06-objective");
}

await check("06-objective", regularisedObjective, { beta: beta, seed: seed });

// %% [markdown] id="slider-text"
// ## Every $\beta$ at once
//
// Since $\pi^*$ is a formula, a new $\beta$ costs nothing. Move the slider: reward by reward, how much probability do $\pi_{ref}$ and
// $\pi^*$ give? Harmful answers have rewards below −1.5, pointless ones from −1.1 to −0.05, good ones from −0.3 up.

// %% id="slider"
const sliderBetas = [...new Set([...betas, beta])].sort((a, b) => a - b);
const effectiveAnswers = (logP: ArrayLike<number>): number => Math.exp(entropy(logP));
const bins = Array.from({ length: 14 }, (_, i) => -3.5 + i / 2);
const byReward = (logP: ArrayLike<number>): number[] => {
  const mass = bins.map(() => 0);
  rewards.forEach((r, y) => (mass[Math.round(2 * r) + 7] += Math.exp(logP[y])));
  return mass;
};
const percent = (value: number): string =>
  value > 0.999 ? "> 99.9%" : value < 0.001 ? "< 0.1%" : `${(100 * value).toFixed(1)}%`;
await show(
  slider(
    [...sliderBetas, Infinity].map((one) => {
      const logP = optimalPolicy(logReference, rewards, one);
      return bars({
        title: `E[r] = ${expectation(logP, rewards).toFixed(2)} for a KL of ${klDivergence(logP, logReference).toFixed(2)} nats`,
        subtitle: `π*: good advice ${percent(share(logP, "good"))}, harmful ${percent(share(logP, "bad"))}; as diverse as ${effectiveAnswers(logP).toFixed(0)} equally likely answers`,
        x: "reward of the answer (to the nearest half)",
        y: { title: "probability", range: [0, 1.03] },
        groups: [
          { name: "reference", logP: logReference, method: "reference" as const },
          { name: "π*", logP: logP, method: "policyGradient" as const },
        ].map((group) => ({
          name: group.name,
          method: group.method,
          bars: byReward(group.logP).map((value, i) => ({ label: bins[i].toFixed(1).replace("-", "−"), value: value })),
        })),
        values: false,
      });
    }),
    { name: "β", values: [...sliderBetas, "∞"], start: sliderBetas.indexOf(beta) },
  ),
);

// %% [markdown] id="frontier-text"
// Each $\beta$ gives one $\pi^*$, with one KL and one reward. Together they are the **frontier**: no policy with the same KL has a
// higher reward (a policy above it would have a larger $J$ at some $\beta$). The policies of the table lie on or below it.

// %% id="frontier"
const fineBetas = Array.from({ length: 90 }, (_, i) => 0.01 * 10000 ** (i / 89));
const curve = frontier(logReference, rewards, [0, ...fineBetas, Infinity]);
const exactCurve = {
  name: "exact optimum, every β",
  kl: curve.map((point) => point.klPolicyToReference),
  reward: curve.map((point) => point.reward),
};
const marked = frontier(
  logReference,
  rewards,
  sliderBetas.filter((one) => [0.1, 0.3, 1, beta].includes(one)),
);
const others = judged.filter(({ policy }) => !policy.includes("*"));
const gainWithTwoNats =
  (Math.max(...curve.map((point) => (point.klPolicyToReference <= 2 ? point.reward : -Infinity))) - referenceReward) /
  (curve[0].reward - referenceReward);
await show(
  frontierFigure({
    title: `The first two nats buy ${percent(gainWithTwoNats)} of the reward that there is to gain`,
    subtitle: "the frontier of the mini world, with policies of the table above; none lies over it",
    exact: exactCurve,
    series: [
      {
        name: "π*",
        kl: marked.map((point) => point.klPolicyToReference),
        reward: marked.map((point) => point.reward),
        labels: marked.map((point) => `β = ${point.beta}`),
        method: "policyGradient",
        joined: false,
      },
      {
        name: "other policies",
        kl: others.map((row) => row.KL),
        reward: others.map((row) => row["E[r]"]),
        labels: others.map((row) => row.policy),
        joined: false,
        look: 1,
      },
    ],
  }),
);

// %% [markdown] id="tangent-text"
// Policies of the same $J_\beta$ lie on a straight line of slope $\beta$ in this picture, $\mathbb{E}[r] = J + \beta\,\mathrm{KL}$. To
// maximise $J$ is to push that line up until it only touches the frontier; where it meets the left edge stands $J^*$. So **$\beta$ is
// the slope of the frontier**: the reward that one more nat would buy.

// %% id="tangent"
const [highestKl, highestReward, lowestReward] = [curve[0].klPolicyToReference, curve[0].reward, referenceReward];
await show(
  slider(
    frontier(logReference, rewards, sliderBetas).map((point) => {
      const end = Math.min(
        1.04 * highestKl,
        point.beta > 0 ? (1.08 * highestReward - point.objective) / point.beta : Infinity,
      );
      return lines({
        title: `J* = ${point.objective.toFixed(3)} = ${point.reward.toFixed(3)} − ${point.beta} · ${point.klPolicyToReference.toFixed(3)}`,
        subtitle: "the line E[r] = J* + β·KL touches the frontier at π*, and meets the left edge at J*",
        x: { title: "KL to the reference", unit: "nats", range: [0, 1.04 * highestKl] },
        y: { title: "E[r]", range: [lowestReward - 0.1, 1.08 * highestReward] },
        series: [
          { name: "exact optimum, every β", x: exactCurve.kl, y: exactCurve.reward, exact: true },
          {
            name: "policies with J = J*",
            x: [0, end],
            y: [point.objective, point.objective + point.beta * end],
            markers: false,
            look: 0,
          },
          { name: "π*", x: [point.klPolicyToReference], y: [point.reward], method: "policyGradient" },
        ],
      });
    }),
    { name: "β", values: sliderBetas, start: sliderBetas.indexOf(beta) },
  ),
);

// %% [markdown] id="envelope-text"
// ### How does $J^*$ change with $\beta$?
//
// For one fixed policy, $J_\beta(\pi) = \mathbb{E}[r] - \beta\,\mathrm{KL}$ is a straight line in $\beta$ of slope $-\mathrm{KL}$. $J^*$ is the
// highest of all these lines at each $\beta$, and touches that of $\pi^*_\beta$. So it has its slope (the *envelope theorem*), although
// $\pi^*$ changes with $\beta$ too:
//
// $$\frac{d J^*}{d\beta} = -\,\mathrm{KL}(\pi^*_\beta\|\pi_{ref}).$$

// %% id="predict-envelope" tags=["predict"]
predict({
  id: "envelope",
  question: "As β grows, J* goes",
  answer: "down",
  choices: ["up", "down", "same"],
});

// %% id="envelope"
const priceRange = Array.from({ length: 61 }, (_, i) => i / 30);
await show(
  lines({
    title: "Each policy is a straight line in β; J* is their upper edge",
    x: { title: "β" },
    y: { title: "J", range: [lowestReward - 1.2, 1.08 * highestReward] },
    series: [
      { name: "J*", x: priceRange, y: priceRange.map((b) => optimalObjective(logReference, rewards, b)), exact: true },
      ...candidates
        .filter(({ name }) => ["reference", "good advice only", "one best answer", "π* of β = 1.5"].includes(name))
        .map(({ name, logP }, i) => ({
          name: name,
          look: i,
          x: priceRange,
          y: priceRange.map((b) => objective(logP, logReference, rewards, b)),
          markers: false,
        })),
    ],
  }),
);
await show(
  sliderBetas
    .filter((one) => one > 0)
    .map((one) => {
      const value = (b: number): number => optimalObjective(logReference, rewards, b);
      const h = 1e-4 * one;
      return {
        β: one,
        "J*": value(one),
        "slope of J* (differences)": (value(one + h) - value(one - h)) / (2 * h),
        "−KL(π*‖π_ref)": -klDivergence(optimalPolicy(logReference, rewards, one), logReference),
      };
    }),
);
compare("envelope", optimalObjective(logReference, rewards, 2) - optimalObjective(logReference, rewards, 0.1), {
  explain: "A KL is never negative, so the slope never is positive: distance gets dearer, and nothing else changes.",
});

// %% [markdown] id="limits-text"
// ### The two ends
//
// **$\beta \to \infty$**: distance is too dear to move, $\pi^* \to \pi_{ref}$. To second order $\mathrm{KL} \approx \mathrm{Var}_{ref}(r)/2\beta^2$, and the
// reward gained is twice $\beta$ times that.
//
// **$\beta \to 0$**: only the reward counts, and $\pi^*$ gives the answers of the highest reward alone. Where several tie, as four do
// here, the reference decides how they share. (At $\beta = 0$ itself any mixture of the best answers is optimal; training then ends
// on one of them, farther from the reference than need be.)

// %% id="limits"
await show(
  [5, 10, 100].map((one) => ({
    β: one,
    "KL(π*‖π_ref)": klDivergence(optimalPolicy(logReference, rewards, one), logReference),
    "Var(r) / 2β²": variance(logReference, rewards) / (2 * one * one),
  })),
);
const tied = someRewards.flatMap((r, y) => (r === Math.max(...someRewards) ? [y] : []));
const tiedMass = tied.reduce((sum, y) => sum + Math.exp(logReference[y]), 0);
await show(
  tied.map((y) => ({
    "best answers": miniText(y),
    r: rewards[y],
    π_ref: Math.exp(logReference[y]),
    "share among the best": Math.exp(logReference[y]) / tiedMass,
    "π* at β = 0.01": Math.exp(optimalPolicy(logReference, rewards, 0.01)[y]),
    "π* at β = 0": Math.exp(optimalPolicy(logReference, rewards, 0)[y]),
  })),
);

// %% [markdown] id="training-text"
// ## Can training find it?
//
// For a real model $\pi^*$ is a formula that nobody can evaluate or sample from: $Z$ is a sum over all answers. One trains instead. Here
// we can train *and* know the truth. With all answers at hand, the loss is the formula itself, and tfjs differentiates it
// ([`src/objectives/enumerated.ts`](../src/objectives/enumerated.ts)):

// %% id="objective-in-tfjs"
function minusJ(logProbs: tf.Tensor1D, logRef: tf.Tensor1D, r: tf.Tensor1D, price: number): tf.Scalar {
  const gain = r.sub(logProbs.sub(logRef).mul(price)); // r − β log(π/π_ref), of every answer
  return logProbs.exp().mul(gain).sum().neg() as tf.Scalar;
}

tf.tidy(() => {
  const [l, r] = [logReference, rewards].map((values) => tf.tensor1d([...values]));
  console.log(`at the reference J = E[r] = ${(-minusJ(l, l, r, beta).dataSync()[0]).toFixed(4)}`);
});

// %% [markdown] id="training-how"
// We start at the reference and climb twice: by this **exact gradient**, and by the **policy gradient**, which sees 64 sampled
// answers a step and their rewards, as a language model's training would (its derivation is the beginning of
// [notebook 7](07-reward-maximisation.ipynb)). The grey lines are $\pi^*$'s values.

// %% id="predict-trained" tags=["predict"]
predict({
  id: "trained",
  question: "What share of the possible gain in J, from the reference to J*, does the policy gradient reach?",
  answer: 0.98,
});

// %% id="train-exact"
const trainOptions = { logReference: logReference, rewards: rewards, beta: beta, learningRate: 3e-3 };
const progress = (runs: Record<string, readonly Record<string, number>[]>) => {
  const withGap = Object.entries(runs).map(([name, records]) => [
    name,
    // Below 1e-6 the gap is rounding: the model computes in float32.
    records.map((record) => ({ ...record, gap: Math.max(1e-6, optimum.objective - record.objective) })),
  ]);
  return trainingFigure(Object.fromEntries(withGap), {
    title: `Training at β = ${beta}: J* is the ceiling`,
    subtitle: "exact values of the policy before each step",
    metrics: [
      { key: "objective", title: "J", reference: { value: optimum.objective, name: "J*" } },
      { key: "gap", title: "J* − J", log: true },
      { key: "klPolicyToReference", title: "KL", unit: "nats", reference: { value: optimum.kl, name: "KL of π*" } },
    ],
  });
};
const byExactGradient = reference.clone();
const exactRecords = await watch(
  maximiseEnumerated({
    ...trainOptions,
    policy: byExactGradient,
    steps: quick ? 20 : 200,
    schedule: "cosine",
    rng: rng.child("exact gradient"),
  }),
  (records) => progress({ "exact gradient": records }),
);

// %% id="train-sampled"
const bySamples = reference.clone();
const sampledRecords = await watch(
  maximiseEnumerated({
    ...trainOptions,
    policy: bySamples,
    samples: 64,
    steps: quick ? 20 : 300,
    schedule: "cosine",
    rng: rng.child("sampled gradient"),
  }),
  (records) => progress({ "64 sampled answers": records, "exact gradient": exactRecords }),
);

// %% id="trained"
const trained = await Promise.all(
  [
    { name: "exact gradient", policy: byExactGradient },
    { name: "64 sampled answers", policy: bySamples },
  ].map(async ({ name, policy }) => {
    const logP = normalise(await policy.logProbabilities());
    return {
      name: name,
      logP: logP,
      reward: expectation(logP, rewards),
      kl: klDivergence(logP, logReference),
      J: objective(logP, logReference, rewards, beta),
      totalVariation: totalVariation(logP, logOptimum),
    };
  }),
);
const [exactly, sampled] = trained;
await show([
  { policy: "reference", "E[r]": referenceReward, KL: 0, J: referenceReward },
  ...trained.map((one) => ({
    policy: one.name,
    "E[r]": one.reward,
    KL: one.kl,
    J: one.J,
    "J* − J": optimum.objective - one.J,
    "total variation to π*": one.totalVariation,
    "good advice": share(one.logP, "good"),
    "harmful advice": share(one.logP, "bad"),
  })),
  {
    policy: "π*",
    "E[r]": optimum.reward,
    KL: optimum.kl,
    J: optimum.objective,
    "J* − J": 0,
    "total variation to π*": 0,
    "good advice": share(logOptimum, "good"),
    "harmful advice": share(logOptimum, "bad"),
  },
]);
const gainShare = (sampled.J - referenceReward) / (optimum.objective - referenceReward);
compare("trained", gainShare, {
  tolerance: 0.03,
  explain:
    "At small β the last percents are slow: J hardly depends on how the best answers share. At large β there is little to gain, and the noise of the samples costs more than that.",
});

// %% [markdown] id="ratios-text"
// The formula says more than one number: for **every** answer, $\log\frac{\pi(y)}{\pi_{ref}(y)} = \frac{r(y)}{\beta} - \log Z$. Plot the left
// side against the right, all 4,096 answers, and the trained policy should lie on a straight line.

// %% id="predict-ratios" tags=["predict"]
predict({
  id: "ratios",
  question: "The answers that lie off the line the most are those that π* gives",
  answer: "rarely",
  choices: ["often", "rarely"],
});

// %% id="ratios"
// The answers in the order of their probability under π*: those that hold its first 90%, and the rest.
const byMass = [...logOptimum.keys()].sort((a, b) => logOptimum[b] - logOptimum[a]);
let held = 0;
const common = byMass.filter((y) => {
  const before = held;
  held += Math.exp(logOptimum[y]);
  return before < 0.9;
});
const rare = byMass.slice(common.length);
// Mean distance from the line, times β (so in units of reward): |β (log π − log π_ref) − r + β log Z|.
const offLine = (logP: Float64Array, chosen: readonly number[]): number =>
  chosen.reduce(
    (sum, y) => sum + Math.abs(beta * (logP[y] - logReference[y]) - rewards[y] + optimum.objective) / chosen.length,
    0,
  );
if (beta > 0) {
  const ratiosOf = (logP: Float64Array, chosen: readonly number[]) => ({
    x: chosen.map((y) => rewards[y] / beta),
    y: chosen.map((y) => logP[y] - logReference[y]),
    labels: chosen.map((y) => `${miniText(y)}: r = ${rewards[y]}`),
  });
  const ratios = trained.flatMap(({ logP }) => Array.from(logP, (l, y) => l - logReference[y]));
  const nats = (logP: Float64Array, chosen: readonly number[]): string => (offLine(logP, chosen) / beta).toPrecision(2);
  await show(
    slider(
      trained.map(({ name, logP }) =>
        points({
          title: `Off the exact line by ${nats(logP, common)} nats where π* has 90% of its mass, by ${nats(logP, rare)} elsewhere`,
          subtitle: `${name}, β = ${beta}: one point an answer; mean distances`,
          x: { title: "r(y) / β" },
          y: {
            title: "log π(y) − log π_ref(y)",
            unit: "nats",
            range: [Math.min(...ratios) - 1, Math.max(...ratios) + 1],
          },
          series: [
            { name: `the other ${rare.length} answers`, ...ratiosOf(logP, rare), opacity: 0.25 },
            { name: `${common.length} answers: 90% of π*`, ...ratiosOf(logP, common), opacity: 0.7 },
          ],
          line: { slope: 1, intercept: -logPartition(logReference, rewards, beta), name: "exact: r/β − log Z" },
        }),
      ),
      { name: "gradient", values: ["exact", "sampled"], start: 1 },
    ),
  );
} else console.log("At β = 0 the right side is infinite: there is no line to draw.");
compare("ratios", offLine(sampled.logP, rare) > offLine(sampled.logP, common) ? "rarely" : "often", {
  explain:
    "An answer's pull on the gradient is proportional to its probability: once it is rare, nothing presses it further down, exact gradient or not.",
});

// %% [markdown] id="ratios-note"
// At $\beta = 0.3$ and below, harmful answers (on the left) stay *above* the line: the gradient stopped caring before they were as
// rare as $\pi^*$ wants them. Decent answers may lie far *below* it: at $\beta = 0.3$ usually those of one pair of words, pushed down
// early when better ones came up, and, once rare, slow to return, even by the exact gradient. At $\beta = 1$, where nothing gets
// that rare, the line fits nearly everywhere.
//
// So be careful with what "converged" means. $J$ may be within a percent of $J^*$ and the log-ratios of rare answers wrong by
// several nats. The gap identity says why that is cheap: $\mathrm{KL}(\pi\|\pi^*)$ weighs each answer by $\pi$. Remember it in
// notebook 9, where DPO reads rewards *out of* these log-ratios.

// %% [markdown] id="why-close"
// ## Why care about closeness? 1. Reward models are not perfect
//
// So far $r$ was the truth. Real rewards are learnt from answers of the reference, and only of these. Suppose our reward model
// is simple-minded: it gives **every word a score and adds them up**. We fit it as well as can be, by least squares to infinitely
// many answers of the reference with their true ("gold") rewards: nothing it gets wrong is bad luck
// ([`src/rewards/word-reward.ts`](../src/rewards/word-reward.ts)).

// %% id="proxy"
const wordModel = fitWordReward(logReference, rewards, { slots: 4, words: 8 });
const proxy = wordModel.rewards;
await show(
  wordModel.scores.map((scores, slot) => {
    const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
    const named = (word: number): string => `${MINI_SLOTS[slot][word]} ${scores[word].toFixed(2)}`;
    return {
      slot: MINI_SLOT_NAMES[slot],
      "best words": order.slice(0, 3).map(named).join(", "),
      "worst words": order.slice(-2).map(named).join(", "),
    };
  }),
);
const [meanGold, meanProxy] = [expectation(logReference, rewards), expectation(logReference, proxy)];
const covariance = expectation(
  logReference,
  rewards.map((r, y) => (r - meanGold) * (proxy[y] - meanProxy)),
);
const correlation = covariance / Math.sqrt(variance(logReference, rewards) * variance(logReference, proxy));
console.log(`correlation of proxy and gold over the reference's answers: ${correlation.toFixed(2)}`);

// %% [markdown] id="proxy-predict-text"
// On what the reference says, this proxy is not bad at all. Now maximise it under $\beta\cdot\mathrm{KL}$. No training needed: its
// $\pi^*$ is exact, for every $\beta$.

// %% id="predict-gold" tags=["predict"]
predict({
  id: "gold",
  question: "From the reference to ever smaller β, the gold reward of the proxy's π*",
  answer: "rises, then falls",
  choices: ["rises", "falls", "rises, then falls"],
});

// %% id="over-optimisation"
const hacked = [...fineBetas].reverse().map((one) => {
  const logP = optimalPolicy(logReference, proxy, one);
  return {
    beta: one,
    kl: klDivergence(logP, logReference),
    proxy: expectation(logP, proxy),
    gold: expectation(logP, rewards),
  };
});
const bestHacked = hacked.reduce((best, row) => (row.gold > best.gold ? row : best));
const lastHacked = hacked[hacked.length - 1];
const stops = [10, 5, 3, 2, 1.4, 1, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.06, 0.03].map((one) => {
  const logP = optimalPolicy(logReference, proxy, one);
  return {
    label: [10, 3, 1, 0.5, 0.3, 0.2, 0.1, 0.03].includes(one) ? `β = ${one}` : "",
    kl: klDivergence(logP, logReference),
    proxy: expectation(logP, proxy),
    gold: expectation(logP, rewards),
  };
});
await show(
  frontierFigure({
    title: `The gold reward peaks at ${bestHacked.kl.toFixed(1)} nats (β ≈ ${bestHacked.beta.toFixed(1)}); the proxy rises on`,
    subtitle: "exact optima of the proxy, by both rewards; in grey the optima of the gold reward itself",
    squareRoot: true,
    exact: { name: "optimum of the gold reward", kl: exactCurve.kl, reward: exactCurve.reward },
    series: [
      {
        name: "proxy reward",
        kl: stops.map((row) => row.kl),
        reward: stops.map((row) => row.proxy),
        method: "rewardModel",
      },
      {
        name: "gold reward",
        kl: stops.map((row) => row.kl),
        reward: stops.map((row) => row.gold),
        labels: stops.map((row) => row.label),
        method: "gold",
      },
    ],
  }),
);
const turned = bestHacked.gold - lastHacked.gold > 0.05;
const rose = bestHacked.gold - referenceReward > 0.05;
compare("gold", rose && turned ? "rises, then falls" : rose ? "rises" : "falls");

// %% [markdown] id="hacked-text"
// What does it say at the end? Words that each stand in much good advice, together:

// %% id="hacked-answers"
const favourites = [...proxy.keys()].sort((a, b) => proxy[b] - proxy[a]).slice(0, 5);
await show(
  favourites.map((y) => ({
    "the proxy's favourite answers": miniText(y),
    advice: miniPair(y),
    "proxy reward": proxy[y],
    "gold reward": rewards[y],
    "π_ref: one in": Math.round(1 / Math.exp(logReference[y])),
  })),
);

// %% [markdown] id="hacked-note"
// Meaningless, and of the highest reward: the slide's "hack" in full view, of a reward model that looked good wherever it had been
// tested. The reference hardly ever says such things, so they hardly counted in the fit. That is what the KL term is for: it keeps the
// policy where the reward model knows what it is talking about. How far that reaches nobody sees from the proxy alone; the gold
// curve is ours to see only because we own this world. In notebook 7 the same happens to a trained language model.
//
// ## Why care about closeness? 2. Many answers are right
//
// Now with the true reward. $e^{H(\pi)}$, with $H$ the entropy, counts how many equally likely answers would be as diverse.

// %% id="diversity"
const diversityBetas = fineBetas.filter((_, i) => i % 2 === 0);
const leastAnswers = effectiveAnswers(optimalPolicy(logReference, rewards, 0));
await show(
  lines({
    title: `From ${effectiveAnswers(logReference).toFixed(0)} answers to ${leastAnswers.toFixed(1)}: the cheaper distance, the fewer different answers`,
    subtitle: "effective number of answers of π*, true reward",
    x: { title: "β", log: true },
    y: { title: "effective number of answers, exp H", log: true },
    series: [
      {
        name: "π*",
        x: diversityBetas,
        y: diversityBetas.map((one) => effectiveAnswers(optimalPolicy(logReference, rewards, one))),
        method: "policyGradient",
        markers: false,
      },
    ],
    references: [
      { value: effectiveAnswers(logReference), name: "reference" },
      { value: leastAnswers, name: "β = 0" },
    ],
  }),
);

// %% [markdown] id="lessons"
// ## What to take along
//
// - The objective is $J_\beta(\pi) = \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\|\pi_{ref})$, the expectation and the KL both under the
//   policy, the KL a sum over tokens.
// - Its optimum is $\pi^* \propto \pi_{ref}\,e^{r/\beta}$, its value $\beta\log Z$, and every policy falls short by $\beta\,\mathrm{KL}(\pi\|\pi^*)$.
//   Policy gradient, PPO, DPO and distribution matching all aim at this same $\pi^*$; they differ in how they get there.
// - $\beta$ is the slope of the reward–KL frontier, from the reference ($\beta\to\infty$) to the best answers alone ($\beta\to 0$).
// - Even the *exact* optimum of an imperfect reward is bad at small $\beta$. Over-optimisation is no failure of the optimiser.
//
// **Try it:** set `beta` to 0.05, 1 or 10 and run again; or `npx workbook sweep 06 --set beta=0.1,0.3,1,3`.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  exactReward: optimum.reward,
  exactKl: optimum.kl,
  exactObjective: optimum.objective,
  referenceReward: referenceReward,
  referenceHarm: share(logReference, "bad"),
  exactHarm: share(logOptimum, "bad"),
  trainedReward: exactly.reward,
  trainedKl: exactly.kl,
  trainedObjective: exactly.J,
  sampledReward: sampled.reward,
  sampledKl: sampled.kl,
  sampledObjective: sampled.J,
  totalVariationToOptimum: exactly.totalVariation,
  sampledTotalVariationToOptimum: sampled.totalVariation,
  effectiveAnswersReference: effectiveAnswers(logReference),
  effectiveAnswersOptimum: effectiveAnswers(logOptimum),
  proxyCorrelation: correlation,
  proxyBestBeta: bestHacked.beta,
  proxyBestGold: bestHacked.gold,
  proxyGoldAtBeta: expectation(optimalPolicy(logReference, proxy, beta), rewards),
  proxyGoldWithoutKl: lastHacked.gold,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Ziegler et al. (2019), *Fine-Tuning Language Models from Human Preferences* (the objective, and the KL in the reward).
// - Korbak, Perez & Buckley (2022), *RL with KL penalties is better viewed as Bayesian inference* ($\pi^*$ as a posterior).
// - Rafailov et al. (2023), *Direct Preference Optimization* (its appendix derives $\pi^*$; notebook 9 goes on from there).
// - Gao, Schulman & Hilton (2022), *Scaling Laws for Reward Model Overoptimization* (reward against √KL).
// - Schulman (2020), *Approximating KL Divergence* (k1, k2, k3).
