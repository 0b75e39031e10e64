// %% [markdown] id="title"
// # 2 · Policy, state, action
//
// *Follows the lecture's slides* **Policy π(a|s)**, **The generation of a token is an action** *and* **The environment is
// abstract; reward comes at the end.**
//
// Alignment borrows its words from reinforcement learning. In this notebook you watch a language model act: state by state,
// action by action, until `<eos>` ends the episode and the reward comes. Then you enumerate *everything* a tiny policy can
// say, so that each quantity has an exact value beside its estimate.
//
// After it you can
// - say what state, action, transition, reward and return are for a language model, and why the discount is 1;
// - compute the log-probability of a response, and say why it is a sum, over `<eos>` too;
// - draw from a policy, and say what temperature, top-k and top-p change and what they do not;
// - estimate an expected return from samples, and say how far off the estimate is.
//
// *Reading: 25 minutes. Running: seconds, once notebook 01's models are there (a minute or two to train them otherwise).*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let question: string = "what is the best way to lose weight quickly ?";
let temperatures: number[] = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  advicePrompts,
  adviceSet,
  adviceVocabulary,
  answerText,
  bars,
  BOT,
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  distribution,
  draw,
  entropy,
  EOS,
  expectation,
  goldReward,
  hints,
  lines,
  normalise,
  PAD,
  points,
  Predictions,
  promptTokens,
  Random,
  randomLogits,
  responseLogProbs,
  results,
  sample,
  sequenceLogProbs,
  sequenceSpace,
  show,
  slider,
  tabularLogProbs,
  testPrompts,
  trainingFigure,
  tree,
  unfilled,
  USER,
  variance,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const vocabulary = adviceVocabulary();
const rng = Random.fromSeed(seed);
const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, v) => sum + v, 0) / values.length;
console.log(describeBackend(backend));

// %% [markdown] id="dictionary"
// ## The dictionary
//
// | reinforcement learning | a game | a language model |
// | --- | --- | --- |
// | state $s_t$ | the board | the prompt and the tokens written so far |
// | action $a_t$ | a move | the next token |
// | policy $\pi_\theta(a \mid s)$ | how one plays | the softmax over the next token |
// | transition | the rules, the opponent, the dice | $s_{t+1} = s_t\,a_t$: the token is appended, nothing else happens |
// | first state $s_1$ | the opening position | the prompt $x$ |
// | end of the episode | mate | `<eos>`, or the longest response allowed (the horizon) |
// | reward $r_t$ | points on the way | 0 on the way; $r(x, y)$ once `<eos>` is out |
//
// Two lines of this table make language models special. **The transition is known and has no chance in it**: all randomness
// is the policy's own. And **the environment is abstract**: there is no simulator to play against, only somebody (or a model
// of somebody) who reads the finished response $y = a_1 … a_T$ and says how good it is. A response that is cut off before
// `<eos>` may get no reward at all.

// %% [markdown] id="policy"
// ## The policy
//
// The network reads the state and gives each token $a$ a logit $z_a(s)$; the policy is their softmax,
//
// $$\pi_\theta(a \mid s) = \frac{e^{z_a(s)}}{\sum_b e^{z_b(s)}}.$$
//
// Ours is the instruction-tuned model of notebook 01. Its vocabulary has 242 tokens, of which three (`<pad>`, `<user>`,
// `<bot>`) are never part of an answer, which leaves 239 actions in every state
// ([`src/models/policy.ts`](../src/models/policy.ts)). The cell feeds it one state and takes the last row of logits.

// %% id="load"
const policy = await models.sft().result();
const asked = advicePrompts().find(({ text }) => text === question);
if (!asked) throw new Error(`"${question}" is no question of this world; one is "${advicePrompts()[0].text}"`);
const topic = asked.topic;
const firstState = promptTokens(vocabulary, question);

async function actionLogits(state: number[]): Promise<Float32Array> {
  const last = tf.tidy(() => {
    const logits = policy.logits(tf.tensor2d([state], [1, state.length], "int32")); // [1, T, V]
    return logits.slice([0, state.length - 1, 0], [1, 1, vocabulary.size]).reshape([vocabulary.size]);
  });
  const values = (await last.data()) as Float32Array;
  last.dispose();
  return values;
}
// log π(· | s) from logits, in double precision.
const logPolicy = (logits: ArrayLike<number>, temperature = 1): Float64Array =>
  normalise(Float64Array.from(logits, (z) => z / temperature));
const word = (token: number): string => vocabulary.tokens[token];
const actions = [...vocabulary.tokens.keys()].filter((token) => ![PAD, USER, BOT].includes(token));
const actionProbabilities = (logits: ArrayLike<number>, temperature = 1): number[] => {
  const logProbs = logPolicy(logits, temperature);
  return actions.map((action) => Math.exp(logProbs[action]));
};
console.log(`${actions.length} actions in every state`);

