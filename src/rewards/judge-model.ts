import * as tf from "@tensorflow/tfjs";
import type * as z from "zod";
import { Gpt } from "../models/gpt";
import { Policy } from "../models/policy";
import { train, trainingOptions, type TrainingRecord } from "../models/training";
import { causalAttention } from "../tensors/attention";
import type { Loss } from "../tensors/loss";
import { checkOptions, checkValue, given, givenFunction, wholeNumber } from "../tensors/options";
import type { Random } from "../tensors/random";
import { checkShape } from "../tensors/shape";
import { tokenLogProbs } from "../tensors/token-log-probs";
import { PAD, type Vocabulary } from "../text/vocabulary";
import {
  averageOfOrders,
  judgePromptParts,
  judgeVocabulary,
  LETTERS,
  type JudgeQuestion,
  type JudgeVerdict,
} from "../world/judge";
import type { JudgeLesson } from "../world/judge-lessons";

/**
 * An AI judge that is a language model (Bai et al. 2022, "Constitutional AI"; the lecture's "Constitutional AI for
 * Collecting Preferences"): it reads conversation, principle and two options, and answers by its log-probabilities of the
 * tokens "(A)" and "(B)".
 *
 * A judge is a `Policy` over the judge's vocabulary. How ours differs from an assistant that is asked to judge:
 * 1. It is too small to have learned from pre-training what a principle asks for: it is the SFT model, taught by lessons
 *    whose right answers are known (`world/judge-lessons.ts`).
 * 2. Position embeddings count anew in each part of the question: the two options are read in stretches of their own
 *    (`places`), so that a word's position tells which option it belongs to. Without it two layers did not find out within
 *    the course's budget.
 * 3. Only one token is answered: there is no chain of thought.
 */

/** Where each part of a question begins in the table of positions, and where the table ends. */
export const places = { question: 0, a: 40, b: 72, answer: 104, end: 112 } as const;

/** A question as the judge reads it. */
export interface JudgeTokens {
  tokens: number[];
  /** Of each token, its row in the table of positions. */
  positions: number[];
}

/** Tokens and positions of a question; a part that does not fit its stretch is a RangeError. */
export function judgeTokens(vocabulary: Vocabulary, question: JudgeQuestion): JudgeTokens {
  const parts = judgePromptParts(question);
  const tokens: number[] = [];
  const positions: number[] = [];
  const ends = { question: places.a, a: places.b, b: places.answer, answer: places.end };
  for (const part of ["question", "a", "b", "answer"] as const) {
    const ids = vocabulary.encode(parts[part], { specials: true });
    const room = ends[part] - places[part];
    if (ids.length > room) {
      throw new RangeError(
        `judgeTokens: the part "${part}" has ${ids.length} tokens, and the judge has room for ${room}; shorten it`,
      );
    }
    ids.forEach((id, i) => {
      tokens.push(id);
      positions.push(places[part] + i);
    });
  }
  return { tokens, positions };
}

/**
 * An untaught judge from a policy over the advice world's vocabulary: its blocks, and its embeddings of the words it knows.
 * New words start at random (deviation 0.02, as in `Gpt.initialise`). Each stretch of an option starts from the
 * positions behind a question, where the policy read answers, and the two are told apart by ± one random direction of
 * deviation 0.2; the answer's starts from the positions behind the judge's question, as far as the policy has any.
 */
export async function judgeFromPolicy(policy: Policy, vocabulary: Vocabulary, rng: Random): Promise<Policy> {
  const { width, context, layers, heads, vocabularySize } = policy.gpt.config;
  if (vocabulary.size !== vocabularySize) {
    throw new RangeError(
      `judgeFromPolicy: the policy has ${vocabularySize} tokens and the vocabulary ${vocabulary.size}; give its own`,
    );
  }
  const words = judgeVocabulary();
  const gpt = Gpt.initialise({ vocabularySize: words.size, context: places.end, width, layers, heads }, rng);
  const direction = rng.child("options apart");
  const segment = Array.from({ length: width }, () => 0.2 * direction.normal());
  for (const [name, parameter] of gpt.parameters) {
    const known = policy.gpt.parameters.get(name)!;
    if (name !== "token-embedding" && name !== "position-embedding") {
      parameter.assign(known);
      continue;
    }
    const [to, from] = [Float32Array.from(await parameter.data()), Float32Array.from(await known.data())];
    const copy = (row: number, source: number): void =>
      to.set(from.subarray(source * width, (source + 1) * width), row * width);
    if (name === "token-embedding") {
      words.tokens.forEach((token, id) => {
        const source = vocabulary.idOf(token);
        if (source !== undefined) copy(id, source);
      });
    } else {
      const last = context - 1;
      for (let row = 0; row < places.end; row++) {
        if (row < places.a) copy(row, Math.min(row, last));
        else if (row < places.answer) {
          const inOption = row < places.b ? row - places.a : row - places.b;
          copy(row, Math.min(10 + inOption, last)); // questions have about 10 tokens
          const sign = row < places.b ? 1 : -1;
          segment.forEach((value, k) => (to[row * width + k] += sign * value));
        } else copy(row, Math.min(places.a + row - places.answer, last));
      }
    }
    tf.tidy(() => parameter.assign(tf.tensor(to, parameter.shape)));
  }
  return new Policy(gpt, 1 + 1); // a letter and <eos>
}

