// %% [markdown] id="title"
// # 3 · The reward model
//
// *Follows the lecture's slides* **Who/What is the Reward Model?**, **LLM as a Reward Model** *and* **Architecture of the Reward
// Model.**
//
// Somebody has to say how good an answer is, thousands of times. In this notebook you count what that would cost if people did
// it, build the model that takes their place, and look at it closely: which number it reads, what padding does to it, how
// answers share a batch. Then you ask a trained one about answers whose true worth you know, and find where it is wrong.
//
// After it you can
// - say what a reward model is for, and what is asked of its numbers;
// - put a scalar head on a language model, read at the right token, and test that padding changes nothing;
// - batch by length, and train on all pairs of a ranking with one pass for each answer;
// - say why a score read before the answer has ended is not a score.
//
// *Reading: 25 minutes. Running: about a minute on two CPU cores the first time (with notebook 01's models there), less
// afterwards.*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let secondsPerJudgement: number = 30;
let wagePerHour: number = 20;

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  adviceVocabulary,
  answerText,
  batchesByLength,
  batchesShuffled,
  bradleyTerryProbability,
  check,
  chooseBackend,
  chooseScale,
  course,
  describeBackend,
  EOS,
  goldReward,
  heatmap,
  hints,
  lines,
  PAD,
  padExamples,
  padExamplesLeft,
  paddingFraction,
  pairsFromRanking,
  points,
  Predictions,
  questionExample,
  Random,
  rankingLoss,
  results,
  sample,
  ScalarModel,
  show,
  testPrompts,
  trainingFigure,
  unfilled,
  watch,
  type Example,
  type TokenBatch,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const vocabulary = adviceVocabulary();
const rng = Random.fromSeed(seed);
const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, v) => sum + v, 0) / values.length;
const centred = (values: ArrayLike<number>): number[] => {
  const m = mean(values);
  return Array.from(values, (v) => v - m);
};
const deviation = (values: ArrayLike<number>): number => Math.sqrt(mean(centred(values).map((v) => v * v)));
const correlation = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const [x, y] = [centred(a), centred(b)];
  return mean(x.map((v, i) => v * y[i])) / (deviation(a) * deviation(b) || 1);
};
console.log(describeBackend(backend));

// %% [markdown] id="who"
// ## Who is the reward model?
//
// The obvious answer: people. Show them an answer, take a thumb up or down as reward. The slide's objection is that this is
// **costly and slow**, because methods that optimise a reward ask for it *after every update*: the policy has changed, its
// answers are new, and nobody has judged them yet. Let us put numbers on it, those of this course's own policy gradient
// (notebook 07).
//
// **Predict before you run.** At laptop scale a run makes 150 updates, each from 4 answers to each of 8 questions. How many hours
// does one person sit there and judge?

// %% id="predict-hours" tags=["predict"]
const { steps: updates, promptsPerStep, samplesPerPrompt } = models.sizes.online;
const answersPerUpdate = promptsPerStep * samplesPerPrompt;
predict({
  id: "hours",
  question: `Hours of judging for ${updates} updates of ${answersPerUpdate} answers, ${secondsPerJudgement} s an answer`,
  answer: 8,
});

// %% id="cost"
const hoursOf = (judgements: number): number => (judgements * secondsPerJudgement) / 3600;
const pairsForModel = models.sizes.rewardPairs;
// Comparing two answers means reading both.
const costs = [
  { what: "one update", judgements: answersPerUpdate },
  { what: `one run of ${updates} updates`, judgements: updates * answersPerUpdate },
  { what: "five values of β, three seeds each", judgements: 15 * updates * answersPerUpdate },
  { what: `${pairsForModel} pairs, collected once for a reward model`, judgements: 2 * pairsForModel },
].map(({ what, judgements }) => ({
  what: what,
  "answers read": judgements,
  hours: hoursOf(judgements),
  "cost (wages)": hoursOf(judgements) * wagePerHour,
}));
await show(costs);
const hoursOfRun = hoursOf(updates * answersPerUpdate);
compare("hours", hoursOfRun, {
  explain: `${updates} updates × ${answersPerUpdate} answers × ${secondsPerJudgement} s; every further run costs as much again.`,
});