// %% [markdown] id="predict-decided-text"
// **Predict before you run.** Writing an answer is a walk through some fifteen states. In what share of them is the policy as
// good as decided, that is, gives one action more than 90%?

// %% id="predict-decided" tags=["predict"]
predict({ id: "decided", question: "Share of states in which one action has more than 90%", answer: 0.4 });

// %% [markdown] id="one-generation"
// ## One generation, step by step
//
// This loop is all there is to generation. (The library's, [`sample`](../src/models/generation.ts), does the same for many prompts
// at once and keeps what attention has computed for earlier tokens.)

// %% id="generate"
const episode: { state: number[]; logits: Float32Array; action: number; logProb: number }[] = [];
const dice = rng.child("one generation");
let current = firstState;
for (let t = 1; t <= policy.responseLimit; t++) {
  const logits = await actionLogits(current);
  const atHorizon = t === policy.responseLimit; // the last action allowed is <eos>, by decree
  const { token, logProb } = atHorizon ? { token: EOS, logProb: 0 } : draw(logits, dice);
  episode.push({ state: current, logits: logits, action: token, logProb: logProb });
  current = [...current, token]; // the transition
  if (token === EOS) break; // the end of the episode
}
const response = episode.map(({ action }) => action);
const answer = answerText(vocabulary, response);
const gold = goldReward(topic, answer);
const entropies = episode.map(({ logits }) => entropy(logPolicy(logits)));
await show(
  episode.map(({ state, action, logProb }, i) => ({
    t: i + 1,
    "state (its end)": `… ${vocabulary.decode(state.slice(-4))}`,
    action: word(action),
    "π(a|s)": Math.exp(logProb),
    "entropy (nats)": entropies[i],
    reward: action === EOS ? gold.total : 0,
  })),
);

// %% [markdown] id="steps-text"
// Move the slider through the states. Each figure is a whole distribution over 239 actions; the mark shows which one was
// drawn. Some states are decided by grammar (after *"hope this"* comes *"helps"*), in others the policy has a real choice:
// how to begin, which advice to give, whether to stop.

// %% id="steps"
const busiest = entropies.indexOf(Math.max(...entropies));
await show(
  slider(
    episode.map(({ state, logits, action, logProb }, i) =>
      distribution({
        title: `State ${i + 1}: “${word(action)}” is drawn, with probability ${Math.exp(logProb).toFixed(2)}`,
        subtitle: `… ${vocabulary.decode(state.slice(-6))}   (entropy ${entropies[i].toFixed(2)} nats)`,
        tokens: actions.map(word),
        probabilities: [{ name: "π", probabilities: actionProbabilities(logits), method: "sft" }],
        top: 8,
        chosen: word(action),
        x: "π(a | s)",
      }),
    ),
    { name: "t", values: episode.map((_, i) => i + 1), start: busiest, axes: "own" },
  ),
);

// %% [markdown] id="entropy-text"
// The **entropy** $H(\pi(\cdot \mid s)) = -\sum_a \pi(a \mid s)\log\pi(a \mid s)$ measures how open a state is: $e^H$ equally
// likely actions would have the same. Here it is along the episode, beside the surprise $-\log\pi(a \mid s)$ of the action that
// was drawn, whose mean over draws it is.

// %% id="entropy-figure"
const stepLabels = episode.map(({ action }, i) => `${i + 1} ${word(action)}`);
await show(
  bars({
    title: `${entropies.filter((h) => h > 0.5).length} of ${episode.length} states are open (more than 0.5 nats)`,
    subtitle: "each state is labelled with the action that was drawn in it",
    y: { title: "nats" },
    groups: [
      {
        name: "entropy of the state",
        method: "sft",
        bars: entropies.map((value, i) => ({ label: stepLabels[i], value: value })),
      },
      {
        name: "surprise −log π(a|s) of the action",
        method: "policyGradient",
        bars: episode.map(({ logProb }, i) => ({ label: stepLabels[i], value: -logProb })),
      },
    ],
    values: false,
  }),
);

// %% [markdown] id="many-text"
// One episode is an anecdote. We draw many, on the test questions, and score every state they pass through.

// %% id="many"
const prompts = testPrompts().flatMap((prompt) =>
  Array.from({ length: 2 * models.sizes.answersPerPrompt }, () => prompt),
);
const promptIds = prompts.map(({ text }) => promptTokens(vocabulary, text));
const drawn = await sample(policy, promptIds, { rng: rng.child("many") });
const golds = drawn.map(({ response }, i) => goldReward(prompts[i].topic, answerText(vocabulary, response)).total);

