import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import {
  bestOfN,
  bestOfNKlBound,
  klDivergence,
  normalise,
  optimalPolicy,
  paddedResponses,
  tabularLogProbs,
} from "../../src/evaluation/exact";
import { pickBest } from "../../src/objectives/reward-maximisation/best-of-n";
import { cdpoLoss } from "../../src/objectives/contrastive/cdpo";
import { dpoLoss } from "../../src/objectives/contrastive/dpo";
import { divergenceNames } from "../../src/objectives/distribution-matching/f-dpg";
import { ipoLoss } from "../../src/objectives/contrastive/ipo";
import { nextTokenLoss } from "../../src/objectives/maximum-likelihood";
import { orpoLoss } from "../../src/objectives/contrastive/orpo";
import { leaveOneOutAdvantages } from "../../src/objectives/returns";
import { policyGradientLoss } from "../../src/objectives/reward-maximisation/policy-gradient";
import { rlooLoss } from "../../src/objectives/reward-maximisation/rloo";
import { robustDpoLoss } from "../../src/objectives/contrastive/robust-dpo";
import { simpoLoss } from "../../src/objectives/contrastive/simpo";
import { bradleyTerryProbability } from "../../src/rewards/bradley-terry";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { awayFromOptimum, tokensOf, converged } from "./converged";
import { smallSpace as space } from "./matching-cases";
import { float32, lengths, logSigmoid, sigmoid } from "./pairs";
import { assertClose, enumeratedBatch, gradientOf } from "./tabular";
import { tuplesOf } from "./tuples";

import {
  Gradient,
  K,
  N,
  actorCritic,
  arrived,
  beta,
  brain,
  distance,
  drawnFrom,
  everyone,
  grpo,
  h,
  kto,
  labelled,
  labelledShares,
  logProbsAt,
  logZ,
  nearestOptimum,
  offline,
  onPairs,
  onTuples,
  onlineDpo,
  places,
  populationSlopes,
  reference,
  returnsOf,
  rewards,
  run,
  splitActorCritic,
  start,
  target,
} from "./one-toy";

