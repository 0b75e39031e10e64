// %% [markdown] id="title"
// # 8 · PPO, and its relatives without a value function
//
// *Follows the lecture's taxonomy,* **Reward Maximization: policy gradient, PPO.**
//
// [Notebook 7](07-reward-maximisation.ipynb) took one gradient step on each batch of answers and threw the batch away. Here a
// batch is used several times, which needs a brake (**clipping**), and a token is judged by what was expected of it (a **value
// function**, by **GAE**). Beside PPO stand **RLOO** and **GRPO**, which have no value function. Each of the gradients is held
// against the exact one.
//
// After it you can
// - say which of the four cases of ratio and advantage clipping cuts, and why the others are left alone;
// - compute advantages by GAE, with the reward and the KL on the right tokens, and say what $\lambda$ trades;
// - say where GRPO's gradient departs from that of the objective, and why its loss is 0 when training starts.
//
// *Reading: 30 minutes. Running: about 3 minutes on two CPU cores the first time.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.3;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let clip: number = 0.2;
let lambda: number = 0.95;

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  bars,
  check,
  chooseBackend,
  chooseScale,
  clippedSurrogate,
  course,
  describeBackend,
  evaluateAdvice,
  generalisedAdvantages,
  groupAdvantages,
  hints,
  klDivergence,
  klShapedTokenRewards,
  leaveOneOutAdvantages,
  lines,
  modelReward,
  normalise,
  objectiveGradient,
  ofResponses,
  optimalPolicy,
  Policy,
  Predictions,
  promptTokens,
  Random,
  randomLogits,
  responseLogProbs,
  results,
  runningMean,
  sample,
  sequenceSpace,
  show,
  stateValues,
  tabularLogProbs,
  testPrompts,
  trainingFigure,
  unfilled,
  watch,
  weightedScore,
  type Example,
  type TrainingRecord,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
console.log(describeBackend(backend));

// %% [markdown] id="ratio"
// ## Using a batch more than once
//
// After one gradient step the policy is no longer the one that drew the batch. An expectation over the new policy can still be
// taken from samples of the old one, each weighted by the **ratio**
//
// $$\rho = \frac{\pi_\theta(a\mid s)}{\pi_{old}(a\mid s)},\qquad
//   \mathbb{E}_{\pi_{old}}[\rho\,A] = \mathbb{E}_{\pi_\theta}[A],\qquad \nabla(\rho A) = \rho\,A\,\nabla\log\pi_\theta.$$
//
// At $\theta = \theta_{old}$ it is 1, and the gradient is the policy gradient's. Further on, a large ratio says that the samples
// know little of the new policy. PPO therefore believes only the smaller of two promises:
//
// $$\min\big(\rho A,\ \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon)\,A\big).$$
//
// It is to be **raised**, so the loss carries a minus
// ([`src/objectives/clipped-surrogate.ts`](../src/objectives/clipped-surrogate.ts), [`ppo.ts`](../src/objectives/reward-maximisation/ppo.ts)):

// %% id="heart"
function surrogateOf(logProbs: tf.Tensor, oldLogProbs: tf.Tensor, advantages: tf.Tensor): tf.Tensor {
  const ratio = logProbs.sub(oldLogProbs).exp();
  const clipped = ratio.clipByValue(1 - clip, 1 + clip);
  return tf.minimum(ratio.mul(advantages), clipped.mul(advantages)); // the loss is −(sum over tokens, mean over responses)
}

// %% id="predict-clip" tags=["predict"]
predict({
  id: "cut",
  question: "A token with a negative advantage whose probability has doubled since it was drawn: its gradient is",
  answer: "not zero",
  choices: ["zero", "not zero"],
});

// %% id="clip-figure"
const ratios = Array.from({ length: 81 }, (_, i) => 0.3 + i * 0.02125);
const surrogates = [1, -1].map((A) =>
  tf.tidy(() => {
    const advantages = tf.fill([ratios.length], A);
    const logRatios = tf.tensor1d(ratios).log();
    return Array.from(surrogateOf(logRatios, tf.zerosLike(logRatios), advantages).dataSync());
  }),
);
await show(
  lines({
    title: "Clipping flattens only what has already moved the right way",
    subtitle: `ε = ${clip}; where a curve is flat the token has no gradient`,
    x: { title: "ratio π/π_old of a token" },
    y: { title: "surrogate" },
    series: [
      { name: "A = 1", x: ratios, y: surrogates[0], markers: false },
      { name: "A = −1", x: ratios, y: surrogates[1], markers: false },
    ],
    references: [
      { value: 1 - clip, axis: "x", name: "1 − ε" },
      { value: 1 + clip, axis: "x", name: "1 + ε" },
    ],
  }),
);

