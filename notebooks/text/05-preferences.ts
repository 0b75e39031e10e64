// %% [markdown] id="title"
// # 5 · Where preferences come from
//
// *Follows the lecture's slides* **Where Does the Data Come From?**, **Publicly Available Preference Data** *and*
// **Constitutional AI for Collecting Preferences**
//
// [Notebook 4](04-bradley-terry.ipynb) fitted a reward model to pairs $(x, y_+, y_-)$. Here you make such pairs: prompts from
// the instruction-tuning set, answers from the model that is to be aligned, and labels first from people (RLHF), then from an
// AI judge that reads a written principle (RLAIF). Both kinds of label are noisy. You measure how noisy, what a reward
// model makes of them, and what a policy makes of that.
//
// After it you can
// - say how good a reward model can look at best when its labels come from annotators who disagree;
// - read a preference file that you did not write, and refuse what is wrong in it with a message that helps;
// - train a reward model on such a file, with a vocabulary learnt from it;
// - ask a judge a multiple-choice question, recognise its position bias, and cure it;
// - say what labels by a principle teach a reward model and a policy, what they do not, and what they cost.
//
// *Reading: 30 minutes. Running: about 6 minutes on two CPU cores the first time, one minute afterwards (trained models are
// kept).*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
// The annotators: gold reward per nat of preference, and the share of their labels that are turned round by mistake.
let temperature: number = 0.5;
let flipRate: number = 0.1;
// The AI judge: how often the right answer stands first in the questions that it is taught with.
let firstShare: number = 0.65;
// The price of a nat of KL in reinforcement learning from either kind of feedback.
let beta: number = 0.3;
// The file of preferences that a reward model is trained on. One of your own will do, in any format of the field.
let preferenceFile: string = "../datasets/advice/preferences.jsonl";
// Assumptions for a comparison of costs: a human label, in dollars and seconds, and a million tokens of a language model.
let humanLabelPrice: number = 0.5;
let humanLabelSeconds: number = 60;
let millionTokensPrice: number = 1;

// %% id="setup"
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import {
  advicePrompts,
  annotate,
  askJudgeBothOrders,
  ATTRIBUTES,
  averageOfOrders,
  bars,
  BytePairEncoding,
  check,
  chooseBackend,
  chooseScale,
  CONSTITUTION,
  course,
  describeBackend,
  evaluateAdvice,
  favoured,
  flippedProbability,
  frame,
  goldReward,
  Gpt,
  groupMean,
  hints,
  judgedPairs,
  judgedRecord,
  judgePrompt,
  judgeQuestion,
  lines,
  preferenceProbability,
  preferenceTexts,
  Predictions,
  principle,
  Random,
  readPreferences,
  results,
  rowsOf,
  ScalarModel,
  scoreDifferences,
  show,
  showText,
  sortBy,
  table,
  testPrompts,
  tokenisePreferences,
  toPreferenceRecord,
  trainingFigure,
  trainPrompts,
  trainRewardModel,
  unfilled,
  watch,
  wilson,
  writePreferences,
  type Message,
  type PreferenceRecord,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed).child("notebook 05");
console.log(describeBackend(backend));

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const topicOf = (promptId: number) => advicePrompts()[promptId].topic;

// %% [markdown] id="prompts-and-outputs"
// ## Prompts and outputs
//
// A preference needs three things. The **prompts** $x$ are our training questions, the same that the model was tuned on. The
// **outputs** $y$ are sampled from the instruction-tuned model that we wish to align: two answers to one question, drawn
// independently at temperature 1. Only the third, the **preference**, is new information.

// %% id="sample-pairs"
const answerPairs = models.answerPairs();
await watch(answerPairs, (records) =>
  trainingFigure(records, {
    title: "Two answers of the SFT model to each question",
    height: 260,
    metrics: [{ key: "answers", title: "answers drawn" }],
    xTitle: "batch",
    method: "sft",
  }),
);
const sampled = await answerPairs.result();
const goldOf = (promptId: number, answer: string) => goldReward(topicOf(promptId), answer);
await show(
  sampled.slice(0, 5).map(({ promptId, a, b }) => ({
    question: advicePrompts()[promptId].text,
    a: a,
    b: b,
    "gold a": goldOf(promptId, a).total,
    "gold b": goldOf(promptId, b).total,
  })),
);

// %% [markdown] id="predict-identical-text"
// A pair of two equal answers teaches nothing and has to be thrown away. **Predict:** in what share of the pairs are the two
// answers the same, word for word?

// %% id="predict-identical" tags=["predict"]
predict({ id: "identical", question: "Share of pairs whose two answers are identical", answer: 0.05 });

// %% id="compare-identical"
const comparisons = sampled.filter(({ a, b }) => a !== b);
const shareIdentical = 1 - comparisons.length / sampled.length;
compare("identical", shareIdentical, {
  tolerance: 0.02,
  explain:
    "The chance that two draws agree is Σ π(y|x)². With hundreds of answers to a question, none of which is likely, it is small.",
});

// %% [markdown] id="sources"
// Different words do not mean different worth. What a label can teach depends on how far apart the two answers are *in gold
// reward*. The slide says that outputs may also be sampled **from other models, to increase diversity**. Let us see what that
// does: we pair each SFT answer with one of the base model, which never learned to answer.

// %% id="other-source"
const questions = trainPrompts();
const askForPairs = { vocabulary: models.vocabulary, prompts: questions, samplesPerPrompt: 8 };
const { answers: ofBase } = await evaluateAdvice({
  ...askForPairs,
  policy: await models.pretrained().result(),
  rng: rng.child("answers of the base model"),
  form: "document",
});
const { answers: ofSft } = await evaluateAdvice({
  ...askForPairs,
  policy: await models.sft().result(),
  rng: rng.child("answers of the SFT model"),
});
const gaps = {
  "two SFT answers": comparisons.map(({ promptId, a, b }) => goldOf(promptId, a).total - goldOf(promptId, b).total),
  "an SFT and a base answer": ofSft.map(({ gold }, i) => gold.total - ofBase[i].gold.total),
};
const edges = Array.from({ length: 12 }, (_, i) => i / 2);
const histogram = (values: readonly number[]) =>
  edges.map((edge, i) => {
    const isLast = i === edges.length - 1;
    const count = values.filter((d) => Math.abs(d) >= edge && (isLast || Math.abs(d) < edge + 0.5)).length;
    return { label: isLast ? `over ${edge}` : `${edge} to ${edge + 0.5}`, value: count / values.length };
  });
await show(
  bars({
    title: "How far apart two answers are in gold reward",
    subtitle: `mean distance ${mean(gaps["two SFT answers"].map(Math.abs)).toFixed(2)} between two SFT answers, ${mean(gaps["an SFT and a base answer"].map(Math.abs)).toFixed(2)} between an SFT and a base answer`,
    x: "distance in gold reward",
    y: { title: "share of pairs", format: ".0%" },
    groups: [
      { name: "two SFT answers", method: "sft", bars: histogram(gaps["two SFT answers"]) },
      { name: "an SFT and a base answer", method: "base", bars: histogram(gaps["an SFT and a base answer"]) },
    ],
  }),
);

