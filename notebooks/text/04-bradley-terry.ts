// %% [markdown] id="intro"
// # Bradley-Terry: a reward from comparisons
//
// *Lecture: "Training the reward model: the Bradley-Terry preference model I, II", "Maximum likelihood estimation for BT
// models", "An intuitive view".*
//
// People find it hard to give an answer 7.3 points, and easy to say which of two answers is better. The **Bradley-Terry
// model** turns such comparisons into numbers: a score for each answer, such that the difference of two scores says how
// often the one is preferred to the other. You first fit it to a small tournament, where everything can be worked out
// exactly, then you put a language model in the place of the list of scores: that is a reward model.
//
// After it you can
// - write down the model in both of its forms and derive its likelihood and gradient;
// - fit it in three ways and say why they agree, what the data do *not* determine, and when there is no maximum at all;
// - judge a reward model: by its accuracy beside the best possible one, and by whether its confidence is earned.
//
// *Reading: 35 minutes. Running: about 4 minutes on two CPU cores the first time, half a minute
// afterwards (trained models are kept).*

// %% id="parameters" tags=["parameters"]
let seed: number = 0;
let scale: "auto" | "quick" | "laptop" | "gpu" = "auto";
let temperature: number = 0.5; // of the annotators of the tournament, in gold reward per nat
let gamesPerPair: number = 30; // how often any two answers of the tournament are compared

// %% id="setup"
import * as tf from "@tensorflow/tfjs";
import {
  bars,
  bradleyTerryLoss,
  bradleyTerryProbability,
  calibration,
  check,
  chooseBackend,
  chooseScale,
  correlation,
  course,
  describeBackend,
  fitTemperature,
  fitTournament,
  fordCondition,
  goldReward,
  gradientAscent,
  heatmap,
  hints,
  lines,
  minorisationMaximisation,
  points,
  preferenceCalibration,
  Predictions,
  Random,
  results,
  show,
  slider,
  tournamentCovariance,
  tournamentGradient,
  tournamentHessian,
  tournamentLogLikelihood,
  trainingFigure,
  unfilled,
  watch,
  winsFrom,
} from "alignment";

const backend = await chooseBackend();
const models = course({ seed: seed, scale: chooseScale(scale, backend) });
const { predict, compare, predictionSummary } = new Predictions();
const rng = Random.fromSeed(seed);
console.log(describeBackend(backend));

// %% [markdown] id="positive"
// ## The model, I: positive scores
//
// There are $n$ entities $y_1 … y_n$: chess players, wines, answers. Each has a score $p_i > 0$, its **strength**. When
// $i$ and $j$ are compared, $i$ is preferred with probability
//
// $$P(i \succ j) = \frac{p_i}{p_i + p_j}.$$
//
// Each pair shares out the comparisons in proportion to the strengths. Three things follow at once.
// - $P(i \succ j) + P(j \succ i) = 1$: somebody wins.
// - The **odds** are $P(i \succ j)/P(j \succ i) = p_i/p_j$. Only ratios of strengths matter: double all of them and
//   nothing changes.
// - Odds multiply along a chain: if $i$ is preferred to $j$ 3 : 1 and $j$ to $k$ 2 : 1, then $i$ to $k$ 6 : 1. That is
//   what the model *assumes*. Tastes that go in a circle (rock, paper, scissors) it cannot represent.
//
// Our entities are eight answers to one question. Notebook 01 introduced the gold reward, which knows how good each of
// them really is. Our simulated annotators see it through noise: they behave as if an answer of gold reward $g$ had the
// strength $p = e^{g/T}$. The **temperature** $T$ says how careless they are.

// %% id="answers"
const question = "how can i lose weight quickly ?";
const answers = [
  "great question ! eat less sugar and add more fiber . good luck !",
  "great question ! walk every morning . hope this helps .",
  "walk every morning but ask an expert first .",
  "eat lean protein .",
  "maybe do vigorous exercise and think about it .",
  "eat lean protein and take the train and wait and see .",
  "thanks for asking ! think about it .",
  "eat less sugar and skip every meal .",
];
const names = answers.map((_, i) => "ABCDEFGH"[i]);
const gold = answers.map((answer) => goldReward("weight", answer).total);
const strengths = gold.map((value) => Math.exp(value / temperature));
console.log(question);
await show(answers.map((answer, i) => ({ "": names[i], answer: answer, gold: gold[i], "strength p": strengths[i] })));

// %% id="figure-probabilities"
await show(
  heatmap({
    title: "The stronger answer is preferred more often, and never always",
    subtitle: `P(row preferred to column) = p_row / (p_row + p_column), annotators of temperature ${temperature}`,
    values: strengths.map((p, i) => strengths.map((q, j) => (i === j ? null : p / (p + q)))),
    rows: names,
    columns: names,
    x: "the other answer",
    y: "answer",
    colour: "P(preferred)",
    range: [0, 1],
    digits: 3,
  }),
);

// %% [markdown] id="exp"
// ## The model, II: any real score
//
// A network with a linear head puts out any real number, so $p_i > 0$ would have to be enforced. The usual way is to let
// the network give the *logarithm*: $p = e^{r(x, y)}$, for an answer $y$ to an input $x$. Then
//
// $$P(y_1 \succ y_2 \mid x) = \frac{e^{r(x,y_1)}}{e^{r(x,y_1)} + e^{r(x,y_2)}}
//   = \frac{1}{1 + e^{-(r(x,y_1) - r(x,y_2))}} = \sigma\big(r(x,y_1) - r(x,y_2)\big),$$
//
// dividing numerator and denominator by $e^{r(x,y_1)}$. Read backwards, a difference of rewards is a log-odds:
// $r(x,y_1) - r(x,y_2) = \log \frac{P}{1-P}$. A reward of 1 more means odds of $e ≈ 2.7$ to 1.
//
// So our annotators' reward is $r = g/T$. Move the slider: at a low temperature they are nearly judges, at a high one
// nearly coins. The points are simulated comparisons, the grey curve is the model. (The same form,
// $e^{r/\text{temperature}}$, draws tokens in notebook 02, and will be the shape of the best policy in notebook 06, with
// $\beta$ for the temperature.)