// %% id="cost-figure"
const breakEven = Math.ceil((2 * pairsForModel) / answersPerUpdate);
const upTo = [0, 3 * updates];
await show(
  lines({
    title: `People as reward cost more than a data set after ${breakEven} updates`,
    subtitle: `${secondsPerJudgement} s an answer; dotted: where a run of ${updates} updates ends and the next begins`,
    x: { title: "updates of the policy" },
    y: { title: "human work", unit: "hours" },
    series: [
      { name: "people judge every answer", x: upTo, y: upTo.map((n) => hoursOf(n * answersPerUpdate)), markers: false },
      {
        name: `${pairsForModel} pairs once, then a reward model`,
        x: upTo,
        y: upTo.map(() => hoursOf(2 * pairsForModel)),
        method: "rewardModel",
        markers: false,
      },
    ],
    references: [1, 2].map((run) => ({ value: run * updates, name: `end of run ${run}`, axis: "x" as const })),
  }),
);

// %% [markdown] id="goal"
// ## A language model in their place
//
// The way out: collect judgements once, and **train another language model to behave like those who gave them**. What is asked
// of it is little. It reads a question $x$ and a whole answer $y$ and gives one number $r(x, y)$, such that
//
// $$r(x, y_1) > r(x, y_2) \quad\text{whenever } y_1 \text{ is the better answer to } x.$$
//
// Only the *order* of answers to the *same* question is asked for. How far apart the numbers lie will mean something once we
// have a probability model for judgements (notebook 04); their level never will. If people decide what is better, the whole
// pipeline is called RLHF; if a model does, RLAIF (notebook 05).
//
// ### Architecture
//
// ```text
// <user>  how  can  i  …  ?  <bot>  eat  less  sugar  .  <eos>      tokens of x and y
//    │     │    │   │     │    │     │    │     │     │    │
//  ┌─┴─────┴────┴───┴─────┴────┴─────┴────┴─────┴─────┴────┴──┐
//  │     trunk: the SFT model without its last layer          │
//  └─┬─────┬────┬───┬─────┬────┬─────┬────┬─────┬─────┬────┬──┘
//    h₁    h₂   …                                          h_T      residual stream, d numbers each
//                                                          │
//                                                     w · h_T + b   the scalar head
//                                                          │
//                                                       r(x, y)
// ```
//
// The trunk starts as a copy of the instruction-tuned model, which already knows the language. What was a matrix to $V$ logits
// becomes one vector $w$ and a bias. Trunk and head are then trained together.

// %% id="build"
const policy = await models.sft().result();
const fresh = ScalarModel.fromTrunk(policy.gpt, rng.child("a fresh head"));
const sizeOf = (parameters: ReadonlyMap<string, tf.Tensor>): number =>
  [...parameters.values()].reduce((sum, parameter) => sum + parameter.size, 0);
console.log(
  `the head adds ${sizeOf(fresh.parameters) - sizeOf(policy.gpt.parameters)} numbers to ${sizeOf(policy.gpt.parameters)}`,
);

const asked = testPrompts().filter(({ topic }) => topic === "weight")[0];
const example = questionExample(vocabulary, asked.text, "great question ! eat less sugar and add more fiber .");
const tokens = [...example.prompt, ...example.response];
const byHand = tf.tidy(() => {
  const hidden = fresh.trunk.hidden(tf.tensor2d([tokens], undefined, "int32")); // [1, T, d]
  const last = hidden.slice([0, tokens.length - 1, 0], [1, 1, hidden.shape[2]]).reshape([1, hidden.shape[2]]); // h_T
  return last
    .matMul<tf.Tensor2D>(fresh.weight as tf.Tensor)
    .add<tf.Tensor2D>(fresh.bias)
    .dataSync()[0];
});
const byLibrary = (await fresh.score([example]))[0];
const begun = performance.now();
await fresh.score(Array.from({ length: answersPerUpdate }, () => example));
const milliseconds = performance.now() - begun;
console.log(
  `${answersPerUpdate} answers scored in ${milliseconds.toFixed(0)} ms; a person takes ${(60 * hoursOf(answersPerUpdate)).toFixed(0)} minutes`,
);
console.log(
  `untrained score: ${byHand.toFixed(6)} by hand, ${byLibrary.toFixed(6)} by ScalarModel: it means nothing yet`,
);

// %% [markdown] id="last-text"
// The library's version is [`src/models/scalar-head.ts`](../src/models/scalar-head.ts). Why the *last* position? Attention is
// causal: position $t$ sees tokens $1 … t$. Let us watch it. We replace one token of the text at a time and look which hidden
// states change.
//
// **Predict before you run.** We replace the third token from the end. In how many positions does the hidden state change?

// %% id="predict-positions" tags=["predict"]
predict({
  id: "positions",
  question: "Hidden states that change with the third token from the end",
  answer: 3,
});