// %% id="clip-table"
const slopeAt = (ratio: number, A: number): number =>
  tf.tidy(() => {
    const one = { oldLogProbs: tf.tensor1d([0]), advantages: tf.tensor1d([A]), mask: tf.tensor1d([1]), clip: clip };
    const f = (x: tf.Tensor) => clippedSurrogate({ logProbs: x as tf.Tensor1D, ...one }).surrogate;
    return tf
      .grad(f)(tf.tensor1d([Math.log(ratio)]))
      .dataSync()[0];
  });
await show(
  [
    { ratio: 1 + 2 * clip, A: 1, meaning: "good, has risen enough" },
    { ratio: 1 + 2 * clip, A: -1, meaning: "bad, and has risen: must come back" },
    { ratio: 1 / (1 + 2 * clip), A: 1, meaning: "good, and has fallen: must come back" },
    { ratio: 1 / (1 + 2 * clip), A: -1, meaning: "bad, has fallen enough" },
  ].map((row) => ({ ratio: row.ratio, A: row.A, "slope in log π": slopeAt(row.ratio, row.A), meaning: row.meaning })),
);
compare("cut", slopeAt(2, -1) === 0 ? "zero" : "not zero");

// %% [markdown] id="exercise-clip"
// ## Exercise: the clipped loss
//
// Per token, summed over each response, averaged over the responses; and mind the sign.

// %% id="hints-clip"
hints("08-clipped-loss");

// %% id="clipped-loss" tags=["exercise"]
function clippedLoss(
  logProbs: tf.Tensor2D,
  oldLogProbs: tf.Tensor2D,
  advantages: tf.Tensor2D,
  mask: tf.Tensor2D,
  clip: number,
): tf.Scalar {
  return unfilled("08-clipped-loss");
}

await check("08-clipped-loss", clippedLoss, { beta: beta, seed: seed });

// %% [markdown] id="gae"
// ## What was expected of a token: the value function and GAE
//
// The reward comes at the end and judges the whole answer. A **value function** $V(s)$ guesses, from the tokens so far, what is
// still to come. A token is good when things went better than that:
//
// $$\delta_t = R_t + \gamma V(s_{t+1}) - V(s_t),\qquad A_t = \delta_t + \gamma\lambda\,A_{t+1} = \sum_{s\ge t}(\gamma\lambda)^{s-t}\,\delta_s .$$
//
// With $\lambda = 1$ (and $\gamma = 1$) it is *rewards to come less* $V$: unbiased whatever $V$ says, and noisy. With $\lambda = 0$ it
// is one step of surprise: quiet, and as wrong as $V$ is. The rewards are the KL where it is paid, token by token, and $r$ on
// `<eos>` ([`src/objectives/gae.ts`](../src/objectives/gae.ts)):
//
// $$R_t = -\beta\,\big(\log\pi_{old}(a_t\mid s_t) - \log\pi_{ref}(a_t\mid s_t)\big) + \mathbb{1}[a_t = \texttt{<eos>}]\;r(x, y).$$
//
// The figure enumerates all answers of a small random policy, with a $V$ that is off by random errors.

// %% id="predict-lambda" tags=["predict"]
predict({
  id: "unbiased",
  question: "The lambda at which a wrong value function does not bias the gradient",
  answer: 1,
});

