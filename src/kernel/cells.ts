import type { ChildRequests } from "./child-requests";
import type { History, HistoryEntry } from "./history";
import type { Failure, ToChild, ToParent } from "./messages";
import type { Iopub } from "./output";
import type { Sockets } from "./sockets";
import type { MessageHeader, RoutedMessage } from "./wire";

/** A cell that ran or runs: whom its output belongs to, which may also come later, from code in the background. */
interface Cell {
  request: Pick<RoutedMessage, "header" | "identities">;
  silent: boolean;
  allowStdin: boolean;
  count: number;
  history: HistoryEntry | undefined;
  /** The first error in the background that no code handled, while the cell ran. */
  unhandled?: Failure;
}

/** The output of a cell, as the child reports it. */
export type CellOutput = Extract<
  ToParent,
  { type: "stream" | "display" | "clear" | "result" | "inputRequest" | "error" }
>;

/** How many cells are remembered for output that comes after their end. */
const remembered = 10_000;

/** The fields of an error, as an `error` message and an `execute_reply` carry them. */
function failureFields({ ename, evalue, traceback }: Failure): Record<string, unknown> {
  return { ename, evalue, traceback };
}

/** A request to which output may belong, without what would only take memory. */
function withoutContent({ header, identities }: RoutedMessage): Cell {
  return { request: { header, identities }, silent: false, allowStdin: false, count: 0, history: undefined };
}

/** Runs execute requests in the child and gives their output to the clients. */
export class Cells {
  /** The number of the last cell that was stored in the history. */
  private count = 0;
  private readonly cells = new Map<string, Cell>();
  /** The cell that runs or that ran last: output that names no cell is its. */
  private latest: Cell | undefined;
  private running: Cell | undefined;
  /** Questions to a client that wait for its answer, by the cell that asked. */
  private questions: { cell: Cell; id: string; messageId: string }[] = [];

  constructor(
    private readonly sockets: Pick<Sockets, "send">,
    private readonly iopub: Iopub,
    private readonly requests: ChildRequests,
    private readonly sendToChild: (message: ToChild) => void,
    private readonly history: History,
    private readonly log: (line: string) => void,
  ) {}

  /** The header of the cell that runs, or ran last. */
  get parent(): MessageHeader | undefined {
    return this.latest?.request.header;
  }

  /**
   * Runs an `execute_request`; resolves to the content of its reply when the cell is over.
   *
   * An error that no code handled, in something that the cell had started, is shown at once. It does not end the cell, but
   * the reply says `error`, so that a client which runs a whole notebook stops there; the cell's own failure goes first.
   * When it comes after the reply, the cell shows it, and the reply has been `ok`.
   */
  async execute(request: RoutedMessage): Promise<Record<string, unknown>> {
    const { code, user_expressions: expressions = {}, allow_stdin: allowStdin = true } = request.content;
    if (typeof code !== "string")
      throw new Error(`execute_request: expected code, a string, got ${JSON.stringify(code)}`);
    if (typeof expressions !== "object" || expressions === null)
      throw new Error(`execute_request: expected user_expressions, an object, got ${JSON.stringify(expressions)}`);
    const silent = request.content.silent === true;
    const stored = !silent && request.content.store_history !== false;
    if (stored) this.count++;
    const cell: Cell = {
      ...withoutContent(request),
      silent,
      allowStdin: allowStdin === true,
      count: this.count,
      history: stored ? this.history.add(this.count, code) : undefined,
    };
    const id = this.remember(cell);
    this.latest = this.running = cell;
    this.publish(cell, "execute_input", { code, execution_count: cell.count });
    const outcome = await this.requests.ask({
      type: "execute",
      id,
      code,
      count: cell.count,
      silent,
      allowStdin: cell.allowStdin,
      userExpressions: expressions as Record<string, string>,
    });
    this.iopub.flush();
    this.running = undefined;
    this.questions = this.questions.filter((question) => question.cell !== cell);
    if (cell.history) this.history.keep(cell.history);
    if (outcome.failure) this.publish(cell, "error", failureFields(outcome.failure));
    const failure = outcome.failure ?? cell.unhandled;
    return {
      status: failure ? "error" : "ok",
      execution_count: cell.count,
      ...(failure ? failureFields(failure) : {}),
      user_expressions: outcome.userExpressions ?? {},
      payload: [],
    };
  }

