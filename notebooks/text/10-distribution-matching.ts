// %% [markdown] id="title"
// # 10 · Distribution matching: become the target
//
// *Follows the lecture's slide* **A Taxonomy of Alignment Methods**: *distribution matching (DPG, BRAIn)*
//
// [Notebook 6](06-regularised-objective.ipynb) found the best policy of regularised reward maximisation on paper,
// $\pi^* \propto \pi_{ref}\,e^{r/\beta}$. [Notebook 7](07-reward-maximisation.ipynb) climbs towards it by rewards,
// [notebook 9](09-dpo.ipynb) by comparisons. The third branch of the taxonomy takes $\pi^*$ at its word: it is a **distribution**,
// so let the policy imitate it. The catch: nobody can draw from it, and nobody knows its constant $Z$.
//
// After it you can
// - turn samples of one distribution into samples of another, and say when the weights are worth nothing;
// - derive the distributional policy gradient (DPG), its baseline, and say which KL it minimises;
// - write BRAIn's loss, and show that DPO and on-policy DPG are special cases of it;
// - say what a policy that *covers* its target does otherwise than one that *seeks* its peak, and show it in a trained model.
//
// *Reading: 35 minutes. Running: about 3 minutes on two CPU cores the first time, one minute afterwards.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.3;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let betas: number[] = [0.1, 0.2, 0.3, 0.5, 1, 2, 5];

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  answerText,
  bars,
  brainLoss,
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  divergenceNames,
  dpoLoss,
  effectiveSampleSize,
  entropy,
  estimatePartition,
  evaluateAdvice,
  expectation,
  fDpgLoss,
  fitLambda,
  hints,
  klDivergence,
  lines,
  logPartition,
  logTargetUnnormalised,
  miniDemonstrationProbabilities,
  miniPair,
  miniRewards,
  MINI_SLOTS,
  miniText,
  modelReward,
  normalise,
  optimalPolicy,
  Policy,
  Predictions,
  promptTokens,
  Random,
  results,
  sample,
  selfNormalisedWeights,
  sequenceLogProbs,
  show,
  slider,
  testPrompts,
  trainingFigure,
  unfilled,
  watch,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
if (!(beta > 0))
  throw new Error("this notebook needs beta > 0: at 0 the target is one answer, and no distribution to match");
console.log(describeBackend(backend));

// %% [markdown] id="target"
// ## The target is a distribution, and we have it but for a constant
//
// $$p(y\mid x) = \frac{1}{Z(x)}\,P(y\mid x), \qquad P(y\mid x) = \pi_{ref}(y\mid x)\,e^{r(x,y)/\beta},\qquad Z(x) = \sum_y P(y\mid x).$$
//
// $P$ of any one answer is easy: two models and a division. $Z$ is a sum over all answers, one for **each prompt**. Such a $P$ is
// called an *energy-based model*: it can judge, and cannot speak. We want a policy that can speak, as close to it as possible. Close by
// which KL?
//
// $$\underbrace{\mathrm{KL}(\pi\|p)}_{\text{reverse}} = \mathbb{E}_{\pi}\Big[\log\frac{\pi}{p}\Big] = \frac{J^* - J(\pi)}{\beta}
// \qquad\text{or}\qquad \underbrace{\mathrm{KL}(p\|\pi)}_{\text{forward}} = \mathbb{E}_{p}\Big[\log\frac{p}{\pi}\Big].$$
//
// The left one is reward maximisation (the gap identity of notebook 6). The right one is maximum likelihood *on data that the target
// would have written*. A policy that can express $p$ exactly ends there either way. One that cannot must choose.
//
// Here is one that cannot. The mini world's answers have four words; let $\pi$ choose **each word by itself**, not knowing the
// others. It cannot say "eat fiber" and "stop sugar" without also saying "stop fiber". Both best policies of that kind are exact: by the forward
// KL each word has its share under $p$; by the reverse KL the shares solve $\log\pi_s(w) = \mathbb{E}_{\pi_{-s}}[\log p] + c$, slot after
// slot until nothing moves.

// %% id="word-by-word"
const miniReward = miniRewards();
const miniReference = normalise(miniDemonstrationProbabilities().map(Math.log));
const kinds = Array.from(miniReward, (_, y) => miniPair(y));
const wordOf = (y: number, slot: number): number => (y >> (3 * (3 - slot))) & 7;
// log π(y) = Σ_s log π_s(word of y in slot s), for shares [4][8] in logarithms; y counts the words, the last fastest.
const independent = (shares: Float64Array[]): Float64Array =>
  shares.reduce((prefixes, share) => {
    const longer = new Float64Array(8 * prefixes.length);
    for (let y = 0; y < longer.length; y++) longer[y] = prefixes[y >> 3] + share[y & 7];
    return longer;
  }, new Float64Array(1));

const closestForwardShares = (logP: Float64Array): Float64Array[] =>
  MINI_SLOTS.map((_, slot) => {
    const mass = new Float64Array(8);
    logP.forEach((l, y) => (mass[wordOf(y, slot)] += Math.exp(l)));
    return mass.map(Math.log);
  });

