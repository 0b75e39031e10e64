import assert from "node:assert/strict";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function drawToken(logits: number[], temperature: number, u: number): number {
  const largest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp((logit - largest) / temperature));
  let left = u * weights.reduce((sum, weight) => sum + weight, 0);
  let last = 0;
  for (let token = 0; token < weights.length; token++) {
    if (weights[token] === 0) continue;
    left -= weights[token];
    if (left < 0) return token;
    last = token; // where rounding lets u fall behind the last piece
  }
  return last;
}

const impossible = -1e9;

function randomLogits(seed: number): { logits: number[]; temperature: number } {
  const rng = Random.fromSeed(seed).child("sampling logits");
  return {
    logits: Array.from({ length: 6 }, () => 1.5 * rng.normal()),
    temperature: [0.5, 0.6, 0.7, 1.5, 1.75, 2][rng.integer(6)],
  };
}

/** p^(1/τ), normalised: from probabilities, where the solution divides logits. */
function probabilities(logits: number[], temperature: number): number[] {
  const weights = logits.map((logit) => Math.exp(logit) ** (1 / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/**
 * How often each token comes when u runs through n evenly spread values, in a mixed order: the first few calls are kept to
 * compare with the known mistakes.
 */
function shares(yours: typeof drawToken, logits: number[], temperature: number, n = 2000): number[] {
  const counts = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < n; i++) {
    const token = yours([...logits], temperature, (((i * 773) % n) + 0.5) / n);
    isToken(token, logits.length);
    counts[token]++;
  }
  return counts.map((count) => count / n);
}

function isToken(token: unknown, size: number): void {
  const fits = typeof token === "number" && Number.isInteger(token) && token >= 0 && token < size;
  assert.ok(fits, `expected a token's index, 0 … ${size - 1}, got ${String(token)}`);
}

/** A piece of length p holds p·n of n evenly spread values of u, give or take one: no randomness, so no more tolerance. */
function sameShares(found: number[], expected: number[], mistake: string, n = 2000): void {
  const show = (values: number[]) => `[${values.map((value) => value.toFixed(3)).join(", ")}]`;
  const equal = expected.every((p, token) => Math.abs(found[token] - p) <= 1.01 / n + 1e-9);
  assert.ok(equal, `expected shares ${show(expected)}, got ${show(found)}: ${mistake}`);
}

export const exercise: Exercise<typeof drawToken> = {
  id: "02-sampling",
  notebook: "02-policy-state-action",
  title: "Draw a token",
  difficulty: 2,
  minutes: 15,
  points: 3,
  hints: [
    "Cut a stick of length 1 into pieces as long as the probabilities, in the tokens' order. On whose piece does a mark at u lie? Where does the temperature come in: before the softmax or behind it?",
    "p_a = exp(z_a/τ) / Σ_b exp(z_b/τ); return the smallest a with p_0 + … + p_a > u.",
    "`weights = logits.map((z) => Math.exp((z - Math.max(...logits)) / temperature))`; then go through them, subtracting each from `u * sum`, and return the first token at which the rest falls below 0.",
  ],
  solution: drawToken,
  checks(yours, { seed }) {
    describe("shape", () => {
      it("gives one token's index", () => {
        const { logits, temperature } = randomLogits(seed);
        for (const u of [0, 0.3, 0.999999]) isToken(yours([...logits], temperature, u), logits.length);
      });
    });
    describe("hand-worked case", () => {
      const half = [0.5, 0.3, 0.2].map(Math.log);
      for (const [u, token] of [
        [0, 0],
        [0.49, 0],
        [0.51, 1],
        [0.79, 1],
        [0.81, 2],
        [0.9999, 2],
      ]) {
        it(`of probabilities 0.5, 0.3, 0.2 at temperature 1, u = ${u} takes token ${token}`, () => {
          assert.equal(
            yours([...half], 1, u),
            token,
            `the pieces end at 0.5, 0.8 and 1; ${u} lies on that of token ${token}`,
          );
        });
      }
      it("at temperature 1/2, probabilities ¼ and ¾ become 1/10 and 9/10", () => {
        const logits = [0.25, 0.75].map(Math.log);
        const mistake = "dividing the logits by ½ squares the probabilities: 1/16 against 9/16";
        assert.equal(yours([...logits], 0.5, 0.09), 0, mistake);
        assert.equal(yours([...logits], 0.5, 0.11), 1, mistake);
      });
    });
    describe("exact truth", () => {
      it("draws each token with its probability at temperature 1", () => {
        const { logits } = randomLogits(seed + 1);
        sameShares(shares(yours, logits, 1), probabilities(logits, 1), "pieces as long as the softmax of the logits");
      });
      it("draws each token with its probability at other temperatures", () => {
        const { logits, temperature } = randomLogits(seed + 2);
        const mistake = `at temperature ${temperature} the logits are divided by it before the softmax`;
        sameShares(shares(yours, logits, temperature), probabilities(logits, temperature), mistake);
      });
    });
    describe("invariance", () => {
      it("does not change when a constant is added to all logits, not even 1000", () => {
        const { logits, temperature } = randomLogits(seed + 3);
        // Away from the pieces' ends, where rounding may decide.
        for (const u of [0.0517, 0.2511, 0.4967, 0.7523, 0.9431]) {
          const moved = logits.map((logit) => logit + 1000);
          const message = "a softmax does not see a constant; subtract the largest logit, or Math.exp overflows";
          assert.equal(yours(moved, temperature, u), yours([...logits], temperature, u), message);
        }
      });
      it("is greedy at a temperature near 0, whatever u is", () => {
        const { logits } = randomLogits(seed + 4);
        const best = logits.indexOf(Math.max(...logits));
        for (const u of [0, 0.5, 0.999]) {
          const message = "at temperature 0.0001 only the most probable token is left; z/τ must not overflow";
          assert.equal(yours([...logits], 1e-4, u), best, message);
        }
      });
      it("never draws an impossible token, not even at u = 0", () => {
        const { logits, temperature } = randomLogits(seed + 5);
        const some = [impossible, ...logits, impossible];
        const drawn = [0.15, 0.4, 0.6, 0.85, 1 - 2 ** -53, 0].map((u) => ({
          u,
          token: yours([...some], temperature, u),
        }));
        for (const { u, token } of drawn) {
          const message = `u = ${u} took token ${token} of probability 0: its piece has no length, so no u lies on it`;
          assert.ok(token > 0 && token < some.length - 1, message);
        }
      });
      it("does not fall with u", () => {
        const { logits, temperature } = randomLogits(seed + 6);
        const tokens = Array.from({ length: 50 }, (_, i) => yours([...logits], temperature, i / 50));
        const rising = tokens.every((token, i) => i === 0 || token >= tokens[i - 1]);
        assert.ok(rising, `the pieces lie in the tokens' order, so a larger u takes no smaller token; got ${tokens}`);
      });
    });
  },
  mutants: [
    {
      name: "temperature multiplied",
      why: "You multiply by the temperature. Divide: a small temperature makes differences of logits large.",
      wrong: (logits, temperature, u) => drawToken(logits, 1 / temperature, u),
    },
    {
      name: "temperature without effect",
      why: "Your temperature changes nothing: it is left out, or divides the probabilities, where it cancels once they are normalised. Divide the logits by it.",
      wrong: (logits, temperature, u) => {
        const largest = Math.max(...logits);
        const weights = logits.map((logit) => Math.exp(logit - largest) / temperature);
        let left = u * weights.reduce((sum, weight) => sum + weight, 0);
        return Math.max(0, weights.findIndex((weight) => (left -= weight) < 0)); // prettier-ignore
      },
    },
    {
      name: "greedy",
      why: "You take the most probable token whatever u is. That is temperature 0; drawing gives each token its share.",
      wrong: (logits) => logits.indexOf(Math.max(...logits)),
    },
    {
      name: "not normalised",
      why: "You compare u with a running sum of exp(z/τ) that does not end at 1. Divide by the total, or multiply u by it.",
      wrong: (logits, temperature, u) => {
        const largest = Math.max(...logits);
        let sum = 0;
        const found = logits.findIndex((logit) => (sum += Math.exp((logit - largest) / temperature)) > u);
        return found < 0 ? logits.length - 1 : found;
      },
    },
    {
      name: "one token too far",
      why: "You return the token behind the one whose piece holds u.",
      wrong: (logits, temperature, u) => Math.min(logits.length - 1, drawToken(logits, temperature, u) + 1),
    },
    {
      name: "sorted first",
      why: "You return a place among the sorted probabilities, not the token's own index.",
      wrong: (logits, temperature, u) =>
        drawToken(
          [...logits].sort((a, b) => b - a),
          temperature,
          u,
        ),
    },
    {
      name: "takes a token of probability 0",
      why: "You return the first token whose running sum is ≥ u. At u = 0 that is token 0, even one of probability 0; take >.",
      wrong: (logits, temperature, u) => {
        const largest = Math.max(...logits);
        const weights = logits.map((logit) => Math.exp((logit - largest) / temperature));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        let sum = 0;
        return Math.max(0, weights.findIndex((weight) => (sum += weight / total) >= u)); // prettier-ignore
      },
    },
    {
      name: "overflow",
      why: "Math.exp of z/τ is Infinity where that is above 709. Subtract the largest logit before you divide.",
      wrong: (logits, temperature, u) => {
        const weights = logits.map((logit) => Math.exp(logit / temperature));
        let left = u * weights.reduce((sum, weight) => sum + weight, 0);
        return Math.max(0, weights.findIndex((weight) => (left -= weight) < 0)); // prettier-ignore
      },
    },
  ],
};