// %% id="play"
/** Every two answers are compared `games` times by annotators who follow Bradley-Terry with these scores. */
function play(scores: number[], games: number, stream: Random): number[][] {
  const comparisons: { winner: number; loser: number }[] = [];
  for (let i = 0; i < scores.length; i++) {
    for (let j = 0; j < i; j++) {
      for (let game = 0; game < games; game++) {
        const first = stream.bernoulli(bradleyTerryProbability(scores[i], scores[j]));
        comparisons.push(first ? { winner: i, loser: j } : { winner: j, loser: i });
      }
    }
  }
  return winsFrom(scores.length, comparisons); // wins[i][j]: how often i was preferred to j
}

// %% id="figure-temperature"
const temperatures = [...new Set([0.1, 0.25, 0.5, 1, 2, 4, temperature])].sort((a, b) => a - b);
const couples = names.flatMap((_, i) => names.slice(i + 1).map((__, k) => [i, i + 1 + k])); // the better one first
const gaps = Array.from({ length: 71 }, (_, k) => k / 20);
await show(
  slider(
    temperatures.map((T) => {
      const seen = play(
        gold.map((g) => g / T),
        gamesPerPair,
        rng.child(`annotators of temperature ${T}`),
      );
      const agree = couples.reduce((sum, [i, j]) => sum + bradleyTerryProbability(gold[i] / T, gold[j] / T), 0);
      return points({
        title: `Annotators of temperature ${T} side with the better answer in ${((100 * agree) / couples.length).toFixed(0)}% of comparisons`,
        subtitle: `each point: two of the eight answers, compared ${gamesPerPair} times`,
        x: { title: "difference of gold rewards", range: [0, 3.5] },
        y: { title: "better one preferred", format: ".0%", range: [0, 1.03] },
        series: [
          {
            name: "observed share",
            x: couples.map(([i, j]) => gold[i] - gold[j]),
            y: couples.map(([i, j]) => seen[i][j] / gamesPerPair),
            labels: couples.map(([i, j]) => `${names[i]} and ${names[j]}`),
          },
        ],
        line: {
          x: gaps,
          y: gaps.map((gap) => bradleyTerryProbability(gap / T, 0)),
          name: "σ(difference / temperature)",
        },
      });
    }),
    { name: "temperature", values: temperatures, start: temperatures.indexOf(temperature) },
  ),
);

// %% [markdown] id="exercise-probability"
// ## Exercise: the probability of a preference
//
// Give the probability that the first is preferred to the second, from positive scores or from real ones (`"exp"`). The
// second form must take scores of any size: reward models trained too long give differences of hundreds.

// %% id="hints-probability"
hints("04-bt-probability");

// %% id="probability" tags=["exercise"]
function winProbability(first: number, second: number, form: "positive" | "exp"): number {
  return unfilled("04-bt-probability");
}

await check("04-bt-probability", winProbability, { seed: seed });

// %% [markdown] id="likelihood-text"
// ## Maximum likelihood
//
// Now turn it round: the comparisons are known, the scores are not. Let $w_{ij}$ count how often $i$ was preferred to
// $j$. Comparisons are independent given the scores, so the log-likelihood of scores $s$ is a sum over them:
//
// $$\log L(s) = \sum_{i,j} w_{ij} \log \sigma(s_i - s_j).$$
//
// We look for the scores that make it largest. Since $\sigma' = \sigma(1-\sigma)$, the derivative of $\log\sigma(z)$ is
// $1-\sigma(z) = \sigma(-z)$. A comparison that $i$ won pulls $s_i$ up and $s_j$ down, both by $\sigma(s_j - s_i)$.
// Collect what pulls on $s_i$, with $n_{ij} = w_{ij} + w_{ji}$ the comparisons of the two and $W_i = \sum_j w_{ij}$ the
// wins of $i$:
//
// $$\frac{\partial \log L}{\partial s_i} = \sum_j \big[w_{ij}\,\sigma(s_j - s_i) - w_{ji}\,\sigma(s_i - s_j)\big]
//   = W_i - \sum_j n_{ij}\,\sigma(s_i - s_j).$$
//
// **Wins less expected wins.** At the maximum the two are equal for everyone: the *score equation*. Of all results, the
// fit uses only who met whom how often and each one's number of wins.

// %% id="tournament"
const truth = gold.map((value) => value / temperature); // what the fit should find, up to a constant
const wins = play(truth, gamesPerPair, rng.child("the tournament"));
await show(
  wins.map((row, i) => ({
    "wins of": names[i],
    ...Object.fromEntries(row.map((count, j) => [`over ${names[j]}`, i === j ? null : count])),
    total: row.reduce((sum, count) => sum + count, 0),
  })),
);

// %% [markdown] id="exercise-likelihood"
// ## Exercise: log-likelihood and gradient
//
// Return both, for any matrix of wins. The gradient must be exact; the value must stay finite when scores are 1000 apart.

// %% id="hints-likelihood"
hints("04-bt-likelihood");

// %% id="likelihood" tags=["exercise"]
function logLikelihood(wins: number[][], scores: number[]): { value: number; gradient: number[] } {
  return unfilled("04-bt-likelihood");
}

await check("04-bt-likelihood", logLikelihood, { seed: seed });

// %% [markdown] id="mm-text"
// ### Three ways up
//
// $\log L$ is concave: its second derivatives are $-\sum_{i<j} n_{ij}\,\sigma'(s_i - s_j)\,(e_i-e_j)(e_i-e_j)^\top$, a
// negative sum of squares. So there are no local maxima, and any method that climbs arrives at the same scores.
//
// - **Gradient ascent**: $s \leftarrow s + \eta\,\nabla \log L$. Needs a step size.
// - **Newton**: a linear system a step, and the error is squared each time.
// - **MM** (Zermelo 1929, Hunter 2004). With strengths,
//   $\log L = \sum_i W_i \log p_i - \sum_{i<j} n_{ij} \log(p_i + p_j)$. The awkward part is $-\log(p_i + p_j)$, which ties the entities together. It is convex, so it lies above its
//   tangent at the present strengths $q$:
//   $$-\log(p_i + p_j) \;\ge\; -\log(q_i + q_j) - \frac{p_i + p_j}{q_i + q_j} + 1 .$$
//   Put that in, and you have a lower bound of $\log L$ that touches it at $q$ and in which each $p_i$ stands alone. Set
//   its derivative $W_i/p_i - \sum_j n_{ij}/(q_i+q_j)$ to zero:
//   $$p_i \leftarrow \frac{W_i}{\sum_{j \ne i} n_{ij}/(q_i + q_j)} .$$
//   Each step maximises the bound, so $\log L$ can never fall. There is no step size.

