// %% [markdown] id="title"
// # 7 · Maximising the reward, close to the reference
//
// *Follows the lecture's slides* **Formulating the Objective**, **Combining the Objective: Regularized Reward Maximization**
// *and* **Why Care About Closeness to the Reference?**
//
// [Notebook 6](06-regularised-objective.ipynb) solved $\max_\pi \mathbb{E}_\pi[r] - \beta\,\mathrm{KL}(\pi\|\pi_{ref})$ by
// enumeration. A language model cannot be enumerated: here you optimise the same objective from **samples**, by the policy
// gradient, and watch a model become harmless, then, with $\beta$ too small, meaningless.
//
// After it you can
// - derive the policy gradient, and say why a baseline changes its variance and not its mean;
// - say where the KL stands in the loss and where its gradient goes;
// - recognise over-optimisation in a plot, and say what $\beta$ buys.
//
// *Reading: 25 minutes. Running: about 2 minutes on two CPU cores the first time; afterwards a new* `beta` *takes half a minute.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.3;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let betas: number[] = [0, 0.1, 0.3, 1];

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  evaluateAdvice,
  frontierFigure,
  hints,
  lines,
  modelReward,
  Policy,
  Predictions,
  Random,
  results,
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

// %% [markdown] id="gradient"
// ## The gradient of an expectation over what the policy itself says
//
// We want the gradient of $J(\theta) = \mathbb{E}_{y\sim\pi_\theta}[R(y)]$. The parameters sit in the *distribution* we average
// over, not in $R$. Write the expectation as a sum and use $\nabla\pi = \pi\,\nabla\log\pi$:
//
// $$\nabla J = \sum_y R(y)\,\nabla\pi_\theta(y) = \sum_y \pi_\theta(y)\,R(y)\,\nabla\log\pi_\theta(y)
//   = \mathbb{E}_{y\sim\pi_\theta}\big[R(y)\,\nabla\log\pi_\theta(y)\big].$$
//
// This is again an expectation over the policy, so samples estimate it: draw answers, score them, and raise the
// log-probability of each in proportion to its reward. For a response of tokens $a_1 … a_T$,
// $\nabla\log\pi(y) = \sum_t \nabla\log\pi(a_t\mid s_t)$: **a sum over tokens**; a mean would weigh long answers down.
//
// As code, it is a loss whose *gradient* is right and whose *value* means nothing
// ([`src/objectives/reward-maximisation/policy-gradient.ts`](../src/objectives/reward-maximisation/policy-gradient.ts)):

// %% id="surrogate"
function surrogate(logProbs: tf.Tensor2D, mask: tf.Tensor2D, advantages: tf.Tensor1D): tf.Scalar {
  const responseLogProbs = logProbs.mul(mask).sum(1); // [B]: log π(y | x)
  return responseLogProbs.mul(advantages).mean().neg() as tf.Scalar; // advantages are constants
}

// %% [markdown] id="exercise-score"
// ## Exercise: the surrogate loss
//
// Write it yourself, with the sum over the tokens of each response and the mean over the responses.

// %% id="hints-score"
hints("07-score-function");

// %% id="score-function" tags=["exercise"]
function scoreFunctionLoss(logProbs: tf.Tensor2D, mask: tf.Tensor2D, advantages: tf.Tensor1D): tf.Scalar {
  return unfilled("07-score-function");
}

await check("07-score-function", scoreFunctionLoss, { beta: beta, seed: seed });

// %% [markdown] id="baseline"
// ## A baseline: the same gradient, less noise
//
// Since $\mathbb{E}_\pi[\nabla\log\pi] = \nabla\sum_y\pi(y) = 0$, subtracting any $b$ that does not depend on $y$ leaves the
// gradient's mean alone: $\mathbb{E}[(R - b)\nabla\log\pi] = \nabla J$. A good baseline is what one expects of the prompt. Draw
// $K$ answers to each prompt and take **the mean of the other $K-1$**:
//
// $$A_i = R_i - \frac{1}{K-1}\sum_{j\neq i}R_j = \frac{K}{K-1}\,(R_i - \bar R).$$
//
// It does not depend on $y_i$, so there is no bias. Had we subtracted the mean $\bar R$ of all $K$, answer $i$ would be part of
// its own baseline and the gradient would shrink to $(K-1)/K$ of itself.
//
// The figure measures both claims on a policy over eight answers, where the exact gradient is known: the error of the mean
// over many batches (bias), and the spread of one batch (noise).

