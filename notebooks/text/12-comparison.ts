// %% [markdown] id="title"
// # 12 · The taxonomy, measured
//
// *Follows the lecture's slides* **Taxonomy of Alignment Methods** *and* **Reward Models Are Not Perfect**
//
// The lecture sorts the methods by what they optimise (reward maximisation, contrastive learning, distribution matching) and by
// where what they learn from is drawn (online, offline, mixed). Notebooks 7 to 11 took them one by one. Here all of them start
// from the same model, learn from the same preferences, and are compared where it is fair: **at the same distance from the
// reference**. Then we take a few of them far beyond what their reward model knows, fit the laws of over-optimisation, and try
// what is said to help.
//
// After it you can
// - compare alignment methods without fooling yourself: matched KL, seeds, and what each number cost;
// - fit the laws of Gao et al. (2022) and say where optimising a reward model stops paying;
// - say what ensembles and early stopping buy, and choose a method and a $\beta$ for a given set of limits.
//
// *Reading: 25 minutes. Running: about 4 minutes on two CPU cores the first time; afterwards everything is loaded.*

// %% id="parameters" tags=["parameters"]
let beta: number = 0.1;
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";

// %% id="setup"
import {
  atMatchedKl,
  bars,
  check,
  chooseBackend,
  chooseScale,
  comparedPaths,
  course,
  describeBackend,
  earlyStop,
  farPaths,
  fitOverOptimisation,
  frontierFigure,
  hints,
  lines,
  matchedKl,
  overSeeds,
  Predictions,
  readMeasuredPaths,
  results,
  rowsOfPath,
  show,
  taxonomy,
  trainingFigure,
  unfilled,
  watch,
  type PathRow,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
console.log(describeBackend(backend));

// %% [markdown] id="matched"
// ## At the same distance
//
// "Method A has more reward than method B" says little: whoever goes further from $\pi_{ref}$ gets more of the reward model's
// score. Nor does the same $\beta$ make it fair: a method that is stopped early has not gone where its $\beta$ would lead it, and
// SimPO's $\beta$ is another quantity altogether. So we measure each policy **along its way** and read its numbers off where it is
// first $\mathrm{KL}(\pi\|\pi_{ref}) = 2$ nats from the reference, on a straight line in $\sqrt{\mathrm{KL}}$ between two
// measurements ([`src/evaluation/matched-kl.ts`](../src/evaluation/matched-kl.ts)). Two nats, because best-of-n can come along:
// its KL is $\log n - (n-1)/n$, two nats cost it about 19 draws an answer, and four would cost 150.
//
// Each path is measured on answers to the test questions, by the reward model (the *proxy*, which training sees) and by the
// world (*gold*, which it does not).

// %% id="predict-matched" tags=["predict"]
predict({
  id: "family",
  question: "At the same KL, the highest gold reward comes from",
  answer: "reward maximisation",
  choices: ["reward maximisation", "contrastive", "distribution matching"],
});
predict({
  id: "spread",
  question: "Gold reward of the best method at that KL, less that of the worst",
  answer: 0.3,
});

// %% id="train-matched"
const compared = comparedPaths(models, { beta: beta });
const gradientPath = compared.find(({ method }) => method === "policyGradient")!;
await watch(gradientPath.stage, (seen) =>
  trainingFigure(seen, {
    title: `One of the ${compared.length} paths: policy gradient at β = ${beta}, until it is ${matchedKl} nats away`,
    subtitle: "means over the answers of a step; running mean over 5 steps",
    metrics: [
      { key: ["reward", "gold"], title: "reward (proxy, gold)" },
      { key: "klPolicyToReference", title: "KL(π‖ref), k1", unit: "nats" },
    ],
    method: "policyGradient",
    smooth: 5,
  }),
);
const paths: PathRow[][] = [];
for (const path of compared) paths.push(await rowsOfPath(models, path));

// %% id="table-matched"
const standing = paths.map((path) => {
  const { row, reached } = atMatchedKl(path, matchedKl);
  const { objective, data } = taxonomy[row.method];
  return { objective: objective, data: data, row: row, reached: reached };
});
await show(
  standing.map(({ objective, data, row, reached }) => ({
    objective: objective,
    data: data,
    method: row.method,
    KL: reached ? row.klPolicyToReference : `${row.klPolicyToReference.toFixed(2)} (its furthest)`,
    proxy: row.proxy,
    gold: row.gold,
    harm: row.harmRate,
    "junk words": row.junk,
    "distinct advice": row.distinctAdvice,
    "tokens sampled to train": Math.round(row.sampledTokens),
    "to answer": Math.round(row.tokensPerAnswer),
    "gradient steps": row.method === "bestOfN" ? 0 : Math.round(row.step),
    "processor s": row.processorSeconds,
  })),
);
const arrived = standing.filter(({ reached }) => reached);
const ranked = [...(arrived.length > 0 ? arrived : standing)].sort((a, b) => b.row.gold - a.row.gold);
const [winner, loser] = [ranked[0], ranked[ranked.length - 1]];

// %% id="compare-matched"
compare("family", winner.objective, { explain: `here it is ${winner.row.method}, with ${winner.row.gold.toFixed(2)}` });
compare("spread", winner.row.gold - loser.row.gold, {
  tolerance: 0.15,
  explain: `${winner.row.method} ${winner.row.gold.toFixed(2)}, ${loser.row.method} ${loser.row.gold.toFixed(2)}`,
});

// %% [markdown] id="reading-table"
// Read the table by columns.
//
// - **Tokens sampled.** Offline methods sample nothing while they train; their preferences were sampled once, before. Online
//   methods pay for every batch. Best-of-n pays nothing to train and then *at every answer*.
// - **Processor seconds** count all threads and hardly depend on what else the machine does; sampling is cheap next to gradients
//   in a model this small, and would not be in a large one.
// - **Distinct advice** is what closeness to the reference is to protect. At the same KL it is not the same: a policy can spend
//   its nats on leaving out the harmful advice, or on saying one thing only.
//
// One seed says little. In the repository are the same measurements for the seeds named under the next figure, each seed a whole
// course with a corpus, annotators and reward models of its own: `npx workbook compare --seed 0,1,2` makes them
// ([`datasets/comparison`](../datasets/comparison/README.md)).

// %% id="seeds"
const recorded = readMeasuredPaths();
const recordedSeeds = [...new Set(recorded.map((row) => row.seed))];
const pathOf = (rows: PathRow[], which: Partial<PathRow>): PathRow[] =>
  rows.filter((row) => Object.entries(which).every(([key, value]) => row[key as keyof PathRow] === value));
const overRecorded = Object.keys(taxonomy).flatMap((method) => {
  const rows = recordedSeeds.flatMap((one) => {
    const path = pathOf(recorded, { study: "matched", seed: one, method: method as PathRow["method"] });
    return path.length > 0 ? [atMatchedKl(path, matchedKl)] : [];
  });
  return rows.length > 0 ? [{ method: method as PathRow["method"], rows: rows }] : [];
});
const band = (values: number[]): string => {
  if (values.length === 0) return "–";
  const { mean, low, high } = overSeeds(values);
  return `${mean.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
};
await show(
  overRecorded.map(({ method, rows }) => ({
    method: method,
    seeds: rows.length,
    KL: band(rows.map(({ row }) => row.klPolicyToReference)),
    proxy: band(rows.map(({ row }) => row.proxy)),
    gold: band(rows.map(({ row }) => row.gold)),
    harm: band(rows.map(({ row }) => row.harmRate)),
    "distinct advice": band(rows.map(({ row }) => row.distinctAdvice ?? NaN).filter(Number.isFinite)),
    "processor s": band(rows.map(({ row }) => row.processorSeconds)),
  })),
);

// %% id="figure-seeds"
await show(
  bars({
    title: `Gold reward at ${matchedKl} nats: compare the gaps between methods with the spread of the dots`,
    subtitle: `recorded: seeds ${recordedSeeds.join(", ")}; bars are means, a dot a seed`,
    y: "gold reward",
    values: false,
    groups: [
      {
        name: "gold reward",
        method: "gold",
        bars: overRecorded.map(({ method, rows }) => ({ label: method, seeds: rows.map(({ row }) => row.gold) })),
      },
    ],
  }),
);

// %% [markdown] id="far"
// ## Beyond what the reward model knows
//
// Two nats are near. What if a policy goes on? Here are a few of the methods without a price on distance ($\beta = 0$; DPO, which
// must have one, at 0.1), on a reward model fitted to few preferences.
//
// Gao et al. (2022) found that the gold reward's gain over the reference follows simple laws in $d = \sqrt{\mathrm{KL}}$:
//
// $$R_{\text{best-of-}n}(d) = d\,(\alpha - \beta\, d), \qquad R_{\text{RL}}(d) = d\,(\alpha - \beta\log d).$$
//
// $\alpha$ says how well it begins and this $\beta$ (a coefficient, not our price) how fast that is lost. Both laws are linear in
// their coefficients, so a fit is least squares in closed form.

// %% [markdown] id="exercise-fit"
// ## Exercise: fit the second law

// %% id="hints-fit"
hints("12-gao-fit");

// %% id="gao-fit" tags=["exercise"]
// distances: d = √KL > 0 of each point; gains: gold reward less the reference's. Least squares, no intercept.
function fitGain(distances: number[], gains: number[]): { alpha: number; beta: number } {
  return unfilled("12-gao-fit");
}

await check("12-gao-fit", fitGain, { beta: beta, seed: seed });

// %% id="predict-far" tags=["predict"]
predict({
  id: "peak",
  question: "Policy gradient on a reward model of few preferences: gold is highest at a KL of (nats)",
  answer: 3,
});
predict({
  id: "agreement",
  question: "From the start of the path to its end, four reward models fitted to the same preferences disagree",
  answer: "more",
  choices: ["more", "less"],
});

// %% id="train-far"
const sizes = models.sizes.rewardModels.map(({ pairs }) => pairs);
const few = sizes[1];
const wanted = farPaths(models).filter(
  ({ pairs, method, beta: price, reward }) =>
    pairs === few &&
    (method === "bestOfN" ||
      (method === "dpo" && price === 0.1) ||
      (method === "policyGradient" && price === 0 && (reward === "one model" || reward === "worst"))),
);
const farRows: PathRow[] = [];
for (const path of wanted) {
  farRows.push(...(await rowsOfPath(models, path)));
  console.log(`${path.method}, ${path.reward}: measured`);
}
const far = {
  policyGradient: pathOf(farRows, { method: "policyGradient", reward: "one model" }),
  dpo: pathOf(farRows, { method: "dpo" }),
  bestOfN: pathOf(farRows, { method: "bestOfN" }),
};

// %% id="figure-far"
const nameOf: Record<string, string> = { policyGradient: "policy gradient", dpo: "DPO", bestOfN: "best-of-n" };
const turn = far.policyGradient.reduce((a, b) => (b.gold > a.gold ? b : a));
const end = far.policyGradient[far.policyGradient.length - 1];
await show(
  frontierFigure({
    title:
      `Policy gradient: gold is best at ${turn.klPolicyToReference.toFixed(1)} nats (${turn.gold.toFixed(2)}), and ` +
      `${end.gold.toFixed(2)} at the end`,
    subtitle: `reward models and DPO on ${few} preferences, seed ${seed}; filled: gold, open: proxy`,
    squareRoot: true,
    series: Object.entries(far).flatMap(([method, rows]) => [
      {
        name: `${nameOf[method]}, gold`,
        method: method as PathRow["method"],
        kl: rows.map((row) => row.klPolicyToReference),
        reward: rows.map((row) => row.gold),
      },
      {
        name: `${nameOf[method]}, proxy`,
        method: method as PathRow["method"],
        kl: rows.map((row) => row.klPolicyToReference),
        reward: rows.map((row) => row.proxy),
        open: true,
      },
    ]),
  }),
);

// %% id="fits"
const fitOf = (rows: PathRow[]) =>
  fitOverOptimisation(
    rows[0].method === "bestOfN" ? "bestOfN" : "reinforcement",
    rows.map((row) => row.klPolicyToReference),
    rows.map((row) => row.gold - rows[0].gold),
  );
const fits = Object.entries(far).map(([method, rows]) => ({ method: method, rows: rows, fit: fitOf(rows) }));
await show(
  fits.map(({ method, fit, rows }) => ({
    method: method,
    α: `${fit.alpha.toFixed(2)} ± ${fit.alphaStandardError.toFixed(2)}`,
    "β of the law": `${fit.beta.toFixed(2)} ± ${fit.betaStandardError.toFixed(2)}`,
    "fitted peak, nats": fit.peak?.klPolicyToReference ?? "none",
    "gain there": fit.peak?.gain ?? "none",
    "best gain measured": Math.max(...rows.map((row) => row.gold - rows[0].gold)),
    "residuals' deviation": fit.residualDeviation,
  })),
);
const best = far.policyGradient.reduce((a, b) => (b.gold > a.gold ? b : a));

// %% id="compare-far"
compare("peak", best.klPolicyToReference, {
  tolerance: 1.5,
  explain: `gold ${best.gold.toFixed(2)} after ${best.step} steps`,
});
const disagreement = far.policyGradient.map((row) => row.disagreement!);
compare("agreement", disagreement[disagreement.length - 1] > disagreement[0] ? "more" : "less", {
  explain: `mean deviation of four models' scores: ${disagreement[0].toFixed(2)} at the reference, ${disagreement[disagreement.length - 1].toFixed(2)} at the end`,
});