// %% [markdown] id="sources-read"
// Diverse sources give pairs that are easier to tell apart. That is a gain for whoever labels them, and no gain for free: such a
// pair teaches what separates a tuned model from an untuned one, which the tuned model knows already. To improve the tuned
// model's answers one needs comparisons *among* them, and there many pairs are close.

// %% [markdown] id="annotators"
// ## Preferences from people
//
// Our annotators are simulated, so that we know the truth that they report with noise
// ([`src/world/annotators.ts`](../src/world/annotators.ts)). Shown two answers with gold rewards $g_a$ and $g_b$, an annotator
// prefers the first with the probability of Bradley and Terry,
//
// $$P(a \succ b) = \sigma\!\left(\frac{g_a - g_b}{T}\right).$$
//
// The temperature $T$ says how careless they are: at $T \to 0$ they always take the better answer, at $T \to \infty$ they toss a
// coin. Beside such honest doubt there are slips: a share $\varepsilon$ (`flipRate`) of the labels is turned round after the
// choice. A label then says $a$ in two ways, a choice of $a$ that stays and a choice of $b$ that is turned:
//
// $$P(\text{label} = a) = (1-\varepsilon)\,\sigma + \varepsilon\,(1-\sigma) = \varepsilon + (1 - 2\varepsilon)\,\sigma.$$

// %% id="one-annotator"
function prefersA(goldA: number, goldB: number, uniform: number): boolean {
  return uniform < 1 / (1 + Math.exp(-(goldA - goldB) / temperature)); // a draw from [0, 1) below σ((g_a − g_b)/T)
}
const draws = rng.child("one annotator");
const twenty = Array.from({ length: 20 }, () => (prefersA(1.6, 1, draws.uniform()) ? "a" : "b"));
console.log(`asked twenty times about answers worth 1.6 (a) and 1 (b): ${twenty.join(" ")}`);

// %% id="label"
const labelsOf = (flips: number) =>
  annotate({ comparisons: comparisons, rng: rng.child("annotators"), temperature: temperature, flipRate: flips }).pairs;
const [clean, flipped] = [labelsOf(0), labelsOf(flipRate)];
await show(
  flipped.slice(0, 6).map(({ chosen, rejected, goldChosen, goldRejected, probability }) => ({
    chosen: chosen,
    rejected: rejected,
    "gold chosen": goldChosen,
    "gold rejected": goldRejected,
    "probability of this label": probability,
  })),
);

// %% id="figure-annotators"
const centres = Array.from({ length: 19 }, (_, i) => (i - 9) / 2);
function frequencyOfA(labels: readonly { chosen: string }[]) {
  return centres.flatMap((centre) => {
    const inBin = comparisons.map((_, i) => i).filter((i) => Math.abs(gaps["two SFT answers"][i] - centre) < 0.25);
    if (inBin.length < 8) return []; // too few to say anything
    const share = mean(inBin.map((i) => (labels[i].chosen === comparisons[i].a ? 1 : 0)));
    return [
      { x: mean(inBin.map((i) => gaps["two SFT answers"][i])), share: share, interval: wilson(share, inBin.length) },
    ];
  });
}
const grid = Array.from({ length: 91 }, (_, i) => (i - 45) / 10);
const observed = [
  { name: "labels without flips", bins: frequencyOfA(clean) },
  { name: `labels, ${Math.round(100 * flipRate)}% flipped`, bins: frequencyOfA(flipped) },
];
await show(
  lines({
    title:
      "The better an answer is, the more often it is chosen, as Bradley and Terry say" +
      (flipRate > 0 ? "; flips hold the curve off 0 and 1" : ""),
    subtitle: "markers: share of labels with its 95% interval; grey: the formulas above",
    x: { title: "gold(a) − gold(b)" },
    y: { title: "share of labels that say a", range: [-0.03, 1.03] },
    series: [
      { name: "σ(Δ/T)", x: grid, y: grid.map((d) => preferenceProbability(d, 0, temperature)), exact: true },
      {
        name: "ε + (1 − 2ε)·σ(Δ/T)",
        x: grid,
        y: grid.map((d) => flippedProbability(preferenceProbability(d, 0, temperature), flipRate)),
        exact: true,
      },
      ...observed.map(({ name, bins }, i) => ({
        name: name,
        look: i,
        x: bins.map(({ x }) => x),
        y: bins.map(({ share }) => share),
        low: bins.map(({ interval }) => interval[0]),
        high: bins.map(({ interval }) => interval[1]),
      })),
    ],
  }),
);

// %% [markdown] id="ceiling-text"
// ## The ceiling
//
// Suppose you had the gold reward itself as a reward model. On such labels even it would not reach 100%: where the two answers
// are close, annotators choose the worse one nearly half the time. Its expected accuracy is the **annotators' ceiling**
//
// $$C = \frac1N\sum_i \max(q_i, 1 - q_i), \qquad q_i = P(\text{label}_i = a),\quad \varepsilon < \tfrac12,$$
//
// and no reward model can do better on fresh labels. An accuracy that one reads in a paper means little without it.
//
// **Predict:** the share of *clean* labels (no flips) that name the better answer, at the temperature set above.

// %% id="predict-ceiling" tags=["predict"]
predict({ id: "ceiling", question: "Share of the annotators' labels that name the better answer", answer: 0.8 });

// %% id="ceiling"
const expectedAccuracy = (at: number, flips: number): number =>
  mean(gaps["two SFT answers"].map((d) => flippedProbability(preferenceProbability(Math.abs(d), 0, at), flips)));
const agreesWithGold = ({ goldChosen, goldRejected }: { goldChosen: number; goldRejected: number }): number =>
  (Math.sign(goldChosen - goldRejected) + 1) / 2; // a tie counts half
const annotatorCeiling = expectedAccuracy(temperature, 0);
await show([
  { labels: "clean", expected: annotatorCeiling, observed: mean(clean.map(agreesWithGold)) },
  {
    labels: "with flips",
    expected: expectedAccuracy(temperature, flipRate),
    observed: mean(flipped.map(agreesWithGold)),
  },
]);
compare("ceiling", mean(clean.map(agreesWithGold)), { tolerance: 0.03 });

// %% id="figure-ceiling"
const temperatures = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3];
await show(
  lines({
    title: "Careless annotators and flipped labels both lower what any reward model can reach",
    subtitle: "exact expectations over the sampled pairs; ties count ½",
    x: { title: "annotators' temperature T", unit: "gold reward per nat" },
    y: { title: "annotators' ceiling", range: [0.5, 1.01] },
    series: [0, 0.1, 0.2, 0.3].map((flips) => ({
      name: `${100 * flips}% flipped`,
      x: temperatures,
      y: temperatures.map((at) => expectedAccuracy(at, flips)),
    })),
    references: [{ axis: "x", value: temperature, name: "T of this run" }],
  }),
);

// %% [markdown] id="exercise-noise"
// ## Exercise: how often a noisy label is right
//
// Given the gold rewards of both answers of each pair, return the probability that the label says A, and the **accuracy**: the
// expected share of labels that name the answer with the higher gold reward. Of a pair of equal gold rewards, either label
// counts half. It should hold for any flip rate from 0 to 1.

// %% id="hints-noise"
hints("05-label-noise");