function closestReverse(logP: Float64Array): Float64Array {
  let best = { kl: Infinity, logPi: logP };
  // A start near each good pair, for the reverse KL has many valleys.
  for (const start of [
    [1, 0],
    [2, 1],
    [4, 3],
    [1, 4],
  ]) {
    let shares = MINI_SLOTS.map((_, slot) =>
      normalise(Array.from({ length: 8 }, (_, w) => (slot === 1 || slot === 2 ? (w === start[slot - 1] ? 0 : -3) : 0))),
    );
    for (let round = 0; round < 12; round++)
      for (let slot = 0; slot < 4; slot++) {
        const logPi = independent(shares);
        const scores = new Float64Array(8);
        // π of the other three words, and log p with this one.
        logPi.forEach((l, y) => (scores[wordOf(y, slot)] += Math.exp(l - shares[slot][wordOf(y, slot)]) * logP[y]));
        shares = shares.map((share, s) => (s === slot ? normalise(scores) : share));
      }
    const logPi = normalise(independent(shares));
    const kl = klDivergence(logPi, logP);
    if (kl < best.kl) best = { kl: kl, logPi: logPi };
  }
  return best.logPi;
}

// %% id="predict-cover" tags=["predict"]
predict({
  id: "cover",
  question: "Which of the two says more that is pointless or harmful?",
  answer: "forward",
  choices: ["forward", "reverse"],
});

// %% id="cover"
const sliderBetas = [...new Set([...betas, beta])].filter((one) => one > 0).sort((a, b) => a - b);
const shareOf = (logP: ArrayLike<number>, kind: "good" | "bad" | "other"): number =>
  Array.from(logP).reduce((sum, l, y) => sum + (kinds[y] === kind ? Math.exp(l) : 0), 0);
const effectiveAnswers = (logP: ArrayLike<number>): number => Math.exp(entropy(logP));
const percent = (value: number): string => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)}%`;
const verbs = MINI_SLOTS[1];
const verbShares = (logP: Float64Array): number[] =>
  verbs.map((_, w) => logP.reduce((sum, l, y) => sum + (wordOf(y, 1) === w ? Math.exp(l) : 0), 0));
const covering = sliderBetas.map((one) => {
  const target = optimalPolicy(miniReference, miniReward, one);
  return {
    beta: one,
    target: target,
    forward: normalise(independent(closestForwardShares(target))),
    reverse: closestReverse(target),
  };
});
await show(
  slider(
    covering.map(({ target, forward, reverse }) =>
      bars({
        title: `Good advice: target ${percent(shareOf(target, "good"))}, forward ${percent(shareOf(forward, "good"))}, reverse ${percent(shareOf(reverse, "good"))}`,
        subtitle: "share of each verb; policies that choose each word by itself, closest to the target by either KL",
        x: "verb",
        y: { title: "probability", range: [0, 1.03] },
        groups: [
          { name: "target", logP: target, method: "exact" as const },
          { name: "forward: smallest KL(p‖π)", logP: forward, method: undefined },
          { name: "reverse: smallest KL(π‖p)", logP: reverse, method: undefined },
        ].map((group) => ({
          name: group.name,
          method: group.method,
          bars: verbShares(group.logP).map((value, w) => ({ label: verbs[w], value: value })),
        })),
        values: false,
      }),
    ),
    { name: "β", values: sliderBetas, start: sliderBetas.indexOf(beta) },
  ),
);
const here = covering[sliderBetas.indexOf(beta)];
const most = (logP: Float64Array): string => miniText(logP.indexOf(Math.max(...logP)));
await show(
  (["target", "forward", "reverse"] as const).map((name) => ({
    policy: name,
    "KL(p‖π)": klDivergence(here.target, here[name]),
    "KL(π‖p)": klDivergence(here[name], here.target),
    "E[r]": expectation(here[name], miniReward),
    good: shareOf(here[name], "good"),
    harmful: shareOf(here[name], "bad"),
    "as diverse as … answers": effectiveAnswers(here[name]),
    "says most often": most(here[name]),
  })),
);
compare("cover", shareOf(here.forward, "good") < shareOf(here.reverse, "good") ? "forward" : "reverse", {
  explain:
    "KL(p‖π) is infinite where π leaves out what p says, so π covers all of it and what lies between; KL(π‖p) punishes what p would not say.",
});

// %% [markdown] id="cover-note"
// The forward KL keeps every verb at the target's own share, and pays with combinations that the target would not say. The reverse KL
// gives most of them up and stays on safe ground. Neither is wrong; they answer different questions. Keep this in mind for the trained
// models below: **matching by the forward KL costs some reward, and buys diversity**.
//
// ## Samples of one distribution, weighed to stand for another
//
// For any proposal $q$ that can say whatever $p$ can,
//
// $$\mathbb{E}_p[f] = \mathbb{E}_q\Big[\frac{P}{Z q}\,f\Big], \qquad Z = \mathbb{E}_q\Big[\frac{P}{q}\Big] \approx \hat Z = \frac1n\sum_i \frac{P(y_i)}{q(y_i)}.$$
//
// How good is that? Not better than the weights are even: $n$ samples are worth $\mathrm{ESS} = (\sum w)^2/\sum w^2$ of them
// ([`src/objectives/target.ts`](../src/objectives/target.ts)).

// %% [markdown] id="exercise-weights"
// ## Exercise: importance weights
//
// From $\log P$ and $\log q$ of $n$ samples of $q$: $\log\hat Z$, the weights normalised to sum to 1, and the effective sample size. At
// small $\beta$, $P$ is larger than a number can hold.

// %% id="hints-weights"
hints("10-importance-weights");

// %% id="importance-weights" tags=["exercise"]
function importanceWeights(
  logTarget: number[],
  logProposal: number[],
): { logZ: number; weights: number[]; effectiveSampleSize: number } {
  return unfilled("10-importance-weights");
}

await check("10-importance-weights", importanceWeights, { beta: beta, seed: seed });

// %% [markdown] id="ess-text"
// Start with $q = \pi_{ref}$. With infinitely many samples the share that counts is $1/\mathbb{E}_q[(P/Zq)^2]$, which the mini world
// gives exactly. What are 64 samples worth?

// %% id="predict-ess" tags=["predict"]
predict({
  id: "ess",
  question: `Of 64 answers of the mini world's reference, how many count at β = ${beta}?`,
  answer: 30,
});