// %% id="lambda-experiment"
const toy = (() => {
  const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 3 }); // 15 answers of 1 to 3 tokens
  const draws = rng.child("toy");
  const logits = randomLogits(space, draws.child("policy"));
  const referenceLogits = randomLogits(space, draws.child("reference"));
  const [log, logReference] = [tabularLogProbs(space, logits), tabularLogProbs(space, referenceLogits)];
  const reward = space.responses.map(() => draws.normal());
  const ofTokens = (table: Float64Array, i: number) =>
    space.responses[i].states.map((state, t) => table[state * 3 + space.responses[i].tokens[t]]);
  const sumOf = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);
  const logP = space.responses.map((_, i) => sumOf(ofTokens(log, i)));
  const logRef = space.responses.map((_, i) => sumOf(ofTokens(logReference, i)));
  const probability = logP.map(Math.exp);
  const tokenRewards = space.responses.map((_, i) =>
    klShapedTokenRewards(reward[i], ofTokens(log, i), ofTokens(logReference, i), beta),
  );
  // The policy's true values, by enumeration, and errors on top.
  const [sums, mass] = [space.prefixes.map(() => 0), space.prefixes.map(() => 0)];
  space.responses.forEach(({ states }, i) =>
    states.forEach((state, t) => {
      mass[state] += probability[i];
      sums[state] += probability[i] * sumOf(tokenRewards[i].slice(t));
    }),
  );
  const wrongValues = sums.map((sum, state) => sum / mass[state] + 0.7 * draws.normal());
  const exact = objectiveGradient(space, logits, logRef, reward, beta);
  /** Σ_t A_t·∇ log π_t of answer i. */
  const gradientOf = (i: number, advantages: ArrayLike<number>): Float64Array => {
    const gradient = new Float64Array(logits.length);
    space.responses[i].states.forEach((state, t) => {
      for (let token = 0; token < 3; token++) {
        const taken = token === space.responses[i].tokens[t] ? 1 : 0;
        gradient[state * 3 + token] += advantages[t] * (taken - Math.exp(log[state * 3 + token]));
      }
    });
    return gradient;
  };
  const advantagesAt = (i: number, lambda: number) =>
    generalisedAdvantages({
      rewards: tokenRewards[i],
      values: space.responses[i].states.map((state) => wrongValues[state]),
      lambda: lambda,
    });
  /** The expected gradient of PPO's first step, and the noise of a single answer's. */
  const ppoAt = (lambda: number) => {
    const mean = new Float64Array(logits.length);
    let squares = 0;
    space.responses.forEach((_, i) => {
      const gradient = gradientOf(i, advantagesAt(i, lambda));
      gradient.forEach((g, k) => {
        mean[k] += probability[i] * g;
        squares += probability[i] * g * g;
      });
    });
    return { mean: mean, noise: Math.sqrt(squares - sumOf(mean.map((g) => g * g))) };
  };
  return {
    space: space,
    logits: logits,
    exact: exact,
    probability: probability,
    returns: tokenRewards.map(sumOf),
    ppoAt: ppoAt,
  };
})();
const norm = (v: ArrayLike<number>) => Math.hypot(...Array.from(v));
const lambdas = [0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1];
const byLambda = lambdas.map((one) => {
  const { mean, noise } = toy.ppoAt(one);
  return {
    lambda: one,
    bias: norm(mean.map((g, k) => g - toy.exact[k])) / norm(toy.exact),
    noise: noise / norm(toy.exact),
  };
});
await show(
  lines({
    title: `A wrong V biases the gradient by ${(100 * byLambda[0].bias).toFixed(0)} % at λ = 0, and not at λ = 1`,
    subtitle: "15 answers enumerated; V is off by errors of deviation 0.7",
    x: { title: "λ" },
    y: { title: "relative to the exact gradient's length", log: false },
    series: [
      { name: "bias of the mean gradient", x: lambdas, y: byLambda.map((row) => row.bias) },
      { name: "noise of one answer's gradient", x: lambdas, y: byLambda.map((row) => row.noise) },
    ],
  }),
);
const least = byLambda.reduce((a, b) => (b.bias < a.bias ? b : a));
compare("unbiased", least.lambda, { tolerance: 0, explain: `bias there: ${least.bias.toExponential(1)}` });

// %% [markdown] id="exercise-gae"
// ## Exercise: GAE
//
// Behind the last token the episode is over, and its value is 0.

// %% id="hints-gae"
hints("08-gae");

// %% id="gae-exercise" tags=["exercise"]
// rewards, values: one number a token; the result too.
function gae(rewards: number[], values: number[], gamma: number, lambda: number): number[] {
  return unfilled("08-gae");
}

await check("08-gae", gae, { beta: beta, seed: seed });

// %% [markdown] id="tokens"
// ## Token by token
//
// Which token gets what is where implementations go wrong: a reward that lands on the padding behind `<eos>` reaches the answer
// only through $\lambda$. Here is an answer of a policy that has moved away from its reference (the one of notebook 7), and one that
// a short horizon cut. For a value function we borrow the reward model and read it at every token.
//
// A **decreed** `<eos>` (the horizon writes it, with probability 1) is no choice: its mask is 0, its ratio is 1, and the policy's loss
// does not see it. But it carries the reward, and its state has a value. So the last *chosen* token of a cut answer is not the
// end: it looks ahead to $V$ of what it led to.