// %% [markdown] id="exercise-mm"
// ## Exercise: one step of MM
//
// From the strengths to the next ones, all at once: the right-hand side holds old strengths only. Do not rescale.

// %% id="hints-mm"
hints("04-mm-step");

// %% id="mm" tags=["exercise"]
function mmStep(wins: number[][], strengths: number[]): number[] {
  return unfilled("04-mm-step");
}

await check("04-mm-step", mmStep, { seed: seed });

// %% [markdown] id="fit-text"
// The library's three fits are in [`src/rewards/tournament.ts`](../src/rewards/tournament.ts). All start at equal scores.

// %% id="fit"
/** A maximum may fail to exist (more on this below); then a weak ridge makes one. */
const weakRidge = (results: number[][]): number => (fordCondition(results).satisfied ? 0 : 0.01);
const ridge = weakRidge(wins);
if (ridge > 0) console.log(`A ridge of ${ridge} is used: ${fordCondition(wins, names).message}`);
const newton = fitTournament(wins, { ridge: ridge });
const byMm = [...minorisationMaximisation(wins, { ridge: ridge, iterations: 2000 })];
const byGradient = [...gradientAscent(wins, { ridge: ridge, iterations: 2000 })];
const scores = newton.scores;

const meanTruth = truth.reduce((sum, s) => sum + s, 0) / truth.length;
await show(
  names.map((name, i) => ({
    "": name,
    "true score": truth[i] - meanTruth,
    Newton: scores[i],
    MM: byMm[byMm.length - 1].scores[i],
    "gradient ascent": byGradient[byGradient.length - 1].scores[i],
  })),
);
const mmFalls = byMm.filter((step, k) => k > 0 && step.logLikelihood < byMm[k - 1].logLikelihood - 1e-9).length;
const mmAgainstNewton = Math.max(...byMm[byMm.length - 1].scores.map((s, i) => Math.abs(s - scores[i])));
console.log(`Newton: ${newton.iteration} steps. MM: log L fell in ${mmFalls} of ${byMm.length - 1} steps.`);
console.log(`largest difference between the scores of MM and of Newton: ${mmAgainstNewton.toExponential(1)}`);

// %% id="figure-climb"
const climb = (name: string, steps: typeof byMm) => {
  const missing = steps.map((step) => newton.logLikelihood - step.logLikelihood);
  const end = missing.findIndex((gap) => gap < 1e-9); // below it there is only rounding
  const shown = end < 0 ? missing : missing.slice(0, end);
  return { name: name, x: shown.map((_, k) => k), y: shown };
};
await show(
  lines({
    title: "Every step of MM and of gradient ascent climbs, to the same maximum",
    subtitle: `Newton's method is there after ${newton.iteration} steps`,
    x: "iteration",
    y: { title: "log-likelihood still missing", unit: "nats", log: true },
    series: [climb("MM", byMm), climb("gradient ascent", byGradient)],
  }),
);

// %% id="score-equation"
const expectedWins = (at: number[]): number[] =>
  at.map((s, i) =>
    at.reduce((sum, other, j) => (i === j ? sum : sum + gamesPerPair * bradleyTerryProbability(s, other)), 0),
  );
const atEqualScores = expectedWins(scores.map(() => 0));
const atTheFit = expectedWins(scores);
await show(
  names.map((name, i) => ({
    "": name,
    wins: wins[i].reduce((sum, count) => sum + count, 0),
    "expected of equals": atEqualScores[i],
    "expected of the fitted scores": atTheFit[i],
  })),
);
const largestGap = Math.max(...tournamentGradient(wins, scores, ridge).map(Math.abs));
console.log(`score equation: wins and expected wins differ by at most ${largestGap.toExponential(1)}`);

// %% [markdown] id="recovery-text"
// ### How near is the fit to the truth?
//
// The curvature of $\log L$ at its top tells how sharply the data determine the scores: the covariance of the fitted
// scores is, for many comparisons, the (pseudo-)inverse of the **Fisher information**
//
// $$F = \sum_{i<j} n_{ij}\,\sigma'(s_i-s_j)\,(e_i-e_j)(e_i-e_j)^\top .$$
//
// A comparison tells most when its outcome is open: $\sigma' = P(1-P)$ is largest at $P = \frac12$.

// %% id="figure-recovery"
// F depends on who met whom and on the scores, not on who won.
const evenly = wins.map((row, i) => row.map((_, j) => (i === j ? 0 : gamesPerPair / 2)));
const deviations = tournamentCovariance(evenly, scores).map((row, i) => Math.sqrt(row[i]));
const zScores = scores.map((s, i) => (s - (truth[i] - meanTruth)) / deviations[i]);
await show(
  bars({
    title: `${zScores.filter((z) => Math.abs(z) < 1.96).length} of 8 intervals of 95% hold the true score`,
    subtitle: `${gamesPerPair} comparisons a pair; scores shifted to mean 0`,
    x: "answer",
    y: { title: "score", unit: "nats" },
    groups: [
      {
        name: "true, gold / temperature",
        method: "exact",
        bars: names.map((name, i) => ({ label: name, value: truth[i] - meanTruth })),
      },
      {
        name: "fitted",
        bars: names.map((name, i) => ({
          label: name,
          value: scores[i],
          low: scores[i] - 1.96 * deviations[i],
          high: scores[i] + 1.96 * deviations[i],
        })),
      },
    ],
    values: false,
  }),
);

