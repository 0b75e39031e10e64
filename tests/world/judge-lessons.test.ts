import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { ATTRIBUTES, CONSTITUTION, favoured, principle } from "../../src/world/constitution";
import { goldReward } from "../../src/world/gold-reward";
import { judgeVocabulary } from "../../src/world/judge";
import { judgeCurriculum, judgeLesson, richAnswer, type JudgeLesson } from "../../src/world/judge-lessons";
import { promptOfText } from "../../src/world/prompts";

const goldOf = ({ question: { conversation, a, b } }: JudgeLesson) => {
  const { topic } = promptOfText(conversation[0].content);
  return { a: goldReward(topic, a), b: goldReward(topic, b) };
};

describe("the judge's lessons", () => {
  it("name the answer that the principle favours, and by how much", () => {
    for (const principle of CONSTITUTION) {
      for (let i = 0; i < 12; i++) {
        const rng = Random.fromSeed(1).child(`${principle.id} ${i}`);
        const lesson = judgeLesson({ principle, rng, demonstrations: 0.5, smallestGap: 0.3 });
        const { a, b } = goldOf(lesson);
        assert.equal(favoured(principle, a, b), lesson.right, principle.id);
        const { measure } = ATTRIBUTES[principle.attribute];
        assert.ok(Math.abs(Math.abs(measure(a) - measure(b)) - lesson.gap) < 1e-12 && lesson.gap >= 0.3);
        assert.equal(promptOfText(lesson.question.conversation[0].content).split, "train");
      }
    }
  });

  it("put the right answer first as often as asked, and ask held-out questions when told", () => {
    const n = 600;
    for (const firstShare of [0, 0.5, 0.8, 1]) {
      const rng = Random.fromSeed(2);
      const lessons = Array.from({ length: n }, () =>
        judgeLesson({ principle: principle("polite"), rng, firstShare, split: "test" }),
      );
      const share = lessons.filter(({ right }) => right === "a").length / n;
      // 4.5 standard deviations of a frequency.
      assert.ok(Math.abs(share - firstShare) <= 4.5 * Math.sqrt((firstShare * (1 - firstShare)) / n), String(share));
      assert.ok(lessons.every(({ question }) => promptOfText(question.conversation[0].content).split === "test"));
    }
  });

  it("grow from one clause to whole answers, all of them in the judge's words", () => {
    const length = (progress: number): number => {
      const rng = Random.fromSeed(3).child(String(progress));
      const lessons = Array.from({ length: 200 }, () => judgeCurriculum({ progress, rng }));
      return (
        lessons.reduce((sum, { question: { a, b } }) => sum + judgeVocabulary().encode(`${a} ${b}`).length, 0) / 400
      );
    };
    const [one, two, whole] = [0.1, 0.5, 0.9].map(length);
    assert.ok(one + 2 < two && two + 2 < whole, String([one, two, whole]));
  });

  it("hold answers within the length of an answer, and refuse shares that are none", () => {
    const rng = Random.fromSeed(4);
    for (let i = 0; i < 300; i++) assert.ok(richAnswer("sleep", 3, rng).split(" ").length <= 29);
    const lesson = (change: object) => () => judgeLesson({ principle: principle("polite"), rng, ...change });
    assert.throws(lesson({ firstShare: 1.2 }), /firstShare in \[0, 1\]/);
    assert.throws(lesson({ smallestGap: 0 }), /smallestGap > 0/);
    assert.throws(lesson({ smallestGap: 50 }), /none differs by 50 in politeness/);
  });
});