// %% id="token-table"
const sft = await models.sft().result();
const rewardModel = await models.rewardModel().result();
const moved = await models.aligned("policyGradient", { beta: beta }).result();
const questions = testPrompts();
const rewardOf = modelReward(rewardModel);
async function tokenTable(policy: Policy, reference: Policy, name: string) {
  const prompt = promptTokens(models.vocabulary, questions[0].text);
  const [answer] = await sample(policy, [prompt], { rng: rng.child(name) });
  const [reward] = Array.from(await rewardOf([answer]));
  const read = (f: (examples: Example[]) => tf.Tensor) =>
    Array.from(
      ofResponses(
        [answer],
        tf.tidy(() => f([answer]).dataSync()),
      )[0],
    );
  const mask = read((examples) => responseLogProbs(policy, examples).mask);
  const referenceLogProbs = read((examples) => responseLogProbs(reference, examples).logProbs);
  const values = read((examples) => stateValues(rewardModel, examples));
  const rewards = klShapedTokenRewards(reward, answer.logProbs, referenceLogProbs, beta);
  const advantages = generalisedAdvantages({ rewards: rewards, values: values, lambda: lambda });
  return answer.response.map((token, t) => ({
    token: models.vocabulary.tokens[token],
    "mask (chosen)": mask[t],
    "log π": answer.logProbs[t],
    "log π_ref": referenceLogProbs[t],
    "R: −β·k1, r on <eos>": rewards[t],
    V: values[t],
    "A (GAE)": advantages[t],
    "A + V, the target of V": advantages[t] + values[t],
  }));
}
await show(await tokenTable(moved, sft, "an answer"));

// %% id="token-table-cut"
const short = 6;
await show(await tokenTable(new Policy(moved.gpt, short), new Policy(sft.gpt, short), "a cut answer"));

// %% [markdown] id="relatives"
// ## Without a value function: RLOO and GRPO
//
// Both draw $K$ answers to each prompt and let them be each other's measure.
//
// **RLOO**: $A_i = R_i -$ mean of the *others*, KL in $R$; the ratio is that of the whole response
// ([`rloo.ts`](../src/objectives/reward-maximisation/rloo.ts)). Its first step on a batch is notebook 7's policy gradient.
//
// **GRPO**: $A_i = (r_i - \text{mean})/\text{deviation}$, a ratio for each token, a token's weight is $1/|y_i|$, and the KL is a
// *loss* ([`grpo.ts`](../src/objectives/reward-maximisation/grpo.ts)):
//
// $$L = -\frac1B\sum_i\frac1{|y_i|}\sum_t\Big[\min\big(\rho_{it}A_i, \mathrm{clip}(\rho_{it})A_i\big) - \beta\,k3_{it}\Big],\qquad
//   k3 = e^{d} - 1 - d,\ d = \log\pi_{ref} - \log\pi_\theta .$$

// %% [markdown] id="exercise-group"
// ## Exercise: the group advantage
//
// The deviation with $K - 1$ inside the root, as PyTorch has it, and $10^{-4}$ added to it.

// %% id="hints-group"
hints("08-group-advantage");

// %% id="group-advantage" tags=["exercise"]
// rewards: [prompts · K], the K answers to a prompt stand together; the result has the same order.
function groupAdvantage(rewards: number[], K: number): number[] {
  return unfilled("08-group-advantage");
}

await check("08-group-advantage", groupAdvantage, { beta: beta, seed: seed });

// %% [markdown] id="exact"
// ## Each gradient against the exact one
//
// On the fifteen answers from above the expected gradient of each method's first step can be worked out: over every answer, and
// for groups over every triple of answers ($15^3$ of them). All have the KL in the reward here, so only the advantages and the weights
// differ. **Cosine** 1 means the right direction, **ratio** 1 the right length.

// %% id="predict-group" tags=["predict"]
predict({
  id: "ratio",
  question:
    "Subtract the mean of all K = 3 answers instead of the other two: the gradient's length relative to the exact one",
  answer: 0.67,
});