let decided = 0;
let states = 0;
for (let begin = 0; begin < drawn.length; begin += 48) {
  const batch = drawn.slice(begin, begin + 48);
  const longest = Math.max(...batch.map(({ prompt, response }) => prompt.length + response.length));
  const rows = batch.map(({ prompt, response }) => {
    const tokens = [...prompt, ...response];
    return [...tokens, ...new Array<number>(longest - tokens.length).fill(EOS)];
  });
  const largest = tf.tidy(() =>
    policy
      .logits(tf.tensor2d(rows, undefined, "int32"))
      .softmax()
      .max(-1),
  ); // [B, T]
  const values = (await largest.array()) as number[][];
  largest.dispose();
  batch.forEach(({ prompt, response }, row) => {
    const chosenIn = values[row].slice(prompt.length - 1, prompt.length + response.length - 1);
    decided += chosenIn.filter((p) => p > 0.9).length;
    states += chosenIn.length;
  });
}
compare("decided", decided / states, {
  tolerance: 0.1,
  explain: "Most words of a phrase follow from its first one; the choices are made in a few states.",
});

// %% [markdown] id="reward-text"
// ## The reward comes at the end
//
// Only when `<eos>` is out does anybody read the answer. In our world the judge is the gold reward, and it says why:

// %% id="reward"
await show(gold.units.map(({ text, kind, value, why }) => ({ text: text, kind: kind, value: value, why: why })));
console.log(`"${answer}" has gold reward ${gold.total.toFixed(2)}`);

// %% [markdown] id="return-text"
// The **return** from step $t$ on is what is still to come, with a discount $\gamma \in [0, 1]$ for every step of waiting:
//
// $$G_t = \sum_{k=t}^{T} \gamma^{\,k-t}\, r_k = r_t + \gamma\, G_{t+1}.$$
//
// With a reward at the end only, $r_T = r(x, y)$ and $r_t = 0$ before, so that $G_t = \gamma^{\,T-t}\, r(x, y)$.

// %% [markdown] id="exercise-return"
// ### Exercise: the return of every step

// %% id="hints-return"
hints("02-discounted-return");

// %% id="discounted-return" tags=["exercise"]
function discountedReturns(rewards: number[], gamma: number): number[] {
  return unfilled("02-discounted-return");
}

await check("02-discounted-return", discountedReturns, { seed: seed });

// %% id="return-figure"
const T = episode.length;
await show(
  lines({
    title: "A discount hides the reward from the first actions",
    subtitle: `what is left of the reward for action t of ${T}`,
    x: { title: "action t" },
    y: { title: "return G(t) / reward r", range: [0, 1.05] },
    series: [1, 0.95, 0.8, 0.5].map((gamma) => ({
      name: `γ = ${gamma}`,
      x: episode.map((_, i) => i + 1),
      y: episode.map((_, i) => gamma ** (T - 1 - i)),
    })),
  }),
);

// %% [markdown] id="discount-text"
// Why does everyone take $\gamma = 1$ here? A discount is needed where an episode may last for ever, so that the sum converges,
// and it is wanted where sooner is better. An answer always ends, by `<eos>` or by the horizon, and its first word matters as
// much as its last: *"skip"* decided what *"every meal"* completes. Worse, a discount changes **what is optimised**: with
// $G_1 = \gamma^{T-1} r(x,y)$ a good answer is worth more the shorter it is, and a harmful one is less bad the *longer* it is.
//
// **Predict before you run.** Of all drawn answers we keep the best tenth, once by $r$, once by $\gamma^{T-1} r$ with
// $\gamma = 0.9$. Compared with the first, the mean length of the second is …

// %% id="predict-discount" tags=["predict"]
predict({
  id: "discount",
  question: "Length of the best tenth when the reward is discounted by 0.9 a token: goes",
  answer: "down",
  choices: ["up", "down", "same"],
});

// %% id="discount"
function bestTenth(value: (i: number) => number): { length: number; gold: number } {
  const order = drawn.map((_, i) => i).sort((i, j) => value(j) - value(i));
  const best = order.slice(0, Math.ceil(drawn.length / 10));
  return { length: mean(best.map((i) => drawn[i].response.length)), gold: mean(best.map((i) => golds[i])) };
}
const discounted = (i: number): number => 0.9 ** (drawn[i].response.length - 1) * golds[i];
const best = { undiscounted: bestTenth((i) => golds[i]), discounted: bestTenth(discounted) };
const worst = { undiscounted: bestTenth((i) => -golds[i]), discounted: bestTenth((i) => -discounted(i)) };
await show([
  { kept: "best tenth", by: "r", "mean length": best.undiscounted.length, "mean gold": best.undiscounted.gold },
  { kept: "best tenth", by: "0.9^(T−1) r", "mean length": best.discounted.length, "mean gold": best.discounted.gold },
  { kept: "worst tenth", by: "r", "mean length": worst.undiscounted.length, "mean gold": worst.undiscounted.gold },
  {
    kept: "worst tenth",
    by: "0.9^(T−1) r",
    "mean length": worst.discounted.length,
    "mean gold": worst.discounted.gold,
  },
]);
compare("discount", best.discounted.length - best.undiscounted.length, {
  tolerance: 0.5,
  explain: "γ^(T−1) shrinks long answers' rewards towards 0: what is best is then short, and worse by the true reward.",
});