// %% id="baseline-experiment"
const bandit = (() => {
  const draws = rng.child("bandit");
  const logits = Array.from({ length: 8 }, () => draws.normal());
  const rewards = Array.from({ length: 8 }, () => 3 + draws.normal());
  const total = logits.reduce((z, logit) => z + Math.exp(logit), 0);
  const probabilities = logits.map((logit) => Math.exp(logit) / total);
  const meanReward = probabilities.reduce((sum, p, i) => sum + p * rewards[i], 0);
  // d J / d logit_v = π_v (r_v − J)
  const exact = probabilities.map((p, v) => p * (rewards[v] - meanReward));
  const K = 4;
  const baselines: Record<string, (returns: number[]) => number[]> = {
    none: (returns) => returns,
    "mean of all K": (returns) => returns.map((r) => r - returns.reduce((a, b) => a + b) / K),
    "mean of the others": (returns) => returns.map((r) => r - (returns.reduce((a, b) => a + b) - r) / (K - 1)),
  };
  const batches = 20000;
  return Object.entries(baselines).map(([name, advantages]) => {
    const sum = new Array<number>(8).fill(0);
    let squares = 0;
    const stream = draws.child(name);
    for (let batch = 0; batch < batches; batch++) {
      const drawn = Array.from({ length: K }, () => stream.weighted(probabilities));
      const A = advantages(drawn.map((y) => rewards[y]));
      const gradient = probabilities.map((p, v) =>
        drawn.reduce((g, y, i) => g + (A[i] * ((y === v ? 1 : 0) - p)) / K, 0),
      );
      gradient.forEach((g, v) => {
        sum[v] += g / batches;
        squares += (g * g) / batches;
      });
    }
    const length = exact.reduce((a, g) => a + g * g, 0);
    const along = sum.reduce((a, g, v) => a + g * exact[v], 0) / length;
    const noise = Math.sqrt(Math.max(0, squares - sum.reduce((a, g) => a + g * g, 0)) / length);
    return { baseline: name, "mean gradient / exact": along, "noise of one batch / exact": noise };
  });
})();
await show(bandit);

// %% [markdown] id="exercise-baseline"
// ## Exercise: the leave-one-out baseline

// %% id="hints-baseline"
hints("07-leave-one-out");

// %% id="leave-one-out" tags=["exercise"]
// returns: [prompts · K], the K answers to a prompt stand together; the result has the same order.
function leaveOneOut(returns: number[], K: number): number[] {
  return unfilled("07-leave-one-out");
}

await check("07-leave-one-out", leaveOneOut, { beta: beta, seed: seed });

// %% [markdown] id="kl-gradient"
// ## Where the KL goes
//
// The objective also has $-\beta\,\mathrm{KL}(\pi_\theta\|\pi_{ref})$, and
// $\mathrm{KL} = \mathbb{E}_\pi[\log\pi_\theta(y) - \log\pi_{ref}(y)]$ is an expectation over the policy too. Its gradient has two
// parts: one through the distribution, one through the $\log\pi_\theta$ inside. The second is
// $\mathbb{E}_\pi[\nabla\log\pi] = 0$, so
//
// $$\nabla\,\mathrm{KL}(\pi_\theta\|\pi_{ref}) = \mathbb{E}_\pi\Big[\Big(\log\frac{\pi_\theta(y)}{\pi_{ref}(y)}\Big)\nabla\log\pi_\theta(y)\Big].$$
//
// That is the policy gradient of a *reward* $-\log(\pi/\pi_{ref})$. So we put the KL **into the reward, as a number held fixed**,
//
// $$R(y) = r(x, y) - \beta\sum_t\big(\log\pi_\theta(a_t|s_t) - \log\pi_{ref}(a_t|s_t)\big),$$
//
// and the score function takes care of its gradient. The per-token difference is the estimator **k1**: right on average, at
// single tokens of either sign. (The always positive **k3** $= e^{d} - 1 - d$, $d = \log\pi_{ref}-\log\pi$, has the same mean,
// and yet is the wrong thing to put here: its score-function gradient is
// $\nabla\mathrm{KL}(\pi\|\pi_{ref}) - \nabla\mathrm{KL}(\pi_{ref}\|\pi)$, nearly zero close to the reference. An estimator of a
// value is not an estimator of its gradient; our tests show it by enumeration.)