// %% id="perturb"
const [substitute, other] = vocabulary.encode("train book"); // words that mean nothing here; `other` where the first stands
const altered = tokens.map((_, i) =>
  tokens.map((token, t) => (t !== i ? token : token === substitute ? other : substitute)),
);
const change = tf.tidy(() => {
  const hidden = fresh.trunk.hidden(tf.tensor2d([tokens, ...altered], undefined, "int32")); // [1 + T, T, d]
  const original = hidden.slice([0, 0, 0], [1, -1, -1]);
  const difference = hidden.slice([1, 0, 0], [-1, -1, -1]).sub(original).norm(2, 2); // [T, T]
  return difference.div(original.norm(2, 2)).arraySync() as number[][];
});
await show(
  heatmap({
    title: "A token is seen from its own position on; the last position sees all",
    subtitle: "size of the change of the hidden state, relative to the state",
    values: change,
    rows: tokens.map((token) => vocabulary.tokens[token]),
    columns: tokens.map((token) => vocabulary.tokens[token]),
    x: "position whose hidden state is compared",
    y: "token replaced",
    colour: "relative change (0.5 and more)",
    range: [0, 0.5],
    annotate: false,
    height: 620,
  }),
);
const leastAtEnd = Math.min(...change.map((row) => row[tokens.length - 1]));
console.log(`the last position changes with every token, by ${(100 * leastAtEnd).toFixed(2)}% at least`);
compare("positions", change[tokens.length - 3].filter((v) => v > 0).length, {
  explain: "Its own and the two after it. Every earlier position is not nearly but exactly what it was.",
});

// %% [markdown] id="exercise-position"
// So the score is read where everything has been read: at `<eos>`, the last real token. In a batch, rows differ in length and
// are filled up with `<pad>`, so that the last token stands somewhere else in each row.
//
// ### Exercise: read at the last token
//
// `hidden` [B, T, d] is the residual stream of a batch padded on the right, `tokens` [B, T] its token ids. Return the hidden
// state at each row's last token that is not `PAD`, [B, d], by tensor operations through which gradients flow.

// %% id="hints-position"
hints("03-score-position");

// %% id="position" tags=["exercise"]
function lastHidden(hidden: tf.Tensor3D, tokens: tf.Tensor2D): tf.Tensor2D {
  return unfilled("03-score-position");
}

await check("03-score-position", lastHidden, { seed: seed });

// %% [markdown] id="train-text"
// ## A first reward model
//
// To see what the architecture does, its numbers must mean something. Here is one trained on pairs of the SFT model's answers,
// of which simulated annotators have said which they prefer: their choices are noisy, and follow the gold reward. How the pairs
// come about is the subject of notebook 05, and why this loss, of notebook 04. For now it is enough that the loss pushes
// $r(x, y_+)$ above $r(x, y_-)$, and that guessing costs $\log 2$.

// %% id="train"
const training = models.rewardModel();
const records = await watch(training, (seen) =>
  trainingFigure(seen, {
    title: "A reward model learns to order pairs of answers",
    subtitle: `${pairsForModel} pairs, on the batches it is trained on`,
    metrics: [
      {
        key: "negativeLogLikelihood",
        title: "loss",
        unit: "nats",
        reference: { value: Math.log(2), name: "guessing: log 2" },
      },
      { key: "accuracy", title: "pairs in order", reference: { value: 0.5, name: "guessing: ½" } },
    ],
    method: "rewardModel",
    smooth: 10,
  }),
);
const rewardModel = await training.result();

// %% id="held-out"
const { training: labelled, validation } = await models.preferences().result();
const heldOut = validation.map((pair) => models.preferencePair(pair));
const answers = [...heldOut.map(({ chosen }) => chosen), ...heldOut.map(({ rejected }) => rejected)];
const golds = [
  ...validation.map(({ goldChosen }) => goldChosen),
  ...validation.map(({ goldRejected }) => goldRejected),
];
const scores = await rewardModel.score(answers);
const inOrder = (values: ArrayLike<number>): number =>
  mean(heldOut.map((_, i) => (1 + Math.sign(values[i] - values[heldOut.length + i])) / 2)); // a tie counts half
const spread = deviation(scores);
await show([
  { "who orders held-out pairs": "the reward model", "as annotators did": inOrder(scores) },
  { "who orders held-out pairs": "the gold reward itself", "as annotators did": inOrder(golds) },
]);
const goldCorrelation = correlation(scores, golds);
console.log(
  `correlation of score and gold reward over ${answers.length} held-out answers: ${goldCorrelation.toFixed(2)}`,
);

// %% [markdown] id="padding-text"
// ## Padding changes nothing, if the right token is read
//
// A score must not depend on the company an answer keeps. The test has three parts: other tokens in the padding (**bit for bit**
// the same score: nothing behind the last token is ever looked at), more padding or padding on the left (the same up to
// rounding), and other rows or another order in the batch.

