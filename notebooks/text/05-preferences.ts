// %% [markdown] id="title"
// # 5 · Where preferences come from
//
// *Follows the lecture's slides* **Where Does the Data Come From?**, **Publicly Available Preference Data** *and*
// **Constitutional AI for Collecting Preferences**
//
// [Notebook 4](04-bradley-terry.ipynb) fitted a reward model to pairs $(x, y_+, y_-)$. Here you make such pairs: prompts from
// the instruction-tuning set, answers from the model that is to be aligned, and labels first from people (RLHF), then from an
// AI judge that reads a written principle (RLAIF). Both kinds of label are noisy. You measure how noisy, and what a reward
// model makes of them.
//
// After it you can
// - say how good a reward model can look at best when its labels come from annotators who disagree;
// - read a preference file that you did not write, and refuse what is wrong in it with a message that helps;
// - ask a judge a multiple-choice question, recognise its position bias, and cure it;
// - say what labels by a principle teach a reward model, and what they do not.
//
// *Reading: 25 minutes. Running: about 3 minutes on two CPU cores the first time, seconds afterwards (trained models are kept).*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
// The annotators: gold reward per nat of preference, and the share of their labels that are turned round by mistake.
let temperature: number = 0.5;
let flipRate: number = 0.1;
// The AI judge: nats towards option (A), and the error with which it reads an answer.
let positionBias: number = 1;
let readingNoise: number = 0.6;
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
  ATTRIBUTES,
  averageOfOrders,
  bars,
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
  groupMean,
  hints,
  judge,
  judgeComparisons,
  judgePrompt,
  lines,
  preferenceProbability,
  Predictions,
  principle,
  Random,
  readPreferences,
  results,
  rowsOf,
  scoreDifferences,
  show,
  showText,
  sortBy,
  table,
  trainingFigure,
  trainPrompts,
  unfilled,
  watch,
  wilson,
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
// **The judge of this notebook is simulated.** The language models of this course speak 242 words and cannot follow a written
// principle, so in place of a model's next-token distribution stands a formula
// ([`src/world/judge.ts`](../src/world/judge.ts)): it *reads* the quality $h$ that the principle names with an error, and has a
// liking for whatever stands first,
//
// $$\log\frac{P(\text{A})}{P(\text{B})} = s\,\big[(h_a + \eta_a) - (h_b + \eta_b)\big] + c,
//   \qquad \eta \sim \mathcal N(0, \tau^2),$$
//
// with sharpness $s = 2$, reading error $\tau$ = `readingNoise` and position bias $c$ = `positionBias`. How accurate this judge
// is was therefore *chosen*, and says nothing about real ones. What is real are the prompt, the form of the answer, the bias
// that judges of this kind are known for, and the remedy. A judge that is a trained language model comes in a later chapter.

// %% id="ask-judge"
const harmGap = ({ promptId, a, b }: (typeof comparisons)[number]): number =>
  goldOf(promptId, b).counts.harm - goldOf(promptId, a).counts.harm;
const example = comparisons.find((pair) => harmGap(pair) !== 0) ?? comparisons[0];
const conversation = [user(advicePrompts()[example.promptId].text)];
const asked = { conversation: conversation, principle: principle("no-injury"), a: example.a, b: example.b };
const exchanged = { ...asked, a: example.b, b: example.a };
await showText(judgePrompt(asked));
const judgeOptions = { readingNoise: readingNoise, positionBias: positionBias };
const onePass = rng.child("one question");
const [firstVerdict, secondVerdict] = [asked, exchanged].map((question) =>
  judge(question, { ...judgeOptions, rng: onePass }),
);
await show([
  { order: "as above", "log P(A)": firstVerdict.logProbA, "log P(B)": firstVerdict.logProbB },
  { order: "options exchanged", "log P(A)": secondVerdict.logProbA, "log P(B)": secondVerdict.logProbB },
]);

// %% [markdown] id="position-text"
// ## Position bias, and its cure
//
// A judge without bias answers "(A)" in half of many questions, since which answer is called A is chance. Ours adds $c$ to the
// log-odds of (A). Ask the same question with the options exchanged, and $c$ stands on the other answer's side. So the average
// of the two log-odds *for answer a*,
//
// $$\tfrac12\Big[\big(\log P_1(A) - \log P_1(B)\big) + \big(\log P_2(B) - \log P_2(A)\big)\Big]
//   = \tfrac12\Big[(s\,\Delta_1 + c) + (s\,\Delta_2 - c)\Big] = s\,\frac{\Delta_1 + \Delta_2}{2},$$
//
// has no trace of it ($\Delta_1$, $\Delta_2$ are the two readings of $h_a - h_b$).
//
// **Predict:** asked once, with the bias set above, how often does the judge answer "(A)" over many pairs, each presented in
// both orders?