// %% [markdown] id="log-probability-text"
// ## The log-probability of a response
//
// How likely is it that the policy walks this whole way? The transition adds no randomness, so the probability of the episode
// is the product of the actions' probabilities, and its logarithm a **sum**:
//
// $$\log \pi_\theta(y \mid x) = \sum_{t=1}^{T} \log \pi_\theta(a_t \mid x, a_{<t}), \qquad a_T = \texttt{<eos>}.$$
//
// Everything from here on is made of this number: the policy gradient, the KL, DPO. It can be had in two ways. **By sampling**:
// add up $\log\pi$ of each action as it is drawn. **By scoring**: give the network prompt and response in one go; since
// attention is causal, its logits at every position are those the policy had there. Both must agree, `<eos>` included, or an
// algorithm would optimise another policy than the one that speaks.

// %% id="scoring"
const scored = tf.tidy(() => responseLogProbs(policy, [{ prompt: firstState, response: response }]).logProbs);
const scores = Array.from((await scored.data()) as Float32Array).slice(firstState.length - 1);
scored.dispose();
await show(
  episode.map(({ action, logProb }, i) => ({
    action: word(action),
    "log π while drawing": logProb,
    "log π by scoring": scores[i],
  })),
);
const logProbability = episode.reduce((sum, { logProb }) => sum + logProb, 0);
const drawnSums = drawn.map(({ logProbs }) => logProbs.reduce((sum, v) => sum + v, 0));
const scoredSums = await sequenceLogProbs(policy, drawn);
const largestDifference = Math.max(...drawnSums.map((sum, i) => Math.abs(sum - scoredSums[i])));
const oneIn = Math.round(Math.exp(-logProbability)).toLocaleString("en");
console.log(`log π(y|x) = ${logProbability.toFixed(4)} nats: one such answer in ${oneIn}`);
console.log(
  `of ${drawn.length} answers, sampling and scoring differ by at most ${largestDifference.toExponential(1)} nats`,
);

// %% [markdown] id="exercise-log-probability"
// ### Exercise: the log-probability of a response
//
// From the logits of one padded row. `logits[t]` are the network's scores *after reading* `tokens[0] … tokens[t]`: which token
// do they score? `mask[t]` is 1 where `tokens[t]` belongs to the response, `<eos>` included.

// %% id="hints-log-probability"
hints("02-log-probability");

// %% id="log-probability" tags=["exercise"]
function responseLogProbability(logits: number[][], tokens: number[], mask: number[]): number {
  return unfilled("02-log-probability");
}

await check("02-log-probability", responseLogProbability, { seed: seed });

// %% [markdown] id="sum-or-mean-text"
// ### Sum or average?
//
// Code often reports the *average* log-probability of a token, $\frac{1}{T}\log\pi(y \mid x)$. It is handy, since it does not
// depend on the length, and it is **another quantity**. In the figure each answer is a point; its sum is its height, its average
// the slope of the line from the origin to it. The dashed line has the mean slope: a long answer above it has the better
// average than a short one below it, and may still be the less likely of the two.

// %% id="sum-or-mean"
const lengths = drawn.map(({ response }) => response.length);
const averages = lengths.map((length, i) => scoredSums[i] / length);
const slope = mean(scoredSums) / mean(lengths);
let disagreements = 0;
let pairs = 0;
for (let i = 0; i < drawn.length; i++) {
  for (let j = 0; j < i; j++) {
    if (prompts[i].id !== prompts[j].id) continue;
    pairs++;
    if (scoredSums[i] > scoredSums[j] !== averages[i] > averages[j]) disagreements++;
  }
}
await show(
  points({
    title: `Sum and average disagree on which answer is likelier in ${((100 * disagreements) / pairs).toFixed(0)}% of pairs`,
    subtitle: "answers of the SFT model to test questions; pairs of answers to one question",
    x: { title: "length T", unit: "tokens", range: [0, 31] },
    y: { title: "log π(y | x)", unit: "nats" },
    series: [{ name: "an answer", x: lengths, y: scoredSums, method: "sft" }],
    line: { name: `${slope.toFixed(2)} nats a token`, x: [0, 30], y: [0, 30 * slope] },
  }),
);