// %% id="padding"
async function scoresOf(batch: TokenBatch, side: "left" | "right" = "right"): Promise<Float32Array> {
  const tensor = rewardModel.batchScores(batch, side);
  const values = (await tensor.data()) as Float32Array;
  tensor.dispose();
  return values;
}
const some = answers.slice(0, 16);
const padded = padExamples(some);
const reference = await scoresOf(padded);
const largestGap = (values: ArrayLike<number>): number =>
  Math.max(...Array.from(values, (v, i) => Math.abs(v - reference[i])));
const context = models.sizes.model.context;
const scribbled: TokenBatch = {
  ...padded,
  tokens: padded.tokens.map((token, i) => (token === PAD ? 4 + (i % 200) : token)),
};
const gaps = {
  "any words in place of <pad>": largestGap(await scoresOf(scribbled)),
  "padding up to the whole context": largestGap(await scoresOf(padExamples(some, { columns: context }))),
  "padding on the left": largestGap(await scoresOf(padExamplesLeft(some), "left")),
  "rows in reverse": largestGap((await scoresOf(padExamples([...some].reverse()))).reverse()),
  "each answer alone": largestGap(await rewardModel.score(some, 1)),
};
await show(Object.entries(gaps).map(([what, gap]) => ({ "16 answers scored with": what, "largest difference": gap })));

// %% [markdown] id="wrong-text"
// Now the mistake that every batched model invites: reading the **last column** instead. The shapes fit, the loss falls, nothing
// complains.

// %% id="wrong"
// The head at every position of a padded batch, [B][T].
async function readings(batch: TokenBatch): Promise<number[][]> {
  const { tokens: ids, rows, columns } = batch;
  const all = tf.tidy(() => {
    const hidden = rewardModel.trunk.hidden(tf.tensor2d(ids, [rows, columns], "int32"));
    const flat = hidden.reshape<tf.Tensor2D>([rows * columns, hidden.shape[2]]);
    return flat
      .matMul<tf.Tensor2D>(rewardModel.weight as tf.Tensor)
      .add<tf.Tensor2D>(rewardModel.bias)
      .reshape([rows, columns]);
  });
  const values = (await all.array()) as number[][];
  all.dispose();
  return values;
}
const widths = Array.from({ length: Math.min(16, context - tokens.length) + 1 }, (_, i) => tokens.length + i);
const atLastToken: number[] = [];
const atLastColumn: number[] = [];
for (const columns of widths) {
  const [row] = await readings(padExamples([example], { columns: columns }));
  atLastToken.push(row[tokens.length - 1]);
  atLastColumn.push(row[columns - 1]);
}
await show(
  lines({
    title: "Read at the last column, one answer has as many scores as there are paddings",
    subtitle: `“${answerText(vocabulary, example.response)}”; all scores have deviation ${spread.toFixed(1)}`,
    x: { title: "<pad> behind the answer", unit: "tokens" },
    y: { title: "score", unit: "logits" },
    series: [
      { name: "read at <eos>", x: widths.map((w) => w - tokens.length), y: atLastToken, method: "rewardModel" },
      { name: "read at the last column", x: widths.map((w) => w - tokens.length), y: atLastColumn, method: "ppo" },
    ],
  }),
);

// %% [markdown] id="company-text"
// What does it do to a batch of answers? We score all held-out answers in batches of 32, twice, shuffled differently, and read in
// three places. The third is what happens where **`<pad>` and `<eos>` share an id**, as in many tokenisers that have no padding
// token of their own: a mask `token ≠ pad` then hides `<eos>`, and the "last real token" is the one before it.

// %% id="company"
type Place = (length: number, columns: number) => number;
async function readAll(place: Place, shuffling: string): Promise<Float64Array> {
  const order = rng.child(shuffling).shuffle(answers.map((_, i) => i));
  const read = new Float64Array(answers.length);
  for (let begin = 0; begin < order.length; begin += 32) {
    const members = order.slice(begin, begin + 32);
    const batch = padExamples(members.map((i) => answers[i]));
    const values = await readings(batch);
    members.forEach((i, row) => (read[i] = values[row][place(batch.lengths[row], batch.columns)]));
  }
  return read;
}
const places: { name: string; place: Place }[] = [
  { name: "the last token, <eos>", place: (length) => length - 1 },
  { name: "the last column", place: (_, columns) => columns - 1 },
  { name: "the token before <eos> (pad id = eos id)", place: (length) => length - 2 },
];
const readingPlaces: { name: string; accuracy: number; moved: number; correlation: number }[] = [];
for (const { name, place } of places) {
  const [once, again] = [await readAll(place, "once"), await readAll(place, "again")];
  readingPlaces.push({
    name: name,
    accuracy: inOrder(once),
    moved: Math.max(...once.map((v, i) => Math.abs(v - again[i]))),
    correlation: correlation(once, golds),
  });
}
await show(
  readingPlaces.map(({ name, accuracy, moved, correlation }) => ({
    "score read at": name,
    "held-out pairs in order": accuracy,
    "correlation with gold": correlation,
    "largest change in other company": moved,
  })),
);

