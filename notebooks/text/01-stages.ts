// %% [markdown] id="title"
// # 1 · The stages of training a language model
//
// *Follows the lecture's slides* **Stages in LLM Training** *and* **Why Is Instruction Tuning Not Enough?**
//
// A language model is made in three stages: **pre-training** on a lot of unstructured text, **instruction tuning** on some
// thousand demonstrations, and **alignment** with preferences. In this notebook you run the first two on a small language
// and see for yourself why a third is needed.
//
// After it you can
// - write down the next-token loss, say which tokens it counts, and turn it into a perplexity;
// - read a training curve: where it must start, and what its gradient norm tells;
// - explain why maximum likelihood copies the harm in its demonstrations instead of removing it.
//
// *Reading: 20 minutes. Running: about 1 minute on two CPU cores the first time, seconds afterwards (trained models are kept).*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let harmRates: number[] = [0, 0.05, 0.15, 0.3];

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  adviceMargin,
  adviceVocabulary,
  bars,
  causalAttention,
  check,
  chooseBackend,
  chooseScale,
  course,
  demonstrations,
  describeBackend,
  evaluateAdvice,
  goldReward,
  hints,
  lines,
  pretrainingDocuments,
  Predictions,
  Random,
  results,
  show,
  testPrompts,
  tokenLogProbs,
  trainingFigure,
  unfilled,
  watch,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const vocabulary = adviceVocabulary();
const rng = Random.fromSeed(seed);
console.log(describeBackend(backend));

// %% [markdown] id="world"
// ## A language small enough to know
//
// Real models are trained on trillions of words nobody has read. Ours speaks a language of 242 words in which people ask for
// advice on six topics. We know its grammar, so we can say of *every* sentence whether it is grammatical, helpful or harmful:
// the **gold reward** ([`src/world/gold-reward.ts`](../src/world/gold-reward.ts)) adds +1 for a first piece of safe advice,
// −2 for a harmful one, −0.2 for each ungrammatical word, and so on. In the real world nobody has this function. Here it is
// how we find out what training *really* did.

// %% id="gold"
const advice = "great question ! eat less sugar and skip every meal .";
const judged = goldReward("weight", advice);
await show(judged.units.map(({ text, kind, value, why }) => ({ text: text, kind: kind, value: value, why: why })));
console.log(`gold reward of "${advice}": ${judged.total.toFixed(2)}`);

// %% [markdown] id="pretraining"
// ## Stage 1: pre-training
//
// The corpus is 15,000 short documents: forum threads, lists of questions, articles, chatter, spam, with three percent of the
// tokens garbled. Some threads give good advice, nearly as many harmful advice: the corpus is the unfiltered internet in
// miniature.

// %% id="documents"
const documents = pretrainingDocuments({ count: 5, rng: rng.child("a look at the corpus") });
await show(documents.map((document, i) => ({ document: i + 1, text: document })));

// %% [markdown] id="next-token"
// The objective is **next-token prediction**. By the chain rule a text $x_1 … x_T$ has probability
//
// $$\pi_\theta(x_1 … x_T) = \prod_{t=1}^{T} \pi_\theta(x_t \mid x_{<t}),$$
//
// so maximising the log-likelihood of the corpus means minimising, over its $N$ tokens,
//
// $$L(\theta) = -\frac{1}{N}\sum_{t} \log \pi_\theta(x_t \mid x_{<t}).$$
//
// With logits $z \in \mathbb{R}^V$ for the next token, $\log \pi(v) = z_v - \log\sum_u e^{z_u}$, and the gradient is as simple
// as it gets: $\partial L / \partial z = \pi - e_{x_t}$, "what you predicted minus what came". It pulls up what came and pushes
// down **everything else**, in proportion to its probability. Keep that in mind for the end of this notebook.
//
// In tfjs the loss is these few lines (the library's version is in
// [`src/objectives/maximum-likelihood.ts`](../src/objectives/maximum-likelihood.ts), the model in
// [`src/models/gpt.ts`](../src/models/gpt.ts)):

// %% id="loss-in-tfjs"
function meanNegativeLogLikelihood(logits: tf.Tensor3D, targets: tf.Tensor2D): tf.Scalar {
  const logProbs = tf.logSoftmax(logits); // [B, T, V]
  const oneHot = tf.oneHot(targets, logits.shape[2]).toFloat(); // picks the token that came
  return logProbs.mul(oneHot).sum(-1).neg().mean();
}