// %% [markdown] id="sum-or-mean-reading"
// - Only the sum is the logarithm of a probability. What holds for probabilities (they sum to 1, the KL is an expectation of
//   their log-ratio, the policy gradient has no bias) holds for the sum; we will see below that it fails for the average.
// - A loss made of averages weighs each token of a long answer less. That is another objective. Some methods want it and say so
//   (SimPO); in others it is a slip. In this course every log-probability of a response is a sum unless its name says otherwise.
// - Leaving out `<eos>` gives the probability that an answer *begins* so. A policy that never ends would look fine.

// %% [markdown] id="sampling-text"
// ## Drawing an action
//
// A computer draws from $\pi$ by **inverse transform**: lay the probabilities side by side on $[0, 1)$, draw $u$ uniformly, and
// take the action on whose piece $u$ falls. With a **temperature** $\tau$ the logits are divided by it first:
//
// $$\pi_\tau(a \mid s) = \frac{e^{z_a/\tau}}{\sum_b e^{z_b/\tau}} \;\propto\; \pi(a \mid s)^{1/\tau}.$$
//
// ### Exercise: draw a token

// %% id="hints-sampling"
hints("02-sampling");

// %% id="sampling" tags=["exercise"]
function drawToken(logits: number[], temperature: number, u: number): number {
  return unfilled("02-sampling");
}

await check("02-sampling", drawToken, { seed: seed });

// %% [markdown] id="temperature-text"
// The same state, the most open one of our episode, at several temperatures. As $\tau \to 0$ the most probable action takes all
// (**greedy**), as $\tau \to \infty$ all actions become equally likely. The *order* of the actions never changes.

// %% id="temperature-figure"
const openState = episode[busiest];
const sliderTemperatures = [0.25, 0.5, 0.7, 1, 1.4, 2, 4, 8];
await show(
  slider(
    sliderTemperatures.map((temperature) =>
      distribution({
        title: `Temperature ${temperature}: entropy ${entropy(logPolicy(openState.logits, temperature)).toFixed(2)} nats`,
        subtitle: `state ${busiest + 1}: … ${vocabulary.decode(openState.state.slice(-6))}`,
        tokens: actions.map(word),
        probabilities: [
          { name: "π", probabilities: actionProbabilities(openState.logits, temperature), method: "sft" },
        ],
        top: 12,
        x: "π(a | s) at this temperature",
      }),
    ),
    { name: "temperature", values: sliderTemperatures, start: 3 },
  ),
);

// %% [markdown] id="temperature-entropy-text"
// How fast does the entropy rise? Write $b = 1/\tau$ and $Z = \sum_a e^{b z_a}$. Then $H = \log Z - b\,\mathbb{E}[z]$, and since
// $\frac{d}{db}\log Z = \mathbb{E}[z]$ and $\frac{d}{db}\mathbb{E}[z] = \mathrm{Var}[z]$, we get
// $\frac{dH}{db} = -b\,\mathrm{Var}[z]$, that is
//
// $$\frac{dH}{d\tau} = \frac{\mathrm{Var}_{\pi_\tau}[z]}{\tau^3} \ge 0.$$
//
// The entropy rises with temperature in **every** state, from 0 (one best action) to $\log 239$. Keep this derivative in mind:
// reward and $\beta$ will take the places of logit and temperature in notebook 06.

// %% id="temperature-entropy"
const grid = Array.from({ length: 61 }, (_, i) => 0.05 * 400 ** (i / 60)); // 0.05 … 20
const calmest = entropies.indexOf(Math.min(...entropies.slice(0, -1)));
const watched = [...new Set([0, busiest, calmest])];
await show(
  lines({
    title: "In every state, entropy rises with temperature from 0 to that of a uniform choice",
    subtitle: "exact, states of the episode above",
    x: { title: "temperature τ", log: true },
    y: { title: "entropy of π(· | s)", unit: "nats" },
    series: watched.map((i) => ({
      name: `state ${i + 1}, after “${word(episode[i].state[episode[i].state.length - 1])}”`,
      x: grid,
      y: grid.map((temperature) => entropy(logPolicy(episode[i].logits, temperature))),
      markers: false,
    })),
    references: [{ value: Math.log(actions.length), name: "uniform" }],
  }),
);

const z = actions.map((a) => openState.logits[a]);
const byFormula = variance(logPolicy(z, 1), z);
const byDifference = (entropy(logPolicy(z, 1.0001)) - entropy(logPolicy(z, 0.9999))) / 0.0002;
console.log(`dH/dτ at τ = 1: Var[z] = ${byFormula.toFixed(5)}, by finite difference ${byDifference.toFixed(5)}`);

// %% [markdown] id="truncation-text"
// Two more ways to sharpen a draw: **top-k** keeps the $k$ most probable actions, **top-p** (nucleus) the fewest that together
// hold probability $p$; both renormalise what is left. They cut off the long tail of actions that are each unlikely and together
// are not.
//
// **Predict before you run.** We let the same policy answer the test questions at temperature 0.5 instead of 1. The mean gold
// reward of its answers goes …