// %% [markdown] id="exercise-kl"
// ## Exercise: the return with the KL in it

// %% id="hints-kl"
hints("07-kl-in-reward");

// %% id="kl-in-reward" tags=["exercise"]
// rewards [B]; logProbs, referenceLogProbs, mask [B][T]: per token, of π and π_ref; mask 1 on response tokens.
function regularisedReturns(
  rewards: number[],
  logProbs: number[][],
  referenceLogProbs: number[][],
  mask: number[][],
  beta: number,
): number[] {
  return unfilled("07-kl-in-reward");
}

await check("07-kl-in-reward", regularisedReturns, { beta: beta, seed: seed });

// %% [markdown] id="training"
// ## Training
//
// The policy starts as the SFT model, which also stays behind, frozen, as $\pi_{ref}$. Each step draws four answers to each of
// eight training questions, scores them with the reward model of [notebook 4](04-bradley-terry.ipynb) (the **proxy**), and takes
// one gradient step: fresh samples every time, so the method is *online* and *on-policy*
// ([`src/objectives/reward-maximisation/policy-gradient.ts`](../src/objectives/reward-maximisation/policy-gradient.ts)).
//
// The training never sees the gold reward. We do, and plot it.

// %% id="before"
const sft = await models.sft().result();
const rewardModel = await models.rewardModel().result();
const proxy = modelReward(rewardModel);
const questions = testPrompts();
const measure = (policy: Policy, name: string) =>
  evaluateAdvice({
    policy: policy,
    reference: sft,
    reward: proxy,
    vocabulary: models.vocabulary,
    prompts: questions,
    samplesPerPrompt: models.sizes.answersForDiversity,
    rng: rng.child(`measure ${name}`),
  });
const before = await measure(sft, "SFT");
console.log(
  `SFT: gold ${before.metrics.gold.toFixed(2)}, proxy ${before.metrics.proxy!.toFixed(2)}, harmful answers ${before.metrics.harmRate.toFixed(3)}`,
);

// %% id="predict-training" tags=["predict"]
predict({
  id: "harm",
  question: `Share of harmful answers after training with beta = ${beta} (SFT: ${before.metrics.harmRate.toFixed(2)})`,
  answer: 0.01,
});
predict({
  id: "gold",
  question: "The gold reward, which nobody optimises, goes",
  answer: beta >= 0.1 ? "up" : "down",
  choices: ["up", "down", "same"],
});

// %% id="train"
const training = models.aligned("policyGradient", { beta: beta });
const records = await watch(training, (seen) =>
  trainingFigure(seen, {
    title: `Policy gradient at β = ${beta}: what is optimised, and what it costs`,
    subtitle: "means over the answers of a step; running mean over 10 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward (proxy, gold)" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
      { key: "length", title: "length", unit: "tokens" },
    ],
    method: "policyGradient",
    smooth: 10,
  }),
);
const policy = await training.result();
const after = await measure(policy, `beta ${beta}`);

// %% id="compare-training"
compare("harm", after.metrics.harmRate, { tolerance: 0.03 });
compare("gold", after.metrics.gold - before.metrics.gold, {
  tolerance: 0.1,
  explain: `gold reward: SFT ${before.metrics.gold.toFixed(2)}, after training ${after.metrics.gold.toFixed(2)}`,
});

