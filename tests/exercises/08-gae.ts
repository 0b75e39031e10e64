import assert from "node:assert/strict";
import {
  objectiveGradient,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
  tabularLogProbs,
} from "../../src/evaluation/exact";
import type { Exercise } from "../../src/grading/exercise";
import { Random } from "../../src/tensors/random";

export function gae(rewards: number[], values: number[], gamma: number, lambda: number): number[] {
  const advantages = new Array<number>(rewards.length);
  let advantageAfter = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const valueAfter = t + 1 < values.length ? values[t + 1] : 0;
    const delta = rewards[t] + gamma * valueAfter - values[t];
    advantageAfter = delta + gamma * lambda * advantageAfter;
    advantages[t] = advantageAfter;
  }
  return advantages;
}

/** Within 1e-9: short sums in double precision. */
function close(found: number, expected: number, mistake: string): void {
  const message = `expected ${expected.toPrecision(6)}, got ${Number(found).toPrecision(6)}: ${mistake}`;
  assert.ok(Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected)), message);
}

function randomEpisode(seed: number, length = 6) {
  const rng = Random.fromSeed(seed).child("episode");
  const draw = (): number[] => Array.from({ length }, () => rng.normal());
  return { rewards: draw(), values: draw() };
}

/** The advantages as a table: whose difference from the expected ones names the first token that differs. */
function same(found: number[], expected: number[], mistake: string): void {
  expected.forEach((value, t) => close(found[t], value, `token ${t}: ${mistake}`));
}