// %% [markdown] id="sizes-text"
// ### More preferences
//
// The recorded paths go over several sizes of the preference data: what moves the turn?

// %% id="figure-sizes"
const curves = [...new Set(recorded.map((row) => row.pairs))]
  .sort((a, b) => a - b)
  .flatMap((pairs) => {
    const bySeed = recordedSeeds
      .map((one) =>
        pathOf(recorded, {
          study: "far",
          seed: one,
          method: "policyGradient",
          reward: "one model",
          pairs: pairs,
          beta: 0,
        }),
      )
      .filter((path) => path.length > 0);
    if (bySeed.length === 0) return [];
    const reach = Math.min(...bySeed.map((path) => Math.max(...path.map((row) => row.klPolicyToReference))));
    const grid = Array.from({ length: 24 }, (_, i) => (Math.sqrt(reach) * i) / 24);
    const gold = (path: PathRow[], d: number): number => (d === 0 ? path[0].gold : atMatchedKl(path, d * d).row.gold);
    return [
      { pairs: pairs, grid: grid, rows: bySeed.map((path) => grid.map((d) => gold(path, d))), fits: bySeed.map(fitOf) },
    ];
  });
const peaks = curves.map(({ fits: some }) => overSeeds(some.map((fit) => fit.peak?.klPolicyToReference ?? 1e3)).mean);
await show(
  lines({
    title: peaks.every((peak, i) => i === 0 || peak >= peaks[i - 1])
      ? "The more preferences behind the reward model, the later the gold reward turns"
      : "Where the gold reward turns depends on the preferences behind the reward model",
    subtitle: `policy gradient without a KL term; mean and range over seeds ${recordedSeeds.join(", ")}`,
    x: { title: "√KL to the reference", unit: "√nats" },
    y: "gold reward",
    series: curves.map(({ pairs, grid, rows }) => ({
      name: `${pairs} preferences`,
      x: grid,
      seeds: rows,
      markers: false,
    })),
  }),
);
await show(
  curves.map(({ pairs, fits: some }) => ({
    preferences: pairs,
    seeds: some.length,
    α: band(some.map((fit) => fit.alpha)),
    "β of the law": band(some.map((fit) => fit.beta)),
    "fitted peak, nats": band(some.flatMap((fit) => (fit.peak ? [fit.peak.klPolicyToReference] : []))),
    "gain there": band(some.flatMap((fit) => (fit.peak ? [fit.peak.gain] : []))),
  })),
);

