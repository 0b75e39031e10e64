/**
 * Over-optimisation: what is optimised (the proxy) goes on rising while what is wanted (the gold reward) turns and falls.
 * Both are looked at against d = √KL(π‖π_ref), the distance that the optimisation has gone, and summed up by the laws of Gao,
 * Schulman and Hilton (2022, "Scaling Laws for Reward Model Overoptimization", arXiv 2210.10760, section 3):
 *
 *   best-of-n                R(d) = d·(α − β·d)
 *   reinforcement learning   R(d) = d·(α − β·log d)
 *
 * R is the *gain*: the gold reward less the reference's, so that R(0) = 0. α is how well it begins, β how fast that is lost;
 * this β is a coefficient of the curve, not the price of KL in the objective.
 */
import { expectation, klDivergence, optimalPolicy, type LogDistribution } from "./exact/distributions";

/** Which law: by best-of-n sampling, or by a policy that is trained. */
export type OverOptimisationLaw = "bestOfN" | "reinforcement";

export interface OverOptimisationCurve {
  law: OverOptimisationLaw;
  /** In units of reward a √nat. */
  alpha: number;
  /** Best-of-n: units of reward a nat. Reinforcement: units of reward a √nat (and e-fold of d in √nats). */
  beta: number;
}

/** Where a fitted curve is highest. */
export interface OverOptimisationPeak {
  /** d there, √nats, and its square. */
  distance: number;
  klPolicyToReference: number;
  /** R there: the most gold reward that optimising this proxy can gain. */
  gain: number;
}

export interface OverOptimisationFit extends OverOptimisationCurve {
  /** Standard errors of α and β. They take the points as independent, see `fitOverOptimisation`. */
  alphaStandardError: number;
  betaStandardError: number;
  /** √(Σ residual²/(n − 2)), in units of reward. */
  residualDeviation: number;
  /** How many points at a distance > 0 there were. */
  points: number;
  /** The curve's maximum; undefined where the fitted curve has none because it rises without end. */
  peak?: OverOptimisationPeak;
}

/**
 * Least squares of gain on distance. Both laws are linear in (α, β), with regressors x₁ = d and x₂ = −d² or −d·log d and no
 * intercept, so the minimiser is (XᵀX)⁻¹Xᵀy, in closed form. Standard errors are √(s²·(XᵀX)⁻¹), s² = Σ residual²/(n − 2).
 *
 * Points along *one* training run are not independent (each has the others' history, and all have the run's reward model),
 * so these errors are too small as errors of the law: the spread of fits over seeds is the honest one.
 *
 * How ours differs from the paper: the rewards are not scaled to unit variance, so that α and β are in the world's own
 * units; the fit is over all points equally, where the paper's weighting is not stated.
 *
 * @param kl KL(π‖π_ref) of each point, nats; a sample estimate below 0 counts as 0. Points at 0 say nothing of the curve.
 * @param gain gold reward less the reference's, of each point.
 * @throws where fewer than three points stand at a distance, or all at the same: two coefficients need more
 */