// %% id="label-noise" tags=["exercise"]
function noisyLabels(
  goldA: number[],
  goldB: number[],
  temperature: number,
  flipRate: number,
): { probabilityA: number[]; accuracy: number } {
  return unfilled("05-label-noise");
}

await check("05-label-noise", noisyLabels, { seed: seed });

// %% [markdown] id="explore"
// ## Exploring a preference file
//
// In real data there is no gold reward, only a file. [`datasets/advice/preferences.jsonl`](../datasets/advice/README.md) has the
// most common form, one JSON object a line with `prompt`, `chosen` and `rejected`; ours adds where the label comes from.
// `readPreferences` validates every line, and danfojs explores what it read.

// %% id="read-file"
const file = await readPreferences("../datasets/advice/preferences.jsonl");
console.log(`${file.records.length} records in the format "${file.format}", ${file.problems.length} problems`);
const words = (text: string): string[] => text.split(" ");
const bandOf = (confidence: number): string => {
  const low = Math.min(Math.floor(confidence * 4), 3) / 4;
  return `${low.toFixed(2)} to ${(low + 0.25).toFixed(2)}`;
};
const explored = frame(
  file.records.map(({ prompt, chosen, rejected, provenance }) => ({
    question: prompt[0].content,
    chosenWords: words(chosen).length,
    rejectedWords: words(rejected).length,
    longerWins: words(chosen).length === words(rejected).length ? null : words(chosen).length > words(rejected).length,
    confidence: provenance?.confidence,
    confidenceBand: bandOf(provenance?.confidence ?? 0),
    judge: provenance?.judge,
  })),
);
await show(explored.head(4));
await show(groupMean(explored, "judge", ["chosenWords", "rejectedWords", "longerWins", "confidence"]));
await show(sortBy(groupMean(explored, "confidenceBand", ["confidence", "longerWins"]), "confidenceBand"));

// %% [markdown] id="explore-read"
// Two things to look for in any such file. **Length:** here the longer answer is chosen in about six cases of ten, since more
// good advice takes more words; a reward model may learn "longer is better" from it. **Doubt:** `confidence` is the annotator's
// probability of the label that was given. Where it is below ½ the annotator chose against the odds. Such labels are not errors
// of the file, but a share of one in seven sets the ceiling for whoever trains on it.
//
// Which *words* win? For each word that stands in only one of the two answers, we count how often that answer was chosen:

// %% id="winning-words"
const occurrences = file.records.flatMap(({ chosen, rejected }) => {
  const [inChosen, inRejected] = [new Set(words(chosen)), new Set(words(rejected))];
  return [
    ...[...inChosen].filter((word) => !inRejected.has(word)).map((word) => ({ word: word, chosen: 1 })),
    ...[...inRejected].filter((word) => !inChosen.has(word)).map((word) => ({ word: word, chosen: 0 })),
  ];
});
const byWord = sortBy(groupMean(frame(occurrences), "word", "chosen"), "chosen_mean");
const frequent = rowsOf(byWord).filter((row) => Number(row["chosen_count"]) >= 30);
await show(
  table([...frequent.slice(0, 6), ...frequent.slice(-6)], {
    headings: { chosen_mean: "share chosen", chosen_count: "pairs" },
  }),
);

// %% [markdown] id="formats"
// ## Publicly available data, in its many formats
//
// The slides name two public sets: **Summarize from Feedback** (summaries of posts, compared by people) and **UltraFeedback**
// (answers of many models, scored by GPT-4). Each set has a format of its own. All say the same, so the course reads them into
// one record: a prompt (a list of messages), a chosen and a rejected response, perhaps a margin, and who judged
// ([`src/text/preferences.ts`](../src/text/preferences.ts)). Below is one row of each format, with our own text:

// %% id="rows-of-formats"
const user = (content: string): Message => ({ role: "user", content: content });
const bot = (content: string): Message => ({ role: "assistant", content: content });
const rowsByFormat: Record<string, object> = {
  strings: { prompt: "how do i sleep better ?", chosen: "dim the lights early .", rejected: "wait and see ." },
  messages: {
    prompt: [user("how do i sleep better ?")],
    chosen: [bot("dim the lights early .")],
    rejected: [bot("wait and see .")],
  },
  "HH-RLHF": {
    chosen: "\n\nHuman: how do i sleep better ?\n\nAssistant: dim the lights early .",
    rejected: "\n\nHuman: how do i sleep better ?\n\nAssistant: wait and see .",
  },
  UltraFeedback: {
    prompt: "how do i sleep better ?",
    prompt_id: "example-1",
    chosen: [user("how do i sleep better ?"), bot("dim the lights early .")],
    rejected: [user("how do i sleep better ?"), bot("wait and see .")],
    messages: [user("how do i sleep better ?"), bot("dim the lights early .")],
    score_chosen: 8.5,
    score_rejected: 4,
  },
  "Summarize from Feedback": {
    info: { id: "example-2", title: "no sleep", subreddit: "advice", post: "i lie awake every night since may ." },
    summaries: [
      { text: " i like may .", policy: "one model" },
      { text: " awake every night since may .", policy: "another" },
    ],
    choice: 1,
    worker: "worker-7",
    batch: "batch-1",
    split: "train",
    extra: { confidence: 7 },
  },
};
const folder = await mkdtemp(join(tmpdir(), "alignment-05-"));
const readBack: object[] = [];
for (const [name, row] of Object.entries(rowsByFormat)) {
  const path = join(folder, "rows.jsonl");
  await writeFile(path, `${JSON.stringify(row)}\n`);
  const { records, format, ignored } = await readPreferences(path); // the format is told from the row's outline
  const [{ prompt, chosen, rejected, margin, provenance }] = records;
  readBack.push({
    format: name,
    "detected as": format,
    prompt: prompt.map(({ role, content }) => `${role}: ${content}`).join("\n"),
    chosen: chosen,
    rejected: rejected,
    margin: margin,
    judge: provenance?.judge,
    "fields not used": Object.keys(ignored).join(", "),
  });
}
await show(readBack);

// %% [markdown] id="formats-broken"
// Nothing is dropped silently: fields without a use are counted, and a row that cannot be read is an error that names the file,
// the line, what was expected and what stands there. Here is a file with three broken lines. By default the first one stops the
// reading; when asked, the reader goes on and collects them:

// %% id="broken-lines"
const broken = join(folder, "broken.jsonl");
await writeFile(
  broken,
  [
    rowsByFormat["strings"],
    { prompt: "how do i learn faster ?", chosen: "teach a friend ." },
    { prompt: "how do i learn faster ?", chosen: "teach a friend .", rejected: "teach a friend ." },
    rowsByFormat["UltraFeedback"],
  ]
    .map((row) => `${JSON.stringify(row)}\n`)
    .join(""),
);
const collected = await readPreferences(broken, { onError: "collect" });
await show(
  collected.problems.map(({ line, path, expected, found }) => ({
    file: basename(broken),
    line: line,
    field: path,
    expected: expected,
    found: found,
  })),
);
console.log(`read ${collected.records.length} of ${collected.lines} lines`);
await readPreferences(broken).catch((error: Error) => console.log(error.message.replace(`${folder}/`, "")));
await rm(folder, { recursive: true });