// %% id="gradients"
const K = 3;
const gradients = (() => {
  const { space, logits, probability, returns } = toy;
  const n = space.responses.length;
  const triples = Array.from({ length: n ** K }, (_, i) => [i % n, Math.floor(i / n) % n, Math.floor(i / n / n)]);
  const flat = triples.flatMap((triple) => triple.map((i) => returns[i]));
  const lengths = space.responses.map(({ tokens }) => tokens.length);
  const meanLength = lengths.reduce((sum, length, i) => sum + probability[i] * length, 0);
  /** Every answer's weight in the expected gradient: what its advantages add up to over all triples it is in. */
  const overTriples = (advantages: ArrayLike<number>, weight = (i: number) => 1) => {
    const weights = new Float64Array(n);
    triples.forEach((triple, at) => {
      const chance = triple.reduce((product, i) => product * probability[i], 1);
      triple.forEach((i, place) => (weights[i] += (chance * advantages[at * K + place] * weight(i)) / K));
    });
    return weightedScore(space, logits, weights);
  };
  const perToken = (i: number) => meanLength / lengths[i]; // scaled by the mean length, so that it can keep the length
  const others = tf.tidy(() => Array.from(leaveOneOutAdvantages(tf.tensor1d(flat), K).dataSync()));
  const none = groupAdvantages(flat, K, "none");
  const divided = groupAdvantages(flat, K, "sample");
  const all: Record<string, ArrayLike<number>> = {
    "policy gradient": weightedScore(
      space,
      logits,
      probability.map((p, i) => p * returns[i]),
    ),
    "PPO, λ = 1": toy.ppoAt(1).mean,
    [`PPO, λ = ${lambda}`]: toy.ppoAt(lambda).mean,
    RLOO: overTriples(others),
    "group mean": overTriples(none),
    "mean, 1/|y|": overTriples(none, perToken),
    "mean, ÷ dev.": overTriples(divided),
    GRPO: overTriples(divided, perToken),
  };
  return Object.entries(all).map(([name, gradient]) => ({
    name: name,
    cosine: Array.from(gradient).reduce((sum, g, k) => sum + g * toy.exact[k], 0) / norm(gradient) / norm(toy.exact),
    ratio: norm(gradient) / norm(toy.exact),
  }));
})();
const inDirection = gradients.filter(({ cosine }) => cosine > 1 - 1e-6).map(({ name }) => name);
await show(
  bars({
    title: `${inDirection.length} of ${gradients.length} keep the direction of the exact gradient`,
    subtitle: `along ∇J: ${inDirection.join("; ")} (K = ${K}, V wrong, KL in the reward)`,
    y: { title: "against the exact gradient" },
    groups: [
      { name: "cosine", bars: gradients.map(({ name, cosine }) => ({ label: name, value: cosine })) },
      { name: "norm ratio", bars: gradients.map(({ name, ratio }) => ({ label: name, value: ratio })) },
    ],
  }),
);
await show(gradients);
compare("ratio", gradients.find(({ name }) => name === "group mean")!.ratio, { tolerance: 0.01 });

// %% [markdown] id="gradients-read"
// - PPO with $\lambda = 1$ and RLOO are right to the last digit, whatever $V$ says.
// - The mean of all $K$, the answer included, shortens the gradient to $(K-1)/K$ and leaves its direction.
// - $1/|y|$ and the division by the deviation each turn it. Neither is a matter of the step size.

// %% [markdown] id="rest"
// ## Where they come to rest
//
// A gradient that is turned does not end at $\pi^* \propto \pi_{ref}\,e^{r/\beta}$. We follow each method's *exact* expected gradient, no
// samples, on four answers of one token (there $1/|y|$ is 1, so it is the deviation and the place of the KL that differ).

// %% id="predict-rest" tags=["predict"]
predict({
  id: "rest",
  question: "Does GRPO as published end at the optimum of the lecture's objective?",
  answer: "no",
  choices: ["yes", "no"],
});