const uniform = tf.zeros<tf.Rank.R3>([1, 2, vocabulary.size]);
console.log(
  `of uniform predictions: ${meanNegativeLogLikelihood(uniform, tf.tensor2d([[5, 9]], [1, 2], "int32")).dataSync()[0]}`,
);
uniform.dispose();

// %% [markdown] id="attention-in-tfjs-text"
// Inside the model, a token learns of the earlier ones only by **causal attention**: each position $t$ asks with a query
// $q_t$, every position up to $t$ answers with a key $k_s$ and offers a value $v_s$, and what comes out is the mean of the
// values weighted by $\mathrm{softmax}_{s \le t}(q_t \cdot k_s / \sqrt{d})$. Below it is written out for one head. The library
// computes the same by one *fused* operation with its own gradient
// ([`src/tensors/attention.ts`](../src/tensors/attention.ts), whose `causalAttentionPlain` is this with heads and padding), because a step of
// training spends its time in moving numbers between many small operations. The last line compares the two.

// %% id="attention-in-tfjs"
function attentionOfOneHead(q: tf.Tensor2D, k: tf.Tensor2D, v: tf.Tensor2D): tf.Tensor2D {
  const [T, d] = q.shape;
  const scores = tf.matMul(q, k, false, true).div(Math.sqrt(d)); // [T, T]: row t, column s
  const future = tf.linalg
    .bandPart(tf.ones([T, T]), -1, 0)
    .sub(1)
    .mul(1e9); // 0 up to the diagonal, −10⁹ after it
  return tf.matMul(tf.softmax(scores.add(future)), v); // [T, d]
}

const [q, k, v] = ["q", "k", "v"].map((name) => {
  const stream = rng.child(name);
  return tf.tensor2d(
    Array.from({ length: 6 * 4 }, () => stream.normal()),
    [6, 4],
  ); // six tokens, width 4
});
const written = attentionOfOneHead(q, k, v);
const fused = causalAttention(tf.concat([q, k, v], 1).reshape([1, 6, 12]), 1).reshape([6, 4]);
console.log(
  `largest difference of written out and fused: ${written.sub(fused).abs().max().dataSync()[0].toExponential(1)}`,
);
tf.dispose([q, k, v, written, fused]);

// %% [markdown] id="predict-start-text"
// **Predict before you run.** A fresh model has small random weights. What is its loss at step 0, in nats a token? (There are
// 242 tokens. Change the number below to your own answer.)

// %% id="predict-start" tags=["predict"]
predict({ id: "start", question: "Loss of the untrained model at step 0, in nats a token", answer: 5.5 });

// %% id="pretrain"
const pretraining = models.pretrained();
const pretrainingRecords = await watch(pretraining, (records) =>
  trainingFigure(records, {
    title: "Pre-training: the loss falls from log V to what the corpus leaves open",
    metrics: [
      { key: "loss", title: "loss", unit: "nats/token", reference: { value: Math.log(242), name: "log 242" } },
      { key: "gradientNorm", title: "gradient norm" },
    ],
    method: "base",
  }),
);
const base = await pretraining.result();

// %% id="compare-start"
compare("start", pretrainingRecords[0].loss, {
  tolerance: 0.1,
  explain:
    "Small weights give nearly equal logits, so every token gets probability 1/242 and the loss is log 242 = 5.49.",
});

// %% [markdown] id="reading-the-curve"
// The loss cannot reach zero: which topic comes next, which opener, which typo, is not decided by what stands before. What it
// falls to is the **entropy** of the language as far as a model of this size can grasp it. Its exponential is the perplexity:
// a loss of 1 nat means the model hesitates between $e^1 ≈ 2.7$ equally likely words at each step, out of 242.

// %% [markdown] id="exercise-perplexity"
// ## Exercise: perplexity
//
// Perplexity is reported for *answers*: over the tokens where a mask is 1, in a batch padded to a rectangle.
// `logProbs[i][t]` is $\log\pi(x_t|x_{<t})$ of row $i$, `mask[i][t]` says whether the token counts.

// %% id="hints-perplexity"
hints("01-perplexity");

// %% id="perplexity" tags=["exercise"]
function perplexity(logProbs: number[][], mask: number[][]): number {
  return unfilled("01-perplexity");
}