// %% id="predict-data" tags=["predict"]
predict({
  id: "data",
  question: "With four times as many comparisons, the error of the scores is multiplied by",
  answer: 0.5,
});

// %% id="figure-data"
const amounts = [1, 4, 16, 64].map((factor) => factor * gamesPerPair);
const repeats = 20;
const errors = amounts.map((games) => {
  let squares = 0;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const again = play(truth, games, rng.child(`${games} comparisons, repeat ${repeat}`));
    const found = fitTournament(again, { ridge: weakRidge(again) }).scores;
    squares += found.reduce((sum, s, i) => sum + (s - truth[i] + meanTruth) ** 2, 0) / truth.length;
  }
  return Math.sqrt(squares / repeats);
});
const oneEach = truth.map((s, i) => truth.map((other, j) => (i === j ? 0 : bradleyTerryProbability(s, other))));
const errorOfOne = Math.sqrt(
  tournamentCovariance(oneEach, truth).reduce((sum, row, i) => sum + row[i] / truth.length, 0),
);
const errorAtFourTimes = (errors[3] / errors[0]) ** (1 / 3);
await show(
  lines({
    title: `Four times the comparisons: ${errorAtFourTimes.toFixed(2)} times the error`,
    subtitle: `root mean square over the answers and ${repeats} tournaments`,
    x: { title: "comparisons a pair", log: true, ticks: { values: amounts } },
    y: {
      title: "error of a score",
      unit: "nats",
      log: true,
      ticks: { values: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2] },
    },
    series: [
      {
        name: "from the Fisher information",
        x: amounts,
        y: amounts.map((games) => errorOfOne / Math.sqrt(games)),
        exact: true,
      },
      { name: "fitted scores", x: amounts, y: errors, look: 0 },
    ],
  }),
);
compare("data", errorAtFourTimes, {
  tolerance: 0.1,
  explain:
    "Information adds up, so once nobody wins every time, variance falls as 1/n and the error as 1/√n: four times the data, half the error.",
});

// %% [markdown] id="differences"
// ## Only differences are identified
//
// $\log L$ sees the scores only through $s_i - s_j$. Add any constant to all of them and no comparison becomes more or
// less likely: the maximum is not a point but a line. For a reward model it is worse: pairs are always two answers to
// *one* prompt, so $r(x, y) + c(x)$ fits exactly as well for **any** function $c$ of the prompt. Two consequences to
// remember: a reward of 3 means nothing by itself, and rewards of answers to *different* prompts must not be compared.

// %% id="shift"
await show(
  [0, 1, 100].map((shift) => {
    const shifted = scores.map((s) => s + shift);
    return {
      "all scores plus": shift,
      "log L": tournamentLogLikelihood(wins, shifted),
      "length of its gradient": Math.hypot(...tournamentGradient(wins, shifted)),
    };
  }),
);
const hessian = tournamentHessian(wins, scores);
const alongOnes = hessian.map((row) => row.reduce((sum, value) => sum + value, 0)); // Hessian times (1, …, 1)
console.log(`curvature along (1, 1, …, 1): at most ${Math.max(...alongOnes.map(Math.abs)).toExponential(1)} in size`);
console.log(`curvature along A up, B down: ${(hessian[0][0] + hessian[1][1] - 2 * hessian[0][1]).toFixed(2)}`);

// %% [markdown] id="surface-text"
// Look at two answers alone, C and E. Along the diagonal the likelihood has a ridge, in the sense of mountains: it is
// level. The slider adds a **ridge** in the sense of statistics, the penalty $\frac{\lambda}{2}\sum_i s_i^2$. It picks
// one point of the line, the one nearest to zero, and draws the difference a little towards zero as well.

// %% id="figure-surface"
const duel = [
  [0, wins[2][4]],
  [wins[4][2], 0],
];
const logOdds = Math.log((duel[0][1] + 0.5) / (duel[1][0] + 0.5));
const reach = Math.max(3, Math.ceil(Math.abs(logOdds)) + 1);
const grid = Array.from({ length: 25 }, (_, k) => (reach * (k - 12)) / 12);
const ticks = grid.map((value, k) => (k % 4 === 0 ? String(Math.round(10 * value) / 10) : ""));
const penalties = [0, 0.1, 1, 10];
await show(
  slider(
    penalties.map((lambda) => {
      const surface = [...grid].reverse().map((e) => grid.map((c) => tournamentLogLikelihood(duel, [c, e], lambda)));
      const top = Math.max(...surface.flat());
      return heatmap({
        title:
          lambda === 0
            ? "The likelihood is level along the diagonal: only the difference counts"
            : `A ridge of ${lambda} makes one pair of scores the best`,
        subtitle: `C was preferred ${duel[0][1]} times, E ${duel[1][0]} times`,
        values: surface.map((row) => row.map((value) => Math.exp(value - top))),
        rows: [...ticks].reverse(),
        columns: ticks,
        x: "score of C",
        y: "score of E",
        colour: "likelihood / largest",
        range: [0, 1],
      });
    }),
    { name: "λ", values: penalties, start: 0 },
  ),
);

// %% [markdown] id="separable-text"
// ## When there is no maximum
//
// Suppose nobody ever prefers a harmful answer to a safe one. Then moving the two groups apart makes *every* comparison
// between them more likely, without end. The supremum is approached as the difference goes to infinity, and never
// reached. **Ford's condition** (1957) says exactly when a maximum exists: however you split the entities into two
// groups, somebody in each has won against somebody in the other.

// %% id="separable"
const groupNames = ["safe 1", "safe 2", "harmful 1", "harmful 2"];
const separable = [
  [0, 3, 4, 4],
  [1, 0, 4, 4],
  [0, 0, 0, 2],
  [0, 0, 2, 0],
];
const neverMet = [
  [0, 3, 0, 0],
  [1, 0, 0, 0],
  [0, 0, 0, 2],
  [0, 0, 2, 0],
];
console.log(fordCondition(wins, names).message);
console.log(fordCondition(separable, groupNames).message);
console.log(fordCondition(neverMet, groupNames).message);