  /** Notes a request that is no cell, but whose handler may print; returns the id by which the child names it. */
  note(request: RoutedMessage): string {
    return this.remember({ ...withoutContent(request), count: this.count });
  }

  private remember(cell: Cell): string {
    const id = this.requests.newId();
    this.cells.set(id, cell);
    if (this.cells.size > remembered) this.cells.delete(this.cells.keys().next().value as string);
    return id;
  }

  /** Broadcasts for a cell, unless it is silent. */
  private publish(cell: Cell | undefined, type: string, content: Record<string, unknown>): void {
    if (!cell?.silent) this.iopub.publish(type, content, { parent: cell?.request.header });
  }

  /** The header of the cell that the child's request `id` belongs to. */
  parentOf(id: string): MessageHeader | undefined {
    return (this.cells.get(id) ?? this.latest)?.request.header;
  }

  /** Takes output of the child. */
  output(message: CellOutput): void {
    const cell = this.cells.get(message.id) ?? this.latest;
    switch (message.type) {
      case "stream":
        if (!cell?.silent) this.iopub.stream(cell?.request.header, message.name, message.text);
        break;
      case "display": {
        const transient = message.displayId === undefined ? {} : { display_id: message.displayId };
        const type = message.update ? "update_display_data" : "display_data";
        this.publish(cell, type, { data: message.data, metadata: message.metadata ?? {}, transient });
        break;
      }
      case "clear":
        this.publish(cell, "clear_output", { wait: message.wait });
        break;
      case "result": {
        const plain = message.data["text/plain"];
        if (cell?.history && typeof plain === "string") this.history.setOutput(cell.history, plain);
        const content = { execution_count: cell?.count ?? 0, data: message.data, metadata: message.metadata ?? {} };
        this.publish(cell, "execute_result", content);
        break;
      }
      case "error": {
        const { failure } = message;
        if (cell && cell === this.running) cell.unhandled ??= failure;
        else this.log(`a cell that had ended has failed in the background: ${failure.ename}: ${failure.evalue}`);
        this.publish(cell, "error", failureFields(failure));
        break;
      }
      case "inputRequest":
        this.askClient(cell, message);
        break;
    }
  }

  private askClient(
    cell: Cell | undefined,
    { id, prompt, password }: Extract<ToParent, { type: "inputRequest" }>,
  ): void {
    if (!cell?.allowStdin) {
      // The child was told, and refuses by itself.
      this.log(`a cell asks for input, though its client takes no questions (allow_stdin is false): "${prompt}"`);
      return;
    }
    // The question must not appear before what was printed ahead of it.
    this.iopub.flush();
    const messageId = this.sockets.send(cell.request, "stdin", "input_request", { prompt, password });
    this.questions.push({ cell, id, messageId });
  }

  /** Takes a client's `input_reply`. */
  inputReply(reply: RoutedMessage): void {
    // jupyter_client names no parent in its answers: then the oldest question is meant.
    const at = Math.max(
      0,
      this.questions.findIndex(({ messageId }) => messageId === reply.parentId),
    );
    const [question] = this.questions.splice(at, 1);
    if (!question) return this.log("ignored an input_reply: no cell waits for input");
    this.sendToChild({ type: "input", id: question.id, value: String(reply.content.value ?? "") });
  }

  /** Tells of the child's death. A cell that runs ends by it on its own; otherwise the latest cell shows it. */
  died(failure: Failure): void {
    this.iopub.flush();
    this.questions = [];
    if (!this.running) this.iopub.publish("error", failureFields(failure), { parent: this.parent });
  }
}