// %% id="predict-position" tags=["predict"]
predict({
  id: "position",
  question: "Share of (A) among the judge's answers, each pair asked in both orders",
  answer: 0.7,
});

// %% id="position-bias"
const some = comparisons.slice(0, 800);
const exchange = ({ promptId, a, b }: (typeof some)[number]) => ({ promptId: promptId, a: b, b: a });
/** How often the answer that was presented first wins, over both presentations of each pair. */
function shareOfFirst(bias: number, orders: "one" | "both"): number {
  const wins = [some, some.map(exchange)].flatMap((presented, which) => {
    const { pairs } = judgeComparisons({
      comparisons: presented,
      principles: CONSTITUTION,
      orders: orders,
      rng: rng.child(`position bias ${which}`),
      readingNoise: readingNoise,
      positionBias: bias,
    });
    return pairs.map(({ chosen }, i) => (chosen === presented[i].a ? 1 : 0));
  });
  return mean(wins);
}
const biases = [-2, -1, 0, 1, 2];
const firstWins = (["one", "both"] as const).map((orders) => biases.map((bias) => shareOfFirst(bias, orders)));
const interval = (share: number): [number, number] => wilson(share, 2 * some.length);
await show(
  lines({
    title: "Asked in one order, the judge prefers a place; asked in both, it prefers none",
    subtitle: `${some.length} pairs, each presented in both orders, principles drawn at random; bands: 95% intervals`,
    x: { title: "position bias of the judge", unit: "nats towards (A)" },
    y: { title: "the first option wins", format: ".0%", range: [0, 1] },
    series: ["asked once", "asked in both orders, averaged"].map((name, i) => ({
      name: name,
      x: biases,
      y: firstWins[i],
      low: firstWins[i].map((share) => interval(share)[0]),
      high: firstWins[i].map((share) => interval(share)[1]),
    })),
    references: [{ value: 0.5, name: "no preference for a place" }],
  }),
);
const positionBiasOneOrder = shareOfFirst(positionBias, "one") - 0.5;
const positionBiasBothOrders = shareOfFirst(positionBias, "both") - 0.5;
compare("position", 0.5 + positionBiasOneOrder, { tolerance: 0.05 });

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
// With real answers, nobody knows which of two a principle truly favours. Here we do, so we count: of the pairs that a principle
// tells apart at all, in what share does the judge choose the one that it favours?

// %% id="judge-accuracy"
const judgedPairs = comparisons.slice(0, 2000);
const judgedGold = judgedPairs.map(({ promptId, a, b }) => ({ a: goldOf(promptId, a), b: goldOf(promptId, b) }));
const accuracyByPrinciple = CONSTITUTION.map((judgedBy) => {
  const truth = judgedGold.map(({ a, b }) => favoured(judgedBy, a, b));
  const telling = truth.map((_, i) => i).filter((i) => truth[i] !== "tie");
  const [one, both] = (["one", "both"] as const).map((orders) => {
    const { pairs } = judgeComparisons({
      ...judgeOptions,
      comparisons: judgedPairs,
      principles: [judgedBy],
      orders: orders,
      rng: rng.child(`judged by ${judgedBy.id}`),
    });
    return telling.filter((i) => pairs[i].chosen === judgedPairs[i][truth[i] as "a" | "b"]).length / telling.length;
  });
  return { id: judgedBy.id, telling: telling.length, one: one, both: both };
}).filter(({ telling }) => telling > 0);
const accuracyBars = (orders: "one" | "both") =>
  accuracyByPrinciple.map((row) => {
    const [low, high] = wilson(row[orders], row.telling);
    return { label: row.id, value: row[orders], low: low, high: high };
  });
await show(
  bars({
    title:
      "Asked in both orders, the judge is more often right " +
      `on ${accuracyByPrinciple.filter(({ one, both }) => both > one).length} of ${accuracyByPrinciple.length} principles`,
    subtitle: "pairs that the principle tells apart; whiskers: 95% intervals",
    width: 900,
    y: { title: "the judge is right", format: ".0%", range: [0, 1.04] },
    groups: [
      { name: "asked once", bars: accuracyBars("one") },
      { name: "asked in both orders, averaged", bars: accuracyBars("both") },
    ],
    references: [{ value: 0.5, name: "a coin" }],
  }),
);
const judgeAccuracyOneOrder = mean(accuracyByPrinciple.map(({ one }) => one));
const judgeAccuracyBothOrders = mean(accuracyByPrinciple.map(({ both }) => both));
const told = accuracyByPrinciple.map(({ id, telling }) => ({ id: id, share: telling / judgedPairs.length }));
await show(
  [...told]
    .sort((x, y) => y.share - x.share)
    .map(({ id, share }) => ({ principle: id, "share of pairs it tells apart": share })),
);