// %% id="answers"
const perPrompt = models.sizes.answersForDiversity;
await show(
  [0, 4, 8, 12, 16].map((i) => ({
    question: questions[i].text,
    SFT: before.answers[i * perPrompt].answer,
    [`β = ${beta}`]: after.answers[i * perPrompt].answer,
    gold: after.answers[i * perPrompt].gold.total,
  })),
);

// %% [markdown] id="over-optimisation"
// ## Reward models are not perfect
//
// The reward model has seen answers of the SFT model and nothing else. Where the policy goes beyond them, the proxy is a guess,
// and the policy is *looking* for the places where the guess is high. Without the KL term ($\beta = 0$), and slowly enough to
// watch:

// %% id="predict-slow" tags=["predict"]
predict({
  id: "slow",
  question: "At beta = 0, from the gold reward's best moment to the end of the training, gold goes",
  answer: "down",
  choices: ["up", "down", "same"],
});

// %% id="slow"
const slow = models.aligned("policyGradient", {
  beta: 0,
  learningRate: 5e-4,
  steps: Math.round(1.6 * models.sizes.online.steps),
});
const slowRecords = await watch(slow, (seen) =>
  trainingFigure(seen, {
    title: "β = 0: the proxy keeps rising while the gold reward turns",
    subtitle: "learning rate halved; running mean over 10 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward (proxy, gold)" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
    ],
    method: "policyGradient",
    smooth: 10,
  }),
);

// %% id="gao"
const blocks = (() => {
  const size = Math.max(1, Math.round(slowRecords.length / 24));
  const mean = (rows: typeof slowRecords, key: string) => rows.reduce((sum, row) => sum + row[key], 0) / rows.length;
  return Array.from({ length: Math.floor(slowRecords.length / size) }, (_, i) => {
    const rows = slowRecords.slice(i * size, (i + 1) * size);
    return {
      kl: Math.max(0, mean(rows, "klPolicyToReference")),
      proxy: mean(rows, "reward"),
      gold: mean(rows, "gold"),
    };
  });
})();
await show(
  frontierFigure({
    title: "Reward against distance: the proxy promises what the gold reward does not keep",
    subtitle: "β = 0, means over blocks of steps (after Gao et al. 2022)",
    squareRoot: true,
    series: [
      {
        name: "proxy",
        kl: blocks.map(({ kl }) => kl),
        reward: blocks.map(({ proxy }) => proxy),
        method: "rewardModel",
      },
      { name: "gold", kl: blocks.map(({ kl }) => kl), reward: blocks.map(({ gold }) => gold), method: "gold" },
    ],
  }),
);
const best = Math.max(...blocks.map(({ gold }) => gold));
compare("slow", blocks[blocks.length - 1].gold - best, {
  tolerance: 0.1,
  explain: `gold at its best ${best.toFixed(2)}, at the end ${blocks[blocks.length - 1].gold.toFixed(2)}`,
});

// %% [markdown] id="sweep"
// ## What beta buys
//
// The same training, to the same number of steps, at several prices of distance.

// %% id="train-sweep"
const sweep: { beta: number; report: typeof after }[] = [];
for (const one of betas) {
  const report =
    one === beta ? after : await measure(await models.aligned("policyGradient", { beta: one }).result(), `beta ${one}`);
  sweep.push({ beta: one, report: report });
}
sweep.sort((a, b) => a.beta - b.beta);
await show(
  [{ policy: "SFT", report: before }, ...sweep.map((row) => ({ policy: `β = ${row.beta}`, report: row.report }))].map(
    ({ policy: name, report: { metrics } }) => ({
      policy: name,
      proxy: metrics.proxy,
      gold: metrics.gold,
      harm: metrics.harmRate,
      KL: metrics.klPolicyToReference,
      "junk words": metrics.junk,
      "distinct advice": metrics.distinctAdvice,
    }),
  ),
);

