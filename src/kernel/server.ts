import { Cells } from "./cells";
import { ChildRequests } from "./child-requests";
import { Comms } from "./comms";
import { History } from "./history";
import { describeKernel } from "./kernel-info";
import type { Failure, ToChild, ToParent } from "./messages";
import { Iopub } from "./output";
import { Sockets } from "./sockets";
import { completionInCodePoints, toCodePoints, toUtf16Offset } from "./text-positions";
import type { ConnectionInfo, RoutedMessage } from "./wire";

/** The process that runs the cells, as the protocol process sees it. */
export interface Child {
  /** Requests wait until the child takes them. @throws Error when there is no child, and none will come. */
  send(message: ToChild): void;
  onMessage(listener: (message: ToParent) => void): void;
  /**
   * The child died or was restarted: requests that got no `done` get none. `failure` is for the user: what happened
   * and the remedy. With `restarted` the new child is ready or on its way; requests sent meanwhile wait for it.
   */
  onDeath(listener: (death: { failure: Failure; restarted: boolean }) => void): void;
  /** Resolves when the running cell has ended or the child was replaced. */
  interrupt(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  connection: ConnectionInfo;
  child: Child;
  /** Default: kept in memory. */
  history?: History;
  /** One line for the kernel's log; default: stderr, which Jupyter shows in its terminal. */
  log?: (line: string) => void;
  /** Told when a client has shut the kernel down; the child has stopped, the sockets are closed. */
  onShutdown?: (restart: boolean) => void;
}

/** Seconds that the child has to stop, which is what Jupyter waits before it kills a kernel. */
const grace = 5;

type Content = Record<string, unknown>;

/** The content of a reply that refuses or reports an error of the kernel itself. */
function refusal(ename: string, evalue: string): Content {
  return { status: "error", ename, evalue, traceback: [`${ename}: ${evalue}`] };
}

/**
 * The kernel as its clients see it: Jupyter's message specification, version 5.4, on five sockets. It runs no user code,
 * so it answers the heartbeat and the control channel while a cell runs. Requests on shell are answered one after
 * another, in order; those on control at once.
 */
export class KernelServer {
  private readonly queue: { message: RoutedMessage; aborted: boolean }[] = [];
  private serving = false;
  private stopping = false;
  private closed: Promise<void> | undefined;
  private readonly iopub: Iopub;
  private readonly requests: ChildRequests;
  private readonly comms: Comms;
  private readonly cells: Cells;
  private readonly history: History;

  private constructor(
    private readonly options: ServerOptions,
    private readonly log: (line: string) => void,
    private readonly sockets: Sockets,
  ) {
    const { child } = options;
    const send = (message: ToChild) => child.send(message);
    this.history = options.history ?? new History();
    this.iopub = new Iopub(sockets);
    this.requests = new ChildRequests(send);
    this.cells = new Cells(sockets, this.iopub, this.requests, send, this.history, log);
    this.comms = new Comms(this.iopub, send, (request) => this.cells.note(request), log);
    child.onMessage((message) => {
      try {
        this.fromChild(message);
      } catch (error) {
        log(`cannot use what the child said (${JSON.stringify(message)?.slice(0, 200)}): ${(error as Error).message}`);
      }
    });
    child.onDeath(({ failure, restarted }) => this.childDied(failure, restarted));
  }

  /**
   * Binds the connection's sockets and serves them.
   *
   * @throws Error when an address is taken.
   */
  static async start(options: ServerOptions): Promise<KernelServer> {
    const { log = (line: string) => void process.stderr.write(`[kernel] ${line}\n`) } = options;
    if (options.connection.key === "") log("the connection file holds no key: messages are not signed");
    let server: KernelServer | undefined = undefined;
    const onRequest = (message: RoutedMessage) => server?.receive(message);
    const sockets = await Sockets.bind(options.connection, { onRequest, log });
    server = new KernelServer(options, log, sockets);
    server.iopub.publish("status", { execution_state: "starting" }, { parent: undefined });
    sockets.listen();
    return server;
  }

  /** Stops the running cell, as Ctrl-C in the kernel's terminal asks for. */
  interrupt(): Promise<void> {
    return this.options.child.interrupt();
  }

  /** Stops the child, hands over what was sent, and closes the sockets. */
  close(): Promise<void> {
    return (this.closed ??= this.stop());
  }