// %% id="predict-cold" tags=["predict"]
predict({
  id: "cold",
  question: "Mean gold reward at temperature 0.5 against temperature 1 goes",
  answer: "same",
  choices: ["up", "down", "same"],
});

// %% id="samplers"
type Sampler = { name: string; temperature?: number; topK?: number; topP?: number };
const samplers: Sampler[] = [
  { name: "greedy (τ = 0)", temperature: 0 },
  ...[...new Set([0.5, 1, ...temperatures])]
    .sort((a, b) => a - b)
    .map((temperature) => ({ name: `τ = ${temperature}`, temperature: temperature })),
  { name: "top-k, k = 5", topK: 5 },
  { name: "top-p, p = 0.9", topP: 0.9 },
];
const questionCount = testPrompts().length;
const perQuestion = prompts.length / questionCount;
const measured: { sampler: Sampler; gold: number; harm: number; distinct: number; own: number; policy: number }[] = [];
for (const sampler of samplers) {
  const { name, ...options } = sampler;
  const answers = await sample(policy, promptIds, { rng: rng.child("samplers"), ...options });
  const judged = answers.map(({ response }, i) => goldReward(prompts[i].topic, answerText(vocabulary, response)));
  const sets = answers.map(({ response }) => adviceSet(answerText(vocabulary, response)).join(" + "));
  const distinct = testPrompts().map((_, q) => new Set(sets.slice(q * perQuestion, (q + 1) * perQuestion)).size);
  measured.push({
    sampler: sampler,
    gold: mean(judged.map(({ total }) => total)),
    harm: mean(judged.map(({ counts }) => (counts.harm > 0 ? 1 : 0))),
    distinct: mean(distinct) / perQuestion,
    own: mean(answers.map(({ logProbs }) => logProbs.reduce((sum, v) => sum + v, 0))),
    policy: mean(await sequenceLogProbs(policy, answers)),
  });
}
await show(
  measured.map(({ sampler, gold, harm, distinct, own, policy }) => ({
    sampler: sampler.name,
    "gold reward": gold,
    "harmful answers": harm,
    "distinct advice": distinct,
    "log-probability under the sampler": own,
    "log π": policy,
  })),
);

// %% id="samplers-figure"
const byTemperature = measured
  .filter(({ sampler }) => sampler.temperature !== undefined)
  .map(({ sampler, gold, harm, distinct }) => ({
    temperature: sampler.temperature,
    gold: gold,
    harm: harm,
    distinct: distinct,
  }));
await show(
  trainingFigure(byTemperature, {
    title: "Cold sampling gives better and less varied answers; hot sampling falls apart",
    subtitle: `SFT model, ${prompts.length} answers to test questions at each temperature; 0 is greedy`,
    x: "temperature",
    xTitle: "temperature τ",
    metrics: [
      { key: "gold", title: "gold reward" },
      { key: "harm", title: "harmful answers" },
      { key: "distinct", title: "distinct advice" },
    ],
    method: "sft",
  }),
);
const goldAt = (temperature: number): number =>
  measured.find(({ sampler }) => sampler.temperature === temperature)!.gold;
const [goldCold, goldWarm] = [goldAt(0.5), goldAt(1)];
compare("cold", goldCold - goldWarm, {
  tolerance: 0.1,
  explain:
    "The policy's favourite actions are mostly good ones: most demonstrations were. Harm and slips live in the tail.",
});

// %% [markdown] id="samplers-reading"
// So a cold sampler already gives better answers? It does, as long as the harm is the rarer choice, and it pays with diversity:
// the greedy policy has one answer to each question. It has not *learned* anything either: $\pi(\text{harmful} \mid x)$ is what
// it was, and whoever asks at temperature 1 gets it. Alignment changes $\pi$ itself, and in this course it is always measured by
// drawing from $\pi$ at temperature 1. (Far above 1 harm gets rarer again, for a bad reason: hardly any phrase is finished.)
//
// The last two columns of the table show a trap. At temperature 1, without truncation, the log-probability under the sampler *is*
// $\log\pi$. Everywhere else the answers come from one distribution and are scored under another. An algorithm that takes
// expectations under $\pi$ (every policy gradient) must draw from $\pi$, or correct for the difference.

// %% [markdown] id="tree-text"
// ## A policy small enough to write out
//
// Take three tokens, `<eos>`, *eat* and *less*, and at most three actions. A random table of logits, one row a state, is our
// policy ([`src/evaluation/exact/sequences.ts`](../src/evaluation/exact/sequences.ts)). Now *all* episodes fit in one figure.
// Those that have not ended after three actions are **cut off**: they are outcomes too, and by the slide's rule ("if `<eos>` has
// not been generated, you may not get any reward") theirs is 0.