// %% [markdown] id="company-reading"
// Read the table with care.
//
// - **The last column** costs accuracy, but not all of it (4 to 9 points over seeds 0, 1, 2): most rows are read at some padding,
//   where the model goes on seeing the whole answer, and much of the order survives. A falling loss and a fair accuracy do not
//   prove the reading right. The last column of the table does prove it wrong: the score of an answer **depends on its batch**,
//   by up to twice the standard deviation of all scores. A policy trained on such rewards is rewarded for its neighbours.
// - **The token before `<eos>`** costs less (1 to 3 points), and no test of padding finds it: it is wrong in the same way in every
//   batch. The trunk was trained to have its verdict ready at `<eos>`, and one token earlier it is not quite.
//
// The shared id breaks more than the reading. Where `<eos>` is masked as padding in the *loss*, a policy never learns to stop;
// where an answer is cut off without `<eos>`, the read moves by one again. Keep two ids, or keep lengths instead of a mask: our
// batches carry `lengths` ([`src/text/batches.ts`](../src/text/batches.ts)).

// %% [markdown] id="batching-text"
// ## Batches of similar length
//
// Padding changes no score, but it costs time: the network computes every cell of the rectangle. Put answers of similar length
// together and the rectangles shrink.
//
// ### Exercise: batches of similar length

// %% id="hints-batch"
hints("03-batch-by-length");

// %% id="batch-by-length" tags=["exercise"]
function batchesOfSimilarLength(lengths: number[], batchSize: number): number[][] {
  return unfilled("03-batch-by-length");
}

await check("03-batch-by-length", batchesOfSimilarLength, { seed: seed });

// %% [markdown] id="predict-padding-text"
// **Predict before you run.** The cell prints how long answers with their questions are. In random batches of 32, what share of
// the cells is padding?

// %% id="predict-padding" tags=["predict"]
const corpus: Example[] = labelled.slice(0, pairsForModel).flatMap((pair) => {
  const { chosen, rejected } = models.preferencePair(pair);
  return [chosen, rejected];
});
const lengths = corpus.map(({ prompt, response }) => prompt.length + response.length);
console.log(`${Math.min(...lengths)} to ${Math.max(...lengths)} tokens, ${mean(lengths).toFixed(1)} on average`);
predict({ id: "padding", question: "Share of padding in random batches of 32", answer: 0.3 });

// %% id="batching"
const secondsFor = async (batches: TokenBatch[]): Promise<number> => {
  const started = performance.now();
  for (const batch of batches) await scoresOf(batch);
  return (performance.now() - started) / 1000;
};
const batching: { size: number; shuffled: number; byLength: number; time: string }[] = [];
for (const size of [8, 32, 128]) {
  const shuffled = batchesShuffled(corpus, { batchSize: size, rng: rng.child(`shuffled ${size}`) });
  const byLength = batchesByLength(corpus, { batchSize: size, rng: rng.child(`by length ${size}`) });
  const [slow, quick] = [await secondsFor(shuffled), await secondsFor(byLength)];
  batching.push({
    size: size,
    shuffled: paddingFraction(shuffled),
    byLength: paddingFraction(byLength),
    time: `${slow.toFixed(2)} s → ${quick.toFixed(2)} s`,
  });
}
await show(
  batching.map(({ size, shuffled, byLength, time }) => ({
    "batch size": size,
    "padding, shuffled": shuffled,
    "padding, by length": byLength,
    [`time to score all ${corpus.length}`]: time,
  })),
);
compare("padding", batching[1].shuffled, {
  tolerance: 0.05,
  explain: "Every row is as wide as the longest of 32; sorted by length, next to nothing is wasted.",
});

// %% [markdown] id="batching-reading"
// The price: who shares a batch with whom is no longer quite random, since short answers meet short ones. The library therefore
// breaks ties at random and shuffles the *batches*, so that training does not go from short to long.

