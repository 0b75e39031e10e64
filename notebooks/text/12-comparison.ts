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
// *Reading: 25 minutes. Running: about 6 minutes on two CPU cores the first time, half a minute afterwards.*

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
  comparedMethods,
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
  methods,
  overOptimisationGain,
  overSeeds,
  Predictions,
  readMeasuredPaths,
  results,
  rowsOfPath,
  show,
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
  question: "Of the methods that train, the highest gold reward at the same KL comes from",
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
  const { branch, data } = methods[row.method];
  return { branch: branch.replaceAll("-", " "), data: data, row: row, reached: reached };
});
await show(
  standing.map(({ branch, data, row, reached }) => ({
    branch: branch,
    data: data,
    method: methods[row.method].label,
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
const trained = ranked.find(({ row }) => row.method !== "bestOfN") ?? winner;

// %% id="compare-matched"
compare("family", trained.branch, {
  explain:
    `here it is ${methods[trained.row.method].label}, with ${trained.row.gold.toFixed(2)}` +
    (trained === winner ? "" : `; best-of-n, which trains nothing, has ${winner.row.gold.toFixed(2)}`),
});
compare("spread", winner.row.gold - loser.row.gold, {
  tolerance: 0.15,
  explain:
    `${methods[winner.row.method].label} ${winner.row.gold.toFixed(2)}, ` +
    `${methods[loser.row.method].label} ${loser.row.gold.toFixed(2)}`,
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
const seedsText = recordedSeeds.length === 1 ? `seed ${recordedSeeds[0]}` : `seeds ${recordedSeeds.join(", ")}`;
const overRecorded = comparedMethods.flatMap((method) => {
  const rows = recordedSeeds.flatMap((one) => {
    const path = pathOf(recorded, { study: "matched", seed: one, method: method });
    return path.length > 0 ? [atMatchedKl(path, matchedKl)] : [];
  });
  return rows.length > 0 ? [{ method: method, rows: rows }] : [];
});
const band = (values: number[]): string => {
  if (values.length === 0) return "–";
  const { mean, low, high } = overSeeds(values);
  return `${mean.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
};
await show(
  overRecorded.map(({ method, rows }) => ({
    method: methods[method].label,
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
const meanGold = overRecorded.map(({ rows }) => overSeeds(rows.map(({ row }) => row.gold)).mean);
const bestRecorded = methods[overRecorded[meanGold.indexOf(Math.max(...meanGold))].method].label;
await show(
  bars({
    title: `At ${matchedKl} nats ${bestRecorded} has the most gold reward; judge other gaps by the spread of the dots`,
    subtitle: `recorded: ${seedsText}; bars are means, a dot a seed`,
    y: "gold reward",
    values: false,
    groups: [
      {
        name: "gold reward",
        method: "gold",
        bars: overRecorded.map(({ method, rows }) => ({
          label: methods[method].label,
          seeds: rows.map(({ row }) => row.gold),
        })),
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
const nameOf = (method: string): string => methods[method as PathRow["method"]].label;
const highest = (path: PathRow[]): PathRow => path.reduce((a, b) => (b.gold > a.gold ? b : a));
const turn = highest(far.policyGradient);
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
        name: `${nameOf(method)}, gold`,
        method: method as PathRow["method"],
        kl: rows.map((row) => row.klPolicyToReference),
        reward: rows.map((row) => row.gold),
      },
      {
        name: `${nameOf(method)}, proxy`,
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
    "best gain measured": highest(rows).gold - rows[0].gold,
    "residuals' deviation": fit.residualDeviation,
  })),
);

// %% id="figure-fits"
const upTo = (reach: number): number[] => Array.from({ length: 61 }, (_, i) => reach * (i / 60) ** 2);
await show(
  frontierFigure({
    title: `The two laws, fitted: they miss the measured gains by ${Math.max(...fits.map(({ fit }) => fit.residualDeviation)).toFixed(2)} or less`,
    subtitle: `points: gold reward gained over the reference; curves: the laws; deviation of the worst of ${fits.length} fits`,
    squareRoot: true,
    y: "gold reward gained",
    series: fits.map(({ method, rows, fit }) => {
      const kl = upTo(Math.max(...rows.map((row) => row.klPolicyToReference)));
      return {
        name: nameOf(method),
        method: method as PathRow["method"],
        kl: rows.map((row) => row.klPolicyToReference),
        reward: rows.map((row) => row.gold - rows[0].gold),
        joined: false,
        fitted: { kl: kl, reward: Array.from(overOptimisationGain(fit, kl)) },
      };
    }),
  }),
);

// %% id="compare-far"
compare("peak", turn.klPolicyToReference, {
  tolerance: 1.5,
  explain: `gold ${turn.gold.toFixed(2)} after ${turn.step} steps`,
});
const disagreement = far.policyGradient.map((row) => row.disagreement!);
compare("agreement", disagreement[disagreement.length - 1] > disagreement[0] ? "more" : "less", {
  explain: `mean deviation of four models' scores: ${disagreement[0].toFixed(2)} at the reference, ${disagreement[disagreement.length - 1].toFixed(2)} at the end`,
});

// %% [markdown] id="sizes-text"
// ### More preferences, other methods
//
// One path is one path. The recorded ones go over four sizes of the preference data, four methods and several seeds. First the
// sizes: what moves the turn? Then the methods, on the same few preferences: is it the method that over-optimises, or whoever
// goes far?

// %% id="figure-sizes"
// The recorded far paths of this kind, one a seed, and the gold (or proxy) reward at distances that all of them reach.
const farOverSeeds = (which: Partial<PathRow>) => {
  const bySeed = recordedSeeds
    .map((one) => pathOf(recorded, { study: "far", seed: one, ...which }))
    .filter((path) => path.length > 0);
  const reach = Math.min(...bySeed.map((path) => Math.max(...path.map((row) => row.klPolicyToReference))));
  const distances = Array.from({ length: 24 }, (_, i) => (Math.sqrt(reach) * i) / 24);
  const along = (path: PathRow[], key: "gold" | "proxy") =>
    distances.map((d) => (d === 0 ? path[0] : atMatchedKl(path, d * d).row)[key]);
  return {
    seedPaths: bySeed,
    distances: distances,
    gold: bySeed.map((path) => along(path, "gold")),
    proxy: bySeed.map((path) => along(path, "proxy")),
  };
};
const recordedSizes = [...new Set(recorded.map((row) => row.pairs))].sort((a, b) => a - b);
const bySize = recordedSizes.map((pairs) => ({
  pairs: pairs,
  ...farOverSeeds({ method: "policyGradient", reward: "one model", pairs: pairs, beta: 0 }),
}));
const meanTurns = bySize.map(
  ({ seedPaths }) => overSeeds(seedPaths.map((path) => highest(path).klPolicyToReference)).mean,
);
const meanBest = bySize.map(({ seedPaths }) => overSeeds(seedPaths.map((path) => highest(path).gold)).mean);
const rises = (values: number[]): boolean => values.every((value, i) => i === 0 || value >= values[i - 1]);
await show(
  lines({
    title: rises(meanTurns)
      ? "The more preferences behind the reward model, the later the gold reward turns"
      : rises(meanBest)
        ? "The more preferences behind the reward model, the higher the gold reward before it turns"
        : "Where the gold reward turns depends on the preferences behind the reward model",
    subtitle: `policy gradient without a KL term; mean and range over ${seedsText}`,
    x: { title: "√KL to the reference", unit: "√nats" },
    y: "gold reward",
    series: bySize.map(({ pairs, distances, gold }) => ({
      name: `${pairs} preferences`,
      x: distances,
      seeds: gold,
      markers: false,
    })),
  }),
);

// %% id="figure-methods"
const recordedFew = recordedSizes[1];
const farMethods = [
  { method: "policyGradient" as const, beta: 0 },
  { method: "ppo" as const, beta: 0 },
  { method: "dpo" as const, beta: 0.1 },
  { method: "bestOfN" as const, beta: 0 },
];
const onFew = farMethods.map(({ method, beta }) => ({
  method: method,
  ...farOverSeeds({ method: method, beta: beta, reward: "one model", pairs: recordedFew }),
}));
// Where each method is, over the seeds, when it is as far away as all of them come.
const common = Math.min(...onFew.map(({ distances }) => distances[distances.length - 1]));
const goldAtCommon = onFew.map(
  ({ seedPaths }) => overSeeds(seedPaths.map((path) => atMatchedKl(path, common * common).row.gold)).mean,
);
const mostGold = onFew[goldAtCommon.indexOf(Math.max(...goldAtCommon))];
await show(
  lines({
    title: `On ${recordedFew} preferences ${nameOf(mostGold.method)} has the most gold reward that ${(common * common).toFixed(1)} nats buy`,
    subtitle: `no price on distance (DPO: β = 0.1); mean and range over ${seedsText}`,
    x: { title: "√KL to the reference", unit: "√nats" },
    y: "gold reward",
    series: onFew.map(({ method, distances, gold }) => ({
      name: nameOf(method),
      method: method,
      x: distances,
      seeds: gold,
      markers: false,
    })),
  }),
);

// %% id="table-laws"
// Every kind of recorded path that has its own price on distance, or none: the law's coefficients, a fit a seed.
const kinds = farMethods.flatMap(({ method }) =>
  [...new Set(pathOf(recorded, { study: "far", method: method }).map((row) => row.beta))].flatMap((price) =>
    recordedSizes.map((pairs) => ({
      name: nameOf(method),
      pairs: pairs,
      price: price,
      ...farOverSeeds({ method: method, beta: price, reward: "one model", pairs: pairs }),
    })),
  ),
);
await show(
  kinds
    .filter(({ seedPaths }) => seedPaths.length > 0)
    .map(({ name, pairs, price, seedPaths }) => {
      const laws = seedPaths.map(fitOf);
      return {
        method: name,
        preferences: pairs,
        "price β": name === "best-of-n" ? "–" : price,
        α: band(laws.map((fit) => fit.alpha)),
        "β of the law": band(laws.map((fit) => fit.beta)),
        "highest gold measured": band(seedPaths.map((path) => highest(path).gold)),
        "at KL": band(seedPaths.map((path) => highest(path).klPolicyToReference)),
        "gold at the end": band(seedPaths.map((path) => path[path.length - 1].gold)),
        "proxy there": band(seedPaths.map((path) => path[path.length - 1].proxy)),
        "KL there": band(seedPaths.map((path) => path[path.length - 1].klPolicyToReference)),
      };
    }),
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
const mostOfWorst = highest(worst).gold;
await show(
  lines({
    title:
      `Gold at its best: ${mostOfWorst.toFixed(2)} by the worst of four reward models, ${turn.gold.toFixed(2)} by one; ` +
      `at the end ${worst[worst.length - 1].gold.toFixed(2)} and ${end.gold.toFixed(2)}`,
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

// %% id="compare-remedies"
compare("ensemble", mostOfWorst - turn.gold, {
  tolerance: 0.1,
  explain: `best gold: one model ${turn.gold.toFixed(2)}, worst of four ${mostOfWorst.toFixed(2)}`,
});

// %% id="early-stopping"
const stops = {
  "never (the end)": (path: PathRow[]) => path[path.length - 1],
  "KL ≤ 4 nats": (path: PathRow[]) => [...path].reverse().find((row) => row.klPolicyToReference <= 4)!,
  "held-out accuracy, patience 3": (path: PathRow[]) => earlyStop(path, (row) => row.heldOutAccuracy!, 3).kept,
  "agreement of the ensemble, patience 3": (path: PathRow[]) => earlyStop(path, (row) => -row.disagreement!, 3).kept,
  "gold (nobody can)": highest,
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

// %% [markdown] id="remedies-seeds"
// The same over the recorded seeds, and with two plainer remedies beside them: a price on distance, and PPO, whose clipped steps
// are sometimes said to be a brake.

// %% id="table-remedies"
const remedies: { remedy: string; which: Partial<PathRow> }[] = [
  { remedy: "none", which: { method: "policyGradient", beta: 0, reward: "one model" } },
  { remedy: "mean of four reward models", which: { method: "policyGradient", beta: 0, reward: "mean" } },
  { remedy: "mean less one deviation", which: { method: "policyGradient", beta: 0, reward: "penalised" } },
  { remedy: "worst of four", which: { method: "policyGradient", beta: 0, reward: "worst" } },
  { remedy: "β = 0.1 a nat", which: { method: "policyGradient", beta: 0.1, reward: "one model" } },
  { remedy: "β = 0.3 a nat", which: { method: "policyGradient", beta: 0.3, reward: "one model" } },
  { remedy: "PPO instead, no price", which: { method: "ppo", beta: 0, reward: "one model" } },
];
await show(
  remedies.map(({ remedy, which }) => {
    const { seedPaths } = farOverSeeds({ ...which, pairs: recordedFew });
    const ends = seedPaths.map((path) => path[path.length - 1]);
    return {
      remedy: remedy,
      "highest gold": band(seedPaths.map((path) => highest(path).gold)),
      "at KL": band(seedPaths.map((path) => highest(path).klPolicyToReference)),
      "gold at the end": band(ends.map((row) => row.gold)),
      "KL there": band(ends.map((row) => row.klPolicyToReference)),
      "lost by going on": band(seedPaths.map((path) => highest(path).gold - path[path.length - 1].gold)),
    };
  }),
);

// %% [markdown] id="reading-seeds"
// As committed (seeds 0, 1 and 2), the recorded paths say this.
//
// - **At two nats** best-of-n has the most gold reward on every seed, 1.71 to 1.83, and pays for it at every answer. Methods that
//   train have 1.19 to 1.56 on the mean of the seeds; their ranges overlap so much that most of the ranking between them is luck.
// - **Everybody over-optimises** who is let go: policy gradient, PPO and DPO on 300 preferences end 1.4 to 2.0 below their best on
//   the mean. PPO's clipped steps slow the way and do not change where it leads. More preferences put the fall off and make it smaller.
// - **A price on distance is what worked**: at $\beta = 0.3$ the end is within 0.13 of the best on every seed. The ensembles lose as
//   much as one model does: their members, fitted to the same pairs, agree *more* the further the policy goes.
// - **When to stop:** the accuracy on held-out preferences stops one model's path too early on every seed (gold 0.90 to 0.96 where
//   0.98 to 1.60 could be had), the ensemble's agreement too late (0.48 to 1.37), a budget of 4 nats near the best on two of three.

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
  goldPeak: turn.gold,
  goldPeakKl: turn.klPolicyToReference,
  goldPeakOfWorst: mostOfWorst,
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