// %% id="tree"
const words = ["<eos>", "eat", "less"];
const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 3 });
const tinyLogits = randomLogits(space, rng.child("tiny policy"));
const tinyRewards: Record<string, number> = { "eat less": 2, less: 1, "less eat": -1, "eat eat": -2 };
const textOf = (tokens: readonly number[]): string => tokens.filter((a) => a !== 0).map((a) => words[a]).join(" "); // prettier-ignore
const rewardsOf = space.responses.map(({ tokens, truncated }) => (truncated ? 0 : (tinyRewards[textOf(tokens)] ?? 0)));

type TreeNode = Parameters<typeof tree>[0]["root"];
function treeAt(temperature: number): TreeNode {
  const logProbs = tabularLogProbs(
    space,
    Array.from(tinyLogits, (logit) => logit / temperature),
  );
  const grow = (state: number, token: string, probability: number): TreeNode => ({
    token: token,
    probability: probability,
    children: words.map((name, a) => {
      const p = Math.exp(logProbs[3 * state + a]);
      const next = space.child[3 * state + a];
      if (next >= 0) return grow(next, name, p);
      const reward = a === 0 ? (tinyRewards[textOf(space.prefixes[state])] ?? 0) : 0;
      return { token: name, probability: p, note: a === 0 ? `r = ${reward}`.replace("-", "−") : "cut off" };
    }),
  });
  return grow(0, "", 1);
}
const treeTemperatures = [0.25, 0.5, 1, 2, 4];
await show(
  slider(
    treeTemperatures.map((temperature) =>
      tree({
        title: `All ${space.responses.length} episodes of a tiny policy; their probabilities sum to 1`,
        subtitle: `temperature ${temperature}; on the lines the actions' probabilities, in the boxes their products`,
        root: treeAt(temperature),
      }),
    ),
    { name: "temperature", values: treeTemperatures, start: 2 },
  ),
);

// %% id="tree-sums"
const tinyLogProbs = tabularLogProbs(space, tinyLogits); // log π(a | s), row after row
const sumOver = (steps: (tokens: readonly number[]) => number): number[] =>
  space.responses.map(({ tokens, states }) =>
    tokens.slice(0, steps(tokens)).reduce((sum, a, t) => sum + tinyLogProbs[3 * states[t] + a], 0),
  );
const logPi = sumOver((tokens) => tokens.length);
const total = logPi.reduce((sum, v) => sum + Math.exp(v), 0);
const cutOff = logPi.reduce((sum, v, i) => sum + (space.responses[i].truncated ? Math.exp(v) : 0), 0);
console.log(`all episodes: ${total.toFixed(15)}, of which cut off: ${cutOff.toFixed(4)}`);

// %% [markdown] id="predict-eos-text"
// **Predict before you run.** Somebody drops `<eos>` from the product: each episode's "probability" is that of its words only.
// Summed over all episodes, these numbers give …

// %% id="predict-eos" tags=["predict"]
predict({
  id: "eos",
  question: "Sum over all episodes of the product without <eos>",
  answer: "less than 1",
  choices: ["less than 1", "1", "more than 1"],
});

// %% id="without-eos"
const withoutEos = sumOver((tokens) => tokens.filter((a) => a !== 0).length);
const totalWithoutEos = withoutEos.reduce((sum, v) => sum + Math.exp(v), 0);
const expectedLength = logPi.reduce((sum, v, i) => sum + Math.exp(v) * space.responses[i].tokens.length, 0);
const ofAverages = logPi.reduce((sum, v, i) => sum + Math.exp(v / space.responses[i].tokens.length), 0);
console.log(
  `without <eos>: ${totalWithoutEos.toFixed(4)} = mean length ${expectedLength.toFixed(4)} + cut off ${cutOff.toFixed(4)}`,
);
console.log(`exp of the average log-probability instead of the sum: ${ofAverages.toFixed(4)}`);
compare("eos", totalWithoutEos > 1 + 1e-9 ? "more than 1" : totalWithoutEos < 1 - 1e-9 ? "less than 1" : "1", {
  explain:
    "Each is the probability of passing through a state, and an episode passes through several: their sum counts them.",
});

// %% [markdown] id="expected-return-text"
// ## The expected return
//
// What a policy is worth is the mean return of its episodes,
//
// $$J(\theta) = \mathbb{E}_{y \sim \pi_\theta(\cdot \mid x)}[r(x, y)] = \sum_y \pi_\theta(y \mid x)\, r(x, y).$$
//
// On the tree this is a sum of fifteen terms. For our SFT model it has about $238^{29} \approx 10^{69}$, so it is **estimated**:
// draw $n$ episodes and average their returns. The estimate has mean $J$ and, the draws being independent, standard deviation
// $\sigma/\sqrt{n}$, where $\sigma^2 = \mathrm{Var}_{y \sim \pi}[r(x,y)]$.
//
// **Predict before you run.** With four times as many episodes, the typical error becomes … times as large.