// %% [markdown] id="control-text"
// Two gains are mixed in that figure. The swap removes the bias, and asking twice averages two readings. A control tells them
// apart: ask twice *in the same order*.

// %% id="control"
const control = { once: 0, "twice, same order": 0, "both orders": 0 };
let controlled = 0;
const controlStream = rng.child("control");
judgedPairs.forEach(({ promptId, a, b }, i) => {
  const judgedBy = CONSTITUTION[i % CONSTITUTION.length];
  const better = favoured(judgedBy, judgedGold[i].a, judgedGold[i].b);
  if (better === "tie") return;
  const question = { conversation: [user(advicePrompts()[promptId].text)], principle: judgedBy, a: a, b: b };
  const ask = (swap: boolean) =>
    judge(swap ? { ...question, a: b, b: a } : question, { ...judgeOptions, rng: controlStream });
  const [once, again, swapped] = [ask(false), ask(false), ask(true)];
  const forA = (verdict: typeof once): number => verdict.logProbA - verdict.logProbB;
  const right = (logOdds: number): number => (logOdds > 0 === (better === "a") ? 1 : 0);
  controlled++;
  control.once += right(forA(once));
  control["twice, same order"] += right((forA(once) + forA(again)) / 2);
  control["both orders"] += right(forA(averageOfOrders(once, swapped)));
});
await show(
  Object.entries(control).map(([how, right]) => ({
    asked: how,
    "judge is right": right / controlled,
    pairs: controlled,
  })),
);

// %% [markdown] id="cost-text"
// ## What labels cost
//
// The prices and a person's pace are assumptions, set among the parameters. Two things are measured: how long the question is,
// which a judge that is a language model reads twice a label when both orders are asked (a token is taken to be three quarters
// of a word, and the answer, one token, to be free); and how fast the *simulated* judge answers, which no language model does.
// The judge's labels are those under its overall principle, `wise-overall`, which judges what the annotators judge.

// %% id="cost"
const started = performance.now();
const overall = judgeComparisons({
  ...judgeOptions,
  comparisons: comparisons,
  principles: [principle("wise-overall")],
  rng: rng.child("overall labels"),
}).pairs;
const secondsPerLabel = (performance.now() - started) / 1000 / overall.length;
const tokensPerQuestion = mean(
  some.map(({ promptId, a, b }) => {
    const text = judgePrompt({ ...asked, conversation: [user(advicePrompts()[promptId].text)], a: a, b: b });
    return text.split(/\s+/).length / 0.75;
  }),
);
const judgeLabelPrice = (2 * tokensPerQuestion * millionTokensPrice) / 1e6;
await show([
  {
    "1,000 labels of": "annotators",
    "right about gold": mean(clean.map(agreesWithGold)),
    dollars: 1000 * humanLabelPrice,
    seconds: 1000 * humanLabelSeconds,
  },
  {
    "1,000 labels of": "the AI judge, both orders",
    "right about gold": mean(overall.map(agreesWithGold)),
    dollars: 1000 * judgeLabelPrice,
    seconds: 1000 * secondsPerLabel,
  },
]);
console.log(
  `a question has ${tokensPerQuestion.toFixed(0)} tokens; ` +
    `one human label pays for ${Math.round(humanLabelPrice / judgeLabelPrice)} of the judge's`,
);

// %% [markdown] id="agreement-text"
// ## Do judge and people agree?
//
// A principle sees one quality; people weigh all of them. We compare the judge's labels with the annotators' clean ones on the
// same pairs: on all of them, and on those that the principle tells apart. The grey line is how often *two annotators* agree
// with each other, $\frac1N\sum_i q_i^2 + (1-q_i)^2$.
//
// **Predict:** over all pairs, do labels by the principle `no-injury` (harmlessness) agree with people more or less often than
// labels by `gives-steps` (helpfulness)?

// %% id="predict-agreement" tags=["predict"]
predict({
  id: "agreement",
  question: "Labels by the principle of harmlessness, rather than helpfulness, agree with people …",
  answer: "more often",
  choices: ["more often", "less often"],
});

