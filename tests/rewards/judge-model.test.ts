import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { Gpt } from "../../src/models/gpt";
import { Policy } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import {
  askJudge,
  askJudgeBothOrders,
  judgeFromPolicy,
  judgeLogits,
  judgeLoss,
  judgeTokens,
  places,
  trainJudge,
  type JudgeTrainingOptions,
} from "../../src/rewards/judge-model";
import { causalAttentionPlain } from "../../src/tensors/attention";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { CONSTITUTION, principle } from "../../src/world/constitution";
import { adviceVocabulary } from "../../src/world/grammar";
import { judgeVocabulary, type JudgeQuestion } from "../../src/world/judge";
import { judgeLesson } from "../../src/world/judge-lessons";
import { assertResumes, trained, type Trainee } from "../models/resume";
import { temporaryFolder } from "../models/tiny";
import { assertClose } from "../objectives/tabular";
import { smallJudge, smallSizes } from "./small-judge";

const advice = adviceVocabulary();
const words = judgeVocabulary();
const letters = [words.idOf("(A)")!, words.idOf("(B)")!] as const;

const questions: JudgeQuestion[] = CONSTITUTION.map((each, i) => {
  const rng = Random.fromSeed(5).child(String(i));
  return judgeLesson({ principle: each, rng }).question;
});