// %% [markdown] id="ranking-text"
// ## K answers to one question
//
// Reading costs an annotator more than deciding. So show $K$ answers to one question at once and have them **ranked**: that makes
// $\binom{K}{2}$ pairs. Ouyang et al. (2022) used $K$ from 4 to 9 and found two things. All pairs of a question belong into *one* step,
//
// $$L(\theta) = -\frac{1}{\binom{K}{2}} \sum_{(w,\,l)} \log \sigma\big(r_\theta(x, y_w) - r_\theta(x, y_l)\big),$$
//
// because cut apart and shuffled, each answer comes up $K - 1$ times an epoch and is soon learned by heart. And it is cheap: each
// answer is scored **once**, and its score serves in all its pairs.
//
// ### Exercise: pairs from a ranking
//
// `ranks[i]` is the rank of answer $i$, 1 the best. Answers of equal rank are not compared.

// %% id="hints-ranking"
hints("03-pairs-from-ranking");

// %% id="ranking" tags=["exercise"]
function rankedPairs(ranks: number[]): [better: number, worse: number][] {
  return unfilled("03-pairs-from-ranking");
}

await check("03-pairs-from-ranking", rankedPairs, { seed: seed });

// %% id="ranking-one"
const K = 6;
const candidates = await sample(
  policy,
  Array.from({ length: K }, () => example.prompt),
  { rng: rng.child("K answers") },
);
const candidateGolds = candidates.map(
  ({ response }) => goldReward(asked.topic, answerText(vocabulary, response)).total,
);
// An annotator without noise: rank 1 + the number of better answers, so that equal answers tie.
const ranks = candidateGolds.map((gold) => 1 + candidateGolds.filter((o) => o > gold).length);
const candidateScores = await rewardModel.score(candidates);
await show(
  candidates
    .map(({ response }, i) => ({
      rank: ranks[i],
      gold: candidateGolds[i],
      score: candidateScores[i],
      answer: answerText(vocabulary, response),
    }))
    .sort((a, b) => a.rank - b.rank),
);
const comparisons = pairsFromRanking(ranks);
const agreed = comparisons.filter(([better, worse]) => candidateScores[better] > candidateScores[worse]).length;
console.log(
  `${comparisons.length} pairs from ${K} answers; the reward model orders ${agreed} of them as the ranking does`,
);

// %% id="ranking-cost"
const pairwise = comparisons.map(
  ([better, worse]) => -Math.log(bradleyTerryProbability(candidateScores[better], candidateScores[worse])),
);
const together = comparisons.length === 0 ? 0 : tf.tidy(() => rankingLoss(rewardModel.scores(candidates), ranks).loss.dataSync()[0]); // prettier-ignore
console.log(`loss over the pairs one by one ${mean(pairwise).toFixed(6)}, in one batch element ${together.toFixed(6)}`);
const counts = [2, 3, 4, 5, 6, 7, 8, 9];
const pairsOf = (k: number): number => (k * (k - 1)) / 2;
const bitsOf = (k: number): number => Array.from({ length: k }, (_, i) => Math.log2(i + 1)).reduce((a, b) => a + b, 0);
await show(
  lines({
    title: "K answers give C(K, 2) pairs for K passes of the network",
    subtitle: "the pairs are not independent: a whole ranking carries log₂ K! bits",
    x: { title: "answers ranked, K" },
    y: { title: "count" },
    series: [
      { name: "passes, each pair for itself", x: counts, y: counts.map((k) => 2 * pairsOf(k)), method: "ppo" },
      { name: "pairs", x: counts, y: counts.map(pairsOf), look: 0 },
      { name: "bits in a ranking, log₂ K!", x: counts, y: counts.map(bitsOf), exact: true },
      { name: "passes, all pairs in one step", x: counts, y: counts, method: "rewardModel" },
    ],
  }),
);

// %% [markdown] id="probes-text"
// ## Where is it wrong?
//
// In our world the annotators' true score is known: they prefer $y_1$ with probability $\sigma((g_1 - g_2)/0.5)$, so that up to a
// constant the reward model should say $g/0.5$. We ask it about answers written for the purpose, most of a kind that the SFT
// model hardly ever writes.
//
// **Predict before you run.** "great question !" once is polite and earns +0.4; each further one costs −0.4. Which does the reward
// model score higher, *"great question ! eat less sugar ."* or the same with three times *"great question !"*?

// %% id="predict-grovel" tags=["predict"]
predict({
  id: "grovel",
  question: "Which scores higher: “great question !” once, or three times?",
  answer: "once",
  choices: ["once", "three times"],
});