// %% [markdown] id="growth-text"
// A computer does not say "infinity", it iterates. How fast do the scores run away? With $d$ the difference between the
// groups, each of the $m$ comparisons pulls by $\sigma(-d) ≈ e^{-d}$. Gradient ascent moves $d$ by about $c\,e^{-d}$ a
// step, so $e^{d}$ grows by about $c$ a step, and $d ≈ \log(c \cdot \text{steps})$.

// %% id="predict-growth" tags=["predict"]
predict({
  id: "growth",
  question: "From step 1,000 to step 10,000 of gradient ascent, the difference between the groups grows by (nats)",
  answer: 2.3,
});

// %% id="figure-growth"
const groupGap = (s: number[]): number => (s[0] + s[1] - s[2] - s[3]) / 2;
const checkpoints = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];
const growth = [0, 0.01, 0.1, 1].map((lambda) => {
  const steps = [...gradientAscent(separable, { ridge: lambda, iterations: 10_000 })];
  return { lambda: lambda, gaps: checkpoints.map((step) => groupGap(steps[step].scores)) };
});
await show(
  lines({
    title: "On separable data the difference grows like the logarithm of the steps; a ridge stops it",
    x: { title: "steps of gradient ascent", log: true },
    y: { title: "safe less harmful, mean scores", unit: "nats" },
    series: growth.map((run) => ({
      name: run.lambda === 0 ? "no ridge" : `λ = ${run.lambda}`,
      x: checkpoints,
      y: run.gaps,
    })),
  }),
);
const grown = growth[0].gaps[8] - growth[0].gaps[6];
compare("growth", grown, {
  tolerance: 0.15,
  explain: "Ten times the steps add log 10 = 2.30: slow, but without end.",
});

// %% [markdown] id="ridge-text"
// How long you train then decides how large the scores are, and with them how certain the model says it is. Three ways
// out: more comparisons that link the groups both ways, a ridge (weight decay, in a network), or stopping early. Keep
// this in mind. A network with 100,000 weights can separate a few hundred pairs perfectly, and then it is in exactly this
// place.

// %% [markdown] id="intuition"
// ## An intuitive view
//
// With a network $r_\theta$ in place of the list of scores, the objective is that of the slide:
//
// $$\max_\theta \sum_{(x, y_+, y_-) \in D} \log \sigma\big(r_\theta(x, y_+) - r_\theta(x, y_-)\big).$$
//
// Write $d = r_\theta(x,y_+) - r_\theta(x,y_-)$. As a loss it is $-\log\sigma(d)$, with the derivative $-\sigma(-d)$: the
// pull on $d$ is the probability that the model still gives to the *wrong* order. A pair it has right pulls little, a
// pair it has wrong pulls with almost full weight. In tfjs (the library's version, with its options, is
// [`src/rewards/bradley-terry.ts`](../src/rewards/bradley-terry.ts)):

// %% id="predict-pull" tags=["predict"]
predict({
  id: "pull",
  question:
    "One pair has the preferred order at 95%, another has it at 5%. How many times harder does the second pull on the weights?",
  answer: 19,
});

// %% id="loss-in-tfjs"
function preferenceLoss(chosen: tf.Tensor1D, rejected: tf.Tensor1D): tf.Scalar {
  return chosen.sub(rejected).neg().softplus().mean(); // −log σ(d) = log(1 + e^−d) = softplus(−d)
}

const [right, wrong] = tf.tidy(() => {
  const d = [Math.log(0.95 / 0.05), Math.log(0.05 / 0.95)]; // the log-odds of 95% and of 5%
  const chosen = tf.tensor1d(d);
  const rejected = tf.zeros<tf.Rank.R1>([2]);
  const mine = preferenceLoss(chosen, rejected).dataSync()[0];
  const library = bradleyTerryLoss({ chosen: chosen, rejected: rejected }).loss.dataSync()[0];
  console.log(`loss ${mine.toFixed(6)}, the library's ${library.toFixed(6)}`);
  const gradient = tf.grad((r) => preferenceLoss(r as tf.Tensor1D, rejected))(chosen);
  return [...gradient.mul(2).dataSync()]; // times 2: the loss is a mean over two pairs
});
console.log(`pull of the pair the model has right: ${(-right).toFixed(3)}, of the other: ${(-wrong).toFixed(3)}`);
compare("pull", wrong / right, {
  tolerance: 0.5,
  explain: "0.95 / 0.05 = 19: the pull is the probability of being wrong.",
});

// %% [markdown] id="maximise-difference"
// The slide sums it up as "maximise the reward difference between the preferred and the unpreferred output". That is the
// direction of each pull, but not where it ends. If the annotators prefer $y_+$ only with probability $P^*$, then in a
// share $1 - P^*$ of the comparisons the pull goes the other way, and on average it is
//
// $$P^*\,\sigma(-d) - (1 - P^*)\,\sigma(d) = P^* - \sigma(d),$$
//
// which is zero at $d = \log\frac{P^*}{1-P^*}$ and negative beyond. Disagreement between annotators is what keeps rewards
// finite, and what gives them their *scale*. The slider shows it for two answers whose gold rewards differ by 1.

// %% id="figure-pull"
const positions = Array.from({ length: 81 }, (_, k) => (k - 40) / 5);
await show(
  slider(
    temperatures.map((T) => {
      const agreement = bradleyTerryProbability(1 / T, 0);
      return lines({
        title: `At temperature ${T} the annotators agree in ${(100 * agreement).toFixed(agreement > 0.995 ? 2 : 0)}% and the mean pull ends at d = ${Math.round(100 / T) / 100}`,
        subtitle: "two answers whose gold rewards differ by 1",
        x: { title: "d, the model's reward difference", unit: "nats", range: [-8, 8] },
        y: { title: "pull on d", range: [-1.05, 1.05] },
        series: [
          {
            name: "label says better: σ(−d)",
            x: positions,
            y: positions.map((d) => bradleyTerryProbability(0, d)),
            markers: false,
          },
          {
            name: "label says worse: −σ(d)",
            x: positions,
            y: positions.map((d) => -bradleyTerryProbability(d, 0)),
            markers: false,
          },
          {
            name: "mean: P* − σ(d)",
            x: positions,
            y: positions.map((d) => agreement - bradleyTerryProbability(d, 0)),
            markers: false,
          },
        ],
        references: [{ value: 0, name: "no pull" }],
      });
    }),
    { name: "temperature", values: temperatures, start: temperatures.indexOf(temperature) },
  ),
);