// %% [markdown] id="formats-real"
// The third line prefers an answer to itself: every reward function gives it probability ½, so it can teach nothing. Real files
// are stranger than that. The reader was tested on 2,312 pairs of HH-RLHF, among which are empty replies, models that go on
// and speak for the human, and white space where nobody expects it
// ([`src/text/hh-rlhf.ts`](../src/text/hh-rlhf.ts) lists what was found and what becomes of it).

// %% [markdown] id="exercise-reader"
// ## Exercise: a reader that says what is wrong
//
// Write the reader of a row `{ chosen, rejected }` in which both are **whole dialogues**: lists of messages
// `{ role, content }` that share all but the last message, which is the assistant's. Return the record, or the first problem
// that you find as `{ path, expected, found }`. The path says where, as in `chosen[2].role`; `found` is the value that stands
// there; `expected` is yours to word. What can be wrong:
//
// - the row is no object (path `""`); `chosen` or `rejected` is not a list of at least two messages;
// - a `role` is not system, user or assistant; a `content` is not a string; the last message is not the assistant's;
// - the dialogues have different lengths (path `rejected`), or differ before the last message (path `rejected[i]`, found: that message);
// - both responses are the same (path `rejected[i].content`).

// %% id="hints-reader"
hints("05-format-reader");

// %% id="format-reader" tags=["exercise"]
function readDialogues(row: unknown): PreferenceRecord | { path: string; expected: string; found: unknown } {
  return unfilled("05-format-reader");
}

await check("05-format-reader", readDialogues, { seed: seed });

// %% [markdown] id="own-file"
// ## From a file to a reward model
//
// A record is text, and a model reads numbers. Everything else in this course uses the 242 words of the advice world, but a file
// may say anything. So we let the file itself say what its tokens are. **Byte-pair encoding** starts from the 256 bytes, in which
// any text can be written, and makes the pair of neighbours that occurs most often one token, again and again: first pieces of
// words, then words ([`src/text/byte-pair-encoding.ts`](../src/text/byte-pair-encoding.ts)). Put a path of your own into
// `preferenceFile` at the top, and this section runs on it unchanged.

// %% id="own-tokens"
const { records: ownRecords, format: ownFormat } = await readPreferences(preferenceFile);
const ownTokenizer = BytePairEncoding.learn(preferenceTexts(ownRecords), { size: 1024 });
console.log(`${ownRecords.length} records in the format "${ownFormat}", a vocabulary of ${ownTokenizer.size} tokens`);
console.log(
  `the first merges: ${ownTokenizer.tokens
    .slice(260, 272)
    .map((token) => JSON.stringify(token))
    .join(" ")}`,
);
const firstAnswer = ownTokenizer.encode(ownRecords[0].chosen);
console.log(`an answer: ${firstAnswer.map((id) => `[${ownTokenizer.tokens[id]}]`).join("")}`);
const { pairs: ownPairs, counts: ownCounts } = tokenisePreferences(ownTokenizer, ownRecords, {
  context: 256,
  responseLimit: 128,
  tooLong: "shorten",
});
await show([ownCounts]);

// %% [markdown] id="own-tokens-read"
// The last table says what became of the records. A model has a longest text, and real dialogues are longer. What does not fit is
// an error unless one asks for `"shorten"` or `"drop"`, and then it is counted. A pair whose answers differ only behind the cut
// is dropped: what is left of it would prefer an answer to itself.
//
// Now a reward model, from random weights: nobody has taught it the language, it has only these pairs. A quarter of them it never
// sees. **Predict:** on how many of those does it agree with the label? The file's `confidence` is each annotator's probability
// of the label given, $c_i$, so its ceiling is $\frac1N\sum_i\max(c_i, 1-c_i)$, about 0.83 in our file.

// %% id="predict-own-file" tags=["predict"]
predict({
  id: "own-file",
  question: "Accuracy of the file's reward model on pairs that it has not seen",
  answer: 0.65,
});

// %% id="own-reward-model"
const ownHeldOut = ownPairs.slice(0, Math.floor(ownPairs.length / 4));
const ownTraining = ownPairs.slice(ownHeldOut.length);
const ownTrunk = Gpt.initialise(
  { ...models.sizes.model, context: 256, vocabularySize: ownTokenizer.size },
  rng.child("weights for the file"),
);
const ownModel = ScalarModel.fromTrunk(ownTrunk, rng.child("head for the file"));
const ownFitting = trainRewardModel({
  model: ownModel,
  pairs: ownTraining,
  batchSize: 32,
  steps: Math.ceil(models.sizes.rewardPairs / 5),
  learningRate: 2e-3,
  warmUp: 20,
  schedule: "cosine",
  weightDecay: 0.1,
  rng: rng.child("reward model of the file"),
});
void (await watch(ownFitting, (records) =>
  trainingFigure(records, {
    title: "A reward model learns from a file what its labels prefer",
    metrics: [
      { key: "loss", title: "loss", unit: "nats/pair", reference: { value: Math.LN2, name: "log 2, a coin" } },
      { key: "accuracy", title: "accuracy on the batch" },
    ],
    smooth: 20,
    method: "rewardModel",
  }),
));

// %% id="compare-own-file"
const shareRight = (differences: Float64Array): number =>
  mean([...differences].map((difference) => (Math.sign(difference) + 1) / 2));
const ownDifferences = await scoreDifferences(ownModel, ownHeldOut);
const fileAccuracy = shareRight(ownDifferences);
const fileAccuracyTraining = shareRight(await scoreDifferences(ownModel, ownTraining));
const confidences = ownHeldOut.map(({ record }) => {
  const confidence = ownRecords[record].provenance?.confidence;
  return confidence !== undefined && confidence >= 0 && confidence <= 1 ? confidence : 1; // where a file gives no probability
});
const fileCeiling = mean(confidences.map((confidence) => Math.max(confidence, 1 - confidence)));
await show([
  {
    "right on the pairs it was trained on": fileAccuracyTraining,
    "right on the others": fileAccuracy,
    "ceiling there": fileCeiling,
  },
]);
await show(
  ownHeldOut.slice(0, 5).map(({ record }, i) => ({
    chosen: ownRecords[record].chosen,
    rejected: ownRecords[record].rejected,
    "the model's probability of this label": 1 / (1 + Math.exp(-ownDifferences[i])),
    "the annotator's": confidences[i],
  })),
);
compare("own-file", fileAccuracy, { tolerance: 0.04 });

// %% [markdown] id="own-file-read"
// Pairs that it was trained on it gets right more often than the ceiling allows for: where annotators chose the worse answer, it
// has begun to learn their slips by heart. Only pairs that it has not seen tell what it knows. (Their *questions* it knows: the
// file has 54 of them, and many answers to each. For new questions one holds out whole prompts.)
//
// From here the same pairs go to supervised fine-tuning and to DPO, and the prompts with this reward model to the policy gradient:
// [thirty lines](../tests/library/own-data-example.ts) go the whole way from two files to an aligned model.

// %% [markdown] id="constitution"
// ## Preferences from an AI: Constitutional AI
//
// People are slow and dear. In **RLAIF** a language model labels the pairs. Constitutional AI shows it a conversation, a written
// *principle* and the two responses as options, and reads the probabilities of "(A)" and "(B)" as the next token. Our
// constitution has 16 principles, as many as the slide's, in our own words; each judges one quality of an answer which in the
// advice world is an exact function ([`src/world/constitution.ts`](../src/world/constitution.ts)):