// %% [markdown] id="remedies"
// ## What helps
//
// **An ensemble.** Four reward models with heads and orders of their own, fitted to the same preferences; the policy maximises
// the *worst* score of the four ([`src/rewards/ensemble.ts`](../src/rewards/ensemble.ts)). Where they disagree, a guess of one is
// held back by the others. Where all of them have learnt the same mistake from the same data, nothing is.
//
// **Early stopping** by something one can see without gold rewards: a budget of KL; the accuracy with which the policy's own
// log-ratios rank held-out preferences; the disagreement of the ensemble.

// %% id="predict-remedies" tags=["predict"]
predict({
  id: "ensemble",
  question: "Best gold reward along the path, worst-of-four less one model",
  answer: 0.1,
});

// %% id="figure-remedies"
const worst = pathOf(farRows, { method: "policyGradient", reward: "worst" });
await show(
  lines({
    title: "One reward model, and the worst of four",
    subtitle: `gold reward along policy gradient without a KL term, ${few} preferences, seed ${seed}`,
    x: { title: "√KL to the reference", unit: "√nats" },
    y: "gold reward",
    series: [
      { name: "one model", rows: far.policyGradient },
      { name: "worst of four", rows: worst },
    ].map(({ name, rows }) => ({
      name: name,
      x: rows.map((row) => Math.sqrt(Math.max(0, row.klPolicyToReference))),
      y: rows.map((row) => row.gold),
    })),
  }),
);
const most = (rows: PathRow[]): number => Math.max(...rows.map((row) => row.gold));

