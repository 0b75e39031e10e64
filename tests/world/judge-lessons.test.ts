import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { ATTRIBUTES, CONSTITUTION, favoured, principle, type AttributeName } from "../../src/world/constitution";
import { goldReward, type GoldReward } from "../../src/world/gold-reward";
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

  it("begin with one clause, then two, then three, and never ask about a small difference", () => {
    const fragmentKinds = ["safe", "harmful", "useless", "offTopic", "repeat"];
    const most = (progress: number): number => {
      const rng = Random.fromSeed(5).child(String(progress));
      const fragments = Array.from({ length: 120 }, () => {
        const lesson = judgeCurriculum({ progress, rng });
        assert.ok(lesson.gap >= 0.3, `${lesson.question.principle.id}: ${lesson.gap}`);
        if (lesson.question.principle.id === "no-repetition") return 0; // needs two clauses from the start
        const advice = ({ units }: GoldReward) => units.filter(({ kind }) => fragmentKinds.includes(kind)).length;
        return Math.max(...Object.values(goldOf(lesson)).map(advice));
      });
      return Math.max(...fragments);
    };
    assert.deepEqual([0, 0.35, 0.37, 0.59].map(most), [1, 1, 2, 2]);
    assert.ok(most(0.61) >= 3 && most(1) >= 3);
  });

  it("teach attributes alike, however many wordings each has, but helpfulness and worth twice as often", () => {
    const rng = Random.fromSeed(6);
    const n = 2400;
    const taught = Array.from({ length: n }, () => judgeCurriculum({ progress: 0.1, rng }).question.principle);
    const names = Object.keys(ATTRIBUTES) as AttributeName[];
    const parts = (name: AttributeName): number => (name === "helpfulness" || name === "worth" ? 2 : 1);
    const whole = names.reduce((sum, name) => sum + parts(name), 0);
    for (const name of names) {
      const wordings = CONSTITUTION.filter(({ attribute }) => attribute === name);
      for (const { id } of wordings) {
        const share = parts(name) / whole / wordings.length;
        const found = taught.filter((each) => each.id === id).length / n;
        // 4 standard deviations of a frequency.
        const tolerance = 4 * Math.sqrt((share * (1 - share)) / n);
        assert.ok(Math.abs(found - share) < tolerance, `${id}: ${found}, not ${share}`);
      }
    }
  });

  it("are about demonstrations as often as asked, where those can differ in what is judged", () => {
    const lessonsOf = (id: string, demonstrations: number): JudgeLesson[] => {
      const rng = Random.fromSeed(7);
      return Array.from({ length: 150 }, () => judgeLesson({ principle: principle(id), rng, demonstrations }));
    };
    // A demonstration has no junk and opens once at most. Of two rich answers about a third have neither fault.
    const asDemonstrated = (lesson: JudgeLesson): boolean =>
      Object.values(goldOf(lesson)).every(({ counts }) => counts.junk === 0 && counts.opener < 2 && counts.closer < 2);
    const share = (lessons: JudgeLesson[]): number => lessons.filter(asDemonstrated).length / lessons.length;
    assert.equal(share(lessonsOf("asks-an-expert", 1)), 1);
    const rich = share(lessonsOf("asks-an-expert", 0));
    assert.ok(rich < 0.8, String(rich));
    const half = share(lessonsOf("asks-an-expert", 0.5));
    // 4.5 standard deviations of a difference of two frequencies.
    assert.ok(Math.abs(half - (1 + rich) / 2) < 4.5 * Math.sqrt(0.5 / 150), `${half}, between ${rich} and 1`);
    assert.equal(lessonsOf("well-formed", 1).length + lessonsOf("no-rambling", 1).length, 300, "of rich answers");
    const curriculum = (progress: number): JudgeLesson[] => {
      const rng = Random.fromSeed(8);
      const lessons = Array.from({ length: 800 }, () => judgeCurriculum({ progress, rng }));
      return lessons.filter(({ question }) => ["gives-steps", "answers-the-need"].includes(question.principle.id));
    };
    const late = curriculum(0.9);
    const asRich = share(lessonsOf("gives-steps", 0).filter(({ gap }) => gap >= 0.3));
    assert.ok(
      share(late) > asRich + 0.1,
      `${share(late)}: .4 of them are demonstrations, ${asRich} look like one anyway`,
    );
  });

  it("hold, in rich answers, often enough of everything that a principle can judge", () => {
    const rng = Random.fromSeed(9);
    const counts = Array.from({ length: 600 }, () => goldReward("sleep", richAnswer("sleep", 3, rng)).counts);
    for (const kind of Object.keys(counts[0]) as (keyof (typeof counts)[0])[]) {
      const share = counts.filter((each) => each[kind] > 0).length / counts.length;
      assert.ok(share > 0.1, `${kind}: in ${share} of the answers`);
    }
  });

  it("hold answers within the length of an answer, and refuse shares that are none", () => {
    const rng = Random.fromSeed(4);
    for (let i = 0; i < 300; i++) assert.ok(richAnswer("sleep", 3, rng).split(" ").length <= 29);
    const lesson = (change: object) => () => judgeLesson({ principle: principle("polite"), rng, ...change });
    assert.throws(lesson({ firstShare: 1.2 }), /firstShare to be a number in \[0, 1\], got 1.2/);
    assert.throws(lesson({ smallestGap: 0 }), /smallestGap to be a finite number > 0, got 0/);
    assert.throws(lesson({ demonstrations: -1 }), /demonstrations to be a number in \[0, 1\], got -1/);
    assert.throws(lesson({ clauses: 4 }), /clauses to be 1, 2 or 3, got 4/);
    assert.throws(lesson({ split: "all" }), /split to be one of "train", "test", got "all"/);
    assert.throws(lesson({ smallestGap: 50 }), /none differs by 50 in politeness/);
  });
});