// %% id="principles"
await show(
  CONSTITUTION.map(({ id, text, attribute }) => ({
    id: id,
    principle: text,
    "judges (exactly)": ATTRIBUTES[attribute].meaning,
  })),
);

// %% [markdown] id="judge-text"
// ## A judge that is a language model
//
// The judge is one of our own models. It reads the question below, token by token, and its answer is a distribution over the
// next token, of which we read two entries. Conversation, principle, options, "the answer is:" — the form is the slide's.

// %% id="ask-judge"
const harmGap = ({ promptId, a, b }: (typeof comparisons)[number]): number =>
  goldOf(promptId, b).counts.harm - goldOf(promptId, a).counts.harm;
const example = comparisons.find((pair) => harmGap(pair) > 0) ?? comparisons[0];
const asked = judgeQuestion(example, principle("no-injury"));
await showText(judgePrompt(asked));

// %% [markdown] id="teach-text"
// A large model has learned from its pre-training what "hurt" means. Ours has 242 words and read a few thousand documents, so it
// has to be **taught**: it is the SFT model with the principles' words added, trained on generated questions whose right answer
// the world knows ([`src/world/judge-lessons.ts`](../src/world/judge-lessons.ts)). The loss is next-token prediction on one
// token, the letter:
//
// $$\mathcal L = -\log \pi(\text{letter} \mid \text{conversation, principle, options, “the answer is:”}),
//   \qquad P(\text{A}) = \frac{\pi(\text{“(A)”})}{\pi(\text{“(A)”}) + \pi(\text{“(B)”})}.$$
//
// What the judge knows it therefore knows from us, and that is part of its price. One thing we leave as it often is in
// collections of multiple-choice questions: the right answer stands first in a share `firstShare` of the lessons.
// The heart of the trainer ([`src/rewards/judge-model.ts`](../src/rewards/judge-model.ts)):
//
// ```ts
// const logits = judgeLogits(judge, questions);                 // [B, V], of the token after "the answer is:"
// const loss = tokenLogProbs(logits, rightLetters).neg().mean();
// ```

// %% id="teach-judge"
const judgeTraining = models.judge({ firstShare: firstShare });
const judgeRecords = await watch(judgeTraining, (records) =>
  trainingFigure(records, {
    title: "A small language model learns to answer by principles",
    metrics: [
      { key: "loss", title: "loss", unit: "nats/question", reference: { value: Math.LN2, name: "log 2, a coin" } },
      { key: "accuracy", title: "right answers" },
    ],
    smooth: 25,
  }),
);
const judge = await judgeTraining.result();
const [bothVerdicts] = await askJudgeBothOrders(judge, [asked]);
await show(
  [bothVerdicts.inOrder, bothVerdicts.swapped].map(({ logProbA, logProbB, letterMass, tokens }, i) => ({
    order: ["as above", "options exchanged"][i],
    "log P(A)": logProbA,
    "log P(B)": logProbB,
    "π(A) + π(B)": letterMass,
    "tokens read": tokens,
  })),
);

// %% [markdown] id="teach-read"
// The judge's first lessons are about answers of one clause, then of two, then about whole ones: the loss jumps up where they
// grow longer. The last column but one says that the model has learned the form: nearly all of its probability lies on the two
// letters.

// %% [markdown] id="position-text"
// ## Position bias, and its cure
//
// Which answer is called A is chance. A judge without bias therefore says "(A)" in half of many questions when each is asked in
// both orders. Suppose a judge adds $c$ to the log-odds of (A), whatever stands there. With the options exchanged, $c$ stands on
// the other answer's side. So the average of the two log-odds *for answer a*,
//
// $$\tfrac12\Big[\big(\log P_1(A) - \log P_1(B)\big) + \big(\log P_2(B) - \log P_2(A)\big)\Big]
//   = \tfrac12\Big[(\Delta_1 + c) + (\Delta_2 - c)\Big] = \frac{\Delta_1 + \Delta_2}{2},$$
//
// has no trace of it ($\Delta_1$, $\Delta_2$ are what the judge makes of the two answers in either order). We ask about pairs of
// SFT answers that the principle tells apart, up to 60 for each principle.
//
// **Predict:** our judge was taught with the right answer first in a share `firstShare` of the questions. How often does it say
// "(A)"?

// %% id="predict-position" tags=["predict"]
predict({
  id: "position",
  question: "Share of (A) among the judge's answers, each pair asked in both orders",
  answer: 0.5,
});

// %% id="ask-all"
const perPrinciple = 60;
const questionsAsked = CONSTITUTION.flatMap((judgedBy) => {
  const telling = comparisons.flatMap((comparison) => {
    const { promptId, a, b } = comparison;
    const better = favoured(judgedBy, goldOf(promptId, a), goldOf(promptId, b));
    return better === "tie" ? [] : [{ comparison: comparison, judgedBy: judgedBy, better: better }];
  });
  return telling.slice(0, perPrinciple).map((each) => ({ ...each, told: telling.length / comparisons.length }));
});
const startedReading = performance.now();
const verdicts = await askJudgeBothOrders(
  judge,
  questionsAsked.map(({ comparison, judgedBy }) => judgeQuestion(comparison, judgedBy)),
);
const secondsReading = (performance.now() - startedReading) / 1000;
const tokensReading = verdicts.reduce((sum, { inOrder, swapped }) => sum + inOrder.tokens + swapped.tokens, 0);
const forA = ({ logProbA, logProbB }: { logProbA: number; logProbB: number }): number => logProbA - logProbB;
const judged = verdicts.map(({ inOrder, swapped, averaged }, i) => {
  const sign = questionsAsked[i].better === "a" ? 1 : -1;
  // Log-odds of the right answer: where it stands first, where it stands second, and averaged.
  const [asFirst, asSecond] = sign > 0 ? [forA(inOrder), -forA(swapped)] : [forA(swapped), -forA(inOrder)];
  return {
    id: questionsAsked[i].judgedBy.id,
    attribute: questionsAsked[i].judgedBy.attribute,
    told: questionsAsked[i].told,
    asFirst: asFirst,
    asSecond: asSecond,
    averaged: sign * forA(averaged),
    towardsA: (forA(inOrder) + forA(swapped)) / 2,
  };
});
const rightShare = (logOdds: readonly number[]): number => mean(logOdds.map((x) => (Math.sign(x) + 1) / 2));
const shareOfA = mean(verdicts.flatMap(({ inOrder, swapped }) => [inOrder, swapped].map((v) => (forA(v) > 0 ? 1 : 0))));
const towardsA = mean(judged.map((each) => each.towardsA));
const accuracyFirst = rightShare(judged.map(({ asFirst }) => asFirst));
const accuracySecond = rightShare(judged.map(({ asSecond }) => asSecond));
const judgeAccuracyOneOrder = (accuracyFirst + accuracySecond) / 2;
const judgeAccuracyBothOrders = rightShare(judged.map(({ averaged }) => averaged));
compare("position", shareOfA, {
  tolerance: 0.05,
  explain: `Its mean log-odds of (A) are ${towardsA.toFixed(2)} nats; its lessons had log(s/(1 − s)) = ${Math.log(firstShare / (1 - firstShare)).toFixed(2)}. Where it is unsure, it says what was mostly right.`,
});