/**
 * The loss of a batch of questions, and how they are answered: logits [B, V] of the token after "the answer is:", right [B]
 * int32 the ids of the right letters, letters the ids of "(A)" and "(B)".
 *
 * loss = −mean log π(right letter | question), over the whole vocabulary. Metrics: `letterMass` = mean π(A) + π(B);
 * `accuracy` = share of questions whose right letter is the likelier; `firstShare` = share where (A) is.
 */
export function judgeLoss(logits: tf.Tensor2D, right: tf.Tensor1D, letters: readonly [number, number]): Loss {
  checkShape("judgeLoss: logits", logits, [null, null]);
  checkShape("judgeLoss: right", right, [logits.shape[0]]);
  return tf.tidy(() => {
    const loss = tokenLogProbs(logits, right).neg().mean<tf.Scalar>();
    const logProbs = letterLogProbs(logits, letters); // [B, 2]
    const first = logProbs
      .slice([0, 0], [-1, 1])
      .greater(logProbs.slice([0, 1], [-1, 1]))
      .toFloat()
      .reshape([-1]);
    const firstIsRight = right.equal(tf.scalar(letters[0], "int32")).toFloat();
    return {
      loss,
      metrics: {
        letterMass: logProbs.exp().sum(1).mean<tf.Scalar>(),
        accuracy: first.equal(firstIsRight).toFloat().mean<tf.Scalar>(),
        firstShare: first.mean<tf.Scalar>(),
      },
    };
  });
}

/** log π of the two letters among all tokens: logits [B, V] → [B, 2]. */
function letterLogProbs(logits: tf.Tensor2D, letters: readonly [number, number]): tf.Tensor2D {
  const B = logits.shape[0];
  const of = (id: number): tf.Tensor => tokenLogProbs(logits, tf.fill([B], id, "int32"));
  return tf.stack(letters.map(of), 1) as tf.Tensor2D;
}

/** Logits of the token after each question, [B, V]; differentiable in the judge's weights. Call it inside `tf.tidy`. */
export function judgeLogits(judge: Policy, batch: readonly JudgeTokens[]): tf.Tensor2D {
  const B = batch.length;
  const T = Math.max(...batch.map(({ tokens }) => tokens.length));
  const [tokens, positions] = [new Int32Array(B * T).fill(PAD), new Int32Array(B * T)];
  batch.forEach((question, row) => {
    judge.gpt.checkTokens(`judgeLogits: question ${row}`, question.tokens);
    tokens.set(question.tokens, row * T);
    positions.set(question.positions, row * T);
  });
  const { heads, width } = judge.gpt.config;
  const shape: [number, number] = [B, T];
  // Padding stands on the right, behind the row that is read: no causal attention looks at it.
  const hidden = judge.gpt.residualStream(
    tf.tensor2d(tokens, shape, "int32"),
    tf.tensor2d(positions, shape, "int32"),
    (qkv) => causalAttention(qkv, heads),
  );
  const last = tf.tensor1d(
    batch.map(({ tokens }, row) => row * T + tokens.length - 1),
    "int32",
  );
  const read = hidden
    .reshape([B * T, width])
    .gather(last)
    .reshape<tf.Tensor3D>([B, 1, width]);
  return judge.logitsFrom(read).reshape([B, judge.gpt.config.vocabularySize]);
}

export const judgeTrainingOptions = trainingOptions.extend({
  judge: given<Policy>("a Policy"),
  /**
   * Draws a lesson for a step from the stream of those drawn together (see `batchSize`), `batchSize` times a step. The last
   * of them may be for steps that are not taken any more.
   */
  lesson: givenFunction<(step: number, rng: Random) => JudgeLesson>("a function that draws a lesson"),
  /** Questions a step. Four steps' lessons are drawn together and sorted by length, so that a batch is little padding. */
  batchSize: wholeNumber(1),
});
export type JudgeTrainingOptions = z.input<typeof judgeTrainingOptions>;