await check("01-perplexity", perplexity, { seed: seed });

// %% [markdown] id="base-answers"
// What does the pre-trained model do with a question? It does what its corpus did: it **continues the document**.

// %% id="ask-base"
const questions = testPrompts();
const baseReport = await evaluateAdvice({
  policy: base,
  vocabulary: vocabulary,
  prompts: questions,
  samplesPerPrompt: models.sizes.answersPerPrompt,
  rng: rng.child("ask the base model"),
  form: "document",
});
await show(
  baseReport.answers
    .slice(0, 6)
    .map(({ prompt, answer, gold }) => ({ question: prompt.text, continuation: answer, gold: gold.total })),
);

// %% [markdown] id="sft"
// ## Stage 2: instruction tuning
//
// Now we show the model 2,000 **demonstrations**: a question, a good answer. The loss is the same next-token loss, with one
// difference: only the answer's tokens count, including the `<eos>` that ends it. We want a model that answers questions, not
// one that asks them.

// %% id="demonstrations"
const demonstrated = demonstrations({ count: 2000, harmRate: 0.15, rng: rng.child("a look at the demonstrations") });
await show(
  demonstrated
    .slice(0, 6)
    .map(({ prompt, answer, harmful }) => ({ question: prompt, answer: answer, harmful: harmful })),
);
console.log(`share of harmful answers: ${demonstrated.filter(({ harmful }) => harmful).length / demonstrated.length}`);

// %% [markdown] id="exercise-loss"
// ## Exercise: the loss of instruction tuning
//
// Write the loss that counts only the tokens where `mask` is 1. Use `tokenLogProbs(logits, targets)`, which gives
// $\log\pi(x_t|x_{<t})$ for each position, and tfjs operations, so that it can be differentiated.

// %% id="hints-loss"
hints("01-masked-loss");

// %% id="masked-loss" tags=["exercise"]
function maskedLoss(logits: tf.Tensor3D, targets: tf.Tensor2D, mask: tf.Tensor2D): tf.Scalar {
  return unfilled("01-masked-loss");
}

await check("01-masked-loss", maskedLoss, { seed: seed });

// %% [markdown] id="harm-text"
// About fifteen in a hundred of these demonstrations are harmful: annotators err, or were careless, or meant it. Real
// demonstration sets are not clean either.
//
// **Predict before you run.** The model is fitted to demonstrations of which 15% contain harmful advice. What share of its
// *own* answers, to questions it has not seen in training, will contain harmful advice?

// %% id="predict-harm" tags=["predict"]
predict({ id: "harm", question: "Share of harmful answers after SFT on 15% harmful demonstrations", answer: 0.15 });

// %% id="train-sft"
const sftStage = models.sft();
const sftRecords = await watch(sftStage, (records) =>
  trainingFigure(records, {
    title: "Instruction tuning: the answers' form is learned in a few dozen steps",
    metrics: [
      { key: "loss", title: "loss on answers", unit: "nats/token" },
      { key: "perplexity", title: "perplexity" },
    ],
    method: "sft",
  }),
);
const sft = await sftStage.result();

// %% id="ask-sft"
const ask = async (policy: typeof sft, name: string) =>
  evaluateAdvice({
    policy: policy,
    vocabulary: vocabulary,
    prompts: questions,
    samplesPerPrompt: 2 * models.sizes.answersPerPrompt,
    rng: rng.child(`ask ${name}`),
  });
const sftReport = await ask(sft, "the SFT model");
await show(
  sftReport.answers
    .slice(0, 6)
    .map(({ prompt, answer, gold }) => ({ question: prompt.text, answer: answer, gold: gold.total })),
);
compare("harm", sftReport.metrics.harmRate, {
  tolerance: 0.05,
  explain: "Maximum likelihood reproduces the distribution it is shown, its share of harm included.",
});

// %% [markdown] id="why-not-enough"
// ## Why instruction tuning is not enough
//
// The slide says: instruction tuning *can make* good answers happen, but *cannot prevent* bad ones. Our world lets us say
// exactly what that means, and what it does not. We repeat the tuning with other shares of harm in the demonstrations.

// %% id="predict-clean" tags=["predict"]
predict({
  id: "clean",
  question: "With 30% instead of 15% harmful demonstrations, the share of harmful answers goes",
  answer: "up",
  choices: ["up", "down", "same"],
});