// %% id="compare-remedies"
compare("ensemble", most(worst) - most(far.policyGradient), {
  tolerance: 0.1,
  explain: `best gold: one model ${most(far.policyGradient).toFixed(2)}, worst of four ${most(worst).toFixed(2)}`,
});

// %% id="early-stopping"
const stops = {
  "never (the end)": (path: PathRow[]) => path[path.length - 1],
  "KL ≤ 4 nats": (path: PathRow[]) => [...path].reverse().find((row) => row.klPolicyToReference <= 4)!,
  "held-out accuracy, patience 3": (path: PathRow[]) => earlyStop(path, (row) => row.heldOutAccuracy!, 3).kept,
  "agreement of the ensemble, patience 3": (path: PathRow[]) => earlyStop(path, (row) => -row.disagreement!, 3).kept,
  "gold (nobody can)": (path: PathRow[]) => path.reduce((a, b) => (b.gold > a.gold ? b : a)),
};
const stopped = Object.entries(stops).map(([rule, stop]) => ({
  rule: rule,
  one: stop(far.policyGradient),
  four: stop(worst),
}));
await show(
  stopped.map(({ rule, one, four }) => ({
    "stop by": rule,
    "one model: KL": one.klPolicyToReference,
    gold: one.gold,
    "worst of four: KL": four.klPolicyToReference,
    "its gold": four.gold,
  })),
);

