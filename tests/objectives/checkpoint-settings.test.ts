import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type * as z from "zod";
import type { Policy } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import { trainDpg } from "../../src/objectives/distribution-matching/dpg";
import { trainFDpg } from "../../src/objectives/distribution-matching/f-dpg";
import type { Budget, Feedback, Method } from "../../src/objectives/method";
import { allMethods } from "../../src/objectives/methods";
import { preferHigher } from "../../src/rewards/labeller";
import { chooseBackend } from "../../src/tensors/backend";
import { checkOptions, settingsSchema } from "../../src/tensors/options";
import { Random } from "../../src/tensors/random";
import { temporaryFolder } from "../models/tiny";
import { toy } from "./enumerable-toy";

const budget: Budget = {
  online: { steps: 12, promptsPerStep: 2, samplesPerPrompt: 2 },
  offline: { steps: 12, batchSize: 2 },
  rewardPairs: 9,
};
/** What a method may not be able to do without; all else is as it spends the budget, or its schema's default. */
const needed = { beta: 0.5, gamma: 0.5, lambda: 0.5, assumedFlipRate: 0.1 };

type Values = Record<string, unknown>;

function settingsOf({ label, options, spend }: Method): Values {
  const schema = settingsSchema(options);
  const asked = Object.fromEntries(Object.entries(needed).filter(([key]) => key in schema.shape));
  return checkOptions(label, schema, { ...spend(budget, {}), ...asked, steps: 12 });
}

/** Another value of a setting: the first of its kind that the setting's schema takes. */
function another(name: string, entry: z.ZodType, value: unknown): unknown {
  const candidates: unknown[] =
    typeof value === "boolean"
      ? [!value]
      : typeof value === "string"
        ? wordsOf(entry)
        : Array.isArray(value)
          ? [value.map((item: number) => item / 2)]
          : [Number(value) + 1, Number(value) / 2, 0.5, 1];
  const found = candidates.find((one) => String(one) !== String(value) && entry.safeParse(one).success);
  assert.ok(found !== undefined, `found no other value of ${name} than ${String(value)}: say here how to make one`);
  return found;
}

/** The words of an enumeration, with or without a default. */
function wordsOf(entry: z.ZodType): string[] {
  const { options, unwrap } = entry as unknown as { options?: string[]; unwrap?: () => z.ZodType };
  return options ?? (unwrap ? wordsOf(unwrap.call(entry)) : []);
}

describe("a checkpoint made with another setting is refused, by every method and for every setting", () => {
  const folder = temporaryFolder();
  const world = toy();
  let [policy, reference]: Policy[] = [];
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "cpu" });
    tensors = tf.memory().numTensors;
    reference = world.start();
    policy = reference.clone();
  });
  after(() => {
    for (const model of [policy, reference]) model.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const pairs = [0, 1, 2].map((i) => ({ chosen: world.examples[i], rejected: world.examples[i + 5] }));
  /** What a method learns from, and the same with lists of another length. */
  function feedback(kind: keyof Feedback, other = false): Feedback[keyof Feedback] {
    const prompts = other ? [world.prompt, [2, 3]] : [world.prompt];
    switch (kind) {
      case "pairs":
        return { pairs: other ? pairs.slice(1) : pairs };
      case "reward":
        return { reward: world.reward, prompts };
      case "labels":
        return { labeller: preferHigher(world.reward), prompts };
    }
  }

  type Trainer = (changed: Values, other?: boolean) => AsyncGenerator<TrainingRecord>;

  /** Leaves a training with a checkpoint behind. */
  async function leave(train: Trainer): Promise<void> {
    // Before the last step, so that also of a method with many steps on a batch at least one batch is done.
    for await (const { step } of train({})) if (step === 10) break;
  }
  const refused = (records: AsyncGenerator<TrainingRecord>, what: string) =>
    assert.rejects(
      records.next(),
      new RegExp(`belongs to another run: .*\\b${what} was .*, is `),
      `it goes on with another ${what}`,
    );
  /** With what it was made with, it is taken up. */
  async function takenUp(train: Trainer): Promise<void> {
    const rest = train({});
    const { value: next } = (await rest.next()) as IteratorYieldResult<TrainingRecord>;
    assert.ok(next.step > 0, `it began at step ${next.step}`);
    await rest.return(undefined);
  }

  for (const method of allMethods as readonly Method[]) {
    it(method.label, async () => {
      const settings = settingsOf(method);
      const train: Trainer = (changed, other = false) =>
        method.train(
          { policy, reference, ...feedback(method.feedback, other) } as never,
          { ...settings, ...changed } as never,
          { rng: Random.fromSeed(1), checkpointFolder: folder.path(method.name) },
        );
      await leave(train);
      const entries = Object.entries(settingsSchema(method.options).shape) as [string, z.ZodType][];
      assert.ok(entries.length > 5, `only ${entries.length} settings`);
      for (const [name, entry] of entries) {
        await refused(train({ [name]: another(`${method.label}'s ${name}`, entry, settings[name]) }), name);
      }
      const list = method.feedback === "pairs" ? "(pairs|examples)" : "prompts";
      await refused(train({}, true), list);
      await takenUp(train);
    });
  }

  it("a partition that is known where it was estimated", async () => {
    const online = { reward: world.reward, prompts: [world.prompt], promptsPerStep: 2, samplesPerPrompt: 2 };
    const run = { policy, reference, ...online, beta: 0.5, steps: 12, learningRate: 0.01 };
    const trainers: Record<string, Trainer> = {
      dpg: (change) =>
        trainDpg({ ...run, rng: Random.fromSeed(1), checkpointFolder: folder.path("Z, DPG"), ...change }),
      fDpg: (change) =>
        trainFDpg({
          ...run,
          divergence: "jensenShannon",
          rng: Random.fromSeed(1),
          checkpointFolder: folder.path("Z, f-DPG"),
          ...change,
        }),
    };
    for (const train of Object.values(trainers)) {
      await leave(train);
      await refused(train({ logPartition: () => 0 }), "partition");
      await takenUp(train);
    }
  });
});