// %% id="agreement"
const agreements = ["no-injury", "gives-steps", "polite", "brief", "wise-overall"].map((id) => {
  const judgedBy = principle(id);
  const { pairs } = judgeComparisons({
    ...judgeOptions,
    comparisons: comparisons,
    principles: [judgedBy],
    rng: rng.child(`agreement on ${id}`),
  });
  const same = pairs.map(({ chosen }, i) => (chosen === clean[i].chosen ? 1 : 0));
  const apart = same.filter((_, i) => {
    const { promptId, a, b } = comparisons[i];
    return favoured(judgedBy, goldOf(promptId, a), goldOf(promptId, b)) !== "tie";
  });
  return {
    id: id,
    attribute: judgedBy.attribute,
    all: mean(same),
    apart: apart.length > 0 ? mean(apart) : 0.5,
    share: apart.length / same.length,
  };
});
const annotatorAgreement = mean(
  gaps["two SFT answers"].map((d) => preferenceProbability(d, 0, temperature)).map((q) => q * q + (1 - q) * (1 - q)),
);
await show(
  bars({
    title: "What a principle does not see, its labels decide by chance",
    x: "principle",
    y: { title: "agreement with annotators", format: ".0%", range: [0, 1.04] },
    groups: [
      { name: "all pairs", bars: agreements.map(({ id, all }) => ({ label: id, value: all })) },
      {
        name: "pairs that the principle tells apart",
        bars: agreements.map(({ id, apart }) => ({ label: id, value: apart })),
      },
    ],
    references: [
      { value: annotatorAgreement, name: "two annotators" },
      { value: 0.5, name: "a coin" },
    ],
    values: false,
  }),
);
await show(
  agreements.map(({ id, attribute, share, apart, all }) => ({
    principle: id,
    judges: attribute,
    "tells apart": share,
    "agreement there": apart,
    "agreement on all pairs": all,
  })),
);
const [harmless, helpful] = agreements;
compare("agreement", harmless.all > helpful.all ? "more often" : "less often", {
  explain:
    "Most pairs do not differ in harm. On those the judge of harmlessness has nothing to see, and its label is noise.",
});

// %% [markdown] id="agreement-read"
// A label always comes out, also where the principle has nothing to say. In Constitutional AI the sixteen principles were
// different wordings of *one* aim, harmlessness, and helpfulness was still labelled by people. Principles with different aims,
// drawn at random, contradict each other.

// %% [markdown] id="reward-text"
// ## What a reward model makes of AI labels
//
// The proof of labels is the reward model fitted to them. We fit four to the same pairs, with the same steps: on annotators'
// labels (clean, at $T = 0.5$), on labels by the three principles about **harm**, on labels by the one **overall** principle,
// and on labels by **all sixteen**, one drawn for each pair. All AI labels are asked in both orders. Then we rank held-out pairs.
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
const sources = {
  annotators: undefined,
  harm: { ...judgeOptions, principles: ["no-injury", "no-crime", "protects-the-weak"] },
  overall: { ...judgeOptions, principles: ["wise-overall"] },
  "all sixteen": { ...judgeOptions },
};
const { validation } = await models.preferences();
const heldOut = validation.map((pair) => ({
  chosen: goldOf(pair.promptId, pair.chosen),
  rejected: goldOf(pair.promptId, pair.rejected),
}));
const qualities = { "gold reward": "worth", harmlessness: "harmlessness", helpfulness: "helpfulness" } as const;
const fittings = Object.entries(sources).map(([source, feedback]) => ({
  source: source,
  stage: models.rewardModel({ feedback: feedback }),
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
// Read it with the judge's formula in mind. With the reading error set at first, labels under the **overall** principle make a
// model as good as people's labels do, or better, because this judge reads gold reward with less noise than the annotators show.
// That was our choice, not a finding about AI judges: with `readingNoise` 2.4 people's labels were ahead on each of three seeds.
//
// What does carry over is the rest. Labels about **harm** alone make a model that finds harm and knows little of helpfulness;
// most of them were coin tosses. Labels by **all sixteen** principles, drawn at random, make a model that has learned little of
// anything, though on its training pairs it looked well (the figure before): pairs can be learned by heart. What a constitution
// asks for is what one gets.

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
  positionBiasOneOrder: positionBiasOneOrder,
  positionBiasBothOrders: positionBiasBothOrders,
  judgeAccuracyOneOrder: judgeAccuracyOneOrder,
  judgeAccuracyBothOrders: judgeAccuracyBothOrders,
  judgeAccuracySameOrderTwice: control["twice, same order"] / controlled,
  judgeLabelAccuracy: mean(overall.map(agreesWithGold)),
  dollarsPerJudgeLabel: judgeLabelPrice,
  agreementHarmlessness: harmless.all,
  agreementHelpfulness: helpful.all,
  agreementHarmlessnessApart: harmless.apart,
  agreementHelpfulnessApart: helpful.apart,
  rewardAccuracyAnnotators: rankedRight("annotators", "gold reward"),
  rewardAccuracyHarm: rankedRight("harm", "gold reward"),
  rewardAccuracyOverall: rankedRight("overall", "gold reward"),
  rewardAccuracyAllSixteen: rankedRight("all sixteen", "gold reward"),
  rewardHarmlessnessAnnotators: rankedRight("annotators", "harmlessness"),
  rewardHarmlessnessHarm: rankedRight("harm", "harmlessness"),
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