// %% [markdown] id="exercise-choose"
// ## Exercise: choose and defend
//
// You are to ship one of these policies. Limits are set by others: how much harm is tolerated, how far from the reference, how
// many labels there are, whether you may sample the policy while you train. Write the function that chooses.

// %% id="hints-choose"
hints("12-choose");

// %% id="choose" tags=["exercise"]
interface Measured {
  method: string;
  beta: number;
  online: boolean; // needs samples of the policy while it trains
  labels: number;
  gold: number[]; // gold, harm and kl: one number a seed
  harm: number[];
  kl: number[];
}
interface Limits {
  harm: number;
  kl: number;
  labels: number;
  onlineAllowed: boolean;
}
// The feasible row with the highest mean gold (of equals, the lower mean KL); undefined where none is feasible. A row is feasible
// if on every seed harm ≤ limits.harm and kl ≤ limits.kl, labels ≤ limits.labels, and online only where that is allowed.
function choose(rows: Measured[], limits: Limits): Measured | undefined {
  return unfilled("12-choose");
}

await check("12-choose", choose, { beta: beta, seed: seed });

// %% [markdown] id="defence"
// **Your defence** (not graded). Put your own limits to the table above, and write three sentences here: which method and which
// $\beta$ you would ship, which number convinced you, and what you would measure next before you believed it.

// %% [markdown] id="lessons"
// What to take along
//
// - Compare at matched KL and over seeds, or you compare how far methods were let go, and luck.
// - The methods differ in what they reach at a given KL, and more in what they need: samples of the policy, a reward model, a price
//   at every answer.
// - Over-optimisation has a shape: a gain that rises with $\sqrt{\mathrm{KL}}$, turns, and is lost. Nothing in the training's own
//   curves shows the turn.
// - Reward models fitted to the same data can agree on a mistake; then an ensemble is sure of it, too. Without gold, a budget of KL
//   is the plainest brake; hold each other rule to the table above before you trust it.
//
// **Try it:** set `seed` to 3 and see which sentence of yours survives; or `npx workbook sweep 12 --set beta=0.05,0.1,0.3 --seed 0,1,2`.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  matchedKl: matchedKl,
  bestMethod: winner.row.method,
  bestGold: winner.row.gold,
  goldAtMatchedKl: Object.fromEntries(standing.map(({ row }) => [row.method, row.gold])),
  proxyAtMatchedKl: Object.fromEntries(standing.map(({ row }) => [row.method, row.proxy])),
  harmAtMatchedKl: Object.fromEntries(standing.map(({ row }) => [row.method, row.harmRate])),
  klReached: Object.fromEntries(standing.map(({ row }) => [row.method, row.klPolicyToReference])),
  fits: Object.fromEntries(fits.map(({ method, fit }) => [method, { alpha: fit.alpha, beta: fit.beta }])),
  goldPeak: best.gold,
  goldPeakKl: best.klPolicyToReference,
  goldPeakOfWorst: most(worst),
  goldAtStops: Object.fromEntries(stopped.map(({ rule, one }) => [rule, one.gold])),
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Gao, Schulman & Hilton (2022), *Scaling Laws for Reward Model Overoptimization*.
// - Coste et al. (2023), *Reward Model Ensembles Help Mitigate Overoptimization*; Eisenstein et al. (2023), *Helping or Herding?*
// - Rafailov et al. (2024), *Scaling Laws for Reward Model Overoptimization in Direct Alignment Algorithms*.
// - Xu et al. (2024), *Is DPO Superior to PPO for LLM Alignment?*; Tajwar et al. (2024), *Preference Fine-Tuning of LLMs Should
//   Leverage Suboptimal, On-Policy Data*.
