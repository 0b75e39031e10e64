import { createRequire } from "node:module";
import type { CodeCell, Notebook } from "../notebooks/notebook";
import { predictionMime } from "../notebooks/outputs";

type TypeScript = typeof import("typescript");
type Expression = import("typescript").Expression;

/** What a notebook says of one of its predictions. */
export interface MadePrediction {
  id: string;
  /** The question as the cell has it; empty where it is no plain string. */
  question: string;
  /** Whether it has an answer. This alone is graded: nobody could predict honestly for points for being right. */
  made: boolean;
  /** Whether it came true, where the notebook was run with the answer that it has now. */
  cameTrue?: boolean;
}

/** The predictions of a notebook: what its cells ask by `predict({ … })`, and what their outputs show came out. */
export function madePredictions(notebook: Notebook): MadePrediction[] {
  const ts = createRequire(__filename)("typescript") as TypeScript;
  const cells = notebook.cells.filter((cell): cell is CodeCell => cell.cell_type === "code");
  const outcomes = new Map(cells.flatMap(outcomesShown).map((outcome) => [outcome.id, outcome]));
  const found = new Map<string, MadePrediction>();
  for (const cell of cells) {
    const file = ts.createSourceFile(`${cell.id}.ts`, cell.source, ts.ScriptTarget.Latest, true);
    const visit = (node: import("typescript").Node): void => {
      if (ts.isCallExpression(node) && node.expression.getText() === "predict") {
        const asked = propertiesOf(ts, node.arguments[0]);
        const id = textOf(ts, asked.get("id"));
        if (id !== undefined) {
          const answer = asked.get("answer");
          const made = answer !== undefined && answer.getText() !== "undefined";
          const outcome = outcomes.get(id);
          const current = made && outcome !== undefined && isStill(ts, answer, outcome.answer);
          found.set(id, {
            id,
            question: textOf(ts, asked.get("question")) ?? "",
            made,
            ...(current && outcome.cameTrue !== undefined ? { cameTrue: outcome.cameTrue } : {}),
          });
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return [...found.values()];
}

interface Outcome {
  id: string;
  answer?: unknown;
  truth?: unknown;
  cameTrue?: boolean;
}

function outcomesShown(cell: CodeCell): Outcome[] {
  return cell.outputs.flatMap((output) => {
    const shown = "data" in output ? (output.data[predictionMime] as Outcome | undefined) : undefined;
    return shown?.truth === undefined ? [] : [shown];
  });
}

function propertiesOf(ts: TypeScript, object: Expression | undefined): Map<string, Expression> {
  const properties = new Map<string, Expression>();
  if (object !== undefined && ts.isObjectLiteralExpression(object)) {
    for (const property of object.properties) {
      if (ts.isPropertyAssignment(property)) properties.set(property.name.getText(), property.initializer);
    }
  }
  return properties;
}

function textOf(ts: TypeScript, expression: Expression | undefined): string | undefined {
  return expression !== undefined && ts.isStringLiteralLike(expression) ? expression.text : undefined;
}

/** Whether the cell's answer is the one that was compared; an answer that is computed is taken to be. */
function isStill(ts: TypeScript, answer: Expression, compared: unknown): boolean {
  if (ts.isStringLiteralLike(answer)) return answer.text === compared;
  const number = Number(answer.getText().replaceAll("_", ""));
  return Number.isNaN(number) || number === compared;
}