// %% id="rest-experiment"
const rest = (() => {
  const n = 4;
  const draws = rng.child("rest");
  const reference = normalise(Array.from({ length: n }, () => draws.normal()));
  // A spread of rewards of several β, as in training; deviation not 1.
  const reward = Array.from({ length: n }, () => 5 * beta * draws.normal());
  const optimal = optimalPolicy(reference, reward, beta);
  const groups = Array.from({ length: n ** 4 }, (_, i) => [0, 1, 2, 3].map((place) => Math.floor(i / n ** place) % n));
  const flat = groups.flatMap((group) => group.map((i) => reward[i]));
  const advantages = { none: groupAdvantages(flat, 4, "none"), sample: groupAdvantages(flat, 4, "sample") };
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const ascent = (p: number[], weights: number[]) => weights.map((w, v) => w - p[v] * sum(weights)); // Σ w ∇ log p
  const ofGroups = (p: number[], A: Float64Array) => {
    const weights = p.map(() => 0);
    groups.forEach((group, at) => {
      const chance = group.reduce((product, i) => product * p[i], 1);
      group.forEach((i, place) => (weights[i] += (chance * A[at * 4 + place]) / 4));
    });
    return ascent(p, weights);
  };
  const difference = (p: number[]) => p.map((x, v) => Math.log(x) - reference[v]);
  const towards = (p: number[]) =>
    ascent(
      p,
      difference(p).map((d, v) => -beta * p[v] * d),
    ); // −β ∇KL(π‖π_ref)
  const forward = (p: number[]) =>
    ascent(
      p,
      Array.from(reference, (l) => beta * Math.exp(l)),
    ); // −β ∇KL(π_ref‖π): k3
  const add = (a: number[], b: number[]) => a.map((x, v) => x + b[v]);
  const methods = {
    "PPO, RLOO": (p: number[]) =>
      ascent(
        p,
        difference(p).map((d, v) => p[v] * (reward[v] - beta * d)),
      ),
    GRPO: (p: number[]) => add(ofGroups(p, advantages.sample), forward(p)),
    "GRPO, ρ·k3": (p: number[]) => add(ofGroups(p, advantages.sample), towards(p)),
    "no deviation, ρ·k3": (p: number[]) => add(ofGroups(p, advantages.none), towards(p)),
  };
  const steps = 3000;
  return Object.entries(methods).map(([name, gradient]) => {
    let logits = Array.from(reference);
    const gaps: number[] = [];
    for (let step = 0; step <= steps; step++) {
      const log = normalise(logits);
      if (step % 60 === 0) gaps.push(klDivergence(log, optimal));
      const g = gradient(Array.from(log, Math.exp));
      const rate = 0.5 / Math.max(beta, norm(g), 0.05);
      logits = logits.map((x, v) => x + rate * g[v]);
    }
    return { name: name, gaps: gaps };
  });
})();
const finalGap = (name: string) => rest.find((one) => one.name === name)!.gaps.slice(-1)[0];
await show(
  lines({
    title: `Left between policy and optimum: PPO and RLOO ${finalGap("PPO, RLOO").toPrecision(1)}, GRPO ${finalGap("GRPO").toPrecision(2)} nats`,
    subtitle: `KL(π‖π*) on four answers, following exact expected gradients, β = ${beta}, K = 4`,
    x: { title: "steps" },
    y: { title: "KL(π‖π*)", unit: "nats", log: true },
    series: rest.map(({ name, gaps }, i) => ({
      name: name,
      x: gaps.map((_, at) => at * 60),
      y: gaps.map((gap) => Math.max(gap, 1e-9)),
      method: (["rloo", "grpo", undefined, undefined] as const)[i],
      look: [0, 1, 2, 4][i],
      markers: false,
    })),
  }),
);
compare("rest", finalGap("GRPO") < 1e-2 ? "yes" : "no", {
  explain: `KL(π‖π*) at the end: ${rest.map(({ name }) => `${name} ${finalGap(name).toPrecision(2)}`).join("; ")}`,
});

// %% [markdown] id="rest-read"
// Three causes, one at a time: **k3 as a loss** pulls towards $\pi_{ref}$ by the gradient of $\mathrm{KL}(\pi_{ref}\|\pi)$, the other
// direction (ρ·k3 mends it); **the deviation** makes the price of a nat $\beta$ times the spread of rewards, another price for each
// prompt; and what is left without it is the group's mean, which shrinks the reward's gradient to $(K-1)/K$ and not the KL's.
// With the KL in the *reward* and no deviation, GRPO is the policy gradient and ends where RLOO ends
// (`tests/objectives/reward-maximisation/grpo.test.ts` trains all of them).

// %% [markdown] id="training"
// ## PPO on the advice world
//
// As in notebook 7: policy and reference are the SFT model, rewards come from the reward model, the gold reward is only watched.
// Now each batch of answers gives two gradient steps, and a second model, grown from the SFT model's trunk, learns $V$.

// %% id="before"
const proxy = modelReward(rewardModel);
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

// %% id="predict-ppo" tags=["predict"]
predict({
  id: "gold",
  question: "The gold reward, which training does not see, goes",
  answer: beta >= 0.1 ? "up" : "down",
  choices: ["up", "down", "same"],
});
predict({
  id: "clipped",
  question: "Share of tokens that the clip cuts at the second step on a batch (mean)",
  answer: 0.02,
});

// %% id="ppo"
const ppo = models.aligned("ppo", { beta: beta, epochs: 2, clip: clip, lambda: lambda });
const ppoRecords = await watch(ppo, (seen) =>
  trainingFigure(seen, {
    title: `PPO at β = ${beta}: what is optimised, what it costs, and what V knows`,
    subtitle: "two steps a batch; running mean over 10 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
      { key: "explainedVariance", title: "explained by V" },
      { key: "clipFraction", title: "share clipped" },
    ],
    method: "ppo",
    smooth: 10,
  }),
);
const ppoAfter = await measure(await ppo.result(), "PPO");