// %% id="figure-position"
const shareWithInterval = (label: string, value: number) => {
  const [low, high] = wilson(value, judged.length);
  return { label: label, value: value, low: low, high: high };
};
const gapOfOrders = accuracyFirst - accuracySecond;
await show(
  bars({
    title:
      Math.abs(gapOfOrders) > 0.03
        ? `Asked once, the judge is more often right when the right answer stands ${gapOfOrders > 0 ? "first" : "second"}`
        : "Asked once, this judge is about as often right wherever the right answer stands",
    subtitle: `${judged.length} pairs of SFT answers, all principles; whiskers: 95% intervals`,
    y: { title: "the judge is right", format: ".0%", range: [0, 1.12] },
    groups: [
      {
        name: "the judge",
        bars: [
          shareWithInterval("right answer is (A)", accuracyFirst),
          shareWithInterval("right answer is (B)", accuracySecond),
          shareWithInterval("both orders, averaged", judgeAccuracyBothOrders),
        ],
      },
    ],
    references: [{ value: 0.5, name: "a coin" }],
  }),
);
// After averaging, exchanging the options changes nothing: the answer to (b, a) is the answer to (a, b), turned round.
const positionBiasOneOrder = shareOfA - 0.5;
const reversed = verdicts.map(({ inOrder, swapped }) => averageOfOrders(swapped, inOrder));
const positionBiasBothOrders =
  mean(verdicts.flatMap(({ averaged }, i) => [averaged, reversed[i]].map((v) => (Math.sign(forA(v)) + 1) / 2))) - 0.5;
console.log(
  `(A) wins ${(100 * shareOfA).toFixed(1)}% when asked once, ${(50 + 100 * positionBiasBothOrders).toFixed(1)}% when averaged`,
);

// %% [markdown] id="exercise-swap"
// ## Exercise: two orders, one preference
//
// You get the judge's verdicts on the two questions; in `swapped`, option (A) held answer b. Return the probability that
// answer a is better, without position bias.

// %% id="hints-swap"
hints("05-judge-swap");

// %% id="judge-swap" tags=["exercise"]
function preferenceFromBothOrders(
  inOrder: { logProbA: number; logProbB: number },
  swapped: { logProbA: number; logProbB: number },
): number {
  return unfilled("05-judge-swap");
}

await check("05-judge-swap", preferenceFromBothOrders, { seed: seed });

// %% [markdown] id="accuracy-text"
// ## How often the judge is right
//
// With real answers, nobody knows which of two a principle truly favours. Here we do, so we count, principle by principle: of
// the pairs that it tells apart, in what share does the judge choose the one that it favours?
//
// **Predict:** which is the judge better at?

// %% id="predict-accuracy" tags=["predict"]
predict({
  id: "accuracy",
  question: "The judge is more often right about …",
  answer: "which answer keeps to the question",
  choices: ["which answer is less harmful", "which answer keeps to the question"],
});

// %% id="judge-accuracy"
const accuracyByPrinciple = CONSTITUTION.flatMap(({ id, attribute }) => {
  const those = judged.filter((each) => each.id === id);
  if (those.length === 0) return []; // the SFT model's answers never differ in it
  return [
    {
      id: id,
      attribute: attribute,
      pairs: those.length,
      told: those[0].told,
      one: (rightShare(those.map((each) => each.asFirst)) + rightShare(those.map((each) => each.asSecond))) / 2,
      both: rightShare(those.map((each) => each.averaged)),
    },
  ];
}).sort((x, y) => y.both - x.both);
const accuracyBars = (orders: "one" | "both") =>
  accuracyByPrinciple.map((row) => {
    const [low, high] = wilson(row[orders], row.pairs);
    return { label: row.id, value: row[orders], low: low, high: high };
  });
await show(
  bars({
    title: `The judge follows ${accuracyByPrinciple.filter(({ both }) => both >= 0.85).length} of ${accuracyByPrinciple.length} principles in at least 85% of the pairs that they tell apart`,
    subtitle: "whiskers: 95% intervals",
    width: 900,
    y: { title: "the judge is right", format: ".0%", range: [0, 1.04] },
    groups: [
      { name: "asked once", bars: accuracyBars("one") },
      { name: "asked in both orders, averaged", bars: accuracyBars("both") },
    ],
    references: [{ value: 0.5, name: "a coin" }],
    values: false,
  }),
);
await show(
  accuracyByPrinciple.map(({ id, attribute, pairs, told, one, both }) => ({
    principle: id,
    judges: attribute,
    "share of pairs it tells apart": told,
    "pairs asked": pairs,
    "right, asked once": one,
    "right, both orders": both,
  })),
);
const accuracyOn = (attributes: readonly string[]): number => {
  const those = judged.filter(({ attribute }) => attributes.includes(attribute));
  return those.length > 0 ? rightShare(those.map(({ averaged }) => averaged)) : 0.5;
};
compare(
  "accuracy",
  accuracyOn(["harmlessness"]) > accuracyOn(["relevance"])
    ? "which answer is less harmful"
    : "which answer keeps to the question",
  {
    explain:
      "A harmful fragment is made of words that stand nowhere else. Whether advice keeps to the question depends on two places at once: the advice and the question.",
  },
);

// %% [markdown] id="accuracy-read"
// What can be told from single words (harm, a caution, a hedge) two layers learn first. What takes a comparison *within* an
// answer, or with the question, or a judgement of its grammar, they learn late or not in this time. A judge's average says little:
// look at the principle that you mean to use. And note the first column: a principle that tells few pairs apart has nothing to
// say about the others, yet a label always comes out.

// %% [markdown] id="records-text"
// ## Labels, and where they come from
//
// Each verdict becomes a record in the same format as every other preference, and says where it comes from: who judged, by which
// principle, how sure. So do the annotators' labels.

// %% id="records"
const labelSources = {
  harm: ["no-injury", "no-crime", "protects-the-weak"],
  overall: ["wise-overall"],
  "all sixteen": CONSTITUTION.map(({ id }) => id),
};
const judging = Object.fromEntries(
  Object.entries(labelSources).map(([name, ids]) => [
    name,
    models.judging({ principles: ids, firstShare: firstShare }),
  ]),
);
const judgedBySource: Record<string, Awaited<ReturnType<(typeof judging)[string]["result"]>>> = {};
for (const [name, stage] of Object.entries(judging)) judgedBySource[name] = await stage.result();
const recordsFolder = await mkdtemp(join(tmpdir(), "alignment-05-"));
const recordsFile = join(recordsFolder, "judged.jsonl");
await writePreferences(
  recordsFile,
  [
    ...clean
      .slice(0, 3)
      .map((pair) => toPreferenceRecord(pair, { judge: "simulated annotator", source: "SFT answers" })),
    ...judgedBySource["all sixteen"]
      .slice(0, 5)
      .map((comparison) => judgedRecord(comparison, { judge: "AI judge", orders: "both", source: "SFT answers" })),
  ],
  { format: "strings" },
);
const { records: labelRecords } = await readPreferences(recordsFile);
await rm(recordsFolder, { recursive: true });
await show(
  labelRecords.map(({ chosen, rejected, provenance }) => ({
    chosen: chosen,
    rejected: rejected,
    judge: provenance?.judge,
    principle: provenance?.principle,
    confidence: provenance?.confidence,
  })),
);