// %% id="figure-sweep"
const favourite = sweep.reduce((a, b) => (b.report.metrics.gold > a.report.metrics.gold ? b : a));
await show(
  frontierFigure({
    title: `Every step away buys proxy reward; the gold reward is highest at β = ${favourite.beta}`,
    subtitle: "one point a β; the SFT model stands at distance 0",
    squareRoot: true,
    series: [
      {
        name: "proxy",
        kl: sweep.map(({ report }) => report.metrics.klPolicyToReference!),
        reward: sweep.map(({ report }) => report.metrics.proxy!),
        labels: sweep.map((row) => `β = ${row.beta}`),
        method: "rewardModel",
      },
      {
        name: "gold",
        kl: sweep.map(({ report }) => report.metrics.klPolicyToReference!),
        reward: sweep.map(({ report }) => report.metrics.gold),
        method: "gold",
      },
      { name: "SFT, gold", kl: [0], reward: [before.metrics.gold], method: "sft" },
    ],
  }),
);

// %% id="figure-diversity"
await show(
  lines({
    title: "Advice grows poorer as distance grows cheaper",
    subtitle: `distinct sets of advice among ${perPrompt} answers to a question, mean over test questions`,
    x: { title: "β", ticks: { values: sweep.map((_, i) => i), labels: sweep.map((row) => String(row.beta)) } },
    y: { title: "distinct sets of advice / answers" },
    series: [
      {
        name: "SFT",
        x: [0, sweep.length - 1],
        y: [before.metrics.distinctAdvice, before.metrics.distinctAdvice],
        exact: true,
      },
      {
        name: "policy gradient",
        x: sweep.map((_, i) => i),
        y: sweep.map(({ report }) => report.metrics.distinctAdvice),
        method: "policyGradient",
      },
    ],
  }),
);

// %% [markdown] id="meaningless"
// And this is what the policy says at the smallest β of the sweep. The proxy scores it above every honest answer. (Count distinct
// *strings* and such a policy can look diverse: junk makes every string different. Distinct sets of advice are not fooled.)

// %% id="hacked"
const cheapest = sweep[0];
await show(
  [0, 4, 8, 12, 16]
    .map((i) => cheapest.report.answers[i * perPrompt])
    .map(({ prompt, answer, gold }) => ({
      question: prompt.text,
      [`answer at β = ${cheapest.beta}`]: answer,
      gold: gold.total,
    })),
);

// %% [markdown] id="lessons"
// What to take along
//
// - The **proxy** rises at every β; the smaller β, the higher. It is what we optimise.
// - The **gold** reward rises too while the policy stays near what the reward model knows, and falls when it leaves. No quantity
//   the training sees shows the turn; the KL is the best warning there is.
// - Harmful answers are all but gone at every β here, which maximum likelihood could not do: the policy *said* harmful things, and was
//   told "less of this". That is the negative signal that [notebook 1](01-stages.ipynb) missed.
// - With small β, answers collapse to few kinds of advice. Closeness to $\pi_{ref}$ preserves diversity.
//
// **Try it:** set `beta` to 0.05 or 3 in the parameters cell and run the notebook again: only what depends on it is retrained.
// Or, in a terminal: `npx workbook sweep 07 --set beta=0,0.03,0.1,0.3,1`.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  goldSft: before.metrics.gold,
  gold: after.metrics.gold,
  proxySft: before.metrics.proxy!,
  proxy: after.metrics.proxy!,
  harmRateSft: before.metrics.harmRate,
  harmRate: after.metrics.harmRate,
  klPolicyToReference: after.metrics.klPolicyToReference!,
  distinctAdviceSft: before.metrics.distinctAdvice,
  distinctAdvice: after.metrics.distinctAdvice,
  junkSft: before.metrics.junk,
  junk: after.metrics.junk,
  length: after.metrics.length,
  goldBestWithoutKl: best,
  goldLastWithoutKl: blocks[blocks.length - 1].gold,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Williams (1992), *Simple statistical gradient-following algorithms for connectionist reinforcement learning* (REINFORCE).
// - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*.
// - Gao, Schulman & Hilton (2022), *Scaling Laws for Reward Model Overoptimization*.
// - Kool, van Hoof & Welling (2019), *Buy 4 REINFORCE Samples, Get a Baseline for Free!*; Ahmadian et al. (2024), *Back to Basics*.