export function fitOverOptimisation(
  law: OverOptimisationLaw,
  kl: ArrayLike<number>,
  gain: ArrayLike<number>,
): OverOptimisationFit {
  checkLaw("fitOverOptimisation", law);
  if (kl.length !== gain.length) {
    throw new RangeError(
      `fitOverOptimisation: expected as many gains as KLs, got ${kl.length} KLs and ${gain.length} gains`,
    );
  }
  const rows = Array.from(kl, (one, i) => ({ d: Math.sqrt(Math.max(0, one)), y: gain[i] })).filter(({ d }) => d !== 0);
  const bad = rows.find(({ d, y }) => !Number.isFinite(d) || !Number.isFinite(y));
  if (bad)
    throw new RangeError(`fitOverOptimisation: expected finite numbers, got KL ${bad.d ** 2} with gain ${bad.y}`);
  const n = rows.length;
  if (n < 3 || new Set(rows.map(({ d }) => d)).size < 2) {
    throw new RangeError(
      `fitOverOptimisation: expected at least 3 points with KL > 0, not all at one distance, got ${n}: ` +
        `two coefficients and their errors cannot be had from fewer`,
    );
  }
  let [aa, ab, bb, ay, by] = [0, 0, 0, 0, 0];
  for (const { d, y } of rows) {
    const [a, b] = [d, slope(law, d)];
    aa += a * a;
    ab += a * b;
    bb += b * b;
    ay += a * y;
    by += b * y;
  }
  const determinant = aa * bb - ab * ab;
  const alpha = (bb * ay - ab * by) / determinant;
  const beta = (aa * by - ab * ay) / determinant;
  const squares = rows.reduce((sum, { d, y }) => sum + (y - alpha * d - beta * slope(law, d)) ** 2, 0);
  const variance = squares / (n - 2);
  const curve = { law, alpha, beta };
  const peak = overOptimisationPeak(curve);
  return {
    ...curve,
    alphaStandardError: Math.sqrt((variance * bb) / determinant),
    betaStandardError: Math.sqrt((variance * aa) / determinant),
    residualDeviation: Math.sqrt(variance),
    points: n,
    ...(peak && { peak }),
  };
}

/** R at each KL (nats): d·(α − β·d) or d·(α − β·log d), 0 at 0. */
export function overOptimisationGain({ law, alpha, beta }: OverOptimisationCurve, kl: ArrayLike<number>): Float64Array {
  checkLaw("overOptimisationGain", law);
  return Float64Array.from(kl, (one) => {
    const d = Math.sqrt(Math.max(0, one));
    return d === 0 ? 0 : alpha * d + beta * slope(law, d);
  });
}

/**
 * Where R is highest: best-of-n, d = α/(2β) with R = α²/(4β), where α, β > 0; reinforcement, d = exp(α/β − 1) with R = β·d,
 * where β > 0. Undefined elsewhere: with β ≤ 0 the curve never turns down, and with α ≤ 0 best-of-n only loses.
 */
export function overOptimisationPeak({ law, alpha, beta }: OverOptimisationCurve): OverOptimisationPeak | undefined {
  checkLaw("overOptimisationPeak", law);
  if (!(beta > 0) || (law === "bestOfN" && !(alpha > 0))) return undefined;
  const distance = law === "bestOfN" ? alpha / (2 * beta) : Math.exp(alpha / beta - 1);
  const gain = law === "bestOfN" ? (alpha * distance) / 2 : beta * distance;
  return { distance, klPolicyToReference: distance ** 2, gain };
}

// What β multiplies.
const slope = (law: OverOptimisationLaw, d: number): number => (law === "bestOfN" ? -d * d : -d * Math.log(d));

function checkLaw(where: string, law: OverOptimisationLaw): void {
  if (law === "bestOfN" || law === "reinforcement") return;
  throw new RangeError(`${where}: expected law "bestOfN" or "reinforcement", got "${String(law)}"`);
}

/** One β of the objective: what its optimum under the proxy costs, what the proxy says of it, and what it is worth. */
export interface OverOptimisationPoint {
  beta: number;
  /** KL(pi*‖ref), nats. */
  klPolicyToReference: number;
  /** E_{pi*}[proxy]: rises as β falls, whatever the proxy. */
  proxy: number;
  /** E_{pi*}[gold]: need not. */
  gold: number;
}

/**
 * Over-optimisation without training or sampling, over outcomes that can be listed: for each β the exact pi* ∝
 * ref·exp(proxy/β), and the gold reward that it really gets. At β = Infinity, pi* is the reference and gold is E_ref[gold].
 */
export function exactOverOptimisation(
  logReference: LogDistribution,
  { proxy, gold }: { proxy: ArrayLike<number>; gold: ArrayLike<number> },
  betas: ArrayLike<number>,
): OverOptimisationPoint[] {
  return Array.from(betas, (beta) => {
    const policy = optimalPolicy(logReference, proxy, beta);
    return {
      beta,
      klPolicyToReference: klDivergence(policy, logReference),
      proxy: expectation(policy, proxy),
      gold: expectation(policy, gold),
    };
  });
}