// %% [markdown] id="reward-model"
// ## A reward model
//
// Now to language. The instruction-tuned model of notebook 01 answers each training question twice, and an annotator says
// which answer is better. A copy of that model gets a scalar head at the last token (notebook 03), and is trained with
// the loss above ([`src/rewards/reward-model.ts`](../src/rewards/reward-model.ts)). These annotators have temperature 0.5
// throughout the course. Some of their verdicts:

// %% id="preferences"
const { training, validation } = await models.preferences().result();
const annotatorTemperature = 0.5;
await show(
  training.slice(0, 6).map((pair) => ({
    question: pair.prompt,
    preferred: pair.chosen,
    other: pair.rejected,
    "gold difference": pair.goldChosen - pair.goldRejected,
    "P(this verdict)": pair.probability,
  })),
);

// %% [markdown] id="ceiling-text"
// Negative gold differences are verdicts against the gold reward: noise that no reward model can foresee. So the best
// possible model, the gold reward itself, agrees with the annotators on a share of held-out pairs that is below 1. This
// share is the **ceiling**. The gold reward's negative log-likelihood is the least to be expected, too: a reward model
// gets below it by chance, or on pairs it has learned by heart.

// %% id="ceiling"
const sizes = models.sizes.rewardModels;
const oracle = preferenceCalibration(
  validation.map((pair) => (pair.goldChosen - pair.goldRejected) / annotatorTemperature),
);
console.log(`${training.length} pairs to train on, ${validation.length} held out`);
/** How sure on average: the mean of σ(|d|). */
const sureness = ({ bins }: typeof oracle): number =>
  bins.reduce((sum, bin) => sum + bin.predicted * bin.count, 0) / validation.length;
console.log(
  `the annotators agree with the gold reward on ${(100 * oracle.accuracy).toFixed(1)}% of the held-out pairs`,
);
console.log(`the gold reward's mean confidence in its choice: ${(100 * sureness(oracle)).toFixed(1)}%`);
console.log(
  `negative log-likelihood: gold reward ${oracle.negativeLogLikelihood.toFixed(3)}, a coin ${Math.log(2).toFixed(3)}`,
);

// %% id="predict-models" tags=["predict"]
predict({
  id: "few",
  question: `A reward model fitted to ${sizes[0].pairs} pairs: is its negative log-likelihood on held-out pairs above or below a coin's, log 2?`,
  answer: "below",
  choices: ["above", "below"],
});
predict({
  id: "many",
  question: `The accuracy of the model fitted to ${sizes[sizes.length - 1].pairs} pairs, on held-out pairs`,
  answer: 0.8,
});

// %% id="train"
async function* allModels() {
  for (const { pairs } of sizes) {
    for await (const record of models.rewardModel({ pairs: pairs })) yield { ...record, pairs: pairs };
  }
}
const fitRecords = await watch(allModels(), (records) =>
  trainingFigure(
    Object.fromEntries(
      [...sizes].reverse().map(({ pairs }) => [`${pairs} pairs`, records.filter((record) => record.pairs === pairs)]),
    ),
    {
      title: "Reward models in training: down from the loss of a coin",
      subtitle: "on the pairs trained on; running means over 10 steps",
      metrics: [
        { key: "loss", title: "loss", unit: "nats", reference: { value: Math.log(2), name: "a coin, log 2" } },
        { key: "accuracy", title: "training accuracy" },
      ],
      smooth: 10,
    },
  ),
);

// %% [markdown] id="first-loss"
// The loss starts at $\log 2 = 0.693$: the head's weights are small, so all scores are nearly equal and every preference
// looks like a coin. And with few pairs the loss goes towards *zero*, far below what the noise of the annotators allows:
// the noise itself is being learned.

// %% id="measure"
const heldOut = validation.map((pair) => models.preferencePair(pair));
const fitted = (pairs: number) => models.rewardModel({ pairs: pairs }).result();
const scoresOf = async (model: Awaited<ReturnType<typeof fitted>>, some: typeof heldOut) => {
  const chosen = await model.score(some.map((pair) => pair.chosen));
  const rejected = await model.score(some.map((pair) => pair.rejected));
  return { all: [...chosen, ...rejected], differences: [...chosen].map((score, i) => score - rejected[i]) };
};
const measure = async (pairs: number) => {
  const model = await fitted(pairs);
  const { differences: seen } = await scoresOf(
    model,
    training.slice(0, pairs).map((pair) => models.preferencePair(pair)),
  );
  const { all, differences: unseen } = await scoresOf(model, heldOut);
  const held = preferenceCalibration(unseen);
  const trained = preferenceCalibration(seen);
  const confidence = sureness(held);
  return { pairs: pairs, held: held, trained: trained, confidence: confidence, differences: unseen, scores: all };
};
const measured: Awaited<ReturnType<typeof measure>>[] = [];
for (const { pairs } of sizes) measured.push(await measure(pairs));
const goldScores = [...validation.map((pair) => pair.goldChosen), ...validation.map((pair) => pair.goldRejected)];
await show(
  measured.map(({ pairs, held, trained, confidence, scores }) => ({
    pairs: pairs,
    "accuracy, trained on": trained.accuracy,
    "accuracy, held out": held.accuracy,
    "mean confidence, held out": confidence,
    "calibration error": held.expectedCalibrationError,
    "NLL, trained on": trained.negativeLogLikelihood,
    "NLL, held out": held.negativeLogLikelihood,
    "correlation with gold": correlation(scores, goldScores),
  })),
);

// %% id="compare-models"
const [fewest, most] = [measured[0], measured[measured.length - 1]];
compare("few", fewest.held.negativeLogLikelihood > Math.log(2) ? "above" : "below", {
  explain: `Held-out negative log-likelihood: ${fewest.held.negativeLogLikelihood.toFixed(2)}. A wrong answer given with confidence costs more than a coin's.`,
});
compare("many", most.held.accuracy, { tolerance: 0.04, explain: `The ceiling is ${oracle.accuracy.toFixed(3)}.` });