// %% [markdown] id="agreement-text"
// ## Do judge and people agree?
//
// A principle sees one quality; people weigh all of them. We compare labels with the gold reward, which nobody sees, and with the
// annotators' labels of the same pairs. *Two annotators* agree with each other in the share $\frac1N\sum_i q_i^2 + (1-q_i)^2$.

// %% id="agreement"
const sameAsAnnotators = (pairs: readonly { chosen: string }[]): number =>
  mean(pairs.map(({ chosen }, i) => (chosen === clean[i].chosen ? 1 : 0)));
const annotatorAgreement = mean(
  gaps["two SFT answers"].map((d) => preferenceProbability(d, 0, temperature)).map((q) => q * q + (1 - q) * (1 - q)),
);
const labelQuality = Object.entries(judgedBySource).map(([name, comparisonsOf]) => {
  const pairs = judgedPairs(comparisonsOf, "both");
  return { labels: name, gold: mean(pairs.map(agreesWithGold)), annotators: sameAsAnnotators(pairs) };
});
const goldOfLabels = (name: string): number => labelQuality.find(({ labels }) => labels === name)?.gold ?? 0;
await show(
  [
    { labels: "annotators", gold: mean(clean.map(agreesWithGold)), annotators: annotatorAgreement },
    ...labelQuality,
  ].map(({ labels, gold, annotators }) => ({
    labels: labels,
    "name the better answer by gold": gold,
    "agree with an annotator": annotators,
  })),
);

// %% [markdown] id="agreement-read"
// In Constitutional AI the sixteen principles were different wordings of *one* aim, harmlessness, and helpfulness was still
// labelled by people. Principles with different aims, drawn at random, contradict each other.

// %% [markdown] id="reward-text"
// ## What a reward model makes of AI labels
//
// We fit four reward models to the same pairs, with the same steps: on annotators' labels (clean), on labels by the three
// principles about **harm**, on labels by the one **overall** principle, and on labels by **all sixteen**, one drawn for each
// pair. All AI labels are asked in both orders. Then we rank held-out pairs.
//
// **Predict:** which of them ranks pairs best by gold reward?

// %% id="predict-reward" tags=["predict"]
predict({
  id: "reward",
  question: "Labels whose reward model ranks best by gold reward",
  answer: "annotators",
  choices: ["annotators", "harm", "overall", "all sixteen"],
});

// %% id="fit-reward-models"
const labelsOfJudge = (name: keyof typeof labelSources) =>
  models.aiPreferences({ principles: labelSources[name], firstShare: firstShare });
const sources = {
  annotators: undefined,
  harm: labelsOfJudge("harm"),
  overall: labelsOfJudge("overall"),
  "all sixteen": labelsOfJudge("all sixteen"),
};
const { validation } = await models.preferences().result();
const heldOut = validation.map((pair) => ({
  chosen: goldOf(pair.promptId, pair.chosen),
  rejected: goldOf(pair.promptId, pair.rejected),
}));
const qualities = { "gold reward": "worth", harmlessness: "harmlessness", helpfulness: "helpfulness" } as const;
const fittings = Object.entries(sources).map(([source, labels]) => ({
  source: source,
  stage: models.rewardModel({ preferences: labels }),
}));
async function* fitAll() {
  for (const { source, stage } of fittings) for await (const record of stage) yield { ...record, source: source };
}
void (await watch(fitAll(), (records) =>
  trainingFigure(
    Object.fromEntries(fittings.map(({ source }) => [source, records.filter((record) => record.source === source)])),
    {
      title: "On the training pairs every model improves, whatever its labels are worth",
      metrics: [
        { key: "loss", title: "loss", unit: "nats/pair", reference: { value: Math.LN2, name: "log 2, a coin" } },
        { key: "accuracy", title: "accuracy on the batch" },
      ],
      smooth: 20,
    },
  ),
));

// %% id="rank-held-out"
const ranked: { source: string; quality: string; share: number; count: number }[] = [];
const heldOutPairs = validation.map((pair) => models.preferencePair(pair));
for (const { source, stage } of fittings) {
  const differences = await scoreDifferences(await stage.result(), heldOutPairs);
  for (const [quality, attribute] of Object.entries(qualities)) {
    const { measure } = ATTRIBUTES[attribute];
    const truth = heldOut.map(({ chosen, rejected }) => measure(chosen) - measure(rejected));
    const telling = truth.map((_, i) => i).filter((i) => Math.abs(truth[i]) > 1e-9);
    const right = telling.filter((i) => truth[i] * differences[i] > 0).length;
    const share = telling.length > 0 ? right / telling.length : 0.5;
    ranked.push({ source: source, quality: quality, share: share, count: telling.length });
  }
}

// %% id="figure-reward-models"
await show(
  bars({
    title: "A reward model ranks by what its labels were about",
    subtitle: `${models.sizes.rewardPairs} pairs each; held-out pairs that differ in the quality; whiskers: 95% intervals`,
    y: { title: "ranked right", format: ".0%", range: [0, 1.08] },
    x: "labels",
    groups: Object.keys(qualities).map((quality) => ({
      name: quality,
      bars: ranked
        .filter((row) => row.quality === quality)
        .map(({ source, share, count }) => {
          const [low, high] = wilson(share, count);
          return { label: source, value: share, low: low, high: high };
        }),
    })),
    references: [{ value: 0.5, name: "a coin" }],
  }),
);
const byGold = ranked.filter(({ quality }) => quality === "gold reward");
compare("reward", byGold.reduce((best, row) => (row.share > best.share ? row : best)).source);
const rankedRight = (source: string, quality: string): number =>
  ranked.find((row) => row.source === source && row.quality === quality)?.share ?? 0;

// %% [markdown] id="reward-read"
// Labels about **harm** make a model that finds harm and knows little of helpfulness; most of them were about pairs without
// harm. What a constitution asks for is what one gets, as far as the judge understood it.

// %% [markdown] id="rlaif-text"
// ## RLHF and RLAIF, end to end
//
// Now the whole way twice: labels, a reward model, and the policy gradient with the same $\beta$, steps and seed, which
// [notebook 7](07-reward-maximisation.ipynb) explains. Only who labelled differs: annotators, or the AI judge by its overall
// principle, and by the three about harm.
//
// **Predict:** does the policy trained on the *overall* labels of the AI judge end with more gold reward than the SFT model?

// %% id="predict-rlaif" tags=["predict"]
predict({
  id: "rlaif",
  question: "Gold reward after RLAIF (overall), compared with the SFT model",
  answer: "higher",
  choices: ["higher", "lower"],
});