// %% id="compare-ppo"
const meanOf = (records: readonly TrainingRecord[], key: string, keep = (step: number) => true) => {
  const some = records.filter(({ step }) => keep(step));
  return some.reduce((sum, record) => sum + record[key], 0) / some.length;
};
const second = (step: number) => step % 2 === 1;
compare("gold", ppoAfter.metrics.gold - before.metrics.gold, {
  tolerance: 0.1,
  explain: `gold reward: SFT ${before.metrics.gold.toFixed(2)}, after PPO ${ppoAfter.metrics.gold.toFixed(2)}`,
});
compare("clipped", meanOf(ppoRecords, "clipFraction", second), {
  tolerance: 0.02,
  explain: `at the first step on a batch: ${meanOf(ppoRecords, "clipFraction", (step) => !second(step)).toFixed(3)}, where all ratios are 1`,
});

// %% [markdown] id="others"
// ## RLOO and GRPO, at the same number of answers and of gradient steps

// %% id="predict-grpo" tags=["predict"]
predict({ id: "loss", question: "GRPO's loss before its very first step", answer: 0 });
predict({
  id: "pull",
  question: "And its gradient",
  answer: "not zero",
  choices: ["zero", "not zero"],
});
predict({
  id: "furthest",
  question: "Furthest from the reference at the end, at the same beta",
  answer: "GRPO",
  choices: ["PPO", "RLOO", "GRPO"],
});