describe("check 31: all methods on one toy, in expectation, come to what theory says of each", () => {
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "cpu" });
    tensors = tf.memory().numTensors;
  });
  after(() => assert.equal(tf.memory().numTensors, tensors, "tensors were left behind"));

  it("starts a third of a nat away, or more", () => {
    assert.ok(klDivergence(reference, target) > 0.3);
  });

  describe("π*, the optimum of E[r] − β·KL(π‖ref)", () => {
    const methods: Record<string, Gradient> = {
      "policy gradient": onTuples((tokens) => {
        const advantages = leaveOneOutAdvantages(returnsOf(tokens), K);
        return policyGradientLoss({ ...tokens, advantages }).loss;
      }),
      RLOO: onTuples(
        (tokens, logits) =>
          rlooLoss({
            ...tokens,
            oldLogProbs: tokensOf(space, logits, places),
            advantages: leaveOneOutAdvantages(returnsOf(tokens), K),
            clip: 0.2,
          }).loss,
      ),
      "GRPO, no deviation, constant length, the KL in the reward": grpo("none", "constant", "reward"),
      DPG: drawnFrom("dpg"),
      "DPG off-policy": drawnFrom("dpg", reference),
      ...Object.fromEntries(divergenceNames.map((name) => [`f-DPG, ${name}`, drawnFrom(name)])),
      BRAIn: brain(),
      "BRAIn off-policy": brain(reference),
      DPO: onPairs((batch) => dpoLoss({ ...batch, beta })),
      "robust DPO, a fifth of the labels flipped": onPairs(
        (batch) => robustDpoLoss({ ...batch, beta, assumedFlipRate: 0.2 }),
        labelled(reference, 0.2),
      ),
      "online DPO": (logits) => onlineDpo(logProbsAt(logits), reference)(logits),
      "iterative DPO with a fixed reference, in rounds of 150 steps": (() => {
        let drawnAt = reference;
        let steps = 0;
        return (logits) => {
          if (steps++ % 150 === 0) drawnAt = logProbsAt(logits);
          return onlineDpo(drawnAt, reference)(logits);
        };
      })(),
    };
    for (const [name, gradient] of Object.entries(methods)) {
      // The pseudo-reward of total variation is ±½ however near: descent steps across the optimum until its steps are small.
      it(`is where ${name} ends`, () => {
        const found = distance(run(gradient), target);
        const within = name.endsWith("totalVariation") ? 1e-3 : arrived;
        assert.ok(found < within, `KL(π‖π*) is ${found}`);
      });
    }

    it("is where PPO ends, with a value function that is learnt beside the policy", () => {
      const [logits, values] = splitActorCritic(converged(actorCritic, [...start, 0, 0, 0]));
      assert.ok(distance(logits, target) < arrived, `KL(π‖π*) is ${distance(logits, target)}`);
      // At π* every response returns β·log Z, so that is the value of the empty prefix.
      assertClose(values[0], beta * logZ, 1e-3, "V of the empty prefix");
    });
  });

  describe("another optimum, that is known", () => {
    it("iterative DPO with a moving reference: R rounds end at β/R", () => {
      let from = start;
      for (let round = 1; round <= 3; round++) {
        const [drawnAt, base] = [logProbsAt(from), from];
        from = run(onlineDpo(drawnAt, drawnAt), base);
        const found = distance(from, optimalPolicy(reference, rewards, beta / round));
        assert.ok(found < arrived, `after ${round} rounds ${found}`);
      }
    });

    it("IPO: ref·exp(P(win against ref)/β), π* of another reward", () => {
      const end = run(onPairs((batch) => ipoLoss({ ...batch, beta })));
      const wins = rewards.map((r) =>
        reference.reduce((sum, l, y) => sum + Math.exp(l) * bradleyTerryProbability(r, rewards[y]), 0),
      );
      const found = distance(end, optimalPolicy(reference, wins, beta));
      assert.ok(found < arrived, `KL to the closed form is ${found}`);
      assert.ok(nearestOptimum(end) > 1e-4, `and π* at no β: ${nearestOptimum(end)}`);
    });

    it("cDPO: the Bradley-Terry fit to labels smoothed towards a coin, short of π*", () => {
      const epsilon = 0.2;
      const end = run(onPairs((batch) => cdpoLoss({ ...batch, beta, assumedFlipRate: epsilon })));
      // The score equation of each response: as many smoothed wins as its implicit reward predicts.
      const logP = logProbsAt(end);
      const surplus = everyone.map((w) =>
        everyone.reduce((sum, l) => {
          const p = bradleyTerryProbability(rewards[w], rewards[l]);
          const smoothed = (1 - epsilon) * p + epsilon * (1 - p);
          return sum + Math.exp(reference[w] + reference[l]) * (smoothed - sigmoid(beta * h(logP, w, l)));
        }, 0),
      );
      assertClose(surplus, new Float64Array(N), float32, "smoothed wins less predicted", 1);
      const spread = (logits: ArrayLike<number>) => klDivergence(logits, reference);
      assert.ok(spread(logP) < 0.7 * spread(target), `KL ${spread(logP)} from the reference, π* ${spread(target)}`);
    });

    it("SimPO: scores that pairs alone decide, so the reference it starts from leaves no trace", () => {
      const simpo = onPairs((batch) => simpoLoss({ ...batch, beta: 2, gamma: 0.5 }));
      const definition = (x: ArrayLike<number>, w: number, l: number): number =>
        -logSigmoid(2 * (x[w] / lengths[w] - x[l] / lengths[l]) - 0.5);
      const end = run(simpo, start, { steps: 600 });
      // No part of it cares for the sum of all: each derivative by itself is 0 there, and ν too.
      const slopes = populationSlopes(definition)(logProbsAt(end));
      assertClose(slopes, new Float64Array(N), float32, "slope in each log-probability", 1);
      const elsewhere = run(simpo, new Float64Array(start.length), { steps: 600 });
      assert.ok(distance(elsewhere, logProbsAt(end)) < arrived, "from the uniform policy too");
      assert.ok(nearestOptimum(end) > 1e-2, "and π* at no β");
    });

    it("ORPO: where likelihood and odds balance, whatever the reference", () => {
      const lambda = 0.5;
      const orpo = onPairs((batch) => orpoLoss({ ...batch, lambda }));
      const odds = (l: number): number => l - Math.log(-Math.expm1(l));
      const definition = (x: ArrayLike<number>, w: number, l: number): number =>
        -x[w] / lengths[w] - lambda * logSigmoid(odds(x[w] / lengths[w]) - odds(x[l] / lengths[l]));
      const end = run(orpo);
      const away = awayFromOptimum(space, end, populationSlopes(definition));
      assert.ok(away < float32, `derivatives differ from ν·π by ${away}`);
      const elsewhere = run(orpo, new Float64Array(start.length));
      assert.ok(distance(elsewhere, logProbsAt(end)) < arrived, "from the uniform policy too");
      assert.ok(nearestOptimum(end) > 1e-2, "and π* at no β");
      const untilted = run(onPairs((batch) => orpoLoss({ ...batch, lambda: 0 })));
      const winners = everyone.map((y) =>
        offline.pairs.reduce((sum, [w], i) => sum + (w === y ? offline.rates[i] / lengths[y] : 0), 0),
      );
      const law = normalise(winners.map(Math.log));
      assert.ok(distance(untilted, law) < arrived, "at λ = 0 it is SFT on the chosen, by average tokens");
    });

    for (const [desirableWeight, what] of [
      [1, "gives up what loses more often than it wins"],
      [8, "keeps all where praise weighs enough"],
    ] as const) {
      it(`KTO ${what}; of the rest λ_D·praise − λ_U·blame, times σ'(β(h − z)), is in proportion to π`, () => {
        const marked = labelledShares();
        const z = (logP: ArrayLike<number>): number =>
          Math.max(
            0,
            everyone.reduce((sum, y) => sum + marked.share[y] * (logP[y] - reference[y]), 0),
          );
        const end = run(kto(marked, z, desirableWeight), start, { steps: 600 });
        const logP = logProbsAt(end);
        const surplus = everyone.map((y) => desirableWeight * marked.praise[y] - marked.blame[y]);
        const at = z(logP); // held fixed, as the method holds it
        const pull = surplus.map((s, y) => {
          const p = sigmoid(beta * (logP[y] - reference[y] - at));
          return s * p * (1 - p);
        });
        const kept = everyone.filter((y) => surplus[y] > 0);
        for (const y of everyone)
          if (surplus[y] < 0) assert.ok(Math.exp(logP[y]) < 1e-4, `π(${y}) is ${Math.exp(logP[y])}`);
        assert.equal(kept.length === N, desirableWeight > 1);
        // What is given up never has probability 0, and what is left of it still takes from the rest.
        const within = kept.length === N ? float32 : 1e-2;
        const perProbability = kept.map((y) => pull[y] / Math.exp(logP[y]));
        assertClose(
          perProbability,
          new Array<number>(kept.length).fill(perProbability[0]),
          within,
          "pull by probability",
        );
      });
    }

    it("GRPO as published: no π* at any β, but where reward's ranks and the forward KL balance, token by token", () => {
      const end = run(grpo("sample", "response", "k3"));
      const [logP, now, old] = [logProbsAt(end), tabularLogProbs(space, end), tabularLogProbs(space, start)];
      const m = new Float64Array(end.length);
      space.responses.forEach(({ tokens, states }, y) => {
        // Of two, the better has deviation 1/√2 of their distance, whatever that is: only who wins is left of the rewards.
        const advantage = logP.reduce((sum, l, other) => {
          const gap = rewards[y] - rewards[other];
          return sum + Math.exp(l) * (gap / 2 / (Math.abs(gap) / Math.SQRT2 + 1e-4));
        }, 0);
        tokens.forEach((token, t) => {
          const entry = states[t] * space.vocabularySize + token;
          const k3 = 1 - Math.exp(old[entry] - now[entry]);
          m[entry] += (Math.exp(logP[y]) / lengths[y]) * (advantage - beta * k3);
        });
      });
      const balance = m.map((value, entry) => {
        const first = entry - (entry % space.vocabularySize);
        const row = m.slice(first, first + space.vocabularySize).reduce((a, b) => a + b, 0);
        return value - Math.exp(now[entry]) * row;
      });
      assertClose(balance, new Float64Array(m.length), float32, "what is left in each state", 1);
      assert.ok(nearestOptimum(end) > 5e-3, `nearest π* ${nearestOptimum(end)}`);
    });

    it("best-of-n distilled: pi_n, by its exact pmf", () => {
      const n = 3;
      const rng = Random.fromSeed(1);
      const best = new Float64Array(N);
      tuplesOf(N, n).forEach((drawn) => {
        const winner =
          drawn[
            pickBest(
              drawn.map((y) => rewards[y]),
              rng,
            )
          ]; // no two rewards are equal: no draw of rng counts
        best[winner] += Math.exp(drawn.reduce((sum, y) => sum + reference[y], 0));
      });
      const { tokens, mask, rows, columns } = paddedResponses(space);
      const kept = mask.map((m, i) => m * best[Math.floor(i / columns)]);
      const batch = enumeratedBatch(space);
      const end = run((logits) =>
        Float64Array.from(
          gradientOf(space, logits, (now) => {
            const shape: [number, number] = [rows, columns];
            return nextTokenLoss(batch.logits(now), tf.tensor2d(tokens, shape, "int32"), tf.tensor2d(kept, shape)).loss;
          }),
        ),
      );
      const law = bestOfN(reference, rewards, n);
      assert.ok(distance(end, law) < arrived, `KL to pi_n is ${distance(end, law)}`);
      assert.ok(klDivergence(logProbsAt(end), reference) < bestOfNKlBound(n), "nearer to the reference than the bound");
      assert.ok(nearestOptimum(end) > 1e-3, `and π* at no β: ${nearestOptimum(end)}`);
    });
  });
});