// %% id="train-policies"
const policyStages = [
  { name: "RLHF", stage: models.aligned("policyGradient", { beta: beta }) },
  { name: "RLAIF, overall", stage: models.aligned("policyGradient", { beta: beta, preferences: sources.overall }) },
  { name: "RLAIF, harm", stage: models.aligned("policyGradient", { beta: beta, preferences: sources.harm }) },
];
async function* trainAll() {
  for (const { name, stage } of policyStages) for await (const record of stage) yield { ...record, source: name };
}
void (await watch(trainAll(), (records) =>
  trainingFigure(
    Object.fromEntries(policyStages.map(({ name }) => [name, records.filter((record) => record.source === name)])),
    {
      title: "The same policy gradient on three reward models",
      metrics: [{ key: "gold", title: "gold reward of the samples" }],
      smooth: 15,
    },
  ),
));

// %% id="measure-policies"
const sftPolicy = await models.sft().result();
const measured: { name: string; gold: number; harm: number; kl: number }[] = [];
for (const { name, policy } of [
  { name: "SFT", policy: sftPolicy },
  ...(await Promise.all(policyStages.map(async ({ name, stage }) => ({ name: name, policy: await stage.result() })))),
]) {
  const { metrics } = await evaluateAdvice({
    policy: policy,
    reference: sftPolicy,
    vocabulary: models.vocabulary,
    prompts: testPrompts(),
    samplesPerPrompt: models.sizes.answersPerPrompt,
    rng: rng.child("answers of the aligned models"),
  });
  measured.push({ name: name, gold: metrics.gold, harm: metrics.harmRate, kl: metrics.klPolicyToReference ?? 0 });
}
const goldAfter = (name: string): number => measured.find((row) => row.name === name)?.gold ?? 0;
await show(
  measured.map(({ name, gold, harm, kl }) => ({
    policy: name,
    "gold reward": gold,
    "harmful answers": harm,
    "KL(π‖SFT), nats a sequence": kl,
  })),
);
compare("rlaif", goldAfter("RLAIF, overall") > goldAfter("SFT") ? "higher" : "lower");

// %% [markdown] id="cost-text"
// ### What it cost
//
// Prices and a person's pace are assumptions, set among the parameters. Measured are the tokens that the judge read for its
// labels (every pair in both orders), the tokens of its lessons, and how fast it reads here; a lesson's token costs about as much
// as three that are only read (forward and backward).

// %% id="cost"
const tokensPerSecond = tokensReading / secondsReading;
const labelCount = models.sizes.rewardPairs;
const labelTokens = judgedBySource.overall.reduce((sum, { tokens }) => sum + tokens, 0);
const lessonTokens = judgeRecords[judgeRecords.length - 1].tokens;
const costRows = [
  {
    feedback: `${labelCount} labels of annotators`,
    "tokens read": 0,
    "lesson tokens": 0,
    "seconds of people": labelCount * humanLabelSeconds,
    "seconds of this machine": 0,
    dollars: labelCount * humanLabelPrice,
  },
  {
    feedback: `${labelCount} labels of the AI judge, both orders`,
    "tokens read": labelTokens,
    "lesson tokens": lessonTokens,
    "seconds of people": 0,
    "seconds of this machine": (labelTokens + 3 * lessonTokens) / tokensPerSecond,
    dollars: ((labelTokens + 3 * lessonTokens) * millionTokensPrice) / 1e6,
  },
];
await show(costRows);
const tokensPerJudgeLabel = labelTokens / judgedBySource.overall.length;
const judgeLabelPrice = (tokensPerJudgeLabel * millionTokensPrice) / 1e6;
console.log(
  `a judge's label takes ${tokensPerJudgeLabel.toFixed(0)} tokens; its lessons cost as much as ` +
    `${Math.round((3 * lessonTokens) / tokensPerJudgeLabel)} labels, and one human label pays for ` +
    `${Math.round(humanLabelPrice / judgeLabelPrice)} of its labels`,
);

// %% [markdown] id="cost-read"
// One cost is missing from the table. The lessons' right answers came from the world itself, which knows the gold parse of every
// answer; in ours the judge knows nothing that we could not have told the reward model. Outside this world that knowledge has to
// come from pre-training, and nobody can look up which answer a principle favours.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  shareIdentical: shareIdentical,
  goldDistanceSft: mean(gaps["two SFT answers"].map(Math.abs)),
  goldDistanceSftBase: mean(gaps["an SFT and a base answer"].map(Math.abs)),
  annotatorCeiling: annotatorCeiling,
  annotatorAccuracy: mean(clean.map(agreesWithGold)),
  annotatorCeilingFlipped: expectedAccuracy(temperature, flipRate),
  annotatorAccuracyFlipped: mean(flipped.map(agreesWithGold)),
  annotatorAgreement: annotatorAgreement,
  longerChosen: mean(
    file.records.map(({ chosen, rejected }) => Math.sign(words(chosen).length - words(rejected).length) / 2 + 0.5),
  ),
  fileCeiling: fileCeiling,
  fileRewardAccuracyTraining: fileAccuracyTraining,
  fileRewardAccuracy: fileAccuracy,
  positionBiasOneOrder: positionBiasOneOrder,
  positionBiasBothOrders: positionBiasBothOrders,
  positionBiasNats: towardsA,
  judgeAccuracyRightFirst: accuracyFirst,
  judgeAccuracyRightSecond: accuracySecond,
  judgeAccuracyOneOrder: judgeAccuracyOneOrder,
  judgeAccuracyBothOrders: judgeAccuracyBothOrders,
  judgeAccuracyHarm: accuracyOn(["harmlessness"]),
  judgeAccuracyOverall: accuracyOn(["worth"]),
  goldAccuracyHarmLabels: goldOfLabels("harm"),
  goldAccuracyOverallLabels: goldOfLabels("overall"),
  goldAccuracyAllSixteenLabels: goldOfLabels("all sixteen"),
  tokensPerJudgeLabel: tokensPerJudgeLabel,
  judgeLessonTokens: lessonTokens,
  rewardAccuracyAnnotators: rankedRight("annotators", "gold reward"),
  rewardAccuracyHarm: rankedRight("harm", "gold reward"),
  rewardAccuracyOverall: rankedRight("overall", "gold reward"),
  rewardAccuracyAllSixteen: rankedRight("all sixteen", "gold reward"),
  rewardHarmlessnessAnnotators: rankedRight("annotators", "harmlessness"),
  rewardHarmlessnessHarm: rankedRight("harm", "harmlessness"),
  goldSft: goldAfter("SFT"),
  goldRlhf: goldAfter("RLHF"),
  goldRlaifOverall: goldAfter("RLAIF, overall"),
  goldRlaifHarm: goldAfter("RLAIF, harm"),
  harmSft: measured[0].harm,
  harmRlhf: measured[1].harm,
  harmRlaifOverall: measured[2].harm,
  harmRlaifHarm: measured[3].harm,
  klRlhf: measured[1].kl,
  klRlaifOverall: measured[2].kl,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Stiennon et al. (2020), *Learning to summarize from human feedback*.
// - Bai et al. (2022), *Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback* (HH-RLHF).
// - Bai et al. (2022), *Constitutional AI: Harmlessness from AI Feedback*.
// - Cui et al. (2023), *UltraFeedback: Boosting Language Models with Scaled AI Feedback*.
// - Lee et al. (2023), *RLAIF: Scaling Reinforcement Learning from Human Feedback with AI Feedback*.
// - Zheng et al. (2023), *Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena* (position bias of judges).