// %% id="figure-accuracy"
const pairCounts = measured.map(({ pairs }) => pairs);
const pairsAxis = { title: "pairs trained on", log: true, ticks: { values: pairCounts } };
const margin = ({ held }: (typeof measured)[number]) =>
  1.96 * Math.sqrt((held.accuracy * (1 - held.accuracy)) / validation.length);
await show(
  lines({
    title: `From ${fewest.pairs} to ${most.pairs} pairs: right in ${(100 * fewest.held.accuracy).toFixed(0)}% and ${(100 * most.held.accuracy).toFixed(0)}%, sure of ${(100 * fewest.confidence).toFixed(0)}% and ${(100 * most.confidence).toFixed(0)}%`,
    subtitle: `${validation.length} held-out pairs; the band is a 95% interval`,
    x: pairsAxis,
    y: { title: "share of held-out pairs", format: ".0%" },
    series: [
      {
        name: "right: accuracy",
        x: pairCounts,
        y: measured.map(({ held }) => held.accuracy),
        low: measured.map((one) => one.held.accuracy - margin(one)),
        high: measured.map((one) => one.held.accuracy + margin(one)),
        method: "rewardModel",
      },
      { name: "sure: mean confidence", x: pairCounts, y: measured.map(({ confidence }) => confidence), look: 1 },
    ],
    references: [
      { value: oracle.accuracy, name: "annotators' ceiling" },
      { value: 0.5, name: "a coin" },
    ],
  }),
);

// %% [markdown] id="reading-accuracy"
// Accuracy climbs towards the ceiling. The other curve is the point of this notebook. One would expect a model with
// little data to be *unsure*: scores close together, probabilities near one half. The opposite happens. The models of few
// pairs are about as sure as the gold reward itself, which knows the truth, and right far less often.
//
// The table above says why. On its own pairs such a model is right nearly always, more often than the gold reward could
// be: it has learned the annotators' slips by heart. For 100,000 weights a few hundred pairs are separable, or nearly so,
// and the scores run apart as in the tournament without a maximum, until the training ends. (The small sets are also seen
// more often: at the `laptop` scale 60 steps of 32 pairs are 19 passes over 100 pairs, 300 steps 3 passes over 3,000.)
//
// **Few pairs do not give a weak reward model but a confidently wrong one.** Its accuracy alone would not have told you.

// %% id="figure-nll"
await show(
  lines({
    title: `Fitted to ${fewest.pairs} pairs: ${fewest.trained.negativeLogLikelihood.toFixed(2)} nats a pair on these, ${fewest.held.negativeLogLikelihood.toFixed(2)} on new ones`,
    subtitle: "negative log-likelihood of the annotators' verdicts",
    x: pairsAxis,
    y: { title: "−log σ(d), mean", unit: "nats" },
    series: [
      {
        name: "held-out pairs",
        x: pairCounts,
        y: measured.map(({ held }) => held.negativeLogLikelihood),
        method: "rewardModel",
      },
      {
        name: "pairs trained on",
        x: pairCounts,
        y: measured.map(({ trained }) => trained.negativeLogLikelihood),
        look: 1,
      },
    ],
    references: [
      { value: Math.log(2), name: "a coin, log 2" },
      { value: oracle.negativeLogLikelihood, name: "gold reward" },
    ],
  }),
);

// %% [markdown] id="calibration-text"
// A model is **calibrated** if of the pairs on which it says 90%, 90% come out as it says. Put the held-out pairs into
// bins by how sure the model is, and compare with the share it got right. The *expected calibration error* is the mean
// distance from the diagonal, weighted by the bins' counts. (Even the gold reward's is not 0: the bins of a few hundred
// pairs fluctuate.)

// %% id="figure-calibration"
const second = measured[1];
await show(
  calibration({
    title: `Where it says ${(100 * second.held.bins[second.held.bins.length - 1].predicted).toFixed(0)}%, the model of ${second.pairs} pairs is right in ${(100 * second.held.bins[second.held.bins.length - 1].observed).toFixed(0)}%`,
    subtitle: `calibration error: ${second.held.expectedCalibrationError.toFixed(2)} with ${second.pairs} pairs, ${most.held.expectedCalibrationError.toFixed(2)} with ${most.pairs}, ${oracle.expectedCalibrationError.toFixed(2)} of the gold reward`,
    series: [
      { name: `${second.pairs} pairs`, bins: second.held.bins, look: sizes.length - 2 },
      { name: `${most.pairs} pairs`, bins: most.held.bins, look: 0 },
    ],
    range: [0.5, 1],
    x: "how sure the model is of its choice",
    y: "share of pairs it got right",
  }),
);

// %% [markdown] id="gold-text"
// In this world we can also ask what nobody can ask of real data: does the score follow the truth? Each point is an
// answer. (The level of the scores is free for each prompt, as we saw, so part of the scatter means nothing.)

// %% id="figure-gold"
await show(
  points({
    title: `Correlation of score and gold reward: ${correlation(second.scores, goldScores).toFixed(2)} with ${second.pairs} pairs, ${correlation(most.scores, goldScores).toFixed(2)} with ${most.pairs}`,
    subtitle: `${goldScores.length} answers of the held-out pairs; the line is what the annotators follow`,
    x: "gold reward",
    y: { title: "score", unit: "nats" },
    series: [
      { name: `${second.pairs} pairs`, x: goldScores, y: second.scores, look: sizes.length - 2, opacity: 0.35 },
      { name: `${most.pairs} pairs`, x: goldScores, y: most.scores, look: 0, opacity: 0.55 },
    ],
    line: {
      slope: 1 / annotatorTemperature,
      intercept: -goldScores.reduce((sum, g) => sum + g, 0) / goldScores.length / annotatorTemperature,
      name: "gold / temperature, centred",
    },
  }),
);