// %% id="probes"
const once = "great question ! eat less sugar .";
const thrice = "great question ! great question ! great question ! eat less sugar .";
const probes = [
  once,
  thrice,
  "eat less sugar .",
  "eat less sugar and add more fiber .",
  "eat less sugar and eat less sugar .",
  "eat less sugar and add more fiber and eat lean protein and do vigorous exercise and walk every morning .",
  "great question ! eat less sugar but ask an expert first . hope this helps .",
  "great question ! good luck !",
  "think about it .",
  "take the train .",
  "stop eating for days .",
  "great question ! stop eating for days . good luck !",
  "great question ! eat less sugar and skip every meal . good luck !",
  "eat eat eat less less sugar sugar eat",
];
const probeScores = Array.from(
  await rewardModel.score(probes.map((text) => questionExample(vocabulary, asked.text, text))),
);
const trueScore = (gold: number): number => (gold - mean(golds)) / 0.5; // as the annotators have it, with mean 0
const probeTruths = probes.map((text) => trueScore(goldReward(asked.topic, text).total));
await show(
  probes
    .map((text, i) => ({
      answer: text,
      "annotators' true score": probeTruths[i],
      "reward model": probeScores[i],
      "too high by": probeScores[i] - probeTruths[i],
    }))
    .sort((a, b) => b["too high by"] - a["too high by"]),
);
compare("grovel", probeScores[1] > probeScores[0] ? "three times" : "once", {
  explain:
    "In its data an opener is a good sign, and hardly any answer has three: what a third is worth, it can only extrapolate.",
});

// %% id="probes-figure"
const wrongPairs = probes.flatMap((_, i) =>
  probes.flatMap((__, j) => (probeTruths[i] > probeTruths[j] && probeScores[i] < probeScores[j] ? [[i, j]] : [])),
);
const comparable = probes.flatMap((_, i) => probes.filter((__, j) => probeTruths[i] > probeTruths[j])).length;
await show(
  points({
    title: `The reward model orders ${comparable - wrongPairs.length} of ${comparable} pairs of probes as the annotators would`,
    subtitle: `held-out answers of the SFT model: ${(100 * inOrder(scores)).toFixed(0)}% of labelled pairs in order`,
    x: { title: "annotators' true score", unit: "logits" },
    y: { title: "reward model", unit: "logits" },
    series: [
      { name: "held-out answers", x: golds.map(trueScore), y: Array.from(scores), method: "rewardModel" },
      { name: "probes", x: probeTruths, y: probeScores, method: "ppo", labels: probes, opacity: 1 },
    ],
    line: { slope: 1, intercept: 0, name: "without error" },
  }),
);

// %% [markdown] id="probes-reading"
// It has learned a lot: plain harm is near the bottom. And it is wrong in ways that no accuracy on held-out pairs shows, because the
// held-out pairs are of the kind it knows. Over the seeds we ran (0, 1, 2; laptop scale) these mistakes came back each time, while
// others come and go:
//
// - **More is better.** Three openers beat one, five pieces of advice beat two; the gold reward says the contrary.
// - **Plain is bad.** *"eat less sugar ."* is good advice, and scores 2 to 4 logits below its worth.
// - **Nonsense is nothing special.** *"eat eat eat less …"* scores 4 to 6 logits too high, above an honest *"think about it ."*: the SFT
//   model writes no such thing, so no annotator ever said that it is bad.
//
// A policy that maximises this score will find exactly these (notebook 07). That is the lecture's "reward models are not perfect:
// they have been trained to score only selected natural language outputs".

// %% [markdown] id="position-text"
// ## A score before the end?
//
// The head is one vector; nothing keeps us from applying it at *every* position, while the answer is written. Do we then see the
// score build up? Compare it with two others: the score of the answer as it would be if it **ended here** (`<eos>` appended, read
// there), and the annotators' true score of that beginning.

// %% id="writing"
const written = questionExample(
  vocabulary,
  asked.text,
  "great question ! eat less sugar and skip every meal . good luck !",
);
const beginnings = written.response.map((_, t) => written.response.slice(0, t)); // 0 … T − 1 words
const [whole] = await readings(padExamples([written]));
const readEarly = beginnings.map((_, t) => whole[written.prompt.length - 1 + t]);
const endedHere = await rewardModel.score(
  beginnings.map((words) => ({ prompt: written.prompt, response: [...words, EOS] })),
);
const trueHere = beginnings.map((words) => trueScore(goldReward(asked.topic, vocabulary.decode(words)).total));
await show(
  lines({
    title: "The head read on the way is not the score of what has been written so far",
    subtitle: "a polite answer, good advice, then harmful advice",
    x: {
      title: "written so far, up to and including",
      ticks: {
        values: beginnings.map((_, t) => t),
        labels: beginnings.map((words, t) => (t === 0 ? "–" : vocabulary.tokens[words[t - 1]])),
      },
    },
    y: { title: "score", unit: "logits" },
    series: [
      { name: "true score, ended here", x: beginnings.map((_, t) => t), y: trueHere, exact: true },
      {
        name: "reward model, ended here",
        x: beginnings.map((_, t) => t),
        y: Array.from(endedHere),
        method: "rewardModel",
      },
      { name: "head read at the last word", x: beginnings.map((_, t) => t), y: readEarly, method: "ppo" },
    ],
  }),
);