// %% id="ess"
const essBetas = Array.from({ length: 40 }, (_, i) => 0.05 * 200 ** (i / 39));
const referenceShares = miniReference.map(Math.exp);
const exactEss = (one: number): number => {
  const p = optimalPolicy(miniReference, miniReward, one);
  return (
    1 /
    expectation(
      p,
      p.map((l, y) => Math.exp(l - miniReference[y])),
    )
  ); // E_q[(p/q)²] = E_p[p/q]
};
const drawnEss = (one: number, n: number): number => {
  const stream = rng.child(`ess ${one} ${n}`);
  let sum = 0;
  for (let run = 0; run < 20; run++) {
    const drawn = Array.from({ length: n }, () => stream.weighted(referenceShares));
    sum += effectiveSampleSize(drawn.map((y) => Math.exp((miniReward[y] - 2.8) / one))) / n / 20;
  }
  return sum;
};
const measuredAt = [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10];
await show(
  lines({
    title: `Of the reference's samples ${percent(exactEss(beta))} count at β = ${beta}, and ever fewer as β falls`,
    subtitle:
      "effective sample size / n; few samples look better than they are: they have not met the heavy weights yet",
    x: { title: "β", log: true },
    y: { title: "effective share of the samples", range: [0, 1.03] },
    series: [
      { name: "exact, n → ∞", x: essBetas, y: essBetas.map(exactEss), exact: true },
      ...[8, 64].map((n, i) => ({
        name: `n = ${n}, measured`,
        x: measuredAt,
        y: measuredAt.map((one) => drawnEss(one, n)),
        look: i,
      })),
    ],
  }),
);
compare("ess", 64 * drawnEss(beta, 64), { tolerance: 8 });

// %% [markdown] id="advice-text"
// The advice world is harder: a reward with a standard deviation of 2 to 3, divided by $\beta$, stands in an exponent. Here are six
// questions, with 64 answers of the SFT model to each.

// %% id="advice-weights"
const sft = await models.sft().result();
const rewardModel = await models.rewardModel().result();
const proxy = modelReward(rewardModel);
const questions = testPrompts();
async function weigh(question: (typeof questions)[number]) {
  const drawn = await sample(sft, new Array<number[]>(64).fill(promptTokens(models.vocabulary, question.text)), {
    rng: rng.child(`weighed ${question.text}`),
  });
  const scores = Array.from(await proxy(drawn));
  const logReference = Array.from(await sequenceLogProbs(sft, drawn));
  const logTarget = logTargetUnnormalised(logReference, scores, beta);
  return { question: question, drawn: drawn, scores: scores, logReference: logReference, logTarget: logTarget };
}
const first = await weigh(questions[0]);
const weighed = [first];
for (const i of [3, 6, 9, 12, 15]) weighed.push(await weigh(questions[i]));
await show(
  weighed.map(({ question, logTarget, logReference, scores }) => {
    const {
      logPartition: logZ,
      relativeStandardError,
      effectiveSampleSize: ess,
    } = estimatePartition(logTarget, logReference);
    return {
      question: question.text,
      "log Ẑ": logZ,
      "its standard error": relativeStandardError,
      "64 answers are worth": ess,
      "E[r]": scores.reduce((a, b) => a + b, 0) / 64,
      "largest r": Math.max(...scores),
    };
  }),
);

// %% [markdown] id="own-z"
// Two lessons. $\log Z$ differs **between prompts**, and $Z$ by factors: with one $Z$ for all, prompts with high rewards would be
// all that counts, so every prompt needs its own. And at the start few of the samples carry all the weight. What helps is that the
// proposal need not stay $\pi_{ref}$: take **the policy itself**, which moves towards $p$, and the weights even out while it learns.
//
// ## DPG: the gradient of the forward KL
//
// $$-\nabla\,\mathrm{KL}(p\|\pi_\theta) = \mathbb{E}_{p}\big[\nabla\log\pi_\theta\big] = \mathbb{E}_{q}\Big[\frac{P(y)}{Z\,q(y)}\,\nabla\log\pi_\theta(y)\Big].$$
//
// Maximum likelihood on weighted samples. All weights are positive: every sample is raised, some more. As in notebook 7 a baseline
// helps. What may we subtract? Something of mean zero: $\mathbb{E}_q\big[\frac{\pi}{q}\nabla\log\pi\big] = \nabla\sum_y\pi(y) = 0$, so
//
// $$\boxed{\;\mathbb{E}_q\Big[\Big(\frac{P(y)}{Z\,q(y)} - \frac{\pi_\theta(y)}{q(y)}\Big)\,\nabla\log\pi_\theta(y)\Big]\;}$$
//
// says the same with less noise: what the target says more often than the policy goes up, what it says less often goes down. On-policy
// $q = \pi$ and the baseline is 1. In code ([`src/objectives/distribution-matching/dpg.ts`](../src/objectives/distribution-matching/dpg.ts)):

