/** One figure of every kind, drawn from made-up but fixed numbers. */
import type { Figure } from "../../src/plots/figure";
import * as plots from "../../src/plots/figures";
import { Random } from "../../src/tensors/random";

const rng = Random.fromSeed(7);
const steps = Array.from({ length: 40 }, (_, at) => at * 10);
const seeds = [0, 1, 2];
const tokens = ["<user>", "how", "to", "sleep", "?", "<bot>"];

export const gallery: Record<string, () => Figure> = {
  lines: () =>
    plots.lines({
      title:
        "SFT lowers the perplexity, and policy gradient raises it again while the reward of its answers still grows",
      subtitle: "three seeds, band from lowest to highest, β = 0.3",
      x: "step",
      y: { title: "perplexity" },
      series: [
        {
          name: "SFT",
          method: "sft",
          x: steps,
          seeds: seeds.map((s) => steps.map((v) => 20 * Math.exp(-v / 99) + 3 + s)),
        },
        { name: "π<sub>ref</sub>", exact: true, x: steps, y: steps.map((v) => 3 + v / 100) },
      ],
      references: [{ value: 30, name: "annotators' ceiling" }],
    }),
  logarithmic: () =>
    plots.lines({
      title: "Error falls as one over the square root of the samples",
      x: { title: "samples", log: true },
      y: { title: "standard error of J", unit: "nats", log: true },
      series: [{ name: "RLOO", method: "rloo", x: [10, 100, 1000], y: [0.3, 0.1, 0.03] }],
      references: [{ value: 0.005, name: "wanted" }],
    }),
  training: () =>
    plots.trainingFigure(
      steps.map((step) => ({
        step,
        loss: 3 * Math.exp(-step / 90) + 0.1 * rng.normal(),
        reward: step / 99,
        kl: step ** 2 / 9e4,
      })),
      {
        title: "Reward rises, and KL with it",
        method: "policyGradient",
        smooth: 5,
        metrics: [
          "loss",
          { key: "reward", reference: { value: 1, name: "SFT" } },
          { key: "kl", title: "KL", unit: "nats" },
        ],
      },
    ),
  trainingOfRuns: () =>
    plots.trainingFigure(
      Object.fromEntries(
        seeds.map((s) => [`seed ${s}`, steps.map((step) => ({ step, proxy: step / 99 + s, gold: s - step / 500 }))]),
      ),
      { title: "The proxy rises while gold falls", metrics: [{ key: ["proxy", "gold"], title: "reward" }] },
    ),
  trainingBeforeItsFirstRecord: () => plots.trainingFigure([], { title: "Waiting", metrics: ["loss", "reward"] }),
  bars: () =>
    plots.bars({
      title: "SFT copies the rate of harmful demonstrations; RLHF removes it",
      y: "share of harmful answers",
      groups: [
        {
          name: "harmful",
          method: "sft",
          bars: [
            { label: "SFT", seeds: [0.12, 0.11, 0.097] },
            { label: "RLHF", seeds: [0, 0.006, 0] },
          ],
        },
        {
          name: "gold",
          method: "gold",
          bars: [
            { label: "SFT", value: 0.4, low: 0.3, high: 0.5 },
            { label: "RLHF", value: -0.2 },
          ],
        },
      ],
      references: [{ value: 0.15, name: "rate among demonstrations" }],
    }),
  distribution: () =>
    plots.distribution({
      title: "After “how to” sleep is likeliest",
      tokens,
      probabilities: [0.02, 0.03, 0.1, 0.6, 0.2, 0.05],
      top: 3,
      chosen: "<bot>",
    }),
  distributions: () =>
    plots.distribution({
      title: "A low temperature sharpens",
      tokens,
      probabilities: [
        { name: "T = 0.5", probabilities: [0.01, 0.01, 0.03, 0.9, 0.04, 0.01] },
        { name: "T = 1", probabilities: [0.02, 0.03, 0.1, 0.6, 0.2, 0.05] },
      ],
    }),
  points: () => {
    const ratios = Array.from({ length: 300 }, () => 4 * rng.normal());
    return plots.points({
      title: "Trained log-ratios lie on the exact line",
      x: { title: "r/β", unit: "nats" },
      y: { title: "log π/π_ref", unit: "nats" },
      series: [
        { name: "answers", method: "policyGradient", x: ratios, y: ratios.map((r) => r - 6 + 0.3 * rng.normal()) },
      ],
      line: { slope: 1, intercept: -6, name: "r/β − log Z" },
    });
  },
  calibration: () =>
    plots.calibration({
      title: "With 300 pairs the reward model is confidently wrong",
      range: [0.5, 1],
      series: ["300 pairs", "3,000 pairs"].map((name, at) => ({
        name,
        bins: [0.55, 0.75, 0.95].map((predicted) => ({ predicted, observed: predicted - 0.2 * (1 - at), count: 80 })),
      })),
    }),
  heatmap: () =>
    plots.heatmap({
      title: "Tokens attend to what came before",
      values: tokens.map((_, row) => tokens.map((_, column) => (column > row ? null : 1 / (row + 1)))),
      rows: tokens,
      columns: tokens,
      x: "attended token",
      y: "attending token",
      colour: "attention weight",
    }),
  tree: () =>
    plots.tree({
      title: "Two tokens, two steps: the answers' probabilities sum to 1",
      root: {
        token: "<bot>",
        probability: 1,
        children: ["yes", "<eos>"].map((token, at) => ({
          token,
          probability: [0.7, 0.3][at]!,
          children:
            at === 1
              ? []
              : ["no", "<eos>"].map((next, k) => ({ token: next, probability: [0.6, 0.4][k]!, note: `r = ${k}` })),
        })),
      },
    }),
  frontier: () =>
    plots.frontier({
      title: "No trained policy lies above the exact frontier",
      exact: { kl: [0, 1, 2, 4, 6], reward: [0, 1.2, 1.7, 2.4, 3] },
      squareRoot: true,
      series: [
        {
          name: "policy gradient",
          method: "policyGradient",
          kl: [0.2, 0.9, 2, 4.5],
          reward: [0.3, 1, 1.6, 2.4],
          labels: ["β=1", "β=0.3", "β=0.1", "β=0.03"],
        },
        {
          name: "DPO",
          method: "dpo",
          kl: [0.3, 1.2, 2.6, 5],
          reward: [0.4, 1.1, 1.6, 2.2],
          labels: ["β=1", "β=0.3", "β=0.1", "β=0.03"],
        },
      ],
    }),
  slider: () =>
    plots.slider(
      (beta: number) =>
        plots.bars({
          title: `At β = ${beta} the optimum leans ${beta < 0.5 ? "to reward" : "to the reference"}`,
          y: "probability",
          groups: [
            {
              name: "reference",
              method: "reference",
              bars: [
                { label: "a", value: 0.6 },
                { label: "b", value: 0.4 },
              ],
            },
            {
              name: "π*",
              method: "policyGradient",
              bars: [
                { label: "a", value: 0.6 * beta },
                { label: "b", value: 1 - 0.6 * beta },
              ],
            },
          ],
        }),
      { name: "β", values: [0.1, 0.3, 1] },
    ),
};
