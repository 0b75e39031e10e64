import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The exact checks that the methods rest on: quantities with a closed form, or a sum over a space small enough to enumerate.
 * A test that holds one says so in its title, "check 9: …"; none may go without notice. Tolerances stand with the tests.
 */
const checks: readonly string[] = [
  "probabilities sum to 1, truncated responses included",
  "pi* = ref·e^(r/β)/Z and J(pi*) = β·log Z",
  "J(pi*) − J(pi) = β·KL(pi‖pi*)",
  "the envelope: d(β log Z)/dβ = −KL(pi*‖ref), dE[r]/d(1/β) = Var[r]",
  "the limits β → ∞ and β → 0",
  "the chain rule of the KL",
  "k1 and k3 have the KL as their mean",
  "the gradients of the KL's estimators",
  "the policy gradient is ∇J, and E[∇ log pi] = 0",
  "leave-one-out is unbiased over all tuples; GRPO's deviation is not",
  "PPO at the old policy is the policy gradient; its table of clipping",
  "GAE: its limits, and the recursion as a double sum",
  "BRAIn's gradient over all tuples, zero at pi*, biased for KL(p‖pi)",
  "BRAIn with two samples and hard weights is DPO",
  "DPG's gradient under any proposal; its baseline",
  "the estimate of Z and its standard error",
  "moments matched exactly",
  "DPO's population loss has no gradient at pi*",
  "the implicit reward is the reward, up to a constant of the prompt",
  "DPO is Bradley-Terry of β·h; log 2 at the reference",
  "IPO's closed form",
  "robust DPO undoes the noise, DPO and cDPO do not",
  "Bradley-Terry by MM, by gradient and by Newton",
  "Ford's condition, and the gauge",
  "Bradley-Terry scores come back within their errors",
  "the reward model reads at the last token, whatever the padding",
  "best-of-n's pmf and its KL",
  "over-optimisation without training: gold against proxy along pi*_β",
  "KTO's reference point, held fixed",
  "SimPO's and ORPO's invariances",
  "PPO, RLOO, DPG, BRAIn and online DPO reach pi*; GRPO as published does not",
];

/** The titles that name a check, by its number, each with its file. */
function titles(): Map<number, string[]> {
  const found = new Map<number, string[]>();
  const files = (readdirSync(__dirname, { recursive: true }) as string[]).filter((name) => name.endsWith(".test.ts"));
  for (const file of files) {
    const text = readFileSync(join(__dirname, file), "utf8");
    for (const [, numbers, title] of text.matchAll(/\(\s*["`]checks? (\d+(?:(?:, | and )\d+)*)[:,]? ?([^"`]*)["`]/g)) {
      for (const number of numbers.match(/\d+/g)!.map(Number)) {
        found.set(number, [...(found.get(number) ?? []), `${file}: ${title}`]);
      }
    }
  }
  return found;
}

describe("the exact checks", () => {
  const found = titles();
  checks.forEach((statement, i) => {
    it(`${i + 1}. ${statement}`, () => {
      assert.ok(found.has(i + 1), `no test has "check ${i + 1}: …" in its title`);
    });
  });

  it("are these and no others", () => {
    assert.deepEqual(
      [...found.keys()].filter((number) => number < 1 || number > checks.length),
      [],
    );
  });

  it("31 is held for all methods on one toy, in expectation, and for those named by their own trainers, from samples", () => {
    const text = (found.get(31) ?? []).join("\n");
    for (const file of ["one-toy", "ppo", "rloo", "online-dpo", "distribution-matching", "grpo"]) {
      assert.ok(text.includes(`${file}.test.ts`), `${file}.test.ts has no check 31`);
    }
  });
});
