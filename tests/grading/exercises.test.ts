import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exerciseIds, loadExercise, tiers, unfilled, type CheckContext } from "../../src/grading/exercise";
import { runChecks } from "../../src/grading/run-checks";
import { Random } from "../../src/tensors/random";
import { workspaceAt } from "../../src/workbook/paths";

// Whoever sets a notebook's parameters may choose any: betas over the range the course uses, seeds far apart.
const rng = Random.fromSeed(20240611).child("exercise contexts");
const contexts: CheckContext[] = [1, 2, 3].map(() => ({
  beta: 0.02 * 100 ** rng.uniform(),
  seed: rng.integer(1_000_000),
}));

describe("every exercise in tests/exercises", () => {
  for (const id of exerciseIds()) {
    describe(id, () => {
      const exercise = loadExercise(id);

      for (const context of contexts) {
        const at = `at beta ${context.beta.toPrecision(3)}, seed ${context.seed}`;

        it(`accepts its solution ${at}, in the four tiers`, async () => {
          const [result] = await runChecks([{ exercise, yours: exercise.solution }], context);
          assert.deepEqual(result.failed, []);
          assert.equal(result.points, exercise.points);
          assert.deepEqual([...new Set(result.checks.map((check) => check.tier))], [...tiers]);
        });

        it(`rejects each of its mutants ${at}, and names it`, async () => {
          for (const mutant of exercise.mutants ?? []) {
            const [result] = await runChecks([{ exercise, yours: mutant.wrong }], context);
            assert.ok(result.failed.length > 0, `the mutant "${mutant.name}" passes every check`);
            assert.ok(result.points < exercise.points, `the mutant "${mutant.name}" earns all points`);
            for (const { passed, title, reason, generatedMessage } of result.checks) {
              if (passed) continue;
              assert.ok(
                !/^$|^it was not run$/.test(reason) && !generatedMessage,
                `"${title}" fails "${mutant.name}" without a message of its own: ${reason}`,
              );
            }
            assert.ok(
              result.likely === undefined || result.likely.name === mutant.name,
              `"${mutant.name}" is taken for "${result.likely?.name}"`,
            );
          }
        });
      }

      it("knows a stub when it sees one", async () => {
        const [result] = await runChecks([{ exercise, yours: () => unfilled(id) }], contexts[0]);
        assert.ok(result.unfilled);
        assert.equal(result.points, 0);
        assert.deepEqual(result.failed, []);
      });

      it("has five mutants at least, three hints, and a solution that can stand in a notebook", () => {
        assert.ok((exercise.mutants ?? []).length >= 5, `${exercise.mutants?.length ?? 0} mutants`);
        assert.ok(exercise.hints.length === 3 && exercise.hints.every((hint) => hint.length > 20));
        const text = readFileSync(join(workspaceAt().exercises, `${id}.ts`), "utf8");
        assert.match(text, new RegExp(`^export (async )?function ${exercise.solution.name}\\b`, "m"));
      });

      it("has its stub in its notebook", function () {
        const twin = join(workspaceAt().text, `${exercise.notebook}.ts`);
        if (!existsSync(twin)) return this.skip(); // the notebook is not written yet
        const text = readFileSync(twin, "utf8");
        assert.match(text, new RegExp(`^(async )?function ${exercise.solution.name}\\b`, "m"));
        assert.ok(text.includes(`unfilled("${id}")`), `${twin} has no unfilled("${id}")`);
        assert.ok(
          text.includes(`check("${id}", ${exercise.solution.name}`),
          `${twin} has no check("${id}", ${exercise.solution.name}, …)`,
        );
      });
    });
  }
});