// %% id="dpg-heart"
function dpgHeart(
  logPolicy: tf.Tensor1D,
  sg: { logPolicy: tf.Tensor1D; logTarget: tf.Tensor1D; logProposal: tf.Tensor1D; logZ: number },
): tf.Scalar {
  const wanted = sg.logTarget.sub(sg.logZ).sub(sg.logProposal).exp(); // P / (Z q)
  const ratio = sg.logPolicy.sub(sg.logProposal).exp(); // π / q: all in sg is held fixed
  return logPolicy.mul(wanted.sub(ratio)).mean().neg() as tf.Scalar;
}

// %% [markdown] id="exercise-dpg"
// ## Exercise: how much to raise each sample

// %% id="hints-dpg"
hints("10-dpg-gradient");

// %% id="dpg-coefficients" tags=["exercise"]
// For each sample of q: the number c with which the step is the mean of c · ∇ log π(y).
function dpgCoefficients(logPolicy: number[], logTarget: number[], logProposal: number[], logZ: number): number[] {
  return unfilled("10-dpg-gradient");
}

await check("10-dpg-gradient", dpgCoefficients, { beta: beta, seed: seed });

// %% [markdown] id="noise-text"
// ### What the baseline is worth
//
// In the mini world the noise of one sample's gradient is a sum over 4,096 answers (for a policy with one logit an answer,
// $\nabla\log\pi(y) = e_y - \pi$). Let the policy walk from the reference to the target, $\pi_\tau \propto \pi_{ref}^{1-\tau}p^{\tau}$,
// and measure at some places with samples, too.

// %% id="predict-noise" tags=["predict"]
predict({
  id: "noise",
  question: "Near the target, the baseline changes the noise of DPG's gradient",
  answer: "down",
  choices: ["up", "down", "same"],
});

// %% id="noise"
const miniTarget = optimalPolicy(miniReference, miniReward, beta);
const miniLogZ = logPartition(miniReference, miniReward, beta);
const walk = (tau: number): Float64Array => normalise(miniReference.map((l, y) => (1 - tau) * l + tau * miniTarget[y]));
const estimators: Record<string, (logPi: Float64Array) => Float64Array> = {
  "DPG without baseline": (logPi) => logPi.map((l, y) => Math.exp(miniTarget[y] - l)),
  "DPG with baseline": (logPi) => logPi.map((l, y) => Math.exp(miniTarget[y] - l) - 1),
};
// ‖e_y − π‖² = 1 − 2 π(y) + Σ π²; the mean gradient Σ π c (e_y − π).
const gradientOf = (logPi: Float64Array, c: ArrayLike<number>): Float64Array => {
  const mean = expectation(logPi, c);
  return logPi.map((l, y) => Math.exp(l) * (c[y] - mean));
};
const squares = (values: Float64Array): number => values.reduce((sum, v) => sum + v * v, 0);
const exactNoise = (logPi: Float64Array, c: Float64Array): number => {
  const all = squares(logPi.map(Math.exp));
  const second = expectation(
    logPi,
    c.map((v, y) => v * v * (1 - 2 * Math.exp(logPi[y]) + all)),
  );
  return Math.sqrt(Math.max(0, second - squares(gradientOf(logPi, c))));
};
const measuredNoise = (logPi: Float64Array, c: Float64Array, stream: Random): number => {
  const pi = logPi.map(Math.exp);
  const [all, exact] = [squares(pi), gradientOf(logPi, c)];
  const length = squares(exact);
  const middle = exact.reduce((total, g, z) => total + g * pi[z], 0);
  let sum = 0;
  for (let i = 0; i < 1000; i++) {
    const y = stream.weighted(pi);
    // ‖c (e_y − π) − g‖², without writing the vectors out.
    const along = exact[y] - middle;
    sum += (c[y] ** 2 * (1 - 2 * pi[y] + all) - 2 * c[y] * along + length) / 1000;
  }
  return Math.sqrt(Math.max(0, sum));
};
const taus = Array.from({ length: 41 }, (_, i) => i / 40);
const someTaus = Array.from({ length: 9 }, (_, i) => i / 8);
const exactAt = (name: string, tau: number): number => exactNoise(walk(tau), estimators[name](walk(tau)));
await show(
  lines({
    title: "At the target the baseline leaves no noise at all; without it the noise stays",
    subtitle: "standard deviation of one sample's gradient, on-policy; points measured with 1,000 samples",
    x: { title: "way from the reference to the target, τ" },
    y: { title: "noise", range: [0, 1.15 * Math.max(...taus.map((tau) => exactAt("DPG without baseline", tau)))] },
    series: Object.keys(estimators).flatMap((name, i) => [
      { name: name, x: taus, y: taus.map((tau) => exactAt(name, tau)), look: i, markers: false },
      {
        name: `${name}, measured`,
        x: someTaus,
        y: someTaus.map((tau) => measuredNoise(walk(tau), estimators[name](walk(tau)), rng.child(`${name} ${tau}`))),
        look: i,
      },
    ]),
  }),
);
compare("noise", exactAt("DPG with baseline", 0.95) - exactAt("DPG without baseline", 0.95), { tolerance: 0.01 });
// Same mean: the gradients of both, added over all answers, differ by rounding only.
const [plainMean, baselineMean] = Object.values(estimators).map((c) => gradientOf(walk(0.5), c(walk(0.5))));
console.log(
  `largest difference of the two mean gradients at τ = 0.5: ${Math.max(...plainMean.map((g, y) => Math.abs(g - baselineMean[y]))).toExponential(1)}`,
);