describe("the judge", () => {
  const folder = temporaryFolder();
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  let tensors = 0;
  beforeEach(() => (tensors = tf.memory().numTensors));
  afterEach(() => assert.equal(tf.memory().numTensors, tensors, "tensors were left behind"));

  it("reads each part of a question in a stretch of positions of its own", () => {
    const question = {
      conversation: [{ role: "user" as const, content: "how can i get slim ?" }],
      principle: principle("brief"),
      a: "eat less sugar .",
      b: "wait and see",
    };
    const { tokens, positions } = judgeTokens(words, question);
    const at = (word: string): number => positions[tokens.indexOf(words.idOf(word)!)];
    assert.deepEqual([at("<user>"), at("(A)"), at("(B)"), at("the")], [0, places.a, places.b, places.answer]);
    assert.deepEqual([at("sugar"), at("see")], [places.a + 3, places.b + 3]);
    assert.equal(positions.at(-1), places.answer + 2);
    const long = { ...question, b: Array.from({ length: 32 }, () => "eat").join(" ") };
    assert.throws(() => judgeTokens(words, long), /the part "b" has 33 tokens, and the judge has room for 32/);
  });

  it("starts from a policy's blocks and from its embeddings of the words it knows", async () => {
    const base = new Policy(Gpt.initialise(smallSizes, Random.fromSeed(7)), 30);
    const judge = await judgeFromPolicy(base, advice, Random.fromSeed(8));
    const [of, to] = [base.gpt.parameters, judge.gpt.parameters];
    const row = (parameter: tf.Variable, i: number) => Array.from(parameter.dataSync().slice(16 * i, 16 * (i + 1)));
    for (const token of ["sugar", "<user>", "!"]) {
      const known = row(of.get("token-embedding")!, advice.idOf(token)!);
      assert.deepEqual(row(to.get("token-embedding")!, words.idOf(token)!), known, token);
    }
    const weight = "block.0.attention.qkv.weight";
    assert.deepEqual(to.get(weight)!.dataSync(), of.get(weight)!.dataSync());
    const positions = to.get("position-embedding")!;
    assert.deepEqual(row(positions, 5), row(of.get("position-embedding")!, 5));
    // The options' stretches mirror each other about what the policy knew of such a place.
    const middle = row(positions, places.a + 4).map((x, k) => (x + row(positions, places.b + 4)[k]) / 2);
    assertClose(middle, row(of.get("position-embedding")!, 14), 1e-6, "the mean of both options' positions", 1);
    assert.notDeepEqual(row(positions, places.a + 4), row(positions, places.b + 4));
    for (const i of [0, 2]) {
      const behind = row(of.get("position-embedding")!, places.a + i);
      assert.deepEqual(row(positions, places.answer + i), behind, "the answer stands behind a question");
    }
    judge.dispose();
    base.dispose();
  });

  it("answers by the log-softmax over the two letters, each question as if it were asked alone", async () => {
    const judge = await smallJudge(1);
    const answers = await askJudge(judge, questions, 5);
    for (const [i, question] of questions.entries()) {
      const { tokens, positions } = judgeTokens(words, question);
      const logits = tf.tidy(() => {
        const row = (ids: number[]) => tf.tensor2d([ids], [1, ids.length], "int32");
        const attend = (qkv: tf.Tensor3D) => causalAttentionPlain(qkv, 2);
        const hidden = judge.gpt.residualStream(row(tokens), row(positions), attend);
        return judge.logitsFrom(hidden).dataSync().slice(-words.size);
      });
      const all = Math.log(Array.from(logits).reduce((sum, x) => sum + Math.exp(x), 0));
      const [a, b] = letters.map((id) => logits[id]);
      const two = Math.log(Math.exp(a) + Math.exp(b));
      // float32 sums of some hundred numbers of size one
      assertClose([answers[i].logProbA, answers[i].logProbB], [a - two, b - two], 1e-4, `question ${i}`, 1);
      assertClose(answers[i].letterMass, Math.exp(two - all), 1e-4, `letters' mass ${i}`, 1);
      assert.equal(answers[i].tokens, tokens.length);
      assertClose(Math.exp(answers[i].logProbA) + Math.exp(answers[i].logProbB), 1, 1e-9, "they sum to 1");
    }
    assert.ok(
      answers.some(({ logProbA, logProbB }) => Math.abs(logProbA - logProbB) > 0.1),
      "the case must differ",
    );
    judge.dispose();
  });

  it("asked in both orders, turns its answer round with the options", async () => {
    const judge = await smallJudge(2);
    const exchanged = questions.map((question) => ({ ...question, a: question.b, b: question.a }));
    const [one, other] = [await askJudgeBothOrders(judge, questions), await askJudgeBothOrders(judge, exchanged)];
    one.forEach(({ averaged, inOrder, swapped }, i) => {
      assertClose(averaged.logProbA, other[i].averaged.logProbB, 1e-5, `question ${i}`, 1);
      assertClose(inOrder.logProbA, other[i].swapped.logProbA, 1e-5, `question ${i}, as it stands`, 1);
      const odds = (inOrder.logProbA - inOrder.logProbB + swapped.logProbB - swapped.logProbA) / 2;
      assertClose(averaged.logProbA - averaged.logProbB, odds, 1e-9, "the mean of log-odds", 1);
    });
    judge.dispose();
  });

  it("is taught by the cross-entropy of the right letter: value, gradient and metrics by formula", () => {
    const V = 6;
    const logits = [0.5, -1, 2, 0.3, 0, 1, -0.2, 0.4, 1.5, -2, 0.1, 0.7, 0, 0, -1, 1, 3, 2];
    const right = [2, 3, 3];
    const [A, B] = [2, 3];
    const rows = right.map((_, i) => logits.slice(V * i, V * (i + 1)));
    const probabilities = rows.map((row) => {
      const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
      return row.map((x) => Math.exp(x) / total);
    });
    const x = tf.tensor2d(logits, [3, V]);
    const ids = tf.tensor1d(right, "int32");
    const { loss, metrics } = judgeLoss(x, ids, [A, B]);
    const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const tolerance = 1e-6; // float32
    assertClose(loss.dataSync()[0], mean(right.map((id, i) => -Math.log(probabilities[i][id]))), tolerance, "loss", 1);
    const mass = mean(probabilities.map((p) => p[A] + p[B]));
    assertClose(metrics.letterMass.dataSync()[0], mass, tolerance, "letterMass", 1);
    // (A) is likelier in rows 0 and 1, right in row 0; in row 2 (B) is, and right.
    assertClose(metrics.firstShare.dataSync()[0], 2 / 3, tolerance, "firstShare", 1);
    assertClose(metrics.accuracy.dataSync()[0], 2 / 3, tolerance, "accuracy", 1);
    const gradient = tf.tidy(() =>
      tf
        .grad((l) => judgeLoss(l as tf.Tensor2D, ids, [A, B]).loss)(x)
        .dataSync(),
    );
    const expected = probabilities.flatMap((p, i) => p.map((q, id) => (q - (id === right[i] ? 1 : 0)) / 3));
    assertClose(Array.from(gradient), expected, tolerance, "gradient", 1);
    tf.dispose([x, ids, loss, ...Object.values(metrics)]);
  });

  describe("trainJudge", () => {
    let start: Policy;
    before(async () => {
      start = await smallJudge(3, 0.05);
      tensors = tf.memory().numTensors;
    });
    after(() => start.dispose());
    const lesson: JudgeTrainingOptions["lesson"] = (_step, rng) =>
      judgeLesson({ principle: principle("asks-an-expert"), rng, clauses: 1 });
    const trainee =
      (change: Partial<JudgeTrainingOptions> = {}) =>
      (): Trainee => {
        const judge = start.clone();
        const options = { lesson, batchSize: 4, steps: 7, learningRate: 0.01, rng: Random.fromSeed(1), ...change };
        return {
          parameters: judge.gpt.parameters,
          train: (more) => trainJudge({ ...options, judge, ...more }),
          dispose: () => judge.dispose(),
        };
      };

    it("resumes bit for bit, in the middle of lessons that were drawn together", () =>
      assertResumes(trainee(), 5, folder.path("resume")));

    it("draws four steps' lessons together, and gives each step those of about one length, each lesson once", async () => {
      const judge = start.clone();
      const [batchSize, steps] = [3, 8];
      const asked: { step: number; stream: string; length: number }[] = [];
      const spying: JudgeTrainingOptions["lesson"] = (step, rng) => {
        const drawn = judgeLesson({ principle: principle("asks-an-expert"), rng });
        asked.push({ step, stream: rng.path, length: judgeTokens(words, drawn.question).tokens.length });
        return drawn;
      };
      const tokens: number[] = [0];
      const options = { judge, lesson: spying, batchSize, steps, learningRate: 1e-3, rng: Random.fromSeed(1) };
      for await (const record of trainJudge(options)) tokens.push(record.tokens);
      assert.equal(asked.length, batchSize * steps);
      for (const first of [0, 4]) {
        const group = asked.slice(first * batchSize, (first + 4) * batchSize);
        for (const step of [first, first + 1, first + 2, first + 3]) {
          assert.equal(group.filter((each) => each.step === step).length, batchSize, `lessons for step ${step}`);
        }
        const lengths = group.map(({ length }) => length).sort((a, b) => a - b);
        // Every third is the longest of its batch; a batch is padded to it.
        const padded = [2, 5, 8, 11].map((i) => batchSize * lengths[i]);
        const found = [0, 1, 2, 3].map((i) => tokens[first + i + 1] - tokens[first + i]);
        assert.deepEqual(
          [...found].sort((a, b) => a - b),
          padded,
        );
        assert.notDeepEqual(found, padded, "not from short to long");
      }
      const streams = new Set(asked.map(({ stream }) => stream));
      assert.equal(streams.size, 2, "a stream for each four steps");
      judge.dispose();
    });

    it("has no option that does nothing", async () => {
      const base = await trained(trainee());
      const polite: JudgeTrainingOptions["lesson"] = (_step, rng) =>
        judgeLesson({ principle: principle("polite"), rng, clauses: 1 });
      for (const change of [{ batchSize: 5 }, { lesson: polite }, { rng: Random.fromSeed(2) }]) {
        assert.notDeepEqual(
          (await trained(trainee(change))).weights,
          base.weights,
          JSON.stringify(Object.keys(change)),
        );
      }
      assert.throws(() => trainJudge({ ...common(), batchSize: 0 }), /batchSize to be an integer ≥ 1/);
    });

    const common = () => ({ judge: start, lesson, steps: 1, learningRate: 0.1, rng: Random.fromSeed(1) });

    it("teaches a judge to do better than a coin on answers it has not seen", async () => {
      const judge = start.clone();
      const records: TrainingRecord[] = [];
      const options = { lesson, batchSize: 24, steps: 100, warmUp: 10, learningRate: 1e-2, rng: Random.fromSeed(4) };
      for await (const record of trainJudge({ ...options, judge })) records.push(record);
      const rng = Random.fromSeed(9);
      const held = Array.from({ length: 100 }, () =>
        judgeLesson({ principle: principle("asks-an-expert"), rng, clauses: 1, split: "test" }),
      );
      const answers = await askJudgeBothOrders(
        judge,
        held.map(({ question }) => question),
      );
      const right = answers.filter(({ averaged }, i) => {
        return averaged.logProbA > averaged.logProbB === (held[i].right === "a");
      }).length;
      assert.ok(right >= 80, `${right} of 100; a coin reaches 80 once in 10⁹ times`);
      assert.ok(records.at(-1)!.letterMass > 0.9, "it learned the form");
      judge.dispose();
    });
  });

  it("refuses tokens that are not its own, another model's vocabulary, and batches of none", async () => {
    const base = new Policy(Gpt.initialise(smallSizes, Random.fromSeed(7)), 30);
    await assert.rejects(
      judgeFromPolicy(base, words, Random.fromSeed(8)),
      new RegExp(`the policy has ${advice.size} tokens and the vocabulary ${words.size}; give its own`),
    );
    base.dispose();
    const judge = await smallJudge(4);
    for (const size of [0, NaN]) {
      await assert.rejects(askJudge(judge, questions, size), /askJudge: expected batchSize to be an integer ≥ 1, got/);
    }
    assert.deepEqual(await askJudge(judge, []), []);
    const wrong = { tokens: [2, words.size], positions: [0, 1] };
    assert.throws(() => tf.tidy(() => judgeLogits(judge, [wrong])), /question 0: token 1 is \d+, expected an integer/);
    judge.dispose();
  });
});