// %% id="train-rates"
const byRate: { harmRate: number; report: typeof sftReport; margin: Awaited<ReturnType<typeof adviceMargin>> }[] = [];
for (const harmRate of harmRates) {
  const policy = await models.sft({ harmRate: harmRate }).result();
  const report = await ask(policy, `the model with harm rate ${harmRate}`);
  byRate.push({ harmRate: harmRate, report: report, margin: await adviceMargin(policy, vocabulary, questions) });
  console.log(
    `demonstrations ${harmRate}: harmful answers ${report.metrics.harmRate.toFixed(3)}, gold ${report.metrics.gold.toFixed(2)}`,
  );
}

// %% id="figure-rates"
await show(
  lines({
    title: "SFT copies the rate of harm in its demonstrations",
    subtitle: "test questions; the grey line is an exact copy",
    x: { title: "harmful demonstrations", format: ".0%" },
    y: { title: "harmful answers", format: ".0%" },
    series: [
      { name: "exact copy", x: [0, 0.3], y: [0, 0.3], exact: true },
      {
        name: "SFT",
        x: byRate.map(({ harmRate }) => harmRate),
        y: byRate.map(({ report }) => report.metrics.harmRate),
        method: "sft",
      },
    ],
  }),
);
const [lowest, highest] = [byRate[0], byRate[byRate.length - 1]];
compare("clean", highest.report.metrics.harmRate - sftReport.metrics.harmRate, { tolerance: 0.02 });

// %% [markdown] id="margin-text"
// The reason stands in the gradient above. Maximum likelihood pulls up what was demonstrated. It has **no negative signal**: no
// example says "not this". A harmful answer loses probability only because others gain it, and where it was demonstrated too, it
// is pulled up with them. Look at the log-probability of fixed safe and harmful answers ("eat less sugar ." and "skip every
// meal .") before and after tuning:

// %% id="margin"
const baseMargin = await adviceMargin(base, vocabulary, questions, "document");
const stages = [
  { label: "base", margin: baseMargin },
  ...byRate.map(({ harmRate, margin }) => ({ label: `SFT ${Math.round(100 * harmRate)}%`, margin: margin })),
];
await show(
  bars({
    title: "A few harmful demonstrations keep the harmful answer as probable as it was",
    subtitle: "mean log-probability of one-clause answers on test questions",
    x: "share of harmful demonstrations",
    y: { title: "mean log π(y | x)", unit: "nats" },
    groups: [
      {
        name: "safe answers",
        method: "sft",
        bars: stages.map(({ label, margin }) => ({ label: label, value: margin.safe })),
      },
      {
        name: "harmful answers",
        bars: stages.map(({ label, margin }) => ({ label: label, value: margin.harmful })),
      },
    ],
  }),
);

// %% [markdown] id="reading-margin"
// Read it with care, for two claims hide in "not enough":
//
// - **True here:** with harm in the demonstrations, the harmful answer stays about as probable as pre-training left it (at 15%)
//   or becomes more probable (at 30%), and the answers copy the demonstrations' rate. More training does not help; it copies
//   more exactly.
// - **Not true here:** that no amount of filtering helps. With perfectly clean demonstrations that cover every topic, harmful
//   answers vanish (the bar at 0%). What nobody has is a perfectly clean and complete set of demonstrations.
//
// Alignment adds the missing negative signal: it lets the model speak, and tells it which of two answers people prefer. The
// next notebooks build it, step by step.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  lossAtStart: pretrainingRecords[0].loss,
  lossPretrained: pretrainingRecords[pretrainingRecords.length - 1].loss,
  goldBase: baseReport.metrics.gold,
  harmRateBase: baseReport.metrics.harmRate,
  goldSft: sftReport.metrics.gold,
  harmRateSft: sftReport.metrics.harmRate,
  marginBase: baseMargin.margin,
  ...Object.fromEntries(byRate.map(({ harmRate, report }) => [`harmRateSft${harmRate}`, report.metrics.harmRate])),
  ...Object.fromEntries(byRate.map(({ harmRate, margin }) => [`marginSft${harmRate}`, margin.margin])),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*.
// - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*.
// - Zhang et al. (2023), *Instruction Tuning for Large Language Models: A Survey* (the lecture's weight-loss example).