// %% [markdown] id="f-dpg-text"
// ### What lies between: f-DPG
//
// The weight of $\nabla\log\pi$ is $P/(Zq) - \pi/q$ for the forward KL, $\frac{\pi}{q}\log\frac{p}{\pi}$ (less a baseline) for the reverse.
// Both are of one kind: for any *f-divergence* $D_f(\pi\|p) = \mathbb{E}_p[f(\pi/p)]$ the gradient is
// $\mathbb{E}_\pi[f'(\pi/p)\,\nabla\log\pi]$ (Go et al. 2023, [`src/objectives/distribution-matching/f-dpg.ts`](../src/objectives/distribution-matching/f-dpg.ts)), a policy gradient with the
// *pseudo-reward* $-f'$. So one loss trains the word-by-word policy of above by four divergences, from 128 of its own samples a step:

// %% id="predict-between" tags=["predict"]
predict({
  id: "between",
  question: "Compared with the reverse KL, the policy trained by Jensen-Shannon's divergence is diverse",
  answer: "more",
  choices: ["more", "less"],
});

// %% id="f-dpg"
function trainWordByWord(divergence: (typeof divergenceNames)[number], steps: number): Float64Array {
  const logits = tf.variable(
    tf.tensor2d(
      closestForwardShares(miniReference).flatMap((share) => [...share]),
      [32, 1],
    ),
  );
  const logShares = () => tf.logSoftmax(logits.reshape([4, 8])).reshape<tf.Tensor2D>([32, 1]);
  const adam = tf.train.adam(0.05);
  const stream = rng.child(`f-DPG ${divergence}`);
  const now = (): Float64Array[] => {
    const flat = Float64Array.from(tf.tidy(() => Array.from(logShares().dataSync())));
    return [0, 8, 16, 24].map((from) => flat.subarray(from, from + 8));
  };
  for (let step = 0; step < steps; step++) {
    const shares = now();
    const words = Array.from({ length: 128 }, () => shares.map((share) => stream.weighted(share.map(Math.exp))));
    const answers = words.map((slots) => slots.reduce((y, w) => 8 * y + w, 0));
    const picked = new Float32Array(128 * 32);
    words.forEach((slots, i) => slots.forEach((w, slot) => (picked[32 * i + 8 * slot + w] = 1)));
    adam.minimize(
      () =>
        fDpgLoss({
          logProbs: tf.tensor2d(picked, [128, 32]).matMul(logShares()).reshape<tf.Tensor1D>([128]),
          logTarget: answers.map((y) => miniReference[y] + miniReward[y] / beta),
          logProposal: words.map((slots) => slots.reduce((sum, w, slot) => sum + shares[slot][w], 0)),
          logPartition: answers.map(() => miniLogZ),
          divergence: divergence,
          samplesPerPrompt: 128,
        }).loss,
    );
  }
  const trained = normalise(independent(now()));
  logits.dispose();
  adam.dispose();
  return trained;
}

const byDivergence = (["klTargetToPolicy", "totalVariation", "jensenShannon", "klPolicyToTarget"] as const).map(
  (divergence) => ({
    divergence: divergence,
    logP: trainWordByWord(divergence, models.sizes.model.layers > 1 ? 200 : 20),
  }),
);
await show(
  byDivergence.map(({ divergence, logP }) => ({
    divergence: divergence,
    "KL(p‖π)": klDivergence(miniTarget, logP),
    "KL(π‖p)": klDivergence(logP, miniTarget),
    "E[r]": expectation(logP, miniReward),
    good: shareOf(logP, "good"),
    "as diverse as … answers": effectiveAnswers(logP),
  })),
);
compare("between", effectiveAnswers(byDivergence[2].logP) >= effectiveAnswers(byDivergence[3].logP) ? "more" : "less", {
  explain: "From the forward KL at the top to the reverse at the bottom, answers become better and fewer.",
});

// %% [markdown] id="brain-text"
// ## BRAIn: choose among n as the target would
//
// DPG still wants $Z$, and where it is estimated from the same $n$ samples the weights are $P/q$ over their own mean: *self-normalised*.
// BRAIn (Pandey et al. 2024) does so with **both** terms. Of $n$ answers $y_1 … y_n$ drawn from $q'$,
//
// $$\alpha_i = \frac{P(y_i)/q'(y_i)}{\sum_j P(y_j)/q'(y_j)}, \qquad \beta_i = \frac{\pi(y_i)/q'(y_i)}{\sum_j \pi(y_j)/q'(y_j)}$$
//
// are the probabilities with which target and policy would pick one of them. ($\beta_i$ is the paper's name; it has nothing to do with
// the price $\beta$.) The loss is a classifier's, with soft labels:
//
// $$L = -\sum_i \mathrm{sg}(\alpha_i)\,\log\beta_i, \qquad \nabla L = -\sum_i(\alpha_i - \beta_i)\,\nabla\log\pi(y_i) = \nabla\,\mathrm{KL}(\alpha\|\beta).$$
//
// $Z$ is gone, and so is any constant in the rewards of a prompt. $\beta_i$ is the *self-normalised baseline*. It is a biased estimate of
// $\nabla\mathrm{KL}(p\|\pi)$ (less so the larger $n$) and an exact one for $\mathbb{E}\,\mathrm{KL}(\alpha\|\beta)$, which is zero just where
// $\pi = p$; our tests enumerate both. On-policy, $\beta_i = 1/n$ and it *is* DPG with $\hat Z$ from the same samples. In code
// ([`src/objectives/distribution-matching/brain.ts`](../src/objectives/distribution-matching/brain.ts)):