  private async stop(): Promise<void> {
    this.stopping = true;
    this.queue.length = 0;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.log(`the child did not stop within ${grace} s: leaving it behind, it ends when it finds us gone`);
        resolve();
      }, grace * 1000);
    });
    await Promise.race([this.options.child.stop(), late]);
    clearTimeout(timer);
    this.iopub.flush();
    await this.sockets.close();
  }

  private receive(message: RoutedMessage): void {
    if (this.stopping) return this.log(`ignored ${message.type}: the kernel is shutting down`);
    if (message.channel === "control") void this.serve(message);
    else if (message.channel === "stdin") {
      if (message.type === "input_reply") this.cells.inputReply(message);
      else this.log(`ignored ${message.type} on stdin: expected input_reply`);
    } else {
      this.queue.push({ message, aborted: false });
      if (!this.serving) void this.serveQueue();
    }
  }

  private async serveQueue(): Promise<void> {
    this.serving = true;
    for (let next = this.queue.shift(); next; next = this.queue.shift()) await this.serve(next.message, next.aborted);
    this.serving = false;
  }

  /** Answers one request between `busy` and `idle`. */
  private async serve(message: RoutedMessage, aborted = false): Promise<void> {
    const parent = message.header;
    const replyType = message.type.replace(/_request$/, "_reply");
    const started = new Date().toISOString();
    this.iopub.publish("status", { execution_state: "busy" }, { parent });
    let content: Content | undefined;
    try {
      content = aborted ? { status: "aborted" } : await this.answer(message);
    } catch (error) {
      const { name, message: text } = error as Error;
      this.log(`${message.type}: ${text}`);
      content = refusal(name, text);
    }
    if (content && replyType !== message.type)
      this.sockets.send(message, message.channel as "shell" | "control", replyType, content, { started });
    if (message.type === "shutdown_request") this.iopub.publish(replyType, content as Content, { parent });
    this.iopub.publish("status", { execution_state: "idle" }, { parent });
    if (message.type === "shutdown_request") {
      await this.close();
      this.options.onShutdown?.(message.content.restart === true);
    }
  }

  /** The content of the reply to a request; undefined for what gets none. */
  private async answer(message: RoutedMessage): Promise<Content | undefined> {
    const { type, content, channel } = message;
    switch (type) {
      case "execute_request":
        if (channel === "control")
          return refusal("NotSupported", "execute_request: cells run in order: expected on shell, got on control");
        return this.execute(message);
      case "kernel_info_request":
        return describeKernel();
      case "complete_request": {
        const code = String(content.code);
        const { content: found, failure } = await this.requests.ask({
          type: "complete",
          id: this.requests.newId(),
          code,
          cursor: this.cursor(content),
        });
        if (failure) return { ...refusal(failure.ename, failure.evalue), traceback: failure.traceback };
        const at = toCodePoints(code, this.cursor(content));
        const nothing = { matches: [], cursor_start: at, cursor_end: at, metadata: {} };
        return { ...nothing, ...completionInCodePoints(code, found ?? {}), status: "ok" };
      }
      case "inspect_request": {
        const { content: found, failure } = await this.requests.ask({
          type: "inspect",
          id: this.requests.newId(),
          code: String(content.code),
          cursor: this.cursor(content),
          detail: content.detail_level === 1 ? 1 : 0,
        });
        if (failure) return { ...refusal(failure.ename, failure.evalue), traceback: failure.traceback };
        return { found: false, data: {}, metadata: {}, ...found, status: "ok" };
      }
      case "is_complete_request": {
        const id = this.requests.newId();
        const { content: found } = await this.requests.ask({ type: "isComplete", id, code: String(content.code) });
        return { status: "unknown", ...found };
      }
      case "history_request":
        return this.history.answer(content);
      case "comm_info_request":
        return this.comms.info(content.target_name);
      case "comm_open":
      case "comm_msg":
      case "comm_close":
        this.comms.fromClient(message);
        return undefined;
      case "interrupt_request":
        await this.options.child.interrupt();
        return { status: "ok" };
      case "shutdown_request":
        this.stopping = true;
        return { status: "ok", restart: content.restart === true };
      case "debug_request":
        return {
          type: "response",
          seq: 0,
          request_seq: content.seq ?? 0,
          command: content.command ?? "",
          success: false,
          message: "This kernel has no debugger (kernel_info_reply says so in `debugger` and `supported_features`)",
        };
      case "usage_request":
      case "create_subshell_request":
      case "delete_subshell_request":
      case "list_subshell_request":
        return refusal("NotSupported", `This kernel does not offer what ${type} asks for`);
      default:
        this.log(`unknown request ${type} on ${channel}: not answered`);
        return undefined;
    }
  }

  private cursor({ code, cursor_pos: position }: Content): number {
    const text = String(code);
    return typeof position === "number" ? toUtf16Offset(text, position) : text.length;
  }

  private async execute(message: RoutedMessage): Promise<Content> {
    const reply = await this.cells.execute(message);
    const { stop_on_error: stop = true, silent = false } = message.content;
    // What a client sent in one go with the failed cell waits here; what it sends from now on knows of the failure.
    if (reply.status === "error" && stop && !silent) {
      // One turn for what has arrived and is not read yet.
      await new Promise((resolve) => setImmediate(resolve));
      for (const waiting of this.queue) waiting.aborted ||= waiting.message.type === "execute_request";
    }
    return reply;
  }

  private fromChild(message: ToParent): void {
    switch (message.type) {
      case "ready":
        return;
      case "done":
      case "reply":
        return this.requests.settle(message);
      case "commOpen":
      case "commMessage":
      case "commClose":
        return this.comms.fromChild(message, this.cells.parentOf(message.id));
      default:
        return this.cells.output(message);
    }
  }

  private childDied(failure: Failure, restarted: boolean): void {
    this.log(`${failure.ename}: ${failure.evalue}${restarted ? "" : " (no new child)"}`);
    this.comms.closeAll(this.cells.parent);
    this.cells.died(failure);
    this.requests.failAll(failure, restarted);
  }
}