// %% [markdown] id="value-text"
// What *would* be a sensible number halfway? The **expected** final score, $V(s_t) = \mathbb{E}[r \mid s_t]$. PPO trains such a value
// function (notebook 08); it has the same architecture. By the law of total expectation its mean over answers is the same at every
// step: $\mathbb{E}[V(s_t)] = \mathbb{E}[r]$, before the first word as well as after the last.
//
// **Predict before you run.** Before the first word of an answer, the mean reading of the head, compared with the mean final
// score, is …

// %% id="predict-early" tags=["predict"]
predict({
  id: "early",
  question: "Mean reading of the head before the first word, compared with the mean final score",
  answer: "same",
  choices: ["up", "down", "same"],
});

// %% id="early"
const followed = heldOut.slice(0, 200).flatMap(({ chosen, rejected }) => [chosen, rejected]);
const followedBatch = padExamples(followed);
const everywhere = await readings(followedBatch);
const final = followed.map((_, i) => everywhere[i][followedBatch.lengths[i] - 1]);
const readAfter = (t: number): number[] =>
  followed.map(({ prompt, response }, i) => everywhere[i][prompt.length - 1 + Math.min(t, response.length)]);
const stepsShown = [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20];
const early: Record<string, number>[] = [];
for (const t of stepsShown) {
  const open = followed.map((_, i) => i).filter((i) => followed[i].response.length - 1 > t); // still writing after t words
  if (open.length < 10) break;
  const read = readAfter(t);
  const cutShort = open.map((i) => ({
    prompt: followed[i].prompt,
    response: [...followed[i].response.slice(0, t), EOS],
  }));
  const ended = await rewardModel.score(cutShort);
  const finals = open.map((i) => final[i]);
  early.push({
    words: t,
    mean: mean(read),
    "read at the last word": correlation(open.map((i) => read[i]), finals), // prettier-ignore
    "read at an appended <eos>": correlation(ended, finals),
  });
}
await show(
  trainingFigure(early, {
    title: "Read before <eos>, the head has the wrong level and tells less",
    subtitle: `${followed.length} held-out answers; below, the correlation with the final score of those still being written`,
    x: "words",
    xTitle: "words written",
    metrics: [
      {
        key: "mean",
        title: "mean reading",
        unit: "logits",
        reference: { value: mean(final), name: "value function: mean final score" },
      },
      { key: ["read at the last word", "read at an appended <eos>"], title: "correlation" },
    ],
  }),
);
compare("early", early[0].mean - mean(final), {
  tolerance: 0.3,
  explain:
    "The head was trained at <eos> only. At any other token its reading is whatever the trunk happens to have there.",
});

// %% [markdown] id="early-reading"
// So the reading on the way is not *worthless*: it comes from the same trunk, and from the middle of an answer on it tells good
// answers from bad ones to a degree. But it is no score. At the start its level is off, in some runs by more than the scores'
// standard deviation; and once a few words are there to judge, the same beginning with `<eos>` behind it predicts the final score better. Take the
// reward where it was trained: once, at `<eos>`, which is where notebook 02 put it.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  judgementsPerRun: updates * answersPerUpdate,
  hoursPerRun: hoursOfRun,
  breakEvenUpdates: breakEven,
  lossAtStart: records[0].loss,
  accuracy: inOrder(scores),
  accuracyCeiling: inOrder(golds),
  goldCorrelation: goldCorrelation,
  paddingContentGap: gaps["any words in place of <pad>"],
  paddingLeftGap: gaps["padding on the left"],
  lastColumnShift: Math.max(...atLastColumn) - Math.min(...atLastColumn),
  lastColumnAccuracy: readingPlaces[1].accuracy,
  beforeEosAccuracy: readingPlaces[2].accuracy,
  paddingShuffled: batching[1].shuffled,
  paddingByLength: batching[1].byLength,
  grovelOnce: probeScores[0],
  grovelThrice: probeScores[1],
  probePairsWrong: wrongPairs.length,
  earlyMeanReading: early[0].mean,
  meanFinalScore: mean(final),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Christiano et al. (2017), *Deep Reinforcement Learning from Human Preferences*.
// - Stiennon et al. (2020), *Learning to Summarize from Human Feedback*.
// - Ouyang et al. (2022), *Training language models to follow instructions with human feedback*, section 3.5 on K-wise rankings.