// %% id="brain-heart"
function brainHeart(logPolicy: tf.Tensor1D, logTarget: tf.Tensor1D, logProposal: tf.Tensor1D): tf.Scalar {
  const alpha = tf.softmax(logTarget.sub(logProposal)); // constants
  const logBeta = tf.logSoftmax(logPolicy.sub(logProposal));
  return alpha.mul(logBeta).sum().neg() as tf.Scalar;
}

// %% [markdown] id="alpha-text"
// Eight answers of the SFT model to one question, and how the target would choose among them. At the start $\pi = q' = \pi_{ref}$: the
// policy's share is ⅛ each.

// %% id="alpha"
const eight = first.drawn.slice(0, 8);
const alphaAt = (one: number): Float64Array =>
  selfNormalisedWeights(
    logTargetUnnormalised(first.logReference.slice(0, 8), first.scores.slice(0, 8), one),
    first.logReference.slice(0, 8),
  );
const tableBetas = [...new Set([0.1, beta, 1, 3, 10])].sort((a, b) => a - b);
await show(
  eight.map(({ response }, i) => ({
    answer: answerText(models.vocabulary, response),
    r: first.scores[i],
    ...Object.fromEntries(tableBetas.map((one) => [`α at β = ${one}`, Number(alphaAt(one)[i].toFixed(3))])),
  })),
);
await show([
  {
    "": "8 answers are worth",
    ...Object.fromEntries(tableBetas.map((one) => [`β = ${one}`, effectiveSampleSize(alphaAt(one))])),
  },
]);

// %% [markdown] id="exercise-brain"
// At small $\beta$ the label is hard: *the best of eight, and nothing else*. That is why so few nats of KL can be learnt from one step: no
// more than $\log n$.
//
// ## Exercise: BRAIn's loss
//
// For the $n$ samples of one prompt. `logPolicy` is differentiated; the other two are numbers.

// %% id="hints-brain"
hints("10-brain-loss");

// %% id="brain-loss" tags=["exercise"]
function selfNormalisedLoss(logPolicy: tf.Tensor1D, logTarget: number[], logProposal: number[]): tf.Scalar {
  return unfilled("10-brain-loss");
}

await check("10-brain-loss", selfNormalisedLoss, { beta: beta, seed: seed });

// %% [markdown] id="dpo-text"
// ### DPO is BRAIn with two samples and a hard label
//
// Let $n = 2$, $q' = \pi_{ref}$, and $\alpha = (1, 0)$ for the preferred answer. Then
// $L = -\log\beta_w = -\log\sigma\big((\log\pi_w - \log\pi_{ref,w}) - (\log\pi_l - \log\pi_{ref,l})\big)$: DPO's loss with $\beta = 1$.
// The coefficients of $\nabla\log\pi$, by both of the library's functions:

// %% id="dpo-special-case"
const pair = (() => {
  const stream = rng.child("pair");
  const logReference = [-9 - stream.uniform(), -11 - stream.uniform()];
  const logPolicy = logReference.map((l) => l + stream.normal());
  const coefficients = (loss: (logProbs: tf.Tensor1D) => tf.Scalar): number[] =>
    tf.tidy(() =>
      Array.from(
        tf
          .grad((x) => loss(x as tf.Tensor1D))(tf.tensor1d(logPolicy))
          .dataSync(),
        (g) => -g,
      ),
    );
  const rows: { method: string; step: number[] }[] = [
    {
      method: "BRAIn: n = 2, q' = ref, α = (1, 0)",
      step: coefficients(
        (logProbs) =>
          brainLoss({
            logProbs: logProbs,
            logTarget: [0, -Infinity],
            logProposal: logReference,
            samplesPerPrompt: 2,
          }).loss,
      ),
    },
    {
      method: "DPO at β = 1",
      step: coefficients(
        (logProbs) =>
          dpoLoss({
            policyChosen: logProbs.slice(0, 1),
            policyRejected: logProbs.slice(1, 1),
            referenceChosen: tf.tensor1d(logReference.slice(0, 1)),
            referenceRejected: tf.tensor1d(logReference.slice(1)),
            beta: 1,
          }).loss,
      ),
    },
  ];
  return rows.map(({ method, step }) => ({ method: method, "chosen goes up by": step[0], "rejected by": step[1] }));
})();
await show(pair);

// %% [markdown] id="training"
// ## Training: matching the target in the advice world
//
// Both start from the SFT model, which stays behind as $\pi_{ref}$, with the reward model of notebook 4 as $r$. A step draws **many
// answers to few questions** (weights are compared within a question): four times as many to half as many questions as notebook 7.
//
// - **DPG**, on-policy: one step on each batch, $\hat Z$ of each question from its own answers, with the baseline.
// - **BRAIn**, off-policy: two steps on each batch. The second uses answers of $q'$, what the policy was one step ago, and so only
//   half as many answers are drawn in all. (On-policy, the two would be one method.)
//
// Beside them stands the policy gradient of notebook 7 at the same $\beta$: the same target, by the reverse KL.