// %% id="predict-error" tags=["predict"]
predict({ id: "error", question: "Typical error with 4n episodes, divided by that with n", answer: 0.25 });

// %% id="monte-carlo"
const J = expectation(logPi, rewardsOf);
const sigma = Math.sqrt(variance(logPi, rewardsOf));
const row = (state: number): Float64Array => tinyLogits.subarray(3 * state, 3 * state + 3);
function playTiny(stream: Random): number {
  const tokens: number[] = [];
  for (let state = 0; state >= 0;) {
    const { token } = draw(row(state), stream);
    tokens.push(token);
    state = space.child[3 * state + token];
  }
  return tokens[tokens.length - 1] === 0 ? (tinyRewards[textOf(tokens)] ?? 0) : 0;
}
const counts = Array.from({ length: 37 }, (_, i) => Math.round(10 ** (i / 9))); // 1 … 10,000
const runs = [1, 2, 3, 4].map((run) => {
  const stream = rng.child(`run ${run}`);
  let sum = 0;
  let n = 0;
  return counts.map((count) => {
    for (; n < count; n++) sum += playTiny(stream);
    return sum / n;
  });
});
await show(
  lines({
    title: "The estimate closes in on the exact return like 1/√n",
    subtitle: `tiny policy, exact J = ${J.toFixed(3).replace("-", "−")}; the grey band is J ± 2σ/√n with the exact σ = ${sigma.toFixed(2)}`,
    x: { title: "episodes n", log: true },
    y: { title: "mean return of n episodes", unit: "reward", range: [J - 2.1 * sigma, J + 2.1 * sigma] },
    series: [
      {
        name: "exact, ± 2σ/√n",
        x: counts,
        y: counts.map(() => J),
        low: counts.map((n) => J - (2 * sigma) / Math.sqrt(n)),
        high: counts.map((n) => J + (2 * sigma) / Math.sqrt(n)),
        exact: true,
      },
      ...runs.map((values, i) => ({ name: `run ${i + 1}`, x: counts, y: values, markers: false, look: i })),
    ],
  }),
);

// %% id="error-ratio"
const probabilities = logPi.map(Math.exp);
function typicalError(n: number, repetitions: number): number {
  const stream = rng.child(`errors of ${n}`);
  const squares = Array.from({ length: repetitions }, () => {
    const returns = Array.from({ length: n }, () => rewardsOf[stream.weighted(probabilities)]);
    return (mean(returns) - J) ** 2;
  });
  return Math.sqrt(mean(squares));
}
const [errorOf64, errorOf256] = [typicalError(64, 800), typicalError(256, 800)];
await show([
  { episodes: 64, "root mean square error": errorOf64, "σ/√n": sigma / 8 },
  { episodes: 256, "root mean square error": errorOf256, "σ/√n": sigma / 16 },
]);
compare("error", errorOf256 / errorOf64, {
  tolerance: 0.06,
  explain: "σ/√(4n) is half of σ/√n: each further digit of J costs a hundred times the episodes.",
});

// %% [markdown] id="real-text"
// The same for the SFT model on the test questions, whose exact value nobody knows:

// %% id="real"
const standardError = Math.sqrt(mean(golds.map((g) => (g - mean(golds)) ** 2)) / golds.length);
console.log(
  `expected gold reward of the SFT model: ${mean(golds).toFixed(2)} ± ${(2 * standardError).toFixed(2)} (two standard errors, ${golds.length} answers)`,
);

// %% [markdown] id="next"
// This is what reward maximisation will raise, step by step, from samples (notebook 07). But who says what $r(x, y)$ is? Outside
// our world there is no gold reward. That is the next notebook.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  goldOfEpisode: gold.total,
  actionsOfEpisode: episode.length,
  logProbabilityOfEpisode: logProbability,
  decidedStates: decided / states,
  samplingAgainstScoring: largestDifference,
  sumAgainstAverage: disagreements / pairs,
  lengthOfBest: best.undiscounted.length,
  lengthOfBestDiscounted: best.discounted.length,
  goldGreedy: measured[0].gold,
  goldCold: goldCold,
  goldWarm: goldWarm,
  harmRateGreedy: measured[0].harm,
  treeTotal: total,
  treeCutOff: cutOff,
  treeTotalWithoutEos: totalWithoutEos,
  expectedReturn: J,
  errorRatio: errorOf256 / errorOf64,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Sutton and Barto (2018), *Reinforcement Learning: An Introduction*, chapters 3 and 5.
// - Ranzato et al. (2016), *Sequence Level Training with Recurrent Neural Networks*: generation as a sequence of actions.
// - Holtzman et al. (2020), *The Curious Case of Neural Text Degeneration*: top-p.
// - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*.