// %% id="train-others"
const rloo = models.aligned("rloo", { beta: beta, clip: clip });
const rlooRecords: TrainingRecord[] = [];
for await (const record of rloo) rlooRecords.push(record);
const grpo = models.aligned("grpo", { beta: beta, clip: clip });
const runs = (seen: readonly TrainingRecord[]) => ({ PPO: ppoRecords, RLOO: rlooRecords, GRPO: seen });
const grpoRecords = await watch(grpo, (seen) =>
  trainingFigure(runs(seen), {
    title: `Three methods on the same reward model at β = ${beta}`,
    methods: { PPO: "ppo", RLOO: "rloo", GRPO: "grpo" },
    subtitle: "two steps a batch; running mean over 10 steps",
    metrics: [
      { key: "reward", title: "reward (proxy)" },
      { key: "gold", title: "gold reward" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
    ],
    smooth: 10,
  }),
);
compare("loss", grpoRecords[0].loss, {
  tolerance: 1e-3,
  explain:
    "The advantages of a group add up to 0, and the KL starts at 0. It rises from there while training goes well.",
});
compare("pull", grpoRecords[0].gradientNorm > 1e-3 ? "not zero" : "zero", {
  explain:
    `gradient norm ${grpoRecords[0].gradientNorm.toFixed(2)} at a loss of ${grpoRecords[0].loss.toExponential(1)}; ` +
    `groups of equal rewards, which would have none: ${(100 * grpoRecords[0].equalGroups).toFixed(0)} %`,
});

// %% id="loss-figure"
await show(
  lines({
    title: "None of these losses says how good its policy is",
    subtitle: "at the first step on each batch; running mean over 10 batches",
    x: { title: "step" },
    y: { title: "loss" },
    series: [
      { name: "PPO, with the values' error", records: ppoRecords, method: "ppo" as const },
      { name: "RLOO", records: rlooRecords, method: "rloo" as const },
      { name: "GRPO", records: grpoRecords, method: "grpo" as const },
    ].map((one) => {
      const firsts = one.records.filter(({ step }) => !second(step));
      return {
        name: one.name,
        x: firsts.map(({ step }) => step),
        y: runningMean(
          firsts.map(({ loss }) => loss),
          10,
        ),
        method: one.method,
        markers: false,
      };
    }),
  }),
);

// %% id="comparison"
const rlooAfter = await measure(await rloo.result(), "RLOO");
const grpoAfter = await measure(await grpo.result(), "GRPO");
const movedAfter = await measure(moved, "policy gradient");
const gradientRecords: TrainingRecord[] = [];
for await (const record of models.aligned("policyGradient", { beta: beta })) gradientRecords.push(record);
const compared = [
  { method: "SFT", report: before, answers: 0, steps: 0, tokens: 0 },
  ...[
    { method: "policy gradient", report: movedAfter, records: gradientRecords, perBatch: 1, models: 1 },
    { method: "PPO", report: ppoAfter, records: ppoRecords, perBatch: 2, models: 2 },
    { method: "RLOO", report: rlooAfter, records: rlooRecords, perBatch: 2, models: 1 },
    { method: "GRPO", report: grpoAfter, records: grpoRecords, perBatch: 2, models: 1 },
  ].map((row) => {
    const { promptsPerStep, samplesPerPrompt } = models.sizes.online;
    return {
      method: row.method,
      report: row.report,
      answers: Math.ceil(row.records.length / row.perBatch) * promptsPerStep * samplesPerPrompt,
      steps: row.records.length,
      tokens: row.models * row.records[row.records.length - 1].tokens,
    };
  }),
];
await show(
  compared.map(({ method, report: { metrics }, answers, steps, tokens }) => ({
    method: method,
    proxy: metrics.proxy,
    gold: metrics.gold,
    harm: metrics.harmRate,
    "KL(π‖ref)": metrics.klPolicyToReference,
    "proxy − β·KL": metrics.proxy! - beta * metrics.klPolicyToReference!,
    "distinct advice": metrics.distinctAdvice,
    "answers drawn": answers,
    "gradient steps": steps,
    "tokens trained on": Math.round(tokens),
  })),
);

const distances = { PPO: ppoAfter, RLOO: rlooAfter, GRPO: grpoAfter };
const furthest = Object.entries(distances).reduce((a, b) =>
  b[1].metrics.klPolicyToReference! > a[1].metrics.klPolicyToReference! ? b : a,
);
compare("furthest", furthest[0], {
  explain: Object.entries(distances)
    .map(([name, report]) => `${name} ${report.metrics.klPolicyToReference!.toFixed(2)} nats`)
    .join("; "),
});

// %% [markdown] id="comparison-read"
// At $\beta = 0.3$, on seeds 0, 1 and 2, we found: PPO and RLOO end within 0.1 of each other in $\text{proxy} - \beta\,\mathrm{KL}$, at 3.0
// to 3.8 nats; PPO trains a second model for it. GRPO goes 4.9 to 6.7 nats away for a *lower* proxy reward, and 0.7 to 1.4 lower in
// $\text{proxy} - \beta\,\mathrm{KL}$: with advantages in deviations, and k3 in the loss, the same $\beta$ does not buy the same closeness. (Its
// gold reward, 0.9 to 1.1, still lies above the SFT model's 0.7.) The policy gradient, one step a batch, ended as high as PPO and RLOO or
// higher, and drew twice the answers for it: second steps save answers, they do not replace them.

// %% [markdown] id="lessons"
// What to take along
//
// - Clipping is a brake for the second and later steps on a batch. At the first, all ratios are 1 and nothing is cut.
// - GAE places blame: $\lambda = 1$ is unbiased whatever $V$ says; $\lambda < 1$ trusts $V$ for less noise. The reward goes on `<eos>`, and a
//   decreed `<eos>` keeps it.
// - RLOO needs no value function and stays unbiased. GRPO's published form divides by two things that turn its gradient and has its
//   KL in a place where it pulls elsewhere: its $\beta$ is not the lecture's $\beta$.
// - **None of these losses measures progress.** RLOO's and GRPO's are 0 before the first step because advantages of a group add up to
//   0; the gradient is not. Watch the reward, the KL, the clip fraction.
//
// **Try it:** set `clip` to 0.05 or 10 and look at the share clipped and KL(π_old‖π); set `lambda` to 0; or compare with
// `models.aligned("ppo", { beta: beta, epochs: 2, whiten: false })`.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  goldSft: before.metrics.gold,
  goldPpo: ppoAfter.metrics.gold,
  goldRloo: rlooAfter.metrics.gold,
  goldGrpo: grpoAfter.metrics.gold,
  proxyPpo: ppoAfter.metrics.proxy!,
  proxyRloo: rlooAfter.metrics.proxy!,
  proxyGrpo: grpoAfter.metrics.proxy!,
  klPpo: ppoAfter.metrics.klPolicyToReference!,
  klRloo: rlooAfter.metrics.klPolicyToReference!,
  klGrpo: grpoAfter.metrics.klPolicyToReference!,
  harmRatePpo: ppoAfter.metrics.harmRate,
  harmRateRloo: rlooAfter.metrics.harmRate,
  harmRateGrpo: grpoAfter.metrics.harmRate,
  clipFractionPpo: meanOf(ppoRecords, "clipFraction", second),
  clipFractionRloo: meanOf(rlooRecords, "clipFraction", second),
  explainedVariance: meanOf(ppoRecords, "explainedVariance", (step) => step >= ppoRecords.length / 2),
  biasAtLambda0: byLambda[0].bias,
  restPpo: finalGap("PPO, RLOO"),
  restGrpo: finalGap("GRPO"),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Schulman et al. (2016), *High-Dimensional Continuous Control Using Generalized Advantage Estimation*.
// - Schulman et al. (2017), *Proximal Policy Optimization Algorithms*.
// - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*.
// - Ahmadian et al. (2024), *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs*.
// - Shao et al. (2024), *DeepSeekMath* (GRPO); Liu et al. (2025), *Understanding R1-Zero-Like Training* (Dr. GRPO).