// %% id="before"
const perPrompt = models.sizes.answersForDiversity;
const measure = (policy: Policy, name: string) =>
  evaluateAdvice({
    policy: policy,
    reference: sft,
    reward: proxy,
    vocabulary: models.vocabulary,
    prompts: questions,
    samplesPerPrompt: perPrompt,
    rng: rng.child(`measure ${name}`),
  });
const before = await measure(sft, "SFT");
const gradientPolicy = await models.aligned("policyGradient", { beta: beta }).result();
const byReward = await measure(gradientPolicy, "policy gradient");
console.log(
  `SFT: gold ${before.metrics.gold.toFixed(2)}; policy gradient: gold ${byReward.metrics.gold.toFixed(2)}, ` +
    `KL ${byReward.metrics.klPolicyToReference!.toFixed(2)}, distinct advice ${byReward.metrics.distinctAdvice.toFixed(2)}`,
);

// %% id="predict-training" tags=["predict"]
predict({
  id: "distance",
  question: `KL(π‖π_ref) after DPG (policy gradient: ${byReward.metrics.klPolicyToReference!.toFixed(2)})`,
  answer: byReward.metrics.klPolicyToReference! * 0.6,
});
predict({
  id: "diversity",
  question: "Distinct advice, from the policy gradient to DPG, goes",
  answer: "up",
  choices: ["up", "down", "same"],
});
predict({
  id: "goldMatch",
  question: "The gold reward, from the SFT model to DPG, goes",
  answer: "up",
  choices: ["up", "down", "same"],
});

// %% id="train-dpg"
const dpg = models.aligned("dpg", { beta: beta });
const dpgRecords = await watch(dpg, (seen) =>
  trainingFigure(seen, {
    title: `DPG at β = ${beta}: reward, distance to both ends, and how many samples count`,
    subtitle: "means over a step's answers or questions; running mean over 10 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward (proxy, gold)" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
      { key: "klTargetToPolicy", title: "KL(p‖π), IS", unit: "nats" },
      { key: "effectiveSampleSize", title: "effective samples" },
    ],
    method: "dpg",
    smooth: 10,
  }),
);
const matched = await measure(await dpg.result(), "DPG");

// %% id="train-brain"
const brain = models.aligned("brain", { beta: beta, stepsPerBatch: 2 });
await watch(brain, (seen) =>
  trainingFigure(seen, {
    title: `BRAIn at β = ${beta}, two steps on each batch`,
    subtitle: "means over a batch's answers or questions; running mean over 10 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward (proxy, gold)" },
      { key: "klSelfNormalised", title: "KL(α‖β)", unit: "nats" },
      { key: ["effectiveSampleSizeOfTarget", "effectiveSampleSizeOfPolicy"], title: "effective samples" },
    ],
    method: "brain",
    smooth: 10,
  }),
);
const chosen = await measure(await brain.result(), "BRAIn");

// %% id="compare-training"
compare("distance", matched.metrics.klPolicyToReference!, { tolerance: 0.5 });
compare("diversity", matched.metrics.distinctAdvice - byReward.metrics.distinctAdvice, { tolerance: 0.02 });
compare("goldMatch", matched.metrics.gold - before.metrics.gold, { tolerance: 0.1 });
const reports = [
  { name: "SFT", method: "sft" as const, metrics: before.metrics },
  { name: "policy gradient", method: "policyGradient" as const, metrics: byReward.metrics },
  { name: "DPG", method: "dpg" as const, metrics: matched.metrics },
  { name: "BRAIn", method: "brain" as const, metrics: chosen.metrics },
];
await show(
  reports.map(({ name, metrics }) => ({
    policy: name,
    "J = proxy − β·KL": metrics.proxy! - beta * metrics.klPolicyToReference!,
    proxy: metrics.proxy,
    gold: metrics.gold,
    harm: metrics.harmRate,
    KL: metrics.klPolicyToReference,
    "distinct advice": metrics.distinctAdvice,
    "junk words": metrics.junk,
  })),
);

// %% id="figure-training"
await show(
  lines({
    title:
      matched.metrics.distinctAdvice > byReward.metrics.distinctAdvice &&
      matched.metrics.klPolicyToReference! < byReward.metrics.klPolicyToReference!
        ? "DPG stays nearer to the reference, and keeps more kinds of advice"
        : "The same target by two KLs: where each method ends",
    subtitle: `β = ${beta}; ${perPrompt} answers to each of ${questions.length} test questions`,
    x: { title: "KL(π‖ref)", unit: "nats" },
    y: { title: "distinct sets of advice / answers" },
    series: reports.map(({ name, method, metrics }) => ({
      name: name,
      x: [metrics.klPolicyToReference!],
      y: [metrics.distinctAdvice],
      method: method,
    })),
  }),
);

// %% id="answers"
await show(
  [0, 4, 8, 12].map((i) => ({
    question: questions[i].text,
    "policy gradient": byReward.answers[i * perPrompt].answer,
    DPG: matched.answers[i * perPrompt].answer,
    BRAIn: chosen.answers[i * perPrompt].answer,
  })),
);