/** Teaches a judge in place by `judgeLoss`. Records carry its metrics. */
export function trainJudge(options: JudgeTrainingOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainJudge", judgeTrainingOptions, options);
  const { judge, lesson, batchSize, rng } = checked;
  const vocabulary = judgeVocabulary();
  const letters = letterIds(vocabulary);
  const drawTogether = 4;
  let drawn: { group: number; lessons: { question: JudgeTokens; right: number }[] } | undefined;
  const group = (index: number): { question: JudgeTokens; right: number }[] => {
    if (drawn?.group !== index) {
      const stream = rng.child(`lessons ${index}`);
      const lessons = Array.from({ length: drawTogether * batchSize }, (_, i) => {
        const { question, right } = lesson(drawTogether * index + (i % drawTogether), stream);
        return { question: judgeTokens(vocabulary, question), right: letters[right === "a" ? 0 : 1] };
      });
      lessons.sort((x, y) => x.question.tokens.length - y.question.tokens.length);
      drawn = { group: index, lessons };
    }
    return drawn.lessons;
  };
  return train<{ question: JudgeTokens; right: number }[]>(
    {
      name: "judge",
      parameters: judge.gpt.parameters,
      async batch(step) {
        const which = [2, 0, 3, 1][step % drawTogether]; // not from short to long
        return group(Math.floor(step / drawTogether)).slice(which * batchSize, (which + 1) * batchSize);
      },
      loss(batch) {
        const logits = judgeLogits(
          judge,
          batch.map(({ question }) => question),
        );
        const right = tf.tensor1d(
          batch.map((each) => each.right),
          "int32",
        );
        return judgeLoss(logits, right, letters);
      },
      measure: (batch) => ({
        tokens: batch.length * Math.max(...batch.map(({ question }) => question.tokens.length)),
      }),
    },
    checked,
  );
}

/** A verdict, and what it took. */
export interface JudgeAnswer extends JudgeVerdict {
  /** π(A) + π(B): the rest says that the judge has not understood the form. */
  letterMass: number;
  /** Tokens that the judge read. */
  tokens: number;
}

/**
 * Asks the judge each question once, with `a` as option (A): log P(A) = log π(A) − log (π(A) + π(B)), and so (B). No
 * gradient. Questions of similar length share a batch.
 */
export async function askJudge(
  judge: Policy,
  questions: readonly JudgeQuestion[],
  batchSize = 64,
): Promise<JudgeAnswer[]> {
  checkValue("askJudge", "batchSize", wholeNumber(1), batchSize);
  const vocabulary = judgeVocabulary();
  const letters = letterIds(vocabulary);
  const read = questions.map((question) => judgeTokens(vocabulary, question));
  const order = read.map((_, i) => i).sort((i, j) => read[i].tokens.length - read[j].tokens.length);
  const answers = new Array<JudgeAnswer>(questions.length);
  for (let start = 0; start < order.length; start += batchSize) {
    const some = order.slice(start, start + batchSize);
    const scores = tf.tidy(() =>
      letterLogProbs(
        judgeLogits(
          judge,
          some.map((i) => read[i]),
        ),
        letters,
      ),
    );
    const values = (await scores.data()) as Float32Array;
    some.forEach((question, row) => {
      const [a, b] = [values[2 * row], values[2 * row + 1]];
      const most = Math.max(a, b);
      const both = most + Math.log(Math.exp(a - most) + Math.exp(b - most));
      answers[question] = {
        logProbA: a - both,
        logProbB: b - both,
        letterMass: Math.exp(both),
        tokens: read[question].tokens.length,
      };
    });
    scores.dispose();
  }
  return answers;
}

/** What the judge says of a question in each order of its options, and on average of the two. */
export interface BothOrders {
  /** Option (A) held answer a. */
  inOrder: JudgeAnswer;
  /** Option (A) held answer b. */
  swapped: JudgeAnswer;
  /** Of answer a against b, without position bias (`averageOfOrders`). */
  averaged: JudgeVerdict;
}

/** Asks each question in both orders. */
export async function askJudgeBothOrders(judge: Policy, questions: readonly JudgeQuestion[]): Promise<BothOrders[]> {
  const exchanged = questions.map((question) => ({ ...question, a: question.b, b: question.a }));
  const answers = await askJudge(judge, [...questions, ...exchanged]);
  return questions.map((_, i) => {
    const [inOrder, swapped] = [answers[i], answers[questions.length + i]];
    return { inOrder, swapped, averaged: averageOfOrders(inOrder, swapped) };
  });
}

function letterIds(vocabulary: Vocabulary): readonly [number, number] {
  const [a, b] = LETTERS.map((letter) => vocabulary.idOf(letter)!);
  return [a, b];
}