// %% id="confident-mistakes"
const mistakes = validation
  .map((pair, i) => ({ pair: pair, d: second.differences[i] }))
  .filter(({ pair, d }) => d < 0 && pair.goldChosen > pair.goldRejected) // annotator and gold agree, the model does not
  .sort((a, b) => a.d - b.d)
  .slice(0, 4);
await show(
  mistakes.map(({ pair, d }) => ({
    question: pair.prompt,
    "the model's choice": pair.rejected,
    "annotator's and gold's choice": pair.chosen,
    "the model is sure of": bradleyTerryProbability(-d, 0),
    "gold difference": pair.goldChosen - pair.goldRejected,
  })),
);

// %% [markdown] id="temperature-text"
// ## One number that helps, and what it has to do with beta
//
// Divide all score differences by one number $\tau$. No order changes, so neither does the accuracy, but the confidence
// does. On half of the held-out pairs we choose the $\tau$ of the highest likelihood
// ([`src/evaluation/temperature-scaling.ts`](../src/evaluation/temperature-scaling.ts)), on the other half we look.

// %% id="temperature-scaling"
const half = Math.floor(validation.length / 2);
const scaled = measured.map(({ pairs, differences }) => {
  const tau = fitTemperature(differences.slice(0, half));
  const before = preferenceCalibration(differences.slice(half));
  const after = preferenceCalibration(differences.slice(half).map((d) => d / tau));
  return { pairs: pairs, tau: tau, before: before, after: after };
});
await show(
  scaled.map(({ pairs, tau, before, after }) => ({
    pairs: pairs,
    τ: tau,
    accuracy: before.accuracy,
    "accuracy, scaled": after.accuracy,
    NLL: before.negativeLogLikelihood,
    "NLL, scaled": after.negativeLogLikelihood,
    "calibration error": before.expectedCalibrationError,
    "calibration error, scaled": after.expectedCalibrationError,
  })),
);

// %% [markdown] id="reading-scaling"
// With the fewest pairs $\tau$ is large, and what remains after the division says little more than a coin: a negative
// log-likelihood near $\log 2$. *That* is the weak model one had expected; it was hidden under its confidence. With
// thousands of pairs there is little left to correct, and a $\tau$ chosen on a few hundred pairs may even do harm.

// %% id="figure-scaling"
const taus = [0.5, 1, 2, 4, 8, 16];
await show(
  slider(
    taus.map((tau) => {
      const now = preferenceCalibration(second.differences.map((d) => d / tau));
      return calibration({
        title: `Scores divided by ${tau}: calibration error ${now.expectedCalibrationError.toFixed(2)}, accuracy ${now.accuracy.toFixed(2)}`,
        subtitle: `the model of ${second.pairs} pairs, all held-out pairs`,
        series: [{ name: `${second.pairs} pairs`, bins: now.bins, look: sizes.length - 2 }],
        range: [0.5, 1],
        x: "how sure the model is of its choice",
        y: "share of pairs it got right",
      });
    }),
    { name: "τ", values: taus, start: 1 },
  ),
);

// %% [markdown] id="beta"
// In the notebooks to come, a policy maximises $r(x,y) - \beta \log\frac{\pi(y|x)}{\pi_\text{ref}(y|x)}$ on average. The
// best policy will turn out to be $\pi^* \propto \pi_\text{ref}\, e^{r/\beta}$. There, dividing the rewards by $\tau$ is
// the same as multiplying $\beta$ by $\tau$. A reward model that is too sure of itself is one under which your $\beta$ is
// really smaller than you think: the same confident mistakes are then exploited. How large a $\beta$ is depends on the
// scale of the rewards, and that scale comes from how consistent the annotators were, and from how many pairs there were.
//
// What to take along:
// - Bradley-Terry makes rewards out of comparisons: differences are log-odds, levels mean nothing.
// - The gradient is "wins less expected wins"; a pair pulls by how wrong the model is about it.
// - Noise keeps the scores finite. Without it, or with more weights than data, they run away.
// - Report accuracy *beside the ceiling* and calibration *beside accuracy*. The loss on training pairs says nothing.

// %% id="summary"
predictionSummary();

// %% id="results" tags=["results"]
results({
  lossAtStart: fitRecords[0].loss,
  ceiling: oracle.accuracy,
  ceilingNegativeLogLikelihood: oracle.negativeLogLikelihood,
  ...Object.fromEntries(measured.map(({ pairs, held }) => [`accuracy${pairs}`, held.accuracy])),
  ...Object.fromEntries(measured.map(({ pairs, held }) => [`calibrationError${pairs}`, held.expectedCalibrationError])),
  ...Object.fromEntries(
    measured.map(({ pairs, held }) => [`negativeLogLikelihood${pairs}`, held.negativeLogLikelihood]),
  ),
  ...Object.fromEntries(measured.map(({ pairs, confidence }) => [`confidence${pairs}`, confidence])),
  ...Object.fromEntries(measured.map(({ pairs, trained }) => [`trainingAccuracy${pairs}`, trained.accuracy])),
  ...Object.fromEntries(
    measured.map(({ pairs, scores }) => [`goldCorrelation${pairs}`, correlation(scores, goldScores)]),
  ),
  ...Object.fromEntries(scaled.map(({ pairs, tau }) => [`scaleTemperature${pairs}`, tau])),
  mmAgainstNewton: mmAgainstNewton,
  largestZScore: Math.max(...zScores.map(Math.abs)),
  errorAtFourTimes: errorAtFourTimes,
  separableGrowth: grown,
});

// %% [markdown] id="reading"
// ## Further reading
//
// - Zermelo (1929), *Die Berechnung der Turnier-Ergebnisse als ein Maximumproblem der Wahrscheinlichkeitsrechnung*: the
//   model and its iteration, for chess.
// - Bradley and Terry (1952), *Rank Analysis of Incomplete Block Designs*.
// - Ford (1957), *Solution of a Ranking Problem from Binary Comparisons*.
// - Hunter (2004), *MM Algorithms for Generalized Bradley-Terry Models*.
// - Christiano et al. (2017), *Deep Reinforcement Learning from Human Preferences*.
// - Guo et al. (2017), *On Calibration of Modern Neural Networks*.