// %% [markdown] id="lessons-training"
// At $\beta = 0.3$, on seeds 0, 1 and 2:
//
// - **DPG** ends much closer to the reference than the policy gradient of as many steps (KL 2.3, 2.0, 1.5 against 4.4, 3.0, 2.4) and keeps
//   more kinds of advice (distinct sets .54, .58, .69 against .45, .42, .53). It pays in reward: the proxy is lower, gold too, by 0.03 to
//   0.15, and 0.5 to 1.2% of its answers are harmful, against 0.2 to 0.3%. It *covers*. The objective $J$, which both aim at, comes
//   out alike: 2.72, 1.96, 1.95 against 2.57, 2.09, 1.80. But DPG draws twice as many answers a step.
// - **BRAIn** with two steps a batch draws as many as the policy gradient, and ends with the lowest $J$ on every seed (2.42, 1.94, 1.69): a
//   step on old samples is worth less than one on new ones.
// - Neither has *reached* the target. Of 16 samples 4 or 5 count at the end, and $\mathrm{KL}(p\|\pi)$ as estimated from 16 samples cannot
//   exceed $\log 16 = 2.8$ nats, whatever it is. Read such estimates as "at least".
//
// Forward-KL training sees each step's best answers and copies them; what it never draws it cannot learn. The heavier the weights (small
// $\beta$), the more it becomes *best-of-n, repeated*. Where one can pay for the samples and wants the whole target, not its peak, this is
// the method.

// %% [markdown] id="constraints"
// ## What rewards cannot say: "half of the time"
//
// A target need not come from a reward. *Distributional constraints* (Khalifa et al. 2021) ask for averages: of all
// distributions with given means $\mathbb{E}[\phi_k] = \mu_k$, the closest to $\pi_{ref}$ is
// $p_\lambda \propto \pi_{ref}\,e^{\lambda\cdot\phi}$: $\pi^*$ of the "reward" $\lambda\cdot\phi$ at $\beta = 1$. One finds $\lambda$
// first, exactly where one can enumerate, from weighted samples where not
// ([`src/objectives/distribution-matching/moment-matching.ts`](../src/objectives/distribution-matching/moment-matching.ts)), and then matches $p_\lambda$ by DPG or BRAIn. For the
// mini world: harmful advice 1% of the time, and half of the answers about exercise.

// %% id="fit-lambda"
const features = Array.from(miniReward, (_, y) => [
  kinds[y] === "bad" ? 1 : 0,
  miniText(y).includes("exercise") ? 1 : 0,
]);
const wanted = [0.01, 0.5];
const exactFit = fitLambda({ features: features, moments: wanted, logWeights: miniReference });
const lambdaStream = rng.child("lambda");
await show(
  [
    { name: "no constraint", lambda: [0, 0] },
    { name: "exact λ", lambda: [...exactFit.lambda] },
    ...[256, 4096].map((n) => {
      const drawn = Array.from({ length: n }, () => lambdaStream.weighted(referenceShares));
      const fit = fitLambda({
        features: drawn.map((y) => features[y]),
        moments: wanted,
        logWeights: drawn.map(() => 0), // drawn from the reference itself
      });
      return { name: `λ from ${n} samples`, lambda: [...fit.lambda] };
    }),
  ].map(({ name, lambda }) => {
    const p = normalise(miniReference.map((l, y) => l + lambda[0] * features[y][0] + lambda[1] * features[y][1]));
    return {
      target: name,
      "λ harmful": lambda[0],
      "λ exercise": lambda[1],
      "share harmful": shareOf(p, "bad"),
      "share exercise": expectation(
        p,
        features.map((row) => row[1]),
      ),
      "KL to the reference": klDivergence(p, miniReference),
    };
  }),
);

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  goldSft: before.metrics.gold,
  goldPolicyGradient: byReward.metrics.gold,
  goldDpg: matched.metrics.gold,
  goldBrain: chosen.metrics.gold,
  proxyDpg: matched.metrics.proxy!,
  proxyBrain: chosen.metrics.proxy!,
  harmRateDpg: matched.metrics.harmRate,
  harmRateBrain: chosen.metrics.harmRate,
  klPolicyGradient: byReward.metrics.klPolicyToReference!,
  klDpg: matched.metrics.klPolicyToReference!,
  klBrain: chosen.metrics.klPolicyToReference!,
  distinctAdvicePolicyGradient: byReward.metrics.distinctAdvice,
  distinctAdviceDpg: matched.metrics.distinctAdvice,
  distinctAdviceBrain: chosen.metrics.distinctAdvice,
  effectiveSamplesStart: dpgRecords.length > 0 ? dpgRecords[0].effectiveSampleSize : 0,
  effectiveSamplesEnd: dpgRecords.length > 0 ? dpgRecords[dpgRecords.length - 1].effectiveSampleSize : 0,
  goodForward: shareOf(here.forward, "good"),
  goodReverse: shareOf(here.reverse, "good"),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Khalifa, Elsahar & Dymetman (2021), *A Distributional Approach to Controlled Text Generation* (GDC).
// - Korbak et al. (2022), *On Reinforcement Learning and Distribution Matching for Fine-Tuning Language Models with no Catastrophic
//   Forgetting* (the baseline); Korbak et al. (2022), *Controlling Conditional Language Models without Catastrophic Forgetting* (one Z a
//   prompt).
// - Go et al. (2023), *Aligning Language Models with Preferences through f-divergence Minimization*.
// - Pandey et al. (2024), *BRAIn: Bayesian Reward-conditioned Amortized Inference for natural language generation from feedback*.