export const exercise: Exercise<typeof gae> = {
  id: "08-gae",
  notebook: "08-ppo",
  title: "Generalised advantage estimation",
  difficulty: 3,
  minutes: 15,
  points: 4,
  hints: [
    "How much better did it go from token t to token t + 1 than V expected? And what is expected behind the last token?",
    "δ_t = R_t + γ·V_{t+1} − V_t with V behind the end 0; A_t = δ_t + γλ·A_{t+1}.",
    "Loop backwards: `delta = rewards[t] + gamma * (values[t + 1] ?? 0) - values[t]`, then `after = delta + gamma * lambda * after`.",
  ],
  solution: gae,
  checks(yours, { beta, seed }) {
    describe("shape", () => {
      it("gives one advantage a token", () => {
        const { rewards, values } = randomEpisode(seed);
        const found = yours(rewards, values, 1, 0.95);
        assert.ok(Array.isArray(found), `expected an array, got ${typeof found}`);
        assert.equal(found.length, 6, `expected 6 advantages for 6 tokens, got ${found.length}`);
      });
    });
    describe("hand-worked case", () => {
      it("of rewards 0, 4 and values 1, 2 at γ 0.5, λ 0.5 is 0.5, 2", () => {
        // δ = 0 + 0.5·2 − 1 = 0 and 4 + 0 − 2 = 2; A_0 = 0 + 0.25·2.
        same(yours([0, 4], [1, 2], 0.5, 0.5), [0.5, 2], "δ is 0 and 2, and A_0 = δ_0 + 0.25·A_1");
      });
      it("of one token is its reward less its value", () => {
        close(yours([3], [1], 1, 0.95)[0], 2, "behind the last token the episode is over: nothing is expected there");
      });
    });
    describe("exact truth", () => {
      it("is the explicit double sum Σ_s (γλ)^(s−t)·δ_s", () => {
        const { rewards, values } = randomEpisode(seed + 1);
        for (const [gamma, lambda] of [
          [1, 0.95],
          [0.9, 0.5],
          [1, 0],
        ]) {
          const delta = rewards.map((r, t) => r + gamma * (values[t + 1] ?? 0) - values[t]);
          const sums = delta.map((_, t) =>
            delta.slice(t).reduce((sum, d, ahead) => sum + (gamma * lambda) ** ahead * d, 0),
          );
          same(yours(rewards, values, gamma, lambda), sums, `at γ ${gamma}, λ ${lambda}`);
        }
      });
      it("gives the exact gradient of J at any λ, where V is the policy's own value", () => {
        const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 2 });
        const rng = Random.fromSeed(seed).child("policy");
        const [logits, reference] = [randomLogits(space, rng), randomLogits(space, rng)];
        const V = space.vocabularySize;
        const [log, logReference] = [tabularLogProbs(space, logits), tabularLogProbs(space, reference)];
        const reward = space.responses.map(() => rng.normal());
        const probability = responseLogProbs(space, logits).map(Math.exp);
        // The KL where it is paid, token by token, and the reward at the end.
        const rewards = space.responses.map(({ tokens, states }, i) =>
          states.map((state, t) => {
            const at = state * V + tokens[t];
            return -beta * (log[at] - logReference[at]) + (t === states.length - 1 ? reward[i] : 0);
          }),
        );
        const [value, mass] = [space.prefixes.map(() => 0), space.prefixes.map(() => 0)];
        space.responses.forEach(({ states }, i) =>
          states.forEach((state, t) => {
            mass[state] += probability[i];
            value[state] += probability[i] * rewards[i].slice(t).reduce((a, b) => a + b, 0);
          }),
        );
        const exact = objectiveGradient(space, logits, responseLogProbs(space, reference), reward, beta);
        for (const lambda of [0, 0.7, 1]) {
          const gradient = new Array<number>(logits.length).fill(0);
          space.responses.forEach(({ tokens, states }, i) => {
            const A = yours(
              rewards[i],
              states.map((state) => value[state] / mass[state]),
              1,
              lambda,
            );
            states.forEach((state, t) => {
              for (let token = 0; token < V; token++) {
                const score = (token === tokens[t] ? 1 : 0) - Math.exp(log[state * V + token]);
                gradient[state * V + token] += probability[i] * A[t] * score;
              }
            });
          });
          exact.forEach((g, k) =>
            close(gradient[k], g, `at λ ${lambda} these advantages do not give the policy gradient`),
          );
        }
      });
    });
    describe("invariance", () => {
      it("at γ = λ = 1 does not see the values of later states", () => {
        const { rewards, values } = randomEpisode(seed + 2);
        const other = values.map((v, t) => (t === 0 ? v : v + 10 * t));
        const [one, two] = [yours(rewards, values, 1, 1)[0], yours(rewards, other, 1, 1)[0]];
        close(
          two,
          one,
          "at λ = 1 all of V but the state's own cancels: is the next value added, and this one taken off?",
        );
      });
      it("is linear: twice the rewards and values, twice the advantages", () => {
        const { rewards, values } = randomEpisode(seed + 3);
        const doubled = yours(
          rewards.map((r) => 2 * r),
          values.map((v) => 2 * v),
          0.9,
          0.8,
        );
        same(
          doubled,
          yours(rewards, values, 0.9, 0.8).map((a) => 2 * a),
          "advantages are neither normalised nor clipped here",
        );
      });
      it("leaves its arguments alone", () => {
        const { rewards, values } = randomEpisode(seed + 4);
        const copies = [[...rewards], [...values]];
        yours(rewards, values, 1, 0.95);
        assert.deepEqual(
          [rewards, values],
          copies,
          "the rewards or values you were given have changed: copy them first",
        );
      });
    });
  },
  mutants: [
    {
      name: "no next value",
      why: "You leave out γ·V_{t+1}: δ compares the reward and what is *still* expected with what was expected.",
      wrong: (rewards, values, gamma, lambda) =>
        gae(
          rewards.map((r, t) => r - values[t]),
          values.map(() => 0),
          gamma,
          lambda,
        ),
    },
    {
      name: "bootstraps behind the end",
      why: "You take the last state's value for what comes behind the end. The episode is over there: nothing comes.",
      wrong: (rewards, values, gamma, lambda) => {
        const last = rewards.length - 1;
        const longer = rewards.map((r, t) => (t === last ? r + gamma * values[last] : r));
        return gae(longer, values, gamma, lambda);
      },
    },
    {
      name: "λ forgotten",
      why: "The recursion decays with γ alone; it is γλ.",
      wrong: (rewards, values, gamma) => gae(rewards, values, gamma, 1),
    },
    {
      name: "γ only in δ",
      why: "The recursion decays with λ alone; it is γλ.",
      wrong: (rewards, values, gamma, lambda) => {
        const out: number[] = [];
        let after = 0;
        for (let t = rewards.length - 1; t >= 0; t--) {
          after = rewards[t] + gamma * (values[t + 1] ?? 0) - values[t] + lambda * after;
          out[t] = after;
        }
        return out;
      },
    },
    {
      name: "sign of the values",
      why: "δ is the wrong way round in V: add what is expected next, take off what was expected here.",
      wrong: (rewards, values, gamma, lambda) =>
        gae(
          rewards,
          values.map((v) => -v),
          gamma,
          lambda,
        ),
    },
    {
      name: "forwards",
      why: "You go from the first token on: an advantage collects the δ of the *later* tokens, not of the earlier ones.",
      wrong: (rewards, values, gamma, lambda) => {
        let before = 0;
        return rewards.map((r, t) => {
          before = r + gamma * (values[t + 1] ?? 0) - values[t] + gamma * lambda * before;
          return before;
        });
      },
    },
    {
      name: "returns",
      why: "You give the returns A + V, which V is fitted to; the advantages are what V did not expect.",
      wrong: (rewards, values, gamma, lambda) => gae(rewards, values, gamma, lambda).map((a, t) => a + values[t]),
    },
  ],
};
